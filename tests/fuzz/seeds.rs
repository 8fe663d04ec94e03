//! Small valid inputs for every fuzz target, the same each time but for what encryption adds.

use age::x25519::Identity;
use hearth_backup::content::keys::{ContentKeys, SigningKey, WriterKey};
use hearth_backup::content::seal;
use hearth_backup::content::secret::ChunkSecret;
use hearth_backup::model::id::{
    BlockId, CheckpointId, GroupId, IndexId, KeysId, MapId, PackId, RefsId, RepositoryId, SnapshotId, StatementId, WriterId,
};
use hearth_backup::sealed::envelope::{self, Envelope, Sizes};
use hearth_backup::sealed::index::{self, BlockList};
use hearth_backup::sealed::marks::{self, Announcement, Condemned, Received};
use hearth_backup::sealed::pack::{BlockEntry, Class, Contents, PackWriter};
use hearth_backup::sealed::refs::{Bitmap, Refs};
use hearth_backup::sealed::signature::Subject;
use hearth_backup::sealed::statement::{self, Chunking, ContentRecipient, Features, KeysEntry, Statement, UnknownFields, Writer};
use hearth_backup::store::{MemoryStore, Store as _};
use zeroize::Zeroizing;

use crate::targets::IDENTITY;

/// Target, name, bytes.
type Seed = (&'static str, &'static str, Vec<u8>);

const REPOSITORY: RepositoryId = RepositoryId::from_bytes([1; 32]);

pub fn all() -> Vec<Seed> {
    [clear_objects(), signed_objects(), marks_of_keepers(), sealed_objects(), trees(), keys(), texts(), hub()].concat()
}

fn list() -> BlockList {
    let entry = |byte, length| BlockEntry { id: BlockId::from_bytes([byte; 32]), length };
    let data = Contents { class: Class::Data, blocks: vec![entry(1, 4096), entry(2, 8192), entry(3, 16)] };
    let trees = Contents { class: Class::Tree, blocks: vec![entry(4, 4096)] };
    BlockList { packs: vec![(PackId::from_bytes([5; 32]), data), (PackId::from_bytes([6; 32]), trees)] }
}

fn clear_objects() -> Vec<Seed> {
    let mut bitmap = Bitmap::new(11);
    [0, 3, 10].into_iter().for_each(|position| bitmap.insert(position));
    let indexes = [(IndexId::from_bytes([7; 32]), bitmap), (IndexId::from_bytes([8; 32]), Bitmap::full(4))];
    vec![
        ("pack", "two-blocks", pack(&[b"first block", b"second"])),
        ("pack", "empty", pack(&[])),
        ("index", "two-packs", index::encode(&list(), b"sealed")),
        ("index", "empty", index::encode(&BlockList::default(), b"")),
        ("map", "two-packs", marks::encode_map(&list())),
        ("refs", "two-indexes", Refs { indexes: indexes.into() }.encode().unwrap()),
        ("refs", "unpacked-empty", vec![0; 4]),
    ]
}

fn pack(blocks: &[&[u8]]) -> Vec<u8> {
    let store = MemoryStore::new();
    let mut writer = PackWriter::new(&store, Class::Data).unwrap();
    blocks.iter().for_each(|block| writer.block(BlockId::of(block), block).unwrap());
    let id = writer.finish().unwrap().id;
    store.get(&hearth_backup::sealed::pack::name(&id), 1 << 20).unwrap()
}

fn signing() -> SigningKey {
    SigningKey::from_seed(Zeroizing::new([9; 32])).unwrap()
}

fn identity() -> Identity {
    IDENTITY.parse().unwrap()
}

fn signed_objects() -> Vec<Seed> {
    let recipient = identity().to_public().to_string();
    let writer = Writer {
        id: WriterId::from_bytes([2; 32]),
        name: "host".into(),
        verify_key: signing().verify_key(),
        recipient: recipient.clone(),
        closed: Some(vec![SnapshotId::from_bytes([3; 32])]),
        unknown: UnknownFields::new(),
    };
    let statement = Statement {
        format: 1,
        number: 1,
        previous: Some(StatementId::from_bytes([4; 32])),
        made: "2026-01-01T00:00:00Z".into(),
        features: Features { read: Vec::new(), write: vec!["one".into()], keep: Vec::new(), unknown: UnknownFields::new() },
        chunking: Chunking::default(),
        root_key: signing().verify_key(),
        index_recipient: recipient.clone(),
        writers: vec![writer],
        content: vec![ContentRecipient { generation: 0, recipient: recipient.clone(), unknown: UnknownFields::new() }],
        keys: vec![KeysEntry { id: KeysId::from_bytes([5; 32]), recipient, unknown: UnknownFields::new() }],
        unknown: UnknownFields::new(),
    };
    let text = statement.text().unwrap();
    let statement = statement::encode(&text, &signing().sign(Subject::Statement, &REPOSITORY, &text));
    vec![
        ("statement", "second", statement),
        ("snapshot", "with-payload", envelope(Subject::Snapshot, b"sealed payload")),
        ("checkpoint", "plain", envelope(Subject::Checkpoint, b"")),
    ]
}

