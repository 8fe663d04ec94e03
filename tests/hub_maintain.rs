//! A hub keeps house: by its own clock and rules, against whatever a host that was broken into has brought.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod cli_common;
#[path = "hub/cluster.rs"]
mod cluster;
mod hub;
#[path = "hub/raw.rs"]
mod raw;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use cli_common::{expect, tree};
use cluster::Cluster;
use hearth_backup::content::keys::WriterKey;
use hearth_backup::hub::upkeep::{Outcome, Record};
use hearth_backup::model::id::SnapshotId;
use hearth_backup::sealed::envelope::{self, Envelope};
use hearth_backup::sealed::repository::{Repository, Trust};
use hearth_backup::sealed::signature::Subject;
use hearth_backup::sealed::snapshots::Snapshots;
use hearth_backup::sealed::{marks, received, snapshots};
use hearth_backup::store::{DirectoryStore, Folder, Store};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

/// A hub with housekeeping, and one host.
struct House {
    cluster: Cluster,
}

impl House {
    fn new(rules: &str) -> Self {
        let house = Self { cluster: Cluster::new() };
        house.rules(rules);
        house
    }

    /// Writes the configuration anew.
    fn rules(&self, rules: &str) {
        let text = format!("[hub]\ndataDir = {:?}\n{rules}\n", self.data());
        self.cluster.bench.write("hub.toml", text.as_bytes());
    }

    fn data(&self) -> PathBuf {
        self.cluster.server.folder.path().to_owned()
    }

    fn record(&self) -> Record {
        Record::read(&self.data(), "nas").unwrap()
    }

    /// Keeps house, which ends with this status; what it says as JSON, and to people.
    fn maintain(&self, arguments: &[&str], code: i32) -> (Value, String) {
        let config = self.cluster.bench.path("hub.toml");
        let all = [&["hub", "maintain", "--config", config.to_str().unwrap(), "--json"], arguments].concat();
        let mut command = self.cluster.bench.command(&all);
        command.env_remove("HEARTH_REPO");
        let (out, error) = expect(command.output().unwrap(), code, format!("{all:?}"));
        let report: Value = serde_json::from_str(out.lines().last().unwrap_or("null")).unwrap();
        (report["repositories"][0].clone(), error)
    }

    fn store(&self) -> Arc<DirectoryStore> {
        Arc::new(DirectoryStore::open(self.cluster.server.path("nas")).unwrap())
    }

    fn snapshots(&self) -> Vec<SnapshotId> {
        let repository = Repository::open(self.store(), &Trust::default()).unwrap();
        Snapshots::load(&repository, Folder::Snapshots).unwrap().list.into_iter().map(|snapshot| snapshot.id).collect()
    }

    /// The host makes a snapshot, which the hub received so long ago.
    fn snapshot(&self, ago: SignedDuration) -> SnapshotId {
        self.cluster.bench.write("source/a.txt", ago.to_string().as_bytes());
        let id = self.cluster.backs_up()["snapshot"].as_str().unwrap().parse().unwrap();
        self.received(&id, Timestamp::now() - ago);
        id
    }

    fn received(&self, id: &SnapshotId, when: Timestamp) {
        let store = self.store();
        store.delete(&snapshots::name(Folder::Received, id)).unwrap();
        received::write(store.as_ref(), id, when, "nas").unwrap();
    }

    /// Snapshots like a good one, signed with the host's key and committed: so many, received from then on, a second apart.
    fn forge(&self, like: &SnapshotId, count: u64, from: Timestamp, change: impl Fn(&mut Envelope)) -> Vec<SnapshotId> {
        let store = self.store();
        let key = WriterKey::read(&self.cluster.bench.path("w.key")).unwrap();
        let good = snapshots::read_bytes(store.as_ref(), Folder::Snapshots, like).unwrap();
        let (signed, payload) = envelope::parse(Subject::Snapshot, &good).unwrap();
        let forge = |number: u64| {
            let mut envelope = Envelope { sequence: 1_000_000 + number, ..signed.envelope.clone() };
            change(&mut envelope);
            let text = serde_json::to_vec(&envelope).unwrap();
            let bytes = envelope::encode(Subject::Snapshot, &text, &key.signing.sign(Subject::Snapshot, &key.repository, &text), payload);
            let id = SnapshotId::of(&bytes);
            // Straight to the disk: what the door lets in has tests of its own, and takes its time for each.
            let folder = self.cluster.server.path("nas");
            let received = from + SignedDuration::from_secs(i64::try_from(number).unwrap());
            let received = marks::encode_received(&marks::Received { received, door: "nas".to_owned(), mirrored: false }).unwrap();
            for (place, bytes) in [(Folder::Snapshots, bytes), (Folder::Commits, marks::encode_commit(&id)), (Folder::Received, received)] {
                let path = folder.join(snapshots::name(place, &id).path());
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, bytes).unwrap();
            }
            id
        };
        (0..count).map(forge).collect()
    }
}

