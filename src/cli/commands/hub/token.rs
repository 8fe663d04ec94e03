//! `hub token`: who may do what at a hub.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde::Serialize;

use super::Data;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::render::table::{Align, Table};
use crate::content::keys::write_key_file;
use crate::hub::{Quota, Repositories, Role, Token, Tokens};

/// See and change who may do what at a hub
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    Add(Add),
    List(List),
    Revoke(Revoke),
}

/// Let somebody in; the token is shown once
///
/// A writer adds backups to its repository, and can neither read blocks, overwrite, nor delete. A reader reads everything.
/// A maintainer does everything, `init` among it.
#[derive(Debug, Args)]
pub struct Add {
    /// Whose it is, such as the host's name
    name: String,

    /// What it permits: writer, reader or maintainer
    #[arg(long)]
    role: Role,

    /// The repository [default: NAME]; made if it is not there
    #[arg(long = "repository", visible_alias = "repo-name", value_name = "REPOSITORY")]
    repository: Option<String>,

    /// Write the token to this file instead of showing it
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,

    #[command(flatten)]
    data: Data,
}

/// List tokens, without their secrets
#[derive(Debug, Args)]
pub struct List {
    #[command(flatten)]
    data: Data,
}

/// Take tokens back, at once
#[derive(Debug, Args)]
pub struct Revoke {
    /// The token's id, or the name of whoever holds it, for all of its tokens
    which: String,

    #[command(flatten)]
    data: Data,
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
    repository: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    writer: Option<String>,
    made: Timestamp,
}

impl<'a> Shown<'a> {
    fn of(token: &'a Token) -> Self {
        let Token { id, name, role, repository, writer, made, .. } = token;
        Self { id, name, role: *role, repository, writer: writer.map(|writer| writer.to_string()), made: *made }
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
            TokenCommand::List(command) => command.run(context),
            TokenCommand::Revoke(command) => command.run(context),
        }
    }
}

impl Add {
    fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let data = self.data.path()?;
        let repository = self.repository.as_deref().unwrap_or(&self.name);
        let tokens = Tokens::open(data)?;
        let made = tokens.add(&self.name, self.role, repository)?;
        let kept = || -> anyhow::Result<()> {
            Repositories::new(data, Quota::default()).make(repository)?;
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

impl List {
    fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let tokens = Tokens::open(&self.data.data)?.all()?;
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
            let made = token.made.strftime("%Y-%m-%d").to_string();
            table.row([token.id.clone(), token.name.clone(), token.role.to_string(), token.repository.clone(), writer, made]);
        }
        context.console.print(&table.render())?;
        Ok(Exit::Done)
    }
}

impl Revoke {
    fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let gone = Tokens::open(&self.data.data)?.revoke(&self.which)?;
        if context.global.json {
            context.document(&gone.iter().map(Shown::of).collect::<Vec<_>>())?;
        } else {
            for token in &gone {
                context
                    .console
                    .print(&format!("Token {} of {} ({} in {}) is revoked\n", token.id, token.name, token.role, token.repository))?;
            }
        }
        Ok(Exit::Done)
    }
}
