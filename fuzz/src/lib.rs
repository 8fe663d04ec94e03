//! What is fuzzed: every parser of bytes or text that may come from elsewhere.
//!
//! A target takes any bytes and tells whether they were accepted; it panics if what was accepted does not come out
//! again as it went in. `cargo fuzz` runs the targets for hours (see `fuzz/README.md`); `tests/fuzz_smoke.rs` includes
//! this file and runs them for seconds with every test run.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use hearth_backup::content::keys::{ContentKeys, WriterKey};
use hearth_backup::content::payload::Payload;
use hearth_backup::content::{block, chunk_list, compress, seal, tree};
use hearth_backup::hub::hash_of;
use hearth_backup::hub::http::Peer;
use hearth_backup::model::id::RepositoryId;
use hearth_backup::model::size::parse_size;
use hearth_backup::model::span::Span;
use hearth_backup::retention::GroupBy;
use hearth_backup::sealed::refs::{self, Refs};
use hearth_backup::sealed::signature::Subject;
use hearth_backup::sealed::{envelope, index, marks, pack, statement};
use hearth_backup::source::exclude::{Excludes, Selection};
use hearth_backup::store::hub::listing::Listing;
use hearth_backup::store::hub::protocol::{self, About, Deleted, Reason, Refusal, Stored};
use hearth_backup::store::{Access, Address};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Runs a parser over any bytes.
pub type Target = fn(&[u8]) -> bool;

/// Every target by the name of its binary and of its folder in `corpus/`.
pub const TARGETS: &[(&str, Target)] = &[
    ("pack", pack),
    ("index", index),
    ("refs", refs),
    ("snapshot", snapshot),
    ("checkpoint", checkpoint),
    ("statement", statement),
    ("commit", commit),
    ("condemned", condemned),
    ("map", map),
    ("received", received),
    ("announcement", announcement),
    ("sealed", sealed),
    ("frame", frame),
    ("block", block),
    ("chunk_list", chunk_list),
    ("payload", payload),
    ("page", page),
    ("list", list),
    ("writer_key", writer_key),
    ("content_keys", content_keys),
    ("repository_id", repository_id),
    ("location", location),
    ("span", span),
    ("size", size),
    ("group_by", group_by),
    ("exclude", exclude),
    ("include", include),
    ("hub_object", hub_object),
    ("hub_range", hub_range),
    ("hub_folders", hub_folders),
    ("hub_deletions", hub_deletions),
    ("hub_listing", hub_listing),
    ("hub_answer", hub_answer),
    ("hub_token", hub_token),
    ("hub_forwarded", hub_forwarded),
];

/// Opens the seeds of `sealed`; it protects nothing.
pub const IDENTITY: &str = "AGE-SECRET-KEY-1QURSWPC8QURSWPC8QURSWPC8QURSWPC8QURSWPC8QURSWPC8QURSKMP32K";

/// A pack's frame and footer.
pub fn pack(bytes: &[u8]) -> bool {
    pack::parse(bytes).is_ok_and(|contents| {
        assert_eq!(contents.pack_size(), bytes.len() as u64);
        assert!(contents.offsets().all(|(offset, block)| offset + u64::from(block.length) <= bytes.len() as u64));
        true
    })
}

/// An index object's clear list.
pub fn index(bytes: &[u8]) -> bool {
    index::parse(bytes).is_ok_and(|(list, sealed)| {
        assert_eq!(list.blocks().count(), list.len());
        assert_eq!(index::encode(&list, sealed), bytes);
        true
    })
}

/// A refs object, as it is and as the content of a sound zstd frame.
pub fn refs(bytes: &[u8]) -> bool {
    let framed = zstd::bulk::compress(bytes, 1).map(|packed| [refs::MAGIC.as_slice(), &packed].concat());
    let objects = [Some(bytes.to_vec()), framed.ok()];
    let mut accepted = false;
    for parsed in objects.iter().flatten().filter_map(|object| Refs::parse(object).ok()) {
        assert!(parsed.indexes.values().all(|bitmap| bitmap.iter().all(|position| bitmap.contains(position))));
        assert_eq!(parsed.encode().and_then(|again| Refs::parse(&again)), Ok(parsed));
        accepted = true;
    }
    accepted
}

/// A snapshot's envelope.
pub fn snapshot(bytes: &[u8]) -> bool {
    envelope::parse(Subject::Snapshot, bytes).is_ok()
}

/// A checkpoint's envelope.
pub fn checkpoint(bytes: &[u8]) -> bool {
    envelope::parse(Subject::Checkpoint, bytes).is_ok()
}

/// A statement about a repository.
pub fn statement(bytes: &[u8]) -> bool {
    statement::parse(bytes).is_ok_and(|signed| signed.statement.chunking.validate().is_ok())
}

