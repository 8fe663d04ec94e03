//! A whole host: one with a real systemd, taken from this machine's, is saved, restored, and started in a container.
//!
//! Needs root, systemd and systemd-nspawn; says SKIPPED and why where something is missing.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::cli_common::{Bench, expect};
use serde_json::{Value, json};

const DRILL: [&str; 4] = ["drill", "weekly", "--config", "config.json"];

/// Makes a small host in a directory: systemd, its journal, a shell, and the libraries that they need.
const HOST: &str = r#"
mkdir -p etc/systemd/system usr/bin usr/sbin usr/lib/systemd/system usr/lib64 var/lib var/log root
for link in bin sbin lib lib64; do ln -s usr/$link $link; done
for program in /usr/lib/systemd/{systemd,systemd-journald,systemd-executor,systemd-shutdown,system-generators/systemd-debug-generator} \
    /usr/bin/{systemctl,sh,dash,bash,sleep,false} $PROGRAM; do
    [ -e $program ] || continue
    [ $program = $PROGRAM ] || cp -a --parents $program .
    ldd $program | grep -o '/[^ )]*' | while read -r library; do
        mkdir -p .$(dirname $library)
        cp -L $library .$library
    done
done
for unit in basic sysinit multi-user local-fs local-fs-pre sockets timers paths slices swap shutdown umount final poweroff; do
    cp /usr/lib/systemd/system/$unit.target usr/lib/systemd/system/
done
cp /usr/lib/systemd/system/systemd-{poweroff.service,journald.service,journald.socket,journald-dev-log.socket} usr/lib/systemd/system/
mkdir usr/lib/systemd/system/{sysinit,sockets}.target.wants
ln -s ../systemd-journald.service usr/lib/systemd/system/sysinit.target.wants/
ln -s ../systemd-journald.socket usr/lib/systemd/system/sockets.target.wants/
ln -s ../lib/systemd/systemd usr/sbin/init
cp /etc/os-release etc/os-release
printf 'root:x:0:0::/root:/bin/sh\napp:x:4711:4711::/:/bin/sh\n' > etc/passwd
printf '[Service]\nType=oneshot\nUser=app\nExecStart=/bin/sh -c "exit 0"\n' > usr/lib/systemd/system/others.service
mkdir usr/lib/systemd/system/multi-user.target.wants
ln -s ../others.service usr/lib/systemd/system/multi-user.target.wants/
printf 'root:x:0:\napp:x:4711:\n' > etc/group
: > etc/machine-id
"#;

/// Whether a host can be started here.
fn possible() -> bool {
    if !nix::unistd::geteuid().is_root() {
        println!("SKIPPED: only root can start a whole host");
        return false;
    }
    if !Path::new("/usr/lib/systemd/systemd").exists() {
        println!("SKIPPED: there is no systemd here to make a host of");
        return false;
    }
    for program in ["systemd-nspawn", "unshare", "setpriv"] {
        if !Command::new(program).arg("--version").stdout(Stdio::null()).status().is_ok_and(|status| status.success()) {
            println!("SKIPPED: {program} is not installed");
            return false;
        }
    }
    true
}

/// A bench with a snapshot of a host, which has this unit wanted or required by `multi-user.target`.
fn bench(relation: &str, unit: &str) -> Bench {
    let bench = Bench::with_repository();
    fs::create_dir(bench.path("host")).unwrap();
    let program = env!("CARGO_BIN_EXE_hearth-backup");
    let made = Command::new("bash").args(["-euc", HOST]).env("PROGRAM", program).current_dir(bench.path("host")).output().unwrap();
    expect(made, 0, "the host");
    bench.write("host/etc/systemd/system/ours.service", unit.as_bytes());
    fs::create_dir(bench.path(format!("host/etc/systemd/system/multi-user.target.{relation}"))).unwrap();
    let link = bench.path(format!("host/etc/systemd/system/multi-user.target.{relation}/ours.service"));
    std::os::unix::fs::symlink("../ours.service", link).unwrap();
    // As that host would do it: its root directory is `/`. What is ours lies where it is left out.
    let script = "for path in mnt proc; do mkdir host/$path; done; touch host/program; mount --rbind . host/mnt; mount --rbind /proc host/proc; \
                  mount --bind \"$PROGRAM\" host/program; \
                  exec chroot host /program backup --repo /mnt/repo --key /mnt/hearth-writer.key --state /mnt/state-there --host there \
                  --exclude /mnt --exclude /proc --exclude /program /";
    let mut saves = Command::new("unshare");
    saves.args(["--mount", "--propagation", "private", "sh", "-ec", script]).current_dir(bench.path("."));
    saves.env("PROGRAM", env!("CARGO_BIN_EXE_hearth-backup")).stdin(Stdio::null());
    expect(saves.output().unwrap(), 0, "backup");
    let drill =
        json!({ "repository": "main", "key": bench.path("hearth-restore.key"), "scratch": bench.path("scratch"), "bootTimeout": "3min" });
    let config = json!({ "repositories": { "main": { "url": bench.path("repo") } }, "drills": { "weekly": drill } });
    bench.write("config.json", config.to_string().as_bytes());
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
    if !possible() {
        return;
    }
    let bench = bench("wants", "[Service]\nType=oneshot\nExecStart=/bin/false\n");
    let (text, _) = boot(&bench, &["--full-host"], 0);
    assert!(text.starts_with("reached multi-user.target in") && text.ends_with("units that failed: ours.service"), "{text}");
}

#[test]
fn a_host_whose_target_cannot_be_reached_fails_the_drill() {
    if !possible() {
        return;
    }
    let bench = bench("requires", "[Unit]\nBefore=multi-user.target\n[Service]\nType=oneshot\nExecStart=/bin/false\n");
    let (text, _) = boot(&bench, &["--full-host"], 1);
    assert!(text.starts_with("did not reach multi-user.target, which is inactive; units that failed: ours.service"), "{text}");
}

#[test]
fn a_host_that_hangs_fails_the_drill_with_its_journal_and_is_ended() {
    if !possible() {
        return;
    }
    // A number of its own: the same test may run elsewhere on this machine.
    let asleep = format!("sleep 1{:08}", std::process::id());
    let script = format!("echo waiting for a disk that is gone; exec {asleep}");
    let unit =
        format!("[Unit]\nBefore=multi-user.target\n[Service]\nType=oneshot\nTimeoutStartSec=infinity\nExecStart=/bin/sh -c '{script}'\n");
    let bench = bench("requires", &unit);
    let config = fs::read_to_string(bench.path("config.json")).unwrap();
    bench.write("config.json", config.replace("3min", "10s").as_bytes());
    let (text, error) = boot(&bench, &["--full-host"], 1);
    assert!(text.starts_with("did not reach multi-user.target in"), "{text}");
    assert!(error.contains("waiting for a disk that is gone"), "{error}");
    let running = Command::new("pgrep").args(["-x", "-f", &asleep]).output().unwrap();
    assert!(running.stdout.is_empty(), "the container is still there");
}

#[test]
fn what_is_no_host_does_not_start() {
    if !possible() {
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
