//! Keys: the writer key that a host holds, and the restore key that is kept away from it.
//!
//! ```text
//!   writer key file (JSON, 0600)        restore key: an age identity, SSH key, plugin, passphrase
//!     signs, dedups, reads own labels     |
//!                                       keys/<id> (age) --> content key, root key, chunk secret: reads everything
//! ```

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::str::FromStr as _;

use age::secrecy::{ExposeSecret as _, SecretString};
use age::x25519;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::content::ContentError;
use crate::content::secret::{ChunkSecret, random};
use crate::model::id::{RepositoryId, StatementId, WriterId};
use crate::sealed::signature::{SIGNATURE, Subject, VerifyKey};
use crate::store::warn_if_exposed;

/// An Ed25519 signing key (RFC 8032).
pub struct SigningKey {
    seed: Zeroizing<[u8; 32]>,
    pair: Ed25519KeyPair,
}

impl SigningKey {
    /// A new key.
    ///
    /// # Errors
    /// If the system's random generator fails.
    pub fn generate() -> Result<Self, ContentError> {
        Self::from_seed(random()?)
    }

    /// The key with this seed.
    ///
    /// # Errors
    /// Never for 32 bytes; the library's type says it may.
    pub fn from_seed(seed: Zeroizing<[u8; 32]>) -> Result<Self, ContentError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.as_slice()).map_err(|_| ContentError::Other("bad signing seed".into()))?;
        Ok(Self { seed, pair })
    }

    /// Its seed, for key files.
    pub fn seed(&self) -> &[u8; 32] {
        &self.seed
    }

    /// Signs `text` for `repository`.
    pub fn sign(&self, subject: Subject, repository: &RepositoryId, text: &[u8]) -> [u8; SIGNATURE] {
        let signature = self.pair.sign(&subject.message(repository, text));
        let mut bytes = [0; SIGNATURE];
        bytes.copy_from_slice(signature.as_ref());
        bytes
    }

    /// The public half.
    pub fn verify_key(&self) -> VerifyKey {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.pair.public_key().as_ref());
        VerifyKey::from_bytes(bytes)
    }
}

/// Version of the writer key file.
const WRITER_KEY_VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WriterKeyFile {
    hearth_backup_writer_key: u32,
    repository: String,
    name: String,
    writer: WriterId,
    signing_key: Zeroizing<String>,
    chunk_secret: Zeroizing<String>,
    index_identity: Zeroizing<String>,
    identity: Zeroizing<String>,
    content_recipient: String,
    statement: u64,
    statement_id: StatementId,
}

/// What a host holds: enough to add backups and to deduplicate, not to read content.
pub struct WriterKey {
    /// The repository it writes to.
    pub repository: RepositoryId,
    /// A label, such as the host's name.
    pub name: String,
    /// Its id in statements.
    pub writer: WriterId,
    /// Signs envelopes.
    pub signing: SigningKey,
    /// Names chunks.
    pub chunk_secret: ChunkSecret,
    /// Opens index objects.
    pub index_identity: x25519::Identity,
    /// Opens its own payloads.
    pub identity: x25519::Identity,
    /// The content key's public half when the key was made; statements name newer ones.
    pub content_recipient: x25519::Recipient,
    /// Newest statement when the key was made.
    pub seen: (u64, StatementId),
}

fn key_error(file: &Path, why: impl ToString) -> ContentError {
    ContentError::Key { file: file.display().to_string(), why: why.to_string() }
}

fn unbase64(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let bytes = Zeroizing::new(BASE64.decode(text).ok()?);
    let array: [u8; 32] = bytes.as_slice().try_into().ok()?;
    Some(Zeroizing::new(array))
}

fn secret_text(identity: &x25519::Identity) -> Zeroizing<String> {
    Zeroizing::new(identity.to_string().expose_secret().to_owned())
}

