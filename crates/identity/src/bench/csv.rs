//! CSV with quotes (RFC 4180), just enough for benchmark files.

use std::collections::HashMap;
use std::io::{self, BufRead};

/// A table with a header row.
#[derive(Clone, Debug, Default)]
pub struct Table {
    columns: HashMap<String, usize>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Reads a whole table.
    ///
    /// # Errors
    /// What reading says; `InvalidData` when there is no header or a quote is not closed.
    pub fn read(mut source: impl BufRead) -> io::Result<Table> {
        let mut text = String::new();
        source.read_to_string(&mut text)?;
        let mut rows = parse(&text)?.into_iter();
        let header = rows.next().ok_or_else(|| invalid("no header"))?;
        let columns = header
            .into_iter()
            .enumerate()
            .map(|(i, name)| (name.trim().to_owned(), i))
            .collect();
        Ok(Table {
            columns,
            rows: rows.filter(|row| row.iter().any(|cell| !cell.is_empty())).collect(),
        })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// A cell; empty when the column or the row is not there.
    pub fn cell(&self, row: usize, column: &str) -> &str {
        let cell = || self.rows.get(row)?.get(*self.columns.get(column)?);
        cell().map_or("", String::as_str)
    }

    /// Whether the header has this column.
    pub fn has(&self, column: &str) -> bool {
        self.columns.contains_key(column)
    }

    /// Adds a column that joins others by a space.
    pub fn join(&mut self, from: &[&str], to: &str) {
        let width = self.columns.values().max().map_or(0, |last| last + 1);
        for row in 0..self.rows.len() {
            let cells: Vec<&str> = from
                .iter()
                .map(|column| self.cell(row, column))
                .filter(|cell| !cell.is_empty())
                .collect();
            let cell = cells.join(" ");
            if let Some(row) = self.rows.get_mut(row) {
                row.resize(width, String::new());
                row.push(cell);
            }
        }
        self.columns.insert(to.to_owned(), width);
    }
}

/// Reads a table a number of rows at a time, so that a file may be larger than memory.
#[derive(Debug)]
pub struct Chunks<R> {
    source: R,
    header: String,
    line: u64,
}

impl<R: BufRead> Chunks<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// As [`Table::read`].
    pub fn open(source: R) -> io::Result<Chunks<R>> {
        let mut chunks = Chunks {
            source,
            header: String::new(),
            line: 0,
        };
        let mut header = String::new();
        chunks.record(&mut header)?;
        if header.trim().is_empty() {
            return Err(invalid("no header"));
        }
        chunks.header = header;
        Ok(chunks)
    }

    /// The next `rows` rows at most; `None` at the end.
    ///
    /// # Errors
    /// As [`Table::read`].
    pub fn next(&mut self, rows: usize) -> io::Result<Option<Table>> {
        let mut text = self.header.clone();
        let mut count = 0;
        while count < rows && self.record(&mut text)? {
            count += 1;
        }
        (count > 0).then(|| Table::read(text.as_bytes())).transpose()
    }

    /// Adds a record, which may hold line breaks in quotes, to `text`.
    fn record(&mut self, text: &mut String) -> io::Result<bool> {
        let begin = text.len();
        loop {
            let before = text.len();
            if self.source.read_line(text)? == 0 {
                if before > begin {
                    return Err(invalid(&format!("a quote is not closed before line {}", self.line + 1)));
                }
                return Ok(false);
            }
            self.line += 1;
            if text[begin..].bytes().filter(|b| *b == b'"').count() % 2 == 0 {
                return Ok(true);
            }
        }
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

fn parse(text: &str) -> io::Result<Vec<Vec<String>>> {
    let (mut rows, mut row, mut cell, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut letters = text.trim_start_matches('\u{feff}').chars().peekable();
    while let Some(c) = letters.next() {
        match (quoted, c) {
            (true, '"') if letters.peek() == Some(&'"') => {
                letters.next();
                cell.push('"');
            }
            (_, '"') => quoted = !quoted,
            (false, ',') => row.push(std::mem::take(&mut cell)),
            (false, '\n') => {
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            (false, '\r') => {}
            (_, other) => cell.push(other),
        }
    }
    if quoted {
        return Err(invalid("a quote is not closed"));
    }
    if !cell.is_empty() || !row.is_empty() {
        row.push(cell);
        rows.push(row);
    }
    Ok(rows)
}

/// A cell as it is written: quoted when it must be.
pub fn quote(cell: &str) -> String {
    if cell.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_line_ends() {
        let table = Table::read("a,b\r\n\"x, \"\"y\"\"\",2\r\n\r\n3,".as_bytes()).expect("reads");
        assert_eq!(table.len(), 2);
        assert_eq!(table.cell(0, "a"), "x, \"y\"");
        assert_eq!(table.cell(1, "b"), "");
        assert_eq!(table.cell(9, "zz"), "");
        assert!(Table::read("a\n\"x".as_bytes()).is_err());
        assert_eq!(quote("x, \"y\""), "\"x, \"\"y\"\"\"");
    }
}
