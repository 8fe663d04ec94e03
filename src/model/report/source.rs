//! Warnings by what was read: one path that cannot be read says little of the others.

use serde::{Deserialize, Serialize};

/// Most sources that are told; what is left is told of one more, [`OTHERS`].
pub const SOURCES: usize = 32;
/// What the rest is called.
pub const OTHERS: &str = "others";
/// Most bytes of a source.
pub(super) const LONGEST: usize = 1 << 10;

/// How many warnings there were of a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceWarnings {
    /// A path of the job, a database, or whatever the warnings were about.
    pub source: String,
    /// How many, in all attempts together.
    pub warnings: u64,
}

impl SourceWarnings {
    /// Counts one more, of the source that something belongs to: the longest of the job's paths that it lies in, else itself.
    pub fn count(all: &mut Vec<Self>, paths: &[String], subject: &str) {
        let lies_in =
            |path: &&String| subject.strip_prefix(path.trim_end_matches('/')).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let is_path = subject.starts_with('/');
        let source = paths.iter().filter(|_| is_path).filter(lies_in).max_by_key(|path| path.len()).map_or(subject, String::as_str);
        let source = if source.is_empty() { OTHERS } else { source };
        if let Some(known) = all.iter_mut().find(|known| known.source == source) {
            known.warnings += 1;
        } else if all.len() < SOURCES {
            all.push(Self { source: source.to_owned(), warnings: 1 });
        } else if let Some(others) = all.iter_mut().find(|known| known.source == OTHERS) {
            others.warnings += 1;
        } else {
            all.push(Self { source: OTHERS.to_owned(), warnings: 1 });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_belong_to_the_path_that_they_lie_in_and_else_to_what_they_are_about() {
        let paths = ["/srv".to_owned(), "/srv/photos/".to_owned(), "/".to_owned()];
        let mut all = Vec::new();
        for subject in ["/srv/a", "/srv", "/srv/photos/1", "/srv2", "postgresql database app", ""] {
            SourceWarnings::count(&mut all, &paths, subject);
        }
        let found: Vec<(&str, u64)> = all.iter().map(|one| (one.source.as_str(), one.warnings)).collect();
        assert_eq!(found, [("/srv", 2), ("/srv/photos/", 1), ("/", 1), ("postgresql database app", 1), ("others", 1)]);
    }

    #[test]
    fn what_is_too_many_is_counted_together() {
        let mut all = Vec::new();
        (0..100).for_each(|number| SourceWarnings::count(&mut all, &[], &number.to_string()));
        assert_eq!((all.len(), all.last().unwrap().warnings), (SOURCES + 1, 68));
    }
}
