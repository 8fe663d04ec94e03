//! What the types cannot say: names that must fit together.

use super::Config;
use super::database::{Databases, DumpFormat, Mariadb, Postgresql};
use super::drill;
use super::error::ConfigError;
use super::hub;
use super::job::Job;
use super::mirror::Mirror;
use super::monitoring;
use super::notify;
use super::read_from;
use super::reporting;
use super::repository::Repository;
use super::retention::Retention;

/// Checks a configuration that parsed.
pub(super) fn check(config: &Config, file: &str) -> Result<(), ConfigError> {
    let wrong = |path: String, why: String| Err(ConfigError::Contradiction { file: file.to_owned(), path, why });
    for (name, repository) in &config.repositories {
        let path = || format!("repositories.{name}");
        if let Some(why) = misnamed(name) {
            return wrong(path(), why);
        }
        if let Some((key, why)) = check_repository(repository) {
            return wrong(format!("{}.{key}", path()), why);
        }
        if let Some((key, why)) = notify::check_own(repository.notify.as_ref()) {
            return wrong(format!("{}.{key}", path()), why);
        }
    }
    if let Some((place, why)) = read_from::check(&config.read_from) {
        return wrong(format!("readFrom.{place}"), why);
    }
    for (name, job) in &config.jobs {
        if let Some(why) = misnamed(name) {
            return wrong(format!("jobs.{name}"), why);
        }
        if let Some((key, why)) = check_job(config, job) {
            return wrong(format!("jobs.{name}.{key}"), why);
        }
    }
    for (name, mirror) in &config.mirrors {
        if let Some(why) = misnamed(name) {
            return wrong(format!("mirrors.{name}"), why);
        }
        if let Some((key, why)) = check_mirror(config, mirror) {
            return wrong(format!("mirrors.{name}.{key}"), why);
        }
    }
    for (name, wanted) in &config.drills {
        let misnamed = misnamed(name).map(|why| (String::new(), why));
        let unknown = config.repository(&wanted.repository).err().map(|error| (".repository".to_owned(), error.to_string()));
        let wrong_key = || drill::check(wanted).map(|(key, why)| (format!(".{key}"), why));
        if let Some((key, why)) = misnamed.or(unknown).or_else(wrong_key) {
            return wrong(format!("drills.{name}{key}"), why);
        }
    }
    if let Some((key, why)) = notify::check_own(config.notify.as_ref()) {
        return wrong(key, why);
    }
    if let Some((key, why)) = config.report_to.as_ref().and_then(reporting::check) {
        return wrong(format!("reportTo.{key}"), why.to_owned());
    }
    if let Some((key, why)) = monitoring::check(&config.monitoring) {
        return wrong(format!("monitoring.{key}"), why.to_owned());
    }
    if let Some((key, why)) = config.hub.as_ref().and_then(hub::check) {
        return wrong(format!("hub.{key}"), why);
    }
    Ok(())
}

/// The key of a repository that is wrong, and why.
fn check_repository(repository: &Repository) -> Option<(&'static str, String)> {
    if repository.url.is_empty() {
        return Some(("url", "is empty; give a directory, sftp://HOST/PATH or s3://BUCKET/PREFIX".into()));
    }
    let takes_credentials = ["s3://", "opendal+"].iter().any(|scheme| repository.url.starts_with(scheme));
    if repository.credentials.is_some() && !takes_credentials {
        return Some((
            "credentials",
            "are for buckets and other services (s3://..., opendal+...), and the url names none; leave them out".into(),
        ));
    }
    let begins = |schemes: &[&str]| schemes.iter().any(|scheme| repository.url.starts_with(scheme));
    if repository.identity.is_some() && !begins(&["sftp://", "ssh://"]) {
        return Some(("identity", "is for servers (sftp://..., ssh://...), and the url names none; leave it out".into()));
    }
    if repository.token.is_some() && !begins(&["https://", "http://"]) {
        return Some(("token", "is for hubs (https://...), and the url names none; leave it out".into()));
    }
    if repository.connections.is_some_and(|connections| !(1..=256).contains(&connections)) {
        return Some(("connections", "must be from 1 to 256".into()));
    }
    if repository.copy.as_ref().is_some_and(|copy| copy.media.trim().is_empty()) {
        return Some(("copy.media", "is empty; say what the copy lies on, such as ssd, hdd or cloud".into()));
    }
    let grace = repository.prune.and_then(|prune| prune.grace)?;
    grace.0.to_duration().err().map(|error| ("prune.grace", error.to_string()))
}

