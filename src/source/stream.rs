//! Streams: content that no file holds, such as a command's output, saved as a file of the snapshot.
//!
//! A stream that does not end well gives an error instead of its end, so that nobody can take a part of it for the whole.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use nix::errno::Errno;

use super::metadata;

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

/// A file on disk that is saved at another place. Who wrote it may be less trusted than we are: only a regular file is read, and no symbolic link
/// in its place is followed.
#[derive(Debug, Clone)]
pub struct FileSource {
    /// Its directory.
    pub folder: Arc<OwnedFd>,
    /// Its name there.
    pub name: Vec<u8>,
}

impl StreamSource for FileSource {
    fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(regular_file(&*self.folder, &self.name)?))
    }
}

/// Opens a regular file that somebody else has made.
///
/// # Errors
/// If it cannot be opened, or is a link or anything but a regular file.
pub fn regular_file(folder: impl AsFd, name: &[u8]) -> io::Result<File> {
    let file = metadata::open_file_at(folder, name).map(File::from);
    let regular = file.as_ref().is_ok_and(|file| file.metadata().is_ok_and(|metadata| metadata.is_file()));
    match file {
        Ok(file) if regular => Ok(file),
        Err(error) if error.raw_os_error() != Some(Errno::ELOOP as i32) && error.raw_os_error() != Some(Errno::ENXIO as i32) => Err(error),
        _ => Err(io::Error::other(format!("`{}` is no regular file, and is not read", String::from_utf8_lossy(name)))),
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

    #[test]
    fn of_a_file_that_somebody_else_wrote_no_link_is_followed_and_no_pipe_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name);
        std::fs::write(place("file"), "text").unwrap();
        let open = |name: &str| {
            let folder = Arc::new(metadata::open_dir(folder.path()).unwrap());
            FileSource { folder, name: name.into() }.open()
        };
        let mut text = String::new();
        open("file").unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "text");
        std::os::unix::fs::symlink("file", place("link")).unwrap();
        nix::unistd::mkfifo(&place("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(place("socket")).unwrap();
        for name in ["link", "pipe", "socket", "."] {
            let error = open(name).err().unwrap().to_string();
            assert!(error.contains("no regular file"), "{name}: {error}");
        }
        let absent = open("absent").err().unwrap();
        assert_eq!(absent.kind(), io::ErrorKind::NotFound);
    }
}
