//! Groups: snapshots that replace each other in time.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use crate::model::id::{GroupId, WriterId};

/// Something that snapshots can be grouped by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Host,
    Job,
    Paths,
    Tags,
    Writer,
    Group,
}

impl Key {
    const ALL: [(Key, &'static str); 6] = [
        (Key::Host, "host"),
        (Key::Job, "job"),
        (Key::Paths, "paths"),
        (Key::Tags, "tags"),
        (Key::Writer, "writer"),
        (Key::Group, "group"),
    ];

    fn word(self) -> &'static str {
        Self::ALL.iter().find(|(key, _)| *key == self).map_or("", |(_, word)| word)
    }
}

/// What makes snapshots belong together.
///
/// The default is writer and group id, which envelopes show without a key. Leave out the writer only where the hosts trust each
/// other: a snapshot then competes with those of every writer that claims the same host, job, paths, tags or group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupBy(BTreeSet<Key>);

impl Default for GroupBy {
    fn default() -> Self {
        Self(BTreeSet::from([Key::Writer, Key::Group]))
    }
}

/// What a snapshot's envelope and, for whoever can open it, its payload say.
#[derive(Debug, Clone, Copy)]
pub struct Labels<'a> {
    /// Who signed it.
    pub writer: WriterId,
    /// The group id in its envelope.
    pub group: GroupId,
    /// What its payload says; none without a key that opens it.
    pub content: Option<ContentLabels<'a>>,
}

/// What a snapshot's payload says.
#[derive(Debug, Clone, Copy)]
pub struct ContentLabels<'a> {
    /// Host.
    pub host: &'a str,
    /// Job; empty if none was named.
    pub job: &'a str,
    /// Paths that were backed up, in any order.
    pub paths: &'a [Vec<u8>],
    /// Tags, in any order.
    pub tags: &'a [String],
}

/// The name of a group: equal if and only if all keys of the [`GroupBy`] are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupName(Vec<(Key, BTreeSet<Vec<u8>>)>);

/// A grouping that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GroupError {
    /// A word that is not a key.
    #[error("snapshots cannot be grouped by `{word}`; write some of host, job, paths, tags, writer and group with commas between, or none")]
    UnknownKey {
        /// The word.
        word: String,
    },
    /// A key whose value lies in the sealed payload.
    #[error("grouping by {word} needs a key that opens the snapshots; without one, group by writer,group")]
    Sealed {
        /// The key.
        word: &'static str,
    },
}

impl GroupBy {
    /// The group of a snapshot.
    ///
    /// # Errors
    /// [`GroupError::Sealed`] if a key lies in the payload, which was not opened.
    pub fn name(&self, labels: &Labels<'_>) -> Result<GroupName, GroupError> {
        self.0.iter().map(|key| Ok((*key, values(*key, labels)?))).collect::<Result<_, _>>().map(GroupName)
    }

    /// Whether the envelopes are not enough.
    pub fn needs_payload(&self) -> bool {
        self.0.iter().any(|key| !matches!(key, Key::Writer | Key::Group))
    }
}

fn values(key: Key, labels: &Labels<'_>) -> Result<BTreeSet<Vec<u8>>, GroupError> {
    let content = || labels.content.ok_or(GroupError::Sealed { word: key.word() });
    let one = |text: &str| BTreeSet::from([text.as_bytes().to_vec()]);
    Ok(match key {
        Key::Host => one(content()?.host),
        Key::Job => one(content()?.job),
        Key::Paths => content()?.paths.iter().cloned().collect(),
        Key::Tags => content()?.tags.iter().map(|tag| tag.as_bytes().to_vec()).collect(),
        Key::Writer => one(&labels.writer.to_string()),
        Key::Group => one(&labels.group.to_string()),
    })
}

impl FromStr for GroupBy {
    type Err = GroupError;

