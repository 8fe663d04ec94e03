//! Writing large objects past the page cache.
//!
//! A backup writes what nobody on this machine will read soon. Through the page cache that costs a copy and an allocation
//! of every page, and drives out what the machine's services need there. So on file systems where it is known to
//! serve, large objects are written with `O_DIRECT` (open(2)) from an aligned buffer; measured in `docs/decisions.md`.

use std::fs::File;
use std::io::{self, Write as _};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::statfs::{BTRFS_SUPER_MAGIC, EXT4_SUPER_MAGIC, FsType, fstatfs};

/// Memory, offsets and lengths of direct writes are multiples of so many bytes, the largest that disks ask for.
const ALIGNMENT: usize = 4096;
/// statfs(2); `nix` has it for glibc only.
const XFS_SUPER_MAGIC: FsType = FsType(0x5846_5342);
/// Bytes that are written at once.
const STRETCH: usize = 1 << 20;

/// Writes a file from its beginning to its end.
pub(super) struct DirectWriter {
    /// [`STRETCH`] bytes from `start` on are aligned.
    buffer: Vec<u8>,
    start: usize,
    filled: usize,
    direct: bool,
}

impl DirectWriter {
    /// A writer for an empty file; `None` if its file system is not known to do well, such as network mounts, where each
    /// direct write would wait for the server.
    pub(super) fn new(file: &File) -> Option<Self> {
        let kind = fstatfs(file).ok()?.filesystem_type();
        if ![EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, BTRFS_SUPER_MAGIC].contains(&kind) {
            return None;
        }
        set(file, true).ok()?;
        let buffer = vec![0; STRETCH + ALIGNMENT];
        let start = buffer.as_ptr().align_offset(ALIGNMENT);
        (start <= ALIGNMENT).then_some(Self { buffer, start, filled: 0, direct: true })
    }

    /// Appends bytes.
    pub(super) fn write(&mut self, file: &File, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(STRETCH - self.filled));
            if let Some(place) = self.buffer.get_mut(self.start + self.filled..).and_then(|rest| rest.get_mut(..now.len())) {
                place.copy_from_slice(now);
            }
            self.filled += now.len();
            bytes = later;
            if self.filled == STRETCH {
                self.flush(file, STRETCH)?;
                self.filled = 0;
            }
        }
        Ok(())
    }

    /// Writes what is left; the file takes ordinary writes again.
    pub(super) fn finish(mut self, file: &File) -> io::Result<()> {
        let whole = self.filled - self.filled % ALIGNMENT;
        self.flush(file, whole)?;
        self.fall_back(file)?;
        let mut file = file;
        file.write_all(self.buffer.get(self.start + whole..self.start + self.filled).unwrap_or_default())
    }

    /// Writes the first bytes of the buffer. What a direct write leaves or refuses goes through the page cache.
    fn flush(&mut self, mut file: &File, length: usize) -> io::Result<()> {
        let mut rest = self.start..self.start + length;
        while !rest.is_empty() {
            match file.write(self.buffer.get(rest.clone()).unwrap_or_default()) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => rest.start += written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if self.direct && error.raw_os_error() == Some(Errno::EINVAL as i32) => self.fall_back(file)?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn fall_back(&mut self, file: &File) -> io::Result<()> {
        self.direct = false;
        set(file, false)
    }
}

fn set(file: &File, direct: bool) -> io::Result<()> {
    let mut flags = OFlag::from_bits_retain(fcntl(file, FcntlArg::F_GETFL)?);
    flags.set(OFlag::O_DIRECT, direct);
    fcntl(file, FcntlArg::F_SETFL(flags))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The build folder lies on a disk more often than the temporary one.
    fn folder() -> tempfile::TempDir {
        tempfile::tempdir_in(std::env::current_exe().unwrap().parent().unwrap()).unwrap()
    }

    #[test]
    fn a_file_written_in_pieces_of_any_size_holds_them_in_order() {
        let folder = folder();
        for (rank, (total, piece)) in
            [(0, 1), (1, 1), (ALIGNMENT, 8), (STRETCH, STRETCH), (3 * STRETCH + 17, 70_001)].into_iter().enumerate()
        {
            let path = folder.path().join(rank.to_string());
            let file = File::create(&path).unwrap();
            let Some(mut writer) = DirectWriter::new(&file) else { return };
            let bytes: Vec<u8> = (0..total).map(|position| (position * 31 % 251) as u8).collect();
            bytes.chunks(piece).for_each(|piece| writer.write(&file, piece).unwrap());
            writer.finish(&file).unwrap();
            assert!(std::fs::read(&path).unwrap() == bytes, "{total} bytes in pieces of {piece}");
        }
    }

    #[test]
    fn a_file_that_refuses_direct_writes_is_written_through_the_page_cache() {
        let folder = folder();
        let path = folder.path().join("file");
        let mut file = File::create(&path).unwrap();
        let Some(mut writer) = DirectWriter::new(&file) else { return };
        // From an odd place of the file every direct write is refused.
        set(&file, false).unwrap();
        file.write_all(b"odd").unwrap();
        set(&file, true).unwrap();
        writer.write(&file, &vec![7; 2 * STRETCH]).unwrap();
        assert!(!writer.direct);
        writer.finish(&file).unwrap();
        let found = std::fs::read(&path).unwrap();
        assert_eq!(found.len(), 3 + 2 * STRETCH);
        assert!(found[3..].iter().all(|byte| *byte == 7));
    }
}
