//! Random schedules over the real code: writers, forgets, prunes, crashes, pauses, lagging lists, jumping clocks. No
//! committed snapshot may ever lose a block or a list.
//!
//! Tried by hand on prune itself: without nonces in packs a snapshot is lost in schedule 3, with the roots read before
//! what is condemned in schedule 35, without the wait for lagging lists in schedule 0. `SCHEDULES=5000` runs more.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::stage::{Actor, Stage, Turn};
use crate::model::event::{Collect, Severity};
use crate::model::id::{BlockId, IndexId, RefsId, SnapshotId};
use crate::sealed::fixture::{self, Random};
use crate::sealed::gc::{self, Options};
use crate::sealed::index;
use crate::sealed::locations::PackListing;
use crate::sealed::needs::readable;
use crate::sealed::pack::Class;
use crate::sealed::refs::{self, Bitmap, Refs};
use crate::sealed::repository::Repository;
use crate::sealed::run_id::RunId;
use crate::sealed::snapshots::{self, Snapshots};
use crate::sealed::{SealedError, forget, marks, presence};
use crate::store::{Folder, MemoryStore, Store};

const HOUR: Duration = Duration::from_secs(3600);
const TICK: Duration = Duration::from_micros(5);
const LAG: Duration = Duration::from_micros(100);
const WRITERS: u8 = 3;
const CHUNKS: usize = 6;

/// How carefully writers work. Only the first keeps what they commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Discipline {
    ChecksAfterVisible,
    ChecksBeforeVisible,
    NeverChecks,
}

/// What a committed snapshot needs.
struct Truth {
    refs: RefsId,
    indexes: BTreeSet<IndexId>,
    blocks: Vec<BlockId>,
}

#[derive(Default)]
struct World {
    truth: Mutex<BTreeMap<SnapshotId, Truth>>,
    sequence: Mutex<u64>,
    trouble: Mutex<Vec<String>>,
    seen: Mutex<BTreeMap<&'static str, u64>>,
}

impl World {
    fn saw(&self, what: &'static str) {
        *self.seen.lock().unwrap().entry(what).or_default() += 1;
    }
}

/// A block as a writer knows it.
#[derive(Clone, Copy)]
struct Known {
    chunk: u8,
    index: IndexId,
    blocks: usize,
    position: usize,
    id: BlockId,
}

/// All blocks in uncondemned packs that uncondemned index objects list; the sealed part tells their chunks.
fn known_blocks(store: &dyn Store) -> Result<Vec<Known>, SealedError> {
    let condemned = marks::all_condemned(store)?;
    let listing = PackListing::list(store, condemned.packs.iter().copied().collect())?;
    let maps = marks::read_maps(store)?.0;
    let live_packs = maps.iter().flat_map(|(_, list)| &list.packs).filter(|(pack, contents)| listing.is_live(pack, contents));
    let moved: HashSet<BlockId> = live_packs.flat_map(|(_, contents)| contents.blocks.iter().map(|block| block.id)).collect();
    let mut known = Vec::new();
    for info in store.list(Folder::Index)? {
        let id: IndexId = info.name.leaf().parse().unwrap();
        if condemned.indexes.contains(&id) {
            continue;
        }
        let Some(bytes) = readable(index::read(store, &id))? else { continue };
        let (list, sealed) = index::parse(&bytes).unwrap();
        let live: HashSet<_> =
            list.packs.iter().filter(|(pack, contents)| listing.is_live(pack, contents)).map(|(pack, _)| *pack).collect();
        for (position, (pack, .., block)) in list.blocks().enumerate() {
            if live.contains(&pack) || moved.contains(&block.id) {
                known.push(Known { chunk: sealed[position], index: id, blocks: list.len(), position, id: block.id });
            }
        }
    }
    Ok(known)
}

