//! The reject file: one JSON line for each refused resource. It contains places and reasons, never values.

use crate::error::{Failure, Fault};
use serde::Serialize;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// A refused resource.
#[derive(Debug)]
pub struct Reject {
    /// Name of its file.
    pub source: String,
    /// Line in that file, from 1.
    pub line: u64,
    /// Index of its entry in the Bundle, from 0.
    pub entry: Option<usize>,
    /// Why.
    pub failure: Failure,
}

#[derive(Serialize)]
struct Line<'a> {
    source: &'a str,
    line: u64,
    expression: String,
    fault: &'static str,
    text: &'static str,
    reason: &'a str,
}

/// Writes the file, which is created with its first line.
pub struct Rejects {
    path: PathBuf,
    file: Option<BufWriter<File>>,
}

impl Rejects {
    /// Prepares to write to `path`. A file of an earlier run is emptied now, so that it is not taken for this run's.
    ///
    /// # Errors
    /// [`Fault::InputUnreadable`] when the file cannot be emptied.
    pub fn new(path: &Path) -> Result<Self, Failure> {
        let mut rejects = Rejects {
            path: path.to_owned(),
            file: None,
        };
        if path.exists() {
            rejects.open()?;
        }
        Ok(rejects)
    }

    /// Adds a line for one resource.
    ///
    /// # Errors
    /// [`Fault::InputUnreadable`] when it cannot be written.
    pub fn add(&mut self, reject: &Reject) -> Result<(), Failure> {
        let row = reject.failure.fault().row();
        let own = reject.failure.expressions().first().map_or("", String::as_str);
        let expression = match reject.entry {
            Some(entry) => {
                let rest = own.find(['.', '[']).map_or("", |at| &own[at..]);
                format!("Bundle.entry[{entry}].resource{rest}")
            }
            None => own.to_owned(),
        };
        let line = Line {
            source: &reject.source,
            line: reject.line,
            expression,
            fault: row.code,
            text: row.text,
            reason: reject.failure.operator_remedy_text(),
        };
        let text = serde_json::to_string(&line).map_err(|error| Failure::new(Fault::Internal).because(error))?;
        let failed = |error: std::io::Error| Failure::new(Fault::InputUnreadable).at("--rejects").because(error);
        let file = self.open()?;
        writeln!(file, "{text}").map_err(failed)
    }

    /// Flushes the file.
    ///
    /// # Errors
    /// [`Fault::InputUnreadable`] when it cannot be written.
    pub fn finish(&mut self) -> Result<(), Failure> {
        match &mut self.file {
            Some(file) => file
                .flush()
                .map_err(|error| Failure::new(Fault::InputUnreadable).at("--rejects").because(error)),
            None => Ok(()),
        }
    }

    fn open(&mut self) -> Result<&mut BufWriter<File>, Failure> {
        if self.file.is_none() {
            let file = File::create(&self.path)
                .map_err(|error| Failure::new(Fault::InputUnreadable).at("--rejects").because(error))?;
            self.file = Some(BufWriter::new(file));
        }
        self.file.as_mut().ok_or_else(|| Failure::new(Fault::Internal))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Fault;

    #[test]
    fn reasons_are_for_the_one_who_imports_not_for_a_partner() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("rejects.ndjson");
        let mut rejects = Rejects::new(&path).expect("made");
        for fault in [Fault::TooLarge, Fault::NotFound] {
            let failure = Failure::new(fault);
            rejects
                .add(&Reject {
                    source: "x".to_owned(),
                    line: 1,
                    entry: None,
                    failure,
                })
                .expect("added");
        }
        rejects.finish().expect("written");
        let text = std::fs::read_to_string(&path).expect("a file");
        assert!(
            !text.contains("payer's operator") && text.lines().count() == 2,
            "{text}"
        );
    }
}
