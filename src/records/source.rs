//! The sources of an import: files of NDJSON, Bundles, arrays and single resources, plain or gzipped, alone or in folders.
//!
//! The content of a file decides how it is read ([`super::sniff`]); its name only decides whether a file in a folder is opened, and in
//! which phase first. A run goes through its sources several times, by [`phase`], so that referenced resources are stored first whatever
//! the order of files. Within a phase the last path of the command line comes first: of two versions whose sources do not say which is
//! newer, the one from the later path is then stored already. Memory holds one chunk of a file, or one Bundle.

use super::bundle::InputDocument;
use super::chunk::{Chunk, Emit, phase};
use super::lines::lines;
use super::sniff::{self, FileForm, HEAD_BYTES};
use crate::error::{Failure, Fault};
use crate::fhir::prescreen::ScreenLimits;
use flate2::bufread::MultiGzDecoder;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A file.
#[derive(Debug)]
pub struct SourceFile {
    path: PathBuf,
    /// The path as it is shown to people.
    pub name: Arc<str>,
    /// How it contains its resources; known after it was opened.
    form: Option<FileForm>,
    /// Whether its name says that it contains lines.
    named_lines: bool,
    /// Whether content that is not part of a record is refused; otherwise it is skipped. True when the file was named on the command line,
    /// or is named as bulk exports name their files.
    strict: bool,
    /// Size on disk.
    pub bytes: u64,
    /// The phases for which it has resources, one bit each. Until it was read once, those for which it may have some.
    phases: u8,
    /// Whether it was read once, so that `phases` is exact.
    known: bool,
    /// How much of `bytes` was counted as done.
    told: u64,
}

/// A file that was skipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileLeftAside {
    /// The file, as it is shown to people.
    pub name: String,
    /// Why.
    pub why: &'static str,
}

/// Reason for a file in a folder that contains JSON, but no resource of a record.
pub const NO_RECORD: &str = "it has no resource of a type that is stored";
const OTHER_NAME: &str = "in folders only .ndjson, .jsonl and .json files are read, plain or with .gz";
const JOURNAL: &str = "it is the journal of a bulk client";

/// Finds the files under `paths`, the last path first, and adds the files in folders that are not opened to `aside`.
///
/// # Errors
/// [`Fault::InputUnreadable`] with the path that does not exist, cannot be read, or contains no JSON.
pub fn gather(paths: &[PathBuf], names: &[String], aside: &mut Vec<FileLeftAside>) -> Result<Vec<SourceFile>, Failure> {
    let mut sources = Vec::new();
    for (path, name) in paths.iter().zip(names).rev() {
        let unreadable = |error: std::io::Error| Failure::new(Fault::InputUnreadable).at(name.as_str()).because(error);
        let what = std::fs::metadata(path).map_err(unreadable)?;
        if !what.is_dir() && !what.is_file() {
            // A pipe can be read only once; a run reads its sources several times.
            return Err(Failure::new(Fault::InputUnreadable)
                .at(name.as_str())
                .remedy("Write it into a file first: an import reads each file several times."));
        }
        if what.is_dir() {
            let mut found = Vec::new();
            walk(path, name, &mut found, aside)?;
            found.sort_by(|a: &SourceFile, b| b.path.cmp(&a.path));
            sources.extend(found);
        } else {
            let source = match source(path, name, true)? {
                Some(source) => source,
                None if holds_json(path).map_err(unreadable)? => named(path, name, true, false, None)?,
                None => {
                    return Err(Failure::new(Fault::InputUnreadable)
                        .at(name.as_str())
                        .remedy("Name files with FHIR JSON, plain or gzipped."));
                }
            };
            File::open(path).map_err(unreadable)?;
            sources.push(source);
        }
    }
    Ok(sources)
}

fn walk(folder: &Path, name: &str, found: &mut Vec<SourceFile>, aside: &mut Vec<FileLeftAside>) -> Result<(), Failure> {
    let unreadable = |error: std::io::Error| Failure::new(Fault::InputUnreadable).at(name).because(error);
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let path = entry.path();
        let inner = format!("{}/{}", name.trim_end_matches('/'), entry.file_name().to_string_lossy());
        // A link may form a cycle or lead out of the folder, so links are not followed.
        let kind = entry.file_type().map_err(unreadable)?;
        if kind.is_dir() {
            walk(&path, &inner, found, aside)?;
            continue;
        }
        let why = if !kind.is_file() {
            "it is no file of its own"
        } else if entry.file_name() == "log.ndjson" {
            JOURNAL
        } else if let Some(source) = source(&path, &inner, false)? {
            found.push(source);
            continue;
        } else {
            OTHER_NAME
        };
        aside.push(FileLeftAside { name: inner, why });
    }
    Ok(())
}

