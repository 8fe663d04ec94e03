//! A job is read from snapshots of its filesystems, and none of them stays.
//!
//! Btrfs is real, on a loop device. LVM and ZFS are real where device mapper and a ZFS module are there, else played by
//! stand-ins (`tests/stand_ins`); the tests print which. Needs root; says SKIPPED where that is missing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod cli_common;
mod stand_ins;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cli_common::{Bench, expect};
use serde_json::{Value, json};
use stand_ins::{StandIns, kill_hard, lasting, started};

const RUN: [&str; 4] = ["run", "state", "--config", "config.json"];
const SETTLE: [&str; 4] = ["settle", "state", "--config", "config.json"];

fn system(command: &[&str]) -> String {
    let output = Command::new(command[0]).args(&command[1..]).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    expect(output, 0, command).0.trim().to_owned()
}

/// A filesystem on a loop device, mounted until it is dropped.
struct Disk {
    folder: tempfile::TempDir,
    device: String,
    /// Mount points, to be unmounted from the last.
    points: Vec<PathBuf>,
}

impl Disk {
    /// Made by `mkfs`; none if this machine cannot.
    fn new(mkfs: &[&str]) -> Option<Self> {
        if !nix::unistd::geteuid().is_root() {
            println!("SKIPPED: only root can mount");
            return None;
        }
        if Command::new(mkfs[0]).arg("--version").output().is_err() {
            println!("SKIPPED: there is no {}", mkfs[0]);
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("image");
        fs::File::create(&image).unwrap().set_len(1 << 30).unwrap();
        let Ok(attached) = Command::new("losetup").args(["--find", "--show"]).arg(&image).output() else {
            println!("SKIPPED: there is no losetup");
            return None;
        };
        if !attached.status.success() {
            println!("SKIPPED: no loop device: {}", String::from_utf8_lossy(&attached.stderr));
            return None;
        }
        let device = String::from_utf8(attached.stdout).unwrap().trim().to_owned();
        let mut disk = Self { folder, device, points: Vec::new() };
        system(&[mkfs, &[&disk.device]].concat());
        disk.mount("top", "defaults");
        Some(disk)
    }

    fn mount(&mut self, name: &str, options: &str) -> PathBuf {
        let point = self.folder.path().canonicalize().unwrap().join(name);
        fs::create_dir_all(&point).unwrap();
        system(&["mount", "-o", options, &self.device, point.to_str().unwrap()]);
        self.points.push(point.clone());
        point
    }

    fn bind(&mut self, from: &Path, name: &str) -> PathBuf {
        let point = self.folder.path().canonicalize().unwrap().join(name);
        if from.is_dir() {
            fs::create_dir_all(&point).unwrap();
        } else {
            fs::create_dir_all(point.parent().unwrap()).unwrap();
            fs::write(&point, "").unwrap();
        }
        system(&["mount", "--bind", from.to_str().unwrap(), point.to_str().unwrap()]);
        self.points.push(point.clone());
        point
    }

    fn top(&self) -> PathBuf {
        self.points[0].clone()
    }

    fn image(&self) -> PathBuf {
        self.folder.path().join("image")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        for point in self.points.iter().rev() {
            let _ = Command::new("umount").arg(point).status();
        }
        let _ = Command::new("losetup").args(["--detach", &self.device]).status();
    }
}

/// A configuration whose `thaw` changes files: it runs when the snapshots are taken, and before anything is read.
fn changing(job: &Value, files: &[&Path]) -> Value {
    let script: String = files.iter().map(|file| format!("echo changed > '{}'; ", file.display())).collect();
    let quiesce = json!({ "freeze": [{ "command": ["true"] }], "thaw": [{ "command": ["sh", "-c", script] }] });
    let mut whole = json!({ "filesystemSnapshots": "auto", "quiesce": quiesce });
    whole.as_object_mut().unwrap().extend(job.as_object().unwrap().clone());
    whole
}

fn btrfs() -> Option<Disk> {
    Disk::new(&["mkfs.btrfs", "--quiet"])
}

fn subvolume(path: &Path) {
    system(&["btrfs", "subvolume", "create", path.to_str().unwrap()]);
}

fn subvolumes(top: &Path) -> Vec<String> {
    let list = system(&["btrfs", "subvolume", "list", top.to_str().unwrap()]);
    list.lines().map(|line| line.split(" path ").nth(1).unwrap().to_owned()).collect()
}

#[test]
fn a_btrfs_is_read_as_it_was_when_the_run_began_with_its_nested_subvolumes() {
    let Some(disk) = btrfs() else { return };
    let bench = Bench::with_repository();
    let top = disk.top();
    subvolume(&top.join("data"));
    subvolume(&top.join("data/nested"));
    subvolume(&top.join("data/nested/deep"));
    subvolume(&top.join("skipped"));
    let files = ["plain", "data/a", "data/nested/b", "data/nested/deep/c", "skipped/d"].map(|name| top.join(name));
    files.iter().for_each(|file| fs::write(file, "before").unwrap());
    let job = json!({ "paths": [top], "exclude": [top.join("skipped")] });
    bench.configure(&changing(&job, &files.each_ref().map(PathBuf::as_path)));
    let (_, said) = bench.ends(&RUN, 0);
    assert!(!said.contains("read live"), "{said}");
    for file in &files[..4] {
        assert_eq!(fs::read_to_string(file).unwrap(), "changed\n", "the command ran before anything was read");
        assert_eq!(bench.saved(file), "before", "{}", file.display());
    }
    let list = bench.ok(&["ls", "latest", "-R", "--key", "hearth-restore.key"]);
    assert!(!list.contains(".hearth-backup") && !list.contains("skipped"), "{list}");
    assert_eq!(subvolumes(&top), ["data", "data/nested", "data/nested/deep", "skipped"], "no snapshot stays");
}

#[test]
fn an_unchanged_btrfs_is_not_read_again() {
    let Some(disk) = btrfs() else { return };
    let bench = Bench::with_repository();
    let top = disk.top();
    subvolume(&top.join("sub"));
    fs::write(top.join("one"), vec![1; 300_000]).unwrap();
    fs::write(top.join("sub/two"), vec![2; 300_000]).unwrap();
    bench.configure(&json!({ "paths": [top], "filesystemSnapshots": "auto", "skipIfUnchanged": true }));
    let first = bench.json(&RUN);
    assert_eq!(first["repositories"][0]["statistics"]["bytes_read"], 600_000);
    // The first run made the directory of snapshots, which changed the time of the one that holds it.
    let second = bench.json(&RUN);
    assert_eq!(second["repositories"][0]["statistics"]["bytes_read"], 0, "{second}");
    let third = bench.json(&RUN);
    assert_eq!(third["repositories"][0]["unchanged"], true, "{third}");
    // From a snapshot or live: the same files.
    bench.configure(&json!({ "paths": [top], "exclude": [".hearth-backup/"] }));
    assert_eq!(bench.json(&RUN)["repositories"][0]["statistics"]["bytes_read"], 0);
}

#[test]
fn a_database_in_a_snapshot_is_copied_as_it_was_with_its_log() {
    let Some(disk) = btrfs() else { return };
    let bench = Bench::with_repository();
    let path = disk.top().join("vault.db");
    let open = rusqlite::Connection::open(&path).unwrap();
    open.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE secret (name TEXT); INSERT INTO secret VALUES ('before')").unwrap();
    let insert = format!(
        "import sqlite3; sqlite3.connect('{}', isolation_level=None).execute(\"INSERT INTO secret VALUES ('later')\")",
        path.display()
    );
    let mut job = changing(&json!({ "paths": [disk.top()], "sqlite": { "discover": true } }), &[]);
    job["quiesce"]["thaw"] = json!([{ "command": ["python3", "-c", insert] }]);
    bench.configure(&job);
    bench.ends(&RUN, 0);
    let names = |database: &rusqlite::Connection| -> Vec<String> {
        let mut rows = database.prepare("SELECT name FROM secret ORDER BY rowid").unwrap();
        rows.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    assert_eq!(names(&open), ["before", "later"]);
    bench.ok(&["restore", "latest", "--key", "hearth-restore.key", "--target", "restored"]);
    let restored = bench.path("restored").join(path.strip_prefix("/").unwrap());
    assert_eq!(names(&rusqlite::Connection::open(restored).unwrap()), ["before"]);
}

#[test]
fn a_subvolume_is_found_behind_mounts_of_its_parts() {
    let Some(mut disk) = btrfs() else { return };
    let bench = Bench::with_repository();
    subvolume(&disk.top().join("@persist"));
    let persist = disk.mount("persist", "subvol=@persist");
    fs::create_dir_all(persist.join("var/lib/app")).unwrap();
    for file in ["var/lib/app/db", "machine-id"] {
        fs::write(persist.join(file), "before").unwrap();
    }
    let state = disk.bind(&persist.join("var/lib/app"), "root/state");
    let id = disk.bind(&persist.join("machine-id"), "root/machine-id");
    let renamed = disk.bind(&persist.join("machine-id"), "root/other-name");
    let files = [state.join("db"), id.clone(), renamed.clone()];
    let job = json!({ "paths": [state, id, renamed] });
    bench.configure(&changing(&job, &files.each_ref().map(PathBuf::as_path)));
    let (_, said) = bench.ends(&RUN, 0);
    assert!(said.contains("other-name") && said.contains("is read live") && !said.contains("db: is read live"), "{said}");
    assert_eq!(bench.saved(&files[0]), "before");
    assert_eq!(bench.saved(&files[1]), "before");
    assert_eq!(subvolumes(&disk.top()), ["@persist"]);
}

#[test]
fn the_filesystem_behind_a_mapped_place_stands_still_and_is_shown_in_that_place() {
    let Some(mut disk) = btrfs() else { return };
    let bench = Bench::with_repository();
    subvolume(&disk.top().join("@persist"));
    let persist = disk.mount("persist", "subvol=@persist");
    let own = bench.path("root/lib");
    fs::create_dir_all(persist.join("lib/app")).unwrap();
    for nested in ["lib/app/nested", "lib/app/skipped"] {
        subvolume(&persist.join(nested));
    }
    bench.write("root/lib/rest/file", b"own");
    let state = persist.join("lib/hearth-backup");
    fs::rename(bench.path("state"), &state)
        .unwrap_or_else(|_| drop(system(&["mv", bench.path("state").to_str().unwrap(), state.to_str().unwrap()])));
    std::os::unix::fs::symlink(&state, bench.path("state")).unwrap();
    let files = ["app/file", "app/nested/file", "app/skipped/file"].map(|name| persist.join("lib").join(name));
    files.iter().for_each(|file| fs::write(file, "before").unwrap());
    let read_from = json!({ own.to_str().unwrap(): persist.join("lib") });
    let configure = |job: &Value| {
        bench.configure(job);
        let mut config: Value = serde_json::from_slice(&fs::read(bench.path("config.json")).unwrap()).unwrap();
        config["readFrom"] = read_from.clone();
        bench.write("config.json", config.to_string().as_bytes());
    };
    let exclude = [own.join("app/skipped")];
    for path in [own.join("app"), bench.path("root")] {
        files.iter().for_each(|file| fs::write(file, "before").unwrap());
        configure(&changing(&json!({ "paths": [path], "exclude": exclude }), &files.each_ref().map(PathBuf::as_path)));
        let (_, said) = bench.ends(&RUN, 0);
        assert!(!said.contains("persist"), "all is called by the place that is shown: {said}");
        for name in ["app/file", "app/nested/file"] {
            assert_eq!(bench.saved(own.join(name)), "before", "{name} in {}", path.display());
        }
        let list = bench.ok(&["ls", "latest", "-R", "--key", "hearth-restore.key"]);
        assert!(!list.contains("skipped") && !list.contains("persist"), "{list}");
        assert!(!list.contains("hearth-backup/jobs"), "the state is not saved: {list}");
        assert!(state.join("jobs").exists() && subvolumes(&persist).len() == 3, "no snapshot stays");
    }
    assert_eq!(bench.saved(own.join("rest/file")), "own");
    assert!(bench.ends(&RUN, 0).1.contains("root: is read live"), "what lies at its own place has no snapshot");
    let required = json!({ "paths": [own.join("app")], "exclude": exclude, "filesystemSnapshots": { "required": true } });
    configure(&required);
    bench.ends(&RUN, 0);
    assert_eq!(bench.json(&RUN)["repositories"][0]["statistics"]["bytes_read"], 0);
    // The same, read live where it is kept, and where it is mounted.
    configure(&json!({ "paths": [own.join("app")], "exclude": exclude }));
    assert_eq!(bench.json(&RUN)["repositories"][0]["statistics"]["bytes_read"], 0);
    fs::create_dir_all(own.join("app")).unwrap();
    system(&["mount", "--bind", persist.join("lib/app").to_str().unwrap(), own.join("app").to_str().unwrap()]);
    disk.points.push(own.join("app"));
    bench.configure(&json!({ "paths": [own.join("app")], "exclude": exclude }));
    assert_eq!(bench.json(&RUN)["repositories"][0]["statistics"]["bytes_read"], 0);
}

#[test]
fn what_is_mounted_below_is_read_where_it_is() {
    let Some(mut disk) = btrfs() else { return };
    let bench = Bench::with_repository();
    let top = disk.top();
    fs::create_dir(top.join("other")).unwrap();
    let other = bench.path("source");
    let mounted = disk.bind(&other, "top/other");
    fs::write(top.join("own"), "before").unwrap();
    bench.configure(&changing(&json!({ "paths": [top] }), &[&top.join("own")]));
    let (_, said) = bench.ends(&RUN, 0);
    assert!(said.contains("top/other") && said.contains("is read live"), "{said}");
    assert_eq!(bench.saved(mounted.join("a.txt")), "first", "it is not the empty directory of the snapshot");
    // As not all of it stands still, what was frozen was thawed only in the end.
    assert_eq!(bench.saved(top.join("own")), "before");
    assert_eq!(fs::read_to_string(top.join("own")).unwrap(), "changed\n");
}

#[test]
fn a_repository_within_what_stands_still_is_not_saved_into_itself() {
    let Some(disk) = btrfs() else { return };
    let bench = Bench::new();
    let repository = disk.top().join("repository");
    bench.ok(&["init", "--repo", repository.to_str().unwrap()]);
    fs::write(disk.top().join("file"), "x").unwrap();
    bench.configure(&json!({ "paths": [disk.top()], "filesystemSnapshots": "auto" }));
    let text = fs::read_to_string(bench.path("config.json")).unwrap();
    bench.write("config.json", text.replace(bench.path("repo").to_str().unwrap(), repository.to_str().unwrap()).as_bytes());
    let report = bench.json(&RUN);
    assert_eq!(report["repositories"][0]["statistics"]["files"], 1, "{report}");
}

#[test]
fn what_a_killed_run_left_is_removed_by_settle_or_by_the_next_run() {
    let Some(disk) = btrfs() else { return };
    let bench = Bench::with_repository();
    let (top, note) = (disk.top(), bench.path("note"));
    subvolume(&top.join("data"));
    system(&["mkdir", "--mode=0700", top.join(".hearth-backup").to_str().unwrap()]);
    let strangers = [".hearth-backup/hearth-backup-state-20261121T143310Z-01234567-1", ".hearth-backup/mine"];
    for stranger in strangers {
        system(&["btrfs", "subvolume", "snapshot", "-r", top.join("data").to_str().unwrap(), top.join(stranger).to_str().unwrap()]);
    }
    let expected: Vec<&str> = ["data"].into_iter().chain(strangers).collect();
    for settled_by in [&SETTLE, &RUN] {
        bench.configure(&json!({ "paths": [top], "filesystemSnapshots": "auto", "commands": { "silent": lasting(&note) } }));
        let (run, command) = started(&mut bench.command(&RUN), &note);
        bench.ends(&SETTLE, 0);
        assert_eq!(subvolumes(&top).len(), 5, "a run that is under way keeps its snapshots");
        kill_hard(run, command);
        assert_eq!(subvolumes(&top).len(), 5, "{:?}", subvolumes(&top));
        bench.configure(&json!({ "paths": [top], "filesystemSnapshots": "auto" }));
        let (_, said) = bench.ends(settled_by, 0);
        assert!(said.contains("hearth-backup-state-2") && said.contains("an earlier run ended before"), "{said}");
        assert_eq!(subvolumes(&top), expected);
    }
}

#[test]
fn snapshots_that_are_required_and_not_to_be_had_are_an_error() {
    let bench = Bench::with_repository();
    bench.configure(&json!({ "filesystemSnapshots": { "kinds": ["btrfs"], "required": true } }));
    let source = fs::canonicalize(bench.source()).unwrap();
    let kind = system(&["stat", "--file-system", "--format", "%T", source.to_str().unwrap()]);
    if kind == "btrfs" {
        println!("SKIPPED: temporary files lie on Btrfs here");
        return;
    }
    let (_, error) = bench.ends(&RUN, 1);
    assert!(error.contains("cannot be read from a snapshot, which is required") && error.contains("nothing was saved"), "{error}");
    bench.configure(&json!({ "filesystemSnapshots": { "kinds": ["btrfs"] } }));
    let (_, said) = bench.ends(&RUN, 0);
    assert!(said.contains("source: is read live") || said.contains("is read live"), "{said}");
}

/// Logical volumes: one with a filesystem that is mounted, one with a filesystem that is not, one with nothing.
struct Volumes {
    disks: Vec<Disk>,
    stand_ins: Option<StandIns>,
    /// The volume group, if it is real.
    group: String,
    mounted: PathBuf,
}

impl Volumes {
    /// Of real LVM where the kernel has device mapper, else played.
    fn new(pool: &str, filesystem: &[&str]) -> Option<Self> {
        let mapper = Command::new("dmsetup").arg("version").output().is_ok_and(|output| output.status.success());
        if mapper && pool.is_empty() { Self::real(filesystem) } else { Self::played(pool, filesystem) }
    }

    fn real(filesystem: &[&str]) -> Option<Self> {
        println!("asked: the real LVM");
        let mut disk = Disk::new(&["mkfs.ext4", "-q"])?;
        system(&["umount", disk.points.pop().unwrap().to_str().unwrap()]);
        let group = format!("hearthtest{}", std::process::id());
        system(&["vgcreate", "--quiet", &group, &disk.device]);
        for (name, mib) in [("home", "400m"), ("vm-1-pvc-2", "400m"), ("vm-1-pvc-3", "8m")] {
            system(&["lvcreate", "--quiet", "--yes", "--name", name, "--size", mib, &group]);
        }
        let made = Self { mounted: disk.folder.path().canonicalize().unwrap().join("home"), disks: vec![disk], stand_ins: None, group };
        made.fill(filesystem, &|name| format!("/dev/{}/{name}", made.group));
        Some(made)
    }

    fn played(pool: &str, filesystem: &[&str]) -> Option<Self> {
        let stand_ins = StandIns::new("lvm.py", &["lvs", "lvcreate", "lvremove"]);
        let mut disks = Vec::new();
        let mut state = Vec::new();
        for name in ["home", "vm-1-pvc-2", "vm-1-pvc-3"] {
            let mut disk = Disk::new(&["mkfs.ext4", "-q"])?;
            system(&["umount", disk.points.pop().unwrap().to_str().unwrap()]);
            system(&["wipefs", "--all", "--quiet", &disk.device]);
            let attr = if pool.is_empty() { "-wi-ao----" } else { "Vwi-aotz--" };
            state.push(json!({ "vg": "vg0", "lv": name, "device": disk.device, "image": disk.image(), "attr": attr, "origin": "", "pool": pool, "filled": "" }));
            disks.push(disk);
        }
        stand_ins.set(&json!({ "volumes": state }));
        let mounted = disks[0].folder.path().canonicalize().unwrap().join("home");
        let devices: Vec<String> = disks.iter().map(|disk| disk.device.clone()).collect();
        let made = Self { disks, stand_ins: Some(stand_ins), group: "vg0".into(), mounted };
        made.fill(filesystem, &|name| {
            devices[["home", "vm-1-pvc-2", "vm-1-pvc-3"].iter().position(|known| known == &name).unwrap()].clone()
        });
        Some(made)
    }

    fn fill(&self, filesystem: &[&str], device: &dyn Fn(&str) -> String) {
        fs::create_dir_all(&self.mounted).unwrap();
        for name in ["vm-1-pvc-2", "home"] {
            system(&[filesystem, &[&device(name)]].concat());
            system(&["mount", &device(name), self.mounted.to_str().unwrap()]);
            fs::write(self.mounted.join("file"), "before").unwrap();
            if name != "home" {
                system(&["umount", self.mounted.to_str().unwrap()]);
            }
        }
    }

    fn command(&self, bench: &Bench, arguments: &[&str]) -> Command {
        let mut command = bench.command(arguments);
        if let Some(stand_ins) = &self.stand_ins {
            stand_ins.on(&mut command);
        }
        command
    }

    fn run(&self, bench: &Bench, code: i32) -> String {
        expect(self.command(bench, &RUN).output().unwrap(), code, RUN).1
    }

    /// The names of all volumes.
    fn names(&self) -> Vec<String> {
        match &self.stand_ins {
            Some(stand_ins) => {
                let state = stand_ins.state();
                state["volumes"].as_array().unwrap().iter().map(|one| one["lv"].as_str().unwrap().to_owned()).collect()
            }
            None => {
                system(&["lvs", "--noheadings", "--options", "lv_name", &self.group]).lines().map(|name| name.trim().to_owned()).collect()
            }
        }
    }
}

impl Drop for Volumes {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.mounted).status();
        match &self.stand_ins {
            // What a test that failed left behind.
            Some(stand_ins) => {
                let own: Vec<&str> = self.disks.iter().map(|disk| disk.device.as_str()).collect();
                let state = stand_ins.state();
                let devices = state["volumes"].as_array().unwrap().iter().filter_map(|one| one["device"].as_str());
                for device in devices.filter(|device| !own.contains(device)) {
                    let _ = Command::new("umount").arg(device).status();
                    let _ = Command::new("losetup").args(["--detach", device]).status();
                }
            }
            None => drop(Command::new("vgremove").args(["--quiet", "--yes", &self.group]).status()),
        }
    }
}

