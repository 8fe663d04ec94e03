//! The SQL that `mariadb-dump` and `mysqldump` write, read as far as counting rows needs it.
//!
//! ```text
//!   at the start of a line: CREATE TABLE `name`   a table
//!                           INSERT INTO `name` ... VALUES (..),(..);   its rows, on one line or several
//!                           DELIMITER ..   up to the next one: bodies of triggers and routines, which may say anything
//! ```
//!
//! In strings of a dump line feeds are escaped, so a line starts nowhere else. The dump has its end if the last line says so.

use std::collections::BTreeMap;
use std::io;

use memchr::{memchr, memchr2, memchr3};

use crate::source::database::rows::{RowCounts, TableRows};
use crate::source::database::tap::Tally;

/// The last line of a complete dump begins so.
const COMPLETED: &[u8] = b"-- Dump completed";
/// The end of the dump that is kept to look for it, in bytes.
const TAIL: usize = 256;
/// A statement takes at most so many bytes up to its first row.
const LONGEST_START: usize = 1 << 20;

const CREATE: &[u8] = b"CREATE TABLE `";
const DELIMITER: &[u8] = b"DELIMITER ";
const INSERTS: [&[u8]; 5] = [b"INSERT INTO `", b"INSERT  IGNORE INTO `", b"INSERT IGNORE INTO `", b"REPLACE INTO `", b"REPLACE  INTO `"];

/// Counts the rows of a dump.
#[derive(Debug, Default)]
pub struct Statements {
    state: State,
    /// The start of the line, as long as it is not known what it is.
    start: Vec<u8>,
    /// The tables that were made, and their rows.
    tables: BTreeMap<Vec<u8>, u64>,
    /// The table whose rows are being read.
    table: Vec<u8>,
    rows: u64,
    /// Whether a body is being read.
    body: bool,
    tail: Vec<u8>,
    lost: bool,
}

#[derive(Debug, Default, Clone, Copy)]
enum State {
    #[default]
    Start,
    /// In a line that does not matter.
    Rest,
    /// Among the rows of an INSERT, outside of strings.
    Rows,
    Text,
    /// After a backslash in a string.
    Escape,
}

/// What a line is, by its start.
enum Line {
    /// More of it is needed to tell.
    Open,
    Other,
    Create(Vec<u8>),
    /// Into this table; so many bytes up to the first row.
    Insert(Vec<u8>, usize),
    Delimiter(bool),
}

impl Tally for Statements {
    fn take(&mut self, mut bytes: &[u8]) {
        let kept = bytes.get(bytes.len().saturating_sub(TAIL)..).unwrap_or(bytes);
        let over = (self.tail.len() + kept.len()).saturating_sub(TAIL).min(self.tail.len());
        self.tail.drain(..over);
        self.tail.extend_from_slice(kept);
        while !bytes.is_empty() && !self.lost {
            let used = self.step(bytes);
            bytes = bytes.get(used..).unwrap_or_default();
        }
    }

    fn end(self: Box<Self>) -> io::Result<RowCounts> {
        let text = self.tail.trim_ascii_end();
        let last = text.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
        if !last.starts_with(COMPLETED) {
            return Err(io::Error::other("the dump breaks off: its last line does not say that it is complete"));
        }
        if self.lost || !matches!(self.state, State::Start | State::Rest) {
            return Ok(RowCounts::Unknown("its statements are not understood".into()));
        }
        let tables = self.tables.into_iter().map(|(name, rows)| {
            let table = String::from_utf8_lossy(&name).into_owned();
            TableRows { schema: None, table, rows }
        });
        Ok(RowCounts::join([RowCounts::Tables(tables.collect())]))
    }
}

impl Statements {
    /// Reads some bytes, at least one; returns how many.
    fn step(&mut self, bytes: &[u8]) -> usize {
        let (used, next) = match self.state {
            State::Start => return self.line(bytes),
            State::Rest => match memchr(b'\n', bytes) {
                Some(place) => (place + 1, State::Start),
                None => (bytes.len(), State::Rest),
            },
            State::Rows => match memchr3(b'\'', b'(', b';', bytes) {
                None => (bytes.len(), State::Rows),
                Some(place) => match bytes.get(place) {
                    Some(b'(') => {
                        self.rows += 1;
                        (place + 1, State::Rows)
                    }
                    Some(b';') => {
                        if let Some(rows) = self.tables.get_mut(&self.table) {
                            *rows += self.rows;
                        }
                        (place + 1, State::Rest)
                    }
                    _ => (place + 1, State::Text),
                },
            },
            State::Text => match memchr2(b'\'', b'\\', bytes) {
                None => (bytes.len(), State::Text),
                Some(place) if bytes.get(place) == Some(&b'\\') => (place + 1, State::Escape),
                Some(place) => (place + 1, State::Rows),
            },
            State::Escape => (1, State::Text),
        };
        self.state = next;
        used
    }

