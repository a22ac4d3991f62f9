//! The scanner: JSON's grammar and FHIR's prohibitions in one loop with an explicit stack.

use super::Limits;
use super::tape::{Entry, Kind, Screened};
use super::text::{self, Wrong};
use crate::error::{Failure, Fault};

/// Longest number taken; the model's decimals have at most 18 digits, other systems send more.
const NUMBER_BYTES_MAX: usize = 64;
/// Largest power of ten in a number, so that no reader overflows.
const EXPONENT_MAX: u32 = 300;
/// Longest element name.
const KEY_BYTES_MAX: usize = 64;

/// An open container.
struct Frame {
    entry: u32,
    array: bool,
    /// The container's own name starts with `_`: companions of primitives, which may be null in arrays.
    companion: bool,
    /// Children begun.
    count: u32,
    /// Where this object's names start in `Scanner::keys`.
    keys: usize,
    nulls: bool,
    objects: bool,
    primitives: bool,
    /// A member is an array with nulls, to be judged beside its companion.
    judge: bool,
}

struct Key {
    hash: u64,
    start: u32,
    len: u8,
}

struct Scanner<'b> {
    bytes: &'b [u8],
    limits: Limits,
    at: usize,
    tape: Vec<Entry>,
    frames: Vec<Frame>,
    keys: Vec<Key>,
    references: Vec<u32>,
    /// Name of the member being read; empty in arrays.
    key: (u32, u8),
}

/// A fault at the place the scanner has reached.
type Scan<T> = Result<T, Fault>;

