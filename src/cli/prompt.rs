//! Questions to a person, always on the terminal itself, so that pipes keep working; and their answers for automation.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};

use age::Callbacks;
use age::secrecy::{ExposeSecret as _, SecretString};
use anyhow::Context as _;

use super::console::Console;

/// Names a file whose first line is the passphrase, for runs without a person.
pub const PASSPHRASE_FILE: &str = "HEARTH_PASSPHRASE_FILE";

/// Asks on the terminal for what age identities, SSH keys and plugins need.
#[derive(Debug, Clone)]
pub struct Prompt {
    console: Console,
}

impl Prompt {
    /// Questions that do not disturb the console's progress display.
    pub fn new(console: &Console) -> Self {
        Self { console: console.clone() }
    }

    /// A yes or no; `None` if there is nobody to ask.
    pub fn yes(&self, question: &str) -> Option<bool> {
        let answer = ask(&format!("{question} [y/N] "))?;
        Some(matches!(answer.to_lowercase().as_str(), "y" | "yes"))
    }

    /// The passphrase from [`PASSPHRASE_FILE`] or a person.
    ///
    /// # Errors
    /// If there is neither, or the file cannot be read.
    pub fn passphrase(&self, question: &str) -> anyhow::Result<SecretString> {
        if let Some(passphrase) = from_file()? {
            return Ok(passphrase);
        }
        let text = rpassword::prompt_password(format!("{question}: "))
            .with_context(|| format!("{question}: there is no terminal to ask on; set {PASSPHRASE_FILE} to a file that holds it"))?;
        Ok(text.into())
    }

    /// A passphrase to be set: asked for twice.
    ///
    /// # Errors
    /// As [`Prompt::passphrase`], or if it is empty or not the same twice.
    pub fn new_passphrase(&self, question: &str) -> anyhow::Result<SecretString> {
        let first = self.passphrase(question)?;
        anyhow::ensure!(!first.expose_secret().is_empty(), "the passphrase is empty; choose one that nobody can guess");
        if std::env::var_os(PASSPHRASE_FILE).is_none() {
            let second = self.passphrase("The same again")?;
            anyhow::ensure!(first.expose_secret() == second.expose_secret(), "the two passphrases differ; nothing was done");
        }
        Ok(first)
    }
}

fn from_file() -> anyhow::Result<Option<SecretString>> {
    let Some(path) = std::env::var_os(PASSPHRASE_FILE).filter(|path| !path.is_empty()) else { return Ok(None) };
    let text = zeroize::Zeroizing::new(
        std::fs::read_to_string(&path).with_context(|| format!("cannot read the passphrase in {}", path.display()))?,
    );
    Ok(Some(text.lines().next().unwrap_or_default().to_owned().into()))
}

/// Asks a question on the terminal, whatever standard input and output are.
fn ask(question: &str) -> Option<String> {
    let mut terminal = File::options().read(true).write(true).open("/dev/tty").ok()?;
    terminal.write_all(question.as_bytes()).ok()?;
    let mut answer = String::new();
    BufReader::new(terminal).read_line(&mut answer).ok()?;
    Some(answer.trim().to_owned())
}

impl Callbacks for Prompt {
    fn display_message(&self, message: &str) {
        self.console.error(&format!("{message}\n"));
    }

    fn confirm(&self, message: &str, yes: &str, no: Option<&str>) -> Option<bool> {
        let answer = ask(&format!("{message} [y = {yes}, n = {}] ", no.unwrap_or("no")))?;
        Some(answer.eq_ignore_ascii_case("y"))
    }

    fn request_public_string(&self, description: &str) -> Option<String> {
        ask(&format!("{description}: "))
    }

    fn request_passphrase(&self, description: &str) -> Option<SecretString> {
        self.passphrase(description).ok()
    }
}
