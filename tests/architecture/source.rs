//! The sources as tokens: comments and strings are gone, tests are marked.

use std::collections::HashSet;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// A file below `src/`.
pub struct SourceFile {
    path: String,
    tokens: Vec<Token>,
    lines: usize,
    /// The whole file is compiled only for tests.
    test: bool,
}

struct Token {
    text: String,
    line: usize,
    test: bool,
}

/// A use of `crate::module`, in a `use` or anywhere else.
pub struct Import {
    pub module: String,
    pub line: usize,
    pub test: bool,
}

/// Every source file, in path order; read once.
pub fn sources() -> &'static [SourceFile] {
    static SOURCES: LazyLock<Vec<SourceFile>> = LazyLock::new(read_sources);
    &SOURCES
}

fn read_sources() -> Vec<SourceFile> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files: Vec<SourceFile> = rust_files(&root).iter().map(|path| SourceFile::read(&root, path)).collect();
    let test_modules: HashSet<String> = files.iter().flat_map(SourceFile::test_modules).collect();
    for file in &mut files {
        let module = file.module_path().join("::");
        file.test = test_modules.iter().any(|test| module == *test || module.starts_with(&format!("{test}::")));
    }
    assert!(!files.is_empty(), "no sources below {}", root.display());
    files
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

impl SourceFile {
    fn read(root: &Path, path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap();
        let path = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        let stream: TokenStream = text.parse().unwrap_or_else(|error| panic!("src/{path} is not Rust: {error}"));
        let mut tokens = Vec::new();
        flatten(stream, &mut tokens);
        mark_tests(&mut tokens);
        Self { path, tokens, lines: text.lines().count(), test: false }
    }

    /// The path below `src/`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The top-level module the file belongs to.
    pub fn layer(&self) -> &str {
        self.path.split('/').next().unwrap().trim_end_matches(".rs")
    }

    /// Whether `place` is this file or, if it ends in a slash, a folder around it.
    pub fn is_in(&self, place: &str) -> bool {
        if place.ends_with('/') { self.path.starts_with(place) } else { self.path == place }
    }

    /// Positions of all tokens.
    pub fn everything(&self) -> Range<usize> {
        0..self.tokens.len()
    }

    /// Positions of the tokens that are compiled into the program.
    pub fn shipped(&self) -> impl Iterator<Item = usize> {
        self.everything().filter(|at| !self.test && !self.tokens[*at].test)
    }

