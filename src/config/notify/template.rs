//! Texts in which `{name}` stands for something that is known only when there is something to tell.
//!
//! Only `{` letters and `_` `}` is such a place, so that braces of JSON and of other languages mean what they always mean. `{{name}}` is `{name}` itself.

/// What can be put in, as the documentation lists it.
pub const PLACEHOLDERS: &[&str] = &[
    "bytes",
    "bytes_added",
    "bytes_read",
    "bytes_stored",
    "ended",
    "error",
    "event",
    "exit_status",
    "files",
    "host",
    "json",
    "kind",
    "name",
    "next",
    "outcome",
    "run",
    "seconds",
    "started",
    "text",
    "title",
    "unit",
    "warnings",
];

/// A part of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part<'a> {
    /// As it stands.
    Literal(&'a str),
    /// What `{name}` stands for.
    Place(&'a str),
}

/// The parts of a text, in their order.
pub fn parts(text: &str) -> Vec<Part<'_>> {
    let mut found = Vec::new();
    let (mut from, mut at) = (0, 0);
    let between = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
    while let Some(opening) = text.get(at..).and_then(|rest| rest.find('{')).map(|offset| at + offset) {
        let rest = between(opening + 1, text.len());
        let doubled = rest.starts_with('{');
        let inner = if doubled { between(opening + 2, text.len()) } else { rest };
        let length = inner.bytes().take_while(|byte| byte.is_ascii_lowercase() || *byte == b'_').count();
        let name = inner.get(..length).unwrap_or_default();
        let close = if doubled { "}}" } else { "}" };
        if name.is_empty() || !inner.get(length..).unwrap_or_default().starts_with(close) {
            at = opening + 1;
            continue;
        }
        found.push(Part::Literal(between(from, opening)));
        let end = opening + close.len() * 2 + length;
        found.push(if doubled { Part::Literal(between(opening + 1, end - 1)) } else { Part::Place(name) });
        (from, at) = (end, end);
    }
    found.push(Part::Literal(between(from, text.len())));
    found.retain(|part| *part != Part::Literal(""));
    found
}

/// The first place in a text that stands for nothing.
pub(super) fn unknown(text: &str) -> Option<&str> {
    parts(text).into_iter().find_map(|part| match part {
        Part::Place(name) if !PLACEHOLDERS.contains(&name) => Some(name),
        Part::Place(_) | Part::Literal(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Part::{Literal, Place};
    use super::*;

    #[test]
    fn only_words_in_braces_are_places() {
        assert_eq!(parts("{host}: {title}!"), [Place("host"), Literal(": "), Place("title"), Literal("!")]);
        assert_eq!(parts(r#"{"a": {"b": "{text}"}, "c": {}}"#), [Literal(r#"{"a": {"b": ""#), Place("text"), Literal(r#""}, "c": {}}"#)]);
        assert_eq!(
            parts("{{host}} {{host} {HOST} {host {{"),
            [Literal("{host}"), Literal(" {"), Place("host"), Literal(" {HOST} {host {{")]
        );
        assert_eq!(parts(""), []);
        assert_eq!((unknown("{host} {hots} {x"), unknown("{{hots}}")), (Some("hots"), None));
    }

    proptest! {
        #[test]
        fn a_text_without_doubled_braces_is_the_sum_of_its_parts(text in "[{}a_é\"]{0,20}") {
            let text = text.replace("{{", "{ ").replace("}}", "} ");
            let whole: String = parts(&text).into_iter().map(|part| match part {
                Literal(text) => text.to_owned(),
                Place(name) => format!("{{{name}}}"),
            }).collect();
            prop_assert_eq!(whole, text);
        }
    }
}
