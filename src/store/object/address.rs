//! Which bucket of which service: `s3://BUCKET/PREFIX?endpoint=...&region=...`.
//!
//! `provider=` stands for what is known of a service; every other parameter overrules it. Secrets have no place in a
//! URL, which ends up in logs, lists of processes and shell histories.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// A bucket, the prefix of the repository in it, and how its service is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    name: String,
    prefix: String,
    /// As they were written, to write them again.
    parameters: BTreeMap<String, String>,
    endpoint: String,
    region: String,
    virtual_style: bool,
    checksum: Checksum,
    conditional_writes: bool,
    listing_lag: Duration,
    provider: &'static str,
}

/// What is sent along with an upload, so that the server notices what the network broke. Buckets with object lock demand one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksum {
    /// Cheap; most services know it.
    Crc32c,
    /// All services know it; costs a core for each 600 MB a second.
    Md5,
    /// None.
    None,
}

impl Checksum {
    /// Its name in the protocol.
    pub fn algorithm(self) -> Option<&'static str> {
        match self {
            Self::Crc32c => Some("crc32c"),
            Self::Md5 => Some("md5"),
            Self::None => None,
        }
    }
}

/// Where a URL leaves something open, what the machine says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Defaults {
    /// The endpoint.
    pub endpoint: Option<String>,
    /// The region.
    pub region: Option<String>,
}

/// Why a URL does not name a bucket.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// No bucket.
    #[error("an s3 URL names a bucket and, if it is not to fill all of it, a prefix: s3://BUCKET/PREFIX")]
    NoBucket,
    /// A name that no service takes.
    #[error("`{0}` is no name of a bucket: 3 to 63 lower-case letters, digits, `-` and `.`")]
    BadBucket(String),
    /// A prefix that not all services keep as it is.
    #[error("`{0}` is no good prefix: names of letters, digits and `-_.=+@`, separated by single slashes")]
    BadPrefix(String),
    /// A secret.
    #[error(
        "a URL ends up in logs and lists of processes and must not hold `{0}`; put the keys into a file and name it with \
         --credentials-file or as `credentials` in the configuration, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, \
         and make new keys, as these may have been seen"
    )]
    Secret(String),
    /// A parameter that does not exist.
    #[error("s3 URLs have no parameter `{0}`; there are {known}", known = PARAMETERS.join(", "))]
    Unknown(String),
    /// A parameter that is given twice.
    #[error("`{0}` is given twice in the URL")]
    Twice(String),
    /// A value that is not understood.
    #[error("`{parameter}={value}` is not understood; {advice}")]
    BadValue {
        /// The parameter.
        parameter: &'static str,
        /// Its value.
        value: String,
        /// What is possible.
        advice: String,
    },
    /// Something that is needed and that nobody says.
    #[error("`{parameter}` is missing: {advice}")]
    Missing {
        /// The parameter.
        parameter: &'static str,
        /// What to write.
        advice: &'static str,
    },
}

/// Every parameter.
const PARAMETERS: [&str; 9] =
    ["provider", "endpoint", "region", "account", "style", "storageClass", "checksum", "conditionalWrites", "listingLag"];

/// What is known of a service.
struct Provider {
    name: &'static str,
    /// With `{region}` or `{account}`.
    endpoint: &'static str,
    /// None if one must be given.
    region: Option<&'static str>,
    virtual_style: bool,
    checksum: Checksum,
    conditional_writes: bool,
}

const AMAZON: Provider = Provider {
    name: "aws",
    endpoint: "https://s3.{region}.amazonaws.com",
    region: None,
    virtual_style: true,
    checksum: Checksum::Crc32c,
    conditional_writes: true,
};

/// A server that nobody named, at an endpoint of its own.
const ANY: Provider = Provider {
    name: "",
    endpoint: "",
    region: Some("us-east-1"),
    virtual_style: false,
    checksum: Checksum::Crc32c,
    conditional_writes: true,
};

