//! A log line for people: time, level, message, then the fields.
//!
//! Each event is one line, whatever it contains: control characters are escaped, so that nothing can move the cursor or start another line.

use crate::clock::{Clock, rfc3339_ms};
use std::fmt::{self, Write as _};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Width of the message before the fields, in columns.
const MESSAGE: usize = 36;

/// Writes events as lines for people. Times are UTC.
pub(super) struct TextFormat;

impl<S, N> FormatEvent<S, N> for TextFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut said = LoggedText::default();
        event.record(&mut said);
        let line = said.line(
            Clock::System.now_ms(),
            *event.metadata().level(),
            writer.has_ansi_escapes(),
        );
        writeln!(writer, "{line}")
    }
}

/// The message and the fields of an event.
#[derive(Default)]
struct LoggedText {
    message: String,
    fields: Vec<(&'static str, String)>,
}

impl LoggedText {
    fn put(&mut self, field: &Field, value: String) {
        match field.name() {
            "message" => self.message = printable(&value),
            // Tracing's own fields about the origin of a line, and the trace context, which is only for programs.
            name if name.starts_with("log.") || name == "traceparent" => {}
            _ if value.is_empty() => {}
            "took_us" => self.fields.push(("took", milliseconds(&value))),
            name => self.fields.push((name, quoted(&value))),
        }
    }

    fn line(&self, at_ms: i64, level: Level, colour: bool) -> String {
        let paint = |code: &str, text: &str| match colour {
            true => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
            false => text.to_owned(),
        };
        let code = match level {
            Level::ERROR => "1;31",
            Level::WARN => "33",
            Level::INFO => "32",
            Level::DEBUG => "34",
            Level::TRACE => "35",
        };
        let time = rfc3339_ms(at_ms).replace('T', " ");
        let message = match self.fields.is_empty() {
            true => self.message.clone(),
            false => format!("{:<MESSAGE$}", self.message),
        };
        let mut line = format!(
            "{}  {}  {message}",
            paint("2", &time),
            paint(code, &format!("{level:<5}"))
        );
        for (name, value) in &self.fields {
            // Writing into a String cannot fail.
            let _ = write!(line, " {}{value}", paint("2", &format!("{name}=")));
        }
        line
    }
}

impl Visit for LoggedText {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }
}

/// Converts microseconds to milliseconds.
fn milliseconds(us: &str) -> String {
    us.parse::<u64>()
        .map_or_else(|_| quoted(us), |us| format!("{}.{:03}ms", us / 1000, us % 1000))
}

/// The value unchanged if it is one word, otherwise in quotes.
fn quoted(value: &str) -> String {
    match value.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"') {
        true => value.to_owned(),
        false => format!("{value:?}"),
    }
}

/// The text with all characters escaped that could control a terminal.
fn printable(text: &str) -> String {
    let quoted = format!("{text:?}");
    let inner = quoted.get(1..quoted.len() - 1).unwrap_or_default();
    inner.replace("\\\"", "\"").replace("\\'", "'")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(message: &str, fields: &[(&'static str, &str)]) -> LoggedText {
        let mut said = LoggedText {
            message: printable(message),
            fields: Vec::new(),
        };
        said.fields
            .extend(fields.iter().map(|(name, value)| (*name, quoted(value))));
        said
    }

    #[test]
    fn a_line_has_time_level_what_happened_and_fields_in_columns() {
        let answered = said(
            "answered",
            &[
                ("route", "/fhir/Patient/{id}"),
                ("status", "200"),
                ("cause", "two words"),
            ],
        );
        let plain = answered.line(1_798_761_600_123, Level::INFO, false);
        assert_eq!(
            plain,
            "2027-01-01 00:00:00.123Z  INFO   answered                             route=/fhir/Patient/{id} status=200 cause=\"two words\""
        );
        let coloured = answered.line(1_798_761_600_123, Level::INFO, true);
        assert!(
            coloured.contains("\u{1b}[32mINFO \u{1b}[0m") && coloured.contains("\u{1b}[2mroute=\u{1b}[0m"),
            "{coloured}"
        );
        assert_eq!(
            said("draining", &[]).line(0, Level::WARN, false),
            "1970-01-01 00:00:00.000Z  WARN   draining"
        );
        assert_eq!(
            (milliseconds("3210"), milliseconds("12")),
            ("3.210ms".to_owned(), "0.012ms".to_owned())
        );
    }

    #[test]
    fn t_b12_nothing_in_a_value_moves_the_cursor_or_begins_a_line() {
        for hostile in ["a\nb", "a\r\u{1b}[2Jb", "\u{202e}x", "\u{9b}31m", "a\u{0}b", "\u{2028}"] {
            for line in [
                said("refused", &[("cause", hostile)]).line(0, Level::INFO, false),
                said(hostile, &[]).line(0, Level::INFO, false),
            ] {
                assert!(line.chars().all(|c| !c.is_control() && c.is_ascii()), "{line:?}");
            }
        }
        assert_eq!(printable("it's a \"word\""), "it's a \"word\"");
    }
}
