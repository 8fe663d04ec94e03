//! `hub serve`.

use std::path::PathBuf;

use clap::Args;

use super::Which;
use crate::cli::args;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, UsageError};
use crate::config::{self, ByteSize, Listen};
use crate::hub::Hub;
use crate::hub::serve::{Certificate, run};

/// The service that a configuration's hub is.
const SERVICE: &str = "hearth-backup-hub";

/// Answer hosts until told to stop
#[derive(Debug, Args)]
pub struct Serve {
    #[command(flatten)]
    which: Which,

    /// Where to listen: ADDRESS:PORT, unix:PATH for a proxy on this machine, or `systemd` for the sockets of a .socket unit [default: 127.0.0.1:8420]
    #[arg(long, value_name = "WHERE")]
    listen: Vec<Listen>,

    /// The certificate in PEM, with those between it and its authority; read again when it changes
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_certificate: Option<PathBuf>,

    /// Its key in PEM
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,

    /// What each repository may take
    #[arg(long, value_name = "SIZE", value_parser = args::size)]
    quota: Option<u64>,

    /// How many objects each repository may have
    #[arg(long, value_name = "N")]
    quota_objects: Option<u64>,

    /// Listen without TLS at addresses that other machines reach; for lines that are protected otherwise, such as by WireGuard
    #[arg(long)]
    plain_http: bool,

    /// Show status, metrics and the page without a token
    #[arg(long)]
    open_status: bool,
}

impl Serve {
    /// Runs the command. What is given on the command line comes before what the configuration says.
    ///
    /// # Errors
    /// If it cannot listen.
    pub fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let hub = self.changed(self.which.hub()?, context);
        let certified = self.tls_certificate.is_some() || hub.tls.is_some();
        if let Some(address) = hub.listen.iter().find_map(Listen::reached_by_others)
            && !certified
            && !hub.plain_http
        {
            return Err(UsageError::new(format!(
                "{address} is reached from other machines, and tokens would go there in clear: give --tls-certificate and --tls-key, listen \
                 at 127.0.0.1 behind a proxy, or give --plain-http if the line is protected otherwise"
            )));
        }
        let credentials = Which::credentials(context, SERVICE);
        let certificate = match (&self.tls_certificate, &self.tls_key, &hub.tls) {
            (Some(chain), Some(key), _) => Some(Certificate::read(chain, key)?),
            (_, _, Some(tls)) => Some(Certificate::read(&tls.certificate, &tls.key.locate(&credentials)?)?),
            _ => None,
        };
        let ready = |names: &[String]| {
            for name in names {
                tracing::info!("listening at {name}");
            }
        };
        let there = Hub::open(&hub, &credentials)?;
        there.prepare()?;
        run(there, &hub.listen, certificate, ready)?;
        Ok(Exit::Done)
    }

    fn changed(&self, mut hub: config::Hub, context: &Context) -> config::Hub {
        if !self.listen.is_empty() {
            hub.listen.clone_from(&self.listen);
        }
        hub.quota = self.quota.map(ByteSize).or(hub.quota);
        hub.quota_objects = self.quota_objects.or(hub.quota_objects);
        hub.plain_http |= self.plain_http || context.global.allow_plain_http;
        hub.open_status |= self.open_status;
        hub
    }
}
