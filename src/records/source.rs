//! Where resources come from: files of NDJSON, Bundles and single resources, plain or gzipped, alone or in folders.
//!
//! A run goes through its sources several times, by [`phase`], so that what others refer to is stored first whatever the
//! order of files. Within a phase the last path of the command line comes first, because the first copy of a resource is
//! the one that is kept. Memory holds one chunk of a file at a time, or one Bundle.

use super::bundle;
use super::links::FullUrls;
use crate::error::{Failure, Fault};
use flate2::bufread::MultiGzDecoder;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of lines that travel together.
const CHUNK_BYTES: usize = 1 << 20;
/// Resources that travel together, and that one transaction stores.
const CHUNK_ITEMS: usize = 500;
/// Longest line.
pub const LINE_BYTES_MAX: usize = 32 << 20;

/// How often a run goes through its sources.
pub const PHASES: u8 = 6;

/// When a type is stored: directories first, then members, then their coverage, the rest, and what is about all that.
pub fn phase(rtype: Option<&str>) -> u8 {
    match rtype {
        Some(
            "Organization" | "Practitioner" | "Location" | "Medication" | "Substance" | "Endpoint" | "DeviceDefinition",
        ) => 0,
        Some("PractitionerRole" | "HealthcareService" | "InsurancePlan" | "OrganizationAffiliation") => 1,
        Some("Patient") => 2,
        Some("Coverage" | "RelatedPerson") => 3,
        Some("Provenance") => 5,
        _ => 4,
    }
}

/// How a file holds its resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Ndjson,
    Json,
}

/// A file.
#[derive(Debug)]
pub struct Source {
    path: PathBuf,
    /// The path as people know it.
    pub name: Arc<str>,
    form: Form,
    gzip: bool,
    /// Named on the command line, not found in a folder.
    explicit: bool,
    /// Size on disk.
    pub bytes: u64,
    /// The phases it has something for, one bit each; all until it was gone through once.
    phases: u8,
    /// Lines are of one phase by the name of the file, as a bulk export names them.
    uniform: bool,
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
    /// It was refused before it was looked at.
    pub refused: Option<Fault>,
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
}

/// What to do with a chunk. `false` ends the reading.
pub type Emit<'e> = dyn FnMut(Chunk) -> bool + 'e;

/// Finds the files under `paths`, the last path first.
///
/// # Errors
/// [`Fault::InputUnreadable`] with the path that is not there, cannot be read, or is of no known kind.
pub fn gather(paths: &[PathBuf], names: &[String]) -> Result<Vec<Source>, Failure> {
    let mut sources = Vec::new();
    for (path, name) in paths.iter().zip(names).rev() {
        let unreadable = |error: std::io::Error| Failure::new(Fault::InputUnreadable).at(name.as_str()).because(error);
        if std::fs::metadata(path).map_err(unreadable)?.is_dir() {
            let mut found = Vec::new();
            walk(path, name, &mut found)?;
            found.sort_by(|a: &Source, b| b.path.cmp(&a.path));
            sources.extend(found);
        } else {
            let source = source(path, name, true)?.ok_or_else(|| {
                Failure::new(Fault::InputUnreadable)
                    .at(name.as_str())
                    .remedy("Name files .ndjson, .json, or either with .gz.")
            })?;
            File::open(path).map_err(unreadable)?;
            sources.push(source);
        }
    }
    Ok(sources)
}

fn walk(folder: &Path, name: &str, found: &mut Vec<Source>) -> Result<(), Failure> {
    let unreadable = |error: std::io::Error| Failure::new(Fault::InputUnreadable).at(name).because(error);
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let path = entry.path();
        let inner = format!("{}/{}", name.trim_end_matches('/'), entry.file_name().to_string_lossy());
        // A link may lead round in circles or out of the folder; only what is there itself is taken.
        let kind = entry.file_type().map_err(unreadable)?;
        if kind.is_dir() {
            walk(&path, &inner, found)?;
        } else if kind.is_file() && entry.file_name() != "log.ndjson" {
            // `log.ndjson` is the journal that bulk clients leave beside their files.
            found.extend(source(&path, &inner, false)?);
        }
    }
    Ok(())
}

