//! PostgreSQL: a dump in custom format for each database, uncompressed so that what does not change is stored once, and
//! the roles that belong to all of them (<https://www.postgresql.org/docs/current/backup-dump.html>).
//!
//! ```text
//!   @postgresql/databases.json  owner, encoding and locale of each
//!   @postgresql/globals.sql     pg_dumpall --globals-only
//!   @postgresql/version         of the server and of the tools
//!   @postgresql/<name>.dump     pg_dump --format=custom --compress=0
//!   @postgresql/<name>.dir/     or pg_dump --format=directory --jobs
//!   @postgresql/<name>.dump.rows.json  how many rows each table has in it, counted while it streams by
//! ```

pub mod archive;
pub mod directory;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;

use archive::Archive;

use super::tap::{Counted, CountsFile, Ledger};
use super::{Dump, counts_name, file_name};
use crate::source::command::{CommandSource, Program};
use crate::source::confined::Confined;
use crate::source::stream::{StreamSource, Text, VirtualFile};

/// The directory of the dumps in a snapshot.
pub const DIRECTORY: &str = "@postgresql";
/// What the dumps' names end with.
pub const ENDING: &str = ".dump";
/// What the name of a dump in directory format ends with.
pub const FOLDER_ENDING: &str = ".dir";
/// The file with roles and tablespaces.
pub const GLOBALS: &str = "globals.sql";

/// The file that describes the databases.
pub const DESCRIPTIONS: &str = "databases.json";

/// Fewer bytes than this are no dump: a custom-format dump of an empty database has more.
const LEAST: u64 = 500;
/// What the server says of its databases takes at most so many bytes.
const ANSWER: u64 = 16 << 20;

fn file(name: Vec<u8>, source: Arc<dyn StreamSource>) -> VirtualFile {
    VirtualFile { path: vec![DIRECTORY.into(), name], source, required: false }
}

/// How to reach a server.
#[derive(Debug, Clone, Default)]
pub struct Server {
    /// The system's user as whom the tools run.
    pub user: Option<String>,
    /// A host name or the directory of a socket.
    pub host: Option<String>,
    /// The port.
    pub port: Option<u16>,
    /// The database's user.
    pub username: Option<String>,
    /// A file with the password.
    pub password_file: Option<PathBuf>,
    /// Words before each of the tools, such as `docker exec -i NAME`.
    pub through: Vec<String>,
    /// How the tools are shut in on this machine, if they are.
    pub confined: Option<Confined>,
}

impl Server {
    /// One of PostgreSQL's programs, told how to reach the server.
    ///
    /// # Errors
    /// If the password cannot be read.
    pub fn program(&self, name: &str, arguments: &[&str]) -> io::Result<Program> {
        let mut command = self.through.clone();
        command.push(name.to_owned());
        let options =
            [("--host", self.host.clone()), ("--port", self.port.map(|port| port.to_string())), ("--username", self.username.clone())];
        command.extend(options.into_iter().filter_map(|(option, value)| value.map(|value| format!("{option}={value}"))));
        command.push("--no-password".into());
        command.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        let mut program = Program { user: self.user.clone(), confined: self.confined.clone(), ..Program::new(command) };
        if let Some(file) = &self.password_file {
            let named = |error: io::Error| io::Error::new(error.kind(), format!("the password file {}: {error}", file.display()));
            let password = std::fs::read_to_string(file).map_err(named)?;
            program.environment.push(("PGPASSWORD".into(), password.trim_end_matches('\n').to_owned()));
        }
        Ok(program)
    }

    /// What the server answers to a query, line by line.
    ///
    /// # Errors
    /// If it cannot be reached or refuses.
    pub fn ask(&self, database: &str, query: &str) -> io::Result<Vec<String>> {
        let source = self.program("psql", &["--no-psqlrc", "--tuples-only", "--no-align", "--quiet", "--command", query, database])?;
        Ok(source.output(ANSWER)?.lines().map(str::to_owned).filter(|line| !line.is_empty()).collect())
    }

