//! Reports go to the hub that the configuration names, else to those where the run's repositories are.

use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::{ASKING, Reporter, next, within};
use crate::config::Reporting;
use crate::keep::reach::{ReachError, access_to};
use crate::model::report::Report;
use crate::store::hub::read_token;
use crate::store::ssh::SshOptions;
use crate::store::{Access, Address, HubStore, LocationError, Place};

/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Somebody to tell.
struct Hub {
    url: String,
    access: Access,
}

/// Sends a report to each. Whoever is not told is named in the log.
pub(super) fn send(reporter: &Reporter<'_>, bytes: &[u8]) {
    tell_all(hubs(reporter), bytes);
}

/// That a run has begun, while it goes on; and when the next one is due, as it may be the last word that is heard of this machine. None if there is
/// nobody to tell.
pub(super) fn in_background(reporter: &Reporter<'_>, mut report: Report) -> Option<JoinHandle<()>> {
    let hubs = hubs(reporter);
    let timers = reporter.timers();
    (!hubs.is_empty()).then(|| {
        thread::spawn(move || {
            if report.next.is_none() {
                (report.next, report.next_by) = within(ASKING, move || next::by_timers(&timers)).flatten().unzip();
            }
            // It is one that is bounded already.
            if let Ok(bytes) = report.to_bytes() {
                tell_all(hubs, &bytes);
            }
        })
    })
}

fn tell_all(hubs: Vec<Result<Hub, (String, String)>>, bytes: &[u8]) {
    let begun = Instant::now();
    for hub in hubs {
        let (url, left) = match &hub {
            Ok(hub) => (hub.url.clone(), PATIENCE.saturating_sub(begun.elapsed())),
            Err((url, _)) => (url.clone(), Duration::ZERO),
        };
        let bytes = bytes.to_vec();
        let sent = match hub {
            Err((_, error)) => Err(error),
            // Looking up a name cannot be given up, so that it happens elsewhere.
            Ok(hub) => within(left, move || tell(&hub, &bytes, left).map_err(|error| error.to_string()))
                .unwrap_or_else(|| Err(format!("no answer for {} seconds", PATIENCE.as_secs()))),
        };
        match sent {
            Ok(()) => tracing::debug!("{url} has the report of this run"),
            Err(error) => tracing::warn!("{url} does not have the report of this run: {error}"),
        }
    }
}

fn tell(hub: &Hub, bytes: &[u8], within: Duration) -> Result<(), LocationError> {
    match Address::parse(&hub.url, &hub.access)?.place {
        Place::Hub(address) => Ok(HubStore::new(address, &hub.access)?.report(bytes, within)?),
        Place::Directory(_) | Place::Server(_) | Place::Bucket(_) | Place::Service(_) => Ok(()),
    }
}

/// Those to be told; of one that cannot be reached the way it is configured, why.
fn hubs(reporter: &Reporter<'_>) -> Vec<Result<Hub, (String, String)>> {
    if let Some(reporting) = &reporter.config.report_to {
        let access = access_of(reporting, reporter).map_err(|error| (reporting.url.clone(), error.to_string()));
        return vec![access.map(|access| Hub { url: reporting.url.clone(), access })];
    }
    let repositories = reporter.repositories.iter().filter_map(|name| reporter.config.repositories.get(name));
    let at_hubs =
        repositories.filter(|configured| ["https://", "http://", "ssh://"].iter().any(|scheme| configured.url.starts_with(scheme)));
    let hub = |configured: &crate::config::Repository| {
        let access =
            access_to(configured, &reporter.credentials, &reporter.access).map_err(|error| (configured.url.clone(), error.to_string()))?;
        Ok(Hub { url: configured.url.clone(), access })
    };
    at_hubs.map(hub).collect()
}

fn access_of(reporting: &Reporting, reporter: &Reporter<'_>) -> Result<Access, ReachError> {
    let access = &reporter.access;
    let token = reporting.token.as_ref().map(|file| file.locate(&reporter.credentials)).transpose()?;
    let token = token.map(|file| read_token(&file)).transpose()?;
    let identity = reporting.identity.as_ref().map(|file| file.locate(&reporter.credentials)).transpose()?;
    let identity = identity.or_else(|| access.ssh().identity.clone());
    let ssh = SshOptions { identity, ..access.ssh().clone() };
    let access = if reporting.allow_plain_http { access.clone().allowing_plain_http(true) } else { access.clone() };
    Ok(access.with_token(token).with_ssh(ssh))
}
