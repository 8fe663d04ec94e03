//! Progress: a display that moves on a terminal, a calm line now and then elsewhere; and what was found on the way.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::console::Console;
use super::course::Course;
use super::signals::Interrupt;
use super::unit_status::UnitStatus;
use crate::model::event::{Event, Monitor, Severity};
use crate::model::{human, report};

/// How often the display changes.
const FRAME: Duration = Duration::from_millis(100);
/// How often a line is written where there is no display.
const LINE: Duration = Duration::from_secs(30);

/// Takes events and shows them.
pub struct Progress {
    console: Console,
    interrupt: Interrupt,
    course: Arc<Course>,
    display: Display,
    unit: UnitStatus,
    phase: Mutex<Phase>,
    files: AtomicU64,
    bytes: AtomicU64,
    warnings: AtomicU64,
    /// The first of them.
    told: Mutex<Vec<String>>,
    /// Milliseconds since `begun` at which the display is next due.
    due: AtomicU64,
    begun: Instant,
    stopping: AtomicBool,
}

enum Display {
    None,
    Lines,
    Bar(ProgressBar),
}

#[derive(Debug, Clone)]
struct Phase {
    name: &'static str,
    begun: Instant,
    expected_files: u64,
    expected_bytes: u64,
}

impl Progress {
    /// Starts to show progress, if that is wanted.
    pub fn start(console: &Console, interrupt: &Interrupt, course: &Arc<Course>, wanted: bool) -> Self {
        let display = match (wanted, Console::error_is_terminal()) {
            (false, _) => Display::None,
            (true, false) => Display::Lines,
            (true, true) => Display::Bar(bar(console)),
        };
        let phase = Phase { name: "", begun: Instant::now(), expected_files: 0, expected_bytes: 0 };
        Self {
            console: console.clone(),
            interrupt: interrupt.clone(),
            course: Arc::clone(course),
            display,
            unit: UnitStatus::here(),
            phase: Mutex::new(phase),
            files: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            warnings: AtomicU64::new(0),
            told: Mutex::default(),
            due: AtomicU64::new(0),
            begun: Instant::now(),
            stopping: AtomicBool::new(false),
        }
    }

    /// Ends the display.
    pub fn finish(&self) {
        if let Display::Bar(bar) = &self.display {
            self.console.set_bar(None);
            bar.finish_and_clear();
        }
    }

    /// Whether somebody watches a display that moves.
    pub fn is_display(&self) -> bool {
        matches!(self.display, Display::Bar(_))
    }

    /// How many warnings and errors there were.
    pub fn warnings(&self) -> u64 {
        self.warnings.load(Ordering::Relaxed)
    }

    /// The first of them, as many as a report holds.
    pub fn first_warnings(&self) -> Vec<String> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn phase(&self) -> std::sync::MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, name: &'static str) {
        self.course.begin(name);
        *self.phase() = Phase { name, begun: Instant::now(), expected_files: 0, expected_bytes: 0 };
        self.files.store(0, Ordering::Relaxed);
        self.bytes.store(0, Ordering::Relaxed);
        let first = if matches!(self.display, Display::Lines) { LINE } else { Duration::ZERO };
        self.due.store(millis(self.begun.elapsed() + first), Ordering::Relaxed);
        if let Display::Bar(bar) = &self.display {
            bar.set_message("");
        }
        self.tell_unit(true);
        self.show();
    }

    fn tell_unit(&self, urgent: bool) {
        let now = || summary(&self.phase(), self.files.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed));
        self.unit.tell(urgent, now);
    }

    fn show(&self) {
        let now = millis(self.begun.elapsed());
        let due = self.due.load(Ordering::Relaxed);
        let pause = match self.display {
            Display::None => return,
            Display::Lines => LINE,
            Display::Bar(_) => FRAME,
        };
        if now < due || self.due.compare_exchange(due, now + millis(pause), Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return;
        }
        let phase = self.phase().clone();
        let (files, bytes) = (self.files.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed));
        match &self.display {
            Display::None => {}
            // What has no name yet has done nothing to speak of.
            Display::Lines if phase.name.is_empty() => {}
            Display::Lines => tracing::info!(files, bytes, seconds = phase.begun.elapsed().as_secs(), "{}", phase.name),
            Display::Bar(bar) => bar.set_prefix(summary(&phase, files, bytes)),
        }
    }

    fn finding(&self, severity: Severity, subject: &str, message: &str) {
        match severity {
            Severity::Info => tracing::info!(%subject, "{message}"),
            Severity::Warning => tracing::warn!(%subject, "{message}"),
            Severity::Error => tracing::error!(%subject, "{message}"),
        }
        if severity >= Severity::Warning {
            self.warnings.fetch_add(1, Ordering::Relaxed);
            let text = if subject.is_empty() { message.to_owned() } else { format!("{subject}: {message}") };
            self.course.warn(subject, || text.clone());
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            if told.len() < report::WARNINGS {
                told.push(text);
            }
        }
    }
}

