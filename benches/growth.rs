//! How time and memory grow with the number of chunks: `cargo bench --bench growth -- 1 10` takes millions of chunks and prints
//! a Markdown table.
//!
//! Every row group is a process of its own, so that none finds another's memory. Blocks are synthetic: the lists are as they
//! would be, but the blocks in the packs are a few bytes. Everything lies in a temporary directory or in memory.
#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark that fails may stop")]

mod synthetic;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hearth_backup::content::admin::{InitOptions, NewRepository};
use hearth_backup::content::keys::WriterKey;
use hearth_backup::model::event::Silent;
use hearth_backup::model::id::{BlockId, ChunkId, GroupId, IndexId, RefsId, SnapshotId};
use hearth_backup::sealed::envelope::{self, Envelope, Sizes};
use hearth_backup::sealed::index::{self, BlockList};
use hearth_backup::sealed::pack::{Class, PackWriter};
use hearth_backup::sealed::refs::{self, Bitmap, Refs};
use hearth_backup::sealed::repository::Repository;
use hearth_backup::sealed::signature::Subject;
use hearth_backup::sealed::{gc, limits, marks, snapshots, verify};
use hearth_backup::store::{Folder, MemoryStore, Store};
use synthetic::{CHUNKS, LENGTH, PACK, Random, prefix};

/// Lookups that are timed.
const LOOKUPS: u64 = 100_000;
/// Snapshots that a keeper looks after.
const SNAPSHOTS: usize = 60;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        // Under `cargo test`: only see that it runs.
        _ if std::env::args().all(|argument| argument != "--bench") => {
            ["learning", "backup", "keeper"].iter().for_each(|what| part(what, 1))
        }
        [what, chunks] if chunks.ends_with("chunks") => part(what, chunks.trim_end_matches("chunks").parse().unwrap()),
        [] => table(&[1, 10]),
        millions => table(&millions.iter().map(|number| number.parse().unwrap()).collect::<Vec<_>>()),
    }
}

fn table(millions: &[u64]) {
    println!("| chunks | work | time | anonymous memory after it | most memory in use, mapped files included |\n|---|---|---:|---:|---:|");
    for millions in millions {
        for what in ["learning", "backup", "keeper"] {
            let chunks = format!("{}chunks", millions * 1_000_000);
            let status = Command::new(std::env::current_exe().unwrap()).args([what, &chunks, "--bench"]).status().unwrap();
            assert!(status.success(), "{what} of {millions} million chunks: {status}");
        }
    }
}

fn part(what: &str, chunks: u64) {
    let dir = tempfile::tempdir().unwrap();
    match what {
        "learning" => learning(dir.path(), chunks),
        "backup" => backup(dir.path(), chunks),
        _ => keeper(chunks),
    }
}

