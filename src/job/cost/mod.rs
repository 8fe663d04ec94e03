//! What a repository costs in a bucket, or would cost if it were mirrored there: an estimate, without any key.
//!
//! ```text
//!   Repository --listing--> Usage (bytes, a month's requests) --+--> Bill
//!                                  Prices (table or file) ------+
//! ```

mod bill;
mod prices;
mod usage;

pub use bill::{Bill, conditions};
pub use prices::{BUILT_IN, Price, Prices, PricesError};
pub use usage::Usage;
