//! A bucket with versioning and a default retention, as moto plays it (`pip install 'moto[server]'`). Skipped where that is not installed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod cli_common;

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use cli_common::{Bench, expect, tree};

const RETENTION: &str = "<ObjectLockConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><ObjectLockEnabled>Enabled</ObjectLockEnabled>\
    <Rule><DefaultRetention><Mode>COMPLIANCE</Mode><Days>30</Days></DefaultRetention></Rule></ObjectLockConfiguration>";
/// Moto believes any signature.
const SIGNED: &str = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=none";

struct Moto {
    server: Child,
    bucket: String,
    endpoint: String,
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Moto {
    /// A server with an empty bucket that keeps each object for 30 days.
    fn start() -> Option<Self> {
        // Somebody else may take it before the server does; the server then says so, and the test fails.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new("moto_server");
        let command = command.args(["-H", "127.0.0.1", "-p", &port.to_string()]).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut server = command.spawn().ok()?;
        let mut said = BufReader::new(server.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("Running on") {
            line.clear();
            // A launcher of another version, which has no such program.
            if said.read_line(&mut line).unwrap() == 0 {
                let _ = server.wait();
                return None;
            }
        }
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        let endpoint = format!("http://127.0.0.1:{port}");
        let moto = Self { server, bucket: format!("{endpoint}/locked"), endpoint };
        let put = |url: &str, body: &str| {
            let request = ureq::put(url).header("authorization", SIGNED).header("content-type", "application/xml");
            request.header("x-amz-bucket-object-lock-enabled", "true").send(body).unwrap();
        };
        put(&moto.bucket, "");
        put(&format!("{}?object-lock", moto.bucket), RETENTION);
        Some(moto)
    }

    fn command(&self, bench: &Bench, arguments: &[&str]) -> Command {
        let mut command = bench.command(arguments);
        command.env("HEARTH_REPO", format!("s3://locked/q?checksum=md5&endpoint={}", self.endpoint));
        command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
        command
    }

    fn ok(&self, bench: &Bench, arguments: &[&str]) -> String {
        expect(self.command(bench, arguments).output().unwrap(), 0, arguments).0
    }

    /// Key and version of each entry of this kind, `Version` or `DeleteMarker`.
    fn versions(&self, kind: &str) -> Vec<(String, String)> {
        let list = ureq::get(format!("{}?versions", self.bucket)).header("authorization", SIGNED).call().unwrap();
        let list = list.into_body().read_to_string().unwrap();
        let field = |entry: &str, name: &str| {
            let (_, rest) = entry.split_once(&format!("<{name}>")).unwrap();
            rest.split_once('<').unwrap().0.to_owned()
        };
        let tag = format!("<{kind}>");
        let entries = list.split(tag.as_str()).skip(1);
        entries.map(|entry| (field(entry, "Key"), field(entry, "VersionId"))).collect()
    }

    fn delete(&self, key: &str, version: Option<&str>) -> Result<(), ureq::Error> {
        let version = version.map(|version| format!("?versionId={version}")).unwrap_or_default();
        ureq::delete(format!("{}/{key}{version}", self.bucket)).header("authorization", SIGNED).call().map(drop)
    }
}

#[test]
fn a_locked_bucket_keeps_what_prune_and_thieves_delete() {
    let Some(moto) = Moto::start() else { return };
    let bench = Bench::new();
    let source = bench.source();
    let plain = format!("s3://locked/q?endpoint={}", moto.endpoint);
    let refused = expect(moto.command(&bench, &["init", "--repo", &plain]).output().unwrap(), 1, "init").1;
    assert!(refused.contains("write `checksum=md5` into the URL"), "{refused}");
    moto.ok(&bench, &["init"]);
    moto.ok(&bench, &["backup", "--key", "hearth-writer.key", &source]);
    bench.write("source/sub/d.log", &[9; 3000]);
    moto.ok(&bench, &["backup", "--key", "hearth-writer.key", &source]);
    let list: serde_json::Value = serde_json::from_str(&moto.ok(&bench, &["snapshots", "--json"])).unwrap();
    moto.ok(&bench, &["forget", list["snapshots"][0]["id"].as_str().unwrap()]);
    moto.ok(&bench, &["prune", "--grace", "0"]);
    let uploaded = moto.versions("Version");
    let hidden = moto.versions("DeleteMarker");
    assert!(hidden.iter().any(|(key, _)| key.contains("/snapshots/")), "{hidden:?}");
    for (key, version) in &uploaded {
        moto.delete(key, Some(version)).expect_err("no version can be deleted before its time");
    }

    // Who has a key that may delete hides everything, and everything comes back.
    for (key, _) in &uploaded {
        moto.delete(key, None).unwrap();
    }
    let gone = expect(moto.command(&bench, &["check"]).output().unwrap(), 1, "check").1;
    assert!(gone.contains("holds no repository"), "{gone}");
    for (key, version) in moto.versions("DeleteMarker") {
        moto.delete(&key, Some(&version)).unwrap();
    }
    moto.ok(&bench, &["check", "--read-packs"]);
    moto.ok(&bench, &["restore", "latest", "--key", "hearth-restore.key", "--target", "out"]);
    assert!(tree(&bench.path("out").join(source.strip_prefix('/').unwrap())) == tree(&bench.path("source")));
    // A snapshot that was forgotten is back, and what it needs was condemned: that is told, and copied.
    let told = expect(moto.command(&bench, &["prune", "--grace", "0"]).output().unwrap(), 3, "prune").1;
    assert!(told.contains("They are copied before anything is deleted"), "{told}");
    moto.ok(&bench, &["check", "--read-packs"]);
}
