//! Who can restore from a repository, compared with who shall be able to.

use crate::config::Recipient;
use crate::model::event::{Event, Monitor};
use crate::sealed::statement::Statement;

/// Warns of each recipient that is missing, and of each that nobody wants. An empty list wants nothing in particular.
pub(super) fn compare(wanted: &[Recipient], name: &str, statement: &Statement, monitor: &dyn Monitor) {
    if wanted.is_empty() {
        return;
    }
    let warn = |message: String| monitor.event(Event::warning(format!("repository {name}"), message));
    for recipient in wanted.iter().filter(|recipient| !statement.keys.iter().any(|entry| recipient.is(&entry.recipient))) {
        warn(format!("`{recipient}` cannot restore from it; `hearth-backup key add-recipient` adds it"));
    }
    for entry in statement.keys.iter().filter(|entry| !wanted.iter().any(|recipient| recipient.is(&entry.recipient))) {
        let what = "can restore from it though the configuration does not list it";
        warn(format!("`{}` {what}; add it to `recipients`, or `hearth-backup key remove-recipient` takes it off", entry.recipient));
    }
}
