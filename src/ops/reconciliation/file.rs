//! Reads a file of a reconciliation row by row: CSV or NDJSON by its first character, with bounded lines. The first thing that is wrong ends
//! it, with the number of the line.
//!
//! The file is a partner's, and is not trusted: what is not understood is refused, and no part of it is repeated in a message.

use super::row::{COLUMNS, ReconcileOutcome, ReconcileRow, unguarded};
use crate::error::{Failure, Fault};
use crate::exchange::enrolments::{BoundedLines, csv_cells};
use std::io::BufRead;

/// Reads rows from `R`.
pub struct ReconcileFile<R> {
    lines: BoundedLines<R>,
    /// For each cell of a line the position of its column in [`COLUMNS`].
    header: Option<Vec<usize>>,
    is_json: Option<bool>,
}

impl<R: BufRead> ReconcileFile<R> {
    /// A reader of `source`.
    pub fn new(source: R) -> ReconcileFile<R> {
        ReconcileFile {
            lines: BoundedLines::new(source),
            header: None,
            is_json: None,
        }
    }

    /// The number of the line that was read last, from 1.
    pub fn line(&self) -> u64 {
        self.lines.number()
    }

    /// The next row; `None` at the end.
    ///
    /// # Errors
    /// [`Fault::InputUnreadable`] with the line, for one that is too long, no UTF-8, or no row.
    pub fn next_row(&mut self) -> Result<Option<ReconcileRow>, Failure> {
        loop {
            let Some(bytes) = self.lines.next_line()? else {
                return match self.is_json {
                    Some(_) => Ok(None),
                    None => Err(self.bad("The file is empty. Give CSV with a header line, or NDJSON.")),
                };
            };
            let Some(bytes) = bytes else {
                return Err(self.bad("Give at most 64 KiB on a line."));
            };
            let Ok(text) = String::from_utf8(bytes) else {
                return Err(self.bad("Give the file in UTF-8."));
            };
            let text = text.trim_start_matches('\u{feff}').trim_end_matches(['\r', '\n']);
            if text.trim().is_empty() {
                continue;
            }
            let is_json = *self.is_json.get_or_insert_with(|| text.trim_start().starts_with('{'));
            let row = match is_json {
                true => self.of_json(text)?,
                false => match self.of_csv(text)? {
                    Some(row) => row,
                    None => continue,
                },
            };
            return match row.wrong() {
                None => Ok(Some(row)),
                Some(column) => Err(self.bad(&format!("The value of {column} cannot be used."))),
            };
        }
    }

    fn of_json(&self, text: &str) -> Result<ReconcileRow, Failure> {
        serde_json::from_str(text).map_err(|_| {
            let all = COLUMNS.join(", ");
            self.bad(&format!(
                "Give one JSON object with these members and no others: {all}."
            ))
        })
    }

    /// The row on a line of CSV; `None` for the header, which is kept.
    fn of_csv(&mut self, text: &str) -> Result<Option<ReconcileRow>, Failure> {
        let Some(cells) = csv_cells(text) else {
            return Err(self.bad("Close each quote on its own line."));
        };
        let Some(header) = &self.header else {
            self.header = Some(self.columns(&cells)?);
            return Ok(None);
        };
        if cells.len() != header.len() {
            return Err(self.bad("Give as many cells as the header has."));
        }
        let mut values = [""; COLUMNS.len()];
        for (column, cell) in header.iter().zip(&cells) {
            values[*column] = unguarded(cell);
        }
        self.row(&values).map(Some)
    }

    /// Which column each cell of the header names.
    fn columns(&self, cells: &[String]) -> Result<Vec<usize>, Failure> {
        let mut found = Vec::with_capacity(COLUMNS.len());
        for cell in cells {
            let at = COLUMNS.iter().position(|column| *column == cell.trim());
            match at {
                Some(at) if !found.contains(&at) => found.push(at),
                Some(at) => return Err(self.bad(&format!("The column {} stands twice.", COLUMNS[at]))),
                None => {
                    let all = COLUMNS.join(", ");
                    return Err(self.bad(&format!("Name these columns and no others: {all}.")));
                }
            }
        }
        match (0..COLUMNS.len()).find(|at| !found.contains(at)) {
            None => Ok(found),
            Some(at) => Err(self.bad(&format!("The column {} is missing.", COLUMNS[at]))),
        }
    }

