//! Names of snapshots: recognisable, so that what a killed run left behind is found without any notes.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// How all of them begin.
const PREFIX: &str = "hearth-backup-";
/// How the time of the run is written; always in UTC.
const TIME: &str = "%Y%m%dT%H%M%SZ";
/// Its length in bytes.
const TIME_LENGTH: usize = 16;

/// Letters of the tag.
const TAG_LENGTH: usize = 8;

/// Names the snapshots of one run of a job: `hearth-backup-<job>-<time>-<tag>-<number>`.
#[derive(Debug, Clone)]
pub struct Names {
    job: String,
    time: Timestamp,
    /// Tells apart jobs of the same name whose states lie in different places: their locks know nothing of each other.
    tag: String,
    given: usize,
}

impl Names {
    /// For a run of `job` that began at `time`, and whose lock lies in `state`.
    pub fn new(job: &str, state: &Path, time: Timestamp) -> Self {
        let hash = blake3::hash(state.as_os_str().as_bytes()).to_hex();
        Self { job: job.to_owned(), time, tag: hash.as_str().chars().take(TAG_LENGTH).collect(), given: 0 }
    }

    /// A name that this run has not used.
    pub fn fresh(&mut self) -> String {
        self.given += 1;
        let time = self.time.to_zoned(TimeZone::UTC).strftime(TIME);
        format!("{PREFIX}{}-{time}-{}-{}", self.job, self.tag, self.given)
    }

    /// Whether a run of the job, this one or another, gave this name.
    pub fn is_ours(&self, name: &str) -> bool {
        let rest = name.strip_prefix(PREFIX).and_then(|rest| rest.strip_prefix(self.job.as_str()));
        // A job's name may begin with that of another, so all of the rest counts.
        let Some((time, rest)) = rest.and_then(|rest| rest.strip_prefix('-')?.split_at_checked(TIME_LENGTH)) else { return false };
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let time = time.strip_suffix('Z').and_then(|time| time.split_once('T'));
        let number = rest.strip_prefix('-').and_then(|rest| rest.strip_prefix(self.tag.as_str())?.strip_prefix('-'));
        time.is_some_and(|(day, time)| digits(day) && digits(time)) && number.is_some_and(digits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_a_job_are_told_from_those_of_others() {
        let moment = "2026-11-21T14:33:10Z".parse().unwrap();
        let state = Path::new("/var/lib/hearth-backup/jobs/state");
        let mut names = Names::new("state", state, moment);
        let first = names.fresh();
        let tag = names.tag.clone();
        assert_eq!(first, format!("hearth-backup-state-20261121T143310Z-{tag}-1"));
        assert!(names.fresh().ends_with("-2"));
        let later = Names::new("state", state, "2027-01-01T00:00:00Z".parse().unwrap());
        assert!(later.is_ours(&first));
        assert!(!Names::new("state", Path::new("/home/me/jobs/state"), moment).is_ours(&first), "another lock guards it");
        for stranger in [
            format!("hearth-backup-state-b-20261121T143310Z-{tag}-1"),
            format!("hearth-backup-sta-20261121T143310Z-{tag}-1"),
            format!("hearth-backup-state-20261121T143310Z-{tag}"),
            format!("hearth-backup-state-20261121T143310Z-{tag}-x"),
            format!("hearth-backup-state-20261121T143310Zé{tag}-1"),
            format!("state-20261121T143310Z-{tag}-1"),
            "hearth-backup-state-".into(),
            "hearth-backup-state-weekly".into(),
        ] {
            assert!(!later.is_ours(&stranger), "{stranger}");
        }
    }
}
