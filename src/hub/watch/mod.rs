//! Watching: what becomes wrong, and right again, without anybody asking; among it the silence of a host, which only others can notice.
//!
//! ```text
//!   Status --> concerns, each with a name that stays while it lasts
//!                --> against DATA/own/watch.json: what began, what lasts, what ended --> people are told --> written down
//! ```
//!
//! Whoever could not be told is told at the next look: only then it is written down.

mod concern;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::concern::Concern;
use self::concern::Found;
use super::status::View;
use super::{Hub, OWN};
use crate::store::durable;
use crate::store::hub::protocol::Refusal;

/// Bytes of what is written down that are read.
const LARGEST: u64 = 16 << 20;

/// Bytes that are kept for a disk that is full.
const SPARE: usize = 64 << 10;

/// Why the hub cannot be watched.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// It cannot be seen how everything fares.
    #[error("the hub cannot see how everything fares: {}", .0.message)]
    Status(Refusal),
    /// What is written down cannot be used.
    #[error("{} cannot be used: {source}; if it is damaged remove it, and people are told of everything once more", path.display())]
    Memory {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It cannot be known whether somebody else is telling.
    #[error("cannot lock {}: {source}", path.display())]
    Lock {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What is known from the last look, by the concerns' names.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Memory {
    concerns: BTreeMap<String, Lasting>,
}

/// A concern that people were told of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lasting {
    /// Since when it is known.
    pub since: Timestamp,
    /// What it is.
    #[serde(flatten)]
    pub concern: Concern,
}

/// What a look has found.
#[derive(Debug, Serialize)]
pub struct Look {
    /// When it was.
    pub now: Timestamp,
    /// What people have not been told of yet.
    pub began: Vec<Concern>,
    /// What they know.
    pub lasting: Vec<Lasting>,
    /// What they were told of, and is no more.
    pub ended: Vec<Lasting>,
}

/// That nobody else looks and tells meanwhile.
#[derive(Debug)]
pub struct Turn {
    _file: File,
}

impl Hub {
    /// Waits until nobody else looks and tells.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn turn(&self) -> Result<Turn, WatchError> {
        let path = self.settings.data_dir.join(OWN).join("watch.lock");
        let taken = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| File::create(&path)).and_then(|file| {
            file.lock()?;
            Ok(Turn { _file: file })
        });
        taken.map_err(|source| WatchError::Lock { path, source })
    }

    /// Looks how everything fares.
    ///
    /// # Errors
    /// If the hub cannot see it, or what it wrote down cannot be read.
    pub fn look(&self) -> Result<Look, WatchError> {
        let status = self.status(&View::All).map_err(WatchError::Status)?;
        let found = concern::of(&status, &self.settings.watch);
        let mut look = self.remembered()?.against(found, status.now);
        // Of a repository that cannot be read it is not known whether anything is right again.
        let is_unknown = |lasting: &Lasting| status.unreadable.keys().any(|name| lasting.concern.name.ends_with(&format!(" {name}")));
        let (unknown, ended): (Vec<Lasting>, Vec<Lasting>) = std::mem::take(&mut look.ended).into_iter().partition(is_unknown);
        look.lasting.extend(unknown);
        look.ended = ended;
        Ok(look)
    }

    /// Writes down that people know of what a look has found.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn remember(&self, look: &Look) -> Result<(), WatchError> {
        let began = look.began.iter().map(|concern| Lasting { since: look.now, concern: concern.clone() });
        let concerns = began.chain(look.lasting.iter().cloned()).map(|lasting| (lasting.concern.name.clone(), lasting)).collect();
        let path = self.memory();
        let text =
            serde_json::to_vec(&Memory { concerns }).map_err(|error| WatchError::Memory { path: path.clone(), source: error.into() })?;
        let spare = path.with_extension("spare");
        let written = match durable::replace(&path, &text) {
            // Whoever cannot write down that people know would tell them again and again.
            Err(error) if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
                durable::remove(&spare).and_then(|()| durable::replace(&path, &text))
            }
            written => written,
        };
        // Best effort, for the next time that the disk is full.
        if written.is_ok() && !spare.exists() {
            let _ = durable::replace(&spare, &vec![0; text.len().max(SPARE)]);
        }
        written.map_err(|source| WatchError::Memory { path, source })
    }

    fn memory(&self) -> PathBuf {
        self.settings.data_dir.join(OWN).join("watch.json")
    }

    fn remembered(&self) -> Result<Memory, WatchError> {
        let path = self.memory();
        let unusable = |error: io::Error| WatchError::Memory { path: path.clone(), source: error };
        match durable::read(&path, LARGEST).map_err(unusable)? {
            Some(bytes) => serde_json::from_slice(&bytes).map_err(|error| unusable(error.into())),
            None => Ok(Memory::default()),
        }
    }
}

impl Memory {
    fn against(mut self, found: Found, now: Timestamp) -> Look {
        let (mut began, mut lasting) = (Vec::new(), Vec::new());
        for concern in found.concerns {
            match self.concerns.remove(&concern.name) {
                // What is said of it may have changed meanwhile, such as an age.
                Some(known) => lasting.push(Lasting { concern, ..known }),
                None if found.explained.contains(&concern.name) => {}
                None => began.push(concern),
            }
        }
        let (still, ended): (Vec<Lasting>, Vec<Lasting>) =
            self.concerns.into_values().partition(|lasting| found.cut.contains(&lasting.concern.name));
        lasting.extend(still);
        Look { now, began, lasting, ended }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::config::Cause;
    use crate::history::Severity;

    fn concern(name: &str, text: &str) -> Concern {
        Concern { name: name.into(), cause: Cause::Silent, severity: Severity::Error, text: text.into() }
    }

    fn found(concerns: Vec<Concern>, explained: &[&str]) -> Found {
        Found { concerns, explained: explained.iter().map(ToString::to_string).collect(), cut: BTreeSet::new() }
    }

    #[test]
    fn what_another_concern_explains_is_not_told_and_not_over_either() {
        let at = Timestamp::from_second(1).unwrap();
        let run = || concern("failing hub", "");
        let first = Memory::default().against(found(vec![run(), concern("mirror", "")], &["failing hub"]), at);
        assert_eq!((first.began, first.lasting.len()), (vec![concern("mirror", "")], 0));
        let known = || Memory { concerns: [(run().name, Lasting { since: at, concern: run() })].into() };
        let second = known().against(found(vec![run(), concern("mirror", "")], &["failing hub"]), at);
        assert_eq!((second.began, second.lasting.len(), second.ended.len()), (vec![concern("mirror", "")], 1, 0));
    }

    #[test]
    fn people_are_told_once_of_what_begins_and_once_of_what_ends() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let first = Memory::default().against(found(vec![concern("a", "1 hour"), concern("b", "")], &[]), at(1));
        assert_eq!((first.began.len(), first.lasting.len(), first.ended.len()), (2, 0, 0));
        let known = first.began.iter().map(|concern| (concern.name.clone(), Lasting { since: at(1), concern: concern.clone() }));
        let second = Memory { concerns: known.collect() }.against(found(vec![concern("a", "2 hours"), concern("c", "")], &[]), at(2));
        assert_eq!(second.began, [concern("c", "")]);
        assert_eq!(second.lasting, [Lasting { since: at(1), concern: concern("a", "2 hours") }]);
        assert_eq!(second.ended, [Lasting { since: at(1), concern: concern("b", "") }]);
    }
}
