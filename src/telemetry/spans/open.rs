//! Opens spans, and says something of those that are open. Without a collector each call does next to nothing.

use super::context::SpanContext;
use super::layer::SpanLayer;
use super::record::SpanRecord;
use super::share::SpanShare;
use super::words::{SPANS, SpanKey, SpanName, SpanNote, SpanValue};
use crate::clock::Clock;
use tracing::{Span, info_span};
use tracing_subscriber::registry::{LookupSpan as _, Registry};

/// Opens a span inside of the one that is open here; it ends when its last handle is dropped.
pub fn open(name: SpanName) -> Span {
    match name {
        SpanName::Request => info_span!(target: SPANS, "request"),
        SpanName::Identify => info_span!(target: SPANS, "identify"),
        SpanName::Consent => info_span!(target: SPANS, "consent"),
        SpanName::Write => info_span!(target: SPANS, "write"),
        SpanName::Release => info_span!(target: SPANS, "release"),
        SpanName::Exchange => info_span!(target: SPANS, "exchange"),
        SpanName::Step => info_span!(target: SPANS, "step"),
        SpanName::Attempt => info_span!(target: SPANS, "attempt"),
        SpanName::Job => info_span!(target: SPANS, "job"),
    }
}

/// Says something of this span.
pub fn put(span: &Span, key: SpanKey, value: impl Into<SpanValue>) {
    with(span, |record| record.put(key, value.into()));
}

/// Says an id of this span. Nothing is copied unless the span is kept.
pub fn put_id(span: &Span, key: SpanKey, id: &str) {
    with(span, |record| {
        if record.context.is_kept {
            record.put(key, SpanValue::id(id));
        }
    });
}

/// Adds to a count of this span.
pub fn add(span: &Span, key: SpanKey, more: impl TryInto<i64>) {
    with(span, |record| record.add(key, more.try_into().unwrap_or(i64::MAX)));
}

/// Notes that something happened during the span that is open here.
pub fn note(note: SpanNote, attributes: Vec<(SpanKey, SpanValue)>) {
    note_in(&Span::current(), note, attributes);
}

/// Notes that something happened during this span.
pub fn note_in(span: &Span, note: SpanNote, attributes: Vec<(SpanKey, SpanValue)>) {
    with(span, |record| record.note(note, Clock::System.now_us(), attributes));
}

/// Says that something failed during this span.
pub fn fail(span: &Span) {
    with(span, |record| record.is_failed = true);
}

/// Drops this span: nobody wants to see it.
pub fn forget(span: &Span) {
    with(span, |record| record.context.is_kept = false);
}

/// Gives the span of a request the ids of its answer (`own`, as `traceparent`), below the span of the caller if it named one. Whether it is
/// kept was drawn here, and stays. Returns its ids; `None` when nothing is traced.
pub fn answers(span: &Span, own: &str, given: Option<&str>) -> Option<SpanContext> {
    let own = SpanContext::parse(own)?;
    let above = given.and_then(SpanContext::parse);
    with(span, |record| {
        record.context = SpanContext {
            is_kept: record.context.is_kept,
            ..own
        };
        record.parent = above.map(|above| above.span);
        record.context
    })
}

/// Moves this span below another one of another trace; what it was inside of stays as a link. Nothing may be open inside of it yet.
pub fn move_below(span: &Span, above: SpanContext) {
    with(span, |record| {
        record.link = record.parent.map(|parent| SpanContext {
            span: parent,
            ..record.context
        });
        record.context = SpanContext {
            span: record.context.span,
            ..above
        };
        record.parent = Some(above.span);
    });
}

/// The ids of the span that is open here; `None` when there is none.
pub fn current() -> Option<SpanContext> {
    with(&Span::current(), |record| record.context)
}

/// The share of traces that are kept; `None` when nothing is traced.
pub fn share() -> Option<SpanShare> {
    tracing::dispatcher::get_default(|dispatch| dispatch.downcast_ref::<SpanLayer>().map(SpanLayer::share))
}

/// Hands over a span that was not opened in this process, or not as long as it lasted.
pub fn tell(span: &SpanRecord) {
    tracing::dispatcher::get_default(|dispatch| {
        if let Some(layer) = dispatch.downcast_ref::<SpanLayer>() {
            layer.take(span.clone());
        }
    });
}

/// Acts on the record of this span; of a library's span, on that of the span around it.
fn with<T>(span: &Span, act: impl FnOnce(&mut SpanRecord) -> T) -> Option<T> {
    let acted = span.with_subscriber(|(id, dispatch)| {
        let registry = dispatch.downcast_ref::<Registry>()?;
        let innermost = registry.span(id)?;
        for found in innermost.scope() {
            let mut extensions = found.extensions_mut();
            if let Some(record) = extensions.get_mut::<SpanRecord>() {
                return Some(act(record));
            }
        }
        None
    });
    acted.flatten()
}
