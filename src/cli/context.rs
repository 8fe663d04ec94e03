//! What every command starts from: options, keys, the repository, a monitor.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use super::args::Global;
use super::console::Console;
use super::course::Course;
use super::exit::{Exit, UsageError};
use super::keys::Key;
use super::progress::Progress;
use super::prompt::Prompt;
use super::signals::Interrupt;
use super::state_dir::{Known, default_base};
use super::trust;
use crate::config::Config;
use crate::content::backup::state::State;
use crate::content::keys::{RestoreKey, WriterKey};
use crate::content::vault::Vault;
use crate::model::id::RepositoryId;
use crate::sealed::repository::Repository;
use crate::store::hub::read_token;
use crate::store::object::{Bucket, Credentials, Defaults};
use crate::store::ssh::SshOptions;
use crate::store::{Access, Address, Place, open};

/// What every command starts from.
#[derive(Clone)]
pub struct Context {
    /// Options of every command.
    pub global: Global,
    /// Standard output and standard error.
    pub console: Console,
    /// Whether to stop.
    pub interrupt: Interrupt,
    /// What happened so far.
    pub course: Arc<Course>,
}

impl Context {
    /// The repository's location as it was given.
    ///
    /// # Errors
    /// If none was.
    pub fn location(&self) -> anyhow::Result<&str> {
        let missing = || UsageError::new("which repository? Give its directory or URL with --repo, or in the environment as HEARTH_REPO");
        self.global.repo.as_deref().filter(|repo| !repo.is_empty()).ok_or_else(missing)
    }

    /// The repository's directory, if it lies in one of this machine.
    ///
    /// # Errors
    /// If no location was given, or it is not understood.
    pub fn directory(&self) -> anyhow::Result<Option<PathBuf>> {
        Ok(Address::parse(self.location()?, &self.reach())?.into_directory())
    }

    /// The repository's bucket, if it lies in one.
    ///
    /// # Errors
    /// If no location was given, or it is not understood.
    pub fn bucket(&self) -> anyhow::Result<Option<Bucket>> {
        match Address::parse(self.location()?, &self.reach())?.place {
            Place::Bucket(bucket) => Ok(Some(*bucket)),
            Place::Directory(_) | Place::Server(_) | Place::Service(_) | Place::Hub(_) => Ok(None),
        }
    }

    /// How to reach repositories on servers.
    ///
    /// # Errors
    /// If the file with the credentials holds none, or that with the token of a hub, or the private key is not there.
    pub fn access(&self) -> anyhow::Result<Access> {
        let ssh = self.ssh();
        let correct = |error| UsageError::new(format!("{error}; correct the path after --identity, or in HEARTH_IDENTITY"));
        ssh.check().map_err(correct)?;
        let file = self.global.credentials_file.as_deref().filter(|file| !file.as_os_str().is_empty());
        let credentials = file.map(Credentials::read).transpose()?;
        let connections = self.global.connections.map(usize::from);
        let token = self.global.token_file.as_deref().filter(|file| !file.as_os_str().is_empty());
        let token = token.map(read_token).transpose()?;
        let access = self.reach().with_limits(self.global.limit_upload, self.global.limit_download).with_token(token);
        Ok(access.with_ssh(ssh).with_credentials(credentials).with_connections(connections))
    }

    /// What URLs leave open, and which are permitted.
    fn reach(&self) -> Access {
        Access::new(defaults()).allowing_plain_http(self.global.allow_plain_http).stopping_by(self.interrupt.number())
    }

    /// How to reach other machines.
    fn ssh(&self) -> SshOptions {
        let identity = self.global.identity.clone().filter(|path| !path.as_os_str().is_empty());
        let words: Vec<String> = self.global.ssh.iter().flat_map(|command| command.split_whitespace()).map(str::to_owned).collect();
        let program = if words.is_empty() { SshOptions::default().program } else { words };
        SshOptions { program, identity, interactive: std::io::stdin().is_terminal(), ..SshOptions::default() }
    }

    /// A prompt on the terminal.
    pub fn prompt(&self) -> Prompt {
        Prompt::new(&self.console)
    }

    /// The key that was given, if one was.
    ///
    /// # Errors
    /// If it cannot be read or is no key.
    pub fn key(&self) -> anyhow::Result<Option<Key>> {
        self.key_path().map(|path| Key::read(path, &self.prompt())).transpose()
    }

    fn key_path(&self) -> Option<&Path> {
        self.global.key.as_deref().filter(|path| !path.as_os_str().is_empty())
    }

    /// The writer key that was given.
    ///
    /// # Errors
    /// If none was, or it is something else.
    pub fn writer_key(&self) -> anyhow::Result<WriterKey> {
        let path = self.key_path().ok_or_else(|| {
            UsageError::new("a writer key is needed; give the file that `init` or `key add-writer` wrote with --key, or as HEARTH_KEY")
        })?;
        Ok(WriterKey::read(path)?)
    }

    /// The restore key that was given; a passphrase if the repository takes one and no key was given.
    ///
    /// # Errors
    /// If there is none, or it is a writer key.
    pub fn restore_key(&self) -> anyhow::Result<RestoreKey> {
        match self.key()? {
            Some(Key::Restore(key)) => Ok(key),
            Some(Key::Writer(key)) => Err(UsageError::new(format!(
                "{} is the writer key of `{}`: it adds backups and lists their labels, but cannot read them. \
                 Content needs the restore key, which is kept off the hosts; give it with --key",
                self.key_path().unwrap_or(Path::new("the key")).display(),
                key.name
            ))),
            None if std::env::var_os(super::prompt::PASSPHRASE_FILE).is_some() => {
                Ok(RestoreKey::passphrase(self.prompt().passphrase("Passphrase")?))
            }
            None => Err(UsageError::new(
                "a restore key is needed: give its file with --key, or as HEARTH_KEY; `--key passphrase` asks for a passphrase",
            )),
        }
    }

