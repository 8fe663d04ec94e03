//! Small files of this program's own that are replaced whole: after a crash there is the old one or the new one.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use super::owner::{self, Owner};

/// Writes a file, for its owner only, and the directory that it lies in if that is not there. Where root writes it, it belongs to whoever that
/// directory belongs to.
///
/// # Errors
/// If it cannot be made durable; what was there stays.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    owner::make_folder(folder)?;
    // A name of its own: two that write the same file at once do not write into each other's.
    let mut file = tempfile::Builder::new().prefix(".").suffix(".tmp").tempfile_in(folder)?;
    file.write_all(bytes)?;
    Owner::of(&File::open(folder)?)?.receives(file.as_file());
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}

/// Reads a file of at most so many bytes; none if it is not there.
///
/// # Errors
/// If it cannot be read, or is longer.
pub fn read(path: &Path, most: u64) -> io::Result<Option<Vec<u8>>> {
    use io::Read as _;
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(most + 1).read_to_end(&mut bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if bytes.len() as u64 > most {
        return Err(io::Error::other(format!("it has more than the {most} bytes that it may have")));
    }
    Ok(Some(bytes))
}

/// Removes a file; one that is not there is a success.
///
/// # Errors
/// If it cannot be removed.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b.json");
        assert_eq!(read(&path, 10).unwrap(), None);
        replace(&path, b"first").unwrap();
        replace(&path, b"second").unwrap();
        assert_eq!(read(&path, 6).unwrap().unwrap(), b"second");
        assert!(read(&path, 5).is_err(), "a longer one is refused, and not cut off");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        remove(&path).and_then(|()| remove(&path)).unwrap();
        assert_eq!(read(&path, 10).unwrap(), None);
    }

    #[test]
    fn what_root_writes_belongs_to_the_owner_of_the_folder_and_no_link_leads_elsewhere() {
        use std::os::unix::fs::{MetadataExt as _, chown, symlink};
        if !nix::unistd::geteuid().is_root() {
            println!("SKIPPED: only root can write for others");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let (theirs, ours) = (folder.path().join("theirs"), folder.path().join("ours"));
        fs::create_dir(&theirs).and_then(|()| fs::create_dir(&ours)).unwrap();
        chown(&theirs, Some(1234), Some(1235)).unwrap();
        let path = theirs.join("new/file");
        replace(&path, b"first").unwrap();
        for made in [path.parent().unwrap(), &path] {
            let made = fs::metadata(made).unwrap();
            assert_eq!((made.uid(), made.gid()), (1234, 1235));
        }
        symlink(ours.join("absent"), theirs.join("trap")).unwrap();
        assert!(replace(&theirs.join("trap/file"), b"x").is_err());
        assert_eq!(fs::read_dir(&ours).unwrap().count(), 0);
    }
}
