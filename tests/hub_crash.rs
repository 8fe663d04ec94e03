//! A hub that is killed, and one whose disk is full or does not let it write: nothing that was promised is lost, and nothing half is seen.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

#[path = "hub/process.rs"]
mod process;
#[path = "hub/raw.rs"]
mod raw;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use hearth_backup::hub::Role;
use hearth_backup::store::Folder;
use process::{Process, answer, named, token, upload};

/// All objects of a repository by their paths.
fn objects(repository: &Path) -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    for folder in Folder::ALL {
        let mut folders = vec![repository.join(folder.as_str())];
        while let Some(at) = folders.pop() {
            for entry in fs::read_dir(at).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    found.insert(path.strip_prefix(repository).unwrap().to_str().unwrap().to_owned(), path);
                }
            }
        }
    }
    found
}

/// Uploads one object piece by piece, and counts the bytes on the way. False if the line broke.
fn sends(base: &str, token: &str, folder: Folder, bytes: &[u8], sent: &AtomicU64) -> bool {
    let Ok(mut line) = TcpStream::connect(base.trim_start_matches("http://")) else { return false };
    let name = named(folder, bytes);
    let head = upload(&name, token, bytes.len());
    let whole = line.write_all(head.as_bytes()).is_ok()
        && bytes.chunks(16 << 10).all(|piece| {
            sent.fetch_add(piece.len() as u64, Ordering::Relaxed);
            line.write_all(piece).is_ok()
        });
    // What a hub that is killed has no time to say was not promised.
    whole && line.peek(&mut [0]).is_ok_and(|length| length > 0) && answer(&mut line).0 == 200
}

#[test]
fn a_hub_that_is_killed_at_any_moment_shows_no_half_of_an_object_and_keeps_all_it_promised() {
    const WRITERS: u64 = 4;
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let writer = token(folder, "nas", Role::Writer, "nas");
    let repository = folder.join("data/repositories/nas");
    let promised = Mutex::new(Vec::new());
    let (mut left, mut killed_amid) = (0, 0);
    for round in 0..24_u64 {
        let hub = Process::at(folder, &["--quota", "1GB"]);
        let base = hub.base().to_owned();
        let sent = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for rank in 0..WRITERS {
                let (base, sent, promised, writer) = (&base, &sent, &promised, &writer);
                scope.spawn(move || {
                    for number in 0.. {
                        let seed = (round * WRITERS + rank) * 1000 + number;
                        let large = !seed.is_multiple_of(3);
                        let (folder, length) = if large { (Folder::Packs, 900_001) } else { (Folder::Refs, 30_001) };
                        let bytes = raw::noise(seed, length);
                        if !sends(base, writer, folder, &bytes, sent) {
                            return;
                        }
                        promised.lock().unwrap().push(named(folder, &bytes).path());
                    }
                });
            }
            // Every round a little later: at the first bytes, in the middle, at the end of one, among several.
            raw::until(Duration::from_secs(120), || sent.load(Ordering::Relaxed) >= round * 171_717);
            hub.killed();
        });
        let before = std::mem::replace(&mut left, fs::read_dir(repository.join("tmp")).unwrap().count());
        killed_amid += usize::from(left > before);
        let found = objects(&repository);
        for (name, path) in &found {
            let bytes = fs::read(path).unwrap();
            assert_eq!(blake3::hash(&bytes).to_hex().as_str(), path.file_name().unwrap().to_str().unwrap(), "{name}");
        }
        let lost: Vec<_> = promised.lock().unwrap().iter().filter(|name| !found.contains_key(*name)).cloned().collect();
        assert!(lost.is_empty(), "promised in round {round} and gone: {lost:?}");
    }
    assert!(killed_amid > 4, "few of the kills met an upload: {killed_amid}");

    // What they left takes no quota, and goes when it is a day old.
    let left: Vec<_> = fs::read_dir(repository.join("tmp")).unwrap().map(|entry| entry.unwrap().path()).collect();
    let (old, young) = left.split_at(left.len() / 2);
    for file in old {
        let yesterday = SystemTime::now() - Duration::from_secs(25 * 3600);
        fs::File::options().write(true).open(file).unwrap().set_modified(yesterday).unwrap();
    }
    let hub = Process::at(folder, &["--quota", "1GB"]);
    let (status, about) = raw::ask(hub.base(), "GET /v1/nas", &format!("Authorization: Bearer {writer}\r\n"), "");
    let found = objects(&repository);
    let bytes: u64 = found.values().map(|path| fs::metadata(path).unwrap().len()).sum();
    assert_eq!((status, &about["used"]), (200, &serde_json::json!({ "bytes": bytes, "objects": found.len() })));
    assert!(old.iter().all(|file| !file.exists()) && young.iter().all(|file| file.exists()));
}

