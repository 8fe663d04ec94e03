//! What a restore takes out of a snapshot.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use globset::{Candidate, GlobSet};

use super::ExcludeError;
use super::pattern::{Pattern, PatternSet, compile};

/// What a [`Selection`] says of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Not wanted, nor anything below it.
    No,
    /// A directory that is not wanted itself, but may hold what is.
    Below,
    /// Wanted, and all below it that is not excluded.
    Yes,
}

/// Which entries of a snapshot are wanted. The default wants all.
///
/// An entry is wanted if an include matches it or a directory above it (or there are no includes), and no exclude matches it or
/// a directory above it. The patterns are those of [`Excludes`](super::Excludes), compared with the paths in the snapshot.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Paths that are wanted with all below them, and nothing else; instead of patterns.
    paths: Option<Arc<BTreeSet<Vec<u8>>>>,
    includes: Option<Includes>,
    excludes: PatternSet,
}

#[derive(Debug, Clone)]
struct Includes {
    wanted: PatternSet,
    /// Matches the directories on the way to what anchored patterns match.
    ancestors: GlobSet,
    /// A pattern without anchor may match below any directory.
    anywhere: bool,
    /// One for each pattern; clones share what they find.
    each: Arc<[Include]>,
}

/// An include by itself, to tell when it matches nothing.
#[derive(Debug)]
struct Include {
    /// As it was written.
    text: String,
    pattern: PatternSet,
    matched: AtomicBool,
}

impl Selection {
    /// Compiles the patterns of `--include` and `--exclude`.
    ///
    /// # Errors
    /// If a pattern is malformed, could never match, or is an include with `!`.
    pub fn new<I, E>(includes: I, excludes: E) -> Result<Self, ExcludeError>
    where
        I: IntoIterator<Item: AsRef<OsStr>>,
        E: IntoIterator<Item: AsRef<OsStr>>,
    {
        let parse = |text: &OsStr| Ok((text.to_string_lossy().into_owned(), parse_include(text)?));
        let includes = includes.into_iter().map(|text| parse(text.as_ref())).collect::<Result<Vec<_>, _>>()?;
        let excludes = excludes.into_iter().map(|text| Pattern::parse(text.as_ref())).collect::<Result<Vec<_>, _>>()?;
        let includes = if includes.is_empty() { None } else { Some(Includes::new(includes)?) };
        Ok(Self { paths: None, includes, excludes: PatternSet::new(excludes)? })
    }

    /// Exactly what lies at or below these absolute paths, however many they are.
    pub fn of_paths(paths: impl IntoIterator<Item = Vec<u8>>) -> Self {
        Self { paths: Some(Arc::new(paths.into_iter().collect())), ..Self::default() }
    }

    /// Whether everything is wanted.
    pub fn is_everything(&self) -> bool {
        self.paths.is_none() && self.includes.is_none() && self.excludes.is_empty()
    }

    /// Judges the entry at the absolute `path`, whose last component is `name` (empty for the root `/`), after the verdict on
    /// its directory; start with [`start`](Self::start). Not to be asked below a [`Verdict::No`], where the answer is always no.
    pub fn judge(&self, parent: Verdict, path: &[u8], name: &[u8], is_dir: bool) -> Verdict {
        if parent == Verdict::No || self.excludes.decide(path, name, is_dir) == Some(true) {
            return Verdict::No;
        }
        if let Some(paths) = &self.paths {
            return if parent == Verdict::Yes { Verdict::Yes } else { judge_path(paths, path, is_dir) };
        }
        let Some(includes) = &self.includes else { return Verdict::Yes };
        includes.note(path, name, is_dir);
        if parent == Verdict::Yes { Verdict::Yes } else { includes.judge(path, name, is_dir) }
    }

    /// The includes that have matched nothing of all that was judged so far, as they were written.
    pub fn unmatched(&self) -> Vec<String> {
        let each = self.includes.iter().flat_map(|includes| includes.each.iter());
        each.filter(|include| !include.matched.load(Ordering::Relaxed)).map(|include| include.text.clone()).collect()
    }

    /// The verdict on the root directory, from which a walk through a snapshot starts.
    pub fn start(&self) -> Verdict {
        if self.includes.is_some() || self.paths.is_some() { Verdict::Below } else { Verdict::Yes }
    }
}

