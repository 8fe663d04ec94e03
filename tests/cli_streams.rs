//! Archives and images in a job: saved as trees and with holes, and brought back as files, archives and devices.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod cli_common;

use std::fs;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cli_common::{Bench, expect, tree};
use serde_json::{Value, json};

const RUN: [&str; 4] = ["run", "state", "--config", "config.json"];
const KEY: [&str; 2] = ["--key", "hearth-restore.key"];

fn configure(bench: &Bench, change: impl FnOnce(&mut Value)) {
    let mut job = json!({ "repositories": ["main"] });
    change(&mut job);
    let config = json!({
        "repositories": { "main": { "url": bench.path("repo"), "writerKey": bench.path("hearth-writer.key") } },
        "jobs": { "state": job },
    });
    bench.write("config.json", config.to_string().as_bytes());
}

fn system(program: &str, arguments: &[&str]) -> String {
    expect(Command::new(program).args(arguments).stdin(Stdio::null()).output().unwrap(), 0, (program, arguments)).0
}

/// A job that saves the source as a remote machine would send it.
fn save_archive(bench: &Bench, options: &[&str]) {
    let source = bench.source();
    let command = [&["tar", "-c", "-C", &source], options, &["."]].concat();
    configure(bench, |job| job["commands"] = json!({ "firewall": { "command": command, "format": "tar" } }));
}

#[test]
fn an_archive_becomes_a_tree_of_files_of_which_one_can_be_had() {
    let bench = Bench::with_repository();
    bench.write("source/zeta/z", b"last");
    fs::hard_link(bench.path("source/a.txt"), bench.path("source/zeta/twin")).unwrap();
    std::os::unix::fs::symlink("a.txt", bench.path("source/link")).unwrap();
    // In an order that is not that of trees.
    save_archive(&bench, &["--format=pax", "zeta", "link"]);
    let report = bench.json(&RUN);
    assert_eq!(report["warnings"], 0, "{report}");
    assert_eq!(bench.ok(&[&["dump", "latest", "/@commands/firewall/sub/c.txt"][..], &KEY].concat()), "third");
    bench.ok(&[&["restore", "latest", "--target", "out", "--verify"][..], &KEY].concat());
    let out = bench.path("out/@commands/firewall");
    assert_eq!(tree(&out), tree(&bench.path("source")));
    let status = |name: &str| fs::metadata(out.join(name)).unwrap();
    assert_eq!(status("a.txt").ino(), status("zeta/twin").ino());
    assert_eq!(status("sub").mtime_nsec(), fs::metadata(bench.path("source/sub")).unwrap().mtime_nsec());
}

#[test]
fn an_archive_that_did_not_change_adds_nothing_and_can_be_skipped() {
    let bench = Bench::with_repository();
    save_archive(&bench, &["--sort=name"]);
    bench.json(&RUN);
    let second = bench.json(&RUN);
    assert_eq!(second["repositories"][0]["statistics"]["bytes_new"], 0, "{second}");
    let mut config: Value = serde_json::from_slice(&fs::read(bench.path("config.json")).unwrap()).unwrap();
    config["jobs"]["state"]["skipIfUnchanged"] = json!(true);
    bench.write("config.json", config.to_string().as_bytes());
    assert_eq!(bench.json(&RUN)["repositories"][0]["unchanged"], true);
    bench.write("source/new", b"new");
    assert_eq!(bench.json(&RUN)["repositories"][0]["unchanged"], false);
}

#[test]
fn an_archive_that_breaks_off_is_not_in_the_snapshot_and_the_rest_is() {
    let bench = Bench::with_repository();
    let cut = format!("tar -c -C {} . | head -c 100000", bench.source());
    let failing = format!("tar -c -C {} . && exit 1", bench.source());
    configure(&bench, |job| {
        job["commands"] = json!({
            "cut": { "command": ["sh", "-c", cut], "format": "tar" },
            "failing": { "command": ["sh", "-c", failing], "format": "tar" },
            "good": { "command": ["printf", "good"] },
        });
    });
    let (_, error) = bench.ends(&RUN, 3);
    assert!(error.contains("/@commands/cut: failed (the archive is cut off"), "{error}");
    assert!(error.contains("/@commands/failing: failed (`sh` ended with exit status: 1"), "{error}");
    let list = bench.ok(&[&["ls", "latest", "/@commands", "-R"][..], &KEY].concat());
    assert!(list.contains("good") && !list.contains("cut") && !list.contains("failing"), "{list}");
}