    /// The server's version, and how its databases are made, as JSON: a list of [`Description`]s.
    fn describe(&self) -> io::Result<(String, String)> {
        let databases = "select coalesce(json_agg(json_build_object('name', datname, 'owner', pg_get_userbyid(datdba), \
                         'encoding', pg_encoding_to_char(encoding), 'collate', datcollate, 'ctype', datctype) order by datname), '[]')::text \
                         from pg_database where datallowconn and not datistemplate";
        // One question, as a client takes a while to start.
        let both = format!("select answer from (values (1, version()), (2, ({databases}))) as answers (place, answer) order by place");
        let lines = self.ask("postgres", &both)?;
        let (version, descriptions) = lines.split_first().ok_or_else(|| io::Error::other("the server does not tell its version"))?;
        Ok((version.clone(), descriptions.join("\n")))
    }

    /// Names of all databases that can be dumped.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub fn databases(&self) -> io::Result<Vec<String>> {
        self.ask("postgres", "select datname from pg_database where datallowconn and not datistemplate order by datname")
    }

    /// The streams that save what belongs to all databases.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub fn shared(&self, globals: bool) -> io::Result<Vec<VirtualFile>> {
        let (server, descriptions) = self.describe()?;
        let words = [self.through.as_slice(), &["pg_dump".into(), "--version".into()]].concat();
        let tools = Program { user: self.user.clone(), ..Program::new(words) }.output(ANSWER)?;
        let mut streams = vec![
            file(b"version".to_vec(), Arc::new(Text(format!("{server}\n{tools}")))),
            file(DESCRIPTIONS.into(), Arc::new(Text(descriptions))),
        ];
        if globals {
            let dump = self.program("pg_dumpall", &["--globals-only", "--database=postgres"])?;
            streams.push(file(GLOBALS.into(), Arc::new(CommandSource::from(Program { minimum_size: 1, ..dump }))));
        }
        Ok(streams)
    }

    /// The stream that saves a database, and its row counts' if there shall be some.
    ///
    /// # Errors
    /// If the password cannot be read.
    pub fn dump(&self, database: &str, row_counts: bool) -> io::Result<Dump> {
        let dump = self.program("pg_dump", &["--format=custom", "--compress=0", &format!("--dbname={}", connection(database))])?;
        let source = Arc::new(CommandSource::from(Program { minimum_size: LEAST, ..dump }));
        let ledger = Ledger::new(1);
        let counted = Counted::new(source, Arc::clone(&ledger), 0, || Box::<Archive>::default());
        let mut files = vec![file(file_name(database, ENDING), Arc::new(counted))];
        if row_counts {
            files.push(file(counts_name(database, ENDING), Arc::new(CountsFile::new(Arc::clone(&ledger)))));
        }
        Ok(Dump { files, ledger })
    }
}

/// How a database was made.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Description {
    /// Its name.
    pub name: String,
    /// The role that owns it.
    pub owner: String,
    /// Its encoding, such as `UTF8`.
    pub encoding: String,
    /// The locale that sorts.
    pub collate: String,
    /// The locale that knows letters.
    pub ctype: String,
}

/// A name as SQL has it: in double quotes.
pub fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as SQL has it: in single quotes.
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Roles and tablespaces without what concerns roles that are there already: a restore shall not change the passwords of a running server.
pub fn missing_globals(globals: &str, roles: &[String], tablespaces: &[String]) -> String {
    let is_there = |line: &str| {
        let of_role = line.strip_prefix("CREATE ROLE ").or_else(|| line.strip_prefix("ALTER ROLE ")).map(|rest| (rest, roles));
        let (rest, present) = of_role.or_else(|| Some((line.strip_prefix("CREATE TABLESPACE ")?, tablespaces)))?;
        let name = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once("\" ").map_or_else(|| quoted.trim_end_matches("\";"), |(name, _)| name).replace("\"\"", "\""),
            None => rest.split([' ', ';']).next().unwrap_or_default().to_owned(),
        };
        Some(present.contains(&name))
    };
    let kept = globals.lines().filter(|line| !is_there(line).unwrap_or(false));
    kept.flat_map(|line| [line, "\n"]).collect()
}