/// The status of a run that finds snapshots which the hub received, as the test says, long before or after they were made.
const BACKDATED: i32 = 3;
const DAY: SignedDuration = SignedDuration::from_hours(24);

#[test]
fn snapshots_are_forgotten_by_the_time_that_the_hub_received_them() {
    let house = House::new("retention = { daily = 3 }");
    let ids: Vec<_> = (0..6).rev().map(|days| house.snapshot(DAY * days)).collect();
    let (planned, _) = house.maintain(&["--only", "forget", "--dry-run"], BACKDATED);
    assert_eq!((planned["forget"]["chosen"].as_u64(), house.snapshots().len()), (Some(3), 6), "{planned}");
    let (report, _) = house.maintain(&[], BACKDATED);
    assert_eq!(report["forget"]["forgotten"], 3, "{report}");
    assert_eq!(house.snapshots(), ids[3..]);
    let record = house.record();
    assert_eq!((record.forget.outcome, record.prune.outcome, record.verify.outcome), (Outcome::Good, Outcome::Good, Outcome::Good));
    assert_eq!((record.forget.done.unwrap().kept, record.forget.done.unwrap().forgotten), (3, 3));
    house.cluster.ok("reader", &["check", "--read-data", "--key", "r.key"]);
}

#[test]
fn the_door_writes_down_when_snapshots_come_and_maintenance_when_it_did_not() {
    let house = House::new("");
    let id = house.snapshot(SignedDuration::ZERO);
    let store = house.store();
    let name = snapshots::name(Folder::Received, &id);
    store.delete(&name).unwrap();
    house.cluster.bench.write("source/a.txt", b"changed");
    house.cluster.backs_up();
    assert_eq!(store.list(Folder::Received).unwrap().len(), 1, "the door's");
    house.maintain(&["--only", "forget"], 0);
    let record = marks::read_received(store.as_ref(), &id).unwrap().unwrap();
    let stored = store.stat(&snapshots::name(Folder::Snapshots, &id)).unwrap().stored;
    assert_eq!((record.received, record.door.as_str()), (stored.try_into().unwrap(), "hub"));
}

#[test]
fn a_flood_of_ten_thousand_forged_snapshots_evicts_no_good_one() {
    let house = House::new("retention = { last = 2, daily = 7 }\nmaxForget = 90");
    let good: Vec<_> = (1..=8).rev().map(|days| house.snapshot(DAY * days)).collect();
    house.forge(&good[7], 10_000, Timestamp::now() - SignedDuration::from_hours(11), |_| {});
    let (report, error) = house.maintain(&["--only", "forget", "--only", "prune"], 1);
    assert!(error.contains("would be forgotten, more than 90% in one run"), "{error}");
    assert_eq!((report["forget"]["forgotten"].as_u64(), report["forget"]["refused"].as_u64()), (Some(0), Some(1)), "{report}");
    assert_eq!(report["prune"]["outcome"], "skipped", "{report}");
    assert_eq!(house.record().forget.outcome, Outcome::Problems);
    let there = house.snapshots();
    assert!(good.iter().all(|id| there.contains(id)) && there.len() == 10_008);
}

