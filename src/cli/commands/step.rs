//! How a step of keeping house ended, for people and machines.

use std::fmt::Display;

use serde::Serialize;

use crate::keep::Ended;

/// How a step ended that was asked for.
#[derive(Serialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub enum Step<T> {
    /// It was done.
    Done(T),
    /// It could not be done.
    Failed {
        /// Why.
        error: String,
    },
    /// It was left out.
    Skipped {
        /// Why.
        why: &'static str,
    },
}

impl<T> Step<T> {
    /// A step with the report of what it did; none if it was not asked for.
    pub fn of<R, E: Display>(ended: Ended<R, E>, report: impl FnOnce(R) -> T) -> Option<Self> {
        match ended {
            Ended::NotAsked => None,
            Ended::Done(done) => Some(Step::Done(report(done))),
            Ended::Failed(error) => Some(Step::Failed { error: error.to_string() }),
            Ended::Skipped(why) => Some(Step::Skipped { why }),
        }
    }

    /// Why it could not be done.
    pub fn error(&self) -> Option<&str> {
        match self {
            Step::Failed { error } => Some(error),
            Step::Done(_) | Step::Skipped { .. } => None,
        }
    }

    /// For people; `step` names it.
    pub fn text(&self, step: &str, text: impl FnOnce(&T) -> String) -> String {
        match self {
            Step::Done(done) => text(done),
            Step::Failed { error } => format!("{step} failed: {error}\n"),
            Step::Skipped { why } => format!("{step} {why}\n"),
        }
    }
}
