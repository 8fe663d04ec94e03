//! Where this machine keeps its state, and which repositories it knows.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::content::backup::state::save_bytes;
use crate::model::id::RepositoryId;

/// Hosts whose root filesystem is empty at every boot keep their state here.
const PERSISTENT: &str = "/persist/system/var/lib";

/// The default of `--state`.
///
/// # Errors
/// If there is no home directory.
pub fn default_base() -> anyhow::Result<PathBuf> {
    if nix::unistd::Uid::effective().is_root() {
        let persistent = Path::new(PERSISTENT);
        let base = if persistent.is_dir() { persistent } else { Path::new("/var/lib") };
        return Ok(base.join("hearth-backup"));
    }
    let set = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = set("XDG_STATE_HOME").or_else(|| set("HOME").map(|home| home.join(".local/state")));
    Ok(home.context("HOME is not set, so there is no place for this machine's state; give one with --state")?.join("hearth-backup"))
}

/// Repositories by location, as ssh keeps known hosts: a place must not turn into another repository unnoticed.
#[derive(Debug, Clone, Default)]
pub struct Known {
    file: PathBuf,
    ids: BTreeMap<String, String>,
}

impl Known {
    /// What is known under the state directory `base`; nothing if that cannot be read.
    pub fn load(base: &Path) -> Self {
        let file = base.join("known-repositories.json");
        let ids = std::fs::read(&file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        Self { file, ids }
    }

    /// The repository that was at `location` before.
    pub fn get(&self, location: &str) -> Option<RepositoryId> {
        self.ids.get(location).and_then(|id| RepositoryId::from_bech32(id).ok())
    }

    /// Remembers it. Not being able to is no failure: then the question comes again.
    pub fn remember(&mut self, location: &str, id: RepositoryId) {
        if self.get(location) == Some(id) {
            return;
        }
        self.ids.insert(location.to_owned(), id.to_bech32());
        let saved = serde_json::to_vec_pretty(&self.ids).map_err(anyhow::Error::new).and_then(|text| Ok(save_bytes(&self.file, &text)?));
        if let Err(error) = saved {
            tracing::debug!("the repository's id is not remembered: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_repository_is_remembered_by_its_location() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (RepositoryId::from_bytes([1; 32]), RepositoryId::from_bytes([2; 32]));
        let mut known = Known::load(folder.path());
        assert_eq!(known.get("/srv"), None);
        known.remember("/srv", one);
        known.remember("/mnt", two);
        let known = Known::load(folder.path());
        assert_eq!((known.get("/srv"), known.get("/mnt")), (Some(one), Some(two)));
    }
}
