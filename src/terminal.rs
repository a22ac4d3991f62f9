//! What a command prints to and how it ends: this terminal, or the admin socket of the running server.

mod screen;
mod short;
mod table;

pub use screen::{ColorWhen, Screen};
pub use short::ShortIds;

use serde::Serialize;
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
    /// What the output is shown on.
    pub screen: Screen,
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
            screen: Screen::default(),
            stdout,
            stderr,
        }
    }

    /// The same streams, shown on `screen`.
    #[must_use]
    pub fn on(mut self, screen: Screen) -> Self {
        self.screen = screen;
        self
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
    pub fn value(&mut self, value: &(impl Serialize + ?Sized)) {
        let text = match self.json {
            true => serde_json::to_string(value),
            false => serde_json::to_string_pretty(value),
        };
        match text {
            Ok(text) => self.line(&text),
            Err(error) => self.error(&format!("error: the answer has no JSON: {error}")),
        }
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

    /// A word on stderr that stands out, where there are colors.
    pub fn loud(&self, word: &str) -> String {
        match self.screen.color_errors {
            true => table::loud(word),
            false => word.to_owned(),
        }
    }

    /// A table for people, header first: columns aligned, wrapped at words where a terminal is too narrow.
    pub fn table(&mut self, header: &[&str], rows: &[Vec<String>]) {
        for line in table::lines(header, rows, self.screen.columns, self.screen.color) {
            self.line(&line);
        }
    }

    /// A list for people: a table with its ids cut where it does not fit the terminal, or the remark that there is `nothing`.
    pub fn list(&mut self, header: &[&str], rows: &[Vec<String>], ids: &ShortIds, nothing: &str) {
        if rows.is_empty() {
            return self.note(nothing);
        }
        let wide = table::lines(header, rows, None, false);
        let widest = wide.iter().map(|line| line.chars().count()).max().unwrap_or(0);
        match self.screen.columns {
            Some(columns) if widest > columns => {
                let cut: Vec<Vec<String>> = rows
                    .iter()
                    .map(|row| row.iter().map(|cell| ids.cut(cell)).collect())
                    .collect();
                self.table(header, &cut);
            }
            _ => self.table(header, rows),
        }
    }

    /// A name and what is said of it, in columns of their own; the name has `width` columns.
    pub fn named(&mut self, name: &str, value: &str, width: usize) {
        let room = |columns: usize| columns.saturating_sub(width + 1).max(20);
        let room = self.screen.columns.map_or(usize::MAX, room);
        for (at, piece) in table::wrap(value, room).into_iter().enumerate() {
            let name = if at == 0 { name } else { "" };
            self.line(format!("{name:<width$} {piece}").trim_end());
        }
    }

    /// A line of text for people, wrapped at words where a terminal is too narrow; lines after the first are indented by `indent`.
    pub fn paragraph(&mut self, text: &str, indent: usize) {
        let Some(columns) = self.screen.columns else {
            return self.line(text);
        };
        for (at, piece) in table::wrap(text, columns.saturating_sub(indent).max(20))
            .into_iter()
            .enumerate()
        {
            match at {
                0 => self.line(&piece),
                _ => self.line(&format!("{}{piece}", " ".repeat(indent))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("a page").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn listed(rows: &[Vec<String>], columns: Option<usize>) -> (String, String) {
        let (answers, people) = (Page::default(), Page::default());
        let screen = Screen {
            columns,
            ..Screen::default()
        };
        let mut out = Out::new(false, false, false, Box::new(answers.clone()), Box::new(people.clone())).on(screen);
        let mut ids = ShortIds::default();
        ids.add("0199f0a2-7c1e-7b3a-9d4e-2f6a8b1c3d5e", 13);
        out.list(&["ID", "WHY"], rows, &ids, "Nothing waits.");
        let text = |page: Page| String::from_utf8(page.0.lock().expect("a page").clone()).expect("text");
        (text(answers), text(people))
    }

    #[test]
    fn an_empty_list_says_so_and_prints_no_header() {
        assert_eq!(listed(&[], Some(80)), (String::new(), "Nothing waits.\n".to_owned()));
    }

    #[test]
    fn ids_are_cut_only_where_the_list_does_not_fit() {
        let rows = vec![vec![
            "0199f0a2-7c1e-7b3a-9d4e-2f6a8b1c3d5e".to_owned(),
            "because of much".to_owned(),
        ]];
        for (columns, whole) in [(None, true), (Some(80), true), (Some(40), false)] {
            let (text, _) = listed(&rows, columns);
            assert_eq!(text.contains("0199f0a2-7c1e-7b3a"), whole, "{text}");
            assert!(text.contains("0199f0a2-7c1e"), "{text}");
        }
    }
}
