//! Patterns that lead into mapped places.

use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern};

use super::{Mapped, Mapping};
use crate::source::view::{below, names_of};

/// A pattern of paths, and what those that it finds are called.
#[derive(Debug, Clone)]
pub struct PlacedPattern {
    /// The pattern, as it is to be looked for.
    pub text: String,
    mapped: Option<Mapped>,
}

impl PlacedPattern {
    /// What the snapshot calls a path that it found.
    pub fn shown(&self, found: &Path) -> PathBuf {
        let inside = self.mapped.as_ref().and_then(|mapped| Some((mapped, found.strip_prefix(&mapped.from).ok()?)));
        inside.map_or_else(|| found.to_owned(), |(mapped, rest)| below(&mapped.at, rest))
    }
}

impl Mapping {
    /// A pattern at its own place, and in each mapped place that it leads into.
    pub fn patterns(&self, pattern: &str) -> Vec<PlacedPattern> {
        let own = PlacedPattern { text: pattern.to_owned(), mapped: None };
        let inside = self.places.iter().flat_map(|mapped| {
            let placed = |text| PlacedPattern { text, mapped: Some(mapped.clone()) };
            within(pattern, &mapped.written, &mapped.from).into_iter().map(placed)
        });
        std::iter::once(own).chain(inside).collect()
    }
}

/// The patterns below `from` that find what `pattern` would find below `at`.
fn within(pattern: &str, at: &Path, from: &Path) -> Vec<String> {
    let Some(from) = from.to_str() else { return Vec::new() };
    let names: Vec<&str> = pattern.split('/').filter(|name| !name.is_empty()).collect();
    let place: Vec<String> = names_of(at).into_iter().map(|name| String::from_utf8_lossy(&name).into_owned()).collect();
    let mut rests = Vec::new();
    rests_of(&names, &place, &mut rests);
    rests.dedup();
    let from = Pattern::escape(from.trim_end_matches('/'));
    rests.into_iter().map(|rest| rest.iter().fold(from.clone(), |text, name| format!("{text}/{name}"))).collect()
}

/// What is left of a pattern's names when its first ones have led through those of a place.
fn rests_of<'p, 'n>(names: &'p [&'n str], place: &[String], rests: &mut Vec<&'p [&'n str]>) {
    let Some((first, inner)) = place.split_first() else { return rests.push(names) };
    let Some((name, others)) = names.split_first() else { return };
    if *name == "**" {
        rests_of(others, place, rests);
        rests_of(names, inner, rests);
    } else if Pattern::new(name).is_ok_and(|name| name.matches_with(first, MatchOptions::new())) {
        rests_of(others, inner, rests);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_leads_into_a_mapped_place_whatever_of_it_has_led_there() {
        for (pattern, expected) in [
            ("/var/lib/*/data", vec!["/keep/[*]/*/data"]),
            ("/var/*/app", vec!["/keep/[*]/app"]),
            ("/var/l[a-z]b", vec!["/keep/[*]"]),
            ("/var/**/data", vec!["/keep/[*]/**/data"]),
            ("/**/lib/x*", vec!["/keep/[*]/x*", "/keep/[*]/**/lib/x*"]),
            ("/var/*", vec!["/keep/[*]"]),
            ("/v*", vec![]),
            ("/srv/*/data", vec![]),
        ] {
            let mut found = within(pattern, Path::new("/var/lib"), Path::new("/keep/*"));
            found.sort_by_key(String::len);
            assert_eq!(found, expected, "{pattern}");
        }
    }
}
