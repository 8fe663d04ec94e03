//! Streams: content that no file holds, such as a command's output, saved as a file of the snapshot.
//!
//! A stream that does not end well gives an error instead of its end, so that nobody can take a part of it for the whole.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// What becomes of a stream in the snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A file.
    File,
    /// A file of which long runs of zeros take no space.
    Image,
    /// It is an archive of `tar`: a directory with its members.
    Tree,
}

/// Where a stream comes from.
pub trait StreamSource: Send + Sync {
    /// Starts it from its beginning.
    ///
    /// # Errors
    /// If it cannot be had, or not a second time.
    fn open(&self) -> io::Result<Box<dyn Read + Send>>;

    /// Ends what was opened, from another thread; its reader then gets an error soon.
    fn stop(&self) {}

    /// What its bytes are.
    fn form(&self) -> Form {
        Form::File
    }

    /// Whether [`Self::open`] may be called again.
    fn opens_again(&self) -> bool {
        true
    }
}

/// A stream and its place in the snapshot.
#[derive(Clone)]
pub struct VirtualFile {
    /// The names from the root directory on; the last one is the file's.
    pub path: Vec<Vec<u8>>,
    /// Its content.
    pub source: Arc<dyn StreamSource>,
    /// Whether there shall be no snapshot without it.
    pub required: bool,
}

impl VirtualFile {
    /// Its absolute path, for messages.
    pub fn display(&self) -> String {
        let names = self.path.iter().map(|name| format!("/{}", String::from_utf8_lossy(name)));
        names.collect()
    }
}

impl fmt::Debug for VirtualFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VirtualFile({})", self.display())
    }
}

/// A stream that is there already and can be read once.
pub struct Once(Mutex<Option<Box<dyn Read + Send>>>);

impl Once {
    /// A source that gives `stream`.
    pub fn new(stream: Box<dyn Read + Send>) -> Self {
        Self(Mutex::new(Some(stream)))
    }
}

impl StreamSource for Once {
    fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        let stream = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        stream.ok_or_else(|| io::Error::other("it was read already, and cannot be read again"))
    }

    fn opens_again(&self) -> bool {
        false
    }
}

/// A file on disk that is saved at another place.
#[derive(Debug, Clone)]
pub struct FileSource(pub PathBuf);

impl StreamSource for FileSource {
    fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(File::open(&self.0)?))
    }
}

/// A stream that is an archive of `tar`, to be saved as a tree of files.
pub struct Tree<S>(pub S);

impl<S: StreamSource> StreamSource for Tree<S> {
    fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        self.0.open()
    }

    fn stop(&self) {
        self.0.stop();
    }

    fn form(&self) -> Form {
        Form::Tree
    }

    fn opens_again(&self) -> bool {
        self.0.opens_again()
    }
}

/// A text that is known already.
#[derive(Debug, Clone)]
pub struct Text(pub String);

impl StreamSource for Text {
    fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(io::Cursor::new(self.0.clone().into_bytes())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_that_is_there_already_is_given_once() {
        let once = Once::new(Box::new(&b"text"[..]));
        let mut text = String::new();
        once.open().unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "text");
        assert!(once.open().is_err() && !once.opens_again());
    }
}
