//! Containers and their volumes, asked of Docker or Podman by its command line.
//!
//! Only what both answer alike is used: names by `--quiet`, `volume inspect`, and formats of single fields.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::command::Program;

/// Bytes of an engine's answer that are read.
const ANSWER: u64 = 64 << 20;
/// The engines that are looked for, in this order.
const KNOWN: [&str; 2] = ["docker", "podman"];

/// A program that runs containers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Engine(String);

/// A volume.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// Where its files are; empty if they are on no disk of this machine.
    #[serde(default)]
    pub mountpoint: PathBuf,
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
    #[serde(default)]
    options: Option<BTreeMap<String, String>>,
}

impl Volume {
    /// Whether it has a label, written as `name` or `name=value`.
    pub fn has_label(&self, wanted: &str) -> bool {
        let labels = self.labels.as_ref();
        match wanted.split_once('=') {
            Some((name, value)) => labels.is_some_and(|labels| labels.get(name).is_some_and(|found| found == value)),
            None => labels.is_some_and(|labels| labels.contains_key(wanted)),
        }
    }

    /// Whether the engine mounts something at its place only while a container uses it, such as a share of another machine.
    pub fn is_mounted_on_demand(&self) -> bool {
        self.options.as_ref().is_some_and(|options| options.contains_key("device"))
    }
}

/// A container.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Container {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
}

impl Engine {
    /// The engine of that name, or the first one that answers.
    ///
    /// # Errors
    /// If none does, with what each said.
    pub fn find(name: Option<&str>) -> io::Result<Self> {
        let mut said = Vec::new();
        for name in name.map_or(KNOWN.to_vec(), |name| vec![name]) {
            let engine = Self(name.to_owned());
            match engine.ask(&["volume", "ls", "--quiet"]) {
                Ok(_) => return Ok(engine),
                Err(error) => said.push(error.to_string()),
            }
        }
        Err(io::Error::other(said.join("; ")))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0
    }

    /// A command of the engine.
    pub fn command(&self, arguments: &[&str]) -> Vec<String> {
        std::iter::once(self.name()).chain(arguments.iter().copied()).map(str::to_owned).collect()
    }

    fn ask(&self, arguments: &[&str]) -> io::Result<String> {
        Program::new(self.command(arguments)).output(ANSWER)
    }

    /// All volumes, by name.
    ///
    /// # Errors
    /// If the engine does not tell.
    pub fn volumes(&self) -> io::Result<Vec<Volume>> {
        let names = self.ask(&["volume", "ls", "--quiet"])?;
        let names: Vec<&str> = names.lines().map(str::trim).filter(|name| !name.is_empty()).collect();
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let answer = self.ask(&[&["volume", "inspect"], &names[..]].concat())?;
        let not_understood = |error| io::Error::other(format!("`{} volume inspect` said: {error}", self.0));
        let mut volumes: Vec<Volume> = serde_json::from_str(&answer).map_err(not_understood)?;
        volumes.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(volumes)
    }

    /// The containers that run and use a volume.
    ///
    /// # Errors
    /// If the engine does not tell.
    pub fn users(&self, volume: &Volume) -> io::Result<Vec<Container>> {
        let using = format!("volume={}", volume.name);
        let format = "{{.ID}}\t{{.Names}}";
        let answer = self.ask(&["ps", "--no-trunc", "--filter", &using, "--filter", "status=running", "--format", format])?;
        let lines = answer.lines().filter_map(|line| line.split_once('\t'));
        Ok(lines.map(|(id, name)| Container { id: id.to_owned(), name: name.to_owned() }).collect())
    }

    /// What a container does now, in a word of the engine such as `running`, `paused`, `exited`; none if it is gone.
    ///
    /// # Errors
    /// If the engine does not tell.
    pub fn state(&self, container: &Container) -> io::Result<Option<String>> {
        let all = self.ask(&["ps", "--all", "--no-trunc", "--quiet"])?;
        if !all.lines().any(|id| id.trim() == container.id) {
            return Ok(None);
        }
        Ok(Some(self.ask(&["inspect", "--type", "container", "--format", "{{.State.Status}}", &container.id])?.trim().to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `docker volume inspect` of Docker 28 and `podman volume inspect` of Podman 5 write it.
    const DOCKER: &str = r#"[{"CreatedAt":"2026-11-20T10:00:00Z","Driver":"local","Labels":{"backup":"true"},"Mountpoint":"/var/lib/docker/volumes/web/_data","Name":"web","Options":null,"Scope":"local"},
        {"CreatedAt":"2026-11-20T10:00:00Z","Driver":"local","Labels":null,"Mountpoint":"/var/lib/docker/volumes/media/_data","Name":"media","Options":{"device":":/media","o":"addr=nas","type":"nfs"},"Scope":"local"}]"#;
    const PODMAN: &str = r#"[{"Name":"web","Driver":"local","Mountpoint":"/var/lib/containers/storage/volumes/web/_data","CreatedAt":"2026-11-20T10:00:00Z","Labels":{},"Scope":"local","Options":{},"MountCount":0,"NeedsCopyUp":true,"LockNumber":3}]"#;

    #[test]
    fn volumes_of_both_engines_are_understood() {
        let docker: Vec<Volume> = serde_json::from_str(DOCKER).unwrap();
        assert!(docker[0].has_label("backup") && docker[0].has_label("backup=true") && !docker[0].has_label("backup=false"));
        assert!(!docker[1].has_label("backup") && docker[1].is_mounted_on_demand() && !docker[0].is_mounted_on_demand());
        let podman: Vec<Volume> = serde_json::from_str(PODMAN).unwrap();
        assert_eq!(podman[0].mountpoint, PathBuf::from("/var/lib/containers/storage/volumes/web/_data"));
        assert!(!podman[0].is_mounted_on_demand());
    }

    #[test]
    fn an_engine_that_is_not_there_is_told() {
        let error = Engine::find(Some("no-such-engine")).unwrap_err().to_string();
        assert!(error.contains("no-such-engine"), "{error}");
    }
}
