//! Reading a SQLite database: a copy of one moment takes the place of its file.

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::sync::Arc;

use super::catalogue::Fingerprint;
use super::cut::Ranks;
use super::part::{Part, Sink};
use super::read::{AllKnown, FileReader, give, several_names};
use crate::model::event::Event;
use crate::source::database::sqlite::{CopyError, Databases, Integrity, Version};
use crate::source::metadata;
use crate::source::walk::{OpenDir, display};

/// A file that is a database.
pub(super) struct FoundDatabase<'a> {
    pub(super) databases: &'a Databases,
    pub(super) dir: &'a Arc<OpenDir>,
    pub(super) name: &'a [u8],
    pub(super) file: &'a File,
}

impl FileReader {
    /// Reads a copy of a database for those destinations that do not know it as it is, and takes away from `destinations` those that have it
    /// then. Those that are left, after it is told why, are to get the file as it lies.
    pub(super) fn read_database(
        &self,
        found: &FoundDatabase<'_>,
        known: &mut AllKnown,
        destinations: &mut Ranks,
        sink: &mut dyn Sink,
    ) -> io::Result<()> {
        let FoundDatabase { databases, dir, name, file } = *found;
        let path = display(&dir.path_of(name));
        let stat = metadata::stat_fd(file.as_fd())?;
        let _turn = databases.turn(&stat);
        // Before the copy: what is written while it is made must not look known to the next run.
        let version = Version::of(dir.as_fd(), name, file)?;
        let fingerprint = Fingerprint::of_database(&stat, version);
        destinations.retain(|rank| {
            match known.get_mut(*rank).and_then(|known| known.take_if(|known| known.fingerprint == fingerprint)) {
                Some(known) => sink.give(*rank, Part::Unchanged { dir: Arc::clone(dir), name: name.to_vec(), known, stat }),
                None => return true,
            }
            false
        });
        if destinations.is_empty() {
            databases.note(path, Integrity::Unchanged);
            return Ok(());
        }
        let sink = RefCell::new(sink);
        let wanted = || destinations.iter().any(|rank| sink.borrow().wants(*rank));
        let copied = databases.copy(dir.as_fd(), name, file, &self.options.scratch, &wanted);
        let sink = sink.into_inner();
        let mut copied = match copied {
            Ok(copied) => copied,
            Err(CopyError::Unwanted) => {
                destinations.clear();
                return Ok(());
            }
            Err(error) => {
                let message = format!(
                    "is a SQLite database of which no consistent copy could be made ({error}); its file is in the snapshot as it lies, without its log, and may not open"
                );
                give(Part::Note(Event::error(path.as_str(), message)), destinations, sink);
                databases.note(path, Integrity::NotCopied { why: error.to_string() });
                return Ok(());
            }
        };
        if let Integrity::Failed { findings } = &copied.integrity {
            let message = format!("the copy of this SQLite database is damaged, as the database is: {}", findings.join("; "));
            give(Part::Note(Event::error(path.as_str(), message)), destinations, sink);
        }
        // What is damaged is looked at, and told, again.
        let fingerprint = (!matches!(copied.integrity, Integrity::Failed { .. })).then_some(fingerprint);
        databases.note(path, copied.integrity.clone());
        let xattrs = metadata::xattrs_fd(file.as_fd())?;
        let mut cuts = self.cuts(destinations);
        cuts.stream(&mut copied.file, u64::MAX, sink)?;
        let mut metadata = metadata::metadata(&stat, xattrs, &self.owners, None);
        // What is in the log is in the copy.
        metadata.mtime = version.modified;
        let inode = several_names(&stat);
        for (rank, content) in cuts.finish() {
            let name = name.to_vec();
            sink.give(rank, Part::File { name, metadata: metadata.clone(), fingerprint, inode, content });
        }
        destinations.clear();
        Ok(())
    }
}
