//! The streams that save a PostgreSQL server.

use std::io;
use std::path::Path;
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, bounded};

use super::{Streams, chosen, password};
use crate::config::{Credentials, DumpFormat, Postgresql};
use crate::model::event::{Event, Monitor};
use crate::source::command::CommandSource;
use crate::source::database::Dump;
use crate::source::database::postgresql::Server;
use crate::source::database::scratch::Scratch;
use crate::source::stream::StreamSource as _;

/// What a program may say that shall say nothing, in bytes.
const ANSWER: u64 = 1 << 20;
/// How often somebody looks whether a dump shall be stopped.
const PATIENCE: Duration = Duration::from_millis(100);

impl Streams {
    /// Adds the dumps of a PostgreSQL server.
    pub(super) fn postgresql(
        &mut self,
        options: &Postgresql,
        dir: &Path,
        credentials: &Credentials,
        monitor: &dyn Monitor,
    ) -> io::Result<()> {
        let server = Server {
            user: options.run_as().map(str::to_owned),
            host: options.host.clone(),
            port: options.port,
            username: options.username.clone(),
            password_file: password(options.password_file.as_ref(), credentials)?,
            through: options.through.clone(),
            confined: None,
        };
        let databases = chosen(&options.databases, &options.exclude, || server.databases())?;
        self.files.extend(server.shared(options.globals)?);
        let place = options.scratch.clone().unwrap_or_else(|| dir.join("scratch"));
        for database in &databases {
            let dump = match options.format {
                DumpFormat::Directory => self.directory(&server, database, options, &place, monitor),
                DumpFormat::Custom => server.dump(database, options.row_counts),
            };
            match dump {
                Ok(dump) => self.add(dump),
                Err(error) => {
                    let message = format!("its dump failed ({error}); it is not in this snapshot");
                    monitor.event(Event::error(format!("postgresql database {database}"), message));
                }
            }
        }
        Ok(())
    }

    /// Dumps a database into a scratch directory, if it is large enough for that.
    fn directory(
        &mut self,
        server: &Server,
        database: &str,
        options: &Postgresql,
        place: &Path,
        monitor: &dyn Monitor,
    ) -> io::Result<Dump> {
        if options.directory_from.0 > 0 && server.size(database)? < options.directory_from.0 {
            return server.dump(database, options.row_counts);
        }
        let named = |error: io::Error| io::Error::new(error.kind(), format!("the scratch directory {}: {error}", place.display()));
        let scratch = Scratch::new(place, server.user.as_deref()).map_err(named)?;
        run_to_end(&server.dump_directory(database, options.parallel, &scratch)?, monitor)?;
        let dump = server.files_of_directory(database, &scratch, options.row_counts)?;
        self.scratch.push(scratch);
        Ok(dump)
    }
}

/// Runs a program that says nothing, unless the run is stopped.
fn run_to_end(program: &CommandSource, monitor: &dyn Monitor) -> io::Result<()> {
    let (done, watched) = bounded::<()>(0);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            while watched.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                if monitor.cancelled() {
                    program.stop();
                }
            }
        });
        let output = program.text(ANSWER);
        drop(done);
        output.map(drop)
    })
}
