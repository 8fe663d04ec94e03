//! The runbooks of `docs/runbooks`, done by a machine: their commands run in their order against real servers, what they show is what is
//! printed, and afterwards what was lost is there again.
//!
//! ```text
//!   docs/runbooks/NAME.md --book--> blocks --scene--> shells at machines: a hub in a process of its own, hosts, sshd, Garage, databases
//!                                                --> times
//! ```
//!
//! systemctl is played by a stand-in. `HEARTH_RUNBOOKS_SHOW=1` shows what was run and printed. `HEARTH_MEASURE=1` writes the times into
//! the table of the index, best with `HEARTH_SAMPLE_MB=1000` and `cargo test --release`; `HEARTH_TEST_PROGRAM` names another program to measure.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

#[path = "runbooks/book.rs"]
mod book;
mod cli_common;
#[path = "sftp/server.rs"]
mod friend;
#[path = "servers/mariadb.rs"]
mod mariadb;
#[path = "garage/node.rs"]
mod node;
#[path = "servers/postgresql.rs"]
mod postgresql;
#[path = "runbooks/sample.rs"]
mod sample;
#[path = "runbooks/scene.rs"]
mod scene;
#[path = "runbooks/times.rs"]
mod times;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cli_common::{Tree, tree};
use node::Node;
use scene::Scene;

/// What the reader takes from a list of snapshots: the newest one, and the one before it.
const NEWEST: &str = "$(hearth-backup snapshots | tail -n 2 | head -n 1 | cut -d ' ' -f 1)";
const BEFORE: &str = "$(hearth-backup snapshots | tail -n 3 | head -n 1 | cut -d ' ' -f 1)";

