//! Traces: what this process does, as spans for a collector of OpenTelemetry (docs/operators/traces.md).
//!
//! A span has ids of this server, codes, counts and templates of routes. It never has a path, a query, a text from a caller or a value of a
//! person: the words are those of [`SpanName`], [`SpanKey`] and [`SpanNote`], and nothing else can be said. The record of what was decided is
//! the ledger; traces may be lost. `app::traces` sends them.

mod context;
mod encode;
mod layer;
mod open;
mod queue;
mod record;
mod share;
mod words;

pub use context::{SpanContext, span_of, trace_of};
pub use encode::request;
pub use layer::SpanLayer;
pub use open::{add, answers, current, fail, forget, move_below, note, note_in, open, put, put_id, share, tell};
pub use queue::{SENT_MOST, SPANS_MOST, SpanQueue, lost, sent};
pub use record::{NotedEvent, SpanRecord};
pub use share::SpanShare;
pub use words::{SPANS, SpanKey, SpanName, SpanNote, SpanValue, method_word};
