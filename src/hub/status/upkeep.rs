//! What the hub's housekeeping wrote down of a repository.

use super::{MirrorUpkeep, Upkeep};
use crate::config;
use crate::hub::upkeep::{Outcome, Record, Step, within};

/// Of a repository; none before it first ran there.
pub(super) fn of(settings: &config::Hub, repository: &str) -> Option<Upkeep> {
    let record = match Record::read(&settings.data_dir, repository) {
        Ok(record) => record,
        Err(error) => {
            return Some(Upkeep { problems: vec![format!("what housekeeping wrote down cannot be read: {error}")], ..Upkeep::default() });
        }
    };
    // One that the configuration no longer has is no copy to count on.
    let configured: Vec<_> = settings.mirrors.iter().filter(|(_, mirror)| mirror.takes(repository)).collect();
    if record == Record::default() && configured.is_empty() {
        return None;
    }
    let steps = [problem("forget", &record.forget), problem("prune", &record.prune), problem("verify", &record.verify)];
    let mirrors = configured.into_iter().map(|(name, mirror)| {
        let step = record.mirrors.get(name);
        MirrorUpkeep {
            name: name.clone(),
            media: mirror.media.clone(),
            offsite: mirror.offsite,
            last_success: step.and_then(|step| step.done_at),
            error: step.and_then(said),
            last_drill: None,
        }
    });
    Some(Upkeep {
        forgot: record.forget.done_at,
        pruned: record.prune.done_at,
        verified: record.verify.done_at,
        read_in_full: record.verify.done.as_ref().and_then(|verified| verified.turn.whole_since()),
        problems: steps.into_iter().flatten().collect(),
        mirrors: mirrors.collect(),
    })
}

fn problem<T>(name: &str, step: &Step<T>) -> Option<String> {
    Some(format!("{name}: {}", said(step)?))
}

/// What is wrong with the last run of a step.
fn said<T>(step: &Step<T>) -> Option<String> {
    if !matches!(step.outcome, Outcome::Failed | Outcome::Problems) {
        return None;
    }
    Some(if step.messages.is_empty() { "it failed".to_owned() } else { step.messages.join("; ") })
}

/// In which time every byte shall be read once, in seconds; none if that is not wanted.
pub(super) fn verify_within(settings: &config::Hub) -> Option<u64> {
    u64::try_from(within(settings).as_secs()).ok().filter(|seconds| *seconds > 0)
}
