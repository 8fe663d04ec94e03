//! How many requests a store made of a server: services bill them, and each costs a round trip.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestKind {
    /// Stores.
    Put,
    /// Reads.
    Get,
    /// Asks for size and time.
    Head,
    /// Lists a page.
    List,
    /// Deletes.
    Delete,
}

/// Counts of requests, repeated ones among them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Requests {
    /// That stored.
    pub put: u64,
    /// That read.
    pub get: u64,
    /// That asked for size and time.
    pub head: u64,
    /// Pages of listings.
    pub list: u64,
    /// That deleted.
    pub delete: u64,
}

impl Requests {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.put + self.get + self.head + self.list + self.delete
    }
}

impl fmt::Display for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { put, get, head, list, delete } = self;
        write!(f, "{}: {put} put, {get} get, {head} head, {list} list, {delete} delete", self.total())
    }
}

/// Counts while others read.
#[derive(Debug, Default)]
pub struct Counter([AtomicU64; 5]);

impl Counter {
    /// Counts one request.
    pub fn add(&self, kind: RequestKind) {
        self.0[kind as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// The counts so far.
    pub fn read(&self) -> Requests {
        let [put, get, head, list, delete] = [0, 1, 2, 3, 4].map(|kind: usize| self.0[kind].load(Ordering::Relaxed));
        Requests { put, get, head, list, delete }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_kind() {
        let counter = Counter::default();
        for kind in [RequestKind::Put, RequestKind::List, RequestKind::List, RequestKind::Delete] {
            counter.add(kind);
        }
        assert_eq!(counter.read().to_string(), "4: 1 put, 0 get, 0 head, 2 list, 1 delete");
    }
}
