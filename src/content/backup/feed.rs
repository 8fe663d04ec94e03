//! Feeding: the walk is cut into jobs, several threads read them, and each destination's assembler gets its parts in path order.
//!
//! ```text
//!   walk + catalogues --jobs--> readers (threads) --a queue for each job and destination--> Line, in the order of the jobs --> Assembler
//! ```
//!
//! A destination that fails drops its line; the others go on. The slowest sets the pace, as no queue is without bounds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::assemble::Assembler;
use super::catalogue::{self, Reader};
use super::part::{Part, Sink};
use super::read::{AllKnown, FileReader, Task};
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

/// Tasks for one reader, and where each destination waits for what becomes of them.
struct Job {
    tasks: Vec<Task>,
    outlets: Vec<Outlet>,
}

/// One destination's end of the feed.
pub struct Line {
    in_order: Receiver<Receiver<Parts>>,
    closed: Arc<AtomicBool>,
}

/// The other end.
struct Order {
    jobs: Sender<Receiver<Parts>>,
    closed: Arc<AtomicBool>,
}

impl Drop for Line {
    /// Readers see at once that nothing more is taken, not only when their next batch is full: they may be copying a large database, or be about
    /// to start a command.
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Relaxed);
    }
}

/// Starts to walk and to read on several threads; a line for each destination, in the order of their catalogues.
pub fn start<'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    reader: &FileReader,
    walk: Walk,
    known: Vec<Option<Reader>>,
    threads: usize,
) -> Vec<Line> {
    let (jobs, to_read) = bounded::<Job>(threads);
    let ends = known.iter().map(|_| {
        let (jobs, in_order) = bounded(2 * threads);
        let closed = Arc::new(AtomicBool::new(false));
        (Order { jobs, closed: Arc::clone(&closed) }, Line { in_order, closed })
    });
    let (orders, lines) = ends.unzip();
    scope.spawn(move || list(walk, known, &jobs, orders));
    for _ in 0..threads {
        let (mut reader, to_read) = (reader.clone(), to_read.clone());
        scope.spawn(move || to_read.iter().for_each(|job| read_job(&mut reader, job)));
    }
    lines
}

impl Line {
    /// Gives everything to the assembler, in path order.
    ///
    /// # Errors
    /// If the assembler cannot go on, or the run is asked to stop.
    pub fn drain(self, assembler: &mut Assembler<'_>, monitor: &dyn Monitor) -> Result<(), ContentError> {
        let mut shown = Instant::now();
        while let Some(parts) = next(&self.in_order, monitor)? {
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

/// Cuts the walk into jobs, each with what the catalogues know of its entries.
fn list(walk: Walk, mut known: Vec<Option<Reader>>, jobs: &Sender<Job>, orders: Vec<Order>) {
    let mut tasks = Vec::new();
    let send = |tasks: Vec<Task>| {
        let outlets: Vec<Outlet> = orders.iter().map(Outlet::open).collect();
        outlets.iter().any(Outlet::is_open) && jobs.send(Job { tasks, outlets }).is_ok()
    };
    let mut weight = 0;
    for item in walk {
        let known = look_up(&mut known, &item);
        weight += if known.iter().any(Option::is_some) { 1 } else { READING };
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

fn look_up(catalogues: &mut [Option<Reader>], item: &Item) -> AllKnown {
    if let Item::Entry { name, .. } = item {
        return catalogues.iter_mut().map(|catalogue| catalogue.as_mut()?.find(name)).collect();
    }
    for catalogue in catalogues.iter_mut().flatten() {
        step(catalogue, item);
    }
    AllKnown::new()
}

fn step(catalogue: &mut catalogue::Reader, item: &Item) {
    match item {
        Item::Enter { name, .. } | Item::EnterVirtual { name } => catalogue.enter(name),
        Item::Leave => catalogue.leave(),
        Item::Entry { .. } | Item::Stream(_) | Item::NextSource | Item::Note(_) => {}
    }
}

/// What a job gives to one destination.
struct Outlet {
    parts: Sender<Parts>,
    closed: Arc<AtomicBool>,
    batch: Parts,
    bytes: usize,
}

impl Outlet {
    fn open(order: &Order) -> Self {
        let (parts, receiver) = bounded(2);
        // If nobody takes it, the line is closed.
        let _ = order.jobs.send(receiver);
        Self { parts, closed: Arc::clone(&order.closed), batch: Vec::new(), bytes: 0 }
    }

    fn is_open(&self) -> bool {
        !self.closed.load(Ordering::Relaxed)
    }

    fn take(&mut self, part: Part) {
        self.bytes += part.weight();
        self.batch.push(part);
        if self.bytes >= BATCH_BYTES {
            self.hand_on();
        }
    }

    fn hand_on(&mut self) {
        self.bytes = 0;
        // If nobody takes it, the line is closed.
        let _ = self.parts.send(std::mem::take(&mut self.batch));
    }
}

impl Sink for Vec<Outlet> {
    fn give(&mut self, destination: usize, part: Part) {
        if let Some(outlet) = self.get_mut(destination).filter(|outlet| outlet.is_open()) {
            outlet.take(part);
        }
    }

    fn wants(&self, destination: usize) -> bool {
        self.get(destination).is_some_and(Outlet::is_open)
    }
}

fn read_job(reader: &mut FileReader, Job { tasks, mut outlets }: Job) {
    for task in tasks {
        if !outlets.iter().any(Outlet::is_open) {
            return;
        }
        reader.run(task, &mut outlets);
    }
    outlets.iter_mut().for_each(Outlet::hand_on);
}