/// The key of a mirror that is wrong, and why.
fn check_mirror(config: &Config, mirror: &Mirror) -> Option<(String, String)> {
    for (key, name) in [("from", &mirror.from), ("to", &mirror.to)] {
        if let Err(error) = config.repository(name) {
            return Some((key.to_owned(), error.to_string()));
        }
    }
    let place = |name: &str| config.repository(name).ok().map(|repository| repository.url.as_str());
    if place(&mirror.from) == place(&mirror.to) {
        return Some(("to".into(), "is the repository itself; a mirror needs a place of its own".into()));
    }
    if mirror.retention.as_ref().is_some_and(Retention::is_empty) {
        return Some(("retention".into(), KEEPS_NOTHING.to_owned()));
    }
    notify::check_own(mirror.notify.as_ref())
}

/// What a retention must not do.
pub(super) const KEEPS_NOTHING: &str =
    "keeps nothing; give at least one of last, hourly, daily, weekly, monthly, yearly or within, or leave it out to keep all";

/// The key of a job that is wrong, and why.
fn check_job(config: &Config, job: &Job) -> Option<(String, String)> {
    let wrong = |key: &str, why: &str| Some((key.to_owned(), why.to_owned()));
    if job.repositories.is_empty() {
        return wrong("repositories", "names none; a job needs somewhere to go");
    }
    for (rank, name) in job.repositories.iter().enumerate() {
        match config.repository(name) {
            Ok(repository) if repository.writer_key.is_none() => {
                let why = format!("`{name}` has no `writerKey`, so nothing can be saved there; give it this host's");
                return Some((format!("repositories[{rank}]"), why));
            }
            Ok(_) => {}
            Err(error) => return Some((format!("repositories[{rank}]"), error.to_string())),
        }
        if job.repositories.iter().take(rank).any(|earlier| earlier == name) {
            return Some((format!("repositories[{rank}]"), format!("`{name}` is named twice")));
        }
    }
    let no_servers = job.postgresql.is_none() && job.mariadb.is_none() && job.mysql.is_none();
    let no_databases = no_servers && job.sqlite.as_ref().is_none_or(|sqlite| sqlite.databases.is_empty());
    let no_paths = job.paths.is_empty() && job.optional_paths.is_empty() && job.lvm_volumes.is_empty() && job.containers.is_none();
    if no_paths && job.commands.is_empty() && job.devices.is_empty() && no_databases {
        let sources = "paths, optionalPaths, commands, devices, postgresql, mariadb, mysql, sqlite, lvmVolumes or containers";
        return Some(("paths".into(), format!("a job needs something to save: {sources}")));
    }
    if job.sqlite.as_ref().is_some_and(|sqlite| sqlite.databases.is_empty() && !sqlite.discover) {
        return wrong("sqlite.databases", "names none; `discover = true` finds those in the job's paths");
    }
    if let Some((key, why)) = job.postgresql.as_ref().and_then(check_postgresql) {
        return Some((format!("postgresql.{key}"), why.to_owned()));
    }
    for (name, server) in [("mariadb", &job.mariadb), ("mysql", &job.mysql)] {
        let check = |server: &Mariadb| check_server(&server.databases, &server.through, server.password_file.is_some());
        if let Some((key, why)) = server.as_ref().and_then(check) {
            return Some((format!("{name}.{key}"), why.to_owned()));
        }
    }
    let databases = job.sqlite.as_ref().map(|sqlite| sqlite.databases.as_slice()).unwrap_or_default();
    for (key, paths) in [("paths", job.paths.as_slice()), ("optionalPaths", &job.optional_paths), ("sqlite.databases", databases)] {
        if let Some((rank, path)) = paths.iter().enumerate().find(|(_, path)| !path.starts_with('/')) {
            return Some((format!("{key}[{rank}]"), format!("`{path}` is not absolute; services run in no particular directory")));
        }
    }
    if !(1..=22).contains(&job.compression) {
        return wrong("compression", "must be a zstd level from 1 to 22");
    }
    for (key, name) in job.commands.keys().map(|name| ("commands", name)).chain(job.devices.keys().map(|name| ("devices", name))) {
        if matches!(name.as_str(), "" | "." | "..") || name.contains(['/', '\0']) || name.len() > 255 {
            return Some((format!("{key}.{name}"), "must be the name of one file, such as vault.snap".into()));
        }
    }
    if let Some((name, _)) = job.devices.iter().find(|(_, device)| !device.path.is_absolute()) {
        return Some((format!("devices.{name}.path"), "must be absolute; services run in no particular directory".into()));
    }
    for (name, stream) in &job.commands {
        if stream.command.first().is_none_or(String::is_empty) {
            return Some((format!("commands.{name}.command"), "is empty; give a program and its arguments".into()));
        }
        if stream.success.is_empty() {
            return Some((format!("commands.{name}.success"), "names no exit status; 0 is the usual one".into()));
        }
    }
    let hooks = job.hooks.all().map(|(key, hooks)| (format!("hooks.{key}"), hooks));
    let quiesce = [("quiesce.freeze".to_owned(), job.quiesce.freeze.as_slice()), ("quiesce.thaw".to_owned(), &job.quiesce.thaw)];
    for (key, hooks) in hooks.into_iter().chain(quiesce) {
        if let Some(rank) = hooks.iter().position(|hook| hook.command.first().is_none_or(String::is_empty)) {
            return Some((format!("{key}[{rank}].command"), "is empty; give a program and its arguments".into()));
        }
    }
    if job.retention.as_ref().is_some_and(Retention::is_empty) {
        return wrong("retention", KEEPS_NOTHING);
    }
    notify::check_own(job.notify.as_ref()).or_else(|| check_quiet(job)).or_else(|| check_limits(job))
}

