//! Names inside a directory: which are accepted from a snapshot, and which we invent.

use std::hash::{BuildHasher, Hasher, RandomState};

/// Longest name that Linux filesystems store.
const LONGEST: usize = 255;

/// Whether `name` can only mean an entry of the directory it is used in.
pub(super) fn is_safe(name: &[u8]) -> bool {
    !matches!(name, b"" | b"." | b"..") && name.len() <= LONGEST && !name.contains(&b'/') && !name.contains(&0)
}

/// A name that nothing else has: 31 bytes, whatever the length of the final name.
pub(super) fn temporary() -> Vec<u8> {
    format!(".hearth-restore-{:015x}", RandomState::new().build_hasher().finish() >> 4).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for name in [b"".as_slice(), b".", b"..", b"/", b"a/b", b"/etc", b"../x", b"a\0b", &[b'x'; 256]] {
            assert!(!is_safe(name), "{name:?}");
        }
        for name in [b"a".as_slice(), b"...", b"..a", b"\xff\n", &[b'x'; 255]] {
            assert!(is_safe(name), "{name:?}");
        }
    }

    #[test]
    fn temporary_names_are_safe_and_differ() {
        let (one, two) = (temporary(), temporary());
        assert!(is_safe(&one) && one.starts_with(b".hearth-restore-") && one.len() == 31);
        assert_ne!(one, two);
    }
}
