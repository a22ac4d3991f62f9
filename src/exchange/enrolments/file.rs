//! Reads a file of enrolments row by row: NDJSON or CSV, with bounded lines.

use super::lines::{BoundedLines, csv_cells};
use super::{EnrolmentFields, FIELDS, refused};
use crate::error::{Failure, Fault};
use std::io::BufRead;

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
    lines: BoundedLines<R>,
    header: Option<Vec<String>>,
    is_json: Option<bool>,
}

impl<R: BufRead> EnrolmentFile<R> {
    /// A reader of `source`.
    pub fn new(source: R) -> EnrolmentFile<R> {
        EnrolmentFile {
            lines: BoundedLines::new(source),
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
            let Some(bytes) = self.lines.next_line()? else {
                return Ok(None);
            };
            let line = self.lines.number();
            let unreadable = || Failure::new(Fault::FileUnusable).at(format!("line {line}"));
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
                return Ok(Some(EnrolmentLine { line, fields }));
            }
            let Some(cells) = csv_cells(text) else {
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
            return Ok(Some(EnrolmentLine { line, fields }));
        }
    }

    fn bad(&self, remedy: &str) -> EnrolmentLine {
        EnrolmentLine {
            line: self.lines.number(),
            fields: Err(refused("line", remedy)),
        }
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
