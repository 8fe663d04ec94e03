//! Repositories of earlier releases, with their keys, stay readable and writable: `tests/golden/format-1/<release>/`.
//!
//! A golden repository is never edited. A release that adds something to the format makes a new one with
//! `tests/golden/make NAME` and names it in [`FORMAT_1`].
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test that cannot read its files has failed")]

#[path = "golden/listing.rs"]
mod listing;
#[path = "golden/made.rs"]
mod made;
#[path = "golden/program.rs"]
mod program;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use program::{Machine, copy};

/// The golden repositories of format 1: every folder is listed here and every name has its folder.
const FORMAT_1: &[&str] = &["0.1.0"];

#[test]
fn every_golden_repository_is_listed_and_every_listed_one_is_there() {
    let folder = format_1();
    let entries = fs::read_dir(&folder).into_iter().flatten();
    let found: BTreeSet<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let listed: BTreeSet<String> = FORMAT_1.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(found, listed, "left: folders of {}, right: FORMAT_1 in tests/golden.rs", folder.display());
}

#[test]
fn golden_repositories_restore_to_what_they_were_made_of() {
    FORMAT_1.iter().for_each(|name| restores_as_listed(&format_1().join(name)));
}

#[test]
fn golden_repositories_check_clean() {
    for name in FORMAT_1 {
        let machine = Machine::new(&format_1().join(name));
        machine.run(&["check", "--read-data", "--key", "restore.key"]);
    }
}

#[test]
fn golden_repositories_can_be_added_to_and_pruned() {
    for name in FORMAT_1 {
        let machine = Machine::new(&format_1().join(name));
        let source = machine.path("source");
        fs::create_dir(&source).unwrap();
        fs::write(source.join("new"), "added by a later release").unwrap();
        machine.run(&["backup", "--key", "writer.key", source.to_str().unwrap()]);
        machine.run(&["prune", "--grace", "0", "--max-unused", "0"]);
        machine.run(&["restore", "latest", "--key", "restore.key", "--target", "restored"]);
        let restored = machine.path("restored").join(source.strip_prefix("/").unwrap()).join("new");
        assert_eq!(fs::read_to_string(restored).unwrap(), "added by a later release");
    }
}

#[test]
#[ignore = "tests/golden/make runs it"]
fn make_a_golden_repository() {
    let name = std::env::var("GOLDEN_NAME").unwrap();
    let folder = format_1().join(&name);
    assert!(!folder.exists(), "{} is there; golden repositories are never made again", folder.display());
    let machine = Machine::empty();
    let listing = made::make(&machine);
    for file in ["writer.key", "restore.key", "repository"] {
        copy(&machine.path(file), &folder.join(file));
    }
    fs::write(folder.join("listing"), listing).unwrap();
    restores_as_listed(&folder);
}

/// Restores the newest snapshot and compares names, metadata and content with the listing.
fn restores_as_listed(golden: &Path) {
    let machine = Machine::new(golden);
    machine.run(&["restore", "latest", "--key", "restore.key", "--target", "restored"]);
    let source = Path::new(made::SOURCE).strip_prefix("/").unwrap();
    let found = listing::of(&machine.path("restored").join(source));
    let expected = fs::read_to_string(golden.join("listing")).unwrap();
    assert_eq!(found.lines().collect::<Vec<_>>(), expected.lines().collect::<Vec<_>>(), "{}", golden.display());
}

fn format_1() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/format-1")
}
