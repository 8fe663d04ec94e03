//! Repositories at another service of the library: WebDAV, at a real server on loopback.

#![cfg(feature = "webdav")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod cli_common;

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use cli_common::{Bench, expect, tree};
use hearth_backup::store::conformance::{self, Subject};
use hearth_backup::store::object::{Access, Credentials, Service};
use hearth_backup::store::{Folder, ObjectName, ObjectStore, Put, Store as _, StoreErrorKind};

const SECRET: &str = "password=s=cret\n";

/// A Python that has `wsgidav`: the one that `HEARTH_TEST_WEBDAV` names, or the system's. None where there is none.
fn python() -> Option<&'static Path> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    let find = || {
        let named = std::env::var_os("HEARTH_TEST_WEBDAV").filter(|path| !path.is_empty()).map(PathBuf::from);
        let python = named.unwrap_or_else(|| "python3".into());
        let imports = Command::new(&python).args(["-c", "import wsgidav, cheroot"]).stderr(Stdio::null()).status();
        if imports.is_ok_and(|status| status.success()) {
            return Some(python);
        }
        eprintln!("SKIPPED: no wsgidav, so nothing is stored by WebDAV");
        None
    };
    FOUND.get_or_init(find).as_deref()
}

/// A server whose files lie in a folder that goes with it.
struct Server {
    folder: tempfile::TempDir,
    port: u16,
    process: Child,
}

impl Server {
    fn start() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/webdav/server.py");
        let mut server = Command::new(python()?);
        server.arg(script).arg(folder.path()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = server.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().parse().expect("the server tells its port");
        Some(Self { folder, port, process })
    }

    /// A repository in a folder that nobody has made yet.
    fn url(&self) -> String {
        format!("opendal+webdav:///files/of%20mine/q?endpoint=http://127.0.0.1:{}&username=me", self.port)
    }

    fn files(&self) -> PathBuf {
        self.folder.path().join("of mine/q")
    }

    fn store_with(&self, secret: &str) -> ObjectStore {
        let service = Service::parse("webdav", self.url().strip_prefix("opendal+webdav://").unwrap()).unwrap();
        let access = Access::default().with_credentials(Some(Credentials::parse(secret).unwrap()));
        ObjectStore::at_service(&service, &access).unwrap()
    }

