//! The door: what a role may do, and what bytes must be before they become visible.
//!
//! | folder | a writer may create it if |
//! |---|---|
//! | `packs`, `index`, `refs` | its name is the BLAKE3 of its bytes |
//! | `snapshots`, `checkpoints` | and an open writer of the repository signed it, the one that the token belongs to, and what it names is all there |
//! | `commits` | it is the mark of a snapshot of that writer which is there |

use std::collections::HashSet;

use crate::model::id::{RefsId, SnapshotId, WriterId};
use crate::sealed::envelope::{self, Envelope};
use crate::sealed::signature::Subject;
use crate::sealed::{SealedError, limits, marks, presence, refs, snapshots};
use crate::store::hub::protocol::{Reason, Refusal};
use crate::store::{Folder, ObjectName, Store as _};

use super::repository::{Kept, failed, refusal};
use super::{Role, Tokens};

/// Snapshots of a repository, a count; the rest of what the format permits is for the administrator.
const SNAPSHOTS: usize = limits::SNAPSHOTS / 2;

/// What a request was let in with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// For logs.
    pub name: String,
    /// The token, unless a pipe or its like was let in without.
    pub token: Option<String>,
    /// What it may do.
    pub role: Role,
    /// The only writer whose snapshots it may bring, if that is known yet.
    pub writer: Option<WriterId>,
}

impl Grant {
    /// Lets a creation pass, or not.
    pub(super) fn may_create(&self, folder: Folder) -> Result<(), Refusal> {
        if self.role.may_create(folder) { Ok(()) } else { Err(self.forbidden("create", folder)) }
    }

    /// Lets a read pass, or not.
    pub(super) fn may_read(&self, folder: Folder) -> Result<(), Refusal> {
        if self.role.may_read(folder) { Ok(()) } else { Err(self.forbidden("read", folder)) }
    }

    /// Lets a deletion pass, or not.
    pub(super) fn may_delete(&self) -> Result<(), Refusal> {
        if self.role.may_delete() { Ok(()) } else { Err(refusal(Reason::Forbidden, format!("a {} may not delete anything", self.role))) }
    }

    fn forbidden(&self, what: &str, folder: Folder) -> Refusal {
        refusal(Reason::Forbidden, format!("a {} may not {what} objects in {folder}/", self.role))
    }
}

/// The most bytes that an object of a folder may have.
pub(super) fn largest(folder: Folder) -> u64 {
    match folder {
        Folder::Packs => limits::PACK,
        Folder::Index => limits::INDEX,
        Folder::Refs => limits::REFS,
        Folder::Maps | Folder::Condemned => limits::LIST,
        Folder::Snapshots | Folder::Checkpoints | Folder::Forgotten => limits::PAYLOAD + limits::ENVELOPE as u64 + 1024,
        Folder::Repo | Folder::Keys | Folder::Commits | Folder::Received | Folder::Pins | Folder::Prunes => limits::PAYLOAD,
    }
}

/// Whether the names in a folder are the BLAKE3 of what they name.
pub(super) fn is_named_by_hash(folder: Folder) -> bool {
    match folder {
        Folder::Packs
        | Folder::Index
        | Folder::Refs
        | Folder::Snapshots
        | Folder::Checkpoints
        | Folder::Keys
        | Folder::Maps
        | Folder::Condemned
        | Folder::Forgotten => true,
        Folder::Repo | Folder::Commits | Folder::Received | Folder::Pins | Folder::Prunes => false,
    }
}

/// Whether what is created in a folder is looked into, besides its hash.
pub(super) fn is_looked_into(folder: Folder) -> bool {
    matches!(folder, Folder::Snapshots | Folder::Checkpoints | Folder::Commits)
}

/// Checks what a writer wants to create. Everything that it names must be there.
pub(super) fn check(kept: &Kept, tokens: &Tokens, grant: &Grant, name: &ObjectName, bytes: &[u8]) -> Result<(), Refusal> {
    match name.folder() {
        Folder::Snapshots => {
            leaves_room(kept)?;
            check_signed(kept, tokens, grant, Subject::Snapshot, bytes)
        }
        Folder::Checkpoints => check_signed(kept, tokens, grant, Subject::Checkpoint, bytes),
        Folder::Commits => check_commit(kept, grant, name, bytes),
        _ => Ok(()),
    }
}

/// Readers refuse a repository with more snapshots than the format permits: no writer may bring it there.
fn leaves_room(kept: &Kept) -> Result<(), Refusal> {
    let there = kept.store.list(Folder::Snapshots).map_err(|error| failed(&error))?.len();
    if there < SNAPSHOTS {
        return Ok(());
    }
    let message = format!("the repository `{}` has {there} snapshots already; the administrator looks why, and forgets some", kept.name);
    Err(refusal(Reason::Quota, message))
}

