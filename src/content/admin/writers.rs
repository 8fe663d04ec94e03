//! Who may add snapshots.

use std::time::SystemTime;

use age::x25519;

use super::Admin;
use crate::content::ContentError;
use crate::content::keys::{ContentKeys, SigningKey, WriterKey};
use crate::content::secret::random;
use crate::model::id::{SnapshotId, StatementId, WriterId};
use crate::sealed::snapshots::{Snapshot, Snapshots};
use crate::sealed::statement::{UnknownFields, Writer};
use crate::store::Folder;

/// Characters of a writer's name.
const NAME: usize = 200;

/// What closing a writer did to its snapshots that counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closing {
    /// They still count.
    pub accepted: Vec<SnapshotId>,
    /// They no longer count.
    pub refused: Vec<SnapshotId>,
}

/// Whether a writer may have this name.
///
/// # Errors
/// Says what is wrong with it.
pub fn check_name(name: &str) -> Result<(), ContentError> {
    let wrong = |why: &str| Err(ContentError::Other(format!("a writer cannot be called `{}`: {why}", name.escape_debug())));
    match name {
        "" => wrong("the name is empty; the host's name is a good choice"),
        _ if name.chars().count() > NAME => wrong("it is longer than 200 characters"),
        _ if name.chars().any(char::is_control) => wrong("it has control characters"),
        _ => Ok(()),
    }
}

/// A new writer's key.
pub(super) fn new_key(
    keys: &ContentKeys,
    content: x25519::Recipient,
    name: &str,
    seen: (u64, StatementId),
) -> Result<WriterKey, ContentError> {
    Ok(WriterKey {
        repository: keys.repository,
        name: name.to_owned(),
        writer: WriterId::from_bytes(*random()?),
        signing: SigningKey::generate()?,
        chunk_secret: keys.chunk_secret.clone(),
        index_identity: keys.index_identity.clone(),
        identity: x25519::Identity::generate(),
        content_recipient: content,
        seen,
    })
}

/// How statements name a writer.
pub(super) fn entry(key: &WriterKey) -> Writer {
    Writer {
        id: key.writer,
        name: key.name.clone(),
        verify_key: key.signing.verify_key(),
        recipient: key.identity.to_public().to_string(),
        closed: None,
        unknown: UnknownFields::new(),
    }
}

impl Admin {
    /// Adds a writer. `keep` saves its key before the repository knows it, so that no writer is without a key.
    ///
    /// # Errors
    /// If the name is taken by an open writer, or `keep` or the store fails.
    pub fn add_writer(
        &mut self,
        name: &str,
        keep: &mut dyn FnMut(&WriterKey) -> Result<(), ContentError>,
    ) -> Result<WriterKey, ContentError> {
        check_name(name)?;
        self.refuse_taken(name)?;
        let key = new_key(&self.keys, self.keys.content_recipient()?, name, self.repository.seen())?;
        keep(&key)?;
        self.publish(&mut |statement| {
            statement.writers.push(entry(&key));
            Ok(())
        })?;
        Ok(key)
    }

    fn refuse_taken(&self, name: &str) -> Result<(), ContentError> {
        let taken = self.repository.statement().writers.iter().find(|writer| writer.name == name && writer.closed.is_none());
        match taken {
            None => Ok(()),
            Some(writer) => Err(ContentError::Other(format!(
                "there is a writer `{name}` already ({}); choose another name, or close it first with `key close-writer {}`",
                writer.id.short(),
                writer.id.short()
            ))),
        }
    }

    /// The writer whose id starts with `text`, or whose name it is.
    ///
    /// # Errors
    /// If there is none, or more than one; names the candidates.
    pub fn find_writer(&self, text: &str) -> Result<&Writer, ContentError> {
        let writers = &self.repository.statement().writers;
        let fits = |writer: &&Writer| writer.name == text || (text.len() >= 4 && writer.id.to_string().starts_with(text));
        let found: Vec<&Writer> = writers.iter().filter(fits).collect();
        // A name that was used again after a writer was closed means the open one.
        let open: Vec<&Writer> = found.iter().copied().filter(|writer| writer.closed.is_none()).collect();
        match (found.as_slice(), open.as_slice()) {
            ([writer], _) | (_, [writer]) => Ok(writer),
            ([], _) => Err(ContentError::Other(format!("there is no writer `{text}`; there are: {}", names(writers)))),
            _ => Err(ContentError::Other(format!("`{text}` may be any of these writers: {}", names(found)))),
        }
    }

    /// Closes a writer: of its snapshots only those count that are committed now and, with `before`, that the store received
    /// before that moment. One that is closed already can be closed again with an earlier moment.
    ///
    /// # Errors
    /// If it is unknown, or closed already and there is no moment, or the store fails.
    pub fn close_writer(&mut self, id: &WriterId, before: Option<SystemTime>) -> Result<Closing, ContentError> {
        let closed = self.repository.statement().writer(id).map(|writer| writer.closed.is_some());
        match closed {
            None => return Err(ContentError::Other(format!("there is no writer {id}"))),
            Some(true) if before.is_none() => {
                return Err(ContentError::Other(format!(
                    "writer {} is closed already; --since TIME takes back what it stored from then on",
                    id.short()
                )));
            }
            Some(_) => {}
        }
        let found = Snapshots::load(&self.repository, Folder::Snapshots)?;
        let counted = found.list.iter().filter(|snapshot| snapshot.envelope.writer == *id && snapshot.counts());
        let (accepted, refused): (Vec<&Snapshot>, Vec<_>) =
            counted.partition(|snapshot| before.is_none_or(|moment| snapshot.received < moment));
        let ids = |list: Vec<&Snapshot>| list.iter().map(|snapshot| snapshot.id).collect();
        let closing = Closing { accepted: ids(accepted), refused: ids(refused) };
        self.publish(&mut |statement| {
            for writer in statement.writers.iter_mut().filter(|writer| writer.id == *id) {
                // Another administrator may have closed it meanwhile, with fewer.
                let others = writer.closed.take();
                let still = |snapshot: &&SnapshotId| others.as_ref().is_none_or(|others| others.contains(snapshot));
                writer.closed = Some(closing.accepted.iter().filter(still).copied().collect());
            }
            Ok(())
        })?;
        Ok(closing)
    }
}

fn names<'a>(writers: impl IntoIterator<Item = &'a Writer>) -> String {
    let names: Vec<_> = writers.into_iter().map(|writer| format!("{} ({})", writer.name, writer.id.short())).collect();
    if names.is_empty() { "none".into() } else { names.join(", ") }
}
