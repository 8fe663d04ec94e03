//! Little-endian reading and writing with bounds: the parsers of clear objects are built from it and cannot panic.

/// Bytes that do not fit the format.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum FormatError {
    /// Damaged, or never anything of ours.
    #[error("{0}")]
    Wrong(String),
    /// A newer program wrote them; names what this one does not know.
    #[error("it needs {0}, which this version of hearth-backup does not know")]
    TooNew(String),
}

impl FormatError {
    /// A [`FormatError::Wrong`] with this text.
    pub fn new(why: impl Into<String>) -> Self {
        Self::Wrong(why.into())
    }
}

/// Checks an 8-byte magic, six bytes for the kind and two digits for the version; another version is of a newer program.
///
/// # Errors
/// If it is another.
pub fn check_magic(found: &[u8], magic: &[u8; 8]) -> Result<(), FormatError> {
    let kind = String::from_utf8_lossy(magic);
    match found.split_last_chunk::<2>() {
        _ if found == magic => Ok(()),
        Some((head, version)) if magic.starts_with(head) && head.len() == 6 && version.iter().all(u8::is_ascii_digit) => {
            Err(FormatError::TooNew(format!("the format {}", String::from_utf8_lossy(found))))
        }
        _ => Err(FormatError::new(format!("it does not begin with {kind}"))),
    }
}

/// Reads from the front of a slice.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader at the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Takes `length` bytes.
    ///
    /// # Errors
    /// If fewer are left.
    pub fn take(&mut self, length: usize, what: &str) -> Result<&'a [u8], FormatError> {
        match self.rest.split_at_checked(length) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => Err(FormatError::new(format!("it ends within {what}"))),
        }
    }

    /// Takes an array.
    ///
    /// # Errors
    /// If fewer bytes are left.
    pub fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], FormatError> {
        let bytes = self.take(N, what)?;
        bytes.try_into().map_err(|_| FormatError::new(format!("it ends within {what}")))
    }

    /// Takes a byte.
    ///
    /// # Errors
    /// If none is left.
    pub fn u8(&mut self, what: &str) -> Result<u8, FormatError> {
        Ok(u8::from_le_bytes(self.array(what)?))
    }

    /// Takes a 32-bit number.
    ///
    /// # Errors
    /// If fewer than four bytes are left.
    pub fn u32(&mut self, what: &str) -> Result<u32, FormatError> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    /// Takes a count of items of at least `item` bytes each, so that the count cannot promise more than is there.
    ///
    /// # Errors
    /// If so many items cannot follow.
    pub fn count(&mut self, item: usize, what: &str) -> Result<usize, FormatError> {
        let count = self.u32(what)? as usize;
        if count.checked_mul(item).is_none_or(|bytes| bytes > self.rest.len()) {
            return Err(FormatError::new(format!("it promises {count} entries of {what} but ends before")));
        }
        Ok(count)
    }

    /// Takes a magic, as [`check_magic`].
    ///
    /// # Errors
    /// If it is another.
    pub fn magic(&mut self, magic: &[u8; 8]) -> Result<(), FormatError> {
        check_magic(self.take(magic.len(), "its magic")?, magic)
    }

    /// What has not been read.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Checks that everything was read.
    ///
    /// # Errors
    /// If bytes are left.
    pub fn end(&self) -> Result<(), FormatError> {
        if self.rest.is_empty() { Ok(()) } else { Err(FormatError::new(format!("{} bytes follow its end", self.rest.len()))) }
    }
}

/// Appends a 32-bit number. Lengths in the format are bounded far below 4 GiB; a larger one is clamped and so can
/// never be read back, instead of wrapping silently.
pub fn put_u32(out: &mut Vec<u8>, value: usize) {
    out.extend_from_slice(&u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes());
}

/// Splits an object into its clear part and what follows: magic, length of the clear part, clear part, rest.
///
/// # Errors
/// If the magic is another, or the clear part is longer than `limit` or than the object.
pub fn split_clear<'a>(bytes: &'a [u8], magic: &[u8; 8], limit: usize) -> Result<(&'a [u8], &'a [u8]), FormatError> {
    let mut reader = Reader::new(bytes);
    reader.magic(magic)?;
    let length = reader.u32("the length of its clear part")? as usize;
    if length > limit {
        return Err(FormatError::new(format!("its clear part of {length} bytes is over the limit of {limit}")));
    }
    let clear = reader.take(length, "its clear part")?;
    Ok((clear, reader.rest()))
}

/// Joins what [`split_clear`] splits.
pub fn join_clear(magic: &[u8; 8], clear: &[u8], rest: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(12 + clear.len() + rest.len());
    out.extend_from_slice(magic);
    put_u32(&mut out, clear.len());
    out.extend_from_slice(clear);
    out.extend_from_slice(rest);
    out
}
