//! `hub token`: who may do what at a hub.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde::Serialize;
use zeroize::Zeroizing;

use super::Which;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, UsageError};
use crate::cli::render::table::{Align, Table};
use crate::config;
use crate::content::keys::write_key_file;
use crate::hub::{NewToken, Quota, Repositories, Role, Token, Tokens, hash_of};
use crate::store::hub::read_token;

/// See and change who may do what at a hub
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    Add(Add),
    New(New),
    Hash(Hash),
    List(List),
    Revoke(Revoke),
}

/// Let somebody in; the token is shown once
///
/// A writer adds backups to its repository, and can neither read blocks, overwrite, nor delete. A reader reads everything.
/// A maintainer does everything, `init` among it. A viewer sees how all hosts fare and no repository; an operator may also ask hosts
/// to run jobs.
#[derive(Debug, Args)]
pub struct Add {
    /// Whose it is, such as the host's name
    name: String,

    /// What it permits: writer, reader, maintainer, viewer or operator
    #[arg(long)]
    role: Role,

    /// The repository [default: NAME]; made if it is not there. `--repo` is the same
    #[arg(long = "repository", visible_alias = "repo-name", value_name = "REPOSITORY")]
    repository: Option<String>,

    /// Write the token to this file instead of showing it
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,

    #[command(flatten)]
    which: Which,
}

/// Make a token for a host in the hub's configuration, which takes its hash
///
/// The token is for the host, and shown once. Its hash is no secret: it goes into `hub.hosts.NAME.tokenHash`.
#[derive(Debug, Args)]
pub struct New {
    /// Write the token to this file, and show the hash only
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Show what the hub's configuration takes of a token that there is already
#[derive(Debug, Args)]
pub struct Hash {
    /// The file with the token
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// List tokens, without their secrets
#[derive(Debug, Args)]
pub struct List {
    #[command(flatten)]
    which: Which,
}

/// Take tokens back, at once
#[derive(Debug, Args)]
pub struct Revoke {
    /// The token's id, or the name of whoever holds it, for all of its tokens
    which: String,

    #[command(flatten)]
    hub: Which,
}

#[derive(Serialize)]
struct Added<'a> {
    #[serde(flatten)]
    shown: Shown<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
}

/// A token as it is shown.
#[derive(Serialize)]
struct Shown<'a> {
    id: &'a str,
    name: &'a str,
    role: Role,
    #[serde(skip_serializing_if = "Option::is_none")]
    repository: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    writer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    made: Option<Timestamp>,
    declared: bool,
}

impl<'a> Shown<'a> {
    fn of(token: &'a Token) -> Self {
        let Token { id, name, role, repository, writer, made, declared, .. } = token;
        let writer = writer.map(|writer| writer.to_string());
        Self { id, name, role: *role, repository: repository.as_deref(), writer, made: *made, declared: *declared }
    }
}

impl TokenCommand {
    /// Runs the command.
    ///
    /// # Errors
    /// If the hub's directory cannot be used.
    pub fn run(self, context: &Context) -> anyhow::Result<Exit> {
        match self {
            TokenCommand::Add(command) => command.run(context),
            TokenCommand::New(command) => command.run(context),
            TokenCommand::Hash(command) => command.run(context),
            TokenCommand::List(command) => command.run(context),
            TokenCommand::Revoke(command) => command.run(context),
        }
    }
}

impl Add {
    fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let (hub, tokens) = open(&self.which, context)?;
        let own = (!self.role.is_for_hub()).then_some(self.name.as_str());
        let named = super::repository(self.repository.as_ref(), context).filter(|_| self.repository.is_some() || own.is_some());
        let repository = named.as_deref().or(own);
        let made = tokens.add(&self.name, self.role, repository)?;
        let kept = || -> anyhow::Result<()> {
            repository.map_or(Ok(()), |name| Repositories::new(&hub.data_dir, Quota::default()).make(name))?;
            self.output.as_ref().map_or(Ok(()), |file| write_key_file(file, &made.text))?;
            Ok(())
        };
        if let Err(error) = kept() {
            // Nobody has seen it.
            tokens.revoke(&made.token.id)?;
            return Err(error);
        }
        if context.global.json {
            let token = self.output.is_none().then_some(made.text.as_str());
            context.document(&Added { shown: Shown::of(&made.token), token })?;
        } else if let Some(file) = &self.output {
            context.console.print(&format!("Token {} of {} is in {}\n", made.token.id, self.name, file.display()))?;
        } else {
            // Only the token itself, so that it can go into a file or a pipe.
            context.console.print(&format!("{}\n", *made.text))?;
        }
        Ok(Exit::Done)
    }
}

/// The hub, and its tokens.
fn open(which: &Which, context: &Context) -> anyhow::Result<(config::Hub, Tokens)> {
    let hub = which.hub()?;
    let tokens = Tokens::declared(&hub, &Which::credentials(context, "hearth-backup-hub"))?;
    Ok((hub, tokens))
}

/// A token that nobody knows yet, or its hash.
#[derive(Serialize)]
struct Drawn<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
    hash: &'a str,
}

impl New {
    fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let made = NewToken::draw("new", Role::Writer, None)?;
        self.output.as_ref().map_or(Ok(()), |file| write_key_file(file, &made.text))?;
        let (token, hash) = (self.output.is_none().then_some(made.text.as_str()), made.token.hashed());
        if context.global.json {
            context.document(&Drawn { token, hash: &hash })?;
        } else {
            let token = token.map(|token| format!("Token  {token}\nHash   ")).unwrap_or_default();
            context.console.print(&format!("{token}{hash}\n"))?;
        }
        Ok(Exit::Done)
    }
}

impl Hash {
    fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let text = Zeroizing::new(read_token(&self.file)?);
        let no_token = || UsageError::new(format!("{} holds no token of a hub, which begins with hbt_", self.file.display()));
        let hash = hash_of(&text).ok_or_else(no_token)?;
        if context.global.json {
            context.document(&Drawn { token: None, hash: &hash })?;
        } else {
            context.console.print(&format!("{hash}\n"))?;
        }
        Ok(Exit::Done)
    }
}

impl List {
    fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let tokens = open(&self.which, context)?.1.all()?;
        if context.global.json {
            context.document(&tokens.iter().map(Shown::of).collect::<Vec<_>>())?;
            return Ok(Exit::Done);
        }
        let columns = [
            ("ID", Align::Left),
            ("NAME", Align::Left),
            ("ROLE", Align::Left),
            ("REPOSITORY", Align::Left),
            ("WRITER", Align::Left),
            ("MADE", Align::Left),
        ];
        let mut table = Table::new(&columns);
        for token in &tokens {
            let writer = token.writer.map(|writer| writer.short()).unwrap_or_default();
            let made = token.made.map_or("configuration".to_owned(), |made| made.strftime("%Y-%m-%d").to_string());
            let repository = token.repository.clone().unwrap_or_default();
            table.row([token.id.clone(), token.name.clone(), token.role.to_string(), repository, writer, made]);
        }
        context.console.print(&table.render())?;
        Ok(Exit::Done)
    }
}

impl Revoke {
    fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let gone = open(&self.hub, context)?.1.revoke(&self.which)?;
        if context.global.json {
            context.document(&gone.iter().map(Shown::of).collect::<Vec<_>>())?;
        } else {
            for token in &gone {
                let place = token.repository.as_ref().map(|name| format!(" in {name}")).unwrap_or_default();
                context.console.print(&format!("Token {} of {} ({}{place}) is revoked\n", token.id, token.name, token.role))?;
            }
        }
        Ok(Exit::Done)
    }
}
