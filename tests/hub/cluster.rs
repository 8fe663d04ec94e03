//! A hub with a host's repository in it, made and used by the real program.
#![allow(dead_code, reason = "each test needs a part of it")]

use std::process::{Command, Output};

use hearth_backup::content::keys::WriterKey;
use hearth_backup::hub::{Quota, Role};
use hearth_backup::store::HubStore;

use super::cli_common::{Bench, expect};
use super::hub::Server;

/// The repository of the host, and its tokens.
pub struct Cluster {
    pub server: Server,
    pub bench: Bench,
    pub writer: String,
    pub admin: String,
}

impl Cluster {
    /// With the host's repository `nas`.
    pub fn new() -> Self {
        Self::with(Quota::default())
    }

    /// The same with a quota.
    pub fn with(quota: Quota) -> Self {
        let (server, bench) = (Server::with(quota, |hub| hub), Bench::new());
        let (writer, admin) = (server.token("nas", Role::Writer, "nas"), server.token("admin", Role::Maintainer, "nas"));
        bench.write("writer.token", writer.as_bytes());
        bench.write("admin.token", admin.as_bytes());
        bench.write("reader.token", server.token("drills", Role::Reader, "nas").as_bytes());
        let cluster = Self { server, bench, writer, admin };
        cluster.ok("admin", &["init", "--writer-key", "w.key", "--restore-key", "r.key"]);
        cluster
    }

    fn command(&self, token: &str, arguments: &[&str]) -> Command {
        let mut command = self.bench.command(arguments);
        let token = self.bench.path(format!("{token}.token"));
        command.env("HEARTH_REPO", format!("{}/nas", self.server.base)).env("HEARTH_TOKEN_FILE", token).env_remove("HEARTH_KEY");
        command
    }

    /// Runs the program with one of the tokens.
    pub fn run(&self, token: &str, arguments: &[&str]) -> Output {
        self.command(token, arguments).output().unwrap()
    }

    /// The same, which must work. Returns what it printed.
    pub fn ok(&self, token: &str, arguments: &[&str]) -> String {
        expect(self.run(token, arguments), 0, arguments).0
    }

    /// The host backs up. Returns its report.
    pub fn backs_up(&self) -> serde_json::Value {
        let report = self.ok("writer", &["backup", "--key", "w.key", "--json", &self.bench.source()]);
        serde_json::from_str(report.lines().last().unwrap()).unwrap()
    }

    /// What somebody has who has broken into the host: its token, and its key.
    pub fn burgled(&self) -> (HubStore, WriterKey) {
        (self.server.store("nas", &self.writer), WriterKey::read(&self.bench.path("w.key")).unwrap())
    }

    /// The administrator's store.
    pub fn admin(&self) -> HubStore {
        self.server.store("nas", &self.admin)
    }
}
