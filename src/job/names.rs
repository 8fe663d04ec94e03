//! Names and patterns of names: volumes of LVM and of containers.

use glob::Pattern;

use super::JobError;

/// Patterns of which the last that matches decides; one that begins with `!` leaves out.
#[derive(Debug, Clone)]
pub(super) struct Names(Vec<(Pattern, bool)>);

impl Names {
    /// From patterns as they are written.
    pub(super) fn new(patterns: &[String]) -> Result<Self, JobError> {
        let parse = |text: &String| {
            let (pattern, takes) = text.strip_prefix('!').map_or((text.as_str(), true), |rest| (rest, false));
            let wrong = |error: glob::PatternError| JobError::NamePattern { pattern: text.clone(), why: error.msg.to_owned() };
            Ok((Pattern::new(pattern).map_err(wrong)?, takes))
        };
        patterns.iter().map(parse).collect::<Result<_, _>>().map(Self)
    }

    /// Whether one of the names that a thing has is taken.
    pub(super) fn take(&self, names: &[&str]) -> bool {
        let decides = self.0.iter().rev().find(|(pattern, _)| names.iter().any(|name| pattern.matches(name)));
        decides.is_some_and(|(_, takes)| *takes)
    }

    /// Patterns that take none of the names.
    pub(super) fn without<'a>(&'a self, names: &'a [&'a str]) -> impl Iterator<Item = &'a str> {
        let idle = self.0.iter().filter(|(pattern, takes)| *takes && !names.iter().any(|name| pattern.matches(name)));
        idle.map(|(pattern, _)| pattern.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_pattern_that_matches_decides() {
        let names = Names::new(&["vm-*-pvc-*".into(), "!vg1/*".into(), "vg1/vm-7-pvc-7".into()]).unwrap();
        let take = |group: &str, name: &str| names.take(&[name, &format!("{group}/{name}")]);
        assert!(take("vg0", "vm-1-pvc-1") && take("vg1", "vm-7-pvc-7"));
        assert!(!take("vg1", "vm-1-pvc-1") && !take("vg0", "root"));
        assert_eq!(names.without(&["vm-1-pvc-1"]).collect::<Vec<_>>(), ["vg1/vm-7-pvc-7"]);
        let error = Names::new(&["a***".into()]).unwrap_err().to_string();
        assert!(error.contains("`a***`"), "{error}");
    }
}
