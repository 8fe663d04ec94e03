//! The script in `docs/recover-without-hearth` restores what the program backed up, with stock tools alone.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

/// The reason why the test cannot run here.
fn missing() -> Option<String> {
    let lacks = |program: &&str| Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err();
    ["age", "zstd", "python3"].into_iter().find(lacks).map(|program| format!("skipped: `{program}` is not installed"))
}

/// A repository with its keys and a place for everything.
struct Bench {
    folder: TempDir,
}

impl Bench {
    fn new(init: &[&str]) -> Self {
        let bench = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir(bench.at("source")).unwrap();
        let writer = bench.at("writer.key");
        bench.hearth([OsStr::new("init"), OsStr::new("--writer-key"), writer.as_os_str()].into_iter().chain(init.iter().map(OsStr::new)));
        bench
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn hearth<'a>(&self, arguments: impl IntoIterator<Item = &'a OsStr>) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hearth-backup"));
        command.args(arguments).env("HEARTH_REPO", self.at("repository")).env("HEARTH_CACHE", self.at("cache"));
        succeed(command.current_dir(self.folder.path()).output().unwrap());
    }

    fn backup(&self) {
        let (writer, source) = (self.at("writer.key"), self.at("source"));
        self.hearth([OsStr::new("backup"), OsStr::new("--key"), writer.as_os_str(), source.as_os_str()]);
    }

    fn script(&self, key: &str, arguments: &[&str]) -> Output {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/recover-without-hearth/recover.py");
        let mut command = Command::new("python3");
        command.arg("-B").arg(script).arg(self.at("repository")).arg(self.at(key)).args(arguments);
        command.current_dir(self.folder.path()).output().unwrap()
    }

    /// Restores with the script and compares with the source.
    fn recover(&self, key: &str) {
        let target = self.at("restored");
        succeed(self.script(key, &["latest", "restored"]));
        let source = self.at("source");
        let restored = target.join(source.strip_prefix("/").unwrap());
        assert_eq!(describe(&restored), describe(&source));
        fs::remove_dir_all(target).unwrap();
    }
}

fn succeed(output: Output) -> String {
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{out}\n{error}", output.status);
    out.into_owned()
}

/// Everything below a directory: type, mode, owner, time, size, content or target, attributes, and by which other name it goes.
fn describe(top: &Path) -> BTreeMap<OsString, String> {
    let mut found = BTreeMap::new();
    let mut inodes = BTreeMap::new();
    let mut pending = vec![top.to_owned()];
    while let Some(path) = pending.pop() {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let kind = metadata.file_type();
        let name = path.strip_prefix(top).unwrap().as_os_str().to_owned();
        let content = if kind.is_file() {
            blake3::hash(&fs::read(&path).unwrap()).to_string()
        } else if kind.is_symlink() {
            format!("{:?}", fs::read_link(&path).unwrap())
        } else {
            format!("dir {} fifo {} socket {}", kind.is_dir(), kind.is_fifo(), kind.is_socket())
        };
        let attributes: BTreeMap<OsString, Option<Vec<u8>>> =
            xattr::list(&path).unwrap().map(|name| (name.clone(), xattr::get(&path, name).unwrap())).collect();
        let time = (metadata.mtime(), metadata.mtime_nsec());
        let size = if kind.is_dir() { 0 } else { metadata.size() };
        let owner = (metadata.uid(), metadata.gid());
        let links = if kind.is_dir() { 0 } else { metadata.nlink() };
        inodes.entry(metadata.ino()).or_insert_with(Vec::new).push(name.clone());
        found.insert(name, format!("{:o} {owner:?} {time:?} {size} {links} {content} {attributes:?}", metadata.mode()));
        if kind.is_dir() {
            pending.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    for mut names in inodes.into_values().filter(|names| names.len() > 1) {
        names.sort();
        found.insert(format!("names of one file: {names:?}").into(), String::new());
    }
    found
}

fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

fn set_time(path: &Path, time: SystemTime) {
    fs::File::open(path).unwrap().set_modified(time).unwrap();
}

/// A tree with one of everything that an ordinary user can make.
fn fill(source: &Path) {
    fs::create_dir_all(source.join("deep/er")).unwrap();
    fs::write(source.join("deep/er/file"), b"hello").unwrap();
    fs::write(source.join("deep/empty"), b"").unwrap();
    fs::write(source.join("large"), noise(7_000_000, 1)).unwrap();
    fs::hard_link(source.join("large"), source.join("deep/twin")).unwrap();
    symlink("../nowhere", source.join("deep/link")).unwrap();
    fs::write(source.join(OsString::from_vec(b"not \xff UTF-8 \"quoted\" \n".to_vec())), b"name").unwrap();
    symlink(OsStr::from_bytes(b"target \xfe"), source.join("odd link")).unwrap();
    let status = Command::new("mkfifo").arg(source.join("fifo")).status().unwrap();
    assert!(status.success());
    drop(std::os::unix::net::UnixListener::bind(source.join("socket")).unwrap());
    let mut sparse = fs::File::create(source.join("sparse")).unwrap();
    sparse.seek(SeekFrom::Start(50 << 20)).unwrap();
    sparse.write_all(&noise(100_000, 2)).unwrap();
    sparse.set_len(200 << 20).unwrap();
    // File systems without user attributes have none to lose.
    let _ = xattr::set(source.join("large"), "user.comment", b"\x00\xff value");
    fs::create_dir(source.join("many")).unwrap();
    (0..1200).for_each(|number| fs::write(source.join(format!("many/{number}")), format!("content {number}")).unwrap());
    fs::set_permissions(source.join("deep/er/file"), fs::Permissions::from_mode(0o4711)).unwrap();
    set_time(&source.join("deep/er"), SystemTime::UNIX_EPOCH - Duration::new(86_400 * 365, 123_456_789));
    set_time(&source.join("many/7"), SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 987_654_321));
    fs::set_permissions(source.join("deep/empty"), fs::Permissions::from_mode(0o400)).unwrap();
}

#[test]
fn the_script_restores_a_fresh_backup() {
    if let Some(reason) = missing() {
        return eprintln!("{reason}");
    }
    let bench = Bench::new(&["--restore-key", "restore.key"]);
    fill(&bench.at("source"));
    bench.backup();
    bench.recover("restore.key");
    let blocks = fs::metadata(bench.at("source/sparse")).unwrap().blocks();
    assert!(blocks * 512 < 50 << 20, "the source is sparse, so that the comparison above means something");

    let listed = succeed(bench.script("restore.key", &[]));
    assert_eq!(listed.lines().count(), 1, "{listed}");
    assert!(listed.contains(&*bench.at("source").to_string_lossy()), "{listed}");

    let wanted = bench.at("source/deep/er");
    succeed(bench.script("restore.key", &["latest", "some", &wanted.to_string_lossy()]));
    let some = bench.at("some").join(bench.at("source").strip_prefix("/").unwrap());
    let names: Vec<_> = describe(&some).into_keys().collect();
    assert_eq!(names, ["", "deep", "deep/er", "deep/er/file"]);

    let wrong = bench.script("writer.key", &[]);
    assert!(!wrong.status.success());
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("does not open this repository"));
}