/// Stores new blocks for chunks.
fn upload(store: &dyn Store, chunks: &[u8], random: &mut Random) -> Result<Vec<Known>, SealedError> {
    let blocks: Vec<Vec<u8>> = chunks.iter().map(|chunk| [&[*chunk], random.bytes(40).as_slice()].concat()).collect();
    let cut = random.below(blocks.len() + 1);
    let mut packs = Vec::new();
    for (part, class) in [(&blocks[..cut], Class::Tree), (&blocks[cut..], Class::Data)] {
        if !part.is_empty() {
            packs.push(fixture::put_pack(store, class, part)?);
        }
    }
    let (index, list) = fixture::put_index(store, &packs, &[chunks, random.bytes(8).as_slice()].concat())?;
    let known =
        |(position, chunk): (usize, &u8)| Known { chunk: *chunk, index, blocks: list.len(), position, id: BlockId::of(&blocks[position]) };
    Ok(chunks.iter().enumerate().map(known).collect())
}

fn refs_of(blocks: &[Known]) -> Refs {
    let mut refs = Refs::default();
    for block in blocks {
        refs.indexes.entry(block.index).or_insert_with(|| Bitmap::new(block.blocks)).insert(block.position);
    }
    refs
}

fn write(world: &World, repository: &Repository, discipline: Discipline, random: &mut Random) -> Result<(), SealedError> {
    let store = repository.store();
    let number = random.below(usize::from(WRITERS)) as u8;
    let known = known_blocks(store)?;
    let mut wanted: BTreeSet<u8> = (0..1 + random.below(4)).map(|_| random.below(CHUNKS) as u8).collect();
    let mut blocks = Vec::new();
    for chunk in wanted.clone() {
        let candidates: Vec<&Known> = known.iter().filter(|known| known.chunk == chunk).collect();
        if !candidates.is_empty() && !random.one_in(8) {
            blocks.push(*candidates[random.below(candidates.len())]);
            wanted.remove(&chunk);
            world.saw("block reused");
        }
    }
    for _ in 0..4 {
        let new: Vec<u8> = std::mem::take(&mut wanted).into_iter().collect();
        if !new.is_empty() {
            blocks.extend(upload(store, &new, random)?);
        }
        let refs = refs_of(&blocks);
        let refs_id = fixture::put_refs(store, &refs, &random.bytes(16))?;
        let mut absent = presence::Absent::default();
        if discipline == Discipline::ChecksBeforeVisible {
            absent = presence::absent(store, &refs_id, &refs)?;
        }
        let sequence = {
            let mut sequence = world.sequence.lock().unwrap();
            *sequence += 1;
            *sequence
        };
        let id = fixture::put_snapshot(repository, number, sequence, refs_id)?;
        if discipline == Discipline::ChecksAfterVisible {
            absent = presence::absent(store, &refs_id, &refs)?;
        }
        if absent.is_empty() {
            let truth = Truth {
                refs: refs_id,
                indexes: refs.indexes.keys().copied().collect(),
                blocks: blocks.iter().map(|block| block.id).collect(),
            };
            world.truth.lock().unwrap().insert(id, truth);
            fixture::put_commit(store, &id)?;
            world.saw("committed");
            return Ok(());
        }
        world.saw("check failed, healed");
        let lost: HashSet<BlockId> = absent.blocks.iter().copied().collect();
        let stays = |block: &Known| !lost.contains(&block.id) && !absent.lists.contains(&index::name(&block.index));
        wanted = blocks.iter().filter(|block| !stays(block)).map(|block| block.chunk).collect();
        blocks.retain(stays);
        if random.one_in(2) {
            store.delete(&snapshots::name(Folder::Snapshots, &id))?;
        }
    }
    world.saw("writer gave up");
    Ok(())
}

