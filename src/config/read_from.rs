//! Places that are read elsewhere than the snapshot shows them.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

/// The place that cannot be read elsewhere, and why.
pub(super) fn check(read_from: &BTreeMap<String, PathBuf>) -> Option<(&str, String)> {
    let plain = |path: &Path| {
        let climbs = path.components().any(|component| component == Component::ParentDir);
        path.is_absolute() && !climbs && path.components().collect::<PathBuf>().as_os_str() == path.as_os_str()
    };
    let places = read_from.iter().map(|(place, from)| (place.as_str(), from.as_path()));
    for (place, from) in places.clone() {
        if let Some(wrong) = [Path::new(place), from].into_iter().find(|path| !plain(path)) {
            let why = "must be an absolute path without `.`, `..` and a `/` too many";
            return Some((place, format!("`{}` {why}", wrong.display())));
        }
        if Path::new(place) == from {
            return Some((place, "is read at its own place anyway; leave it out".into()));
        }
        // All places lie in the root directory.
        let chained = places.clone().find(|(other, _)| *other != place && *other != "/" && from.starts_with(other));
        if let Some((other, through)) = chained {
            let why = format!("{} lies in {other}, which is read from {} itself", from.display(), through.display());
            return Some((place, format!("{why}; name the place where the files really are")));
        }
    }
    None
}