const OWN: [&str; 3] = ["home", "vm-1-pvc-2", "vm-1-pvc-3"];

#[test]
fn a_filesystem_on_a_logical_volume_is_read_from_a_snapshot_of_the_volume() {
    for (pool, filesystem) in [("", &["mkfs.ext4", "-q"][..]), ("data", &["mkfs.ext4", "-q"]), ("", &["mkfs.xfs", "-q"])] {
        if Command::new(filesystem[0]).arg("-V").output().is_err() {
            println!("SKIPPED: there is no {}", filesystem[0]);
            continue;
        }
        let Some(volumes) = Volumes::new(pool, filesystem) else { return };
        let bench = Bench::with_repository();
        let file = volumes.mounted.join("file");
        bench.configure(&changing(&json!({ "paths": [volumes.mounted] }), &[&file]));
        let said = volumes.run(&bench, 0);
        assert!(!said.contains("read live"), "{said}");
        assert_eq!((bench.saved(&file).as_str(), fs::read_to_string(&file).unwrap().as_str()), ("before", "changed\n"));
        assert_eq!(volumes.names(), OWN, "no snapshot stays");
        if let Some(stand_ins) = &volumes.stand_ins {
            let asked = stand_ins.asked();
            let create = asked.iter().find(|line| line.starts_with("lvcreate")).unwrap();
            assert!(create.contains(if pool.is_empty() { "--extents 10%ORIGIN" } else { "--setactivationskip n" }), "{create}");
            assert!(create.contains("--name hearth-backup-state-2") && create.ends_with(" vg0/home"), "{create}");
        }
        // Inodes and times are those of the volume itself.
        bench.configure(&json!({ "paths": [volumes.mounted], "filesystemSnapshots": "auto" }));
        volumes.run(&bench, 0);
        let unchanged = expect(volumes.command(&bench, &[&RUN[..], &["--json"]].concat()).output().unwrap(), 0, "json").0;
        let report: Value = serde_json::from_str(&unchanged).unwrap();
        assert_eq!(report["repositories"][0]["statistics"]["bytes_read"], 0, "{report}");
    }
}

