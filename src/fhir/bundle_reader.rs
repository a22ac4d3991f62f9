//! Reads a Bundle while it arrives: gives out one entry after another, and keeps nothing but the entry that is being read. It reads the
//! parameters of a Parameters resource in the same way.
//!
//! It finds where the entries begin and end, and the few members of the Bundle that a client needs. It does not judge what an entry holds:
//! that is the pre-screen's work. A Bundle of any size costs as much memory as its largest entry, up to a limit.

mod frame;

pub use frame::{BundleFrame, BundlePiece};

use crate::error::{Failure, Fault};
use serde::Deserialize;

/// Longest value of a member beside the entries that is read (links, type, total), bytes.
const ASIDE_BYTES: usize = 64 << 10;
/// Most levels of nesting.
const DEPTH_MAX: usize = 60;

/// A Bundle that is being read.
#[derive(Debug)]
pub struct BundleReader {
    entry_bytes: usize,
    list: EntryList,
    at: u64,
    /// One letter for each open container.
    open: Vec<u8>,
    string: InString,
    /// Whether a value of the root object is expected, so that a string is one and not a name.
    value_next: bool,
    key: Vec<u8>,
    own: Option<Member>,
    seen_entries: bool,
    taken: Vec<u8>,
    taking: Taking,
    head: BundleFrame,
    over: bool,
}

