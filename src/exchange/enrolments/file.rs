//! Reads a file of enrolments row by row: NDJSON or CSV, with bounded lines.

use super::{EnrolmentFields, FIELDS, refused};
use crate::error::{Failure, Fault};
use std::io::BufRead;

/// Longest line of a file, in bytes.
pub const LINE_BYTES: usize = 65_536;

/// A row of a file.
#[derive(Debug)]
pub struct EnrolmentLine {
    /// Its line, from 1.
    pub line: u64,
    /// The fields, or why they cannot be read.
    pub fields: Result<EnrolmentFields, Failure>,
}

/// Reads a file of enrolments: NDJSON when its first character is a brace, else CSV with a header. Yields bounded rows.
pub struct EnrolmentFile<R> {
    source: R,
    line: u64,
    header: Option<Vec<String>>,
    is_json: Option<bool>,
}

impl<R: BufRead> EnrolmentFile<R> {
    /// A reader of `source`.
    pub fn new(source: R) -> EnrolmentFile<R> {
        EnrolmentFile {
            source,
            line: 0,
            header: None,
            is_json: None,
        }
    }

    /// The next row; `None` at the end.
    ///
    /// # Errors
    /// [`Fault::InputUnreadable`] when the file cannot be read; [`Fault::FileUnusable`] for a header that names an unknown column.
    pub fn next_row(&mut self) -> Result<Option<EnrolmentLine>, Failure> {
        loop {
            let Some(bytes) = self.next_line()? else {
                return Ok(None);
            };
            let unreadable = || Failure::new(Fault::FileUnusable).at(format!("line {}", self.line));
            let text = match bytes.map(String::from_utf8) {
                Some(Ok(text)) => text,
                _ if self.is_json.is_none() => return Err(unreadable()),
                _ => return Ok(Some(self.bad("Give UTF-8, at most 64 KiB on a line."))),
            };
            let text = text.trim_start_matches('\u{feff}').trim_end_matches(['\r', '\n']);
            if text.trim().is_empty() {
                continue;
            }
            let is_json = *self.is_json.get_or_insert_with(|| text.trim_start().starts_with('{'));
            if is_json {
                let fields = serde_json::from_str(text)
                    .map_err(|_| refused("line", "Give one JSON object of texts with the known fields."));
                return Ok(Some(EnrolmentLine {
                    line: self.line,
                    fields,
                }));
            }
            let Some(cells) = cells(text) else {
                return match self.header {
                    None => Err(unreadable()),
                    Some(_) => Ok(Some(self.bad("Close each quote on its own line."))),
                };
            };
            let Some(header) = &self.header else {
                let header: Vec<String> = cells.iter().map(|cell| cell.trim().to_owned()).collect();
                if let Some(unknown) = header.iter().find(|name| !FIELDS.contains(&name.as_str())) {
                    let remedy = format!("Name only these columns: {}.", FIELDS.join(", "));
                    tracing::debug!(column = unknown.len(), "an unknown column");
                    return Err(unreadable().remedy(remedy));
                }
                self.header = Some(header);
                continue;
            };
            let fields = row(header, &cells);
            return Ok(Some(EnrolmentLine {
                line: self.line,
                fields,
            }));
        }
    }

    fn bad(&self, remedy: &str) -> EnrolmentLine {
        EnrolmentLine {
            line: self.line,
            fields: Err(refused("line", remedy)),
        }
    }

    /// The next line: `Some(None)` for one that is too long, whose rest is skipped.
    #[allow(clippy::option_option)] // the end, a line that is too long, and a line
    fn next_line(&mut self) -> Result<Option<Option<Vec<u8>>>, Failure> {
        let unreadable = |error: std::io::Error| Failure::new(Fault::InputUnreadable).because(error);
        let (mut line, mut is_long) = (Vec::new(), false);
        loop {
            let found = self.source.fill_buf().map_err(unreadable)?;
            if found.is_empty() {
                break;
            }
            let (piece, ends) = match found.iter().position(|byte| *byte == b'\n') {
                Some(at) => (&found[..=at], true),
                None => (found, false),
            };
            if line.len() + piece.len() > LINE_BYTES {
                is_long = true;
            } else {
                line.extend_from_slice(piece);
            }
            let count = piece.len();
            self.source.consume(count);
            if ends {
                self.line += 1;
                return Ok(Some((!is_long).then_some(line)));
            }
        }
        if line.is_empty() && !is_long {
            return Ok(None);
        }
        self.line += 1;
        Ok(Some((!is_long).then_some(line)))
    }
}

fn row(header: &[String], cells: &[String]) -> Result<EnrolmentFields, Failure> {
    if cells.len() > header.len() {
        return Err(refused("line", "Give as many cells as the header has."));
    }
    let mut fields = EnrolmentFields::default();
    for (name, cell) in header.iter().zip(cells) {
        if !cell.is_empty() {
            fields.set(name, cell);
        }
    }
    Ok(fields)
}

/// The cells of one line of CSV (RFC 4180); `None` when a quote is not closed on it.
fn cells(line: &str) -> Option<Vec<String>> {
    let (mut cells, mut cell, mut quoted) = (Vec::new(), String::new(), false);
    let mut chars = line.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                cell.push('"');
            }
            '"' if quoted => quoted = false,
            '"' if cell.is_empty() => quoted = true,
            ',' if !quoted => cells.push(std::mem::take(&mut cell)),
            other => cell.push(other),
        }
    }
    cells.push(cell);
    (!quoted).then_some(cells)
}
