//! Each test's places lie in a directory of its own: `own` plays the root directory, `keep` what outlives it.

use std::fs;
use std::os::unix::fs::symlink;

use super::*;
use crate::model::event::{Collect, Severity};
use crate::source::exclude::Excludes;
use crate::source::view::{Kind, View, read_from};

struct World(tempfile::TempDir);

impl World {
    fn new(files: &[&str]) -> Self {
        let world = Self(tempfile::tempdir().unwrap());
        for file in files {
            fs::create_dir_all(world.at(file).parent().unwrap()).unwrap();
            fs::write(world.at(file), "").unwrap();
        }
        world
    }

    fn at(&self, path: &str) -> PathBuf {
        self.0.path().canonicalize().unwrap().join(path)
    }

    fn mapping(&self, places: &[(&str, &str)]) -> Mapping {
        Mapping::new(&places.iter().map(|(at, from)| (self.at(at).to_str().unwrap().to_owned(), self.at(from))).collect())
    }

    /// Where a path is shown and read, in this world.
    fn located(&self, mapping: &Mapping, path: &str) -> Option<(String, String)> {
        let place = mapping.locate(&self.at(path)).ok()?;
        Some((self.short(&place.at), self.short(&place.from)))
    }

    fn short(&self, path: &Path) -> String {
        path.strip_prefix(self.at("")).unwrap().to_str().unwrap().to_owned()
    }

    fn reading(&self, mapping: &Mapping, paths: &[&str]) -> Reading {
        let heard = Collect::default();
        let reading = Reading::new(mapping, paths.iter().map(|path| mapping.locate(&self.at(path)).unwrap()), &heard);
        assert!(heard.findings(Severity::Info).is_empty(), "{heard:?}");
        reading
    }

    /// Each path and where the views lead it.
    fn leads(&self, views: &[View], expected: &[(&str, &str)]) {
        for (path, from) in expected {
            assert_eq!(self.short(&read_from(views, &self.at(path))), *from, "{path} through {views:?}");
        }
    }
}

#[test]
fn a_path_is_read_in_the_innermost_mapped_place_that_has_it() {
    let world = World::new(&["keep/lib/app/a", "keep/lib/both/a", "inner/both/b", "own/lib/app/a", "own/lib/rest/a", "own/lib/both/c"]);
    let mapping = world.mapping(&[("own/lib", "keep/lib"), ("own/lib/both", "inner/both")]);
    let found = |path| {
        world.located(&mapping, path).map(|(shown, from)| {
            assert_eq!(shown, path);
            from
        })
    };
    for (path, from) in [
        ("own/lib", Some("keep/lib")),
        ("own/lib/app", Some("keep/lib/app")),
        ("own/lib/rest/a", Some("own/lib/rest/a")),
        ("own/lib/both/b", Some("inner/both/b")),
        ("own/lib/both/a", Some("keep/lib/both/a")),
        ("own/lib/both/c", Some("own/lib/both/c")),
        ("own/lib/none", None),
        ("own", Some("own")),
        ("keep/lib/app", Some("keep/lib/app")),
    ] {
        assert_eq!(found(path).as_deref(), from, "{path}");
    }
    let error = mapping.locate(&world.at("own/lib/none")).unwrap_err().to_string();
    assert!(error.contains("nor at") && error.contains("keep/lib/none"), "{error}");
}

#[test]
fn links_on_the_way_are_followed_and_what_they_lead_to_is_mapped_as_well() {
    let world = World::new(&["keep/lib/private/app/data", "keep/home/me/x", "own/other/f", "own/lib/house/me/y"]);
    symlink("private/app", world.at("keep/lib/app")).unwrap();
    symlink(world.at("own/other"), world.at("keep/lib/out")).unwrap();
    symlink("lib/house", world.at("own/home")).unwrap();
    let mapping = world.mapping(&[("own/lib", "keep/lib"), ("own/lib/house", "keep/home")]);
    for (path, at, from) in [
        // A link itself is saved as one.
        ("own/lib/app", "own/lib/app", "keep/lib/app"),
        ("own/lib/app/", "own/lib/private/app", "keep/lib/private/app"),
        ("own/lib/app/data", "own/lib/private/app/data", "keep/lib/private/app/data"),
        ("own/lib/out/f", "own/other/f", "own/other/f"),
        ("own/home/me", "own/lib/house/me", "keep/home/me"),
    ] {
        assert_eq!(world.located(&mapping, path), Some((at.to_owned(), from.to_owned())), "{path}");
    }
}

