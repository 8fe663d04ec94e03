//! What services that rent buckets charge: a table in the program, which a file can replace.

use serde::{Deserialize, Serialize};

use crate::store::object::Bucket;

/// The table in the program.
pub const BUILT_IN: &str = include_str!("prices.json");

/// Prices of several services.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Prices {
    /// When they were known, and from where.
    pub known: String,
    /// The services.
    pub providers: Vec<Price>,
}

/// The prices of one service, in one currency. What is absent costs nothing, or is no limit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Price {
    /// In the command line; that of `provider=` in URLs where there is such.
    pub name: String,
    /// For people.
    pub title: String,
    /// The class of its objects, as URLs name it, if it is not the usual one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_class: Option<String>,
    /// Its three letters.
    pub currency: String,
    /// What the service takes a gigabyte for, in bytes.
    pub bytes_per_gb: u64,
    /// For each gigabyte and month.
    pub storage_per_gb: f64,
    /// Gigabytes that are free.
    #[serde(default)]
    pub free_gb: f64,
    /// The least that a month's storage costs.
    #[serde(default)]
    pub minimum_per_month: f64,
    /// What a smaller object is billed as, in bytes.
    #[serde(default)]
    pub minimum_bytes: u64,
    /// For how many days an object is billed that is deleted before.
    #[serde(default)]
    pub minimum_days: u32,
    /// For each object and month.
    #[serde(default)]
    pub per_object: f64,
    /// For a thousand requests that store.
    #[serde(default)]
    pub puts_per_1000: f64,
    /// For a thousand that read or look up.
    #[serde(default)]
    pub gets_per_1000: f64,
    /// For a thousand pages of listings.
    #[serde(default)]
    pub lists_per_1000: f64,
    /// For each gigabyte that is read at all, besides its way out.
    #[serde(default)]
    pub retrieval_per_gb: f64,
    /// For each gigabyte that leaves.
    #[serde(default)]
    pub egress_per_gb: f64,
    /// Gigabytes that leave for nothing each month.
    #[serde(default)]
    pub free_egress_gb: f64,
    /// How many times what is stored may leave for nothing each month.
    #[serde(default)]
    pub free_egress_share: f64,
}

/// Why a table of prices cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PricesError {
    /// It is no table, or holds fields that do not exist.
    #[error("it is no table of prices ({0}); --print-prices shows one")]
    Wrong(#[from] serde_json::Error),
    /// A figure that no price can be.
    #[error("`{field}` of `{provider}` is no price: it must be a number that is not negative, and a gigabyte at least a byte")]
    Figure {
        /// The service.
        provider: String,
        /// The field.
        field: &'static str,
    },
    /// A service that is not in the table.
    #[error("there are no prices of `{name}`; there are {known}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
}

impl Prices {
    /// Reads a table.
    ///
    /// # Errors
    /// If it is none, or a figure in it is no price.
    pub fn parse(text: &str) -> Result<Self, PricesError> {
        let prices: Self = serde_json::from_str(text)?;
        match prices.providers.iter().find_map(|price| Some((price, price.wrong_figure()?))) {
            Some((price, field)) => Err(PricesError::Figure { provider: price.name.clone(), field }),
            None => Ok(prices),
        }
    }

    /// The prices of the service that a bucket is at, in its storage class, if the table has them.
    pub fn of_bucket(&self, bucket: &Bucket) -> Option<&Price> {
        let service = bucket.provider()?;
        let class = bucket.storage_class().filter(|class| *class != "STANDARD");
        let of_service = |price: &&Price| price.name == service || price.name.starts_with(&format!("{service}-"));
        self.providers.iter().filter(of_service).find(|price| price.storage_class.as_deref() == class)
    }

    /// The prices of a service.
    ///
    /// # Errors
    /// If there are none.
    pub fn of(&self, name: &str) -> Result<&Price, PricesError> {
        self.providers.iter().find(|price| price.name == name).ok_or_else(|| {
            let known: Vec<_> = self.providers.iter().map(|price| price.name.as_str()).collect();
            PricesError::Unknown { name: name.to_owned(), known: known.join(", ") }
        })
    }
}

impl Price {
    fn wrong_figure(&self) -> Option<&'static str> {
        let figures = [
            ("storagePerGb", self.storage_per_gb),
            ("freeGb", self.free_gb),
            ("minimumPerMonth", self.minimum_per_month),
            ("perObject", self.per_object),
            ("putsPer1000", self.puts_per_1000),
            ("getsPer1000", self.gets_per_1000),
            ("listsPer1000", self.lists_per_1000),
            ("retrievalPerGb", self.retrieval_per_gb),
            ("egressPerGb", self.egress_per_gb),
            ("freeEgressGb", self.free_egress_gb),
            ("freeEgressShare", self.free_egress_share),
        ];
        let wrong = figures.iter().find(|(_, figure)| !figure.is_finite() || *figure < 0.0).map(|(field, _)| *field);
        wrong.or((self.bytes_per_gb == 0).then_some("bytesPerGb"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::object::Defaults;

    #[test]
    fn the_built_in_table_says_when_it_was_known_and_names_each_once() {
        let prices = Prices::parse(BUILT_IN).unwrap();
        assert!(prices.known.contains("general knowledge"));
        let mut names: Vec<_> = prices.providers.iter().map(|price| price.name.as_str()).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
        for name in ["b2", "wasabi", "r2", "storj", "aws", "aws-ia", "hetzner"] {
            assert!(prices.of(name).unwrap().storage_per_gb > 0.0);
        }
        assert!(prices.of("nobody").unwrap_err().to_string().contains("b2, wasabi"));
    }

    #[test]
    fn a_bucket_is_billed_by_its_service_and_class() {
        let prices = Prices::parse(BUILT_IN).unwrap();
        let of = |url: &str| {
            let bucket = Bucket::parse(url, &Defaults::default()).unwrap();
            prices.of_bucket(&bucket).map(|price| price.name.clone())
        };
        assert_eq!(of("bkt?provider=b2&region=us-west-004").as_deref(), Some("b2"));
        assert_eq!(of("bkt?region=eu-central-1").as_deref(), Some("aws"));
        assert_eq!(of("bkt?region=eu-central-1&storageClass=STANDARD_IA").as_deref(), Some("aws-ia"));
        assert_eq!(of("bkt?region=eu-central-1&storageClass=ONEZONE_IA"), None);
        assert_eq!(of("bkt?endpoint=https://s3.home.arpa"), None);
        assert_eq!(of("bkt?provider=garage"), None);
    }

    #[test]
    fn what_is_no_table_or_no_price_is_refused() {
        let with = |field: &str| {
            let price = format!(r#"{{ "name": "x", "title": "X", "currency": "EUR", "bytesPerGb": 1, "storagePerGb": 1, {field} }}"#);
            Prices::parse(&format!(r#"{{ "known": "today", "providers": [{price}] }}"#)).map_err(|error| error.to_string())
        };
        assert_eq!(with(r#""minimumDays": 30"#).unwrap().providers[0].minimum_days, 30);
        assert!(with(r#""egress": 1"#).unwrap_err().contains("--print-prices"));
        assert!(with(r#""egressPerGb": -1"#).unwrap_err().contains("`egressPerGb` of `x`"));
    }
}