    fn store(&self) -> ObjectStore {
        self.store_with(SECRET)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn names_in(folder: &Path) -> Vec<String> {
    fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// Makes a test of each check of the suite; without a server they do nothing.
macro_rules! conforms {
    ($($check:ident)*) => {
        $(
            #[test]
            fn $check() {
                if let Some(server) = Server::start() {
                    conformance::$check(&Subject::new(server.store()).keeping(server));
                }
            }
        )*
    };
}

mod conforms {
    use super::*;

    conforms! {
        what_was_put_is_read_back_whole
        names_may_be_as_short_and_as_long_as_allowed
        a_put_never_replaces_an_object
        racing_puts_create_exactly_one_object
        racing_commits_create_exactly_one_object
        staged_pieces_are_joined_in_order
        a_staged_object_is_invisible_until_its_commit
        a_dropped_stage_leaves_nothing
        absent_objects_are_not_found
        a_read_stops_at_its_limit
        ranges_are_exact
        ranges_beyond_the_end_are_truncated
        a_delete_can_be_repeated
        a_deleted_object_can_be_put_again
        a_listing_shows_the_objects_of_one_folder
        a_listing_and_a_look_up_agree
        objects_are_dated_by_the_clock_of_the_store
        a_new_store_has_no_unknown_folders
        readers_never_see_a_part_of_an_object
        errors_name_the_object
    }
}

#[test]
fn uploads_that_crashed_runs_left_are_cleared_away_and_young_ones_are_not() {
    let Some(server) = Server::start() else { return };
    let (store, name) = (server.store(), |leaf: &str| ObjectName::new(Folder::Repo, leaf).unwrap());
    let temporary = server.files().join("tmp");
    fs::create_dir_all(&temporary).unwrap();
    for (leaf, age) in [("old", 48), ("young", 1)] {
        let written = SystemTime::now() - Duration::from_secs(age * 60 * 60);
        File::create(temporary.join(leaf)).unwrap().set_modified(written).unwrap();
    }
    assert_eq!(store.put_new(&name("0"), b"x").unwrap(), Put::Created);
    assert_eq!(names_in(&temporary), ["young"]);
    assert_eq!(store.unknown_folders().unwrap(), Vec::<String>::new());
}

#[test]
fn a_put_that_comes_too_late_leaves_nothing() {
    let Some(server) = Server::start() else { return };
    let (store, name) = (server.store(), ObjectName::of_id(Folder::Packs, &[7; 32]));
    assert_eq!(store.put_new(&name, b"first").unwrap(), Put::Created);
    assert_eq!(store.put_new(&name, b"second").unwrap(), Put::Exists);
    assert_eq!(store.get(&name, 100).unwrap(), b"first");
    assert_eq!(names_in(&server.files().join("tmp")), [""; 0]);
}

#[test]
fn an_object_takes_five_requests() {
    let Some(server) = Server::start() else { return };
    let (store, name) = (server.store(), |number| ObjectName::of_id(Folder::Packs, &[7, number].repeat(16).try_into().unwrap()));
    // Makes the folders.
    store.put_new(&name(1), b"x").unwrap();
    let before = store.requests().unwrap().total();
    store.put_new(&name(2), b"x").unwrap();
    assert_eq!(store.requests().unwrap().total() - before, 5);
}

#[test]
fn a_wrong_password_is_told_and_not_shown() {
    let Some(server) = Server::start() else { return };
    let error = server.store_with("password=hidden").list(Folder::Repo).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Refused);
    let text = error.to_string();
    assert!(text.contains("credentials") && text.contains(&server.url()) && !text.contains("hidden"), "{text}");
}

#[test]
fn from_init_to_restore_at_a_webdav_server() {
    let Some(server) = Server::start() else { return };
    let bench = Bench::new();
    bench.write("secret", SECRET.as_bytes());
    let run = |arguments: &[&str]| {
        let mut command = bench.command(arguments);
        command.env("HEARTH_REPO", server.url()).env("HEARTH_CREDENTIALS_FILE", bench.path("secret"));
        expect(command.output().unwrap(), 0, arguments).0
    };
    let restores = |target: &str| {
        run(&["restore", "latest", "--key", "hearth-restore.key", "--target", target, "--verify"]);
        let restored = bench.path(target).join(bench.path("source").strip_prefix("/").unwrap());
        assert!(tree(&restored) == tree(&bench.path("source")), "what was restored differs");
    };
    let made: serde_json::Value = serde_json::from_str(&run(&["init", "--json"])).unwrap();
    run(&["backup", "--key", "hearth-writer.key", &bench.source()]);
    bench.write("source/new", &[1; 300_000]);
    run(&["backup", "--key", "hearth-writer.key", &bench.source()]);
    run(&["check", "--read-data", "--key", "hearth-restore.key"]);
    restores("out");

    let snapshots: serde_json::Value = serde_json::from_str(&run(&["snapshots", "--json"])).unwrap();
    run(&["forget", snapshots["snapshots"][0]["id"].as_str().unwrap()]);
    run(&["prune", "--grace", "0"]);
    run(&["check", "--read-data", "--key", "hearth-restore.key"]);
    restores("out2");
    assert_eq!(names_in(&server.files().join("tmp")), [""; 0]);

    // It is laid out as a directory, so that whoever has the server can check it on the spot.
    let on_the_spot = format!("{}#{}", server.files().display(), made["repository"].as_str().unwrap());
    let output = bench.command(&["check", "--read-packs", "--repo", &on_the_spot]).env_remove("HEARTH_REPO").output().unwrap();
    expect(output, 0, "check on the spot");
}

#[test]
fn a_job_takes_the_secrets_of_its_service_from_the_configuration() {
    let Some(server) = Server::start() else { return };
    let bench = Bench::new();
    bench.write("secret", SECRET.as_bytes());
    let init =
        bench.command(&["init"]).env("HEARTH_REPO", server.url()).env("HEARTH_CREDENTIALS_FILE", bench.path("secret")).output().unwrap();
    expect(init, 0, "init");
    let nas = serde_json::json!({ "url": server.url(), "writerKey": bench.path("hearth-writer.key"), "credentials": bench.path("secret") });
    let job = serde_json::json!({ "paths": [bench.source()], "repositories": ["nas"] });
    bench.write("config.json", serde_json::json!({ "repositories": { "nas": nas }, "jobs": { "home": job } }).to_string().as_bytes());
    bench.ends(&["run", "home", "--config", "config.json"], 0);
    assert_eq!(names_in(&server.files().join("snapshots")).len(), 1);
}
