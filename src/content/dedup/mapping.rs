//! The one place with `unsafe`: a read-only memory map of a file that this program wrote.

use std::fs::File;
use std::io;
use std::path::Path;

/// The bytes of a file, mapped.
pub(super) struct Mapping(memmap2::Mmap);

impl Mapping {
    /// Maps a whole file.
    ///
    /// The file lies in the state directory (mode 0700), is written under a temporary name, renamed, and never changed
    /// afterwards. Whoever can shorten it under us already is this user or root, and gets a SIGBUS of this process.
    #[allow(unsafe_code)]
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        // SAFETY: the file is not modified while mapped, as said above.
        let map = unsafe { memmap2::MmapOptions::new().map(&file)? };
        Ok(Self(map))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}
