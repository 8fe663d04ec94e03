//! Identities: opaque 32-byte newtypes, so that a pack can never be mistaken for a block.
//!
//! Their text form, in object names and on the command line, is 64 lower-case hexadecimal digits.

use std::fmt;
use std::str::FromStr;

/// Text that is not 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, thiserror::Error)]
#[error("`{text}` is not an id: 64 lower-case hexadecimal digits are needed")]
pub struct ParseIdError {
    text: String,
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(DIGITS[usize::from(byte >> 4)] as char);
        text.push(DIGITS[usize::from(byte & 15)] as char);
    }
    text
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let mut out = [0; 32];
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        let mut value = 0;
        for digit in pair {
            value = value * 16
                + match digit {
                    b'0'..=b'9' => digit - b'0',
                    b'a'..=b'f' => digit - b'a' + 10,
                    _ => return None,
                };
        }
        *byte = value;
    }
    Some(out)
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 32]);

        impl $name {
            /// The id with these bytes.
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The id's bytes.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// The first eight digits, for people.
            pub fn short(&self) -> String {
                hex(&self.0[..4])
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.short())
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;
            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                unhex(text).map(Self).ok_or_else(|| ParseIdError { text: text.chars().take(80).collect() })
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

/// Ids that are the BLAKE3 of the whole stored bytes, which anyone can check.
macro_rules! content_id {
    ($(#[$doc:meta])* $name:ident) => {
        id!($(#[$doc])* $name);

        impl $name {
            /// The id of an object with these stored bytes.
            pub fn of(bytes: &[u8]) -> Self {
                Self(*blake3::hash(bytes).as_bytes())
            }
        }
    };
}

id! {
    /// A chunk: keyed BLAKE3 of its plaintext. Without the chunk secret it says nothing about the content.
    ChunkId
}
content_id! {
    /// A block: BLAKE3 of its sealed bytes.
    BlockId
}
content_id! {
    /// A pack object.
    PackId
}
content_id! {
    /// An index object.
    IndexId
}
content_id! {
    /// A refs object.
    RefsId
}
content_id! {
    /// A snapshot object.
    SnapshotId
}
content_id! {
    /// A checkpoint object.
    CheckpointId
}
content_id! {
    /// A map object.
    MapId
}
content_id! {
    /// A condemned object.
    CondemnedId
}
content_id! {
    /// A `keys/` object.
    KeysId
}
content_id! {
    /// A statement. The id of statement 0 is the [`RepositoryId`].
    StatementId
}
id! {
    /// A writer of a repository: random, given when the writer is added.
    WriterId
}
id! {
    /// A group of snapshots of one host and job: a hash under the writer's secret, so it tells a keeper nothing.
    GroupId
}
id! {
    /// A repository: BLAKE3 of its statement 0. Text form for people: `hb1...` (bech32, BIP 173).
    RepositoryId
}

const REPOSITORY_HRP: bech32::Hrp = bech32::Hrp::parse_unchecked("hb");

impl RepositoryId {
    /// The form with a checksum that people copy: `hb1...`.
    pub fn to_bech32(&self) -> String {
        // Encoding 32 bytes under a valid prefix cannot exceed the length limit, the only error there is.
        bech32::encode::<bech32::Bech32>(REPOSITORY_HRP, self.as_bytes()).unwrap_or_else(|_| self.to_string())
    }

    /// Reads the `hb1...` form.
    ///
    /// # Errors
    /// If the prefix, the length or the checksum is wrong.
    pub fn from_bech32(text: &str) -> Result<Self, ParseRepositoryIdError> {
        let wrong = || ParseRepositoryIdError { text: text.chars().take(100).collect() };
        let (hrp, data) = bech32::decode(text).map_err(|_| wrong())?;
        if hrp != REPOSITORY_HRP {
            return Err(wrong());
        }
        Ok(Self(data.try_into().map_err(|_| wrong())?))
    }
}

/// Text that is not a repository id.
#[derive(Debug, Clone, thiserror::Error)]
#[error("`{text}` is not a repository id: it starts with `hb1` and has a checksum; copy it again whole")]
pub struct ParseRepositoryIdError {
    text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back_from_their_text() {
        let id = PackId::of(b"x");
        assert_eq!(id.to_string().parse::<PackId>().unwrap(), id);
        assert!("00".parse::<PackId>().is_err());
        assert!(id.to_string().to_uppercase().parse::<PackId>().is_err());
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(serde_json::from_str::<PackId>(&json).unwrap(), id);
    }

    #[test]
    fn a_mistyped_repository_id_is_refused() {
        let id = RepositoryId::from_bytes([7; 32]);
        let text = id.to_bech32();
        assert!(text.starts_with("hb1"));
        assert_eq!(RepositoryId::from_bech32(&text).unwrap(), id);
        let mut wrong = text.into_bytes();
        wrong[10] = if wrong[10] == b'q' { b'p' } else { b'q' };
        assert!(RepositoryId::from_bech32(std::str::from_utf8(&wrong).unwrap()).is_err());
    }
}
