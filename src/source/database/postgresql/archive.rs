//! PostgreSQL's archive formats, read as far as counting rows needs it. Source: `pg_backup_archiver.c`, `pg_backup_custom.c` and
//! `pg_backup_directory.c` of PostgreSQL 10 to 17; the format has no other description.
//!
//! ```text
//!   custom:    header | table of contents | data blocks: (type, dump id, pieces..., 0)...
//!   directory: toc.dat = header | table of contents, where each entry names the file of its data
//! ```
//!
//! The reader is total: what it does not understand makes the counts unknown, never an error. Memory is bounded by one entry of the table
//! of contents and by what is kept of each table. In an archive that is understood, a missing end is an error.

mod entry;

use std::collections::HashMap;
use std::io;

use entry::{Cursor, Entry, Step, Widths};
use memchr::memchr_iter;

use crate::source::database::rows::{RowCounts, TableRows};
use crate::source::database::tap::Tally;

/// Versions of the format that are known, as `1.N`.
const VERSIONS: std::ops::RangeInclusive<u8> = 12..=16;
/// Since this one the header names the method of compression.
const NAMES_COMPRESSION: u8 = 15;
/// One entry of the table of contents takes at most so many bytes, and there are at most so many.
const LARGEST_ENTRY: usize = 64 << 20;
const MOST_ENTRIES: usize = 4 << 20;
/// So many bytes at a time are added to what is not yet complete.
const GROWTH: usize = 64 << 10;
/// What follows the rows of a table.
const TERMINATOR: &[u8; 5] = b"\\.\n\n\n";
/// Kinds of data blocks.
const BLOCK_DATA: u8 = 1;
const BLOCK_BLOBS: u8 = 3;
/// Kinds of archives in the header; a directory says that it is a tar file.
const CUSTOM: u8 = 1;
const TAR: u8 = 3;

/// Counts the rows of an archive in custom format.
pub struct Archive {
    reader: Reader,
    /// The start of what is not complete.
    pending: Vec<u8>,
}

impl Default for Archive {
    fn default() -> Self {
        Self { reader: Reader::new(CUSTOM), pending: Vec::new() }
    }
}

impl Tally for Archive {
    fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.reader.is_lost() {
            if self.pending.is_empty() {
                match self.reader.step(bytes) {
                    Step::Done(used) => bytes = bytes.get(used..).unwrap_or_default(),
                    Step::More => {
                        self.pending.extend_from_slice(bytes);
                        return;
                    }
                    Step::Lost(why) => self.reader.lose(why),
                }
                continue;
            }
            let before = self.pending.len();
            let more = bytes.get(..GROWTH).unwrap_or(bytes);
            self.pending.extend_from_slice(more);
            match self.reader.step(&self.pending) {
                // What was there before was not enough, so all of it is used up.
                Step::Done(used) => {
                    bytes = bytes.get(used.saturating_sub(before)..).unwrap_or_default();
                    self.pending.clear();
                }
                Step::More if self.pending.len() > LARGEST_ENTRY => self.reader.lose("one of its entries is very large"),
                Step::More => bytes = bytes.get(more.len()..).unwrap_or_default(),
                Step::Lost(why) => self.reader.lose(why),
            }
        }
    }

    fn end(self: Box<Self>) -> io::Result<RowCounts> {
        if let State::Lost(why) = &self.reader.state {
            return Ok(RowCounts::Unknown(why.clone()));
        }
        if !matches!(self.reader.state, State::Block) || !self.pending.is_empty() {
            return Err(io::Error::other("the dump breaks off"));
        }
        if let Some(missing) = self.reader.data.values().find(|data| !data.complete) {
            return Err(io::Error::other(format!("the dump breaks off before the data of {}", missing.name())));
        }
        Ok(self.reader.counts())
    }
}

/// The tables of an archive's directory, by the name of the file with their rows.
///
/// # Errors
/// Why the table of contents was not understood.
pub fn tables_of_directory(toc: &[u8]) -> Result<HashMap<String, TableRows>, String> {
    let mut reader = Reader::new(TAR);
    let mut rest = toc;
    while !matches!(reader.state, State::Block) {
        match reader.step(rest) {
            Step::Done(used) => rest = rest.get(used..).unwrap_or_default(),
            Step::More => return Err("its table of contents breaks off".into()),
            Step::Lost(why) => return Err(why.into()),
        }
        if let State::Lost(why) = reader.state {
            return Err(why);
        }
    }
    Ok(reader.data.into_values().filter_map(|data| Some((data.file?, data.table?))).collect())
}

/// Counts the rows of one file of a directory: all of it is the data of one table.
pub struct TableFile {
    table: TableRows,
    lines: Lines,
}

