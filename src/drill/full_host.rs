//! A whole host: what was restored is started in a container, far enough to reach its target, and switched off again.
//!
//! ```text
//!   tree --> systemd-nspawn: its own init, network, processes; what ends us ends it
//!              a unit of ours, after the target: is it active? which units failed? --> power off
//! ```
//!
//! Nothing is written into the tree before it starts: the unit lies in the container's `/run`.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use nix::unistd::geteuid;

use super::sandbox::find;
use super::{Run, note, seconds};
use crate::job::{Timed, run_timed};
use crate::model::event::Event;
use crate::model::report::DrillFigures;
use crate::source::command::Program;

/// Where the container finds what is ours.
const OURS: &str = "/run/hearth-drill";
/// The unit that looks whether the target was reached.
const UNIT: &str = "hearth-drill.service";
/// Where systemd-nspawn has a directory for each container.
const PROPAGATED: &str = "/run/systemd/nspawn/propagate";
/// Bytes of what the container says of itself that are read.
const SAID: u64 = 16 << 10;
/// Lines of its journal that are told if it does not start.
const TOLD: usize = 60;
/// Units that are named as failed.
const NAMED: usize = 8;
/// What must be installed, and what brings it.
const PROGRAMS: [(&str, &str); 3] = [("systemd-nspawn", "systemd-container"), ("unshare", "util-linux"), ("setpriv", "util-linux")];

impl Run<'_> {
    /// Starts the restored host.
    pub(super) fn full_host(&self, figures: &mut DrillFigures) {
        self.tell("full host");
        note(figures, "full host", self.boot());
    }

    fn boot(&self) -> Result<String, String> {
        if !geteuid().is_root() {
            return Err("a whole host needs root to be started (systemd-nspawn)".into());
        }
        for (program, package) in PROGRAMS {
            if find(program, &self.options.path).is_none() {
                return Err(format!("`{program}` is not installed; install the package {package}"));
            }
        }
        let target = self.options.drill.boot_target.as_str();
        let limit = self.options.drill.boot_timeout.0.to_duration().map_err(|error| error.to_string())?;
        let folder = self.place.folder("boot").map_err(|error| error.to_string())?;
        let failed = |error: std::io::Error| format!("cannot write to {}: {error}", folder.display());
        fs::write(folder.join(UNIT), unit(target)).map_err(failed)?;
        fs::create_dir(folder.join("said")).map_err(failed)?;
        let machine = format!("hearth-drill-{}", std::process::id());
        let command = command(&self.tree(), &folder, target, &machine)?;
        // A machine whose own init is not systemd may have both generations of control groups; containers get the newer one.
        let environment = match Path::new("/sys/fs/cgroup/unified").is_dir() {
            true => vec![("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY".to_owned(), "1".to_owned())],
            false => Vec::new(),
        };
        let program = Program { environment, shown: Some("systemd-nspawn".into()), ..Program::new(command) };
        let Timed { result, late, output, took } = run_timed(program, "systemd-nspawn", limit, &|| self.is_to_stop());
        // It cannot remove this itself, as it sees `/run` as another mount.
        let _ = fs::remove_dir(Path::new(PROPAGATED).join(machine));
        let said = |name: &str| read(&folder.join("said").join(name));
        let outcome = match said("active").as_deref().map(str::trim) {
            Some("active") => Ok(format!("reached {target} in {}{}", seconds(took), failed_units(&said("failed").unwrap_or_default()))),
            Some(state) => Err(format!("did not reach {target}, which is {state}{}", failed_units(&said("failed").unwrap_or_default()))),
            None if late => Err(format!("did not reach {target} in {}", seconds(took))),
            None => Err(match result {
                Ok(()) => format!("ended before it reached {target}"),
                Err(error) => error.to_string(),
            }),
        };
        outcome.map_err(|why| {
            let lines = readable(&output);
            for line in lines.iter().skip(lines.len().saturating_sub(TOLD)) {
                self.monitor.event(Event::info("full host", line.as_str()));
            }
            match lines.last() {
                Some(last) => format!("{why}; the last that it said: {last}"),
                None => why,
            }
        })
    }
}

