//! Bundles that are made while they are sent: never more than some kilobytes of one are in memory, however large it is.

use super::{Alterations, SandboxRecord};
use crate::script::LargeShape;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use std::io::Write as _;

/// Bytes of a piece.
const PIECE: usize = 32 * 1024;

/// What stands before the entries.
#[derive(Clone, Debug)]
pub(crate) struct SandboxBundleHead {
    /// `Bundle.total`, where it is told.
    pub(crate) total: Option<i64>,
    /// Relations and URLs.
    pub(crate) links: Vec<(&'static str, String)>,
    /// The FHIR base, for `fullUrl`.
    pub(crate) base: String,
}

impl SandboxBundleHead {
    fn text(&self) -> String {
        let links: Vec<Value> = self
            .links
            .iter()
            .map(|(name, url)| json!({ "relation": name, "url": url }))
            .collect();
        let mut head = json!({ "resourceType": "Bundle", "type": "searchset" });
        if let Some(total) = self.total {
            head["total"] = json!(total);
        }
        if !links.is_empty() {
            head["link"] = json!(links);
        }
        let mut text = head.to_string();
        text.pop(); // The brace that closes it.
        text
    }
}

/// A Bundle as pieces.
pub(crate) struct BundlePieces<I> {
    head: SandboxBundleHead,
    record: SandboxRecord,
    indexes: I,
    alterations: Alterations,
    /// Further entries, with their search mode.
    last: Vec<(&'static str, Value)>,
    entries: u64,
    begun: bool,
    ended: bool,
    /// Bytes after which no further entry begins.
    bytes_max: u64,
    bytes: u64,
}

impl<I: Iterator<Item = u64>> BundlePieces<I> {
    pub(crate) fn of(
        head: SandboxBundleHead,
        record: SandboxRecord,
        indexes: I,
        alterations: Alterations,
    ) -> BundlePieces<I> {
        BundlePieces {
            head,
            record,
            indexes,
            alterations,
            last: Vec::new(),
            entries: 0,
            begun: false,
            ended: false,
            bytes_max: u64::MAX,
            bytes: 0,
        }
    }

    /// Adds an entry at the end.
    pub(crate) fn ending_with(mut self, mode: &'static str, resource: Value) -> BundlePieces<I> {
        self.last.push((mode, resource));
        self
    }

    fn entry(&mut self, piece: &mut Vec<u8>, mode: &str, resource: &Value) {
        piece.extend_from_slice(if self.entries == 0 { b",\"entry\":[" } else { b"," });
        self.entries += 1;
        piece.push(b'{');
        if let (Some(kind), Some(id)) = (resource["resourceType"].as_str(), resource["id"].as_str()) {
            // Neither holds a character that JSON escapes.
            piece.extend_from_slice(b"\"fullUrl\":\"");
            for part in [&self.head.base, "/", kind, "/", id] {
                piece.extend_from_slice(part.as_bytes());
            }
            piece.extend_from_slice(b"\",");
        }
        piece.extend_from_slice(b"\"resource\":");
        // Writing a value into memory does not fail.
        let _ = serde_json::to_writer(&mut *piece, resource);
        piece.extend_from_slice(b",\"search\":{\"mode\":\"");
        piece.extend_from_slice(mode.as_bytes());
        piece.extend_from_slice(b"\"}}");
    }
}

impl<I: Iterator<Item = u64>> Iterator for BundlePieces<I> {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        if self.ended {
            return None;
        }
        let mut piece = Vec::with_capacity(PIECE + 4096);
        if !self.begun {
            self.begun = true;
            piece.extend_from_slice(self.head.text().as_bytes());
        }
        while piece.len() < PIECE {
            let index = if self.bytes + piece.len() as u64 >= self.bytes_max {
                None
            } else {
                self.indexes.next()
            };
            if let Some(index) = index {
                for resource in self.alterations.apply(&self.record, index) {
                    self.entry(&mut piece, "match", &resource);
                }
                continue;
            }
            for (mode, resource) in std::mem::take(&mut self.last) {
                self.entry(&mut piece, mode, &resource);
            }
            piece.extend_from_slice(if self.entries > 0 { b"]}" } else { b"}" });
            self.ended = true;
            break;
        }
        self.bytes += piece.len() as u64;
        Some(piece)
    }
}

/// A Bundle of about `bytes` bytes, or one that never ends.
pub(crate) fn large(
    record: SandboxRecord,
    base: &str,
    bytes: Option<u64>,
    shape: LargeShape,
) -> Box<dyn Iterator<Item = Vec<u8>> + Send> {
    let head = SandboxBundleHead {
        total: None,
        links: Vec::new(),
        base: base.to_owned(),
    };
    let Some(bytes) = bytes.filter(|_| shape != LargeShape::Entries) else {
        // Past the end of the record its visits go on.
        let endless = (0..u64::MAX).filter(|&index| index + 1 != u64::MAX);
        let mut pieces = BundlePieces::of(head, record, endless, Alterations::default());
        pieces.bytes_max = bytes.unwrap_or(u64::MAX);
        return Box::new(pieces);
    };
    let head = head.text();
    let (before, filling, after) = match shape {
        LargeShape::OneString => (
            format!(
                "{head},\"entry\":[{{\"resource\":{{\"resourceType\":\"Binary\",\"contentType\":\"text/plain\",\"data\":\""
            ),
            b'A',
            "\"}}]}".to_owned(),
        ),
        _ => (head, b' ', "}".to_owned()),
    };
    let mut left = bytes / 4 * 4;
    let filler = std::iter::from_fn(move || {
        let size = left.min(PIECE as u64);
        left -= size;
        (size > 0).then(|| vec![filling; size as usize])
    });
    let before = std::iter::once(before.into_bytes());
    Box::new(before.chain(filler).chain(std::iter::once(after.into_bytes())))
}

/// Pieces compressed with gzip while they are sent.
pub(crate) fn squeezed(
    mut pieces: Box<dyn Iterator<Item = Vec<u8>> + Send>,
) -> Box<dyn Iterator<Item = Vec<u8>> + Send> {
    let mut encoder = Some(GzEncoder::new(Vec::new(), Compression::best()));
    Box::new(std::iter::from_fn(move || {
        loop {
            let mut open = encoder.take()?;
            // Writing into memory does not fail.
            let Some(piece) = pieces.next() else {
                return open.finish().ok();
            };
            open.write_all(&piece).ok()?;
            let made = std::mem::take(open.get_mut());
            encoder = Some(open);
            if !made.is_empty() {
                return Some(made);
            }
        }
    }))
}
