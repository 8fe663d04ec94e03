//! Files of this machine that end with the BLAKE3 hash of what stands before, so that a damaged one is noticed and made anew.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Writes such a file, readable by its owner only; nothing is in its place before [`HashedFile::finish`].
pub struct HashedFile {
    out: BufWriter<Hashing>,
    path: PathBuf,
    temporary: PathBuf,
}

struct Hashing {
    file: File,
    hasher: blake3::Hasher,
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl HashedFile {
    /// Starts a file that will stand at `path`.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn create(path: &Path) -> io::Result<Self> {
        let temporary = path.with_extension("new");
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        let out = BufWriter::with_capacity(1 << 17, Hashing { file, hasher: blake3::Hasher::new() });
        Ok(Self { out, path: path.to_owned(), temporary })
    }

    /// Ends the file and puts it in the place of the old one.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn finish(self) -> io::Result<()> {
        let Hashing { mut file, hasher } = self.out.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.write_all(hasher.finalize().as_bytes())?;
        drop(file);
        fs::rename(self.temporary, self.path)
    }
}

impl Write for HashedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_ends_with_the_hash_of_the_rest_and_replaces_the_old_one_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "old").unwrap();
        let mut file = HashedFile::create(&path).unwrap();
        file.write_all(b"new content").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        file.finish().unwrap();
        let bytes = fs::read(&path).unwrap();
        let (content, hash) = bytes.split_at(bytes.len() - 32);
        assert_eq!((content, hash), (&b"new content"[..], &blake3::hash(b"new content").as_bytes()[..]));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
