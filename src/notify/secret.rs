//! Secrets in files, and how they stay out of what is told.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};

use zeroize::Zeroizing;

use super::receiver::Trouble;
use crate::config::{Credentials, SecretFile};

/// Most bytes of a file with a secret.
const LARGEST: u64 = 16 << 10;
/// Parts of a URL that are shorter are words, and not secrets.
const SHORTEST: usize = 8;
/// What stands for a secret in messages.
const MASK: &str = "…";

/// Reads the only line of a file. `what` it is called in messages.
pub(super) fn read(file: &SecretFile, what: &str, credentials: &Credentials) -> Result<Zeroizing<String>, Trouble> {
    let path = file.locate(credentials).map_err(|error| Trouble::Lasting(error.to_string()))?;
    let unusable = |why: &dyn fmt::Display| Trouble::Lasting(format!("{what} in {} cannot be used ({why})", path.display()));
    let mut text = Zeroizing::new(String::new());
    let read = File::open(&path).and_then(|file| file.take(LARGEST + 1).read_to_string(&mut text));
    read.map_err(|error| unusable(&error))?;
    let line = text.trim();
    if line.is_empty() || line.len() as u64 > LARGEST || line.contains(char::is_control) {
        return Err(unusable(&io::Error::other("it must be one line, and nothing else")));
    }
    Ok(Zeroizing::new(line.to_owned()))
}

/// A URL of which only the server is shown, as whoever knows the rest may use it.
pub(super) struct SecretUrl(Zeroizing<String>);

impl SecretUrl {
    /// From the configuration: written down there, or in a file.
    pub(super) fn read(url: Option<&String>, file: Option<&SecretFile>, credentials: &Credentials) -> Result<Self, Trouble> {
        let text = match (url, file) {
            (Some(url), _) => Zeroizing::new(url.clone()),
            (None, Some(file)) => read(file, "the url", credentials)?,
            (None, None) => return Err(Trouble::Lasting("no url is given".to_owned())),
        };
        Self::new(text)
    }

    /// From a text.
    pub(super) fn new(text: Zeroizing<String>) -> Result<Self, Trouble> {
        let fine = (text.starts_with("https://") || text.starts_with("http://")) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if fine {
            Ok(Self(text))
        } else {
            Err(Trouble::Lasting("its url must begin with https:// or http://, and have no spaces".to_owned()))
        }
    }

    /// All of it.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// A text without what is secret of the URL.
    pub(super) fn mask(&self, text: &str) -> String {
        let whole = self.0.as_str();
        let after = whole.split_once("://").map_or(whole, |(_, after)| after);
        let (server, path) = after.split_at(after.find(['/', '?']).unwrap_or(after.len()));
        let mut secrets: Vec<&str> = vec![whole, path];
        secrets.extend(server.rsplit_once('@').map(|(user, _)| user));
        secrets.extend(path.split(['/', '?', '&', '=', '#']));
        secrets.retain(|secret| secret.len() >= SHORTEST);
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets.into_iter().fold(text.to_owned(), |text, secret| text.replace(secret, MASK))
    }
}

/// The server of a URL, without user and password; nothing if there is none.
pub(super) fn server_of(url: &str) -> &str {
    let after = url.split_once("://").map_or(url, |(_, after)| after);
    let authority = after.split(['/', '?', '#']).next().unwrap_or_default();
    authority.rsplit_once('@').map_or(authority, |(_, server)| server)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_one_line_and_what_is_wrong_with_it_is_told_without_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let credentials = Credentials { directory: None, service: "x".into() };
        let read = || read(&path.to_str().unwrap().parse().unwrap(), "the token", &credentials).map(|text| text.to_string());
        assert!(matches!(read(), Err(Trouble::Lasting(why)) if why.contains("the token in") && why.contains("No such file")));
        std::fs::write(&path, " tk_1\n").unwrap();
        assert_eq!(read().unwrap(), "tk_1");
        for wrong in ["", " \n", "secret\r\nX-Other: 1", &"s".repeat(20_000)] {
            std::fs::write(&path, wrong).unwrap();
            assert!(matches!(read(), Err(Trouble::Lasting(why)) if why.contains("must be one line") && !why.contains("secret")));
        }
    }

    #[test]
    fn of_a_url_only_the_server_is_shown() {
        let url = SecretUrl::new(Zeroizing::new("https://me:hidden-1@kuma.example/api/push/T0kenT0ken?a=S3cretS3cret".into())).unwrap();
        let text = "at https://me:hidden-1@kuma.example/api/push/T0kenT0ken?a=S3cretS3cret: kuma.example has no T0kenT0ken, S3cretS3cret, me:hidden-1";
        assert_eq!(url.mask(text), "at …: kuma.example has no …, …, …");
        assert_eq!(server_of(url.as_str()), "kuma.example");
        assert_eq!((server_of("http://[::1]:80/x"), server_of("x")), ("[::1]:80", "x"));
        assert!(SecretUrl::new(Zeroizing::new("ftp://x".into())).is_err());
    }
}
