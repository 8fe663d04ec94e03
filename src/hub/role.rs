//! Roles: what whoever holds a token may do with which objects.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::config::HubRole;
use crate::model::report::Kind;
use crate::store::Folder;

/// What the holder of a token may do in its repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A host that backs up: adds, reads what it needs for that, and neither reads blocks nor deletes.
    Writer,
    /// Reads everything, such as a machine for drills.
    Reader,
    /// The administrator: everything.
    Maintainer,
    /// Whoever looks after the machines: sees how all of them fare, and nothing of any repository.
    Viewer,
    /// The same, who may also ask a host to run a job.
    Operator,
}

impl Role {
    /// Every role.
    pub const ALL: [Role; 5] = [Role::Writer, Role::Reader, Role::Maintainer, Role::Viewer, Role::Operator];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Writer => "writer",
            Role::Reader => "reader",
            Role::Maintainer => "maintainer",
            Role::Viewer => "viewer",
            Role::Operator => "operator",
        }
    }

    /// Whether it is for the whole hub, and for no repository.
    pub const fn is_for_hub(self) -> bool {
        matches!(self, Role::Viewer | Role::Operator)
    }

    /// Whether it may read the bytes of objects in a folder. Names, sizes and times of all objects are seen by every role. Of packs a
    /// writer may read the footer, which says what blocks there are.
    pub fn may_read(self, folder: Folder) -> bool {
        match self {
            Role::Reader | Role::Maintainer => true,
            Role::Writer => folder != Folder::Packs,
            Role::Viewer | Role::Operator => false,
        }
    }

    /// Whether it may create objects in a folder.
    pub fn may_create(self, folder: Folder) -> bool {
        match self {
            Role::Maintainer => true,
            Role::Reader | Role::Viewer | Role::Operator => false,
            Role::Writer => match folder {
                Folder::Packs | Folder::Index | Folder::Refs | Folder::Snapshots | Folder::Commits | Folder::Checkpoints => true,
                // What belongs to maintenance and to the administrator.
                Folder::Repo
                | Folder::Keys
                | Folder::Maps
                | Folder::Condemned
                | Folder::Received
                | Folder::Pins
                | Folder::Forgotten
                | Folder::Prunes => false,
            },
        }
    }

    /// Whether it may ask a host for runs; `own` is one whose repository is the token's.
    pub fn may_trigger(self, own: bool) -> bool {
        match self {
            Role::Operator => true,
            Role::Maintainer => own,
            Role::Writer | Role::Reader | Role::Viewer => false,
        }
    }

    /// Whether it may bring reports of runs of this kind. Whoever reads a repository tries restores, and fetches mirrors.
    pub fn may_report(self, kind: Kind) -> bool {
        match self {
            Role::Writer | Role::Maintainer => true,
            Role::Reader => matches!(kind, Kind::Drill | Kind::Mirror),
            Role::Viewer | Role::Operator => false,
        }
    }

    /// Whether it may delete objects.
    pub fn may_delete(self) -> bool {
        self == Role::Maintainer
    }
}

impl From<HubRole> for Role {
    fn from(role: HubRole) -> Self {
        match role {
            HubRole::Writer => Role::Writer,
            HubRole::Reader => Role::Reader,
            HubRole::Maintainer => Role::Maintainer,
            HubRole::Viewer => Role::Viewer,
            HubRole::Operator => Role::Operator,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|role| role.as_str() == text);
        known.ok_or_else(|| format!("`{text}` is no role; there are writer, reader, maintainer, viewer and operator"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_adds_and_never_deletes_nor_reads_blocks() {
        let made: Vec<_> = Folder::ALL.into_iter().filter(|folder| Role::Writer.may_create(*folder)).map(Folder::as_str).collect();
        assert_eq!(made, ["packs", "index", "refs", "snapshots", "commits", "checkpoints"]);
        assert!(!Role::Writer.may_delete() && !Role::Writer.may_read(Folder::Packs));
        assert!(!Role::Writer.may_trigger(true) && !Role::Reader.may_trigger(true) && !Role::Maintainer.may_trigger(false));
        assert!(!Role::Reader.may_delete() && Folder::ALL.into_iter().all(|folder| Role::Reader.may_read(folder)));
        assert!(!Folder::ALL.into_iter().any(|folder| Role::Reader.may_create(folder)));
    }

    #[test]
    fn who_sees_the_hub_sees_no_repository() {
        for role in Role::ALL.into_iter().filter(|role| role.is_for_hub()) {
            assert!(!Folder::ALL.into_iter().any(|folder| role.may_read(folder) || role.may_create(folder)) && !role.may_delete());
        }
    }

    #[test]
    fn names_of_roles_are_read_back() {
        for role in Role::ALL {
            assert_eq!(role.to_string().parse(), Ok(role));
        }
        assert!("admin".parse::<Role>().unwrap_err().contains("maintainer"));
    }
}
