//! The text that Prometheus reads (<https://prometheus.io/docs/instrumenting/exposition_formats/>, version 0.0.4).

use std::fmt::Write as _;

/// The text, growing.
#[derive(Debug, Default)]
pub struct Page(String);

impl Page {
    /// All of it.
    pub fn into_text(self) -> String {
        self.0
    }

    /// A gauge, with a line for each of its labels that has a value; nothing if none has.
    pub fn gauge<T: AsRef<str>>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Vec<(&'static str, T)>, Option<f64>)>,
    ) {
        let mut begun = false;
        for (labels, value) in samples {
            let Some(value) = value else { continue };
            if !std::mem::replace(&mut begun, true) {
                let _ = writeln!(self.0, "# HELP hearth_backup_{name} {help}\n# TYPE hearth_backup_{name} gauge");
            }
            let labels: Vec<String> = labels.iter().map(|(label, text)| format!("{label}=\"{}\"", escaped(text.as_ref()))).collect();
            let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
            let _ = writeln!(self.0, "hearth_backup_{name}{labels} {value}");
        }
    }
}

/// A label's value between its quotes.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
