//! The technical log, on stderr or in a file: JSON lines for programs, aligned text for people at a terminal.
//!
//! When the output takes no more (a closed pipe, a full disk, a reader that has stalled), lines are lost. The log never stops the program
//! or makes it wait (`log_queue`).

use super::log_json::JsonFormat;
use super::log_queue::{LogQueue, Urgency};
use super::log_text::TextFormat;
use super::spans::{SPANS, SpanLayer};
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// The settings of the log.
#[derive(Clone, Copy, Debug)]
pub struct LogPlan<'a> {
    /// The least severe level that is written.
    pub level: &'a str,
    /// `auto`, `json` or `text`.
    pub format: &'a str,
    /// A file instead of stderr.
    pub file: Option<&'a Path>,
    /// Whether only errors are written to stderr; a file still gets everything.
    pub quiet: bool,
    /// Whether stderr is a terminal.
    pub terminal: bool,
    /// Whether text at a terminal is colored.
    pub colour: bool,
    /// What makes traces, if they are exported.
    pub spans: Option<&'a SpanLayer>,
}

/// The format of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Json,
    Text { colour: bool },
}

impl LogPlan<'_> {
    fn form(&self) -> Form {
        let on_terminal = self.terminal && self.file.is_none();
        match self.format {
            "text" => {}
            "auto" if on_terminal => {}
            _ => return Form::Json,
        }
        Form::Text {
            colour: on_terminal && self.colour,
        }
    }

    /// Whether only errors are written. `--quiet` does not apply to a file.
    fn is_quiet(&self) -> bool {
        self.quiet && self.file.is_none()
    }
}

/// Lines of libraries that any stranger causes with malformed requests and TLS messages, as errors and warnings. They are written only at
/// the levels that are for looking into such things.
const STRANGERS_LINES: &str = "actix_http::h1=off,rustls=off,object_store=off";

/// The filter of lines, and of the spans of traces, which have no level of their own: they are made when they are exported.
fn filter(level: &str, quiet: bool, is_traced: bool) -> Option<EnvFilter> {
    let level = if quiet { "error" } else { level };
    let spans = if is_traced { "info" } else { "off" };
    let filter = match level {
        "debug" | "trace" => format!("{level},{SPANS}={spans}"),
        _ => format!("{level},{STRANGERS_LINES},{SPANS}={spans}"),
    };
    EnvFilter::try_new(filter).ok()
}

/// The log of this process, after it was started.
struct Started {
    sink: Sink,
    set_level: Box<dyn Fn(&str) + Send + Sync>,
}

static STARTED: OnceLock<Started> = OnceLock::new();

/// Starts the log of this process; a second call does nothing.
///
/// # Errors
/// When the file cannot be opened.
pub fn start(plan: &LogPlan<'_>) -> io::Result<()> {
    if STARTED.get().is_some() {
        return Ok(());
    }
    let sink = Sink::open(plan.file)?;
    let (form, is_traced) = (plan.form(), plan.spans.is_some());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter(plan.level, plan.is_quiet(), is_traced).unwrap_or_else(|| EnvFilter::new("info")))
        .with_writer(sink.clone())
        .with_ansi(form == Form::Text { colour: true })
        // Its messages are printed with a macro that panics when stderr is closed.
        .log_internal_errors(false);
    let (quiet, first) = (plan.is_quiet(), plan.level.to_owned());
    let filter = move |level: &str| filter(level, quiet, is_traced).unwrap_or_else(|| EnvFilter::new(&first));
    let set_level: Box<dyn Fn(&str) + Send + Sync> = match form {
        Form::Json => {
            let builder = builder.json().flatten_event(true);
            let builder = builder
                .map_event_format(|in_spans| JsonFormat { in_spans })
                .with_filter_reloading();
            let handle = builder.reload_handle();
            let _ = builder.finish().with(plan.spans.cloned()).try_init();
            Box::new(move |level| {
                let _ = handle.reload(filter(level));
            })
        }
        Form::Text { .. } => {
            let builder = builder.event_format(TextFormat).with_filter_reloading();
            let handle = builder.reload_handle();
            let _ = builder.finish().with(plan.spans.cloned()).try_init();
            Box::new(move |level| {
                let _ = handle.reload(filter(level));
            })
        }
    };
    let _ = STARTED.set(Started { sink, set_level });
    report_panics();
    Ok(())
}

