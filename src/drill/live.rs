//! The comparison with the live source: what the engine itself says of content proves nothing where the engine is wrong.
//!
//! Only files count that are certainly the same as when they were saved: of the same size and modification time, and not touched since the snapshot began.

use std::fs::File;
use std::io::{self, Read, Take};
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use jiff::Timestamp;

use super::random::{Random, Sample};
use super::survey::{Survey, walk};
use super::{DrillError, Run, files};
use crate::config::DrillAmount;
use crate::model::entry::{Entry, Kind};
use crate::model::human;
use crate::model::report::{DrillFigures, TestOutcome};
use crate::source::metadata::{self, FileType};

/// What SQLite's databases begin with: a saved copy is not the file byte by byte.
const SQLITE: &[u8] = b"SQLite format 3\0";
/// Bytes that are compared at once.
const PIECE: usize = 1 << 16;

/// What a comparison came to.
#[derive(Debug, PartialEq, Eq)]
enum Compared {
    Same,
    /// It has changed since, is gone, or was saved as something else.
    NotComparable,
    Differs,
}

impl Run<'_> {
    /// Compares a sample of the restored files with the live ones, if those are on this machine.
    pub(super) fn compare_with_source(&self, survey: &Survey, figures: &mut DrillFigures, random: &mut Random) -> Result<(), DrillError> {
        let most = self.options.drill.compare_with_source;
        // Saved copies of databases are not the live files byte by byte.
        let only_databases = self.options.drill.amount == DrillAmount::Databases;
        if most == 0 || only_databases || self.snapshot.payload.host != self.options.host {
            return Ok(());
        }
        self.tell("compare with source");
        let mut sample = Sample::new(usize::try_from(most).unwrap_or(usize::MAX));
        walk(self.snapshot, &survey.selection, self.monitor, &mut |path, entry| {
            // What a program wrote to the snapshot begins with `@` and lies nowhere.
            if matches!(entry.kind, Kind::File { .. }) && !path.starts_with(b"/@") {
                sample.offer(random, || (path.to_vec(), entry.clone()));
            }
        })?;
        let (mut same, mut passed_over, mut differ) = (0_u64, 0_u64, Vec::new());
        for (path, entry) in sample.taken() {
            self.go_on()?;
            let shown = Path::new(std::ffi::OsStr::from_bytes(&path));
            let restored = self.tree().join(shown.strip_prefix("/").unwrap_or(shown));
            let live = self.options.mapping.locate(shown).map_or_else(|_| shown.to_owned(), |place| place.from);
            match compare(&live, &restored, &entry, figures.snapshot_time) {
                Ok(Compared::Same) => same += 1,
                Ok(Compared::Differs) => differ.push(format!("{} differs from {}", shown.display(), live.display())),
                // It went or became closed meanwhile.
                Ok(Compared::NotComparable) | Err(_) => passed_over += 1,
            }
        }
        let files = human::count(same, "file");
        let counted = format!("{files} compared with the live {}, {passed_over} not comparable", if same == 1 { "one" } else { "ones" });
        let (outcome, text) = match (differ.is_empty(), same) {
            (false, _) => (TestOutcome::Failed, format!("{} ({counted})", files::named(&differ))),
            (true, 0) if passed_over == 0 => (TestOutcome::Inconclusive, "there is no file to compare".to_owned()),
            (true, 0) => {
                (TestOutcome::Inconclusive, format!("none of {} is as it was when it was saved", human::count(passed_over, "file")))
            }
            (true, _) => (TestOutcome::Passed, counted),
        };
        figures.test("compare with source", outcome, text);
        Ok(())
    }
}

/// A file that is opened without following a link in its place. What it is, is known before: to open a device may do something.
fn open(path: &Path) -> io::Result<File> {
    let found = File::options().read(true).custom_flags(nix::libc::O_PATH | nix::libc::O_NOFOLLOW).open(path)?;
    if metadata::stat_fd(&found)?.kind != FileType::File {
        return Err(io::Error::other("it is no file any more"));
    }
    File::options().read(true).custom_flags(nix::libc::O_NONBLOCK).open(format!("/proc/self/fd/{}", found.as_raw_fd()))
}

