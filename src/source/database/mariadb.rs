//! MariaDB and MySQL: a dump of each database as SQL, in one transaction, and the users that belong to all of them
//! (<https://mariadb.com/kb/en/mariadb-dump/>, <https://dev.mysql.com/doc/refman/8.4/en/mysqldump.html>).
//!
//! ```text
//!   @mariadb/databases.json     character set and collation of each; @mysql/ for MySQL
//!   @mariadb/users.sql          users, roles and what they may do
//!   @mariadb/version            of the server and of the tools
//!   @mariadb/<name>.sql         mariadb-dump --single-transaction
//!   @mariadb/<name>.sql.rows.json  how many rows each table has in it, counted while it streams by
//! ```

pub mod events;
pub mod statements;
mod users;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::tap::{Counted, CountsFile, Ledger};
use super::{Dump, counts_name, file_name};
use crate::source::command::{CommandSource, Program};
use crate::source::confined::Confined;
use crate::source::stream::{StreamSource, Text, VirtualFile};
use statements::Statements;
pub use users::{Missing, missing_users};

/// What the dumps' names end with.
pub const ENDING: &str = ".sql";
/// The file with users, roles and grants.
pub const USERS: &str = "users.sql";
/// The file that describes the databases.
pub const DESCRIPTIONS: &str = "databases.json";

/// What a server says takes at most so many bytes.
const ANSWER: u64 = 16 << 20;
/// Largest row that the tools take; they allocate what they need.
const LARGEST_ROW: &str = "--max-allowed-packet=1G";
const CHARACTERS: &str = "--default-character-set=utf8mb4";
/// Databases that belong to the server itself, in the words of SQL.
const OWN: &str = "'information_schema', 'performance_schema', 'mysql', 'sys'";

/// Whose server it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Flavour {
    /// MariaDB.
    #[default]
    Mariadb,
    /// MySQL.
    Mysql,
}

impl Flavour {
    /// The directory of its dumps in a snapshot.
    pub fn directory(self) -> &'static str {
        match self {
            Flavour::Mariadb => "@mariadb",
            Flavour::Mysql => "@mysql",
        }
    }

    /// Names of the program that dumps, best first.
    fn dump_tools(self) -> [&'static str; 2] {
        match self {
            Flavour::Mariadb => ["mariadb-dump", "mysqldump"],
            Flavour::Mysql => ["mysqldump", "mariadb-dump"],
        }
    }

    /// Names of the client, best first.
    fn clients(self) -> [&'static str; 2] {
        match self {
            Flavour::Mariadb => ["mariadb", "mysql"],
            Flavour::Mysql => ["mysql", "mariadb"],
        }
    }
}

/// How to reach a server.
#[derive(Debug, Clone, Default)]
pub struct Address {
    /// Whose it is.
    pub flavour: Flavour,
    /// The system's user as whom the tools run; ours if absent.
    pub user: Option<String>,
    /// A host name.
    pub host: Option<String>,
    /// The port.
    pub port: Option<u16>,
    /// The server's socket.
    pub socket: Option<PathBuf>,
    /// The database's user.
    pub username: Option<String>,
    /// A file with the password.
    pub password_file: Option<PathBuf>,
    /// Words before each of the tools, such as `docker exec -i NAME`.
    pub through: Vec<String>,
    /// How the tools are shut in on this machine, if they are.
    pub confined: Option<Confined>,
}

/// A server, and the tools that were found for it.
#[derive(Debug, Clone)]
pub struct Server {
    address: Address,
    client: &'static str,
    dump: &'static str,
    /// What the dump tool says of itself.
    version: String,
}

impl Server {
    /// Finds the tools for a server.
    ///
    /// # Errors
    /// If there are none.
    pub fn find(address: Address) -> io::Result<Self> {
        let (client, _) = address.tool(address.flavour.clients())?;
        let (dump, version) = address.tool(address.flavour.dump_tools())?;
        Ok(Self { address, client, dump, version })
    }

    /// One of its programs, told how to reach the server.
    ///
    /// The password goes by the environment, which only the same user and root can read, and which ends with the program; a file for
    /// `--defaults-extra-file` would stay behind if we are killed.
    fn program(&self, name: &str, arguments: &[&str]) -> io::Result<Program> {
        let address = &self.address;
        let mut command = [address.through.as_slice(), &[name.to_owned()]].concat();
        let options = [
            ("--host", address.host.clone()),
            ("--port", address.port.map(|port| port.to_string())),
            ("--socket", address.socket.as_ref().map(|socket| socket.display().to_string())),
            ("--user", address.username.clone()),
        ];
        command.extend(options.into_iter().filter_map(|(option, value)| value.map(|value| format!("{option}={value}"))));
        command.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        let mut program = Program { user: address.user.clone(), confined: address.confined.clone(), ..Program::new(command) };
        if let Some(file) = &address.password_file {
            let named = |error: io::Error| io::Error::new(error.kind(), format!("the password file {}: {error}", file.display()));
            let password = std::fs::read_to_string(file).map_err(named)?;
            program.environment.push(("MYSQL_PWD".into(), password.trim_end_matches('\n').to_owned()));
        }
        Ok(program)
    }

