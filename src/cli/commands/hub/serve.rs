//! `hub serve`.

use std::path::PathBuf;

use clap::Args;

use super::Data;
use crate::cli::args;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, UsageError};
use crate::config::Listen;
use crate::hub::serve::{Certificate, run};
use crate::hub::{Hub, Quota};

/// Answer hosts until told to stop
#[derive(Debug, Args)]
pub struct Serve {
    #[command(flatten)]
    data: Data,

    /// Where to listen: ADDRESS:PORT, unix:PATH for a proxy on this machine, or `systemd` for the sockets of a .socket unit
    #[arg(long, value_name = "WHERE", default_value = "127.0.0.1:8420")]
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
}

impl Serve {
    /// Runs the command.
    ///
    /// # Errors
    /// If it cannot listen.
    pub fn run(self, context: &Context) -> anyhow::Result<Exit> {
        if let Some(address) = self.listen.iter().find_map(Listen::reached_by_others)
            && self.tls_certificate.is_none()
            && !(self.plain_http || context.global.allow_plain_http)
        {
            return Err(UsageError::new(format!(
                "{address} is reached from other machines, and tokens would go there in clear: give --tls-certificate and --tls-key, listen \
                 at 127.0.0.1 behind a proxy, or give --plain-http if the line is protected otherwise"
            )));
        }
        let certificate = match (&self.tls_certificate, &self.tls_key) {
            (Some(chain), Some(key)) => Some(Certificate::read(chain, key)?),
            _ => None,
        };
        let hub = Hub::open(self.data.path()?, Quota { bytes: self.quota, objects: self.quota_objects })?;
        let ready = |names: &[String]| {
            for name in names {
                tracing::info!("listening at {name}");
            }
        };
        run(hub, &self.listen, certificate, ready)?;
        Ok(Exit::Done)
    }
}
