//! What a run was of.

use crate::model::report::Kind;

/// What a run was of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A job, or what looks after its repositories.
    Job(String),
    /// A mirror.
    Mirror(String),
    /// A drill.
    Drill(String),
    /// A repository in which house is kept.
    Maintain(String),
    /// The hub.
    Hub,
}

impl Subject {
    /// Its kind in one word, as the configuration has it.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Job(_) => "job",
            Self::Mirror(_) => "mirror",
            Self::Drill(_) => "drill",
            Self::Maintain(_) => "repository",
            Self::Hub => "hub",
        }
    }

    /// Its name in the configuration; there is one hub only.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Job(name) | Self::Mirror(name) | Self::Drill(name) | Self::Maintain(name) => Some(name),
            Self::Hub => None,
        }
    }

    /// Its key in the configuration.
    pub fn key(&self) -> String {
        match self {
            Self::Job(name) => format!("jobs.{name}"),
            Self::Mirror(name) => format!("mirrors.{name}"),
            Self::Drill(name) => format!("drills.{name}"),
            Self::Maintain(name) => format!("repositories.{name}"),
            Self::Hub => "hub".to_owned(),
        }
    }

    /// The name, without `.service`, of the unit that does something for it, or with no `task` of the one that runs it.
    pub fn unit_for(&self, task: &str) -> String {
        match self {
            Self::Job(name) => format!("hearth-backup-{task}{name}"),
            Self::Mirror(name) => format!("hearth-backup-{task}mirror-{name}"),
            Self::Drill(name) => format!("hearth-backup-{task}drill-{name}"),
            Self::Maintain(name) => format!("hearth-backup-{task}maintain-{name}"),
            // What it does without anybody asking; its server does not end.
            Self::Hub => format!("hearth-backup-{task}hub{}", if task.is_empty() { "-maintain" } else { "" }),
        }
    }

    /// Whether a unit is the one that runs it: `hearth-backup-NAME.service`, or an instance `hearth-backup@NAME.service`.
    pub(super) fn is_run_by(&self, unit: &str) -> bool {
        unit.strip_suffix(".service").is_some_and(|unit| unit.replacen('@', "-", 1) == self.unit_for(""))
    }

    /// What its runs are called in reports.
    pub(super) fn reported(&self) -> Vec<(Kind, String)> {
        match self {
            Self::Job(name) => vec![(Kind::Backup, name.clone())],
            Self::Mirror(name) => vec![(Kind::Mirror, name.clone())],
            Self::Drill(name) => vec![(Kind::Drill, name.clone())],
            Self::Maintain(name) => [Kind::Maintain, Kind::Forget, Kind::Prune, Kind::Check].map(|kind| (kind, name.clone())).to_vec(),
            // Nothing in a configuration is called so.
            Self::Hub => [Kind::Maintain, Kind::Mirror].map(|kind| (kind, "hub/all".to_owned())).to_vec(),
        }
    }

    /// Its variable in the environment of a program, and the value.
    pub(super) fn variable(&self) -> Option<(&'static str, &str)> {
        match self {
            Self::Job(name) => Some(("HEARTH_JOB", name)),
            Self::Mirror(name) => Some(("HEARTH_MIRROR", name)),
            Self::Drill(name) => Some(("HEARTH_DRILL", name)),
            Self::Maintain(name) => Some(("HEARTH_REPOSITORY", name)),
            Self::Hub => None,
        }
    }

    /// What it is called at the beginning of a sentence, in its middle, and in a title.
    pub(super) fn words(&self) -> (String, String, String) {
        match self {
            Self::Job(name) => (format!("Job {name}"), format!("job {name}"), format!("backup {name}")),
            Self::Mirror(name) => (format!("Mirror {name}"), format!("mirror {name}"), format!("mirror {name}")),
            Self::Drill(name) => (format!("Drill {name}"), format!("drill {name}"), format!("drill {name}")),
            Self::Maintain(name) => (format!("Keeping house in {name}"), format!("repository {name}"), format!("keeping house in {name}")),
            Self::Hub => ("The hub".to_owned(), "the hub".to_owned(), "hub".to_owned()),
        }
    }

    /// How to start it by hand.
    pub(super) fn command(&self) -> String {
        match self {
            Self::Job(name) => format!("hearth-backup run {name}"),
            Self::Mirror(name) => format!("hearth-backup mirror {name}"),
            Self::Drill(name) => format!("hearth-backup drill {name}"),
            Self::Maintain(name) => format!("hearth-backup maintain {name}"),
            Self::Hub => "hearth-backup hub maintain".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_runs_a_job_or_is_an_instance_for_it() {
        let job = Subject::Job("state".into());
        assert!(job.is_run_by("hearth-backup-state.service") && job.is_run_by("hearth-backup@state.service"));
        assert!(!job.is_run_by("hearth-backup-prune-state.service") && !job.is_run_by("hearth-backup-state"));
        assert!(Subject::Maintain("disk".into()).is_run_by("hearth-backup-maintain@disk.service"));
        assert!(Subject::Hub.is_run_by("hearth-backup-hub-maintain.service"));
    }
}
