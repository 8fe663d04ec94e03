//! Archives of `tar` as they stream by: their members, to be saved as a tree of files.
//!
//! ```text
//!   a command's output --> members in the archive's order, each with its content --> end mark? --> rest, exit status
//! ```

use std::cell::Cell;
use std::io::{self, Read};

use tar::{Archive, EntryType, Header};

use crate::model::entry::{Device, Kind, Metadata, Timestamp, Xattr};

/// An archive ends with so many bytes of zeros (POSIX, pax interchange format).
const END: u64 = 1024;
/// Headers of one member take at most so many bytes: long names, attributes.
const HEADERS: u64 = 4 << 20;
/// The longest name of a file, and of what a link points to, as Linux has them.
const NAME_MAX: usize = 255;
const PATH_MAX: usize = 4096;
/// What compressed streams begin with.
const COMPRESSED: [(&[u8], &str); 4] =
    [(&[0x1f, 0x8b], "gzip"), (&[0x28, 0xb5, 0x2f, 0xfd], "zstd"), (b"BZh", "bzip2"), (&[0xfd, b'7', b'z', b'X', b'Z'], "xz")];

/// A member of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The names from the archive's root on; none for the root itself.
    pub path: Vec<Vec<u8>>,
    /// Its metadata.
    pub metadata: Metadata,
    /// What it is.
    pub kind: MemberKind,
}

/// What a member is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberKind {
    /// A directory.
    Directory,
    /// A regular file, whose content follows.
    File,
    /// Another name of a file that came before.
    Link(Vec<Vec<u8>>),
    /// A symbolic link, pipe or device.
    Node(Kind),
}

/// What a visitor of an archive is given.
pub enum Found<'a> {
    /// A member, its size in bytes, and its content if it is a file.
    Member(Member, u64, &'a mut dyn Read),
    /// One that cannot be saved: its name, and why.
    Odd(String, String),
}

/// Reads an archive to the end of its stream.
///
/// # Errors
/// Those of the stream and of the visitor; if the stream is no archive, is compressed, or ends before the archive does.
pub fn read(stream: &mut dyn Read, visit: &mut dyn FnMut(Found<'_>) -> io::Result<()>) -> io::Result<()> {
    let between = Cell::new(0);
    let mut watched = Watched { stream, first: Vec::new(), zeros: 0, between: &between };
    {
        let mut archive = Archive::new(&mut watched);
        let mut entries = archive.entries()?;
        loop {
            between.set(HEADERS);
            let Some(entry) = entries.next() else { break };
            between.set(u64::MAX);
            let mut entry = entry?;
            let size = entry.size();
            match member(&mut entry) {
                Ok(Some(member)) => visit(Found::Member(member, size, &mut entry))?,
                Ok(None) => {}
                Err(why) => {
                    let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
                    visit(Found::Odd(name, why))?;
                }
            }
            // What nobody wanted, so that only headers are read when the next member is looked for.
            io::copy(&mut entry, &mut io::sink())?;
        }
    }
    between.set(u64::MAX);
    // How the command ended is told at the end of what it writes.
    let mut rest = vec![0; 64 << 10];
    loop {
        let read = watched.read(&mut rest)?;
        if read == 0 {
            break;
        }
        if rest.iter().take(read).any(|byte| *byte != 0) {
            return Err(io::Error::other("something follows the end of the archive; let the command write one archive, with all in it"));
        }
    }
    if watched.zeros < END {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the archive has no end mark; it is cut off"));
    }
    Ok(())
}

/// Looks at the first bytes, which tell of compression, and counts zeros at the end.
struct Watched<'a> {
    stream: &'a mut dyn Read,
    first: Vec<u8>,
    zeros: u64,
    /// How many bytes may still be read before the next member is found.
    between: &'a Cell<u64>,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.stream.read(buffer)?;
        let left = self.between.get().checked_sub(read as u64);
        let too_long = || io::Error::other(format!("the headers of a member take more than {HEADERS} bytes"));
        self.between.set(left.ok_or_else(too_long)?);
        let bytes = buffer.get(..read).unwrap_or_default();
        if self.first.len() < 8 {
            self.first.extend_from_slice(bytes.get(..bytes.len().min(8)).unwrap_or_default());
            if let Some((_, name)) = COMPRESSED.iter().find(|(magic, _)| self.first.starts_with(magic)) {
                return Err(io::Error::other(format!(
                    "the stream is compressed by {name}; let the command write a plain archive, or save it as one file"
                )));
            }
        }
        match bytes.iter().rposition(|byte| *byte != 0) {
            Some(last) => self.zeros = (read - last - 1) as u64,
            None => self.zeros += read as u64,
        }
        Ok(read)
    }
}

