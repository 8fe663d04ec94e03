//! The catalogue: what the previous run of a group saw, in path order, so that unchanged files are not read again and
//! their tree entries need not be made again.
//!
//! A cache on the host (mode 0600): deleting it only costs reading everything once. A hash over the whole file guards
//! against cuts and flips, as a wrong catalogue would make a wrong snapshot.
//!
//! ```text
//!   "hbcatl01" or "hbcatl02" | repository id | full read: i64 seconds | record* | blake3 of all before
//!   record = 1 name            enter a directory
//!          | 2                 leave it
//!          | 3 name status u32 length, entry JSON, u32 count, { chunk prefix (20), u32 length }*
//!   name = u16 length, bytes   status = u64 size, i64 u32 mtime, i64 u32 ctime, u64 inode
//! ```

use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, Write};
use std::path::Path;

use crate::content::dedup::Prefix;
use crate::content::hashed_file::HashedFile;
use crate::model::entry::Timestamp;
use crate::model::id::RepositoryId;
use crate::source::database::sqlite::Version;
use crate::source::metadata::Stat;

/// The first seven bytes say what it is, the last whether SQLite databases were looked for: where they were not, a file's status does not tell
/// whether it is as it was.
const MAGIC: &[u8; 7] = b"hbcatl0";
const PLAIN: u8 = b'1';
const DISCOVERED: u8 = b'2';
const HEADER: u64 = 8 + 32 + 8;
/// Marks the fingerprint of a database.
const DATABASE: u64 = 1 << 63;
const ENTER: u8 = 1;
const LEAVE: u8 = 2;
const ENTRY: u8 = 3;

/// What decides whether a file is unchanged. Never the device number: it changes with every boot on some systems.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint {
    /// Length in bytes.
    pub size: u64,
    /// Time of last modification.
    pub mtime: Timestamp,
    /// Time of last change of the inode.
    pub ctime: Timestamp,
    /// Inode number.
    pub inode: u64,
}

impl Fingerprint {
    /// The fingerprint of a status.
    pub fn of(stat: &Stat) -> Self {
        Self { size: stat.size, mtime: stat.mtime, ctime: stat.ctime, inode: stat.inode }
    }

    /// The fingerprint of a database, which also tells of the files beside it. No other file has the highest bit of an inode.
    pub fn of_database(stat: &Stat, version: Version) -> Self {
        Self { inode: version.number | DATABASE, ..Self::of(stat) }
    }

    /// Whether it is of a database.
    pub fn is_database(&self) -> bool {
        self.inode & DATABASE != 0
    }
}

/// A file, link or node as it was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// When it was last read.
    pub fingerprint: Fingerprint,
    /// Its tree entry.
    pub entry: Vec<u8>,
    /// The chunks of its content and of its list nodes are found by these.
    pub chunks: Vec<(Prefix, u32)>,
}

/// Writes a catalogue; nothing is visible before [`Writer::finish`].
pub struct Writer {
    out: HashedFile,
}

fn put_name(out: &mut impl Write, name: &[u8]) -> io::Result<()> {
    let length = u16::try_from(name.len()).map_err(io::Error::other)?;
    out.write_all(&length.to_le_bytes())?;
    out.write_all(name)
}

fn put_length(out: &mut impl Write, length: usize) -> io::Result<()> {
    out.write_all(&u32::try_from(length).map_err(io::Error::other)?.to_le_bytes())
}

fn put_time(out: &mut impl Write, time: Timestamp) -> io::Result<()> {
    out.write_all(&time.seconds.to_le_bytes())?;
    out.write_all(&time.nanoseconds.to_le_bytes())
}

