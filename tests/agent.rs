//! Runs that are asked for from afar: a real hub, real agents and the real command; systemd is played by a stand-in on a real bus.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod cli_common;
mod hub;
#[path = "hub/raw.rs"]
mod raw;
#[path = "stand_ins/systemd.rs"]
mod systemd;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cli_common::{Bench, expect};
use hearth_backup::hub::{Role, Tokens};
use hearth_backup::store::Access;
use hearth_backup::store::hub::order::{Asked, Order, OrderState};
use hearth_backup::store::hub::{Trigger, Way};
use hub::Server;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use raw::{ask, until};
use serde_json::json;
use systemd::Systemd;

/// How long what must come may take on a busy machine.
const SOON: Duration = Duration::from_secs(120);

/// A line between agent and hub that can be cut, and led to another hub.
struct Line {
    port: u16,
    hub: Arc<Mutex<SocketAddr>>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Line {
    fn to(hub: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let hub = Arc::new(Mutex::new(address(hub)));
        let open = Arc::new(Mutex::new(Vec::new()));
        let line = Self { port, hub: Arc::clone(&hub), open: Arc::clone(&open) };
        std::thread::spawn(move || {
            for near in listener.incoming() {
                let near = near.unwrap();
                let Ok(far) = TcpStream::connect(*hub.lock().unwrap()) else { continue };
                open.lock().unwrap().extend([near.try_clone().unwrap(), far.try_clone().unwrap()]);
                for (mut from, mut to) in [(near.try_clone().unwrap(), far.try_clone().unwrap()), (far, near)] {
                    std::thread::spawn(move || {
                        let mut buffer = [0; 4096];
                        while let Ok(length @ 1..) = from.read(&mut buffer) {
                            if to.write_all(&buffer[..length]).is_err() {
                                break;
                            }
                        }
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
            }
        });
        line
    }

    fn cut(&self) {
        self.open.lock().unwrap().drain(..).for_each(|end| drop(end.shutdown(Shutdown::Both)));
    }
}

fn address(base: &str) -> SocketAddr {
    base.trim_start_matches("http://").parse().unwrap()
}

/// A process of the test's own, ended with it.
struct Running(Child);

impl Running {
    fn ask_to_end(&self) {
        kill(Pid::from_raw(i32::try_from(self.0.id()).unwrap()), Signal::SIGTERM).unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A hub, the host `nas` with the jobs `state` and `media`, an operator, and the host's systemd.
struct House {
    server: Server,
    line: Line,
    systemd: Systemd,
    bench: Bench,
    operator: String,
}

impl House {
    fn new() -> Option<Self> {
        let systemd = Systemd::start()?;
        let (server, bench) = (Server::start(), Bench::new());
        let writer = server.token("nas", Role::Writer, "nas");
        let operator = Tokens::open(server.folder.path()).unwrap().add("me", Role::Operator, None).unwrap().text.to_string();
        bench.write("nas.token", writer.as_bytes());
        bench.write("me.token", operator.as_bytes());
        let line = Line::to(&server.base);
        let house = Self { server, line, systemd, bench, operator };
        house.configure(&json!({ "url": format!("http://127.0.0.1:{}/nas", house.line.port), "token": house.bench.path("nas.token") }));
        house.systemd.unit("hearth-backup-state.service", &["sh", "-c", &house.waits_and_ends(0)]);
        Some(house)
    }

    /// Writes the host's configuration.
    fn configure(&self, report_to: &serde_json::Value) {
        let job = json!({ "paths": [self.bench.source()], "repositories": ["main"] });
        let config = json!({
            "repositories": { "main": { "url": self.bench.path("repo"), "writerKey": self.bench.path("hearth-writer.key") } },
            "jobs": { "state": job, "media": job },
            "reportTo": report_to,
        });
        self.bench.write("config.json", config.to_string().as_bytes());
    }

    /// A script that runs until there is a file `go`.
    fn waits_and_ends(&self, code: i32) -> String {
        format!("while [ ! -e {} ]; do sleep 0.02; done; exit {code}", self.bench.path("go").display())
    }

    fn go(&self) {
        self.bench.write("go", b"");
    }

    /// The host's agent.
    fn agent(&self) -> Running {
        let config = self.bench.path("config.json");
        let mut agent = self.bench.command(&["agent", "--config", config.to_str().unwrap()]);
        Running(agent.env("DBUS_SYSTEM_BUS_ADDRESS", self.systemd.address()).stderr(Stdio::null()).spawn().unwrap())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.bench.command(&["backup-trigger"]);
        command.args(["--hub", &self.server.base]).args(arguments).env("HEARTH_TOKEN_FILE", self.bench.path("me.token"));
        command
    }

    fn trigger(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn client(&self) -> Trigger {
        let (way, _) = Way::parse(&self.server.base, false).unwrap();
        Trigger::new(&way, None, &Access::default().with_token(Some(self.operator.clone()))).unwrap()
    }

    fn asks(&self, job: &str) -> Asked {
        self.client().ask("nas", job).unwrap()
    }

    /// The order when this is so of it.
    fn when(&self, order: &Order, is_so: impl Fn(&Order) -> bool) -> Order {
        let mut order = order.clone();
        let client = self.client();
        for _ in 0..200 {
            if is_so(&order) {
                return order;
            }
            order = client.follow("nas", &order.id, order.changed, 5).unwrap().order;
        }
        panic!("it never came to be: {order:?}");
    }

    fn ends(&self, order: &Order) -> Order {
        self.when(order, |order| order.state.is_ended())
    }

    fn connects(&self) {
        until(SOON, || self.server.folder.path().join("orders/nas/agent").exists());
    }
}

#[test]
fn a_run_is_asked_for_from_afar_and_its_progress_and_end_come_back() {
    let Some(house) = House::new() else { return };
    house.bench.ok(&["init"]);
    // The real run, which waits in the middle.
    let waiting = json!({ "command": ["sh", "-c", house.waits_and_ends(0)] });
    let job = json!({ "paths": [house.bench.source()], "repositories": ["main"], "commands": { "dump": waiting } });
    let config = json!({
        "repositories": { "main": { "url": house.bench.path("repo"), "writerKey": house.bench.path("hearth-writer.key") } },
        "jobs": { "state": job },
        "reportTo": { "url": format!("{}/nas", house.server.base), "token": house.bench.path("nas.token") },
    });
    house.bench.write("config.json", config.to_string().as_bytes());
    let (config, state) = (house.bench.path("config.json"), house.bench.path("state"));
    let [config, state] = [&config, &state].map(|path| path.to_str().unwrap());
    let run = [env!("CARGO_BIN_EXE_hearth-backup"), "--state", state, "run", "state", "--config", config];
    house.systemd.unit("hearth-backup-state.service", &run);
    let _agent = house.agent();
    house.connects();
    let mut trigger = house.command(&["nas", "state", "--wait"]);
    let trigger = trigger.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until(SOON, || house.systemd.starts("hearth-backup-state.service") == 1);
    let asked = house.asks("state");
    assert!(asked.connected && asked.order.asked_by == "me", "{asked:?}");
    let running = house.when(&asked.order, |order| order.progress.is_some());
    assert_eq!(running.state, OrderState::Running);
    house.go();
    let (out, error) = expect(trigger.wait_with_output().unwrap(), 0, "a run that succeeds");
    assert!(out.contains("nas state: done") && error.contains("nas state: runs"), "{out}{error}");
    assert_eq!(house.bench.snapshots().len(), 1);
    assert_eq!(house.ends(&asked.order).state, OrderState::Succeeded);
}

#[test]
fn an_agent_that_comes_later_gets_what_was_asked_for() {
    let Some(house) = House::new() else { return };
    let (_, error) = expect(house.trigger(&["nas", "state"]), 0, "an agent that is away");
    assert!(error.contains("the agent of nas is not connected"), "{error}");
    house.go();
    let asked = house.asks("state");
    let _agent = house.agent();
    assert_eq!(house.ends(&asked.order).state, OrderState::Succeeded);
    assert_eq!(house.systemd.starts("hearth-backup-state.service"), 1, "both asked for one run");
}

#[test]
fn systemd_is_told_that_the_agent_is_there_and_whether_the_hub_is() {
    let Some(house) = House::new() else { return };
    let path = house.bench.path("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    let told = || {
        let mut buffer = [0; 4096];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    let config = house.bench.path("config.json");
    let mut agent = house.bench.command(&["agent", "--config", config.to_str().unwrap()]);
    let agent = Running(agent.env("NOTIFY_SOCKET", &path).stderr(Stdio::null()).spawn().unwrap());
    let first = told();
    assert!(first.contains("READY=1") && first.contains("STATUS=connecting to http://127.0.0.1"), "{first}");
    assert!(told().contains("STATUS=connected to"));
    house.line.cut();
    let lost = told();
    assert!(lost.contains("STATUS=not connected: "), "{lost}");
    assert!(told().contains("STATUS=connected to"));
    agent.ask_to_end();
    assert!(told().contains("STOPPING=1"));
}

#[test]
fn orders_and_runs_outlive_the_hub_and_the_line() {
    let Some(mut house) = House::new() else { return };
    let agent = house.agent();
    house.connects();
    let first = house.asks("state").order;
    house.when(&first, |order| order.state == OrderState::Running);
    house.server.restart();
    *house.line.hub.lock().unwrap() = address(&house.server.base);
    house.line.cut();
    house.go();
    assert_eq!(house.ends(&first).state, OrderState::Succeeded);
    house.connects();
    house.line.cut();
    let second = house.asks("state").order;
    assert_eq!(house.ends(&second).state, OrderState::Succeeded);
    assert_eq!(house.systemd.starts("hearth-backup-state.service"), 2);
    agent.ask_to_end();
}

#[test]
fn how_a_run_ends_is_how_the_command_ends() {
    let Some(house) = House::new() else { return };
    house.go();
    let _agent = house.agent();
    for (unit, code, expected, says) in [
        ("hearth-backup-state.service", 3, 3, "done with warnings"),
        ("hearth-backup-state.service", 1, 1, "journalctl -u hearth-backup-state.service"),
        ("hearth-backup-state.service", 143, 1, "it was stopped"),
        // On systems other than NixOS there is one template.
        ("hearth-backup@media.service", 0, 0, "done"),
    ] {
        house.systemd.unit(unit, &["sh", "-c", &house.waits_and_ends(code)]);
        let job = if unit.contains("media") { "media" } else { "state" };
        let (out, _) = expect(house.trigger(&["nas", job, "--wait"]), expected, says);
        assert!(out.contains(says), "{out}");
    }
    let json = house.trigger(&["nas", "state", "--wait", "--json"]);
    let asked: Asked = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(asked.order.state, OrderState::Failed);
}

#[test]
fn a_job_that_runs_already_is_joined() {
    let Some(house) = House::new() else { return };
    house.systemd.timer("hearth-backup-state.service");
    let _agent = house.agent();
    let order = house.asks("state").order;
    house.when(&order, |order| order.state == OrderState::Running);
    house.go();
    assert_eq!(house.ends(&order).state, OrderState::Succeeded);
    assert_eq!(house.systemd.starts("hearth-backup-state.service"), 1);
}

#[test]
fn a_run_goes_on_without_the_agent_and_the_next_one_tells_its_end() {
    let Some(house) = House::new() else { return };
    let mut agent = house.agent();
    let order = house.asks("state").order;
    house.when(&order, |order| order.run.is_some());
    agent.ask_to_end();
    assert_eq!(agent.0.wait().unwrap().code(), Some(0));
    assert!(house.systemd.is_running("hearth-backup-state.service"));
    house.go();
    until(SOON, || !house.systemd.is_running("hearth-backup-state.service"));
    let _next = house.agent();
    assert_eq!(house.ends(&order).state, OrderState::Succeeded);
    assert_eq!(house.systemd.starts("hearth-backup-state.service"), 1);
}

#[test]
fn a_host_refuses_what_it_does_not_have_and_what_it_does_not_let_others_start() {
    let Some(house) = House::new() else { return };
    let reporting = json!({ "url": format!("{}/nas", house.server.base), "token": house.bench.path("nas.token"), "jobs": ["media"] });
    house.configure(&reporting);
    let _agent = house.agent();
    let (out, _) = expect(house.trigger(&["nas", "other", "--wait"]), 1, "no such job");
    assert!(out.contains("refused") && out.contains("`other`"), "{out}");
    let (out, _) = expect(house.trigger(&["nas", "state", "--wait"]), 1, "a job that others may not start");
    assert!(out.contains("`reportTo.jobs`"), "{out}");
    assert_eq!(house.systemd.starts("hearth-backup-state.service"), 0);
    let (out, _) = expect(house.trigger(&["nas", "media", "--wait"]), 1, "no such unit");
    assert!(out.contains("no unit") && out.contains("hearth-backup@media.service"), "{out}");
    let error = house.bench.fails(&["backup-trigger", "--hub", &house.server.base, "nas", "../x"], 2);
    assert!(error.contains("cannot be a host and its job"), "{error}");
}

#[test]
fn only_who_looks_after_a_host_may_ask_it_for_runs_and_a_host_sees_its_own_only() {
    let server = Server::start();
    let base = &server.base;
    let own = server.token("nas", Role::Writer, "nas");
    let token = |role: Role, repository: &str| server.token("x", role, repository);
    let (other, admin, stranger) =
        (server.token("web", Role::Writer, "web"), token(Role::Maintainer, "nas"), token(Role::Maintainer, "web"));
    let operator = Tokens::open(server.folder.path()).unwrap().add("me", Role::Operator, None).unwrap().text.to_string();
    let viewer = Tokens::open(server.folder.path()).unwrap().add("you", Role::Viewer, None).unwrap().text.to_string();
    let with = |token: &str, body: &str| format!("Authorization: Bearer {token}\r\nContent-Length: {}\r\n", body.len());
    let wanted = r#"{"host":"nas","job":"state"}"#;
    let trigger = |token: &str| ask(base, "POST /backup-trigger", &with(token, wanted), wanted).0;
    for (token, status) in
        [(&own, 403), (&viewer, 403), (&token(Role::Reader, "nas"), 403), (&stranger, 404), (&admin, 200), (&operator, 200)]
    {
        assert_eq!(trigger(token), status);
    }
    assert_eq!(ask(base, "POST /backup-trigger", &format!("Content-Length: {}\r\n", wanted.len()), wanted).0, 401);
    let unknown = r#"{"host":"attic","job":"state"}"#;
    assert_eq!(ask(base, "POST /backup-trigger", &with(&operator, unknown), unknown).0, 404);
    let order = ask(base, "POST /backup-trigger", &with(&admin, wanted), wanted).1["order"]["id"].as_str().unwrap().to_owned();
    for (token, status) in [(&stranger, 404), (&own, 403), (&operator, 200)] {
        assert_eq!(ask(base, &format!("GET /backup-trigger?host=nas&id={order}"), &with(token, ""), "").0, status);
    }
    // Another host neither hears of it nor says what became of it; nor does anybody else who is no host.
    let news = r#"{"state":"succeeded"}"#;
    let note =
        |repository: &str, token: &str, id: &str| ask(base, &format!("POST /v1/{repository}/orders/{id}"), &with(token, news), news).0;
    assert_eq!([note("web", &other, &order), note("nas", &other, &order), note("nas", &admin, &order)], [404, 404, 403]);
    assert_eq!(note("nas", &own, "..%2f..%2ftokens"), 404);
    assert_eq!(ask(base, "GET /v1/nas/orders", &with(&admin, ""), "").0, 403);
    assert_eq!(ask(base, "GET /v1/nas/orders", &with(&other, ""), "").0, 404);
    assert_eq!(note("nas", &own, &order), 200);
    assert_eq!(note("nas", &own, &order), 409, "it has ended");
    for (request, status) in
        [("PUT /backup-trigger", 405), ("GET /backup-trigger", 400), ("DELETE /v1/nas/orders", 405), ("GET /v1/nas/orders/1", 405)]
    {
        assert_eq!(ask(base, request, &with(if request.contains("/v1") { &own } else { &operator }, ""), "").0, status, "{request}");
    }
}

#[test]
fn a_flood_of_orders_is_bounded_and_what_nobody_took_in_time_is_not_run() {
    let Some(house) = House::new() else { return };
    for number in 0..50 {
        house.asks(&format!("job{number}"));
    }
    let (_, error) = expect(house.trigger(&["nas", "state"]), 1, "the fifty-first");
    assert!(error.contains("50 orders"), "{error}");
    // An hour passes for all of them.
    let folder = house.server.folder.path().join("orders/nas");
    let orders: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    for file in orders.iter().filter(|path| path.extension().is_some_and(|extension| extension == "json")) {
        let mut order: Order = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
        order.changed = "2026-01-01T00:00:00Z".parse().unwrap();
        order.job = "state".to_owned();
        fs::write(file, serde_json::to_vec(&order).unwrap()).unwrap();
    }
    house.go();
    let _agent = house.agent();
    let order = house.asks("state").order;
    assert_eq!(house.ends(&order).state, OrderState::Succeeded);
    assert_eq!(house.systemd.starts("hearth-backup-state.service"), 1, "only what is asked for now");
}

#[test]
fn a_newer_agent_of_a_host_takes_over() {
    let server = Server::start();
    let token = server.token("nas", Role::Writer, "nas");
    let listen = || {
        let mut connection = raw::connect(&server.base);
        let request = format!("GET /v1/nas/orders HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n");
        let begun = raw::converse(&mut connection, request.as_bytes(), 10);
        assert!(String::from_utf8_lossy(&begun).contains(r#"{"alive":true}"#));
        connection
    };
    let mut first = listen();
    let _second = listen();
    let mut rest = String::new();
    first.read_to_string(&mut rest).unwrap_or_default();
    assert!(rest.contains("another agent of this host has connected"), "{rest}");
}
