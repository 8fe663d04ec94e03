//! How memory and time of prune and check grow; run with `--ignored --nocapture`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::model::event::Silent;
use crate::sealed::fixture::{self, Random};
use crate::sealed::gc::{self, Options};
use crate::sealed::pack::Class;
use crate::sealed::refs::{Bitmap, Refs};
use crate::sealed::verify;
use crate::store::MemoryStore;

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// 74 index objects of 4096 blocks stand for 10 million chunks of 64 KiB; blocks are tiny here.
#[test]
#[ignore = "measures; takes seconds"]
fn ten_million_chunks() {
    let memory = MemoryStore::new();
    fixture::create(&memory, 1);
    let repository = fixture::open(Arc::new(memory.clone()));
    let mut random = Random(3);
    let mut snapshots: Vec<Refs> = vec![Refs::default(); 60];
    for _ in 0..74 {
        let packs: Vec<_> = (0..128)
            .map(|_| {
                let blocks: Vec<_> = (0..32).map(|_| random.bytes(24)).collect();
                fixture::put_pack(&memory, Class::Data, &blocks).unwrap()
            })
            .collect();
        let (index, list) = fixture::put_index(&memory, &packs, &[]).unwrap();
        for refs in &mut snapshots {
            let mut bitmap = Bitmap::new(list.len());
            (0..list.len()).filter(|_| !random.one_in(10)).for_each(|position| bitmap.insert(position));
            refs.indexes.insert(index, bitmap);
        }
    }
    for (sequence, refs) in snapshots.iter().enumerate() {
        let refs = fixture::put_refs(&memory, refs, &[]).unwrap();
        let id = fixture::put_snapshot(&repository, 0, sequence as u64, refs).unwrap();
        fixture::put_commit(&memory, &id).unwrap();
    }
    drop(snapshots);
    let before = resident();
    let start = Instant::now();
    let plan = gc::plan(&repository, &Options { grace: Duration::ZERO, ..Options::default() }, &Silent).unwrap();
    println!("plan: {} blocks, {:?}, {} KiB more", plan.blocks, start.elapsed(), resident() - before);
    drop(plan);
    let (before, start) = (resident(), Instant::now());
    let report = verify::verify(&repository, &verify::Options::default(), &Silent).unwrap();
    println!("check: {:?}, {:?}, {} KiB more", report.counts, start.elapsed(), resident() - before);
    assert!(report.problems.is_empty());
}
