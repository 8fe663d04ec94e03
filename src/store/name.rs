//! Object names: which folders there are and how names are spelled in them.

use std::fmt;

/// The folders of a repository (design of the format: `docs/format.md`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Folder {
    /// Statements, numbered.
    Repo,
    /// The content key, sealed to one restore recipient each.
    Keys,
    /// Packs, in 256 sub-folders by the first byte of their id.
    Packs,
    /// Index objects.
    Index,
    /// Refs objects.
    Refs,
    /// Snapshots.
    Snapshots,
    /// Marks of verified snapshots.
    Commits,
    /// Roots of unfinished runs.
    Checkpoints,
    /// Where prune moved blocks.
    Maps,
    /// What prune will delete.
    Condemned,
    /// When the keeper received a snapshot.
    Received,
    /// Snapshots kept whatever the policy says.
    Pins,
    /// Forgotten snapshots that can still be brought back.
    Forgotten,
    /// Announcements of running prunes.
    Prunes,
}

impl Folder {
    /// Every folder, in the order in which they are documented.
    pub const ALL: [Folder; 14] = [
        Folder::Repo,
        Folder::Keys,
        Folder::Packs,
        Folder::Index,
        Folder::Refs,
        Folder::Snapshots,
        Folder::Commits,
        Folder::Checkpoints,
        Folder::Maps,
        Folder::Condemned,
        Folder::Received,
        Folder::Pins,
        Folder::Forgotten,
        Folder::Prunes,
    ];

    /// Its name in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Folder::Repo => "repo",
            Folder::Keys => "keys",
            Folder::Packs => "packs",
            Folder::Index => "index",
            Folder::Refs => "refs",
            Folder::Snapshots => "snapshots",
            Folder::Commits => "commits",
            Folder::Checkpoints => "checkpoints",
            Folder::Maps => "maps",
            Folder::Condemned => "condemned",
            Folder::Received => "received",
            Folder::Pins => "pins",
            Folder::Forgotten => "forgotten",
            Folder::Prunes => "prunes",
        }
    }
}

/// Folders in the order of their names, each once.
pub(super) fn by_name(folders: &[Folder]) -> Vec<Folder> {
    let mut folders = folders.to_vec();
    folders.sort_unstable_by_key(|folder| folder.as_str());
    folders.dedup();
    folders
}

impl fmt::Display for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A name within a [`Folder`]: lower-case letters and digits only, 1 to 64 of them, so that it is a safe file name
/// and object key everywhere. In `packs/` the path gets a level more: `packs/ab/abcd...`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectName {
    folder: Folder,
    leaf: String,
}

impl ObjectName {
    /// The name `leaf` in `folder`, or `None` if it is not spelled as a name must be.
    pub fn new(folder: Folder, leaf: impl Into<String>) -> Option<Self> {
        let leaf = leaf.into();
        let valid = (1..=64).contains(&leaf.len())
            && leaf.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase())
            && (folder != Folder::Packs || leaf.len() >= 3);
        valid.then_some(Self { folder, leaf })
    }

    /// The name of an object whose id is 32 bytes; such names are always valid.
    pub fn of_id(folder: Folder, id: &[u8; 32]) -> Self {
        Self { folder, leaf: crate::model::id::hex(id) }
    }

    /// The folder.
    pub fn folder(&self) -> Folder {
        self.folder
    }

    /// The name within the folder.
    pub fn leaf(&self) -> &str {
        &self.leaf
    }

    /// The path within the store, with `/`.
    pub fn path(&self) -> String {
        match self.folder {
            Folder::Packs => format!("packs/{}/{}", &self.leaf[..2], self.leaf),
            folder => format!("{folder}/{}", self.leaf),
        }
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path())
    }
}
