//! Reads the body of a bulk match while it comes: how many members it names, and that no two of them contradict each other. Pure.
//!
//! It judges nobody. A member that cannot be read stays in the list: it fails alone, when its turn comes. Each member is a line of the spool,
//! from which a piece reads its own. What is kept of members that have their line are digests, so that the size of a body is not felt in memory.

use super::named::{NamedMember, part, place, wrapped};
use crate::error::{Failure, Fault};
use crate::fhir::bundle_reader::{BundlePiece, BundleReader};
use crate::fhir::prescreen::{ScreenLimits, screen};
use crate::secret::sha256;
use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, HashSet};

/// The name of the parameter that holds one member.
const MEMBER: &str = "MemberBundle";
/// Longest parameter, in bytes: that of the body of a single match.
const MEMBER_BYTES: usize = 1 << 20;
/// Most members of one piece, whose rows are one transaction.
const PIECE_MEMBERS: usize = 128;
/// Fewest parameters for which a thread is worth its beginning.
const SHARE_LEAST: usize = 64;
/// Bytes after which a piece takes no further member.
const PIECE_BYTES: usize = 4 << 20;
/// Parameters, and bytes of them, after which those that came are looked at.
const TOGETHER: usize = 1_024;
const TOGETHER_BYTES: usize = 2 << 20;

/// The members of a body, cut into pieces.
#[derive(Debug)]
pub struct MemberSpool {
    /// How many lines there are.
    pub members: usize,
    /// The pieces, which follow each other in the text of the lines.
    pub pieces: Vec<SpoolPiece>,
    /// The indexes of members without a mark in their line whose Patient a later member names with another coverage.
    pub repeated: BTreeSet<usize>,
}

/// A piece of the text of all lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpoolPiece {
    /// Where it begins, bytes.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
    /// How many members it has.
    pub members: usize,
}

/// A part of a SHA-256, by which texts are compared.
type Digest = [u8; 16];

fn digest(bytes: &[u8]) -> Digest {
    let (mut part, whole) = (Digest::default(), sha256(bytes));
    part.copy_from_slice(&whole[..16]);
    part
}

/// A body that is being read.
pub struct MemberReader {
    reader: BundleReader,
    members_max: usize,
    /// The parameters that were not looked at yet; `None` for one that is too long.
    waiting: Vec<Option<Vec<u8>>>,
    waiting_bytes: usize,
    /// The index of the first of them.
    index: usize,
    /// Members that came, with those that are left out.
    members: usize,
    lines: usize,
    /// By the id of a Patient: its text, and the index of the first member who names it.
    patients: HashMap<Digest, (Digest, usize)>,
    /// All members who name a Patient.
    whole: HashSet<Digest>,
    repeated: BTreeSet<usize>,
    pieces: Vec<SpoolPiece>,
    piece: SpoolPiece,
}

impl MemberReader {
    /// Nothing is read yet of a body that may name at most `members_max` members.
    pub fn new(members_max: usize) -> MemberReader {
        MemberReader {
            reader: BundleReader::of_parameters(MEMBER_BYTES),
            members_max,
            waiting: Vec::new(),
            waiting_bytes: 0,
            index: 0,
            members: 0,
            lines: 0,
            patients: HashMap::new(),
            whole: HashSet::new(),
            repeated: BTreeSet::new(),
            pieces: Vec::new(),
            piece: SpoolPiece::default(),
        }
    }