fn prune(world: &World, repository: &Repository, random: &mut Random) -> Result<(), SealedError> {
    let monitor = Collect::default();
    let grace = [Duration::ZERO, HOUR, HOUR][random.below(3)];
    let options = Options { grace, max_unused: [0.0, 0.1, 0.5][random.below(3)], dry_run: false };
    let run = RunId::from_seed(random.bytes(32).try_into().unwrap());
    let plan = gc::plan_as(run, repository, &options, &monitor)?;
    // Safety must not rest on prunes yielding to each other.
    let outcome = if random.one_in(3) { gc::execute(repository, plan, &monitor)? } else { gc::run(repository, plan, &monitor)? };
    world.trouble.lock().unwrap().extend(monitor.findings(Severity::Error));
    if outcome.yielded_to.is_some() {
        world.saw("prune yielded");
    }
    if outcome.packs_deleted > 0 {
        world.saw("packs deleted");
    }
    if outcome.bytes_copied > 0 {
        world.saw("blocks copied");
    }
    Ok(())
}

fn forget_one(world: &World, repository: &Repository, random: &mut Random) -> Result<(), SealedError> {
    let counted: Vec<SnapshotId> = Snapshots::load(repository, Folder::Snapshots)?
        .list
        .into_iter()
        .filter(|snapshot| snapshot.counts())
        .map(|snapshot| snapshot.id)
        .collect();
    if counted.is_empty() {
        return Ok(());
    }
    world.saw("forgot");
    tolerate(forget::forget(repository, &counted[random.below(counted.len())]))
}

fn unforget_one(world: &World, repository: &Repository, random: &mut Random) -> Result<(), SealedError> {
    let forgotten = Snapshots::load(repository, Folder::Forgotten)?.list;
    if forgotten.is_empty() {
        return Ok(());
    }
    let mut run = RunId::from_seed(random.bytes(32).try_into().unwrap());
    let result = forget::unforget_as(&mut run, repository, &forgotten[random.below(forgotten.len())].id);
    world.saw(if result.is_ok() { "unforgot" } else { "could not unforget" });
    tolerate(result)
}

/// Others may have been quicker.
fn tolerate(result: Result<(), SealedError>) -> Result<(), SealedError> {
    match result {
        Err(SealedError::NoSnapshot { .. } | SealedError::Unrecoverable { .. }) => Ok(()),
        other => other,
    }
}

struct Leave(Arc<Actor>);

impl Drop for Leave {
    fn drop(&mut self) {
        self.0.leave();
    }
}

fn spawn(stage: &Arc<Stage>, world: &Arc<World>, process: usize, discipline: Discipline, random: &mut Random) {
    let actor = stage.enter(process);
    let world = Arc::clone(world);
    let role = if process == 0 { 0 } else { random.below(10) };
    let mut random = Random(random.next());
    std::thread::spawn(move || {
        let _leave = Leave(Arc::clone(&actor));
        let repository = match Repository::open(Arc::clone(&actor) as Arc<dyn Store>, &Default::default()) {
            Ok(repository) => repository,
            Err(_) => return,
        };
        let result = match role {
            0..=3 => write(&world, &repository, discipline, &mut random),
            4..=6 => prune(&world, &repository, &mut random),
            7 | 8 => forget_one(&world, &repository, &mut random),
            _ => unforget_one(&world, &repository, &mut random),
        };
        if actor.is_dead() {
            world.saw("killed");
        } else if let Err(error) = result {
            world.trouble.lock().unwrap().push(format!("role {role}: {error}"));
        }
    });
}

/// What a committed snapshot has lost, if anything.
fn loss(stage: &Stage, world: &World) -> Option<String> {
    let there = |name| stage.memory.stat(&name).is_ok();
    for (id, truth) in world.truth.lock().unwrap().iter() {
        if !there(snapshots::name(Folder::Snapshots, id)) || !there(snapshots::name(Folder::Commits, id)) {
            continue;
        }
        if !there(refs::name(&truth.refs)) {
            return Some(format!("{id:?} lost its refs"));
        }
        if let Some(index) = truth.indexes.iter().find(|index| !there(index::name(index))) {
            return Some(format!("{id:?} lost {index:?}"));
        }
        if let Some(block) = truth.blocks.iter().find(|block| !stage.holds(block)) {
            return Some(format!("{id:?} lost {block:?}"));
        }
    }
    None
}

