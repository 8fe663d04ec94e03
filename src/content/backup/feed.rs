//! Feeding: the walk is cut into jobs, several threads read them, and the assembler gets the parts in path order.
//!
//! ```text
//!   walk + catalogue --jobs--> readers (threads) --a queue for each job--> feed, in the order of the jobs --> Assembler
//! ```

use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::assemble::Assembler;
use super::catalogue::{self, Reader};
use super::read::{FileReader, Part, Task};
use crate::content::ContentError;
use crate::model::event::{Event, Monitor};
use crate::source::walk::{Item, Walk};

/// How much one reader takes at once: so many entries to look at, or an eighth as many to read; and bytes after which it hands
/// on what it has.
const BATCH: usize = 1024;
const READING: usize = 8;
const BATCH_BYTES: usize = 1 << 20;
/// How often those who watch are told where the run is.
const SHOW: Duration = Duration::from_millis(100);
/// How long nothing may come before somebody looks whether the run shall stop.
const PATIENCE: Duration = Duration::from_millis(200);

type Parts = Vec<Part>;
type Job = (Vec<Task>, Sender<Parts>);

/// Walks, reads on several threads, and gives the parts to the assembler in path order.
pub fn feed<'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    assembler: &mut Assembler<'_>,
    reader: &FileReader,
    walk: Walk,
    known: Option<Reader>,
    threads: usize,
    monitor: &dyn Monitor,
) -> Result<(), ContentError> {
    let (jobs, to_read) = bounded::<Job>(threads);
    let (order, in_order) = bounded::<Receiver<Parts>>(2 * threads);
    scope.spawn(move || list(walk, known, &jobs, &order));
    for _ in 0..threads {
        let (mut reader, to_read) = (reader.clone(), to_read.clone());
        scope.spawn(move || to_read.iter().for_each(|job| read_job(&mut reader, job)));
    }
    drop(to_read);
    let mut shown = Instant::now();
    while let Some(parts) = next(&in_order, monitor)? {
        while let Some(batch) = next(&parts, monitor)? {
            let mut entries = 0;
            for part in batch {
                entries += u64::from(matches!(part, Part::File { .. } | Part::Unchanged { .. } | Part::Node { .. }));
                assembler.take(part)?;
            }
            monitor.event(Event::Progress { files: entries, bytes: 0 });
            if shown.elapsed() >= SHOW {
                monitor.event(Event::Current(assembler.current()));
                shown = Instant::now();
            }
        }
    }
    Ok(())
}

/// What comes next, unless the run is asked to stop: a stream may be silent for hours.
fn next<T>(receiver: &Receiver<T>, monitor: &dyn Monitor) -> Result<Option<T>, ContentError> {
    loop {
        if monitor.cancelled() {
            return Err(ContentError::Cancelled);
        }
        match receiver.recv_timeout(PATIENCE) {
            Ok(item) => return Ok(Some(item)),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(None),
        }
    }
}

/// Cuts the walk into jobs, each with what the catalogue knows of its entries.
fn list(walk: Walk, mut known: Option<Reader>, jobs: &Sender<Job>, order: &Sender<Receiver<Parts>>) {
    let mut tasks = Vec::new();
    let send = |tasks: Vec<Task>| {
        let (parts, receiver) = bounded(2);
        order.send(receiver).is_ok() && jobs.send((tasks, parts)).is_ok()
    };
    let mut weight = 0;
    for item in walk {
        let known = known.as_mut().and_then(|known| look_up(known, &item));
        weight += if known.is_some() { 1 } else { READING };
        tasks.push(Task { item, known });
        if weight >= BATCH {
            weight = 0;
            let capacity = tasks.len();
            if !send(std::mem::replace(&mut tasks, Vec::with_capacity(capacity))) {
                return;
            }
        }
    }
    send(tasks);
}

fn look_up(known: &mut Reader, item: &Item) -> Option<Box<catalogue::Known>> {
    match item {
        Item::Enter { name, .. } | Item::EnterVirtual { name } => {
            known.enter(name);
            None
        }
        Item::Leave => {
            known.leave();
            None
        }
        Item::Entry { name, .. } => known.find(name),
        Item::Stream(_) | Item::NextSource | Item::Note(_) => None,
    }
}

fn read_job(reader: &mut FileReader, (tasks, parts): Job) {
    let mut batch = Vec::new();
    let mut bytes = 0;
    for task in tasks {
        let wanted = reader.run(task, &mut |part| {
            bytes += part.weight();
            batch.push(part);
            if bytes < BATCH_BYTES {
                return true;
            }
            bytes = 0;
            parts.send(std::mem::take(&mut batch)).is_ok()
        });
        if !wanted {
            return;
        }
    }
    let _ = parts.send(batch);
}