/// What a member is; `None` if it only says something of others.
fn member(entry: &mut tar::Entry<'_, impl Read>) -> Result<Option<Member>, String> {
    let header = entry.header().clone();
    let path = components(&entry.path_bytes())?;
    let target = entry.link_name_bytes().map(|target| target.into_owned());
    let kind = match header.entry_type() {
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => MemberKind::File,
        EntryType::Directory => MemberKind::Directory,
        EntryType::Link => MemberKind::Link(components(&target.unwrap_or_default())?),
        EntryType::Symlink => MemberKind::Node(Kind::Symlink { target: target.unwrap_or_default() }),
        EntryType::Fifo => MemberKind::Node(Kind::Fifo),
        EntryType::Char => MemberKind::Node(Kind::CharDevice(device(&header)?)),
        EntryType::Block => MemberKind::Node(Kind::BlockDevice(device(&header)?)),
        EntryType::XGlobalHeader => return Ok(None),
        other => return Err(format!("is of a kind that is not known ({:?})", char::from(other.as_byte()))),
    };
    if path.is_empty() && kind != MemberKind::Directory {
        return Err("has no name".into());
    }
    if path.iter().any(|name| name.len() > NAME_MAX) {
        return Err(format!("has a name of more than {NAME_MAX} bytes"));
    }
    if matches!(&kind, MemberKind::Node(Kind::Symlink { target }) if target.len() > PATH_MAX) {
        return Err(format!("points to a path of more than {PATH_MAX} bytes"));
    }
    let mut metadata = plain_metadata(&header)?;
    extended(entry, &mut metadata)?;
    Ok(Some(Member { path, metadata, kind }))
}

/// The names of a path; those that lead out of the archive are refused.
fn components(path: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let names = path.split(|byte| *byte == b'/').filter(|name| !matches!(*name, b"" | b"."));
    names.map(|name| if name == b".." || name.contains(&0) { Err("leads out of the archive".into()) } else { Ok(name.to_vec()) }).collect()
}

fn device(header: &Header) -> Result<Device, String> {
    let number = |number: io::Result<Option<u32>>| number.ok().flatten().map(u64::from).ok_or_else(|| "has no device number".to_owned());
    Ok(Device { major: number(header.device_major())?, minor: number(header.device_minor())? })
}

fn plain_metadata(header: &Header) -> Result<Metadata, String> {
    let odd = |error: io::Error| format!("has an odd header ({error})");
    let id = |id: u64| u32::try_from(id).map_err(|_| "has an owner or group that no system has".to_owned());
    let name =
        |name: Option<&[u8]>| name.and_then(|name| std::str::from_utf8(name).ok()).filter(|name| !name.is_empty()).map(str::to_owned);
    Ok(Metadata {
        mode: header.mode().map_err(odd)? & 0o7777,
        uid: id(header.uid().map_err(odd)?)?,
        gid: id(header.gid().map_err(odd)?)?,
        user: name(header.username_bytes()),
        group: name(header.groupname_bytes()),
        mtime: Timestamp { seconds: i64::try_from(header.mtime().map_err(odd)?).unwrap_or(i64::MAX), nanoseconds: 0 },
        xattrs: Vec::new(),
        link: None,
    })
}

