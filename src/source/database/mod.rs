//! Databases, saved as what their own tools dump, streamed without touching the disk unless that is asked for.

pub mod mariadb;
pub mod postgresql;
pub mod rows;
pub mod scratch;
pub mod sqlite;
pub mod tap;

use std::sync::Arc;

use crate::source::stream::VirtualFile;
use tap::Ledger;

/// A dump and what is learnt from it.
pub struct Dump {
    /// The files that it becomes.
    pub files: Vec<VirtualFile>,
    /// Its row counts.
    pub ledger: Arc<Ledger>,
}

/// A database's name as a file name: what a file name cannot hold is written as `%2F`.
pub fn file_name(database: &str, ending: &str) -> Vec<u8> {
    let mut name = String::new();
    for (place, character) in database.chars().enumerate() {
        match character {
            '/' | '%' | '\0'..='\x1f' => name.push_str(&format!("%{:02X}", u32::from(character))),
            '.' if place == 0 => name.push_str("%2E"),
            other => name.push(other),
        }
    }
    format!("{name}{ending}").into_bytes()
}

/// The database of which [`file_name`] makes such a name with this ending; none if it makes no such name of any.
pub fn database_name(file: &[u8], ending: &str) -> Option<String> {
    let escaped = std::str::from_utf8(file).ok()?.strip_suffix(ending).filter(|name| !name.is_empty())?;
    let mut name = String::new();
    let mut rest = escaped;
    while let Some((before, after)) = rest.split_once('%') {
        let code = after.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(u8::is_ascii)?;
        name.push_str(before);
        name.push(code.into());
        rest = after.get(2..)?;
    }
    name.push_str(rest);
    (file_name(&name, ending) == file).then_some(name)
}

/// The name of the file with the row counts of a dump: files are read in the order of their names, and it must come after the dump.
pub fn counts_name(database: &str, ending: &str) -> Vec<u8> {
    [&file_name(database, ending), rows::ENDING.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn files_that_are_no_dumps_are_of_no_database() {
        for file in ["globals.sql", ".dump", "a%zz.dump", "a%2.dump", "a%41.dump", "a.dump.rows.json", "%C3.dump"] {
            assert_eq!(database_name(file.as_bytes(), ".dump"), None, "{file}");
        }
    }

    proptest! {
        #[test]
        fn databases_of_two_names_have_two_files(name in "[a./%02EF\\x00-\\x1f ä-]{1,6}", other in "[a./%02EF\\x00-\\x1f ä-]{1,6}") {
            let file = String::from_utf8(file_name(&name, ".dump")).unwrap();
            prop_assert!(!file.contains('/') && !file.starts_with('.'));
            prop_assert_eq!(file.as_bytes() == file_name(&other, ".dump"), name == other);
            prop_assert_eq!(database_name(file.as_bytes(), ".dump"), Some(name.clone()));
            prop_assert!(counts_name(&name, ".dump") > file_name(&name, ".dump"), "or they would wait for each other");
        }
    }
}
