//! Counting the rows of a dump while it streams by.
//!
//! ```text
//!   dump --> Counted: each piece is shown to a Tally --> snapshot
//!                          | at the end
//!                          v
//!                        Ledger --> CountsFile, which waits for it --> snapshot, as the file after the dump
//! ```
//!
//! Both lie in one directory, and files are read in the order of their names, so the counts must sort after the dump. They may
//! be read by another thread, before the dump ends: then they wait.

use std::io::{self, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::rows::RowCounts;
use crate::source::stream::StreamSource;

/// Understands a dump as far as it must to count rows.
pub trait Tally: Send {
    /// The next bytes of the dump.
    fn take(&mut self, bytes: &[u8]);

    /// The dump has ended.
    ///
    /// # Errors
    /// If it was understood, and its end is not there.
    fn end(self: Box<Self>) -> io::Result<RowCounts>;
}

/// What is known of the parts of one dump.
#[derive(Debug)]
pub struct Ledger {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    parts: Vec<Part>,
    /// Whether those who read were asked to end, since the last part began.
    stopped: bool,
    /// Why the rows of the last dump are not known.
    unknown: Option<String>,
}

#[derive(Debug, Clone)]
enum Part {
    /// It has not ended.
    Open,
    Ended(RowCounts),
    Failed,
}

impl Ledger {
    /// Of a dump with so many parts.
    pub fn new(parts: usize) -> Arc<Self> {
        let state = State { parts: vec![Part::Open; parts], stopped: false, unknown: None };
        Arc::new(Self { state: Mutex::new(state), changed: Condvar::new() })
    }

    /// Why the rows of the last dump are not known, if they are not.
    pub fn unknown(&self) -> Option<String> {
        self.lock().unknown.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, part: usize, value: Part) {
        let mut state = self.lock();
        if matches!(value, Part::Open) {
            state.stopped = false;
        }
        if let Some(place) = state.parts.get_mut(part) {
            *place = value;
        }
        self.changed.notify_all();
    }

    /// Waits until all parts have ended, and takes what they gave: the next scan begins anew.
    fn collect(&self) -> io::Result<RowCounts> {
        let mut state = self.lock();
        while !state.stopped && state.parts.iter().any(|part| matches!(part, Part::Open)) {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.stopped {
            return Err(io::Error::other("the run was stopped"));
        }
        let ended: Vec<Part> = state.parts.iter_mut().map(|part| std::mem::replace(part, Part::Open)).collect();
        let counts: Option<Vec<RowCounts>> =
            ended.into_iter().map(|part| if let Part::Ended(counts) = part { Some(counts) } else { None }).collect();
        let counts = RowCounts::join(counts.ok_or_else(|| io::Error::other("the dump failed whose rows it counts"))?);
        state.unknown = if let RowCounts::Unknown(why) = &counts { Some(why.clone()) } else { None };
        Ok(counts)
    }

    fn stop(&self) {
        let mut state = self.lock();
        state.stopped = true;
        state.parts.fill(Part::Open);
        self.changed.notify_all();
    }
}

/// A dump, or a part of one, whose rows are counted.
pub struct Counted {
    source: Arc<dyn StreamSource>,
    ledger: Arc<Ledger>,
    part: usize,
    tally: Box<dyn Fn() -> Box<dyn Tally> + Send + Sync>,
}

impl Counted {
    /// `source` as part number `part` of the dump that `ledger` is about, with a new tally each time that it is read.
    pub fn new(
        source: Arc<dyn StreamSource>,
        ledger: Arc<Ledger>,
        part: usize,
        tally: impl Fn() -> Box<dyn Tally> + Send + Sync + 'static,
    ) -> Self {
        Self { source, ledger, part, tally: Box::new(tally) }
    }
}

impl StreamSource for Counted {
    fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        self.ledger.set(self.part, Part::Open);
        let place = Place { ledger: Arc::clone(&self.ledger), part: self.part, ended: false };
        let stream = self.source.open()?;
        Ok(Box::new(Tapped { stream, tally: Some((self.tally)()), place }))
    }

    fn stop(&self) {
        self.source.stop();
        self.ledger.stop();
    }

    fn opens_again(&self) -> bool {
        self.source.opens_again()
    }
}

/// A part's place in the ledger; a part that is given up has failed.
struct Place {
    ledger: Arc<Ledger>,
    part: usize,
    ended: bool,
}

impl Place {
    fn end(&mut self, value: Part) {
        if !self.ended {
            self.ended = true;
            self.ledger.set(self.part, value);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.end(Part::Failed);
    }
}

struct Tapped {
    stream: Box<dyn Read + Send>,
    tally: Option<Box<dyn Tally>>,
    place: Place,
}

impl Read for Tapped {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.stream.read(buffer)?;
        if read > 0 {
            if let Some(tally) = &mut self.tally {
                tally.take(buffer.get(..read).unwrap_or_default());
            }
        } else if !buffer.is_empty()
            && let Some(tally) = self.tally.take()
        {
            self.place.end(Part::Ended(tally.end()?));
        }
        Ok(read)
    }
}

/// The row counts of a dump as a file.
pub struct CountsFile(Arc<Ledger>);

impl CountsFile {
    /// Of the dump that `ledger` is about.
    pub fn new(ledger: Arc<Ledger>) -> Self {
        Self(ledger)
    }
}

impl StreamSource for CountsFile {
    fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(io::Cursor::new(self.0.collect()?.to_json().into_bytes())))
    }

    fn stop(&self) {
        self.0.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::database::rows::TableRows;
    use crate::source::stream::Text;

    /// Counts lines; a dump must end with a full stop.
    #[derive(Default)]
    struct Lines(u64, Option<u8>);

    impl Tally for Lines {
        fn take(&mut self, bytes: &[u8]) {
            self.0 += bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
            self.1 = bytes.last().copied();
        }

        fn end(self: Box<Self>) -> io::Result<RowCounts> {
            match self.1 {
                Some(b'.') => Ok(RowCounts::Tables(vec![TableRows { schema: None, table: "t".into(), rows: self.0 }])),
                _ => Err(io::Error::other("it breaks off")),
            }
        }
    }

    fn dump(text: &str) -> (Counted, CountsFile) {
        let ledger = Ledger::new(1);
        let dump = Counted::new(Arc::new(Text(text.into())), Arc::clone(&ledger), 0, || Box::<Lines>::default());
        (dump, CountsFile::new(ledger))
    }

    fn read(source: &dyn StreamSource) -> io::Result<String> {
        let mut text = String::new();
        source.open()?.read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn the_counts_follow_the_dump_and_so_each_time() {
        let (dump, counts) = dump("a\nb\n.");
        for _ in 0..2 {
            assert_eq!(read(&dump).unwrap(), "a\nb\n.");
            assert!(read(&counts).unwrap().contains("\"rows\": 2"));
        }
    }

    #[test]
    fn counts_that_are_read_first_wait_for_the_dump() {
        let (dump, counts) = dump("a\n.");
        let waiting = std::thread::spawn(move || read(&counts));
        read(&dump).unwrap();
        assert!(waiting.join().unwrap().unwrap().contains("\"rows\": 1"));
    }

    #[test]
    fn a_dump_that_breaks_off_is_an_error_and_has_no_counts() {
        let (dump, counts) = dump("a\nb");
        assert!(read(&dump).unwrap_err().to_string().contains("breaks off"));
        assert!(read(&counts).unwrap_err().to_string().contains("failed"));
    }

    #[test]
    fn a_dump_that_is_given_up_has_no_counts() {
        let (dump, counts) = dump("a\nb\n.");
        dump.open().unwrap().read_exact(&mut [0; 2]).unwrap();
        assert!(read(&counts).is_err());
    }

    #[test]
    fn nobody_waits_for_counts_when_the_run_is_stopped_and_the_next_scan_begins_anew() {
        let (dump, counts) = dump("a\n.");
        read(&dump).unwrap();
        counts.stop();
        assert!(read(&counts).is_err(), "those of the scan that was stopped are not taken");
        read(&dump).unwrap();
        assert!(read(&counts).unwrap().contains("\"rows\": 1"));
    }
}
