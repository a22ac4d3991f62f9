//! Lines of a file from outside, one after another and bounded, and the cells of one line of CSV. What a line means is its reader's to say.

use crate::error::{Failure, Fault};
use std::io::BufRead;

/// Longest line of a file, in bytes.
pub const LINE_BYTES: usize = 65_536;

/// Reads the lines of `R`. A line that is too long is skipped and reported, and never held.
pub struct BoundedLines<R> {
    source: R,
    number: u64,
}

impl<R: BufRead> BoundedLines<R> {
    /// A reader of `source`.
    pub fn new(source: R) -> BoundedLines<R> {
        BoundedLines { source, number: 0 }
    }

    /// The number of the line that was read last, from 1.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The next line with its end: `Some(None)` for one of more than [`LINE_BYTES`], whose rest is skipped.
    ///
    /// # Errors
    /// [`Fault::InputUnreadable`] when the file cannot be read.
    #[allow(clippy::option_option)] // the end, a line that is too long, and a line
    pub fn next_line(&mut self) -> Result<Option<Option<Vec<u8>>>, Failure> {
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
                self.number += 1;
                return Ok(Some((!is_long).then_some(line)));
            }
        }
        if line.is_empty() && !is_long {
            return Ok(None);
        }
        self.number += 1;
        Ok(Some((!is_long).then_some(line)))
    }
}

/// The cells of one line of CSV (RFC 4180); `None` when a quote is not closed on it.
pub fn csv_cells(line: &str) -> Option<Vec<String>> {
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