    /// Reads from the start of a line until it is known what it is.
    fn line(&mut self, bytes: &[u8]) -> usize {
        let before = self.start.len();
        let piece = memchr(b'\n', bytes).map_or(bytes.len(), |place| place + 1).min(TAIL);
        self.start.extend_from_slice(bytes.get(..piece).unwrap_or_default());
        let (used, next) = match classify(&self.start, self.body) {
            Line::Open if self.start.len() > LONGEST_START => {
                self.lost = true;
                (piece, State::Rest)
            }
            Line::Open => return piece,
            Line::Insert(table, used) => {
                (self.table, self.rows) = (table, 0);
                (used.saturating_sub(before), State::Rows)
            }
            Line::Create(table) => {
                self.tables.insert(table, 0);
                (0, State::Rest)
            }
            Line::Delimiter(body) => {
                self.body = body;
                (0, State::Rest)
            }
            Line::Other => (0, State::Rest),
        };
        // All of a line that does not matter may have been taken already.
        let ended = matches!(next, State::Rest) && self.start.ends_with(b"\n");
        self.state = if ended { State::Start } else { next };
        self.start.clear();
        match self.state {
            State::Rows => used,
            _ => piece,
        }
    }
}

fn classify(line: &[u8], body: bool) -> Line {
    let ended = line.ends_with(b"\n");
    if let Some(rest) = line.strip_prefix(DELIMITER) {
        return if ended { Line::Delimiter(rest.trim_ascii() != b";") } else { Line::Open };
    }
    let could_be = |word: &[u8]| !ended && word.starts_with(line);
    if could_be(DELIMITER) {
        return Line::Open;
    }
    if body {
        return Line::Other;
    }
    if let Some(rest) = line.strip_prefix(CREATE) {
        return match name(rest) {
            Some((name, _)) => Line::Create(name),
            None if ended => Line::Other,
            None => Line::Open,
        };
    }
    for word in INSERTS {
        if let Some(rest) = line.strip_prefix(word) {
            let found = name(rest).and_then(|(name, rest)| Some((name, rows(rest)?)));
            return match found {
                Some((name, rest)) => Line::Insert(name, line.len() - rest.len()),
                None if ended => Line::Other,
                None => Line::Open,
            };
        }
    }
    if could_be(CREATE) || INSERTS.into_iter().any(could_be) { Line::Open } else { Line::Other }
}

/// A name up to its closing backtick, and what follows; `None` if it does not end, or nothing follows that would show that it ends.
fn name(mut rest: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut name = Vec::new();
    loop {
        let place = memchr(b'`', rest)?;
        name.extend_from_slice(rest.get(..place)?);
        rest = rest.get(place + 1..)?;
        match rest.first()? {
            b'`' => {
                name.push(b'`');
                rest = rest.get(1..)?;
            }
            _ => return Some((name, rest)),
        }
    }
}