/// Writes waiting lines for at most `limit`. Called at the end of the program.
pub fn flush(limit: Duration) {
    for queue in STARTED
        .get()
        .map(|started| &started.sink.0.queue)
        .into_iter()
        .chain(STDERR.get())
    {
        queue.flush(limit);
    }
}

/// Logs panics with their place, but not their message, which may contain member data. The default hook could block on a stderr that is not
/// read.
fn report_panics() {
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string);
        tracing::error!(place, "a panic: a fault of the program");
        // On the main thread, a panic ends the program.
        if std::thread::current().name() == Some("main") {
            flush(Duration::from_millis(200));
        }
    }));
}

/// Logs that lines were lost. It is an error, so that it is written at every level.
fn tell_lost(lines: u64) {
    tracing::error!(lines, "the log could not be written for a while: lines were lost");
}

/// A queue in front of stderr, for lines of a server that do not belong to the log. A log on stderr shares it.
static STDERR: OnceLock<LogQueue> = OnceLock::new();

/// A writer to stderr that never waits for its reader.
///
/// # Errors
/// When there is no stderr, or no thread can be started for it.
pub fn stderr() -> io::Result<impl Write + Send> {
    // Writes whole lines, so that log lines do not get between.
    let lines = Lines(stderr_queue()?, Urgency::Now);
    Ok(io::LineWriter::with_capacity(16 * 1024, lines))
}

fn stderr_queue() -> io::Result<LogQueue> {
    if let Some(queue) = STDERR.get() {
        return Ok(queue.clone());
    }
    // A separate descriptor, because the lock of `io::stderr` would be held while its reader is stalled.
    let file = File::from(io::stderr().as_fd().try_clone_to_owned()?);
    let queue = LogQueue::start(file, tell_lost)?;
    Ok(STDERR.get_or_init(|| queue).clone())
}

/// Changes the level and reopens the log file, which may have been rotated.
///
/// # Errors
/// When the file cannot be opened; the old one then stays in use.
pub fn renew(level: &str) -> io::Result<()> {
    let Some(started) = STARTED.get() else { return Ok(()) };
    (started.set_level)(level);
    started.sink.reopen()
}

/// The destination of lines. Clones share it.
#[derive(Clone)]
struct Sink(Arc<Target>);

struct Target {
    /// The path of the file to reopen; `None` for stderr.
    path: Option<PathBuf>,
    queue: LogQueue,
}

impl Sink {
    fn open(path: Option<&Path>) -> io::Result<Sink> {
        let queue = match path {
            None => stderr_queue()?,
            Some(path) => LogQueue::start(append_to(path)?, tell_lost)?,
        };
        let path = path.map(Path::to_path_buf);
        Ok(Sink(Arc::new(Target { path, queue })))
    }

    fn reopen(&self) -> io::Result<()> {
        if let Some(path) = &self.0.path {
            self.0.queue.replace(append_to(path)?);
        }
        Ok(())
    }
}

/// Opens a file for appending without waiting for the reader of a named pipe. A pipe without a reader is an error.
fn append_to(path: &Path) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND | OFlags::CLOEXEC | OFlags::NOCTTY;
    let mode = Mode::from_raw_mode(0o666);
    let opened = rustix::fs::open(path, flags | OFlags::NONBLOCK, mode)?;
    let set = rustix::fs::fcntl_getfl(&opened)?;
    rustix::fs::fcntl_setfl(&opened, set - OFlags::NONBLOCK)?;
    Ok(File::from(opened))
}

impl<'a> MakeWriter<'a> for Sink {
    type Writer = Lines;

    fn make_writer(&'a self) -> Lines {
        Lines(self.0.queue.clone(), Urgency::Now)
    }

