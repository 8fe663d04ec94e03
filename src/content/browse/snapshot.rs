//! A snapshot opened for reading.

use std::io::{self, Write};

use crate::content::ContentError;
use crate::content::browse::{Step, TreeWalk};
use crate::content::payload::Payload;
use crate::content::tree::{self, TreeSource as _};
use crate::content::vault::{ChunkMap, TreeReader, Vault, refs_of};
use crate::model::entry::{Element, Entry, Kind};
use crate::sealed::pack::Class;
use crate::sealed::snapshots::Snapshot;

/// A snapshot with its labels and the places of its chunks.
pub struct OpenSnapshot<'a> {
    vault: &'a Vault,
    /// Its labels and root.
    pub payload: Payload,
    /// Where its chunks are.
    pub map: ChunkMap,
}

impl<'a> OpenSnapshot<'a> {
    /// Opens a snapshot.
    ///
    /// # Errors
    /// If its payload, or its refs, cannot be read.
    pub fn open(vault: &'a Vault, snapshot: &Snapshot) -> Result<Self, ContentError> {
        let payload = vault.payload(&snapshot.id)?;
        let map = ChunkMap::load(vault, &refs_of(vault, &snapshot.envelope)?)?;
        Ok(Self { vault, payload, map })
    }

    /// A reader of its trees.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn reader(&self) -> Result<TreeReader<'_>, ContentError> {
        TreeReader::new(self.vault, &self.map)
    }

    /// The entry at an absolute path; `None` if there is none. The root itself has no entry.
    ///
    /// # Errors
    /// If a tree on the way cannot be read.
    pub fn find(&self, path: &[u8]) -> Result<Option<Entry>, ContentError> {
        let mut reader = self.reader()?;
        let mut pages = self.payload.root.clone();
        let mut found = None;
        for component in path.split(|byte| *byte == b'/').filter(|component| !component.is_empty()) {
            found = None;
            let mut ids = Vec::new();
            tree::walk_elements(&pages, &mut reader, &mut |element| {
                if let Element::Chunk { id, .. } = element {
                    ids.push(*id);
                }
                Ok(())
            })?;
            for id in ids {
                let entries = tree::parse_page(&reader.tree(&id)?)?;
                if entries.last().is_none_or(|last| last.name.as_slice() < component) {
                    continue;
                }
                found = entries.into_iter().find(|entry| entry.name == component);
                break;
            }
            pages = match &found {
                None => return Ok(None),
                Some(Entry { kind: Kind::Directory { pages }, .. }) => pages.clone(),
                Some(_) => Vec::new(),
            };
        }
        Ok(found)
    }

    /// Calls `visit` with the path of everything at and below `path`.
    ///
    /// # Errors
    /// If a tree cannot be read, or the visitor fails.
    pub fn list(&self, path: &[u8], visit: &mut dyn FnMut(&[u8], &Entry) -> Result<(), ContentError>) -> Result<(), ContentError> {
        let mut reader = self.reader()?;
        let mut walk = TreeWalk::new(&mut reader, &self.payload.root);
        let wanted = normalise(path);
        while let Some(step) = walk.step() {
            match step {
                Step::Enter(entry) => {
                    let here = walk.path().to_vec();
                    if is_within(&here, &wanted) {
                        visit(&here, &entry)?;
                    } else if !is_within(&wanted, &here) {
                        walk.skip();
                    }
                }
                Step::Entry(entry) if is_within(walk.path(), &wanted) => {
                    let here = walk.path().to_vec();
                    visit(&here, &entry)?;
                }
                Step::Entry(_) | Step::Leave => {}
                Step::Damaged(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Writes a file's content to `out`.
    ///
    /// # Errors
    /// If it is not a file, a chunk is lost, or `out` fails.
    pub fn dump(&self, entry: &Entry, out: &mut dyn Write) -> Result<(), ContentError> {
        let zeros = [0; 1 << 16];
        self.stretches(entry, &mut |stretch| match stretch {
            Stretch::Bytes(bytes) => out.write_all(bytes),
            Stretch::Hole(mut left) => {
                while left > 0 {
                    let part = usize::try_from(left).unwrap_or(usize::MAX).min(zeros.len());
                    out.write_all(zeros.get(..part).unwrap_or_default())?;
                    left -= part as u64;
                }
                Ok(())
            }
        })
    }

    /// Calls `take` with a file's content, stretch by stretch.
    ///
    /// # Errors
    /// If it is not a file, a chunk is lost, or `take` fails.
    pub fn stretches(&self, entry: &Entry, take: &mut dyn FnMut(Stretch<'_>) -> io::Result<()>) -> Result<(), ContentError> {
        let Kind::File { content, .. } = &entry.kind else {
            return Err(ContentError::Other(format!("this is a {}, only files have content to dump", entry.kind.word())));
        };
        let failed = |error| ContentError::File { action: "write", path: "the output".into(), source: error };
        let mut lists = self.reader()?;
        let mut data = self.reader()?;
        tree::walk_elements(content, &mut lists, &mut |element| match element {
            Element::Chunk { id, length } => {
                let bytes = data.chunk(Class::Data, id)?;
                if bytes.len() != *length as usize {
                    return Err(ContentError::damaged("a file's list of chunks", "a chunk has another length than it says"));
                }
                take(Stretch::Bytes(&bytes)).map_err(failed)
            }
            Element::Hole { length } => take(Stretch::Hole(*length)).map_err(failed),
            Element::List { .. } => Ok(()),
        })
    }
}

/// A stretch of a file's content.
#[derive(Debug, Clone, Copy)]
pub enum Stretch<'a> {
    /// Bytes.
    Bytes(&'a [u8]),
    /// So many zeros that take no space.
    Hole(u64),
}

fn normalise(path: &[u8]) -> Vec<u8> {
    path.split(|byte| *byte == b'/').filter(|part| !part.is_empty()).flat_map(|part| std::iter::once(&b'/').chain(part)).copied().collect()
}

/// Whether `path` is `ancestor` or lies below it; both normalised, the root is empty.
fn is_within(path: &[u8], ancestor: &[u8]) -> bool {
    path.strip_prefix(ancestor).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}