impl Writer {
    /// Starts a catalogue that will stand at `path`; `full_read` is when everything was last read, in Unix seconds, and `discovered` whether
    /// databases are looked for.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn create(path: &Path, repository: &RepositoryId, full_read: i64, discovered: bool) -> io::Result<Self> {
        let mut out = HashedFile::create(path)?;
        out.write_all(MAGIC)?;
        out.write_all(&[if discovered { DISCOVERED } else { PLAIN }])?;
        out.write_all(repository.as_bytes())?;
        out.write_all(&full_read.to_le_bytes())?;
        Ok(Self { out })
    }

    /// A directory begins.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn enter(&mut self, name: &[u8]) -> io::Result<()> {
        self.out.write_all(&[ENTER])?;
        put_name(&mut self.out, name)
    }

    /// A directory ends.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn leave(&mut self) -> io::Result<()> {
        self.out.write_all(&[LEAVE])
    }

    /// Anything else.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn entry(&mut self, name: &[u8], known: &Known) -> io::Result<()> {
        let out = &mut self.out;
        out.write_all(&[ENTRY])?;
        put_name(out, name)?;
        out.write_all(&known.fingerprint.size.to_le_bytes())?;
        put_time(out, known.fingerprint.mtime)?;
        put_time(out, known.fingerprint.ctime)?;
        out.write_all(&known.fingerprint.inode.to_le_bytes())?;
        put_length(out, known.entry.len())?;
        out.write_all(&known.entry)?;
        put_length(out, known.chunks.len())?;
        for (prefix, length) in &known.chunks {
            out.write_all(&prefix.0)?;
            out.write_all(&length.to_le_bytes())?;
        }
        Ok(())
    }

    /// Ends the catalogue and puts it in the place of the old one.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn finish(self) -> io::Result<()> {
        self.out.finish()
    }
}

/// Reads a catalogue beside the walk.
pub struct Reader {
    input: io::Take<BufReader<File>>,
    /// When everything was last read, in Unix seconds.
    pub full_read: i64,
    peeked: Option<Record>,
    /// Chunks as the file has them, used again for each entry.
    packed: Vec<u8>,
    /// Depth of the directory that the reader is in.
    depth: usize,
    /// How many of the walk's open directories, from the top, the catalogue knows.
    matched: usize,
    walk_depth: usize,
}

/// Bytes of an entry's record between its name and its JSON.
const FIXED: usize = 8 + 12 + 12 + 8 + 4;
/// Bytes of a chunk in it.
const CHUNK: usize = 20 + 4;

enum Record {
    Enter(Vec<u8>),
    Leave,
    Entry(Vec<u8>, Box<Known>),
    End,
}

fn hash_matches(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    let Some(length) = file.metadata()?.len().checked_sub(32).filter(|length| *length >= HEADER) else { return Ok(false) };
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader((&mut file).take(length))?;
    let mut hash = [0; 32];
    file.read_exact(&mut hash)?;
    Ok(hasher.finalize().as_bytes() == &hash)
}

impl Reader {
    /// Opens the catalogue at `path`; `None` if there is none, or it is damaged or another repository's, or databases are `discovered` now
    /// and were not then.
    pub fn open(path: &Path, repository: &RepositoryId, discovered: bool) -> Option<Self> {
        if !hash_matches(path).ok()? {
            return None;
        }
        let mut file = File::open(path).ok()?;
        let length = file.metadata().ok()?.len();
        file.rewind().ok()?;
        let mut input = BufReader::with_capacity(1 << 17, file).take(length - 32);
        let mut header = [0; HEADER as usize];
        input.read_exact(&mut header).ok()?;
        let (magic, rest) = header.split_at(8);
        let (id, time) = rest.split_at(32);
        let fits = |kind: &u8| *kind == DISCOVERED || *kind == PLAIN && !discovered;
        if !magic.strip_prefix(MAGIC).is_some_and(|kind| kind.first().is_some_and(fits)) || id != repository.as_bytes() {
            return None;
        }
        let full_read = i64::from_le_bytes(time.try_into().ok()?);
        Some(Self { input, full_read, peeked: None, packed: Vec::new(), depth: 0, matched: 0, walk_depth: 0 })
    }

    fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.input.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn bytes(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.input.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn name(&mut self) -> io::Result<Vec<u8>> {
        let length = u16::from_le_bytes(self.array()?);
        self.bytes(usize::from(length))
    }

    fn record(&mut self) -> io::Result<Record> {
        if self.input.limit() == 0 {
            return Ok(Record::End);
        }
        match self.array::<1>()? {
            [ENTER] => Ok(Record::Enter(self.name()?)),
            [LEAVE] => Ok(Record::Leave),
            [ENTRY] => {
                let name = self.name()?;
                // One read, as there are millions of them.
                let fixed = self.array::<FIXED>()?;
                let mut fields = fixed.as_slice();
                let fingerprint = Fingerprint {
                    size: u64::from_le_bytes(field(&mut fields)?),
                    mtime: time(&mut fields)?,
                    ctime: time(&mut fields)?,
                    inode: u64::from_le_bytes(field(&mut fields)?),
                };
                let length = u32::from_le_bytes(field(&mut fields)?) as usize;
                let entry = self.bytes(length)?;
                let count = u32::from_le_bytes(self.array()?) as usize;
                self.packed.resize(count * CHUNK, 0);
                self.input.read_exact(&mut self.packed)?;
                let chunks = self.packed.chunks_exact(CHUNK).filter_map(chunk).collect();
                Ok(Record::Entry(name, Box::new(Known { fingerprint, entry, chunks })))
            }
            _ => Err(io::Error::other("unknown record")),
        }
    }

    /// The next record without taking it. The file was hashed before, so a record that does not parse means that it
    /// was changed under us; the catalogue then ends there.
    fn peek(&mut self) -> &Record {
        let record = match self.peeked.take() {
            Some(record) => record,
            None => self.record().unwrap_or(Record::End),
        };
        self.peeked.insert(record)
    }

    fn take(&mut self) -> Record {
        self.peek();
        match self.peeked.take() {
            Some(Record::End) | None => {
                self.peeked = Some(Record::End);
                Record::End
            }
            Some(record) => {
                match record {
                    Record::Enter(_) => self.depth += 1,
                    Record::Leave => self.depth = self.depth.saturating_sub(1),
                    _ => {}
                }
                record
            }
        }
    }

    /// Skips to the record of `name` in the directory at `matched`; true if there is one.
    fn seek(&mut self, name: &[u8]) -> bool {
        loop {
            let deeper = self.depth > self.matched;
            match self.peek() {
                Record::End => return false,
                Record::Leave if !deeper => return false,
                Record::Enter(found) | Record::Entry(found, _) if !deeper && found.as_slice() >= name => return found.as_slice() == name,
                _ => drop(self.take()),
            }
        }
    }

    /// The walk enters a directory.
    pub fn enter(&mut self, name: &[u8]) {
        if self.matched == self.walk_depth && self.seek(name) && matches!(self.peek(), Record::Enter(_)) {
            self.take();
            self.matched += 1;
        }
        self.walk_depth += 1;
    }

    /// The walk leaves a directory.
    pub fn leave(&mut self) {
        if self.matched == self.walk_depth {
            while self.depth >= self.matched && !matches!(self.peek(), Record::End) {
                self.take();
            }
            self.matched -= 1;
        }
        self.walk_depth -= 1;
    }

    /// What is known of an entry in the directory that the walk is in.
    pub fn find(&mut self, name: &[u8]) -> Option<Box<Known>> {
        if self.matched != self.walk_depth || !self.seek(name) || !matches!(self.peek(), Record::Entry(..)) {
            return None;
        }
        match self.take() {
            Record::Entry(_, known) => Some(known),
            _ => None,
        }
    }
}

fn field<const N: usize>(fields: &mut &[u8]) -> io::Result<[u8; N]> {
    let (field, rest) = fields.split_first_chunk().ok_or(io::ErrorKind::UnexpectedEof)?;
    *fields = rest;
    Ok(*field)
}

fn time(fields: &mut &[u8]) -> io::Result<Timestamp> {
    Ok(Timestamp { seconds: i64::from_le_bytes(field(fields)?), nanoseconds: u32::from_le_bytes(field(fields)?) })
}

fn chunk(bytes: &[u8]) -> Option<(Prefix, u32)> {
    let (prefix, length) = bytes.split_first_chunk::<20>()?;
    Some((Prefix(*prefix), u32::from_le_bytes(*length.first_chunk()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(inode: u64) -> Known {
        let fingerprint = Fingerprint { size: 1, mtime: Timestamp { seconds: -5, nanoseconds: 6 }, ctime: Timestamp::default(), inode };
        Known { fingerprint, entry: b"{}".to_vec(), chunks: vec![(Prefix([3; 20]), 4); inode as usize] }
    }

    /// a/ (b, c/ (d), e), f
    fn write(path: &Path) {
        let mut writer = Writer::create(path, &RepositoryId::from_bytes([1; 32]), 77, false).unwrap();
        writer.enter(b"a").unwrap();
        writer.entry(b"b", &known(1)).unwrap();
        writer.enter(b"c").unwrap();
        writer.entry(b"d", &known(2)).unwrap();
        writer.leave().unwrap();
        writer.entry(b"e", &known(3)).unwrap();
        writer.leave().unwrap();
        writer.entry(b"f", &known(4)).unwrap();
        writer.finish().unwrap();
    }

    fn open(path: &Path) -> Reader {
        Reader::open(path, &RepositoryId::from_bytes([1; 32]), false).unwrap()
    }

    #[test]
    fn a_walk_over_the_same_tree_finds_every_entry() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("catalogue");
        write(&path);
        let mut reader = open(&path);
        assert_eq!(reader.full_read, 77);
        reader.enter(b"a");
        assert_eq!(*reader.find(b"b").unwrap(), known(1));
        reader.enter(b"c");
        assert_eq!(*reader.find(b"d").unwrap(), known(2));
        reader.leave();
        assert_eq!(*reader.find(b"e").unwrap(), known(3));
        reader.leave();
        assert_eq!(*reader.find(b"f").unwrap(), known(4));
    }

    #[test]
    fn new_and_deleted_entries_do_not_lose_the_place() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("catalogue");
        write(&path);
        let mut reader = open(&path);
        reader.enter(b"a");
        assert!(reader.find(b"aa").is_none());
        reader.enter(b"bb");
        assert!(reader.find(b"d").is_none(), "a new directory has no known entries");
        reader.enter(b"c");
        reader.leave();
        reader.leave();
        assert_eq!(*reader.find(b"e").unwrap(), known(3), "c was deleted");
        reader.leave();
        assert!(reader.find(b"e").is_none(), "e is known in a only");
        assert_eq!(*reader.find(b"f").unwrap(), known(4));
        assert!(reader.find(b"z").is_none());
    }

    #[test]
    fn a_file_that_became_a_directory_is_new() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("catalogue");
        write(&path);
        let mut reader = open(&path);
        reader.enter(b"a");
        reader.enter(b"b");
        assert!(reader.find(b"x").is_none());
        reader.leave();
        assert!(reader.find(b"c").is_none(), "a directory that became a file is new too");
        assert_eq!(*reader.find(b"e").unwrap(), known(3));
    }

    #[test]
    fn a_damaged_or_foreign_catalogue_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("catalogue");
        write(&path);
        assert!(Reader::open(&path, &RepositoryId::from_bytes([2; 32]), false).is_none());
        let bytes = std::fs::read(&path).unwrap();
        for position in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[position] ^= 1;
            std::fs::write(&path, changed).unwrap();
            assert!(Reader::open(&path, &RepositoryId::from_bytes([1; 32]), false).is_none(), "byte {position}");
        }
    }
}