#[test]
fn logical_volumes_are_found_by_pattern_and_saved_as_trees() {
    let Some(volumes) = Volumes::new("", &["mkfs.ext4", "-q"]) else { return };
    let bench = Bench::with_repository();
    let place = |name: &str| format!("/@lvm/{}/{name}", volumes.group);
    bench.configure(&json!({ "paths": [], "lvmVolumes": ["*", "!home"] }));
    let said = volumes.run(&bench, 3);
    let blank = place("vm-1-pvc-3");
    assert!(said.contains(&format!("{blank}: the volume's files cannot be saved")) && said.contains("`devices`"), "{said}");
    assert_eq!(bench.saved(format!("{}/file", place("vm-1-pvc-2"))), "before");
    assert_eq!(volumes.names(), OWN);
    bench.configure(&json!({ "paths": [], "lvmVolumes": ["vm-*-pvc-2", "home", "absent"] }));
    let said = volumes.run(&bench, 3);
    assert!(said.contains(&format!("{}: is new", place("home"))) && said.contains(&format!("{blank}: has gone")), "{said}");
    assert!(said.contains("absent: matches no logical volume"), "{said}");
    assert_eq!(bench.saved(format!("{}/file", place("home"))), "before");
}

#[test]
fn a_device_that_is_a_logical_volume_is_read_from_a_snapshot_of_it() {
    let Some(volumes) = Volumes::played("", &["mkfs.ext4", "-q"]) else { return };
    let Some(stand_ins) = &volumes.stand_ins else { return };
    let bench = Bench::with_repository();
    let device = &volumes.disks[2].device;
    for (snapshots, asked) in [("auto", true), ("off", false)] {
        bench.configure(&json!({ "paths": [], "devices": { "disk": { "path": device } }, "filesystemSnapshots": snapshots }));
        let said = volumes.run(&bench, 0);
        assert!(!said.contains("read live"), "{said}");
        let taken = stand_ins.asked().iter().any(|line| line.starts_with("lvcreate") && line.ends_with(" vg0/vm-1-pvc-3"));
        assert_eq!(taken, asked, "filesystemSnapshots = {snapshots}");
        assert_eq!(volumes.names(), OWN);
    }
}