#[test]
fn a_directory_comes_back_as_an_archive() {
    let bench = Bench::with_repository();
    let long = "n".repeat(120);
    bench.write(&format!("source/{long}/{long}/deep"), b"deep");
    fs::hard_link(bench.path("source/a.txt"), bench.path("source/twin")).unwrap();
    std::os::unix::fs::symlink(&long, bench.path("source/link")).unwrap();
    system("setfattr", &["-n", "user.note", "-v", "kept", bench.path("source/b.conf").to_str().unwrap()]);
    bench.backup(&[]);
    let error = bench.fails(&[&["dump", "latest", &bench.source()][..], &KEY].concat(), 1);
    assert!(error.contains("--tar"), "{error}");
    let mut dump = bench.command(&[&["dump", "latest", &bench.source(), "--tar"][..], &KEY].concat());
    let mut dump = dump.stdout(Stdio::piped()).spawn().unwrap();
    fs::create_dir(bench.path("out")).unwrap();
    let mut extract = Command::new("tar");
    extract.args(["-x", "--xattrs", "-C", bench.path("out").to_str().unwrap()]).stdin(dump.stdout.take().unwrap());
    expect(extract.output().unwrap(), 0, "tar -x");
    assert!(dump.wait().unwrap().success());
    assert_eq!(tree(&bench.path("out")), tree(&bench.path("source")));
    for name in ["a.txt", "b.conf", "sub", "sub/c.txt"] {
        let (was, is) = (fs::metadata(bench.path("source").join(name)).unwrap(), fs::metadata(bench.path("out").join(name)).unwrap());
        assert_eq!((was.mode(), was.mtime(), was.mtime_nsec()), (is.mode(), is.mtime(), is.mtime_nsec()), "{name}");
    }
    let note = system("getfattr", &["--only-values", "-n", "user.note", bench.path("out/b.conf").to_str().unwrap()]);
    assert_eq!(note, "kept");
    assert_eq!(fs::metadata(bench.path("out/twin")).unwrap().nlink(), 2);
}

/// A file as a block device; detached when dropped.
struct Loop(PathBuf);

impl Loop {
    fn of(image: &Path) -> Option<Self> {
        let output = Command::new("losetup").args(["--find", "--show"]).arg(image).output().ok().filter(|output| output.status.success());
        match output {
            Some(output) => Some(Self(String::from_utf8(output.stdout).unwrap().trim().into())),
            None => {
                println!("SKIPPED: loop devices cannot be made here");
                None
            }
        }
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("--detach").arg(&self.0).status();
    }
}

fn image(bench: &Bench, name: &str, size: u64) -> PathBuf {
    let path = bench.path(name);
    fs::File::create(&path).unwrap().set_len(size).unwrap();
    path
}

#[test]
fn a_device_is_saved_without_its_zeros_and_restored_to_another_that_is_large_enough() {
    let bench = Bench::with_repository();
    let disk = image(&bench, "disk", 64 << 20);
    let file = fs::OpenOptions::new().write(true).open(&disk).unwrap();
    for (place, byte) in [(0, 1), (10 << 20, 2), ((64 << 20) - 100, 3)] {
        file.write_all_at(&[byte; 100], place).unwrap();
    }
    let Some(device) = Loop::of(&disk) else { return };
    configure(&bench, |job| job["devices"] = json!({ "vm-101": { "path": device.path() } }));
    let report = bench.json(&RUN);
    assert_eq!(report["warnings"], 0, "{report}");
    let read = report["repositories"][0]["statistics"]["bytes_read"].as_u64().unwrap();
    assert!(read <= 3 * (64 << 10), "{read} bytes of data");
    let back = |to: &str, more: &[&str]| {
        [&["dump", "latest", "/@devices/vm-101", "--to", to][..], &KEY, more]
            .concat()
            .iter()
            .map(|word| (*word).to_owned())
            .collect::<Vec<_>>()
    };
    let run = |words: Vec<String>, code: i32| bench.ends(&words.iter().map(String::as_str).collect::<Vec<_>>(), code);

    let said = run(back("copy", &[]), 0).0;
    assert!(said.contains("64.0 MiB"), "{said}");
    assert_eq!(fs::read(bench.path("copy")).unwrap(), fs::read(&disk).unwrap());
    assert!(fs::metadata(bench.path("copy")).unwrap().blocks() * 512 < 1 << 20, "the copy has holes");
    assert!(run(back("copy", &[]), 1).1.contains("--replace"));

    let other = image(&bench, "other", 65 << 20);
    fs::OpenOptions::new().write(true).open(&other).unwrap().write_all_at(&[9; 1 << 20], 20 << 20).unwrap();
    let Some(target) = Loop::of(&other) else { return };
    run(back(target.path(), &["--replace"]), 0);
    let written = fs::read(target.path()).unwrap();
    assert!(written[..64 << 20] == fs::read(&disk).unwrap()[..], "zeros are written over what was there");

    let small = image(&bench, "small", 63 << 20);
    fs::OpenOptions::new().write(true).open(&small).unwrap().write_all_at(b"precious", 0).unwrap();
    let Some(target) = Loop::of(&small) else { return };
    let error = run(back(target.path(), &["--replace"]), 1).1;
    assert!(error.contains("nothing was written"), "{error}");
    assert!(fs::read(&small).unwrap().starts_with(b"precious"));
}

