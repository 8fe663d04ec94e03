//! Files whose presence says that the rest of their directory need not be backed up.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, fstatat};

use super::ExcludeError;

/// The name and the first bytes of a tag for cache directories.
const CACHE_NAME: &[u8] = b"CACHEDIR.TAG";
const CACHE_HEADER: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55";

/// A file that leaves out the content of the directory it lies in, itself excepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker {
    name: Vec<u8>,
    header: Option<Vec<u8>>,
}

/// A marker that is there but cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the marker `{}`: {source}; what lies beside it is kept", String::from_utf8_lossy(name))]
pub struct MarkerError {
    /// The marker's file name.
    pub name: Vec<u8>,
    /// Why it cannot be read.
    pub source: io::Error,
}

impl Marker {
    /// Reads `NAME` or `NAME:HEADER`.
    ///
    /// # Errors
    /// If the name is not that of one file, or the header after the colon is empty.
    pub fn parse(text: &OsStr) -> Result<Self, ExcludeError> {
        let bytes = text.as_bytes();
        let wrong = |problem| Err(ExcludeError::Marker { marker: text.to_string_lossy().into_owned(), problem });
        let (name, header) = match bytes.iter().position(|byte| *byte == b':') {
            Some(colon) => (&bytes[..colon], Some(&bytes[colon + 1..])),
            None => (bytes, None),
        };
        match name {
            b"" => return wrong("the name is missing"),
            b"." | b".." => return wrong("every directory has such an entry"),
            _ if name.contains(&b'/') => return wrong("it is looked for in every directory, so it cannot have a `/`"),
            _ => {}
        }
        if header.is_some_and(<[u8]>::is_empty) {
            return wrong("the header after the colon is missing");
        }
        Ok(Self { name: name.to_owned(), header: header.map(<[u8]>::to_owned) })
    }

    /// The tag for cache directories (bford.info/cachedir).
    pub fn cache() -> Self {
        Self { name: CACHE_NAME.to_owned(), header: Some(CACHE_HEADER.to_owned()) }
    }

    /// The file name, without `/`.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// The bytes that the file must start with, if any.
    pub fn header(&self) -> Option<&[u8]> {
        self.header.as_deref()
    }

    /// Whether the opened directory holds this marker. With a header it must be a regular file that starts with it, not a
    /// symbolic link; without, anything of that name will do.
    ///
    /// # Errors
    /// If the directory or the file cannot be read.
    pub fn is_present_in(&self, dir: BorrowedFd<'_>) -> Result<bool, MarkerError> {
        let found = match &self.header {
            None => fstatat(dir, OsStr::from_bytes(&self.name), AtFlags::AT_SYMLINK_NOFOLLOW).map(drop),
            Some(header) => match self.open_regular(dir) {
                Ok(Some(file)) => return starts_with(file, header).map_err(|source| self.error(source)),
                Ok(None) => return Ok(false),
                Err(errno) => Err(errno),
            },
        };
        match found {
            Ok(()) => Ok(true),
            Err(Errno::ENOENT | Errno::ELOOP) => Ok(false),
            Err(errno) => Err(self.error(errno.into())),
        }
    }

    /// Opens the marker if it is a regular file. Looks before it opens, because opening a device may have effects, and does not
    /// wait if it has become a pipe since.
    fn open_regular(&self, dir: BorrowedFd<'_>) -> Result<Option<File>, Errno> {
        let name = OsStr::from_bytes(&self.name);
        let kind = fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW)?.st_mode & nix::libc::S_IFMT;
        if kind != nix::libc::S_IFREG {
            return Ok(None);
        }
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        Ok(Some(File::from(openat(dir, name, flags, Mode::empty())?)))
    }

    fn error(&self, source: io::Error) -> MarkerError {
        MarkerError { name: self.name.clone(), source }
    }
}

fn starts_with(file: File, header: &[u8]) -> io::Result<bool> {
    let mut start = Vec::with_capacity(header.len());
    file.take(header.len() as u64).read_to_end(&mut start)?;
    Ok(start == header)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::fd::AsFd;
    use std::os::unix::fs::symlink;

    use super::*;

    fn present(marker: &Marker, dir: &std::path::Path) -> Result<bool, MarkerError> {
        marker.is_present_in(File::open(dir).unwrap().as_fd())
    }

    fn marker(text: &str) -> Marker {
        Marker::parse(OsStr::new(text)).unwrap()
    }

    #[test]
    fn a_marker_without_header_may_be_anything() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!present(&marker(".nobackup"), dir.path()).unwrap());
        symlink("nowhere", dir.path().join(".nobackup")).unwrap();
        assert!(present(&marker(".nobackup"), dir.path()).unwrap());
    }

    #[test]
    fn a_header_must_be_at_the_start_of_a_regular_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tag");
        for (content, expected) in [("magic", true), ("magic and more", true), ("mag", false), (" magic", false), ("", false)] {
            fs::write(&path, content).unwrap();
            assert_eq!(present(&marker("tag:magic"), dir.path()).unwrap(), expected, "{content:?}");
        }
        fs::write(dir.path().join("real"), "magic").unwrap();
        fs::remove_file(&path).unwrap();
        symlink("real", &path).unwrap();
        assert!(!present(&marker("tag:magic"), dir.path()).unwrap());
        fs::remove_file(&path).unwrap();
        nix::unistd::mkfifo(&path, Mode::S_IRWXU).unwrap();
        assert!(!present(&marker("tag:magic"), dir.path()).unwrap());
    }

    #[test]
    fn a_cache_tag_needs_its_signature() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("CACHEDIR.TAG");
        fs::write(&path, "Signature: 8a477f597d28d172789f06886806bc55\n# made by a test\n").unwrap();
        assert!(present(&Marker::cache(), dir.path()).unwrap());
        fs::write(&path, "Signature: 8a477f597d28d172789f06886806bc5").unwrap();
        assert!(!present(&Marker::cache(), dir.path()).unwrap());
    }

    #[test]
    fn the_header_may_hold_colons_and_any_bytes() {
        let found = Marker::parse(OsStr::from_bytes(b"t\xff:a:\xfe")).unwrap();
        assert_eq!((found.name(), found.header()), (&b"t\xff"[..], Some(&b"a:\xfe"[..])));
    }

    #[test]
    fn malformed_markers_are_refused_with_an_example() {
        for text in ["", ":x", "a/b", "..", ".", "name:"] {
            let error = Marker::parse(OsStr::new(text)).unwrap_err().to_string();
            assert!(error.contains(&format!("`{text}`")) && error.contains(".nobackup"), "{error}");
        }
    }
}