/// What pax headers say beyond the plain one.
fn extended(entry: &mut tar::Entry<'_, impl Read>, metadata: &mut Metadata) -> Result<(), String> {
    let odd = |error: io::Error| format!("has an odd header ({error})");
    let Some(extensions) = entry.pax_extensions().map_err(odd)? else { return Ok(()) };
    for extension in extensions {
        let extension = extension.map_err(odd)?;
        let (key, value) = (extension.key_bytes(), extension.value_bytes());
        let text = || std::str::from_utf8(value).ok();
        let name = || text().filter(|name| name.len() <= NAME_MAX).map(str::to_owned);
        if key.starts_with(b"GNU.sparse.") {
            return Err("is sparse in a form that is not understood; let tar write --format=gnu".into());
        }
        if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
            metadata.xattrs.push(Xattr { name: name.to_vec(), value: value.to_vec() });
        }
        match key {
            b"mtime" => metadata.mtime = text().and_then(time).unwrap_or(metadata.mtime),
            b"uid" => metadata.uid = text().and_then(|text| text.parse().ok()).unwrap_or(metadata.uid),
            b"gid" => metadata.gid = text().and_then(|text| text.parse().ok()).unwrap_or(metadata.gid),
            b"uname" => metadata.user = name(),
            b"gname" => metadata.group = name(),
            _ => {}
        }
    }
    metadata.xattrs.sort_by(|a, b| a.name.cmp(&b.name));
    metadata.xattrs.dedup_by(|a, b| a.name == b.name);
    Ok(())
}

