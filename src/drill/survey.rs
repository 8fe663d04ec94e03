//! What a drill restores, and the room that it takes: one walk through the snapshot's trees.

use std::os::unix::ffi::OsStrExt as _;

use super::DrillError;
use super::random::{Random, Sample};
use crate::config::{Databases, Drill, DrillAmount, DrillServer};
use crate::content::ContentError;
use crate::content::browse::{OpenSnapshot, Step, TreeWalk};
use crate::job::DatabaseKind;
use crate::model::entry::{Element, Entry, Kind};
use crate::model::event::Monitor;
use crate::source::exclude::{Selection, Verdict};

/// What an entry takes of a filesystem besides its content, in bytes.
const ENTRY: u64 = 4096;
/// What a server takes for itself, in bytes: its own tables, and a log that grows while a dump is loaded.
const SERVER: u64 = 512 << 20;
/// How much larger a database with its indexes is than its dump.
const GROWTH: u64 = 2;

/// What is restored.
pub(super) struct Survey {
    /// Of the files.
    pub selection: Selection,
    /// Bytes that it takes, as far as one can say before.
    pub room: u64,
    /// Bytes of those dumps that are among the files.
    dumps: Vec<(DatabaseKind, String, u64)>,
}

impl Survey {
    /// How much of a database's dump is restored as files already.
    pub(super) fn dumped(&self, kind: DatabaseKind, database: &str) -> u64 {
        let parts = self.dumps.iter().filter(|(of, name, _)| *of == kind && name == database);
        parts.map(|(_, _, bytes)| *bytes).fold(0, u64::saturating_add)
    }
}

/// Looks what the drill restores of a snapshot.
pub(super) fn survey(drill: &Drill, snapshot: &OpenSnapshot<'_>, random: &mut Random, monitor: &dyn Monitor) -> Result<Survey, DrillError> {
    let sqlite = drill.sqlite.iter().flat_map(|sqlite| &sqlite.databases).map(|path| path.as_bytes().to_vec());
    let selection = match &drill.amount {
        DrillAmount::Everything => Selection::default(),
        DrillAmount::Databases => Selection::of_paths(sqlite),
        DrillAmount::Files(count) => {
            let files = pick(snapshot, usize::try_from(*count).unwrap_or(usize::MAX), random, monitor)?;
            Selection::of_paths(files.into_iter().chain(sqlite))
        }
        DrillAmount::Paths(patterns) => {
            let sqlite = sqlite.map(|path| escaped(&path));
            let patterns = patterns.iter().map(Into::into).chain(sqlite).collect::<Vec<std::ffi::OsString>>();
            Selection::new(patterns, Vec::<String>::new()).map_err(crate::job::JobError::from)?
        }
    };
    let servers_of = [(DatabaseKind::Postgresql, &drill.postgresql), (DatabaseKind::Mariadb, &drill.mariadb)];
    let (mut room, mut dumps) = (0_u64, Vec::new());
    if super::options_restore_files(drill) {
        walk(snapshot, &selection, monitor, &mut |path, entry| {
            room = room.saturating_add(ENTRY).saturating_add(stored(entry));
            if let Kind::File { size, .. } = entry.kind {
                let of = servers_of.iter().filter(|(_, server)| server.is_some());
                dumps.extend(of.filter_map(|(kind, _)| Some((*kind, kind.database_at(path)?, size))));
            }
        })?;
    }
    let mut servers = 0_u64;
    for (kind, server) in servers_of {
        if let Some(server) = server {
            // One is gone before the next one is loaded.
            let largest = wanted(kind, server, snapshot)?.iter().map(|(_, bytes)| *bytes).max().unwrap_or(0);
            servers = servers.max(SERVER.saturating_add(largest.saturating_mul(GROWTH)));
        }
    }
    Ok(Survey { selection, room: room.saturating_add(servers), dumps })
}

/// The databases that a drill loads, with the bytes of their dumps; one without a dump has none.
pub(super) fn wanted(kind: DatabaseKind, server: &DrillServer, snapshot: &OpenSnapshot<'_>) -> Result<Vec<(String, u64)>, DrillError> {
    let there = kind.dumped(snapshot)?;
    Ok(match &server.databases {
        Databases::All => there.into_iter().map(|database| (database.name, database.bytes)).collect(),
        Databases::Named(names) => {
            let bytes = |name: &String| there.iter().find(|database| database.name == *name).map_or(0, |database| database.bytes);
            names.iter().map(|name| (name.clone(), bytes(name))).collect()
        }
    })
}

/// Calls `visit` with the path of each entry that is selected.
pub(super) fn walk(
    snapshot: &OpenSnapshot<'_>,
    selection: &Selection,
    monitor: &dyn Monitor,
    visit: &mut dyn FnMut(&[u8], &Entry),
) -> Result<(), DrillError> {
    let mut reader = snapshot.reader()?;
    let mut walk = TreeWalk::new(&mut reader, &snapshot.payload.root);
    let mut verdicts = vec![selection.start()];
    while let Some(step) = walk.step() {
        if monitor.cancelled() {
            return Err(ContentError::Cancelled.into());
        }
        let parent = verdicts.last().copied().unwrap_or(Verdict::No);
        match step {
            Step::Enter(entry) => {
                let verdict = selection.judge(parent, walk.path(), &entry.name, true);
                if verdict == Verdict::Yes {
                    visit(walk.path(), &entry);
                }
                if verdict == Verdict::No {
                    walk.skip();
                }
                verdicts.push(verdict);
            }
            Step::Leave => drop(verdicts.pop()),
            Step::Entry(entry) => {
                if selection.judge(parent, walk.path(), &entry.name, false) == Verdict::Yes {
                    visit(walk.path(), &entry);
                }
            }
            // The restore meets it as well, and says what is lost.
            Step::Damaged(_) => {}
        }
    }
    Ok(())
}

/// So many files, at random.
fn pick(snapshot: &OpenSnapshot<'_>, count: usize, random: &mut Random, monitor: &dyn Monitor) -> Result<Vec<Vec<u8>>, DrillError> {
    let mut sample = Sample::new(count);
    walk(snapshot, &Selection::default(), monitor, &mut |path, entry| {
        if matches!(entry.kind, Kind::File { .. }) {
            sample.offer(random, || path.to_vec());
        }
    })?;
    Ok(sample.taken())
}

/// Bytes of content that take space.
fn stored(entry: &Entry) -> u64 {
    let Kind::File { content, .. } = &entry.kind else { return 0 };
    content.iter().filter(|element| !matches!(element, Element::Hole { .. })).map(Element::size).fold(0, u64::saturating_add)
}

/// A path as a pattern that matches nothing else.
fn escaped(path: &[u8]) -> std::ffi::OsString {
    let mut pattern = Vec::with_capacity(path.len());
    for byte in path {
        if b"*?[]{}\\! ".contains(byte) {
            pattern.push(b'\\');
        }
        pattern.push(*byte);
    }
    std::ffi::OsStr::from_bytes(&pattern).to_owned()
}
