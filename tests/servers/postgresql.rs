//! A real PostgreSQL server of a test's own. Needs PostgreSQL's server programs and root; says SKIPPED and why where that is missing.

#![allow(dead_code, reason = "each suite uses a part")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::cli_common::expect;

/// A server of its own with a socket in its own directory.
pub struct Cluster {
    pub folder: tempfile::TempDir,
    programs: PathBuf,
}

impl Cluster {
    /// Starts one; `None` if that is not possible here.
    pub fn start() -> Option<Self> {
        let Some(programs) = programs() else {
            println!("SKIPPED: PostgreSQL's server programs are not installed (Debian: postgresql)");
            return None;
        };
        if !nix::unistd::geteuid().is_root() || nix::unistd::User::from_name("postgres").unwrap().is_none() {
            println!("SKIPPED: only root can become the user postgres");
            return None;
        }
        let cluster = Self { folder: tempfile::tempdir().unwrap(), programs };
        let postgres = nix::unistd::User::from_name("postgres").unwrap().unwrap();
        nix::unistd::chown(cluster.folder.path(), Some(postgres.uid), Some(postgres.gid)).unwrap();
        cluster.ok("initdb", &["--pgdata", &cluster.data(), "--auth-local=peer", "--auth-host=reject", "--no-sync"]);
        let options = format!("-c listen_addresses='' -c unix_socket_directories={} -c fsync=off", cluster.socket());
        let log = cluster.folder.path().join("log");
        cluster.ok("pg_ctl", &["--pgdata", &cluster.data(), "--options", &options, "--log", log.to_str().unwrap(), "--wait", "start"]);
        Some(cluster)
    }

    pub fn data(&self) -> String {
        self.folder.path().join("data").to_str().unwrap().to_owned()
    }

    pub fn socket(&self) -> String {
        self.folder.path().to_str().unwrap().to_owned()
    }

    pub fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--"]).arg(self.programs.join(program)).args(arguments);
        command.current_dir("/").env("PGHOST", self.socket()).stdin(Stdio::null());
        command
    }

    pub fn ok(&self, program: &str, arguments: &[&str]) -> String {
        // The server would keep a pipe open for as long as it runs.
        let output = match program {
            "pg_ctl" => self.command(program, arguments).stdout(Stdio::null()).stderr(Stdio::null()).output(),
            _ => self.command(program, arguments).output(),
        };
        expect(output.unwrap(), 0, (program, arguments)).0
    }

    pub fn ask(&self, database: &str, query: &str) -> String {
        self.ok("psql", &["-XAt", "-d", database, "-c", query]).trim().to_owned()
    }

    pub fn load(&self, database: &str, seconds: &str) -> Child {
        let mut command = self.command("pgbench", &["--time", seconds, "--client", "2", database]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.command("pg_ctl", &["--pgdata", &self.data(), "--mode", "immediate", "stop"]).output();
    }
}

/// The newest installed server's programs.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?.flatten().map(|version| version.path().join("bin"));
    versions.filter(|bin| bin.join("initdb").exists() && bin.join("pgbench").exists()).max()
}