    /// Reads words with commas between; `none`, or nothing, puts all snapshots into one group.
    fn from_str(text: &str) -> Result<Self, GroupError> {
        if matches!(text.trim(), "" | "none") {
            return Ok(Self(BTreeSet::new()));
        }
        let key = |word: &str| {
            let found = Key::ALL.iter().find(|(_, known)| *known == word.trim());
            found.map(|(key, _)| *key).ok_or_else(|| GroupError::UnknownKey { word: word.to_owned() })
        };
        text.split(',').map(key).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for GroupBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        f.write_str(&self.0.iter().map(|key| key.word()).collect::<Vec<_>>().join(","))
    }
}

impl fmt::Display for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("all snapshots");
        }
        let short = |key, value: &[u8]| {
            let text = String::from_utf8_lossy(value);
            if matches!(key, Key::Writer | Key::Group) { text.chars().take(8).collect() } else { text.into_owned() }
        };
        let part = |(key, values): &(Key, BTreeSet<Vec<u8>>)| {
            let values: Vec<_> = values.iter().map(|value| short(*key, value)).filter(|value| !value.is_empty()).collect();
            format!("{} {}", key.word(), if values.is_empty() { "-".to_owned() } else { values.join(" ") })
        };
        f.write_str(&self.0.iter().map(part).collect::<Vec<_>>().join(", "))
    }
}

/// Sorts items into groups by a key, keeping their order within each.
pub fn group<T, K: Ord>(items: impl IntoIterator<Item = T>, key: impl Fn(&T) -> K) -> BTreeMap<K, Vec<T>> {
    let mut groups: BTreeMap<K, Vec<T>> = BTreeMap::new();
    for item in items {
        groups.entry(key(&item)).or_default().push(item);
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels<'a>(writer: u8, content: Option<ContentLabels<'a>>) -> Labels<'a> {
        Labels { writer: WriterId::from_bytes([writer; 32]), group: GroupId::from_bytes([7; 32]), content }
    }

    fn by(text: &str) -> GroupBy {
        text.parse().unwrap()
    }

    #[test]
    fn keys_are_read_and_written_back() {
        assert_eq!(by("job, host").to_string(), "host,job");
        assert_eq!(by("writer,group"), GroupBy::default());
        assert_eq!(by("none").to_string(), "none");
        assert_eq!(by(""), by("none"));
        let error = "host,hots".parse::<GroupBy>().unwrap_err().to_string();
        assert!(error.contains("`hots`") && error.contains("paths"), "{error}");
        assert!("host,".parse::<GroupBy>().is_err());
    }

    #[test]
    fn writers_do_not_share_a_group_unless_told_to() {
        let name = |by: &GroupBy, writer| by.name(&labels(writer, None)).unwrap();
        assert_ne!(name(&GroupBy::default(), 1), name(&GroupBy::default(), 2));
        assert_eq!(name(&by("group"), 1), name(&by("group"), 2));
        assert_eq!(name(&GroupBy::default(), 1).to_string(), "writer 01010101, group 07070707");
        assert_eq!(name(&by("none"), 1).to_string(), "all snapshots");
    }

    #[test]
    fn the_order_of_paths_and_tags_does_not_matter() {
        let paths = [b"/a".to_vec(), b"/b".to_vec()];
        let turned = [b"/b".to_vec(), b"/a".to_vec()];
        let joined = [b"/a /b".to_vec()];
        let name = |paths| {
            let content = ContentLabels { host: "web", job: "", paths, tags: &[] };
            by("host,job,paths,tags").name(&labels(1, Some(content))).unwrap()
        };
        assert_eq!(name(&paths), name(&turned));
        assert_ne!(name(&paths), name(&joined));
        assert_eq!(name(&paths).to_string(), "host web, job -, paths /a /b, tags -");
    }

    #[test]
    fn sealed_keys_need_the_payload() {
        assert!(by("host").needs_payload() && !GroupBy::default().needs_payload());
        let error = by("writer,tags").name(&labels(1, None)).unwrap_err().to_string();
        assert!(error.contains("by tags needs a key"), "{error}");
    }

    #[test]
    fn items_keep_their_order_in_their_group() {
        let groups = group(["b1", "a1", "b2", "a0"], |item| item.as_bytes()[0]);
        assert_eq!(groups.into_values().collect::<Vec<_>>(), [vec!["a1", "a0"], vec!["b1", "b2"]]);
    }
}
