//! Tables of aligned text.

use crate::cli::console::Console;

/// How a column is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// A table that is built row by row. Columns in which every cell is empty are left out.
#[derive(Debug, Clone)]
pub struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<String>>,
    colours: bool,
    painted: Option<(&'static str, Paint)>,
}

/// The colour of a cell, as numbers of SGR sequences (ECMA-48).
type Paint = fn(&str) -> &'static str;

impl Table {
    /// A table with these columns.
    pub fn new(columns: &[(&'static str, Align)]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new(), colours: Console::colours(), painted: None }
    }

    /// The same with the cells of a column in colours, where there may be any.
    pub fn painted(self, column: &'static str, paint: Paint) -> Self {
        Self { painted: Some((column, paint)), ..self }
    }

    /// Adds a row; cells beyond the columns are dropped.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let mut cells: Vec<String> = cells.into_iter().take(self.columns.len()).collect();
        cells.resize(self.columns.len(), String::new());
        self.rows.push(cells);
    }

    /// The text, each line ended.
    pub fn render(&self) -> String {
        let used: Vec<usize> = (0..self.columns.len())
            .filter(|column| self.rows.iter().any(|row| row.get(*column).is_some_and(|cell| !cell.is_empty())))
            .collect();
        let widths: Vec<usize> = used.iter().map(|column| self.width(*column)).collect();
        let heads: Vec<String> = self.columns.iter().map(|(head, _)| (*head).to_owned()).collect();
        let mut text = String::new();
        let (bold, plain) = if self.colours { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
        text.push_str(&format!("{bold}{}{plain}\n", self.line(&heads, &used, &widths)));
        for row in &self.rows {
            text.push_str(&self.line(row, &used, &widths));
            text.push('\n');
        }
        text
    }

    fn width(&self, column: usize) -> usize {
        let head = self.columns.get(column).map_or(0, |(head, _)| head.len());
        self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0).max(head)
    }

    fn line(&self, cells: &[String], used: &[usize], widths: &[usize]) -> String {
        let mut line = String::new();
        for (column, width) in used.iter().zip(widths) {
            let cell = cells.get(*column).map_or("", String::as_str);
            let align = self.columns.get(*column).map_or(Align::Left, |(_, align)| *align);
            if !line.is_empty() {
                line.push_str("  ");
            }
            let padded = match align {
                Align::Left => format!("{cell:<width$}"),
                Align::Right => format!("{cell:>width$}"),
            };
            match self
                .painted
                .filter(|(name, _)| self.colours && self.columns.get(*column).is_some_and(|(head, _)| head == name && *head != cell))
            {
                Some((_, paint)) => line.push_str(&format!("\x1b[{}m{padded}\x1b[0m", paint(cell))),
                None => line.push_str(&padded),
            }
        }
        line.truncate(line.trim_end().len());
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_empty_ones_left_out() {
        let mut table = Table::new(&[("ID", Align::Left), ("TAGS", Align::Left), ("SIZE", Align::Right), ("PATH", Align::Left)]);
        table.row(["a", "", "1 B", "/x"].map(String::from));
        table.row(["bcd", "", "12 KiB", ""].map(String::from));
        assert_eq!(table.render(), "ID     SIZE  PATH\na       1 B  /x\nbcd  12 KiB\n");
    }
}
