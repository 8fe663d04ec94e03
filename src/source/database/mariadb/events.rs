//! Keeping a dump's events back until its rows have been compared: a server begins to run them as soon as they are there, also
//! in a database that is only restored as a trial.

use std::io::{self, Write};

use memchr::memchr;

/// Lines that begin so begin and end the events of a dump.
const BEGIN: &[u8] = b"-- Dumping events for database";
const END: &[u8] = b"-- Dumping routines for database";
/// Events take at most so many bytes.
const MOST: usize = 64 << 20;

/// Passes a dump on but for its events, which it keeps.
pub struct WithoutEvents<'a> {
    to: &'a mut dyn Write,
    events: Vec<u8>,
    /// The start of the line, as long as it is not known what it is.
    start: Vec<u8>,
    /// Whether the line's start has been passed on already.
    known: bool,
    inside: bool,
    seen: bool,
}

impl<'a> WithoutEvents<'a> {
    /// To this writer.
    pub fn new(to: &'a mut dyn Write) -> Self {
        Self { to, events: Vec::new(), start: Vec::new(), known: false, inside: false, seen: false }
    }

    /// The dump has ended; the statements that make its events.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn finish(mut self) -> io::Result<Vec<u8>> {
        let start = std::mem::take(&mut self.start);
        self.pass(&start)?;
        Ok(self.events)
    }

    fn pass(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !self.inside {
            return self.to.write_all(bytes);
        }
        if self.events.len() + bytes.len() > MOST {
            return Err(io::Error::other(format!("the dump's events take more than {MOST} bytes")));
        }
        self.events.extend_from_slice(bytes);
        Ok(())
    }

    /// Takes a piece of a line.
    fn piece(&mut self, piece: &[u8]) -> io::Result<()> {
        if self.known {
            self.pass(piece)?;
        } else {
            self.start.extend_from_slice(piece);
            let wanted = if self.inside { END } else { BEGIN };
            let open = !self.seen || self.inside;
            if open && !self.start.ends_with(b"\n") && wanted.starts_with(&self.start) {
                return Ok(());
            }
            if open && self.start.starts_with(wanted) {
                self.inside = !self.inside;
                self.seen = true;
            }
            let start = std::mem::take(&mut self.start);
            self.known = true;
            self.pass(&start)?;
        }
        self.known = !piece.ends_with(b"\n");
        Ok(())
    }
}

impl Write for WithoutEvents<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(memchr(b'\n', rest).map_or(rest.len(), |place| place + 1));
            self.piece(piece)?;
            rest = after;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "INSERT INTO `t` VALUES (1);\n\n--\n";
    const EVENTS: &str = "-- Dumping events for database 'shop'\n--\nCREATE EVENT e;\nDELIMITER ;\n--\n";
    const AFTER: &str =
        "-- Dumping routines for database 'shop'\n--\nCREATE PROCEDURE p;\n-- Dumping events for database\n-- Dump completed";

    #[test]
    fn events_are_kept_back_however_the_dump_is_cut() {
        let dump = [BEFORE, EVENTS, AFTER].concat();
        for piece in 1..dump.len() {
            let mut passed = Vec::new();
            let mut filter = WithoutEvents::new(&mut passed);
            dump.as_bytes().chunks(piece).for_each(|piece| filter.write_all(piece).unwrap());
            let events = filter.finish().unwrap();
            assert_eq!(String::from_utf8(events).unwrap(), EVENTS, "in pieces of {piece}");
            assert_eq!(String::from_utf8(passed).unwrap(), [BEFORE, AFTER].concat(), "in pieces of {piece}");
        }
    }
}