/// Whether a file contains JSON, whatever its name.
fn holds_json(path: &Path) -> std::io::Result<bool> {
    let (head, _) = head(&mut opened(File::open(path)?, None)?.0)?;
    Ok(sniff::is_json(&head))
}

fn source(path: &Path, name: &str, explicit: bool) -> Result<Option<SourceFile>, Failure> {
    let own = path
        .file_name()
        .map(|file| file.to_string_lossy().into_owned())
        .unwrap_or_default();
    let lower = own.to_ascii_lowercase();
    let stem = lower.strip_suffix(".gz").unwrap_or(&lower);
    let named_lines = match stem.rsplit_once('.') {
        Some((_, "ndjson" | "jsonl")) => true,
        Some((_, "json")) => false,
        _ => return Ok(None),
    };
    let hint = own
        .split(['.', '-', '_'])
        .next()
        .and_then(causeway_fhir_types::type_name)
        .filter(|_| named_lines);
    named(path, name, explicit, named_lines, hint).map(Some)
}

/// `hint` is the resource type in its name: the file is first read in the phase of that type.
fn named(
    path: &Path,
    name: &str,
    explicit: bool,
    named_lines: bool,
    hint: Option<&str>,
) -> Result<SourceFile, Failure> {
    let unreadable = |error: std::io::Error| Failure::new(Fault::InputUnreadable).at(name).because(error);
    let bytes = std::fs::metadata(path).map_err(unreadable)?.len();
    Ok(SourceFile {
        path: path.to_owned(),
        name: name.into(),
        form: None,
        named_lines,
        strict: explicit || named_lines,
        bytes,
        phases: hint.map_or(u8::MAX, |rtype| u8::MAX << phase(Some(rtype))),
        known: false,
        told: 0,
    })
}

/// The result of reading a source for a phase.
#[derive(Debug, PartialEq, Eq)]
pub enum SourceEvent {
    /// It was read to its end, or it has nothing for this phase.
    Done,
    /// A file in a folder that contains no resource of a record; it is skipped.
    NotARecord,
}

type Reader<'r> = Box<dyn BufRead + 'r>;

/// Opens a file for reading its content, decompressed if it is gzip; the flag says whether it is. `read` counts its bytes on disk.
fn opened(file: File, read: Option<&AtomicU64>) -> std::io::Result<(Reader<'_>, bool)> {
    let mut plain = BufReader::with_capacity(1 << 17, Counted { file, read });
    Ok(if sniff::is_gzip(plain.fill_buf()?) {
        (
            Box::new(BufReader::with_capacity(1 << 17, MultiGzDecoder::new(plain))),
            true,
        )
    } else {
        (Box::new(plain), false)
    })
}

/// Returns the first bytes, and whether these are all.
fn head(reader: &mut Reader<'_>) -> std::io::Result<(Vec<u8>, bool)> {
    let mut head = Vec::new();
    reader.by_ref().take(HEAD_BYTES as u64).read_to_end(&mut head)?;
    let is_whole = head.len() < HEAD_BYTES;
    Ok((head, is_whole))
}

