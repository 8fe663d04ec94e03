//! A disk that is soon full, in memory. Needs root; says SKIPPED where it cannot be mounted.

#![allow(dead_code, reason = "each suite uses a part")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// A small filesystem of its own; unmounted in the end.
pub struct Small(pub PathBuf);

impl Small {
    /// `None` if we may not mount one.
    pub fn mount(place: PathBuf, size: &str) -> Option<Self> {
        fs::create_dir_all(&place).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={size}"), "none"]).arg(&place).status().unwrap();
        if !mounted.success() {
            println!("SKIPPED: a filesystem cannot be mounted here");
            return None;
        }
        Some(Self(place))
    }

    pub fn grow(&self, size: &str) {
        let grown = Command::new("mount").args(["-o", &format!("remount,size={size}")]).arg(&self.0).status().unwrap();
        assert!(grown.success());
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}
