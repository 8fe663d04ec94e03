//! A list of objects as it comes from a hub, which may say anything.

use super::protocol::{Listed, object_name};
use crate::store::ObjectInfo;

/// Most bytes of a line.
const LONGEST_LINE: usize = 8 << 20;

/// Reads a list piece by piece.
#[derive(Debug, Default)]
pub struct Listing {
    /// The beginning of a line.
    rest: Vec<u8>,
    found: Vec<ObjectInfo>,
    lines: u64,
    ended: bool,
}

/// Why a list is not to be believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListingError {
    /// A line is none.
    #[error("its list has a line that is none ({0})")]
    Line(String),
    /// A line without an end.
    #[error("its list has a line without end")]
    Endless,
    /// The end is missing, or counts others than came.
    #[error("its list has no end")]
    Cut,
    /// More comes behind the end.
    #[error("its list goes on behind its end")]
    Beyond,
}

impl Listing {
    /// The next bytes of the list.
    ///
    /// # Errors
    /// If it is none.
    pub fn read(&mut self, piece: &[u8]) -> Result<(), ListingError> {
        let mut left = piece;
        while let Some(end) = memchr::memchr(b'\n', left) {
            let (line, behind) = left.split_at(end);
            left = behind.get(1..).unwrap_or_default();
            if self.rest.is_empty() {
                self.line(line)?;
            } else {
                let mut whole = std::mem::take(&mut self.rest);
                whole.extend_from_slice(line);
                self.line(&whole)?;
            }
        }
        if self.rest.len() + left.len() > LONGEST_LINE {
            return Err(ListingError::Endless);
        }
        self.rest.extend_from_slice(left);
        Ok(())
    }

    fn line(&mut self, line: &[u8]) -> Result<(), ListingError> {
        if self.ended {
            return Err(ListingError::Beyond);
        }
        match serde_json::from_slice(line).map_err(|error| ListingError::Line(error.to_string()))? {
            Listed::End { objects } if objects == self.lines => self.ended = true,
            Listed::End { .. } => return Err(ListingError::Cut),
            Listed::Object { object, size, stored } => {
                self.lines += 1;
                // What a newer hub has besides is none of ours.
                self.found.extend(object_name(&object).map(|name| ObjectInfo { name, size, stored: stored.into() }));
            }
        }
        Ok(())
    }

    /// The objects, once all of it was read.
    ///
    /// # Errors
    /// If it was cut off.
    pub fn finish(self) -> Result<Vec<ObjectInfo>, ListingError> {
        match (self.ended, self.rest.is_empty()) {
            (true, true) => Ok(self.found),
            (true, false) => Err(ListingError::Beyond),
            (false, _) => Err(ListingError::Cut),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = r#"{"object":"index/ab","size":7,"stored":"2026-01-01T00:00:00Z"}"#;

    fn read(text: &str) -> Result<usize, ListingError> {
        let mut listing = Listing::default();
        listing.read(text.as_bytes())?;
        listing.finish().map(|found| found.len())
    }

    #[test]
    fn a_list_is_believed_if_its_end_counts_what_came() {
        assert_eq!(read(&format!("{ONE}\n{{\"objects\":1}}\n")), Ok(1));
        assert_eq!(read("{\"objects\":0}\n"), Ok(0));
        let newer = ONE.replace("index", "invented");
        assert_eq!(read(&format!("{ONE}\n{newer}\n{{\"objects\":2}}\n")), Ok(1));
        let cut = [
            "",
            ONE,
            "{\"objects\":0}",
            &format!("{ONE}\n"),
            &format!("{ONE}\n{{\"objects\":2}}\n"),
            "{\"objects\":18446744073709551615}\n",
        ];
        for text in cut {
            assert_eq!(read(text), Err(ListingError::Cut), "{text}");
        }
        for text in
            [format!("{{\"objects\":0}}\n{ONE}\n"), "{\"objects\":0}\n{\"objects\":0}\n".to_owned(), "{\"objects\":0}\n ".to_owned()]
        {
            assert_eq!(read(&text), Err(ListingError::Beyond), "{text}");
        }
        assert!(matches!(read("no\n"), Err(ListingError::Line(_))));
    }

    #[test]
    fn a_line_without_an_end_is_not_kept_for_ever() {
        let mut listing = Listing::default();
        let piece = vec![b' '; 1 << 20];
        assert_eq!((0..9).find_map(|_| listing.read(&piece).err()), Some(ListingError::Endless));
    }
}
