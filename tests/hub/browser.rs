//! A real browser: Chromium without a window, driven through chromedriver (the protocol of WebDriver: JSON over HTTP).
#![allow(dead_code, reason = "each test needs a part of it")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::raw::{connect, converse};

/// What keeps Chromium from asking others for anything, and lets root run it.
const ARGUMENTS: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
];

/// A browser, until it is dropped.
pub struct Browser {
    driver: Child,
    base: String,
    session: String,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Starts one; says why there is none.
    pub fn start() -> Result<Self, String> {
        if !std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).any(|folder| folder.join("chromium").exists()) {
            return Err("chromium is not there".to_owned());
        }
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("chromedriver, of Debian's `chromium-driver`, is not there ({error})"))?;
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines().map_while(Result::ok);
        let port =
            lines.find_map(|line| line.split_once("started successfully on port ").map(|(_, port)| port.trim_end_matches('.').to_owned()));
        let base = format!("http://127.0.0.1:{}", port.unwrap());
        // Nobody reads what else it prints, and it must not wait for that.
        std::thread::spawn(move || lines.for_each(drop));
        let profile = tempfile::tempdir().unwrap();
        let arguments: Vec<String> = ARGUMENTS
            .iter()
            .map(|&argument| argument.to_owned())
            .chain([format!("--user-data-dir={}", profile.path().display())])
            .collect();
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": { "args": arguments, "binary": "/usr/bin/chromium" }, "goog:loggingPrefs": { "browser": "ALL" }
        } } });
        let mut browser = Self { driver, base, session: String::new(), _profile: profile };
        browser.session = browser.post("/session", &wanted)["sessionId"].as_str().unwrap().to_owned();
        Ok(browser)
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let (status, answer) = self.ask("POST", path, &body.to_string());
        assert_eq!(status, 200, "{path}: {answer}");
        answer["value"].clone()
    }

    /// The driver answers only to whom it takes for this machine, and keeps connections open.
    fn ask(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let host = self.base.trim_start_matches("http://");
        let length = body.len();
        let request =
            format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}");
        let mut connection = connect(&self.base);
        let mut answer = converse(&mut connection, request.as_bytes(), 0);
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
        let length: usize = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok()).unwrap();
        let have = answer.len();
        answer.resize(end + length, 0);
        connection.read_exact(&mut answer[have..]).unwrap();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
        (status, serde_json::from_slice(&answer[end..]).unwrap_or_default())
    }

    fn command(&self, name: &str, body: &Value) -> Value {
        self.post(&format!("/session/{}/{name}", self.session), body)
    }

    fn protocol(&self, name: &str, parameters: &Value) {
        self.command("goog/cdp/execute", &json!({ "cmd": name, "params": parameters }));
    }

    /// Shows pages on a screen of this width, in light or dark.
    pub fn looks(&self, width: u64, dark: bool) {
        let screen = json!({ "width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 700 });
        self.protocol("Emulation.setDeviceMetricsOverride", &screen);
        let scheme = if dark { "dark" } else { "light" };
        self.protocol("Emulation.setEmulatedMedia", &json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] }));
    }

    /// Opens a page.
    pub fn open(&self, url: &str) {
        self.command("url", &json!({ "url": url }));
    }

    /// What a function of no arguments returns in the page.
    pub fn run(&self, script: &str) -> Value {
        self.command("execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// What the console says since it was last asked.
    pub fn console(&self) -> Vec<String> {
        let said = self.command("se/log", &json!({ "type": "browser" }));
        said.as_array().unwrap().iter().map(|entry| entry["message"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// A picture of all of the page.
    pub fn picture(&self) -> Vec<u8> {
        let height = self.run("return document.documentElement.scrollHeight").as_u64().unwrap();
        let width = self.run("return window.innerWidth").as_u64().unwrap();
        let answer = self.command(
            "goog/cdp/execute",
            &json!({ "cmd": "Page.captureScreenshot", "params": {
                "captureBeyondViewport": true, "clip": { "x": 0, "y": 0, "width": width, "height": height, "scale": 1 }
            } }),
        );
        STANDARD.decode(answer["data"].as_str().unwrap()).unwrap()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Ends Chromium; the driver ends by itself no sooner than it is told to.
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            self.ask("DELETE", &format!("/session/{}", self.session), "");
        }));
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
