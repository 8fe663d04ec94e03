//! A stand-in for systemd where none runs: a real `dbus-daemon` with a service on it that answers as org.freedesktop.systemd1 does, as far as
//! an agent asks it. Its units are real processes, which tell it their status over a real socket.

#![allow(dead_code, reason = "each suite uses a part")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use futures_util::StreamExt as _;
use tokio::net::UnixDatagram;
use tokio::sync::oneshot;
use zbus::message::Type;
use zbus::wire::Variant;
use zbus::{Connection, MessageStream, ObjectPath};

const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const ROOT: &str = "/org/freedesktop/systemd1";

/// A bus, and the stand-in on it.
pub struct Systemd {
    folder: tempfile::TempDir,
    daemon: Child,
    address: String,
    units: Units,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

type Units = Arc<Mutex<HashMap<String, Unit>>>;

struct Unit {
    command: Vec<String>,
    active: &'static str,
    starts: u32,
    result: String,
    code: i32,
    status: i32,
    text: String,
}

impl Unit {
    fn is_running(&self) -> bool {
        self.active == "activating"
    }
}

impl Systemd {
    /// None where there is no `dbus-daemon`.
    pub fn start() -> Option<Self> {
        if !Path::new("/usr/bin/dbus-daemon").exists() {
            println!("SKIPPED: no dbus-daemon");
            return None;
        }
        println!("played by a stand-in: systemd");
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("bus");
        let config = format!(
            "<busconfig><type>system</type><listen>unix:path={}</listen><auth>EXTERNAL</auth><policy context=\"default\">\
             <allow user=\"*\"/><allow own=\"*\"/><allow send_type=\"method_call\"/><allow send_destination=\"*\"/>\
             <allow receive_sender=\"*\"/></policy></busconfig>",
            socket.display()
        );
        std::fs::write(folder.path().join("bus.conf"), config).unwrap();
        let mut daemon = Command::new("/usr/bin/dbus-daemon");
        daemon.arg("--config-file").arg(folder.path().join("bus.conf")).args(["--nofork", "--print-address"]);
        let mut daemon = daemon.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut address = String::new();
        BufReader::new(daemon.stdout.take().unwrap()).read_line(&mut address).unwrap();
        let address = address.trim().to_owned();
        assert!(!address.is_empty(), "dbus-daemon did not start");
        let units = Units::default();
        let (stop, stopped) = oneshot::channel::<()>();
        let (ready, begun) = std::sync::mpsc::channel();
        let thread = std::thread::spawn({
            let (units, address, folder) = (Arc::clone(&units), address.clone(), folder.path().to_owned());
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    let connection = zbus::connection::Builder::address(address.as_str()).build().await.unwrap();
                    let calls = MessageStream::from(&connection);
                    connection.request_name("org.freedesktop.systemd1").await.unwrap();
                    ready.send(()).unwrap();
                    tokio::select! {
                        () = serve(connection, calls, units, folder) => {}
                        _ = stopped => {}
                    }
                });
            }
        });
        begun.recv().unwrap();
        Some(Self { folder, daemon, address, units, stop: Some(stop), thread: Some(thread) })
    }

    /// What `DBUS_SYSTEM_BUS_ADDRESS` must be.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Makes a unit that runs a command.
    pub fn unit(&self, name: &str, command: &[&str]) {
        let command = command.iter().map(|word| (*word).to_owned()).collect();
        let starts = self.units.lock().unwrap().get(name).map_or(0, |unit| unit.starts);
        let unit = Unit { command, active: "inactive", starts, result: "success".into(), code: 0, status: 0, text: String::new() };
        self.units.lock().unwrap().insert(name.to_owned(), unit);
    }

    /// How often a unit was started.
    pub fn starts(&self, name: &str) -> u32 {
        self.units.lock().unwrap()[name].starts
    }

    /// Whether it runs now.
    pub fn is_running(&self, name: &str) -> bool {
        self.units.lock().unwrap()[name].is_running()
    }

    /// Starts a unit as its timer would.
    pub fn timer(&self, name: &str) {
        let mut busctl = Command::new("busctl");
        busctl.args([&format!("--address={}", self.address), "call", "org.freedesktop.systemd1", ROOT, MANAGER, "StartUnit", "ss"]);
        assert!(busctl.args([name, "replace"]).stdout(Stdio::null()).status().unwrap().success());
    }
}