    /// Reads the next bytes. Returns the lines of further members, each without its line end.
    ///
    /// # Errors
    /// 400 for a body that is not JSON or no Parameters resource; [`Fault::BulkTooMany`]; [`Fault::TooLarge`] for one member;
    /// [`Fault::BulkContradicts`] when one id stands for two different Patients.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, Failure> {
        // Parameters of other names may stand beside the members.
        let (parameters_max, members_max) = (self.members_max.saturating_mul(2), self.members_max);
        let (waiting, more, index) = (&mut self.waiting, &mut self.waiting_bytes, self.index);
        self.reader.feed(bytes, &mut |piece| {
            if index + waiting.len() >= parameters_max {
                return Err(too_many(members_max));
            }
            let bytes = match piece {
                BundlePiece::Entry { bytes, .. } => Some(bytes),
                BundlePiece::TooLong { .. } => None,
            };
            *more += bytes.as_ref().map_or(0, Vec::len);
            waiting.push(bytes);
            Ok(())
        })?;
        match self.waiting.len() >= TOGETHER || self.waiting_bytes >= TOGETHER_BYTES {
            true => self.look(),
            false => Ok(Vec::new()),
        }
    }

    /// Ends the body. Returns the lines that are left, and what stands in all of them.
    ///
    /// # Errors
    /// As [`MemberReader::feed`]; 400 for a body that is cut; [`Fault::MatchParameterMissing`] when it names nobody.
    pub fn end(mut self) -> Result<(Vec<Vec<u8>>, MemberSpool), Failure> {
        let reader = std::mem::replace(&mut self.reader, BundleReader::of_parameters(0));
        if reader.end()?.resource_type != "Parameters" {
            return Err(Failure::new(Fault::ResourceInvalid)
                .at("resourceType")
                .remedy("Send a Parameters resource."));
        }
        let lines = self.look()?;
        if self.members == 0 {
            return Err(Failure::new(Fault::MatchParameterMissing)
                .at(format!("Parameters.parameter.where(name = '{MEMBER}')"))
                .remedy(format!("Missing: send {MEMBER} once for each member.")));
        }
        self.pieces.push(self.piece);
        let spool = MemberSpool {
            members: self.lines,
            pieces: self.pieces,
            repeated: self.repeated,
        };
        Ok((lines, spool))
    }

    /// Looks at the parameters that wait. Returns the lines of the members among them.
    fn look(&mut self) -> Result<Vec<Vec<u8>>, Failure> {
        let parameters = std::mem::take(&mut self.waiting);
        self.waiting_bytes = 0;
        let (mut lines, seen) = (Vec::with_capacity(parameters.len()), glimpses(&parameters));
        for (bytes, glimpse) in parameters.into_iter().zip(seen) {
            let index = self.index;
            self.index += 1;
            let bytes = bytes.ok_or_else(|| {
                Failure::new(Fault::TooLarge)
                    .at(place(index))
                    .remedy("Send at most 1 MiB for one member.")
            })?;
            if !glimpse.is_member {
                continue;
            }
            let is_readable = glimpse.is_readable;
            self.members += 1;
            if self.members > self.members_max {
                return Err(too_many(self.members_max));
            }
            if let Some(is_repeated) = self.compared(index, glimpse.patient)? {
                let member = NamedMember {
                    index,
                    is_repeated,
                    bytes,
                };
                let line = member.line(is_readable);
                self.place(line.len() + 1);
                lines.push(line);
            }
        }
        Ok(lines)
    }

    /// Compares a member with those before it: whether it names a Patient again; `None` when it is the same in every byte, and is left out.
    fn compared(&mut self, index: usize, patient: Option<SeenPatient>) -> Result<Option<bool>, Failure> {
        let Some(seen) = patient else {
            return Ok(Some(false));
        };
        match self.patients.entry(seen.id) {
            Entry::Vacant(free) => {
                free.insert((seen.text, index));
                self.whole.insert(seen.whole);
                Ok(Some(false))
            }
            Entry::Occupied(taken) if taken.get().0 != seen.text => {
                Err(Failure::new(Fault::BulkContradicts).at(place(index)))
            }
            Entry::Occupied(taken) => {
                if !self.whole.insert(seen.whole) {
                    return Ok(None);
                }
                self.repeated.insert(taken.get().1);
                Ok(Some(true))
            }
        }
    }

    /// Gives a line of this length its place in a piece.
    fn place(&mut self, length: usize) {
        let piece = &mut self.piece;
        if piece.members == PIECE_MEMBERS || piece.end - piece.start >= PIECE_BYTES {
            self.pieces.push(*piece);
            *piece = SpoolPiece {
                start: piece.end,
                end: piece.end,
                members: 0,
            };
        }
        piece.end += length;
        piece.members += 1;
        self.lines += 1;
    }
}

