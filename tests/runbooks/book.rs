//! A runbook as a test reads it: the blocks of code that a person copies, in their order.
//!
//! ```text
//!   ```sh fill-in nas      variables that the reader sets, at the machine `nas`; the scene has values for them
//!   ```sh                  commands; they run at the machine where the last ones ran, or that was filled in since
//!   ```sh at hub           commands at another machine
//!   ```text                what the commands before print: each line in this order, `…` for what differs, others may stand between;
//!                          `(ends with 3)` as the last line if the last command does so
//! ```
//!
//! Commands that no test can run begin with the line `# Not run by the test: REASON`. Everything else that is fenced is an error.

use std::path::{Path, PathBuf};

/// What lies in the folder of the runbooks.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/runbooks")
}

/// A block of code, and where it begins.
#[derive(Debug)]
pub struct Block {
    pub line: usize,
    pub kind: Kind,
}

#[derive(Debug)]
pub enum Kind {
    /// Variables to set at a machine.
    FillIn { machine: String, names: Vec<String> },
    /// Commands, at another machine if one is named, and what they print.
    Run { machine: Option<String>, script: String, expected: Vec<String> },
    /// Commands that a test cannot run.
    NotRun,
}

const NOT_RUN: &str = "# Not run by the test: ";

/// The blocks of a runbook; says what is wrong with it.
pub fn blocks(text: &str) -> Result<Vec<Block>, String> {
    let mut found: Vec<Block> = Vec::new();
    let mut fence: Option<(usize, String, usize, Vec<String>)> = None;
    for (line, content) in (1..).zip(text.lines()) {
        let indent = content.len() - content.trim_start().len();
        match (&mut fence, content.trim_start().strip_prefix("```")) {
            (None, Some(about)) => fence = Some((line, about.trim().to_owned(), indent, Vec::new())),
            (None, None) => {}
            (Some((_, _, indent, lines)), None) => lines.push(content.get(*indent..).unwrap_or_default().to_owned()),
            (Some((begin, about, _, lines)), Some(_)) => {
                let block = take(*begin, about, lines, &mut found).map_err(|why| format!("line {begin}: {why}"))?;
                found.extend(block);
                fence = None;
            }
        }
    }
    fence.map_or(Ok(found), |(line, ..)| Err(format!("line {line}: the block has no end")))
}

fn take(line: usize, about: &str, lines: &[String], before: &mut [Block]) -> Result<Option<Block>, String> {
    let words: Vec<_> = about.split(' ').collect();
    let kind = match (words.as_slice(), lines.first().and_then(|first| first.strip_prefix(NOT_RUN))) {
        (["sh"], Some(reason)) if !reason.trim().is_empty() => Kind::NotRun,
        (["sh"], _) => Kind::Run { machine: None, script: lines.join("\n"), expected: Vec::new() },
        (["sh", "at", machine], _) => Kind::Run { machine: Some((*machine).to_owned()), script: lines.join("\n"), expected: Vec::new() },
        (["sh", "fill-in", machine], _) => {
            Kind::FillIn { machine: (*machine).to_owned(), names: lines.iter().map(|line| name_of(line)).collect::<Result<_, _>>()? }
        }
        (["text"], _) => match before.last_mut().map(|block| &mut block.kind) {
            Some(Kind::Run { expected, .. }) if expected.is_empty() && !lines.is_empty() => {
                *expected = lines.to_vec();
                return Ok(None);
            }
            _ => return Err("what is printed stands behind the commands that print it".to_owned()),
        },
        _ => return Err(format!("a block of `{about}` is neither run nor marked as one that is not")),
    };
    Ok(Some(Block { line, kind }))
}

/// The variable that a line of a block sets, in which the reader changes the value.
fn name_of(line: &str) -> Result<String, String> {
    let name = line.strip_prefix("export ").and_then(|rest| rest.split_once('=')).map(|(name, _)| name.to_owned());
    name.filter(|name| name.chars().all(|letter| letter.is_ascii_uppercase() || letter == '_'))
        .ok_or_else(|| format!("`{line}` sets no variable as `export NAME=VALUE`"))
}

/// What of the expected lines is not in the output, in this order.
pub fn missing<'a>(expected: &'a [String], output: &str) -> Option<&'a str> {
    let mut lines = output.lines();
    let wanted = expected.iter().filter(|line| ending(line).is_none() && !["", "…"].contains(&line.trim()));
    wanted.map(String::as_str).find(|wanted| !lines.any(|line| fits(wanted.trim_end(), line.trim_end())))
}

/// The exit status that the last command ends with.
pub fn status(expected: &[String]) -> i32 {
    expected.last().and_then(|line| ending(line)).unwrap_or(0)
}

fn ending(line: &str) -> Option<i32> {
    line.strip_prefix("(ends with ")?.strip_suffix(')')?.parse().ok()
}

/// Whether a line is as the pattern, in which `…` stands for anything.
fn fits(pattern: &str, line: &str) -> bool {
    let mut pieces = pattern.split('…');
    let Some(mut rest) = line.strip_prefix(pieces.next().unwrap_or_default()) else { return false };
    let mut last = None;
    for piece in pieces {
        let Some(place) = rest.find(piece) else { return false };
        rest = &rest[place + piece.len()..];
        last = Some(piece);
    }
    rest.is_empty() || last.is_some_and(|last| last.is_empty() || line.ends_with(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_found_and_those_that_are_neither_run_nor_marked_are_refused() {
        let text = "1. x\n\n   ```sh fill-in nas\n   export A='b'   # c\n   ```\n\n   ```sh\n   run \\\n     it\n   ```\n   ```text\n   done\n   (ends with 3)\n   ```\n\
                    ```sh\n# Not run by the test: no disk\nmkfs\n```\n";
        let found = blocks(text).unwrap();
        let [fill, run, not] = found.as_slice() else { panic!("{found:?}") };
        assert!(matches!(&fill.kind, Kind::FillIn { machine, names } if machine == "nas" && names == &["A"]), "{fill:?}");
        let Kind::Run { script, expected, .. } = &run.kind else { panic!("{run:?}") };
        assert_eq!((script.as_str(), status(expected)), ("run \\\n  it", 3));
        assert!(matches!(not.kind, Kind::NotRun) && not.line == 15, "{not:?}");
        for wrong in [
            "```\nx\n```",
            "```toml\nx\n```",
            "```sh\nx",
            "```text\nx\n```",
            "```sh fill-in nas\nA=b\n```",
            "```sh\n# Not run by the test: \n```",
        ] {
            let refused = blocks(wrong);
            assert!(refused.is_err() || wrong.contains("Not run") && matches!(refused.unwrap()[0].kind, Kind::Run { .. }), "{wrong}");
        }
    }

    #[test]
    fn what_is_shown_is_looked_for_in_what_is_printed() {
        let expected = ["a … c", "…", "end", "(ends with 1)"].map(str::to_owned);
        assert_eq!(missing(&expected, "x\na b c\nend\n"), None);
        assert_eq!(missing(&expected, "x\na b c\nx\nthe end\n"), Some("end"));
        assert_eq!(missing(&expected, "end\na b c\n\n"), Some("end"));
        assert!(
            fits("… of … files", "3 of 4 files") && !fits("… of … files", "3 of 4 files or so") && fits("a…", "abc") && !fits("a", "ab")
        );
    }
}