impl TableFile {
    /// Of this table.
    pub fn new(table: TableRows) -> Self {
        Self { table, lines: Lines::default() }
    }
}

impl Tally for TableFile {
    fn take(&mut self, bytes: &[u8]) {
        self.lines.take(bytes);
    }

    fn end(self: Box<Self>) -> io::Result<RowCounts> {
        match self.lines.rows() {
            Some(rows) => Ok(RowCounts::Tables(vec![TableRows { rows, ..self.table }])),
            None => Err(io::Error::other(format!("the data of {} breaks off", self.table.display()))),
        }
    }
}

/// Rows in the form that COPY has for them: a line each, then the terminator.
#[derive(Debug, Default)]
struct Lines {
    newlines: u64,
    /// The last bytes.
    tail: [u8; TERMINATOR.len()],
}

impl Lines {
    fn take(&mut self, bytes: &[u8]) {
        self.newlines += memchr_iter(b'\n', bytes).count() as u64;
        match bytes.last_chunk() {
            Some(tail) => self.tail = *tail,
            None => {
                self.tail.rotate_left(bytes.len());
                let kept = self.tail.len() - bytes.len();
                self.tail.iter_mut().skip(kept).zip(bytes).for_each(|(place, byte)| *place = *byte);
            }
        }
    }

    /// How many there were; `None` if the terminator is missing.
    fn rows(&self) -> Option<u64> {
        (self.tail == *TERMINATOR).then(|| self.newlines - 3)
    }
}

/// An entry that has data.
struct Data {
    /// What it is, for messages.
    description: String,
    /// The table whose rows it has, if it has rows.
    table: Option<TableRows>,
    /// The file of the data in a directory.
    file: Option<String>,
    complete: bool,
}

impl Data {
    fn name(&self) -> String {
        self.table.as_ref().map_or_else(|| self.description.clone(), |table| format!("the table {}", table.display()))
    }
}

/// Where the reader is.
enum State {
    Header,
    Contents {
        left: u64,
    },
    /// Between two data blocks.
    Block,
    /// Before a piece of data.
    Piece,
    /// In a piece.
    Inside {
        left: u64,
    },
    /// Before a large object of a block of such.
    Blob,
    Lost(String),
}

struct Reader {
    /// The kind of archive that is expected.
    kind: u8,
    version: u8,
    widths: Widths,
    state: State,
    data: HashMap<u64, Data>,
    /// The dump id of the block that is being read, and whether it consists of large objects.
    current: u64,
    blobs: bool,
    /// What was counted in it, if it has rows.
    lines: Option<Lines>,
}

impl Reader {
    fn new(kind: u8) -> Self {
        let widths = Widths { integer: 4, offset: 8 };
        Self { kind, version: 0, widths, state: State::Header, data: HashMap::new(), current: 0, blobs: false, lines: None }
    }

    fn is_lost(&self) -> bool {
        matches!(self.state, State::Lost(_))
    }

    fn lose(&mut self, why: impl Into<String>) {
        self.state = State::Lost(why.into());
    }

    /// Reads one thing from the start of `bytes`.
    fn step(&mut self, bytes: &[u8]) -> Step {
        match self.state {
            State::Header => self.header(bytes),
            State::Contents { left } => self.entry(bytes, left),
            State::Block => self.block(bytes),
            State::Piece => self.piece(bytes),
            State::Inside { left } => self.inside(bytes, left),
            State::Blob => self.blob(bytes),
            State::Lost(_) => Step::Lost("it was lost before"),
        }
    }

    fn header(&mut self, bytes: &[u8]) -> Step {
        let mut cursor = Cursor::new(bytes, self.widths);
        let Some(start) = cursor.bytes(11) else { return Step::More };
        let [b'P', b'G', b'D', b'M', b'P', 1, version, _, integer, offset, kind] = *start else {
            return Step::Lost("it is no archive that is known");
        };
        if !VERSIONS.contains(&version) {
            return Step::Lost("its version is not known");
        }
        if !matches!(integer, 4 | 8) || !matches!(offset, 1..=8) || kind != self.kind {
            return Step::Lost("it is of another kind");
        }
        (self.version, self.widths) = (version, Widths { integer: integer.into(), offset: offset.into() });
        let mut cursor = Cursor::new(bytes, self.widths);
        let mut read = || {
            cursor.bytes(11)?;
            let compression = if version >= NAMES_COMPRESSION { i64::from(cursor.byte()?) } else { cursor.integer()? };
            // The time in seven numbers, the database, the versions of the server and of pg_dump.
            (0..7).try_for_each(|_| cursor.integer().map(drop))?;
            (0..3).try_for_each(|_| cursor.text().map(drop))?;
            Some((compression, cursor.integer()?, cursor.used()))
        };
        match read() {
            None => Step::More,
            Some((0, entries, used)) => match u64::try_from(entries) {
                Ok(left) if left <= MOST_ENTRIES as u64 => self.go(if left == 0 { State::Block } else { State::Contents { left } }, used),
                _ => Step::Lost("its table of contents has no sensible length"),
            },
            Some(_) => Step::Lost("it is compressed"),
        }
    }

