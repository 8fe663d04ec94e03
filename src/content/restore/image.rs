//! One file of a snapshot to a file or a block device of any name, with its holes.

use std::fs::{File, Metadata, OpenOptions, Permissions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::Path;

use nix::fcntl::{FallocateFlags, OFlag, fallocate};

use crate::content::ContentError;
use crate::content::browse::{OpenSnapshot, Stretch};
use crate::model::entry::{Entry, Kind};

/// What the name of a file begins with that is not complete.
const PREFIX: &str = ".hearth-backup-";

/// Writes a file's content to `target`: a new file, or with `replace` in the place of one that is there, whose owner and mode it takes over, or a
/// block device, which must be large enough and not in use. Returns how many bytes it has, and how many of them are zeros that were not stored.
///
/// # Errors
/// Before anything is written, if the target cannot take it; later if a chunk is lost or the target fails: then a file is as it was, and what a
/// device holds must not be used.
pub fn restore_image(snapshot: &OpenSnapshot<'_>, entry: &Entry, target: &Path, replace: bool) -> Result<(u64, u64), ContentError> {
    let Kind::File { size, .. } = &entry.kind else {
        return Err(ContentError::Other(format!("this is a {}, only files have content", entry.kind.word())));
    };
    let failed = |source| ContentError::file("write", target, source);
    let there = target.metadata().ok();
    if let Some(there) = &there {
        check(there, replace).map_err(failed)?;
    }
    if there.as_ref().is_some_and(|there| there.file_type().is_block_device()) {
        let device = open_device(target, *size).map_err(failed)?;
        let image = fill(snapshot, entry, Image { file: &device, is_device: true, position: 0, holes: 0 })?;
        device.sync_all().map_err(failed)?;
        return Ok((*size, image.holes));
    }
    // Beside the place until it is complete; what a symbolic link names is replaced, not the link.
    let place = if there.is_some() { target.canonicalize().map_err(failed)? } else { target.to_owned() };
    let folder = place.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let fresh = tempfile::Builder::new().prefix(PREFIX).tempfile_in(folder).map_err(failed)?;
    let holes = fill(snapshot, entry, Image { file: fresh.as_file(), is_device: false, position: 0, holes: 0 })?.holes;
    fresh.as_file().set_len(*size).map_err(failed)?;
    if let Some(there) = &there {
        take_over(fresh.as_file(), there).map_err(failed)?;
    }
    fresh.as_file().sync_all().map_err(failed)?;
    match there {
        Some(_) => fresh.persist(&place),
        None => fresh.persist_noclobber(&place),
    }
    .map_err(|error| failed(error.error))?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
    Ok((*size, holes))
}

fn fill<'a>(snapshot: &OpenSnapshot<'_>, entry: &Entry, mut image: Image<'a>) -> Result<Image<'a>, ContentError> {
    snapshot.stretches(entry, &mut |stretch| image.take(stretch))?;
    Ok(image)
}

/// Whether an image may take the place of what is there.
fn check(there: &Metadata, replace: bool) -> io::Result<()> {
    let kind = there.file_type();
    if !kind.is_block_device() && !kind.is_file() {
        return Err(io::Error::other("it is neither a file nor a block device"));
    }
    if !replace {
        return Err(io::Error::other("it is there already; --replace overwrites it"));
    }
    Ok(())
}

/// Gives a file the owner and the mode of the one whose place it takes: a service shall be able to read it as before.
fn take_over(fresh: &File, there: &Metadata) -> io::Result<()> {
    if nix::unistd::geteuid().is_root() {
        fchown(fresh, Some(there.uid()), Some(there.gid()))?;
    }
    fresh.set_permissions(Permissions::from_mode(there.mode() & 0o7777))
}

/// Opens a device, having checked that it can take so many bytes.
fn open_device(target: &Path, size: u64) -> io::Result<File> {
    // The kernel refuses a device that is mounted or part of something.
    let mut device = OpenOptions::new().write(true).custom_flags(OFlag::O_EXCL.bits()).open(target)?;
    let room = device.seek(SeekFrom::End(0))?;
    if room < size {
        return Err(io::Error::other(format!("the device has {room} bytes and the image {size}; nothing was written")));
    }
    device.rewind()?;
    Ok(device)
}

struct Image<'a> {
    file: &'a File,
    is_device: bool,
    position: u64,
    holes: u64,
}

impl Image<'_> {
    fn take(&mut self, stretch: Stretch<'_>) -> io::Result<()> {
        match stretch {
            Stretch::Bytes(bytes) => {
                self.file.write_all(bytes)?;
                self.position += bytes.len() as u64;
            }
            Stretch::Hole(length) => {
                if self.is_device {
                    self.clear(length)?;
                }
                self.position += length;
                self.holes += length;
                self.file.seek(SeekFrom::Start(self.position))?;
            }
        }
        Ok(())
    }

    /// Makes a stretch of a device zeros: by the device itself if it can.
    fn clear(&mut self, length: u64) -> io::Result<()> {
        let range = (i64::try_from(self.position), i64::try_from(length));
        if let (Ok(from), Ok(length)) = range
            && fallocate(self.file, FallocateFlags::FALLOC_FL_ZERO_RANGE | FallocateFlags::FALLOC_FL_KEEP_SIZE, from, length).is_ok()
        {
            return Ok(());
        }
        io::copy(&mut io::Read::take(io::repeat(0), length), &mut self.file).map(drop)
    }
}
