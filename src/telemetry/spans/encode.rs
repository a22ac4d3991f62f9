//! Spans as the collector reads them: OTLP in its JSON form (opentelemetry-proto, `ExportTraceServiceRequest`; OTLP specification, "JSON Protobuf
//! Encoding"). A pure function: ids are hexadecimal, 64-bit numbers are texts, and enumerations are numbers.

use super::record::{NotedEvent, SpanRecord};
use super::words::{SpanKey, SpanValue};
use crate::secret::hex;
use serde_json::{Map, Value, json};

/// `STATUS_CODE_ERROR` of the protocol.
const FAILED: u8 = 2;

/// The body of a request with these spans, from the process with this id.
pub fn request(spans: &[SpanRecord], instance: &str) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let resource = [
        ("service.name", "causeway"),
        ("service.version", version),
        ("service.instance.id", instance),
    ];
    let resource: Vec<Value> = resource
        .into_iter()
        .map(|(key, text)| json!({"key": key, "value": {"stringValue": text}}))
        .collect();
    let spans: Vec<Value> = spans.iter().map(span).collect();
    json!({"resourceSpans": [{
        "resource": {"attributes": resource},
        "scopeSpans": [{"scope": {"name": "causeway", "version": version}, "spans": spans}],
    }]})
    .to_string()
}

fn span(span: &SpanRecord) -> Value {
    let mut made = Map::new();
    let mut put = |name: &str, value: Value| {
        made.insert(name.to_owned(), value);
    };
    put("traceId", hex(&span.context.trace).into());
    put("spanId", hex(&span.context.span).into());
    if let Some(parent) = &span.parent {
        put("parentSpanId", hex(parent).into());
    }
    put("name", span.name.word().into());
    put("kind", span.name.kind().into());
    put("startTimeUnixNano", nanoseconds(span.started_us));
    put("endTimeUnixNano", nanoseconds(span.ended_us));
    put("attributes", attributes(&span.attributes));
    if !span.notes.is_empty() {
        put("events", span.notes.iter().map(event).collect());
    }
    if let Some(link) = &span.link {
        put(
            "links",
            json!([{"traceId": hex(&link.trace), "spanId": hex(&link.span)}]),
        );
    }
    if span.is_failed {
        put("status", json!({"code": FAILED}));
    }
    Value::Object(made)
}

fn event(event: &NotedEvent) -> Value {
    json!({
        "timeUnixNano": nanoseconds(event.at_us),
        "name": event.note.word(),
        "attributes": attributes(&event.attributes),
    })
}

fn attributes(attributes: &[(SpanKey, SpanValue)]) -> Value {
    let one = |(key, value): &(SpanKey, SpanValue)| {
        let value = match value {
            SpanValue::Word(word) => json!({"stringValue": word}),
            SpanValue::Id(id) => json!({"stringValue": id}),
            SpanValue::Count(count) => json!({"intValue": count.to_string()}),
        };
        json!({"key": key.word(), "value": value})
    };
    attributes.iter().map(one).collect()
}

/// A time of UTC microseconds in nanoseconds, as a text.
fn nanoseconds(at_us: i64) -> Value {
    Value::from((i128::from(at_us.max(0)) * 1_000).to_string())
}

#[cfg(test)]
mod tests {
    use super::super::context::SpanContext;
    use super::super::words::{SpanName, SpanNote};
    use super::*;

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
        let text = request(&[span, top], "i-1");
        let read: Value = serde_json::from_str(&text).expect("JSON");
        let resource = &read["resourceSpans"][0];
        assert_eq!(
            resource["resource"]["attributes"][2],
            json!({"key": "service.instance.id", "value": {"stringValue": "i-1"}})
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