fn jump(stage: &Stage, random: &mut Random) {
    stage.memory.advance(TICK * random.below(3) as u32);
    if random.one_in(40) {
        stage.memory.advance(HOUR / 3 * (1 + random.below(4) as u32));
    }
    if random.one_in(1500) {
        stage.memory.advance(HOUR * 24 * 31);
    }
}

/// Runs one schedule; the trouble it found.
fn run(seed: u64, discipline: Discipline, totals: &mut BTreeMap<&'static str, u64>) -> Option<String> {
    let mut random = Random(seed);
    let lag = if random.one_in(2) { Duration::ZERO } else { LAG };
    let stage = Stage::new(MemoryStore::with_lag(lag, seed));
    fixture::create(&stage.memory, WRITERS);
    stage.memory.advance(HOUR);
    let world = Arc::new(World::default());
    let (mut spawned, mut last) = (0, 0);
    let mut found = None;
    loop {
        let waiting = stage.settle();
        if found.is_none() && stage.take_changed() {
            found = loss(&stage, &world);
        }
        if found.is_none() && spawned < 14 && (waiting.len() < 2 || (waiting.len() < 6 && random.one_in(30))) {
            spawn(&stage, &world, spawned, discipline, &mut random);
            spawned += 1;
            continue;
        }
        if waiting.is_empty() {
            break;
        }
        // Mostly the same process goes on; so some sleep long while others do a lot.
        let next = if waiting.contains(&last) && !random.one_in(6) { last } else { waiting[random.below(waiting.len())] };
        last = next;
        let dies = found.is_some() || random.one_in(250);
        stage.grant(next, if dies { Turn::Die { landed: random.one_in(2) } } else { Turn::Go });
        jump(&stage, &mut random);
    }
    for (what, count) in world.seen.lock().unwrap().iter() {
        *totals.entry(what).or_default() += count;
    }
    found.or_else(|| world.trouble.lock().unwrap().first().cloned()).or_else(|| afterwards(&stage, &world))
}

/// Peace returns: after a few undisturbed prunes everything that counts is whole and nothing dead is left.
fn afterwards(stage: &Arc<Stage>, world: &World) -> Option<String> {
    let repository = fixture::open(Arc::new(stage.memory.clone()));
    let monitor = Collect::default();
    let options = Options { grace: HOUR, max_unused: 0.0, dry_run: false };
    let mut last = None;
    for _ in 0..5 {
        stage.memory.advance(HOUR * 25);
        // The clock of this store stands still while it is waited for, so lists are made to catch up first.
        let store = Arc::new(Patient(stage.memory.clone()));
        let repository = fixture::open(store);
        let pruned = gc::plan(&repository, &options, &monitor).and_then(|plan| {
            last = Some(plan.clone());
            gc::execute(&repository, plan, &monitor)
        });
        if let Err(error) = pruned {
            return Some(format!("afterwards: {error}"));
        }
    }
    for pack in Patient(stage.memory.clone()).list(Folder::Packs).unwrap() {
        stage.register(&pack.name);
    }
    if let Some(lost) = loss(stage, world) {
        return Some(format!("afterwards: {lost}"));
    }
    let plan = last.unwrap();
    if plan.condemn.iter().any(|fate| fate.needed == 0) || plan.unused > 0 {
        return Some(format!("afterwards: garbage stays: {plan}"));
    }
    for snapshot in Snapshots::load(&repository, Folder::Snapshots).unwrap().list.iter().filter(|snapshot| snapshot.counts()) {
        let refs = refs::read(&stage.memory, &snapshot.envelope.refs).unwrap();
        let absent = presence::absent(&stage.memory, &snapshot.envelope.refs, &refs).unwrap();
        if !absent.blocks.is_empty() {
            return Some(format!("afterwards: {:?} has no home for {:?}", snapshot.id, absent.blocks));
        }
    }
    monitor.findings(Severity::Error).first().map(|finding| format!("afterwards: {finding}"))
}

