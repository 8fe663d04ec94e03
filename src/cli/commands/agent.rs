//! `agent`: hears what a hub asks this host to run.

use clap::Args;

use crate::agent::{self, Permission};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, UsageError};
use crate::config::{Config, Credentials, Reporting};
use crate::store::Access;
use crate::store::hub::{HubAddress, read_token};
use crate::store::open::{Address, Place};
use crate::store::ssh::SshOptions;

/// The service that has the credentials, for advice.
const UNIT: &str = "hearth-backup-agent.service";

/// Keep one connection to the hub of the configuration (`reportTo`), and start what it asks for, so that no port needs to be open here
///
/// A job is started as the systemd unit hearth-backup-JOB.service, or hearth-backup@JOB.service; it goes on when the agent ends. What the hub may have
/// started is what `reportTo.jobs` names, and any job without it. Runs until SIGTERM.
#[derive(Debug, Args)]
pub struct Agent {
    #[command(flatten)]
    file: super::config::ConfigFile,
}

impl Agent {
    /// Runs the command.
    ///
    /// # Errors
    /// If the configuration names no hub, or cannot be used.
    pub fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let config = self.file.read()?;
        let reporting = config.report_to.as_ref().ok_or_else(|| {
            UsageError::new("the configuration names no hub: give `reportTo.url` and `reportTo.token`, or do without an agent")
        })?;
        let credentials = Credentials { directory: context.credentials(), service: UNIT.to_owned() };
        let access = access_to(reporting, &credentials, &context.access()?)?;
        let address = address(reporting, &access)?;
        let file = self.file;
        // Read for each order: the configuration may change while the agent runs.
        let permission: Permission = Box::new(move |job| may_start(&file.read().map_err(|error| error.to_string())?, job));
        agent::run(&address, &access, permission)?;
        Ok(Exit::Done)
    }
}

/// Whether the hub may have a job started; else why not.
fn may_start(config: &Config, job: &str) -> Result<(), String> {
    config.job(job).map_err(|error| error.to_string())?;
    match config.report_to.as_ref().map(|reporting| &reporting.jobs) {
        Some(None) => Ok(()),
        Some(Some(jobs)) if jobs.iter().any(|name| name == job) => Ok(()),
        Some(Some(_)) => Err(format!("this host lets nobody else start `{job}`: `reportTo.jobs` of its configuration does not name it")),
        None => Err("this host's configuration names no hub any more".to_owned()),
    }
}

fn address(reporting: &Reporting, access: &Access) -> anyhow::Result<HubAddress> {
    match Address::parse(&reporting.url, access)?.place {
        Place::Hub(address) => Ok(address),
        _ => Err(UsageError::new("`reportTo.url` names no hub; write https://HUB/NAME or ssh://USER@HUB/NAME")),
    }
}

/// How the hub is reached: what the configuration says of it, else what holds for all.
fn access_to(reporting: &Reporting, credentials: &Credentials, access: &Access) -> anyhow::Result<Access> {
    let identity = reporting.identity.as_ref().map(|identity| identity.locate(credentials)).transpose()?;
    let ssh = SshOptions { identity: identity.or_else(|| access.ssh().identity.clone()), ..access.ssh().clone() };
    let token = reporting.token.as_ref().map(|file| file.locate(credentials)).transpose()?;
    let token = token.map(|file| read_token(&file)).transpose()?;
    let access = if reporting.allow_plain_http { access.clone().allowing_plain_http(true) } else { access.clone() };
    Ok(access.with_token(token).with_ssh(ssh))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Format;

    #[test]
    fn the_hub_may_start_what_the_configuration_lets_it() {
        let config = |jobs: &str| {
            let text = format!(
                "[repositories.r]\nurl = \"/srv/r\"\nwriterKey = \"/k\"\n[jobs.state]\npaths = [\"/x\"]\nrepositories = [\"r\"]\n\
                 [jobs.media]\npaths = [\"/y\"]\nrepositories = [\"r\"]\n[reportTo]\nurl = \"ssh://hub/nas\"\n{jobs}"
            );
            Config::parse(&text, Format::Toml, "config.toml").unwrap()
        };
        assert_eq!(may_start(&config(""), "state"), Ok(()));
        assert_eq!(may_start(&config("jobs = [\"media\"]"), "media"), Ok(()));
        let refused = may_start(&config("jobs = [\"media\"]"), "state").unwrap_err();
        assert!(refused.contains("`reportTo.jobs`"), "{refused}");
        assert!(may_start(&config("jobs = []"), "media").is_err());
        assert!(may_start(&config(""), "sate").unwrap_err().contains("state"), "the near miss is told");
    }
}
