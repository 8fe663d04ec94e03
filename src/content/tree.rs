//! Trees: directories as pages of JSON, and long lists of elements as list nodes.
//!
//! ```text
//!   page      = [entry, entry, ...]            sorted by raw name
//!   element   = ["id", length] | {"hole": n} | {"list": ["id", length], "size": n}
//!   list node = [element, element, ...]
//! ```
//!
//! Ids are base64url without padding. Where a page or a node ends depends on content only, so that one change in a
//! million entries rewrites one page.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::content::secret::ChunkKeys;
use crate::model::entry::{Device, Element, Entry, Kind, LinkId, Metadata, Timestamp, Xattr};
use crate::model::id::ChunkId;
use crate::sealed::codec::FormatError;

/// Mean, least and most entries of a page.
const PAGE: (u64, usize, usize) = (512, 64, 4096);
/// Bytes after which a page ends, whatever its entries: names and attributes can be long.
const PAGE_BYTES: usize = 1 << 20;
/// Most elements of a list that stands in its entry.
const INLINE: usize = 1024;
/// Mean, least and most elements of a list node.
const NODE: (u64, usize, usize) = (512, 64, 1024);
/// How deep list nodes may nest; three levels hold 10^9 elements.
const DEPTH: usize = 6;

/// Takes the plaintext of tree chunks and names them.
pub trait TreeSink {
    /// Why storing failed.
    type Error;

    /// Stores a tree chunk.
    ///
    /// # Errors
    /// If the run cannot go on.
    fn store_tree(&mut self, plaintext: &[u8]) -> Result<ChunkId, Self::Error>;
}

/// Raw bytes in JSON: a string where they are UTF-8, else `{"b64": "..."}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum BytesForm<'a> {
    Text(std::borrow::Cow<'a, str>),
    Binary { b64: String },
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(&self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => BytesForm::Binary { b64: BASE64.encode(&self.0) }.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match BytesForm::deserialize(deserializer)? {
            BytesForm::Text(text) => Ok(Self(text.into_owned().into_bytes())),
            BytesForm::Binary { b64 } => BASE64.decode(b64).map(Self).map_err(serde::de::Error::custom),
        }
    }
}

struct IdText(ChunkId);

impl Serialize for IdText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = [0; 43];
        let length = BASE64.encode_slice(self.0.as_bytes(), &mut text).map_err(serde::ser::Error::custom)?;
        let text = std::str::from_utf8(text.get(..length).unwrap_or_default()).map_err(serde::ser::Error::custom)?;
        serializer.serialize_str(text)
    }
}

impl<'de> Deserialize<'de> for IdText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        let mut bytes = [0; 33];
        match BASE64.decode_slice(text.as_bytes(), &mut bytes) {
            Ok(32) => bytes.first_chunk().map(|id| Self(ChunkId::from_bytes(*id))).ok_or_else(|| serde::de::Error::custom("no chunk id")),
            _ => Err(serde::de::Error::custom("a chunk id is 32 bytes in base64url")),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum ElementForm {
    Chunk(IdText, u32),
    Hole { hole: u64 },
    List { list: (IdText, u32), size: u64 },
}

fn to_form(element: &Element) -> ElementForm {
    match element {
        Element::Chunk { id, length } => ElementForm::Chunk(IdText(*id), *length),
        Element::Hole { length } => ElementForm::Hole { hole: *length },
        Element::List { id, length, size } => ElementForm::List { list: (IdText(*id), *length), size: *size },
    }
}

fn from_form(form: ElementForm) -> Element {
    match form {
        ElementForm::Chunk(id, length) => Element::Chunk { id: id.0, length },
        ElementForm::Hole { hole } => Element::Hole { length: hole },
        ElementForm::List { list: (id, length), size } => Element::List { id: id.0, length, size },
    }
}

/// Elements as a field of other JSON objects.
pub mod elements {
    use super::{Element, ElementForm, from_form, to_form};
    use serde::{Deserialize, Deserializer, Serializer};

    /// For `#[serde(with)]`.
    ///
    /// # Errors
    /// The serialiser's.
    pub fn serialize<S: Serializer>(list: &[Element], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(list.iter().map(to_form))
    }

    /// For `#[serde(with)]`.
    ///
    /// # Errors
    /// If it is not a list of elements.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Element>, D::Error> {
        Ok(Vec::<ElementForm>::deserialize(deserializer)?.into_iter().map(from_form).collect())
    }
}

