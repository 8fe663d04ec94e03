//! Snapshots of ZFS datasets, read through `.zfs/snapshot` at the top of each.

use std::io;
use std::path::{Path, PathBuf};

use super::mounts::{Mount, Mounts};
use super::name::Names;
use super::run;

/// The type in the mount table.
pub(super) const KIND: &str = "zfs";

/// A dataset and where it is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Dataset {
    /// Its name, such as `tank/home`.
    pub name: String,
    /// Its mount point; `legacy` and `none` are none.
    point: String,
}

/// All datasets that hold files.
///
/// # Errors
/// If `zfs` is not there or does not tell.
pub(super) fn datasets() -> io::Result<Vec<Dataset>> {
    Ok(parse(&run(&["zfs", "list", "-H", "-p", "-t", "filesystem", "-o", "name,mountpoint"])?))
}

fn parse(list: &str) -> Vec<Dataset> {
    let lines = list.lines().filter_map(|line| line.split_once('\t'));
    lines.map(|(name, point)| Dataset { name: name.to_owned(), point: point.to_owned() }).collect()
}

/// The dataset behind a mount, and the directory under which its snapshots appear. A bind mount shows none; then the
/// dataset's own mount must be there.
pub(super) fn behind(mount: &Mount, mounts: &Mounts, datasets: &[Dataset]) -> Option<(String, PathBuf)> {
    let by_point = |mount: &Mount| datasets.iter().find(|dataset| Path::new(&dataset.point) == mount.point);
    let by_source = |mount: &Mount| datasets.iter().find(|dataset| mount.kind == KIND && dataset.name == mount.source);
    let whole = |mount: &Mount| mount.root == Path::new("/");
    let own = if whole(mount) { Some(mount) } else { mounts.visible().find(|other| other.device == mount.device && whole(other)) }?;
    let dataset = by_source(own).or_else(|| by_point(own))?;
    Some((dataset.name.clone(), own.point.join(".zfs/snapshot")))
}

/// Takes snapshots of datasets at one moment.
///
/// # Errors
/// If that is not possible; then there are none.
pub(super) fn take(datasets: &[String], name: &str) -> io::Result<()> {
    let full: Vec<String> = datasets.iter().map(|dataset| format!("{dataset}@{name}")).collect();
    let arguments = ["zfs", "snapshot"].into_iter().chain(full.iter().map(String::as_str));
    run(&arguments.collect::<Vec<_>>()).map(drop)
}

/// Removes the snapshot `dataset@name`.
///
/// # Errors
/// If that is not possible.
pub(super) fn remove(snapshot: &str) -> io::Result<()> {
    // A dataset without `@` would be destroyed itself.
    if !snapshot.contains('@') {
        return Err(io::Error::other(format!("{snapshot} is no snapshot")));
    }
    run(&["zfs", "destroy", snapshot]).map(drop)
}

/// Snapshots that other runs of the job left of these datasets.
///
/// # Errors
/// If `zfs` does not tell.
pub(super) fn leftovers(datasets: &[Dataset], names: &Names) -> io::Result<Vec<String>> {
    if datasets.is_empty() {
        return Ok(Vec::new());
    }
    let asked = ["zfs", "list", "-H", "-p", "-t", "snapshot", "-o", "name", "-d", "1"];
    let arguments = asked.into_iter().chain(datasets.iter().map(|dataset| dataset.name.as_str()));
    let list = run(&arguments.collect::<Vec<_>>())?;
    let ours = list.lines().filter(|line| line.split_once('@').is_some_and(|(_, name)| names.is_ours(name)));
    Ok(ours.map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `zfs list -H -p -o name,mountpoint` of OpenZFS 2.2 writes it.
    const LIST: &str = "tank\t/tank\ntank/home\t/srv/my home\ntank/root\tlegacy\n";

    #[test]
    fn a_dataset_is_found_behind_its_mount_and_behind_a_bind_mount_of_a_part() {
        let table = b"1 0 0:40 / /srv/my\\040home rw - zfs tank/home rw\n\
            2 0 0:41 / / rw - zfs tank/root rw\n\
            3 0 0:41 /var/lib /proc rw - zfs tank/root rw\n";
        let mounts = Mounts::parse(table);
        let all = mounts.at_or_below(Path::new("/"));
        let found = |point: &str| {
            let mount = all.iter().find(|mount| mount.point == Path::new(point)).unwrap();
            behind(mount, &mounts, &parse(LIST))
        };
        assert_eq!(found("/srv/my home"), Some(("tank/home".into(), "/srv/my home/.zfs/snapshot".into())));
        assert_eq!(found("/"), Some(("tank/root".into(), "/.zfs/snapshot".into())));
    }

    #[test]
    fn a_dataset_itself_is_never_destroyed() {
        assert!(remove("tank/home").unwrap_err().to_string().contains("no snapshot"));
    }
}