fn compare(live: &Path, restored: &Path, entry: &Entry, made: Option<Timestamp>) -> io::Result<Compared> {
    let Kind::File { size, .. } = entry.kind else { return Ok(Compared::NotComparable) };
    let file = open(live)?;
    let before = metadata::stat_fd(&file)?;
    let touched = made.is_none_or(|made| {
        (before.ctime.seconds, i64::from(before.ctime.nanoseconds)) >= (made.as_second(), i64::from(made.subsec_nanosecond()))
    });
    if before.kind != FileType::File || before.size != size || before.mtime != entry.metadata.mtime || touched {
        return Ok(Compared::NotComparable);
    }
    let equal = equal(&file, &open(restored)?, size)?;
    if metadata::stat_fd(&file)? != before {
        return Ok(Compared::NotComparable);
    }
    Ok(equal)
}

fn equal(live: &File, restored: &File, size: u64) -> io::Result<Compared> {
    // A byte more, so that one that is longer than it says is noticed.
    let (mut live, mut restored) = (live.take(size + 1), restored.take(size + 1));
    let (mut left, mut right) = (vec![0; PIECE], vec![0; PIECE]);
    let mut first = true;
    loop {
        let (a, b) = (piece(&mut live, &mut left)?, piece(&mut restored, &mut right)?);
        if std::mem::take(&mut first) && b.starts_with(SQLITE) {
            return Ok(Compared::NotComparable);
        }
        if a != b {
            return Ok(Compared::Differs);
        }
        if a.is_empty() {
            return Ok(Compared::Same);
        }
    }
}

/// As much as fits, unless the file ends.
fn piece<'b>(file: &mut Take<&File>, buffer: &'b mut [u8]) -> io::Result<&'b [u8]> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(buffer.get_mut(filled..).unwrap_or_default())? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(buffer.get(..filled).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::entry::Metadata;

    struct Pair {
        folder: tempfile::TempDir,
        entry: Entry,
    }

    impl Pair {
        fn new(live: &[u8], restored: &[u8]) -> Self {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join("live"), live).unwrap();
            std::fs::write(folder.path().join("restored"), restored).unwrap();
            let stat = metadata::stat_fd(File::open(folder.path().join("live")).unwrap()).unwrap();
            let metadata = Metadata { mtime: stat.mtime, ..Metadata::default() };
            let kind = Kind::File { size: live.len() as u64, content: Vec::new() };
            Self { folder, entry: Entry { name: b"live".to_vec(), metadata, kind } }
        }

        /// As if the snapshot was begun so many seconds from now.
        fn compare(&self, made: i64) -> Compared {
            let made = Timestamp::from_second(Timestamp::now().as_second() + made).unwrap();
            compare(&self.folder.path().join("live"), &self.folder.path().join("restored"), &self.entry, Some(made)).unwrap()
        }
    }

    #[test]
    fn what_has_not_changed_since_is_compared_byte_by_byte() {
        let long = vec![5; 3 * PIECE + 7];
        assert_eq!(Pair::new(&long, &long).compare(60), Compared::Same);
        let mut other = long.clone();
        *other.last_mut().unwrap() ^= 1;
        assert_eq!(Pair::new(&long, &other).compare(60), Compared::Differs);
        assert_eq!(Pair::new(&long, &long[..long.len() - 1]).compare(60), Compared::Differs);
        assert_eq!(Pair::new(b"", b"").compare(60), Compared::Same);
    }

    #[test]
    fn what_is_no_file_any_more_is_not_opened() {
        let pair = Pair::new(b"file", b"file");
        let live = pair.folder.path().join("live");
        std::fs::remove_file(&live).unwrap();
        nix::unistd::mkfifo(&live, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(open(&live).unwrap_err().to_string().contains("no file any more"));
        std::fs::remove_file(&live).unwrap();
        std::os::unix::fs::symlink(pair.folder.path().join("restored"), &live).unwrap();
        assert!(open(&live).is_err());
    }

    #[test]
    fn what_was_touched_since_is_not_comparable() {
        let mut pair = Pair::new(b"new", b"old");
        assert_eq!(pair.compare(-60), Compared::NotComparable, "its inode was changed after the snapshot began");
        pair.entry.metadata.mtime.seconds -= 1;
        assert_eq!(pair.compare(60), Compared::NotComparable);
        let pair = Pair::new(b"SQLite format 3\0 live", b"SQLite format 3\0 copy");
        assert_eq!(pair.compare(60), Compared::NotComparable, "a saved copy of a database is another file");
    }
}
