//! From a job's databases and commands to the streams that save them.
//!
//! Most streams begin when the scan comes to them. A dump in directory format is made here, before the scan, as its files
//! are not known earlier; it lies in a scratch directory until the job has ended.

mod mariadb;
mod postgresql;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::{CommandStream, Credentials, Databases, Device, Job, SecretFile, StreamFormat};
use crate::model::event::{Event, Monitor};
use crate::source::command::{CommandSource, Program};
use crate::source::database::Dump;
use crate::source::database::mariadb::Flavour;
use crate::source::database::scratch::Scratch;
use crate::source::database::tap::Ledger;
use crate::source::device::DeviceSource;
use crate::source::stream::{StreamSource, Tree, VirtualFile};

/// The directory of commands' outputs in a snapshot.
const COMMANDS: &str = "@commands";
/// The directory of devices' contents in a snapshot.
const DEVICES: &str = "@devices";

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
    pub fn prepare(job: &Job, dir: &Path, credentials: &Credentials, monitor: &dyn Monitor) -> Self {
        let mut streams = Self { files: job.commands.iter().map(|(name, stream)| command(name, stream)).collect(), ..Self::default() };
        let failed = |name: &str, error: &std::io::Error| {
            monitor.event(Event::error(name, format!("{error}; none of its databases is in this snapshot")));
        };
        if let Some(options) = &job.postgresql
            && let Err(error) = streams.postgresql(options, dir, credentials, monitor)
        {
            failed("postgresql", &error);
        }
        for (name, flavour, options) in [("mariadb", Flavour::Mariadb, &job.mariadb), ("mysql", Flavour::Mysql, &job.mysql)] {
            if let Some(options) = options
                && let Err(error) = streams.mariadb(flavour, options, credentials, monitor)
            {
                failed(name, &error);
            }
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
}

impl Streams {
    fn add(&mut self, dump: Dump) {
        let name = dump.files.first().map(VirtualFile::display).unwrap_or_default();
        self.counts.push((name, dump.ledger));
        self.files.extend(dump.files);
    }
}

/// The databases that are wanted, of those that there are.
fn chosen(wanted: &Databases, exclude: &[String], all: impl FnOnce() -> std::io::Result<Vec<String>>) -> std::io::Result<Vec<String>> {
    match wanted {
        Databases::Named(names) => Ok(names.clone()),
        Databases::All => Ok(all()?.into_iter().filter(|name| !exclude.contains(name)).collect()),
    }
}

/// Where the file with a password lies now.
fn password(file: Option<&SecretFile>, credentials: &Credentials) -> std::io::Result<Option<PathBuf>> {
    file.map(|file| file.locate(credentials)).transpose().map_err(std::io::Error::other)
}

fn command(name: &str, stream: &CommandStream) -> VirtualFile {
    let program = Program { success: stream.success.clone(), minimum_size: stream.minimum_size.0, ..Program::new(stream.command.clone()) };
    let source = CommandSource::from(program);
    let source: Arc<dyn StreamSource> = match stream.format {
        StreamFormat::File => Arc::new(source),
        StreamFormat::Tar => Arc::new(Tree(source)),
    };
    VirtualFile { path: vec![COMMANDS.into(), name.into()], source, required: false }
}

/// The devices of a job; `frozen` gives the snapshot of one that has one.
pub(super) fn devices(job: &Job, frozen: impl Fn(&Path) -> Option<PathBuf>) -> Vec<VirtualFile> {
    let read = |path: &Path| Arc::new(DeviceSource::new(frozen(path).unwrap_or_else(|| path.to_owned())));
    let file = |(name, device): (&String, &Device)| VirtualFile {
        path: vec![DEVICES.into(), name.clone().into_bytes()],
        source: read(&device.path),
        required: false,
    };
    job.devices.iter().map(file).collect()
}
