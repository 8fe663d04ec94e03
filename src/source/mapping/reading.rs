//! From paths to the views through which they are read.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::{Mapping, Place, is_absence};
use crate::model::event::{Event, Monitor};
use crate::source::exclude::Excludes;
use crate::source::snapshot::mounts::Mounts;
use crate::source::view::{Kind, View, below, read_from};

/// What is saved, and where it is read.
#[derive(Debug, Clone, Default)]
pub struct Reading {
    paths: Vec<Place>,
    views: Vec<View>,
}

impl Reading {
    /// What a mapping makes of paths. What cannot be looked into for it is a warning.
    pub fn new(mapping: &Mapping, paths: impl IntoIterator<Item = Place>, monitor: &dyn Monitor) -> Self {
        let paths: BTreeSet<Place> = paths.into_iter().collect();
        if mapping.places.is_empty() {
            return Self { paths: paths.into_iter().collect(), views: Vec::new() };
        }
        let mut found = Found { mapping, monitor, views: BTreeMap::new() };
        // The innermost last: it wins.
        for mapped in mapping.places.iter().rev().filter(|mapped| paths.iter().any(|path| mapped.at.starts_with(&path.at))) {
            found.show(&Place { at: mapped.at.clone(), from: mapped.from.clone() });
            found.show_beside(&mapped.at);
        }
        paths.iter().for_each(|path| found.show(path));
        paths.iter().for_each(|path| found.keep_mounts_within(&path.at));
        let views = found.needed();
        Self { paths: paths.into_iter().collect(), views }
    }

    /// What the snapshot calls the paths.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.paths.iter().map(|path| path.at.clone()).collect()
    }

    /// How they are read.
    pub fn views(&self) -> &[View] {
        &self.views
    }

    /// All places that are read, but for those that are left out: the paths, and what is shown within them.
    pub fn places(&self, excludes: &Excludes) -> Vec<Place> {
        let within = |view: &&View| {
            let holding = self.paths.iter().filter(|path| view.at != path.at && view.at.starts_with(&path.at));
            holding.into_iter().any(|path| !excludes.leaves_out_within(&path.at, &view.at))
        };
        let views = self.views.iter().filter(|view| view.kind != Kind::Hollow).filter(within);
        let views = views.map(|view| Place { at: view.at.clone(), from: view.from.clone() });
        self.paths.iter().cloned().chain(views).collect()
    }
}

struct Found<'a> {
    mapping: &'a Mapping,
    monitor: &'a dyn Monitor,
    /// By what they show. Not all of them are needed.
    views: BTreeMap<PathBuf, View>,
}

impl Found<'_> {
    /// Shows something, and the directories on the way to it.
    fn show(&mut self, place: &Place) {
        // Who lies at his own place may be led to through a mapped one.
        if self.mapping.holding(&place.at).next().is_some() {
            self.lead_to(&place.at);
        }
        self.views.insert(place.at.clone(), View::joined(&place.at, &place.from));
    }

    /// Directories on the way to something may be mapped as well, or be nowhere.
    fn lead_to(&mut self, at: &Path) {
        for way in at.ancestors().skip(1) {
            let view = match self.mapping.locate(way) {
                Ok(place) => View::joined(way, place.from),
                Err(error) if is_absence(&error) => View::hollow(way),
                Err(_) => continue,
            };
            self.views.entry(way.to_owned()).or_insert(view);
        }
    }

    /// Shows what a mapped place has at its own place, and in places that hold it, beside what it has where it is read.
    fn show_beside(&mut self, at: &Path) {
        let mapped = self.mapping.holding(at).map(|(mapped, rest)| below(&mapped.from, rest));
        let mut known: BTreeSet<OsString> = BTreeSet::new();
        let mut inodes = BTreeSet::new();
        for (rank, directory) in mapped.chain([at.to_owned()]).enumerate() {
            let Ok(status) = fs::symlink_metadata(&directory) else { continue };
            // A mount of what is read has nothing more.
            if !status.is_dir() || !inodes.insert((status.dev(), status.ino())) {
                continue;
            }
            let names = match names_in(&directory) {
                Ok(names) => names,
                Err(error) => {
                    let message = format!("cannot be listed ({error}); what only lies there is not in this snapshot");
                    self.monitor.event(Event::warning(directory.display().to_string(), message));
                    continue;
                }
            };
            for name in names.into_iter().filter(|name| known.insert(name.clone())).filter(|_| rank > 0) {
                let from = directory.join(&name);
                let joined = fs::symlink_metadata(&from).is_ok_and(|own| own.dev() == status.dev());
                let kind = if joined { Kind::Joined } else { Kind::Replacing };
                self.views.insert(at.join(&name), View { at: at.join(&name), from, kind });
            }
        }
    }

    /// What is mounted deeper in a directory than the mapping reaches belongs to it, though the one that is read only has an empty directory there.
    fn keep_mounts_within(&mut self, path: &Path) {
        let table = Mounts::read().unwrap_or_default();
        let views = self.needed();
        for at in table.below(path).map(|mount| &mount.point) {
            let read = read_from(&views, at);
            let chosen = self.views.contains_key(at) || self.mapping.places.iter().any(|mapped| Some(mapped.at.as_path()) == at.parent());
            if read != *at && !chosen && !is_same(&read, at) {
                self.lead_to(at);
                self.views.insert(at.clone(), View::new(at, at));
            }
        }
    }

    /// The views but for those that say nothing new.
    fn needed(&self) -> Vec<View> {
        let mut needed: Vec<View> = Vec::new();
        for view in self.views.values() {
            if view.kind == Kind::Hollow || read_from(&needed, &view.at) != view.from {
                needed.push(view.clone());
            }
        }
        needed
    }
}

fn names_in(directory: &Path) -> io::Result<Vec<OsString>> {
    fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name())).collect()
}

fn is_same(one: &Path, other: &Path) -> bool {
    let inode = |path: &Path| fs::symlink_metadata(path).ok().map(|status| (status.dev(), status.ino()));
    inode(one).is_some_and(|found| inode(other) == Some(found))
}
