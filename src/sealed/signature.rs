//! Ed25519 signatures (RFC 8032) over raw bytes: verifying only; signing keys live in `content::keys`.

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::id::RepositoryId;

/// Length of a signature in bytes.
pub const SIGNATURE: usize = 64;

/// What a signature is about; it is part of the signed message, so that one kind can never pass for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// A statement about a repository.
    Statement,
    /// A snapshot's envelope.
    Snapshot,
    /// A checkpoint's envelope.
    Checkpoint,
}

impl Subject {
    fn domain(self) -> &'static [u8] {
        match self {
            Subject::Statement => b"hearth-backup v1 statement\0",
            Subject::Snapshot => b"hearth-backup v1 snapshot\0",
            Subject::Checkpoint => b"hearth-backup v1 checkpoint\0",
        }
    }

    /// The bytes that are signed: domain, repository id, text. Statement 0 is signed under 32 zero bytes, as its hash
    /// is the repository id.
    pub fn message(self, repository: &RepositoryId, text: &[u8]) -> Vec<u8> {
        [self.domain(), repository.as_bytes(), text].concat()
    }
}

/// The public half of a signing key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct VerifyKey([u8; 32]);

impl VerifyKey {
    /// The key with these bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Whether `signature` is this key's over `text` in `repository`.
    pub fn verifies(&self, subject: Subject, repository: &RepositoryId, text: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0).verify(&subject.message(repository, text), signature).is_ok()
    }
}

impl std::fmt::Debug for VerifyKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "VerifyKey({})", BASE64.encode(self.0))
    }
}

impl Serialize for VerifyKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(self.0))
    }
}

impl<'de> Deserialize<'de> for VerifyKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        let bytes = BASE64.decode(text.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(|| serde::de::Error::custom("a verify key is 32 bytes in base64"))
    }
}