#[test]
fn the_index_names_every_runbook_and_each_has_its_test() {
    let mut there: BTreeSet<String> =
        fs::read_dir(book::folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(there.remove("README.md"));
    let index = fs::read_to_string(book::folder().join("README.md")).unwrap();
    let table = index.split("\n\n").find(|part| part.starts_with("| what happened")).unwrap();
    let rows = table.lines().filter_map(|line| line.split("](").nth(1)?.split_once(") |").map(|(file, _)| file.to_owned()));
    assert_eq!(rows.collect::<BTreeSet<_>>(), there);
    let tests = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/runbooks.rs")).unwrap();
    let without: Vec<_> = there.iter().filter(|name| !tests.contains(&format!(".play(\"{name}\")"))).collect();
    assert!(without.is_empty(), "no test does {without:?}");
}

#[test]
fn every_block_of_a_runbook_is_run_or_says_why_not() {
    let mut left_out = 0;
    for entry in fs::read_dir(book::folder()).unwrap() {
        let path = entry.unwrap().path();
        let blocks = book::blocks(&fs::read_to_string(&path).unwrap()).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
        left_out += blocks.iter().filter(|block| matches!(block.kind, book::Kind::NotRun)).count();
    }
    println!("{left_out} blocks are not run, and say why");
}

/// The files below a folder as they were, by the paths at which a restore puts them.
fn restored(scene: &Scene, target: &str) -> Tree {
    tree(&PathBuf::from(format!("{}{}", scene.at(target), scene.at("nas/srv"))))
}

#[test]
fn one_file_comes_back() {
    let mut scene = Scene::new();
    let will = scene.at("nas/srv/letters/will.txt");
    fs::remove_file(&will).unwrap();
    scene.saves();
    scene.fill_hub("nas");
    scene.fill("nas", &[("NAME", "will.txt"), ("SNAP", BEFORE), ("FILE", &will)]);
    scene.play("one-file.md");
    assert_eq!(fs::read_to_string(&will).unwrap(), "To Anna, the boat.\n");
}

#[test]
fn a_service_gets_its_files_back_and_none_of_the_broken_ones_stay() {
    let mut scene = Scene::new();
    let letters = scene.path("nas/srv/letters");
    let before = tree(&letters);
    scene.write("nas/srv/letters/will.txt", "Nonsense.\n");
    scene.write("nas/srv/letters/broken/new", "Nonsense.\n");
    let broken = tree(&letters);
    scene.saves();
    scene.running("nas", "paperless.service");
    scene.fill_hub("nas");
    scene.fill("nas", &[("SERVICE", "paperless.service"), ("DIR", letters.to_str().unwrap()), ("SNAP", BEFORE)]);
    scene.play("one-service.md");
    assert_eq!(tree(&letters), before);
    assert_eq!(tree(&scene.path("nas/srv/letters.before")), broken);
    assert!(scene.is_active("nas", "paperless.service"));
}

/// What a job says of PostgreSQL to save it.
fn dumped(server: &postgresql::Cluster) -> String {
    format!("[jobs.state.postgresql]\ndatabases = \"all\"\nhost = {:?}\n", server.socket())
}

/// A server with the database `outline` of a role with a password, and something in it.
fn outline() -> Option<postgresql::Cluster> {
    let server = postgresql::Cluster::start()?;
    server.ask("postgres", "create role outline login password 'secret'");
    server.ok("createdb", &["--owner=outline", "outline"]);
    server.ask("outline", "create table documents as select n, md5(n::text) as text from generate_series(1, 50000) as n");
    Some(server)
}

const DOCUMENTS: &str = "select count(*), sum(n) from documents";

#[test]
fn a_postgresql_database_comes_back() {
    let Some(server) = outline() else { return };
    let mut scene = Scene::new();
    scene.configure(&dumped(&server));
    scene.saves();
    let before = server.ask("outline", DOCUMENTS);
    server.ask("outline", "delete from documents where n > 10");
    scene.saves();
    scene.running("nas", "outline.service");
    scene.own("nas", "PGHOST", &server.socket());
    scene.fill_hub("nas");
    scene.fill("nas", &[("SERVICE", "outline.service"), ("DB", "outline"), ("SNAP", BEFORE)]);
    scene.play("postgresql-database.md");
    assert_eq!(server.ask("outline", DOCUMENTS), before);
    assert_eq!(server.ask("outline", "select tableowner from pg_tables where tablename = 'documents'"), "postgres");
    assert!(scene.is_active("nas", "outline.service"));
}

#[test]
fn two_database_servers_that_were_lost_come_back_with_their_users() {
    let (Some(old), Some(old_shop)) = (outline(), mariadb::Server::start()) else { return };
    old.ok("createdb", &["second"]);
    old_shop.ask("", "create database shop; create database other; create user clerk@localhost identified by 'secret'; grant select on shop.* to clerk@localhost");
    old_shop.ask("shop", "create table goods as select seq as id, md5(seq) as name from seq_1_to_20000");
    let mut scene = Scene::new();
    let shop = format!("[jobs.state.mariadb]\ndatabases = \"all\"\nusername = \"root\"\nsocket = {:?}\n", old_shop.socket());
    scene.configure(&(dumped(&old) + &shop));
    scene.saves();
    drop((old, old_shop));
    let (new, new_shop) = (postgresql::Cluster::start().unwrap(), mariadb::Server::start().unwrap());
    scene.running("nas", "outline.service");
    scene.running("nas", "shop.service");
    scene.own("nas", "PGHOST", &new.socket());
    scene.write("nas/home/.my.cnf", &format!("[client]\nsocket = {}\n", new_shop.socket()));
    scene.fill_hub("nas");
    scene.fill("nas", &[("SERVICES", "outline.service shop.service"), ("SNAP", "latest")]);
    scene.play("database-cluster.md");
    assert_eq!(new.ask("outline", DOCUMENTS), "50000|1250025000");
    assert_eq!(new.ask("postgres", "select count(*) from pg_authid where rolname = 'outline' and rolpassword is not null"), "1");
    assert_eq!(new.ask("postgres", "select count(*) from pg_database where datname = 'second'"), "1");
    assert_eq!(new_shop.ask("shop", "select count(*) from goods"), "20000");
    assert_eq!(new_shop.databases(), "other shop");
    assert!(new_shop.ask("", "show grants for clerk@localhost").contains("GRANT SELECT ON `shop`.*"));
}

#[test]
fn a_sqlite_database_comes_back_while_its_service_is_stopped() {
    if Command::new("sqlite3").arg("--version").output().is_err() {
        println!("SKIPPED: no sqlite3; tests/run installs it");
        return;
    }
    let mut scene = Scene::new();
    let path = scene.at("nas/srv/vaultwarden/db.sqlite3");
    fs::create_dir(scene.path("nas/srv/vaultwarden")).unwrap();
    let vault = rusqlite::Connection::open(&path).unwrap();
    vault
        .execute_batch("pragma journal_mode = wal; create table ciphers (name text); insert into ciphers values ('bank'), ('mail')")
        .unwrap();
    scene.saves();
    vault.execute_batch("delete from ciphers").unwrap();
    scene.saves();
    drop(vault);
    scene.running("nas", "vaultwarden.service");
    scene.fill_hub("nas");
    scene.fill("nas", &[("SERVICE", "vaultwarden.service"), ("DATABASE", &path), ("SNAP", BEFORE)]);
    scene.play("sqlite-service.md");
    let count: i64 = rusqlite::Connection::open(&path).unwrap().query_row("select count(*) from ciphers", [], |row| row.get(0)).unwrap();
    assert_eq!(count, 2);
}

/// A bucket in Garage; none where Garage is not installed.
fn bucket(scene: &Scene) -> Option<Node> {
    let dir = scene.path("garage");
    let node = Node::start(&node::program()?, &dir, &dir.join("secret").display().to_string(), &[]);
    node.sh(&node::recipe()[2]);
    Some(node)
}

/// The hub's repository is copied elsewhere.
fn copied(scene: &Scene, place: &str, credentials: &str) {
    let stored = scene.at(STORED);
    scene.sh(
        "hub",
        &format!("hearth-backup mirror --from '{stored}' --to '{place}' --credentials-file '{credentials}' --trust-new-repository"),
    );
}

/// Where the repository lies at the hub.
const STORED: &str = "hub/data/repositories/nas";

fn id(scene: &Scene) -> String {
    scene.read("admin/nas.id").trim().to_owned()
}

#[test]
fn a_hub_that_was_lost_comes_back_from_a_mirror_and_the_host_goes_on() {
    let mut scene = Scene::new();
    // Without Garage the mirror is a disk, which is not asked for the key.
    scene.write("none", "AWS_ACCESS_KEY_ID=none\nAWS_SECRET_ACCESS_KEY=none\n");
    let node = bucket(&scene);
    let (place, credentials) = match &node {
        Some(node) => (node.location(), node.credentials().display().to_string()),
        None => (scene.at("usb/nas"), scene.at("none")),
    };
    fs::create_dir(scene.path("usb")).unwrap();
    copied(&scene, &place, &credentials);
    // This snapshot is in no copy.
    scene.write("nas/srv/letters/late.txt", "late\n");
    scene.saves();
    scene.sh("hub", "systemctl stop hearth-backup-hub.service");
    let data = scene.path("hub/data");
    fs::remove_dir_all(&data).unwrap();
    scene.make_data();
    let mirror = format!("{place}#{}", id(&scene));
    let filled = [("DATA", data.to_str().unwrap()), ("NAME", "nas"), ("MIRROR", &mirror), ("HEARTH_CREDENTIALS_FILE", &credentials)];
    scene.fill("hub", &filled);
    // The reader carries the new token to the host.
    let job = format!("$(mv '{}' '{}'; echo state)", scene.at("hub/home/nas.token"), scene.at("nas/hub.token"));
    scene.fill("nas", &[("JOB", &job)]);
    scene.play("hub-lost.md");
    assert!(scene.is_active("hub", "hearth-backup-hub.service") && scene.is_active("hub", "hearth-backup-hub-maintain.timer"));
    let others = scene.sh("hub", "find ../data ! -user \"$(stat -c %U ../data)\"");
    assert_eq!(others, "", "the hub's user owns everything");
    let key = scene.at("admin/restore.key");
    scene.sh("admin", &format!("hearth-backup restore latest --repo '{}' --key '{key}' --target out --verify", scene.at(STORED)));
    assert_eq!(restored(&scene, "admin/home/out"), tree(&scene.path("nas/srv")));
}

#[test]
fn a_whole_host_comes_back_on_another_machine_and_goes_on_with_its_history() {
    let Some(old) = outline() else { return };
    let mut scene = Scene::new();
    scene.configure(&dumped(&old));
    scene.saves();
    let before = tree(&scene.path("nas/srv"));
    drop(old);
    fs::remove_dir_all(scene.path("nas/srv")).unwrap();
    fs::remove_dir_all(scene.path("nas/state")).unwrap();
    let new = postgresql::Cluster::start().unwrap();
    // As NixOS makes it.
    new.ok("createdb", &["outline"]);
    scene.machine("new");
    scene.own("new", "PGHOST", &new.socket());
    scene.configure(&dumped(&new));
    // What was mounted at /mnt is the root after the start.
    let (srv, mounted) = (scene.at("nas/srv"), scene.at("new/mnt"));
    let config = scene.read("nas/config.toml") + &format!("[readFrom]\n{srv:?} = \"{mounted}{srv}\"\n");
    scene.write("new/config.toml", &config);
    scene.oneshot("new", "hearth-backup-state.service", "hearth-backup run state");
    scene.running("new", "outline.service");
    scene.fill_hub("new");
    let filled =
        [("TARGET", mounted.as_str()), ("HOST", "nas"), ("SNAP", "latest"), ("SERVICES", "outline.service"), ("DATABASES", "outline")];
    scene.fill("new", &filled);
    scene.play("whole-host.md");
    assert_eq!(restored(&scene, "new/mnt"), before);
    assert_eq!(new.ask("outline", DOCUMENTS), "50000|1250025000");
    assert!(scene.is_active("new", "outline.service"));
    let hosts = scene.sh("new", "hearth-backup snapshots --json");
    assert_eq!(hosts.matches("\"nas\"").count(), 3, "{hosts}");
}

#[test]
fn only_the_bucket_is_left_and_it_is_enough() {
    let mut scene = Scene::new();
    let Some(node) = bucket(&scene) else { return };
    let credentials = node.credentials().display().to_string();
    copied(&scene, &node.location(), &credentials);
    let letters = lost_but_for_a_copy(&mut scene);
    let copy = format!("{}#{}", node.location(), id(&scene));
    scene.fill("admin", &[("HEARTH_REPO", &copy), ("HEARTH_CREDENTIALS_FILE", &credentials)]);
    scene.play("cloud-only.md");
    assert_eq!(tree(&scene.path(format!("admin/home/back{}", scene.at("nas/srv/letters")))), letters);
}

#[test]
fn only_the_friends_copy_is_left_and_it_is_enough() {
    let Some(friend) = friend::Server::new() else { return };
    let mut scene = Scene::new();
    let ssh = format!("ssh -F {}", friend.bench.path("ssh_config").display());
    scene.own("hub", "HEARTH_SSH", &ssh);
    scene.own("admin", "HEARTH_SSH", &ssh);
    scene.sh("hub", &format!("hearth-backup mirror --from '{}' --to '{}' --trust-new-repository", scene.at(STORED), friend.location()));
    let letters = lost_but_for_a_copy(&mut scene);
    let copy = format!("{}#{}", friend.location(), id(&scene));
    scene.fill("admin", &[("HEARTH_REPO", &copy), ("HEARTH_IDENTITY", friend.bench.path("client_key").to_str().unwrap())]);
    scene.play("friend-only.md");
    assert_eq!(tree(&scene.path(format!("admin/home/back{}", scene.at("nas/srv/letters")))), letters);
}

/// Hub and host burn; what the reader fills in for the rest but where the copy is. The letters that there were.
fn lost_but_for_a_copy(scene: &mut Scene) -> Tree {
    scene.sh("hub", "systemctl stop hearth-backup-hub.service");
    fs::remove_dir_all(scene.path("hub/data")).unwrap();
    let folder = scene.at("nas/srv/letters");
    let letters = tree(Path::new(&folder));
    fs::remove_dir_all(scene.path("nas/srv")).unwrap();
    let (key, copy) = (scene.at("admin/restore.key"), scene.at("admin/copy"));
    scene.fill("admin", &[("HEARTH_KEY", &key), ("SNAP", "latest"), ("FOLDER", &folder), ("COPY", &copy)]);
    letters
}

#[test]
fn a_restore_key_is_replaced_and_the_old_one_opens_neither_repository_nor_mirror() {
    let mut scene = Scene::new();
    let (data, mirror) = (scene.at("hub/data"), scene.at("friend/nas"));
    fs::create_dir(scene.path("friend")).unwrap();
    scene.write(
        "hub/hub.toml",
        &format!("[hub]\ndataDir = {data:?}\n[hub.mirrors.friend]\nurl = \"{}/{{repository}}\"\n", scene.at("friend")),
    );
    scene.oneshot(
        "hub",
        "hearth-backup-hub-maintain.service",
        &format!("hearth-backup hub maintain --config '{}'", scene.at("hub/hub.toml")),
    );
    scene.sh("hub", "systemctl start hearth-backup-hub-maintain");
    scene.fill_hub("admin");
    scene.fill("hub", &[("DATA", &data), ("NEW", "nas-2")]);
    let (new, token, old) = (format!("{}/nas-2", scene.hub), scene.at("hub/home/nas-2.admin"), scene.at("admin/restore.key"));
    let first = "$(hearth-backup key recipients | sed -n 2p | cut -d ' ' -f 1)";
    scene.fill("admin", &[("OLD", first), ("OLD_KEY", &old), ("NEW_REPO", &new), ("NEW_TOKEN", &token)]);
    scene.play("restore-key.md");
    scene.saves();
    let (code, said) = scene.bash("admin", &format!("hearth-backup ls latest --repo '{mirror}' --key '{old}' --trust-new-repository"));
    assert!(code == 1 && said.contains("does not open this repository"), "{said}");
    for place in [&mirror, &scene.at(STORED)] {
        scene.sh(
            "admin",
            &format!(
                "rm -rf out; hearth-backup restore latest --repo '{place}' --key ~/new-restore.key --target out --trust-new-repository"
            ),
        );
        assert_eq!(restored(&scene, "admin/home/out"), tree(&scene.path("nas/srv")), "{place}");
    }
}

#[test]
fn a_token_and_a_writer_key_are_replaced_and_the_old_ones_are_refused() {
    let mut scene = Scene::new();
    for (from, to) in [("nas/hub.token", "thief/hub.token"), ("nas/writer.key", "thief/writer.key")] {
        scene.write(to, &scene.read(from));
    }
    let data = scene.at("hub/data");
    scene.fill("hub", &[("DATA", &data), ("NAME", "nas")]);
    scene.fill_hub("admin");
    scene.fill("admin", &[("WRITER", "$(hearth-backup key writers | sed -n 2p | cut -d ' ' -f 1)")]);
    // The reader carries both to the host.
    let carried = [("hub/home/nas.token", "nas/hub.token"), ("admin/home/writer.key", "nas/writer.key")];
    let carried: String = carried.iter().map(|(from, to)| format!("mv '{}' '{}'; ", scene.at(from), scene.at(to))).collect();
    let state = format!("$({carried} echo '{}')", scene.at("nas/state"));
    scene.fill("nas", &[("STATE", &state), ("JOB", "state")]);
    scene.play("writer-key-or-token.md");
    scene.machine("thief");
    let backup = |token: &str| {
        let said = scene.bash(
            "thief",
            &format!(
                "hearth-backup backup '{}' --repo '{}' --key ../writer.key --token-file '{}'",
                scene.at("bin"),
                scene.repository("nas"),
                scene.at(token)
            ),
        );
        assert_eq!(said.0, 1, "{}", said.1);
        said.1
    };
    let said = backup("thief/hub.token");
    assert!(said.contains("does not know this token"), "{said}");
    let said = backup("nas/hub.token");
    assert!(said.contains("this writer was closed"), "{said}");
}

#[test]
fn what_ransomware_did_does_not_count_and_what_was_before_it_comes_back() {
    let mut scene = Scene::new();
    let letters = scene.path("nas/srv/letters");
    scene.write("nas/srv/letters/today.txt", "An ordinary day.\n");
    scene.saves();
    let before = tree(&letters);
    // The time at which writers are closed is known to the second.
    let since = scene.sh("nas", "now=$(date +%s); while [ $(date +%s) = $now ]; do :; done; date '+%Y-%m-%d %H:%M:%S'");
    for (number, (name, content)) in before.iter().enumerate() {
        fs::remove_file(letters.join(name)).unwrap();
        scene.write(&format!("nas/srv/letters/{name}.locked"), &String::from_utf8_lossy(&sample::noise(number as u64, content.len())));
    }
    scene.saves();
    let data = scene.at("hub/data");
    scene.fill("hub", &[("DATA", &data), ("NAME", "nas")]);
    scene.fill_hub("admin");
    let writer = "$(hearth-backup key writers | sed -n 2p | cut -d ' ' -f 1)";
    scene.fill("admin", &[("HOST", "nas"), ("GOOD", BEFORE), ("BAD", NEWEST), ("WRITER", writer), ("SINCE", since.trim())]);
    scene.play("ransomware.md");
    assert_eq!(tree(&scene.path(format!("admin/home/back{}", letters.display()))), before);
    scene.sh("admin", "hearth-backup restore latest --target latest");
    assert_eq!(tree(&scene.path(format!("admin/home/latest{}", letters.display()))), before, "the newest that counts is the good one");
    let (code, said) = scene.bash("nas", "hearth-backup run state");
    assert!(code == 1 && said.contains("does not know this token"), "{said}");
}

/// The largest pack of the hub's repository, by its name there.
fn largest_pack(scene: &Scene) -> String {
    let packs = tree(&scene.path(format!("{STORED}/packs")));
    let (name, _) = packs.iter().max_by_key(|(_, content)| content.len()).unwrap();
    format!("packs/{name}")
}

#[test]
fn a_damaged_repository_is_healed_from_a_mirror_and_else_by_the_host() {
    let mut scene = Scene::new();
    let (stored, mirror) = (scene.at(STORED), scene.at("friend/nas"));
    fs::create_dir(scene.path("friend")).unwrap();
    scene.sh("hub", &format!("hearth-backup mirror --from '{stored}' --to '{mirror}' --trust-new-repository"));
    let pack = largest_pack(&scene);
    scene.sh("hub", &format!("chmod u+w '{stored}/{pack}'; printf rotten | dd of='{stored}/{pack}' bs=1 seek=300000 conv=notrunc"));
    scene.fill("hub", &[("STORED", &stored), ("HEARTH_REPO", &format!("{stored}#{}", id(&scene))), ("MIRROR", &mirror), ("PACK", &pack)]);
    scene.fill("nas", &[("JOB", "state")]);
    scene.play("damaged-repository.md");
    let key = scene.at("admin/restore.key");
    scene.sh("admin", &format!("hearth-backup restore latest --repo '{stored}' --key '{key}' --target out --verify"));
    assert_eq!(restored(&scene, "admin/home/out"), tree(&scene.path("nas/srv")));
    assert!(scene.is_active("hub", "hearth-backup-hub-maintain.timer"));
}

/// A small disk, until it is dropped.
struct Disk(PathBuf);

impl Disk {
    /// None where we may not mount.
    fn mount(place: PathBuf, bytes: u64) -> Option<Self> {
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "none"]).arg(&place).status();
        if !mounted.is_ok_and(|status| status.success()) {
            println!("SKIPPED: only root can mount a small disk");
            return None;
        }
        Some(Self(place))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["--lazy"]).arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_of_a_hub_gets_room_and_hosts_save_again() {
    let mut scene = Scene::new();
    let (data, stored) = (scene.at("hub/data"), scene.at(STORED));
    scene.sh("hub", &format!("systemctl stop hearth-backup-hub.service; mv '{data}' '{data}.old'; mkdir '{data}'"));
    let Some(disk) = Disk::mount(scene.path("hub/data"), scene.sample + 20_000_000) else { return };
    scene.sh("hub", &format!("cp -a '{data}.old/.' '{data}'; fallocate -l 1M '{data}/reserve'; systemctl start hearth-backup-hub.service"));
    for round in 0..2 {
        fs::write(scene.path("nas/srv/film"), sample::noise(1_000 + round, 5_000_000)).unwrap();
        scene.saves();
    }
    scene.sh("hub", &format!("dd if=/dev/zero of='{data}/other' bs=1M || true"));
    fs::write(scene.path("nas/srv/film"), sample::noise(7, 5_000_000)).unwrap();
    let (code, said) = scene.bash("nas", "hearth-backup run state");
    assert!(code == 1 && said.contains("no space left"), "{said}");
    // The first and the last snapshot of each day stay.
    scene.fill(
        "hub",
        &[
            ("DATA", &data),
            ("HEARTH_REPO", &format!("{stored}#{}", id(&scene))),
            ("RESERVE", &format!("{data}/reserve")),
            ("KEEP", "--keep-daily 1"),
        ],
    );
    let state = scene.at("nas/state");
    scene.fill("nas", &[("JOB", "state"), ("STATE", &state)]);
    scene.play("out-of-space.md");
    assert!(!scene.path("nas/state").exists());
    scene.saves();
    scene.sh("hub", "systemctl stop hearth-backup-hub.service");
    drop(disk);
}

#[test]
fn what_the_program_saved_comes_back_without_it() {
    if ["age", "zstd", "python3"].iter().any(|program| Command::new(program).arg("--version").output().is_err()) {
        println!("SKIPPED: age, zstd and python3 are needed; tests/run installs them");
        return;
    }
    let mut scene = Scene::new();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/recover-without-hearth/recover.py");
    let (stored, key, folder) = (scene.at(STORED), scene.at("admin/restore.key"), scene.at("nas/srv/letters"));
    scene.fill("admin", &[("REPO", &stored), ("KEY", &key), ("SCRIPT", script.to_str().unwrap()), ("FOLDER", &folder)]);
    fs::remove_file(scene.path("bin/hearth-backup")).unwrap();
    scene.play("without-hearth.md");
    assert_eq!(restored(&scene, "admin/home/all"), tree(&scene.path("nas/srv")));
    assert_eq!(tree(&scene.path(format!("admin/home/some{folder}"))), tree(Path::new(&folder)));
}
