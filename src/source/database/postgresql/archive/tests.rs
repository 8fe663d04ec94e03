//! Archives made by hand; tests/postgresql.rs has those of the real `pg_dump`.

use proptest::prelude::*;

use super::*;

/// Writes an archive as `pg_dump` does.
struct Writer {
    bytes: Vec<u8>,
    version: u8,
    kind: u8,
}

impl Writer {
    fn new(version: u8, kind: u8, compression: u8, entries: i32) -> Self {
        let mut writer = Self { bytes: [b"PGDMP".as_slice(), &[1, version, 0, 4, 8, kind]].concat(), version, kind };
        if version >= 15 {
            writer.bytes.push(compression);
        } else {
            writer.integer(compression.into());
        }
        (0..7).for_each(|number| writer.integer(number));
        ["shop", "15.1", "15.2"].into_iter().for_each(|text| writer.text(Some(text)));
        writer.integer(entries);
        writer
    }

    fn integer(&mut self, value: i32) {
        self.bytes.push(u8::from(value < 0));
        self.bytes.extend(value.unsigned_abs().to_le_bytes());
    }

    fn text(&mut self, text: Option<&str>) {
        self.integer(text.map_or(-1, |text| text.len().try_into().unwrap()));
        self.bytes.extend(text.unwrap_or_default().as_bytes());
    }

    fn entry(&mut self, id: i32, description: &str, tag: &str, data: bool) {
        self.integer(id);
        self.integer(data.into());
        [Some("0"), Some("0"), Some(tag), Some(description)].into_iter().for_each(|text| self.text(text));
        self.integer(3);
        let copy = (description == "TABLE DATA").then_some("COPY x FROM stdin;\n");
        [Some("CREATE"), None, copy, Some("public"), None].into_iter().for_each(|text| self.text(text));
        if self.version >= 14 {
            self.text(Some("heap"));
        }
        if self.version >= 16 {
            self.integer(114);
        }
        [Some("postgres"), Some("false"), Some("1"), Some("2"), None].into_iter().for_each(|text| self.text(text));
        if self.kind == TAR {
            self.text(Some(if data { "7.dat" } else { "" }));
        } else {
            self.bytes.extend([1; 9]);
        }
    }

    fn block(&mut self, kind: u8, id: i32) {
        self.bytes.push(kind);
        self.integer(id);
    }
}

fn archive(version: u8) -> Vec<u8> {
    let mut archive = Writer::new(version, CUSTOM, 0, 4);
    archive.entry(1, "TABLE", "goods", false);
    archive.entry(2, "TABLE DATA", "goods", true);
    archive.entry(3, "BLOBS", "BLOBS", true);
    archive.entry(4, "TABLE DATA", "empty", true);
    archive.block(1, 2);
    for piece in ["tea\n", "milk\nsu", "gar\n", "\\", ".\n", "\n\n"] {
        archive.text(Some(piece));
    }
    archive.integer(0);
    archive.block(3, 3);
    archive.integer(12345);
    archive.text(Some("a large\nobject"));
    archive.integer(0);
    archive.integer(0);
    archive.block(1, 4);
    archive.text(Some("\\.\n\n\n"));
    archive.integer(0);
    archive.bytes
}

fn count(pieces: &[&[u8]]) -> io::Result<RowCounts> {
    let mut tally = Box::<Archive>::default();
    pieces.iter().for_each(|piece| tally.take(piece));
    tally.end()
}

fn expected() -> RowCounts {
    let table = |table: &str, rows| TableRows { schema: Some("public".into()), table: table.into(), rows };
    RowCounts::Tables(vec![table("empty", 0), table("goods", 3)])
}

#[test]
fn rows_of_every_known_version_are_counted_however_the_dump_is_cut() {
    for version in VERSIONS {
        let bytes = archive(version);
        assert_eq!(count(&[&bytes]).unwrap(), expected(), "version 1.{version}");
        assert_eq!(count(&bytes.chunks(1).collect::<Vec<_>>()).unwrap(), expected(), "version 1.{version}");
        for cut in 0..bytes.len() {
            let (start, end) = bytes.split_at(cut);
            assert_eq!(count(&[start, end]).unwrap(), expected());
        }
    }
}

#[test]
fn an_archive_without_its_end_is_an_error_wherever_it_breaks_off() {
    let bytes = archive(14);
    for length in 0..bytes.len() {
        let error = count(&[&bytes[..length]]).unwrap_err().to_string();
        assert!(error.contains("breaks off"), "{length}: {error}");
    }
    let names = count(&[&bytes[..bytes.len() - 21]]).unwrap_err().to_string();
    assert!(names.contains("before the data of the table public.empty"), "{names}");
}

#[test]
fn what_is_not_understood_has_no_counts_and_is_no_error() {
    let unknown = |bytes: &[u8], expected: &str| match count(&[bytes]).unwrap() {
        RowCounts::Unknown(why) => assert!(why.contains(expected), "{why}"),
        counts => panic!("{counts:?}"),
    };
    unknown(b"CREATE TABLE goods (name text);", "no archive");
    unknown(&archive(17), "version");
    unknown(&Writer::new(14, CUSTOM, 6, 0).bytes, "compressed");
    unknown(&Writer::new(16, CUSTOM, 2, 0).bytes, "compressed");
    unknown(&Writer::new(16, TAR, 0, 0).bytes, "another kind");
    unknown(&Writer::new(16, CUSTOM, 0, i32::MAX).bytes, "sensible length");
    let mut bytes = archive(14);
    bytes.extend([9, 0, 1, 0, 0, 0]);
    unknown(&bytes, "block");
}

#[test]
fn the_table_of_contents_of_a_directory_names_the_files_of_its_tables() {
    let mut toc = Writer::new(15, TAR, 0, 2);
    toc.entry(1, "TABLE", "goods", false);
    toc.entry(2, "TABLE DATA", "goods", true);
    let tables = tables_of_directory(&toc.bytes).unwrap();
    assert_eq!(tables.len(), 1);
    assert_eq!(tables["7.dat"].display(), "public.goods");
    assert!(tables_of_directory(&toc.bytes[..toc.bytes.len() - 1]).is_err());
    let counted = |content: &[u8]| {
        let mut tally = Box::new(TableFile::new(tables["7.dat"].clone()));
        tally.take(content);
        tally.end()
    };
    assert_eq!(counted(b"a\nb\n\\.\n\n\n").unwrap(), RowCounts::Tables(vec![TableRows { rows: 2, ..tables["7.dat"].clone() }]));
    assert!(counted(b"a\nb\n").unwrap_err().to_string().contains("breaks off"));
}

proptest! {
    #[test]
    fn any_bytes_give_counts_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..400), cut in 0_usize..400) {
        let (start, end) = bytes.split_at(cut.min(bytes.len()));
        let _ = count(&[start, end]);
        let _ = tables_of_directory(&bytes);
    }

    #[test]
    fn any_damage_gives_counts_or_an_error(place in 0_usize..800, value in any::<u8>(), piece in 1_usize..300) {
        let mut bytes = archive(16);
        let place = place % bytes.len();
        bytes[place] = value;
        let _ = count(&bytes.chunks(piece).collect::<Vec<_>>());
        let _ = count(&[&bytes]);
    }
}
