//! From text to types, with errors that say where.

use serde::de::DeserializeOwned;

use super::Format;
use super::error::{ConfigError, advice};

/// Reads a text.
pub(super) fn parse<T: DeserializeOwned>(text: &str, format: Format, file: &str) -> Result<T, ConfigError> {
    let (line, path, why) = match format {
        Format::Json => {
            let mut input = serde_json::Deserializer::from_str(text);
            let read = serde_path_to_error::deserialize(&mut input);
            let read = read.map_err(|error| (error.path().to_string(), error.into_inner()));
            match read.and_then(|value| input.end().map(|()| value).map_err(|error| (String::new(), error))) {
                Ok(value) => return Ok(value),
                Err((path, error)) => (error.line(), path, without_place(&error.to_string())),
            }
        }
        Format::Toml => {
            let read = toml::Deserializer::parse(text).map_err(|error| (None, error)).and_then(|input| {
                serde_path_to_error::deserialize(input).map_err(|error| (Some(error.path().to_string()), error.into_inner()))
            });
            match read {
                Ok(value) => return Ok(value),
                Err((path, error)) => {
                    let start = error.span().map_or(0, |span| span.start);
                    (line_of(text, start), path.unwrap_or_default(), error.message().to_owned())
                }
            }
        }
    };
    let path = if path.is_empty() || path == "." { String::new() } else { format!("{path}: ") };
    let (why, advice) = explain(&why);
    Err(ConfigError::NotUnderstood { file: file.to_owned(), line: line.max(1), path, why, advice })
}

fn line_of(text: &str, position: usize) -> usize {
    text.bytes().take(position).filter(|byte| *byte == b'\n').count() + 1
}

/// serde_json ends its messages with " at line 3 column 5", which is told by us.
fn without_place(message: &str) -> String {
    message.rsplit_once(" at line ").map_or(message, |(what, _)| what).to_owned()
}

/// Replaces serde's list of all that would have been right by the one that was probably meant.
fn explain(message: &str) -> (String, String) {
    for (kind, called) in [("unknown field `", "unknown key"), ("unknown variant `", "unknown value")] {
        let Some((wrong, expected)) = message.strip_prefix(kind).and_then(|rest| rest.split_once('`')) else { continue };
        let known = expected.split('`').skip(1).step_by(2);
        return (format!("{called} `{wrong}`"), advice(wrong, known, "known are"));
    }
    (message.to_owned(), String::new())
}
