//! Large buffers that go round a pipeline: memory that is given back to the system and taken again costs a page fault
//! for every 4 KiB, which was a third of all processor time on large files (`docs/decisions.md`).

use std::sync::{Arc, Mutex, PoisonError};

/// More than so many are let go.
const KEPT: usize = 16;
/// Smaller ones are not worth keeping, in bytes.
const WORTH: usize = 128 << 10;

/// A pool of buffers, shared by cloning.
#[derive(Clone, Default)]
pub struct Buffers(Arc<Mutex<Vec<Vec<u8>>>>);

impl Buffers {
    fn kept(&self, capacity: usize) -> Option<Vec<u8>> {
        if capacity < WORTH {
            return None;
        }
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The one given back last is the likeliest to be in the processor's cache.
        let position = kept.iter().rposition(|buffer| buffer.capacity() >= capacity)?;
        Some(kept.remove(position))
    }

    /// An empty buffer with room for at least `capacity` bytes.
    pub fn take(&self, capacity: usize) -> Vec<u8> {
        match self.kept(capacity) {
            Some(mut buffer) => {
                buffer.clear();
                buffer
            }
            None => Vec::with_capacity(capacity),
        }
    }

    /// A buffer of `length` bytes of any value, to be written over; so it need not be filled with zeros again and again.
    pub fn take_filled(&self, length: usize) -> Vec<u8> {
        let mut buffer = self.kept(length).unwrap_or_default();
        buffer.resize(length, 0);
        buffer
    }

    /// Gives a buffer back.
    pub fn give(&self, buffer: Vec<u8>) {
        if buffer.capacity() >= WORTH {
            let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() < KEPT {
                kept.push(buffer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_given_back_is_handed_out_again_empty() {
        let buffers = Buffers::default();
        let mut buffer = buffers.take(1 << 20);
        buffer.extend_from_slice(b"old");
        let place = buffer.as_ptr();
        buffers.give(buffer);
        assert!(buffers.take(2 << 20).capacity() >= 2 << 20, "a smaller one does not serve");
        let again = buffers.take(1 << 20);
        assert!(again.is_empty() && again.as_ptr() == place);
        buffers.give(again);
        assert_eq!(buffers.take_filled(200 << 10).len(), 200 << 10);
    }
}
