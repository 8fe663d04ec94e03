//! Processes of a drill that was killed. bubblewrap ends them with it, but for one moment of its own start; systemd ends a unit's all.

use std::fs;
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Ends processes that have something open below a directory which nobody else uses any more.
pub(super) fn end(place: &Path) {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = processes.filter_map(|process| process.file_name().to_str()?.parse::<i32>().ok());
    for process in numbers.filter(|process| *process > 1 && *process != std::process::id().cast_signed()) {
        if has_open(process, place) {
            tracing::info!("process {process} was left by a drill that was killed, and is ended");
            // It may have ended meanwhile, and its number is not given away so soon.
            let _ = kill(Pid::from_raw(process), Signal::SIGKILL);
        }
    }
}

fn has_open(process: i32, place: &Path) -> bool {
    let files = fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten();
    files.filter_map(|file| fs::read_link(file.path()).ok()).any(|target| target.starts_with(place) && target != place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn who_writes_to_what_a_killed_drill_left_is_ended_and_nobody_else() {
        let folder = tempfile::tempdir().unwrap();
        let start = |name: &str| {
            let file = fs::File::create(folder.path().join(name)).unwrap();
            Command::new("sleep").arg("1000").stdout(file).stdin(Stdio::null()).spawn().unwrap()
        };
        fs::create_dir(folder.path().join("left")).unwrap();
        let (mut left, mut other) = (start("left/log"), start("other"));
        end(&folder.path().join("left"));
        assert!(!left.wait().unwrap().success());
        assert!(other.try_wait().unwrap().is_none());
        other.kill().and_then(|()| other.wait()).unwrap();
    }
}
