//! What we link: licences, sources and crates that `deny.toml` allows. Needs no network and no other tool.
#![allow(clippy::unwrap_used, reason = "a test that cannot read the package has failed")]

use std::fs;
use std::path::Path;
use std::process::Command;

use serde::Deserialize;

#[derive(Deserialize)]
struct Tree {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    source: Option<String>,
}

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

#[test]
fn every_crate_may_be_shipped_under_our_licences() {
    let allowed = quoted_after("allow = [");
    let refused: Vec<String> = foreign_crates()
        .into_iter()
        .filter(|package| !package.license.as_deref().is_some_and(|licence| is_allowed(licence, &allowed)))
        .map(|package| format!("{} {}: {}", package.name, package.version, package.license.unwrap_or_default()))
        .collect();
    assert!(refused.is_empty(), "not covered by the licences of deny.toml:\n{}", refused.join("\n"));
}

#[test]
fn no_crate_is_banned() {
    let banned = quoted_after("deny = [");
    let found: Vec<String> = foreign_crates().into_iter().map(|package| package.name).filter(|name| banned.contains(name)).collect();
    assert!(found.is_empty(), "banned by deny.toml: {found:?}");
}

#[test]
fn every_crate_comes_from_crates_io_with_a_checksum() {
    let lock = read("Cargo.lock");
    let crates = lock.split("[[package]]").filter(|package| package.contains("\nsource = "));
    let wrong: Vec<&str> = crates.filter(|package| !package.contains(CRATES_IO) || !package.contains("\nchecksum = ")).collect();
    assert!(wrong.is_empty(), "only crates.io, and nothing without a checksum:\n{}", wrong.concat());
}

#[test]
fn licence_expressions_are_read_as_spdx_means_them() {
    let allowed = ["MIT".to_owned(), "ISC".to_owned()];
    for good in ["MIT", "MIT/GPL-2.0-only", "GPL-2.0-only OR ISC", "ISC AND (Apache-2.0 OR MIT)", "X WITH Y OR MIT AND ISC"] {
        assert!(is_allowed(good, &allowed), "{good}");
    }
    for bad in ["", "GPL-3.0-only", "MIT AND GPL-3.0-only", "(MIT OR ISC) AND X", "MIT WITH exception", "MIT OR (", "AND"] {
        assert!(!is_allowed(bad, &allowed), "{bad}");
    }
}

/// Everything that is linked on this kind of machine, tests and build scripts included.
fn foreign_crates() -> Vec<Package> {
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--locked", "--filter-platform", &platform])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree: Tree = serde_json::from_slice(&output.stdout).unwrap();
    let foreign: Vec<Package> = tree.packages.into_iter().filter(|package| package.source.is_some()).collect();
    assert!(!foreign.is_empty());
    foreign
}

/// The quoted words of a list in `deny.toml`.
fn quoted_after(start: &str) -> Vec<String> {
    let text = read("deny.toml");
    let list = text.split_once(start).unwrap().1.split_once(']').unwrap().0;
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

fn read(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// Whether an SPDX expression can be met with the allowed licences. `AND` binds closer than `OR`; old crates write `/` for `OR`.
fn is_allowed(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut words = spaced.split_whitespace().peekable();
    let met = any_of(&mut words, allowed);
    met == Some(true) && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

/// `a OR b …`; none if the words are no expression.
fn any_of(words: &mut Words, allowed: &[String]) -> Option<bool> {
    let mut met = all_of(words, allowed)?;
    while words.next_if_eq(&"OR").is_some() {
        met |= all_of(words, allowed)?;
    }
    Some(met)
}

fn all_of(words: &mut Words, allowed: &[String]) -> Option<bool> {
    let mut met = one(words, allowed)?;
    while words.next_if_eq(&"AND").is_some() {
        met &= one(words, allowed)?;
    }
    Some(met)
}

fn one(words: &mut Words, allowed: &[String]) -> Option<bool> {
    let word = words.next()?;
    if word == "(" {
        let met = any_of(words, allowed)?;
        return (words.next()? == ")").then_some(met);
    }
    if ["AND", "OR", "WITH", ")"].contains(&word) {
        return None;
    }
    // A licence with an exception is another licence.
    let exception = words.next_if_eq(&"WITH").is_some() && words.next().is_some();
    Some(!exception && allowed.iter().any(|licence| licence == word))
}