/// The array whose elements are given out: its name, and its place.
type EntryList = (&'static str, &'static str);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InString {
    No,
    Yes,
    Escaped,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taking {
    Nothing,
    Key,
    Aside,
    Entry { start: u64 },
    Skipped { start: u64 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Member {
    ResourceType,
    Kind,
    Total,
    Links,
    Entries,
    Other,
}

#[derive(Deserialize)]
struct Link {
    relation: Option<String>,
    url: Option<String>,
}

fn not_json() -> Failure {
    Failure::new(Fault::NotJson)
}

impl BundleReader {
    /// A reader that gives out entries of at most `entry_bytes` bytes.
    pub fn new(entry_bytes: usize) -> BundleReader {
        BundleReader::of(("entry", "Bundle.entry"), entry_bytes)
    }

    /// A reader of a Parameters resource, whose parameters of at most `entry_bytes` bytes are its entries.
    pub fn of_parameters(entry_bytes: usize) -> BundleReader {
        BundleReader::of(("parameter", "Parameters.parameter"), entry_bytes)
    }

    fn of(list: EntryList, entry_bytes: usize) -> BundleReader {
        BundleReader {
            entry_bytes,
            list,
            at: 0,
            open: Vec::new(),
            string: InString::No,
            value_next: false,
            key: Vec::new(),
            own: None,
            seen_entries: false,
            taken: Vec::new(),
            taking: Taking::Nothing,
            head: BundleFrame::default(),
            over: false,
        }
    }

    /// Reads the next bytes of the document, and hands each entry that ends in them to `take`.
    ///
    /// # Errors
    /// [`Fault::NotJson`], [`Fault::TooDeep`], [`Fault::TooLarge`], [`Fault::DuplicateKey`] and [`Fault::ResourceInvalid`], when no Bundle
    /// can look like this; those of `take`.
    pub fn feed(
        &mut self,
        bytes: &[u8],
        take: &mut dyn FnMut(BundlePiece) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut rest = bytes;
        while let Some((&byte, after)) = rest.split_first() {
            if self.string == InString::Yes && !matches!(byte, b'"' | b'\\') {
                // The inside of a string, up to what may end it.
                let length = memchr::memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
                self.keep(&rest[..length])?;
                self.at += length as u64;
                rest = &rest[length..];
                continue;
            }
            self.byte(byte, take)?;
            self.at += 1;
            rest = after;
        }
        Ok(())
    }

    /// Ends the document.
    ///
    /// # Errors
    /// [`Fault::NotJson`] when it is not over.
    pub fn end(self) -> Result<BundleFrame, Failure> {
        match self.over {
            true => Ok(self.head),
            false => Err(not_json()),
        }
    }

    fn byte(&mut self, byte: u8, take: &mut dyn FnMut(BundlePiece) -> Result<(), Failure>) -> Result<(), Failure> {
        if self.over {
            return if byte.is_ascii_whitespace() {
                Ok(())
            } else {
                Err(not_json())
            };
        }
        match self.string {
            InString::Escaped => {
                self.string = InString::Yes;
                return self.keep(&[byte]);
            }
            InString::Yes => return self.in_string(byte),
            InString::No => {}
        }
        match byte {
            b'"' => self.begin_string(),
            b'{' | b'[' => self.open(byte),
            b'}' | b']' => self.close(byte, take),
            b':' if self.open.len() == 1 && !self.value_next => {
                self.value_next = true;
                self.own = Some(self.member()?);
                Ok(())
            }
            b',' if self.open.len() == 1 => self.member_ends(),
            byte if self.open.is_empty() => {
                if byte.is_ascii_whitespace() {
                    Ok(())
                } else {
                    Err(not_json())
                }
            }
            byte if self.open.len() == 1 => self.scalar(byte),
            byte if self.is_between_entries() => {
                if byte == b',' || byte.is_ascii_whitespace() {
                    Ok(())
                } else {
                    Err(Failure::new(Fault::ResourceInvalid).at(self.list.1))
                }
            }
            byte => self.keep(&[byte]),
        }
    }

    fn is_between_entries(&self) -> bool {
        self.own == Some(Member::Entries) && self.open.len() == 2
    }

    fn in_string(&mut self, byte: u8) -> Result<(), Failure> {
        if byte == b'\\' {
            self.string = InString::Escaped;
            return self.keep(&[byte]);
        }
        self.string = InString::No;
        if self.taking == Taking::Key {
            self.taking = Taking::Nothing;
            self.key = std::mem::take(&mut self.taken);
            return Ok(());
        }
        self.keep(&[byte])
    }

    fn begin_string(&mut self) -> Result<(), Failure> {
        match self.open.len() {
            0 => return Err(not_json()),
            1 if !self.value_next => {
                self.taking = Taking::Key;
                self.taken.clear();
                self.string = InString::Yes;
                return Ok(());
            }
            1 if self.own == Some(Member::Entries) => {
                return Err(Failure::new(Fault::ResourceInvalid).at(self.list.1));
            }
            1 => self.begin_aside(),
            2 if self.is_between_entries() => return Err(Failure::new(Fault::ResourceInvalid).at(self.list.1)),
            _ => {}
        }
        self.string = InString::Yes;
        self.keep(b"\"")
    }

    fn scalar(&mut self, byte: u8) -> Result<(), Failure> {
        if byte.is_ascii_whitespace() {
            return Ok(());
        }
        if !self.value_next {
            return Err(not_json());
        }
        if self.own == Some(Member::Entries) {
            return Err(Failure::new(Fault::ResourceInvalid).at(self.list.1));
        }
        self.begin_aside();
        self.keep(&[byte])
    }

    /// Begins to take a value of the root object, when it is one of those that are read.
    fn begin_aside(&mut self) {
        let wanted = matches!(
            self.own,
            Some(Member::ResourceType | Member::Kind | Member::Total | Member::Links)
        );
        if wanted && self.taking == Taking::Nothing {
            self.taking = Taking::Aside;
            self.taken.clear();
        }
    }

    fn open(&mut self, byte: u8) -> Result<(), Failure> {
        match self.open.len() {
            0 if byte == b'[' => return Err(Failure::new(Fault::ResourceInvalid).at("Resource")),
            1 if !self.value_next => return Err(not_json()),
            1 if self.own == Some(Member::Entries) && byte == b'{' => {
                return Err(Failure::new(Fault::ResourceInvalid).at(self.list.1));
            }
            1 => self.begin_aside(),
            2 if self.is_between_entries() => {
                if byte == b'[' {
                    return Err(Failure::new(Fault::ResourceInvalid).at(self.list.1));
                }
                self.taking = Taking::Entry { start: self.at };
                self.taken.clear();
            }
            DEPTH_MAX.. => return Err(Failure::new(Fault::TooDeep)),
            _ => {}
        }
        self.open.push(byte);
        if self.open.len() > 1 {
            self.keep(&[byte])
        } else {
            Ok(())
        }
    }

    fn close(&mut self, byte: u8, take: &mut dyn FnMut(BundlePiece) -> Result<(), Failure>) -> Result<(), Failure> {
        let opened = self.open.pop().ok_or_else(not_json)?;
        if (opened == b'{') != (byte == b'}') {
            return Err(not_json());
        }
        if self.open.is_empty() {
            self.member_ends()?;
            self.over = true;
            return Ok(());
        }
        self.keep(&[byte])?;
        if self.is_between_entries() {
            let length = self.at + 1;
            match std::mem::replace(&mut self.taking, Taking::Nothing) {
                Taking::Entry { start } => {
                    self.head.entries += 1;
                    take(BundlePiece::Entry {
                        start,
                        bytes: std::mem::take(&mut self.taken),
                    })?;
                }
                Taking::Skipped { start } => {
                    self.head.entries += 1;
                    let length = length - start;
                    take(BundlePiece::TooLong { start, length })?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The member whose name was just read.
    fn member(&mut self) -> Result<Member, Failure> {
        let member = match self.key.as_slice() {
            b"resourceType" => Member::ResourceType,
            b"type" => Member::Kind,
            b"total" => Member::Total,
            b"link" => Member::Links,
            name if name == self.list.0.as_bytes() => Member::Entries,
            _ => Member::Other,
        };
        if member == Member::Entries && std::mem::replace(&mut self.seen_entries, true) {
            return Err(Failure::new(Fault::DuplicateKey).at(self.list.1));
        }
        Ok(member)
    }

    /// A member of the root object is over.
    fn member_ends(&mut self) -> Result<(), Failure> {
        let taken = std::mem::take(&mut self.taken);
        let read = std::mem::replace(&mut self.taking, Taking::Nothing) == Taking::Aside;
        let own = self.own.take();
        self.value_next = false;
        if !read {
            return Ok(());
        }
        let wrong = |place: &'static str| move |_| Failure::new(Fault::ResourceInvalid).at(place);
        match own {
            Some(Member::ResourceType) => {
                self.head.resource_type = serde_json::from_slice(&taken).map_err(wrong("Bundle.resourceType"))?;
            }
            Some(Member::Kind) => self.head.kind = serde_json::from_slice(&taken).map_err(wrong("Bundle.type"))?,
            Some(Member::Total) => {
                self.head.total = Some(serde_json::from_slice(&taken).map_err(wrong("Bundle.total"))?);
            }
            Some(Member::Links) => {
                let links: Vec<Link> = serde_json::from_slice(&taken).map_err(wrong("Bundle.link"))?;
                let mut next = links
                    .into_iter()
                    .filter(|link| link.relation.as_deref() == Some("next"))
                    .filter_map(|link| link.url);
                self.head.next = next.next();
                if next.next().is_some() {
                    return Err(Failure::new(Fault::ResourceInvalid).at("Bundle.link"));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Keeps bytes of the value that is being taken.
    fn keep(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let most = match self.taking {
            Taking::Nothing | Taking::Skipped { .. } => return Ok(()),
            Taking::Key | Taking::Aside => ASIDE_BYTES,
            Taking::Entry { .. } => self.entry_bytes,
        };
        if self.taken.len() + bytes.len() <= most {
            self.taken.extend_from_slice(bytes);
            return Ok(());
        }
        let Taking::Entry { start } = self.taking else {
            return Err(Failure::new(Fault::TooLarge).at("Bundle"));
        };
        self.taking = Taking::Skipped { start };
        self.taken = Vec::new();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
