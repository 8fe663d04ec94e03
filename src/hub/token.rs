//! Tokens: who may do what at the hub. They are shown once, and only their hashes are kept.
//!
//! ```text
//!   DATA/tokens.json   {"tokens": [{"id": ..., "name": "nas", "role": "writer", "repository": "nas", "hash": ...}]}
//!   DATA/tokens.lock   held while the file above is replaced
//! ```
//!
//! A token is `hbt_ID_SECRET` with 256 random bits of secret; such a secret needs no slow hash, as nobody can try them all.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::Role;
use crate::model::id::{WriterId, hex};
use crate::store::hub::is_name;

/// What tokens begin with, so that they are recognised where they do not belong.
const PREFIX: &str = "hbt_";
const FILE: &str = "tokens.json";
const LOCK: &str = "tokens.lock";
/// How coarse a file's time may be.
const YOUNG: Duration = Duration::from_secs(2);
/// Bytes of the file that are read.
const LARGEST: u64 = 16 << 20;

/// A token as the hub knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Names it, in it and in logs.
    pub id: String,
    /// Whose it is: a host's name, or a person's.
    pub name: String,
    /// What it permits.
    pub role: Role,
    /// In which repository.
    pub repository: String,
    /// For writers: the only writer key whose snapshots it may bring. It is the first one that it brings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writer: Option<WriterId>,
    /// BLAKE3 of the secret, in hexadecimal.
    hash: String,
    /// When it was made.
    pub made: Timestamp,
}

/// A token that was just made, with its secret.
pub struct NewToken {
    /// What is kept of it.
    pub token: Token,
    /// What its holder needs.
    pub text: Zeroizing<String>,
}

/// Why tokens cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file system refuses.
    #[error("cannot use {0}: {1}")]
    Io(PathBuf, io::Error),
    /// The file holds something else.
    #[error("{0} does not hold the hub's tokens ({1}); take it from a backup, or remove it and add all tokens again")]
    Damaged(PathBuf, serde_json::Error),
    /// A name that is none.
    #[error("`{0}` cannot be a name: 1 to 64 of a-z, 0-9, `.`, `_` and `-`, and begin with a letter or digit")]
    Name(String),
    /// No such token.
    #[error("no token has the id or name `{0}`; `hearth-backup hub token list` shows them")]
    Unknown(String),
    /// Random numbers.
    #[error("this machine gives no random numbers: {0}")]
    Random(String),
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Contents {
    tokens: Vec<Token>,
}

/// What tells that a file is another one than before: when it was changed, its inode, its length.
type State = (SystemTime, u64, u64);

/// The tokens of a hub. Changes by other processes are seen at the next question.
pub struct Tokens {
    data: PathBuf,
    read: Mutex<(Option<State>, Vec<Token>)>,
}

