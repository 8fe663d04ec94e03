//! The hub: receives backups from hosts that may add and nothing else, and hands them out to those who may read.
//!
//! ```text
//!   listener (TCP, TLS, Unix socket) --> http: whose token, which object --> door: what this role may, what the bytes must be
//!                                                                             |
//!                                            repositories: quota, usage <-----+-----> sealed (signatures, presence) --> store
//! ```
//!
//! Beside what is served, [`upkeep`] keeps house in the same directory, in a process of its own.
//!
//! May import: `keep`, `config`, `sealed`, `store`, `retention`, `model`. It holds no key: all it checks is hashes, signatures, sizes and who asks. The protocol is
//! specified in `docs/hub-protocol.md`; what hub and client share of it is `store::hub::protocol`.

mod door;
pub mod http;
mod login;
mod orders;
mod page;
mod patience;
mod quota;
mod receive;
mod reports;
mod repository;
mod role;
pub mod serve;
pub mod status;
mod token;
pub mod upkeep;
pub mod watch;

pub use door::Grant;
pub use patience::Patience;
pub use quota::{Quota, Quotas};
pub use reports::Kept as KeptReport;
pub use repository::Repositories;
pub use role::Role;
pub use token::{NewToken, Token, TokenError, Tokens, hash_of};

use std::sync::Arc;

use tokio::sync::Semaphore;

use self::login::Logins;
use self::orders::Orders;
use self::reports::Reports;
use self::status::Counts;
use crate::config::{self, Credentials};
use crate::history;
use crate::store::StoreError;

/// Uploads that are received at the same time; others wait. Each takes a thread and about two megabytes.
const UPLOADS: usize = 64;

/// The folder, beside those of its hosts, with the state of the hub's own runs: their reports are not what a host says.
pub const OWN: &str = "own";

/// Why a hub cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// Its tokens.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// Its repositories.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What all connections share.
pub struct Hub {
    settings: config::Hub,
    repositories: Repositories,
    tokens: Tokens,
    logins: Logins,
    orders: Orders,
    reports: Reports,
    own: history::host::Reports,
    counts: Counts,
    uploads: Arc<Semaphore>,
    patience: Patience,
    checked: bool,
}

/// What a hub that was there once has in its directory: at least one of these.
const SIGNS: [&str; 4] = ["repositories", "reports", OWN, "tokens.json"];

impl Hub {
    /// Whether there is one in a directory. In an empty one there may have been, on a disk that is not mounted now.
    pub fn is_at(data: &std::path::Path) -> bool {
        SIGNS.iter().any(|sign| data.join(sign).exists())
    }

    /// A hub as a configuration has it; the repositories of its hosts are made if they are not there.
    ///
    /// # Errors
    /// If the directory or the tokens in it cannot be read, or a repository cannot be made.
    pub fn open(settings: &config::Hub, credentials: &Credentials) -> Result<Self, HubError> {
        let hub = Self::as_it_is(settings, credentials)?;
        let declared = hub.tokens.all()?.into_iter().filter(|token| token.declared);
        for name in declared.filter_map(|token| token.repository) {
            // An empty one in the place of one that was there would look as if nothing was wrong.
            if !hub.repositories.path(&name).exists() && hub.remembers(&name) {
                tracing::error!(
                    "the repository {name} is gone, and is not made anew: is a disk not mounted? If it was removed on purpose, make it with `hub token add`"
                );
                continue;
            }
            hub.repositories.make(&name)?;
        }
        Ok(hub)
    }

    /// Whether there is a trace of a repository beside it: house was kept in it, or runs were reported through it. The second is asked of what may be
    /// many reports.
    fn remembers(&self, name: &str) -> bool {
        let kept_house = upkeep::Record::read(&self.settings.data_dir, name).is_ok_and(|record| record.seen.is_some());
        kept_house || self.reports.histories(Some(name)).is_ok_and(|histories| !histories.is_empty())
    }

    /// One in which nothing is made.
    fn as_it_is(settings: &config::Hub, credentials: &Credentials) -> Result<Self, HubError> {
        let tokens = Tokens::declared(settings, credentials)?;
        let repositories = Repositories::new(&settings.data_dir, Quotas::of(settings));
        Ok(Self {
            settings: settings.clone(),
            repositories,
            tokens,
            logins: Logins::default(),
            orders: Orders::new(&settings.data_dir),
            reports: Reports::new(&settings.data_dir, settings.keep_reports.map(|keep| keep.0)),
            own: history::host::Reports::new(&settings.data_dir.join(OWN), settings.keep_reports.map(|keep| keep.0)),
            counts: Counts::default(),
            uploads: Arc::new(Semaphore::new(UPLOADS)),
            patience: Patience::default(),
            checked: true,
        })
    }

    /// Makes what it keeps repositories in, so that whoever looks after it sees that it is there.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn prepare(&self) -> std::io::Result<()> {
        self.repositories.prepare()
    }

    /// What its configuration says of it.
    pub fn settings(&self) -> &config::Hub {
        &self.settings
    }

    /// One that takes objects whatever their bytes are. Only for the tests of the store's contract, whose names are no hashes.
    #[doc(hidden)]
    #[must_use]
    pub fn unchecked(self) -> Self {
        Self { checked: false, ..self }
    }

    /// One that waits longer or shorter. Only for tests, which have no minutes.
    #[doc(hidden)]
    #[must_use]
    pub fn patient(self, patience: Patience) -> Self {
        Self { patience, ..self }
    }
}
