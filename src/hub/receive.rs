//! An upload: bytes go to a file that nobody sees, are hashed on the way, and become an object when all is as it should be.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::mpsc::Receiver;

use super::Tokens;
use super::door::{self, Grant};
use super::repository::{Kept, Promise, failed, refusal};
use crate::sealed::received;
use crate::store::hub::protocol::{Reason, Refusal, Stored};
use crate::store::{Folder, ObjectName, Put, Store as _};

/// An upload that was let in.
pub(super) struct Upload {
    pub(super) kept: Arc<Kept>,
    pub(super) grant: Grant,
    pub(super) name: ObjectName,
    /// How many bytes there will be.
    pub(super) length: u64,
    pub(super) room: Promise,
    /// Whether names that are hashes are compared. Only tests of the store's contract, whose names are none, leave it out.
    pub(super) checked: bool,
}

impl Upload {
    /// Receives the bytes; their sender says with an error that they end too early. It blocks.
    pub(super) fn receive(self, tokens: &Tokens, bytes: Receiver<Result<Bytes, Refusal>>) -> Result<Stored, Refusal> {
        if self.checked && door::is_looked_into(self.name.folder()) && self.grant.role == super::Role::Writer {
            self.receive_small(tokens, bytes)
        } else {
            self.receive_large(bytes)
        }
    }

    fn receive_large(self, mut bytes: Receiver<Result<Bytes, Refusal>>) -> Result<Stored, Refusal> {
        let mut staged = self.kept.store.stage().map_err(|error| failed(&error))?;
        let mut hasher = blake3::Hasher::new();
        let mut left = self.length;
        while let Some(piece) = bytes.blocking_recv() {
            let piece = piece?;
            left = left.checked_sub(piece.len() as u64).ok_or_else(too_long)?;
            hasher.update(&piece);
            staged.write(&piece).map_err(|error| failed(&error))?;
        }
        self.is_all(left)?;
        self.is_named(&hasher.finalize())?;
        let put = staged.commit(&self.name).map_err(|error| failed(&error))?;
        Ok(self.stored(put))
    }

    fn receive_small(self, tokens: &Tokens, mut bytes: Receiver<Result<Bytes, Refusal>>) -> Result<Stored, Refusal> {
        let mut whole = Vec::new();
        while let Some(piece) = bytes.blocking_recv() {
            whole.extend_from_slice(&piece?);
            if whole.len() as u64 > self.length {
                return Err(too_long());
            }
        }
        self.is_all(self.length - whole.len() as u64)?;
        self.is_named(&blake3::hash(&whole))?;
        door::check(&self.kept, tokens, &self.grant, &self.name, &whole)?;
        let put = self.kept.store.put_new(&self.name, &whole).map_err(|error| failed(&error))?;
        self.note_time();
        Ok(self.stored(put))
    }

    /// When a snapshot came counts for retention, whatever becomes of its file. Housekeeping makes up for what fails here.
    fn note_time(&self) {
        let Ok(id) = self.name.leaf().parse() else { return };
        if self.name.folder() == Folder::Commits
            && let Err(error) = received::write(self.kept.store.as_ref(), &id, Timestamp::now(), &self.grant.name)
        {
            tracing::warn!("when {} came could not be written down: {error}", self.name);
        }
    }

    fn is_all(&self, left: u64) -> Result<(), Refusal> {
        if left == 0 { Ok(()) } else { Err(refusal(Reason::Malformed, format!("the body ends {left} bytes too early"))) }
    }

    fn is_named(&self, hash: &blake3::Hash) -> Result<(), Refusal> {
        if !self.checked || !door::is_named_by_hash(self.name.folder()) || hash.to_hex().as_str() == self.name.leaf() {
            return Ok(());
        }
        Err(refusal(Reason::Mismatch, format!("its bytes have the hash {}, and not the one that names it", hash.to_hex())))
    }

    fn stored(self, put: Put) -> Stored {
        let room = self.room;
        let created = put == Put::Created;
        if created {
            tracing::debug!("{} stored {} ({} bytes) in {}", self.grant.name, self.name, self.length, self.kept.name);
            room.take();
        }
        Stored { created, warning: self.kept.warning_now() }
    }
}

fn too_long() -> Refusal {
    refusal(Reason::Malformed, "the body is longer than it says")
}
