//! CSV files of the benchmark (RFC 4180) with a header, read as a whole or in chunks of rows, and written. Uses the `csv` crate.

use ::csv::{Reader, ReaderBuilder, StringRecord, Writer, WriterBuilder};
use std::collections::HashMap;
use std::io::{self, BufRead, Read, Write};

/// A table with a header row.
#[derive(Clone, Debug, Default)]
pub struct CsvTable {
    columns: HashMap<String, usize>,
    rows: Vec<Vec<String>>,
}

impl CsvTable {
    /// Reads a whole table.
    ///
    /// # Errors
    /// Those of reading; `InvalidData` when the header is missing, a quote is not closed, or a cell is not UTF-8.
    pub fn read(source: impl BufRead) -> io::Result<CsvTable> {
        let mut chunks = TableChunks::open(source)?;
        let rows = chunks.next(usize::MAX)?;
        Ok(rows.unwrap_or(CsvTable {
            columns: chunks.columns,
            rows: Vec::new(),
        }))
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether the table has no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The text of a cell; empty when the column or the row is missing.
    pub fn cell(&self, row: usize, column: &str) -> &str {
        let cell = || self.rows.get(row)?.get(*self.columns.get(column)?);
        cell().map_or("", String::as_str)
    }

    /// Whether the header has this column.
    pub fn has(&self, column: &str) -> bool {
        self.columns.contains_key(column)
    }

    /// Adds a column with the text of other columns, joined by spaces.
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

/// Reads a table in chunks of rows, so that the file may be larger than memory.
#[derive(Debug)]
pub struct TableChunks<R> {
    reader: Reader<Quotes<R>>,
    columns: HashMap<String, usize>,
}

impl<R: BufRead> TableChunks<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// As [`CsvTable::read`].
    pub fn open(source: R) -> io::Result<TableChunks<R>> {
        let mut reader = ReaderBuilder::new()
            .flexible(true)
            .from_reader(Quotes { source, open: false });
        let header = reader.headers()?;
        if header.iter().all(|name| name.trim().is_empty()) {
            return Err(invalid("no header"));
        }
        let columns = header.iter().map(|name| name.trim().to_owned()).zip(0..).collect();
        Ok(TableChunks { reader, columns })
    }

    /// The next rows, at most `rows`, without empty ones; `None` at the end.
    ///
    /// # Errors
    /// As [`CsvTable::read`].
    pub fn next(&mut self, rows: usize) -> io::Result<Option<CsvTable>> {
        let (mut found, mut record) = (Vec::new(), StringRecord::new());
        while found.len() < rows {
            if !self.reader.read_record(&mut record)? {
                if self.reader.get_ref().open {
                    return Err(invalid("a quote is not closed"));
                }
                break;
            }
            if record.iter().any(|cell| !cell.is_empty()) {
                found.push(record.iter().map(str::to_owned).collect());
            }
        }
        Ok((!found.is_empty()).then(|| CsvTable {
            columns: self.columns.clone(),
            rows: found,
        }))
    }
}

/// A file that notes whether a quote is open. The CSV reader would accept a quote that is never closed as the last cell.
#[derive(Debug)]
struct Quotes<R> {
    source: R,
    open: bool,
}

impl<R: Read> Read for Quotes<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(into)?;
        let read = into.get(..count).unwrap_or(&[]);
        self.open ^= read.iter().filter(|byte| **byte == b'"').count() % 2 == 1;
        Ok(count)
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

/// A writer of rows that quotes cells where needed and ends lines with a line feed. It buffers rows until it is flushed.
pub fn writer<W: Write>(to: W) -> Writer<W> {
    WriterBuilder::new().from_writer(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_line_ends() {
        let table = CsvTable::read("\u{feff}a, b\r\n\"x, \"\"y\"\"\",2\r\n\r\n,\r\n3,".as_bytes()).expect("reads");
        assert_eq!(table.len(), 2);
        assert_eq!(table.cell(0, "a"), "x, \"y\"");
        assert_eq!((table.cell(0, "b"), table.cell(1, "b")), ("2", ""));
        assert_eq!(table.cell(9, "zz"), "");
        for bad in ["", "\n", " \n1", "a\n\"x", "a\n\"x\ny\n"] {
            assert!(CsvTable::read(bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert!(CsvTable::read("a\n".as_bytes()).expect("a header").is_empty());
        assert!(CsvTable::read(&b"a\n\xff"[..]).is_err());
    }

    #[test]
    fn a_table_is_read_in_pieces() {
        let mut chunks = TableChunks::open("a,b\n1,\"x\ny\"\n2,\n,\n3".as_bytes()).expect("a header");
        let first = chunks.next(2).expect("reads").expect("rows");
        assert_eq!((first.len(), first.cell(0, "b"), first.cell(1, "a")), (2, "x\ny", "2"));
        let second = chunks.next(2).expect("reads").expect("rows");
        assert_eq!((second.len(), second.cell(0, "a"), second.cell(0, "b")), (1, "3", ""));
        assert!(chunks.next(2).expect("reads").is_none());
    }

    #[test]
    fn cells_are_quoted_when_they_must_be() {
        let mut writer = writer(Vec::new());
        writer
            .write_record(["a", "x, \"y\"", "", "u v", "l\nm"])
            .expect("writes");
        writer.write_record(["=1+1", "-", "é", "'", ";"]).expect("writes");
        let text = String::from_utf8(writer.into_inner().expect("whole")).expect("UTF-8");
        assert_eq!(text, "a,\"x, \"\"y\"\"\",,u v,\"l\nm\"\n=1+1,-,é,',;\n");
    }
}
