//! The user's own test: a command that looks at the restored files.

use std::fs;
use std::path::PathBuf;

use super::sandbox::{INSIDE, Rights, Sandbox};
use super::{Run, note, seconds};
use crate::config::Smoke;
use crate::job::{Timed, run_timed};
use crate::model::report::DrillFigures;
use crate::source::command::Program;

/// Names the directory that stands for `/` of the snapshot.
const TREE: &str = "HEARTH_TREE";
/// Bytes of what the command wrote that are told, from the end.
const TOLD: usize = 500;

impl Run<'_> {
    /// Runs the command.
    pub(super) fn smoke(&self, smoke: &Smoke, figures: &mut DrillFigures) {
        self.tell("smoke");
        note(figures, "smoke", self.attempt_smoke(smoke));
    }

    fn attempt_smoke(&self, smoke: &Smoke) -> Result<String, String> {
        let limit = smoke.timeout.0.to_duration().map_err(|error| error.to_string())?;
        let tree = self.tree();
        if !tree.is_dir() {
            fs::create_dir(&tree).map_err(|error| format!("cannot make {}: {error}", tree.display()))?;
        }
        let program = if smoke.sandbox { self.boxed(smoke, tree)? } else { bare(smoke, &tree) };
        let name = smoke.command.first().map_or("", String::as_str);
        let program = Program { shown: Some(name.to_owned()), ..program };
        let Timed { result, output, took, .. } = run_timed(program, &smoke.command.join(" "), limit, &|| self.is_to_stop());
        let said = last(&output);
        match result {
            Ok(()) if said.is_empty() => Ok(format!("succeeded in {}", seconds(took))),
            Ok(()) => Ok(format!("succeeded in {}: {said}", seconds(took))),
            Err(error) if said.is_empty() => Err(error.to_string()),
            Err(error) => Err(format!("{error}; it wrote: {said}")),
        }
    }

    fn boxed(&self, smoke: &Smoke, tree: PathBuf) -> Result<Program, String> {
        let mut readable = smoke.readable.clone();
        // A command of the user's own may lie anywhere.
        let own = smoke.command.first().map(PathBuf::from).filter(|program| program.is_absolute());
        readable.extend(own.filter(|program| program.is_file() && !smoke.readable.iter().any(|path| program.starts_with(path))));
        let sandbox = Sandbox {
            rights: Rights::Files,
            writable: tree,
            readable,
            secrets: self.options.secrets.clone(),
            path: self.options.path.clone(),
            environment: vec![(TREE.into(), INSIDE.into())],
        };
        sandbox.try_out()?;
        Ok(Program::new([sandbox.words()?, smoke.command.clone()].concat()))
    }
}

/// Any program of this machine, in the tree.
fn bare(smoke: &Smoke, tree: &std::path::Path) -> Program {
    let environment = vec![(TREE.to_owned(), tree.display().to_string())];
    Program { environment, directory: Some(tree.to_owned()), ..Program::new(smoke.command.clone()) }
}

/// The end of what was written, in one line.
fn last(output: &str) -> String {
    let text = output.trim();
    let from = text.ceil_char_boundary(text.len().saturating_sub(TOLD));
    text.get(from..).unwrap_or_default().replace('\n', " | ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_what_was_written_is_told_in_one_line() {
        assert_eq!(last("\na\nb\n"), "a | b");
        let long = last(&"ü".repeat(1000));
        assert!(long.len() <= TOLD && long.ends_with('ü'));
    }
}
