//! Reads files of lines: each line holds a resource, a Bundle or an array. Memory holds one chunk of lines, or one Bundle.

use super::bundle::{InputDocument, Read as Taken};
use super::chunk::{Chunk, Emit, Item, phase};
use super::{compartment, sniff};
use crate::error::Fault;
use crate::fhir::prescreen::ScreenLimits;
use std::io::{BufRead, Read};
use std::sync::Arc;

/// A chunk is full with this many bytes.
const CHUNK_BYTES: usize = 1 << 20;
/// A chunk is full with this many resources; one transaction stores a chunk.
const CHUNK_ITEMS: usize = 500;
/// Longest line, in bytes.
const LINE_BYTES_MAX: usize = 32 << 20;

/// Emits the resources of the wanted phases. Returns which phases occur, and how the reading ended.
pub fn lines(
    reader: &mut (dyn BufRead + '_),
    name: &Arc<str>,
    wanted: &dyn Fn(u8) -> bool,
    strict: bool,
    emit: &mut Emit<'_>,
) -> (Taken, std::io::Result<()>) {
    let mut taken = Taken {
        phases: 0,
        record: strict,
        go_on: true,
    };
    let (mut line, mut offset) = (0u64, 0u64);
    let mut pending = Pending::new(name);
    loop {
        let start = pending.buffer.len();
        line += 1;
        let (read, cut) = match read_line(reader, &mut pending.buffer) {
            Ok(read) => read,
            Err(error) => {
                pending.buffer.truncate(start);
                pending.flush(offset, emit);
                return (taken, Err(error));
            }
        };
        if read == 0 {
            taken.go_on = pending.flush(offset, emit);
            return (taken, Ok(()));
        }
        offset += read as u64;
        let raw = &pending.buffer[start..];
        let text = sniff::without_mark(raw.trim_ascii_start()).trim_ascii_start();
        let from = start + raw.len() - text.len();
        let text = text.trim_ascii_end();
        let rtype = sniff::root_type(text);
        let is_record = rtype.is_some_and(|rtype| rtype == "Bundle" || compartment::kind(rtype).is_some());
        if !cut && (text.is_empty() || !strict && !is_record) {
            pending.buffer.truncate(start);
            continue;
        }
        if !cut && (rtype == Some("Bundle") || text.first() == Some(&b'[')) {
            let bundle = text.to_vec();
            pending.buffer.truncate(start);
            taken.go_on = pending.flush(offset, emit);
            if !taken.go_on {
                return (taken, Ok(()));
            }
            let document = InputDocument {
                name,
                line,
                wanted,
                offset,
                strict: true,
            };
            let inner = document.in_order(bundle, emit);
            taken.phases |= inner.phases;
            taken.record = true;
            taken.go_on = inner.go_on;
        } else {
            let (own, span) = (phase(rtype), from..from + text.len());
            taken.phases |= 1 << own;
            taken.record = true;
            if !wanted(own) {
                pending.buffer.truncate(start);
                continue;
            }
            match cut {
                true => pending.refuse(line, start),
                false => pending.items.push(Item { line, ..Item::of(span) }),
            }
            if pending.is_full() {
                taken.go_on = pending.flush(offset, emit);
            }
        }
        if !taken.go_on {
            return (taken, Ok(()));
        }
    }
}

/// Lines that are collected for a chunk.
struct Pending<'n> {
    name: &'n Arc<str>,
    buffer: Vec<u8>,
    items: Vec<Item>,
}

impl<'n> Pending<'n> {
    /// Refuses a line that was cut off because of its length; what was read of it, from `start`, is dropped.
    fn refuse(&mut self, line: u64, start: usize) {
        self.buffer.truncate(start);
        self.items.push(Item {
            line,
            refused: Some(Fault::TooLarge),
            ..Item::of(start..start)
        });
    }

    fn is_full(&self) -> bool {
        self.buffer.len() >= CHUNK_BYTES || self.items.len() >= CHUNK_ITEMS
    }

