//! The walk through views. A view of `/` makes each test's world its own.

use std::fs;
use std::io::Read as _;

use super::*;
use crate::source::stream::Text;

struct World(tempfile::TempDir);

impl World {
    fn new(files: &[(&str, &str)]) -> Self {
        let world = Self(tempfile::tempdir().unwrap());
        for (path, text) in files {
            let path = world.0.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        world
    }

    fn at(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    /// What a walk over `paths` meets: directories, files with their content, and notes.
    fn walk(&self, paths: &[&str], change: impl FnOnce(&mut WalkOptions)) -> Vec<String> {
        let mut options = WalkOptions { views: vec![View::new("/", self.at("root"))], ..WalkOptions::default() };
        change(&mut options);
        let paths: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
        let mut place = Vec::new();
        let mut met = Vec::new();
        for item in Walk::new(&paths, options).unwrap() {
            match item {
                Item::Enter { name, .. } | Item::EnterVirtual { name } => {
                    place.push(String::from_utf8(name).unwrap());
                    met.push(format!("/{}/", place.join("/")));
                }
                Item::Leave => drop(place.pop().unwrap()),
                Item::Entry { dir, name, .. } => {
                    let mut text = String::new();
                    let file = metadata::open_file_at(dir.as_fd(), &name).unwrap();
                    std::fs::File::from(file).read_to_string(&mut text).unwrap();
                    let shown = display(&dir.path_of(&name));
                    let through: String = place.iter().chain([&display(&name)]).map(|name| format!("/{name}")).collect();
                    assert_eq!(shown, through, "an entry is called by the place where it is shown");
                    met.push(format!("{shown} = {text}"));
                }
                Item::Stream(stream) => met.push(stream.display()),
                Item::NextSource => {}
                Item::Note(Event::Finding { subject, message, .. }) => met.push(format!("{subject}: {message}")),
                Item::Note(other) => panic!("{other:?}"),
            }
        }
        met
    }
}

#[test]
fn an_argument_below_a_view_is_read_through_it() {
    let world = World::new(&[("root/srv/data/a/f", "live"), ("frozen/a/f", "frozen"), ("frozen/b", "b")]);
    let met = world.walk(&["/srv/data/a"], |options| options.views.push(View::new("/srv/data", world.at("frozen"))));
    assert_eq!(met, ["/srv/", "/srv/data/", "/srv/data/a/", "/srv/data/a/f = frozen"]);
    let met = world.walk(&["/srv/data/b"], |options| options.views.push(View::new("/srv/data", world.at("frozen"))));
    assert_eq!(met, ["/srv/", "/srv/data/", "/srv/data/b = b"]);
}

#[test]
fn a_directory_met_on_the_way_is_replaced_by_its_view() {
    let world = World::new(&[("root/srv/a", "1"), ("root/srv/sub/live", "live"), ("frozen/deep/f", "frozen"), ("live/g", "g")]);
    fs::create_dir(world.at("frozen/deep/mount")).unwrap();
    let met = world.walk(&["/srv"], |options| {
        options.views.push(View::new("/srv/sub", world.at("frozen")));
        options.views.push(View::new("/srv/sub/deep/mount", world.at("live")));
    });
    assert_eq!(
        met,
        [
            "/srv/",
            "/srv/a = 1",
            "/srv/sub/",
            "/srv/sub/deep/",
            "/srv/sub/deep/f = frozen",
            "/srv/sub/deep/mount/",
            "/srv/sub/deep/mount/g = g"
        ]
    );
}

#[test]
fn a_file_is_replaced_by_its_view_as_well() {
    let world = World::new(&[("root/etc/machine-id", ""), ("root/etc/passwd", "p"), ("persist/machine-id", "42")]);
    let view = View::new("/etc/machine-id", world.at("persist/machine-id"));
    assert_eq!(world.walk(&["/etc"], |options| options.views.push(view.clone())), ["/etc/", "/etc/machine-id = 42", "/etc/passwd = p"]);
    assert_eq!(world.walk(&["/etc/machine-id"], |options| options.views.push(view.clone())), ["/etc/", "/etc/machine-id = 42"]);
}

#[test]
fn a_view_that_is_gone_is_told_and_nothing_else_takes_its_place() {
    let world = World::new(&[("root/srv/sub/live", "live"), ("root/srv/z", "z")]);
    let met = world.walk(&["/srv"], |options| options.views.push(View::new("/srv/sub", world.at("gone"))));
    assert_eq!(met.len(), 3, "{met:?}");
    assert!(met[1].starts_with("/srv/sub: cannot be read (") && met[2] == "/srv/z = z", "{met:?}");
}

#[test]
fn a_directory_shows_what_has_a_view_in_it_though_it_does_not_hold_it() {
    let world =
        World::new(&[("root/srv/own", "o"), ("root/srv/kind", "a file"), ("keep/kind/f", "f"), ("keep/new/g", "g"), ("keep/file", "1")]);
    let complete = |options: &mut WalkOptions| {
        for name in ["kind", "new", "file"] {
            options.views.push(View::joined(format!("/srv/{name}"), world.at(&format!("keep/{name}"))));
        }
        options.excludes = Excludes::builder().pattern("/srv/new/").unwrap().build().unwrap();
    };
    let met = world.walk(&["/srv"], complete);
    assert_eq!(met, ["/srv/", "/srv/file = 1", "/srv/kind/", "/srv/kind/f = f", "/srv/own = o"]);
    assert_eq!(world.walk(&["/srv/kind/f"], complete), ["/srv/", "/srv/kind/", "/srv/kind/f = f"]);
}

#[test]
fn a_directory_that_is_nowhere_holds_the_views_within_it() {
    let world = World::new(&[("root/srv/own", "o"), ("keep/a", "a"), ("keep/b", "b")]);
    let complete = |options: &mut WalkOptions| {
        options.views.extend([
            View::hollow("/srv/app"),
            View::hollow("/srv/app/deep"),
            View::joined("/srv/app/deep/state", world.at("keep")),
        ]);
    };
    let state = ["/srv/", "/srv/app/", "/srv/app/deep/", "/srv/app/deep/state/", "/srv/app/deep/state/a = a", "/srv/app/deep/state/b = b"];
    assert_eq!(world.walk(&["/srv"], complete), [&state[..], &["/srv/own = o"]].concat());
    assert_eq!(world.walk(&["/srv/app/deep/state"], complete), state);
    let met = world.walk(&["/srv/app/own"], complete);
    assert!(met[2].starts_with("/srv/app/own: cannot be read"), "nothing else is found in it: {met:?}");
}

#[test]
fn a_joined_view_belongs_to_the_filesystem_around_it_and_what_is_mounted_in_it_does_not() {
    let world = World::new(&[("root/srv/own", "o")]);
    // The one other filesystem that is everywhere.
    let process = |kind: fn(PathBuf, PathBuf) -> View| {
        world.walk(&["/srv"], |options| {
            options.one_file_system = true;
            options.views.push(kind("/srv/fs".into(), "/proc/sys/kernel/random".into()));
        })
    };
    assert_eq!(process(View::new), ["/srv/", "/srv/fs/", "/srv/own = o"]);
    let joined = process(View::joined);
    assert!(joined.len() > 3 && joined[2].starts_with("/srv/fs/boot_id"), "{joined:?}");
}

#[test]
fn excludes_and_directories_to_skip_count_at_the_place_that_is_shown() {
    let world = World::new(&[("root/srv/x", ""), ("frozen/keep", "k"), ("frozen/cache/c", "c"), ("frozen/repo/r", "r")]);
    fs::create_dir_all(world.at("root/srv/data")).unwrap();
    let repository = metadata::stat_fd(metadata::open_dir(&world.at("frozen/repo")).unwrap()).unwrap();
    let met = world.walk(&["/srv/data"], |options| {
        options.views.push(View::new("/srv/data", world.at("frozen")));
        options.excludes = Excludes::builder().pattern("/srv/data/cache/").unwrap().build().unwrap();
        options.skip = HashSet::from([(repository.device, repository.inode)]);
    });
    assert_eq!(met, ["/srv/", "/srv/data/", "/srv/data/keep = k", "/srv/data/repo/"]);
}

#[test]
fn what_is_on_no_disk_lies_among_the_rest() {
    let world = World::new(&[("root/.a", "1"), ("root/etc/b", "2"), ("volume/c", "3")]);
    let text = || VirtualFile { path: vec![b"@commands".to_vec(), b"x".to_vec()], source: Arc::new(Text(String::new())), required: false };
    let complete = |options: &mut WalkOptions| {
        options.views.push(View::detached("/@lvm/vg0/web", world.at("volume")));
        options.streams = vec![text()];
    };
    let volumes = ["/@commands/", "/@commands/x", "/@lvm/", "/@lvm/vg0/", "/@lvm/vg0/web/", "/@lvm/vg0/web/c = 3"];
    assert_eq!(world.walk(&["/@lvm/vg0/web", "/etc"], complete), [&volumes[..], &["/etc/", "/etc/b = 2"]].concat());
    // Also if everything is an argument, and so is the whole of the root directory.
    let all = [&["/.a = 1"], &volumes[..], &["/etc/", "/etc/b = 2"]].concat();
    assert_eq!(world.walk(&["/", "/@lvm/vg0/web"], complete), all);
}

#[test]
fn a_detached_view_that_is_no_argument_is_not_walked() {
    let world = World::new(&[("root/etc/b", "2"), ("volume/c", "3")]);
    let met = world.walk(&["/etc"], |options| options.views.push(View::detached("/@lvm/vg0/web", world.at("volume"))));
    assert_eq!(met, ["/etc/", "/etc/b = 2"]);
}
