//! SQLite databases among the restored files.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::Run;
use super::assertion::judge_lines;
use crate::config::{DrillAmount, DrillSqlite};
use crate::drill::{DrillError, files, note};
use crate::model::report::{DrillFigures, TestOutcome};
use crate::source::database::sqlite::{self, Depth, Integrity, MAGIC};

impl Run<'_> {
    /// Opens them: an integrity check each, and the user's assertions.
    pub(super) fn sqlite(&self, wanted: &DrillSqlite, figures: &mut DrillFigures) -> Result<(), DrillError> {
        self.tell("sqlite");
        let tree = self.tree();
        let mut paths: Vec<PathBuf> = wanted.databases.iter().map(PathBuf::from).collect();
        if wanted.discover {
            let found = discover(&tree).map_err(|error| DrillError::place("look into", &tree, error))?;
            paths.extend(found.into_iter().filter(|path| !wanted.databases.iter().any(|named| Path::new(named) == path)));
        }
        if wanted.discover && paths.is_empty() {
            let text = "none of the files that were restored is a database".to_owned();
            let everything = matches!(self.options.drill.amount, DrillAmount::Everything);
            let outcome = if everything { TestOutcome::Failed } else { TestOutcome::Inconclusive };
            figures.test("sqlite".to_owned(), outcome, text);
        }
        for path in paths {
            self.go_on()?;
            let name = format!("sqlite {}", path.display());
            let lies = tree.join(path.strip_prefix("/").unwrap_or(&path));
            let checked = self.check(&lies, &tree);
            let sound = checked.is_ok();
            note(figures, &name, checked);
            for (rank, query) in wanted.assertions.get(&*path.to_string_lossy()).into_iter().flatten().enumerate().filter(|_| sound) {
                self.go_on()?;
                let answer = sqlite::ask(&lies, query, &|| self.is_to_stop()).map_err(|error| error.to_string());
                note(figures, format!("{name}: assertion {}", rank + 1), judge_lines(query, answer));
            }
        }
        Ok(())
    }

    /// Whether a restored file is a sound database.
    fn check(&self, path: &Path, tree: &Path) -> Result<String, String> {
        if !path.symlink_metadata().is_ok_and(|metadata| metadata.is_file()) {
            return Err("the snapshot has no such file".into());
        }
        // A directory on the way may be a link that leads out of what was restored.
        let within = path.canonicalize().ok().zip(tree.canonicalize().ok()).is_some_and(|(path, tree)| path.starts_with(tree));
        if !within {
            return Err("a link on its way leads elsewhere; give its path without links".into());
        }
        if !begins_like_one(path) {
            return Err("is not a SQLite database".into());
        }
        match sqlite::check(path, Depth::Full, &|| self.is_to_stop()) {
            Ok(Integrity::Failed { findings }) => Err(files::named(&findings)),
            Ok(_) => Ok("integrity_check finds nothing".into()),
            Err(error) => Err(error.to_string()),
        }
    }
}

fn begins_like_one(path: &Path) -> bool {
    let mut header = [0; MAGIC.len()];
    let opened = File::options().read(true).custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK).open(path);
    opened.and_then(|mut file| file.read_exact(&mut header)).is_ok() && header == *MAGIC
}

/// All files that begin as a database does, by their paths in the snapshot, sorted.
fn discover(tree: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut pending = vec![tree.to_owned()];
    while let Some(folder) = pending.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                pending.push(entry.path());
            } else if kind.is_file() && begins_like_one(&entry.path()) {
                found.extend(entry.path().strip_prefix(tree).map(|path| Path::new("/").join(path)));
            }
        }
    }
    found.sort();
    Ok(found)
}
