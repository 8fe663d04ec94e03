//! From a job's databases and commands to the streams that save them.
//!
//! Most streams begin when the scan comes to them. A dump in directory format is made here, before the scan, as its files
//! are not known earlier; it lies in a scratch directory until the job has ended.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, bounded};

use crate::config::{CommandStream, Databases, DumpFormat, Job, Postgresql};
use crate::model::event::{Event, Monitor};
use crate::source::command::{CommandSource, Program};
use crate::source::database::postgresql::{Dump, Server};
use crate::source::database::scratch::Scratch;
use crate::source::database::tap::Ledger;
use crate::source::stream::{StreamSource as _, VirtualFile};

/// The directory of commands' outputs in a snapshot.
const COMMANDS: &str = "@commands";
/// What a program may say that shall say nothing, in bytes.
const ANSWER: u64 = 1 << 20;
/// How often somebody looks whether a dump shall be stopped.
const PATIENCE: Duration = Duration::from_millis(100);

/// The streams of a job, and what will be known when they have been read.
#[derive(Default)]
pub(super) struct Streams {
    /// The files that they become.
    pub files: Vec<VirtualFile>,
    /// The row counts of each database's dump.
    counts: Vec<(String, Arc<Ledger>)>,
    /// Where dumps lie that could not be streamed; removed with this.
    scratch: Vec<Scratch>,
}

impl Streams {
    /// All streams of a job, which keeps its state in `dir`. A server that cannot be reached is an error that is told, and the rest of the
    /// job goes on.
    pub fn prepare(job: &Job, dir: &Path, monitor: &dyn Monitor) -> Self {
        let mut streams = Self { files: job.commands.iter().map(|(name, stream)| command(name, stream)).collect(), ..Self::default() };
        if let Some(server) = &job.postgresql
            && let Err(error) = streams.postgresql(server, dir, monitor)
        {
            monitor.event(Event::error("postgresql", format!("{error}; none of its databases is in this snapshot")));
        }
        streams
    }

    /// Tells what was learnt from them.
    pub fn tell(&self, monitor: &dyn Monitor) {
        for (dump, counts) in &self.counts {
            if let Some(why) = counts.unknown() {
                monitor.event(Event::info(dump.as_str(), format!("its rows were not counted, as {why}; restore-db will not compare them")));
            }
        }
    }

    fn postgresql(&mut self, options: &Postgresql, dir: &Path, monitor: &dyn Monitor) -> io::Result<()> {
        let server = Server {
            user: options.run_as().map(str::to_owned),
            host: options.host.clone(),
            port: options.port,
            username: options.username.clone(),
            password_file: options.password_file.clone(),
            through: options.through.clone(),
        };
        let databases = match &options.databases {
            Databases::Named(names) => names.clone(),
            Databases::All => server.databases()?.into_iter().filter(|name| !options.exclude.contains(name)).collect(),
        };
        let mut files = server.shared(options.globals)?;
        let place = options.scratch.clone().unwrap_or_else(|| dir.join("scratch"));
        for database in &databases {
            let dump = if options.format == DumpFormat::Directory {
                self.directory(&server, database, options, &place, monitor)
            } else {
                server.dump(database, options.row_counts)
            };
            match dump {
                Ok(dump) => {
                    let name = dump.files.first().map(VirtualFile::display).unwrap_or_default();
                    self.counts.push((name, dump.ledger));
                    files.extend(dump.files);
                }
                Err(error) => {
                    let message = format!("its dump failed ({error}); it is not in this snapshot");
                    monitor.event(Event::error(format!("postgresql database {database}"), message));
                }
            }
        }
        self.files.extend(files);
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

fn command(name: &str, stream: &CommandStream) -> VirtualFile {
    let program = Program { success: stream.success.clone(), minimum_size: stream.minimum_size.0, ..Program::new(stream.command.clone()) };
    VirtualFile { path: vec![COMMANDS.into(), name.into()], source: Arc::new(CommandSource::from(program)), required: false }
}
