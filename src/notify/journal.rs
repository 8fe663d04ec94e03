//! The end of a run's journal.

use std::time::Duration;

use super::program;

/// Lines that are shown.
const LINES: usize = 50;
/// Letters of a line that are shown.
const WIDTH: usize = 300;

/// The program that reads the journal.
#[derive(Debug, Clone)]
pub struct Journal {
    /// Its name or path.
    pub program: String,
    /// How long it may take.
    pub time: Duration,
}

impl Default for Journal {
    fn default() -> Self {
        Self { program: "journalctl".to_owned(), time: Duration::from_secs(10) }
    }
}

impl Journal {
    /// The last lines of a run, or why there are none.
    ///
    /// # Errors
    /// In words, if they cannot be had.
    pub(super) fn end_of(&self, invocation: Option<&str>) -> Result<Vec<String>, String> {
        let invocation = invocation.ok_or("systemd did not say which run it was")?;
        let matching = format!("_SYSTEMD_INVOCATION_ID={invocation}");
        let count = LINES.to_string();
        let command = [self.program.as_str(), "--quiet", "--no-pager", "-o", "cat", "-n", &count, &matching].map(str::to_owned);
        let said = program::run(&command, &[], "", self.time).map_err(|error| error.to_string())?;
        let lines: Vec<String> = said.lines().map(plain).filter(|line| !line.trim().is_empty()).collect();
        match lines.len() {
            0 => Err("there is nothing of that run in it that may be read here".to_owned()),
            all => Ok(lines.into_iter().skip(all.saturating_sub(LINES)).collect()),
        }
    }
}

/// A line without what would move a cursor, and not too long.
pub(super) fn plain(line: &str) -> String {
    let letters = line.chars().map(|letter| if letter.is_control() { ' ' } else { letter });
    let short: String = letters.take(WIDTH).collect();
    if line.chars().nth(WIDTH).is_some() { short + " ..." } else { short }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn said_by(script: &str) -> Result<Vec<String>, String> {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("journalctl");
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let journal = Journal { program: program.to_str().unwrap().to_owned(), time: Duration::from_secs(60) };
        journal.end_of(Some(&"ab".repeat(16)))
    }

    #[test]
    fn the_last_lines_of_the_run_are_shown_and_no_more() {
        let asked = said_by("echo \"$@\"").unwrap().join("\n");
        assert!(asked.ends_with(&format!("-o cat -n 50 _SYSTEMD_INVOCATION_ID={}", "ab".repeat(16))), "{asked}");
        let lines = said_by("seq 1 100; printf '\\033[31mred\\n'; head -c 1000 /dev/zero | tr '\\0' x").unwrap();
        assert_eq!((lines.len(), lines[0].as_str(), lines[48].as_str()), (50, "53", " [31mred"));
        assert_eq!(lines[49], "x".repeat(WIDTH) + " ...");
    }

    #[test]
    fn a_journal_that_cannot_be_read_is_told() {
        assert!(said_by("echo no permission >&2; exit 1").unwrap_err().contains("exit status: 1: no permission"));
        assert!(said_by("true").unwrap_err().contains("nothing of that run"));
        let absent = Journal { program: "no-such-journalctl".into(), ..Journal::default() };
        assert!(absent.end_of(Some(&"ab".repeat(16))).unwrap_err().contains("`no-such-journalctl` cannot be started"));
        assert!(absent.end_of(None).unwrap_err().contains("did not say which run"));
    }
}
