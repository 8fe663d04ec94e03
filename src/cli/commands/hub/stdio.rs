//! `hub stdio`: the hub behind `ssh`.

use std::io;
use std::os::fd::AsFd as _;

use clap::Args;

use super::Data;
use crate::cli::args;
use crate::cli::exit::{Exit, UsageError};
use crate::hub::http::Peer;
use crate::hub::serve::run_over;
use crate::hub::{Hub, Quota, Repositories, Role};
use crate::store::hub::is_name;

/// Answer one host over standard input and output: the command that `authorized_keys` forces for its key
///
/// What `ssh` was asked to run makes no difference, only what stands here does:
/// restrict,command="hearth-backup hub stdio --data DIR --repository NAME --role writer" ssh-ed25519 AAAA... NAME
#[derive(Debug, Args)]
pub struct Stdio {
    #[command(flatten)]
    data: Data,

    /// The only repository that may be used; made if it is not there
    #[arg(long = "repository", visible_alias = "repo-name", value_name = "REPOSITORY")]
    repository: String,

    /// What may be done there: writer, reader or maintainer
    #[arg(long)]
    role: Role,

    /// What the repository may take
    #[arg(long, value_name = "SIZE", value_parser = args::size)]
    quota: Option<u64>,

    /// How many objects the repository may have
    #[arg(long, value_name = "N")]
    quota_objects: Option<u64>,
}

impl Stdio {
    /// Runs the command.
    ///
    /// # Errors
    /// If the hub's directory cannot be used, or the connection breaks.
    pub fn run(self) -> anyhow::Result<Exit> {
        if !is_name(&self.repository) {
            return Err(UsageError::new(format!("`{}` cannot be a repository at a hub", self.repository)));
        }
        let (data, quota) = (self.data.path()?, Quota { bytes: self.quota, objects: self.quota_objects });
        Repositories::new(data, quota).make(&self.repository)?;
        let peer = Peer::Admitted { repository: self.repository.clone(), role: self.role, name: self.repository };
        let (input, output) = (io::stdin().as_fd().try_clone_to_owned()?, io::stdout().as_fd().try_clone_to_owned()?);
        run_over(input, output, Hub::open(data, quota)?, peer)?;
        Ok(Exit::Done)
    }
}
