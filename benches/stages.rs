//! What each stage of a backup takes on its own, in one thread: `cargo bench --bench stages`.
#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark that fails may stop")]

mod synthetic;

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hearth_backup::content::block::BlockBuilder;
use hearth_backup::content::chunker::Chunker;
use hearth_backup::content::compress::{Compressor, DEFAULT_LEVEL};
use hearth_backup::content::seal::{BlockOpener, BlockSealer};
use hearth_backup::content::secret::ChunkSecret;
use hearth_backup::model::id::BlockId;
use hearth_backup::sealed::pack::Class;
use hearth_backup::sealed::statement::Chunking;
use hearth_backup::source::walk::{Walk, WalkOptions};
use synthetic::{LENGTH, Random, prefix};

/// Plaintext of a typical block, in bytes.
const BLOCK: usize = 2 << 20;
/// Lookups in one round.
const LOOKUPS: u64 = 10_000;

/// Random bytes.
fn noise(length: usize) -> Vec<u8> {
    let mut random = Random(7);
    let mut bytes = Vec::with_capacity(length + 32);
    while bytes.len() < length {
        bytes.extend_from_slice(&random.id());
    }
    bytes.truncate(length);
    bytes
}

/// Lines of words, the early ones of a list more often than the late ones; it packs about as well as source code.
fn text(length: usize) -> Vec<u8> {
    let mut random = Random(11);
    let words: Vec<String> =
        (0..2000).map(|_| (0..2 + random.number() % 9).map(|_| char::from(b'a' + (random.number() % 26) as u8)).collect()).collect();
    let mut text = Vec::with_capacity(length + 16);
    while text.len() < length {
        let bound = 1 + random.number() % words.len() as u64;
        text.extend_from_slice(words[(random.number() % bound) as usize].as_bytes());
        text.push(if random.number().is_multiple_of(10) { b'\n' } else { b' ' });
    }
    text.truncate(length);
    text
}

/// Whether this measures; else `cargo test` only wants to see that it runs.
fn measures() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}

fn chunk(c: &mut Criterion) {
    let chunker = Chunker::new(&ChunkSecret::from_bytes([3; 32]), Chunking::default());
    let mut group = c.benchmark_group("chunk");
    let bytes = noise(8 << 20);
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("random", |b| {
        b.iter(|| {
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                rest = &rest[black_box(chunker.cut(rest))..];
            }
        });
    });
}

fn hash(c: &mut Criterion) {
    let keys = ChunkSecret::from_bytes([3; 32]).chunk_keys();
    let mut group = c.benchmark_group("hash");
    let bytes = noise(BLOCK);
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    for kib in [64, 4] {
        group.bench_function(format!("chunk ids, {kib} KiB each"), |b| {
            b.iter(|| {
                for chunk in bytes.chunks(kib << 10) {
                    black_box(keys.id(Class::Data, chunk));
                }
            });
        });
    }
    group.bench_function("block id", |b| b.iter(|| BlockId::of(&bytes)));
}

fn compress(c: &mut Criterion) {
    let mut compressor = Compressor::new(DEFAULT_LEVEL).unwrap();
    let mut group = c.benchmark_group("compress");
    for (name, bytes) in [("text", text(BLOCK)), ("random", noise(BLOCK))] {
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(name, |b| b.iter(|| compressor.frame(&bytes).unwrap().length()));
    }
}

fn seal(c: &mut Criterion) {
    let identity = age::x25519::Identity::generate();
    let mut sealer = BlockSealer::new(identity.to_public(), DEFAULT_LEVEL).unwrap();
    let mut opener = BlockOpener::new(vec![identity]).unwrap();
    let mut group = c.benchmark_group("seal");
    for (name, bytes) in [("text", text(BLOCK)), ("random", noise(BLOCK))] {
        let mut builder = BlockBuilder::default();
        bytes.chunks(64 << 10).for_each(|chunk| builder.push(chunk));
        let plain = builder.finish();
        let mut sealed = Vec::new();
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(format!("compress and seal, {name}"), |b| {
            b.iter(|| {
                sealed.clear();
                sealer.seal(plain.bytes(), &mut sealed).unwrap();
            });
        });
        if sealed.is_empty() {
            // A filter on the command line may have left out the sealing.
            sealer.seal(plain.bytes(), &mut sealed).unwrap();
        }
        group.bench_function(format!("open and unpack, {name}"), |b| {
            b.iter(|| {
                let block = opener.open(&sealed).unwrap();
                opener.recycle(block);
            });
        });
    }
}

fn lookup(c: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap();
    let mut index = synthetic::open(dir.path());
    let count = synthetic::learn(&mut index, if measures() { 1_000_000 } else { 1 });
    index.save().unwrap();
    let mut index = synthetic::open(dir.path());
    let mut random = Random(5);
    let mut group = c.benchmark_group("lookup");
    group.throughput(Throughput::Elements(LOOKUPS));
    for (name, first) in [("hit", 0), ("miss", count)] {
        let wanted: Vec<_> = (0..LOOKUPS).map(|_| prefix(first + random.number() % count)).collect();
        group.bench_function(format!("{name}, 1 million chunks"), |b| {
            b.iter(|| wanted.iter().filter(|prefix| index.use_chunk(prefix, LENGTH).is_some()).count());
        });
    }
}

fn walk(c: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap();
    let (folders, files) = if measures() { (100, 100) } else { (2, 2) };
    for folder in 0..folders {
        let folder = dir.path().join(format!("folder-{folder}"));
        std::fs::create_dir(&folder).unwrap();
        (0..files).for_each(|file| std::fs::write(folder.join(format!("file-{file}.txt")), b"").unwrap());
    }
    let paths = [dir.path().canonicalize().unwrap()];
    let mut group = c.benchmark_group("walk");
    group.throughput(Throughput::Elements(folders * files));
    group.bench_function("10,000 files in 100 folders", |b| {
        b.iter(|| Walk::new(&paths, WalkOptions::default()).unwrap().count());
    });
}

criterion_group! {
    name = stages;
    config = Criterion::default().sample_size(10).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    targets = chunk, hash, compress, seal, lookup, walk
}
criterion_main!(stages);
