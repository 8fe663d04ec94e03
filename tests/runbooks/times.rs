//! What each runbook took, told and, if wanted, written into the table of the index.

use std::fs::{self, File};
use std::time::Duration;

use super::book;

/// Tells it; with `HEARTH_MEASURE` in the environment the index of the runbooks has it from now on.
pub fn told(name: &str, bytes: u64, taken: Duration) {
    println!("{name}: {} for {}", shown(taken), megabytes(bytes));
    if std::env::var_os("HEARTH_MEASURE").is_none() {
        return;
    }
    let path = book::folder().join("README.md");
    // Tests run beside each other.
    let lock = File::open(book::folder()).unwrap();
    lock.lock().unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<_> =
        text.lines().map(|line| rewritten(line, name, &shown(taken), &megabytes(bytes)).unwrap_or_else(|| line.to_owned())).collect();
    fs::write(&path, lines.join("\n") + "\n").unwrap();
}

/// The row about a runbook with other figures; none if the line is not that row.
fn rewritten(line: &str, name: &str, taken: &str, size: &str) -> Option<String> {
    let cells: Vec<_> = line.strip_prefix('|')?.strip_suffix('|')?.split('|').map(str::trim).collect();
    let [situation, file, ..] = cells.as_slice() else { return None };
    file.contains(&format!("]({name})")).then(|| format!("| {situation} | {file} | {size} | {taken} |"))
}

fn shown(taken: Duration) -> String {
    format!("{:.1} s", taken.as_secs_f64())
}

fn megabytes(bytes: u64) -> String {
    format!("{} MB", (bytes + 500_000) / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_gets_the_figures_of_its_runbook_only() {
        let row = "| a file | [one-file.md](one-file.md) | 1 MB | 9 s |";
        assert_eq!(
            rewritten(row, "one-file.md", "2.0 s", "5 MB").as_deref(),
            Some("| a file | [one-file.md](one-file.md) | 5 MB | 2.0 s |")
        );
        assert_eq!(rewritten(row, "file.md", "2.0 s", "5 MB"), None);
        assert_eq!(rewritten("one-file.md", "one-file.md", "", ""), None);
    }
}
