//! From a job's paths, some of them patterns, to what is there now; and what has come and gone since the last run.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use super::JobError;
use super::names::Names;
use super::quiet::ContainerVolumes;
use crate::config::{ContainerEngine, Job};
use crate::content::ContentError;
use crate::model::event::{Event, Monitor};
use crate::source::container::{self, Engine};
use crate::source::mapping::{Mapping, Place, Reading};
use crate::source::snapshot::lvm;
use crate::source::snapshot::mounts::Mounts;

/// Where a job remembers what its patterns found.
const FILE: &str = "discovered";

/// What a job reads of files, and where. A path that is not there is a warning unless it is optional or a pattern; a pattern that finds
/// nothing is one.
pub(super) struct Files {
    /// The paths, and the databases.
    pub(super) reading: Reading,
    /// The SQLite databases that the job names.
    pub(super) databases: Vec<PathBuf>,
}

/// Finds what is there of a job's paths, of the volumes of containers, and of the databases that it names.
pub(super) fn files(job: &Job, mapping: &Mapping, containers: Option<&ContainerVolumes>, monitor: &dyn Monitor) -> Result<Files, JobError> {
    let search = Search { mapping, monitor };
    let mut found = BTreeSet::new();
    let optional = job.optional_paths.iter().map(|path| (path, false));
    for (path, expected) in job.paths.iter().map(|path| (path, true)).chain(optional) {
        found.extend(search.expand(path, expected)?);
    }
    for volume in containers.iter().flat_map(|found| &found.volumes) {
        found.extend(search.there(&volume.mountpoint, true));
    }
    let mut databases = BTreeSet::new();
    for path in job.sqlite.iter().flat_map(|sqlite| &sqlite.databases) {
        databases.extend(search.expand(path, true)?);
    }
    let named = databases.iter().map(|database| database.at.clone()).collect();
    found.extend(databases);
    let unusable: BTreeSet<_> = found.iter().flat_map(|place| mapping.unusable_for(&place.at)).collect();
    for (at, why) in unusable {
        monitor.event(Event::info(at.display().to_string(), why));
    }
    Ok(Files { reading: Reading::new(mapping, found, monitor), databases: named })
}

/// Looks for what paths stand for.
struct Search<'a> {
    mapping: &'a Mapping,
    monitor: &'a dyn Monitor,
}

impl Search<'_> {
    /// What a path or a pattern stands for.
    fn expand(&self, path: &str, expected: bool) -> Result<Vec<Place>, JobError> {
        if !is_pattern(path) {
            return Ok(self.there(Path::new(path), expected).into_iter().collect());
        }
        let matches = self.matching(path)?;
        if matches.is_empty() && expected {
            self.monitor.event(Event::warning(path, "matches nothing"));
        }
        Ok(matches)
    }

    fn there(&self, path: &Path, expected: bool) -> Option<Place> {
        match self.mapping.locate(path) {
            Ok(place) => Some(place),
            Err(error) => {
                if expected {
                    let message = format!("cannot be read ({error}); it is not in this snapshot");
                    self.monitor.event(Event::warning(path.display().to_string(), message));
                }
                None
            }
        }
    }

    fn matching(&self, pattern: &str) -> Result<Vec<Place>, JobError> {
        let options = glob::MatchOptions { require_literal_separator: true, require_literal_leading_dot: false, ..Default::default() };
        let wrong = |error: glob::PatternError| JobError::Pattern { pattern: pattern.to_owned(), why: error.msg.to_owned() };
        let mut found = Vec::new();
        for placed in self.mapping.patterns(pattern) {
            for path in glob::glob_with(&placed.text, options).map_err(wrong)? {
                match path {
                    // The walk follows no links on its way to a path.
                    Ok(path) => found.extend(self.there(&placed.shown(&path), true)),
                    Err(error) => {
                        let message = format!("cannot be read ({})", error.error());
                        self.monitor.event(Event::warning(error.path().display().to_string(), message));
                    }
                }
            }
        }
        Ok(found)
    }
}

/// Whether a path stands for all that match it.
fn is_pattern(path: &str) -> bool {
    path.contains(['*', '?', '['])
}