/// What follows VALUES, after a list of columns if there is one.
fn rows(rest: &[u8]) -> Option<&[u8]> {
    let mut rest = rest.trim_ascii_start();
    if let Some(columns) = rest.strip_prefix(b"(") {
        rest = columns;
        loop {
            let (_, after) = name(rest.trim_ascii_start().strip_prefix(b"`")?)?;
            match after.trim_ascii_start().split_first()? {
                (b',', after) => rest = after,
                (b')', after) => break rest = after,
                _ => return None,
            }
        }
    }
    rest.trim_ascii_start().strip_prefix(b"VALUES")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DUMP: &str = r"-- MariaDB dump
CREATE TABLE `goods` (
  `name` text COMMENT 'INSERT INTO `x` VALUES (1)'
);
INSERT INTO `goods` VALUES
(1,'tea',0x00FF27,'{\`a\`: \'(b\'}',NULL),
(2,'mi\'l\\k\n),(',NULL,'it''s (',-1.5e3),
(3,'',NULL,NULL,NULL);
INSERT INTO `goods` (`id`, `VALUES (`) VALUES (4,'(((;'),(5,_binary '\\');
CREATE TABLE `odd``name (x` (
INSERT  IGNORE INTO `odd``name (x` VALUES (1),(2);
CREATE TABLE `empty` (
INSERT INTO `sequence` VALUES (1);
DELIMITER ;;
CREATE PROCEDURE p()
begin
INSERT INTO `goods` VALUES (1);
end ;;
DELIMITER ;
/*!50001 CREATE VIEW `v` AS SELECT 1*/;
-- Dump completed on some day
";

    fn count(pieces: &[&[u8]]) -> io::Result<RowCounts> {
        let mut tally = Box::<Statements>::default();
        pieces.iter().for_each(|piece| tally.take(piece));
        tally.end()
    }

    fn expected() -> RowCounts {
        let table = |table: &str, rows| TableRows { schema: None, table: table.into(), rows };
        RowCounts::Tables(vec![table("empty", 0), table("goods", 5), table("odd`name (x", 2)])
    }

    #[test]
    fn rows_are_counted_however_the_dump_is_cut() {
        let bytes = DUMP.as_bytes();
        assert_eq!(count(&[bytes]).unwrap(), expected());
        for piece in [1, 2, 3, 7, 30, 64] {
            assert_eq!(count(&bytes.chunks(piece).collect::<Vec<_>>()).unwrap(), expected(), "in pieces of {piece}");
        }
        for cut in 0..bytes.len() {
            let (start, end) = bytes.split_at(cut);
            assert_eq!(count(&[start, end]).unwrap(), expected(), "cut at {cut}");
        }
    }

    #[test]
    fn a_dump_that_does_not_say_that_it_is_complete_is_an_error() {
        let end = DUMP.find("-- Dump completed").unwrap();
        for length in 0..=end {
            let error = count(&[&DUMP.as_bytes()[..length]]).unwrap_err().to_string();
            assert!(error.contains("breaks off"), "{error}");
        }
        let inside = format!("{}INSERT INTO `goods` VALUES ('\n-- Dump completed\n", &DUMP[..end]);
        assert!(matches!(count(&[inside.as_bytes()]).unwrap(), RowCounts::Unknown(_)));
    }

    #[test]
    fn a_long_row_and_a_long_list_of_columns_are_counted() {
        let columns: Vec<String> = (0..5000).map(|number| format!("`column{number}`")).collect();
        let text = "x".repeat(5_000_000);
        let dump = format!("CREATE TABLE `t` (\nINSERT INTO `t` ({}) VALUES\n('{text}'),\n('');\n-- Dump completed\n", columns.join(", "));
        for piece in [1000, 1 << 20] {
            let counts = count(&dump.as_bytes().chunks(piece).collect::<Vec<_>>()).unwrap();
            assert_eq!(counts, RowCounts::Tables(vec![TableRows { schema: None, table: "t".into(), rows: 2 }]));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_give_counts_or_an_error(text in "([a-zA-Z`'(),;\\\\\n ]|INSERT INTO `|CREATE TABLE `| VALUES |DELIMITER ){0,60}", piece in 1_usize..50) {
            let dump = format!("{text}\n-- Dump completed\n");
            let whole = count(&[dump.as_bytes()]).unwrap();
            prop_assert_eq!(count(&dump.as_bytes().chunks(piece).collect::<Vec<_>>()).unwrap(), whole);
        }

        #[test]
        fn strings_of_any_content_do_not_disturb(rows in prop::collection::vec(".{0,40}", 1..20)) {
            let escaped = |row: &String| format!("('{}')", row.replace('\\', "\\\\").replace('\'', "\\'").replace('\n', "\\n"));
            let values: Vec<String> = rows.iter().map(escaped).collect();
            let dump = format!("CREATE TABLE `t` (\nINSERT INTO `t` VALUES {};\n-- Dump completed\n", values.join(","));
            let expected = TableRows { schema: None, table: "t".into(), rows: rows.len() as u64 };
            prop_assert_eq!(count(&[dump.as_bytes()]).unwrap(), RowCounts::Tables(vec![expected]));
        }
    }
}
