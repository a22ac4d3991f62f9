//! Where resources come from: files of NDJSON, Bundles, arrays and single resources, plain or gzipped, alone or in folders.
//!
//! A file is what it holds ([`super::sniff`]); its name says only which files of a folder are looked at, and when first. A run
//! goes through its sources several times, by [`phase`], so that what others refer to is stored first whatever the order of
//! files. Within a phase the last path of the command line comes first, so that of two versions whose sources do not say which
//! is newer the one of the later path is there already. Memory holds one chunk of a file at a time, or one Bundle.

use super::bundle::Document;
use super::lines::lines;
use super::links::FullUrls;
use super::sniff::{self, Form, HEAD_BYTES};
use crate::error::{Failure, Fault};
use crate::fhir::prescreen::Limits;
use flate2::bufread::MultiGzDecoder;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How often a run goes through its sources.
pub const PHASES: u8 = 7;

/// When a type is stored: directories first, then members, then their coverage, the rest, what is attached to it, and what is
/// about all that.
pub fn phase(rtype: Option<&str>) -> u8 {
    match rtype {
        Some(
            "Organization" | "Practitioner" | "Location" | "Medication" | "Substance" | "Endpoint" | "DeviceDefinition",
        ) => 0,
        Some("PractitionerRole" | "HealthcareService" | "InsurancePlan" | "OrganizationAffiliation") => 1,
        Some("Patient") => 2,
        Some("Coverage" | "RelatedPerson") => 3,
        Some("Binary") => 5,
        Some("Provenance") => 6,
        _ => 4,
    }
}

/// A file.
#[derive(Debug)]
pub struct Source {
    path: PathBuf,
    /// The path as people know it.
    pub name: Arc<str>,
    /// How it holds its resources; known once it was opened.
    form: Option<Form>,
    /// Its name says that it holds lines.
    named_lines: bool,
    /// What is no record is refused, not left aside: it was named on the command line, or as a bulk export names its files.
    strict: bool,
    /// Size on disk.
    pub bytes: u64,
    /// The phases it has something for, one bit each; those that it may have something for until it was gone through once.
    phases: u8,
    /// It was gone through once, so that `phases` are known.
    known: bool,
    /// How much of `bytes` was told as done.
    told: u64,
}

/// One resource in a chunk.
#[derive(Debug)]
pub struct Item {
    /// Where it stands in the chunk's buffer.
    pub span: Range<usize>,
    /// Line in the file, from 1.
    pub line: u64,
    /// Entry of the Bundle, from 0.
    pub entry: Option<usize>,
    /// Id for a resource that brings none.
    pub fallback_id: Option<String>,
    /// The base of the server it comes from, when its entry tells.
    pub base: Option<Arc<str>>,
    /// It was refused before it was looked at.
    pub refused: Option<Fault>,
}

impl Item {
    /// The resource at `span`, of which nothing else is known.
    pub fn of(span: Range<usize>) -> Self {
        Item {
            span,
            line: 1,
            entry: None,
            fallback_id: None,
            base: None,
            refused: None,
        }
    }
}

/// Resources that travel together.
#[derive(Debug)]
pub struct Chunk {
    /// The file they stand in.
    pub source: Arc<str>,
    /// Their bytes.
    pub buffer: Arc<Vec<u8>>,
    /// Where each is.
    pub items: Vec<Item>,
    /// Full URLs of the Bundle they come from.
    pub urls: Option<Arc<FullUrls>>,
    /// Bytes of the file that it stands for, decompressed.
    pub bytes: u64,
    /// Where in the file, decompressed, its reading was; 0 when that is not known.
    pub offset: u64,
}

/// What to do with a chunk. `false` ends the reading.
pub type Emit<'e> = dyn FnMut(Chunk) -> bool + 'e;

/// A file that was left aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aside {
    /// The file, as people know it.
    pub name: String,
    /// Why.
    pub why: &'static str,
}

/// A file of a folder that holds JSON, but no resource of a record.
pub const NO_RECORD: &str = "it holds no resource that is kept";
const OTHER_NAME: &str = "in folders only .ndjson, .jsonl and .json are looked at, plain or with .gz";
const JOURNAL: &str = "it is the journal of a bulk client";

