//! Files of patterns.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::ExcludeError;
use super::pattern::Pattern;

/// Reads the patterns of a file, in order.
pub(super) fn read(path: &Path) -> Result<Vec<Pattern>, ExcludeError> {
    let bytes = std::fs::read(path).map_err(|source| ExcludeError::File { file: path.to_owned(), source })?;
    parse(&bytes).map_err(|(line, source)| ExcludeError::Line { file: path.to_owned(), line, source: Box::new(source) })
}

/// Reads lines of patterns; an error comes with its line number, from 1.
fn parse(bytes: &[u8]) -> Result<Vec<Pattern>, (usize, ExcludeError)> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let lines = bytes.split(|byte| *byte == b'\n').enumerate();
    lines
        .map(|(index, line)| (index + 1, trim_end(line)))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with(b"#"))
        .map(|(number, line)| Pattern::parse(OsStr::from_bytes(line)).map_err(|error| (number, error)))
        .collect()
}

/// Drops white space at the end, up to the last that is escaped.
fn trim_end(line: &[u8]) -> &[u8] {
    let mut line = line;
    while let [rest @ .., b' ' | b'\t' | b'\r'] = line {
        let backslashes = rest.iter().rev().take_while(|byte| **byte == b'\\').count();
        if backslashes % 2 == 1 {
            break;
        }
        line = rest;
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_at_the_end_is_dropped_unless_escaped() {
        assert_eq!(trim_end(b"name \t\r"), b"name");
        assert_eq!(trim_end(b"name\\  "), b"name\\ ");
        assert_eq!(trim_end(b"name\\\\ "), b"name\\\\");
        assert_eq!(trim_end(b"   "), b"");
    }

    #[test]
    fn comments_and_blank_lines_are_skipped_but_counted() {
        assert_eq!(parse(b"\xef\xbb\xbf# why\n\n  \n*.o\r\n\\#x\nlast").unwrap().len(), 3);
        let (line, error) = parse(b"# why\n\nok\n[a\n").unwrap_err();
        assert_eq!(line, 4);
        assert!(error.to_string().contains("`[a`"), "{error}");
    }
}
