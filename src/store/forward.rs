//! Reading forwards: where every request costs a round trip, many reads of one object become a single answer.

use std::io::Read;
use std::ops::Range;

use super::{ObjectName, Store, StoreError};

/// Bytes between two reads that are rather let pass than saved by another request.
const GAP: u64 = 1 << 20;

/// Reads of a store that mostly go forwards. It must be told what is going to be read; other reads, and all reads of stores that make no
/// requests, are what [`Store::get_range`] makes of them.
pub struct Forward<'a> {
    store: &'a dyn Store,
    /// What is going to be read.
    expected: Option<(ObjectName, Range<u64>)>,
    open: Option<Open<'a>>,
    /// What is let pass goes here.
    passed: Vec<u8>,
}

/// An answer that is being read.
struct Open<'a> {
    name: ObjectName,
    left: Range<u64>,
    bytes: Box<dyn Read + Send + 'a>,
}

impl<'a> Forward<'a> {
    /// Reads of `store`.
    pub fn new(store: &'a dyn Store) -> Self {
        Self { store, expected: None, open: None, passed: Vec::new() }
    }

    /// Says that these bytes of an object will be read, forwards; nothing is asked for yet.
    pub fn expect(&mut self, name: &ObjectName, range: Range<u64>) {
        self.expected = Some((name.clone(), range));
    }

    /// Says which parts of an object will be read, in their order, given as offset and length; those near each other are read as one.
    /// Returns how many of them are.
    pub fn expect_near(&mut self, name: &ObjectName, mut parts: impl Iterator<Item = (u64, u64)>) -> usize {
        let Some((start, length)) = parts.next() else { return 0 };
        let (mut end, mut count) = (start.saturating_add(length), 1);
        for (offset, length) in parts {
            if offset < end || offset - end > GAP {
                break;
            }
            end = offset.saturating_add(length);
            count += 1;
        }
        self.expect(name, start..end);
        count
    }

    /// As [`Store::get_range`].
    ///
    /// # Errors
    /// As [`Store::get_range`].
    pub fn get_range(&mut self, name: &ObjectName, offset: u64, length: usize, buffer: &mut Vec<u8>) -> Result<(), StoreError> {
        if self.read_on(name, offset, length, buffer).is_some() {
            return Ok(());
        }
        // Also when an answer broke off: asked like this, the store tries again, and says what is wrong.
        self.open = None;
        self.store.get_range(name, offset, length, buffer)
    }

    /// Takes the bytes from an answer, if one has them ahead.
    fn read_on(&mut self, name: &ObjectName, offset: u64, length: usize, buffer: &mut Vec<u8>) -> Option<()> {
        let end = offset.checked_add(length as u64)?;
        let has =
            |open: &Open<'_>| open.name == *name && open.left.start <= offset && offset - open.left.start <= GAP && end <= open.left.end;
        if !self.open.as_ref().is_some_and(has) {
            self.open = None;
            let (expected, range) =
                self.expected.take_if(|(expected, range)| expected == name && range.start <= offset && end < range.end)?;
            let left = offset..range.end;
            let bytes = self.store.stream(&expected, left.clone())?;
            self.open = Some(Open { name: expected, left, bytes });
        }
        let open = self.open.as_mut()?;
        self.passed.resize(usize::try_from(offset - open.left.start).ok()?, 0);
        buffer.resize(length, 0);
        for part in [&mut self.passed, buffer] {
            open.bytes.read_exact(part).inspect_err(|error| tracing::debug!("{name}: {error}")).ok()?;
        }
        open.left.start = end;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::SystemTime;

    use super::*;
    use crate::store::layer::{CountingStore, Operation};
    use crate::store::{Folder, MemoryStore, ObjectInfo, Put, StagedObject};

    /// A store that answers by streams, which break off after so many bytes.
    struct Streaming {
        inner: CountingStore,
        bytes: Vec<u8>,
        streams: AtomicUsize,
        breaks_after: u64,
    }

    impl Streaming {
        fn new(breaks_after: u64) -> (Self, ObjectName, Vec<u8>) {
            let bytes: Vec<u8> = (0..5_000_000_u32).map(|number| (number >> 4) as u8).collect();
            let name = ObjectName::new(Folder::Packs, "abc").unwrap();
            let inner = CountingStore::new(Arc::new(MemoryStore::new()));
            inner.put_new(&name, &bytes).unwrap();
            inner.take();
            (Self { inner, bytes: bytes.clone(), streams: AtomicUsize::new(0), breaks_after }, name, bytes)
        }
    }

    impl Store for Streaming {
        fn stream<'a>(&'a self, name: &ObjectName, range: Range<u64>) -> Option<Box<dyn Read + Send + 'a>> {
            self.streams.fetch_add(1, Ordering::Relaxed);
            assert_eq!(name.leaf(), "abc");
            let bytes = self.bytes.get(usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?)?.to_vec();
            Some(Box::new(io::Cursor::new(bytes).take(self.breaks_after)))
        }