impl WriterKey {
    /// The file's text.
    ///
    /// # Errors
    /// If it cannot be serialised.
    pub fn to_text(&self) -> Result<Zeroizing<String>, ContentError> {
        let file = WriterKeyFile {
            hearth_backup_writer_key: WRITER_KEY_VERSION,
            repository: self.repository.to_bech32(),
            name: self.name.clone(),
            writer: self.writer,
            signing_key: Zeroizing::new(BASE64.encode(self.signing.seed())),
            chunk_secret: Zeroizing::new(BASE64.encode(self.chunk_secret.as_bytes())),
            index_identity: secret_text(&self.index_identity),
            identity: secret_text(&self.identity),
            content_recipient: self.content_recipient.to_string(),
            statement: self.seen.0,
            statement_id: self.seen.1,
        };
        let text = serde_json::to_string_pretty(&file).map_err(|error| ContentError::Other(error.to_string()))?;
        Ok(Zeroizing::new(text + "\n"))
    }

    /// Reads a writer key file.
    ///
    /// # Errors
    /// If it cannot be read or is not one; says what it is instead, if that is known.
    pub fn read(path: &Path) -> Result<Self, ContentError> {
        let text = read_key_file(path)?;
        Self::parse(&text).map_err(|why| key_error(path, why))
    }

    /// Parses the file's text.
    ///
    /// # Errors
    /// Says what is wrong, and what the text is instead, if that is known.
    pub fn parse(text: &str) -> Result<Self, String> {
        if !text.trim_start().starts_with('{') {
            return Err(if looks_like_identity(text) {
                "this is a restore key, but a writer key is needed here (the file that `init --writer-key` wrote)".into()
            } else {
                "this is not a writer key (the JSON file that `init --writer-key` or `key add-writer` wrote)".into()
            });
        }
        let file: WriterKeyFile = serde_json::from_str(text).map_err(|error| format!("this is not a writer key ({error})"))?;
        if file.hearth_backup_writer_key != WRITER_KEY_VERSION {
            return Err(format!("it has version {} of the key format; install a newer hearth-backup", file.hearth_backup_writer_key));
        }
        let part = |name: &str| format!("its field `{name}` is damaged");
        let identity = |text: &str, name: &str| x25519::Identity::from_str(text).map_err(|_| part(name));
        let signing = unbase64(&file.signing_key).and_then(|seed| SigningKey::from_seed(seed).ok());
        Ok(Self {
            repository: RepositoryId::from_bech32(&file.repository).map_err(|error| error.to_string())?,
            name: file.name,
            writer: file.writer,
            signing: signing.ok_or_else(|| part("signing_key"))?,
            chunk_secret: ChunkSecret::from_bytes(*unbase64(&file.chunk_secret).ok_or_else(|| part("chunk_secret"))?),
            index_identity: identity(&file.index_identity, "index_identity")?,
            identity: identity(&file.identity, "identity")?,
            content_recipient: x25519::Recipient::from_str(&file.content_recipient).map_err(|_| part("content_recipient"))?,
            seen: (file.statement, file.statement_id),
        })
    }
}

/// Whether a text is an age or SSH identity file.
pub fn looks_like_identity(text: &str) -> bool {
    text.lines().any(|line| line.starts_with("AGE-SECRET-KEY-") || line.starts_with("AGE-PLUGIN-") || line.starts_with("-----BEGIN"))
}

/// Reads a key file of at most 64 KiB.
///
/// # Errors
/// If it cannot be read.
pub fn read_key_file(path: &Path) -> Result<Zeroizing<String>, ContentError> {
    use std::io::Read as _;
    let read = || {
        let mut text = Zeroizing::new(String::new());
        fs::File::open(path)?.take(64 << 10).read_to_string(&mut text).map(|_| text)
    };
    let text = read().map_err(|error| key_error(path, format!("cannot be read ({error})")))?;
    warn_if_exposed(path);
    Ok(text)
}

/// Writes a key file with mode 0600; never over an existing one.
///
/// # Errors
/// If it exists or cannot be made durable.
pub fn write_key_file(path: &Path, text: &str) -> Result<(), ContentError> {
    let write = || {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            key_error(path, "there is a file of this name; keys are never overwritten, choose another name")
        }
        _ => key_error(path, format!("cannot be written ({error})")),
    })
}

