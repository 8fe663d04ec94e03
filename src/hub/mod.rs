//! The hub: receives backups from hosts that may add and nothing else, and hands them out to those who may read.
//!
//! ```text
//!   listener (TCP, TLS, Unix socket) --> http: whose token, which object --> door: what this role may, what the bytes must be
//!                                                                             |
//!                                            repositories: quota, usage <-----+-----> sealed (signatures, presence) --> store
//! ```
//!
//! May import: `sealed`, `store`, `model`. It holds no key: all it checks is hashes, signatures, sizes and who asks. The protocol is
//! specified in `docs/hub-protocol.md`; what hub and client share of it is `store::hub::protocol`.

mod door;
pub mod http;
mod login;
mod orders;
mod receive;
mod repository;
mod role;
pub mod serve;
mod token;

pub use door::Grant;
pub use repository::{Quota, Repositories};
pub use role::Role;
pub use token::{NewToken, Token, TokenError, Tokens};

use std::path::Path;
use std::sync::Arc;

use tokio::sync::Semaphore;

use self::login::Logins;
use self::orders::Orders;

/// Uploads that are received at the same time; others wait. Each takes a thread and about two megabytes.
const UPLOADS: usize = 64;

/// What all connections share.
pub struct Hub {
    repositories: Repositories,
    tokens: Tokens,
    logins: Logins,
    orders: Orders,
    uploads: Arc<Semaphore>,
    checked: bool,
}

impl Hub {
    /// A hub that keeps everything below `data`, with what each repository may take.
    ///
    /// # Errors
    /// If the directory or the tokens in it cannot be read.
    pub fn open(data: &Path, quota: Quota) -> Result<Self, TokenError> {
        Ok(Self {
            repositories: Repositories::new(data, quota),
            tokens: Tokens::open(data)?,
            logins: Logins::default(),
            orders: Orders::new(data),
            uploads: Arc::new(Semaphore::new(UPLOADS)),
            checked: true,
        })
    }

    /// One that takes objects whatever their bytes are. Only for the tests of the store's contract, whose names are no hashes.
    #[doc(hidden)]
    #[must_use]
    pub fn unchecked(self) -> Self {
        Self { checked: false, ..self }
    }
}
