//! Every store and every decorator passes the same suite.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

#[path = "bucket/mod.rs"]
mod bucket;
mod hub;
#[path = "bucket/moto.rs"]
mod moto;

use std::sync::Arc;
use std::time::Duration;

use hearth_backup::hub::{Hub, Quota, Role};
use hearth_backup::model::pace::Pace;
use hearth_backup::store::conformance::Subject;
use hearth_backup::store::layer::{CountingStore, FaultStore, PacedStore};
use hearth_backup::store::line::{Line, Paces};
use hearth_backup::store::ssh::SshOptions;
use hearth_backup::store::{DirectoryStore, MemoryStore, SftpStore};
use hearth_backup::store_conformance;

const LAG: Duration = Duration::from_secs(60);

fn directory() -> (DirectoryStore, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (DirectoryStore::create(folder.path()).unwrap(), folder)
}

store_conformance!(in_a_directory, || {
    let (store, folder) = directory();
    Subject::new(store).keeping(folder)
});

store_conformance!(in_a_bucket, || {
    let server = bucket::Server::start();
    Subject::new(server.store("hosts/repository")).keeping(server)
});

store_conformance!(at_a_hub, || {
    // The suite's names are no hashes.
    let server = hub::Server::with(Quota::default(), Hub::unchecked);
    let token = server.token("admin", Role::Maintainer, "home");
    Subject::new(server.store("home", &token)).keeping(server)
});

store_conformance!(in_memory, || Subject::new(MemoryStore::new()));

store_conformance!(in_memory_with_lagging_listings, || {
    let store = MemoryStore::with_lag(LAG, 1);
    Subject::new(store.clone()).settling(move || store.advance(LAG))
});

store_conformance!(counted, || {
    let (store, folder) = directory();
    Subject::new(CountingStore::new(Arc::new(store))).keeping(folder)
});

store_conformance!(at_a_pace, || {
    let (store, folder) = directory();
    let pace = || Paces::new([Arc::new(Pace::new(1 << 40))]);
    Subject::new(PacedStore::new(Arc::new(store), Line { up: pace(), down: pace() })).keeping(folder)
});

store_conformance!(with_faults_that_do_not_strike, || {
    let (store, folder) = directory();
    Subject::new(FaultStore::new(Arc::new(store))).keeping(folder)
});

/// OpenSSH's SFTP server over pipes: all of the protocol, without a network.
fn sftp(folder: &std::path::Path) -> SftpStore {
    let program = ["sh", "-c", "exec /usr/lib/openssh/sftp-server", "--"].map(str::to_owned).to_vec();
    let address = format!("nowhere{}/q", folder.display()).parse().unwrap();
    SftpStore::create(address, SshOptions { program, ..SshOptions::default() }, Line::default()).unwrap()
}

store_conformance!(over_sftp, || {
    let folder = tempfile::tempdir().unwrap();
    Subject::new(sftp(folder.path())).keeping(folder)
});

/// Another server, written by others after the same protocol.
#[test]
fn in_a_bucket_of_moto() {
    let Some(server) = moto::Moto::start() else { return };
    store_conformance!(all |check: &str| Subject::new(bucket::store(&bucket::location(server.address(), check))));
}
