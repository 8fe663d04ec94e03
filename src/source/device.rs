//! Block devices, such as volumes and whole disks, as streams whose zeros are told apart.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use super::stream::{Form, StreamSource};

/// Zeros are looked for in pieces of so many bytes.
const PIECE: usize = 64 << 10;

/// A block device.
#[derive(Debug, Clone)]
pub struct DeviceSource {
    path: PathBuf,
}

impl DeviceSource {
    /// The device at `path`.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }
}

impl StreamSource for DeviceSource {
    fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        let file = File::open(&self.path)?;
        let kind = file.metadata()?.file_type();
        if kind.is_file() {
            return Err(io::Error::other("it is a file; name it among the job's `paths`, where the holes of an image are not even read"));
        }
        if !kind.is_block_device() {
            return Err(io::Error::other("it is no block device"));
        }
        let size = size(&self.path)?;
        Ok(Box::new(Exact { input: file, left: size }))
    }

    fn form(&self) -> Form {
        Form::Image
    }
}

/// The size of a device or file in bytes.
///
/// # Errors
/// If it cannot be opened.
pub fn size(path: &Path) -> io::Result<u64> {
    File::open(path)?.seek(SeekFrom::End(0))
}

/// So many bytes, and an error if there are fewer.
struct Exact {
    input: File,
    left: u64,
}

impl Read for Exact {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.input.read(buffer.get_mut(..most).unwrap_or_default())?;
        if read == 0 && most > 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("the device ends {} bytes early", self.left)));
        }
        self.left -= read as u64;
        Ok(read)
    }
}

/// A stream in which long runs of zeros are told apart. Read as a stream it ends at such a run; [`Runs::zeros`] then goes on behind it.
pub struct Runs<R> {
    input: R,
    piece: Vec<u8>,
    filled: usize,
    taken: usize,
}

impl<R: Read> Runs<R> {
    /// The runs of a stream.
    pub fn new(input: R) -> Self {
        Self { input, piece: vec![0; PIECE], filled: 0, taken: 0 }
    }

    /// Goes on to the next byte that is not zero, or in a piece with one; returns how many zeros there were, and whether anything follows.
    ///
    /// # Errors
    /// Those of the stream.
    pub fn zeros(&mut self) -> io::Result<(u64, bool)> {
        let mut zeros = 0;
        loop {
            if self.taken == self.filled && !self.fill()? {
                return Ok((zeros, false));
            }
            if self.taken > 0 || !self.is_zero() {
                return Ok((zeros, true));
            }
            zeros += self.filled as u64;
            self.taken = self.filled;
        }
    }

    /// Reads the next piece; false at the end.
    fn fill(&mut self) -> io::Result<bool> {
        (self.filled, self.taken) = (0, 0);
        while self.filled < self.piece.len() {
            match self.input.read(self.piece.get_mut(self.filled..).unwrap_or_default()) {
                Ok(0) => break,
                Ok(read) => self.filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self.filled > 0)
    }

    fn is_zero(&self) -> bool {
        self.piece.iter().take(self.filled).all(|byte| *byte == 0)
    }
}

impl<R: Read> Read for Runs<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.filled && !self.fill()? {
            return Ok(0);
        }
        if self.taken == 0 && self.is_zero() {
            return Ok(0);
        }
        let rest = self.piece.get(self.taken..self.filled).unwrap_or_default();
        let read = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..read), rest.get(..read)) {
            to.copy_from_slice(from);
        }
        self.taken += read;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The stream put together from its runs again, and how many bytes were read as data.
    fn rejoin(bytes: &[u8]) -> (Vec<u8>, usize) {
        let (mut joined, mut data) = (Vec::new(), 0);
        let mut runs = Runs::new(bytes);
        loop {
            let (zeros, more) = runs.zeros().unwrap();
            joined.resize(joined.len() + zeros as usize, 0);
            if !more {
                return (joined, data);
            }
            data += runs.read_to_end(&mut joined).unwrap();
        }
    }

    proptest! {
        #[test]
        fn runs_join_to_the_stream(parts in proptest::collection::vec((any::<bool>(), 1_usize..200_000), 0..6)) {
            let bytes: Vec<u8> = parts.iter().flat_map(|(zero, length)| vec![u8::from(!zero); *length]).collect();
            prop_assert_eq!(rejoin(&bytes).0, bytes);
        }
    }

    #[test]
    fn long_runs_of_zeros_are_not_read_as_data() {
        let mut bytes = vec![0; 10 << 20];
        bytes[5 << 20] = 1;
        assert_eq!(rejoin(&bytes), (bytes, PIECE));
    }

    #[test]
    fn only_a_block_device_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("image");
        std::fs::write(&file, b"x").unwrap();
        assert!(DeviceSource::new(file).open().err().unwrap().to_string().contains("`paths`"));
        assert!(DeviceSource::new("/dev/null".into()).open().err().unwrap().to_string().contains("no block device"));
    }
}