impl Drop for Systemd {
    fn drop(&mut self) {
        drop(self.stop.take());
        let _ = self.thread.take().unwrap().join();
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

async fn serve(connection: Connection, mut calls: MessageStream, units: Units, folder: PathBuf) {
    while let Some(Ok(call)) = calls.next().await {
        let header = call.header();
        if header.message_type() != Type::MethodCall {
            continue;
        }
        let path = header.path().map(|path| path.to_string()).unwrap_or_default();
        match header.member().map(|member| member.to_string()).unwrap_or_default().as_str() {
            "LoadUnit" => {
                let (name,): (String,) = call.body().deserialize().unwrap();
                connection.reply(&header, &path_of(&name)).await.unwrap();
            }
            "Subscribe" => connection.reply(&header, &()).await.unwrap(),
            "StartUnit" => {
                let (name, _): (String, String) = call.body().deserialize().unwrap();
                let known = units.lock().unwrap().contains_key(&name);
                if known {
                    let job = start(&connection, &units, &folder, &name);
                    connection.reply(&header, &job).await.unwrap();
                } else {
                    let error = "org.freedesktop.systemd1.NoSuchUnit";
                    connection.reply_error(&header, error, &format!("Unit {name} not found.")).await.unwrap();
                }
            }
            "GetAll" => {
                let (interface,): (String,) = call.body().deserialize().unwrap();
                let properties = properties(&units.lock().unwrap(), &path, interface.ends_with(".Service"));
                connection.reply(&header, &properties).await.unwrap();
            }
            _ => {
                let _ = connection.reply_error(&header, "org.freedesktop.DBus.Error.UnknownMethod", &"the stand-in does not know it").await;
            }
        }
    }
}

fn path_of(unit: &str) -> ObjectPath<'static> {
    let escaped: String =
        unit.bytes().map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("_{byte:02x}") }).collect();
    ObjectPath::try_from(format!("{ROOT}/unit/{escaped}")).unwrap()
}

fn job_of(name: &str, starts: u32) -> ObjectPath<'static> {
    ObjectPath::try_from(format!("{ROOT}/job/{}{starts}", name.len())).unwrap()
}

fn properties(units: &HashMap<String, Unit>, path: &str, of_service: bool) -> HashMap<&'static str, Variant<'static>> {
    let found = units.iter().find(|(name, _)| path_of(name).as_str() == path);
    let Some((name, unit)) = found else {
        return [("LoadState", Variant::from("not-found")), ("ActiveState", Variant::from("inactive"))].into();
    };
    if of_service {
        return [
            ("Result", Variant::from(unit.result.clone())),
            ("ExecMainCode", Variant::from(unit.code)),
            ("ExecMainStatus", Variant::from(unit.status)),
            ("StatusText", Variant::from(unit.text.clone())),
        ]
        .into();
    }
    let job = if unit.is_running() { (1_u32, job_of(name, unit.starts)) } else { (0, ObjectPath::try_from("/").unwrap()) };
    let mut invocation = vec![0_u8; if unit.starts > 0 { 16 } else { 0 }];
    if let Some(last) = invocation.last_mut() {
        *last = u8::try_from(unit.starts).unwrap();
    }
    [
        ("LoadState", Variant::from("loaded")),
        ("ActiveState", Variant::from(unit.active)),
        ("SubState", Variant::from(if unit.is_running() { "start" } else { "dead" })),
        ("Job", Variant::from(job)),
        ("InvocationID", Variant::from(invocation)),
    ]
    .into()
}

/// Starts a unit; one that runs has that job already.
fn start(connection: &Connection, units: &Units, folder: &Path, name: &str) -> ObjectPath<'static> {
    let mut all = units.lock().unwrap();
    let unit = all.get_mut(name).unwrap();
    if unit.is_running() {
        return job_of(name, unit.starts);
    }
    unit.starts += 1;
    unit.active = "activating";
    let job = job_of(name, unit.starts);
    let socket = folder.join(format!("{name}.{}", unit.starts));
    let notified = UnixDatagram::bind(&socket).unwrap();
    let mut command = tokio::process::Command::new(&unit.command[0]);
    let command = command.args(&unit.command[1..]).env("NOTIFY_SOCKET", &socket).stdin(Stdio::null());
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    tokio::spawn(run(connection.clone(), Arc::clone(units), name.to_owned(), job.clone(), child, notified));
    job
}

async fn run(
    connection: Connection,
    units: Units,
    name: String,
    job: ObjectPath<'static>,
    mut child: tokio::process::Child,
    notified: UnixDatagram,
) {
    let mut buffer = [0; 4096];
    let ended: ExitStatus = loop {
        tokio::select! {
            ended = child.wait() => break ended.unwrap(),
            length = notified.recv(&mut buffer) => {
                let text = String::from_utf8_lossy(&buffer[..length.unwrap()]).into_owned();
                if let Some(status) = text.lines().find_map(|line| line.strip_prefix("STATUS=")) {
                    units.lock().unwrap().get_mut(&name).unwrap().text = status.to_owned();
                }
            }
        }
    };
    let good = {
        let mut all = units.lock().unwrap();
        let unit = all.get_mut(&name).unwrap();
        let code = ended.code();
        // SuccessExitStatus=130 143.
        let good = matches!(code, Some(0 | 130 | 143));
        (unit.active, unit.result) = if good { ("inactive", "success".to_owned()) } else { ("failed", "exit-code".to_owned()) };
        (unit.code, unit.status) = (if code.is_some() { 1 } else { 2 }, code.unwrap_or(9));
        good
    };
    let removed = (1_u32, job, name, if good { "done" } else { "failed" });
    connection.emit_signal(None::<&str>, ROOT, MANAGER, "JobRemoved", &removed).await.unwrap();
}
