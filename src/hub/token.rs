//! Tokens: who may do what at the hub. They are shown once, and only their hashes are kept.
//!
//! ```text
//!   DATA/tokens.json   {"tokens": [{"id": ..., "name": "nas", "role": "writer", "repository": "nas", "hash": ...}]}
//!   DATA/tokens.lock   held while the file above is replaced
//!   configuration      hosts with the hashes of their tokens: known as well, and changed there only
//! ```
//!
//! A token is `hbt_ID_SECRET` with 256 random bits of secret; such a secret needs no slow hash, as nobody can try them all. What is known of
//! one is `hbh_ID_HASH`.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
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
use crate::config::{self, Credentials, HubHost, SecretError};
use crate::model::id::{WriterId, hex};
use crate::store::durable;
use crate::store::hub::is_name;
use crate::store::owner::Owner;

/// What tokens begin with, so that they are recognised where they do not belong.
const PREFIX: &str = "hbt_";
/// What the hash of one begins with.
const HASHED: &str = "hbh_";
/// Hexadecimal digits of a hash.
const DIGITS: usize = 64;
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
    /// In which repository; none if it is for the whole hub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// For writers: the only writer key whose snapshots it may bring. It is the first one that it brings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writer: Option<WriterId>,
    /// BLAKE3 of the secret, in hexadecimal.
    hash: String,
    /// When it was made; of those in the configuration nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<Timestamp>,
    /// Whether the configuration has it.
    #[serde(skip)]
    pub declared: bool,
}

impl Token {
    /// What is known of it, as a configuration takes it.
    pub fn hashed(&self) -> String {
        format!("{HASHED}{}_{}", self.id, self.hash)
    }
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
    /// A hash that is none.
    #[error("the token hash of `{0}` is none; `hearth-backup hub token new` and `hub token hash` print one, which begins with hbh_")]
    Hash(String),
    /// A host of the configuration whose hash cannot be had.
    #[error("the token hash of `{0}`: {1}")]
    Secret(String, SecretError),
    /// A role without what it needs.
    #[error("a {0} is for the whole hub and for no repository; leave the repository out")]
    NoRepository(Role),
    /// A token that only the configuration can take back.
    #[error("the token of `{0}` stands in the hub's configuration; remove it from there")]
    Declared(String),
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
    /// The writer keys that tokens of the configuration belong to, by their ids.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    bound: BTreeMap<String, WriterId>,
}

/// What tells that a file is another one than before: when it was changed, its inode, its length.
type State = (SystemTime, u64, u64);

/// The tokens of a hub. Changes by other processes are seen at the next question.
pub struct Tokens {
    data: PathBuf,
    declared: Vec<Token>,
    read: Mutex<(Option<State>, Vec<Token>)>,
}