/// Roles and what belongs to them, without what is said of tablespaces.
pub fn without_tablespaces(globals: &str) -> String {
    let of_tablespace = |line: &str| {
        let verb = ["CREATE TABLESPACE ", "ALTER TABLESPACE ", "COMMENT ON TABLESPACE "].iter().any(|verb| line.starts_with(verb));
        verb || (line.starts_with("GRANT ") || line.starts_with("REVOKE ")) && line.contains(" ON TABLESPACE ")
    };
    globals.lines().filter(|line| !of_tablespace(line)).flat_map(|line| [line, "\n"]).collect()
}

/// A connection string: a name that looks like one would be taken for one.
pub fn connection(database: &str) -> String {
    format!("dbname='{}'", database.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_told_how_to_reach_the_server() {
        let folder = tempfile::tempdir().unwrap();
        let password = folder.path().join("password");
        std::fs::write(&password, "s3cret\n").unwrap();
        let server = Server {
            user: None,
            host: Some("/run/pg".into()),
            port: Some(5433),
            username: Some("backup".into()),
            password_file: Some(password.clone()),
            through: Vec::new(),
            confined: None,
        };
        let source = server.program("pg_dump", &["--format=custom"]).unwrap();
        assert_eq!(source.command, ["pg_dump", "--host=/run/pg", "--port=5433", "--username=backup", "--no-password", "--format=custom"]);
        assert_eq!(source.environment, [("PGPASSWORD".to_owned(), "s3cret".to_owned())]);
        std::fs::remove_file(&password).unwrap();
        let error = server.program("pg_dump", &[]).unwrap_err().to_string();
        assert!(error.contains("password file"), "{error}");
    }

    #[test]
    fn roles_that_are_there_are_left_as_they_are() {
        let globals = "SET x = 1;\nCREATE ROLE postgres;\nALTER ROLE postgres WITH SUPERUSER;\nCREATE ROLE \"odd \"\"one\";\n\
                       ALTER ROLE \"odd \"\"one\" WITH LOGIN PASSWORD 'x';\nCREATE ROLE app;\nALTER ROLE app WITH LOGIN;\nGRANT a TO b;\n";
        let kept = missing_globals(globals, &["postgres".into(), "odd \"one".into()], &[]);
        assert_eq!(kept, "SET x = 1;\nCREATE ROLE app;\nALTER ROLE app WITH LOGIN;\nGRANT a TO b;\n");
        assert_eq!(missing_globals(globals, &[], &[]), globals);
        let places = "CREATE TABLESPACE fast OWNER a LOCATION '/fast';\nCREATE TABLESPACE slow OWNER a LOCATION '/slow';\n";
        assert_eq!(missing_globals(places, &["slow".into()], &["fast".into()]), "CREATE TABLESPACE slow OWNER a LOCATION '/slow';\n");
    }

    #[test]
    fn globals_do_without_tablespaces() {
        let globals = "CREATE ROLE a;\nCREATE TABLESPACE fast OWNER a LOCATION '/fast';\nALTER TABLESPACE fast SET (x=1);\n\
                       GRANT CREATE ON TABLESPACE fast TO a;\nGRANT a TO b;\n";
        assert_eq!(without_tablespaces(globals), "CREATE ROLE a;\nGRANT a TO b;\n");
    }

    #[test]
    fn names_and_texts_are_quoted_for_sql() {
        assert_eq!(identifier("a\"b"), "\"a\"\"b\"");
        assert_eq!(literal("it's"), "'it''s'");
    }

    #[test]
    fn a_name_that_looks_like_a_connection_string_is_quoted() {
        assert_eq!(connection("it's host=evil\\"), "dbname='it\\'s host=evil\\\\'");
    }
}