    fn new(name: &'n Arc<str>) -> Self {
        Pending {
            name,
            buffer: Vec::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 4),
            items: Vec::new(),
        }
    }

    fn flush(&mut self, offset: u64, emit: &mut Emit<'_>) -> bool {
        if self.items.is_empty() {
            self.buffer.clear();
            return true;
        }
        let full = std::mem::replace(&mut self.buffer, Vec::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 4));
        emit(Chunk {
            source: Arc::clone(self.name),
            bytes: full.len() as u64,
            offset,
            buffer: Arc::new(full),
            items: std::mem::take(&mut self.items),
            urls: None,
        })
    }
}

/// Appends one line to `buffer`, up to the longest length; the rest of a longer line is
/// skipped. Returns the bytes read, and whether the line was cut.
fn read_line(reader: &mut (dyn BufRead + '_), buffer: &mut Vec<u8>) -> std::io::Result<(usize, bool)> {
    let start = buffer.len();
    let mut read = 0;
    // A Bundle may be as long as in a file of its own.
    for limit in [LINE_BYTES_MAX, ScreenLimits::bundle().bytes] {
        read += reader.take((limit - read) as u64).read_until(b'\n', buffer)?;
        if read < limit || buffer.last() == Some(&b'\n') {
            return Ok((read, false));
        }
        let text = sniff::without_mark(buffer[start..].trim_ascii_start());
        if sniff::root_type(text) != Some("Bundle") && text.first() != Some(&b'[') {
            break;
        }
    }
    loop {
        let held = reader.fill_buf()?;
        if held.is_empty() {
            return Ok((read, true));
        }
        let end = held.iter().position(|byte| *byte == b'\n');
        let used = end.map_or(held.len(), |at| at + 1);
        reader.consume(used);
        if end.is_some() {
            return Ok((read, true));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &[u8], only: Option<u8>, strict: bool) -> (Vec<(u64, String)>, u8) {
        let mut got = Vec::new();
        let mut reader = text;
        let wanted = |own: u8| only.is_none_or(|only| only == own);
        let (taken, done) = lines(&mut reader, &"x".into(), &wanted, strict, &mut |chunk| {
            got.extend(chunk.items.iter().map(|item| {
                (
                    item.line,
                    String::from_utf8_lossy(&chunk.buffer[item.span.clone()]).into_owned(),
                )
            }));
            true
        });
        done.expect("read");
        (got, taken.phases)
    }

    #[test]
    fn lines_are_found_by_phase_with_their_numbers() {
        let text = b"\xEF\xBB\xBF{\"resourceType\":\"Condition\"}\r\n\n  {\"resourceType\" : \"Patient\"} \n{\"a\":1}";
        let (lines, phases) = all(text, None, true);
        let expected = [
            (1, "{\"resourceType\":\"Condition\"}"),
            (3, "{\"resourceType\" : \"Patient\"}"),
            (4, "{\"a\":1}"),
        ];
        assert_eq!(lines, expected.map(|(n, t)| (n, t.to_owned())));
        assert_eq!(phases, 1 << 4 | 1 << 2);
        assert_eq!(all(text, Some(2), true).0.len(), 1);
        assert_eq!(all(text, None, false).0.len(), 2);
    }

    #[test]
    fn a_line_may_hold_a_bundle_or_an_array() {
        let goal = "{\"resourceType\":\"Goal\",\"id\":\"a\"}";
        let place = "{\"resourceType\":\"Location\",\"id\":\"b\"}";
        let bundle = |inner: &str| format!("{{\"entry\":[{{\"resource\":{inner}}}],\"resourceType\":\"Bundle\"}}");
        let both = format!("{goal}}},{{\"resource\":{place}");
        let text = format!("{}\n[{place},\n", bundle(&both)).replace(",\n", "]\n") + goal;
        let (lines, phases) = all(text.as_bytes(), None, true);
        assert_eq!(phases, 1 << 4 | 1);
        let expected = [(1, place), (1, goal), (2, place), (3, goal)];
        assert_eq!(lines, expected.map(|(n, t)| (n, t.to_owned())));
        assert_eq!(all(text.as_bytes(), Some(0), true).0.len(), 2);
    }
}