/// A time as pax writes it: seconds with a fraction, may be negative.
fn time(text: &str) -> Option<Timestamp> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let nanoseconds: u32 = digits.parse().ok()?;
    match whole.starts_with('-') && nanoseconds > 0 {
        true => Some(Timestamp { seconds: seconds.checked_sub(1)?, nanoseconds: 1_000_000_000 - nanoseconds }),
        false => Some(Timestamp { seconds, nanoseconds }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The members of a stream with what they hold, and what is odd.
    fn members(bytes: &[u8]) -> io::Result<(Vec<(Member, Vec<u8>)>, Vec<String>)> {
        let (mut found, mut odd) = (Vec::new(), Vec::new());
        read(&mut &bytes[..], &mut |what| {
            match what {
                Found::Member(member, _, content) => {
                    let mut bytes = Vec::new();
                    content.read_to_end(&mut bytes)?;
                    found.push((member, bytes));
                }
                Found::Odd(name, why) => odd.push(format!("{name} {why}")),
            }
            Ok(())
        })?;
        Ok((found, odd))
    }

    /// An archive by the system's own tar of a folder that `make` fills.
    fn archive(make: &str, options: &[&str]) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let run = |program: &str, arguments: &[&str]| {
            let output = std::process::Command::new(program).args(arguments).current_dir(folder.path()).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            output.stdout
        };
        run("sh", &["-c", make]);
        run("tar", &[&["-c", "-f", "-"], options, &["."]].concat())
    }

    #[test]
    fn members_of_every_kind_and_form_are_read() {
        let make = "mkdir -p sub; printf hello > sub/file; ln sub/file twin; ln -s nowhere link; mkfifo pipe; chmod 640 sub/file;
                    touch -d '1969-12-31 23:59:58.25 UTC' sub/file; long=$(printf 'n%.0s' $(seq 150)); mkdir -p $long/$long; printf x > $long/$long/deep";
        for form in ["--format=gnu", "--format=pax", "--format=posix"] {
            let (found, odd) = members(&archive(make, &[form, "--sort=name"])).unwrap();
            assert!(odd.is_empty(), "{odd:?}");
            let get = |path: &str| {
                let names: Vec<Vec<u8>> = path.split('/').map(|name| name.as_bytes().to_vec()).collect();
                found.iter().find(|(member, _)| member.path == names).unwrap_or_else(|| panic!("{path} in {form}"))
            };
            assert_eq!(get("sub/file").1, b"hello");
            assert_eq!(get("sub/file").0.metadata.mode, 0o640);
            if form != "--format=gnu" {
                assert_eq!(get("sub/file").0.metadata.mtime, Timestamp { seconds: -2, nanoseconds: 250_000_000 });
            }
            assert_eq!(get("twin").0.kind, MemberKind::Link(vec![b"sub".to_vec(), b"file".to_vec()]));
            assert_eq!(get("link").0.kind, MemberKind::Node(Kind::Symlink { target: b"nowhere".to_vec() }));
            assert_eq!(get("pipe").0.kind, MemberKind::Node(Kind::Fifo));
            let long = "n".repeat(150);
            assert_eq!(get(&format!("{long}/{long}/deep")).1, b"x");
            assert!(found.iter().any(|(member, _)| member.path.is_empty() && member.kind == MemberKind::Directory));
        }
    }

    #[test]
    fn a_sparse_file_has_its_zeros() {
        let bytes = archive("truncate -s 300000 holes; printf end >> holes", &["--sparse"]);
        let (found, _) = members(&bytes).unwrap();
        let (_, content) = found.iter().find(|(member, _)| !member.path.is_empty()).unwrap();
        assert_eq!((content.len(), &content[299_999..]), (300_003, b"\0end".as_slice()));
    }

    #[test]
    fn an_archive_that_is_cut_off_is_an_error_wherever_it_is() {
        let bytes = archive("printf hello > a; printf world > b", &["--format=gnu"]);
        let end = bytes.iter().rposition(|byte| *byte != 0).unwrap().next_multiple_of(512);
        for length in (0..end + 512).step_by(256) {
            assert!(members(&bytes[..length]).is_err(), "cut at {length} of {}", bytes.len());
        }
        assert!(members(&bytes).is_ok());
    }

    #[test]
    fn two_archives_in_one_stream_are_an_error() {
        let one = archive("printf hello > a", &["--format=gnu"]);
        let error = members(&[one.as_slice(), &one].concat()).unwrap_err().to_string();
        assert!(error.contains("something follows"), "{error}");
    }

    #[test]
    fn sparse_files_in_a_form_that_is_not_understood_are_odd() {
        let bytes = archive("truncate -s 300000 holes; printf end >> holes; printf x > plain", &["--sparse", "--format=posix"]);
        let (found, odd) = members(&bytes).unwrap();
        assert!(odd.iter().any(|line| line.contains("--format=gnu")), "{odd:?}");
        assert!(found.iter().any(|(member, _)| member.path == [b"plain".to_vec()]));
    }

    #[test]
    fn headers_and_names_that_no_system_has_are_refused() {
        let pax = |key: &str, value: &str| {
            let mut builder = tar::Builder::new(Vec::new());
            builder.append_pax_extensions([(key, value.as_bytes())]).unwrap();
            let mut header = Header::new_ustar();
            header.set_size(1);
            header.set_mode(0o644);
            header.set_uid(0);
            header.set_gid(0);
            header.set_mtime(0);
            header.set_cksum();
            builder.append_data(&mut header, "file", &b"x"[..]).unwrap();
            builder.into_inner().unwrap()
        };
        let (found, odd) = members(&pax("path", &"n".repeat(300))).unwrap();
        assert!(found.is_empty() && odd[0].contains("255"), "{odd:?}");
        let (found, _) = members(&pax("uname", &"u".repeat(300))).unwrap();
        assert_eq!(found[0].0.metadata.user, None);
        let error = members(&pax("comment", &"c".repeat(5 << 20))).unwrap_err().to_string();
        assert!(error.contains("headers of a member"), "{error}");
    }

    #[test]
    fn a_compressed_stream_is_refused_with_advice() {
        let error = members(&archive("printf x > a", &["-z"])).unwrap_err().to_string();
        assert!(error.contains("compressed by gzip"), "{error}");
    }

    #[test]
    fn names_that_lead_out_are_odd_and_the_rest_is_read() {
        let bytes = archive("printf x > a", &["--transform=s,a,../../etc/passwd,", "-P", "--format=gnu"]);
        let (found, odd) = members(&bytes).unwrap();
        assert!(found.iter().all(|(member, _)| member.path.is_empty()), "{found:?}");
        assert!(odd.iter().any(|line| line.contains("leads out")), "{odd:?}");
    }

    proptest! {
        #[test]
        fn any_bytes_give_members_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..3000)) {
            let _ = members(&bytes);
        }
    }
}
