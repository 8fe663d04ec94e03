//! Limits of what is written and read in a second, for every kind of store.
//!
//! Only that it takes no less time than the limit allows: a slow machine takes longer, and nothing that is right takes less.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod bucket;
mod cli_common;

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use bucket::{KEY, Server};
use cli_common::{Bench, expect, tree};
use serde_json::json;

/// Bytes that do not shrink, a second's worth of the limit.
const NOISE: usize = 600_000;
const LIMIT: &str = "600kB";
/// A second, less what may come in a gush after a pause.
const LEAST: Duration = Duration::from_millis(850);

struct Place {
    bench: Bench,
    environment: Vec<(&'static str, String)>,
}

impl Place {
    fn new(environment: impl FnOnce(&Bench) -> Vec<(&'static str, String)>) -> Self {
        let bench = Bench::new();
        let mut state = 7_u64;
        let noise = (0..NOISE).map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        });
        bench.write("source/noise", &noise.collect::<Vec<_>>());
        let environment = environment(&bench);
        let place = Self { bench, environment };
        place.took(&["init"]);
        place
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.bench.command(arguments);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    fn took(&self, arguments: &[&str]) -> Duration {
        let begin = Instant::now();
        expect(self.command(arguments).output().unwrap(), 0, arguments);
        begin.elapsed()
    }

    fn keeps_its_limits(&self) {
        let source = self.bench.source();
        let backup = self.took(&["backup", "--key", "hearth-writer.key", &source, "--limit-upload", LIMIT]);
        assert!(backup >= LEAST, "{backup:?}");
        let restore = self.took(&["restore", "latest", "--key", "hearth-restore.key", "--target", "out", "--limit-download", LIMIT]);
        assert!(restore >= LEAST, "{restore:?}");
        assert!(tree(&self.bench.path("out").join(source.strip_prefix('/').unwrap())) == tree(&self.bench.path("source")));
    }
}

#[test]
fn a_directory_is_written_and_read_no_faster_than_was_said() {
    Place::new(|_| Vec::new()).keeps_its_limits();
}

#[test]
fn a_bucket_is_written_and_read_no_faster_than_was_said() {
    let server = Server::start();
    Place::new(|bench| {
        bench.write("keys", format!("AWS_ACCESS_KEY_ID={}\nAWS_SECRET_ACCESS_KEY={}\n", KEY.0, KEY.1).as_bytes());
        let keys = bench.path("keys").to_str().unwrap().to_owned();
        vec![("HEARTH_REPO", server.location("limits")), ("HEARTH_CREDENTIALS_FILE", keys)]
    })
    .keeps_its_limits();
}

#[test]
fn another_machine_is_written_and_read_no_faster_than_was_said() {
    Place::new(|bench| {
        bench.write("ssh", b"#!/bin/sh\nexec /usr/lib/openssh/sftp-server\n");
        let ssh = bench.path("ssh");
        std::fs::set_permissions(&ssh, std::fs::Permissions::from_mode(0o755)).unwrap();
        let location = format!("sftp://nowhere{}", bench.path("far").display());
        vec![("HEARTH_REPO", location), ("HEARTH_SSH", ssh.to_str().unwrap().to_owned())]
    })
    .keeps_its_limits();
}

#[test]
fn a_repository_of_the_configuration_has_limits_of_its_own() {
    let place = Place::new(|_| Vec::new());
    let configure = |limit: serde_json::Value| {
        let (repo, key) = (place.bench.path("repo"), place.bench.path("hearth-writer.key"));
        let main = json!({ "url": repo, "writerKey": key, "limitUpload": limit, "limitDownload": "1GB" });
        let job = json!({ "paths": [place.bench.source()], "repositories": ["main"], "retention": { "last": 1 } });
        let config = json!({ "repositories": { "main": main }, "jobs": { "state": job } });
        place.bench.write("config.json", config.to_string().as_bytes());
    };
    configure(json!(LIMIT));
    let run = ["run", "state", "--config", "config.json"];
    assert!(place.took(&run) >= LEAST);
    configure(json!(0));
    assert!(place.bench.fails(&run, 1).contains("repositories.main.limitUpload: must be at least one byte a second"));
    for forgotten in [json!(2), json!("2")] {
        configure(forgotten);
        let error = place.bench.fails(&run, 1);
        assert!(error.contains("repositories.main.limitUpload: that is 2 bytes a second") && error.contains("`2MB`"), "{error}");
    }
    assert!(place.bench.fails(&["check", "--limit-upload", "2"], 2).contains("that is 2 bytes a second"));
    assert!(place.bench.fails(&["check", "--limit-upload", "0"], 2).contains("leave it out for no limit"));
}
