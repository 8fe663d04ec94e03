use std::collections::HashMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::content::secret::ChunkSecret;
use crate::sealed::pack::Class;

#[derive(Default)]
struct Memory(HashMap<ChunkId, Arc<Vec<u8>>>);

fn keys() -> ChunkKeys {
    ChunkSecret::from_bytes([5; 32]).chunk_keys()
}

impl TreeSink for Memory {
    type Error = FormatError;
    fn store_tree(&mut self, plaintext: &[u8]) -> Result<ChunkId, FormatError> {
        let id = keys().id(Class::Tree, plaintext);
        self.0.insert(id, Arc::new(plaintext.to_vec()));
        Ok(id)
    }
}

impl TreeSource for Memory {
    type Error = FormatError;
    fn tree(&mut self, id: &ChunkId) -> Result<Arc<Vec<u8>>, FormatError> {
        self.0.get(id).cloned().ok_or_else(|| FormatError::new("missing"))
    }
}

fn chunk(number: u64) -> Element {
    let id = blake3::hash(&number.to_le_bytes());
    Element::Chunk { id: ChunkId::from_bytes(*id.as_bytes()), length: 1 }
}

fn build_list(elements: impl Iterator<Item = Element>, store: &mut Memory) -> Vec<Element> {
    let mut builder = ListBuilder::default();
    elements.for_each(|element| builder.push(element, store).unwrap());
    builder.finish(store).unwrap()
}

fn read_list(elements: &[Element], store: &mut Memory) -> Vec<Element> {
    let mut found = Vec::new();
    walk_elements(elements, store, &mut |element| {
        found.push(*element);
        Ok(())
    })
    .unwrap();
    found
}

fn arbitrary_entry() -> impl Strategy<Value = Entry> {
    let name = prop::collection::vec(any::<u8>(), 1..50).prop_filter("valid", |name| valid_name(name));
    let kind = prop_oneof![
        (0_u64..5).prop_map(|count| Kind::File { size: count, content: (0..count).map(chunk).collect() }),
        (0_u64..5).prop_map(|count| Kind::Directory { pages: (0..count).map(chunk).collect() }),
        prop::collection::vec(any::<u8>(), 0..50).prop_map(|target| Kind::Symlink { target }),
        Just(Kind::Fifo),
        Just(Kind::Socket),
        any::<(u64, u64)>().prop_map(|(major, minor)| Kind::BlockDevice(Device { major, minor })),
        any::<(u64, u64)>().prop_map(|(major, minor)| Kind::CharDevice(Device { major, minor })),
    ];
    let xattrs = prop::collection::vec(
        (prop::collection::vec(any::<u8>(), 0..9), prop::collection::vec(any::<u8>(), 0..9))
            .prop_map(|(name, value)| Xattr { name, value }),
        0..3,
    );
    let rest =
        (0_u32..0o10000, any::<(u32, u32)>(), any::<i64>(), 0_u32..1_000_000_000, any::<Option<(u32, u64)>>(), any::<Option<String>>());
    (name, kind, xattrs, rest).prop_map(|(name, kind, xattrs, (mode, (uid, gid), seconds, nanoseconds, link, user))| Entry {
        name,
        kind,
        metadata: Metadata {
            mode,
            uid,
            gid,
            group: user.clone(),
            user,
            mtime: Timestamp { seconds, nanoseconds },
            xattrs,
            link: link.map(|(filesystem, inode)| LinkId { filesystem, inode }),
        },
    })
}

proptest! {
    #[test]
    fn entries_come_back_from_their_page(mut entries in prop::collection::vec(arbitrary_entry(), 0..20)) {
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        entries.dedup_by(|a, b| a.name == b.name);
        let mut page = vec![b'['];
        for (rank, entry) in entries.iter().enumerate() {
            if rank > 0 { page.push(b','); }
            write_entry(entry, &mut page);
        }
        page.push(b']');
        prop_assert_eq!(parse_page(&page).unwrap(), entries);
    }

    #[test]
    fn any_bytes_are_a_page_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse_page(&bytes);
        let _ = parse_list(&bytes);
    }

    #[test]
    fn lists_of_any_length_come_back(count in 0_u64..5000) {
        let mut store = Memory::default();
        let elements = build_list((0..count).map(chunk), &mut store);
        prop_assert!(elements.len() <= INLINE);
        prop_assert_eq!(read_list(&elements, &mut store), (0..count).map(chunk).collect::<Vec<_>>());
    }
}

#[test]
fn long_lists_nest_and_one_change_rewrites_little() {
    let mut store = Memory::default();
    let count = 1_500_000;
    build_list((0..count).map(chunk), &mut store);
    let before = store.0.len();
    let changed = build_list((0..count).map(|number| chunk(if number == 700_000 { u64::MAX } else { number })), &mut store);
    assert!(store.0.len() - before <= 6, "{} new nodes", store.0.len() - before);
    assert_eq!(read_list(&changed, &mut store).len() as u64, count);
}

#[test]
fn a_new_name_among_a_hundred_thousand_rewrites_one_page() {
    let mut store = Memory::default();
    let build = |skip: Option<u32>, store: &mut Memory| {
        let mut builder = PageBuilder::default();
        for number in (0..100_000).filter(|number| Some(*number) != skip) {
            let entry = Entry { name: format!("file{number:06}").into_bytes(), metadata: Metadata::default(), kind: Kind::Fifo };
            let mut json = Vec::new();
            write_entry(&entry, &mut json);
            builder.push(&entry.name, &json, &keys(), store).unwrap();
        }
        builder.finish(store).unwrap()
    };
    let pages = build(Some(50_000), &mut store);
    assert!((100..800).contains(&pages.len()), "{} pages", pages.len());
    let before = store.0.len();
    build(None, &mut store);
    assert!(store.0.len() - before <= 2, "{} new chunks", store.0.len() - before);
}

#[test]
fn names_that_would_escape_are_refused() {
    for name in ["", ".", "..", "a/b", "a\0b", &"x".repeat(256)] {
        let page = format!(r#"[{{"name":{},"type":"fifo","mode":0,"uid":0,"gid":0,"mtime":[0,0]}}]"#, serde_json::to_string(name).unwrap());
        assert!(parse_page(page.as_bytes()).is_err(), "{name:?}");
    }
}

#[test]
fn sizes_that_lie_and_unsorted_pages_are_refused() {
    let file = |name: &str, size: u64| {
        format!(r#"{{"name":"{name}","type":"file","mode":0,"uid":0,"gid":0,"mtime":[0,0],"size":{size},"content":[{{"hole":5}}]}}"#)
    };
    assert!(parse_page(format!("[{}]", file("a", 5)).as_bytes()).is_ok());
    assert!(parse_page(format!("[{}]", file("a", 6)).as_bytes()).is_err());
    assert!(parse_page(format!("[{},{}]", file("b", 5), file("a", 5)).as_bytes()).is_err());
    assert!(parse_page(format!("[{},{}]", file("a", 5), file("a", 5)).as_bytes()).is_err());
}