#[test]
fn the_script_finds_blocks_that_prune_moved_and_lists_longer_than_an_entry() {
    if let Some(reason) = missing() {
        return eprintln!("{reason}");
    }
    let bench = Bench::new(&["--restore-key", "restore.key", "--chunk-size", "1KiB"]);
    let source = bench.at("source");
    // With chunks of 1 KiB these 3 MB are some 3000 chunks, more than stand in an entry.
    fs::write(source.join("keep"), noise(3_000_000, 1)).unwrap();
    (0..10).for_each(|number| fs::write(source.join(format!("drop{number}")), noise(3_000_000, 2 + number)).unwrap());
    bench.backup();
    (0..10).for_each(|number| fs::remove_file(source.join(format!("drop{number}"))).unwrap());
    fs::write(source.join("new"), b"new").unwrap();
    bench.backup();
    let largest = largest_pack(&bench);
    let listed = succeed(bench.script("restore.key", &[]));
    let oldest = listed.lines().last().unwrap().split(' ').next().unwrap();
    bench.hearth(["forget", oldest].map(OsStr::new));
    bench.hearth(["prune", "--grace", "0", "--max-unused", "0"].map(OsStr::new));
    assert!(!largest.exists(), "prune moved what is needed of it");
    bench.recover("restore.key");
}

fn largest_pack(bench: &Bench) -> PathBuf {
    let folders = fs::read_dir(bench.at("repository/packs")).unwrap();
    let packs = folders.flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap()).map(|pack| pack.unwrap().path());
    packs.max_by_key(|pack| fs::metadata(pack).unwrap().len()).unwrap()
}

#[test]
fn the_script_takes_an_ssh_key() {
    if let Some(reason) = missing() {
        return eprintln!("{reason}");
    }
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("ssh");
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status();
    if !made.is_ok_and(|status| status.success()) {
        return eprintln!("skipped: `ssh-keygen` is not installed");
    }
    let public = fs::read_to_string(key.with_extension("pub")).unwrap();
    let bench = Bench::new(&["--recipient", &public]);
    fs::copy(&key, bench.at("ssh.key")).unwrap();
    fs::write(bench.at("source/file"), noise(100_000, 1)).unwrap();
    bench.backup();
    bench.recover("ssh.key");
}

#[test]
fn what_is_damaged_costs_only_itself() {
    if let Some(reason) = missing() {
        return eprintln!("{reason}");
    }
    let bench = Bench::new(&["--restore-key", "restore.key"]);
    let source = bench.at("source");
    fs::write(source.join("a"), noise(9_000_000, 1)).unwrap();
    fs::write(source.join("z"), noise(9_000_000, 2)).unwrap();
    bench.backup();
    let largest = largest_pack(&bench);
    fs::set_permissions(&largest, fs::Permissions::from_mode(0o600)).unwrap();
    let mut pack = fs::OpenOptions::new().write(true).open(&largest).unwrap();
    pack.seek(SeekFrom::Start(1_000_000)).unwrap();
    pack.write_all(b"damage").unwrap();
    let output = bench.script("restore.key", &["latest", "restored"]);
    assert_eq!(output.status.code(), Some(3));
    let restored = bench.at("restored").join(source.strip_prefix("/").unwrap());
    assert_eq!(fs::read(restored.join("z")).unwrap(), fs::read(source.join("z")).unwrap());
    assert_ne!(fs::read(restored.join("a")).unwrap(), fs::read(source.join("a")).unwrap());
    assert!(String::from_utf8_lossy(&output.stderr).contains("/a: chunk "), "it names the file");
}
