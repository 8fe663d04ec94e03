//! What can go wrong in a restore target, for people: the path, the reason, and what to do.

use std::io;

/// An operation on the target that failed. The rest of the restore can go on unless [`TargetError::is_full`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// A name that could lead outside the directory it stands in.
    #[error(
        "{parent}: the snapshot has an entry named {name:?} here, which could lead outside of the target; it is left out. No sound backup contains it: find out who wrote this snapshot"
    )]
    UnsafeName {
        /// The directory that has the entry.
        parent: String,
        /// The name, escaped.
        name: String,
    },
    /// Another directory, or none, has taken the place of one that was restored.
    #[error(
        "{path}: the directory was replaced by something else during the restore; nothing is written there. Keep others out of the target and restore again"
    )]
    Replaced {
        /// The directory.
        path: String,
    },
    /// A directory with content stands where the snapshot has something else.
    #[error(
        "{path}: a directory that is not empty stands where the snapshot has something else; move it away, or restore with --delete to have it removed"
    )]
    DirectoryInTheWay {
        /// The directory.
        path: String,
    },
    /// Something to be deleted lies on another filesystem.
    #[error("{path}: this is a mount point or subvolume, and what is on it is not deleted; unmount it or remove it yourself")]
    MountPoint {
        /// The mount point.
        path: String,
    },
    /// Content that lies behind the end of its file.
    #[error("{path}: content at {offset} reaches behind the end of the file at {size}; the snapshot's tree contradicts itself")]
    BehindEnd {
        /// The file.
        path: String,
        /// Where the content was to be written.
        offset: u64,
        /// Length of the file.
        size: u64,
    },
    /// The system refused.
    #[error("cannot {action} {path}: {source}{advice}", advice = advice(source))]
    System {
        /// What was tried, such as `create`.
        action: &'static str,
        /// The entry.
        path: String,
        /// Why not.
        source: io::Error,
    },
}

impl TargetError {
    /// Whether no room is left, so that going on is pointless.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::System { source, .. } if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
    }
}

/// What to do, where the error code tells.
fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "; free some space and restore again, finished files are kept",
        io::ErrorKind::PermissionDenied => "; restore as root, or into a directory of your own",
        io::ErrorKind::ReadOnlyFilesystem => "; mount the target writable",
        io::ErrorKind::TooManyLinks => "; this filesystem allows no more links, restore to another one",
        io::ErrorKind::FileTooLarge => "; this filesystem cannot hold so large a file, restore to another one",
        _ => "",
    }
}