pub(super) fn scan<'b>(bytes: &'b [u8], limits: &Limits) -> Result<Screened<'b>, Failure> {
    if bytes.len() > limits.bytes || u32::try_from(bytes.len()).is_err() {
        return Err(Failure::new(Fault::TooLarge));
    }
    if bytes.starts_with(b"\xef\xbb\xbf") || std::str::from_utf8(bytes).is_err() {
        return Err(Failure::new(Fault::NotUtf8));
    }
    let mut scanner = Scanner {
        bytes,
        limits: *limits,
        at: 0,
        tape: Vec::with_capacity((bytes.len() / 24).clamp(16, limits.values)),
        frames: Vec::with_capacity(16),
        keys: Vec::with_capacity(64),
        references: Vec::new(),
        key: (0, 0),
    };
    match scanner.document() {
        Ok(()) => {
            let screened = Screened {
                bytes,
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
        Err(fault) => Err(Failure::new(fault).at(scanner.place())),
    }
}

impl Scanner<'_> {
    fn document(&mut self) -> Scan<()> {
        self.space();
        match self.peek() {
            Some(b'{') => self.open(false)?,
            // Read on: what is wrong inside is the better answer.
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

    /// Reads the next child of the innermost container. `false` when that is a container, now open.
    fn child(&mut self) -> Scan<bool> {
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
                self.primitive(start, Kind::Number, false).map(|()| true)
            }
            Some(b't') => self.literal(b"true", Kind::True).map(|()| true),
            Some(b'f') => self.literal(b"false", Kind::False).map(|()| true),
            Some(b'n') => self.literal(b"null", Kind::Null).map(|()| true),
            _ => Err(Fault::NotJson),
        }
    }

    /// After a value: a comma and another child, or the ends of containers.
    fn after_value(&mut self) -> Scan<()> {
        loop {
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
        let entry = self.push(start, if array { Kind::Array } else { Kind::Object }, false)?;
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
        if let Some(frame) = self.frames.last().filter(|frame| frame.judge) {
            let object = frame.entry;
            self.judge_nulls(object)?;
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

    /// Every null in an array needs a value at the same index of its companion (`given` and `_given`).
    fn judge_nulls(&mut self, object: u32) -> Scan<()> {
        let end = self.tape.len() as u32;
        let mut members = Vec::new();
        let mut at = object + 1;
        while at < end {
            members.push(at);
            at = self.tape[at as usize].next;
        }
        let bytes = self.bytes;
        let tape = &self.tape;
        let name = |at: u32| {
            let entry = &tape[at as usize];
            &bytes[entry.key_start as usize..entry.key_start as usize + usize::from(entry.key_len)]
        };
        let kinds = |at: u32| {
            let mut kinds = Vec::new();
            let mut child = at + 1;
            while child < tape[at as usize].next {
                kinds.push(tape[child as usize].kind);
                child = tape[child as usize].next;
            }
            kinds
        };
        for &member in members
            .iter()
            .filter(|&&member| tape[member as usize].kind == Kind::Array)
        {
            let own = kinds(member);
            if !own.contains(&Kind::Null) {
                continue;
            }
            let partner = members.iter().copied().find(|&other| match name(member) {
                [b'_', base @ ..] => name(other) == base,
                base => name(other).strip_prefix(b"_") == Some(base),
            });
            let partner = partner.map(kinds).unwrap_or_default();
            let lonely = own
                .iter()
                .enumerate()
                .any(|(i, kind)| *kind == Kind::Null && partner.get(i).is_none_or(|k| *k == Kind::Null));
            if lonely {
                self.key = (tape[member as usize].key_start, tape[member as usize].key_len);
                return Err(Fault::EmptyValue);
            }
        }
        Ok(())
    }

    /// Reads a member's name: an element name, new in its object.
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
            // Not an element name: well-formed JSON or not decides the fault.
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
        self.primitive(start, Kind::String, scanned.escaped)
    }

    fn literal(&mut self, word: &[u8], kind: Kind) -> Scan<()> {
        let start = self.at;
        if !self.bytes[start..].starts_with(word) {
            return Err(Fault::NotJson);
        }
        self.at += word.len();
        self.primitive(start, kind, false)
    }

    fn number(&mut self) -> Scan<()> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits()?,
            _ => return Err(Fault::NotJson),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            let from = self.at;
            self.digits()?;
            let power = self.bytes[from..self.at]
                .iter()
                .fold(0u32, |sum, b| (sum * 10 + u32::from(b - b'0')).min(10_000));
            if power > EXPONENT_MAX {
                return Err(Fault::ResourceInvalid);
            }
        }
        if self.at - start > NUMBER_BYTES_MAX {
            Err(Fault::ResourceInvalid)
        } else {
            Ok(())
        }
    }

    fn digits(&mut self) -> Scan<()> {
        let count = self.bytes[self.at..].iter().take_while(|b| b.is_ascii_digit()).count();
        self.at += count;
        if count == 0 { Err(Fault::NotJson) } else { Ok(()) }
    }

    fn primitive(&mut self, start: usize, kind: Kind, escaped: bool) -> Scan<()> {
        let companion = self.key_bytes().first() == Some(&b'_');
        let Some(frame) = self.frames.last_mut() else {
            return Err(Fault::NotJson);
        };
        if kind == Kind::Null {
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

    fn push(&mut self, start: usize, kind: Kind, escaped: bool) -> Scan<u32> {
        if self.tape.len() >= self.limits.values {
            return Err(Fault::TooLarge);
        }
        let index = self.tape.len() as u32;
        let (key_start, key_len) = self.key;
        self.tape.push(Entry {
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
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn key_bytes(&self) -> &[u8] {
        &self.bytes[self.key.0 as usize..self.key.0 as usize + usize::from(self.key.1)]
    }

    /// Where the scanner is, as a FHIRPath expression made of element names and indices; it ends above what is no name.
    fn place(&self) -> String {
        let name = |start: u32, len: u8| {
            let bytes = &self.bytes[start as usize..start as usize + usize::from(len)];
            text::element_name(std::str::from_utf8(bytes).unwrap_or_default())
        };
        let root = self.root_type().unwrap_or("Resource");
        let mut path = root.to_owned();
        for (depth, frame) in self.frames.iter().enumerate() {
            let (key_start, key_len) = match self.frames.get(depth + 1) {
                Some(inner) => {
                    let entry = &self.tape[inner.entry as usize];
                    (entry.key_start, entry.key_len)
                }
                None => self.key,
            };
            if frame.array {
                path.push_str(&format!("[{}]", frame.count.saturating_sub(1)));
            } else if key_len > 0 {
                let Some(name) = name(key_start, key_len) else { break };
                path.push_str(&format!(".{name}"));
            }
        }
        path
    }

    /// The root's type, when it was read already.
    fn root_type(&self) -> Option<&'static str> {
        let keys = self.keys.iter().take(self.limits.members);
        let wanted = b"resourceType";
        let key = keys
            .into_iter()
            .find(|key| &self.bytes[key.start as usize..key.start as usize + usize::from(key.len)] == wanted)?;
        let entry = self
            .tape
            .iter()
            .find(|entry| entry.key_start == key.start && entry.kind == Kind::String)?;
        let name = std::str::from_utf8(self.bytes.get(entry.start as usize + 1..entry.end as usize - 1)?).ok()?;
        // A nested resource's type stands deeper than the root's first names; only the root's own counts.
        let own = self
            .frames
            .get(1)
            .is_none_or(|inner| self.tape[inner.entry as usize].start > entry.start);
        if own {
            causeway_fhir_types::type_name(name)
        } else {
            None
        }
    }
}

/// A cheap hash of a short name; equal hashes are compared by bytes.
fn hash(name: &[u8]) -> u64 {
    name.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