impl Tokens {
    /// Those below a directory.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn open(data: &Path) -> Result<Self, TokenError> {
        let tokens = Self { data: data.to_owned(), read: Mutex::default() };
        tokens.all()?;
        Ok(tokens)
    }

    fn path(&self) -> PathBuf {
        self.data.join(FILE)
    }

    /// All of them.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn all(&self) -> Result<Vec<Token>, TokenError> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let state = self.state();
        if state.is_none() || read.0 != state {
            *read = (state, self.load()?);
        }
        Ok(read.1.clone())
    }

    /// The file's state; none if it is not there, or so young that a later change might look the same.
    fn state(&self) -> Option<State> {
        let metadata = std::fs::metadata(self.path()).ok()?;
        let changed = metadata.modified().ok()?;
        let old = changed.elapsed().is_ok_and(|age| age > YOUNG);
        old.then(|| (changed, metadata.ino(), metadata.len()))
    }

    fn load(&self) -> Result<Vec<Token>, TokenError> {
        let path = self.path();
        let mut text = Vec::new();
        match File::open(&path).and_then(|file| file.take(LARGEST).read_to_end(&mut text)) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(TokenError::Io(path, error)),
        }
        let contents: Contents = serde_json::from_slice(&text).map_err(|error| TokenError::Damaged(path, error))?;
        Ok(contents.tokens)
    }

    /// The token that this text is. Which of its bytes are right cannot be told from the time it takes.
    ///
    /// # Errors
    /// If the tokens cannot be read.
    pub fn find(&self, text: &str) -> Result<Option<Token>, TokenError> {
        let Some((id, secret)) = text.strip_prefix(PREFIX).and_then(|rest| rest.split_once('_')) else { return Ok(None) };
        let hash = hash(secret);
        let found = self.all()?.into_iter().find(|token| token.id == id);
        Ok(found.filter(|token| token.hash.as_bytes().ct_eq(hash.as_bytes()).into()))
    }

    /// Makes a token.
    ///
    /// # Errors
    /// If a name is none, or it cannot be stored.
    pub fn add(&self, name: &str, role: Role, repository: &str) -> Result<NewToken, TokenError> {
        if let Some(wrong) = [name, repository].into_iter().find(|name| !is_name(name)) {
            return Err(TokenError::Name(wrong.to_owned()));
        }
        let (mut id, mut secret) = ([0; 4], Zeroizing::new([0; 32]));
        let random = |bytes: &mut [u8]| getrandom::fill(bytes).map_err(|error| TokenError::Random(error.to_string()));
        random(&mut id)?;
        random(secret.as_mut())?;
        let secret = Zeroizing::new(URL_SAFE_NO_PAD.encode(*secret));
        let token = Token {
            id: hex(&id),
            name: name.to_owned(),
            role,
            repository: repository.to_owned(),
            writer: None,
            hash: hash(&secret),
            made: Timestamp::now(),
        };
        self.change(|tokens| {
            tokens.push(token.clone());
            Ok(())
        })?;
        let text = Zeroizing::new(format!("{PREFIX}{}_{}", token.id, *secret));
        Ok(NewToken { token, text })
    }

    /// Takes tokens back: that with this id, or all of this name.
    ///
    /// # Errors
    /// If there is none, or it cannot be stored.
    pub fn revoke(&self, which: &str) -> Result<Vec<Token>, TokenError> {
        self.change(|tokens| {
            let gone: Vec<_> = tokens.extract_if(.., |token| token.id == which || token.name == which).collect();
            if gone.is_empty() { Err(TokenError::Unknown(which.to_owned())) } else { Ok(gone) }
        })
    }

    /// Ties a writer's token to the writer key whose snapshot it brings first. Says which one it is tied to, by now.
    ///
    /// # Errors
    /// If it is gone, or it cannot be stored.
    pub fn bind(&self, id: &str, writer: WriterId) -> Result<WriterId, TokenError> {
        self.change(|tokens| {
            let token = tokens.iter_mut().find(|token| token.id == id).ok_or_else(|| TokenError::Unknown(id.to_owned()))?;
            Ok(*token.writer.get_or_insert(writer))
        })
    }

    /// Changes the file, one process after the other; readers see it as it was or as it will be.
    fn change<T>(&self, change: impl FnOnce(&mut Vec<Token>) -> Result<T, TokenError>) -> Result<T, TokenError> {
        let failed = |error| TokenError::Io(self.path(), error);
        let lock = OpenOptions::new().create(true).append(true).mode(0o600).open(self.data.join(LOCK)).map_err(failed)?;
        lock.lock().map_err(failed)?;
        let mut tokens = self.load()?;
        let result = change(&mut tokens)?;
        let text = serde_json::to_vec_pretty(&Contents { tokens }).map_err(|error| TokenError::Damaged(self.path(), error))?;
        let mut file = tempfile::NamedTempFile::new_in(&self.data).map_err(failed)?;
        file.write_all(&text).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
        file.persist(self.path()).map_err(|error| failed(error.error))?;
        File::open(&self.data).and_then(|folder| folder.sync_all()).map_err(failed)?;
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) = Default::default();
        Ok(result)
    }
}

fn hash(secret: &str) -> String {
    blake3::hash(secret.as_bytes()).to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens() -> (Tokens, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        (Tokens::open(folder.path()).unwrap(), folder)
    }

    #[test]
    fn a_token_is_found_by_its_text_and_only_its_hash_is_kept() {
        let (tokens, folder) = tokens();
        let made = tokens.add("nas", Role::Writer, "nas").unwrap();
        assert_eq!(tokens.find(&made.text).unwrap(), Some(made.token.clone()));
        let secret = made.text.splitn(3, '_').nth(2).unwrap();
        assert!(secret.len() >= 43, "256 bits");
        let kept = std::fs::read_to_string(folder.path().join(FILE)).unwrap();
        assert!(!kept.contains(secret) && kept.contains(&made.token.id));
        let other = format!("{PREFIX}{}_{}", made.token.id, "A".repeat(43));
        for wrong in ["", "hbt_", "hbt_x_y", other.as_str(), &made.text[1..], secret] {
            assert_eq!(tokens.find(wrong).unwrap(), None, "{wrong}");
        }
    }

    #[test]
    fn a_token_that_another_process_revoked_is_known_no_more() {
        let (tokens, folder) = tokens();
        let made = tokens.add("nas", Role::Reader, "home").unwrap();
        let other = Tokens::open(folder.path()).unwrap();
        assert!(other.find(&made.text).unwrap().is_some());
        assert_eq!(tokens.revoke("nas").unwrap(), std::slice::from_ref(&made.token));
        assert_eq!(other.find(&made.text).unwrap(), None);
        assert!(matches!(tokens.revoke("nas"), Err(TokenError::Unknown(_))));
    }

    #[test]
    fn a_token_belongs_to_the_first_writer_that_it_brings() {
        let (tokens, _folder) = tokens();
        let made = tokens.add("nas", Role::Writer, "nas").unwrap();
        let writer = |byte| WriterId::from_bytes([byte; 32]);
        assert_eq!(tokens.bind(&made.token.id, writer(1)).unwrap(), writer(1));
        assert_eq!(tokens.bind(&made.token.id, writer(2)).unwrap(), writer(1));
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        let (tokens, _folder) = tokens();
        for name in ["", "..", "a/b", "A", "a b"] {
            assert!(matches!(tokens.add(name, Role::Writer, "home"), Err(TokenError::Name(_))), "{name}");
            assert!(matches!(tokens.add("home", Role::Writer, name), Err(TokenError::Name(_))), "{name}");
        }
    }
}