    fn make_writer_for(&'a self, meta: &tracing::Metadata<'_>) -> Lines {
        let urgency = match *meta.level() <= tracing::Level::WARN {
            true => Urgency::Now,
            false => Urgency::Soon,
        };
        Lines(self.0.queue.clone(), urgency)
    }
}

/// Writes into a queue; each call must contain one or more whole lines.
struct Lines(LogQueue, Urgency);

impl Write for Lines {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        self.0.put(lines, self.1);
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::spans;
    use super::*;

    #[test]
    fn the_log_is_for_people_at_a_terminal_and_json_elsewhere() {
        let text = |colour| Form::Text { colour };
        let file = Some(Path::new("server.log"));
        for (format, terminal, file, colour, form) in [
            ("auto", true, None, true, text(true)),
            ("auto", true, None, false, text(false)),
            ("auto", false, None, true, Form::Json),
            ("auto", true, file, true, Form::Json),
            ("json", true, None, true, Form::Json),
            ("text", true, None, true, text(true)),
            ("text", false, None, true, text(false)),
            ("text", true, file, true, text(false)),
        ] {
            let plan = LogPlan {
                level: "info",
                format,
                file,
                quiet: false,
                terminal,
                colour,
                spans: None,
            };
            assert_eq!(plan.form(), form, "{plan:?}");
        }
    }

    #[test]
    fn t_b12_lines_that_any_stranger_causes_are_written_only_at_debug_and_trace() {
        let folder = tempfile::tempdir().expect("a folder");
        let written = |level: &str, quiet: bool| {
            let path = folder.path().join(format!("{level}-{quiet}.log"));
            let sink = Sink::open(Some(&path)).expect("opens");
            let subscriber = tracing_subscriber::fmt()
                .with_env_filter(filter(level, quiet, true).expect("a filter"))
                .with_writer(sink.clone())
                .finish();
            tracing::subscriber::with_default(subscriber, || {
                tracing::error!(target: "actix_http::h1::dispatcher", "stream error");
                tracing::warn!(target: "rustls::common_state", "sending warning alert");
                tracing::error!(target: "causeway::app", "a fault of our own");
            });
            sink.0.queue.flush(Duration::from_secs(120));
            let text = std::fs::read_to_string(&path).expect("text");
            ["stream error", "warning alert", "of our own"].map(|line| text.contains(line))
        };
        for level in ["error", "warn", "info"] {
            assert_eq!(written(level, false), [false, false, true], "{level}");
        }
        assert_eq!(written("debug", true), [false, false, true]);
        for level in ["debug", "trace"] {
            assert_eq!(written(level, false), [true; 3], "{level}");
        }
    }

    #[test]
    fn spans_of_traces_pass_at_every_level_when_they_are_exported_and_never_else() {
        for (level, quiet) in [("error", false), ("info", false), ("trace", false), ("debug", true)] {
            for is_traced in [true, false] {
                let subscriber = tracing_subscriber::fmt()
                    .with_env_filter(filter(level, quiet, is_traced).expect("a filter"))
                    .with_writer(io::sink)
                    .finish();
                let span = tracing::subscriber::with_default(subscriber, || spans::open(spans::SpanName::Request));
                assert_eq!(!span.is_disabled(), is_traced, "{level} {quiet}");
            }
        }
    }

    #[test]
    fn a_file_that_was_moved_away_is_made_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, moved) = (folder.path().join("a.log"), folder.path().join("b.log"));
        let sink = Sink::open(Some(&path)).expect("opens");
        let put = |line: &[u8]| {
            sink.make_writer().write_all(line).expect("a line");
            sink.0.queue.flush(Duration::from_secs(120));
        };
        put(b"one\n");
        std::fs::rename(&path, &moved).expect("moved");
        put(b"two\n");
        sink.reopen().expect("opens");
        put(b"three\n");
        assert_eq!(std::fs::read_to_string(&moved).expect("text"), "one\ntwo\n");
        assert_eq!(std::fs::read_to_string(&path).expect("text"), "three\n");
        assert!(Sink::open(Some(folder.path())).is_err());
    }
}