impl Tokens {
    /// Those below a directory.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn open(data: &Path) -> Result<Self, TokenError> {
        Self::declared(&config::Hub::at(data.to_owned()), &Credentials { directory: None, service: String::new() })
    }

    /// Those of a hub's directory and of its configuration.
    ///
    /// # Errors
    /// If they cannot be read, or a host of the configuration has none.
    pub fn declared(hub: &config::Hub, credentials: &Credentials) -> Result<Self, TokenError> {
        let declared = hub.hosts.iter().map(|(name, host)| declared(name, host, credentials)).collect::<Result<_, _>>()?;
        let tokens = Self { data: hub.data_dir.clone(), declared, read: Mutex::default() };
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
            let Contents { tokens, bound } = self.load()?;
            let declared = self.declared.iter().map(|token| Token { writer: bound.get(&token.id).copied(), ..token.clone() });
            *read = (state, declared.chain(tokens).collect());
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

    fn load(&self) -> Result<Contents, TokenError> {
        let path = self.path();
        let Some(text) = durable::read(&path, LARGEST).map_err(|error| TokenError::Io(path.clone(), error))? else {
            return Ok(Contents::default());
        };
        serde_json::from_slice(&text).map_err(|error| TokenError::Damaged(path, error))
    }

    /// The token that this text is. Which of its bytes are right cannot be told from the time it takes.
    ///
    /// # Errors
    /// If the tokens cannot be read.
    pub fn find(&self, text: &str) -> Result<Option<Token>, TokenError> {
        let Some((id, secret)) = parts(text, PREFIX) else { return Ok(None) };
        let hash = hash(secret);
        let found = self.all()?.into_iter().find(|token| token.id == id);
        Ok(found.filter(|token| token.hash.as_bytes().ct_eq(hash.as_bytes()).into()))
    }

    /// Makes a token; `repository` is none for roles that are for the whole hub.
    ///
    /// # Errors
    /// If a name is none, or it cannot be stored.
    pub fn add(&self, name: &str, role: Role, repository: Option<&str>) -> Result<NewToken, TokenError> {
        let made = NewToken::draw(name, role, repository)?;
        self.change(|contents| {
            contents.tokens.push(made.token.clone());
            Ok(())
        })?;
        Ok(made)
    }

    /// Takes tokens back: that with this id, or all of this name.
    ///
    /// # Errors
    /// If there is none, or it cannot be stored.
    pub fn revoke(&self, which: &str) -> Result<Vec<Token>, TokenError> {
        let meant = |token: &Token| token.id == which || token.name == which;
        self.change(|contents| {
            let gone: Vec<_> = contents.tokens.extract_if(.., |token| meant(token)).collect();
            match gone.is_empty() {
                true if self.declared.iter().any(meant) => Err(TokenError::Declared(which.to_owned())),
                true => Err(TokenError::Unknown(which.to_owned())),
                false => Ok(gone),
            }
        })
    }

    /// Ties a writer's token to the writer key whose snapshot it brings first. Says which one it is tied to, by now.
    ///
    /// # Errors
    /// If it is gone, or it cannot be stored.
    pub fn bind(&self, id: &str, writer: WriterId) -> Result<WriterId, TokenError> {
        self.change(|contents| {
            if self.declared.iter().any(|token| token.id == id) {
                return Ok(*contents.bound.entry(id.to_owned()).or_insert(writer));
            }
            let token = contents.tokens.iter_mut().find(|token| token.id == id).ok_or_else(|| TokenError::Unknown(id.to_owned()))?;
            Ok(*token.writer.get_or_insert(writer))
        })
    }

    /// The file that is held meanwhile. A new one belongs to whoever the directory belongs to, also where root makes it.
    fn lock_file(&self) -> io::Result<File> {
        let path = self.data.join(LOCK);
        match OpenOptions::new().create_new(true).append(true).mode(0o600).open(&path) {
            Ok(made) => {
                Owner::of(&File::open(&self.data)?)?.receives(&made);
                Ok(made)
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => OpenOptions::new().append(true).open(&path),
            Err(error) => Err(error),
        }
    }

    /// Changes the file, one process after the other; readers see it as it was or as it will be.
    fn change<T>(&self, change: impl FnOnce(&mut Contents) -> Result<T, TokenError>) -> Result<T, TokenError> {
        let failed = |error| TokenError::Io(self.path(), error);
        let lock = self.lock_file().map_err(failed)?;
        lock.lock().map_err(failed)?;
        let mut contents = self.load()?;
        let result = change(&mut contents)?;
        let text = serde_json::to_vec_pretty(&contents).map_err(|error| TokenError::Damaged(self.path(), error))?;
        durable::replace(&self.path(), &text).map_err(failed)?;
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) = Default::default();
        Ok(result)
    }
}

impl NewToken {
    /// Draws one, which nobody knows yet.
    ///
    /// # Errors
    /// If a name is none, or the machine gives no random numbers.
    pub fn draw(name: &str, role: Role, repository: Option<&str>) -> Result<Self, TokenError> {
        if let Some(wrong) = [Some(name), repository].into_iter().flatten().find(|name| !is_name(name)) {
            return Err(TokenError::Name(wrong.to_owned()));
        }
        if role.is_for_hub() && repository.is_some() {
            return Err(TokenError::NoRepository(role));
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
            repository: repository.map(str::to_owned),
            writer: None,
            hash: hash(&secret),
            made: Some(Timestamp::now()),
            declared: false,
        };
        let text = Zeroizing::new(format!("{PREFIX}{}_{}", token.id, *secret));
        Ok(Self { token, text })
    }
}

/// What is known of a token whose text this is; none if it is no token.
pub fn hash_of(text: &str) -> Option<String> {
    let (id, secret) = parts(text.trim(), PREFIX)?;
    Some(format!("{HASHED}{id}_{}", hash(secret)))
}

