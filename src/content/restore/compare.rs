//! Comparing a snapshot with what stands on the disk: content chunk by chunk, and all metadata that a tree keeps.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use crate::content::ContentError;
use crate::content::browse::{OpenSnapshot, Step, TreeWalk};
use crate::content::secret::ChunkKeys;
use crate::content::tree::{self, TreeSource as _};
use crate::content::vault::{TreeReader, Vault};
use crate::model::entry::{Element, Entry, Kind};
use crate::model::event::{Event, Monitor};
use crate::sealed::pack::Class;
use crate::source::exclude::{Selection, Verdict};
use crate::source::metadata::{self, FileType, Stat};

/// A path that is not as the snapshot says.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Difference {
    /// The path in the snapshot.
    pub path: String,
    /// What differs.
    pub what: String,
}

/// Compares what is selected of a snapshot with the files below `target`. Entries that only the disk has are no
/// difference.
///
/// # Errors
/// If the snapshot cannot be read, or the run is asked to stop.
pub fn compare(
    vault: &Vault,
    snapshot: &OpenSnapshot<'_>,
    target: &Path,
    selection: &Selection,
    monitor: &dyn Monitor,
) -> Result<Vec<Difference>, ContentError> {
    monitor.event(Event::Phase("compare"));
    monitor.event(Event::Expect { files: snapshot.payload.statistics.files, bytes: snapshot.payload.statistics.bytes });
    let root: OwnedFd = File::open(target).map_err(|error| ContentError::file("open", target, error))?.into();
    let mut reader = snapshot.reader()?;
    let mut walk = TreeWalk::new(&mut reader, &snapshot.payload.root);
    let mut side = Comparison {
        keys: vault.chunk_keys(),
        lists: snapshot.reader()?,
        directories: vec![Opened { fd: Some(root), verdict: selection.start(), told: false }],
        found: Vec::new(),
        monitor,
    };
    while let Some(step) = walk.step() {
        if monitor.cancelled() {
            return Err(ContentError::Cancelled);
        }
        match step {
            Step::Enter(entry) => {
                let path = walk.path().to_vec();
                let verdict = selection.judge(side.verdict(), &path, &entry.name, true);
                if verdict == Verdict::No {
                    walk.skip();
                }
                side.enter(&path, &entry, verdict);
            }
            Step::Leave => drop(side.directories.pop()),
            Step::Entry(entry) => {
                let path = walk.path().to_vec();
                if selection.judge(side.verdict(), &path, &entry.name, false) == Verdict::Yes {
                    side.entry(&path, &entry);
                    monitor.event(Event::Progress { files: 1, bytes: 0 });
                }
            }
            Step::Damaged(error) => side.differ(walk.path(), format!("its listing is lost: {error}")),
        }
    }
    Ok(side.found)
}

struct Comparison<'a> {
    keys: ChunkKeys,
    lists: TreeReader<'a>,
    directories: Vec<Opened>,
    found: Vec<Difference>,
    monitor: &'a dyn Monitor,
}

/// A directory on the way.
struct Opened {
    /// None if it is not there, cannot be opened or is not looked at.
    fd: Option<OwnedFd>,
    verdict: Verdict,
    /// Whether it was told already that it cannot be opened.
    told: bool,
}

