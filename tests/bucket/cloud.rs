//! The program with a repository in a bucket.

#![allow(dead_code, reason = "each suite uses a part")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::bucket::{KEY, Server};
use crate::cli_common::{Bench, expect, tree};

/// Variables that speak of buckets and must not come from the machine.
const VARIABLES: [&str; 14] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_PROFILE",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_CONFIG_FILE",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTP_PROXY",
    "http_proxy",
];

/// A bench whose repository lies in a bucket.
pub struct Cloud {
    pub bench: Bench,
    pub location: String,
    credentials: PathBuf,
}

impl Cloud {
    /// A bench for a repository that may lie at this location of our server.
    pub fn at(location: String) -> Self {
        let bench = Bench::new();
        bench.write("keys", format!("[default]\naws_access_key_id = {}\naws_secret_access_key = {}\n", KEY.0, KEY.1).as_bytes());
        let credentials = bench.path("keys");
        Self { bench, location, credentials }
    }

    /// A repository of our server.
    pub fn with_repository(server: &Server) -> Self {
        let cloud = Self::at(server.location("hosts/bench"));
        cloud.ends(&["init"], 0);
        cloud
    }

    /// A bench for a repository of another server.
    pub fn elsewhere(location: String, credentials: &Path) -> Self {
        Self { credentials: credentials.to_owned(), ..Self::at(location) }
    }

    /// The program with these arguments, and no word from the machine about buckets.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.bench.command(arguments);
        for name in VARIABLES {
            command.env_remove(name);
        }
        command.env("HEARTH_REPO", &self.location).env("HEARTH_CREDENTIALS_FILE", &self.credentials);
        command.env("HOME", self.bench.path("home"));
        command
    }

    /// Runs the program, which must end with this code; returns standard output and standard error.
    pub fn ends(&self, arguments: &[&str], code: i32) -> (String, String) {
        expect(self.command(arguments).output().unwrap(), code, arguments)
    }

    /// Runs the program, which must fail; returns standard error.
    pub fn fails(&self, arguments: &[&str]) -> String {
        self.ends(arguments, 1).1
    }

    /// Runs the program with `--json`.
    pub fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.ends(&[arguments, &["--json"]].concat(), 0).0).unwrap()
    }

    /// Backs the source up.
    pub fn backup(&self) -> Value {
        self.json(&["backup", "--key", "hearth-writer.key", &self.bench.source()])
    }

    /// A backup that must fail; returns standard error.
    pub fn backup_fails(&self) -> String {
        self.fails(&["backup", "--key", "hearth-writer.key", &self.bench.source()])
    }

    /// Checks everything that can be checked.
    pub fn is_sound(&self) {
        self.ends(&["check", "--read-data", "--key", "hearth-restore.key"], 0);
    }

    /// Restores the newest snapshot into a new directory and compares.
    pub fn restores_the_source(&self, target: &str) {
        self.ends(&["restore", "latest", "--key", "hearth-restore.key", "--target", target, "--verify"], 0);
        self.holds_the_source(target, "source");
    }

    /// Compares what was restored into a directory.
    pub fn holds_the_source(&self, target: &str, source: &str) {
        let restored = self.bench.path(target).join(self.bench.path(source).strip_prefix("/").unwrap());
        assert!(tree(&restored) == tree(&self.bench.path(source)), "what was restored differs");
    }
}

/// Bytes that do not shrink, others for each seed.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    let next = |state: &mut u64| {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*state >> 56) as u8
    };
    (0..length).map(|_| next(&mut state)).collect()
}
