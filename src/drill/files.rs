//! Files: restored, and then read back from where they lie.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::Duration;

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use nix::unistd::syncfs;

use super::survey::Survey;
use super::{DrillError, Run, note};
use crate::config::DrillAmount;
use crate::content::restore::{Difference, RestoreOptions, RestoreSummary, compare, restore};
use crate::model::event::Event;
use crate::model::human;
use crate::model::report::DrillFigures;

/// Most findings that a test names.
const NAMED: usize = 5;

impl Run<'_> {
    /// Restores what is wanted of the files, and reads all of it back.
    pub(super) fn restore_files(&self, survey: &Survey, figures: &mut DrillFigures) -> Result<(), DrillError> {
        let target = self.place.folder("tree")?;
        // It stands for `/`, which all users may pass, also those of a smoke command or of a host that is started. The directory above is closed.
        let open = fs::set_permissions(&target, fs::Permissions::from_mode(0o755));
        open.map_err(|error| DrillError::place("open", &target, error))?;
        let options = RestoreOptions { target: target.clone(), selection: survey.selection.clone(), ..RestoreOptions::default() };
        let summary = restore(self.vault, self.snapshot, &options, self.monitor)?;
        let took = Duration::try_from_secs_f64(summary.seconds).unwrap_or_default();
        figures.restored(summary.files, summary.bytes, took);
        note(figures, "restore", self.judge(&summary, took));
        forget_cached(&target).map_err(|error| DrillError::place("write down", &target, error))?;
        let differences = compare(self.vault, self.snapshot, &target, &survey.selection, self.monitor)?;
        note(figures, "read back", read_back(&summary, &differences));
        Ok(())
    }

    /// Whether the restore brought all that was wanted.
    fn judge(&self, summary: &RestoreSummary, took: Duration) -> Result<String, String> {
        let lost = summary.lost.iter().map(|(path, why)| format!("{path}: {why}"));
        let missing = summary.unmatched.iter().map(|pattern| format!("nothing in the snapshot matches `{pattern}`"));
        let wrong: Vec<String> = lost.chain(summary.incomplete.iter().cloned()).chain(missing).collect();
        if !wrong.is_empty() {
            return Err(named(&wrong));
        }
        let wanted = matches!(self.options.drill.amount, DrillAmount::Files(_) | DrillAmount::Paths(_));
        if wanted && summary.files + summary.others + summary.directories == 0 {
            return Err("nothing was restored: the snapshot has no such files".into());
        }
        if matches!(self.options.drill.amount, DrillAmount::Everything) && summary.files + summary.others == 0 {
            return Err("nothing was restored: the snapshot has no files; was something not mounted when it was made?".into());
        }
        Ok(format!("{} files, {} in {}", summary.files, human::size(summary.bytes), super::seconds(took)))
    }
}

fn read_back(summary: &RestoreSummary, differences: &[Difference]) -> Result<String, String> {
    if differences.is_empty() {
        return Ok(format!("all {} files have the content, size and metadata that the snapshot says", summary.files));
    }
    Err(named(&differences.iter().map(|difference| format!("{} {}", difference.path, difference.what)).collect::<Vec<_>>()))
}

/// The first of several findings, and how many more there are.
pub(super) fn named(findings: &[String]) -> String {
    let first = findings.iter().take(NAMED).cloned().collect::<Vec<_>>().join("; ");
    match findings.len().saturating_sub(NAMED) {
        0 => first,
        more => format!("{first}; and {more} more"),
    }
}

/// Has everything written, and lets go of what the kernel still holds in memory, so that what is read next is what lies on the disk. Filesystems
/// that do not listen, such as ZFS, may answer from memory all the same.
fn forget_cached(tree: &Path) -> io::Result<()> {
    syncfs(File::open(tree)?)?;
    let mut pending = vec![tree.to_owned()];
    while let Some(folder) = pending.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                pending.push(entry.path());
            } else if kind.is_file()
                && let Ok(file) = File::options().read(true).custom_flags(nix::libc::O_NOFOLLOW).open(entry.path())
            {
                // Advice; that it is not taken is no error.
                let _ = posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
            }
        }
    }
    Ok(())
}

impl Run<'_> {
    /// Tells what a test is about while it runs.
    pub(super) fn tell(&self, phase: &'static str) {
        self.monitor.event(Event::Phase(phase));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_findings_the_first_are_named_and_the_rest_is_counted() {
        let findings: Vec<String> = (1..=7).map(|number| format!("finding {number}")).collect();
        assert_eq!(named(&findings), "finding 1; finding 2; finding 3; finding 4; finding 5; and 2 more");
        assert_eq!(named(&findings[..1]), "finding 1");
    }
}