fn json<T: Serialize>(value: &T, out: &mut Vec<u8>) {
    // Writing to memory cannot fail, and these types have no maps with odd keys.
    let _ = serde_json::to_writer(out, value);
}

fn is_none<T>(value: &Option<T>) -> bool {
    value.is_none()
}

/// An entry without what is only known when its content is stored.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryForm {
    name: Bytes,
    #[serde(rename = "type")]
    kind: String,
    mode: u32,
    uid: u32,
    gid: u32,
    #[serde(default, skip_serializing_if = "is_none")]
    user: Option<String>,
    #[serde(default, skip_serializing_if = "is_none")]
    group: Option<String>,
    mtime: (i64, u32),
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    xattrs: Vec<(Bytes, Bytes)>,
    #[serde(default, skip_serializing_if = "is_none")]
    link: Option<(u32, u64)>,
    #[serde(default, skip_serializing_if = "is_none")]
    target: Option<Bytes>,
    #[serde(default, skip_serializing_if = "is_none")]
    device: Option<(u64, u64)>,
    #[serde(default, skip_serializing_if = "is_none")]
    size: Option<u64>,
    #[serde(default, skip_serializing_if = "is_none")]
    content: Option<Vec<ElementForm>>,
}

fn form_of(name: &[u8], metadata: &Metadata, word: &str) -> EntryForm {
    EntryForm {
        name: Bytes(name.to_vec()),
        kind: word.to_owned(),
        mode: metadata.mode,
        uid: metadata.uid,
        gid: metadata.gid,
        user: metadata.user.clone(),
        group: metadata.group.clone(),
        mtime: (metadata.mtime.seconds, metadata.mtime.nanoseconds),
        xattrs: metadata.xattrs.iter().map(|xattr| (Bytes(xattr.name.clone()), Bytes(xattr.value.clone()))).collect(),
        link: metadata.link.map(|link| (link.filesystem, link.inode)),
        target: None,
        device: None,
        size: None,
        content: None,
    }
}

/// Writes an entry as JSON.
pub fn write_entry(entry: &Entry, out: &mut Vec<u8>) {
    let mut form = form_of(&entry.name, &entry.metadata, entry.kind.word());
    match &entry.kind {
        Kind::File { size, content } => {
            form.size = Some(*size);
            form.content = Some(content.iter().map(to_form).collect());
        }
        Kind::Directory { pages } => form.content = Some(pages.iter().map(to_form).collect()),
        Kind::Symlink { target } => form.target = Some(Bytes(target.clone())),
        Kind::CharDevice(device) | Kind::BlockDevice(device) => form.device = Some((device.major, device.minor)),
        Kind::Fifo | Kind::Socket => {}
    }
    json(&form, out);
}

fn valid_name(name: &[u8]) -> bool {
    (1..=255).contains(&name.len()) && name != b"." && name != b".." && !name.contains(&b'/') && !name.contains(&0)
}

