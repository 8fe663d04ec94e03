//! Numbers, texts and entries of an archive's table of contents.

/// What became of reading one thing.
pub enum Step {
    /// It took so many bytes.
    Done(usize),
    /// It needs more bytes than there are.
    More,
    /// It is not understood, and why.
    Lost(&'static str),
}

/// How many bytes a number takes, without its sign, and an offset.
#[derive(Debug, Clone, Copy)]
pub struct Widths {
    pub integer: usize,
    pub offset: usize,
}

/// Reads from the start of some bytes; `None` stands for "more bytes are needed" or, if it is lost, for nonsense.
pub struct Cursor<'a> {
    rest: &'a [u8],
    used: usize,
    widths: Widths,
    lost: bool,
}

impl<'a> Cursor<'a> {
    pub fn new(bytes: &'a [u8], widths: Widths) -> Self {
        Self { rest: bytes, used: 0, widths, lost: false }
    }

    pub fn used(&self) -> usize {
        self.used
    }

    pub fn is_lost(&self) -> bool {
        self.lost
    }

    pub fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        self.used += count;
        Some(taken)
    }

    pub fn byte(&mut self) -> Option<u8> {
        self.bytes(1)?.first().copied()
    }

    /// A sign and a number with its lowest byte first. One that is too large for us is nonsense, and so is any other sign than 0 and 1.
    pub fn integer(&mut self) -> Option<i64> {
        let (sign, digits) = self.bytes(1 + self.widths.integer)?.split_first()?;
        let value = digits.iter().rev().try_fold(0_i64, |value, byte| Some(value.checked_mul(256)? | i64::from(*byte)));
        match (sign, value) {
            (0, Some(value)) => Some(value),
            (1, Some(value)) => Some(-value),
            _ => {
                self.lost = true;
                None
            }
        }
    }

    /// A text; `Some(None)` for one that is absent.
    pub fn text(&mut self) -> Option<Option<&'a [u8]>> {
        let length = self.integer()?;
        if length < 0 {
            return Some(None);
        }
        let length = usize::try_from(length).ok()?;
        if length > super::LARGEST_ENTRY {
            self.lost = true;
            return None;
        }
        self.bytes(length).map(Some)
    }

    fn skip_texts(&mut self, count: usize) -> Option<()> {
        (0..count).try_for_each(|_| self.text().map(drop))
    }

    fn string(&mut self) -> Option<String> {
        Some(String::from_utf8_lossy(self.text()?.unwrap_or_default()).into_owned())
    }
}

/// An entry of the table of contents, as far as it matters.
pub struct Entry {
    pub id: u64,
    pub has_data: bool,
    pub tag: String,
    pub description: String,
    pub namespace: Option<String>,
    /// Whether its data are rows for COPY.
    pub is_copied: bool,
    /// The file with its data, in a directory.
    pub file: Option<String>,
}

impl Entry {
    /// Since these versions an entry names the table's access method, and its kind of relation.
    const ACCESS_METHOD: u8 = 14;
    const RELATION_KIND: u8 = 16;

    pub fn read(cursor: &mut Cursor<'_>, version: u8, in_directory: bool) -> Option<Self> {
        let id = cursor.integer()?;
        let has_data = cursor.integer()? != 0;
        // The object ids of the catalogue and of the object.
        cursor.skip_texts(2)?;
        let (tag, description) = (cursor.string()?, cursor.string()?);
        // The section, and how to make and drop the object.
        cursor.integer()?;
        cursor.skip_texts(2)?;
        let is_copied = cursor.text()?.is_some_and(|statement| !statement.is_empty());
        let namespace = cursor.text()?.map(|name| String::from_utf8_lossy(name).into_owned()).filter(|name| !name.is_empty());
        // The tablespace.
        cursor.text()?;
        if version >= Self::ACCESS_METHOD {
            cursor.text()?;
        }
        if version >= Self::RELATION_KIND {
            cursor.integer()?;
        }
        // The owner, and whether rows have object ids.
        cursor.skip_texts(2)?;
        // What it depends on, up to a text that is absent.
        while cursor.text()?.is_some() {}
        let file = if in_directory {
            cursor.text()?.map(|name| String::from_utf8_lossy(name).into_owned()).filter(|name| !name.is_empty())
        } else {
            cursor.bytes(1 + cursor.widths.offset)?;
            None
        };
        let Ok(id) = u64::try_from(id) else {
            cursor.lost = true;
            return None;
        };
        Some(Self { id, has_data, tag, description, namespace, is_copied, file })
    }
}