fn source(path: &Path, name: &str, explicit: bool) -> Result<Option<Source>, Failure> {
    let file = path
        .file_name()
        .map(|file| file.to_string_lossy().to_ascii_lowercase())
        .unwrap_or_default();
    let (stem, gzip) = file
        .strip_suffix(".gz")
        .map_or((file.as_str(), false), |stem| (stem, true));
    let form = match stem.rsplit_once('.') {
        Some((_, "ndjson" | "jsonl")) => Form::Ndjson,
        Some((_, "json")) => Form::Json,
        _ => return Ok(None),
    };
    let unreadable = |error: std::io::Error| Failure::new(Fault::InputUnreadable).at(name).because(error);
    let bytes = std::fs::metadata(path).map_err(unreadable)?.len();
    let own = path
        .file_name()
        .map(|file| file.to_string_lossy().into_owned())
        .unwrap_or_default();
    let hint = own
        .split(['.', '-', '_'])
        .next()
        .and_then(causeway_fhir_types::type_name);
    let hint = hint.filter(|_| form == Form::Ndjson);
    Ok(Some(Source {
        path: path.to_owned(),
        name: name.into(),
        form,
        gzip,
        explicit,
        bytes,
        phases: hint.map_or(u8::MAX, |rtype| 1 << phase(Some(rtype))),
        uniform: hint.is_some(),
    }))
}

/// What going through a source brought to light.
#[derive(Debug, PartialEq, Eq)]
pub enum Visit {
    /// It was read to its end, or it has nothing for this phase.
    Done,
    /// A file of a folder that is no resource of a record; left aside.
    NotARecord,
}

impl Source {
    /// Emits the source's resources of `now`'s phase. `consumed` counts its bytes on disk the first time.
    ///
    /// # Errors
    /// [`Fault::InputUnreadable`] when it cannot be read to its end; what came before is emitted.
    pub fn visit(&mut self, now: u8, consumed: &AtomicU64, emit: &mut Emit<'_>) -> Result<Visit, Failure> {
        if self.phases & (1 << now) == 0 {
            return Ok(Visit::Done);
        }
        let first = self.uniform || self.phases == u8::MAX;
        let name = Arc::clone(&self.name);
        let unreadable =
            move |error: std::io::Error| Failure::new(Fault::InputUnreadable).at(name.as_ref()).because(error);
        let file = File::open(&self.path).map_err(&unreadable)?;
        let counted = Counted {
            file,
            consumed: first.then_some(consumed),
        };
        let plain = BufReader::with_capacity(1 << 17, counted);
        let mut reader: Box<dyn BufRead + '_> = if self.gzip {
            Box::new(BufReader::with_capacity(1 << 17, MultiGzDecoder::new(plain)))
        } else {
            Box::new(plain)
        };
        match self.form {
            Form::Ndjson => {
                let wanted = if self.uniform { None } else { Some(now) };
                let (phases, done) = lines(reader.as_mut(), &self.name, wanted, emit);
                if !self.uniform {
                    self.phases = if done.is_ok() { phases } else { self.phases };
                }
                done.map_err(unreadable)?;
                Ok(Visit::Done)
            }
            Form::Json => {
                let mut bytes = Vec::new();
                let limit = crate::fhir::prescreen::Limits::bundle().bytes as u64 + 1;
                if let Err(error) = reader.take(limit).read_to_end(&mut bytes) {
                    self.phases = 0;
                    return Err(unreadable(error));
                }
                let read = bundle::read(bytes, &self.name, now, self.explicit, emit);
                self.phases = read.phases;
                Ok(if read.record { Visit::Done } else { Visit::NotARecord })
            }
        }
    }

    /// Leaves the source aside for the rest of the run.
    pub fn give_up(&mut self) {
        self.phases = 0;
    }
}

struct Counted<'c> {
    file: File,
    consumed: Option<&'c AtomicU64>,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.file.read(buffer)?;
        if let Some(consumed) = self.consumed {
            consumed.fetch_add(count as u64, Ordering::Relaxed);
        }
        Ok(count)
    }
}

