//! The scanner: checks JSON's grammar and FHIR's restrictions in one loop with an explicit stack.

mod number;
mod place;

use super::limits::ScreenLimits;
use super::nulls;
use super::steps::step;
use super::tape::{JsonKind, Screened, TapeEntry};
use super::text::{self, Wrong};
use crate::error::{Failure, Fault};

/// Longest element name.
const KEY_BYTES_MAX: usize = 64;

/// An open container.
struct Frame {
    entry: u32,
    array: bool,
    /// Whether the container's name starts with `_`, so that it holds ids and extensions of primitives, and its arrays may have nulls.
    companion: bool,
    /// Number of children that were begun.
    count: u32,
    /// Index in `Scanner::keys` of this object's first name.
    keys: usize,
    nulls: bool,
    objects: bool,
    primitives: bool,
    /// Whether a member is an array with nulls, which must be checked together with its companion.
    judge: bool,
}

struct Key {
    hash: u64,
    start: u32,
    len: u8,
}

struct Scanner<'b> {
    bytes: &'b [u8],
    limits: ScreenLimits,
    at: usize,
    tape: Vec<TapeEntry>,
    frames: Vec<Frame>,
    keys: Vec<Key>,
    references: Vec<u32>,
    /// Start and length of the name of the current member; the length is 0 in arrays.
    key: (u32, u8),
}

/// The error is a fault at the current position of the scanner.
type Scan<T> = Result<T, Fault>;

pub(super) fn scan<'b>(bytes: &'b [u8], limits: &ScreenLimits) -> Result<Screened<'b>, Failure> {
    if bytes.len() > limits.bytes || u32::try_from(bytes.len()).is_err() {
        return Err(Failure::new(Fault::TooLarge));
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) if !bytes.starts_with(b"\xef\xbb\xbf") => text,
        _ => return Err(Failure::new(Fault::NotUtf8)),
    };
    let mut scanner = Scanner {
        bytes,
        limits: *limits,
        at: 0,
        tape: Vec::with_capacity((bytes.len() / 24 + 16).min(limits.values)),
        frames: Vec::with_capacity(16),
        keys: Vec::with_capacity(64),
        references: Vec::new(),
        key: (0, 0),
    };
    match scanner.document() {
        Ok(()) => {
            let screened = Screened {
                text,
                tape: scanner.tape,
                references: scanner.references,
            };
            if causeway_fhir_types::is_type(&screened.resource_type()) {
                Ok(screened)
            } else {
                Err(Failure::new(Fault::ResourceInvalid)
                    .at("Resource")
                    .remedy("Give resourceType an R4 resource type."))
            }
        }
        Err(fault) => {
            let failure = Failure::new(fault).at(scanner.place());
            Err(match fault {
                Fault::TooLarge => failure.remedy(format!("Too many: send at most {} JSON values.", limits.values)),
                _ => failure,
            })
        }
    }
}