/// What is read of a parameter before anybody is judged.
#[derive(Default)]
struct Glimpse {
    /// Whether it is a member. One that cannot be read counts as one, so that it is told where it stands.
    is_member: bool,
    /// Whether it is JSON.
    is_readable: bool,
    /// The Patient that it names, if it can be read.
    patient: Option<SeenPatient>,
}

/// Digests of a member's Patient.
struct SeenPatient {
    id: Digest,
    text: Digest,
    /// Of the whole parameter.
    whole: Digest,
}

impl Glimpse {
    fn of(bytes: &[u8]) -> Glimpse {
        let text = wrapped(bytes);
        let Ok(screened) = screen(&text, &ScreenLimits::request()) else {
            return Glimpse {
                is_member: true,
                is_readable: false,
                patient: None,
            };
        };
        let first = screened.root().get("parameter").and_then(|list| list.items().next());
        let name = first.and_then(|one| one.get("name"));
        let read = || {
            let patient = part(&screened, "MemberPatient")?;
            let id = patient.get("id")?.text()?;
            Some(SeenPatient {
                id: digest(id.as_bytes()),
                text: digest(patient.raw()),
                whole: digest(bytes),
            })
        };
        Glimpse {
            is_member: name.is_some_and(|name| name.is(MEMBER)),
            is_readable: true,
            patient: read(),
        }
    }
}

/// Reads all parameters, on all processors: the partner waits for the end of it. One that is too long stays empty.
fn glimpses(parameters: &[Option<Vec<u8>>]) -> Vec<Glimpse> {
    let read = |some: &[Option<Vec<u8>>]| -> Vec<Glimpse> {
        let bytes = some.iter().map(Option::as_deref);
        bytes.map(|one| one.map(Glimpse::of).unwrap_or_default()).collect()
    };
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let share = parameters.len().div_ceil(processors).max(SHARE_LEAST);
    if parameters.len() <= share {
        return read(parameters);
    }
    std::thread::scope(|scope| {
        let shares = parameters.chunks(share);
        let reading: Vec<_> = shares.map(|some| scope.spawn(move || read(some))).collect();
        let ended = reading.into_iter().flat_map(|thread| match thread.join() {
            Ok(seen) => seen,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        ended.collect()
    })
}

fn too_many(members_max: usize) -> Failure {
    Failure::new(Fault::BulkTooMany)
        .at("Parameters.parameter")
        .remedy(format!("Send at most {members_max} members in one request."))
}

/// The members of a piece's text.
///
/// # Errors
/// [`Fault::StoreDamaged`] for a text that [`MemberReader`] did not make.
pub fn members(text: &[u8]) -> Result<Vec<NamedMember>, Failure> {
    read_lines(text, NamedMember::of_line)
}

/// The text that follows the lines of all members: the indexes of [`MemberSpool::repeated`].
pub fn marks(repeated: &BTreeSet<usize>) -> String {
    repeated.iter().map(|index| format!("{index}\n")).collect()
}

/// Reads [`marks`].
///
/// # Errors
/// [`Fault::StoreDamaged`] for another text.
pub fn marked(text: &[u8]) -> Result<HashSet<usize>, Failure> {
    let indexes = read_lines(text, |line| std::str::from_utf8(line).ok()?.parse().ok())?;
    Ok(indexes.into_iter().collect())
}

fn read_lines<T>(text: &[u8], read: impl Fn(&[u8]) -> Option<T>) -> Result<Vec<T>, Failure> {
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines
        .map(|line| read(line).ok_or_else(|| Failure::new(Fault::StoreDamaged).because("a broken spool")))
        .collect()
}

#[cfg(test)]
#[path = "body_tests.rs"]
mod tests;
