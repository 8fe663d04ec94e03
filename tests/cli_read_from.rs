//! Places that are read elsewhere than the snapshot shows them: state below a persist root, called by its own name.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod cli_common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cli_common::Bench;
use serde_json::{Value, json};

const RUN: [&str; 4] = ["run", "state", "--config", "config.json"];

/// A bench with `keep/lib`, which is shown as `own/lib`.
struct Host(Bench);

impl Host {
    fn new(files: &[(&str, &str)]) -> Self {
        let bench = Bench::with_repository();
        fs::create_dir_all(bench.path("own/lib")).unwrap();
        files.iter().for_each(|(path, text)| bench.write(path, text.as_bytes()));
        Self(bench)
    }

    fn path(&self, relative: &str) -> String {
        self.0.path(relative).to_str().unwrap().to_owned()
    }

    /// Writes the configuration: `own/lib` is read from `keep/lib`, and the job has `paths`.
    fn configure(&self, paths: &[&str], job: &Value) {
        self.configure_with(&[("own/lib", "keep/lib")], paths, job);
    }

    fn configure_with(&self, places: &[(&str, &str)], paths: &[&str], job: &Value) {
        let mut whole = json!({ "paths": paths.iter().map(|path| self.path(path)).collect::<Vec<_>>() });
        whole.as_object_mut().unwrap().extend(job.as_object().unwrap().clone());
        self.0.configure(&whole);
        let mut config: Value = serde_json::from_slice(&fs::read(self.0.path("config.json")).unwrap()).unwrap();
        config["readFrom"] = places.iter().map(|(at, from)| (self.path(at), json!(self.path(from)))).collect();
        self.0.write("config.json", config.to_string().as_bytes());
    }

    /// The files of the newest snapshot, and what is in them.
    fn saved(&self) -> Vec<String> {
        let list = self.0.ok(&["ls", "latest", "-R", "--key", "hearth-restore.key"]);
        let files = list.lines().filter(|path| !path.ends_with('/'));
        files.map(|path| format!("{} = {}", path.strip_prefix(&self.path("")).unwrap(), self.0.saved(path))).collect()
    }

    fn read(&self) -> u64 {
        self.0.json(&RUN)["repositories"][0]["statistics"]["bytes_read"].as_u64().unwrap()
    }
}

#[test]
fn what_lies_below_a_persist_root_is_saved_and_restored_at_its_own_place() {
    let host = Host::new(&[("keep/lib/app/a", "kept"), ("own/lib/app/a", "wiped at boot"), ("own/lib/rest/b", "own")]);
    host.configure(&["own/lib/app", "own/lib/rest"], &json!({ "optionalPaths": [host.path("own/lib/none")] }));
    let (_, said) = host.0.ends(&RUN, 0);
    assert_eq!(said, "", "there is nothing to say");
    assert_eq!(host.saved(), ["own/lib/app/a = kept", "own/lib/rest/b = own"]);
    host.0.ok(&["restore", "latest", "--key", "hearth-restore.key", "--target", "restored"]);
    let restored = host.0.path("restored").join(host.path("own/lib/app/a").trim_start_matches('/'));
    assert_eq!(fs::read_to_string(restored).unwrap(), "kept");
    assert_eq!(host.read(), 0, "a second run reads nothing");
}

#[test]
fn a_parent_of_a_mapped_place_shows_its_entries_and_those_that_only_its_own_place_has() {
    let host = Host::new(&[
        ("keep/lib/app/a", "kept"),
        ("keep/lib/both/a", "kept too"),
        ("own/lib/both/b", "hidden"),
        ("own/lib/rest/c", "own"),
        ("own/log", "log"),
        ("keep/deep/d", "deep"),
    ]);
    let expected =
        ["own/gone/place/d = deep", "own/lib/app/a = kept", "own/lib/both/a = kept too", "own/lib/rest/c = own", "own/log = log"];
    for one_file_system in [false, true] {
        let places = [("own/lib", "keep/lib"), ("own/gone/place", "keep/deep")];
        host.configure_with(&places, &["own"], &json!({ "oneFileSystem": one_file_system }));
        host.0.ends(&RUN, 0);
        assert_eq!(host.saved(), expected);
    }
    host.configure(&["own/lib"], &json!({}));
    host.0.ends(&RUN, 0);
    assert_eq!(host.saved(), expected[1..4]);
}

