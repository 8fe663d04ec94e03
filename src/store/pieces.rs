//! What an object under construction holds until its name is known: pieces of memory, or a local file if it is larger than packs are.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::StoreError;

/// What memory is taken and given back in, in bytes.
const PIECE: usize = 1 << 20;
/// Pieces that may be taken before whoever wants more waits for an upload to end.
const PIECES: usize = 84;
/// What an object may have in memory, in bytes. Packs are smaller, unless their repository was made with other sizes.
const IN_MEMORY: u64 = 88 << 20;
/// Where large temporary files belong: `/tmp` is often memory.
const FOLDER: &str = "/var/tmp";

/// The memory of all objects of a store that are under construction or on their way. Used again, as new memory costs time.
#[derive(Default)]
pub(super) struct Memory {
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Default)]
struct State {
    taken: usize,
    /// Uploads, which will give memory back.
    sending: usize,
    free: Vec<Vec<u8>>,
}

impl Memory {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An empty piece. Waits if there are too many and an upload may free some.
    fn take(&self) -> Vec<u8> {
        let wait = |state: &mut State| state.taken >= PIECES && state.sending > 0;
        let mut state = self.freed.wait_while(self.state(), wait).unwrap_or_else(PoisonError::into_inner);
        state.taken += 1;
        state.free.pop().unwrap_or_else(|| Vec::with_capacity(PIECE))
    }

    fn give(&self, mut piece: Vec<u8>) {
        let mut state = self.state();
        state.taken -= 1;
        if state.free.len() < PIECES {
            piece.clear();
            state.free.push(piece);
        }
        self.freed.notify_all();
    }

    /// Says that an upload runs until this is dropped.
    pub(super) fn sending(&self) -> Sending<'_> {
        self.state().sending += 1;
        Sending(self)
    }
}

/// An upload that runs.
pub(super) struct Sending<'a>(&'a Memory);

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        self.0.state().sending -= 1;
        self.0.freed.notify_all();
    }
}

/// A piece that goes back where it came from.
pub(super) struct Piece {
    bytes: Vec<u8>,
    memory: Arc<Memory>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.memory.give(std::mem::take(&mut self.bytes));
    }
}

/// The bytes of what will be an object. Whoever finds the file finds sealed bytes, and no name leads to it.
pub(super) struct Collected {
    memory: Arc<Memory>,
    pieces: Vec<Piece>,
    file: Option<File>,
    size: u64,
}

/// All bytes of an object.
pub(super) enum Whole {
    /// In memory.
    Pieces(Vec<Bytes>),
    /// In a file, and how many.
    File(File, u64),
}

impl Collected {
    /// None yet.
    pub(super) fn new(memory: &Arc<Memory>) -> Self {
        Self { memory: Arc::clone(memory), pieces: Vec::new(), file: None, size: 0 }
    }

    /// Adds some.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(super) fn add(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.size += bytes.len() as u64;
        if self.size <= IN_MEMORY {
            self.keep(bytes);
            return Ok(());
        }
        self.file().and_then(|file| file.write_all(bytes)).map_err(|error| StoreError::io("write a temporary file in", FOLDER, error))
    }

    /// There are no more.
    pub(super) fn whole(self) -> Whole {
        match self.file {
            Some(file) => Whole::File(file, self.size),
            None => Whole::Pieces(self.pieces.into_iter().map(Bytes::from_owner).collect()),
        }
    }

    fn keep(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let piece = match self.pieces.last_mut() {
                Some(piece) if piece.bytes.len() < PIECE => piece,
                _ => {
                    self.pieces.push(Piece { bytes: self.memory.take(), memory: Arc::clone(&self.memory) });
                    continue;
                }
            };
            let (now, later) = bytes.split_at(bytes.len().min(PIECE - piece.bytes.len()));
            piece.bytes.extend_from_slice(now);
            bytes = later;
        }
    }

    /// The file, with what was in memory so far.
    fn file(&mut self) -> io::Result<&mut File> {
        if self.file.is_none() {
            let mut file = if Path::new(FOLDER).is_dir() { tempfile::tempfile_in(FOLDER)? } else { tempfile::tempfile()? };
            for piece in self.pieces.drain(..) {
                file.write_all(&piece.bytes)?;
            }
            self.file = Some(file);
        }
        self.file.as_mut().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

/// Reads the next part of a file, of at most so many bytes.
pub(super) fn next_part(file: &mut &File, most: usize) -> io::Result<Bytes> {
    let mut part = Vec::with_capacity(most);
    file.take(most as u64).read_to_end(&mut part)?;
    Ok(part.into())
}

/// Goes back to the start of a file.
pub(super) fn rewind(mut file: &File) -> io::Result<()> {
    file.rewind()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again_and_an_upload_makes_others_wait() {
        let memory = Arc::new(Memory::default());
        let many: Vec<_> = (0..PIECES + 1).map(|_| Piece { bytes: memory.take(), memory: Arc::clone(&memory) }).collect();
        assert_eq!(memory.state().taken, PIECES + 1, "without an upload nobody would ever free any");
        drop(many);
        assert_eq!(memory.state().taken, 0);
        assert_eq!(memory.state().free.len(), PIECES, "more is not kept");
        let sent: Vec<_> = (0..PIECES).map(|_| Piece { bytes: memory.take(), memory: Arc::clone(&memory) }).collect();
        let sending = memory.sending();
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| memory.take());
            drop(sent);
            memory.give(waits.join().unwrap());
        });
        drop(sending);
        assert_eq!(memory.state().taken, 0);
    }
}
