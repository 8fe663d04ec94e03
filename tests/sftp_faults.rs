//! Repositories on another machine when something is wrong: the line, the disk, the server, the account. Says SKIPPED without root or `sshd`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod cli_common;
#[path = "bucket/proxy.rs"]
mod proxy;
#[path = "sftp/server.rs"]
mod server;
#[path = "sftp/wire.rs"]
mod wire;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cli_common::{expect, tree};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use server::Server;
use wire::Wire;

fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

impl Server {
    fn source(&self) -> String {
        self.bench.source()
    }

    fn restores_the_source(&self, target: &str) {
        self.ok(&["restore", "latest", "--key", "r.key", "--target", target, "--verify"]);
        let restored = self.bench.path(target).join(self.source().strip_prefix('/').unwrap());
        assert!(tree(&restored) == tree(Path::new(&self.source())), "what was restored differs");
    }

    fn backs_up(&self) -> serde_json::Value {
        serde_json::from_str(&self.ok(&["backup", "--key", "w.key", "--json", &self.source()])).unwrap()
    }

    /// What the owner of the server sees: whole objects only, each the one that its name says.
    fn is_sound_on_the_spot(&self) {
        let mut there = Command::new(env!("CARGO_BIN_EXE_hearth-backup"));
        there.args(["check", "--read-packs", "--trust-new-repository", "--repo"]).arg(self.bench.path("far/q"));
        let there = there.env("HEARTH_CACHE", self.bench.path("other-state")).output().unwrap();
        expect(there, 0, "check by the server's owner");
    }
}

/// The account that `docs/stores.md` tells a friend to make, under another name. It goes with this.
struct Account {
    name: String,
    dir: tempfile::TempDir,
}

impl Account {
    /// The document's blocks about it: commands, the server's configuration, and commands that look after the repository on the spot.
    fn recipe() -> [String; 3] {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/stores.md")).unwrap();
        let (_, chapter) = text.split_once("The friend gives you an account").unwrap();
        let mut blocks = chapter.split("```").skip(1).step_by(2).map(|block| block.split_once('\n').unwrap().1.to_owned());
        [blocks.next().unwrap(), blocks.next().unwrap(), blocks.next().unwrap()]
    }

    /// None where accounts cannot be made.
    fn make() -> Option<Self> {
        let able = nix::unistd::geteuid().is_root() && Path::new("/srv").is_dir() && Path::new("/usr/sbin/nologin").exists();
        let able = able && Command::new("useradd").arg("--help").stdout(Stdio::null()).status().is_ok_and(|status| status.success());
        if !able {
            println!("SKIPPED: no accounts can be made here");
            return None;
        }
        // All directories above must belong to root.
        let dir = tempfile::Builder::new().prefix("hearth-test-").tempdir_in("/srv").unwrap();
        Some(Self { name: format!("hearth-test-{}", std::process::id()), dir })
    }

    /// Its directory.
    fn home(&self) -> PathBuf {
        self.dir.path().join(&self.name)
    }

    /// The document's words for this account.
    fn own(&self, text: &str) -> String {
        let own = text.replace("/srv/backup/q", self.home().to_str().unwrap());
        own.replace("'*' q", &format!("'*' {}", self.name))
            .replace("-o q ", &format!("-o {} ", self.name))
            .replace("-u q ", &format!("-u {} ", self.name))
            .replace("/var/lib/hearth-backup-q", self.dir.path().join("state").to_str().unwrap())
            .replace("User q", &format!("User {}", self.name))
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let _ = Command::new("userdel").arg(&self.name).stderr(Stdio::null()).status();
    }
}

