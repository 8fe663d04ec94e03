//! The reports of one job: which there are is known from the last look, and each is read once.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use super::Kept;
use crate::history::Entry;
use crate::model::report::LARGEST;

/// How coarse a folder's time may be.
const YOUNG: Duration = Duration::from_secs(2);
/// After this time nobody is writing a file any more.
const LEFT: Duration = Duration::from_secs(3600);
/// Bytes of a file that are read: a report, and what the hub writes around it.
const LARGEST_FILE: u64 = LARGEST as u64 + (64 << 10);

struct Known {
    size: u64,
    read: OnceLock<Option<Arc<Entry>>>,
}

/// The reports of one job, by the names of their files, which sort by time.
pub(super) struct Shelf {
    folder: PathBuf,
    looked: Option<SystemTime>,
    files: BTreeMap<String, Known>,
}

impl Shelf {
    /// One that nobody has looked at yet.
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, looked: None, files: BTreeMap::new() }
    }

    /// Looks what is there, unless nothing has changed since. What is older than a name goes, but for the newest.
    pub(super) fn look(&mut self, oldest: &str) -> io::Result<()> {
        let changed = match fs::metadata(&self.folder) {
            // Another process found it empty, or drove it out, meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.files.clear();
                return Ok(());
            }
            metadata => metadata?.modified()?,
        };
        if self.looked != Some(changed) {
            self.list()?;
            // A change within the same moment would not be seen.
            self.looked = Some(changed).filter(|changed| changed.elapsed().is_ok_and(|age| age > YOUNG));
        }
        while self.files.len() > 1
            && let Some(first) = self.files.first_key_value().map(|(name, _)| name.clone()).filter(|name| name.as_str() < oldest)
        {
            self.remove(&first);
        }
        Ok(())
    }

    fn list(&mut self) -> io::Result<()> {
        let mut there = BTreeMap::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if !name.ends_with(".json") || name.starts_with('.') {
                remove_if_left(&entry, &name);
                continue;
            }
            let known = match self.files.remove(&name) {
                Some(known) => known,
                None => match entry.metadata() {
                    Ok(metadata) => Known { size: metadata.len(), read: OnceLock::new() },
                    // Another process removed it meanwhile.
                    Err(_) => continue,
                },
            };
            there.insert(name, known);
        }
        self.files = there;
        Ok(())
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.files.len()
    }

    /// Bytes of all of them.
    pub(super) fn bytes(&self) -> u64 {
        self.files.values().map(|known| known.size).sum()
    }

    /// Bytes of one.
    pub(super) fn size(&self, name: &str) -> u64 {
        self.files.get(name).map_or(0, |known| known.size)
    }

    /// Their names, oldest first.
    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.files.keys()
    }

    /// The name of the newest.
    pub(super) fn newest(&self) -> Option<&String> {
        self.files.last_key_value().map(|(name, _)| name)
    }

    /// What is known of each that can be read, newest first.
    pub(super) fn entries(&self) -> impl Iterator<Item = Arc<Entry>> {
        self.files.keys().rev().filter_map(|name| self.entry(name))
    }

    /// What is known of one.
    pub(super) fn entry(&self, name: &str) -> Option<Arc<Entry>> {
        let known = self.files.get(name)?;
        known
            .read
            .get_or_init(|| {
                let Kept { received, repository, report, .. } = self.read(name)?;
                Some(Arc::new(Entry::new(received, repository, report)))
            })
            .clone()
    }

    /// A whole report; none if it cannot be read.
    pub(super) fn read(&self, name: &str) -> Option<Kept> {
        let path = self.folder.join(name);
        let mut text = Vec::new();
        let read = File::open(&path).and_then(|file| file.take(LARGEST_FILE).read_to_end(&mut text));
        let kept = read.map_err(|error| error.to_string()).and_then(|_| serde_json::from_slice(&text).map_err(|error| error.to_string()));
        kept.inspect_err(|error| tracing::warn!("the report {} cannot be read: {error}", path.display())).ok()
    }

    /// Removes one.
    pub(super) fn remove(&mut self, name: &str) {
        if let Err(error) = fs::remove_file(self.folder.join(name)) {
            tracing::debug!("the report {name} is not removed: {error}");
        }
        self.files.remove(name);
    }

    /// Removes the oldest until there are so many.
    pub(super) fn keep_newest(&mut self, most: usize) {
        while self.files.len() > most
            && let Some(oldest) = self.files.first_key_value().map(|(name, _)| name.clone())
        {
            self.remove(&oldest);
        }
    }

    /// Removes all of them.
    pub(super) fn clear(mut self) {
        self.keep_newest(0);
        let _ = fs::remove_dir(&self.folder);
    }
}

/// Removes what a hub that was killed did not finish writing.
fn remove_if_left(entry: &fs::DirEntry, name: &str) {
    let changed = entry.metadata().and_then(|metadata| metadata.modified());
    let is_old = changed.is_ok_and(|changed| changed.elapsed().is_ok_and(|age| age > LEFT));
    if name.starts_with('.') && is_old && fs::remove_file(entry.path()).is_ok() {
        tracing::debug!("{} was never finished and is removed", entry.path().display());
    }
}