#[test]
fn snapshots_of_volumes_that_a_killed_run_left_are_unmounted_and_removed() {
    let Some(mut volumes) = Volumes::new("", &["mkfs.ext4", "-q"]) else { return };
    let bench = Bench::with_repository();
    let note = bench.path("note");
    let place = volumes.disks[0].bind(&bench.path("source"), "mounts/mine").parent().unwrap().to_owned();
    let snapshots = json!({ "mountDirectory": place });
    bench.configure(&json!({ "paths": [volumes.mounted], "filesystemSnapshots": snapshots, "commands": { "silent": lasting(&note) } }));
    let (run, command) = started(&mut volumes.command(&bench, &RUN), &note);
    kill_hard(run, command);
    assert_eq!(volumes.names().len(), 4);
    expect(volumes.command(&bench, &SETTLE).output().unwrap(), 0, SETTLE);
    assert_eq!(volumes.names(), OWN);
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let left: Vec<_> = table.lines().filter(|line| line.contains(place.to_str().unwrap())).collect();
    assert!(left.len() == 1 && left[0].contains("mounts/mine"), "what others have mounted there stays: {left:?}");
}

#[test]
fn a_thick_snapshot_that_ran_out_of_room_is_an_error() {
    let Some(volumes) = Volumes::played("", &["mkfs.ext4", "-q"]) else { return };
    let Some(stand_ins) = &volumes.stand_ins else { return };
    let mut state = stand_ins.state();
    state["filled"] = json!("100.00");
    stand_ins.set(&state);
    let bench = Bench::with_repository();
    bench.configure(&json!({ "paths": [volumes.mounted], "filesystemSnapshots": { "lvmRoom": "16MiB" } }));
    let said = volumes.run(&bench, 3);
    assert!(said.contains("ran out of room") && said.contains(volumes.mounted.to_str().unwrap()) && said.contains("lvmRoom"), "{said}");
    assert!(stand_ins.asked().iter().any(|line| line.contains("--size 16777216b")));
    assert_eq!(volumes.names(), OWN);
}

