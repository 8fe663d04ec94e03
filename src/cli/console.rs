//! Standard error, shared by log lines and the progress display, and standard output.

use std::io::{self, IsTerminal as _, Write};
use std::sync::{Arc, Mutex, PoisonError};

use indicatif::ProgressBar;

/// Buffered standard output; to be flushed.
pub type Lines = io::BufWriter<io::Stdout>;

/// What the program writes to.
#[derive(Debug, Clone, Default)]
pub struct Console {
    bar: Arc<Mutex<Option<ProgressBar>>>,
}

impl Console {
    /// Shows a bar below the log lines, or none.
    pub fn set_bar(&self, bar: Option<ProgressBar>) {
        *self.bar.lock().unwrap_or_else(PoisonError::into_inner) = bar;
    }

    /// Writes to standard error without disturbing the bar. That nobody reads it is no failure.
    pub fn error(&self, text: &str) {
        self.beside_bar(|| drop(io::stderr().lock().write_all(text.as_bytes())));
    }

    /// Writes to standard output.
    ///
    /// # Errors
    /// If nobody reads it any more.
    pub fn print(&self, text: &str) -> io::Result<()> {
        let write = || {
            let mut out = io::stdout().lock();
            out.write_all(text.as_bytes())?;
            out.flush()
        };
        self.beside_bar(write)
    }

    /// Writes while the bar is away, as both may stand on the same terminal.
    fn beside_bar<T>(&self, write: impl FnOnce() -> T) -> T {
        match &*self.bar.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    /// Standard output for what may be long.
    pub fn lines(&self) -> Lines {
        io::BufWriter::with_capacity(1 << 16, io::stdout())
    }

    /// Whether people read standard error.
    pub fn error_is_terminal() -> bool {
        io::stderr().is_terminal()
    }

    /// Whether standard output may have colours.
    pub fn colours() -> bool {
        io::stdout().is_terminal() && no_color_unset()
    }

    /// Whether standard error may have colours.
    pub fn error_colours() -> bool {
        io::stderr().is_terminal() && no_color_unset()
    }
}

/// The convention of no-color.org.
fn no_color_unset() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
