//! Statements: what the root key says of the repository. Statement n is signed by the root key named in n-1, so the
//! chain leads back to statement 0, whose hash is the repository id.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::id::{KeysId, RepositoryId, SnapshotId, StatementId, WriterId};
use crate::sealed::codec::{FormatError, join_clear, split_clear};
use crate::sealed::limits;
use crate::sealed::signature::{SIGNATURE, Subject, VerifyKey};
use crate::store::{Folder, ObjectName};

/// First bytes of a statement.
pub const MAGIC: &[u8; 8] = b"hbstmt01";

/// The format that this code reads and writes.
pub const FORMAT: u32 = 1;

/// Fields that this version does not know. Who makes the next statement carries them over.
pub type UnknownFields = BTreeMap<String, serde_json::Value>;

/// Features by whom they stop when unknown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Features {
    /// Unknown ones stop readers.
    pub read: Vec<String>,
    /// Unknown ones stop writers.
    pub write: Vec<String>,
    /// Unknown ones stop forget, prune and mirror.
    pub keep: Vec<String>,
    /// What a newer version added.
    #[serde(flatten)]
    pub unknown: UnknownFields,
}

/// How content is cut (FastCDC, v2020, normalisation 1, keyed gear table). Sizes in bytes, even.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunking {
    /// No chunk but the last of a file is smaller.
    pub min: u32,
    /// About the mean.
    pub avg: u32,
    /// No chunk is larger.
    pub max: u32,
}

impl Default for Chunking {
    fn default() -> Self {
        Self { min: 16 << 10, avg: 64 << 10, max: 256 << 10 }
    }
}

impl Chunking {
    /// Checks the bounds that readers and writers rely on.
    ///
    /// # Errors
    /// Says which bound is broken.
    pub fn validate(&self) -> Result<(), FormatError> {
        let even = self.min.is_multiple_of(2) && self.avg.is_power_of_two() && self.max.is_multiple_of(2);
        let ordered = self.min >= 256 && self.min < self.avg && self.avg < self.max && self.max as usize <= limits::CHUNK;
        if even && ordered {
            return Ok(());
        }
        Err(FormatError::new(format!("chunk sizes {}/{}/{} are out of bounds", self.min, self.avg, self.max)))
    }
}

/// A party that may add snapshots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Writer {
    /// Its id.
    pub id: WriterId,
    /// A label for people, such as the host's name.
    pub name: String,
    /// What its envelopes are verified with.
    pub verify_key: VerifyKey,
    /// Its own age recipient, to which its payloads are sealed too.
    pub recipient: String,
    /// If present the writer is closed: only these of its snapshots still count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<Vec<SnapshotId>>,
    /// What a newer version added.
    #[serde(flatten)]
    pub unknown: UnknownFields,
}

/// One generation of the content key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentRecipient {
    /// Counts from 0.
    pub generation: u32,
    /// The age X25519 recipient.
    pub recipient: String,
    /// What a newer version added.
    #[serde(flatten)]
    pub unknown: UnknownFields,
}

/// A valid `keys/` object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeysEntry {
    /// The object.
    pub id: KeysId,
    /// To whom it is sealed, as text for people: a public key or `passphrase`.
    pub recipient: String,
    /// What a newer version added.
    #[serde(flatten)]
    pub unknown: UnknownFields,
}

/// What a statement says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// Format of the repository; 1.
    pub format: u32,
    /// n; 0 is the first.
    pub number: u64,
    /// Hash of statement n-1; absent in statement 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<StatementId>,
    /// When it was made, for people (RFC 3339).
    pub made: String,
    /// Features in use.
    pub features: Features,
    /// Chunk sizes; never change.
    pub chunking: Chunking,
    /// Signs the next statement.
    pub root_key: VerifyKey,
    /// Recipient of index objects, whose identity every writer holds.
    pub index_recipient: String,
    /// Who may add snapshots.
    pub writers: Vec<Writer>,
    /// Generations of the content key, newest last; blocks are sealed to the newest.
    pub content: Vec<ContentRecipient>,
    /// The valid `keys/` objects.
    pub keys: Vec<KeysEntry>,
    /// What a newer version added.
    #[serde(flatten)]
    pub unknown: UnknownFields,
}

impl Statement {
    /// The writer with this id.
    pub fn writer(&self, id: &WriterId) -> Option<&Writer> {
        self.writers.iter().find(|writer| writer.id == *id)
    }

    /// The recipient that new blocks are sealed to.
    pub fn content_recipient(&self) -> Option<&str> {
        self.content.iter().max_by_key(|entry| entry.generation).map(|entry| entry.recipient.as_str())
    }

    /// The text to sign.
    ///
    /// # Errors
    /// If it cannot be serialised, or is over the limit.
    pub fn text(&self) -> Result<Vec<u8>, FormatError> {
        let text = serde_json::to_vec(self).map_err(|error| FormatError::new(error.to_string()))?;
        // Room for magic, length and signature, as readers bound the whole object.
        if text.len() as u64 > limits::PAYLOAD - 1024 {
            return Err(FormatError::new("the statement would be larger than 1 MiB; close old writers' snapshot lists"));
        }
        Ok(text)
    }
}

/// The name of statement `number`.
pub fn name(number: u64) -> ObjectName {
    // Decimal digits are always a valid name, so the fallback is never taken.
    ObjectName::new(Folder::Repo, number.to_string()).unwrap_or_else(|| ObjectName::of_id(Folder::Repo, &[0; 32]))
}

/// The repository id under which statement `number` is signed.
pub fn signing_scope(number: u64, repository: &RepositoryId) -> RepositoryId {
    if number == 0 { RepositoryId::from_bytes([0; 32]) } else { *repository }
}

/// Builds a statement object.
pub fn encode(text: &[u8], signature: &[u8; SIGNATURE]) -> Vec<u8> {
    join_clear(MAGIC, &[signature.as_slice(), text].concat(), &[])
}

/// A statement as read, with what is needed to verify it.
#[derive(Debug, Clone)]
pub struct SignedStatement {
    /// What it says, not yet believed.
    pub statement: Statement,
    text: Vec<u8>,
    signature: [u8; SIGNATURE],
}

/// Parses a statement object.
///
/// # Errors
/// If it is not one, or breaks a bound.
pub fn parse(bytes: &[u8]) -> Result<SignedStatement, FormatError> {
    let limit = usize::try_from(limits::PAYLOAD).unwrap_or(usize::MAX);
    let (clear, rest) = split_clear(bytes, MAGIC, limit + SIGNATURE)?;
    if !rest.is_empty() {
        return Err(FormatError::new("bytes follow its end"));
    }
    let (signature, text) = clear.split_first_chunk::<SIGNATURE>().ok_or_else(|| FormatError::new("it has no signature"))?;
    #[derive(Deserialize)]
    struct Version {
        format: u32,
    }
    let version: Version = serde_json::from_slice(text).map_err(|error| FormatError::new(format!("its text is not JSON ({error})")))?;
    if version.format != FORMAT {
        return Err(FormatError::TooNew(format!("version {} of the repository format", version.format)));
    }
    let statement: Statement =
        serde_json::from_slice(text).map_err(|error| FormatError::new(format!("its text does not parse ({error})")))?;
    statement.chunking.validate()?;
    Ok(SignedStatement { statement, text: text.to_vec(), signature: *signature })
}

impl SignedStatement {
    /// Whether `key` signed it.
    pub fn signed_by(&self, key: &VerifyKey, repository: &RepositoryId) -> bool {
        let scope = signing_scope(self.statement.number, repository);
        key.verifies(Subject::Statement, &scope, &self.text, &self.signature)
    }
}