/// Finds the files under `paths`, the last path first, and tells which files of folders are not looked at.
///
/// # Errors
/// [`Fault::InputUnreadable`] with the path that is not there, cannot be read, or holds no JSON.
pub fn gather(paths: &[PathBuf], names: &[String], aside: &mut Vec<Aside>) -> Result<Vec<Source>, Failure> {
    let mut sources = Vec::new();
    for (path, name) in paths.iter().zip(names).rev() {
        let unreadable = |error: std::io::Error| Failure::new(Fault::InputUnreadable).at(name.as_str()).because(error);
        let what = std::fs::metadata(path).map_err(unreadable)?;
        if !what.is_dir() && !what.is_file() {
            // A pipe gives its bytes once; a run goes through its sources several times.
            return Err(Failure::new(Fault::InputUnreadable)
                .at(name.as_str())
                .remedy("Write it into a file first: an import reads each file several times."));
        }
        if what.is_dir() {
            let mut found = Vec::new();
            walk(path, name, &mut found, aside)?;
            found.sort_by(|a: &Source, b| b.path.cmp(&a.path));
            sources.extend(found);
        } else {
            let source = match source(path, name, true)? {
                Some(source) => source,
                None if holds_json(path).map_err(unreadable)? => named(path, name, true, false, None)?,
                None => {
                    return Err(Failure::new(Fault::InputUnreadable)
                        .at(name.as_str())
                        .remedy("Name files that hold FHIR JSON, plain or gzipped."));
                }
            };
            File::open(path).map_err(unreadable)?;
            sources.push(source);
        }
    }
    Ok(sources)
}

fn walk(folder: &Path, name: &str, found: &mut Vec<Source>, aside: &mut Vec<Aside>) -> Result<(), Failure> {
    let unreadable = |error: std::io::Error| Failure::new(Fault::InputUnreadable).at(name).because(error);
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let path = entry.path();
        let inner = format!("{}/{}", name.trim_end_matches('/'), entry.file_name().to_string_lossy());
        // A link may lead round in circles or out of the folder; only what is there itself is taken.
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
        aside.push(Aside { name: inner, why });
    }
    Ok(())
}

/// Whether a file holds JSON, whatever its name.
fn holds_json(path: &Path) -> std::io::Result<bool> {
    let (head, _) = head(&mut opened(File::open(path)?, None)?.0)?;
    Ok(sniff::is_json(&head))
}

fn source(path: &Path, name: &str, explicit: bool) -> Result<Option<Source>, Failure> {
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

/// `hint` is the type that its name tells: what is of that type's phase or later is looked for when that phase comes.
fn named(path: &Path, name: &str, explicit: bool, named_lines: bool, hint: Option<&str>) -> Result<Source, Failure> {
    let unreadable = |error: std::io::Error| Failure::new(Fault::InputUnreadable).at(name).because(error);
    let bytes = std::fs::metadata(path).map_err(unreadable)?.len();
    Ok(Source {
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

/// What going through a source brought to light.
#[derive(Debug, PartialEq, Eq)]
pub enum Visit {
    /// It was read to its end, or it has nothing for this phase.
    Done,
    /// A file of a folder that is no resource of a record; left aside.
    NotARecord,
}

type Reader<'r> = Box<dyn BufRead + 'r>;

/// A file as its content is, decompressed when it is gzip, and whether it is. `read` counts its bytes on disk.
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

/// Its first bytes, and whether they are all.
fn head(reader: &mut Reader<'_>) -> std::io::Result<(Vec<u8>, bool)> {
    let mut head = Vec::new();
    reader.by_ref().take(HEAD_BYTES as u64).read_to_end(&mut head)?;
    let is_whole = head.len() < HEAD_BYTES;
    Ok((head, is_whole))
}

impl Source {
    /// Emits the source's resources of `now`'s phase, and those of earlier phases that were not looked for yet. `done` counts its
    /// bytes on disk that are dealt with.
    ///
    /// # Errors
    /// [`Fault::InputUnreadable`] when it cannot be read to its end; what came before is emitted.
    pub fn visit(&mut self, now: u8, done: &AtomicU64, emit: &mut Emit<'_>) -> Result<Visit, Failure> {
        if self.phases & (1 << now) == 0 {
            return Ok(Visit::Done);
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
                // Text that is not UTF-8 may hold records: it is refused, never left aside.
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
            Form::Lines => {
                let (taken, read) = lines(reader.as_mut(), &self.name, &wanted, self.strict, &mut tell);
                read.map_err(&unreadable)?;
                taken
            }
            Form::Document => {
                let mut text = Vec::new();
                let limit = Limits::bundle().bytes as u64 + 1;
                reader.take(limit).read_to_end(&mut text).map_err(&unreadable)?;
                let document = Document {
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
            return Ok(Visit::Done);
        }
        self.phases = taken.phases & u8::MAX.checked_shl(u32::from(now) + 1).unwrap_or(0);
        self.known = true;
        if self.phases == 0 {
            done.fetch_add(self.bytes - self.told, Ordering::Relaxed);
            self.told = self.bytes;
        }
        Ok(if taken.record { Visit::Done } else { Visit::NotARecord })
    }

    /// Leaves the source aside for the rest of the run.
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
