//! What client and hub say to each other (`docs/hub-protocol.md`): paths, headers and the JSON of answers.

use std::ops::Range;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::store::{Folder, ObjectInfo, ObjectName};

/// The version that paths begin with.
pub const VERSION: &str = "v1";
/// When the hub received an object (RFC 3339), in answers that bring or describe one.
pub const STORED: &str = "hearth-stored";
/// The [`Reason`] of a refusal, once more: the answer to HEAD has no body.
pub const ERROR: &str = "hearth-error";
/// Objects that one request may delete.
pub const DELETIONS: usize = 1000;

/// What a hub says of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The repository's name at the hub.
    pub repository: String,
    /// What the caller may do there: `writer`, `reader` or `maintainer`.
    pub role: String,
    /// The hub's clock.
    pub now: Timestamp,
    /// What its objects take.
    pub used: Usage,
    /// What they may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<Usage>,
    /// What to know before the quota is used up, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
    /// Top-level folders that the hub's version does not know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown_folders: Vec<String>,
}

/// Room in a repository.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Bytes of objects.
    pub bytes: u64,
    /// Objects.
    pub objects: u64,
}

/// A line of a listing: an object, or the end. A listing without an end was cut off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Listed {
    /// An object.
    Object {
        /// Its path, such as `index/ab12`.
        object: String,
        /// In bytes.
        size: u64,
        /// When the hub received it.
        stored: Timestamp,
    },
    /// How many came before.
    End {
        /// Objects.
        objects: u64,
    },
}

impl Listed {
    /// The line of an object.
    pub fn of(info: &ObjectInfo) -> Self {
        let stored = Timestamp::try_from(info.stored).unwrap_or(Timestamp::UNIX_EPOCH);
        Self::Object { object: info.name.path(), size: info.size, stored }
    }
}

/// What became of an upload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// Whether the object is new; otherwise one of that name was there, and stayed as it was.
    pub created: bool,
    /// What to know before the quota is used up, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
}

/// A hub has the report of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reported {
    /// When it received it.
    pub received: Timestamp,
}

/// Of one object that was to be deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deleted {
    /// Its path.
    pub object: String,
    /// Why it is still there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Refusal>,
}

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// For programs.
    pub error: Reason,
    /// For people: what, and what to do.
    pub message: String,
}

/// Why a request failed, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// 400: the request cannot be understood.
    Malformed,
    /// 401: no token, or one that the hub does not know.
    Unauthorized,
    /// 403: the token does not permit it.
    Forbidden,
    /// 404: no such object.
    NotFound,
    /// 404: no such repository, or not for this token.
    NoRepository,
    /// 405: what is there does not know the method.
    Method,
    /// 408: the body came too slowly.
    Slow,
    /// 409: the order has ended, or the host has as many as it may have.
    Conflict,
    /// 411: an upload must say its length.
    LengthRequired,
    /// 413: larger than any object of its kind.
    TooLarge,
    /// 416: the object ends before the range.
    Range,
    /// 422: the bytes are not what the name says.
    Mismatch,
    /// 422: what the object names is not all there.
    Incomplete,
    /// 422: not signed by the writer that the token belongs to.
    Signature,
    /// 429: too many failed logins.
    TooMany,
    /// 500: the hub's disk failed.
    Failed,
    /// 507: the repository's quota is used up.
    Quota,
    /// 507: the hub's disk is full.
    Full,
    /// One of a newer hub.
    #[serde(other)]
    Other,
}

impl Reason {
    /// Every reason of this version.
    pub const ALL: [Reason; 18] = [
        Reason::Malformed,
        Reason::Unauthorized,
        Reason::Forbidden,
        Reason::NotFound,
        Reason::NoRepository,
        Reason::Method,
        Reason::Slow,
        Reason::Conflict,
        Reason::LengthRequired,
        Reason::TooLarge,
        Reason::Range,
        Reason::Mismatch,
        Reason::Incomplete,
        Reason::Signature,
        Reason::TooMany,
        Reason::Failed,
        Reason::Quota,
        Reason::Full,
    ];

    /// As it is written in JSON, without quotes.
    pub fn word(self) -> String {
        serde_json::to_value(self).ok().and_then(|value| Some(value.as_str()?.to_owned())).unwrap_or_default()
    }

    /// The reason of this word.
    pub fn of(word: &str) -> Self {
        serde_json::from_value(word.into()).unwrap_or(Self::Other)
    }
}