fn entry_of(form: EntryForm) -> Result<Entry, FormatError> {
    let bad = |why: &str| FormatError::new(format!("entry `{}` {why}", String::from_utf8_lossy(&form.name.0)));
    if !valid_name(&form.name.0) {
        return Err(bad("has a name that no directory can hold"));
    }
    if form.mtime.1 >= 1_000_000_000 || form.mode > 0o7777 {
        return Err(bad("has a time or mode out of bounds"));
    }
    let content = form.content.map(|list| list.into_iter().map(from_form).collect::<Vec<_>>());
    let device = form.device.map(|(major, minor)| Device { major, minor });
    let lacks = |what: &str| FormatError::new(format!("entry `{}` lacks its {what}", String::from_utf8_lossy(&form.name.0)));
    let kind = match form.kind.as_str() {
        "file" => {
            let content = content.ok_or_else(|| lacks("content"))?;
            let size = form.size.ok_or_else(|| lacks("size"))?;
            if total(&content) != Some(size) {
                return Err(bad("has content that does not add up to its size"));
            }
            Kind::File { size, content }
        }
        "dir" => Kind::Directory { pages: content.ok_or_else(|| lacks("content"))? },
        "symlink" => Kind::Symlink { target: form.target.ok_or_else(|| lacks("target"))?.0 },
        "fifo" => Kind::Fifo,
        "socket" => Kind::Socket,
        "chardev" => Kind::CharDevice(device.ok_or_else(|| lacks("device"))?),
        "blockdev" => Kind::BlockDevice(device.ok_or_else(|| lacks("device"))?),
        other => return Err(bad(&format!("has the unknown type `{other}`"))),
    };
    let metadata = Metadata {
        mode: form.mode,
        uid: form.uid,
        gid: form.gid,
        user: form.user,
        group: form.group,
        mtime: Timestamp { seconds: form.mtime.0, nanoseconds: form.mtime.1 },
        xattrs: form.xattrs.into_iter().map(|(name, value)| Xattr { name: name.0, value: value.0 }).collect(),
        link: form.link.map(|(filesystem, inode)| LinkId { filesystem, inode }),
    };
    Ok(Entry { name: form.name.0, metadata, kind })
}

/// Sum of the elements' sizes; `None` on overflow.
pub fn total(elements: &[Element]) -> Option<u64> {
    elements.iter().try_fold(0_u64, |sum, element| sum.checked_add(element.size()))
}

/// Parses a page: entries in strictly rising order of raw names.
///
/// # Errors
/// If it is not a page, or an entry breaks a rule.
pub fn parse_page(plaintext: &[u8]) -> Result<Vec<Entry>, FormatError> {
    let forms: Vec<EntryForm> =
        serde_json::from_slice(plaintext).map_err(|error| FormatError::new(format!("a page does not parse ({error})")))?;
    let entries = forms.into_iter().map(entry_of).collect::<Result<Vec<_>, _>>()?;
    if entries.windows(2).any(|pair| matches!(pair, [first, second] if first.name >= second.name)) {
        return Err(FormatError::new("a page is not sorted by name"));
    }
    Ok(entries)
}

/// Parses a list node.
///
/// # Errors
/// If it is not one.
pub fn parse_list(plaintext: &[u8]) -> Result<Vec<Element>, FormatError> {
    let forms: Vec<ElementForm> =
        serde_json::from_slice(plaintext).map_err(|error| FormatError::new(format!("a list node does not parse ({error})")))?;
    Ok(forms.into_iter().map(from_form).collect())
}

/// Builds the element list of one file or directory: in place while short, in nodes when long.
#[derive(Default)]
pub struct ListBuilder {
    elements: Vec<Element>,
    cutting: bool,
    parent: Option<Box<ListBuilder>>,
}

impl ListBuilder {
    /// Appends an element; neighbouring holes join.
    ///
    /// # Errors
    /// The sink's.
    pub fn push<S: TreeSink>(&mut self, element: Element, sink: &mut S) -> Result<(), S::Error> {
        if let (Some(Element::Hole { length }), Element::Hole { length: more }) = (self.elements.last_mut(), element)
            && !self.cutting
        {
            *length += more;
            return Ok(());
        }
        self.elements.push(element);
        if self.cutting {
            return if ends_node(&element, self.elements.len()) { self.cut(sink) } else { Ok(()) };
        }
        if self.elements.len() > INLINE {
            self.cutting = true;
            for element in std::mem::take(&mut self.elements) {
                self.push(element, sink)?;
            }
        }
        Ok(())
    }

    fn cut<S: TreeSink>(&mut self, sink: &mut S) -> Result<(), S::Error> {
        if self.elements.is_empty() {
            return Ok(());
        }
        let mut plaintext = Vec::with_capacity(self.elements.len() * 56);
        json(&self.elements.iter().map(to_form).collect::<Vec<_>>(), &mut plaintext);
        let size = total(&self.elements).unwrap_or(u64::MAX);
        self.elements.clear();
        let id = sink.store_tree(&plaintext)?;
        let length = u32::try_from(plaintext.len()).unwrap_or(u32::MAX);
        self.parent.get_or_insert_default().push(Element::List { id, length, size }, sink)
    }