#[test]
fn an_account_as_the_document_tells_a_friend_to_make_it_can_transfer_files_and_nothing_else() {
    let Some(account) = Account::make() else { return };
    let [commands, config, on_the_spot] = Account::recipe();
    // As servers are out of the box.
    let Some(server) = Server::with("StrictModes yes\nAuthorizedKeysFile .ssh/authorized_keys\n", &account.own(&config)) else { return };
    let public = server.bench.path("client_key.pub");
    let script = account.own(&commands).replace("q.pub", public.to_str().unwrap());
    expect(Command::new("sh").args(["-euc", &script]).output().unwrap(), 0, &script);
    fs::set_permissions(account.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    server.configure_client(server.port, &server.as_root().replace("User root", &format!("User {}", account.name)));

    let there = |arguments: &[&str], code| {
        let mut command = server.command(arguments);
        expect(command.env("HEARTH_REPO", "sftp://friend/vault").output().unwrap(), code, arguments)
    };
    there(&["init", "--writer-key", "w.key", "--restore-key", "r.key"], 0);
    there(&["backup", "--key", "w.key", &server.source()], 0);
    there(&["check", "--read-data", "--key", "r.key"], 0);
    there(&["forget", "latest"], 0);
    there(&["prune", "--grace", "0"], 0);
    let metadata = fs::metadata(account.home().join("vault/repo/0")).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);

    // The friend looks after it as the account, and as root; neither locks the account out. That its last snapshot was
    // forgotten and pruned is told each time.
    let program = account.dir.path().join("hearth-backup");
    fs::copy(env!("CARGO_BIN_EXE_hearth-backup"), &program).unwrap();
    let words = format!("{} --trust-new-repository ", program.display());
    let script = account.own(&on_the_spot).replace("hearth-backup ", &words);
    expect(Command::new("sh").args(["-euc", &script]).output().unwrap(), 0, &script);
    server.bench.write("source/more", &noise(9, 300_000));
    there(&["backup", "--key", "w.key", &server.source()], 3);
    let vault = account.home().join("vault").display().to_string();
    for arguments in [["forget", "latest"].as_slice(), &["prune", "--grace", "0"], &["check"]] {
        let mut command = server.command(&[arguments, &["--repo", &vault, "--trust-new-repository"]].concat());
        expect(command.output().unwrap(), 0, arguments);
    }
    there(&["backup", "--key", "w.key", &server.source()], 3);
    there(&["forget", "latest"], 0);
    there(&["prune", "--grace", "0"], 0);
    there(&["check", "--read-packs"], 0);

    // It neither runs programs nor sees other directories, nor changes who may come in.
    let config = server.bench.path("ssh_config");
    let run = Command::new("ssh").arg("-F").arg(&config).args(["friend", "id"]).stdin(Stdio::null()).output().unwrap();
    assert!(!String::from_utf8_lossy(&run.stdout).contains("uid="), "{run:?}");
    for place in ["sftp://friend/etc", "sftp://friend/.ssh/vault"] {
        let mut command = server.command(&["init", "--repo", place, "--writer-key", "w2.key", "--restore-key", "r2.key"]);
        let (_, error) = expect(command.output().unwrap(), 1, place);
        assert!(error.contains("permission denied"), "{error}");
    }
}

#[test]
fn port_user_key_and_agent_may_be_given_without_a_configuration_of_ssh() {
    let Some(server) = Server::new() else { return };
    server.init();
    let location = |user: &str| format!("sftp://{user}127.0.0.1:{}{}", server.port, server.bench.path("far/q").display());
    let check = |location: &str, code| {
        let mut command = server.command(&["check", "--trust-new-repository", "--repo", location]);
        command.env("HEARTH_SSH", format!("ssh -F none -o UserKnownHostsFile={}", server.bench.path("known_hosts").display()));
        (command, code)
    };
    let (mut command, code) = check(&location("root@"), 0);
    expect(command.args(["--identity", "client_key"]).output().unwrap(), code, "with a key");
    let (mut command, code) = check(&location("no-such-user@"), 1);
    let (_, error) = expect(command.args(["--identity", "client_key"]).output().unwrap(), code, "another user");
    assert!(error.contains("Permission denied"), "{error}");

    let socket = server.bench.path("agent");
    let mut agent = Command::new("ssh-agent").arg("-D").arg("-a").arg(&socket).stdout(Stdio::piped()).spawn().unwrap();
    // It says where it listens once it does.
    BufReader::new(agent.stdout.take().unwrap()).read_line(&mut String::new()).unwrap();
    let add = Command::new("ssh-add").arg("-q").arg(server.bench.path("client_key")).env("SSH_AUTH_SOCK", &socket).status();
    let (mut command, code) = check(&location("root@"), 0);
    let output = command.env("SSH_AUTH_SOCK", &socket).env("HOME", "/nonexistent").output().unwrap();
    agent.kill().unwrap();
    agent.wait().unwrap();
    assert!(add.unwrap().success());
    expect(output, code, "with an agent");
}

#[test]
fn a_line_that_breaks_in_the_middle_costs_at_most_the_run() {
    let Some(server) = Server::new() else { return };
    let wire = Wire::to(server.port, 0);
    server.configure_client(wire.port(), &server.as_root());
    server.init();
    for (round, bytes) in [1_000, 5_000, 20_000, 100_000, 400_000, 1_500_000, 2_900_000].into_iter().enumerate() {
        server.bench.write("source/large", &noise(round as u64, 3_000_000));
        let before = wire.connections();
        wire.cut_after(bytes);
        let output = server.run(&["backup", "--key", "w.key", &server.source()]);
        if output.status.code() != Some(0) {
            let (_, error) = expect(output, 1, bytes);
            assert!(error.contains("the connection to friend broke") || error.contains("cannot reach sftp://friend"), "{bytes}: {error}");
        } else {
            assert!(wire.connections() > before + 1, "it was not cut");
        }
        wire.cut_after(i64::MAX);
        server.is_sound_on_the_spot();
        server.backs_up();
    }
    server.ok(&["check", "--read-data", "--key", "r.key"]);
    server.restores_the_source("out");
}

