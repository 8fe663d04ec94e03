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
    /// Reads a copy of a database for those destinations that do not know it as it is. False if there can be no copy; then it is told, and the
    /// file is to be read as it lies.
    pub(super) fn read_database(
        &self,
        found: &FoundDatabase<'_>,
        known: &mut AllKnown,
        destinations: &Ranks,
        sink: &mut dyn Sink,
    ) -> io::Result<bool> {
        let FoundDatabase { databases, dir, name, file } = *found;
        let path = display(&dir.path_of(name));
        let stat = metadata::stat_fd(file.as_fd())?;
        // Before the copy: what is written while it is made must not look known to the next run.
        let fingerprint = Fingerprint::of_database(&stat, Version::of(dir.as_fd(), name, file)?);
        let mut changed = Ranks::new();
        for rank in destinations {
            match known.get_mut(*rank).and_then(|known| known.take_if(|known| known.fingerprint == fingerprint)) {
                Some(known) => sink.give(*rank, Part::Unchanged { dir: Arc::clone(dir), name: name.to_vec(), known, stat }),
                None => changed.push(*rank),
            }
        }
        if changed.is_empty() {
            databases.note(path, Integrity::Unchanged);
            return Ok(true);
        }
        let sink = RefCell::new(sink);
        let wanted = || changed.iter().any(|rank| sink.borrow().wants(*rank));
        let copied = databases.copy(dir.as_fd(), name, file, &self.options.scratch, &wanted);
        let sink = sink.into_inner();
        let mut copied = match copied {
            Ok(copied) => copied,
            Err(CopyError::Unwanted) => return Ok(true),
            Err(error) => {
                let message = format!(
                    "is a SQLite database of which no consistent copy could be made ({error}); its file is in the snapshot as it lies, without its log, and may not open"
                );
                give(Part::Note(Event::error(path.as_str(), message)), &changed, sink);
                databases.note(path, Integrity::NotCopied { why: error.to_string() });
                return Ok(false);
            }
        };
        if let Integrity::Failed { findings } = &copied.integrity {
            let message = format!("the copy of this SQLite database is damaged, as the database is: {}", findings.join("; "));
            give(Part::Note(Event::error(path.as_str(), message)), &changed, sink);
        }
        // What is damaged is looked at, and told, again.
        let fingerprint = (!matches!(copied.integrity, Integrity::Failed { .. })).then_some(fingerprint);
        databases.note(path, copied.integrity.clone());
        let xattrs = metadata::xattrs_fd(file.as_fd())?;
        let mut cuts = self.cuts(&changed);
        cuts.stream(&mut copied.file, u64::MAX, sink)?;
        let metadata = metadata::metadata(&stat, xattrs, &self.owners, None);
        let inode = several_names(&stat);
        for (rank, content) in cuts.finish() {
            let name = name.to_vec();
            sink.give(rank, Part::File { name, metadata: metadata.clone(), fingerprint, inode, content });
        }
        Ok(true)
    }
}
