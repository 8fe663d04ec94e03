//! A directory of a snapshot as an archive of `tar` (pax format), for pipes into other programs and machines.

use std::collections::HashMap;
use std::io::{self, Write};

use tar::{EntryType, Header};

use crate::content::ContentError;
use crate::content::browse::OpenSnapshot;
use crate::model::entry::{Device, Entry, Kind, LinkId, Metadata};

/// Blocks of an archive, in bytes.
const BLOCK: usize = 512;
/// Zeros at the end of an archive, in bytes.
const END: usize = 2 * BLOCK;

/// Writes everything at and below `path` to `out` as an archive, with names relative to `path`; returns how many members it has. Sockets
/// cannot be in an archive; they are left out, as `tar` does.
///
/// # Errors
/// If a tree cannot be read, a chunk is lost, or `out` fails; then what was written must not be used.
pub fn write_archive(snapshot: &OpenSnapshot<'_>, path: &[u8], out: &mut dyn Write) -> Result<u64, ContentError> {
    let mut links: HashMap<LinkId, Vec<u8>> = HashMap::new();
    let mut members = 0;
    let base = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).map(|name| name.len() + 1).sum::<usize>();
    snapshot.list(path, &mut |full, entry| {
        let name = full.get(base..).unwrap_or_default();
        let name = [b".", name].concat();
        let twin = entry.metadata.link.and_then(|link| links.get(&link).cloned());
        let Some(kind) = member_type(&entry.kind, twin.is_some()) else { return Ok(()) };
        if let Some(link) = entry.metadata.link {
            links.entry(link).or_insert_with(|| name.clone());
        }
        members += 1;
        let target = match (&entry.kind, twin) {
            (_, Some(twin)) => Some(twin),
            (Kind::Symlink { target }, None) => Some(target.clone()),
            _ => None,
        };
        let member = Member { name: &name, kind, entry, target: target.as_deref() };
        member.write_header(out).map_err(failed)?;
        if kind == EntryType::Regular {
            snapshot.dump(entry, out)?;
            let over = usize::try_from(member.size() % BLOCK as u64).unwrap_or(0);
            if over > 0 {
                out.write_all(&vec![0; BLOCK - over]).map_err(failed)?;
            }
        }
        Ok(())
    })?;
    out.write_all(&[0; END]).map_err(failed)?;
    Ok(members)
}

fn failed(error: io::Error) -> ContentError {
    ContentError::File { action: "write", path: "the output".into(), source: error }
}

fn member_type(kind: &Kind, linked: bool) -> Option<EntryType> {
    Some(match kind {
        Kind::Directory { .. } => EntryType::Directory,
        _ if linked => EntryType::Link,
        Kind::File { .. } => EntryType::Regular,
        Kind::Symlink { .. } => EntryType::Symlink,
        Kind::Fifo => EntryType::Fifo,
        Kind::CharDevice(_) => EntryType::Char,
        Kind::BlockDevice(_) => EntryType::Block,
        Kind::Socket => return None,
    })
}

struct Member<'a> {
    name: &'a [u8],
    kind: EntryType,
    entry: &'a Entry,
    target: Option<&'a [u8]>,
}