/// What a `keys/` object holds: all that the administrator needs.
pub struct ContentKeys {
    /// The repository it belongs to.
    pub repository: RepositoryId,
    /// Generations of the content key, newest first.
    pub identities: Vec<x25519::Identity>,
    /// Signs statements.
    pub root: SigningKey,
    /// Names chunks.
    pub chunk_secret: ChunkSecret,
    /// Opens index objects.
    pub index_identity: x25519::Identity,
}

const REPOSITORY_LINE: &str = "# repository: ";
const ROOT_LINE: &str = "# root-key: ";
const SECRET_LINE: &str = "# chunk-secret: ";
const INDEX_LINE: &str = "# index-identity: ";

impl ContentKeys {
    /// The plaintext of a `keys/` object: an age identity file that `age -d -i` takes as it is.
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::from("# hearth-backup content key; opens every block of the repository\n"));
        let mut line = |prefix: &str, value: &str| {
            text.push_str(prefix);
            text.push_str(value);
            text.push('\n');
        };
        line(REPOSITORY_LINE, &self.repository.to_bech32());
        line(ROOT_LINE, &Zeroizing::new(BASE64.encode(self.root.seed())));
        line(SECRET_LINE, &Zeroizing::new(BASE64.encode(self.chunk_secret.as_bytes())));
        line(INDEX_LINE, &secret_text(&self.index_identity));
        for identity in &self.identities {
            line("", &secret_text(identity));
        }
        text
    }

    /// The public half of the newest content key, which new blocks are sealed to.
    ///
    /// # Errors
    /// If there is none, which [`ContentKeys::parse`] excludes.
    pub fn content_recipient(&self) -> Result<x25519::Recipient, ContentError> {
        let newest = self.identities.first().ok_or_else(|| ContentError::Other("there is no content key".into()))?;
        Ok(newest.to_public())
    }

    /// Parses that plaintext.
    ///
    /// # Errors
    /// If a part is missing or damaged.
    pub fn parse(text: &str) -> Result<Self, String> {
        let value = |prefix: &str| text.lines().find_map(|line| line.strip_prefix(prefix)).ok_or_else(|| format!("it lacks `{prefix}`"));
        let damaged = |prefix: &str| format!("its line `{prefix}` is damaged");
        let root = unbase64(value(ROOT_LINE)?).and_then(|seed| SigningKey::from_seed(seed).ok());
        let identities: Result<Vec<_>, _> =
            text.lines().filter(|line| line.starts_with("AGE-SECRET-KEY-")).map(x25519::Identity::from_str).collect();
        let identities = identities.map_err(|_| "one of its content keys is damaged".to_owned())?;
        if identities.is_empty() {
            return Err("it holds no content key".into());
        }
        Ok(Self {
            repository: RepositoryId::from_bech32(value(REPOSITORY_LINE)?).map_err(|error| error.to_string())?,
            identities,
            root: root.ok_or_else(|| damaged(ROOT_LINE))?,
            chunk_secret: ChunkSecret::from_bytes(*unbase64(value(SECRET_LINE)?).ok_or_else(|| damaged(SECRET_LINE))?),
            index_identity: x25519::Identity::from_str(value(INDEX_LINE)?).map_err(|_| damaged(INDEX_LINE))?,
        })
    }
}

/// The text of a restore key file: an age identity file that names its repository.
pub fn restore_key_text(identity: &x25519::Identity, repository: &RepositoryId) -> Zeroizing<String> {
    Zeroizing::new(format!(
        "# hearth-backup restore key: reads every backup in the repository below. Keep it off the hosts that are backed up.\n\
         {REPOSITORY_LINE}{}\n# public key: {}\n{}\n",
        repository.to_bech32(),
        identity.to_public(),
        identity.to_string().expose_secret()
    ))
}