/// A figure of `/proc/self/status`, in bytes.
fn memory(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// Does some work and prints its row.
fn row<T>(chunks: u64, name: &str, work: impl FnOnce() -> T) -> T {
    // Sets VmHWM back to what is in use now (proc(5)).
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let start = Instant::now();
    let result = work();
    let time = start.elapsed();
    let [anonymous, most] = ["RssAnon", "VmHWM"].map(|field| memory(field) as f64 / 1e6);
    let time =
        if time < Duration::from_secs(1) { format!("{:.1} ms", time.as_secs_f64() * 1e3) } else { format!("{:.1} s", time.as_secs_f64()) };
    println!("| {:.0} million | {name} | {time} | {anonymous:.0} MB | {most:.0} MB |", chunks as f64 / 1e6);
    result
}

fn on_disk(dir: &Path) -> u64 {
    std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
}

/// The chunk index of a host that has lost it, and lookups in it.
fn learning(dir: &Path, chunks: u64) {
    let mut index = synthetic::open(dir);
    let count = row(chunks, "chunk index: learn from index objects", || synthetic::learn(&mut index, chunks));
    row(chunks, "chunk index: save", || index.save().unwrap());
    drop(index);
    let mut index = row(chunks, &format!("chunk index: open, {:.0} MB of files", on_disk(dir) as f64 / 1e6), || synthetic::open(dir));
    let mut random = Random(5);
    for (name, first) in [("hits", 0), ("misses", count)] {
        let wanted: Vec<_> = (0..LOOKUPS).map(|_| prefix(first + random.number() % count)).collect();
        let found = row(chunks, &format!("chunk index: {LOOKUPS} random {name}"), || {
            wanted.iter().filter(|prefix| index.use_chunk(prefix, LENGTH).is_some()).count() as u64
        });
        assert_eq!(found, if first == 0 { LOOKUPS } else { 0 });
    }
}

/// The chunk index in a first backup: every chunk is looked for and put in.
fn backup(dir: &Path, chunks: u64) {
    let mut index = synthetic::open(dir);
    row(chunks, "chunk index: first backup, a miss and an insertion each", || {
        let (mut random, mut next) = (Random(1), 0);
        while next < chunks {
            let list = synthetic::list(&mut random);
            let ordinals: Vec<_> = (0..list.len()).map(|_| index.new_block()).collect();
            for ordinal in &ordinals {
                for number in next..next + CHUNKS {
                    let id = synthetic::chunk(number);
                    assert!(index.use_chunk(&prefix(number), LENGTH).is_none());
                    index.insert(&ChunkId::from_bytes(id), LENGTH, *ordinal).unwrap();
                }
                next += CHUNKS;
            }
            index.stored(IndexId::from_bytes(random.id()), list, &ordinals);
        }
    });
    row(chunks, "chunk index: save after it", || index.save().unwrap());
}

/// Stores packs of tiny blocks and an index object that lists them.
fn put_index(store: &MemoryStore, random: &mut Random) -> (IndexId, usize) {
    let packs = (0..limits::INDEX_BLOCKS / PACK)
        .map(|_| {
            let mut pack = PackWriter::new(store, Class::Data).unwrap();
            for _ in 0..PACK {
                let block = random.id();
                pack.block(BlockId::of(&block), &block).unwrap();
            }
            let pack = pack.finish().unwrap();
            (pack.id, pack.contents)
        })
        .collect();
    let list = BlockList { packs };
    let bytes = index::encode(&list, &[]);
    let id = IndexId::of(&bytes);
    store.put_new(&index::name(&id), &bytes).unwrap();
    (id, list.len())
}

fn put_snapshot(store: &MemoryStore, key: &WriterKey, sequence: u64, refs: &Refs) {
    let bytes = refs.encode().unwrap();
    let refs = RefsId::of(&bytes);
    store.put_new(&refs::name(&refs), &bytes).unwrap();
    let time = jiff::Timestamp::UNIX_EPOCH;
    let envelope = Envelope {
        writer: key.writer,
        sequence,
        parent: None,
        started: time,
        finished: time,
        group: GroupId::from_bytes([1; 32]),
        refs,
        sizes: Sizes::default(),
        payload: Some(blake3::hash(&[]).to_hex().to_string()),
    };
    let text = serde_json::to_vec(&envelope).unwrap();
    let bytes = envelope::encode(Subject::Snapshot, &text, &key.signing.sign(Subject::Snapshot, &key.repository, &text), &[]);
    let id = SnapshotId::of(&bytes);
    store.put_new(&snapshots::name(Folder::Snapshots, &id), &bytes).unwrap();
    store.put_new(&snapshots::name(Folder::Commits, &id), &marks::encode_commit(&id)).unwrap();
}

/// A repository in memory in which every snapshot needs nine blocks in ten.
fn repository(chunks: u64) -> Repository {
    let store = MemoryStore::new();
    let options = InitOptions { writer: "host".into(), ..InitOptions::default() };
    let new = NewRepository::generate(&options, Vec::new()).unwrap();
    let (repository, key) = new.publish(Arc::new(store.clone()), &mut |_| Ok(())).unwrap();
    let mut random = Random(3);
    let mut snapshots = vec![Refs::default(); SNAPSHOTS];
    for _ in 0..chunks.div_ceil(CHUNKS * limits::INDEX_BLOCKS as u64) {
        let (index, blocks) = put_index(&store, &mut random);
        for refs in &mut snapshots {
            let mut bitmap = Bitmap::new(blocks);
            (0..blocks).filter(|_| !random.number().is_multiple_of(10)).for_each(|position| bitmap.insert(position));
            refs.indexes.insert(index, bitmap);
        }
    }
    snapshots.iter().zip(1..).for_each(|(refs, sequence)| put_snapshot(&store, &key, sequence, refs));
    repository
}

/// Prune and check, which need no key.
fn keeper(chunks: u64) {
    let repository = row(chunks, "(the repository in memory that the next two rows look at)", || repository(chunks));
    let options = gc::Options { grace: Duration::ZERO, ..gc::Options::default() };
    drop(row(chunks, "prune: plan", || gc::plan(&repository, &options, &Silent).unwrap()));
    let report = row(chunks, "check: structure", || verify::verify(&repository, &verify::Options::default(), &Silent).unwrap());
    assert!(report.problems.is_empty());
}
