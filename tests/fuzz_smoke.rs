//! Every parser survives mutations of valid inputs: the fuzz targets for seconds, without a fuzzer.
//!
//! The seeds in `fuzz/corpus/` are valid and stay so: a seed of format 1 that is refused means that the format changed.
//! What starts with `mended-` once broke a parser and must only not do so again.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test that cannot read its seeds has failed")]

#[path = "fuzz/mutation.rs"]
mod mutation;
#[path = "fuzz/seeds.rs"]
mod seeds;
#[path = "../fuzz/src/lib.rs"]
mod targets;

use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mutation::Mutator;
use targets::{TARGETS, Target};

/// Mutations of each target, and the time after which a slow machine lets it be.
const ROUNDS: u64 = 20_000;
const PATIENCE: Duration = Duration::from_secs(2);

#[test]
fn every_seed_is_accepted_and_what_was_mended_stays_mended() {
    for (name, target) in TARGETS {
        let inputs = corpus(name);
        assert!(inputs.iter().any(|input| input.is_seed), "{name} has no seed in fuzz/corpus/{name}");
        for input in inputs {
            assert!(target(&input.bytes) || !input.is_seed, "{name} refuses {}", input.path.display());
        }
    }
}

#[test]
fn mutated_seeds_are_accepted_or_refused_but_break_nothing() {
    // For minutes and without a fuzzer: see fuzz/README.md.
    let seconds = std::env::var("HEARTH_FUZZ_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    let (rounds, patience) = seconds.map_or((ROUNDS, PATIENCE), |seconds| (u64::MAX, Duration::from_secs(seconds)));
    let wanted = std::env::var("HEARTH_FUZZ_TARGETS").unwrap_or_default();
    for (name, target) in TARGETS.iter().filter(|(name, _)| name.starts_with(&wanted)) {
        let seeds: Vec<Vec<u8>> = corpus(name).into_iter().map(|input| input.bytes).collect();
        let (start, mut done) = (Instant::now(), 0);
        for round in (0..rounds).take_while(|round| round % 64 != 0 || start.elapsed() < patience) {
            survive(name, *target, &Mutator::new(round).mutate(&seeds));
            done += 1;
        }
        println!("{name}: {done} inputs");
    }
}

#[test]
fn no_prefix_of_a_seed_breaks_anything() {
    for (name, target) in TARGETS {
        for input in corpus(name) {
            for length in (0..input.bytes.len()).step_by(input.bytes.len() / 2000 + 1) {
                survive(name, *target, &input.bytes[..length]);
            }
        }
    }
}

#[test]
fn every_target_has_a_binary_for_the_fuzzer() {
    let names: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let files = fs::read_dir(root().join("fuzz_targets")).unwrap().map(|entry| entry.unwrap().path());
    let binaries: BTreeSet<String> = files.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    assert_eq!(names, binaries);
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    for name in names {
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name} is not in fuzz/Cargo.toml");
        let source = fs::read_to_string(root().join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(source.contains(&format!("hearth_backup_fuzz::{name}(bytes)")), "fuzz_targets/{name}.rs runs another target");
    }
}

#[test]
#[ignore = "writes fuzz/corpus anew; for when the format gains something"]
fn write_the_seeds() {
    for (target, name, bytes) in seeds::all() {
        let folder = root().join("corpus").join(target);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("seed-{name}")), bytes).unwrap();
    }
}

struct Input {
    path: PathBuf,
    bytes: Vec<u8>,
    is_seed: bool,
}

/// The committed inputs of a target, in order of name.
fn corpus(target: &str) -> Vec<Input> {
    let folder = root().join("corpus").join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let is = |path: &Path, start: &str| path.file_name().unwrap().to_str().unwrap().starts_with(start);
    let committed = paths.into_iter().filter(|path| is(path, "seed-") || is(path, "mended-"));
    committed.map(|path| Input { bytes: fs::read(&path).unwrap(), is_seed: is(&path, "seed-"), path }).collect()
}

/// Runs a target; if it panics, keeps the input where the fuzzer would.
fn survive(name: &str, target: Target, bytes: &[u8]) {
    if catch_unwind(|| target(bytes)).is_err() {
        let folder = root().join("artifacts").join(name);
        let file = folder.join(format!("crash-{}", &blake3::hash(bytes).to_hex()[..16]));
        fs::create_dir_all(folder).unwrap();
        fs::write(&file, bytes).unwrap();
        panic!("{name} broke on {}; mend it and keep the input as corpus/{name}/mended-...", file.display());
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}
