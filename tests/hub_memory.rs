//! The hub's memory stays flat, however much comes at once.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

#[path = "hub/process.rs"]
mod process;
#[path = "hub/raw.rs"]
mod raw;

use std::path::Path;
use std::process::Command;
use std::sync::Barrier;
use std::time::Instant;

use blake3::{Hasher, OutputReader};
use hearth_backup::hub::Role;
use hearth_backup::store::{Folder, ObjectName};
use process::{Process, answer, token, upload};

/// What the hub may take, in kB (docs/benchmarks.md).
const MOST: u64 = 200_000;
const UPLOADS: u64 = 64;

/// Bytes of a pack, which no machine needs to hold.
fn pack(seed: u64) -> OutputReader {
    Hasher::new().update(&seed.to_le_bytes()).finalize_xof()
}

/// Hands on so many bytes.
fn pieces(bytes: &mut OutputReader, mut length: usize, mut each: impl FnMut(&[u8])) {
    let mut piece = vec![0; 128 << 10];
    while length > 0 {
        let now = length.min(piece.len());
        bytes.fill(&mut piece[..now]);
        each(&piece[..now]);
        length -= now;
    }
}

/// Uploads packs of so many bytes, all of them under way at the same time. Returns the most memory that the hub took, in kB.
fn uploads_at_once(program: &Path, length: usize) -> u64 {
    let folder = tempfile::tempdir_in(std::env::var_os("HEARTH_TEST_FOLDER").unwrap_or(std::env::temp_dir().into())).unwrap();
    let folder = folder.path();
    // A repository has half of the hub's turns.
    let tokens = ["nas", "web"].map(|name| token(folder, name, Role::Writer, name));
    let hub = Process::command(folder, Command::new(program), &["--listen", "127.0.0.1:0"]);
    let idle = hub.status("VmHWM");
    let names: Vec<_> = std::thread::scope(|scope| {
        let hashed = |seed| {
            let mut hasher = Hasher::new();
            pieces(&mut pack(seed), length, |piece| {
                hasher.update(piece);
            });
            ObjectName::of_id(Folder::Packs, hasher.finalize().as_bytes())
        };
        let all: Vec<_> = (0..UPLOADS).map(|seed| scope.spawn(move || hashed(seed))).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let (half, begun) = (Barrier::new(names.len()), Instant::now());
    std::thread::scope(|scope| {
        for (seed, name) in (0..).zip(&names) {
            let (hub, tokens, half) = (&hub, &tokens, &half);
            scope.spawn(move || {
                let rank = seed as usize % 2;
                let mut line = raw::connect(hub.base());
                raw::send(&mut line, upload(name, &tokens[rank], length).replace("/v1/nas/", ["/v1/nas/", "/v1/web/"][rank]).as_bytes());
                let mut bytes = pack(seed);
                pieces(&mut bytes, length / 2, |piece| raw::send(&mut line, piece));
                // Now all are under way.
                half.wait();
                pieces(&mut bytes, length - length / 2, |piece| raw::send(&mut line, piece));
                line.set_read_timeout(None).unwrap();
                assert_eq!(answer(&mut line), (200, serde_json::json!({ "created": true })));
            });
        }
    });
    let most = hub.status("VmHWM");
    println!("{UPLOADS} uploads of {length} bytes in {:.1} s: {most} kB, {idle} kB before", begun.elapsed().as_secs_f64());
    most
}

/// Of 8 MB, as the disk of whoever runs this test has other things to do; what one takes is reached after a megabyte.
#[test]
fn uploads_of_packs_at_the_same_time_take_little_memory() {
    let most = uploads_at_once(Path::new(env!("CARGO_BIN_EXE_hearth-backup")), 8 << 20);
    assert!(most < MOST, "{most} kB");
}

#[test]
#[ignore = "a measurement: HEARTH_TEST_PROGRAM names the program, HEARTH_TEST_FOLDER a directory with room for 4.3 GB"]
fn sixty_four_uploads_of_whole_packs() {
    let program = std::env::var_os("HEARTH_TEST_PROGRAM").expect("HEARTH_TEST_PROGRAM");
    let most = uploads_at_once(Path::new(&program), 64 << 20);
    assert!(most < MOST, "{most} kB");
}
