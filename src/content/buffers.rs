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
    /// An empty buffer with room for at least `capacity` bytes.
    pub fn take(&self, capacity: usize) -> Vec<u8> {
        if capacity >= WORTH {
            let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(position) = kept.iter().position(|buffer| buffer.capacity() >= capacity) {
                return kept.swap_remove(position);
            }
        }
        Vec::with_capacity(capacity)
    }

    /// Gives a buffer back.
    pub fn give(&self, mut buffer: Vec<u8>) {
        if buffer.capacity() >= WORTH {
            let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() < KEPT {
                buffer.clear();
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
    }
}
