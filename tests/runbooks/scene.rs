//! Where runbooks are played: a hub in a process of its own, the host `nas` that saves to it, its administrator, and whoever else a test adds.
//!
//! Each machine is a folder: its state, its configuration, its units for the stand-in for systemctl, and the shell in which the commands
//! of a runbook run one after the other, as those of a person do.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::book::{self, Kind};
use super::times;

/// The user of the hub.
const NOBODY: u32 = 65534;

/// Files, machines, and what the reader of a runbook fills in.
pub struct Scene {
    folder: tempfile::TempDir,
    own: HashMap<String, BTreeMap<String, String>>,
    values: BTreeMap<(String, String), String>,
    asked: BTreeSet<(String, String)>,
    /// Where the hub answers.
    pub hub: String,
    /// The bytes of the sample data.
    pub sample: u64,
}

impl Scene {
    /// A hub with the repository of the host `nas`, which has saved its sample data once. The restore key is `admin/restore.key`.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let mut scene =
            Self { folder, own: HashMap::new(), values: BTreeMap::new(), asked: BTreeSet::new(), hub: String::new(), sample: 0 };
        fs::create_dir(scene.path("bin")).unwrap();
        let program = std::env::var_os("HEARTH_TEST_PROGRAM").unwrap_or_else(|| env!("CARGO_BIN_EXE_hearth-backup").into());
        // Another name and no link: the hub's user may not look into root's folders.
        let own = scene.path("bin/hearth-backup");
        fs::hard_link(&program, &own).or_else(|_| fs::copy(&program, &own).map(drop)).unwrap();
        symlink(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stand_ins/units.sh"), scene.path("bin/systemctl")).unwrap();
        println!("played by a stand-in: systemctl");
        ["hub", "nas", "admin"].iter().for_each(|machine| scene.machine(machine));
        // Somebody else may take it before the hub does; it then does not start, and the test fails.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        scene.hub = format!("http://127.0.0.1:{port}");
        scene.make_data();
        scene.serve("hub", port);
        scene.sh("hub", "systemctl start hearth-backup-hub.service");
        scene.sample = super::sample::fill(&scene.path("nas/srv"));
        scene.enrol("nas");
        scene.configure("");
        scene.oneshot("nas", "hearth-backup-state.service", "hearth-backup run state");
        scene.saves();
        scene
    }

    /// Another machine.
    pub fn machine(&mut self, name: &str) {
        for part in ["units", "home"] {
            fs::create_dir_all(self.path(format!("{name}/{part}"))).unwrap();
        }
        let at = |part: &str| self.path(format!("{name}/{part}")).display().to_string();
        let path = format!("{}:{}:/usr/sbin:/sbin", self.path("bin").display(), std::env::var("PATH").unwrap());
        let own = [
            ("PATH", path),
            ("HOME", at("home")),
            ("STAND_IN", at("units")),
            ("HEARTH_CACHE", at("state")),
            ("HEARTH_CONFIG", at("config.toml")),
            ("LC_ALL", "C.UTF-8".to_owned()),
            ("TZ", "UTC".to_owned()),
        ];
        self.own.insert(name.to_owned(), own.into_iter().map(|(name, value)| (name.to_owned(), value)).collect());
    }

