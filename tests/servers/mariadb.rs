//! A real MariaDB server of a test's own. Needs MariaDB's server programs; says SKIPPED and why where they are missing.

#![allow(dead_code, reason = "each suite uses a part")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};

use crate::cli_common::expect;

/// A server of its own with a socket in its own directory.
pub struct Server {
    pub folder: tempfile::TempDir,
    pub process: Child,
}

/// Small and fast files, as nothing must last.
const SMALL: [&str; 4] =
    ["--innodb-log-file-size=4M", "--innodb-flush-log-at-trx-commit=0", "--innodb-flush-method=nosync", "--skip-networking"];

impl Server {
    /// Starts one; `None` if that is not possible here.
    pub fn start() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let data = format!("--datadir={}", folder.path().join("data").display());
        let user = if nix::unistd::geteuid().is_root() { vec!["--user=root"] } else { vec![] };
        let mut install = Command::new("mariadb-install-db");
        install.args(["--no-defaults", &data, "--auth-root-authentication-method=normal", "--skip-test-db"]).args(&user).args(SMALL);
        // Servers that share a directory for temporary files take them from each other.
        install.env("TMPDIR", folder.path());
        match install.stdin(Stdio::null()).output() {
            Ok(output) => drop(expect(output, 0, "mariadb-install-db")),
            Err(_) => {
                println!("SKIPPED: MariaDB's server programs are not installed (Debian: mariadb-server)");
                return None;
            }
        }
        let socket = format!("--socket={}", folder.path().join("socket").display());
        let program = if std::path::Path::new("/usr/sbin/mariadbd").exists() { "/usr/sbin/mariadbd" } else { "mariadbd" };
        let mut server = Command::new(program);
        server.env("TMPDIR", folder.path()).args(["--no-defaults", &data, &socket, "--event-scheduler=on"]).args(&user).args(SMALL);
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let process = server.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let mut server = Self { folder, process };
        while !server.client(&["--execute=select 1"]).output().unwrap().status.success() {
            let log = || fs::read_to_string(server.folder.path().join("log")).unwrap();
            assert!(server.process.try_wait().unwrap().is_none(), "the server does not start: {}", log());
            std::thread::yield_now();
        }
        Some(server)
    }

    pub fn socket(&self) -> String {
        self.folder.path().join("socket").to_str().unwrap().to_owned()
    }

    pub fn client(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("mariadb");
        command.args(["--no-defaults", "--socket", &self.socket(), "--user=root", "--batch", "--raw", "--skip-column-names"]);
        command.args(arguments).stdin(Stdio::null());
        command
    }

    pub fn ask(&self, database: &str, statements: &str) -> String {
        let output = self.client(&[&format!("--database={database}"), "--default-character-set=utf8mb4", "--execute", statements]).output();
        expect(output.unwrap(), 0, statements).0.trim().to_owned()
    }

    pub fn databases(&self) -> String {
        let query = "select group_concat(schema_name order by schema_name separator ' ') from information_schema.schemata \
                     where schema_name not in ('information_schema', 'performance_schema', 'mysql', 'sys')";
        self.ask("", query)
    }

    /// A program through which the tools run; `$tool` is the tool's name.
    pub fn passage(&self, script: &str) -> String {
        let place = self.folder.path().join("passage");
        fs::write(&place, format!("#!/bin/sh\ntool=$1\n{script}\n")).unwrap();
        fs::set_permissions(&place, fs::Permissions::from_mode(0o755)).unwrap();
        place.to_str().unwrap().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