/// The store in memory, without lag.
struct Patient(MemoryStore);

impl Store for Patient {
    fn location(&self) -> String {
        self.0.location()
    }
    fn put_new(&self, name: &crate::store::ObjectName, bytes: &[u8]) -> Result<crate::store::Put, crate::store::StoreError> {
        let put = self.0.put_new(name, bytes);
        self.0.advance(LAG * 2);
        put
    }
    fn stage(&self) -> Result<Box<dyn crate::store::StagedObject>, crate::store::StoreError> {
        self.0.stage()
    }
    fn get(&self, name: &crate::store::ObjectName, limit: u64) -> Result<Vec<u8>, crate::store::StoreError> {
        self.0.get(name, limit)
    }
    fn get_range(
        &self,
        name: &crate::store::ObjectName,
        offset: u64,
        length: usize,
        buffer: &mut Vec<u8>,
    ) -> Result<(), crate::store::StoreError> {
        self.0.get_range(name, offset, length, buffer)
    }
    fn list(&self, folder: Folder) -> Result<Vec<crate::store::ObjectInfo>, crate::store::StoreError> {
        self.0.advance(LAG * 2);
        self.0.list(folder)
    }
    fn stat(&self, name: &crate::store::ObjectName) -> Result<crate::store::ObjectInfo, crate::store::StoreError> {
        self.0.stat(name)
    }
    fn delete(&self, name: &crate::store::ObjectName) -> Result<(), crate::store::StoreError> {
        self.0.delete(name)
    }
    fn unknown_folders(&self) -> Result<Vec<String>, crate::store::StoreError> {
        self.0.unknown_folders()
    }
    fn now(&self) -> Result<std::time::SystemTime, crate::store::StoreError> {
        self.0.now()
    }
}

fn schedules(number: u64) -> u64 {
    std::env::var("SCHEDULES").ok().and_then(|text| text.parse().ok()).unwrap_or(number)
}

#[test]
fn no_committed_snapshot_loses_anything() {
    let mut totals = BTreeMap::new();
    let start = Instant::now();
    for seed in 0..schedules(300) {
        if seed >= 120 && start.elapsed() > Duration::from_secs(10) && std::env::var_os("SCHEDULES").is_none() {
            break;
        }
        if let Some(trouble) = run(seed, Discipline::ChecksAfterVisible, &mut totals) {
            panic!("schedule {seed}: {trouble}");
        }
    }
    println!("{totals:?}");
    for what in [
        "block reused",
        "committed",
        "check failed, healed",
        "packs deleted",
        "blocks copied",
        "killed",
        "forgot",
        "unforgot",
        "prune yielded",
    ] {
        assert!(totals.contains_key(what), "the schedules never met: {what}; {totals:?}");
    }
}

fn loses_within(number: u64, discipline: Discipline) -> Option<u64> {
    let loses = |seed: &u64| run(*seed, discipline, &mut BTreeMap::new()).is_some_and(|trouble| trouble.contains("lost"));
    (0..number).find(loses).inspect(|seed| println!("{discipline:?} loses in schedule {seed}"))
}

#[test]
fn a_writer_that_never_checks_loses_data() {
    assert!(loses_within(1000, Discipline::NeverChecks).is_some(), "the schedules are too tame to find the loss");
}

#[test]
fn a_writer_that_checks_before_its_snapshot_is_visible_loses_data() {
    assert!(loses_within(2000, Discipline::ChecksBeforeVisible).is_some(), "the schedules are too tame to find the loss");
}