/// The object that a path below a repository's objects names.
pub fn object_name(path: &str) -> Option<ObjectName> {
    let (folder, rest) = path.split_once('/')?;
    let folder = Folder::ALL.into_iter().find(|known| known.as_str() == folder)?;
    let leaf = match folder {
        Folder::Packs => rest.split_once('/').filter(|(shard, leaf)| shard.len() == 2 && leaf.starts_with(shard))?.1,
        _ => rest,
    };
    ObjectName::new(folder, leaf)
}

/// The folders that the query of a list names. No folder is named twice, so that nobody makes a list longer than the repository.
pub fn folders(query: &str) -> Option<Vec<Folder>> {
    let known = |name: &str| Folder::ALL.into_iter().find(|folder| folder.as_str() == name);
    let folders = query.strip_prefix("folders=")?.split(',').map(known).collect::<Option<Vec<Folder>>>()?;
    let twice = |(rank, folder): (usize, &Folder)| folders.iter().take(rank).any(|other| other == folder);
    (!folders.iter().enumerate().any(twice)).then_some(folders)
}

/// The part that `bytes=A-B`, `bytes=A-` or `bytes=-N` names (RFC 9110, 14.1.2) of an object of this size. One that begins behind the end is
/// refused, and so is one that ends there: objects do not grow, and whoever asks for more than there is believes in another object.
///
/// # Errors
/// [`Reason::Malformed`] if it is none, and [`Reason::Range`] if the object has no such part.
pub fn part(range: &str, size: u64) -> Result<Range<u64>, Reason> {
    let (first, last) = range.strip_prefix("bytes=").and_then(|range| range.split_once('-')).ok_or(Reason::Malformed)?;
    let number = |text: &str| {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<u64>().ok()).flatten().ok_or(Reason::Malformed)
    };
    let range = match (first, last) {
        ("", last) => size.saturating_sub(Some(number(last)?).filter(|last| *last > 0).ok_or(Reason::Malformed)?)..size,
        (first, "") => number(first)?..size,
        (first, last) => number(first)?..number(last)?.checked_add(1).ok_or(Reason::Malformed)?,
    };
    if range.end > size || range.start >= range.end { Err(Reason::Range) } else { Ok(range) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_an_object_as_it_is_spelled_and_no_other_way() {
        for folder in Folder::ALL {
            let name = ObjectName::new(folder, "abc1").unwrap();
            assert_eq!(object_name(&name.path()), Some(name));
        }
        for path in ["", "repo", "repo/", "repo/../keys/a", "packs/abc1", "packs/xy/abc1", "packs/é/é", "tmp/a", "repo/A", "repo/a/b"] {
            assert_eq!(object_name(path), None, "{path}");
        }
    }

    #[test]
    fn lines_of_a_listing_are_told_apart() {
        let object = r#"{"object":"index/ab","size":7,"stored":"2026-01-01T00:00:00Z"}"#;
        assert!(matches!(serde_json::from_str(object), Ok(Listed::Object { size: 7, .. })));
        assert_eq!(serde_json::from_str::<Listed>(r#"{"objects":3}"#).unwrap(), Listed::End { objects: 3 });
        assert_eq!(Reason::of("invented_later"), Reason::Other);
        assert_eq!(Reason::of(&Reason::NoRepository.word()), Reason::NoRepository);
    }

    #[test]
    fn ranges_are_read_as_the_standard_has_them_and_never_beyond_the_end() {
        assert_eq!(part("bytes=0-0", 10), Ok(0..1));
        assert_eq!(part("bytes=2-", 10), Ok(2..10));
        assert_eq!(part("bytes=-3", 10), Ok(7..10));
        assert_eq!(part("bytes=-30", 10), Ok(0..10));
        for beyond in ["bytes=0-10", "bytes=10-", "bytes=10-12", "bytes=5-4"] {
            assert_eq!(part(beyond, 10).unwrap_err(), Reason::Range, "{beyond}");
        }
        for wrong in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=-0",
            "bytes=a-b",
            "bytes=+1-2",
            "bytes=0-1,3-4",
            "lines=0-1",
            "bytes=0-18446744073709551615",
        ] {
            assert_eq!(part(wrong, 10).unwrap_err(), Reason::Malformed, "{wrong}");
        }
    }

    #[test]
    fn a_list_names_folders_that_there_are_and_each_once() {
        assert_eq!(folders("folders=index,refs"), Some(vec![Folder::Index, Folder::Refs]));
        for wrong in
            ["", "folders", "folders=", "folders=tmp", "folders=index,", "folders=index,index", "folders=index&x=1", "x=1&folders=index"]
        {
            assert_eq!(folders(wrong), None, "{wrong}");
        }
    }
}