    /// Where this machine keeps its state.
    ///
    /// # Errors
    /// If there is no place for it.
    pub fn state_base(&self) -> anyhow::Result<PathBuf> {
        match &self.global.state {
            Some(dir) if !dir.as_os_str().is_empty() => Ok(std::path::absolute(dir)?),
            _ => default_base(),
        }
    }

    /// Where jobs of a configuration keep their state, if that says nothing of it.
    ///
    /// # Errors
    /// If it says nothing, and there is no place for it.
    pub fn state_base_of(&self, config: &Config) -> anyhow::Result<PathBuf> {
        config.state_dir.clone().map_or_else(|| self.state_base(), Ok)
    }

    /// The same with the state where a configuration says, if it does.
    ///
    /// # Errors
    /// If it says nothing, and there is no place for it.
    pub fn with_state_of(&self, config: &Config) -> anyhow::Result<Self> {
        let global = Global { state: Some(self.state_base_of(config)?), ..self.global.clone() };
        Ok(Self { global, ..self.clone() })
    }

    /// Where systemd has put the credentials of this service, if it is one (systemd.exec(5)).
    pub fn credentials(&self) -> Option<PathBuf> {
        std::env::var_os("CREDENTIALS_DIRECTORY").filter(|directory| !directory.is_empty()).map(PathBuf::from)
    }

    /// The state of one repository.
    ///
    /// # Errors
    /// If the directory cannot be used.
    pub fn state(&self, id: &RepositoryId) -> anyhow::Result<State> {
        Ok(State::open(&self.state_base()?, id)?)
    }

    /// The repositories that this machine knows.
    ///
    /// # Errors
    /// If there is no place for its state.
    pub fn known(&self) -> anyhow::Result<Known> {
        Ok(Known::load(&self.state_base()?))
    }

    /// Opens the repository; `key` says which one it must be, if it is given.
    ///
    /// # Errors
    /// If it is not there, is another one, is older than what was seen before, or nobody vouches for it.
    pub fn repository(&self, key: Option<&Key>) -> anyhow::Result<Repository> {
        let location = open::open(self.location()?, &self.access()?)?;
        trust::open(self, location, key.and_then(Key::repository), key.and_then(Key::seen))
    }

    /// Opens the repository and its content with the restore key.
    ///
    /// # Errors
    /// As [`Context::repository`] and [`Context::restore_key`], or if the key does not fit.
    pub fn vault(&self) -> anyhow::Result<Vault> {
        let key = Key::Restore(self.restore_key()?);
        let repository = self.repository(Some(&key))?;
        let Key::Restore(key) = key else { anyhow::bail!("not a restore key") };
        Ok(Vault::open(self.with_copies(repository), &key)?)
    }

    /// The repository with small objects read from copies that this machine keeps, if it keeps any: for whoever uses it, not for
    /// whoever checks it.
    pub fn with_copies(&self, repository: Repository) -> Repository {
        match self.state(&repository.id()) {
            Ok(state) => state.with_copies(&repository),
            Err(_) => repository,
        }
    }

    /// A monitor that shows progress; from here on signals ask the run to stop instead of ending the process.
    ///
    /// # Errors
    /// If signals cannot be caught.
    pub fn progress(&self) -> anyhow::Result<Progress> {
        self.interrupt.catch()?;
        let wanted = !self.global.no_progress && !self.global.quiet;
        Ok(Progress::start(&self.console, &self.interrupt, &self.course, wanted))
    }

    /// Writes text for people to standard output; nothing with `--json`.
    ///
    /// # Errors
    /// If nobody reads it any more.
    pub fn say(&self, text: &str) -> anyhow::Result<()> {
        if self.global.json { Ok(()) } else { Ok(self.console.print(text)?) }
    }

    /// Writes what a command has done, for people: nothing with `--json` or `--quiet`.
    ///
    /// # Errors
    /// If nobody reads it any more.
    pub fn summary(&self, text: &str) -> anyhow::Result<()> {
        if self.global.quiet { Ok(()) } else { self.say(text) }
    }

    /// Writes one JSON document to standard output if `--json` was given.
    ///
    /// # Errors
    /// If nobody reads it any more.
    pub fn document(&self, value: &impl Serialize) -> anyhow::Result<()> {
        if !self.global.json {
            return Ok(());
        }
        let mut text = serde_json::to_string(value)?;
        text.push('\n');
        Ok(self.console.print(&text)?)
    }

    /// Ends a command: with warnings if the monitor has seen any.
    pub fn end(&self, progress: &Progress) -> Exit {
        progress.finish();
        if progress.warnings() > 0 { Exit::Warnings } else { Exit::Done }
    }
}

/// What the standard variables say of buckets; keys among them are read where requests are signed.
fn defaults() -> Defaults {
    let first = |names: &[&str]| names.iter().find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    Defaults { endpoint: first(&["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]), region: first(&["AWS_REGION", "AWS_DEFAULT_REGION"]) }
}
