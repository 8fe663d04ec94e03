//! A hub of a test's own, in this process, at a port of its own.
#![allow(dead_code, reason = "each test needs a part of it")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use hearth_backup::config::{self, ByteSize, Credentials, Listen};
use hearth_backup::hub::serve::serve;
use hearth_backup::hub::{Hub, Quota, Repositories, Role, Tokens};
use hearth_backup::store::hub::HubAddress;
use hearth_backup::store::{Access, HubStore};
use tokio::sync::oneshot;

/// A hub that listens until it is dropped.
pub struct Server {
    pub folder: tempfile::TempDir,
    pub base: String,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// With room without end.
    pub fn start() -> Self {
        Self::with(Quota::default(), |hub| hub)
    }

    /// With a quota, and changed as wanted.
    pub fn with(quota: Quota, change: impl FnOnce(Hub) -> Hub) -> Self {
        Self::configured(|settings| (settings.quota, settings.quota_objects) = (quota.bytes.map(ByteSize), quota.objects), change)
    }

    /// As a configuration has it.
    pub fn configured(set: impl FnOnce(&mut config::Hub), change: impl FnOnce(Hub) -> Hub) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = config::Hub::at(folder.path().to_owned());
        set(&mut settings);
        let hub = change(Hub::open(&settings, &Credentials { directory: None, service: String::new() }).unwrap());
        let (base, stop, thread) = listen(hub);
        Self { folder, base, stop: Some(stop), thread: Some(thread) }
    }

    /// Ends it, and begins anew with what it has kept, at another port.
    pub fn restart(&mut self) {
        drop(self.stop.take());
        self.thread.take().unwrap().join().unwrap();
        let settings = config::Hub::at(self.folder.path().to_owned());
        let hub = Hub::open(&settings, &Credentials { directory: None, service: String::new() }).unwrap();
        let (base, stop, thread) = listen(hub);
        (self.base, self.stop, self.thread) = (base, Some(stop), Some(thread));
    }

    /// Where a repository lies.
    pub fn path(&self, repository: &str) -> PathBuf {
        Repositories::new(self.folder.path(), Quota::default()).path(repository)
    }

    /// A new token; the repository is made.
    pub fn token(&self, name: &str, role: Role, repository: &str) -> String {
        Repositories::new(self.folder.path(), Quota::default()).make(repository).unwrap();
        let token = Tokens::open(self.folder.path()).unwrap().add(name, role, Some(repository)).unwrap();
        token.text.to_string()
    }

    /// A store with a token.
    pub fn store(&self, repository: &str, token: &str) -> HubStore {
        let address = HubAddress::parse("http", &format!("{}/{repository}", self.base.trim_start_matches("http://")), false).unwrap();
        HubStore::new(address, &Access::default().with_token(Some(token.to_owned()))).unwrap()
    }
}

/// Where it listens, what ends it, and what then ends.
fn listen(hub: Hub) -> (String, oneshot::Sender<()>, JoinHandle<()>) {
    let (stop, stopped) = oneshot::channel();
    let (ready, base) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let listen = [Listen::Tcp("127.0.0.1:0".parse().unwrap())];
        let told = |names: &[String]| ready.send(names[0].clone()).unwrap();
        let stopped = async {
            let _ = stopped.await;
        };
        runtime.block_on(serve(Arc::new(hub), &listen, None, told, stopped)).unwrap();
    });
    (base.recv().unwrap(), stop, thread)
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().unwrap().join();
        assert!(std::thread::panicking() || ended.is_ok(), "the hub failed");
    }
}
