//! A whole host: a Debian with systemd is saved, restored, and started in a container.
//!
//! Needs root, debootstrap and a mirror of Debian for the host that is saved (kept in the user's cache), and systemd-nspawn; says SKIPPED and why
//! where something is missing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod cli_common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cli_common::{Bench, expect};
use serde_json::{Value, json};

const DRILL: [&str; 4] = ["drill", "weekly", "--config", "config.json"];

/// The tree of a host; made once, and kept.
fn host() -> Option<PathBuf> {
    if !nix::unistd::geteuid().is_root() {
        println!("SKIPPED: only root can start a whole host");
        return None;
    }
    for program in ["systemd-nspawn", "unshare", "setpriv"] {
        if !Command::new(program).arg("--version").stdout(Stdio::null()).status().is_ok_and(|status| status.success()) {
            println!("SKIPPED: {program} is not installed");
            return None;
        }
    }
    let lab = Path::new("/var/lib/hearth-lab/guest");
    if lab.join("usr/lib/systemd/systemd").exists() {
        return Some(lab.to_owned());
    }
    let cache =
        std::env::var_os("XDG_CACHE_HOME").map_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache"), PathBuf::from);
    let tree = cache.join("hearth-backup/tools/debian");
    if tree.join("complete").exists() {
        return Some(tree);
    }
    let _ = fs::remove_dir_all(&tree);
    fs::create_dir_all(&tree).unwrap();
    let made = Command::new("debootstrap").args(["--variant=minbase", "--include=systemd-sysv,dbus", "stable"]).arg(&tree).output();
    match made {
        Ok(output) if output.status.success() => {
            fs::write(tree.join("complete"), "").unwrap();
            Some(tree)
        }
        other => {
            println!("SKIPPED: no host to save: debootstrap: {other:?}");
            None
        }
    }
}

/// A bench with a snapshot in which the host's tree is `/`, after `change` has changed it.
fn bench(tree: &Path, change: &dyn Fn(&Path)) -> Bench {
    let bench = Bench::with_repository();
    // A layer over the tree that is kept: nobody changes that, and nothing is copied.
    let part = |name: &str| {
        fs::create_dir_all(bench.path(name)).unwrap();
        bench.path(name).display().to_string()
    };
    let script = format!(
        "mount -t tmpfs none {0} && mkdir {0}/upper {0}/work && mount -t overlay none -o lowerdir={1},upperdir={0}/upper,workdir={0}/work {2}",
        part("layer"),
        tree.display(),
        part("host")
    );
    expect(Command::new("sh").args(["-ec", &script]).output().unwrap(), 0, "overlay");
    change(&bench.path("host"));
    let places: serde_json::Map<String, Value> = fs::read_dir(bench.path("host"))
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| !["proc", "sys", "dev", "run", "tmp", "complete"].contains(&entry.file_name().to_str().unwrap()))
        .map(|entry| (format!("/{}", entry.file_name().to_str().unwrap()), json!(entry.path())))
        .collect();
    let paths: Vec<String> = places.keys().cloned().collect();
    let drill =
        json!({ "repository": "main", "key": bench.path("hearth-restore.key"), "scratch": bench.path("scratch"), "bootTimeout": "3min" });
    let config = json!({
        "readFrom": places,
        "repositories": { "main": { "url": bench.path("repo"), "writerKey": bench.path("hearth-writer.key") } },
        "jobs": { "host": { "paths": paths, "exclude": ["/usr/share/doc", "/usr/share/locale", "/var/lib/apt/lists", "/var/cache"], "repositories": ["main"] } },
        "drills": { "weekly": drill },
    });
    bench.write("config.json", config.to_string().as_bytes());
    bench.ok(&["run", "host", "--config", "config.json"]);
    expect(Command::new("umount").args([bench.path("host"), bench.path("layer")]).output().unwrap(), 0, "umount");
    bench
}

fn boot(bench: &Bench, arguments: &[&str], code: i32) -> (String, String) {
    let output = bench.command(&[&DRILL[..], arguments, &["--json"]].concat()).output().unwrap();
    let (out, error) = expect(output, code, arguments);
    let document: Value = serde_json::from_str(&out).unwrap();
    let tests = document["tests"].as_array().unwrap();
    let test = tests.iter().find(|test| test["name"] == "full host").unwrap_or_else(|| panic!("{document:#}"));
    assert_eq!(test["outcome"] == "passed", code == 0);
    assert!(fs::read_dir(bench.path("scratch")).unwrap().next().is_none(), "something is left");
    (test["text"].as_str().unwrap().to_owned(), error)
}

#[test]
fn a_restored_host_starts_and_reaches_its_target() {
    let Some(tree) = host() else { return };
    let bench = bench(&tree, &|host| {
        fs::write(
            host.join("etc/systemd/system/broken.service"),
            "[Service]\nType=oneshot\nExecStart=/bin/false\n[Install]\nWantedBy=multi-user.target\n",
        )
        .unwrap();
        fs::create_dir_all(host.join("etc/systemd/system/multi-user.target.wants")).unwrap();
        std::os::unix::fs::symlink("../broken.service", host.join("etc/systemd/system/multi-user.target.wants/broken.service")).unwrap();
    });
    let (text, _) = boot(&bench, &["--full-host"], 0);
    assert!(
        text.starts_with("reached multi-user.target in") && text.contains("units that failed: ") && text.contains("broken.service"),
        "{text}"
    );
}

#[test]
fn a_host_that_does_not_start_fails_the_drill_with_its_journal() {
    let Some(tree) = host() else { return };
    let bench = bench(&tree, &|host| {
        fs::write(host.join("etc/systemd/system/late.service"), "[Unit]\nBefore=multi-user.target\n[Service]\nType=oneshot\nTimeoutStartSec=infinity\nExecStart=/bin/sh -c 'echo waiting for a disk that is gone; exec sleep 1003'\n").unwrap();
        fs::create_dir_all(host.join("etc/systemd/system/multi-user.target.requires")).unwrap();
        std::os::unix::fs::symlink("../late.service", host.join("etc/systemd/system/multi-user.target.requires/late.service")).unwrap();
    });
    let config = fs::read_to_string(bench.path("config.json")).unwrap();
    bench.write("config.json", config.replace("3min", "20s").as_bytes());
    let (text, error) = boot(&bench, &["--full-host"], 1);
    assert!(text.starts_with("did not reach multi-user.target in"), "{text}");
    assert!(error.contains("waiting for a disk that is gone"), "{error}");
    let running = Command::new("pgrep").args(["-x", "-f", "sleep 1003"]).output().unwrap();
    assert!(running.stdout.is_empty(), "the container has ended");
}

#[test]
fn what_is_no_host_does_not_start() {
    if !nix::unistd::geteuid().is_root() || !Path::new("/usr/bin/systemd-nspawn").exists() {
        println!("SKIPPED: only root can start a whole host, with systemd-nspawn");
        return;
    }
    let bench = Bench::with_repository();
    bench.ok(&["backup", "--key", "hearth-writer.key", &bench.source()]);
    let drill =
        json!({ "repository": "main", "key": bench.path("hearth-restore.key"), "scratch": bench.path("scratch"), "fullHost": true });
    let config = json!({ "repositories": { "main": { "url": bench.path("repo") } }, "drills": { "weekly": drill } });
    bench.write("config.json", config.to_string().as_bytes());
    let (text, _) = boot(&bench, &[], 1);
    assert!(text.contains("systemd-nspawn"), "{text}");
}
