//! The way of a user with a repository in a bucket: all commands, few requests, and what they say when the server refuses.
#![allow(clippy::unwrap_used, reason = "tests")]

mod bucket;
mod cli_common;

use std::process::Command;

use bucket::{KEY, Server};
use cli_common::{Bench, expect, tree};
use serde_json::Value;

/// A bench whose repository lies in a bucket.
struct Cloud {
    bench: Bench,
    location: String,
}

impl Cloud {
    fn at(location: String) -> Self {
        let bench = Bench::new();
        bench.write("keys", format!("[default]\naws_access_key_id = {}\naws_secret_access_key = {}\n", KEY.0, KEY.1).as_bytes());
        Self { bench, location }
    }

    fn with_repository(server: &Server) -> Self {
        let cloud = Self::at(server.location("hosts/bench"));
        cloud.ends(&["init"], 0);
        cloud
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.bench.command(arguments);
        for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION", "AWS_ENDPOINT_URL"] {
            command.env_remove(name);
        }
        command.env("HEARTH_REPO", &self.location).env("HEARTH_CREDENTIALS_FILE", self.bench.path("keys"));
        command.env("HOME", self.bench.path("home"));
        command
    }

    fn ends(&self, arguments: &[&str], code: i32) -> (String, String) {
        expect(self.command(arguments).output().unwrap(), code, arguments)
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.ends(&[arguments, &["--json"]].concat(), 0).0).unwrap()
    }

    fn backup(&self) -> Value {
        self.json(&["backup", "--key", "hearth-writer.key", &self.bench.source()])
    }

    fn restores_the_source(&self, target: &str) {
        self.ends(&["restore", "latest", "--key", "hearth-restore.key", "--target", target, "--verify"], 0);
        let restored = self.bench.path(target).join(self.bench.path("source").strip_prefix("/").unwrap());
        assert!(tree(&restored) == tree(&self.bench.path("source")), "what was restored differs");
    }
}

#[test]
fn from_init_to_restore_in_a_bucket() {
    let server = Server::start();
    let cloud = Cloud::with_repository(&server);
    cloud.backup();
    cloud.bench.write("source/new", &[1; 300_000]);
    let second = cloud.backup();
    assert_eq!(second["statistics"]["files_read"], 1);
    cloud.ends(&["check", "--read-data", "--key", "hearth-restore.key"], 0);
    cloud.restores_the_source("out");
    let snapshots = cloud.json(&["snapshots"]);
    assert_eq!(snapshots["snapshots"].as_array().unwrap().len(), 2);

    cloud.ends(&["forget", snapshots["snapshots"][0]["id"].as_str().unwrap()], 0);
    cloud.ends(&["prune", "--grace", "0"], 0);
    cloud.ends(&["check", "--read-data", "--key", "hearth-restore.key"], 0);
    cloud.restores_the_source("out2");
    let strangers: Vec<_> = std::fs::read_dir(server.files()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(strangers, ["hosts"], "everything lies below the prefix");
}
