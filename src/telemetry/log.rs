//! The technical log, on stderr or in a file: JSON lines for machines, aligned text for people at a terminal.
//!
//! A stream that takes nothing more (a closed pipe, a full disk) loses lines; it never stops the program.

use super::log_text::TextFormat;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// How the log is written.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    /// Least severe level.
    pub level: &'a str,
    /// `auto`, `json` or `text`.
    pub format: &'a str,
    /// A file instead of stderr.
    pub file: Option<&'a Path>,
    /// Write errors only to stderr; a file still gets all.
    pub quiet: bool,
    /// Whether stderr is a terminal.
    pub terminal: bool,
    /// Whether people at a terminal want colours.
    pub colour: bool,
}

/// The form of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Json,
    Text { colour: bool },
}

impl Plan<'_> {
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

    /// Whether only errors are written; a file is not what `--quiet` is about.
    fn is_quiet(&self) -> bool {
        self.quiet && self.file.is_none()
    }
}

fn filter(level: &str, quiet: bool) -> Option<EnvFilter> {
    EnvFilter::try_new(if quiet { "error" } else { level }).ok()
}

/// The log of this process, once it was started.
struct Started {
    sink: Sink,
    set_level: Box<dyn Fn(&str) + Send + Sync>,
}

static STARTED: OnceLock<Started> = OnceLock::new();

/// Starts the log of this process; a second call changes nothing.
///
/// # Errors
/// When the file cannot be opened.
pub fn start(plan: &Plan<'_>) -> io::Result<()> {
    if STARTED.get().is_some() {
        return Ok(());
    }
    let sink = Sink::open(plan.file)?;
    let form = plan.form();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter(plan.level, plan.is_quiet()).unwrap_or_else(|| EnvFilter::new("info")))
        .with_writer(sink.clone())
        .with_ansi(form == Form::Text { colour: true })
        // Its remarks go to stderr by a macro that panics when stderr is closed.
        .log_internal_errors(false);
    let (quiet, first) = (plan.is_quiet(), plan.level.to_owned());
    let filter = move |level: &str| filter(level, quiet).unwrap_or_else(|| EnvFilter::new(&first));
    let set_level: Box<dyn Fn(&str) + Send + Sync> = match form {
        Form::Json => {
            let builder = builder.json().flatten_event(true).with_filter_reloading();
            let handle = builder.reload_handle();
            let _ = builder.try_init();
            Box::new(move |level| {
                let _ = handle.reload(filter(level));
            })
        }
        Form::Text { .. } => {
            let builder = builder.event_format(TextFormat).with_filter_reloading();
            let handle = builder.reload_handle();
            let _ = builder.try_init();
            Box::new(move |level| {
                let _ = handle.reload(filter(level));
            })
        }
    };
    let _ = STARTED.set(Started { sink, set_level });
    Ok(())
}

/// Puts another level in force, and opens the log's file anew, which somebody may have moved away.
///
/// # Errors
/// When the file cannot be opened; the former one then stays in use.
pub fn renew(level: &str) -> io::Result<()> {
    let Some(started) = STARTED.get() else { return Ok(()) };
    (started.set_level)(level);
    started.sink.reopen()
}

/// Where lines go. Clones share it.
#[derive(Clone)]
struct Sink(Option<Arc<LogFile>>);

struct LogFile {
    path: PathBuf,
    file: Mutex<File>,
}

impl Sink {
    fn open(path: Option<&Path>) -> io::Result<Sink> {
        let Some(path) = path else { return Ok(Sink(None)) };
        Ok(Sink(Some(Arc::new(LogFile {
            path: path.to_path_buf(),
            file: Mutex::new(append_to(path)?),
        }))))
    }

    fn reopen(&self) -> io::Result<()> {
        let Some(log) = &self.0 else { return Ok(()) };
        let file = append_to(&log.path)?;
        *log.file.lock().unwrap_or_else(PoisonError::into_inner) = file;
        Ok(())
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    File::options().create(true).append(true).open(path)
}

impl Write for Sink {
    /// One call is one line.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let _ = match &self.0 {
            None => io::stderr().write_all(line),
            Some(log) => log.file.lock().unwrap_or_else(PoisonError::into_inner).write_all(line),
        };
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Sink {
    type Writer = Sink;

    fn make_writer(&'a self) -> Sink {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
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
            let plan = Plan {
                level: "info",
                format,
                file,
                quiet: false,
                terminal,
                colour,
            };
            assert_eq!(plan.form(), form, "{plan:?}");
        }
    }

    #[test]
    fn a_file_that_was_moved_away_is_made_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, moved) = (folder.path().join("a.log"), folder.path().join("b.log"));
        let mut sink = Sink::open(Some(&path)).expect("opens");
        sink.write_all(b"one\n").expect("a line");
        std::fs::rename(&path, &moved).expect("moved");
        sink.write_all(b"two\n").expect("a line");
        sink.reopen().expect("opens");
        sink.write_all(b"three\n").expect("a line");
        assert_eq!(std::fs::read_to_string(&moved).expect("text"), "one\ntwo\n");
        assert_eq!(std::fs::read_to_string(&path).expect("text"), "three\n");
        assert!(Sink::open(Some(folder.path())).is_err());
    }
}
