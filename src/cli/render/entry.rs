//! Entries of a snapshot: lines as `ls -l` writes them, and records for machines.

use jiff::Timestamp;
use serde::Serialize;

use super::text;
use crate::content::tree::Bytes;
use crate::model::entry::{Entry, Kind};
use crate::model::human;

/// An entry, for machines. Names that are not UTF-8 are `{"b64": ...}`.
#[derive(Serialize)]
pub struct Record {
    #[serde(skip_serializing_if = "Option::is_none")]
    snapshot: Option<String>,
    path: Bytes,
    kind: &'static str,
    size: Option<u64>,
    mode: String,
    uid: u32,
    gid: u32,
    user: Option<String>,
    group: Option<String>,
    mtime: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<Bytes>,
}

impl Record {
    /// The record of the entry at `path`; `snapshot` where several are searched.
    pub fn new(path: &[u8], entry: &Entry, snapshot: Option<String>) -> Self {
        let metadata = &entry.metadata;
        Self {
            snapshot,
            path: Bytes(path.to_vec()),
            kind: entry.kind.word(),
            size: size(entry),
            mode: format!("{:04o}", metadata.mode),
            uid: metadata.uid,
            gid: metadata.gid,
            user: metadata.user.clone(),
            group: metadata.group.clone(),
            mtime: mtime(entry),
            target: target(entry).map(|target| Bytes(target.to_vec())),
        }
    }
}

fn size(entry: &Entry) -> Option<u64> {
    match &entry.kind {
        Kind::File { size, .. } => Some(*size),
        _ => None,
    }
}

fn target(entry: &Entry) -> Option<&[u8]> {
    match &entry.kind {
        Kind::Symlink { target } => Some(target),
        _ => None,
    }
}

fn mtime(entry: &Entry) -> Option<Timestamp> {
    let mtime = entry.metadata.mtime;
    Timestamp::new(mtime.seconds, i32::try_from(mtime.nanoseconds).ok()?).ok()
}

/// A line without end: with `long` also mode, owner, size and time.
pub fn line(path: &[u8], entry: &Entry, long: bool) -> String {
    let directory = matches!(entry.kind, Kind::Directory { .. });
    let path = format!("{}{}", text::path(path), if directory && !path.ends_with(b"/") { "/" } else { "" });
    if !long {
        return path;
    }
    let metadata = &entry.metadata;
    let owner = metadata.user.clone().unwrap_or_else(|| metadata.uid.to_string());
    let group = metadata.group.clone().unwrap_or_else(|| metadata.gid.to_string());
    let size = match &entry.kind {
        Kind::CharDevice(device) | Kind::BlockDevice(device) => format!("{}, {}", device.major, device.minor),
        _ => size(entry).map(human::size).unwrap_or_default(),
    };
    let time = mtime(entry).map(text::moment).unwrap_or_default();
    let arrow = target(entry).map(|target| format!(" -> {}", text::path(target))).unwrap_or_default();
    format!("{} {owner:<8} {group:<8} {size:>10} {time} {path}{arrow}", mode(entry))
}

/// `drwxr-xr-x`, with setuid, setgid and sticky.
fn mode(entry: &Entry) -> String {
    let kind = match entry.kind {
        Kind::File { .. } => '-',
        Kind::Directory { .. } => 'd',
        Kind::Symlink { .. } => 'l',
        Kind::Fifo => 'p',
        Kind::Socket => 's',
        Kind::CharDevice(_) => 'c',
        Kind::BlockDevice(_) => 'b',
    };
    let bits = entry.metadata.mode;
    let mut mode = String::from(kind);
    // Of each class: its bits, the special bit that shares the place of `x`, and the letter for that.
    for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        mode.push(if bits >> shift & 4 == 0 { '-' } else { 'r' });
        mode.push(if bits >> shift & 2 == 0 { '-' } else { 'w' });
        mode.push(match (bits & special != 0, bits >> shift & 1 != 0) {
            (true, true) => letter,
            (true, false) => letter.to_ascii_uppercase(),
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    mode
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::entry::Metadata;

    #[test]
    fn modes_look_as_ls_shows_them() {
        let of = |bits, kind| mode(&Entry { name: b"x".to_vec(), metadata: Metadata { mode: bits, ..Metadata::default() }, kind });
        assert_eq!(of(0o755, Kind::Directory { pages: vec![] }), "drwxr-xr-x");
        assert_eq!(of(0o4711, Kind::Fifo), "prws--x--x");
        assert_eq!(of(0o1666, Kind::Socket), "srw-rw-rwT");
    }
}
