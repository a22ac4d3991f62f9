//! Where a command prints: this terminal, or the admin socket of the running server.

use serde_json::Value;
use std::io::Write;

/// Exit codes, the same for every command (`docs/operations.md`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// The thing asked for failed.
    Failed = 1,
    /// Wrong usage or configuration.
    Usage = 2,
    /// Input unreadable or incomplete.
    Unreadable = 3,
    /// Ledger fork or damaged store.
    Integrity = 70,
    /// Busy or locked: try again.
    Busy = 75,
}

/// The two streams of a command.
pub struct Out {
    /// Print JSON on stdout and nothing else there.
    pub json: bool,
    /// Print nothing on stderr but errors.
    pub quiet: bool,
    /// Whether stderr is a terminal, so that progress bars may be drawn.
    pub terminal: bool,
    stdout: Box<dyn Write + Send>,
    stderr: Box<dyn Write + Send>,
}

impl Out {
    /// Prints to these streams.
    pub fn new(
        json: bool,
        quiet: bool,
        terminal: bool,
        stdout: Box<dyn Write + Send>,
        stderr: Box<dyn Write + Send>,
    ) -> Self {
        Out {
            json,
            quiet,
            terminal,
            stdout,
            stderr,
        }
    }

    /// From now on text for people goes to `stderr`.
    pub fn redirect_errors(&mut self, stderr: Box<dyn Write + Send>) {
        self.stderr = stderr;
    }

    /// A line of the answer, for people or for `--json` lines. A reader that has gone is no error.
    pub fn line(&mut self, text: &str) {
        let _ = writeln!(self.stdout, "{text}");
        let _ = self.stdout.flush();
    }

    /// A line of a story, which is the answer for people; under `--json` it goes where their text goes.
    pub fn tell(&mut self, text: &str) {
        if self.json {
            self.note(text);
        } else {
            self.line(text);
        }
    }

    /// One JSON document of the answer.
    pub fn value(&mut self, value: &Value) {
        let text = if self.json {
            value.to_string()
        } else {
            format!("{value:#}")
        };
        self.line(&text);
    }

    /// Text of the answer as it came from another process.
    pub fn raw(&mut self, text: &str) {
        let _ = self.stdout.write_all(text.as_bytes());
        let _ = self.stdout.flush();
    }

    /// Text for people as it came from another process.
    pub fn raw_error(&mut self, text: &str) {
        let _ = self.stderr.write_all(text.as_bytes());
        let _ = self.stderr.flush();
    }

    /// A remark for people, on stderr; silent under `--quiet`.
    pub fn note(&mut self, text: &str) {
        if !self.quiet {
            self.error(text);
        }
    }

    /// An error for people, on stderr.
    pub fn error(&mut self, text: &str) {
        let _ = writeln!(self.stderr, "{text}");
        let _ = self.stderr.flush();
    }

    /// A table for people: columns aligned, header first.
    pub fn table(&mut self, header: &[&str], rows: &[Vec<String>]) {
        let mut widths: Vec<usize> = header.iter().map(|cell| cell.chars().count()).collect();
        for row in rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let render = |cells: Vec<&str>| {
            let padded: Vec<String> = cells
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!("{cell:<width$}"))
                .collect();
            padded.join("  ").trim_end().to_owned()
        };
        self.line(&render(header.to_vec()));
        for row in rows {
            self.line(&render(row.iter().map(String::as_str).collect()));
        }
    }
}