fn envelope(subject: Subject, payload: &[u8]) -> Vec<u8> {
    let envelope = Envelope {
        writer: WriterId::from_bytes([2; 32]),
        sequence: 7,
        parent: Some(SnapshotId::from_bytes([3; 32])),
        started: "2026-01-01T00:00:00Z".parse().unwrap(),
        finished: "2026-01-01T00:01:00Z".parse().unwrap(),
        group: GroupId::from_bytes([4; 32]),
        refs: RefsId::from_bytes([5; 32]),
        sizes: Sizes { added: 1 << 20, blocks: 3 },
        payload: (subject == Subject::Snapshot).then(|| blake3::hash(payload).to_hex().to_string()),
    };
    let text = serde_json::to_vec(&envelope).unwrap();
    envelope::encode(subject, &text, &signing().sign(subject, &REPOSITORY, &text), payload)
}

fn marks_of_keepers() -> Vec<Seed> {
    let condemned = Condemned {
        packs: [PackId::from_bytes([1; 32]), PackId::from_bytes([2; 32])].into(),
        indexes: [IndexId::from_bytes([3; 32])].into(),
        refs: [RefsId::from_bytes([4; 32])].into(),
        checkpoints: [CheckpointId::from_bytes([5; 32])].into(),
        maps: [MapId::from_bytes([6; 32])].into(),
        needed: 4096,
    };
    let received = Received { received: "2026-01-01T00:00:00Z".parse().unwrap(), door: "mirror".into(), mirrored: false };
    let mirrored = Received { mirrored: true, ..received.clone() };
    vec![
        ("commit", "plain", marks::encode_commit(&SnapshotId::from_bytes([1; 32]))),
        ("condemned", "everything", marks::encode_condemned(&condemned).unwrap()),
        ("condemned", "nothing", marks::encode_condemned(&Condemned::default()).unwrap()),
        ("received", "plain", marks::encode_received(&received).unwrap()),
        ("received", "mirrored", marks::encode_received(&mirrored).unwrap()),
        ("announcement", "plain", marks::encode_announcement(&Announcement { by: "host 42".into() }).unwrap()),
    ]
}

fn sealed_objects() -> Vec<Seed> {
    // Three chunks: count, lengths, chunks.
    let block = [[3, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 13, 0, 0, 0].as_slice(), b"chunk", b"", b"another chunk"].concat();
    // One block of two chunks and one of none: counts, lengths, 20-byte prefixes.
    let chunks = [[2, 2, 0, 0, 0, 5, 0, 0, 0, 6, 0, 0, 0].as_slice(), &[1; 20], &[2; 20], &[0; 4]].concat();
    let sealed = seal::seal_compressed(b"some text, some text", &[&identity().to_public()]).unwrap();
    vec![
        ("sealed", "text", sealed),
        ("frame", "text", zstd::bulk::compress(&b"some text, ".repeat(20), 3).unwrap()),
        ("block", "three-chunks", block),
        ("block", "empty", vec![0; 4]),
        ("chunk_list", "two-blocks", chunks),
    ]
}

