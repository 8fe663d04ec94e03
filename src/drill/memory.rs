//! What a drill has seen of a repository: whoever keeps it can withhold its newest snapshots, or put back an old state of all of it, and nobody who looks for the first
//! time would notice. The next drill does.
//!
//! Each writer counts its snapshots. A number that was seen once and is not reached any more has been withheld, or forgotten by hand.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Candidate, DrillError};
use crate::sealed::repository::Repository;
use crate::store::durable;

/// The file, beside the drill's lock.
const FILE: &str = "seen.json";

/// The highest number of each writer's snapshots.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    /// Which repository it is about.
    repository: String,
    /// By writer.
    writers: BTreeMap<String, u64>,
}

/// Looks whether all writers' newest snapshots are there that were there before, and remembers those that are new; in words, or what is missing.
pub(super) fn newest(repository: &Repository, candidates: &[Candidate], folder: &Path) -> Result<Result<String, String>, DrillError> {
    let mut there: BTreeMap<String, u64> = BTreeMap::new();
    for snapshot in candidates.iter().map(|candidate| &candidate.snapshot).filter(|snapshot| snapshot.counts()) {
        let best = there.entry(snapshot.envelope.writer.to_string()).or_default();
        *best = snapshot.envelope.sequence.max(*best);
    }
    let writers = repository.statement().writers.iter().filter(|writer| writer.closed.is_none());
    let open: BTreeMap<String, String> = writers.map(|writer| (writer.id.to_string(), writer.name.clone())).collect();
    let path = folder.join(FILE);
    let id = repository.id().to_bech32();
    let mut seen = read(&path).filter(|seen| seen.repository == id).unwrap_or_default();
    let found = compare(&seen.writers, &there, &open, &path);
    for (writer, sequence) in there {
        let best = seen.writers.entry(writer).or_default();
        *best = sequence.max(*best);
    }
    seen.repository = id;
    let bytes = serde_json::to_vec(&seen).map_err(|error| DrillError::Place(error.to_string()))?;
    durable::replace(&path, &bytes).map_err(|error| DrillError::place("write", &path, error))?;
    Ok(found)
}

/// What cannot be read is as good as nothing seen.
fn read(path: &PathBuf) -> Option<Seen> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

fn compare(
    seen: &BTreeMap<String, u64>,
    there: &BTreeMap<String, u64>,
    open: &BTreeMap<String, String>,
    path: &Path,
) -> Result<String, String> {
    let missing = seen.iter().filter_map(|(writer, number)| {
        let name = open.get(writer)?;
        let now = there.get(writer).copied().unwrap_or(0);
        (now < *number).then(|| format!("of writer `{name}` snapshot number {number} was there, and now the newest is {now}"))
    });
    let missing: Vec<String> = missing.collect();
    if missing.is_empty() {
        return Ok(match open.len() {
            0 => "all writers are closed".to_owned(),
            1 => "its writer is as far as it was seen before, or further".to_owned(),
            writers => format!("all {writers} writers are as far as they were seen before, or further"),
        });
    }
    let advice = format!(
        "the repository was put back, or somebody withholds snapshots; if they were forgotten on purpose, remove {}",
        path.display()
    );
    Err(format!("{}; {advice}", super::files::named(&missing)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(of: &[(&str, u64)]) -> BTreeMap<String, u64> {
        of.iter().map(|(writer, number)| ((*writer).to_owned(), *number)).collect()
    }

    #[test]
    fn a_number_that_was_seen_must_be_reached_again_unless_its_writer_is_closed() {
        let open: BTreeMap<String, String> = [("a", "web1"), ("b", "web2")].map(|(id, name)| (id.to_owned(), name.to_owned())).into();
        let look = |seen: &[(&str, u64)], there: &[(&str, u64)]| compare(&numbers(seen), &numbers(there), &open, Path::new("/seen.json"));
        assert!(look(&[], &[("a", 1)]).unwrap().starts_with("all 2 writers are"));
        let one: BTreeMap<String, String> = [("a".to_owned(), "web1".to_owned())].into();
        assert!(compare(&numbers(&[]), &numbers(&[]), &one, Path::new("/seen.json")).unwrap().starts_with("its writer is"));
        assert!(look(&[("a", 3)], &[("a", 3), ("b", 1)]).is_ok());
        assert!(look(&[("closed", 3)], &[("a", 3)]).is_ok());
        let missing = look(&[("a", 3), ("b", 7)], &[("a", 2)]).unwrap_err();
        assert!(missing.contains("`web1` snapshot number 3 was there, and now the newest is 2"), "{missing}");
        assert!(missing.contains("`web2` snapshot number 7") && missing.contains("remove /seen.json"), "{missing}");
    }
}