    fn go(&mut self, state: State, used: usize) -> Step {
        self.state = state;
        Step::Done(used)
    }

    fn entry(&mut self, bytes: &[u8], left: u64) -> Step {
        let mut cursor = Cursor::new(bytes, self.widths);
        let Some(entry) = Entry::read(&mut cursor, self.version, self.kind == TAR) else {
            return if cursor.is_lost() { Step::Lost("an entry of its table of contents is not understood") } else { Step::More };
        };
        let used = cursor.used();
        if entry.has_data {
            let is_table = entry.description == "TABLE DATA";
            if is_table && !entry.is_copied {
                return Step::Lost("its rows are not in the form of COPY");
            }
            let table = is_table.then_some(TableRows { schema: entry.namespace, table: entry.tag, rows: 0 });
            let data = Data { description: entry.description, table, file: entry.file, complete: false };
            self.data.insert(entry.id, data);
        }
        self.go(if left == 1 { State::Block } else { State::Contents { left: left - 1 } }, used)
    }

    fn block(&mut self, bytes: &[u8]) -> Step {
        let mut cursor = Cursor::new(bytes, self.widths);
        let (Some(kind), id) = (cursor.byte(), cursor.integer()) else { return Step::More };
        let Some(id) = id else { return Step::More };
        let id = u64::try_from(id).unwrap_or(u64::MAX);
        if !matches!(kind, BLOCK_DATA | BLOCK_BLOBS) || !self.data.contains_key(&id) {
            return Step::Lost("a block of its data is not understood");
        }
        (self.current, self.blobs) = (id, kind == BLOCK_BLOBS);
        self.lines = self.data.get(&id).filter(|data| data.table.is_some()).map(|_| Lines::default());
        self.go(if self.blobs { State::Blob } else { State::Piece }, cursor.used())
    }

    fn blob(&mut self, bytes: &[u8]) -> Step {
        let mut cursor = Cursor::new(bytes, self.widths);
        match cursor.integer() {
            None => Step::More,
            Some(0) => self.complete(cursor.used()),
            Some(_) => self.go(State::Piece, cursor.used()),
        }
    }

    fn piece(&mut self, bytes: &[u8]) -> Step {
        let rows = self.whole_rows(bytes);
        if rows > 0 {
            return Step::Done(rows);
        }
        let mut cursor = Cursor::new(bytes, self.widths);
        match cursor.integer().map(u64::try_from) {
            None => Step::More,
            Some(Err(_)) => Step::Lost("a piece of its data has no sensible length"),
            Some(Ok(0)) if self.blobs => self.go(State::Blob, cursor.used()),
            Some(Ok(0)) => self.complete(cursor.used()),
            Some(Ok(left)) => self.go(State::Inside { left }, cursor.used()),
        }
    }

    /// Takes pieces that are there as a whole, and returns their bytes. A piece is a row, mostly, so there are millions of them.
    fn whole_rows(&mut self, bytes: &[u8]) -> usize {
        let Some(lines) = self.lines.as_mut().filter(|_| self.widths.integer == 4) else { return 0 };
        let mut rest = bytes;
        while let Some(([0, length @ ..], after)) = rest.split_first_chunk::<5>() {
            let length = u32::from_le_bytes(*length) as usize;
            let Some((piece, next)) = after.split_at_checked(length).filter(|_| length > 0) else { break };
            lines.take(piece);
            rest = next;
        }
        bytes.len() - rest.len()
    }

    fn inside(&mut self, bytes: &[u8], left: u64) -> Step {
        let used = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        if let Some(lines) = &mut self.lines {
            lines.take(bytes.get(..used).unwrap_or_default());
        }
        let left = left - used as u64;
        self.go(if left == 0 { State::Piece } else { State::Inside { left } }, used)
    }

    /// The current block has ended.
    fn complete(&mut self, used: usize) -> Step {
        let Some(data) = self.data.get_mut(&self.current) else { return Step::Lost("a block has no entry") };
        data.complete = true;
        if let Some(table) = &mut data.table {
            let Some(rows) = self.lines.as_ref().and_then(Lines::rows) else {
                return Step::Lost("the rows of a table do not end as they do in COPY");
            };
            table.rows = rows;
        }
        self.go(State::Block, used)
    }

    fn counts(self) -> RowCounts {
        RowCounts::join([RowCounts::Tables(self.data.into_values().filter_map(|data| data.table).collect())])
    }
}

#[cfg(test)]
mod tests;