/// How much of the machine a job takes, and when.
fn check_limits(job: &Job) -> Option<(String, String)> {
    if job.limits.nice.is_some_and(|nice| nice > 19) {
        return Some(("limits.nice".into(), "must be from 0 to 19".into()));
    }
    if job.limits.threads == Some(0) {
        return Some(("limits.threads".into(), "must be at least 1".into()));
    }
    if job.window.as_ref().is_some_and(|window| window.from == window.to) {
        return Some(("window".into(), "ends when it begins; leave it out for a job that may run at any time".into()));
    }
    None
}

/// What stands still while a job copies.
fn check_quiet(job: &Job) -> Option<(String, String)> {
    if job.quiesce.thaw.is_empty() && !job.quiesce.freeze.is_empty() {
        return Some(("quiesce.thaw".into(), "is empty, but `freeze` is not; what is frozen must be thawed".into()));
    }
    if let Some(rank) = job.quiesce.services.iter().position(|service| service.is_empty() || service.starts_with('-')) {
        return Some((format!("quiesce.services[{rank}]"), "must be the name of a systemd unit, such as jellyfin.service".into()));
    }
    if let Some(directory) = job.filesystem_snapshots.options().mount_directory
        && !directory.is_absolute()
    {
        return Some(("filesystemSnapshots.mountDirectory".into(), "must be an absolute path".into()));
    }
    if let Some(containers) = &job.containers
        && containers.volumes.is_empty()
        && containers.labels.is_empty()
    {
        return Some(("containers".into(), "names no volumes and no labels; volumes = [\"*\"] stands for all".into()));
    }
    None
}

fn check_postgresql(server: &Postgresql) -> Option<(&'static str, &'static str)> {
    if !(1..=64).contains(&server.parallel) {
        return Some(("parallel", "must be from 1 to 64"));
    }
    if server.format == DumpFormat::Directory && !server.through.is_empty() {
        return Some(("format", "a directory would be written on the other side of `through`; use the custom format"));
    }
    if server.scratch.as_ref().is_some_and(|scratch| !scratch.is_absolute()) {
        return Some(("scratch", "must be an absolute path; services run in no particular directory"));
    }
    check_server(&server.databases, &server.through, server.password_file.is_some())
}

/// What all kinds of servers have in common.
fn check_server(databases: &Databases, through: &[String], password: bool) -> Option<(&'static str, &'static str)> {
    if *databases == Databases::Named(Vec::new()) {
        return Some(("databases", "names none; \"all\" stands for all of them"));
    }
    if through.first().is_some_and(String::is_empty) {
        return Some(("through", "must begin with a program"));
    }
    if password && !through.is_empty() {
        let advice = "does not pass through another program, as everyone could see it among its arguments; \
                      let that program bring it, for example docker exec with --env-file";
        return Some(("passwordFile", advice));
    }
    None
}

/// Why a name does not serve: it becomes part of unit and file names.
pub(super) fn misnamed(name: &str) -> Option<String> {
    let good = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
    let fine = !name.is_empty() && name.len() <= 64 && name.chars().all(good) && !name.starts_with(['.', '-']);
    (!fine).then(|| "names consist of letters, digits, `-`, `_` and `.`, at most 64 of them, and do not begin with `.` or `-`".into())
}
