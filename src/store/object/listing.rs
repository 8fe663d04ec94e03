//! Listing: the keys of a bucket come in the order of their names, a thousand an answer, across folders.
//!
//! ```text
//!   checkpoints/.. commits/.. condemned/.. index/.. packs/.. ........ snapshots/..
//!   |------------ one answer ------------| |-- not asked for: jumped over --| |--
//! ```
//!
//! So one request lists all of a small repository, and several folders of a large one cost no more than each by itself.
//!
//! Services that cannot begin behind a key are asked for one folder after the other, and again from the beginning if that breaks off.

use std::future::IntoFuture as _;

use futures_util::StreamExt as _;
use opendal::{Entry, Error, ErrorKind};

use super::answer::Failure;
use super::{ObjectStore, TEMPORARY, info};
use crate::store::attempt::{ANSWER, LISTING, Silence};
use crate::store::name::by_name;
use crate::store::{Folder, ObjectInfo, ObjectName};

/// Keys in an answer, at most: reading on this far may cost nothing, further certainly costs a request.
const PAGE: usize = 1000;

/// How far a listing came.
enum Stretch {
    /// Behind the last key, or out of all folders wanted.
    Done,
    /// It broke off, or read as much as an answer holds of what nobody wants; it goes on behind this key.
    From(String),
}

impl ObjectStore {
    /// All objects of some folders. A listing that breaks off goes on behind the last key that it brought.
    pub(super) fn sweep(&self, folders: &[Folder]) -> Result<Vec<ObjectInfo>, (Folder, Failure)> {
        let folders = by_name(folders);
        if !self.0.operator.info().capability().list_with_start_after {
            return self.sweep_each(&folders);
        }
        let mut found = Vec::new();
        let Some(first) = folders.first() else { return Ok(found) };
        let mut after = format!("{first}/");
        loop {
            let stretch = |_| self.read(&folders, after.clone());
            let here = || folders.iter().rev().find(|folder| is_behind(&after, **folder)).unwrap_or(first);
            let (more, end) = self.0.attempts.run(LISTING, stretch).0.map_err(|failure| (*here(), failure))?;
            found.extend(more);
            match end {
                Stretch::Done => return Ok(found),
                Stretch::From(key) => after = key,
            }
        }
    }

    fn sweep_each(&self, folders: &[Folder]) -> Result<Vec<ObjectInfo>, (Folder, Failure)> {
        let mut found = Vec::new();
        for folder in folders {
            let path = self.below(&format!("{folder}/"));
            let list = |_| self.0.operator.list_with(&path).recursive(true).into_future();
            let entries = self.0.attempts.run(LISTING, list).0.map_err(|failure| (*folder, failure))?;
            for entry in &entries {
                let path = self.path_of(entry).map_err(|error| (*folder, error.into()))?;
                found.extend(object(*folder, path, entry));
            }
        }
        Ok(found)
    }

    /// Names of top-level folders that are not ours.
    pub(super) fn strangers(&self) -> Result<Vec<String>, Failure> {
        let top = self.below("");
        let entries = self.0.attempts.run(LISTING, |_| self.0.operator.list(&top)).0?;
        let paths: Vec<_> = entries.iter().map(|entry| self.path_of(entry)).collect::<opendal::Result<_>>()?;
        let folders = paths.into_iter().filter_map(|path| path.strip_suffix('/')).filter(|name| !name.is_empty());
        let known = |name: &str| Folder::ALL.iter().any(|folder| folder.as_str() == name) || (self.0.renames && name == TEMPORARY);
        Ok(folders.filter(|name| !known(name)).map(str::to_owned).collect())
    }

    /// The path in the repository of what was listed. A server may list anything, whatever it was asked for.
    fn path_of<'a>(&self, entry: &'a Entry) -> opendal::Result<&'a str> {
        let root = &self.0.place.root;
        entry.path().strip_prefix(root).ok_or_else(|| {
            let why = format!("the server lists `{}`, where it was asked for what begins with `{root}`", entry.path());
            Error::new(ErrorKind::Unsupported, why)
        })
    }

    /// Reads the objects of some folders, in the order of their names, from behind a key on.
    async fn read(&self, folders: &[Folder], after: String) -> opendal::Result<(Vec<ObjectInfo>, Stretch)> {
        // A folder alone is asked for by its name: with that, a server need not look at any other.
        let below = match folders {
            [folder] => self.below(&format!("{folder}/")),
            _ => self.below(""),
        };
        let mut lister = self.0.operator.lister_with(&below).recursive(true).start_after(&self.below(&after)).await?;
        let mut found = Vec::new();
        let mut last: Option<String> = None;
        let mut unwanted = 0;
        loop {
            let entry = match tokio::time::timeout(ANSWER, lister.next()).await {
                Ok(None) => return Ok((found, Stretch::Done)),
                Ok(Some(Ok(entry))) => entry,
                Ok(Some(Err(error))) => return last.map(|key| (found, Stretch::From(key))).ok_or(error),
                Err(_) => {
                    let silent = || Error::new(ErrorKind::Unexpected, Silence(ANSWER).to_string()).set_temporary();
                    return last.map(|key| (found, Stretch::From(key))).ok_or_else(silent);
                }
            };
            let path = self.path_of(&entry)?;
            if path <= last.as_deref().unwrap_or(&after) {
                // Snapshots could be overlooked, and what they need be deleted.
                let why = format!("the server lists names out of order: `{}` behind `{}`", path, last.unwrap_or(after));
                return Err(Error::new(ErrorKind::Unsupported, why));
            }
            match folders.iter().find(|folder| path.split('/').next() == Some(folder.as_str())) {
                Some(folder) => {
                    unwanted = 0;
                    found.extend(object(*folder, path, &entry));
                }
                None => {
                    unwanted += 1;
                    if unwanted == PAGE {
                        let next = folders.iter().find(|folder| !is_behind(path, **folder));
                        return Ok((found, next.map_or(Stretch::Done, |next| Stretch::From(format!("{next}/")))));
                    }
                }
            }
            last = Some(path.to_owned());
        }
    }
}

/// Whether a key does not lie before a folder.
fn is_behind(key: &str, folder: Folder) -> bool {
    key >= format!("{folder}/").as_str()
}

fn object(folder: Folder, path: &str, entry: &Entry) -> Option<ObjectInfo> {
    Some(info(object_name(folder, path)?, entry.metadata()))
}

/// The object that a path below a folder names.
fn object_name(folder: Folder, path: &str) -> Option<ObjectName> {
    let rest = path.strip_prefix(folder.as_str())?.strip_prefix('/')?;
    let leaf = match folder {
        Folder::Packs => rest.split_once('/').filter(|(shard, leaf)| shard.len() == 2 && leaf.starts_with(shard))?.1,
        _ => rest,
    };
    ObjectName::new(folder, leaf)
}