/// A restore key as given by the user: identities that may open a `keys/` object.
pub struct RestoreKey {
    /// Tried in order.
    pub identities: Vec<Box<dyn age::Identity + Send + Sync>>,
    /// The repository that the file names, if it does.
    pub repository: Option<RepositoryId>,
    /// Where it came from, for messages.
    pub origin: String,
}

/// What an age file or plugin may ask a person: passphrases, PINs, a touch.
pub trait Prompt: age::Callbacks {}
impl<T: age::Callbacks> Prompt for T {}

impl RestoreKey {
    /// Reads an age identity file, an SSH private key, or an identity file that is itself encrypted with a passphrase.
    ///
    /// # Errors
    /// If the file cannot be read or is not a key that can restore.
    pub fn read(path: &Path, prompt: impl Prompt) -> Result<Self, ContentError> {
        let text = read_key_file(path)?;
        let repository = text.lines().find_map(|line| line.strip_prefix(REPOSITORY_LINE)).and_then(|id| RepositoryId::from_bech32(id).ok());
        let identities = parse_identities(&text, path, prompt).map_err(|why| key_error(path, why))?;
        Ok(Self { identities, repository, origin: path.display().to_string() })
    }

    /// A passphrase as restore key.
    pub fn passphrase(passphrase: SecretString) -> Self {
        let identity: Box<dyn age::Identity + Send + Sync> = Box::new(age::scrypt::Identity::new(passphrase));
        Self { identities: vec![identity], repository: None, origin: "passphrase".into() }
    }

    /// The identities as the age crate takes them.
    pub fn as_identities(&self) -> Vec<&dyn age::Identity> {
        self.identities.iter().map(|identity| identity.as_ref() as &dyn age::Identity).collect()
    }
}

fn parse_identities(text: &str, path: &Path, prompt: impl Prompt) -> Result<Vec<Box<dyn age::Identity + Send + Sync>>, String> {
    if text.trim_start().starts_with('{') {
        return Err("this is a writer key, which can add backups but not read them; a restore key is needed here".into());
    }
    let name = path.display().to_string();
    if text.starts_with("-----BEGIN AGE ENCRYPTED FILE") || text.starts_with("age-encryption.org/") {
        let reader = age::armor::ArmoredReader::new(std::io::Cursor::new(text.as_bytes().to_vec()));
        let decryptor = age::Decryptor::new_buffered(reader).map_err(|error| error.to_string())?;
        let identity =
            age::encrypted::EncryptedIdentity::new(decryptor, prompt.clone(), None).ok_or("it is encrypted, but not with a passphrase")?;
        let file = identity.decrypt(Some(&name)).map_err(|error| error.to_string())?;
        return into_identities(file.with_callbacks(prompt));
    }
    if text.starts_with("-----BEGIN") {
        let identity = age::ssh::Identity::from_buffer(text.as_bytes(), Some(name))
            .map_err(|error| format!("this SSH key cannot be read ({error})"))?;
        if let age::ssh::Identity::Unsupported(kind) = &identity {
            return Err(format!("this kind of SSH key cannot decrypt ({kind:?}); ssh-ed25519 and ssh-rsa can"));
        }
        return Ok(vec![Box::new(identity.with_callbacks(prompt))]);
    }
    if !looks_like_identity(text) {
        return Err(
            "this is not a restore key: an age identity (AGE-SECRET-KEY-1...), an SSH private key or a plugin identity is needed".into()
        );
    }
    let file = age::IdentityFile::from_buffer(text.as_bytes()).map_err(|error| format!("its identities do not parse ({error})"))?;
    into_identities(file.with_callbacks(prompt))
}

fn into_identities(file: age::IdentityFile<impl Prompt>) -> Result<Vec<Box<dyn age::Identity + Send + Sync>>, String> {
    let identities = file.into_identities().map_err(|error| error.to_string())?;
    if identities.is_empty() { Err("it holds no identity".into()) } else { Ok(identities) }
}

