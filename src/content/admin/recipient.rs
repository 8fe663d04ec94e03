//! Who can restore: a recipient as statements spell it, and as age seals to it.

use age::secrecy::SecretString;

use super::seal_to;
use crate::content::ContentError;
use crate::content::keys::{Prompt, parse_recipient};

/// How statements spell a passphrase, which has no public half.
pub(super) const PASSPHRASE: &str = "passphrase";

/// A party that a `keys/` object is sealed to.
pub struct KeyRecipient {
    label: String,
    recipient: Box<dyn age::Recipient + Send>,
}

impl KeyRecipient {
    /// Reads `age1...`, `ssh-ed25519 ...`, `ssh-rsa ...` or a plugin's recipient.
    ///
    /// # Errors
    /// Says which forms there are.
    pub fn parse(text: &str, prompt: impl Prompt) -> Result<Self, ContentError> {
        let text = text.trim();
        let recipient = parse_recipient(text, prompt).map_err(ContentError::Other)?;
        Ok(Self { label: text.to_owned(), recipient })
    }

    /// Whoever knows the passphrase. Opening takes about a second of work, by design.
    pub fn passphrase(passphrase: SecretString) -> Self {
        Self { label: PASSPHRASE.to_owned(), recipient: Box::new(age::scrypt::Recipient::new(passphrase)) }
    }

    /// As statements spell it.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Whether it is a passphrase.
    pub fn is_passphrase(&self) -> bool {
        self.label == PASSPHRASE
    }

    pub(super) fn seal(&self, plain: &[u8]) -> Result<Vec<u8>, ContentError> {
        seal_to(plain, self.recipient.as_ref())
    }
}
