//! A random name for one run of prune or unforget: its announcement and the nonces of its packs come from it.

use crate::model::id::hex;
use crate::sealed::SealedError;
use crate::sealed::pack::NONCE;
use crate::store::{Folder, ObjectName};

/// Identifies one run; no two runs share one.
#[derive(Debug, Clone)]
pub struct RunId {
    seed: [u8; 32],
    nonces: u64,
}

impl RunId {
    /// A new random one.
    ///
    /// # Errors
    /// If the system gives no random numbers.
    pub fn random() -> Result<Self, SealedError> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|_| SealedError::NoRandomness)?;
        Ok(Self::from_seed(seed))
    }

    /// The one with this seed, which must be unique.
    pub(crate) fn from_seed(seed: [u8; 32]) -> Self {
        Self { seed, nonces: 0 }
    }

    /// The name of the run's announcement.
    pub fn announcement(&self) -> ObjectName {
        ObjectName::of_id(Folder::Prunes, blake3::keyed_hash(&self.seed, b"announcement").as_bytes())
    }

    /// A nonce that no other pack has.
    pub fn nonce(&mut self) -> [u8; NONCE] {
        self.nonces += 1;
        let mut nonce = [0; NONCE];
        blake3::Hasher::new_keyed(&self.seed).update(&self.nonces.to_le_bytes()).finalize_xof().fill(&mut nonce);
        nonce
    }

    /// A short name for people.
    pub fn short(&self) -> String {
        hex(&self.seed[..4])
    }
}
