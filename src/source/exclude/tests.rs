use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

use proptest::prelude::*;

use super::*;

fn excludes(patterns: &[&str]) -> Excludes {
    let builder = patterns.iter().try_fold(Excludes::builder(), |builder, text| builder.pattern(text)).unwrap();
    builder.build().unwrap()
}

/// Asks for one path; a `/` at its end makes it a directory.
fn matches(excludes: &Excludes, path: &str) -> bool {
    let entry = path.strip_suffix('/').unwrap_or(path);
    let name = entry.rsplit('/').next().unwrap();
    excludes.matches(entry.as_bytes(), name.as_bytes(), path.ends_with('/'))
}

fn assert_table(table: &[(&str, &[&str], &[&str])]) {
    for (pattern, yes, no) in table {
        let excludes = excludes(&[pattern]);
        for path in *yes {
            assert!(matches(&excludes, path), "`{pattern}` must match {path}");
        }
        for path in *no {
            assert!(!matches(&excludes, path), "`{pattern}` must not match {path}");
        }
    }
}

#[test]
fn without_rules_nothing_is_left_out() {
    let excludes = Excludes::default();
    assert!(!matches(&excludes, "/a"));
    assert!(!excludes.needs_path());
    assert_eq!(excludes.larger_than(), None);
    assert!(excludes.markers().is_empty());
}

#[test]
fn patterns_match_as_the_documentation_says() {
    assert_table(&[
        ("*.o", &["/a.o", "/x/y/a.o", "/.o", "/a.o/", "/new\nline.o"], &["/a.obj", "/a.O", "/a.o/b"]),
        ("target/", &["/target/", "/x/target/"], &["/target", "/x/target", "/x/targets/"]),
        ("/var/cache", &["/var/cache", "/var/cache/"], &["/x/var/cache", "/var/cache/a", "/var/cach"]),
        ("/var/cache/", &["/var/cache/"], &["/var/cache"]),
        (".cache/font", &["/.cache/font", "/home/me/.cache/font"], &["/home/x.cache/font", "/.cache/a/font", "/.cache/font/a"]),
        ("/srv/**/tmp", &["/srv/tmp", "/srv/a/tmp", "/srv/a/b/tmp"], &["/tmp", "/srv/a/tmpx", "/srvx/tmp"]),
        ("/srv/cache/**", &["/srv/cache/a", "/srv/cache/a/b"], &["/srv/cache/", "/srv/cachet"]),
        ("**/foo", &["/foo", "/a/foo"], &["/afoo"]),
        ("**/foo/bar", &["/foo/bar", "/a/foo/bar"], &["/foo/x/bar", "/xfoo/bar"]),
        ("a/**/z", &["/a/z", "/q/a/b/c/z"], &["/a/zz", "/qa/z"]),
        ("/a/*/c", &["/a/b/c"], &["/a/c", "/a/b/b/c"]),
        ("/a/b?c", &["/a/bxc"], &["/a/b/c", "/a/bc"]),
        ("**", &["/a", "/a/b", "/.x"], &[]),
        ("*", &["/a", "/a/b", "/.x"], &[]),
    ]);
}

#[test]
fn classes_alternatives_and_escapes_work() {
    assert_table(&[
        ("*.[oa]", &["/x.o", "/x.a"], &["/x.c"]),
        ("[!a-c]x", &["/dx"], &["/ax"]),
        ("*.{tmp,bak}", &["/a.tmp", "/b.bak"], &["/a.{tmp,bak}"]),
        ("a{,.old}", &["/a", "/a.old"], &["/a.new"]),
        (r"\*.o", &["/*.o"], &["/a.o"]),
        (r"\!x", &["/!x"], &["/x"]),
        (r"\#x", &["/#x"], &["/x"]),
        (r"\~", &["/~"], &["/a"]),
        (r"a\{b", &["/a{b"], &[]),
        ("with space", &["/with space"], &["/with"]),
        ("größe-*", &["/größe-1"], &["/grosse-1"]),
        ("a..", &["/a..", "/x/a.."], &["/a"]),
        ("x.", &["/x."], &["/x"]),
        ("...", &["/..."], &[]),
    ]);
}

#[test]
fn the_last_pattern_that_matches_decides_across_kinds() {
    let table: [(&[&str], &str, bool); 9] = [
        (&["*.o", "!keep.o"], "/a/keep.o", false),
        (&["!keep.o", "*.o"], "/a/keep.o", true),
        (&["*.o", "!/a/*.o"], "/a/x.o", false),
        (&["*.o", "!/a/*.o", "x.o"], "/a/x.o", true),
        (&["/a/*.o", "!x.o"], "/a/x.o", false),
        (&["/home/*", "!/home/me"], "/home/me/", false),
        (&["/home/*", "!/home/me"], "/home/you/", true),
        (&["*", "!*/"], "/a/", false),
        (&["*", "!*/"], "/a", true),
    ];
    for (patterns, path, expected) in table {
        assert_eq!(matches(&excludes(patterns), path), expected, "{patterns:?} {path}");
    }
}

#[test]
fn names_that_are_not_utf8_match() {
    let excludes = excludes(&["*.tmp", "/srv/?x", "/caf[!a]"]);
    assert!(excludes.matches(b"/a/\xff\xfe.tmp", b"\xff\xfe.tmp", false));
    assert!(excludes.matches(b"/srv/\xffx", b"\xffx", false));
    assert!(excludes.matches(b"/caf\xe9", b"caf\xe9", false));
    assert!(!excludes.matches(b"/a/\xff.txt", b"\xff.txt", false));
}

#[test]
fn the_root_itself_is_never_left_out() {
    assert!(!excludes(&["*", "/*", "/**"]).matches(b"/", b"", true));
}

