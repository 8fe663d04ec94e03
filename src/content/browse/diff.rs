//! What changed between two snapshots: a merge of two walks; equal subtrees are passed over by their ids.

use std::cmp::Ordering;

use crate::content::ContentError;
use crate::content::browse::{OpenSnapshot, Step, TreeWalk};
use crate::content::vault::TreeReader;
use crate::model::entry::{Entry, Kind};

/// How a path differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Only in the second.
    Added,
    /// Only in the first.
    Removed,
    /// Other content, target or device.
    Content,
    /// Only owner, mode, times or attributes differ.
    Metadata,
    /// Another kind of entry.
    Kind,
}

/// One side: the walk and its next entry with its path.
struct Side<'r, 'a> {
    walk: TreeWalk<'r, TreeReader<'a>>,
    next: Option<(Vec<u8>, Entry)>,
}

impl<'r, 'a> Side<'r, 'a> {
    fn new(walk: TreeWalk<'r, TreeReader<'a>>) -> Result<Self, ContentError> {
        let mut side = Self { walk, next: None };
        side.advance()?;
        Ok(side)
    }

    fn advance(&mut self) -> Result<(), ContentError> {
        self.next = loop {
            match self.walk.step() {
                None => break None,
                Some(Step::Enter(entry) | Step::Entry(entry)) => break Some((self.walk.path().to_vec(), entry)),
                Some(Step::Leave) => {}
                Some(Step::Damaged(error)) => return Err(error),
            }
        };
        Ok(())
    }
}

/// Order of a walk: by components, not by bytes of the whole path.
fn order(first: &[u8], second: &[u8]) -> Ordering {
    first.split(|byte| *byte == b'/').cmp(second.split(|byte| *byte == b'/'))
}

fn compare(first: &Entry, second: &Entry) -> Option<Change> {
    let same_kind = std::mem::discriminant(&first.kind) == std::mem::discriminant(&second.kind);
    let directory = matches!(first.kind, Kind::Directory { .. });
    if !same_kind {
        Some(Change::Kind)
    } else if !directory && first.kind != second.kind {
        Some(Change::Content)
    } else if first.metadata != second.metadata {
        Some(Change::Metadata)
    } else {
        None
    }
}

/// Calls `visit` for every path that differs, in path order.
///
/// # Errors
/// If a tree cannot be read, or the visitor fails.
pub fn diff(
    first: &OpenSnapshot<'_>,
    second: &OpenSnapshot<'_>,
    visit: &mut dyn FnMut(Change, &[u8], &Entry) -> Result<(), ContentError>,
) -> Result<(), ContentError> {
    let (mut first_reader, mut second_reader) = (first.reader()?, second.reader()?);
    let mut a = Side::new(TreeWalk::new(&mut first_reader, &first.payload.root))?;
    let mut b = Side::new(TreeWalk::new(&mut second_reader, &second.payload.root))?;
    loop {
        let side = match (&a.next, &b.next) {
            (None, None) => return Ok(()),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some((first, _)), Some((second, _))) => order(first, second),
        };
        match (side, &a.next, &b.next) {
            (Ordering::Less, Some((path, entry)), _) => {
                visit(Change::Removed, path, entry)?;
                a.advance()?;
            }
            (Ordering::Greater, _, Some((path, entry))) => {
                visit(Change::Added, path, entry)?;
                b.advance()?;
            }
            (_, Some((path, first)), Some((_, second))) => {
                if let Some(change) = compare(first, second) {
                    visit(change, path, second)?;
                }
                if matches!(first.kind, Kind::Directory { .. }) && first.kind == second.kind {
                    a.walk.skip();
                    b.walk.skip();
                }
                a.advance()?;
                b.advance()?;
            }
            _ => return Ok(()),
        }
    }
}
