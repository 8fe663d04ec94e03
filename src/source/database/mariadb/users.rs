//! Users, roles and what they may do: saved for all, brought back for those that a server misses.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use super::{ANSWER, CHARACTERS, Server};
use crate::source::stream::{StreamSource, Text};

/// Users that the server itself is.
const OWN: [&str; 4] = ["mariadb.sys", "mysql.infoschema", "mysql.session", "mysql.sys"];

impl Server {
    /// The stream of statements that make all users.
    ///
    /// # Errors
    /// As [`Server::ask`].
    pub(super) fn users(&self) -> io::Result<Arc<dyn StreamSource>> {
        let own = self.program(self.dump, &["--system=users", "--skip-dump-date", CHARACTERS])?;
        // Old tools, and those of MySQL, do not know the option.
        let text = own.output(ANSWER).or_else(|_| self.described_users())?;
        Ok(Arc::new(Text(text)))
    }

    /// The same as the server describes them.
    fn described_users(&self) -> io::Result<String> {
        let mut statements = String::from("/*!80017 set session print_identified_with_as_hex = 1 */;");
        for (user, host) in self.accounts()?.into_iter().filter(|(user, _)| !OWN.contains(&user.as_str())) {
            let account = format!("{}@{}", quoted(&user), quoted(&host));
            statements.push_str(&format!("show create user {account}; show grants for {account};"));
        }
        Ok(self.ask(None, &statements)?.into_iter().map(|line| format!("{line};\n")).collect())
    }

    /// Names and hosts of all users; of roles, where MariaDB has some, the host is empty.
    ///
    /// # Errors
    /// As [`Server::ask`].
    pub fn accounts(&self) -> io::Result<Vec<(String, String)>> {
        let query = "select hex(user), hex(host) from mysql.user order by user, host";
        let rows = self.names(query)?.into_iter().filter_map(|row| <[String; 2]>::try_from(row).ok());
        Ok(rows.map(|[user, host]| (user, host)).collect())
    }
}

fn quoted(name: &str) -> String {
    format!("'{}'", name.replace('\\', "\\\\").replace('\'', "''"))
}

/// Statements that make users.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// Those that make users and roles.
    pub accounts: Vec<String>,
    /// Those that give them their rights, which is possible only when the tables are there.
    pub rights: Vec<String>,
}

/// The statements of a dump of users that make those which are not among `present`: a restore shall not change the passwords of a running
/// server. Statements that are about no user, such as the dump's own settings, are left out.
pub fn missing_users(dump: &str, present: &[(String, String)]) -> Missing {
    let present: BTreeSet<(&str, &str)> = present.iter().map(|(user, host)| (user.as_str(), host.as_str())).collect();
    let lines = dump.lines().map(plain);
    let makes = |line: &str| {
        let account = account(line.strip_prefix("CREATE USER ").or_else(|| line.strip_prefix("CREATE ROLE "))?)?;
        let there = OWN.contains(&account.0.as_str()) || present.contains(&(account.0.as_str(), account.1.as_str()));
        (!there).then_some(account)
    };
    let missing: BTreeSet<(String, String)> = lines.clone().filter_map(makes).collect();
    let concerns = |line: &str| {
        let account = if let Some(rest) = line.strip_prefix("CREATE USER ").or_else(|| line.strip_prefix("CREATE ROLE ")) {
            account(rest)
        } else if line.starts_with("GRANT ") {
            // A name of a table may contain the word, so the last one that an account follows counts.
            line.rmatch_indices(" TO ").find_map(|(place, word)| account(line.get(place + word.len()..)?))
        } else if line.starts_with("SET DEFAULT ROLE ") {
            line.rmatch_indices(" FOR ").find_map(|(place, word)| account(line.get(place + word.len()..)?))
        } else {
            None
        };
        account.is_some_and(|account| missing.contains(&account))
    };
    // A role's administrator would be a role that only the dump's own script has.
    let kept = lines.filter(|line| concerns(line)).map(|line| line.split(" WITH ADMIN mariadb_dump_import_role").next().unwrap_or(line));
    let mut statements = Missing::default();
    for line in kept {
        let list = if line.starts_with("CREATE ") { &mut statements.accounts } else { &mut statements.rights };
        let statement = line.trim_end_matches([';', ' ']).to_owned();
        if !list.contains(&statement) {
            list.push(statement);
        }
    }
    statements
}