#[test]
fn a_file_gets_its_image_only_when_it_is_complete_and_keeps_its_owner_and_mode() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    let bench = Bench::with_repository();
    let noise: Vec<u8> = (0..1_u64 << 17).flat_map(|number| number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()).collect();
    bench.write("source/image", &noise);
    bench.backup(&[]);
    let source = format!("{}/image", bench.source());
    let to = |target: &str| {
        [&["dump", "latest", &source, "--to", target, "--replace"][..], &KEY]
            .concat()
            .iter()
            .map(|word| (*word).to_owned())
            .collect::<Vec<_>>()
    };
    let run = |target: &str| bench.run(&to(target).iter().map(String::as_str).collect::<Vec<_>>());
    bench.write("place/dump.rdb", b"what was there");
    std::os::unix::fs::symlink("dump.rdb", bench.path("place/link")).unwrap();
    let path = bench.path("place/dump.rdb");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::chown(&path, Some(12), Some(34)).unwrap();
    expect(run("place/link"), 0, "dump");
    let is = fs::metadata(&path).unwrap();
    assert_eq!((is.mode() & 0o777, is.uid(), is.gid(), is.len()), (0o640, 12, 34, 1 << 20));
    assert!(fs::symlink_metadata(bench.path("place/link")).unwrap().is_symlink());

    // Damage: what is there stays, and nothing else does.
    fs::write(&path, b"what was there").unwrap();
    let packs = tree(&bench.path("repo/packs"));
    let (largest, bytes) = packs.iter().max_by_key(|(_, bytes)| bytes.len()).unwrap();
    let mut bytes = bytes.clone();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let pack = bench.path("repo/packs").join(largest);
    fs::remove_file(&pack).unwrap();
    fs::write(&pack, bytes).unwrap();
    expect(run("place/dump.rdb"), 1, "dump");
    assert_eq!(fs::read(&path).unwrap(), b"what was there");
    assert_eq!(fs::read_dir(bench.path("place")).unwrap().count(), 2);
}

#[test]
fn a_device_that_is_in_use_is_not_overwritten() {
    let bench = Bench::with_repository();
    bench.write("source/image", &vec![1; 1 << 20]);
    bench.backup(&[]);
    let disk = image(&bench, "disk", 64 << 20);
    system("mkfs.ext4", &["-q", disk.to_str().unwrap()]);
    let Some(device) = Loop::of(&disk) else { return };
    let place = bench.path("mounted");
    fs::create_dir(&place).unwrap();
    system("mount", &[device.path(), place.to_str().unwrap()]);
    let source = format!("{}/image", bench.source());
    let ended = bench.run(&[&["dump", "latest", &source, "--to", device.path(), "--replace"][..], &KEY].concat());
    system("umount", &[place.to_str().unwrap()]);
    let (_, error) = expect(ended, 1, "dump");
    assert!(error.contains("busy"), "{error}");
}

#[test]
fn what_is_no_device_is_told() {
    let bench = Bench::with_repository();
    configure(&bench, |job| {
        job["devices"] = json!({ "file": { "path": bench.path("source/a.txt") }, "gone": { "path": "/dev/nonexistent" } });
    });
    let (_, error) = bench.ends(&RUN, 3);
    assert!(error.contains("/@devices/file: failed (it is a file") && error.contains("/@devices/gone: failed"), "{error}");
}

#[test]
fn links_of_two_archives_are_not_taken_for_one_another() {
    let bench = Bench::with_repository();
    for (folder, text) in [("one", "first"), ("two", "second")] {
        bench.write(&format!("{folder}/a"), text.as_bytes());
        fs::hard_link(bench.path(format!("{folder}/a")), bench.path(format!("{folder}/b"))).unwrap();
    }
    let command = |folder: &str| json!({ "command": ["tar", "-c", "-C", bench.path(folder), "."], "format": "tar" });
    configure(&bench, |job| job["commands"] = json!({ "one": command("one"), "two": command("two") }));
    bench.json(&RUN);
    bench.ok(&[&["restore", "latest", "--target", "out", "--verify"][..], &KEY].concat());
    for folder in ["one", "two"] {
        assert_eq!(tree(&bench.path(format!("out/@commands/{folder}"))), tree(&bench.path(folder)));
    }
}

#[test]
fn an_image_in_many_small_pieces_is_handed_on_piece_by_piece() {
    let bench = Bench::with_repository();
    let disk = image(&bench, "disk", 1 << 30);
    let file = fs::OpenOptions::new().write(true).open(&disk).unwrap();
    for number in 0..5000_u64 {
        file.write_all_at(&number.to_le_bytes(), number * (200 << 10)).unwrap();
    }
    bench.ok(&["backup", "--key", "hearth-writer.key", disk.to_str().unwrap()]);
    bench.ok(&[&["dump", "latest", disk.to_str().unwrap(), "--to", "copy"][..], &KEY].concat());
    system("cmp", &[disk.to_str().unwrap(), bench.path("copy").to_str().unwrap()]);
}