impl Includes {
    fn new(includes: Vec<(String, Pattern)>) -> Result<Self, ExcludeError> {
        let too_large = |error: globset::Error| ExcludeError::TooLarge { problem: error.kind().to_string() };
        let each = includes.iter().map(|(text, pattern)| {
            Ok(Include { text: text.clone(), pattern: PatternSet::new(vec![pattern.clone()])?, matched: AtomicBool::new(false) })
        });
        let each = each.collect::<Result<Vec<_>, ExcludeError>>()?.into();
        let patterns: Vec<Pattern> = includes.into_iter().map(|(_, pattern)| pattern).collect();
        let anywhere = patterns.iter().any(|pattern| pattern.anchored().is_none());
        let ancestors = patterns.iter().filter_map(Pattern::anchored).flat_map(ancestors);
        let ancestors = ancestors.map(|glob| compile(&glob)).collect::<Result<Vec<_>, _>>().map_err(too_large)?;
        Ok(Self { ancestors: GlobSet::new(ancestors).map_err(too_large)?, anywhere, wanted: PatternSet::new(patterns)?, each })
    }

    /// Notes which includes match. Each is looked for only until it is found.
    fn note(&self, path: &[u8], name: &[u8], is_dir: bool) {
        for include in self.each.iter().filter(|include| !include.matched.load(Ordering::Relaxed)) {
            if include.pattern.decide(path, name, is_dir) == Some(true) {
                include.matched.store(true, Ordering::Relaxed);
            }
        }
    }

    fn judge(&self, path: &[u8], name: &[u8], is_dir: bool) -> Verdict {
        if self.wanted.decide(path, name, is_dir) == Some(true) {
            Verdict::Yes
        } else if is_dir && (self.anywhere || self.leads_on(path)) {
            Verdict::Below
        } else {
            Verdict::No
        }
    }

    /// Whether an anchored pattern may match below this directory.
    fn leads_on(&self, path: &[u8]) -> bool {
        let path = path.strip_prefix(b"/").unwrap_or(path);
        path.is_empty() || self.ancestors.is_match_candidate(&Candidate::from_bytes(path))
    }
}

fn judge_path(paths: &BTreeSet<Vec<u8>>, path: &[u8], is_dir: bool) -> Verdict {
    if paths.contains(path) {
        return Verdict::Yes;
    }
    let below = [path, b"/"].concat();
    let leads_on = is_dir && paths.range(below.clone()..).next().is_some_and(|next| next.starts_with(&below));
    if leads_on { Verdict::Below } else { Verdict::No }
}

fn parse_include(text: &OsStr) -> Result<Pattern, ExcludeError> {
    let pattern = Pattern::parse(text)?;
    if pattern.is_negated() {
        return Err(ExcludeError::pattern(text.to_string_lossy(), "an include cannot start with `!`; use --exclude, or write `\\!`"));
    }
    Ok(pattern)
}