/// The words that start a container.
fn command(tree: &Path, folder: &Path, target: &str, machine: &str) -> Result<Vec<String>, String> {
    let text = |path: &Path| match path.to_str() {
        // Binds have `:` between their parts.
        Some(text) if !text.contains([':', '\\']) => Ok(text.to_owned()),
        _ => Err(format!("{} has letters that systemd-nspawn does not take in a bind; choose another `scratch`", path.display())),
    };
    let (tree, folder) = (text(tree)?, text(folder)?);
    // Its own process namespace, whose first process ends with us: so does everything in it.
    let mut words = ["setpriv", "--pdeathsig", "KILL", "unshare", "--pid", "--fork", "--kill-child", "--mount", "--mount-proc"]
        .map(str::to_owned)
        .to_vec();
    words.extend(
        ["systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit", "--private-network", "--link-journal=no"]
            .map(str::to_owned),
    );
    words.extend(["--resolv-conf=off", "--timezone=off", "--console=read-only"].map(str::to_owned));
    words.push(format!("--machine={machine}"));
    words.push(format!("--directory={tree}"));
    words.push(format!("--bind={folder}/said:{OURS}"));
    words.push(format!("--bind-ro={folder}/{UNIT}:/run/systemd/system/{UNIT}"));
    // For its init, as a kernel's command line. Disks of the host are not here.
    words.extend([format!("systemd.unit={target}"), format!("systemd.wants={UNIT}"), "fstab=no".into()]);
    words.extend(["systemd.journald.forward_to_console=1".into(), "systemd.show_status=0".into()]);
    Ok(words)
}

/// The unit that looks, after the target has been reached, or cannot be.
fn unit(target: &str) -> String {
    format!(
        "[Unit]\nDescription=A drill looks whether this host has started\nDefaultDependencies=no\nAfter={target}\n\n\
         [Service]\nType=oneshot\n\
         ExecStart=/bin/sh -c 'systemctl list-units --failed --plain --no-legend >{OURS}/failed; systemctl is-active {target} >{OURS}/active'\n\
         ExecStopPost=/bin/sh -c 'systemctl --force poweroff'\n"
    )
}

/// What the container wrote; it may be anything.
fn read(path: &Path) -> Option<String> {
    let file = File::options().read(true).custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK).open(path).ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(SAID).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The units that failed, as systemctl lists them.
fn failed_units(listed: &str) -> String {
    let units: Vec<&str> = listed.lines().filter_map(|line| line.split_whitespace().next()).collect();
    if units.is_empty() {
        return String::new();
    }
    let more = units.len().saturating_sub(NAMED);
    let first = units.into_iter().take(NAMED).collect::<Vec<_>>().join(", ");
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("; units that failed: {first}{more}")
}

/// The lines of a console without what moves its cursor and changes its colours.
fn readable(console: &str) -> Vec<String> {
    let mut text = String::new();
    let mut letters = console.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\x1b' => {
                // A control sequence ends with a letter of this range; other escapes have one letter.
                if letters.next() == Some('[') {
                    while letters.next().is_some_and(|next| !('@'..='~').contains(&next)) {}
                }
            }
            '\n' => text.push('\n'),
            control if control.is_control() => {}
            other => text.push(other),
        }
    }
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_units_are_named_and_many_are_counted() {
        assert_eq!(failed_units(""), "");
        assert_eq!(
            failed_units("a.service loaded failed failed A\nb.mount loaded failed failed B\n"),
            "; units that failed: a.service, b.mount"
        );
        let many: String = (0..10).map(|number| format!("u{number}.service loaded\n")).collect();
        assert!(failed_units(&many).ends_with("u7.service and 2 more"));
    }

    #[test]
    fn of_a_console_the_text_is_kept() {
        assert_eq!(readable("\x1b[0;32m  OK  \x1b[0m up\r\n\x1b[2J\n\x07bell\x1bcdone"), ["OK   up", "belldone"]);
        assert_eq!(readable("\x1b["), [""; 0]);
    }

    #[test]
    fn what_a_container_says_is_read_to_a_bound_and_never_through_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("active");
        assert_eq!(read(&path), None);
        fs::write(&path, vec![b'x'; 100_000]).unwrap();
        assert_eq!(read(&path).unwrap().len() as u64, SAID);
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", &path).unwrap();
        assert_eq!(read(&path), None);
    }

    #[test]
    fn a_place_whose_name_would_be_taken_apart_is_refused() {
        assert!(command(Path::new("/a:b/tree"), Path::new("/a"), "x.target", "m").unwrap_err().contains("choose another `scratch`"));
    }
}