#[test]
fn a_parent_shows_the_entries_of_the_mapped_place_and_those_that_only_its_own_place_has() {
    let world = World::new(&["keep/lib/app/a", "keep/lib/both/a", "own/lib/both/b", "own/lib/rest/c", "own/x"]);
    let mapping = world.mapping(&[("own/lib", "keep/lib")]);
    for paths in [&["own"][..], &["own/lib"]] {
        let reading = world.reading(&mapping, paths);
        world.leads(
            reading.views(),
            &[
                ("own/lib/app/a", "keep/lib/app/a"),
                ("own/lib/both/b", "keep/lib/both/b"),
                ("own/lib/rest/c", "own/lib/rest/c"),
                ("own/x", "own/x"),
            ],
        );
        assert!(reading.views().iter().all(|view| view.kind == Kind::Joined), "{reading:?}");
        assert!(reading.views().iter().any(|view| view.at == world.at("own/lib/rest")), "it is to be found beside the others");
    }
    let one = world.reading(&mapping, &["own/lib/both"]);
    world.leads(one.views(), &[("own/lib/both/a", "keep/lib/both/a")]);
    assert_eq!(one.paths(), [world.at("own/lib/both")]);
}

#[test]
fn the_inner_of_two_mappings_wins_also_in_what_a_parent_shows() {
    let world = World::new(&["keep/lib/app/a", "keep/lib/app/b", "inner/b", "own/lib/app/c", "own/x"]);
    let mapping = world.mapping(&[("own/lib", "keep/lib"), ("own/lib/app", "inner")]);
    let reading = world.reading(&mapping, &["own"]);
    let expected =
        [("own/lib/app/a", "keep/lib/app/a"), ("own/lib/app/b", "inner/b"), ("own/lib/app/c", "own/lib/app/c"), ("own/lib", "keep/lib")];
    world.leads(reading.views(), &expected);
}

#[test]
fn a_directory_that_is_nowhere_is_shown_on_the_way_to_a_mapped_place() {
    let world = World::new(&["keep/state/a", "own/x"]);
    let mapping = world.mapping(&[("own/app/deep/state", "keep/state")]);
    for path in ["own", "own/app/deep/state"] {
        let reading = world.reading(&mapping, &[path]);
        let hollow: Vec<String> =
            reading.views().iter().filter(|view| view.kind == Kind::Hollow).map(|view| world.short(&view.at)).collect();
        assert_eq!(hollow, ["own/app", "own/app/deep"]);
        world.leads(reading.views(), &[("own/app/deep/state/a", "keep/state/a")]);
    }
}

#[test]
fn a_mount_of_what_is_mapped_needs_no_more_than_one_view() {
    // The same directory by two names, as a bind mount has it.
    let world = World::new(&["keep/lib/app/a"]);
    fs::create_dir_all(world.at("own")).unwrap();
    symlink(world.at("keep"), world.at("own/same")).unwrap();
    let mapping = world.mapping(&[("own/same/lib", "keep/lib")]);
    let reading = world.reading(&mapping, &["own/same/lib"]);
    assert_eq!((reading.paths(), reading.views()), (vec![world.at("keep/lib")], &[][..]));
}

#[test]
fn places_that_are_left_out_need_not_stand_still() {
    let world = World::new(&["keep/lib/app/a", "own/lib/cache/b", "own/x"]);
    let mapping = world.mapping(&[("own/lib", "keep/lib")]);
    let reading = world.reading(&mapping, &["own"]);
    let rules = |pattern: PathBuf| Excludes::builder().pattern(pattern).unwrap().build().unwrap();
    let places = |rules: &Excludes| -> Vec<String> { reading.places(rules).iter().map(|place| world.short(&place.from)).collect() };
    assert_eq!(places(&Excludes::default()), ["own", "keep/lib", "own/lib/cache"]);
    assert_eq!(places(&rules(world.at("own/lib/cache"))), ["own", "keep/lib"]);
    assert_eq!(places(&rules(world.at("own/lib"))), ["own"]);
}

#[test]
fn a_place_that_cannot_be_read_is_told_to_those_whom_it_concerns() {
    let world = World::new(&["own/lib/app", "own/id", "keep/other"]);
    let mapping = world.mapping(&[("own/lib", "keep/lib"), ("own/id", "keep/other")]);
    assert_eq!(world.located(&mapping, "own/id"), Some(("own/id".into(), "own/id".into())));
    let told = |path: &str| mapping.unusable_for(&world.at(path)).map(|(_, why)| why.to_owned()).collect::<Vec<_>>().join("\n");
    assert!(told("own/lib/app").contains("keep/lib cannot be read for it (No such file"), "{}", told("own/lib/app"));
    assert!(told("own").contains("it is a file with another name") && told("own").contains("No such file"), "{}", told("own"));
    assert_eq!(told("elsewhere"), "");
}
