//! A walk over a snapshot's trees in path order, without recursion, so that no depth is too deep.

use std::collections::VecDeque;

use crate::content::ContentError;
use crate::content::tree::{self, TreeSource};
use crate::model::entry::{Element, Entry, Kind};

/// How deep list nodes of pages may nest.
const DEPTH: u32 = 6;

/// What the walk meets, in order.
#[derive(Debug)]
pub enum Step {
    /// A directory begins.
    Enter(Entry),
    /// The directory entered last ends.
    Leave,
    /// Anything else.
    Entry(Entry),
    /// A page of the current directory cannot be read; what it lists is lost.
    Damaged(ContentError),
}

struct Level {
    /// Pages and list nodes not yet opened, with the depth of nesting.
    pages: VecDeque<(Element, u32)>,
    entries: std::vec::IntoIter<Entry>,
    /// Length of the path at this level.
    path: usize,
    /// The last name seen: names rise over all pages of a directory.
    last: Vec<u8>,
}

impl Level {
    fn new(pages: &[Element], path: usize) -> Self {
        Self { pages: pages.iter().map(|element| (*element, 0)).collect(), entries: Vec::new().into_iter(), path, last: Vec::new() }
    }
}

/// Walks trees read by `R`.
pub struct TreeWalk<'r, R> {
    reader: &'r mut R,
    stack: Vec<Level>,
    path: Vec<u8>,
}

impl<'r, R: TreeSource<Error = ContentError>> TreeWalk<'r, R> {
    /// A walk from the root directory's pages.
    pub fn new(reader: &'r mut R, root: &[Element]) -> Self {
        Self { reader, stack: vec![Level::new(root, 0)], path: Vec::new() }
    }

    /// Absolute path of the step returned last.
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// The reader, between steps.
    pub fn reader(&mut self) -> &mut R {
        self.reader
    }

    /// After [`Step::Enter`]: passes over what the directory holds; [`Step::Leave`] comes next.
    pub fn skip(&mut self) {
        if let Some(level) = self.stack.last_mut() {
            level.pages.clear();
            level.entries = Vec::new().into_iter();
        }
    }

    /// The next step; `None` at the end.
    pub fn step(&mut self) -> Option<Step> {
        loop {
            let level = self.stack.last_mut()?;
            self.path.truncate(level.path);
            if let Some(entry) = level.entries.next() {
                self.path.push(b'/');
                self.path.extend_from_slice(&entry.name);
                if let Kind::Directory { pages } = &entry.kind {
                    self.stack.push(Level::new(pages, self.path.len()));
                    return Some(Step::Enter(entry));
                }
                return Some(Step::Entry(entry));
            }
            match level.pages.pop_front() {
                Some((element, depth)) => {
                    if let Err(error) = self.open(element, depth) {
                        return Some(Step::Damaged(error));
                    }
                }
                None => {
                    self.stack.pop();
                    return (!self.stack.is_empty()).then_some(Step::Leave);
                }
            }
        }
    }

    fn open(&mut self, element: Element, depth: u32) -> Result<(), ContentError> {
        match element {
            Element::Chunk { id, .. } => {
                let page = self.reader.tree(&id)?;
                let entries = tree::parse_page(&page)?;
                if let (Some(level), Some(first), Some(last)) = (self.stack.last_mut(), entries.first(), entries.last()) {
                    if first.name <= level.last {
                        return Err(ContentError::damaged("a tree", "its pages are not sorted by name"));
                    }
                    level.last.clone_from(&last.name);
                    level.entries = entries.into_iter();
                }
                Ok(())
            }
            Element::List { id, .. } if depth < DEPTH => {
                let node = self.reader.tree(&id)?;
                let nested = tree::parse_list(&node)?;
                if let Some(level) = self.stack.last_mut() {
                    nested.into_iter().rev().for_each(|element| level.pages.push_front((element, depth + 1)));
                }
                Ok(())
            }
            Element::List { .. } => Err(ContentError::damaged("a tree", "list nodes nest too deep")),
            Element::Hole { .. } => Err(ContentError::damaged("a tree", "a directory has a hole")),
        }
    }
}
