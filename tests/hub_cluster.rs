//! What a user sets up: a hub, two hosts, a mirror in a bucket of Garage and one at a friend's hub behind `ssh`; what any of them gives back
//! is what the hosts had. Says SKIPPED without root or `sshd`; without Garage the friend is the only mirror.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod cli_common;
#[path = "sftp/server.rs"]
mod friend;
mod hub;
#[path = "garage/node.rs"]
mod node;
#[path = "hub/raw.rs"]
mod raw;

use std::fs;

use cli_common::{expect, tree};
use hearth_backup::hub::Role;
use hub::Server;
use node::Node;
use serde_json::Value;

const HOSTS: [&str; 2] = ["nas", "web"];

/// The hub, the friend, and what hosts and administrator have.
struct Cluster {
    hub: Server,
    friend: friend::Server,
}

impl Cluster {
    /// None where there is no `sshd`.
    fn new() -> Option<Self> {
        let cluster = Self { friend: friend::Server::new()?, hub: Server::start() };
        let bench = &cluster.friend.bench;
        for (host, key) in HOSTS.into_iter().zip(["client_key", "stranger_key"]) {
            bench.write(&format!("{host}.token"), cluster.hub.token(host, Role::Writer, host).as_bytes());
            bench.write(&format!("{host}.admin"), cluster.hub.token(&format!("{host}-admin"), Role::Maintainer, host).as_bytes());
            bench.write(&format!("{host}/large"), &raw::noise(host.len() as u64 + u64::from(host.as_bytes()[0]), 3_000_000));
            bench.write(&format!("{host}/small/name"), host.as_bytes());
            cluster.friend_takes(host, key);
            cluster.at_hub(host, &["init", "--token-file", &cluster.path(&format!("{host}.admin"))]);
        }
        Some(cluster)
    }

    /// The friend lets a key into the repository of a host, as a maintainer, and `ssh HOST` of the hub uses that key.
    fn friend_takes(&self, host: &str, key: &str) {
        let bench = &self.friend.bench;
        let program = env!("CARGO_BIN_EXE_hearth-backup");
        let forced = format!("{program} hub stdio --data {} --repository {host} --role maintainer", self.path("friend"));
        let mut lines = if host == HOSTS[0] { String::new() } else { fs::read_to_string(bench.path("authorized_keys")).unwrap() };
        lines += &format!("restrict,command=\"{forced}\" {}", fs::read_to_string(bench.path(format!("{key}.pub"))).unwrap());
        fs::write(bench.path("authorized_keys"), lines).unwrap();
        let known = fs::read_to_string(bench.path("ssh_config")).unwrap();
        let own = format!(
            "Host {host}.friend\n HostName 127.0.0.1\n Port {}\n User root\n IdentityFile {}\n IdentitiesOnly yes\n",
            self.friend.port,
            self.path(key)
        );
        fs::write(bench.path("ssh_config"), own + &known).unwrap();
    }

    fn path(&self, name: &str) -> String {
        self.friend.bench.path(name).display().to_string()
    }

    fn ok(&self, arguments: &[&str], variables: &[(&str, &str)]) -> String {
        let mut command = self.friend.command(arguments);
        command.env_remove("HEARTH_REPO").envs(variables.iter().copied());
        expect(command.output().unwrap(), 0, arguments).0
    }

    /// A host, or its administrator, at the hub.
    fn at_hub(&self, host: &str, arguments: &[&str]) -> String {
        let (repository, keys) = (format!("{}/{host}", self.hub.base), [self.path(&format!("{host}.w")), self.path(&format!("{host}.r"))]);
        let own = match arguments[0] {
            "init" => vec!["--writer-key", &keys[0], "--restore-key", &keys[1]],
            "backup" => vec!["--key", &keys[0]],
            _ => vec!["--key", &keys[1]],
        };
        self.ok(&[arguments, &own].concat(), &[("HEARTH_REPO", repository.as_str())])
    }

