//! How much a first run will read: counted beside it, for people who watch. Later runs expect what the last one found.

use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::model::event::{Event, Monitor};
use crate::source::metadata::{self, FileType};
use crate::source::walk::{Item, Walk};

/// Counts the files that `walk` meets, as far as they are not larger than `larger_than` bytes, and says so at the end,
/// unless `ended` is set before. What cannot be read is left for the run itself to report.
pub fn estimate(walk: Walk, larger_than: Option<u64>, ended: &AtomicBool, monitor: &dyn Monitor) {
    let (mut files, mut bytes) = (0, 0);
    for item in walk {
        if ended.load(Ordering::Relaxed) {
            return;
        }
        let Item::Entry { dir, name, .. } = item else { continue };
        let Ok(stat) = metadata::stat_at(dir.as_fd(), &name) else { continue };
        if stat.kind == FileType::File && larger_than.is_none_or(|limit| stat.size <= limit) {
            files += 1;
            bytes += stat.size;
        }
    }
    monitor.event(Event::Expect { files, bytes });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::walk::WalkOptions;
    use std::sync::Mutex;

    #[derive(Default)]
    struct Heard(Mutex<Vec<(u64, u64)>>);

    impl Monitor for Heard {
        fn event(&self, event: Event) {
            if let Event::Expect { files, bytes } = event {
                self.0.lock().unwrap().push((files, bytes));
            }
        }

        fn cancelled(&self) -> bool {
            false
        }
    }

    fn walk(dir: &tempfile::TempDir) -> Walk {
        Walk::new(&[dir.path().to_owned()], WalkOptions::default()).unwrap()
    }

    #[test]
    fn files_are_counted_but_for_those_that_are_left_out() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("sub")).unwrap();
        std::fs::write(dir.path().join("sub/small"), [0; 10]).unwrap();
        std::fs::write(dir.path().join("large"), [0; 100]).unwrap();
        std::os::unix::fs::symlink("large", dir.path().join("link")).unwrap();
        let heard = Heard::default();
        estimate(walk(&dir), None, &AtomicBool::new(false), &heard);
        estimate(walk(&dir), Some(50), &AtomicBool::new(false), &heard);
        assert_eq!(*heard.0.lock().unwrap(), [(2, 110), (1, 10)]);
    }

    #[test]
    fn nothing_is_said_after_the_run_has_ended() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), "x").unwrap();
        let heard = Heard::default();
        estimate(walk(&dir), None, &AtomicBool::new(true), &heard);
        assert!(heard.0.lock().unwrap().is_empty());
    }
}
