//! Where the key of a bucket comes from: the variables and files of AWS; and whom a machine trusts that a server is the right one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

#[path = "hub/authority.rs"]
mod authority;
mod bucket;
mod cli_common;
#[path = "bucket/cloud.rs"]
mod cloud;
#[path = "bucket/tls.rs"]
mod tls;

use authority::make_authority;
use bucket::{BUCKET, KEY, Server};
use cli_common::expect;
use cloud::Cloud;

impl Cloud {
    /// Looks at the repository with these variables, and no file of credentials but what they name.
    fn looks(&self, location: &str, variables: &[(&str, &str)], code: i32) -> String {
        let mut command = self.command(&["snapshots", "--trust-new-repository"]);
        command.env_remove("HEARTH_CREDENTIALS_FILE").env("HEARTH_REPO", location).envs(variables.iter().copied());
        expect(command.output().unwrap(), code, variables).1
    }
}

const RIGHT: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", KEY.0), ("AWS_SECRET_ACCESS_KEY", KEY.1)];
const WRONG: &str = "[default]\naws_access_key_id = AKIDOTHER\naws_secret_access_key = other\n";

fn profile(name: &str) -> String {
    format!("[{name}]\naws_access_key_id = {}\naws_secret_access_key = {}\n", KEY.0, KEY.1)
}

#[test]
fn the_variables_of_aws_are_understood() {
    let server = Server::start();
    let cloud = Cloud::with_repository(&server);
    let at = |variables: &[(&str, &str)], code| cloud.looks(&cloud.location, variables, code);
    at(&RIGHT, 0);
    let error = at(&[RIGHT[0], ("AWS_SECRET_ACCESS_KEY", "other")], 1);
    assert!(error.contains("the secret is not that of the access key id"), "{error}");
    let error = at(&[("AWS_ACCESS_KEY_ID", "AKIDOTHER"), RIGHT[1]], 1);
    assert!(error.contains("the server does not know this access key"), "{error}");
    let error = at(&[RIGHT[0]], 1);
    assert!(error.contains("no credentials were found"), "{error}");
    let error = at(&[], 1);
    assert!(error.contains("no credentials were found") && error.contains("--credentials-file"), "{error}");

    // The file of this program goes before them, they before the files of AWS.
    cloud.bench.write("home/.aws/credentials", WRONG.as_bytes());
    at(&RIGHT, 0);
    let keys = cloud.bench.path("keys");
    at(&[("HEARTH_CREDENTIALS_FILE", keys.to_str().unwrap()), ("AWS_ACCESS_KEY_ID", "AKIDOTHER"), RIGHT[1]], 0);
}

#[test]
fn the_files_of_aws_are_understood() {
    let server = Server::start();
    let cloud = Cloud::with_repository(&server);
    let at = |variables: &[(&str, &str)], code| cloud.looks(&cloud.location, variables, code);
    cloud.bench.write("home/.aws/credentials", profile("default").as_bytes());
    at(&[], 0);
    cloud.bench.write("home/.aws/credentials", format!("{WRONG}{}", profile("backup")).as_bytes());
    let error = at(&[], 1);
    assert!(error.contains("the server does not know this access key"), "{error}");
    at(&[("AWS_PROFILE", "backup")], 0);
    let error = at(&[("AWS_PROFILE", "nobody")], 1);
    assert!(error.contains("no credentials were found"), "{error}");

    cloud.bench.write("elsewhere", profile("default").as_bytes());
    let elsewhere = cloud.bench.path("elsewhere");
    at(&[("AWS_SHARED_CREDENTIALS_FILE", elsewhere.to_str().unwrap())], 0);
}

#[test]
fn endpoint_and_region_may_come_from_variables() {
    let server = Server::start();
    let cloud = Cloud::with_repository(&server);
    let endpoint = format!("http://{}", server.address());
    let short = format!("s3://{BUCKET}/hosts/bench");
    for name in ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"] {
        cloud.looks(&short, &[RIGHT[0], RIGHT[1], (name, &endpoint)], 0);
    }
    // The one for S3 goes before the one for everything, the URL before both.
    let nowhere = "http://127.0.0.1:9";
    cloud.looks(&short, &[RIGHT[0], RIGHT[1], ("AWS_ENDPOINT_URL", nowhere), ("AWS_ENDPOINT_URL_S3", &endpoint)], 0);
    cloud.looks(&cloud.location, &[RIGHT[0], RIGHT[1], ("AWS_ENDPOINT_URL_S3", nowhere)], 0);

    let error = cloud.looks(&short, &RIGHT, 1);
    assert!(error.contains("`region` is missing"), "{error}");
    // A server of Amazon's, which is not asked: the name of its region is none.
    let error = cloud.looks(&short, &[RIGHT[0], RIGHT[1], ("AWS_REGION", "no_where")], 1);
    assert!(error.contains("https://s3.no_where.amazonaws.com"), "{error}");
}

#[test]
fn a_server_is_trusted_if_the_machine_trusts_its_authority_and_only_then() {
    let server = Server::start();
    let cloud = Cloud::with_repository(&server);
    for name in ["mine", "strangers"] {
        make_authority(&cloud.bench.path(""), name);
    }
    let address = tls::before(server.address(), &cloud.bench.path(""), "mine");
    let at = |host: &str| format!("s3://{BUCKET}/hosts/bench?endpoint=https://{host}:{}", address.port());
    let [mine, strangers] = ["mine.pem", "strangers.pem"].map(|name| cloud.bench.path(name).display().to_string());
    let looks = |host: &str, file: &str, code| cloud.looks(&at(host), &[RIGHT[0], RIGHT[1], ("SSL_CERT_FILE", file)], code);

    looks("localhost", &mine, 0);
    let mut backup = cloud.command(&["backup", "--trust-new-repository", "--key", "hearth-writer.key", &cloud.bench.source()]);
    expect(backup.env("SSL_CERT_FILE", &mine).env("HEARTH_REPO", at("localhost")).output().unwrap(), 0, "backup over TLS");
    cloud.is_sound();

    let error = looks("localhost", &strangers, 1);
    assert!(error.contains("this machine does not trust the server's certificate; install its authority"), "{error}");
    let error = cloud.looks(&at("localhost"), &RIGHT, 1);
    assert!(error.contains("does not trust the server's certificate"), "{error}");
    // The right authority, but the certificate is for another name.
    let error = looks("127.0.0.1", &mine, 1);
    assert!(error.contains("does not trust the server's certificate"), "{error}");
}