/// The logical volumes whose files a job saves. That they cannot be had is an error that is told, and the rest of the job goes on.
pub(super) fn logical_volumes(job: &Job, monitor: &dyn Monitor) -> Result<Vec<lvm::Volume>, JobError> {
    if job.lvm_volumes.is_empty() {
        return Ok(Vec::new());
    }
    let names = Names::new(&job.lvm_volumes)?;
    let all = match lvm::volumes() {
        Ok(all) => all,
        Err(error) => {
            monitor.event(Event::error("lvmVolumes", format!("{error}; no logical volume is in this snapshot")));
            return Ok(Vec::new());
        }
    };
    let own: Vec<(String, lvm::Volume)> =
        all.into_iter().filter(lvm::Volume::has_own_data).map(|volume| (volume.full_name(), volume)).collect();
    let known: Vec<&str> = own.iter().flat_map(|(full, volume)| [full.as_str(), volume.name.as_str()]).collect();
    names.without(&known).for_each(|pattern| monitor.event(Event::warning(pattern, "matches no logical volume")));
    let found = own.iter().filter(|(full, volume)| names.take(&[full, &volume.name]));
    Ok(found.map(|(_, volume)| volume.clone()).collect())
}

/// The volumes of containers that a job saves. That they cannot be had is an error that is told, and the rest of the job goes on.
pub(super) fn container_volumes(job: &Job, monitor: &dyn Monitor) -> Result<Option<ContainerVolumes>, JobError> {
    let Some(options) = &job.containers else { return Ok(None) };
    let names = Names::new(&options.volumes)?;
    let engine = options.engine.map(|engine| match engine {
        ContainerEngine::Docker => "docker",
        ContainerEngine::Podman => "podman",
    });
    let found = Engine::find(engine).and_then(|engine| engine.volumes().map(|volumes| (engine, volumes)));
    let (engine, all) = match found {
        Ok(found) => found,
        Err(error) => {
            monitor.event(Event::error("containers", format!("{error}; no volume of a container is in this snapshot")));
            return Ok(None);
        }
    };
    let known: Vec<&str> = all.iter().map(|volume| volume.name.as_str()).collect();
    names.without(&known).for_each(|pattern| monitor.event(Event::warning(pattern, "matches no volume of a container")));
    let labelled = |volume: &container::Volume| options.labels.iter().any(|label| volume.has_label(label));
    let chosen = all.iter().filter(|volume| names.take(&[&volume.name]) || labelled(volume));
    let volumes = chosen.filter(|volume| is_there(volume, monitor)).cloned().collect();
    Ok(Some(ContainerVolumes { engine, volumes }))
}

/// Whether a volume's files are on this machine now.
fn is_there(volume: &container::Volume, monitor: &dyn Monitor) -> bool {
    let subject = || format!("volume {}", volume.name);
    if volume.mountpoint.as_os_str().is_empty() {
        monitor.event(Event::warning(subject(), "has no directory on this machine; it is not in this snapshot"));
        return false;
    }
    let mounted = || Mounts::read().is_ok_and(|mounts| mounts.of(&volume.mountpoint).is_some_and(|mount| mount.point == volume.mountpoint));
    if volume.is_mounted_on_demand() && !mounted() {
        monitor.event(Event::warning(subject(), "is mounted only while a container uses it, and none does; it looks empty now"));
    }
    true
}

/// Reports what the patterns of a job found that they did not find before, and what they no longer find; remembers it in `dir`.
pub(super) fn report_changes(job: &Job, found: &[PathBuf], dir: &Path, monitor: &dyn Monitor) -> Result<(), ContentError> {
    let databases = job.sqlite.iter().flat_map(|sqlite| &sqlite.databases);
    let patterns = job.paths.iter().chain(&job.optional_paths).chain(databases).any(|path| is_pattern(path));
    if !patterns && job.lvm_volumes.is_empty() && job.containers.is_none() {
        return Ok(());
    }
    let file = dir.join(FILE);
    let now: BTreeSet<PathBuf> = found.iter().cloned().collect();
    if let Ok(text) = std::fs::read(&file) {
        let before: BTreeSet<PathBuf> =
            text.split(|byte| *byte == 0).filter(|path| !path.is_empty()).map(|path| OsString::from_vec(path.to_vec()).into()).collect();
        for path in now.difference(&before) {
            monitor.event(Event::info(path.display().to_string(), "is new; the job's patterns take it in"));
        }
        for path in before.difference(&now) {
            monitor.event(Event::info(path.display().to_string(), "has gone since the last run; earlier snapshots keep it"));
        }
    }
    let bytes: Vec<u8> = now.iter().flat_map(|path| [path.as_os_str().as_bytes(), b"\0"].concat()).collect();
    let written = std::fs::create_dir_all(dir).and_then(|()| std::fs::write(&file, bytes));
    written.map_err(|error| ContentError::file("write", &file, error))
}