    /// A path in the scene.
    pub fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join(relative)
    }

    /// The same as text.
    pub fn at(&self, relative: &str) -> String {
        self.path(relative).display().to_string()
    }

    /// Writes a file.
    pub fn write(&self, relative: &str, content: &str) {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Reads a file.
    pub fn read(&self, relative: &str) -> String {
        fs::read_to_string(self.path(relative)).unwrap_or_else(|error| panic!("{relative}: {error}"))
    }

    /// What a machine's environment has besides, without the reader's doing.
    pub fn own(&mut self, machine: &str, name: &str, value: &str) {
        self.own.get_mut(machine).unwrap().insert(name.to_owned(), value.to_owned());
    }

    /// What the reader fills in at a machine. The shell expands it as within double quotes.
    pub fn fill(&mut self, machine: &str, values: &[(&str, &str)]) {
        for (name, value) in values {
            self.values.insert((machine.to_owned(), (*name).to_owned()), (*value).to_owned());
        }
    }

    /// What the reader fills in to restore at a machine from the hub.
    pub fn fill_hub(&mut self, machine: &str) {
        let (repository, token, key) = (self.repository("nas"), self.at("admin/nas.admin"), self.at("admin/restore.key"));
        self.fill(machine, &[("HEARTH_REPO", &repository), ("HEARTH_TOKEN_FILE", &token), ("HEARTH_KEY", &key)]);
    }

    /// A repository at the hub, with its id.
    pub fn repository(&self, name: &str) -> String {
        format!("{}/{name}#{}", self.hub, self.read(&format!("admin/{name}.id")).trim())
    }

    /// A unit of a machine that ends by itself.
    pub fn oneshot(&self, machine: &str, name: &str, start: &str) {
        self.unit(machine, name, start, "");
        self.write(&format!("{machine}/units/{name}/oneshot"), "");
    }

    /// A unit of a machine: what starts and what stops it.
    pub fn unit(&self, machine: &str, name: &str, start: &str, stop: &str) {
        self.write(&format!("{machine}/units/{name}/start"), start);
        self.write(&format!("{machine}/units/{name}/stop"), stop);
    }

    /// A unit that runs already and in which nothing happens.
    pub fn running(&self, machine: &str, name: &str) {
        self.unit(machine, name, "", "");
        self.write(&format!("{machine}/units/{name}/active"), "");
    }

    /// Whether a unit runs.
    pub fn is_active(&self, machine: &str, name: &str) -> bool {
        self.path(format!("{machine}/units/{name}/active")).exists()
    }

    /// An empty directory for the hub, of its own user, as systemd makes it.
    pub fn make_data(&self) {
        fs::create_dir(self.path("hub/data")).unwrap();
        if nix::unistd::geteuid().is_root() {
            std::os::unix::fs::chown(self.path("hub/data"), Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }

    /// The units of a hub at a machine. It runs as a user of its own where root may see to that.
    pub fn serve(&self, machine: &str, port: u16) {
        let start = format!(
            "setsid {user} hearth-backup hub serve --data {data} --listen 127.0.0.1:{port} & echo $! >{data}.process\n\
             until (exec 3<>/dev/tcp/127.0.0.1/{port}) 2>/dev/null; do kill -0 $(cat {data}.process); sleep 0.02; done",
            user = if nix::unistd::geteuid().is_root() {
                format!("setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups --")
            } else {
                String::new()
            },
            data = self.at(&format!("{machine}/data")),
        );
        let stop = format!(
            "kill $(cat {data}.process); while kill -0 $(cat {data}.process) 2>/dev/null; do sleep 0.02; done",
            data = self.at(&format!("{machine}/data"))
        );
        self.unit(machine, "hearth-backup-hub.service", &start, &stop);
        self.running(machine, "hearth-backup-hub.socket");
        self.running(machine, "hearth-backup-hub-maintain.timer");
    }

    /// A host gets tokens and a repository at the hub.
    fn enrol(&self, host: &str) {
        self.sh(
            "hub",
            &format!(
                "cd '{top}'\n\
                 hearth-backup hub token add {host} --role writer --data hub/data --output {host}/hub.token\n\
                 hearth-backup hub token add admin-{host} --role maintainer --repository {host} --data hub/data --output admin/{host}.admin\ncd",
                top = self.folder.path().display()
            ),
        );
        self.sh(
            "admin",
            &format!(
                "cd '{top}'\n\
                 hearth-backup init --repo {hub}/{host} --token-file admin/{host}.admin --writer-key {host}/writer.key --restore-key admin/restore.key\n\
                 grep -o 'hb1[a-z0-9]*' admin/restore.key | head -n 1 >admin/{host}.id\ncd",
                top = self.folder.path().display(),
                hub = self.hub,
            ),
        );
    }

    /// The configuration of `nas`: a job that saves the sample to the hub, and what `more` says of it.
    pub fn configure(&self, more: &str) {
        let text = format!(
            "host = \"nas\"\n[repositories.hub]\nurl = {url:?}\nwriterKey = {key:?}\ntoken = {token:?}\n\
             [jobs.state]\nrepositories = [\"hub\"]\npaths = [{srv:?}]\nsqlite.discover = true\n{more}\n",
            url = self.repository("nas"),
            key = self.at("nas/writer.key"),
            token = self.at("nas/hub.token"),
            srv = self.at("nas/srv"),
        );
        self.write("nas/config.toml", &text);
    }

    /// The host saves.
    pub fn saves(&self) {
        self.sh("nas", "hearth-backup run state");
    }

    /// Runs commands at a machine, which must work; what they print.
    pub fn sh(&self, machine: &str, script: &str) -> String {
        let (code, output) = self.bash(machine, script);
        assert_eq!(code, 0, "{machine}: {script}\n{output}");
        output
    }

    /// Runs commands at a machine; the exit status, and what they print.
    pub fn bash(&self, machine: &str, script: &str) -> (i32, String) {
        let place = |name: &str| self.at(&format!("{machine}/{name}"));
        let whole = format!(
            "exec 2>&1\n[ ! -e '{vars}' ] || . '{vars}'\ncd \"$(cat '{cwd}' 2>/dev/null || echo '{home}')\"\n\
             trap \"export -p >'{vars}'; pwd >'{cwd}'\" EXIT\nset -aeuo pipefail\n{script}",
            vars = place("shell"),
            cwd = place("cwd"),
            home = place("home"),
        );
        let mut bash = Command::new("bash");
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("HEARTH_")) {
            bash.env_remove(name);
        }
        for name in ["NOTIFY_SOCKET", "SSL_CERT_FILE", "SSH_AUTH_SOCK", "CREDENTIALS_DIRECTORY", "JOURNAL_STREAM"] {
            bash.env_remove(name);
        }
        bash.envs(&self.own[machine]).args(["-c", &whole]).stdin(Stdio::null());
        let output = bash.output().unwrap();
        (
            output.status.code().unwrap_or(-1),
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr),
        )
    }

    /// Does what a runbook says, from its beginning to its end.
    pub fn play(&mut self, name: &str) {
        let text = fs::read_to_string(book::folder().join(name)).unwrap();
        let blocks = book::blocks(&text).unwrap_or_else(|why| panic!("{name}: {why}"));
        let (mut machine, mut taken, mut log) = (None, Duration::ZERO, String::new());
        for block in blocks {
            let place = format!("{name}:{}", block.line);
            match block.kind {
                Kind::NotRun => {}
                Kind::FillIn { machine: at, names } => {
                    for name in names {
                        self.asked.insert((at.clone(), name.clone()));
                        let value = self.values.get(&(at.clone(), name.clone()));
                        let value = value.unwrap_or_else(|| panic!("{place}: the scene has no {name} for {at}\n{log}"));
                        let (code, output) = self.bash(&at, &format!("export {name}=\"{value}\"; test -n \"${name}\""));
                        assert_eq!(code, 0, "{place}: {name}={value}: {output}\n{log}");
                    }
                    machine = Some(at);
                }
                Kind::Run { machine: other, script, expected } => {
                    machine = other.or(machine);
                    let at = machine.as_deref().unwrap_or_else(|| panic!("{place}: nothing says where this runs"));
                    let begun = Instant::now();
                    let (code, output) = self.bash(at, &script);
                    taken += begun.elapsed();
                    write!(log, "--- {place} at {at}\n{script}\n--- prints\n{output}").unwrap();
                    assert_eq!(code, book::status(&expected), "{place}: another exit status\n{log}");
                    if let Some(line) = book::missing(&expected, &output) {
                        panic!("{place}: it does not print `{line}`\n{log}");
                    }
                }
            }
        }
        if std::env::var_os("HEARTH_RUNBOOKS_SHOW").is_some() {
            println!("{log}");
        }
        let unasked: Vec<_> = self.values.keys().filter(|value| !self.asked.contains(*value)).collect();
        assert!(unasked.is_empty(), "{name} does not ask for {unasked:?}");
        times::told(name, self.sample, taken);
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        for machine in self.own.keys() {
            self.bash(machine, "cd \"$STAND_IN\"; for unit in *.service; do [ ! -s \"$unit/stop\" ] || systemctl stop \"$unit\"; done");
        }
    }
}