    /// A client that reads SQL from its input and ends at the first error.
    ///
    /// # Errors
    /// If the password cannot be read.
    pub fn reader(&self, database: Option<&str>) -> io::Result<Program> {
        let database = database.map(|name| format!("--database={name}"));
        let mut arguments = vec!["--batch", CHARACTERS, LARGEST_ROW];
        arguments.extend(database.as_deref());
        self.program(self.client, &arguments)
    }

    /// What the server answers to statements, line by line; columns are separated by tabs.
    ///
    /// # Errors
    /// If it cannot be reached or refuses.
    pub fn ask(&self, database: Option<&str>, statements: &str) -> io::Result<Vec<String>> {
        let database = database.map(|name| format!("--database={name}"));
        let statements = format!("--execute={statements}");
        let mut arguments = vec!["--batch", "--raw", "--skip-column-names", CHARACTERS];
        arguments.extend(database.as_deref());
        arguments.push(&statements);
        Ok(self.program(self.client, &arguments)?.output(ANSWER)?.lines().map(str::to_owned).collect())
    }

    /// Answers to a query for names, each of whose columns is in hexadecimal.
    ///
    /// # Errors
    /// As [`Self::ask`], or if the answer is none.
    pub fn names(&self, query: &str) -> io::Result<Vec<Vec<String>>> {
        let lines = self.ask(None, query)?;
        let rows = lines.iter().map(|line| line.split('\t').map(text_of_hex).collect::<Option<Vec<_>>>());
        rows.collect::<Option<_>>().ok_or_else(|| io::Error::other("the server's answer is not understood"))
    }

    /// Names of all databases but the server's own.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub fn databases(&self) -> io::Result<Vec<String>> {
        Ok(self.descriptions()?.into_iter().map(|description| description.name).collect())
    }

    fn descriptions(&self) -> io::Result<Vec<Description>> {
        let query = format!(
            "select hex(schema_name), hex(default_character_set_name), hex(default_collation_name) from information_schema.schemata \
             where lower(schema_name) not in ({OWN}) order by schema_name"
        );
        let described = self.names(&query)?.into_iter().map(|row| match <[String; 3]>::try_from(row) {
            Ok([name, characters, collation]) => Ok(Description { name, characters, collation }),
            Err(_) => Err(io::Error::other("the server's list of databases is not understood")),
        });
        described.collect()
    }

    /// Tables that take no part in transactions, as database, table and engine: a dump has them as they are when it comes to them.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub fn not_transactional(&self) -> io::Result<Vec<[String; 3]>> {
        let query = format!(
            "select hex(t.table_schema), hex(t.table_name), hex(t.engine) from information_schema.tables t \
             left join information_schema.engines e on e.engine = t.engine where t.engine is not null \
             and coalesce(e.transactions, 'NO') <> 'YES' and lower(t.table_schema) not in ({OWN}) order by 1, 2"
        );
        Ok(self.names(&query)?.into_iter().filter_map(|row| row.try_into().ok()).collect())
    }

    /// The streams that save what belongs to all databases.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub fn shared(&self, users: bool) -> io::Result<Vec<VirtualFile>> {
        let server = self.ask(None, "select version()")?.join("\n");
        let descriptions = serde_json::to_string_pretty(&self.descriptions()?)?;
        let mut streams = vec![
            self.file(b"version".to_vec(), Arc::new(Text(format!("{server}\n{}", self.version)))),
            self.file(DESCRIPTIONS.into(), Arc::new(Text(descriptions))),
        ];
        if users {
            streams.push(self.file(USERS.into(), self.users()?));
        }
        Ok(streams)
    }

    /// The stream that saves a database, and its row counts' if there shall be some.
    ///
    /// # Errors
    /// If the password cannot be read.
    pub fn dump(&self, database: &str, row_counts: bool) -> io::Result<Dump> {
        let mut arguments = vec![
            "--single-transaction",
            "--quick",
            "--routines",
            "--events",
            "--triggers",
            "--hex-blob",
            "--comments",
            // The date would be new each day, and so would be what it is cut into.
            "--skip-dump-date",
            "--no-tablespaces",
            CHARACTERS,
            LARGEST_ROW,
        ];
        if !self.version.contains("MariaDB") {
            // Transaction numbers of the whole server have no place in one database's dump, and keep others from restoring it.
            arguments.push("--set-gtid-purged=OFF");
        }
        arguments.extend(["--", database]);
        let source = Arc::new(CommandSource::from(self.program(self.dump, &arguments)?));
        let ledger = Ledger::new(1);
        let counted = Counted::new(source, Arc::clone(&ledger), 0, || Box::<Statements>::default());
        let mut files = vec![self.file(file_name(database, ENDING), Arc::new(counted))];
        if row_counts {
            files.push(self.file(counts_name(database, ENDING), Arc::new(CountsFile::new(Arc::clone(&ledger)))));
        }
        Ok(Dump { files, ledger })
    }

    fn file(&self, name: Vec<u8>, source: Arc<dyn StreamSource>) -> VirtualFile {
        VirtualFile { path: vec![self.address.flavour.directory().into(), name], source, required: false }
    }
}