/// A hub whose data lie in a file system of their own, with room for so many bytes, which ends with the hub. None where that cannot be made.
fn with_small_disk(folder: &Path, size: &str) -> Option<Process> {
    let mut unshare = Command::new("unshare");
    if !nix::unistd::Uid::effective().is_root() {
        unshare.args(["--user", "--map-root-user"]);
    }
    unshare.args(["--mount", "--propagation", "private"]);
    let script = r#"
        set -eu
        mount -t tmpfs -o "size=$1" hearth "$2/data"
        "$3" hub token add nas --role writer --data "$2/data" --output "$2/nas.token"
        "$3" hub token add admin --role maintainer --repository nas --data "$2/data" --output "$2/admin.token"
        shift 2
        exec "$@""#;
    fs::create_dir(folder.join("data")).unwrap();
    let may = Command::new("unshare").args(unshare.get_args()).args(["mount", "-t", "tmpfs", "hearth"]).arg(folder.join("data")).output();
    if !may.is_ok_and(|tried| tried.status.success()) {
        println!("SKIPPED: this machine lets nobody mount a small disk");
        return None;
    }
    unshare.args(["sh", "-c", script, "sh", size]).arg(folder).arg(env!("CARGO_BIN_EXE_hearth-backup"));
    Some(Process::command(folder, unshare, &["--listen", "127.0.0.1:0"]))
}

fn secret(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(format!("{name}.token"))).unwrap().trim().to_owned()
}

/// Uploads bytes; returns the status and the reason, or whether it is new.
fn put(hub: &Process, token: &str, folder: Folder, bytes: &[u8]) -> (u16, String) {
    let mut line = raw::connect(hub.base());
    raw::send(&mut line, &[upload(&named(folder, bytes), token, bytes.len()).as_bytes(), bytes].concat());
    let (status, answer) = answer(&mut line);
    (status, answer["error"].as_str().map_or_else(|| answer["created"].to_string(), str::to_owned))
}

fn asks(hub: &Process, token: &str, request: &str) -> u16 {
    raw::ask(hub.base(), request, &format!("Authorization: Bearer {token}\r\n"), "").0
}

#[test]
fn a_full_disk_is_told_loses_nothing_and_serves_again_once_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let Some(hub) = with_small_disk(folder, "3m") else { return };
    let (writer, admin) = (secret(folder, "nas"), secret(folder, "admin"));
    let mut stored = Vec::new();
    // Large ones first, then small ones into what is left, until there is no page any more.
    for (kind, length) in [(Folder::Packs, 500_000), (Folder::Index, 5_000), (Folder::Refs, 1)] {
        for seed in 0.. {
            let bytes = raw::noise(seed, length);
            match put(&hub, &writer, kind, &bytes) {
                (200, _) => stored.push((kind, bytes)),
                refused => {
                    assert_eq!(refused, (507, "full".to_owned()));
                    break;
                }
            }
        }
    }
    assert!(hub.log().contains("No space left"), "the administrator learns of it: {}", hub.log());
    // Everything is still there and can be read, also by who asks for the hub's time.
    assert_eq!(asks(&hub, &writer, "GET /v1/nas"), 200);
    assert_eq!(asks(&hub, &writer, "GET /v1/nas/objects?folders=packs,index,refs"), 200);
    for (kind, bytes) in &stored {
        let request = format!("GET /v1/nas/objects/{} HTTP/1.0\r\nAuthorization: Bearer {admin}\r\n\r\n", named(*kind, bytes));
        assert!(raw::exchange(hub.base(), request.as_bytes(), false).ends_with(bytes));
        assert_eq!(put(&hub, &writer, *kind, bytes), (200, "false".to_owned()), "what is there needs no room");
    }
    let (kind, bytes) = stored.remove(0);
    assert_eq!(asks(&hub, &admin, &format!("DELETE /v1/nas/objects/{}", named(kind, &bytes))), 200);
    assert_eq!(put(&hub, &writer, kind, &bytes), (200, "true".to_owned()));
}