/// A commit.
pub fn commit(bytes: &[u8]) -> bool {
    marks::parse_commit(bytes).is_ok_and(|snapshot| marks::encode_commit(&snapshot) == bytes)
}

/// A condemned object.
pub fn condemned(bytes: &[u8]) -> bool {
    marks::parse_condemned(bytes).is_ok_and(|condemned| {
        assert_eq!(marks::encode_condemned(&condemned).and_then(|again| marks::parse_condemned(&again)), Ok(condemned));
        true
    })
}

/// A map.
pub fn map(bytes: &[u8]) -> bool {
    marks::parse_map(bytes).is_ok_and(|list| marks::encode_map(&list) == bytes)
}

/// A record of what a keeper received.
pub fn received(bytes: &[u8]) -> bool {
    marks::parse_received(bytes).is_ok()
}

/// An announcement of a prune.
pub fn announcement(bytes: &[u8]) -> bool {
    marks::parse_announcement(bytes).is_ok()
}

/// An age file, opened by our own stream cipher code.
pub fn sealed(bytes: &[u8]) -> bool {
    IDENTITY.parse::<age::x25519::Identity>().is_ok_and(|identity| seal::open_compressed(bytes, &[&identity], |_| 1 << 20).is_ok())
}

/// Compressed bytes.
pub fn frame(bytes: &[u8]) -> bool {
    const LIMIT: usize = 1 << 20;
    let unpacked = zstd::bulk::Decompressor::new().map(|mut zstd| compress::decompress(bytes, LIMIT, &mut zstd));
    unpacked.is_ok_and(|unpacked| unpacked.is_ok_and(|plain| plain.len() <= LIMIT))
}

/// A block's plaintext.
pub fn block(bytes: &[u8]) -> bool {
    block::chunk_ranges(bytes).is_ok_and(|ranges| {
        let end = ranges.iter().fold(4 + 4 * ranges.len(), |end, range| {
            assert_eq!(range.start, end);
            range.end
        });
        assert_eq!(end, bytes.len());
        true
    })
}

/// The chunks of an index object's blocks; the first byte says how many blocks.
pub fn chunk_list(bytes: &[u8]) -> bool {
    let Some((blocks, plain)) = bytes.split_first() else { return false };
    chunk_list::parse(plain, usize::from(*blocks)).is_ok_and(|list| list.len() == usize::from(*blocks))
}

/// A snapshot's payload.
pub fn payload(bytes: &[u8]) -> bool {
    serde_json::from_slice::<Payload>(bytes).is_ok()
}

/// A page of a directory.
pub fn page(bytes: &[u8]) -> bool {
    tree::parse_page(bytes).is_ok_and(|entries| {
        let mut again = b"[".to_vec();
        for (rank, entry) in entries.iter().enumerate() {
            assert!(!entry.name.is_empty() && entry.name != b".." && !entry.name.contains(&b'/'));
            again.extend_from_slice(if rank == 0 { b"" } else { b"," });
            tree::write_entry(entry, &mut again);
        }
        again.push(b']');
        assert_eq!(tree::parse_page(&again), Ok(entries));
        true
    })
}

/// A node of a long list of chunks.
pub fn list(bytes: &[u8]) -> bool {
    tree::parse_list(bytes).is_ok_and(|elements| {
        tree::total(&elements);
        true
    })
}

/// A writer key file.
pub fn writer_key(bytes: &[u8]) -> bool {
    reads_back(bytes, |text| WriterKey::parse(text).ok()?.to_text().ok())
}

/// The plaintext of a `keys/` object.
pub fn content_keys(bytes: &[u8]) -> bool {
    reads_back(bytes, |text| Some(ContentKeys::parse(text).ok()?.to_text()))
}

/// A repository id as people write it.
pub fn repository_id(bytes: &[u8]) -> bool {
    reads_back(bytes, |text| Some(RepositoryId::from_bech32(text).ok()?.to_bech32()))
}

/// Where a repository is.
pub fn location(bytes: &[u8]) -> bool {
    text(bytes).is_some_and(|text| Address::parse(text, &Access::default()).is_ok())
}

/// A length of time.
pub fn span(bytes: &[u8]) -> bool {
    reads_back(bytes, |text| Some(text.parse::<Span>().ok()?.to_string()))
}

/// A number of bytes.
pub fn size(bytes: &[u8]) -> bool {
    reads_back(bytes, |text| Some(parse_size(text).ok()?.to_string()))
}

/// How snapshots are grouped.
pub fn group_by(bytes: &[u8]) -> bool {
    reads_back(bytes, |text| Some(text.parse::<GroupBy>().ok()?.to_string()))
}