/// Datasets with a child: real ones where there is a ZFS module, else disks that a stand-in calls datasets.
struct Datasets {
    stand_ins: Option<StandIns>,
    /// The pool, if it is real.
    pool: String,
    top: PathBuf,
    _disks: Vec<Disk>,
    _folder: tempfile::TempDir,
}

impl Datasets {
    fn new() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let pool = format!("hearthtest{}", std::process::id());
        if Path::new("/dev/zfs").exists() && Command::new("zpool").arg("version").output().is_ok() && nix::unistd::geteuid().is_root() {
            println!("asked: the real ZFS");
            let (top, image) = (folder.path().canonicalize().unwrap().join("tank"), folder.path().join("image"));
            fs::File::create(&image).unwrap().set_len(1 << 30).unwrap();
            system(&["zpool", "create", "-m", top.to_str().unwrap(), &pool, image.to_str().unwrap()]);
            system(&["zfs", "create", &format!("{pool}/child")]);
            return Some(Self { stand_ins: None, pool, top, _disks: Vec::new(), _folder: folder });
        }
        let (mut disk, inner) = (Disk::new(&["mkfs.ext4", "-q"])?, Disk::new(&["mkfs.ext4", "-q"])?);
        let stand_ins = StandIns::new("zfs.py", &["zfs"]);
        let (top, child) = (disk.top(), disk.top().join("child"));
        fs::create_dir(&child).unwrap();
        system(&["mount", &inner.device, child.to_str().unwrap()]);
        disk.points.push(child.clone());
        stand_ins.set(&json!({ "datasets": { "tank": top, "tank/child": child } }));
        Some(Self { stand_ins: Some(stand_ins), pool, top, _disks: vec![disk, inner], _folder: folder })
    }

    fn top(&self) -> PathBuf {
        self.top.clone()
    }

    fn command(&self, bench: &Bench, arguments: &[&str]) -> Command {
        let mut command = bench.command(arguments);
        if let Some(stand_ins) = &self.stand_ins {
            stand_ins.on(&mut command);
        }
        command
    }

    fn snapshots(&self) -> Vec<String> {
        let list = |place: PathBuf| fs::read_dir(place.join(".zfs/snapshot")).into_iter().flatten();
        let all = list(self.top()).chain(list(self.top().join("child")));
        all.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

impl Drop for Datasets {
    fn drop(&mut self) {
        if self.stand_ins.is_none() {
            let _ = Command::new("zpool").args(["destroy", "-f", &self.pool]).status();
        }
    }
}

#[test]
fn datasets_of_a_pool_are_read_as_they_were_at_one_moment() {
    let Some(datasets) = Datasets::new() else { return };
    let bench = Bench::with_repository();
    let files = [datasets.top().join("a"), datasets.top().join("child/b")];
    files.iter().for_each(|file| fs::write(file, "before").unwrap());
    let job = json!({ "paths": [datasets.top()], "filesystemSnapshots": { "kinds": ["zfs"] } });
    bench.configure(&changing(&job, &files.each_ref().map(PathBuf::as_path)));
    let (_, said) = expect(datasets.command(&bench, &RUN).output().unwrap(), 0, RUN);
    assert!(!said.contains("read live"), "{said}");
    for file in &files {
        assert_eq!((bench.saved(file).as_str(), fs::read_to_string(file).unwrap().as_str()), ("before", "changed\n"));
    }
    assert!(datasets.snapshots().is_empty());
    if let Some(stand_ins) = &datasets.stand_ins {
        let asked = stand_ins.asked();
        let taken: Vec<_> = asked.iter().filter(|line| line.starts_with("zfs snapshot")).collect();
        assert!(taken.len() == 1 && taken[0].contains(" tank@") && taken[0].contains(" tank/child@"), "{asked:?}");
        assert_eq!(asked.iter().filter(|line| line.starts_with("zfs destroy")).count(), 2);
    }
}

#[test]
fn snapshots_of_datasets_that_a_killed_run_left_are_removed() {
    let Some(datasets) = Datasets::new() else { return };
    let bench = Bench::with_repository();
    let note = bench.path("note");
    let job = |commands: Value| json!({ "paths": [datasets.top()], "filesystemSnapshots": { "kinds": ["zfs"] }, "commands": commands });
    bench.configure(&job(json!({ "silent": lasting(&note) })));
    let (run, command) = started(&mut datasets.command(&bench, &RUN), &note);
    kill_hard(run, command);
    assert!(!datasets.snapshots().is_empty());
    expect(datasets.command(&bench, &SETTLE).output().unwrap(), 0, SETTLE);
    assert!(datasets.snapshots().is_empty());
}