impl Address {
    /// The first of these tools that is there, and what it says of its version.
    fn tool(&self, names: [&'static str; 2]) -> io::Result<(&'static str, String)> {
        let version = |name: &str| {
            let words = [self.through.as_slice(), &[name.to_owned(), "--version".to_owned()]].concat();
            Program { user: self.user.clone(), confined: self.confined.clone(), ..Program::new(words) }.output(ANSWER)
        };
        let [best, other] = names;
        match version(best) {
            Ok(text) => Ok((best, text)),
            Err(first) => version(other).map(|text| (other, text)).map_err(|_| first),
        }
    }
}

/// How a database was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// Its name.
    pub name: String,
    /// The character set of new tables.
    pub characters: String,
    /// Their collation.
    pub collation: String,
}

/// A name as SQL has it: in backticks.
pub fn identifier(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A text as SQL has it, without any character that one must escape.
pub fn literal(text: &str) -> String {
    let digits: String = text.bytes().map(|byte| format!("{byte:02X}")).collect();
    format!("convert(x'{digits}' using utf8mb4)")
}

fn text_of_hex(digits: &str) -> Option<String> {
    let pairs = digits.as_bytes().chunks(2);
    let bytes: Option<Vec<u8>> = pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect();
    String::from_utf8(bytes?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_told_how_to_reach_the_server_and_never_see_the_password_among_their_arguments() {
        let folder = tempfile::tempdir().unwrap();
        let password = folder.path().join("password");
        std::fs::write(&password, "s3cret\n").unwrap();
        let address = Address {
            host: Some("db".into()),
            port: Some(3307),
            socket: Some("/run/s".into()),
            username: Some("backup".into()),
            password_file: Some(password),
            ..Address::default()
        };
        let server = Server { address, client: "mariadb", dump: "mariadb-dump", version: "MariaDB".into() };
        let program = server.program("mariadb", &["--batch"]).unwrap();
        assert_eq!(program.command, ["mariadb", "--host=db", "--port=3307", "--socket=/run/s", "--user=backup", "--batch"]);
        assert_eq!(program.environment, [("MYSQL_PWD".to_owned(), "s3cret".to_owned())]);
    }

    #[test]
    fn the_tools_of_either_make_serve_and_if_none_is_there_the_best_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let env =
            |path: &str| vec!["env".to_owned(), format!("PATH={}/{path}:/usr/bin:/bin", folder.path().display()), "sh".into(), "-c".into()];
        // A stand-in: `through` decides which of the names is there.
        let only =
            |name: &str| [env("x"), vec![format!("test $0 = {name} && echo $0 of tests || {{ echo no $0 >&2; exit 127; }}")]].concat();
        let found = |name: &str, flavour| Address { through: only(name), flavour, ..Address::default() };
        assert_eq!(found("mysqldump", Flavour::Mariadb).tool(Flavour::Mariadb.dump_tools()).unwrap().0, "mysqldump");
        assert_eq!(found("mariadb", Flavour::Mysql).tool(Flavour::Mysql.clients()).unwrap().0, "mariadb");
        let error = found("none", Flavour::Mysql).tool(Flavour::Mysql.dump_tools()).unwrap_err().to_string();
        assert!(error.contains("no mysqldump"), "{error}");
    }

    #[test]
    fn names_and_texts_are_quoted_for_sql() {
        assert_eq!(identifier("a`b"), "`a``b`");
        assert_eq!(literal("a'"), "convert(x'6127' using utf8mb4)");
        assert_eq!(text_of_hex("6127").as_deref(), Some("a'"));
        assert_eq!(text_of_hex("6"), Some("\u{6}".into()));
        assert_eq!(text_of_hex("zz"), None);
    }
}
