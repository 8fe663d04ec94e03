//! Snapshot payloads: what a snapshot is about, for those who hold a key.

use serde::{Deserialize, Serialize};

use crate::content::ContentError;
use crate::content::seal::{self, OpenFailure};
use crate::content::tree::{self, Bytes};
use crate::model::entry::Element;
use crate::model::id::{GroupId, SnapshotId, WriterId};
use crate::sealed::envelope;
use crate::sealed::signature::Subject;
use crate::sealed::snapshots;
use crate::sealed::{SealedError, limits};
use crate::store::{Folder, Store};

/// What a run counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statistics {
    /// Regular files.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Symlinks, devices, pipes, sockets.
    pub others: u64,
    /// Bytes of content, holes included.
    pub bytes: u64,
    /// Files that were new or changed and so were read.
    pub files_read: u64,
    /// Bytes read.
    pub bytes_read: u64,
    /// Bytes of chunks that the repository did not have; what was stored again to leave a block of which little is used is none of them.
    pub bytes_new: u64,
    /// Sealed bytes added in packs.
    pub bytes_stored: u64,
    /// Sources that could not be read, or changed while they were.
    pub warnings: u64,
}

/// The sealed part of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload {
    /// As in the envelope.
    pub writer: WriterId,
    /// As in the envelope.
    pub sequence: u64,
    /// As in the envelope.
    pub group: GroupId,
    /// The machine.
    pub host: String,
    /// The job; empty for runs by hand without one.
    pub job: String,
    /// What was asked to be backed up.
    pub paths: Vec<Bytes>,
    /// The user's labels.
    pub tags: Vec<String>,
    /// Pages of the root directory.
    #[serde(with = "tree::elements")]
    pub root: Vec<Element>,
    /// What was counted.
    pub statistics: Statistics,
    /// The program's version.
    pub program: String,
}

impl Payload {
    /// The sealed form.
    ///
    /// # Errors
    /// If it is too large or cannot be sealed.
    pub fn seal(&self, recipients: &[&dyn age::Recipient]) -> Result<Vec<u8>, ContentError> {
        let text = serde_json::to_vec(self).map_err(|error| ContentError::Other(error.to_string()))?;
        if text.len() as u64 > limits::PAYLOAD {
            return Err(ContentError::Other("the snapshot's labels are larger than 1 MiB; give fewer paths or tags".into()));
        }
        seal::seal_compressed(&text, recipients)
    }
}

/// Opens a snapshot's payload and checks that it belongs to its envelope; the caller has verified the envelope.
///
/// # Errors
/// If no identity fits, or the payload is damaged or another's.
pub fn open(store: &dyn Store, id: &SnapshotId, identities: &[&dyn age::Identity]) -> Result<Payload, ContentError> {
    let object = snapshots::name(Folder::Snapshots, id).to_string();
    let bytes = snapshots::read_bytes(store, Folder::Snapshots, id)?;
    let (signed, sealed) = envelope::parse(Subject::Snapshot, &bytes).map_err(|why| SealedError::malformed(&object, why))?;
    let limit = usize::try_from(limits::PAYLOAD).unwrap_or(usize::MAX);
    let text = seal::open_compressed(sealed, identities, |_| limit).map_err(|failure| match failure {
        OpenFailure::NoIdentity => ContentError::Locked {
            object: object.clone(),
            why: "this key is not among its recipients; a writer key opens its own snapshots, a restore key opens all".into(),
        },
        OpenFailure::Damaged(why) => ContentError::damaged(&object, why),
    })?;
    let payload: Payload = serde_json::from_slice(&text).map_err(|error| ContentError::damaged(&object, error))?;
    let claims = (payload.writer, payload.sequence, payload.group);
    if claims != (signed.envelope.writer, signed.envelope.sequence, signed.envelope.group) {
        return Err(ContentError::damaged(&object, "its payload belongs to another snapshot"));
    }
    Ok(payload)
}
