//! `stats --cost`: what a repository costs in a bucket, or would.

use std::path::PathBuf;
use std::time::SystemTime;

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::progress::grouped;
use crate::cli::render::table::{Align, Table};
use crate::cli::render::text;
use crate::job::cost::{BUILT_IN, Bill, Prices, Usage, conditions};
use crate::model::human;
use crate::store::Requests;

/// What is estimated.
#[derive(Debug, Args)]
pub struct Cost {
    /// Estimate a month's bill of the repository in a bucket, from a table of prices in this program; needs no key
    #[arg(long)]
    pub cost: bool,

    /// --cost: only at this service, such as b2; else at all of them, or where the repository lies
    #[arg(long = "as", value_name = "PROVIDER", requires = "cost")]
    provider: Option<String>,

    /// --cost: a table of prices to use instead
    #[arg(long, value_name = "FILE", requires = "cost")]
    prices: Option<PathBuf>,

    /// --cost: print the table of prices, to make one of your own from it
    #[arg(long, requires = "cost")]
    print_prices: bool,
}

#[derive(Serialize)]
struct Report {
    repository: String,
    /// When the prices were known, and from where.
    prices: String,
    bytes: u64,
    objects: u64,
    backups_a_month: u64,
    requests_a_month: Requests,
    restore_bytes: u64,
    bills: Vec<Bill>,
}

impl Cost {
    /// Runs the command.
    ///
    /// # Errors
    /// If the prices cannot be used, or the repository cannot be read.
    pub fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let text = match &self.prices {
            Some(file) => std::fs::read_to_string(file).with_context(|| format!("cannot read the prices in {}", file.display()))?,
            None => BUILT_IN.to_owned(),
        };
        if self.print_prices {
            context.console.print(&text)?;
            return Ok(Exit::Done);
        }
        let prices = match &self.prices {
            Some(file) => Prices::parse(&text).with_context(|| file.display().to_string())?,
            None => Prices::parse(&text)?,
        };
        let key = context.key()?;
        let repository = context.repository(key.as_ref())?;
        let usage = Usage::of(&repository, SystemTime::now())?;
        let own = context.bucket()?.and_then(|bucket| prices.of_bucket(&bucket));
        let wanted = match (&self.provider, own) {
            (Some(name), _) => vec![prices.of(name)?],
            (None, Some(own)) => vec![own],
            (None, None) => prices.providers.iter().collect(),
        };
        let report = Report {
            repository: repository.id().to_bech32(),
            prices: prices.known.clone(),
            bytes: usage.bytes(),
            objects: usage.sizes.len() as u64,
            backups_a_month: usage.backups,
            requests_a_month: usage.requests,
            restore_bytes: usage.restore,
            bills: wanted.iter().map(|price| Bill::of(&usage, price)).collect(),
        };
        context.document(&report)?;
        let notes = wanted.iter().filter_map(|price| Some(format!("{}: {}\n", price.title, conditions(price)?)));
        context.say(&render(&report, &notes.collect::<String>()))?;
        Ok(Exit::Done)
    }
}

fn render(report: &Report, notes: &str) -> String {
    let columns = [
        ("SERVICE", Align::Left),
        ("STORAGE", Align::Right),
        ("DELETED EARLY", Align::Right),
        ("REQUESTS", Align::Right),
        ("A MONTH", Align::Right),
        ("ONE RESTORE", Align::Right),
    ];
    let mut table = Table::new(&columns);
    for bill in &report.bills {
        let money = |amount: f64| format!("{amount:.2} {}", bill.currency);
        let amounts = [bill.storage, bill.deleted_early, bill.requests, bill.month, bill.restore].map(money);
        table.row([bill.title.clone()].into_iter().chain(amounts));
    }
    let rows = [
        ("Stored", format!("{} in {}", human::size(report.bytes), text::count(report.objects, "object"))),
        (
            "A month",
            format!(
                "{}, a check, a prune; {} requests",
                text::count(report.backups_a_month, "backup"),
                grouped(report.requests_a_month.total())
            ),
        ),
        ("A restore", format!("{} at most", human::size(report.restore_bytes))),
        ("Prices", report.prices.clone()),
    ];
    format!("{}\n{}{notes}", table.render(), text::fields(&rows))
}
