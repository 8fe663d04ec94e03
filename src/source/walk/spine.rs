//! What is to be walked, as a tree.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::source::stream::VirtualFile;
use crate::source::view::View;

/// The arguments as a tree of components: a leaf is an argument, everything under it is walked, or a stream.
#[derive(Debug, Default)]
pub(super) struct Spine {
    /// Whether it is an argument.
    pub(super) chosen: bool,
    /// A stream has this place.
    pub(super) stream: Option<Arc<VirtualFile>>,
    /// A view that is on no disk; only arguments have one.
    pub(super) view: Option<Arc<View>>,
    /// By name.
    pub(super) children: BTreeMap<Vec<u8>, Spine>,
}

impl Spine {
    /// Adds an argument.
    pub(super) fn add(&mut self, components: &[Vec<u8>]) {
        match components.split_first() {
            None => {
                self.chosen = true;
                self.children.clear();
            }
            Some(_) if self.chosen => {}
            Some((first, rest)) => self.children.entry(first.clone()).or_default().add(rest),
        }
    }

    /// The place of something that is on no disk.
    pub(super) fn place(&mut self, names: &[Vec<u8>]) -> &mut Self {
        names.iter().fold(self, |spine, name| spine.children.entry(name.clone()).or_default())
    }

    /// Whether nothing in it is on the disk.
    pub(super) fn is_virtual(&self) -> bool {
        self.view.is_some() || !self.chosen && (self.stream.is_some() || self.children.values().all(Spine::is_virtual))
    }
}