/// Globs for the directories above what an anchored glob matches: `a` and `a/b` for `a/b/c`.
///
/// From the first component that may span several directories, every directory below the ones before it counts.
fn ancestors(glob: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut start = 0;
    for end in glob.match_indices('/').map(|(at, _)| at).chain([glob.len()]) {
        if glob[start..end].contains("**") || compile(&glob[..end]).is_err() {
            found.push(format!("{}**", &glob[..start]));
            return found;
        }
        found.push(glob[..end].to_owned());
        start = end + 1;
    }
    found.pop();
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn selection(includes: &[&str], excludes: &[&str]) -> Selection {
        Selection::new(includes, excludes).unwrap()
    }

    /// Walks down to a path as a restore does; the last component is a directory if the path ends with `/`.
    fn walk(selection: &Selection, path: &str) -> Verdict {
        let file = path.trim_end_matches('/');
        let mut verdict = selection.start();
        let ends = file.match_indices('/').map(|(at, _)| at).skip(1).chain([file.len()]);
        for end in ends {
            let part = &file[..end];
            let name = part.rsplit('/').next().unwrap();
            verdict = selection.judge(verdict, part.as_bytes(), name.as_bytes(), end < file.len() || path.ends_with('/'));
        }
        verdict
    }

    #[test]
    fn without_patterns_everything_is_wanted() {
        assert!(Selection::default().is_everything());
        assert_eq!(walk(&Selection::default(), "/a/b"), Verdict::Yes);
    }

    #[test]
    fn paths_are_reached_whatever_letters_they_have() {
        let wanted = ["/a/x*", "/a/dir", "/b"].map(|path| path.as_bytes().to_vec());
        let selection = Selection::of_paths(wanted);
        assert!(!selection.is_everything() && selection.unmatched().is_empty());
        for (path, verdict) in [
            ("/a/", Verdict::Below),
            ("/a/x*", Verdict::Yes),
            ("/a/xy", Verdict::No),
            ("/a/dir/deep/file", Verdict::Yes),
            ("/a/dir-", Verdict::No),
            ("/b", Verdict::Yes),
            ("/bb/", Verdict::No),
            ("/c", Verdict::No),
        ] {
            assert_eq!(walk(&selection, path), verdict, "{path}");
        }
        assert_eq!(walk(&Selection::of_paths([]), "/a/"), Verdict::No);
    }

    #[test]
    fn an_anchored_include_is_reached_without_looking_elsewhere() {
        let selection = selection(&["/home/me/docs"], &[]);
        for (path, verdict) in [
            ("/home/", Verdict::Below),
            ("/home/me/", Verdict::Below),
            ("/home/me/docs/", Verdict::Yes),
            ("/home/me/docs/a/b", Verdict::Yes),
            ("/home/me/music/", Verdict::No),
            ("/home/me", Verdict::No),
            ("/etc/", Verdict::No),
        ] {
            assert_eq!(walk(&selection, path), verdict, "{path}");
        }
        assert_eq!(selection.judge(selection.start(), b"/", b"", true), Verdict::Below);
    }

    #[test]
    fn an_include_by_name_may_be_below_any_directory() {
        let selection = selection(&["*.txt"], &[]);
        assert_eq!(walk(&selection, "/a/b/"), Verdict::Below);
        assert_eq!(walk(&selection, "/a/b/c.txt"), Verdict::Yes);
        assert_eq!(walk(&selection, "/a/b/c.doc"), Verdict::No);
        assert_eq!(walk(&selection, "/a/b.txt/c.doc"), Verdict::Yes);
    }

    #[test]
    fn an_exclude_beats_an_include_unless_it_is_taken_back() {
        let selection = selection(&["/srv"], &["*.log", "!keep.log"]);
        assert_eq!(walk(&selection, "/srv/a.log"), Verdict::No);
        assert_eq!(walk(&selection, "/srv/a.log/below"), Verdict::No);
        assert_eq!(walk(&selection, "/srv/keep.log"), Verdict::Yes);
    }

    #[test]
    fn globs_in_the_middle_lead_the_way() {
        let selection = selection(&["/home/*/docs", "/srv/**/keep", "/var/{lib/x,log}/y", "/opt/a**b/c"], &[]);
        for (path, verdict) in [
            ("/home/anyone/", Verdict::Below),
            ("/home/anyone/else/", Verdict::No),
            ("/srv/1/2/3/", Verdict::Below),
            ("/srv/1/2/keep/", Verdict::Yes),
            ("/var/lib/", Verdict::Below),
            ("/var/lib/x/y", Verdict::Yes),
            ("/var/log/y", Verdict::Yes),
            ("/opt/a/b/", Verdict::Below),
            ("/usr/", Verdict::No),
        ] {
            assert_eq!(walk(&selection, path), verdict, "{path}");
        }
    }

    #[test]
    fn an_include_that_matches_nothing_is_told_and_one_below_another_is_not() {
        let selection = selection(&["/srv", "/srv/a/", "*.txt", "/srv/excluded/b", "/nothere"], &["excluded"]);
        assert_eq!(selection.unmatched().len(), 5);
        for path in ["/srv/a/c.txt", "/srv/excluded/b", "/srv/nothere"] {
            walk(&selection.clone(), path);
        }
        assert_eq!(selection.unmatched(), ["/srv/excluded/b", "/nothere"]);
        assert_eq!(Selection::default().unmatched(), [""; 0]);
    }

    #[test]
    fn an_include_cannot_be_negated() {
        let error = Selection::new(["!/a"], [""; 0]).unwrap_err().to_string();
        assert!(error.contains("--exclude"), "{error}");
    }

    #[test]
    fn ancestors_stop_where_certainty_ends() {
        assert_eq!(ancestors("a"), [""; 0]);
        assert_eq!(ancestors("a/b/c"), ["a", "a/b"]);
        assert_eq!(ancestors("**"), ["**"]);
        assert_eq!(ancestors("a/**/b/c"), ["a", "a/**"]);
        assert_eq!(ancestors("a/{b/c,d}/e"), ["a", "a/**"]);
    }

    proptest! {
        #[test]
        fn whatever_an_anchored_include_matches_is_reached(
            pattern in prop::collection::vec("[ab]|\\*|\\*\\*|a\\*|\\{a,b/b\\}|\\{a,b\\}|\\[ab\\]|a\\*\\*", 1..5),
            path in prop::collection::vec("[ab]{1,2}", 1..5),
        ) {
            let pattern = format!("/{}", pattern.join("/"));
            let path = format!("/{}", path.join("/"));
            let selection = selection(&[&pattern], &[]);
            let direct = PatternSet::new(vec![Pattern::parse(OsStr::new(&pattern)).unwrap()]).unwrap();
            if direct.decide(path.as_bytes(), b"x", false) == Some(true) {
                prop_assert_eq!(walk(&selection, &path), Verdict::Yes);
            }
        }
    }
}
