//! Files: restored, and then read back from where they lie.

use std::collections::BTreeMap;
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
use crate::model::event::{Event, Monitor, Severity};
use crate::model::human;
use crate::model::report::DrillFigures;

/// Most findings that a test names.
const NAMED: usize = 5;
/// Most paths that it names of which the same is true.
const FOLDED: usize = 3;

impl Run<'_> {
    /// Restores what is wanted of the files, and reads all of it back.
    pub(super) fn restore_files(&self, survey: &Survey, figures: &mut DrillFigures) -> Result<(), DrillError> {
        let target = self.place.folder("tree")?;
        // It stands for `/`, which all users may pass, also those of a smoke command or of a host that is started. The directory above is closed.
        let open = fs::set_permissions(&target, fs::Permissions::from_mode(0o755));
        open.map_err(|error| DrillError::place("open", &target, error))?;
        let options = RestoreOptions { target: target.clone(), selection: survey.selection.clone(), ..RestoreOptions::default() };
        let summary = restore(self.vault, self.snapshot, &options, &Quiet(self.monitor))?;
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
        // What was put below the scratch directory is known by its path in the snapshot.
        let tree = self.tree().display().to_string();
        let shown = |text: &String| text.replace(&tree, "");
        let lost = folded(summary.lost.iter().map(|(path, why)| (shown(path), format!(": {}", shown(why)))));
        let missing = summary.unmatched.iter().map(|pattern| format!("nothing in the snapshot matches `{pattern}`"));
        let wrong: Vec<String> = lost.into_iter().chain(summary.incomplete.iter().map(shown)).chain(missing).collect();
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
        Ok(format!("{}, {} in {}", human::count(summary.files, "file"), human::size(summary.bytes), super::seconds(took)))
    }
}

fn read_back(summary: &RestoreSummary, differences: &[Difference]) -> Result<String, String> {
    if differences.is_empty() {
        return Ok(match summary.files {
            0 => "no file was restored; everything else has the metadata that the snapshot says".to_owned(),
            1 => "the file has the content, size and metadata that the snapshot says".to_owned(),
            files => format!("all {files} files have the content, size and metadata that the snapshot says"),
        });
    }
    Err(named(&folded(differences.iter().map(|Difference { path, what }| (path.clone(), format!(" {what}"))))))
}

/// What was found of paths, in the order of the first of them: what is the same of several is said once.
fn folded(found: impl Iterator<Item = (String, String)>) -> Vec<String> {
    let mut paths_of: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (path, what) in found {
        paths_of.entry(what).or_default().push(path);
    }
    paths_of.values_mut().for_each(|paths| paths.sort_unstable());
    let mut groups: Vec<(String, Vec<String>)> = paths_of.into_iter().collect();
    groups.sort_by(|(_, one), (_, other)| one.cmp(other));
    let text = |(what, paths): (String, Vec<String>)| {
        let first = paths.iter().take(FOLDED).cloned().collect::<Vec<_>>().join(", ");
        match paths.len().saturating_sub(FOLDED) {
            0 => format!("{first}{what}"),
            more => format!("{first} and {more} more{what}"),
        }
    };
    groups.into_iter().map(text).collect()
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

/// Without what is lost, one by one: the test tells it.
struct Quiet<'a>(&'a dyn Monitor);

impl Monitor for Quiet<'_> {
    fn event(&self, event: Event) {
        if !matches!(event, Event::Finding { severity: Severity::Error, .. }) {
            self.0.event(event);
        }
    }

    fn cancelled(&self) -> bool {
        self.0.cancelled()
    }
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
    fn what_is_the_same_of_many_paths_is_said_once() {
        let rotten = (1..=9).rev().map(|number| (format!("/srv/f{number}"), ": its pack has changed".to_owned()));
        let found = rotten.chain([("/etc/a".to_owned(), ": no memory".to_owned())]);
        assert_eq!(folded(found), ["/etc/a: no memory", "/srv/f1, /srv/f2, /srv/f3 and 6 more: its pack has changed"]);
    }

    #[test]
    fn of_many_findings_the_first_are_named_and_the_rest_is_counted() {
        let findings: Vec<String> = (1..=7).map(|number| format!("finding {number}")).collect();
        assert_eq!(named(&findings), "finding 1; finding 2; finding 3; finding 4; finding 5; and 2 more");
        assert_eq!(named(&findings[..1]), "finding 1");
    }
}