const PROVIDERS: [Provider; 7] = [
    AMAZON,
    // It answers checksums other than MD5, and conditions, with an error.
    Provider {
        name: "b2",
        endpoint: "https://s3.{region}.backblazeb2.com",
        region: None,
        checksum: Checksum::Md5,
        conditional_writes: false,
        ..ANY
    },
    Provider { name: "wasabi", endpoint: "https://s3.{region}.wasabisys.com", checksum: Checksum::Md5, conditional_writes: false, ..ANY },
    Provider { name: "r2", endpoint: "https://{account}.r2.cloudflarestorage.com", region: Some("auto"), ..ANY },
    Provider { name: "storj", endpoint: "https://gateway.storjshare.io", checksum: Checksum::Md5, conditional_writes: false, ..ANY },
    Provider { name: "garage", endpoint: "http://localhost:3900", region: Some("garage"), conditional_writes: false, ..ANY },
    Provider { name: "minio", endpoint: "http://localhost:9000", ..ANY },
];

impl Bucket {
    /// Reads what follows `s3://`.
    ///
    /// # Errors
    /// If it is not understood, lacks something, or holds a secret.
    pub fn parse(rest: &str, defaults: &Defaults) -> Result<Self, AddressError> {
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (name, prefix) = path.split_once('/').unwrap_or((path, ""));
        if name.contains('@') {
            return Err(AddressError::Secret("user:password@".into()));
        }
        if name.is_empty() {
            return Err(AddressError::NoBucket);
        }
        let letters = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || "-.".contains(letter);
        if !(3..=63).contains(&name.len()) || !name.chars().all(letters) || name.starts_with(['-', '.']) {
            return Err(AddressError::BadBucket(name.to_owned()));
        }
        let prefix = prefix.trim_end_matches('/');
        if !prefix.is_empty() && !prefix.split('/').all(is_plain) {
            return Err(AddressError::BadPrefix(prefix.to_owned()));
        }
        let parameters = parameters(query)?;
        let given = |name: &str| parameters.get(name).map(String::as_str);
        let provider = provider(given("provider"), given("endpoint").or(defaults.endpoint.as_deref()).is_some())?;
        let region = given("region").or(provider.region).or(defaults.region.as_deref()).ok_or(NO_REGION)?.to_owned();
        let endpoint = match given("endpoint").or(defaults.endpoint.as_deref().filter(|_| given("provider").is_none())) {
            Some(endpoint) => checked_endpoint(endpoint)?,
            None if provider.endpoint.contains("{account}") => provider.endpoint.replace("{account}", given("account").ok_or(NO_ACCOUNT)?),
            None => provider.endpoint.replace("{region}", &region),
        };
        Ok(Self {
            name: name.to_owned(),
            prefix: prefix.to_owned(),
            virtual_style: match given("style") {
                None => provider.virtual_style,
                Some("path") => false,
                Some("virtual") => true,
                Some(other) => return Err(bad("style", other, "write `path` or `virtual`")),
            },
            checksum: match given("checksum") {
                None => provider.checksum,
                Some("crc32c") => Checksum::Crc32c,
                Some("md5") => Checksum::Md5,
                Some("none") => Checksum::None,
                Some(other) => return Err(bad("checksum", other, "write `crc32c`, `md5` or `none`")),
            },
            conditional_writes: match given("conditionalWrites") {
                None => provider.conditional_writes,
                Some("true") => true,
                Some("false") => false,
                Some(other) => return Err(bad("conditionalWrites", other, "write `true` or `false`")),
            },
            listing_lag: match given("listingLag") {
                None => Duration::ZERO,
                Some(text) => match text.parse() {
                    Ok(seconds) if seconds <= 3600 => Duration::from_secs(seconds),
                    _ => return Err(bad("listingLag", text, "write seconds, at most 3600")),
                },
            },
            provider: provider.name,
            endpoint,
            region,
            parameters,
        })
    }

    /// The bucket's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The service, if it is one that was named or is meant by default.
    pub fn provider(&self) -> Option<&'static str> {
        Some(self.provider).filter(|name| !name.is_empty())
    }

    /// Where the repository begins in it, without slashes around.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The prefixes above its own in the same bucket, the nearest first; the last is the bucket itself.
    pub fn above(&self) -> impl Iterator<Item = Self> {
        let ends = self.prefix.rmatch_indices('/').map(|(end, _)| end);
        let prefixes = ends.chain((!self.prefix.is_empty()).then_some(0));
        prefixes.map(|end| Self { prefix: self.prefix.get(..end).unwrap_or_default().to_owned(), ..self.clone() })
    }

    /// The server, as a URL.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// What requests are signed for.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// Whether the bucket is part of the host's name instead of the path.
    pub fn is_virtual_style(&self) -> bool {
        self.virtual_style
    }

    /// What new objects are stored as, if it was said.
    pub fn storage_class(&self) -> Option<&str> {
        self.parameters.get("storageClass").map(String::as_str)
    }

    /// What is sent along with an upload.
    pub fn checksum(&self) -> Checksum {
        self.checksum
    }

    /// Whether the server is believed to refuse replacements when it is asked to.
    pub fn conditional_writes(&self) -> bool {
        self.conditional_writes
    }

    /// How long a listing may lag behind.
    pub fn listing_lag(&self) -> Duration {
        self.listing_lag
    }

    /// Whether it is at Amazon.
    pub fn is_amazon(&self) -> bool {
        self.endpoint.ends_with(".amazonaws.com")
    }
}

