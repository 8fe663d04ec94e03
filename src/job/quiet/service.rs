//! systemd's services.

use std::io;

use crate::source::command::Program;

/// Bytes of an answer that are read.
const ANSWER: u64 = 1 << 16;
/// States of a unit that runs, or is about to.
const ACTIVE: [&str; 4] = ["active", "reloading", "activating", "refreshing"];

/// What systemd knows of a unit.
enum Unit {
    Active,
    Inactive,
    Unknown,
}

/// `systemctl VERB UNIT`.
pub(super) fn command(verb: &str, unit: &str) -> Vec<String> {
    ["systemctl", verb, unit].map(str::to_owned).to_vec()
}

fn state(unit: &str) -> io::Result<Unit> {
    let asked = ["systemctl", "show", "--property=LoadState", "--property=ActiveState", unit].map(str::to_owned).to_vec();
    let answer = Program::new(asked).output(ANSWER)?;
    let value = |name: &str| answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    match (value("LoadState"), value("ActiveState")) {
        (_, Some(active)) if ACTIVE.contains(&active) => Ok(Unit::Active),
        (Some("not-found" | "error" | "bad-setting"), _) => Ok(Unit::Unknown),
        (_, Some(_)) => Ok(Unit::Inactive),
        (_, None) => Err(io::Error::other(format!("systemctl does not tell the state of `{unit}`"))),
    }
}

/// Whether a unit runs.
///
/// # Errors
/// If there is no such unit, or systemd does not tell.
pub(super) fn is_active(unit: &str) -> io::Result<bool> {
    match state(unit)? {
        Unit::Active => Ok(true),
        Unit::Inactive => Ok(false),
        Unit::Unknown => {
            Err(io::Error::other(format!("there is no unit `{unit}`; `systemctl list-units --type=service` shows which there are")))
        }
    }
}

/// Whether a unit is gone, and so never starts again.
pub(super) fn is_gone(unit: &str) -> bool {
    matches!(state(unit), Ok(Unit::Unknown))
}
