//! A tree as lines: type, mode, time, size, content, name, and what names and attributes lead to.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

/// The lines of everything below `root`, in order of name.
pub fn of(root: &Path) -> String {
    let mut lines = String::new();
    let mut first_names = HashMap::new();
    for path in everything_below(root) {
        let name = path.strip_prefix(root).unwrap().as_os_str().as_bytes().escape_ascii().to_string();
        let metadata = fs::symlink_metadata(&path).unwrap();
        let kind = metadata.file_type();
        let (letter, content) = if kind.is_dir() {
            ('d', String::new())
        } else if kind.is_symlink() {
            ('l', format!(" -> {}", fs::read_link(&path).unwrap().as_os_str().as_bytes().escape_ascii()))
        } else if kind.is_fifo() {
            ('p', String::new())
        } else {
            ('f', format!(" {} bytes {}", metadata.len(), &blake3::hash(&fs::read(&path).unwrap()).to_hex()[..16]))
        };
        let mode = if kind.is_symlink() { 0 } else { metadata.mode() & 0o7777 };
        write!(lines, "{letter} {mode:04o} {}.{:09} {name}{content}", metadata.mtime(), metadata.mtime_nsec()).unwrap();
        for attribute in xattr::list(&path).unwrap().filter(|name| name.as_bytes().starts_with(b"user.")) {
            let value = xattr::get(&path, &attribute).unwrap().unwrap_or_default();
            write!(lines, " {}={}", attribute.as_bytes().escape_ascii(), value.escape_ascii()).unwrap();
        }
        if metadata.nlink() > 1 && !kind.is_dir() {
            let first = first_names.entry(metadata.ino()).or_insert_with(|| name.clone());
            write!(lines, " = {first}").unwrap();
        }
        lines.push('\n');
    }
    lines
}

fn everything_below(folder: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    let mut all = Vec::new();
    for entry in entries {
        all.push(entry.clone());
        if fs::symlink_metadata(&entry).unwrap().is_dir() {
            all.extend(everything_below(&entry));
        }
    }
    all
}
