//! From a job's databases and commands to the streams that save them.

use std::io;
use std::sync::Arc;

use crate::config::{Databases, Job, Postgresql};
use crate::model::event::{Event, Monitor};
use crate::source::command::{CommandSource, Program};
use crate::source::database::postgresql::Server;
use crate::source::stream::VirtualFile;

/// The directory of commands' outputs in a snapshot.
const COMMANDS: &str = "@commands";

/// All streams of a job. A server that cannot be reached is an error that is told, and the rest of the job goes on.
pub(super) fn streams(job: &Job, monitor: &dyn Monitor) -> Vec<VirtualFile> {
    let commands = job.commands.iter().map(|(name, stream)| {
        let program =
            Program { success: stream.success.clone(), minimum_size: stream.minimum_size.0, ..Program::new(stream.command.clone()) };
        let source = CommandSource::from(program);
        VirtualFile { path: vec![COMMANDS.into(), name.clone().into_bytes()], source: Arc::new(source), required: false }
    });
    let mut streams: Vec<VirtualFile> = commands.collect();
    if let Some(server) = &job.postgresql {
        match postgresql(server) {
            Ok(dumps) => streams.extend(dumps),
            Err(error) => monitor.event(Event::error("postgresql", format!("{error}; none of its databases is in this snapshot"))),
        }
    }
    streams
}

fn postgresql(options: &Postgresql) -> io::Result<Vec<VirtualFile>> {
    let server = Server {
        user: options.user.clone().filter(|user| !user.is_empty()),
        host: options.host.clone(),
        port: options.port,
        username: options.username.clone(),
        password_file: options.password_file.clone(),
    };
    let databases = match &options.databases {
        Databases::Named(names) => names.clone(),
        Databases::All => server.databases()?.into_iter().filter(|name| !options.exclude.contains(name)).collect(),
    };
    server.streams(&databases, options.globals)
}
