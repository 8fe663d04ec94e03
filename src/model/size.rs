//! Sizes as people write them: `64MiB`, `10G`, `500k`, plain bytes.

use super::span::split;

/// Text that is not a size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a size: {problem}; write for example `64MiB`, `10G`, `500k` or a number of bytes")]
pub struct SizeError {
    text: String,
    problem: String,
}

/// Reads a size, in bytes. `k`, `M`, `G`, `T`, `P` and `KiB`, `MiB`... are powers of 1024; `kB`, `MB`... are powers of 1000. Upper and
/// lower case are the same, and a fraction such as `1.5G` is rounded down to bytes.
///
/// # Errors
/// If there is no number, the unit is unknown, or the size does not fit 64 bits.
pub fn parse_size(text: &str) -> Result<u64, SizeError> {
    parse(text.trim()).map_err(|problem| SizeError { text: text.chars().take(80).collect(), problem })
}

fn parse(text: &str) -> Result<u64, String> {
    let (whole, rest) = split(text, |c| c.is_ascii_digit());
    if whole.is_empty() {
        return Err("it does not start with a digit".to_owned());
    }
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => split(rest, |c| c.is_ascii_digit()),
        None => ("0", rest),
    };
    let unit = scale(rest.trim_start())?;
    if unit == 1 && fraction.contains(|digit| digit != '0') {
        return Err("bytes are not divisible".to_owned());
    }
    bytes(whole, fraction, unit).ok_or_else(|| "it is too large".to_owned())
}

/// `whole.fraction` times `unit`, if it fits; digits of the fraction after the eighteenth do not count.
fn bytes(whole: &str, fraction: &str, unit: u64) -> Option<u64> {
    let digits = &fraction[..fraction.len().min(18)];
    let parts = if digits.is_empty() { 0 } else { digits.parse::<u64>().ok()? };
    let fraction = u128::from(parts) * u128::from(unit) / 10_u128.pow(u32::try_from(digits.len()).ok()?);
    whole.parse::<u64>().ok()?.checked_mul(unit)?.checked_add(u64::try_from(fraction).ok()?)
}

fn scale(unit: &str) -> Result<u64, String> {
    let lower = unit.to_ascii_lowercase();
    let unknown = || format!("there is no unit `{unit}`");
    let mut letters = lower.chars();
    let power = match letters.next() {
        None => return Ok(1),
        Some('b') if lower == "b" => return Ok(1),
        Some(letter) => "kmgtp".find(letter).ok_or_else(unknown)?,
    };
    let base: u64 = match letters.as_str() {
        "" | "i" | "ib" => 1024,
        "b" => 1000,
        _ => return Err(unknown()),
    };
    Ok((0..=power).fold(1, |scale, _| scale * base))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, expected) in [
            ("0", 0),
            ("4096", 4096),
            ("12B", 12),
            ("500k", 512_000),
            ("500kB", 500_000),
            ("1K", 1024),
            ("64MiB", 64 << 20),
            ("64 mib", 64 << 20),
            ("64MB", 64_000_000),
            ("10G", 10 << 30),
            ("1.5G", 3 << 29),
            ("1.G", 1 << 30),
            ("0.3k", 307),
            ("2T", 2 << 40),
            ("1Pi", 1 << 50),
            (" 7 ", 7),
            ("1.0", 1),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(parse_size(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn errors_say_what_was_wrong_and_give_an_example() {
        for (text, problem) in [
            ("", "digit"),
            ("M", "digit"),
            ("-1", "digit"),
            ("10X", "no unit `X`"),
            ("10MiBs", "no unit `MiBs`"),
            ("10bb", "no unit `bb`"),
            ("1,5G", "no unit `,5G`"),
            ("1.5", "divisible"),
            ("99999999999999999999", "too large"),
            ("20000P", "too large"),
        ] {
            let error = parse_size(text).unwrap_err().to_string();
            assert!(error.contains(&format!("`{text}` is not a size")) && error.contains(problem), "{error}");
            assert!(error.contains("`64MiB`"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_gives_a_size_or_an_error(text in "[0-9]{0,25}[.]?[0-9]{0,25}[kKMGTPiBb]{0,3}|\\PC{0,12}") {
            let _ = parse_size(&text);
        }

        #[test]
        fn plain_bytes_are_exact(bytes: u64) {
            prop_assert_eq!(parse_size(&bytes.to_string()).unwrap(), bytes);
        }
    }
}