    /// The token at a position; empty outside the file.
    pub fn text(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |token| token.text.as_str())
    }

    pub fn line(&self, at: usize) -> usize {
        self.tokens[at].line
    }

    /// Lines from the first to the last, without those of tests.
    pub fn shipped_lines(&self) -> usize {
        if self.test {
            return 0;
        }
        let test_lines: HashSet<usize> = self.test_spans().flat_map(|span| self.line(span.start)..=self.line(span.end - 1)).collect();
        self.lines - test_lines.len()
    }

    fn test_spans(&self) -> impl Iterator<Item = Range<usize>> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let start = (at..self.tokens.len()).find(|at| self.tokens[*at].test)?;
            let end = (start..self.tokens.len()).find(|at| !self.tokens[*at].test).unwrap_or(self.tokens.len());
            at = end;
            Some(start..end)
        })
    }

    /// Where the file names a top-level module by `crate::` or `super::`; `*` for a glob.
    pub fn imports(&self) -> impl Iterator<Item = Import> {
        let depth = self.module_path().len();
        self.everything().flat_map(move |at| {
            let modules = match self.text(at) {
                "crate" if self.is_path(at) => self.first_names(at + 3),
                "super" if self.text(at.wrapping_sub(1)) != ":" => self.climb(at, depth),
                _ => Vec::new(),
            };
            modules.into_iter().map(move |module| Import { module, line: self.line(at), test: self.test || self.tokens[at].test })
        })
    }

    /// `super::super::name` from `depth` modules below the root, not counting modules inside the file.
    fn climb(&self, start: usize, depth: usize) -> Vec<String> {
        let mut at = start;
        let mut up = 0;
        while self.text(at) == "super" && self.is_path(at) {
            up += 1;
            at += 3;
        }
        let inside = self.inline_modules(start);
        if up == depth + inside { self.first_names(at) } else { Vec::new() }
    }

    /// How many `mod name { … }` of this file are open at a position.
    fn inline_modules(&self, at: usize) -> usize {
        let mut open = Vec::new();
        for i in 0..at {
            match self.text(i) {
                "{" => open.push(i >= 2 && self.text(i - 2) == "mod"),
                "}" => drop(open.pop()),
                _ => {}
            }
        }
        open.into_iter().filter(|is_module| *is_module).count()
    }

    /// The first names of a path or of each branch of a `use` group.
    fn first_names(&self, at: usize) -> Vec<String> {
        if self.text(at) != "{" {
            return vec![self.text(at).to_owned()];
        }
        let mut names = Vec::new();
        let mut depth = 0;
        for i in at..self.tokens.len() {
            match self.text(i) {
                "{" => depth += 1,
                "}" => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                break;
            }
            if depth == 1 && matches!(self.text(i), "{" | ",") && self.text(i + 1) != "}" {
                names.push(self.text(i + 1).to_owned());
            }
        }
        names
    }

    fn is_path(&self, at: usize) -> bool {
        self.text(at + 1) == ":" && self.text(at + 2) == ":"
    }

    /// Names at the head of a path or alone in a `use`: where a foreign crate would stand.
    pub fn crates_named(&self) -> impl Iterator<Item = (usize, &str)> {
        self.shipped().filter_map(|at| {
            let head = !matches!(self.text(at.wrapping_sub(1)), ":" | ".") || self.text(at.wrapping_sub(2)) != ":";
            let alone = self.text(at.wrapping_sub(1)) == "use" && matches!(self.text(at + 1), ";" | "as");
            (alone || head && self.is_path(at)).then(|| (self.line(at), self.text(at)))
        })
    }

    /// Modules, types, functions and macros that the file defines.
    pub fn definitions(&self) -> impl Iterator<Item = (usize, &str)> {
        const KEYWORDS: &[&str] = &["mod", "struct", "enum", "trait", "type", "union", "fn", "const", "static"];
        self.shipped().filter(|at| KEYWORDS.contains(&self.text(*at))).map(|at| (self.line(at), self.text(at + 1)))
    }

    /// Structs and enums that the file defines.
    pub fn types(&self) -> impl Iterator<Item = &str> {
        self.shipped().filter(|at| matches!(self.text(*at), "struct" | "enum")).map(|at| self.text(at + 1))
    }

    fn module_path(&self) -> Vec<&str> {
        let mut parts: Vec<&str> = self.path.trim_end_matches(".rs").split('/').collect();
        if matches!(parts.last(), Some(&("mod" | "lib" | "main"))) {
            parts.pop();
        }
        parts
    }

    /// Modules that this file declares for tests and that live in other files.
    fn test_modules(&self) -> Vec<String> {
        let declared = self.everything().filter(|at| self.tokens[*at].test && self.text(*at) == "mod" && self.text(at + 2) == ";");
        declared.map(|at| self.module_path().into_iter().chain([self.text(at + 1)]).collect::<Vec<_>>().join("::")).collect()
    }
}

fn flatten(stream: TokenStream, into: &mut Vec<Token>) {
    for tree in stream {
        let line = tree.span().start().line;
        let mut push = |text: &str, line| into.push(Token { text: text.to_owned(), line, test: false });
        match tree {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::None => ("", ""),
                };
                push(open, line);
                flatten(group.stream(), into);
                into.push(Token { text: close.to_owned(), line: group.span_close().start().line, test: false });
            }
            TokenTree::Literal(_) => push("literal", line),
            other => push(&other.to_string(), line),
        }
    }
}

/// Marks each item behind `#[cfg(test)]`, to its closing brace or semicolon.
fn mark_tests(tokens: &mut [Token]) {
    const ATTRIBUTE: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let is_attribute = |window: &[Token]| window.iter().map(|token| token.text.as_str()).eq(ATTRIBUTE);
    let starts: Vec<usize> =
        tokens.windows(ATTRIBUTE.len()).enumerate().filter(|(_, window)| is_attribute(window)).map(|(at, _)| at).collect();
    for start in starts {
        let mut depth = 0;
        for token in &mut tokens[start..] {
            token.test = true;
            match token.text.as_str() {
                "{" | "[" | "(" => depth += 1,
                "}" | "]" | ")" => depth -= 1,
                _ => {}
            }
            if depth == 0 && matches!(token.text.as_str(), "}" | ";") {
                break;
            }
        }
    }
}