        fn location(&self) -> String {
            self.inner.location()
        }

        fn put_new(&self, name: &ObjectName, bytes: &[u8]) -> Result<Put, StoreError> {
            self.inner.put_new(name, bytes)
        }

        fn stage(&self) -> Result<Box<dyn StagedObject>, StoreError> {
            self.inner.stage()
        }

        fn get(&self, name: &ObjectName, limit: u64) -> Result<Vec<u8>, StoreError> {
            self.inner.get(name, limit)
        }

        fn get_range(&self, name: &ObjectName, offset: u64, length: usize, buffer: &mut Vec<u8>) -> Result<(), StoreError> {
            self.inner.get_range(name, offset, length, buffer)
        }

        fn list(&self, folder: Folder) -> Result<Vec<ObjectInfo>, StoreError> {
            self.inner.list(folder)
        }

        fn stat(&self, name: &ObjectName) -> Result<ObjectInfo, StoreError> {
            self.inner.stat(name)
        }

        fn delete(&self, name: &ObjectName) -> Result<(), StoreError> {
            self.inner.delete(name)
        }

        fn unknown_folders(&self) -> Result<Vec<String>, StoreError> {
            self.inner.unknown_folders()
        }

        fn now(&self) -> Result<SystemTime, StoreError> {
            self.inner.now()
        }
    }

    /// Reads parts, and compares them.
    fn read(store: &Streaming, name: &ObjectName, bytes: &[u8], parts: &[(u64, u64)]) {
        let mut forward = Forward::new(store);
        let mut buffer = Vec::new();
        let mut near = 0;
        for (at, (offset, length)) in parts.iter().enumerate() {
            if at == near {
                near += forward.expect_near(name, parts.iter().skip(at).copied());
            }
            forward.get_range(name, *offset, *length as usize, &mut buffer).unwrap();
            assert!(buffer == bytes[*offset as usize..(offset + length) as usize], "at {offset}");
        }
    }

    #[test]
    fn parts_near_each_other_are_one_answer() {
        let (store, name, bytes) = Streaming::new(u64::MAX);
        read(&store, &name, &bytes, &[(8, 1000), (1008, 1000), (500_000, 10), (4_000_000, 1000), (4_001_000, 7)]);
        assert_eq!(store.streams.load(Ordering::Relaxed), 2);
        assert_eq!(store.inner.count(Operation::GetRange), 0);
    }

    #[test]
    fn a_part_by_itself_and_what_nobody_announced_are_asked_for_as_ever() {
        let (store, name, bytes) = Streaming::new(u64::MAX);
        read(&store, &name, &bytes, &[(8, 1000), (4_000_000, 1000)]);
        let mut forward = Forward::new(&store);
        let mut buffer = Vec::new();
        forward.expect(&name, 1000..2000);
        for offset in [1000, 900, 1100, 1500] {
            forward.get_range(&name, offset, 100, &mut buffer).unwrap();
            assert!(buffer == bytes[offset as usize..offset as usize + 100]);
        }
        assert_eq!(store.streams.load(Ordering::Relaxed), 1);
        assert_eq!(store.inner.count(Operation::GetRange), 2 + 3, "going back ends the answer");
        assert!(forward.get_range(&name, 4_999_999, 2, &mut buffer).is_err());
    }

    #[test]
    fn an_answer_that_breaks_off_costs_only_requests() {
        let (store, name, bytes) = Streaming::new(2500);
        read(&store, &name, &bytes, &[(0, 1000), (1000, 1000), (2000, 1000), (3000, 1000)]);
        assert_eq!(store.inner.count(Operation::GetRange), 2);
    }
}
