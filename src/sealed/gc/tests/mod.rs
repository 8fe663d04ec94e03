//! Prune on a store in memory: each rule by itself, and random schedules of everything at once.

mod copies;
mod forgetting;
mod killed;
mod newer;
mod roots;
mod scale;
mod schedule;
mod stage;
mod steps;
mod vault;