/// Patterns and a marker of what a backup leaves out, one a line.
pub fn exclude(bytes: &[u8]) -> bool {
    let patterns = bytes.split(|byte| *byte == b'\n').map(OsStr::from_bytes);
    let builder = patterns.clone().try_fold(Excludes::builder(), |builder, pattern| builder.pattern(pattern));
    // Each line is also tried as a marker, which must not fail where patterns do.
    let marked = patterns.filter_map(|line| Excludes::builder().if_present(line).ok()).count();
    let accepted = builder.and_then(|builder| builder.build());
    accepted.is_ok_and(|excludes| {
        excludes.matches(b"/home/me/notes.txt", b"notes.txt", false);
        excludes.matches(bytes, bytes, marked > 0);
        true
    })
}

/// Patterns of what a restore takes, one a line.
pub fn include(bytes: &[u8]) -> bool {
    let patterns = bytes.split(|byte| *byte == b'\n').map(OsStr::from_bytes);
    Selection::new(patterns, std::iter::empty::<&OsStr>()).is_ok()
}

/// The path of an object in a request to a hub.
pub fn hub_object(bytes: &[u8]) -> bool {
    reads_back(bytes, |text| {
        let name = protocol::object_name(text)?;
        assert_eq!(name.path(), text);
        assert!(!text.contains("..") && !text.contains('%') && !text.starts_with('/'));
        Some(name.path())
    })
}

/// The header `Range` of a request to a hub, for an object of 1000 bytes and for one of any size.
pub fn hub_range(bytes: &[u8]) -> bool {
    let Some(text) = text(bytes) else { return false };
    let parts = [1000, 0, u64::MAX].map(|size| (size, protocol::part(text, size)));
    for (size, part) in &parts {
        match part {
            Ok(part) => assert!(part.start < part.end && part.end <= *size),
            Err(reason) => assert!(matches!(reason, Reason::Malformed | Reason::Range)),
        }
    }
    parts[0].1.is_ok()
}

/// The query of a list at a hub.
pub fn hub_folders(bytes: &[u8]) -> bool {
    reads_back(bytes, |text| {
        let names: Vec<_> = protocol::folders(text)?.into_iter().map(|folder| folder.as_str()).collect();
        Some(format!("folders={}", names.join(",")))
    })
}

/// What a hub shall delete.
pub fn hub_deletions(bytes: &[u8]) -> bool {
    serde_json::from_slice::<Vec<String>>(bytes).is_ok_and(|paths| paths.iter().all(|path| protocol::object_name(path).is_some()))
}

/// A list of objects as a client reads it, whatever pieces it comes in.
pub fn hub_listing(bytes: &[u8]) -> bool {
    let read = |piece: usize| {
        let mut listing = Listing::default();
        bytes.chunks(piece).try_for_each(|piece| listing.read(piece))?;
        listing.finish()
    };
    let whole = read(bytes.len().max(1));
    assert_eq!(read(7), whole);
    whole.is_ok()
}

/// Any other answer of a hub, as a client reads it.
pub fn hub_answer(bytes: &[u8]) -> bool {
    let answers = [json::<About>(bytes), json::<Stored>(bytes), json::<Vec<Deleted>>(bytes), json::<Refusal>(bytes)];
    // The reason is in a header as well.
    assert!(text(bytes).is_none_or(|text| !Reason::of(text).word().is_empty()));
    answers.contains(&true)
}

/// A token's text.
pub fn hub_token(bytes: &[u8]) -> bool {
    text(bytes).and_then(hash_of).is_some_and(|hash| {
        assert!(hash.starts_with("hbh_") && hash.is_ascii());
        true
    })
}

/// What a proxy says of whom it asks a hub for, one header a line.
pub fn hub_forwarded(bytes: &[u8]) -> bool {
    let values = bytes.split(|byte| *byte == b'\n').filter_map(|line| http::HeaderValue::from_bytes(line).ok());
    let headers = values.map(|value| (http::HeaderName::from_static("x-forwarded-for"), value)).collect();
    Peer::Local.address(&headers).is_some()
}

/// Whether these bytes are a `T`; if so, what it is written as must be the same again.
fn json<T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(bytes: &[u8]) -> bool {
    serde_json::from_slice::<T>(bytes).is_ok_and(|value| {
        let again = serde_json::to_vec(&value).and_then(|text| serde_json::from_slice::<T>(&text));
        assert_eq!(again.ok(), Some(value));
        true
    })
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

/// Whether `parse_and_write` accepts the bytes; if so, what it writes must be accepted and written the same.
fn reads_back<T: AsRef<str>>(bytes: &[u8], parse_and_write: impl Fn(&str) -> Option<T>) -> bool {
    let Some(written) = text(bytes).and_then(&parse_and_write) else { return false };
    let again = parse_and_write(written.as_ref());
    assert_eq!(again.as_ref().map(AsRef::as_ref), Some(written.as_ref()));
    true
}
