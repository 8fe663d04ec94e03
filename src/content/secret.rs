//! The chunk secret and what is derived from it (BLAKE3 key derivation, one context string each).

use std::fmt;

use zeroize::Zeroizing;

use crate::content::ContentError;
use crate::model::id::{ChunkId, GroupId};
use crate::sealed::pack::Class;

/// Keys chunk ids, gear table and page boundaries. Whoever has it can confirm a guess at content, no more.
#[derive(Clone)]
pub struct ChunkSecret(Zeroizing<[u8; 32]>);

impl fmt::Debug for ChunkSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChunkSecret(..)")
    }
}

/// Random bytes from the system's generator.
///
/// # Errors
/// If the system has none to give.
pub fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, ContentError> {
    let mut bytes = Zeroizing::new([0; N]);
    getrandom::fill(bytes.as_mut_slice()).map_err(|_| ContentError::Other("the system's random generator failed".into()))?;
    Ok(bytes)
}

impl ChunkSecret {
    /// A new secret.
    ///
    /// # Errors
    /// If the system's random generator fails.
    pub fn generate() -> Result<Self, ContentError> {
        Ok(Self(random()?))
    }

    /// The secret with these bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Its bytes, for key files.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    fn derive(&self, context: &str) -> [u8; 32] {
        blake3::derive_key(context, self.0.as_slice())
    }

    /// What names chunks.
    pub fn chunk_keys(&self) -> ChunkKeys {
        ChunkKeys {
            data: self.derive("hearth-backup v1 2026 data chunk id"),
            tree: self.derive("hearth-backup v1 2026 tree chunk id"),
            page: self.derive("hearth-backup v1 2026 page boundary"),
        }
    }

    /// The 256 numbers of the chunker's rolling hash.
    pub fn gear(&self) -> Box<[u64; 256]> {
        let mut stream = blake3::Hasher::new_derive_key("hearth-backup v1 2026 gear table").update(self.0.as_slice()).finalize_xof();
        let mut gear = Box::new([0; 256]);
        for value in gear.iter_mut() {
            let mut bytes = [0; 8];
            stream.fill(&mut bytes);
            *value = u64::from_le_bytes(bytes);
        }
        gear
    }
}

/// Derived keys that name chunks and place page boundaries.
#[derive(Clone)]
pub struct ChunkKeys {
    data: [u8; 32],
    tree: [u8; 32],
    page: [u8; 32],
}

impl ChunkKeys {
    /// The id of a chunk.
    pub fn id(&self, class: Class, plaintext: &[u8]) -> ChunkId {
        let key = match class {
            Class::Data => &self.data,
            Class::Tree => &self.tree,
        };
        ChunkId::from_bytes(*blake3::keyed_hash(key, plaintext).as_bytes())
    }

    /// A number that decides whether a page ends after an entry of this name.
    pub fn page_hash(&self, name: &[u8]) -> u64 {
        let hash = blake3::keyed_hash(&self.page, name);
        hash.as_bytes().first_chunk().map_or(0, |first| u64::from_le_bytes(*first))
    }
}

/// The group of a host and job under a writer's signing seed: equal for equal names, and tells a keeper nothing. Without a job, paths
/// stand for it.
pub fn group_id(seed: &[u8; 32], host: &str, job: &[u8]) -> GroupId {
    let key = blake3::derive_key("hearth-backup v1 2026 snapshot group", seed);
    let mut hasher = blake3::Hasher::new_keyed(&key);
    hasher.update(&(host.len() as u64).to_le_bytes()).update(host.as_bytes()).update(job);
    GroupId::from_bytes(*hasher.finalize().as_bytes())
}
