//! SIGINT and SIGTERM: the first asks the run to stop, the second stops the process at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use super::exit::Exit;

/// Whether a signal has come.
#[derive(Debug, Clone, Default)]
pub struct Interrupt {
    signal: Arc<AtomicUsize>,
    caught: Arc<AtomicBool>,
}

impl Interrupt {
    /// Catches signals from now on. Before, they end the process, which is right while it waits for a passphrase.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn catch(&self) -> anyhow::Result<()> {
        if self.caught.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        let again = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // In this order: the first signal finds `again` unset and sets it, the second finds it set.
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&again))?;
            flag::register(signal, Arc::clone(&again))?;
            flag::register_usize(signal, Arc::clone(&self.signal), usize::try_from(signal)?)?;
        }
        Ok(())
    }

    /// The number of the signal that has come, else zero, for who cannot ask.
    pub fn number(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.signal)
    }

    /// How to end, if a signal has come.
    pub fn exit(&self) -> Option<Exit> {
        match self.signal.load(Ordering::Relaxed) {
            0 => None,
            signal => Some(Exit::Signal(u8::try_from(signal).unwrap_or(2))),
        }
    }

    /// Whether a signal has come.
    pub fn is_set(&self) -> bool {
        self.signal.load(Ordering::Relaxed) != 0
    }
}
