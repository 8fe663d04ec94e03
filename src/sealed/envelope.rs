//! Envelopes: the clear, signed part of a snapshot or checkpoint.
//!
//! ```text
//!   magic | u32 length | signature (64) envelope (JSON) | age file with the payload (snapshots only)
//! ```

use serde::{Deserialize, Serialize};

use crate::model::id::{GroupId, RefsId, RepositoryId, SnapshotId, WriterId};
use crate::sealed::codec::{FormatError, join_clear, split_clear};
use crate::sealed::limits;
use crate::sealed::signature::{SIGNATURE, Subject, VerifyKey};

/// First bytes of a snapshot.
pub const SNAPSHOT_MAGIC: &[u8; 8] = b"hbsnap01";
/// First bytes of a checkpoint.
pub const CHECKPOINT_MAGIC: &[u8; 8] = b"hbchkp01";

/// Figures that a keeper may see, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sizes {
    /// Sealed bytes this run added in packs.
    pub added: u64,
    /// Blocks that the snapshot needs, a count.
    pub blocks: u64,
}

/// What anyone can read of a snapshot or checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// Who made it.
    pub writer: WriterId,
    /// Counts the writer's snapshots and checkpoints; strictly increasing.
    pub sequence: u64,
    /// The writer's previous snapshot in the group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<SnapshotId>,
    /// When the run began, by the writer's clock (RFC 3339).
    pub started: jiff::Timestamp,
    /// When the envelope was signed, by the writer's clock (RFC 3339).
    pub finished: jiff::Timestamp,
    /// Which host and job, as an opaque hash.
    pub group: GroupId,
    /// The blocks it needs.
    pub refs: RefsId,
    /// Figures for the keeper.
    pub sizes: Sizes,
    /// BLAKE3 of the sealed payload, in hexadecimal; absent in checkpoints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
}

/// An envelope as read, with what is needed to verify it.
#[derive(Debug, Clone)]
pub struct SignedEnvelope {
    /// What it says, not yet believed.
    pub envelope: Envelope,
    text: Vec<u8>,
    signature: [u8; SIGNATURE],
    subject: Subject,
}

impl SignedEnvelope {
    /// Whether `key` signed it in `repository`.
    pub fn signed_by(&self, key: &VerifyKey, repository: &RepositoryId) -> bool {
        key.verifies(self.subject, repository, &self.text, &self.signature)
    }
}

fn magic(subject: Subject) -> &'static [u8; 8] {
    if subject == Subject::Checkpoint { CHECKPOINT_MAGIC } else { SNAPSHOT_MAGIC }
}

/// Builds the object from the signed text and the sealed payload (empty for checkpoints).
pub fn encode(subject: Subject, text: &[u8], signature: &[u8; SIGNATURE], payload: &[u8]) -> Vec<u8> {
    join_clear(magic(subject), &[signature.as_slice(), text].concat(), payload)
}

/// Parses a snapshot or checkpoint; checks that the payload is the one that the envelope names.
///
/// # Errors
/// If it is not one.
pub fn parse(subject: Subject, bytes: &[u8]) -> Result<(SignedEnvelope, &[u8]), FormatError> {
    let (clear, payload) = split_clear(bytes, magic(subject), limits::ENVELOPE)?;
    let (signature, text) = clear.split_first_chunk::<SIGNATURE>().ok_or_else(|| FormatError::new("it has no signature"))?;
    let envelope: Envelope =
        serde_json::from_slice(text).map_err(|error| FormatError::new(format!("its envelope does not parse ({error})")))?;
    let named = envelope.payload.as_deref();
    let found = (subject == Subject::Snapshot).then(|| blake3::hash(payload).to_hex());
    if named != found.as_ref().map(|hash| hash.as_str()) {
        return Err(FormatError::new("its payload is not the one that its envelope names"));
    }
    if subject == Subject::Checkpoint && !payload.is_empty() {
        return Err(FormatError::new("bytes follow its end"));
    }
    Ok((SignedEnvelope { envelope, text: text.to_vec(), signature: *signature, subject }, payload))
}
