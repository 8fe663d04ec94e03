//! Whose word counts for what. A host that was taken over may report anything, also drills and mirrors of repositories that are none of its business.

use std::collections::BTreeSet;

use crate::history::JobStatus;
use crate::hub::{Role, Token};

/// Those who are believed whatever they report of: whoever may read a repository can try a restore of it, and of its copies elsewhere.
pub(super) struct Believed(BTreeSet<String>);

impl Believed {
    /// By the tokens that there are.
    pub(super) fn new(tokens: &[Token]) -> Self {
        let readers = tokens.iter().filter(|token| matches!(token.role, Role::Reader | Role::Maintainer));
        Self(readers.map(|token| token.name.clone()).collect())
    }

    /// The jobs whose word counts for a repository: those that report through it, the hub's own, and whoever is believed anyway.
    pub(super) fn about<'j>(&self, repository: &str, jobs: &'j [JobStatus]) -> impl Iterator<Item = &'j JobStatus> {
        let counts = move |job: &&JobStatus| job.repository.is_empty() || job.repository == repository || self.0.contains(&job.host);
        jobs.iter().filter(counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::job::never;

    fn token(name: &str, role: Role) -> Token {
        let token = serde_json::json!({ "id": "1", "name": name, "role": role, "repository": "other", "hash": "" });
        serde_json::from_value(token).unwrap()
    }

    #[test]
    fn who_adds_to_one_repository_has_no_word_about_another() {
        let tokens = [token("evil", Role::Writer), token("drills", Role::Reader), token("admin", Role::Maintainer)];
        let job = |host: &str, through: &str| never(host.into(), through.into());
        let jobs = [job("evil", "other"), job("drills", "other"), job("admin", "other"), job("nas", "nas"), job("hub", "")];
        let believed = Believed::new(&tokens);
        let about = |repository: &str| believed.about(repository, &jobs).map(|job| job.host.as_str()).collect::<Vec<_>>();
        assert_eq!(about("nas"), ["drills", "admin", "nas", "hub"]);
        assert_eq!(about("other"), ["evil", "drills", "admin", "hub"]);
    }
}