    fn row(&self, values: &[&str; COLUMNS.len()]) -> Result<ReconcileRow, Failure> {
        let [
            correlation_id,
            exchange_id,
            direction,
            kind,
            state,
            outcome,
            started_at,
            ended_at,
            receipt,
            acknowledged_at,
            resources,
            bytes,
        ] = *values;
        let wrong = |column: &str| self.bad(&format!("The value of {column} cannot be used."));
        let optional = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let number = |text: &str, column: &str| match text {
            "" => Ok(None),
            text => text.parse::<u64>().map(Some).map_err(|_| wrong(column)),
        };
        let outcome = ReconcileOutcome::ALL.into_iter().find(|one| one.code() == outcome);
        Ok(ReconcileRow {
            correlation_id: correlation_id.to_owned(),
            exchange_id: exchange_id.to_owned(),
            direction: direction.to_owned(),
            kind: kind.to_owned(),
            state: state.to_owned(),
            outcome: outcome.ok_or_else(|| wrong("outcome"))?,
            started_at: started_at.to_owned(),
            ended_at: optional(ended_at),
            receipt: optional(receipt),
            acknowledged_at: optional(acknowledged_at),
            resources: number(resources, "resources")?,
            bytes: number(bytes, "bytes")?,
        })
    }

    /// A failure on the line that was read last.
    pub fn bad(&self, remedy: &str) -> Failure {
        Failure::new(Fault::InputUnreadable)
            .at(format!("line {}", self.lines.number().max(1)))
            .remedy(remedy)
    }
}

#[cfg(test)]
mod tests {
    use super::super::row::csv_header;
    use super::*;
    use crate::exchange::enrolments::LINE_BYTES;

    fn row() -> ReconcileRow {
        ReconcileRow {
            correlation_id: "=corr-1".into(),
            exchange_id: "x-1".into(),
            direction: "outbound".into(),
            kind: "single".into(),
            state: "completed".into(),
            outcome: ReconcileOutcome::Delivered,
            started_at: "2026-10-05T15:00:00.000Z".into(),
            ended_at: None,
            receipt: None,
            acknowledged_at: Some("2026-10-05T16:00:00.000Z".into()),
            resources: Some(12),
            bytes: None,
        }
    }

    fn read(text: &[u8]) -> Result<Vec<ReconcileRow>, Failure> {
        let (mut file, mut rows) = (ReconcileFile::new(text), Vec::new());
        while let Some(row) = file.next_row()? {
            rows.push(row);
        }
        Ok(rows)
    }

    #[test]
    fn both_forms_are_read_as_they_were_written() {
        let csv = format!("\u{feff}{}{}\r\n", csv_header(), row().csv());
        assert_eq!(read(csv.as_bytes()).expect("CSV"), [row()]);
        let json = row().ndjson().expect("JSON");
        assert_eq!(read(json.as_bytes()).expect("NDJSON"), [row()]);
        assert!(read(csv_header().as_bytes()).expect("no row").is_empty());
    }

    #[test]
    fn columns_may_stand_in_any_order() {
        let mut names: Vec<&str> = COLUMNS.to_vec();
        names.reverse();
        let line = row().csv();
        let mut cells = csv_cells(line.trim_end()).expect("cells");
        cells.reverse();
        let text = format!("{}\n{}\n", names.join(","), cells.join(","));
        assert_eq!(read(text.as_bytes()).expect("a row"), [row()]);
    }

    #[test]
    fn what_is_wrong_is_a_fault_with_its_line() {
        let header = csv_header();
        let good = row().csv();
        let long = "x".repeat(LINE_BYTES + 1);
        for (text, line) in [
            (String::new(), 1),
            ("\n\n".to_owned(), 2),
            ("correlation_id,color\n".to_owned(), 1),
            (format!("{},state\n", COLUMNS.join(",")), 1),
            ("correlation_id,exchange_id\n".to_owned(), 1),
            (format!("{header}{good}a,b\n"), 3),
            (format!("{header}{good}\"open\n"), 3),
            (format!("{header}\n{long}\n"), 3),
            (format!("{header}{}", good.replace("delivered", "sent")), 2),
            (format!("{header}{}", good.replace("outbound", "sideways")), 2),
            (format!("{header}{}", good.replace("2026-10-05T15", "yesterday")), 2),
            (format!("{header}{}", good.replace(",12,", ",twelve,")), 2),
            (format!("{header}{}", good.replace("'=corr-1", "two words")), 2),
            ("{\"correlation_id\":\"a\"}\n".to_owned(), 1),
            (format!("{}{{\n", row().ndjson().expect("JSON")), 2),
        ] {
            let failure = read(text.as_bytes()).expect_err(&text);
            assert_eq!(failure.fault(), Fault::InputUnreadable, "{text}");
            assert_eq!(failure.expressions(), [format!("line {line}")], "{text}");
        }
        let broken = [header.as_bytes(), &[0xff, 0xfe, b'\n'][..]].concat();
        let failure = read(&broken).expect_err("no UTF-8");
        assert_eq!(failure.expressions(), ["line 2"]);
    }
}