impl Comparison<'_> {
    fn verdict(&self) -> Verdict {
        self.directories.last().map_or(Verdict::No, |directory| directory.verdict)
    }

    fn differ(&mut self, path: &[u8], what: impl Into<String>) {
        // The root has no name.
        let path = String::from_utf8_lossy(if path.is_empty() { b"/" } else { path }).into_owned();
        self.found.push(Difference { path, what: what.into() });
    }

    fn enter(&mut self, path: &[u8], entry: &Entry, verdict: Verdict) {
        let above = self.directories.last();
        let mut told = above.is_some_and(|above| above.told);
        let opened = match (above.and_then(|above| above.fd.as_ref()), verdict) {
            (_, Verdict::No) => None,
            (None, _) => Some(Err(io::ErrorKind::NotFound.into())),
            (Some(parent), _) => Some(metadata::open_dir_at(parent.as_fd(), &entry.name)),
        };
        let fd = match opened {
            None => None,
            Some(Ok(fd)) => Some(fd),
            // Nobody needs one on the way to something until that something is missing.
            Some(Err(error)) if verdict != Verdict::Yes && error.kind() == io::ErrorKind::NotFound => None,
            Some(Err(error)) => {
                if !told {
                    self.differ(path, format!("cannot be opened ({error})"));
                }
                told = true;
                None
            }
        };
        if let (Some(fd), Verdict::Yes) = (&fd, verdict) {
            let found = metadata::stat_fd(fd).and_then(|stat| Ok((stat, metadata::xattrs_fd(fd)?)));
            match found {
                Ok((stat, xattrs)) => self.metadata(path, entry, &stat, &xattrs),
                Err(error) => self.differ(path, error.to_string()),
            }
        }
        self.directories.push(Opened { fd, verdict, told });
    }

    fn entry(&mut self, path: &[u8], entry: &Entry) {
        let Some(above) = self.directories.last() else { return };
        let Some(dir) = above.fd.as_ref().and_then(|fd| fd.try_clone().ok()) else {
            if !above.told {
                self.differ(path, "is not there");
            }
            return;
        };
        if let Err(error) = self.compare_entry(path, entry, &dir) {
            self.differ(path, error.to_string());
        }
    }

    fn compare_entry(&mut self, path: &[u8], entry: &Entry, dir: &OwnedFd) -> io::Result<()> {
        let stat = metadata::stat_at(dir, &entry.name)?;
        let xattrs = if stat.kind == FileType::File { Vec::new() } else { metadata::xattrs_at(dir, &entry.name)? };
        match &entry.kind {
            Kind::File { size, content } if stat.kind == FileType::File => {
                let file = File::from(metadata::open_file_at(dir, &entry.name)?);
                let xattrs = metadata::xattrs_fd(&file)?;
                self.metadata(path, entry, &stat, &xattrs);
                if stat.size != *size {
                    self.differ(path, format!("has {} bytes instead of {size}", stat.size));
                } else if let Some(what) = self.content(file, content)? {
                    self.differ(path, what);
                }
                return Ok(());
            }
            Kind::Symlink { target } if stat.kind == FileType::Symlink => {
                if metadata::read_link_at(dir, &entry.name)? != *target {
                    self.differ(path, "points elsewhere");
                }
            }
            Kind::CharDevice(device) if stat.kind == FileType::CharDevice && stat.rdev == *device => {}
            Kind::BlockDevice(device) if stat.kind == FileType::BlockDevice && stat.rdev == *device => {}
            Kind::Fifo if stat.kind == FileType::Fifo => {}
            Kind::Socket if stat.kind == FileType::Socket => {}
            kind => self.differ(path, format!("is not the {} that the snapshot has", kind.word())),
        }
        self.metadata(path, entry, &stat, &xattrs);
        Ok(())
    }

    fn metadata(&mut self, path: &[u8], entry: &Entry, stat: &Stat, xattrs: &[crate::model::entry::Xattr]) {
        let wanted = &entry.metadata;
        if stat.kind != FileType::Symlink && stat.mode != wanted.mode {
            self.differ(path, format!("has mode {:o} instead of {:o}", stat.mode, wanted.mode));
        }
        if nix::unistd::geteuid().is_root() && (stat.uid, stat.gid) != (wanted.uid, wanted.gid) {
            self.differ(path, format!("belongs to {}:{} instead of {}:{}", stat.uid, stat.gid, wanted.uid, wanted.gid));
        }
        if stat.mtime != wanted.mtime {
            self.differ(path, "has another modification time");
        }
        if xattrs != wanted.xattrs {
            self.differ(path, "has other extended attributes");
        }
    }

    /// Reads a file along its chunks; says what differs.
    fn content(&mut self, mut file: File, content: &[Element]) -> io::Result<Option<String>> {
        let mut pending: Vec<Element> = content.iter().rev().copied().collect();
        let mut offset = 0;
        let mut buffer = Vec::new();
        while let Some(element) = pending.pop() {
            match element {
                Element::List { id, .. } => {
                    let nested = self.lists.tree(&id).and_then(|plain| Ok(tree::parse_list(&plain)?)).map_err(io::Error::other)?;
                    pending.extend(nested.into_iter().rev());
                }
                Element::Chunk { id, length } => {
                    buffer.resize(length as usize, 0);
                    file.read_exact(&mut buffer)?;
                    self.monitor.event(Event::Progress { files: 0, bytes: u64::from(length) });
                    if self.keys.id(Class::Data, &buffer) != id {
                        return Ok(Some(format!("has other content between bytes {offset} and {}", offset + u64::from(length))));
                    }
                    offset += u64::from(length);
                }
                Element::Hole { length } => {
                    if !is_hole(&mut file, offset, length)? {
                        return Ok(Some(format!("has other content between bytes {offset} and {}", offset + length)));
                    }
                    offset += length;
                }
            }
        }
        Ok(None)
    }
}

/// Whether the range reads as zeros; skips over real holes, and leaves the file at the range's end.
fn is_hole(file: &mut File, offset: u64, length: u64) -> io::Result<bool> {
    use std::io::Seek as _;
    let end = offset + length;
    let mut position = offset;
    let mut buffer = vec![0; 1 << 16];
    while let Some(data) = metadata::next_data(file.as_fd(), position, end) {
        position = data.start;
        file.seek(io::SeekFrom::Start(position))?;
        while position < data.end {
            let part = usize::try_from(data.end - position).unwrap_or(usize::MAX).min(buffer.len());
            let part = buffer.get_mut(..part).unwrap_or_default();
            file.read_exact(part)?;
            if part.iter().any(|byte| *byte != 0) {
                return Ok(false);
            }
            position += part.len() as u64;
        }
    }
    file.seek(io::SeekFrom::Start(end))?;
    Ok(true)
}
