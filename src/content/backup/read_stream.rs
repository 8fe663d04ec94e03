//! Reading a stream to its end: as a file, as an image whose zeros take no space, or as an archive whose members become files.

use std::io::{self, Read};

use super::cut::{Cuts, Ranks};
use super::part::{Content, Part, Sink};
use super::read::{FileReader, give};
use crate::model::entry::{Metadata, Timestamp};
use crate::model::event::Event;
use crate::source::archive::{self, Found, Member, MemberKind};
use crate::source::device::Runs;
use crate::source::stream::{Form, VirtualFile};

impl FileReader {
    /// Reads a stream. One that fails is left out, or fails the run.
    pub(super) fn read_stream(&self, file: &VirtualFile, sink: &mut dyn Sink) {
        let wanting = self.wanting(sink);
        let read = file.source.open().and_then(|mut input| match file.source.form() {
            // The run may have been stopped just before it began.
            _ if self.wanting(sink).is_empty() => Ok(()),
            Form::File => self.read_whole(file, &mut |cuts, sink| cuts.stream(&mut input, u64::MAX, sink).map(drop), &wanting, sink),
            Form::Image => self.read_whole(file, &mut |cuts, sink| read_image(&mut input, cuts, sink), &wanting, sink),
            Form::Tree => self.read_archive(file, &mut input, &wanting, sink),
        });
        match read {
            Ok(()) => {}
            Err(error) if file.required => give(Part::Failed { path: file.display(), why: error.to_string() }, &wanting, sink),
            Err(error) => {
                give(Part::Restart, &wanting, sink);
                let message = format!("failed ({error}); it is not in this snapshot");
                give(Part::Note(Event::error(file.display(), message)), &wanting, sink);
            }
        }
    }

    fn read_whole(
        &self,
        file: &VirtualFile,
        read: &mut dyn FnMut(&mut Cuts<'_>, &mut dyn Sink) -> io::Result<()>,
        destinations: &Ranks,
        sink: &mut dyn Sink,
    ) -> io::Result<()> {
        let now = jiff::Timestamp::now();
        let mtime = Timestamp { seconds: now.as_second(), nanoseconds: now.subsec_nanosecond().unsigned_abs() };
        let metadata = Metadata { mode: 0o600, mtime, ..Metadata::default() };
        let mut cuts = self.cuts(destinations);
        read(&mut cuts, sink)?;
        for (rank, content) in cuts.finish() {
            sink.give(rank, Part::Stream { name: name_of(file), metadata: metadata.clone(), content });
        }
        Ok(())
    }

    fn read_archive(&self, file: &VirtualFile, input: &mut dyn Read, destinations: &Ranks, sink: &mut dyn Sink) -> io::Result<()> {
        archive::read(input, &mut |found| match found {
            Found::Odd(name, why) => {
                let subject = format!("{}/{name}", file.display());
                give(Part::Note(Event::warning(subject, format!("{why}; it is not in this snapshot"))), destinations, sink);
                Ok(())
            }
            Found::Member(member, size, content) => self.read_member(member, size, content, destinations, sink),
        })?;
        give(Part::Archive { name: name_of(file), path: file.display() }, destinations, sink);
        Ok(())
    }

    fn read_member(&self, member: Member, size: u64, content: &mut dyn Read, destinations: &Ranks, sink: &mut dyn Sink) -> io::Result<()> {
        if member.kind != MemberKind::File {
            give(Part::Member { member, content: Content::default() }, destinations, sink);
            return Ok(());
        }
        let mut cuts = self.cuts(destinations);
        if cuts.stream(content, size, sink)? < size {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the archive is cut off in the middle of a file"));
        }
        for (rank, content) in cuts.finish() {
            sink.give(rank, Part::Member { member: member.clone(), content });
        }
        Ok(())
    }
}

fn name_of(file: &VirtualFile) -> Vec<u8> {
    file.path.last().cloned().unwrap_or_default()
}

/// Reads an image run by run.
fn read_image(input: &mut dyn Read, cuts: &mut Cuts<'_>, sink: &mut dyn Sink) -> io::Result<()> {
    let mut runs = Runs::new(input);
    loop {
        let (zeros, more) = runs.zeros()?;
        if zeros > 0 {
            cuts.hole(zeros);
        }
        if !more || cuts.unwanted() {
            return Ok(());
        }
        cuts.stream(&mut runs, u64::MAX, sink)?;
    }
}
