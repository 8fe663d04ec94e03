//! What stands behind the `?` of a path.

use crate::hub::repository::refusal;
use crate::store::hub::protocol::{Reason, Refusal};

/// The values of these names, in their order. Each may be there once; others are refused, as they would be misspelt ones.
pub(super) fn values<const N: usize>(query: &str, names: [&str; N]) -> Result<[Option<String>; N], Refusal> {
    let mut found = [const { None }; N];
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let known = names.iter().position(|known| *known == name);
        let place = known.and_then(|place| found.get_mut(place)).filter(|place| place.is_none());
        let place = place.ok_or_else(|| refusal(Reason::Malformed, format!("behind `?` there may be, each once: {}", names.join(", "))))?;
        *place = Some(decoded(value).ok_or_else(|| refusal(Reason::Malformed, format!("the value of `{name}` cannot be read")))?);
    }
    Ok(found)
}

/// A text in which `+` is a space and `%41` a byte.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut left = text.bytes();
    while let Some(byte) = left.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                let (high, low) = (digit(left.next()?)?, digit(left.next()?)?);
                u8::try_from(high * 16 + low).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_their_names_and_nothing_else_may_be_there() {
        let wanted = |query| values(query, ["host", "job"]);
        assert_eq!(wanted("").unwrap(), [None, None]);
        assert_eq!(wanted("job=a%20b+c&host=%C3%BC").unwrap(), [Some("ü".into()), Some("a b c".into())]);
        assert_eq!(wanted("host=&").unwrap(), [Some(String::new()), None]);
        for wrong in ["jobs=a", "job=a&job=b", "job=%", "job=%4", "job=%zz", "job=%ff", "=a"] {
            assert_eq!(wanted(wrong).unwrap_err().error, Reason::Malformed, "{wrong}");
        }
    }
}
