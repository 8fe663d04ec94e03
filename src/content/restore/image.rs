//! One file of a snapshot to a file or a block device of any name, with its holes.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

use nix::fcntl::{FallocateFlags, OFlag, fallocate};

use crate::content::ContentError;
use crate::content::browse::{OpenSnapshot, Stretch};
use crate::model::entry::{Entry, Kind};

/// Writes a file's content to `target`: a new file, or with `replace` one that is there or a block device, which must be large enough and not in
/// use. Returns how many bytes it has, and how many of them are zeros that were not stored.
///
/// # Errors
/// Before anything is written, if the target cannot take it; later if a chunk is lost or the target fails: then what was written must not be used.
pub fn restore_image(snapshot: &OpenSnapshot<'_>, entry: &Entry, target: &Path, replace: bool) -> Result<(u64, u64), ContentError> {
    let Kind::File { size, .. } = &entry.kind else {
        return Err(ContentError::Other(format!("this is a {}, only files have content", entry.kind.word())));
    };
    let failed = |source| ContentError::file("write", target, source);
    let (file, is_device) = open(target, *size, replace).map_err(failed)?;
    let mut image = Image { file, is_device, position: 0, holes: 0 };
    snapshot.stretches(entry, &mut |stretch| image.take(stretch))?;
    image.finish(*size).map_err(failed)?;
    Ok((*size, image.holes))
}

/// Opens the target, having checked that it can take so many bytes.
fn open(target: &Path, size: u64, replace: bool) -> io::Result<(File, bool)> {
    let Ok(metadata) = target.metadata() else {
        return Ok((OpenOptions::new().write(true).create_new(true).mode(0o600).open(target)?, false));
    };
    let kind = metadata.file_type();
    if !kind.is_block_device() && !kind.is_file() {
        return Err(io::Error::other("it is neither a file nor a block device"));
    }
    if !replace {
        return Err(io::Error::other("it is there already; --replace overwrites it"));
    }
    if kind.is_file() {
        return Ok((OpenOptions::new().write(true).truncate(true).open(target)?, false));
    }
    // The kernel refuses a device that is mounted or part of something.
    let mut device = OpenOptions::new().write(true).custom_flags(OFlag::O_EXCL.bits()).open(target)?;
    let room = device.seek(SeekFrom::End(0))?;
    if room < size {
        return Err(io::Error::other(format!("the device has {room} bytes and the image {size}; nothing was written")));
    }
    device.rewind()?;
    Ok((device, true))
}

struct Image {
    file: File,
    is_device: bool,
    position: u64,
    holes: u64,
}

impl Image {
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
            && fallocate(&self.file, FallocateFlags::FALLOC_FL_ZERO_RANGE | FallocateFlags::FALLOC_FL_KEEP_SIZE, from, length).is_ok()
        {
            return Ok(());
        }
        io::copy(&mut io::Read::take(io::repeat(0), length), &mut self.file).map(drop)
    }

    fn finish(&mut self, size: u64) -> io::Result<()> {
        if !self.is_device {
            self.file.set_len(size)?;
        }
        self.file.sync_all()
    }
}
