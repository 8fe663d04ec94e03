//! Cutting: bytes that are read once become the chunks of every destination that needs them, each by its own secret.

use std::io;

use smallvec::SmallVec;

use super::part::{Content, Part, Piece, Sink};
use crate::content::buffers::Buffers;
use crate::content::chunker::Chunker;
use crate::content::secret::ChunkKeys;
use crate::model::pace::Pace;
use crate::sealed::pack::Class;

/// Bytes that are read at once from a large file.
const STRETCH: usize = 1 << 20;
/// Chunks and holes of a file that are handed on at the latest.
const PIECES: usize = 4096;

/// Ranks of destinations; nearly always there is one.
pub type Ranks = SmallVec<[usize; 1]>;

/// How a destination cuts content and names chunks.
#[derive(Clone)]
pub struct Cutter {
    /// Cuts content.
    pub chunker: Chunker,
    /// Names chunks.
    pub keys: ChunkKeys,
}

/// The content of the file at hand, as one destination cuts it.
struct Cut<'a> {
    destination: usize,
    cutter: &'a Cutter,
    content: Content,
    /// Where the bytes begin that are not yet part of a chunk.
    pending: usize,
}

impl Cut<'_> {
    /// The longest chunk, in bytes.
    fn max(&self) -> usize {
        self.cutter.chunker.max()
    }

    /// Room for `want` bytes after those that are there.
    fn room(&mut self, want: usize, buffers: &Buffers) -> &mut [u8] {
        let max = self.max();
        let Content { buffer, filled, .. } = &mut self.content;
        if buffer.is_empty() {
            *buffer = buffers.take_filled(if want < STRETCH { want } else { STRETCH + max });
        }
        let end = *filled + want;
        if buffer.len() < end {
            buffer.resize(end, 0);
        }
        buffer.get_mut(*filled..end).unwrap_or_default()
    }

    /// Cuts what can be cut before more is read, or all of it.
    fn cut(&mut self, ended: bool) {
        let (max, cutter) = (self.max(), self.cutter);
        let content = &mut self.content;
        while let Some(bytes) =
            content.buffer.get(self.pending..content.filled).filter(|bytes| !bytes.is_empty() && (ended || bytes.len() >= max))
        {
            let length = cutter.chunker.cut(bytes);
            let id = cutter.keys.id(Class::Data, bytes.get(..length).unwrap_or_default());
            content.pieces.push(Piece::Chunk { id, start: self.pending, length });
            self.pending += length;
        }
    }

    /// Takes the finished chunks out; what is left begins a new buffer.
    fn hand_on(&mut self, buffers: &Buffers) -> Content {
        let carried = self.content.buffer.get(self.pending..self.content.filled).unwrap_or_default();
        let mut next = Content { buffer: buffers.take_filled(STRETCH + self.max()), filled: carried.len(), pieces: Vec::new() };
        if let Some(place) = next.buffer.get_mut(..carried.len()) {
            place.copy_from_slice(carried);
        }
        self.content.filled = self.pending;
        self.pending = 0;
        std::mem::replace(&mut self.content, next)
    }
}

/// The content of the file at hand, for every destination that needs it.
pub struct Cuts<'a> {
    buffers: &'a Buffers,
    pace: Option<&'a Pace>,
    cuts: SmallVec<[Cut<'a>; 1]>,
}

impl<'a> Cuts<'a> {
    /// No content yet.
    pub fn new(cutters: &'a [Cutter], buffers: &'a Buffers, pace: Option<&'a Pace>, destinations: &Ranks) -> Self {
        let begin = |destination: &usize| {
            let cutter = cutters.get(*destination)?;
            Some(Cut { destination: *destination, cutter, content: Content::default(), pending: 0 })
        };
        Self { buffers, pace, cuts: destinations.iter().filter_map(begin).collect() }
    }

    /// Whether nobody needs the content any more.
    pub fn unwanted(&self) -> bool {
        self.cuts.is_empty()
    }

    /// Adds zeros that take no space.
    pub fn hole(&mut self, length: u64) {
        self.cuts.iter_mut().for_each(|cut| cut.content.pieces.push(Piece::Hole(length)));
    }

    /// Adds up to `expected` bytes of a stream; gives what is complete to `sink` whenever a stretch is full, and returns how many bytes
    /// there were.
    ///
    /// # Errors
    /// Those of the stream.
    pub fn stream(&mut self, input: &mut dyn io::Read, expected: u64, sink: &mut dyn Sink) -> io::Result<u64> {
        let mut total = 0;
        loop {
            let rest = usize::try_from(expected.saturating_sub(total)).unwrap_or(usize::MAX);
            let want = rest.min(STRETCH);
            let read = self.fill(input, want)?;
            if let Some(pace) = self.pace {
                pace.wait(read as u64, &|| self.cuts.iter().any(|cut| sink.wants(cut.destination)));
            }
            total += read as u64;
            let ended = read < want || total >= expected;
            for cut in &mut self.cuts {
                cut.cut(ended);
                // Many short runs between holes add up as well.
                if !ended {
                    sink.give(cut.destination, Part::Content(cut.hand_on(self.buffers)));
                } else if cut.content.filled >= STRETCH || cut.content.pieces.len() >= PIECES {
                    cut.pending = 0;
                    sink.give(cut.destination, Part::Content(std::mem::take(&mut cut.content)));
                }
            }
            self.cuts.retain(|cut| sink.wants(cut.destination));
            if ended || self.cuts.is_empty() {
                return Ok(total);
            }
        }
    }

    /// Reads into the first destination's buffer; the others get copies.
    fn fill(&mut self, input: &mut dyn io::Read, want: usize) -> io::Result<usize> {
        let Some((first, others)) = self.cuts.split_first_mut() else { return Ok(0) };
        let start = first.content.filled;
        let read = fill(input, first.room(want, self.buffers))?;
        first.content.filled += read;
        let fresh = first.content.buffer.get(start..start + read).unwrap_or_default();
        for other in others {
            if let Some(place) = other.room(want, self.buffers).get_mut(..read) {
                place.copy_from_slice(fresh);
            }
            other.content.filled += read;
        }
        Ok(read)
    }

    /// The last of the content, for each destination that still wants it.
    pub fn finish(self) -> impl Iterator<Item = (usize, Content)> {
        self.cuts.into_iter().map(|cut| (cut.destination, cut.content))
    }

    /// Tells everyone that the content so far does not count.
    pub fn restart(self, sink: &mut dyn Sink) {
        self.cuts.iter().for_each(|cut| sink.give(cut.destination, Part::Restart));
    }
}

/// Reads until `place` is full; fewer bytes only at the end of the stream.
fn fill(input: &mut dyn io::Read, place: &mut [u8]) -> io::Result<usize> {
    let mut read = 0;
    while read < place.len() {
        match input.read(place.get_mut(read..).unwrap_or_default()) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}
