//! `hub stdio`: the hub behind `ssh`.

use std::io;
use std::os::fd::AsFd as _;

use clap::Args;

use super::Which;
use crate::cli::args;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, UsageError};
use crate::config::ByteSize;
use crate::hub::http::Peer;
use crate::hub::serve::run_over;
use crate::hub::{Hub, Quotas, Repositories, Role};
use crate::store::hub::is_name;

/// Answer one host over standard input and output: the command that `authorized_keys` forces for its key
///
/// What `ssh` was asked to run makes no difference, only what stands here does:
/// restrict,command="hearth-backup hub stdio --data DIR --repository NAME --role writer" ssh-ed25519 AAAA... NAME
#[derive(Debug, Args)]
pub struct Stdio {
    #[command(flatten)]
    which: Which,

    /// The only repository that may be used; made if it is not there. `--repo` is the same
    #[arg(long = "repository", visible_alias = "repo-name", value_name = "REPOSITORY")]
    repository: Option<String>,

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
    pub fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let repository = super::repository(self.repository.as_ref(), context);
        let repository = repository.ok_or_else(|| UsageError::new("which repository may be used? Give it with --repository"))?;
        if !is_name(&repository) {
            return Err(UsageError::new(format!("`{repository}` cannot be a repository at a hub")));
        }
        let mut hub = self.which.hub()?;
        if self.quota.is_some() || self.quota_objects.is_some() {
            let own = hub.repositories.entry(repository.clone()).or_default();
            own.quota = self.quota.map(ByteSize).or(own.quota);
            own.quota_objects = self.quota_objects.or(own.quota_objects);
        }
        Repositories::new(&hub.data_dir, Quotas::of(&hub)).make(&repository)?;
        let hub = Hub::open(&hub, &Which::credentials(context, "hearth-backup-hub"))?;
        let peer = Peer::Admitted { repository: repository.clone(), role: self.role, name: repository };
        let (input, output) = (io::stdin().as_fd().try_clone_to_owned()?, io::stdout().as_fd().try_clone_to_owned()?);
        run_over(input, output, hub, peer)?;
        Ok(Exit::Done)
    }
}