/// Emits the lines of one phase (all of them for `None`), and tells which phases there are.
pub fn lines(
    reader: &mut (dyn BufRead + '_),
    name: &Arc<str>,
    wanted: Option<u8>,
    emit: &mut Emit<'_>,
) -> (u8, std::io::Result<()>) {
    let mut phases = 0;
    let mut line = 0u64;
    let mut buffer: Vec<u8> = Vec::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 4);
    let mut items: Vec<Item> = Vec::new();
    let flush = |buffer: &mut Vec<u8>, items: &mut Vec<Item>, emit: &mut Emit<'_>| {
        if items.is_empty() {
            buffer.clear();
            return true;
        }
        let full = std::mem::replace(buffer, Vec::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 4));
        emit(Chunk {
            source: Arc::clone(name),
            buffer: Arc::new(full),
            items: std::mem::take(items),
            urls: None,
        })
    };
    loop {
        let start = buffer.len();
        line += 1;
        let (read, cut) = match read_line(reader, &mut buffer) {
            Ok(read) => read,
            Err(error) => {
                buffer.truncate(start);
                flush(&mut buffer, &mut items, emit);
                return (phases, Err(error));
            }
        };
        if read == 0 {
            flush(&mut buffer, &mut items, emit);
            return (phases, Ok(()));
        }
        let text = buffer[start..].trim_ascii();
        if text.is_empty() && !cut {
            buffer.truncate(start);
            continue;
        }
        let own = phase(peek_type(text));
        phases |= 1 << own;
        if wanted.is_some_and(|wanted| wanted != own) {
            buffer.truncate(start);
            continue;
        }
        let from = start + (buffer[start..].len() - buffer[start..].trim_ascii_start().len());
        let span = if cut { start..start } else { from..from + text.len() };
        if cut {
            buffer.truncate(start);
        }
        items.push(Item {
            span,
            line,
            entry: None,
            fallback_id: None,
            refused: cut.then_some(Fault::TooLarge),
        });
        if (buffer.len() >= CHUNK_BYTES || items.len() >= CHUNK_ITEMS) && !flush(&mut buffer, &mut items, emit) {
            return (phases, Ok(()));
        }
    }
}

/// Appends one line to `buffer`, at most the longest; the rest of a longer one is passed over. `true` when it was cut.
fn read_line(reader: &mut (dyn BufRead + '_), buffer: &mut Vec<u8>) -> std::io::Result<(usize, bool)> {
    let read = reader.take(LINE_BYTES_MAX as u64).read_until(b'\n', buffer)?;
    if read < LINE_BYTES_MAX || buffer.last() == Some(&b'\n') {
        return Ok((read, false));
    }
    loop {
        let held = reader.fill_buf()?;
        if held.is_empty() {
            return Ok((read, true));
        }
        let end = held.iter().position(|byte| *byte == b'\n');
        let used = end.map_or(held.len(), |at| at + 1);
        reader.consume(used);
        if end.is_some() {
            return Ok((read, true));
        }
    }
}

/// The type a line seems to have, to decide when it is looked at; the gate decides what it is.
fn peek_type(line: &[u8]) -> Option<&str> {
    const NAME: &[u8] = b"\"resourceType\"";
    let at = line.windows(NAME.len()).position(|window| window == NAME)?;
    let rest = line[at + NAME.len()..]
        .trim_ascii_start()
        .strip_prefix(b":")?
        .trim_ascii_start()
        .strip_prefix(b"\"")?;
    let end = rest.iter().take(64).position(|byte| *byte == b'"')?;
    std::str::from_utf8(&rest[..end]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &[u8], wanted: Option<u8>) -> (Vec<(u64, String)>, u8) {
        let mut got = Vec::new();
        let mut reader = text;
        let (phases, done) = lines(&mut reader, &"x".into(), wanted, &mut |chunk| {
            got.extend(chunk.items.iter().map(|item| {
                (
                    item.line,
                    String::from_utf8_lossy(&chunk.buffer[item.span.clone()]).into_owned(),
                )
            }));
            true
        });
        done.expect("read");
        (got, phases)
    }

    #[test]
    fn lines_are_found_by_phase_with_their_numbers() {
        let text = b"{\"resourceType\":\"Condition\"}\r\n\n  {\"resourceType\" : \"Patient\"} \n{\"a\":1}";
        let (lines, phases) = all(text, None);
        let expected = [
            (1, "{\"resourceType\":\"Condition\"}"),
            (3, "{\"resourceType\" : \"Patient\"}"),
            (4, "{\"a\":1}"),
        ];
        assert_eq!(lines, expected.map(|(n, t)| (n, t.to_owned())));
        assert_eq!(phases, 1 << 4 | 1 << 2);
        assert_eq!(all(text, Some(2)).0.len(), 1);
    }

    #[test]
    fn files_are_known_by_their_names() {
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
        let found = gather(&[dir.path().to_owned()], &["d".into()]).expect("gathered");
        assert_eq!(
            found.iter().map(|s| s.name.as_ref()).collect::<Vec<_>>(),
            ["d/b/x.NDJSON", "d/b/Patient.ndjson.gz", "d/a.json"]
        );
        assert_eq!((found[1].phases, found[0].phases), (1 << 2, u8::MAX));
        let missing = gather(&[dir.path().join("none")], &["none".into()]).expect_err("refused");
        assert_eq!(
            (missing.fault(), missing.expressions()),
            (Fault::InputUnreadable, &["none".to_owned()][..])
        );
    }
}