/// Parses a recipient as users write it: `age1...`, `ssh-ed25519 ...`, `ssh-rsa ...`, or a plugin's.
///
/// # Errors
/// Says what forms there are.
pub fn parse_recipient(text: &str, prompt: impl Prompt) -> Result<Box<dyn age::Recipient + Send>, String> {
    let text = text.trim();
    if let Ok(recipient) = x25519::Recipient::from_str(text) {
        return Ok(Box::new(recipient));
    }
    if text.starts_with("ssh-") {
        return age::ssh::Recipient::from_str(text)
            .map(|recipient| Box::new(recipient) as _)
            .map_err(|_| format!("`{}` is not an SSH public key that can receive: ssh-ed25519 and ssh-rsa can", short(text)));
    }
    if let Ok(recipient) = age::plugin::Recipient::from_str(text) {
        let plugin = recipient.plugin().to_owned();
        return age::plugin::RecipientPluginV1::new(&plugin, &[recipient], &[], prompt)
            .map(|recipient| Box::new(recipient) as _)
            .map_err(|error| format!("the plugin for `{}` cannot be used: {error}", short(text)));
    }
    Err(format!("`{}` is not a recipient: age1..., ssh-ed25519 ..., ssh-rsa ... or a plugin's age1name1... is", short(text)))
}

fn short(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writer_key() -> WriterKey {
        let identity = x25519::Identity::generate();
        WriterKey {
            repository: RepositoryId::from_bytes([1; 32]),
            name: "q".into(),
            writer: WriterId::from_bytes([2; 32]),
            signing: SigningKey::generate().unwrap(),
            chunk_secret: ChunkSecret::generate().unwrap(),
            index_identity: x25519::Identity::generate(),
            content_recipient: identity.to_public(),
            identity,
            seen: (0, StatementId::of(b"")),
        }
    }

    #[test]
    fn a_writer_key_comes_back_from_its_file() {
        let key = writer_key();
        let back = WriterKey::parse(&key.to_text().unwrap()).unwrap();
        assert_eq!(back.repository, key.repository);
        assert_eq!(back.chunk_secret.as_bytes(), key.chunk_secret.as_bytes());
        let signature = back.signing.sign(Subject::Snapshot, &key.repository, b"text");
        assert!(key.signing.verify_key().verifies(Subject::Snapshot, &key.repository, b"text", &signature));
        assert!(!key.signing.verify_key().verifies(Subject::Checkpoint, &key.repository, b"text", &signature));
    }

    #[test]
    fn a_key_in_the_wrong_place_is_told_apart() {
        let restore = restore_key_text(&x25519::Identity::generate(), &RepositoryId::from_bytes([1; 32]));
        let error = WriterKey::parse(&restore).err().unwrap();
        assert!(error.contains("restore key"), "{error}");
        let error = parse_identities(&writer_key().to_text().unwrap(), Path::new("k"), age::NoCallbacks).err().unwrap();
        assert!(error.contains("writer key"), "{error}");
    }

    #[test]
    fn content_keys_come_back_from_their_text() {
        let keys = ContentKeys {
            repository: RepositoryId::from_bytes([3; 32]),
            identities: vec![x25519::Identity::generate(), x25519::Identity::generate()],
            root: SigningKey::generate().unwrap(),
            chunk_secret: ChunkSecret::generate().unwrap(),
            index_identity: x25519::Identity::generate(),
        };
        let back = ContentKeys::parse(&keys.to_text()).unwrap();
        assert_eq!(back.identities.len(), 2);
        assert_eq!(back.root.verify_key(), keys.root.verify_key());
        assert_eq!(*back.to_text(), *keys.to_text());
    }

    #[test]
    fn recipients_of_all_kinds_parse_and_others_are_explained() {
        let ssh = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJNzrX7ofWDqBTqL5Gzz8Qvcty4ZbCu2Yv2p2aHYc4mC me";
        assert!(parse_recipient(ssh, age::NoCallbacks).is_ok());
        assert!(parse_recipient(&x25519::Identity::generate().to_public().to_string(), age::NoCallbacks).is_ok());
        assert!(parse_recipient("bob", age::NoCallbacks).err().unwrap().contains("age1"));
    }
}
