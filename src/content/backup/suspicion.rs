//! Whether a snapshot looks as if something had happened to its source.

use crate::content::payload::Statistics;
use crate::model::human;
use crate::model::report::{Anomaly, AnomalyKind};

/// A source of fewer bytes is too small to say anything.
const SMALL: u64 = 1 << 20;
/// Growth of fewer bytes is none to speak of.
const GROWTH: u64 = 64 << 20;
/// Of fewer files nothing can be said.
const FEW: u64 = 100;

/// What is suspicious, against the files and bytes of the snapshot before.
pub(super) fn anomalies((files, bytes): (u64, u64), now: &Statistics) -> Vec<Anomaly> {
    let mut found = Vec::new();
    let mut say = |kind, text: String| found.push(Anomaly { kind, text });
    if bytes > SMALL && now.bytes < bytes / 2 {
        let (before, after) = (human::size(bytes), human::size(now.bytes));
        say(AnomalyKind::Shrunk, format!("the source shrank from {before} to {after}; was something deleted or not mounted?"));
    } else if files > FEW && now.files < files / 2 {
        say(AnomalyKind::Shrunk, format!("the source shrank from {files} to {} files; was something deleted or not mounted?", now.files));
    }
    if now.bytes / 2 > bytes && now.bytes.saturating_sub(bytes) > GROWTH {
        let (before, after) = (human::size(bytes), human::size(now.bytes));
        say(AnomalyKind::Grown, format!("the source grew from {before} to {after}; is that meant to be saved?"));
    }
    if now.files > FEW && now.bytes_new > now.bytes / 10 * 9 {
        say(AnomalyKind::Changed, "nearly all content is new; was everything rewritten or encrypted?".into());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(before: (u64, u64), files: u64, bytes: u64, bytes_new: u64) -> Vec<AnomalyKind> {
        anomalies(before, &Statistics { files, bytes, bytes_new, ..Statistics::default() }).iter().map(|found| found.kind).collect()
    }

    #[test]
    fn a_source_that_loses_half_of_itself_or_more_than_doubles_or_is_new_all_over_is_suspicious() {
        const GIB: u64 = 1 << 30;
        assert_eq!(kinds((1000, GIB), 1000, GIB, 1 << 20), []);
        assert_eq!(kinds((1000, GIB), 1000, GIB / 2 - 1, 0), [AnomalyKind::Shrunk]);
        assert_eq!(kinds((1000, GIB), 499, GIB, 0), [AnomalyKind::Shrunk]);
        assert_eq!(kinds((1000, GIB), 10, 10, 0), [AnomalyKind::Shrunk], "once, though both say so");
        assert_eq!(kinds((1000, GIB), 1000, 2 * GIB + 2, 1), [AnomalyKind::Grown]);
        assert_eq!(kinds((10, 1 << 20), 10, 30 << 20, 0), [], "little grows quickly");
        assert_eq!(kinds((1000, GIB), 1000, GIB, GIB), [AnomalyKind::Changed]);
        assert_eq!(kinds((90, 1 << 19), 40, 1, 1), [], "of little nothing can be said");
    }
}