/// The URL again, without the id of the repository.
impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}", self.name)?;
        if !self.prefix.is_empty() {
            write!(f, "/{}", self.prefix)?;
        }
        for (rank, (name, value)) in self.parameters.iter().enumerate() {
            write!(f, "{}{name}={value}", if rank == 0 { '?' } else { '&' })?;
        }
        Ok(())
    }
}

const NO_REGION: AddressError = AddressError::Missing {
    parameter: "region",
    advice: "write `region=...` as the service calls it, such as eu-central-1 or us-west-004",
};
const NO_ACCOUNT: AddressError =
    AddressError::Missing { parameter: "account", advice: "write `account=...` with the account's id, or the whole `endpoint=...`" };

fn bad(parameter: &'static str, value: &str, advice: impl Into<String>) -> AddressError {
    AddressError::BadValue { parameter, value: value.to_owned(), advice: advice.into() }
}

/// A name that all services, and all ways of quoting, leave alone.
fn is_plain(part: &str) -> bool {
    let good = |letter: char| letter.is_ascii_alphanumeric() || "-_.=+@".contains(letter);
    !part.is_empty() && part != "." && part != ".." && part.chars().all(good)
}

fn parameters(query: &str) -> Result<BTreeMap<String, String>, AddressError> {
    let mut found = BTreeMap::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let lower = name.to_lowercase();
        if ["key", "secret", "token", "password", "credential"].iter().any(|word| lower.contains(word)) {
            return Err(AddressError::Secret(name.to_owned()));
        }
        if !PARAMETERS.contains(&name) {
            return Err(AddressError::Unknown(name.to_owned()));
        }
        let readable = |letter: char| letter.is_ascii_alphanumeric() || "-_.:/[]".contains(letter);
        if let Some(parameter) = PARAMETERS.iter().find(|known| **known == name)
            && (value.is_empty() || !value.chars().all(readable))
        {
            let shown = if value.contains('@') { "..." } else { value };
            return Err(bad(parameter, shown, "write letters, digits and `-_.:/` only"));
        }
        if found.insert(name.to_owned(), value.to_owned()).is_some() {
            return Err(AddressError::Twice(name.to_owned()));
        }
    }
    Ok(found)
}

/// The named provider; without a name Amazon, unless there is an endpoint.
fn provider(name: Option<&str>, endpoint: bool) -> Result<&'static Provider, AddressError> {
    match name {
        None if endpoint => Ok(&ANY),
        None => Ok(&AMAZON),
        Some(name) => PROVIDERS.iter().find(|provider| provider.name == name).ok_or_else(|| {
            let names: Vec<_> = PROVIDERS.iter().map(|provider| provider.name).collect();
            bad("provider", name, format!("there are {}; for others write `endpoint=https://...`", names.join(", ")))
        }),
    }
}