impl SourceFile {
    /// Emits the source's resources of phase `now`, and those of earlier phases if it was not
    /// read before. `done` counts its bytes on disk that are handled.
    ///
    /// # Errors
    /// [`Fault::InputUnreadable`] when it cannot be read to its end; what came before is emitted.
    pub fn visit(&mut self, now: u8, done: &AtomicU64, emit: &mut Emit<'_>) -> Result<SourceEvent, Failure> {
        if self.phases & (1 << now) == 0 {
            return Ok(SourceEvent::Done);
        }
        let name = Arc::clone(&self.name);
        let unreadable =
            move |error: std::io::Error| Failure::new(Fault::InputUnreadable).at(name.as_ref()).because(error);
        let on_disk = AtomicU64::new(0);
        let file = File::open(&self.path).map_err(&unreadable)?;
        let (mut reader, packed) = opened(file, Some(&on_disk)).map_err(&unreadable)?;
        let form = match self.form {
            Some(form) => form,
            None => {
                let (head, is_whole) = head(&mut reader).map_err(&unreadable)?;
                // Text in UTF-16 may contain records: it is refused, never skipped.
                self.strict |= sniff::is_utf16(&head);
                let form = sniff::form(&head, is_whole, self.named_lines);
                self.form = Some(form);
                reader = Box::new(std::io::Cursor::new(head).chain(reader));
                form
            }
        };
        let known = self.known;
        let wanted = move |own: u8| own == now || !known && own < now;
        let (told, bytes) = (&mut self.told, self.bytes);
        let mut tell = |chunk: Chunk| {
            let share = if !packed || chunk.offset == 0 {
                chunk.bytes as f64
            } else {
                chunk.bytes as f64 * on_disk.load(Ordering::Relaxed) as f64 / chunk.offset as f64
            };
            let more = (share as u64).min(bytes - *told);
            *told += more;
            done.fetch_add(more, Ordering::Relaxed);
            emit(chunk)
        };
        let taken = match form {
            FileForm::Lines => {
                let (taken, read) = lines(reader.as_mut(), &self.name, &wanted, self.strict, &mut tell);
                read.map_err(&unreadable)?;
                taken
            }
            FileForm::Document => {
                let mut text = Vec::new();
                let limit = ScreenLimits::bundle().bytes as u64 + 1;
                reader.take(limit).read_to_end(&mut text).map_err(&unreadable)?;
                let document = InputDocument {
                    name: &self.name,
                    line: 1,
                    wanted: &wanted,
                    offset: 0,
                    strict: self.strict,
                };
                document.in_order(text, &mut tell)
            }
        };
        if !taken.go_on {
            return Ok(SourceEvent::Done);
        }
        self.phases = taken.phases & u8::MAX.checked_shl(u32::from(now) + 1).unwrap_or(0);
        self.known = true;
        if self.phases == 0 {
            done.fetch_add(self.bytes - self.told, Ordering::Relaxed);
            self.told = self.bytes;
        }
        Ok(if taken.record {
            SourceEvent::Done
        } else {
            SourceEvent::NotARecord
        })
    }

    /// Skips the source for the rest of the run.
    pub fn give_up(&mut self) {
        self.phases = 0;
    }
}

struct Counted<'c> {
    file: File,
    read: Option<&'c AtomicU64>,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.file.read(buffer)?;
        if let Some(read) = self.read {
            read.fetch_add(count as u64, Ordering::Relaxed);
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_a_folder_are_known_by_their_names() {
        let dir = tempfile::tempdir().expect("a folder");
        for name in [
            "b/Patient.ndjson.gz",
            "b/notes.txt",
            "b/log.ndjson",
            "a.json",
            "b/x.NDJSON",
        ] {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            std::fs::write(path, "").expect("written");
        }
        let mut aside = Vec::new();
        let found = gather(&[dir.path().to_owned()], &["d".into()], &mut aside).expect("gathered");
        let mut left: Vec<&str> = aside.iter().map(|one| one.name.as_str()).collect();
        left.sort_unstable();
        assert_eq!(left, ["d/b/log.ndjson", "d/b/notes.txt"]);
        assert_eq!(
            found.iter().map(|s| s.name.as_ref()).collect::<Vec<_>>(),
            ["d/b/x.NDJSON", "d/b/Patient.ndjson.gz", "d/a.json"]
        );
        assert_eq!((found[1].phases, found[0].phases), (u8::MAX << 2, u8::MAX));
        let missing = gather(&[dir.path().join("none")], &["none".into()], &mut aside).expect_err("refused");
        assert_eq!(
            (missing.fault(), missing.expressions()),
            (Fault::InputUnreadable, &["none".to_owned()][..])
        );
    }
    #[test]
    fn a_file_that_is_named_is_taken_by_what_it_holds() {
        let dir = tempfile::tempdir().expect("a folder");
        for (name, text, taken) in [
            ("records.txt", "\n{\"resourceType\":\"Patient\"}", true),
            ("records", "[{}]", true),
            ("notes.txt", "hello", false),
            ("records.xml", "<Patient/>", false),
        ] {
            let path = dir.path().join(name);
            std::fs::write(&path, text).expect("written");
            let found = gather(&[path], &[name.into()], &mut Vec::new());
            assert_eq!(found.is_ok(), taken, "{name}");
        }
    }
}
