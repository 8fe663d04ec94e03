//! The course of a run so far, for its report: also of one that is killed.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::logging;
use crate::model::report::{PHASES, Phase, SourceWarnings, WARNINGS};
use crate::report::SoFar;

/// What happened since the program began; all attempts of a run together.
#[derive(Debug, Default)]
pub struct Course(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// In the order in which each was first begun.
    phases: Vec<(&'static str, Duration)>,
    /// The one that is under way.
    current: Option<(&'static str, Instant)>,
    warning_count: u64,
    warnings: Vec<String>,
    /// What is read, if it is known by paths.
    paths: Vec<String>,
    by_source: Vec<SourceWarnings>,
}

impl Inner {
    fn close(&mut self) {
        let Some((name, begun)) = self.current.take() else { return };
        if let Some((_, time)) = self.phases.iter_mut().find(|(known, _)| *known == name) {
            *time += begun.elapsed();
        } else if self.phases.len() < PHASES {
            self.phases.push((name, begun.elapsed()));
        }
    }
}

impl Course {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A phase begins, and with it the one before it ends.
    pub fn begin(&self, name: &'static str) {
        let mut inner = self.lock();
        if inner.current.is_none_or(|(current, _)| current != name) {
            inner.close();
            inner.current = Some((name, Instant::now()));
        }
    }

    /// These paths are read: what is warned of belongs to one of them, or to itself.
    pub fn reads(&self, paths: &[String]) {
        self.lock().paths = paths.to_vec();
    }

    /// Something was warned of.
    pub fn warn(&self, subject: &str, text: impl FnOnce() -> String) {
        let mut inner = self.lock();
        let inner = &mut *inner;
        inner.warning_count += 1;
        SourceWarnings::count(&mut inner.by_source, &inner.paths, subject);
        if inner.warnings.len() < WARNINGS {
            inner.warnings.push(text());
        }
    }

    /// The phases, that which is under way among them.
    pub fn phases(&self) -> Vec<Phase> {
        let mut inner = self.lock();
        let current = inner.current.map(|(name, _)| name);
        inner.close();
        inner.current = current.map(|name| (name, Instant::now()));
        let milliseconds = |time: &Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        inner.phases.iter().map(|(name, time)| Phase { name: (*name).to_owned(), milliseconds: milliseconds(time) }).collect()
    }

    /// All that is known.
    pub fn so_far(&self) -> SoFar {
        let phases = self.phases();
        let inner = self.lock();
        SoFar {
            phases,
            warning_count: inner.warning_count,
            warnings: inner.warnings.clone(),
            warnings_by_source: inner.by_source.clone(),
            log: logging::tail(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_are_told_once_each_in_their_order_and_warnings_are_counted() {
        let course = Course::default();
        for name in ["scan", "commit", "scan", "scan", "verify"] {
            course.begin(name);
        }
        for number in 0..WARNINGS + 1 {
            course.warn("/srv", || number.to_string());
        }
        let so_far = course.so_far();
        assert_eq!(so_far.phases.iter().map(|phase| phase.name.as_str()).collect::<Vec<_>>(), ["scan", "commit", "verify"]);
        assert_eq!((so_far.warning_count, so_far.warnings.len()), (WARNINGS as u64 + 1, WARNINGS));
        assert_eq!(so_far.warnings_by_source, [SourceWarnings { source: "/srv".into(), warnings: WARNINGS as u64 + 1 }]);
        assert_eq!(course.phases().len(), 3, "to ask changes nothing");
    }
}