/// The id in a text, and what follows it.
fn parts<'a>(text: &'a str, prefix: &str) -> Option<(&'a str, &'a str)> {
    let (id, rest) = text.strip_prefix(prefix)?.split_once('_')?;
    (id.len() == 8 && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some((id, rest))
}

fn hash(secret: &str) -> String {
    blake3::hash(secret.as_bytes()).to_hex().to_string()
}

/// The token of a host of the configuration.
fn declared(name: &str, host: &HubHost, credentials: &Credentials) -> Result<Token, TokenError> {
    let role = Role::from(host.role);
    let text = match (&host.token_hash, &host.token_hash_file) {
        (Some(text), _) => text.clone(),
        (None, Some(file)) => {
            let path = file.locate(credentials).map_err(|error| TokenError::Secret(name.to_owned(), error))?;
            let mut text = String::new();
            let read = File::open(&path).and_then(|file| file.take(LARGEST).read_to_string(&mut text));
            read.map_err(|error| TokenError::Io(path, error))?;
            text
        }
        (None, None) => return Err(TokenError::Hash(name.to_owned())),
    };
    let is_hash = |hash: &str| hash.len() == DIGITS && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let (id, hash) = parts(text.trim(), HASHED).filter(|(_, hash)| is_hash(hash)).ok_or_else(|| TokenError::Hash(name.to_owned()))?;
    let repository = (!role.is_for_hub()).then(|| host.repository.clone().unwrap_or_else(|| name.to_owned()));
    if let Some(wrong) = [Some(name), repository.as_deref()].into_iter().flatten().find(|name| !is_name(name)) {
        return Err(TokenError::Name(wrong.to_owned()));
    }
    let (id, hash) = (id.to_owned(), hash.to_owned());
    Ok(Token { id, name: name.to_owned(), role, repository, writer: None, hash, made: None, declared: true })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::HubRole;

    fn tokens() -> (Tokens, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        (Tokens::open(folder.path()).unwrap(), folder)
    }

    #[test]
    fn a_token_is_found_by_its_text_and_only_its_hash_is_kept() {
        let (tokens, folder) = tokens();
        let made = tokens.add("nas", Role::Writer, Some("nas")).unwrap();
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
    fn what_root_changes_stays_readable_for_whoever_the_hub_runs_as() {
        if !nix::unistd::geteuid().is_root() {
            println!("SKIPPED: only root can write for others");
            return;
        }
        let (tokens, folder) = tokens();
        std::os::unix::fs::chown(folder.path(), Some(1234), Some(1235)).unwrap();
        tokens.add("nas", Role::Writer, Some("nas")).unwrap();
        tokens.revoke("nas").unwrap();
        for name in [FILE, LOCK] {
            assert_eq!(std::fs::metadata(folder.path().join(name)).unwrap().uid(), 1234, "{name}");
        }
    }

    #[test]
    fn a_token_that_another_process_revoked_is_known_no_more() {
        let (tokens, folder) = tokens();
        let made = tokens.add("nas", Role::Reader, Some("home")).unwrap();
        let other = Tokens::open(folder.path()).unwrap();
        assert!(other.find(&made.text).unwrap().is_some());
        assert_eq!(tokens.revoke("nas").unwrap(), std::slice::from_ref(&made.token));
        assert_eq!(other.find(&made.text).unwrap(), None);
        assert!(matches!(tokens.revoke("nas"), Err(TokenError::Unknown(_))));
    }

    #[test]
    fn a_token_belongs_to_the_first_writer_that_it_brings() {
        let (tokens, _folder) = tokens();
        let made = tokens.add("nas", Role::Writer, Some("nas")).unwrap();
        let writer = |byte| WriterId::from_bytes([byte; 32]);
        assert_eq!(tokens.bind(&made.token.id, writer(1)).unwrap(), writer(1));
        assert_eq!(tokens.bind(&made.token.id, writer(2)).unwrap(), writer(1));
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        let (tokens, _folder) = tokens();
        for name in ["", "..", "a/b", "A", "a b"] {
            assert!(matches!(tokens.add(name, Role::Writer, Some("home")), Err(TokenError::Name(_))), "{name}");
            assert!(matches!(tokens.add("home", Role::Writer, Some(name)), Err(TokenError::Name(_))), "{name}");
        }
    }

    #[test]
    fn a_host_of_the_configuration_is_known_by_the_hash_of_its_token() {
        let folder = tempfile::tempdir().unwrap();
        let made = NewToken::draw("q", Role::Writer, None).unwrap();
        assert_eq!(hash_of(&made.text), Some(made.token.hashed()));
        let mut hub = config::Hub::at(folder.path().to_owned());
        let host = HubHost { token_hash: Some(made.token.hashed()), token_hash_file: None, role: HubRole::Writer, repository: None };
        hub.hosts.insert("q".into(), host);
        let none = Credentials { directory: None, service: String::new() };
        let open = |hub: &config::Hub| Tokens::declared(hub, &none);
        let tokens = open(&hub).unwrap();
        let found = tokens.find(&made.text).unwrap().unwrap();
        assert_eq!((found.name.as_str(), found.repository.as_deref(), found.declared), ("q", Some("q"), true));
        assert!(matches!(tokens.revoke("q"), Err(TokenError::Declared(_))));
        let writer = WriterId::from_bytes([1; 32]);
        tokens.bind(&found.id, writer).unwrap();
        assert_eq!(open(&hub).unwrap().find(&made.text).unwrap().unwrap().writer, Some(writer), "it is remembered");
        hub.hosts.get_mut("q").unwrap().token_hash = Some(made.text.to_string());
        let error = open(&hub).err().unwrap().to_string();
        assert!(error.contains("`q`") && !error.contains(&made.text[13..]), "the token itself is no hash, and is not shown: {error}");
    }

    #[test]
    fn whoever_sees_the_whole_hub_has_no_repository() {
        let (tokens, _folder) = tokens();
        assert_eq!(tokens.add("grafana", Role::Viewer, None).unwrap().token.repository, None);
        assert!(matches!(tokens.add("grafana", Role::Viewer, Some("nas")), Err(TokenError::NoRepository(_))));
    }
}