#[test]
fn a_flood_that_a_person_lets_go_through_takes_the_good_ones_of_no_other_day() {
    let house = House::new("retention = { last = 2, daily = 7 }");
    let good: Vec<_> = (1..=8).rev().map(|days| house.snapshot(DAY * days)).collect();
    let forged = house.forge(&good[7], 150, Timestamp::now() - SignedDuration::from_hours(11), |_| {});
    house.maintain(&["--only", "forget"], 1);
    house.maintain(&["--max-forget", "100"], 0);
    let there = house.snapshots();
    assert!(good[2..].iter().all(|id| there.contains(id)), "six days before that of the flood, which is the seventh");
    assert!(forged.iter().filter(|id| there.contains(id)).count() <= 10, "of {} that are left", there.len());
    house.cluster.ok("reader", &["restore", &good[2].to_string(), "--key", "r.key", "--target", "out"]);
}

#[test]
fn snapshots_forged_into_other_groups_take_nothing_from_the_good_ones() {
    let house = House::new("retention = { daily = 2 }");
    let good: Vec<_> = (1..=2).rev().map(|days| house.snapshot(DAY * days)).collect();
    house.forge(&good[1], 50, Timestamp::now() - SignedDuration::from_mins(10), |envelope| {
        envelope.group = hearth_backup::model::id::GroupId::from_bytes([7; 32]);
    });
    house.maintain(&["--max-forget", "100"], BACKDATED);
    let there = house.snapshots();
    assert!(good.iter().all(|id| there.contains(id)));
}

#[test]
fn a_writer_whose_clock_is_off_by_more_than_an_hour_is_reported_once() {
    let house = House::new("retention = { daily = 7 }");
    let good = house.snapshot(SignedDuration::from_mins(30));
    let ahead = |envelope: &mut Envelope| envelope.finished = Timestamp::now() + DAY * 400;
    house.forge(&good, 1, Timestamp::now() - SignedDuration::from_mins(1), ahead);
    let (report, error) = house.maintain(&["--only", "forget"], 3);
    assert_eq!(report["forget"]["skewed"], 1, "{report}");
    assert!(error.contains("ahead of the hub's") && error.contains("Retention counts by the hub's"), "{error}");
    let (report, error) = house.maintain(&["--only", "forget"], 0);
    assert_eq!(report["forget"]["skewed"], 1, "it is still counted: {report}");
    assert!(!error.contains("ahead"), "{error}");
}

#[test]
fn what_rots_is_found_by_whoever_stores_it_and_the_rest_goes_on() {
    let house = House::new("verifyWithin = \"2d\"");
    house.cluster.bench.write("source/large", &raw::noise(3, 2_000_000));
    house.cluster.backs_up();
    house.maintain(&["--only", "verify"], 0);
    let record = house.record().verify;
    assert!(record.done.as_ref().unwrap().read > 0 && record.done.unwrap().turn.whole_since().is_some(), "a day is half of it, less a day");
    let pack = house.store().list(Folder::Packs).unwrap().into_iter().max_by_key(|info| info.size).unwrap();
    let path = house.cluster.server.path("nas").join(pack.name.path());
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).unwrap();
    let (report, _) = house.maintain(&["--verify-all"], 3);
    assert!(report["verify"]["problems"][0].as_str().unwrap().contains(pack.name.leaf()), "{report}");
    let record = house.record();
    assert_eq!((record.verify.outcome, record.prune.outcome), (Outcome::Problems, Outcome::Good));
    assert!(record.verify.messages[0].contains("its bytes do not match"), "{:?}", record.verify.messages);
}

#[test]
fn mirrors_are_brought_up_to_date_and_one_that_is_gone_is_not_made_anew_unasked() {
    let house = House::new("");
    let place = house.cluster.bench.path("friend");
    fs::create_dir(&place).unwrap();
    house.rules(&format!("[hub.mirrors.friend]\nurl = \"{}/{{repository}}\"\nverify = 100\n", place.display()));
    house.cluster.backs_up();
    let (report, _) = house.maintain(&["--only", "mirror"], 0);
    assert_eq!((&report["mirrors"][0]["mirror"], &report["mirrors"][0]["snapshots"]), (&"friend".into(), &1.into()), "{report}");
    let restored = house.cluster.bench.command(&[
        "restore",
        "latest",
        "--repo",
        place.join("nas").to_str().unwrap(),
        "--key",
        house.cluster.bench.path("r.key").to_str().unwrap(),
        "--target",
        house.cluster.bench.path("out").to_str().unwrap(),
    ]);
    expect({ restored }.output().unwrap(), 0, "a restore from the mirror");
    let bench = &house.cluster.bench;
    assert_eq!(tree(&bench.path("source")), tree(&bench.path("out").join(&bench.source()[1..])));
    fs::remove_dir_all(&place).unwrap();
    fs::create_dir(&place).unwrap();
    let (_, error) = house.maintain(&["--only", "mirror"], 1);
    assert!(error.contains("its disk may not be mounted") && error.contains("--remake-mirrors"), "{error}");
    assert!(error.contains("is empty or not there") && !error.contains("`hearth-backup init`"), "nothing new shall be made: {error}");
    let step = house.record().mirrors["friend"].clone();
    assert_eq!((step.outcome, step.done.unwrap().snapshots), (Outcome::Failed, 1), "what it had is not forgotten");
    house.maintain(&["--only", "mirror", "--mirror", "friend", "--remake-mirrors"], 0);
    assert!(place.join("nas/repo").exists());
}

