//! Files that hold secrets: by path, or as a credential that systemd hands to a service.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What the name of a credential follows.
const CREDENTIAL: &str = "credential:";

/// A file that holds a secret: an absolute path, or `credential:NAME` for what `LoadCredential=` of a systemd service brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretFile(Place);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Path(PathBuf),
    Credential(String),
}

/// Where credentials are found while a service runs.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The service's directory of them; none outside of a service.
    pub directory: Option<PathBuf>,
    /// The service that has them, for advice.
    pub service: String,
}

/// A secret that is not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// Nobody hands credentials to this process.
    #[error(
        "`credential:{name}` is a credential of a systemd service, and this is none (CREDENTIALS_DIRECTORY is not set): \
         start the job with `systemctl start {service}`, or name a file in the configuration"
    )]
    NoService {
        /// The credential.
        name: String,
        /// The service that has it.
        service: String,
    },
    /// The service has credentials, but not this one.
    #[error(
        "there is no credential `{name}` in {}; give the service one with LoadCredential={name}:FILE, or name a file in the configuration",
        directory.display()
    )]
    NoCredential {
        /// The credential.
        name: String,
        /// Where it was looked for.
        directory: PathBuf,
    },
}

impl SecretFile {
    /// Where the file lies now.
    ///
    /// # Errors
    /// If it is a credential and there is none of the name.
    pub fn locate(&self, credentials: &Credentials) -> Result<PathBuf, SecretError> {
        let name = match &self.0 {
            Place::Path(path) => return Ok(path.clone()),
            Place::Credential(name) => name,
        };
        let Some(directory) = &credentials.directory else {
            return Err(SecretError::NoService { name: name.clone(), service: credentials.service.clone() });
        };
        let path = directory.join(name);
        if path.exists() { Ok(path) } else { Err(SecretError::NoCredential { name: name.clone(), directory: directory.clone() }) }
    }
}

impl FromStr for SecretFile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(name) = text.strip_prefix(CREDENTIAL) {
            let good = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
            // A name of dots would lead out of the directory.
            let fine = name.chars().all(good) && name.chars().any(|character| character != '.');
            return if fine {
                Ok(Self(Place::Credential(name.to_owned())))
            } else {
                Err(format!("`{text}` names no credential: write `credential:NAME` with letters, digits, `-`, `_` and `.` only"))
            };
        }
        if text.starts_with('/') {
            return Ok(Self(Place::Path(text.into())));
        }
        Err("must be an absolute path, as services run in no particular directory; or `credential:NAME` for one of the service's".into())
    }
}

impl fmt::Display for SecretFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Path(path) => path.display().fmt(f),
            Place::Credential(name) => write!(f, "{CREDENTIAL}{name}"),
        }
    }
}

impl Serialize for SecretFile {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SecretFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for SecretFile {
    fn schema_name() -> Cow<'static, str> {
        "SecretFile".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A file that holds a secret: an absolute path, or credential:NAME for one that systemd hands to the service (LoadCredential=).",
            "type": "string",
            "pattern": "^(/.*|credential:[A-Za-z0-9_.-]*[A-Za-z0-9_-][A-Za-z0-9_.-]*)$",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(directory: Option<PathBuf>) -> Credentials {
        Credentials { directory, service: "hearth-backup-state".into() }
    }

    #[test]
    fn a_path_is_where_it_is_with_or_without_a_service() {
        let file: SecretFile = "/etc/keys/q.key".parse().unwrap();
        assert_eq!(file.locate(&credentials(None)).unwrap(), PathBuf::from("/etc/keys/q.key"));
        assert_eq!(file.to_string(), "/etc/keys/q.key");
    }

    #[test]
    fn a_credential_lies_in_the_directory_of_the_service() {
        let directory = tempfile::tempdir().unwrap();
        let file: SecretFile = "credential:disk.key".parse().unwrap();
        assert_eq!(file.to_string(), "credential:disk.key");
        let here = credentials(Some(directory.path().to_owned()));
        let error = file.locate(&here).unwrap_err().to_string();
        assert!(error.contains("LoadCredential=disk.key:FILE"), "{error}");
        std::fs::write(directory.path().join("disk.key"), "x").unwrap();
        assert_eq!(file.locate(&here).unwrap(), directory.path().join("disk.key"));
        let error = file.locate(&credentials(None)).unwrap_err().to_string();
        assert!(error.contains("systemctl start hearth-backup-state") && error.contains("or name a file"), "{error}");
    }

    #[test]
    fn names_of_credentials_do_not_lead_elsewhere() {
        for text in ["credential:", "credential:..", "credential:a/b", "credential:ä", "credential:a b"] {
            assert!(text.parse::<SecretFile>().unwrap_err().contains("names no credential"), "{text}");
        }
        for text in ["", "q.key", "./q.key", "Credential:x"] {
            assert!(text.parse::<SecretFile>().unwrap_err().contains("must be an absolute path"), "{text}");
        }
    }
}