impl Member<'_> {
    fn size(&self) -> u64 {
        match (&self.entry.kind, self.kind) {
            (Kind::File { size, .. }, EntryType::Regular) => *size,
            _ => 0,
        }
    }

    /// The pax header with all that a plain one cannot hold, and the plain one.
    fn write_header(&self, out: &mut dyn Write) -> io::Result<()> {
        let records = self.records();
        if !records.is_empty() {
            let mut header = plain(EntryType::XHeader, records.len() as u64);
            header.as_mut_bytes().get_mut(..11).into_iter().for_each(|place| place.copy_from_slice(b"@PaxHeaders"));
            header.set_cksum();
            out.write_all(header.as_bytes())?;
            out.write_all(&records)?;
            out.write_all(&vec![0; records.len().next_multiple_of(BLOCK) - records.len()])?;
        }
        out.write_all(self.plain_header().as_bytes())
    }

    fn plain_header(&self) -> Header {
        let metadata = &self.entry.metadata;
        let mut header = plain(self.kind, self.size());
        header.set_mode(metadata.mode);
        header.set_uid(metadata.uid.into());
        header.set_gid(metadata.gid.into());
        header.set_mtime(u64::try_from(metadata.mtime.seconds).unwrap_or(0));
        // What is too long stands in the pax header.
        let short = |text: &Option<String>| text.as_deref().filter(|text| text.len() < 32).unwrap_or_default().to_owned();
        let _ = header.set_username(&short(&metadata.user));
        let _ = header.set_groupname(&short(&metadata.group));
        if let Kind::CharDevice(device) | Kind::BlockDevice(device) = &self.entry.kind {
            set_device(&mut header, *device);
        }
        if let Some(ustar) = header.as_ustar_mut() {
            fill(&mut ustar.name, self.name);
            fill(&mut ustar.linkname, self.target.unwrap_or_default());
        }
        header.set_cksum();
        header
    }

    fn records(&self) -> Vec<u8> {
        let Metadata { uid, gid, user, group, mtime, xattrs, .. } = &self.entry.metadata;
        let mut records = Vec::new();
        let mut add = |key: &[u8], value: &[u8]| records.extend(record(key, value));
        if self.name.len() > 100 {
            add(b"path", self.name);
        }
        if let Some(target) = self.target.filter(|target| target.len() > 100) {
            add(b"linkpath", target);
        }
        if self.size() >= 1 << 33 {
            add(b"size", self.size().to_string().as_bytes());
        }
        for (key, id) in [(b"uid", uid), (b"gid", gid)] {
            if *id >= 1 << 21 {
                add(key, id.to_string().as_bytes());
            }
        }
        for (key, name) in [(b"uname", user), (b"gname", group)] {
            if let Some(name) = name.as_ref().filter(|name| name.len() >= 32) {
                add(key, name.as_bytes());
            }
        }
        if mtime.nanoseconds > 0 || mtime.seconds < 0 {
            add(b"mtime", seconds(mtime.seconds, mtime.nanoseconds).as_bytes());
        }
        for xattr in xattrs {
            add(&[b"SCHILY.xattr.", xattr.name.as_slice()].concat(), &xattr.value);
        }
        records
    }
}

fn plain(kind: EntryType, size: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    // A larger size stands in the pax header too, as older programs do not know the binary form.
    header.set_size(size);
    header.set_mode(0o600);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

fn set_device(header: &mut Header, device: Device) {
    let _ = header.set_device_major(u32::try_from(device.major).unwrap_or(0));
    let _ = header.set_device_minor(u32::try_from(device.minor).unwrap_or(0));
}

fn fill(place: &mut [u8], bytes: &[u8]) {
    place.iter_mut().zip(bytes).for_each(|(place, byte)| *place = *byte);
}

/// A record of a pax header: its own length, a key and a value.
fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    [length.to_string().as_bytes(), b" ", key, b"=", value, b"\n"].concat()
}

/// A time as pax writes it; the fraction counts away from zero before 1970.
fn seconds(seconds: i64, nanoseconds: u32) -> String {
    if seconds >= 0 || nanoseconds == 0 {
        return format!("{seconds}.{nanoseconds:09}");
    }
    format!("-{}.{:09}", -(seconds + 1), 1_000_000_000 - nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_count_their_own_length() {
        assert_eq!(record(b"path", b"x"), b"9 path=x\n");
        for length in 0..300 {
            let record = record(b"k", &vec![b'v'; length]);
            let told: usize = String::from_utf8_lossy(&record).split(' ').next().unwrap().parse().unwrap();
            assert_eq!(told, record.len());
        }
    }

    #[test]
    fn times_before_1970_have_their_fraction() {
        assert_eq!(seconds(1, 500_000_000), "1.500000000");
        assert_eq!(seconds(-2, 250_000_000), "-1.750000000");
        assert_eq!(seconds(-1, 0), "-1.000000000");
    }
}