    /// The elements to write into the entry.
    ///
    /// # Errors
    /// The sink's.
    pub fn finish<S: TreeSink>(mut self, sink: &mut S) -> Result<Vec<Element>, S::Error> {
        if !self.cutting {
            return Ok(self.elements);
        }
        self.cut(sink)?;
        match self.parent {
            Some(parent) => parent.finish(sink),
            None => Ok(Vec::new()),
        }
    }
}

fn ends_node(element: &Element, length: usize) -> bool {
    let (mean, least, most) = NODE;
    let hash = match element {
        Element::Chunk { id, .. } | Element::List { id, .. } => id.as_bytes().first_chunk().map_or(1, |first| u64::from_le_bytes(*first)),
        Element::Hole { .. } => 1,
    };
    length >= most || (length >= least && hash.is_multiple_of(mean))
}

/// Builds the pages of one directory from entries that come sorted by name.
#[derive(Default)]
pub struct PageBuilder {
    page: Vec<u8>,
    entries: usize,
    pages: ListBuilder,
}

impl PageBuilder {
    /// Appends an entry, given as the JSON that [`write_entry`] writes.
    ///
    /// # Errors
    /// The sink's.
    pub fn push<S: TreeSink>(&mut self, name: &[u8], entry: &[u8], keys: &ChunkKeys, sink: &mut S) -> Result<(), S::Error> {
        self.page.push(if self.entries == 0 { b'[' } else { b',' });
        self.page.extend_from_slice(entry);
        self.entries += 1;
        let (mean, least, most) = PAGE;
        let full = self.entries >= most || self.page.len() >= PAGE_BYTES;
        if full || (self.entries >= least && keys.page_hash(name).is_multiple_of(mean)) {
            self.cut(sink)?;
        }
        Ok(())
    }

    fn cut<S: TreeSink>(&mut self, sink: &mut S) -> Result<(), S::Error> {
        if self.entries == 0 {
            return Ok(());
        }
        self.page.push(b']');
        let id = sink.store_tree(&self.page)?;
        let length = u32::try_from(self.page.len()).unwrap_or(u32::MAX);
        self.page.clear();
        self.entries = 0;
        self.pages.push(Element::Chunk { id, length }, sink)
    }

    /// The directory's pages.
    ///
    /// # Errors
    /// The sink's.
    pub fn finish<S: TreeSink>(mut self, sink: &mut S) -> Result<Vec<Element>, S::Error> {
        self.cut(sink)?;
        self.pages.finish(sink)
    }
}

/// Reads tree chunks.
pub trait TreeSource {
    /// Why reading failed.
    type Error: From<FormatError>;

    /// The plaintext of a tree chunk.
    ///
    /// # Errors
    /// If it is missing or damaged.
    fn tree(&mut self, id: &ChunkId) -> Result<std::sync::Arc<Vec<u8>>, Self::Error>;
}

/// Calls `visit` for every chunk and hole under `elements`, in order, opening list nodes on the way.
///
/// # Errors
/// The source's or the visitor's, or if lists nest too deep.
pub fn walk_elements<S: TreeSource>(
    elements: &[Element],
    source: &mut S,
    visit: &mut dyn FnMut(&Element) -> Result<(), S::Error>,
) -> Result<(), S::Error> {
    walk_level(elements, source, visit, DEPTH)
}

fn walk_level<S: TreeSource>(
    elements: &[Element],
    source: &mut S,
    visit: &mut dyn FnMut(&Element) -> Result<(), S::Error>,
    depth: usize,
) -> Result<(), S::Error> {
    for element in elements {
        match element {
            Element::List { id, size, .. } => {
                let deeper = depth.checked_sub(1).ok_or_else(|| FormatError::new("list nodes nest too deep"))?;
                let nested = parse_list(&source.tree(id)?.clone())?;
                if total(&nested) != Some(*size) {
                    return Err(FormatError::new("a list node does not add up to its size").into());
                }
                walk_level(&nested, source, visit, deeper)?;
            }
            _ => visit(element)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
