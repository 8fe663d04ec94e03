//! The names in a directory.

use std::io;
use std::os::fd::BorrowedFd;

use nix::dir::{Dir, Type};

/// Names of a directory in one allocation each for text and ranges, as there may be millions.
#[derive(Debug, Default)]
pub(super) struct Names {
    text: Vec<u8>,
    ranges: Vec<(u32, u16, Kind)>,
}

/// What the listing says that an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Directory,
    File,
    Other,
    Unknown,
}

impl Names {
    /// Lists a directory.
    pub(super) fn read(dir: BorrowedFd<'_>) -> io::Result<Self> {
        let mut names = Self::default();
        let mut stream = Dir::from_fd(dir.try_clone_to_owned()?)?;
        for entry in stream.iter() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            let kind = match entry.file_type() {
                Some(Type::Directory) => Kind::Directory,
                Some(Type::File) => Kind::File,
                Some(_) => Kind::Other,
                None => Kind::Unknown,
            };
            let start = u32::try_from(names.text.len()).map_err(|_| io::Error::other("the directory's names take more than 4 GiB"))?;
            let length = u16::try_from(name.len()).map_err(|_| io::Error::other("a name is longer than 65535 bytes"))?;
            names.text.extend_from_slice(name);
            names.ranges.push((start, length, kind));
        }
        names.sort();
        Ok(names)
    }

    /// One name, that of no directory.
    pub(super) fn only(name: &[u8]) -> Self {
        Self { text: name.to_vec(), ranges: vec![(0, u16::try_from(name.len()).unwrap_or(0), Kind::Other)] }
    }

    /// Adds those that are not among them. Nothing else is known of these.
    pub(super) fn add<'n>(&mut self, names: impl Iterator<Item = &'n [u8]>) {
        let sorted = self.ranges.len();
        for name in names {
            let known = self.ranges.get(..sorted).unwrap_or_default();
            if known.binary_search_by(|range| slice(&self.text, range).cmp(name)).is_err()
                && let (Ok(start), Ok(length)) = (u32::try_from(self.text.len()), u16::try_from(name.len()))
            {
                self.text.extend_from_slice(name);
                self.ranges.push((start, length, Kind::Unknown));
            }
        }
        if self.ranges.len() > sorted {
            self.sort();
        }
    }

    fn sort(&mut self) {
        let text = &self.text;
        self.ranges.sort_unstable_by(|a, b| slice(text, a).cmp(slice(text, b)));
    }

    /// One of them.
    pub(super) fn get(&self, position: usize) -> Option<(&[u8], Kind)> {
        let range = self.ranges.get(position)?;
        Some((slice(&self.text, range), range.2))
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.ranges.iter().map(|range| slice(&self.text, range))
    }
}

fn slice<'a>(text: &'a [u8], range: &(u32, u16, Kind)) -> &'a [u8] {
    let start = range.0 as usize;
    text.get(start..start + usize::from(range.1)).unwrap_or_default()
}