#[test]
fn what_was_stored_before_the_line_broke_is_not_stored_again() {
    let Some(server) = Server::new() else { return };
    let wire = Wire::to(server.port, 0);
    server.configure_client(wire.port(), &server.as_root());
    server.init();
    // Two packs and a bit, of which the first is whole when the line breaks.
    server.bench.write("source/large", &noise(1, 140 << 20));
    wire.break_after(132 << 20);
    let (_, error) = expect(server.run(&["backup", "--key", "w.key", &server.source()]), 1, "cut");
    assert!(error.contains("the connection to friend broke") || error.contains("ssh did not get through"), "{error}");
    wire.mend();
    let stored = server.backs_up()["statistics"]["bytes_stored"].as_u64().unwrap();
    assert!(stored < 80 << 20, "{stored} bytes were stored again");
    server.restores_the_source("out");
}

#[test]
fn a_narrow_line_changes_nothing() {
    let Some(server) = Server::new() else { return };
    server.init();
    let wire = Wire::to(server.port, 2_000_000);
    server.configure_client(wire.port(), &server.as_root());
    server.bench.write("source/large", &noise(1, 3_000_000));
    server.backs_up();
    server.restores_the_source("out");
}

/// A small filesystem for the server's directory.
struct Disk(PathBuf);

impl Disk {
    fn mount(at: PathBuf, options: &str) -> Option<Self> {
        fs::create_dir_all(&at).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&at).stderr(Stdio::null()).status();
        if !mounted.is_ok_and(|status| status.success()) {
            println!("SKIPPED: nothing can be mounted here");
            return None;
        }
        Some(Self(at))
    }

    fn remount(&self, options: &str) {
        assert!(Command::new("mount").args(["-o", &format!("remount,{options}")]).arg(&self.0).status().unwrap().success());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_at_the_server_is_told_and_the_next_run_goes_on() {
    let Some(server) = Server::new() else { return };
    let Some(disk) = Disk::mount(server.bench.path("far"), "size=3m") else { return };
    server.init();
    server.backs_up();
    server.bench.write("source/large", &noise(1, 8_000_000));
    let (_, error) = expect(server.run(&["backup", "--key", "w.key", &server.source()]), 1, "full");
    assert!(error.contains("no space left; free some or raise the quota"), "{error}");
    let left = fs::read_dir(server.bench.path("far/q/tmp")).unwrap().count();
    assert_eq!(left, 0, "what could not be stored fills the disk");
    disk.remount("size=60m");
    server.is_sound_on_the_spot();
    server.backs_up();
    server.restores_the_source("out");
    disk.remount("ro");
    let (_, error) = expect(server.run(&["backup", "--key", "w.key", &server.source()]), 1, "read-only");
    assert!(error.contains("read-only") || error.contains("permission"), "{error}");
    server.restores_the_source("out2");
}

#[test]
fn a_server_that_is_killed_in_the_middle_leaves_no_part_of_an_object() {
    let Some(server) = Server::new() else { return };
    server.init();
    let tmp = server.bench.path("far/q/tmp");
    let begun = |bytes: u64| {
        let files = fs::read_dir(&tmp).unwrap().filter_map(|entry| entry.ok()?.metadata().ok());
        files.map(|metadata| metadata.len()).sum::<u64>() >= bytes
    };
    for round in 0..6 {
        server.bench.write("source/large", &noise(round, 6_000_000));
        let mut backup = server.command(&["backup", "--key", "w.key", &server.source()]);
        let mut backup = backup.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let start = Instant::now();
        // At the begin of a file, in the middle, and when it is whole and is to get its name.
        while !begun(round * 1_200_000 + 1) && backup.try_wait().unwrap().is_none() {
            assert!(start.elapsed() < Duration::from_secs(60), "it stores nothing");
        }
        for session in server.sessions() {
            let _ = kill(Pid::from_raw(i32::try_from(session).unwrap()), Signal::SIGKILL);
        }
        let code = backup.wait().unwrap().code();
        assert!(matches!(code, Some(0 | 1)), "{code:?}");
        server.is_sound_on_the_spot();
    }
    server.backs_up();
    server.ok(&["check", "--read-data", "--key", "r.key"]);
    server.restores_the_source("out");
}