fn check_signed(kept: &Kept, tokens: &Tokens, grant: &Grant, subject: Subject, bytes: &[u8]) -> Result<(), Refusal> {
    let (signed, _) = envelope::parse(subject, bytes).map_err(|why| refusal(Reason::Mismatch, why.to_string()))?;
    let repository = kept.repository()?;
    let said = &signed.envelope;
    let writer = repository.statement().writer(&said.writer).filter(|writer| writer.closed.is_none());
    let forged = || refusal(Reason::Signature, "no open writer of this repository signed it");
    let writer = writer.ok_or_else(forged)?;
    if !signed.signed_by(&writer.verify_key, &repository.id()) {
        return Err(forged());
    }
    belongs(tokens, grant, said.writer)?;
    is_whole(kept, said)
}

/// A token brings the snapshots of one writer.
fn belongs(tokens: &Tokens, grant: &Grant, writer: WriterId) -> Result<(), Refusal> {
    if grant.role != Role::Writer {
        return Ok(());
    }
    let own = match (&grant.writer, &grant.token) {
        (Some(own), _) => *own,
        (None, None) => return Ok(()),
        (None, Some(id)) => tokens.bind(id, writer).map_err(|error| {
            tracing::error!("{error}");
            refusal(Reason::Failed, "the hub cannot note whose token it is; its log says why")
        })?,
    };
    if own == writer {
        return Ok(());
    }
    let message = format!("this token belongs to writer {}, and it is signed by {}", own.short(), writer.short());
    Err(refusal(Reason::Signature, message))
}

/// Whether refs, index objects and blocks are there; condemned ones are: the writer sees that itself, and heals it.
fn is_whole(kept: &Kept, said: &Envelope) -> Result<(), Refusal> {
    let store = kept.store.as_ref();
    let absent = |object: String| refusal(Reason::Incomplete, format!("{object} that it names is not there"));
    let found = refs::read(store, &said.refs).map_err(|error| unreadable(error, &refs::name(&said.refs)))?;
    let missing = presence::absent(store, &said.refs, &found).map_err(|error| {
        tracing::error!("{error}");
        refusal(Reason::Failed, "what it names cannot be checked; the hub's log says why")
    })?;
    for list in &missing.lists {
        // Condemned and there, or missing or damaged.
        store.stat(list).map_err(|_| absent(list.to_string()))?;
        let condemned = marks::all_condemned(store).map_err(|error| refusal(Reason::Failed, error.to_string()))?;
        if !is_condemned(list, &condemned) {
            return Err(absent(format!("a readable {list}")));
        }
    }
    let condemned: HashSet<_> = missing.condemned.iter().map(|(block, _)| *block).collect();
    match missing.blocks.iter().find(|block| !condemned.contains(block)) {
        Some(block) => Err(absent(format!("block {block}"))),
        None => Ok(()),
    }
}

fn is_condemned(list: &ObjectName, condemned: &marks::Condemned) -> bool {
    match list.folder() {
        Folder::Refs => list.leaf().parse::<RefsId>().is_ok_and(|id| condemned.refs.contains(&id)),
        _ => list.leaf().parse().is_ok_and(|id| condemned.indexes.contains(&id)),
    }
}

fn unreadable(error: SealedError, name: &ObjectName) -> Refusal {
    match error {
        error if error.is_not_found() => refusal(Reason::Incomplete, format!("{name} that it names is not there")),
        SealedError::Damaged { .. } => refusal(Reason::Incomplete, format!("{name} that it names is damaged")),
        error => {
            tracing::error!("{error}");
            refusal(Reason::Failed, "what it names cannot be read; the hub's log says why")
        }
    }
}

fn check_commit(kept: &Kept, grant: &Grant, name: &ObjectName, bytes: &[u8]) -> Result<(), Refusal> {
    let id: SnapshotId = marks::parse_commit(bytes).map_err(|why| refusal(Reason::Mismatch, why.to_string()))?;
    if id.to_string() != name.leaf() {
        return Err(refusal(Reason::Mismatch, "it is the mark of another snapshot than its name says"));
    }
    let store = kept.store.as_ref();
    let bytes = snapshots::read_bytes(store, Folder::Snapshots, &id).map_err(|error| match error {
        error if error.is_not_found() => refusal(Reason::Incomplete, "there is no such snapshot"),
        SealedError::Store(error) => failed(&error),
        error => refusal(Reason::Failed, error.to_string()),
    })?;
    let (signed, _) = envelope::parse(Subject::Snapshot, &bytes).map_err(|why| refusal(Reason::Incomplete, why.to_string()))?;
    if grant.writer.is_some_and(|own| own != signed.envelope.writer) {
        return Err(refusal(Reason::Signature, "it is the snapshot of another writer"));
    }
    Ok(())
}