impl Monitor for Progress {
    fn event(&self, event: Event) {
        match event {
            Event::Phase(name) => self.begin(name),
            Event::Expect { files, bytes } => {
                let mut phase = self.phase();
                (phase.expected_files, phase.expected_bytes) = (files, bytes);
            }
            Event::Progress { files, bytes } => {
                self.files.fetch_add(files, Ordering::Relaxed);
                self.bytes.fetch_add(bytes, Ordering::Relaxed);
                self.tell_unit(false);
                self.show();
            }
            Event::Current(what) => {
                if let Display::Bar(bar) = &self.display {
                    bar.set_message(shortened(&what));
                }
                self.show();
            }
            Event::Finding { severity, subject, message } => self.finding(severity, &subject, &message),
        }
    }

    fn cancelled(&self) -> bool {
        let stop = self.interrupt.is_set();
        if stop && !self.stopping.swap(true, Ordering::Relaxed) {
            tracing::info!("stopping. A second signal stops at once");
        }
        stop
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn bar(console: &Console) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    // The template is constant and right; the default style is only there to please the types.
    let style = ProgressStyle::with_template("{spinner:.cyan} {prefix}  {msg:.dim}").unwrap_or_else(|_| ProgressStyle::default_spinner());
    bar.set_style(style);
    bar.enable_steady_tick(FRAME);
    console.set_bar(Some(bar.clone()));
    bar
}

/// One line: phase, part done, counts, rate, time left.
fn summary(phase: &Phase, files: u64, bytes: u64) -> String {
    let elapsed = phase.begun.elapsed();
    let mut parts = vec![format!("{:<8}", phase.name)];
    let (done, expected) = if phase.expected_bytes > 0 { (bytes, phase.expected_bytes) } else { (files, phase.expected_files) };
    let part = (expected > 0).then(|| (done as f64 / expected as f64).min(1.0));
    if let Some(part) = part {
        parts.push(format!("{:>3.0}%", part * 100.0));
    }
    if files > 0 {
        parts.push(format!("{} files", grouped(files)));
    }
    if bytes > 0 {
        parts.push(human::size(bytes));
        parts.push(human::rate(bytes, elapsed));
    }
    if let Some(part) = part.filter(|part| *part > 0.02 && *part < 1.0)
        && elapsed > Duration::from_secs(2)
    {
        parts.push(format!("{} left", human::duration(elapsed.mul_f64(1.0 / part - 1.0))));
    }
    parts.join("  ")
}

/// The end of a path: what moves. A line that is too long for the terminal would leave traces of itself.
fn shortened(path: &str) -> String {
    const WIDTH: usize = 40;
    let printable = super::render::text::path(path.as_bytes());
    let length = printable.chars().count();
    if length <= WIDTH { printable } else { std::iter::once('…').chain(printable.chars().skip(length - WIDTH + 1)).collect() }
}

/// A number with thin groups of three: `12,345`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn warnings_are_counted_and_notes_are_not() {
        let progress = Progress::start(&Console::default(), &Interrupt::default(), &Arc::default(), false);
        progress.event(Event::info("a", "b"));
        progress.event(Event::warning("a", "b"));
        progress.event(Event::error("a", "b"));
        assert_eq!(progress.warnings(), 2);
        assert_eq!(progress.first_warnings(), ["a: b", "a: b"]);
        assert!(!progress.cancelled());
    }
}
