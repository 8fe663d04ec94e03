//! `key rotate`: a new content key.

use clap::Args;
use serde::Serialize;

use super::open_admin;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::prompt::PASSPHRASE_FILE;
use crate::content::ContentError;
use crate::content::admin::KeyRecipient;

/// Make a new content key and root key for the same recipients; needs a restore key
///
/// Writers seal to the new key from their next run on. All recipients open old and new backups; removed ones cannot open the new.
#[derive(Debug, Args)]
pub struct Rotate {}

#[derive(Serialize)]
struct Report {
    repository: String,
    statement: u64,
    generation: u32,
    recipients: usize,
}

impl Rotate {
    /// Runs the command.
    ///
    /// # Errors
    /// If the key does not fit, or a recipient cannot be sealed to; then nothing has changed.
    pub fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let mut admin = open_admin(context)?;
        let prompt = context.prompt();
        let mut asked = 0;
        let generation = admin.rotate(&mut |entry| {
            if entry.recipient != "passphrase" {
                return KeyRecipient::parse(&entry.recipient, prompt.clone());
            }
            asked += 1;
            if asked > 1 && std::env::var_os(PASSPHRASE_FILE).is_some() {
                return Err(ContentError::Other(format!(
                    "several passphrases are recipients, and {PASSPHRASE_FILE} gives only one; unset it to be asked for each"
                )));
            }
            let question = format!("Passphrase of recipient {} (the same or a new one)", entry.id.short());
            let passphrase = prompt.new_passphrase(&question).map_err(|error| ContentError::Other(error.to_string()))?;
            Ok(KeyRecipient::passphrase(passphrase))
        })?;
        let statement = admin.repository().statement();
        context.document(&Report {
            repository: admin.repository().id().to_bech32(),
            statement: statement.number,
            generation,
            recipients: statement.keys.len(),
        })?;
        context.summary(&format!(
            "Content key {generation} is in use from each writer's next run on; {} can open it and the earlier ones\n",
            crate::cli::render::text::count(statement.keys.len() as u64, "recipient")
        ))?;
        Ok(Exit::Done)
    }
}
