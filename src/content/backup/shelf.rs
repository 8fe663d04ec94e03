//! The shelf: members of an archive, whose content is stored already, until the archive ends and they can be put in order.
//!
//! It holds what trees say of the members, some hundred bytes each, in memory; their content is not here.

use std::collections::BTreeMap;

use crate::model::entry::{Entry, Kind, LinkId, Metadata};

/// The names from an archive's root on.
type Path = Vec<Vec<u8>>;

/// Members by path. Names compare as bytes, so their order is that of trees.
#[derive(Default)]
pub(super) struct Shelf {
    members: BTreeMap<Path, (Metadata, Kind)>,
    links: u64,
}

/// One step on the way through the members in order.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Shelved {
    /// A directory begins.
    Enter(Vec<u8>, Metadata),
    /// It ends.
    Leave,
    /// Anything else.
    Entry(Entry),
    /// A member that lies below one that is no directory.
    Lost(Vec<u8>),
}

impl Shelf {
    /// Keeps a member; a later one of the same name takes its place, as in archives that were appended to.
    pub(super) fn put(&mut self, path: Path, metadata: Metadata, kind: Kind) {
        self.members.insert(path, (metadata, kind));
    }

    /// A number for the next file with several names; the same archive gives the same numbers.
    pub(super) fn next_inode(&mut self) -> u64 {
        self.links += 1;
        self.links
    }

    /// Gives a file another name. False if there is no such file.
    pub(super) fn link(&mut self, target: &Path, path: Path, link: LinkId) -> bool {
        let Some((metadata, kind)) = self.members.get_mut(target).filter(|(_, kind)| !matches!(kind, Kind::Directory { .. })) else {
            return false;
        };
        metadata.link.get_or_insert(link);
        let twin = (metadata.clone(), kind.clone());
        self.members.insert(path, twin);
        true
    }

    /// The metadata of the archive's root, if it has one.
    pub(super) fn root(&mut self) -> Metadata {
        self.members.remove(&Path::new()).map_or_else(directory, |(metadata, _)| metadata)
    }

    /// The members in order; directories that the archive does not name are made up.
    pub(super) fn steps(self) -> Vec<Shelved> {
        let mut steps = Vec::new();
        let mut open: Path = Vec::new();
        let mut file: Option<Path> = None;
        for (path, (metadata, kind)) in self.members {
            let Some((name, parents)) = path.split_last() else { continue };
            if file.as_ref().is_some_and(|file| path.starts_with(file)) {
                steps.push(Shelved::Lost(path.join(&b'/')));
                continue;
            }
            let shared = open.iter().zip(parents).take_while(|(a, b)| a == b).count();
            steps.extend(open.drain(shared..).map(|_| Shelved::Leave));
            for parent in parents.iter().skip(shared) {
                steps.push(Shelved::Enter(parent.clone(), directory()));
                open.push(parent.clone());
            }
            match kind {
                Kind::Directory { .. } => {
                    steps.push(Shelved::Enter(name.clone(), metadata));
                    open.push(name.clone());
                }
                kind => {
                    steps.push(Shelved::Entry(Entry { name: name.clone(), metadata, kind }));
                    file = Some(path);
                }
            }
        }
        steps.extend(open.iter().map(|_| Shelved::Leave));
        steps
    }
}

fn directory() -> Metadata {
    Metadata { mode: 0o755, ..Metadata::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Path {
        text.split('/').map(|name| name.as_bytes().to_vec()).collect()
    }

    fn file() -> Kind {
        Kind::File { size: 0, content: Vec::new() }
    }

    /// The steps in short: `+a` enters, `-` leaves, `!a` is lost.
    fn walk(shelf: Shelf) -> String {
        let words = shelf.steps().into_iter().map(|step| match step {
            Shelved::Enter(name, _) => format!("+{}", String::from_utf8(name).unwrap()),
            Shelved::Leave => "-".into(),
            Shelved::Entry(entry) => String::from_utf8(entry.name).unwrap(),
            Shelved::Lost(path) => format!("!{}", String::from_utf8(path).unwrap()),
        });
        words.collect::<Vec<_>>().join(" ")
    }

    fn shelf(files: &[&str], directories: &[&str]) -> Shelf {
        let mut shelf = Shelf::default();
        files.iter().for_each(|name| shelf.put(path(name), Metadata::default(), file()));
        directories.iter().for_each(|name| shelf.put(path(name), Metadata::default(), Kind::Directory { pages: Vec::new() }));
        shelf
    }

    #[test]
    fn members_in_any_order_are_walked_as_trees_are() {
        assert_eq!(walk(shelf(&["b/y", "a", "b/x", "b.c", "c/d/e"], &["b", "empty"])), "a +b x y - b.c +c +d e - - +empty -");
    }

    #[test]
    fn what_lies_below_a_file_is_lost_and_told() {
        assert_eq!(walk(shelf(&["a", "a/b", "ab"], &[])), "a !a/b ab");
    }

    #[test]
    fn names_of_one_file_share_a_link_and_a_link_to_nothing_is_none() {
        let mut shelf = shelf(&["a"], &["d"]);
        let link = LinkId { filesystem: 0, inode: 1 };
        assert!(shelf.link(&path("a"), path("b"), link));
        assert!(!shelf.link(&path("x"), path("c"), link) && !shelf.link(&path("d"), path("c"), link));
        let links: Vec<_> = shelf
            .steps()
            .into_iter()
            .filter_map(|step| if let Shelved::Entry(entry) = step { entry.metadata.link } else { None })
            .collect();
        assert_eq!(links, [link, link]);
    }
}