#[test]
fn a_disk_that_may_not_be_written_is_told_as_the_hubs_failure_and_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let Some(hub) = with_small_disk(folder, "3m") else { return };
    let writer = secret(folder, "nas");
    let bytes = raw::noise(1, 1000);
    assert_eq!(put(&hub, &writer, Folder::Index, &bytes), (200, "true".to_owned()));
    let remount = |how: &str| {
        let mut command = Command::new("nsenter");
        command.args(["--preserve-credentials", "--target", &hub.id().to_string(), "--mount"]);
        if !nix::unistd::Uid::effective().is_root() {
            command.arg("--user");
        }
        let done = command.args(["mount", "-o", how, "hearth"]).arg(folder.join("data")).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    remount("remount,ro");
    assert_eq!(put(&hub, &writer, Folder::Index, &raw::noise(2, 1000)), (500, "failed".to_owned()));
    assert!(hub.log().contains("Read-only file system"), "{}", hub.log());
    assert_eq!(asks(&hub, &writer, "GET /v1/nas"), 200);
    assert_eq!(asks(&hub, &writer, &format!("GET /v1/nas/objects/{}", named(Folder::Index, &bytes))), 200);
    remount("remount,rw");
    assert_eq!(put(&hub, &writer, Folder::Index, &raw::noise(2, 1000)), (200, "true".to_owned()));
}

#[test]
fn a_folder_that_the_hub_may_not_enter_is_told_as_the_hubs_failure() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let writer = token(folder, "nas", Role::Writer, "nas");
    let program = env!("CARGO_BIN_EXE_hearth-backup");
    // Root may do everything unless it gives up the right to.
    let command = if nix::unistd::Uid::effective().is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--bounding-set", "-dac_override,-dac_read_search", program]);
        command
    } else {
        Command::new(program)
    };
    let hub = Process::command(folder, command, &["--listen", "127.0.0.1:0"]);
    let repository = folder.join("data/repositories/nas");
    let (bytes, packs) = (raw::noise(1, 1000), repository.join("packs"));
    assert_eq!(put(&hub, &writer, Folder::Packs, &bytes), (200, "true".to_owned()));
    let mode = |path: &Path, mode| fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    mode(&packs, 0o000);
    assert_eq!(put(&hub, &writer, Folder::Packs, &raw::noise(2, 1000)), (500, "failed".to_owned()));
    assert_eq!(asks(&hub, &writer, "GET /v1/nas/objects?folders=packs"), 500);
    assert!(hub.log().contains("Permission denied"), "{}", hub.log());
    assert_eq!(put(&hub, &writer, Folder::Index, &bytes), (200, "true".to_owned()), "other folders are not concerned");
    mode(&packs, 0o700);
    assert_eq!(put(&hub, &writer, Folder::Packs, &raw::noise(2, 1000)), (200, "true".to_owned()));
    assert_eq!(fs::read_dir(repository.join("tmp")).unwrap().count(), 0, "nothing is left of what was refused");

    // The same for who may do what.
    let tokens = folder.join("data/tokens.json");
    // Written anew, so that it is read again.
    fs::write(&tokens, fs::read(&tokens).unwrap()).unwrap();
    mode(&tokens, 0o000);
    assert_eq!(asks(&hub, &writer, "GET /v1/nas"), 500);
    mode(&tokens, 0o600);
    assert_eq!(asks(&hub, &writer, "GET /v1/nas"), 200);
}

#[test]
fn a_quota_holds_for_uploads_at_the_same_time_and_room_that_is_made_can_be_used() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (writer, admin) = (token(folder, "nas", Role::Writer, "nas"), token(folder, "admin", Role::Maintainer, "nas"));
    let hub = Process::at(folder, &["--quota", "1MB", "--quota-objects", "5"]);
    let packs: Vec<_> = (0..12).map(|seed| raw::noise(seed, 240_000)).collect();
    let (hub, writer) = (&hub, writer.as_str());
    let answers: Vec<_> = std::thread::scope(|scope| {
        let all: Vec<_> = packs.iter().map(|bytes| scope.spawn(move || put(hub, writer, Folder::Packs, bytes))).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let stored = answers.iter().filter(|answer| **answer == (200, "true".to_owned())).count();
    let refused = answers.iter().filter(|answer| **answer == (507, "quota".to_owned())).count();
    assert_eq!((stored, refused), (4, 8), "{answers:?}");
    assert_eq!(put(hub, writer, Folder::Index, b"fifth"), (200, "true".to_owned()));
    assert_eq!(put(hub, writer, Folder::Index, b"sixth"), (507, "quota".to_owned()), "objects are counted as well");
    let gone = packs.iter().zip(&answers).find(|(_, answer)| answer.0 == 200).unwrap().0;
    assert_eq!(asks(hub, &admin, &format!("DELETE /v1/nas/objects/{}", named(Folder::Packs, gone))), 200);
    assert_eq!(put(hub, writer, Folder::Packs, gone), (200, "true".to_owned()));
}