#[test]
fn the_path_is_needed_only_by_patterns_with_a_slash() {
    assert!(!excludes(&["*.o", "target/", "**/x", "!y"]).needs_path());
    assert!(excludes(&["*.o", "/x"]).needs_path());
    assert!(excludes(&["a/b"]).needs_path());
    assert!(excludes(&["*.o"]).matches(b"", b"a.o", false));
}

#[test]
fn patterns_that_could_never_match_are_refused_with_advice() {
    for (pattern, advice) in [
        ("", "/**"),
        ("/", "/**"),
        ("!", "/**"),
        ("~/x", "whole path"),
        ("./x", "without them"),
        ("a/../b", "without them"),
        ("a//b", "write one"),
        ("[a", r"\["),
        ("{a", r"\{"),
        ("a}", r"\}"),
        ("a\\", r"\\"),
        ("[z-a]", "a-z"),
    ] {
        let error = Excludes::builder().pattern(pattern).unwrap_err().to_string();
        assert!(error.starts_with(&format!("pattern `{pattern}`: ")) && error.contains(advice), "{error}");
    }
    let error = Excludes::builder().pattern(OsStr::from_bytes(b"a\xff")).unwrap_err().to_string();
    assert!(error.contains("`?`"), "{error}");
}

#[test]
fn a_file_of_patterns_is_read_in_order_and_errors_name_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("patterns");
    fs::write(&path, "# objects\n*.o\n\n!keep.o\n\\#odd\nspace\\ \n").unwrap();
    let excludes = Excludes::builder().patterns_from(&path).unwrap().pattern("late.o").unwrap().build().unwrap();
    for (entry, expected) in [("/a.o", true), ("/keep.o", false), ("/late.o", true), ("/#odd", true), ("/space ", true), ("/space", false)]
    {
        assert_eq!(matches(&excludes, entry), expected, "{entry}");
    }
    fs::write(&path, "ok\n\n{a\n").unwrap();
    let error = Excludes::builder().patterns_from(&path).unwrap_err().to_string();
    assert!(error.starts_with(&format!("{}, line 3: pattern `{{a`", path.display())), "{error}");
    let missing = dir.path().join("missing");
    let error = Excludes::builder().patterns_from(&missing).unwrap_err().to_string();
    assert!(error.contains(&*missing.to_string_lossy()), "{error}");
}

#[test]
fn a_marked_directory_is_recognised_by_what_it_lists() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(".nobackup"), "").unwrap();
    fs::write(dir.path().join("CACHEDIR.TAG"), "not a tag").unwrap();
    let opened = File::open(dir.path()).unwrap();
    let excludes = Excludes::builder().caches().if_present(".nobackup").unwrap().build().unwrap();
    assert_eq!(excludes.markers().len(), 2);
    let found = |names: &[&'static [u8]]| excludes.marker_in(opened.as_fd(), names.iter().copied()).unwrap().map(Marker::name);
    assert_eq!(found(&[b"a", b"CACHEDIR.TAG", b".nobackup"]), Some(&b".nobackup"[..]));
    assert_eq!(found(&[b"a", b"CACHEDIR.TAG"]), None);
    assert_eq!(found(&[]), None);
}

#[test]
fn a_size_limit_is_handed_on() {
    assert_eq!(Excludes::builder().larger_than(7).build().unwrap().larger_than(), Some(7));
}

/// A slow and simple judge of patterns made of literals, `*` and `**`.
fn oracle(pattern: &[&str], path: &[&str]) -> bool {
    match (pattern.split_first(), path.split_first()) {
        (None, _) => path.is_empty(),
        (Some((&"**", [])), _) => !path.is_empty(),
        (Some((&"**", rest)), _) => (0..=path.len()).any(|skip| oracle(rest, &path[skip..])),
        (Some((&"*", rest)), Some((_, below))) => oracle(rest, below),
        (Some((literal, rest)), Some((name, below))) => literal == name && oracle(rest, below),
        (Some(_), None) => false,
    }
}

fn component() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "b", "c", "*", "**"])
}

proptest! {
    #[test]
    fn anchored_patterns_agree_with_the_oracle(
        pattern in prop::collection::vec(component(), 1..5),
        path in prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 1..6),
    ) {
        let excludes = excludes(&[&format!("/{}", pattern.join("/"))]);
        prop_assert_eq!(matches(&excludes, &format!("/{}", path.join("/"))), oracle(&pattern, &path));
    }

    #[test]
    fn floating_patterns_agree_with_the_oracle(
        pattern in prop::collection::vec(component(), 1..5),
        path in prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 1..6),
    ) {
        let excludes = excludes(&[&pattern.join("/")]);
        let floating: Vec<_> = std::iter::once("**").chain(pattern).collect();
        prop_assert_eq!(matches(&excludes, &format!("/{}", path.join("/"))), oracle(&floating, &path));
    }

    #[test]
    fn any_text_gives_a_pattern_or_an_error(text in "\\PC{0,20}", path in "(/[^/]{1,5}){1,4}") {
        if let Ok(builder) = Excludes::builder().pattern(&text) {
            matches(&builder.build().unwrap(), &path);
        }
    }

    #[test]
    fn the_fast_way_and_the_ordered_way_agree(
        patterns in prop::collection::vec("[ab*]{1,3}|/[ab*]{1,3}|[ab]/[ab*]{1,2}", 1..5),
        path in "(/[ab]{1,2}){1,4}",
    ) {
        let patterns: Vec<&str> = patterns.iter().map(String::as_str).collect();
        let ordered: Vec<&str> = std::iter::once("!never").chain(patterns.iter().copied()).collect();
        prop_assert_eq!(matches(&excludes(&patterns), &path), matches(&excludes(&ordered), &path));
    }
}
