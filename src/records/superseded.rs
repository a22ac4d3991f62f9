//! The list of superseded versions: one JSON line for each version that a newer one of the same resource replaced.
//!
//! It names resources by type and id, and the place where they were; it contains nothing else about them.

use super::source_version::Decided;
use crate::error::{Failure, Fault};
use serde::Serialize;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// A version that a newer one supersedes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SupersededVersion {
    /// Name of its file or, when it was stored earlier in this run, that of the newer version.
    pub source: String,
    /// Line in that file, from 1.
    pub line: u64,
    /// Index of the entry in the Bundle, from 0.
    pub entry: Option<usize>,
    /// Type of the resource.
    pub rtype: &'static str,
    /// Its id.
    pub id: String,
    /// Whether it was stored earlier in this run; source, line and entry are then those of the newer version.
    pub was_stored: bool,
    /// What decided which version is newer.
    pub by: Decided,
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(rename = "type")]
    rtype: &'a str,
    id: &'a str,
    source: &'a str,
    line: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    entry: Option<usize>,
    /// Whether the place is that of this version (`this`) or of the newer one (`newer`).
    place_of: &'static str,
    decided_by: &'static str,
}

/// Writes the list, which is created with its first line.
pub struct List {
    path: PathBuf,
    file: Option<BufWriter<File>>,
}

fn failed(error: std::io::Error) -> Failure {
    Failure::new(Fault::InputUnreadable).at("--superseded").because(error)
}

impl List {
    /// Prepares to write to `path`. A list of an earlier run is emptied now, so that it is not taken for this run's.
    ///
    /// # Errors
    /// [`Fault::InputUnreadable`] when the file cannot be emptied.
    pub fn new(path: &Path) -> Result<Self, Failure> {
        let file = match path.exists() {
            true => Some(BufWriter::new(File::create(path).map_err(failed)?)),
            false => None,
        };
        Ok(List {
            path: path.to_owned(),
            file,
        })
    }

    /// Adds a line for one version.
    ///
    /// # Errors
    /// [`Fault::InputUnreadable`] when it cannot be written.
    pub fn add(&mut self, lost: &SupersededVersion) -> Result<(), Failure> {
        let line = Line {
            rtype: lost.rtype,
            id: &lost.id,
            source: &lost.source,
            line: lost.line,
            entry: lost.entry,
            place_of: if lost.was_stored { "newer" } else { "this" },
            decided_by: lost.by.name(),
        };
        let text = serde_json::to_string(&line).map_err(|error| Failure::new(Fault::Internal).because(error))?;
        let file = match &mut self.file {
            Some(file) => file,
            None => self
                .file
                .insert(BufWriter::new(File::create(&self.path).map_err(failed)?)),
        };
        writeln!(file, "{text}").map_err(failed)
    }

    /// Flushes the file.
    ///
    /// # Errors
    /// [`Fault::InputUnreadable`] when it cannot be written.
    pub fn finish(&mut self) -> Result<(), Failure> {
        self.file.as_mut().map_or(Ok(()), |file| file.flush().map_err(failed))
    }
}
