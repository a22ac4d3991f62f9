//! A log line for programs: one JSON object, as `tracing_subscriber` writes it, but written straight into the line.
//!
//! A line is written for each request. An event inside of a library's span is left to the library; our own spans are for traces, and a line
//! says nothing of them.

use super::spans::SPANS;
use crate::clock::{Clock, rfc3339_us};
use std::cell::Cell;
use std::fmt::{self, Write as _};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Bytes of a time up to its whole second, as `2026-11-28T09:53:27`.
const SECOND: usize = 19;

/// Writes events as JSON. Times are UTC.
pub(super) struct JsonFormat<F> {
    /// Writes the events inside of spans.
    pub(super) in_spans: F,
}

impl<S, N, F> FormatEvent<S, N> for JsonFormat<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let is_in_span = context
            .lookup_current()
            .is_some_and(|span| span.metadata().target() != SPANS);
        if is_in_span || event.parent().is_some() {
            return self.in_spans.format_event(context, writer, event);
        }
        let metadata = event.metadata();
        line(
            &mut writer,
            Clock::System.now_us(),
            *metadata.level(),
            metadata.target(),
            |fields| event.record(fields),
        )
    }
}

fn line(
    out: &mut dyn fmt::Write,
    at_us: i64,
    level: Level,
    target: &str,
    record: impl FnOnce(&mut LineFields<'_>),
) -> fmt::Result {
    out.write_str("{\"timestamp\":\"")?;
    put_time(out, at_us)?;
    out.write_str("\",\"level\":\"")?;
    out.write_str(level.as_str())?;
    out.write_str("\"")?;
    let mut fields = LineFields {
        out: &mut *out,
        target: None,
        done: Ok(()),
    };
    record(&mut fields);
    let LineFields {
        target: of_log, done, ..
    } = fields;
    done?;
    out.write_str(",\"target\":\"")?;
    put_escaped(out, of_log.as_deref().unwrap_or(target))?;
    out.write_str("\"}\n")
}

thread_local! {
    /// The last second of which a line of this thread was, and its text.
    static LAST: Cell<(i64, [u8; SECOND])> = const { Cell::new((i64::MIN, [0; SECOND])) };
}

/// Writes a time with microseconds; the text of the second is made once.
fn put_time(out: &mut dyn fmt::Write, at_us: i64) -> fmt::Result {
    let (second, us) = (at_us.div_euclid(1_000_000), at_us.rem_euclid(1_000_000));
    let kept = LAST.try_with(Cell::get).ok().filter(|(last, _)| *last == second);
    let text = match kept {
        Some((_, text)) => text,
        None => {
            let text = rfc3339_us(at_us);
            let Some(text) = text
                .as_bytes()
                .first_chunk()
                .filter(|_| text.len() == SECOND + ".000000Z".len())
            else {
                return out.write_str(&text);
            };
            let _ = LAST.try_with(|last| last.set((second, *text)));
            *text
        }
    };
    out.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)?;
    write!(out, ".{us:06}Z")
}

/// Writes the fields of an event, each after a comma.
struct LineFields<'a> {
    out: &'a mut dyn fmt::Write,
    /// The target of a line that came by the older `log` interface, which tells it as a field.
    target: Option<String>,
    done: fmt::Result,
}

impl LineFields<'_> {
    fn put(&mut self, field: &Field, value: impl FnOnce(&mut dyn fmt::Write) -> fmt::Result) {
        if self.done.is_ok() {
            self.done = self.named(field.name(), value);
        }
    }

    fn named(&mut self, name: &str, value: impl FnOnce(&mut dyn fmt::Write) -> fmt::Result) -> fmt::Result {
        self.out.write_str(",\"")?;
        put_escaped(self.out, name)?;
        self.out.write_str("\":")?;
        value(self.out)
    }
}

impl Visit for LineFields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "log.target" {
            self.target = Some(value.to_owned());
        }
        self.put(field, |out| put_text(out, value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, |out| write!(out, "{value}"));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, |out| write!(out, "{value}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, |out| write!(out, "{value}"));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, |out| match value.is_finite() {
            true => write!(out, "{value:?}"),
            false => out.write_str("null"),
        });
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, |out| {
            out.write_str("\"")?;
            write!(Escaping(out), "{value:?}")?;
            out.write_str("\"")
        });
    }
}

