//! The data that runbooks bring back: letters that compress, pictures that do not.

use std::fs;
use std::path::Path;

/// Bytes that do not compress.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// Fills a folder; the number of bytes. `HEARTH_SAMPLE_MB` says how many pictures of 1 MB, else there are a few.
pub fn fill(folder: &Path) -> u64 {
    let pictures: u64 = std::env::var("HEARTH_SAMPLE_MB").ok().and_then(|number| number.parse().ok()).unwrap_or(8);
    let mut size = 0;
    let mut write = |name: String, content: &[u8]| {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        size += content.len() as u64;
    };
    for number in 0..200 {
        let letter: String =
            (0..100).map(|line| format!("letter {number}, line {line}: {}\n", (number * 7919 + line * 104_729) % 65_537)).collect();
        write(format!("letters/{}/{number}.txt", number % 10), letter.as_bytes());
    }
    for number in 0..pictures {
        write(format!("pictures/{}/{number}.jpg", number % 7), &noise(number, 1_000_000));
    }
    write("letters/will.txt".to_owned(), b"To Anna, the boat.\n");
    size
}