#[test]
fn patterns_are_looked_for_at_both_places_and_tell_what_is_new() {
    let host = Host::new(&[("keep/lib/one/data/f", "1"), ("own/lib/two/data/f", "2"), ("own/lib/one/data/f", "hidden")]);
    host.configure(&["own/lib/*/data"], &json!({}));
    host.0.ends(&RUN, 0);
    assert_eq!(host.saved(), ["own/lib/one/data/f = 1", "own/lib/two/data/f = 2"]);
    host.0.write("keep/lib/three/data/f", b"3");
    fs::remove_dir_all(host.0.path("own/lib/two")).unwrap();
    let (_, said) = host.0.ends(&RUN, 0);
    assert!(said.contains("own/lib/three/data: is new") && said.contains("own/lib/two/data: has gone"), "{said}");
    assert_eq!(host.saved(), ["own/lib/one/data/f = 1", "own/lib/three/data/f = 3"]);
}

#[test]
fn what_is_left_out_is_called_by_the_place_that_is_shown() {
    let host = Host::new(&[("keep/lib/app/a", "1"), ("keep/lib/app/cache/b", "2"), ("keep/lib/app/tmp/c", "3"), ("own/lib/gone/d", "4")]);
    let exclude = ["own/lib/app/cache", "keep/lib/app/tmp", "own/lib/gone"].map(|path| host.path(path));
    host.configure(&["own"], &json!({ "exclude": exclude }));
    host.0.ends(&RUN, 0);
    assert_eq!(host.saved(), ["own/lib/app/a = 1", "own/lib/app/tmp/c = 3"]);
}

#[test]
fn a_repository_and_the_state_below_a_persist_root_are_not_saved() {
    let host = Host::new(&[("keep/lib/a", "1")]);
    for folder in ["repo", "state"] {
        fs::rename(host.0.path(folder), host.0.path("keep/lib").join(folder)).unwrap();
        std::os::unix::fs::symlink(host.0.path("keep/lib").join(folder), host.0.path(folder)).unwrap();
    }
    host.configure(&["own/lib"], &json!({}));
    host.0.ends(&RUN, 0);
    assert_eq!(host.saved(), ["own/lib/a = 1"]);
}

#[test]
fn databases_below_a_persist_root_are_copied_and_come_back_to_their_own_place() {
    let host = Host::new(&[]);
    fs::create_dir_all(host.0.path("keep/lib/app")).unwrap();
    let open = rusqlite::Connection::open(host.0.path("keep/lib/app/app.db")).unwrap();
    open.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE secret (name TEXT); INSERT INTO secret VALUES ('in the log')").unwrap();
    let shown = host.path("own/lib/app/app.db");
    let named = json!({ "databases": [host.path("own/lib/*/app.db")] });
    for (paths, sqlite) in [(&["own/lib/app"][..], json!({ "discover": true })), (&[], named.clone()), (&["own"], named)] {
        host.configure(paths, &json!({ "sqlite": sqlite }));
        let report = host.0.json(&RUN);
        let checked = &report["repositories"][0]["databases"];
        assert_eq!(checked.as_array().map(Vec::len), Some(1), "{report}");
        assert_eq!(checked[0]["path"], shown);
        let list = host.0.ok(&["ls", "latest", "-R", "--key", "hearth-restore.key"]);
        assert!(list.contains("app.db\n") && !list.contains("app.db-wal"), "{list}");
        let target = host.path("restored.db");
        host.0.ok(&["restore-db", "latest", &shown, "--to", &target, "--key", "hearth-restore.key"]);
        let restored = rusqlite::Connection::open(&target).unwrap();
        let name: String = restored.query_row("SELECT name FROM secret", [], |row| row.get(0)).unwrap();
        assert_eq!(name, "in the log");
        drop(restored);
        fs::remove_file(target).unwrap();
    }
}

