//! Who shall be able to restore.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Somebody who can restore: `age1...`, an SSH public key, or `passphrase`.
///
/// Two are the same if they name the same key: the comment of an SSH key, and the case of an age key, say nothing.
#[derive(Debug, Clone)]
pub struct Recipient(String);

impl Recipient {
    /// Whether `text`, as a repository spells its recipients, means this one.
    pub fn is(&self, text: &str) -> bool {
        essence(&self.0) == essence(text)
    }
}

/// What of a recipient's text names the key.
fn essence(text: &str) -> String {
    let text = text.trim();
    if text.starts_with("ssh-") {
        return text.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    }
    if is_age(text) { text.to_lowercase() } else { text.to_owned() }
}

fn is_age(text: &str) -> bool {
    text.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("age1"))
}

impl PartialEq for Recipient {
    fn eq(&self, other: &Self) -> bool {
        self.is(&other.0)
    }
}

impl Eq for Recipient {}

impl FromStr for Recipient {
    type Err = String;

    /// Looks at the form only, not whether the key can be used: that is found out where somebody is added.
    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.to_ascii_uppercase().starts_with("AGE-") || text.starts_with("-----BEGIN") {
            // The text is not repeated: it is a secret, and errors are kept in logs.
            return Err("this is a secret key, which belongs into no configuration; write its public half (age1... or ssh-...)".into());
        }
        let mut words = text.split_whitespace();
        let ssh = matches!(words.next(), Some("ssh-ed25519" | "ssh-rsa")) && words.next().is_some_and(|key| key.starts_with("AAAA"));
        // Names of plugins may have these signs.
        let age = is_age(text) && text.chars().all(|character| character.is_ascii_alphanumeric() || "+-_.".contains(character));
        if ssh || age || text == "passphrase" {
            return Ok(Self(text.to_owned()));
        }
        Err(format!("`{text}` is no recipient; write age1..., ssh-ed25519 AAAA..., ssh-rsa AAAA... or `passphrase`"))
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Recipient {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Recipient {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Recipient {
    fn schema_name() -> Cow<'static, str> {
        "Recipient".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Who can restore: age1..., ssh-ed25519 AAAA..., ssh-rsa AAAA..., or passphrase.",
            "type": "string",
            "pattern": "^ *([aA][gG][eE]1[A-Za-z0-9+_.-]+|ssh-(ed25519|rsa) +AAAA.*|passphrase) *$",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipient(text: &str) -> Recipient {
        text.parse().unwrap()
    }

    #[test]
    fn the_same_key_is_the_same_recipient_whatever_is_written_around_it() {
        let key = recipient("ssh-ed25519 AAAAC3Nza one@laptop");
        assert!(key.is("ssh-ed25519  AAAAC3Nza") && key.is(" ssh-ed25519 AAAAC3Nza two@desk with words\n"));
        assert!(!key.is("ssh-ed25519 AAAAC3Nzb one@laptop") && !key.is("ssh-rsa AAAAC3Nza"));
        assert!(recipient("age1abc").is("AGE1ABC") && !recipient("age1abc").is("age1abd"));
        assert!(recipient("passphrase").is("passphrase"));
    }

    #[test]
    fn what_is_no_recipient_is_told_and_a_secret_is_not_repeated() {
        for text in ["", "me", "age2abc", "age1 abc", "ssh-ed25519", "ssh-dss AAAA"] {
            assert!(text.parse::<Recipient>().unwrap_err().contains("is no recipient"), "{text}");
        }
        for secret in ["AGE-SECRET-KEY-1QQQ", "age-secret-key-1QQQ", "AGE-PLUGIN-X-1QQQ"] {
            let error = secret.parse::<Recipient>().unwrap_err();
            assert!(error.contains("public half") && !error.contains("1QQQ"), "{error}");
        }
    }
}
