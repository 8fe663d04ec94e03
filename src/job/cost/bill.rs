//! A month's bill: what lies there, times prices.

use std::time::Duration;

use serde::Serialize;

use super::prices::Price;
use super::usage::{MONTH, Usage};

/// What a month costs at a service, and a restore. Money in the service's currency.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Bill {
    /// The service, as the table names it.
    pub provider: String,
    /// For people.
    pub title: String,
    /// Its three letters.
    pub currency: String,
    /// Of what lies there for a month.
    pub storage: f64,
    /// Of packs that prune deletes before they have been billed for as long as the service bills at least.
    pub deleted_early: f64,
    /// Of a month's requests.
    pub requests: f64,
    /// These together.
    pub month: f64,
    /// Of reading all of it once, requests and its way out; no part of the month.
    pub restore: f64,
}

impl Bill {
    /// The bill for a repository.
    pub fn of(usage: &Usage, price: &Price) -> Self {
        let gb = |bytes: u64| bytes as f64 / price.bytes_per_gb as f64;
        let stored = gb(usage.billed(price.minimum_bytes));
        let kept = (stored - price.free_gb).max(0.0) * price.storage_per_gb + usage.sizes.len() as f64 * price.per_object;
        let storage = kept.max(price.minimum_per_month);
        let least = Duration::from_secs(u64::from(price.minimum_days) * 86_400);
        let early = usage.doomed.iter().map(|(size, age)| {
            let months = least.saturating_sub(*age).as_secs_f64() / MONTH.as_secs_f64();
            gb((*size).max(price.minimum_bytes)) * price.storage_per_gb * months
        });
        // The sum of nothing is a negative zero.
        let deleted_early = early.fold(0.0, |sum: f64, one| sum + one);
        let asked = &usage.requests;
        let thousand = |count: u64| count as f64 / 1000.0;
        let requests = thousand(asked.put) * price.puts_per_1000
            + thousand(asked.get + asked.head) * price.gets_per_1000
            + thousand(asked.list) * price.lists_per_1000;
        let leaves = gb(usage.restore);
        let free = price.free_egress_gb + price.free_egress_share * gb(usage.bytes());
        let restore = (leaves - free).max(0.0) * price.egress_per_gb
            + leaves * price.retrieval_per_gb
            + thousand(usage.restore_gets) * price.gets_per_1000;
        Self {
            provider: price.name.clone(),
            title: price.title.clone(),
            currency: price.currency.clone(),
            storage,
            deleted_early,
            requests,
            month: storage + deleted_early + requests,
            restore,
        }
    }
}

/// For how many days an object is billed at least, in words; none if that is no matter.
pub fn conditions(price: &Price) -> Option<String> {
    let days = (price.minimum_days > 0).then(|| format!("an object is billed for {} days at least", price.minimum_days));
    let bytes = (price.minimum_bytes > 0).then(|| format!("as {} KiB at least", price.minimum_bytes / 1024));
    let words: Vec<String> = days.into_iter().chain(bytes).collect();
    (!words.is_empty()).then(|| words.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Requests;

    const GB: u64 = 1_000_000_000;

    fn price() -> Price {
        let text = r#"{ "name": "x", "title": "X", "currency": "EUR", "bytesPerGb": 1000000000, "storagePerGb": 0.01 }"#;
        serde_json::from_str(text).unwrap()
    }

    fn usage() -> Usage {
        let requests = Requests { put: 1000, get: 1500, head: 500, list: 3000, delete: 7 };
        Usage { sizes: vec![GB; 100], restore: 90 * GB, restore_gets: 1000, backups: 30, requests, doomed: Vec::new() }
    }

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-9, "{found} instead of {expected}");
    }

    #[test]
    fn storage_and_requests_make_the_month_and_a_restore_is_apart() {
        let price = Price { puts_per_1000: 5.0, gets_per_1000: 0.5, lists_per_1000: 2.0, egress_per_gb: 0.1, ..price() };
        let bill = Bill::of(&usage(), &price);
        near(bill.storage, 1.0);
        near(bill.requests, 5.0 + 2.0 * 0.5 + 3.0 * 2.0);
        near(bill.month, bill.storage + bill.requests);
        near(bill.restore, 9.0 + 0.5);
    }

    #[test]
    fn what_is_free_is_taken_off_and_the_least_is_billed() {
        near(Bill::of(&usage(), &Price { free_gb: 40.0, ..price() }).storage, 0.6);
        near(Bill::of(&usage(), &Price { free_gb: 400.0, ..price() }).storage, 0.0);
        near(Bill::of(&usage(), &Price { minimum_per_month: 5.0, ..price() }).storage, 5.0);
        near(Bill::of(&usage(), &Price { minimum_bytes: 2 * GB, per_object: 0.5, ..price() }).storage, 52.0);
        let egress = Price { egress_per_gb: 1.0, retrieval_per_gb: 0.1, ..price() };
        near(Bill::of(&usage(), &Price { free_egress_gb: 30.0, ..egress.clone() }).restore, 60.0 + 9.0);
        near(Bill::of(&usage(), &Price { free_egress_share: 0.5, ..egress }).restore, 40.0 + 9.0);
    }

    #[test]
    fn what_is_deleted_early_is_billed_to_the_end_of_its_least_time() {
        let days = |days: u64| Duration::from_secs(days * 86_400);
        let usage = Usage { doomed: vec![(10 * GB, days(30)), (10 * GB, days(100))], ..usage() };
        near(Bill::of(&usage, &price()).deleted_early, 0.0);
        near(Bill::of(&usage, &Price { minimum_days: 90, ..price() }).deleted_early, 10.0 * 0.01 * 2.0);
    }

    #[test]
    fn conditions_are_told_where_there_are_some() {
        assert_eq!(conditions(&price()), None);
        let price = Price { minimum_days: 30, minimum_bytes: 131_072, ..price() };
        assert_eq!(conditions(&price).unwrap(), "an object is billed for 30 days at least, as 128 KiB at least");
    }
}