#[test]
fn messages_name_the_place_that_is_shown_and_where_it_could_not_be_read() {
    let host = Host::new(&[("keep/lib/app/a", "1")]);
    host.configure_with(&[("own/lib", "keep/lib"), ("own/etc", "keep/etc")], &["own/lib/app", "own/lib/none", "own/etc"], &json!({}));
    fs::create_dir_all(host.0.path("own/etc")).unwrap();
    let (_, said) = host.0.ends(&RUN, 3);
    assert!(said.contains(&format!("{}: cannot be read (", host.path("own/lib/none"))), "{said}");
    assert!(said.contains(&format!(", nor at {})", host.path("keep/lib/none"))), "{said}");
    assert!(said.contains(&format!("{}: is read at its own place, as {}", host.path("own/etc"), host.path("keep/etc"))), "{said}");
}

/// A mount that ends with the test.
struct Bind(PathBuf);

impl Bind {
    /// None if this machine cannot.
    fn new(from: &Path, to: &Path) -> Option<Self> {
        fs::create_dir_all(to).unwrap();
        let done = Command::new("mount").arg("--bind").args([from, to]).output().is_ok_and(|output| output.status.success());
        if !done {
            println!("SKIPPED: nothing can be mounted here");
        }
        done.then(|| Self(to.to_owned()))
    }
}

impl Drop for Bind {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_host_that_mounts_what_it_keeps_and_one_that_does_not_have_the_same_snapshots() {
    let host = Host::new(&[("keep/lib/app/a", "kept"), ("keep/lib/app/sub/b", "too"), ("own/lib/rest", "own")]);
    let run = |places: &[(&str, &str)], paths: &[&str]| {
        host.configure_with(places, paths, &json!({ "skipIfUnchanged": true }));
        let report = host.0.json(&RUN);
        let done = &report["repositories"][0];
        (done["statistics"]["bytes_read"].as_u64().unwrap(), done["statistics"]["bytes_stored"].as_u64().unwrap(), host.saved())
    };
    let expected = ["own/lib/app/a = kept", "own/lib/app/sub/b = too"];
    let mapped = run(&[("own/lib", "keep/lib")], &["own/lib/app"]);
    assert_eq!((mapped.0, &mapped.2[..]), (7, &expected.map(str::to_owned)[..]));
    let Some(_bind) = Bind::new(&host.0.path("keep/lib/app"), &host.0.path("own/lib/app")) else { return };
    for places in [&[][..], &[("own/lib", "keep/lib")], &[("own/lib/app", "keep/lib/app")]] {
        let (read, _, saved) = run(places, &["own/lib/app"]);
        assert_eq!((read, saved), (0, mapped.2.clone()), "{places:?}");
    }
    let whole = run(&[], &["own"]);
    let again = run(&[("own/lib", "keep/lib")], &["own"]);
    assert_eq!((again.0, again.2), (0, whole.2));
}

#[test]
fn what_is_mounted_within_a_mapped_directory_is_saved_with_it() {
    let host = Host::new(&[("keep/lib/app/a", "kept"), ("disk/film", "large"), ("own/lib/app/media/x", "hidden")]);
    fs::create_dir_all(host.0.path("keep/lib/app/media")).unwrap();
    let Some(_bind) = Bind::new(&host.0.path("disk"), &host.0.path("own/lib/app/media")) else { return };
    for path in ["own/lib/app", "own"] {
        host.configure(&[path], &json!({}));
        host.0.ends(&RUN, 0);
        assert_eq!(host.saved(), ["own/lib/app/a = kept", "own/lib/app/media/film = large"]);
    }
}