impl Scanner<'_> {
    fn document(&mut self) -> Scan<()> {
        self.space();
        match self.peek() {
            Some(b'{') => self.open(false)?,
            // Reading continues, because a fault inside the array is the more helpful answer.
            Some(b'[') => self.open(true)?,
            _ if serde_json::from_slice::<serde::de::IgnoredAny>(self.bytes).is_ok() => {
                return Err(Fault::ResourceInvalid);
            }
            _ => return Err(Fault::NotJson),
        }
        while !self.frames.is_empty() {
            if self.child()? {
                self.after_value()?;
            }
        }
        self.space();
        if self.at == self.bytes.len() {
            Ok(())
        } else {
            Err(Fault::NotJson)
        }
    }

    /// Reads the next child of the innermost container. Returns `false` when the child is a container, which is now open.
    fn child(&mut self) -> Scan<bool> {
        step(1);
        self.key = (0, 0);
        self.space();
        let Some(frame) = self.frames.last_mut() else {
            return Err(Fault::NotJson);
        };
        frame.count += 1;
        if !frame.array {
            self.name()?;
            self.space();
            if self.peek() != Some(b':') {
                return Err(Fault::NotJson);
            }
            self.at += 1;
            self.space();
        }
        let start = self.at;
        match self.peek() {
            Some(b'{') => self.open(false).map(|()| false),
            Some(b'[') => self.open(true).map(|()| false),
            Some(b'"') => self.string(start).map(|()| true),
            Some(b'-' | b'0'..=b'9') => {
                self.number()?;
                self.primitive(start, JsonKind::Number, false).map(|()| true)
            }
            Some(b't') => self.literal(b"true", JsonKind::True).map(|()| true),
            Some(b'f') => self.literal(b"false", JsonKind::False).map(|()| true),
            Some(b'n') => self.literal(b"null", JsonKind::Null).map(|()| true),
            _ => Err(Fault::NotJson),
        }
    }

    /// Reads what follows a value: a comma and another child, or the ends of containers.
    fn after_value(&mut self) -> Scan<()> {
        loop {
            step(1);
            let Some(frame) = self.frames.last() else { return Ok(()) };
            let end = if frame.array { b']' } else { b'}' };
            self.space();
            match self.peek() {
                Some(b',') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(byte) if byte == end => {
                    self.at += 1;
                    self.close()?;
                }
                _ => return Err(Fault::NotJson),
            }
        }
    }

    fn open(&mut self, array: bool) -> Scan<()> {
        if self.frames.len() >= self.limits.depth {
            return Err(Fault::TooDeep);
        }
        if let Some(parent) = self.frames.last_mut() {
            // FHIR has no arrays of arrays.
            if parent.array && array {
                return Err(Fault::ResourceInvalid);
            }
            parent.objects = true;
        }
        let start = self.at;
        self.at += 1;
        self.space();
        if self.peek() == Some(if array { b']' } else { b'}' }) {
            return Err(Fault::EmptyValue);
        }
        let companion = self.key_bytes().first() == Some(&b'_');
        let entry = self.push(start, if array { JsonKind::Array } else { JsonKind::Object }, false)?;
        let keys = self.keys.len();
        self.frames.push(Frame {
            entry,
            array,
            companion,
            count: 0,
            keys,
            nulls: false,
            objects: false,
            primitives: false,
            judge: false,
        });
        Ok(())
    }

    fn close(&mut self) -> Scan<()> {
        self.key = (0, 0);
        if let Some(frame) = self.frames.last().filter(|frame| frame.judge)
            && let Some(key) = nulls::lonely(self.bytes, &self.tape, frame.entry)
        {
            self.key = key;
            return Err(Fault::EmptyValue);
        }
        let Some(frame) = self.frames.pop() else {
            return Err(Fault::NotJson);
        };
        let next = self.tape.len() as u32;
        let entry = &mut self.tape[frame.entry as usize];
        entry.end = self.at as u32;
        entry.next = next;
        let closed = *entry;
        if frame.array {
            self.key = (closed.key_start, closed.key_len);
            if frame.nulls && frame.objects && !frame.companion {
                return Err(Fault::EmptyValue);
            }
            if frame.primitives && (frame.objects || frame.companion) {
                return Err(Fault::ResourceInvalid);
            }
            if let (true, Some(parent)) = (frame.nulls, self.frames.last_mut()) {
                parent.judge = true;
            }
            self.key = (0, 0);
        } else {
            self.keys.truncate(frame.keys);
        }
        Ok(())
    }

    /// Reads a member's name, which must be an element name and not repeated in its object.
    fn name(&mut self) -> Scan<()> {
        if self.peek() != Some(b'"') {
            return Err(Fault::NotJson);
        }
        let start = self.at + 1;
        let rest = self.bytes.get(start..).unwrap_or_default();
        let len = rest
            .iter()
            .take(KEY_BYTES_MAX + 1)
            .take_while(|b| b.is_ascii_alphanumeric() || **b == b'_')
            .count();
        if rest.get(len) != Some(&b'"') || len == 0 || len > KEY_BYTES_MAX {
            // Not an element name. The fault depends on whether the text is well-formed JSON.
            return Err(match text::scan(self.bytes, start) {
                Err(Wrong::NotJson) => Fault::NotJson,
                Ok(_) if len == 0 && rest.first() == Some(&b'"') => Fault::EmptyValue,
                _ => Fault::ResourceInvalid,
            });
        }
        self.at = start + len + 1;
        let name = &rest[..len];
        self.key = (start as u32, len as u8);
        let Some(frame) = self.frames.last() else {
            return Err(Fault::NotJson);
        };
        let own = &self.keys[frame.keys..];
        step(own.len());
        let hash = hash(name);
        let bytes = self.bytes;
        let twice = own.iter().any(|key| {
            key.hash == hash && &bytes[key.start as usize..key.start as usize + usize::from(key.len)] == name
        });
        if twice {
            return Err(Fault::DuplicateKey);
        }
        if own.len() >= self.limits.members {
            return Err(Fault::ResourceInvalid);
        }
        self.keys.push(Key {
            hash,
            start: start as u32,
            len: len as u8,
        });
        Ok(())
    }

    fn string(&mut self, start: usize) -> Scan<()> {
        let scanned = text::scan(self.bytes, start + 1).map_err(|wrong| match wrong {
            Wrong::NotJson => Fault::NotJson,
            Wrong::Control => Fault::ResourceInvalid,
        })?;
        if scanned.end == start + 2 {
            return Err(Fault::EmptyValue);
        }
        self.at = scanned.end;
        if self.key_bytes() == b"reference" {
            self.references.push(self.tape.len() as u32);
        }
        self.primitive(start, JsonKind::String, scanned.escaped)
    }

    fn literal(&mut self, word: &[u8], kind: JsonKind) -> Scan<()> {
        let start = self.at;
        if !self.bytes[start..].starts_with(word) {
            return Err(Fault::NotJson);
        }
        self.at += word.len();
        self.primitive(start, kind, false)
    }

    fn primitive(&mut self, start: usize, kind: JsonKind, escaped: bool) -> Scan<()> {
        let companion = self.key_bytes().first() == Some(&b'_');
        let Some(frame) = self.frames.last_mut() else {
            return Err(Fault::NotJson);
        };
        if kind == JsonKind::Null {
            if !frame.array {
                return Err(Fault::EmptyValue);
            }
            frame.nulls = true;
        } else {
            if companion {
                return Err(Fault::ResourceInvalid);
            }
            frame.primitives = true;
        }
        self.push(start, kind, escaped).map(drop)
    }

    fn push(&mut self, start: usize, kind: JsonKind, escaped: bool) -> Scan<u32> {
        if self.tape.len() >= self.limits.values {
            return Err(Fault::TooLarge);
        }
        let index = self.tape.len() as u32;
        let (key_start, key_len) = self.key;
        self.tape.push(TapeEntry {
            start: start as u32,
            end: self.at as u32,
            next: index + 1,
            key_start,
            key_len,
            kind,
            escaped,
        });
        Ok(index)
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            step(1);
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn key_bytes(&self) -> &[u8] {
        &self.bytes[self.key.0 as usize..self.key.0 as usize + usize::from(self.key.1)]
    }
}

/// A fast hash of a short name. Names with equal hashes are then compared by their bytes.
fn hash(name: &[u8]) -> u64 {
    name.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