/// A line without the comment around it that is only for some servers.
fn plain(line: &str) -> &str {
    let Some(rest) = line.strip_prefix("/*M!1") else { return line };
    let statement = rest.split_once(' ').map_or(rest, |(_, statement)| statement);
    statement.trim_end_matches([';', ' ']).strip_suffix("*/").unwrap_or(statement).trim_end()
}

/// The account that a text begins with: a name, and after an `@` a host.
fn account(text: &str) -> Option<(String, String)> {
    let (user, rest) = name(text)?;
    match rest.strip_prefix('@') {
        Some(host) => Some((user, name(host)?.0)),
        None => Some((user, String::new())),
    }
}

/// A name in quotes of any kind, and what follows.
fn name(text: &str) -> Option<(String, &str)> {
    let quote = text.chars().next().filter(|quote| "`'\"".contains(*quote))?;
    let mut found = String::new();
    let mut rest = text.get(1..)?;
    loop {
        let (part, after) = rest.split_once(quote)?;
        found.push_str(part);
        match after.strip_prefix(quote) {
            Some(more) => {
                found.push(quote);
                rest = more;
            }
            None => return Some((found, after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_roles_that_are_there_are_left_as_they_are() {
        let dump = "SET NAMES utf8mb4;\n\
            CREATE USER `root`@`localhost` IDENTIFIED VIA unix_socket;\n\
            CREATE USER `mariadb.sys`@`localhost` ACCOUNT LOCK PASSWORD EXPIRE;\n\
            CREATE USER `app`@`%` IDENTIFIED BY PASSWORD '*1';\n\
            /*!80001 CREATE ROLE 'r1' */;\n\
            /*M!100005 CREATE ROLE 'r1' WITH ADMIN mariadb_dump_import_role */;\n\
            GRANT `r1` TO `root`@`localhost` WITH ADMIN OPTION;\n\
            GRANT `r1` TO `app`@`%`;\n\
            GRANT USAGE ON *.* TO `app`@`%` IDENTIFIED BY PASSWORD '*1';\n\
            GRANT SELECT ON `a TO ``b`.* TO `app`@`%` WITH GRANT OPTION;\n\
            GRANT USAGE ON *.* TO `r1`;\n\
            GRANT ALL PRIVILEGES ON *.* TO `root`@`localhost`;\n\
            /*M!100005 SET DEFAULT ROLE 'r1' FOR 'app'@'%' */;\n\
            /*!80001 ALTER USER 'app'@'%' DEFAULT ROLE 'r1' */;\n\
            DROP ROLE mariadb_dump_import_role;\n";
        let root = || ("root".to_owned(), "localhost".to_owned());
        let accounts = ["CREATE USER `app`@`%` IDENTIFIED BY PASSWORD '*1'", "CREATE ROLE 'r1'"].map(str::to_owned).to_vec();
        let rights = [
            "GRANT `r1` TO `app`@`%`",
            "GRANT USAGE ON *.* TO `app`@`%` IDENTIFIED BY PASSWORD '*1'",
            "GRANT SELECT ON `a TO ``b`.* TO `app`@`%` WITH GRANT OPTION",
            "GRANT USAGE ON *.* TO `r1`",
            "SET DEFAULT ROLE 'r1' FOR 'app'@'%'",
        ];
        let rights = rights.map(str::to_owned).to_vec();
        assert_eq!(missing_users(dump, &[root()]), Missing { accounts, rights });
        assert_eq!(missing_users(dump, &[root(), ("app".into(), "%".into()), ("r1".into(), String::new())]), Missing::default());
        let only_role = missing_users(dump, &[root(), ("app".into(), "%".into())]);
        assert_eq!(only_role, Missing { accounts: vec!["CREATE ROLE 'r1'".into()], rights: vec!["GRANT USAGE ON *.* TO `r1`".into()] });
    }
}