    fn backs_up(&self, host: &str) {
        let token = self.path(&format!("{host}.token"));
        self.at_hub(host, &["backup", &self.path(host), "--token-file", &token]);
    }

    /// A restore from a place holds what the host has.
    fn gives_back(&self, host: &str, place: &str, variables: &[(&str, &str)]) {
        let target = self.path(&format!("out-{host}"));
        let key = self.path(&format!("{host}.r"));
        self.ok(&["restore", "latest", "--repo", place, "--key", &key, "--target", &target, "--verify"], variables);
        let source = self.path(host);
        let restored = self.friend.bench.path(format!("out-{host}")).join(&source[1..]);
        assert_eq!(tree(&self.friend.bench.path(host)), tree(&restored), "{host} from {place}");
        fs::remove_dir_all(target).unwrap();
    }
}

#[test]
fn two_hosts_are_restored_from_the_hub_from_garage_and_from_a_friend() {
    let Some(cluster) = Cluster::new() else { return };
    let garage = node::program().map(|program| {
        let dir = cluster.friend.bench.path("garage");
        let node = Node::start(&program, &dir, &dir.join("secret").display().to_string(), &[]);
        node.sh(&node::recipe()[2]);
        node
    });
    let bucket = |node: &Node, name: &str| node.location().replace("/hosts", &format!("/{name}"));
    let mut rules = format!("[hub]\ndataDir = {:?}\nretention = {{ daily = 7 }}\n", cluster.hub.folder.path());
    rules += "[hub.mirrors.friend]\nurl = \"ssh://{repository}.friend/{repository}\"\nverify = 100\n";
    if let Some(node) = &garage {
        rules += &format!(
            "[hub.mirrors.cloud]\nurl = {:?}\ncredentials = {:?}\nverify = 100\n",
            bucket(node, "{repository}"),
            node.credentials()
        );
    }
    cluster.friend.bench.write("hub.toml", rules.as_bytes());
    for round in 0..2 {
        for host in HOSTS {
            cluster.friend.bench.write(&format!("{host}/small/round"), format!("{host} {round}").as_bytes());
            cluster.backs_up(host);
        }
        let kept = cluster.ok(&["hub", "maintain", "--config", &cluster.path("hub.toml"), "--json"], &[]);
        let kept: Value = serde_json::from_str(kept.lines().last().unwrap()).unwrap();
        for repository in kept["repositories"].as_array().unwrap() {
            let brought: Vec<_> = repository["mirrors"].as_array().unwrap().iter().map(|mirror| &mirror["snapshots"]).collect();
            assert!(brought.iter().all(|count| **count == 1) && brought.len() == 1 + usize::from(garage.is_some()), "{repository}");
        }
    }
    for host in HOSTS {
        let token = cluster.path(&format!("{host}.admin"));
        cluster.gives_back(host, &format!("{}/{host}", cluster.hub.base), &[("HEARTH_TOKEN_FILE", &token)]);
        cluster.gives_back(host, &format!("ssh://{host}.friend/{host}"), &[]);
        if let Some(node) = &garage {
            let credentials = node.credentials().display().to_string();
            cluster.gives_back(host, &bucket(node, host), &[("HEARTH_CREDENTIALS_FILE", &credentials)]);
        }
    }
    // The hub burns down. What its hosts had comes back to a new one from the friend, and they go on as before.
    let lost = cluster.hub.path("nas");
    fs::remove_dir_all(&lost).unwrap();
    cluster.ok(&["mirror", "--from", "ssh://nas.friend/nas", "--to", lost.to_str().unwrap(), "--trust-new-repository"], &[]);
    cluster.friend.bench.write("nas/small/after", b"after");
    cluster.backs_up("nas");
    let token = cluster.path("nas.admin");
    cluster.gives_back("nas", &format!("{}/nas", cluster.hub.base), &[("HEARTH_TOKEN_FILE", &token)]);
}
