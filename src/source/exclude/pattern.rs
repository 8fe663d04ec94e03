//! Patterns, and sets of them that give one answer for a path.

use std::ffi::OsStr;

use globset::{Candidate, Glob, GlobBuilder, GlobSet};

use super::ExcludeError;

/// What a pattern is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// The last component: cheaper, and most patterns are of this kind.
    Name,
    /// The whole path, without its leading `/`.
    Anchored,
    /// The path from any component on.
    Floating,
}

/// One parsed pattern.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    glob: Glob,
    scope: Scope,
    negated: bool,
    only_dirs: bool,
}

impl Pattern {
    /// Reads a pattern; see the module's table.
    pub(super) fn parse(text: &OsStr) -> Result<Self, ExcludeError> {
        let Some(whole) = text.to_str() else {
            let problem = "it is not UTF-8; write `?` for each byte that is not";
            return Err(ExcludeError::pattern(text.to_string_lossy(), problem));
        };
        let (negated, positive) = whole.strip_prefix('!').map_or((false, whole), |rest| (true, rest));
        let (only_dirs, body) = positive.strip_suffix('/').map_or((false, positive), |rest| (true, rest));
        check(body).map_err(|problem| ExcludeError::pattern(whole, problem))?;
        let (scope, glob) = scoped(body);
        let glob = compile(&glob).map_err(|error| ExcludeError::pattern(whole, explain(error.kind())))?;
        Ok(Self { glob, scope, negated, only_dirs })
    }

    /// Whether it takes back what others match.
    pub(super) fn is_negated(&self) -> bool {
        self.negated
    }

    /// The glob over paths without their leading `/`, if the pattern is anchored there; otherwise it may match at any depth.
    pub(super) fn anchored(&self) -> Option<&str> {
        (self.scope == Scope::Anchored).then(|| self.glob.glob())
    }
}

/// Refuses what is valid but could never match an absolute path.
fn check(body: &str) -> Result<(), &'static str> {
    if body.is_empty() {
        return Err("nothing is left to match; for everything below the root write `/**`");
    }
    if body == "~" || body.starts_with("~/") {
        return Err("`~` is not expanded here; write the whole path, or `\\~` for an entry of that name");
    }
    for component in body.strip_prefix('/').unwrap_or(body).split('/') {
        match component {
            "" => return Err("it has two slashes in a row; write one"),
            "." | ".." => return Err("`.` and `..` never occur in absolute paths; write the path without them, such as `/srv/data`"),
            _ => {}
        }
    }
    Ok(())
}

/// Says what the body is compared with, and the glob to compare.
fn scoped(body: &str) -> (Scope, String) {
    if let Some(anchored) = body.strip_prefix('/') {
        return (Scope::Anchored, anchored.to_owned());
    }
    let floating = body.trim_start_matches("**/");
    if floating.contains('/') { (Scope::Floating, format!("**/{floating}")) } else { (Scope::Name, floating.to_owned()) }
}

/// Compiles a glob with the rules that hold for all patterns.
pub(super) fn compile(glob: &str) -> Result<Glob, globset::Error> {
    GlobBuilder::new(glob).literal_separator(true).backslash_escape(true).empty_alternates(true).build()
}

fn explain(kind: &globset::ErrorKind) -> String {
    use globset::ErrorKind as Kind;
    match kind {
        Kind::UnclosedClass => "a `[` is not closed; write `\\[` for the character itself".to_owned(),
        Kind::UnclosedAlternates => "a `{` is not closed; write `\\{` for the character itself".to_owned(),
        Kind::UnopenedAlternates => "a `}` was never opened; write `\\}` for the character itself".to_owned(),
        Kind::DanglingEscape => "a backslash at the end escapes nothing; write `\\\\` for the character itself".to_owned(),
        Kind::InvalidRange(from, to) => format!("the range `{from}-{to}` runs backwards; write `{to}-{from}`"),
        other => other.to_string(),
    }
}

/// What remains of a pattern beside its glob.
#[derive(Debug, Clone, Copy)]
struct Rule {
    /// Position among all patterns; the greatest that matches decides.
    order: usize,
    negated: bool,
    only_dirs: bool,
}

/// Patterns that are compared with the same bytes, compiled together.
#[derive(Debug, Clone, Default)]
struct Group {
    globs: GlobSet,
    rules: Vec<Rule>,
}

impl Group {
    fn new(patterns: &[Pattern], of: impl Fn(Scope) -> bool) -> Result<Self, ExcludeError> {
        let members = || patterns.iter().enumerate().filter(|(_, pattern)| of(pattern.scope));
        let globs = GlobSet::new(members().map(|(_, pattern)| &pattern.glob))
            .map_err(|error| ExcludeError::TooLarge { problem: error.kind().to_string() })?;
        let rules = members().map(|(order, pattern)| Rule { order, negated: pattern.negated, only_dirs: pattern.only_dirs });
        Ok(Self { globs, rules: rules.collect() })
    }

    fn is_match(&self, bytes: &[u8]) -> bool {
        !self.rules.is_empty() && self.globs.is_match_candidate(&Candidate::from_bytes(bytes))
    }

    fn last_match(&self, bytes: &[u8], is_dir: bool) -> Option<Rule> {
        if self.rules.is_empty() {
            return None;
        }
        let matches = self.globs.matches_candidate(&Candidate::from_bytes(bytes));
        matches.iter().rev().filter_map(|index| self.rules.get(*index)).find(|rule| is_dir || !rule.only_dirs).copied()
    }
}

/// Patterns that together give one answer.
#[derive(Debug, Clone, Default)]
pub(super) struct PatternSet {
    names: Group,
    paths: Group,
    /// Any match will do: nothing is negated or for directories only.
    plain: bool,
}

impl PatternSet {
    /// Compiles patterns, which count in this order.
    pub(super) fn new(patterns: Vec<Pattern>) -> Result<Self, ExcludeError> {
        Ok(Self {
            names: Group::new(&patterns, |scope| scope == Scope::Name)?,
            paths: Group::new(&patterns, |scope| scope != Scope::Name)?,
            plain: patterns.iter().all(|pattern| !pattern.negated && !pattern.only_dirs),
        })
    }

    /// Whether there are no patterns.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.names.rules.is_empty() && self.paths.rules.is_empty()
    }

    /// Whether any pattern looks at the path.
    pub(super) fn needs_path(&self) -> bool {
        !self.paths.rules.is_empty()
    }

    /// What the last pattern that matches says: `Some(false)` if it is negated, `None` if none matches. Nothing matches the root,
    /// which has no name.
    pub(super) fn decide(&self, path: &[u8], name: &[u8], is_dir: bool) -> Option<bool> {
        if name.is_empty() {
            return None;
        }
        let path = path.strip_prefix(b"/").unwrap_or(path);
        if self.plain {
            return (self.names.is_match(name) || self.paths.is_match(path)).then_some(true);
        }
        let by_name = self.names.last_match(name, is_dir);
        let by_path = self.paths.last_match(path, is_dir);
        by_name.into_iter().chain(by_path).max_by_key(|rule| rule.order).map(|rule| !rule.negated)
    }
}
