//! One span: what is known of it while it is open, and what the collector gets of it.

use super::context::SpanContext;
use super::words::{SpanKey, SpanName, SpanNote, SpanValue};

/// Most events of one span; further ones are left out.
const NOTES_MOST: usize = 32;

/// What happened during a span, and when (UTC microseconds).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotedEvent {
    /// What.
    pub note: SpanNote,
    /// When, UTC microseconds.
    pub at_us: i64,
    /// What belongs to it.
    pub attributes: Vec<(SpanKey, SpanValue)>,
}

/// A span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpanRecord {
    /// Which one.
    pub name: SpanName,
    /// Where it stands.
    pub context: SpanContext,
    /// The span above it, here or at the caller; `None` at the top of a trace.
    pub parent: Option<[u8; 8]>,
    /// A span of another trace that it belongs to.
    pub link: Option<SpanContext>,
    /// When it began, UTC microseconds.
    pub started_us: i64,
    /// When it ended, UTC microseconds.
    pub ended_us: i64,
    /// What it says.
    pub attributes: Vec<(SpanKey, SpanValue)>,
    /// What happened during it.
    pub notes: Vec<NotedEvent>,
    /// Whether something of this server or of a partner failed.
    pub is_failed: bool,
}

impl SpanRecord {
    /// A span that begins at `started_us` (UTC microseconds).
    pub fn new(name: SpanName, context: SpanContext, parent: Option<[u8; 8]>, started_us: i64) -> SpanRecord {
        SpanRecord {
            name,
            context,
            parent,
            link: None,
            started_us,
            ended_us: started_us,
            attributes: Vec::new(),
            notes: Vec::new(),
            is_failed: false,
        }
    }

    /// Says something; of a key that is there already, the later value stays.
    pub fn put(&mut self, key: SpanKey, value: SpanValue) {
        if !self.context.is_kept {
            return;
        }
        match self.attributes.iter_mut().find(|(known, _)| *known == key) {
            Some((_, known)) => *known = value,
            None => self.attributes.push((key, value)),
        }
    }

    /// Adds to the count of this key.
    pub fn add(&mut self, key: SpanKey, more: i64) {
        let so_far = self.attributes.iter().find_map(|(known, value)| match value {
            SpanValue::Count(count) if *known == key => Some(*count),
            _ => None,
        });
        self.put(key, SpanValue::Count(so_far.unwrap_or(0).saturating_add(more)));
    }

    /// Notes that something happened at `at_us` (UTC microseconds).
    pub fn note(&mut self, note: SpanNote, at_us: i64, attributes: Vec<(SpanKey, SpanValue)>) {
        if self.context.is_kept && self.notes.len() < NOTES_MOST {
            self.notes.push(NotedEvent {
                note,
                at_us,
                attributes,
            });
        }
    }
}
