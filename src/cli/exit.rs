//! The table of exit codes, and which errors lead to which.

use std::fmt;
use std::process::ExitCode;

/// How a command ends. Documented in the README; scripts and units rely on it.
///
/// | code | meaning |
/// |---|---|
/// | 0 | done |
/// | 1 | failed; what was there before is still there |
/// | 2 | the command line is wrong; nothing was done |
/// | 3 | done, but with warnings: a source could not be read, a damaged file could not be restored, a check found damage |
/// | 130, 143 | stopped by SIGINT, SIGTERM; the next run continues |
/// | 141 | whoever read the output closed it |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done,
    /// Failed.
    Failed,
    /// Wrong command line.
    Usage,
    /// Done with warnings.
    Warnings,
    /// Stopped by a signal of this number.
    Signal(u8),
}

/// SIGPIPE, which Rust programs see as an error of the write instead.
const BROKEN_PIPE: u8 = 13;

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Warnings => 3,
            Exit::Signal(number) => 128_u8.saturating_add(number),
        }
    }

    /// What an error means for the exit code; `None` in the first place if there is nothing to say about it.
    pub fn of(error: &anyhow::Error) -> Self {
        let closed = |cause: &(dyn std::error::Error + 'static)| {
            cause.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
        };
        if error.is::<UsageError>() {
            Exit::Usage
        } else if error.chain().any(closed) {
            Exit::Signal(BROKEN_PIPE)
        } else {
            Exit::Failed
        }
    }

    /// Whether the reader of the output went away, about which nothing needs to be said.
    pub fn is_closed_output(self) -> bool {
        self == Exit::Signal(BROKEN_PIPE)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.code())
    }
}

/// A command line that parses but makes no sense.
#[derive(Debug)]
pub struct UsageError(String);

impl UsageError {
    /// An error that says what to write instead.
    #[allow(clippy::new_ret_no_self)]
    pub fn new(message: impl Into<String>) -> anyhow::Error {
        anyhow::Error::new(Self(message.into()))
    }
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

/// An error with its causes, each said once: many messages hold their cause already.
pub fn explain(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    #[test]
    fn causes_are_said_once() {
        let inner = std::io::Error::other("disk on fire");
        let error = anyhow::Error::new(inner).context("cannot store packs/12: disk on fire").context("backup failed");
        assert_eq!(explain(&error), "backup failed: cannot store packs/12: disk on fire");
    }

    #[test]
    fn each_kind_of_error_has_its_code() {
        assert_eq!(Exit::of(&UsageError::new("x")).code(), 2);
        assert_eq!(Exit::of(&anyhow::anyhow!("x")).code(), 1);
        let closed: Result<(), _> = Err(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
        assert_eq!(Exit::of(&closed.context("cannot write").unwrap_err()).code(), 141);
        assert_eq!(Exit::Signal(15).code(), 143);
    }
}
