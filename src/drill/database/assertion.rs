//! What a user says must hold of a restored database: a query that gives one row with one value, true or a number other than 0.

/// Bytes of a query and of an answer that are told.
const TOLD: usize = 200;

/// Judges what a client of a server wrote.
pub(super) fn judge_lines(query: &str, answer: Result<Vec<String>, String>) -> Result<String, String> {
    let shown = short(query);
    match answer {
        Err(error) => Err(format!("{shown}: {error}")),
        Ok(lines) => match lines.as_slice() {
            [value] if holds(value) => Ok(format!("{shown}: {}", short(value))),
            [value] => Err(format!("{shown}: gives {}, which is neither true nor a number other than 0", short(value))),
            [] => Err(format!("{shown}: gives nothing, and must give one value")),
            lines => Err(format!("{shown}: gives {} rows, and must give one", lines.len())),
        },
    }
}

/// Whether a value means yes.
fn holds(value: &str) -> bool {
    let value = value.trim();
    ["t", "true"].iter().any(|word| value.eq_ignore_ascii_case(word))
        || value.parse::<f64>().is_ok_and(|number| number.is_finite() && number != 0.0)
}

fn short(text: &str) -> String {
    let text = text.trim();
    if text.len() <= TOLD { text.to_owned() } else { format!("{}…", text.get(..text.floor_char_boundary(TOLD)).unwrap_or_default()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_true_value_holds_and_nothing_else_does() {
        for value in ["t", "TRUE", "1", "-3", "0.5", " 17 "] {
            assert!(judge_lines("select x", Ok(vec![value.into()])).is_ok(), "{value}");
        }
        for value in ["f", "false", "0", "0.0", "-0", "", "NULL", "yes", "nan", "inf", "1|1", "t\tt"] {
            assert!(judge_lines("select x", Ok(vec![value.into()])).is_err(), "{value}");
        }
        assert!(judge_lines("q", Ok(vec![])).unwrap_err().contains("gives nothing"));
        assert!(judge_lines("q", Ok(vec!["1".into(), "1".into()])).unwrap_err().contains("2 rows"));
        assert!(judge_lines("q", Err("no such table".into())).unwrap_err().contains("no such table"));
    }
}
