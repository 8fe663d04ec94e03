//! The streams that save a MariaDB or MySQL server.

use std::io;

use super::{Streams, chosen, password};
use crate::config::{Credentials, Mariadb};
use crate::model::event::{Event, Monitor};
use crate::source::database::mariadb::{Address, Flavour, Server};

/// Most tables that a warning names.
const NAMED: usize = 10;

impl Streams {
    /// Adds the dumps of a server.
    pub(super) fn mariadb(
        &mut self,
        flavour: Flavour,
        options: &Mariadb,
        credentials: &Credentials,
        monitor: &dyn Monitor,
    ) -> io::Result<()> {
        let server = Server::find(Address {
            flavour,
            user: options.user.clone().filter(|user| !user.is_empty()),
            host: options.host.clone(),
            port: options.port,
            socket: options.socket.clone(),
            username: options.username.clone(),
            password_file: password(options.password_file.as_ref(), credentials)?,
            through: options.through.clone(),
            confined: None,
        })?;
        let databases = chosen(&options.databases, &options.exclude, || server.databases())?;
        self.files.extend(server.shared(options.users)?);
        let outside = server.not_transactional()?;
        for database in &databases {
            let tables: Vec<String> =
                outside.iter().filter(|[of, ..]| of == database).map(|[_, table, engine]| format!("{table} ({engine})")).collect();
            if !tables.is_empty() {
                let named = tables.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
                let more = if tables.len() > NAMED { format!(" and {} more", tables.len() - NAMED) } else { String::new() };
                let message = format!(
                    "its tables {named}{more} take no part in transactions: what is written to them during the dump may be saved in part; \
                     alter table ... engine = InnoDB makes them safe"
                );
                monitor.event(Event::warning(format!("{} database {database}", flavour.directory().trim_start_matches('@')), message));
            }
            self.add(server.dump(database, options.row_counts)?);
        }
        Ok(())
    }
}