/// Written out, since other programs read and write them too.
fn trees() -> Vec<Seed> {
    const ID: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE";
    const HEX: &str = "0202020202020202020202020202020202020202020202020202020202020202";
    let common = r#""mode":420,"uid":0,"gid":0,"mtime":[-1,5]"#;
    let entries = [
        format!(r#"{{"name":"a","type":"chardev",{common},"device":[1,3]}}"#),
        format!(r#"{{"name":"dir","type":"dir",{common},"user":"root","group":"root","content":[["{ID}",99]]}}"#),
        format!(
            r#"{{"name":"file","type":"file",{common},"xattrs":[["user.a",{{"b64":"_w"}}]],"link":[0,12],"size":120,
                "content":[["{ID}",100],{{"hole":10}},{{"list":["{ID}",64],"size":10}}]}}"#
        ),
        format!(r#"{{"name":"link","type":"symlink",{common},"target":"../x"}}"#),
        format!(r#"{{"name":"pipe","type":"fifo",{common}}}"#),
        format!(r#"{{"name":{{"b64":"_w"}},"type":"socket",{common}}}"#),
    ];
    let statistics = r#"{"files":1,"directories":1,"others":0,"bytes":9,"files_read":1,"bytes_read":9,"bytes_new":9,
        "bytes_stored":4096,"warnings":0}"#;
    let payload = format!(
        r#"{{"writer":"{HEX}","sequence":7,"group":"{HEX}","host":"host","job":"","paths":["/srv",{{"b64":"_w"}}],"tags":["weekly"],
            "root":[["{ID}",99]],"statistics":{statistics},"program":"0.1.0"}}"#
    );
    vec![
        ("page", "every-type", format!("[{}]", entries.join(",")).into_bytes()),
        ("page", "empty", b"[]".to_vec()),
        ("list", "every-element", format!(r#"[["{ID}",100],{{"hole":10}},{{"list":["{ID}",64],"size":10}}]"#).into_bytes()),
        ("payload", "plain", payload.into_bytes()),
    ]
}

fn keys() -> Vec<Seed> {
    let chunk_secret = ChunkSecret::from_bytes([3; 32]);
    let writer = WriterKey {
        repository: REPOSITORY,
        name: "host".into(),
        writer: WriterId::from_bytes([2; 32]),
        signing: signing(),
        chunk_secret: chunk_secret.clone(),
        index_identity: identity(),
        identity: identity(),
        content_recipient: identity().to_public(),
        seen: (1, StatementId::from_bytes([4; 32])),
    };
    let keys =
        ContentKeys { repository: REPOSITORY, identities: vec![identity()], root: signing(), chunk_secret, index_identity: identity() };
    vec![
        ("writer_key", "plain", writer.to_text().unwrap().as_bytes().to_vec()),
        ("content_keys", "plain", keys.to_text().as_bytes().to_vec()),
    ]
}

/// What is said to hubs and by them; written out, as other programs may speak with them.
fn hub() -> Vec<Seed> {
    let time = "2026-01-01T00:00:00Z";
    let pack = format!("packs/ab/ab{}", "01".repeat(31));
    let listing = format!(
        "{{\"object\":\"{pack}\",\"size\":7,\"stored\":\"{time}\"}}\n{{\"object\":\"invented/a\",\"size\":0,\"stored\":\"{time}\"}}\n{{\"objects\":2}}\n"
    );
    let about = format!(
        r#"{{"repository":"nas","role":"writer","now":"{time}","used":{{"bytes":9,"objects":1}},"quota":{{"bytes":99,"objects":9}},"unknown_folders":["new"]}}"#
    );
    let deleted = format!(r#"[{{"object":"{pack}"}},{{"object":"..","error":{{"error":"malformed","message":"no"}}}}]"#);
    let texts: [(&str, &str, &str); 16] = [
        ("hub_object", "pack", &pack),
        ("hub_object", "statement", "repo/0"),
        ("hub_range", "both", "bytes=0-99"),
        ("hub_range", "first", "bytes=7-"),
        ("hub_range", "last", "bytes=-7"),
        ("hub_folders", "two", "folders=index,refs"),
        ("hub_deletions", "two", &format!(r#"["{pack}","index/ab"]"#)),
        ("hub_deletions", "none", "[]"),
        ("hub_listing", "two", &listing),
        ("hub_listing", "none", "{\"objects\":0}\n"),
        ("hub_answer", "about", &about),
        ("hub_answer", "stored", r#"{"created":true}"#),
        ("hub_answer", "deleted", &deleted),
        ("hub_answer", "refusal", r#"{"error":"quota","message":"the repository is full"}"#),
        ("hub_token", "plain", "hbt_01234567_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
        ("hub_forwarded", "two", "203.0.113.7\n198.51.100.1, ::ffff:192.0.2.4"),
    ];
    texts.into_iter().map(|(target, name, text)| (target, name, text.as_bytes().to_vec())).collect()
}

fn texts() -> Vec<Seed> {
    let repository = REPOSITORY.to_bech32();
    let located = format!("file:///srv/my%20backups#{repository}");
    let texts: [(&str, &str, &str); 14] = [
        ("repository_id", "plain", &repository),
        ("location", "path", "/srv/backups"),
        ("location", "url-with-id", &located),
        ("span", "mixed", "1y6m2w3d4h5min6s"),
        ("span", "spaced", "18 months 1 day"),
        ("size", "fraction", "1.5GiB"),
        ("size", "decimal", "500 kB"),
        ("size", "plain", "4096"),
        ("group_by", "two", "host,paths"),
        ("group_by", "none", "none"),
        ("exclude", "several", "*.o\nnode_modules/\n/srv/**/tmp\n!keep.o\n/home/*/.cache/**"),
        ("exclude", "odd", "{a,b}[!x-z]?\\*"),
        ("include", "anchored", "/srv/www/**\n/etc"),
        ("include", "anywhere", "*.jpg"),
    ];
    texts.into_iter().map(|(target, name, text)| (target, name, text.as_bytes().to_vec())).collect()
}