fn checked_endpoint(endpoint: &str) -> Result<String, AddressError> {
    let wrong = || bad("endpoint", endpoint, "write https://HOST or http://HOST:PORT, without a path");
    let (scheme, host) = endpoint.split_once("://").unwrap_or(("https", endpoint));
    let host = host.trim_end_matches('/');
    let fine = ["http", "https"].contains(&scheme) && !host.is_empty() && !host.contains('/');
    if fine { Ok(format!("{scheme}://{host}")) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(rest: &str) -> Bucket {
        Bucket::parse(rest, &Defaults::default()).unwrap()
    }

    fn error(rest: &str) -> String {
        Bucket::parse(rest, &Defaults::default()).unwrap_err().to_string()
    }

    #[test]
    fn providers_say_endpoint_region_and_style() {
        for (url, endpoint, region, virtual_style) in [
            ("bkt/a?region=eu-central-1", "https://s3.eu-central-1.amazonaws.com", "eu-central-1", true),
            ("bkt/a?provider=aws&region=us-east-2", "https://s3.us-east-2.amazonaws.com", "us-east-2", true),
            ("bkt/a?provider=b2&region=us-west-004", "https://s3.us-west-004.backblazeb2.com", "us-west-004", false),
            ("bkt?provider=wasabi&region=eu-central-1", "https://s3.eu-central-1.wasabisys.com", "eu-central-1", false),
            ("bkt?provider=wasabi", "https://s3.us-east-1.wasabisys.com", "us-east-1", false),
            ("bkt?provider=r2&account=0123ab", "https://0123ab.r2.cloudflarestorage.com", "auto", false),
            ("bkt?provider=storj", "https://gateway.storjshare.io", "us-east-1", false),
            ("bkt?provider=garage", "http://localhost:3900", "garage", false),
            ("bkt?provider=garage&endpoint=https://s3.home.arpa", "https://s3.home.arpa", "garage", false),
            ("bkt?provider=minio", "http://localhost:9000", "us-east-1", false),
            ("bkt?endpoint=ceph.example:7480&style=virtual", "https://ceph.example:7480", "us-east-1", true),
            ("bkt?endpoint=http://[::1]:80/", "http://[::1]:80", "us-east-1", false),
        ] {
            let bucket = parse(url);
            assert_eq!((bucket.endpoint(), bucket.region(), bucket.is_virtual_style()), (endpoint, region, virtual_style), "{url}");
        }
    }

    #[test]
    fn what_a_service_cannot_do_is_known_and_can_be_overruled() {
        let b2 = parse("bkt?provider=b2&region=us-west-004");
        assert_eq!((b2.checksum(), b2.conditional_writes()), (Checksum::Md5, false));
        let told = parse("bkt?provider=b2&region=r&checksum=none&conditionalWrites=true&listingLag=30&storageClass=STANDARD_IA");
        assert_eq!((told.checksum(), told.conditional_writes()), (Checksum::None, true));
        assert_eq!((told.listing_lag(), told.storage_class()), (Duration::from_secs(30), Some("STANDARD_IA")));
    }

    #[test]
    fn a_bucket_is_written_as_it_can_be_read() {
        for url in ["bkt", "bkt/a/b"] {
            let text = format!("s3://{url}?endpoint=http://localhost:1&region=x&style=path");
            assert_eq!(parse(text.strip_prefix("s3://").unwrap()).to_string(), text);
        }
    }

    #[test]
    fn the_machine_says_what_the_url_leaves_open() {
        let defaults = Defaults { endpoint: Some("http://localhost:3900".into()), region: Some("garage".into()) };
        let bucket = Bucket::parse("bkt", &defaults).unwrap();
        assert_eq!((bucket.endpoint(), bucket.region(), bucket.is_virtual_style()), ("http://localhost:3900", "us-east-1", false));
        let named = Bucket::parse("bkt?provider=b2&region=r", &defaults).unwrap();
        assert_eq!(named.endpoint(), "https://s3.r.backblazeb2.com");
    }

    #[test]
    fn secrets_are_refused_and_not_repeated() {
        for url in ["AKIA:hidden@bkt/a", "bkt?access_key_id=hidden", "bkt?secretAccessKey=hidden", "bkt?session_token=hidden"] {
            let text = error(url);
            assert!(text.contains("--credentials-file") && !text.contains("hidden"), "{text}");
        }
        assert!(!error("bkt?endpoint=https://user:hidden@host").contains("hidden"));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for (url, part) in [
            ("", "s3://BUCKET/PREFIX"),
            ("/a", "s3://BUCKET/PREFIX"),
            ("Bkt", "lower-case"),
            ("bkt/a//b", "prefix"),
            ("bkt/../b", "prefix"),
            ("bkt?regoin=a", "storageClass"),
            ("bkt?region=a&region=b", "twice"),
            ("bkt?region=a&style=host", "`path` or `virtual`"),
            ("bkt?provider=dropbox", "b2, wasabi"),
            ("bkt?provider=b2", "`region` is missing"),
            ("bkt", "`region` is missing"),
            ("bkt?provider=r2", "account"),
            ("bkt?endpoint=ftp://a", "https://HOST"),
            ("bkt?endpoint=https://a/path", "without a path"),
            ("bkt?region=a&listingLag=x", "seconds"),
        ] {
            let text = error(url);
            assert!(text.contains(part), "{url}: {text}");
        }
    }
}