#[test]
fn a_mirror_that_rots_is_told_as_damage_of_the_repository_is() {
    let house = House::new("");
    let place = house.cluster.bench.path("friend");
    fs::create_dir(&place).unwrap();
    house.rules(&format!("[hub.mirrors.friend]\nurl = \"{}/{{repository}}\"\nverify = 100\n", place.display()));
    house.cluster.backs_up();
    house.maintain(&["--only", "mirror"], 0);
    let pack = largest(&place.join("nas/packs"));
    fs::set_permissions(&pack, fs::Permissions::from_mode(0o600)).unwrap();
    let mut bytes = fs::read(&pack).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&pack, bytes).unwrap();
    let (report, _) = house.maintain(&["--only", "mirror"], 3);
    let told = report["mirrors"][0]["problems"][0].as_str().unwrap();
    assert!(told.contains("its bytes do not match its name"), "{report}");
    assert_eq!(house.record().mirrors["friend"].outcome, Outcome::Problems);
}

/// The largest file below a directory.
fn largest(folder: &Path) -> PathBuf {
    let inside = |entry: PathBuf| if entry.is_dir() { largest(&entry) } else { entry };
    let files = fs::read_dir(folder).unwrap().map(|entry| inside(entry.unwrap().path()));
    files.max_by_key(|file| fs::metadata(file).unwrap().len()).unwrap()
}

#[test]
fn a_repository_that_was_replaced_or_is_older_than_before_is_left_alone() {
    let house = House::new("");
    house.cluster.backs_up();
    house.maintain(&[], 0);
    let path = house.cluster.server.path("nas");
    fs::rename(&path, house.cluster.bench.path("aside")).unwrap();
    let other = house.cluster.bench.command(&["init", "--repo", path.to_str().unwrap(), "--writer-key", "x.key", "--restore-key", "y.key"]);
    expect({ other }.output().unwrap(), 0, "another repository");
    let (_, error) = house.maintain(&[], 1);
    assert!(error.contains("if you replaced it yourself, remove") && error.contains("nas.json"), "{error}");
}

#[test]
fn two_that_keep_house_at_once_do_not_meet() {
    let house = House::new("");
    house.cluster.backs_up();
    house.maintain(&[], 0);
    let lock = fs::File::options().append(true).open(house.data().join("upkeep/nas.lock")).unwrap();
    lock.lock().unwrap();
    let config = house.cluster.bench.path("hub.toml");
    let mut command = house.cluster.bench.command(&["hub", "maintain", "--config", config.to_str().unwrap()]);
    let mut second = command.env_remove("HEARTH_REPO").stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut said = BufReader::new(second.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(said.any(|line| line.contains("another run keeps house there; waiting")));
    assert_eq!(second.try_wait().unwrap(), None);
    drop(lock);
    said.for_each(drop);
    assert!(second.wait().unwrap().success());
}

#[test]
fn what_the_hub_does_not_have_is_told_with_what_it_has() {
    let house = House::new("");
    let (_, error) = house.maintain(&["--repository", "nsa"], 1);
    assert!(error.contains("no repository `nsa`; it has: nas"), "{error}");
    let (_, error) = house.maintain(&["--mirror", "cloud"], 1);
    assert!(error.contains("no mirror `cloud`"), "{error}");
}