/// Escapes all that is written to it.
struct Escaping<'a>(&'a mut dyn fmt::Write);

impl fmt::Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        put_escaped(self.0, text)
    }
}

fn put_text(out: &mut dyn fmt::Write, text: &str) -> fmt::Result {
    out.write_str("\"")?;
    put_escaped(out, text)?;
    out.write_str("\"")
}

/// Writes what stands between the quotes of a JSON string.
fn put_escaped(out: &mut dyn fmt::Write, text: &str) -> fmt::Result {
    let must_be_escaped = |byte: u8| byte < b' ' || byte == b'"' || byte == b'\\';
    let mut rest = text;
    while let Some(at) = rest.bytes().position(must_be_escaped) {
        out.write_str(&rest[..at])?;
        match rest.as_bytes()[at] {
            b'"' => out.write_str("\\\"")?,
            b'\\' => out.write_str("\\\\")?,
            b'\n' => out.write_str("\\n")?,
            b'\r' => out.write_str("\\r")?,
            b'\t' => out.write_str("\\t")?,
            0x08 => out.write_str("\\b")?,
            0x0c => out.write_str("\\f")?,
            other => write!(out, "\\u{other:04x}")?,
        }
        rest = &rest[at + 1..];
    }
    out.write_str(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::sync::{Arc, Mutex, PoisonError};
    use tracing_subscriber::fmt::MakeWriter;

    /// Lines of a test.
    #[derive(Clone, Default)]
    struct Told(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Told {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Told {
        type Writer = Told;

        fn make_writer(&'a self) -> Told {
            self.clone()
        }
    }

    impl Told {
        /// Each line without its time.
        fn lines(&self) -> Vec<String> {
            let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let text = String::from_utf8(bytes).expect("text");
            let (start, time) = ("{\"timestamp\":\"", "2026-11-28T09:53:27.000000Z");
            let without = |line: &str| {
                assert!(
                    line.starts_with(start) && line.as_bytes()[start.len() + time.len()] == b'"',
                    "{line}"
                );
                line[start.len() + time.len()..].to_owned()
            };
            text.lines().map(without).collect()
        }
    }

    fn tell() {
        tracing::info!(route = "/fhir/{type}", status = 404_u16, took_us = 17_u64, "answered");
        tracing::warn!(
            partner.id = "a\"b\\c\n\r\t\u{8}\u{c}\u{1}\u{7f}\u{e9}",
            is_late = true,
            "quoted \"twice\""
        );
        tracing::error!(cause = %"shown \\ so", of = ?Some("\n"), left = -3, part = 0.5, whole = 2.0, none = f64::NAN);
        tracing::info!("");
        tracing::info_span!("of a library", n = 1).in_scope(|| tracing::info!(n = 2, "inside"));
    }

    #[test]
    fn lines_are_those_of_the_library() {
        let (ours, theirs) = (Told::default(), Told::default());
        let builder = || tracing_subscriber::fmt().json().flatten_event(true);
        let own = builder()
            .map_event_format(|in_spans| JsonFormat { in_spans })
            .with_writer(ours.clone())
            .finish();
        tracing::subscriber::with_default(own, tell);
        tracing::subscriber::with_default(builder().with_writer(theirs.clone()).finish(), tell);
        let lines = ours.lines();
        for line in &lines {
            let line = format!("{{\"at\":\"{line}");
            serde_json::from_str::<serde_json::Value>(&line).expect(&line);
        }
        assert_eq!(lines, theirs.lines());
        assert_eq!(lines.len(), 5);
    }

    #[test]
    fn a_line_says_nothing_of_our_own_spans() {
        let told = Told::default();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .map_event_format(|in_spans| JsonFormat { in_spans })
            .with_writer(told.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(n = 1, "told");
            tracing::info_span!(target: SPANS, "request").in_scope(|| tracing::info!(n = 1, "told"));
        });
        let lines = told.lines();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0], lines[1]);
    }

    #[test]
    fn times_have_microseconds_and_follow_the_second() {
        let mut text = String::new();
        for at_us in [1_798_761_600_123_456, 1_798_761_600_000_001, 1_798_761_601_000_000, -1] {
            put_time(&mut text, at_us).expect("written");
            assert_eq!(text, rfc3339_us(at_us));
            text.clear();
        }
    }
}
