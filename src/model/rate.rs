//! Rates as people write them: a size that is one second's, such as `2MB`.

use super::size::{SizeError, parse_size};

/// Bytes a second below which a rate must have a unit: nobody means bytes, and with so few no backup ever ends.
pub const SLOWEST_WITHOUT_UNIT: u64 = 1000;

/// What is no rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RateError {
    /// Not even a size.
    #[error(transparent)]
    Size(#[from] SizeError),
    /// Nothing would ever move.
    #[error("must be at least one byte a second; leave it out for no limit")]
    Nothing,
    /// So few bytes that a unit was forgotten.
    #[error("that is {0} bytes a second; write the unit, such as `{0}kB`, `{0}MB` or `{0}MiB`")]
    NoUnit(u64),
}

/// Reads a rate, in bytes a second.
///
/// # Errors
/// If it is not a size, nothing at all, or so few bytes that a unit was forgotten.
pub fn parse_rate(text: &str) -> Result<u64, RateError> {
    let bytes = parse_size(text)?;
    let has_unit = text.trim_end().ends_with(|last: char| last.is_ascii_alphabetic());
    if has_unit && bytes > 0 { Ok(bytes) } else { plain_rate(bytes) }
}

/// A rate that was given as a number alone, in bytes a second.
///
/// # Errors
/// If it is nothing at all, or so few bytes that a unit was forgotten.
pub fn plain_rate(bytes: u64) -> Result<u64, RateError> {
    match bytes {
        0 => Err(RateError::Nothing),
        1..SLOWEST_WITHOUT_UNIT => Err(RateError::NoUnit(bytes)),
        _ => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_of_a_few_bytes_has_forgotten_its_unit() {
        assert_eq!(
            ["2MB", "2MiB", "500kB", "1000", "10B", "1000.0"].map(|text| parse_rate(text).unwrap()),
            [2_000_000, 2 << 20, 500_000, 1000, 10, 1000]
        );
        for (text, number) in [("2", 2), (" 999 ", 999), ("7.", 7), ("2.0", 2)] {
            let error = parse_rate(text).unwrap_err();
            assert_eq!(error, RateError::NoUnit(number));
            assert!(error.to_string().contains(&format!("`{number}MB`")), "{error}");
        }
        for text in ["0", "0kB", "0.0001k"] {
            assert_eq!(parse_rate(text), Err(RateError::Nothing), "{text}");
        }
        assert!(parse_rate("much").unwrap_err().to_string().contains("not a size"));
    }
}
