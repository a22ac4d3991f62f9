//! Spans as the collector reads them: OTLP in its JSON form (opentelemetry-proto, `ExportTraceServiceRequest`; OTLP specification, "JSON Protobuf
//! Encoding"). A pure function: ids are hexadecimal, 64-bit numbers are texts, and enumerations are numbers.
//!
//! It is written straight into the body, since a busy server has thousands of spans a second.

use super::record::{NotedEvent, SpanRecord};
use super::words::{SpanKey, SpanValue};
use crate::secret::put_hex;
use std::io::Write as _;

/// About how many bytes a span has.
const SPAN_BYTES: usize = 768;

/// The body of a request with these spans, from the process with this id.
pub fn request(spans: &[SpanRecord], instance: &str) -> Vec<u8> {
    let version = env!("CARGO_PKG_VERSION");
    let mut out = Vec::with_capacity(1_024 + spans.len() * SPAN_BYTES);
    let resource = [
        ("service.name", "causeway"),
        ("service.version", version),
        ("service.instance.id", instance),
    ];
    out.extend_from_slice(b"{\"resourceSpans\":[{\"resource\":{\"attributes\":");
    each(&mut out, &resource, |out, (name, value)| {
        text_attribute(out, name, value)
    });
    out.extend_from_slice(b"},\"scopeSpans\":[{\"scope\":{\"name\":\"causeway\",\"version\":");
    text(&mut out, version);
    out.extend_from_slice(b"},\"spans\":");
    each(&mut out, spans, span);
    out.extend_from_slice(b"}]}]}");
    out
}

fn span(out: &mut Vec<u8>, span: &SpanRecord) {
    out.extend_from_slice(b"{\"traceId\":");
    hex(out, &span.context.trace);
    out.extend_from_slice(b",\"spanId\":");
    hex(out, &span.context.span);
    if let Some(parent) = &span.parent {
        out.extend_from_slice(b",\"parentSpanId\":");
        hex(out, parent);
    }
    out.extend_from_slice(b",\"name\":");
    text(out, span.name.word());
    out.extend_from_slice(b",\"kind\":");
    number(out, span.name.kind().into());
    out.extend_from_slice(b",\"startTimeUnixNano\":");
    nanoseconds(out, span.started_us);
    out.extend_from_slice(b",\"endTimeUnixNano\":");
    nanoseconds(out, span.ended_us);
    out.extend_from_slice(b",\"attributes\":");
    each(out, &span.attributes, attribute);
    if !span.notes.is_empty() {
        out.extend_from_slice(b",\"events\":");
        each(out, &span.notes, event);
    }
    if let Some(link) = &span.link {
        out.extend_from_slice(b",\"links\":[{\"traceId\":");
        hex(out, &link.trace);
        out.extend_from_slice(b",\"spanId\":");
        hex(out, &link.span);
        out.extend_from_slice(b"}]");
    }
    if span.is_failed {
        // STATUS_CODE_ERROR
        out.extend_from_slice(b",\"status\":{\"code\":2}");
    }
    out.push(b'}');
}

fn event(out: &mut Vec<u8>, event: &NotedEvent) {
    out.extend_from_slice(b"{\"timeUnixNano\":");
    nanoseconds(out, event.at_us);
    out.extend_from_slice(b",\"name\":");
    text(out, event.note.word());
    out.extend_from_slice(b",\"attributes\":");
    each(out, &event.attributes, attribute);
    out.push(b'}');
}

fn attribute(out: &mut Vec<u8>, (key, value): &(SpanKey, SpanValue)) {
    match value {
        SpanValue::Word(word) => text_attribute(out, key.word(), word),
        SpanValue::Id(id) => text_attribute(out, key.word(), id),
        SpanValue::Count(count) => {
            out.extend_from_slice(b"{\"key\":");
            text(out, key.word());
            out.extend_from_slice(b",\"value\":{\"intValue\":\"");
            number(out, (*count).into());
            out.extend_from_slice(b"\"}}");
        }
    }
}

fn text_attribute(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(b"{\"key\":");
    text(out, name);
    out.extend_from_slice(b",\"value\":{\"stringValue\":");
    text(out, value);
    out.extend_from_slice(b"}}");
}

/// A list.
fn each<T>(out: &mut Vec<u8>, items: &[T], one: impl Fn(&mut Vec<u8>, &T)) {
    out.push(b'[');
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        one(out, item);
    }
    out.push(b']');
}

fn hex(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    put_hex(bytes, out);
    out.push(b'"');
}

fn text(out: &mut Vec<u8>, text: &str) {
    // Words and ids have nothing to escape; whatever else may come here is escaped.
    if text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        out.extend_from_slice(serde_json::Value::from(text).to_string().as_bytes());
    }
}

/// A time of UTC microseconds in nanoseconds, as a text.
fn nanoseconds(out: &mut Vec<u8>, at_us: i64) {
    out.push(b'"');
    number(out, i128::from(at_us.max(0)) * 1_000);
    out.push(b'"');
}

fn number(out: &mut Vec<u8>, number: i128) {
    // Writing into a Vec cannot fail.
    let _ = write!(out, "{number}");
}

#[cfg(test)]
mod tests {
    use super::super::context::SpanContext;
    use super::super::words::{SpanName, SpanNote};
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn spans_are_written_as_the_protocol_says() {
        let context = SpanContext {
            trace: [0xab; 16],
            span: [0x01; 8],
            is_kept: true,
        };
        let mut span = SpanRecord::new(SpanName::Attempt, context, Some([0x02; 8]), 1_798_761_600_000_001);
        span.ended_us = 1_798_761_600_000_003;
        span.link = Some(context);
        span.is_failed = true;
        span.put(SpanKey::Partner, SpanValue::id("new-payer"));
        span.put(SpanKey::Attempt, SpanValue::Count(1));
        span.put(SpanKey::Attempt, SpanValue::Count(2));
        span.note(
            SpanNote::Retry,
            1_798_761_600_000_002,
            vec![(SpanKey::WaitMs, SpanValue::count(7_u64))],
        );
        let top = SpanRecord::new(SpanName::Job, context, None, -5);
        let body = request(&[span, top], "i-\"1\"\n");
        let read: Value = serde_json::from_slice(&body).expect("JSON");
        let resource = &read["resourceSpans"][0];
        assert_eq!(
            resource["resource"]["attributes"][2],
            json!({"key": "service.instance.id", "value": {"stringValue": "i-\"1\"\n"}})
        );
        let trace = "ab".repeat(16);
        assert_eq!(
            resource["scopeSpans"][0]["spans"][0],
            json!({
                "traceId": trace, "spanId": "0101010101010101", "parentSpanId": "0202020202020202",
                "name": "attempt", "kind": 3,
                "startTimeUnixNano": "1798761600000001000", "endTimeUnixNano": "1798761600000003000",
                "attributes": [
                    {"key": "causeway.partner", "value": {"stringValue": "new-payer"}},
                    {"key": "causeway.attempt", "value": {"intValue": "2"}},
                ],
                "events": [{
                    "timeUnixNano": "1798761600000002000", "name": "retry",
                    "attributes": [{"key": "causeway.wait_ms", "value": {"intValue": "7"}}],
                }],
                "links": [{"traceId": trace, "spanId": "0101010101010101"}],
                "status": {"code": 2},
            })
        );
        let top = &resource["scopeSpans"][0]["spans"][1];
        assert_eq!(top["startTimeUnixNano"], "0", "a time before 1970");
        assert!(top.get("parentSpanId").is_none() && top.get("status").is_none() && top.get("events").is_none());
    }
}
