//! Dumps in directory format: several connections read or write at once, and so need a directory.
//!
//! ```text
//!   pg_dump --jobs --> scratch directory --> a stream for each file: @postgresql/<name>.dir/<file>
//!   snapshot --> scratch directory --> pg_restore --jobs
//! ```
//!
//! The programs get the directory as their standard input and reach it as `/proc/self/fd/0`: they often run as another user,
//! to whom the path to it, such as our state directory, is closed.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;
use std::sync::Arc;

use super::archive::{TableFile, tables_of_directory};
use super::{DIRECTORY, FOLDER_ENDING, Server, connection, file};
use crate::source::command::{CommandSource, Program};
use crate::source::database::rows::{RowCounts, TableRows};
use crate::source::database::scratch::Scratch;
use crate::source::database::tap::{Counted, CountsFile, Ledger, Tally};
use crate::source::database::{Dump, counts_name, file_name};
use crate::source::metadata;
use crate::source::stream::{FileSource, StreamSource, VirtualFile, regular_file};

/// The dump's name in the scratch directory, and the file with its table of contents.
const NAME: &str = "dump";
const CONTENTS: &str = "toc.dat";
/// Largest table of contents, in bytes: some hundred for each table, index and function.
const CONTENTS_MOST: u64 = 256 << 20;
/// The same as the programs see it.
const SEEN: &str = "/proc/self/fd/0/dump";

impl Server {
    /// The program that writes a database's dump into `scratch`; it has no output.
    ///
    /// # Errors
    /// If the password cannot be read, or the directory not be passed on.
    pub fn dump_directory(&self, database: &str, parallel: u16, scratch: &Scratch) -> io::Result<CommandSource> {
        let dump = self.program(
            "pg_dump",
            &[
                "--format=directory",
                "--compress=0",
                &format!("--jobs={parallel}"),
                &format!("--file={SEEN}"),
                &format!("--dbname={}", connection(database)),
            ],
        )?;
        Ok(CommandSource::from(Program { input: Some(scratch.handle()?), ..dump }))
    }

    /// The streams of the dump that the program of [`Self::dump_directory`] has written.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn files_of_directory(&self, database: &str, scratch: &Scratch, row_counts: bool) -> io::Result<Dump> {
        let folder = scratch.path().join(NAME);
        // The user as whom the program ran may put anything there, also in the directory's own place.
        let opened = Arc::new(metadata::open_dir(&folder)?);
        let mut names = fs::read_dir(&folder)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>()?;
        names.sort();
        let mut contents = Vec::new();
        regular_file(&*opened, CONTENTS.as_bytes())?.take(CONTENTS_MOST + 1).read_to_end(&mut contents)?;
        if contents.len() as u64 > CONTENTS_MOST {
            return Err(io::Error::other(format!("the dump's table of contents is larger than {CONTENTS_MOST} bytes")));
        }
        let (tables, unknown) = match tables_of_directory(&contents) {
            Ok(tables) => (tables, None),
            Err(why) => (HashMap::new(), Some(why)),
        };
        let missing = tables.keys().find(|name| names.binary_search_by(|there| there.as_bytes().cmp(name.as_bytes())).is_err());
        if let Some(name) = missing {
            return Err(io::Error::other(format!("the dump lacks its file {name}")));
        }
        let ledger = Ledger::new(names.len());
        let mut files = Vec::new();
        for (part, name) in names.into_iter().enumerate() {
            let source = Arc::new(FileSource { folder: Arc::clone(&opened), name: name.as_bytes().to_vec() });
            let table = tables.get(&*name.to_string_lossy()).cloned();
            let unknown = unknown.clone();
            let tally = move || -> Box<dyn Tally> {
                match &table {
                    Some(table) => Box::new(TableFile::new(table.clone())),
                    None => Box::new(Nothing(unknown.clone())),
                }
            };
            let source: Arc<dyn StreamSource> = Arc::new(Counted::new(source, Arc::clone(&ledger), part, tally));
            files.push(VirtualFile {
                path: vec![DIRECTORY.into(), file_name(database, FOLDER_ENDING), name.into_vec()],
                source,
                required: false,
            });
        }
        if row_counts {
            files.push(file(counts_name(database, FOLDER_ENDING), Arc::new(CountsFile::new(Arc::clone(&ledger)))));
        }
        Ok(Dump { files, ledger })
    }

    /// Bytes that a database takes on the server.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub fn size(&self, database: &str) -> io::Result<u64> {
        let answer = self.ask(&connection(database), "select pg_database_size(current_database())")?;
        let size = answer.first().and_then(|size| size.parse().ok());
        size.ok_or_else(|| io::Error::other(format!("the server does not say how large `{database}` is")))
    }
}

/// A file without rows.
struct Nothing(Option<String>);

impl Tally for Nothing {
    fn take(&mut self, _: &[u8]) {}

    fn end(self: Box<Self>) -> io::Result<RowCounts> {
        Ok(self.0.map_or(RowCounts::Tables(Vec::<TableRows>::new()), RowCounts::Unknown))
    }
}

/// A dump that is put together again in a scratch directory.
pub struct RestoreFrom<'a> {
    scratch: &'a Scratch,
    folder: PathBuf,
}

impl<'a> RestoreFrom<'a> {
    /// An empty one.
    ///
    /// # Errors
    /// If its directory cannot be made.
    pub fn new(scratch: &'a Scratch) -> io::Result<Self> {
        let folder = scratch.path().join(NAME);
        fs::create_dir(&folder)?;
        scratch.give(&fs::File::open(&folder)?)?;
        Ok(Self { scratch, folder })
    }

    /// Where to write a file of the dump.
    ///
    /// # Errors
    /// If that is not the name of a file.
    pub fn place(&self, name: &[u8]) -> io::Result<PathBuf> {
        if name.is_empty() || name == b"." || name == b".." || name.contains(&b'/') || name.contains(&0) {
            return Err(io::Error::other("a dump in directory format has only files"));
        }
        Ok(self.folder.join(std::ffi::OsString::from_vec(name.to_vec())))
    }

    /// Restores it into a database, with so many connections at once.
    ///
    /// # Errors
    /// If the program fails.
    pub fn restore(&self, server: &Server, database: &str, parallel: u16, option: Option<&str>) -> io::Result<()> {
        if !server.through.is_empty() {
            return Err(io::Error::other(
                "a dump in directory format lies on this machine; restore it with tools that run here, without --through",
            ));
        }
        let into = format!("--dbname={}", connection(database));
        let jobs = format!("--jobs={parallel}");
        let mut arguments = vec![into.as_str(), "--exit-on-error", &jobs];
        arguments.extend(option);
        arguments.extend(["--format=directory", SEEN]);
        let restore = server.program("pg_restore", &arguments)?;
        Program { input: Some(self.scratch.handle()?), ..restore }.output(1 << 20).map(drop)
    }
}
