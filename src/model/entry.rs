//! An archive entry: what a tree says of one name in a directory.
//!
//! No ctime, inode number or device of regular entries: they differ after every restore and would undo deduplication.

use super::id::ChunkId;

/// A timestamp as the kernel keeps it; nanoseconds are 0..1,000,000,000, also before 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Timestamp {
    /// Seconds since 1970, may be negative.
    pub seconds: i64,
    /// Nanoseconds after `seconds`.
    pub nanoseconds: u32,
}

/// An extended attribute; ACLs and file capabilities are extended attributes too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Xattr {
    /// Full name with its namespace, such as `user.comment`.
    pub name: Vec<u8>,
    /// Raw value.
    pub value: Vec<u8>,
}

/// What all kinds of entries have.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metadata {
    /// Permission bits with setuid, setgid and sticky (`07777`).
    pub mode: u32,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Owner's name on the host, if it had one.
    pub user: Option<String>,
    /// Group's name on the host, if it had one.
    pub group: Option<String>,
    /// Time of last modification.
    pub mtime: Timestamp,
    /// Extended attributes, sorted by name.
    pub xattrs: Vec<Xattr>,
    /// For entries with several hard links: which inode they share, within one snapshot.
    pub link: Option<LinkId>,
}

/// Identifies an inode with several names within one snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkId {
    /// Counts filesystems in the order in which the walk met them, from 0.
    pub filesystem: u32,
    /// Inode number on that filesystem.
    pub inode: u64,
}

/// A piece of a file's content, or of a directory's list of pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// A chunk of this many plaintext bytes.
    Chunk {
        /// The chunk.
        id: ChunkId,
        /// Its plaintext length in bytes.
        length: u32,
    },
    /// So many zero bytes that take no space.
    Hole {
        /// Bytes.
        length: u64,
    },
    /// A tree chunk that holds more elements.
    List {
        /// The tree chunk with the JSON array of elements.
        id: ChunkId,
        /// Plaintext length of that tree chunk.
        length: u32,
        /// Bytes of content under it, holes included.
        size: u64,
    },
}

impl Element {
    /// Bytes of content that the element stands for.
    pub fn size(&self) -> u64 {
        match self {
            Element::Chunk { length, .. } => u64::from(*length),
            Element::Hole { length } => *length,
            Element::List { size, .. } => *size,
        }
    }
}

/// Device numbers of a device node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Device {
    /// Major number.
    pub major: u64,
    /// Minor number.
    pub minor: u64,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File {
        /// Length in bytes, holes included; equals the sum over `content`.
        size: u64,
        /// The content in order.
        content: Vec<Element>,
    },
    /// A directory; the content of its elements, concatenated page by page, are its entries.
    Directory {
        /// Tree chunks, one per page.
        pages: Vec<Element>,
    },
    /// A symbolic link.
    Symlink {
        /// Its raw target.
        target: Vec<u8>,
    },
    /// A named pipe.
    Fifo,
    /// A Unix socket.
    Socket,
    /// A character device.
    CharDevice(Device),
    /// A block device.
    BlockDevice(Device),
}

impl Kind {
    /// The word used in trees and listings.
    pub fn word(&self) -> &'static str {
        match self {
            Kind::File { .. } => "file",
            Kind::Directory { .. } => "dir",
            Kind::Symlink { .. } => "symlink",
            Kind::Fifo => "fifo",
            Kind::Socket => "socket",
            Kind::CharDevice(_) => "chardev",
            Kind::BlockDevice(_) => "blockdev",
        }
    }
}

/// One name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Raw name: 1 to 255 bytes, without `/` and NUL, not `.` or `..`; checked when a tree is parsed.
    pub name: Vec<u8>,
    /// Owner, mode, times, attributes.
    pub metadata: Metadata,
    /// What it is.
    pub kind: Kind,
}
