//! Prune on a store in memory: each rule by itself, and random schedules of everything at once.

mod newer;
mod rules;
mod scale;
mod schedule;
mod stage;
