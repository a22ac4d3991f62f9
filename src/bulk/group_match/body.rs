//! Reads the body of a bulk match as a whole: how many members it names, and that no two of them contradict each other. Pure.
//!
//! It judges nobody. A member that cannot be read stays in the list: it fails alone, when its turn comes. Each member is a line of the spool,
//! from which a piece reads its own.

use super::named::{NamedMember, part, place, wrapped};
use crate::error::{Failure, Fault};
use crate::fhir::bundle_reader::{BundlePiece, BundleReader};
use crate::fhir::prescreen::{ScreenLimits, screen};
use crate::secret::sha256;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

/// The name of the parameter that holds one member.
const MEMBER: &str = "MemberBundle";
/// Longest parameter, in bytes: that of the body of a single match.
const MEMBER_BYTES: usize = 1 << 20;
/// Most members of one piece, whose rows are one transaction.
const PIECE_MEMBERS: usize = 128;
/// Fewest parameters for which a thread is worth its beginning.
const SHARE_LEAST: usize = 256;
/// Bytes after which a piece takes no further member.
const PIECE_BYTES: usize = 4 << 20;

/// The members of a body, cut into pieces.
#[derive(Debug)]
pub struct MemberSpool {
    /// The members in their order, each as one line.
    pub lines: Vec<Vec<u8>>,
    /// The pieces, which follow each other in the text of the lines.
    pub pieces: Vec<SpoolPiece>,
}

/// A piece of the text of all lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpoolPiece {
    /// Where it begins, bytes.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
    /// How many members it has.
    pub members: usize,
}

/// Reads a whole body, which may name at most `members_max` members.
///
/// # Errors
/// 400 for a body that is not JSON or no Parameters resource; [`Fault::MatchParameterMissing`] when it names nobody; [`Fault::BulkTooMany`];
/// [`Fault::BulkContradicts`] when one id stands for two different Patients.
pub fn read(body: &[u8], members_max: usize) -> Result<MemberSpool, Failure> {
    let mut parameters: Vec<Option<Vec<u8>>> = Vec::new();
    let mut reader = BundleReader::of_parameters(MEMBER_BYTES);
    // Parameters of other names may stand beside the members.
    let parameters_max = members_max.saturating_mul(2);
    reader.feed(body, &mut |piece| {
        if parameters.len() >= parameters_max {
            return Err(too_many(members_max));
        }
        parameters.push(match piece {
            BundlePiece::Entry { bytes, .. } => Some(bytes),
            BundlePiece::TooLong { .. } => None,
        });
        Ok(())
    })?;
    if reader.end()?.resource_type != "Parameters" {
        return Err(Failure::new(Fault::ResourceInvalid)
            .at("resourceType")
            .remedy("Send a Parameters resource."));
    }
    let mut members = Vec::new();
    let seen = glimpses(&parameters);
    for (index, (bytes, glimpse)) in parameters.into_iter().zip(seen).enumerate() {
        let bytes = bytes.ok_or_else(|| {
            Failure::new(Fault::TooLarge)
                .at(place(index))
                .remedy("Send at most 1 MiB for one member.")
        })?;
        if glimpse.is_member {
            let member = NamedMember {
                index,
                is_repeated: false,
                bytes,
            };
            members.push((member, glimpse.patient));
        }
        if members.len() > members_max {
            return Err(too_many(members_max));
        }
    }
    if members.is_empty() {
        return Err(Failure::new(Fault::MatchParameterMissing)
            .at(format!("Parameters.parameter.where(name = '{MEMBER}')"))
            .remedy(format!("Missing: send {MEMBER} once for each member.")));
    }
    Ok(spooled(compared(members)?))
}

/// What is read of a parameter before anybody is judged.
#[derive(Default)]
struct Glimpse {
    /// Whether it is a member. One that cannot be read counts as one, so that it is told where it stands.
    is_member: bool,
    /// The id of its Patient, and the digest of the Patient's text.
    patient: Option<(String, [u8; 32])>,
}

impl Glimpse {
    fn of(bytes: &[u8]) -> Glimpse {
        let text = wrapped(bytes);
        let Ok(screened) = screen(&text, &ScreenLimits::request()) else {
            return Glimpse {
                is_member: true,
                patient: None,
            };
        };
        let first = screened.root().get("parameter").and_then(|list| list.items().next());
        let name = first.and_then(|one| one.get("name"));
        let read = || {
            let patient = part(&screened, "MemberPatient")?;
            let id = patient.get("id")?.text()?.into_owned();
            Some((id, sha256(patient.raw())))
        };
        Glimpse {
            is_member: name.is_some_and(|name| name.is(MEMBER)),
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

/// A member with the id and the digest of the Patient that it names, if it names one.
type MemberWithPatient = (NamedMember, Option<(String, [u8; 32])>);

/// Compares the members with each other: drops those that are the same in every byte, and marks those that name one Patient several times.
fn compared(members: Vec<MemberWithPatient>) -> Result<Vec<NamedMember>, Failure> {
    struct Seen {
        patient: [u8; 32],
        first: usize,
        /// The digests of all that name the Patient, once there are several.
        whole: HashSet<[u8; 32]>,
    }
    let mut known: HashMap<String, Seen> = HashMap::new();
    let mut kept: Vec<NamedMember> = Vec::with_capacity(members.len());
    for (mut member, patient) in members {
        let Some((id, patient)) = patient else {
            kept.push(member);
            continue;
        };
        match known.entry(id) {
            Entry::Vacant(free) => {
                free.insert(Seen {
                    patient,
                    first: kept.len(),
                    whole: HashSet::new(),
                });
            }
            Entry::Occupied(taken) if taken.get().patient != patient => {
                return Err(Failure::new(Fault::BulkContradicts).at(place(member.index)));
            }
            Entry::Occupied(mut taken) => {
                let seen = taken.get_mut();
                if seen.whole.is_empty() {
                    seen.whole.insert(sha256(&kept[seen.first].bytes));
                }
                if !seen.whole.insert(sha256(&member.bytes)) {
                    continue;
                }
                member.is_repeated = true;
                kept[seen.first].is_repeated = true;
            }
        }
        kept.push(member);
    }
    Ok(kept)
}

fn spooled(members: Vec<NamedMember>) -> MemberSpool {
    let mut pieces = Vec::new();
    // Each member goes when its line is there.
    let lines: Vec<Vec<u8>> = members.into_iter().map(|member| member.line()).collect();
    let mut piece = SpoolPiece {
        start: 0,
        end: 0,
        members: 0,
    };
    for line in &lines {
        if piece.members == PIECE_MEMBERS || piece.end - piece.start >= PIECE_BYTES {
            pieces.push(piece);
            piece = SpoolPiece {
                start: piece.end,
                end: piece.end,
                members: 0,
            };
        }
        piece.end += line.len() + 1;
        piece.members += 1;
    }
    pieces.push(piece);
    MemberSpool { lines, pieces }
}

/// The members of a piece's text.
///
/// # Errors
/// [`Fault::StoreDamaged`] for a text that [`read`] did not make.
pub fn members(text: &[u8]) -> Result<Vec<NamedMember>, Failure> {
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines
        .map(|line| {
            NamedMember::of_line(line).ok_or_else(|| Failure::new(Fault::StoreDamaged).because("a broken spool"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: &str, family: &str, card: &str) -> String {
        format!(
            r#"{{"name":"MemberBundle","part":[{{"name":"MemberPatient","resource":{{"resourceType":"Patient","id":"{id}","name":[{{"family":"{family}"}}]}}}},{{"name":"CoverageToMatch","resource":{{"resourceType":"Coverage","subscriberId":"{card}"}}}}]}}"#
        )
    }

    fn body(parameters: &[String]) -> Vec<u8> {
        format!(
            r#"{{"resourceType":"Parameters","parameter":[{}]}}"#,
            parameters.join(",")
        )
        .into_bytes()
    }

    fn text(spool: &MemberSpool) -> Vec<u8> {
        spool
            .lines
            .iter()
            .flat_map(|line| [line.as_slice(), b"\n"].concat())
            .collect()
    }

    fn fault(body: &[u8]) -> Fault {
        read(body, 10).expect_err("refused").fault()
    }

    #[test]
    fn members_are_read_back_piece_by_piece_with_their_index() {
        let all: Vec<String> = (0..150).map(|at| member(&format!("p{at}"), "A", "1")).collect();
        let spool = read(&body(&all), 150).expect("read");
        let text = text(&spool);
        assert_eq!(
            spool.pieces.iter().map(|one| one.members).collect::<Vec<_>>(),
            [128, 22]
        );
        let mut seen = Vec::new();
        for piece in &spool.pieces {
            seen.extend(members(&text[piece.start..piece.end]).expect("members"));
        }
        let wanted: Vec<NamedMember> = all
            .iter()
            .enumerate()
            .map(|(index, text)| NamedMember {
                index,
                is_repeated: false,
                bytes: text.clone().into_bytes(),
            })
            .collect();
        assert_eq!(seen, wanted);
    }

    #[test]
    fn other_parameters_are_passed_over_and_an_unreadable_member_stays() {
        let all = [
            r#"{"name":"other","valueString":"x"}"#.to_owned(),
            member("p1", "A", "1"),
            r#"{"name":"MemberBundle","part":null}"#.to_owned(),
        ];
        let spool = read(&body(&all), 10).expect("read");
        let indexes: Vec<usize> = members(&text(&spool))
            .expect("members")
            .iter()
            .map(|one| one.index)
            .collect();
        assert_eq!(indexes, [1, 2]);
    }

    #[test]
    fn one_id_stands_for_one_patient_and_equal_members_count_once() {
        let twice = [member("p1", "A", "1"), member("p1", "A", "1"), member("p1", "A", "2")];
        let spool = read(&body(&twice), 10).expect("read");
        let marks: Vec<(usize, bool)> = members(&text(&spool))
            .expect("members")
            .iter()
            .map(|one| (one.index, one.is_repeated))
            .collect();
        assert_eq!(marks, [(0, true), (2, true)]);
        let other = body(&[member("p1", "A", "1"), member("p1", "B", "1")]);
        let refused = read(&other, 10).expect_err("refused");
        assert_eq!(refused.fault(), Fault::BulkContradicts);
        assert_eq!(refused.expressions(), ["Parameters.parameter[1]"]);
    }

    #[test]
    fn a_member_becomes_a_single_match_and_its_failures_are_placed_in_the_whole() {
        let text = r#"{"name":"MemberBundle","part":[{"name":"other"},{"name":"Consent","resource":{"a":1}},{"name":"MemberPatient"}]}"#;
        let named = |bytes: &[u8]| NamedMember {
            index: 3,
            is_repeated: false,
            bytes: bytes.to_vec(),
        };
        let request = named(text.as_bytes()).request();
        assert_eq!(
            String::from_utf8_lossy(&request.body),
            r#"{"resourceType":"Parameters","parameter":[{"name":"Consent","resource":{"a":1}},{"name":"MemberPatient"}]}"#
        );
        let failure = Failure::new(Fault::MatchInvalid)
            .at("Parameters.parameter[1].resource")
            .at("Parameters.parameter.where(name = 'Consent')")
            .at("resourceType")
            .remedy("See Parameters.parameter[0].resource.");
        let placed = request.placed(&failure);
        assert_eq!(
            placed.expressions(),
            [
                "Parameters.parameter[3].part[2].resource",
                "Parameters.parameter[3].part.where(name = 'Consent')",
                "Parameters.parameter[3]",
            ]
        );
        assert_eq!(placed.remedy_text(), "See Parameters.parameter[3].part[1].resource.");
        let nothing = named(br#"{"name":"MemberBundle"}"#).request();
        assert_eq!(nothing.body, br#"{"resourceType":"Parameters"}"#);
        let null = named(br#"{"name":"MemberBundle","part":null}"#).request();
        assert!(null.parts.is_none_or(|parts| parts.is_empty()));
    }

    #[test]
    fn a_body_that_names_nobody_too_many_or_is_cut_is_refused_as_a_whole() {
        assert_eq!(fault(b""), Fault::NotJson);
        assert_eq!(fault(b"{}"), Fault::ResourceInvalid);
        assert_eq!(
            fault(br#"{"resourceType":"Bundle","parameter":[]}"#),
            Fault::ResourceInvalid
        );
        assert_eq!(fault(br#"{"resourceType":"Parameters"}"#), Fault::MatchParameterMissing);
        let whole = body(&[member("p1", "A", "1")]);
        assert_eq!(fault(&whole[..whole.len() - 40]), Fault::NotJson);
        let all: Vec<String> = (0..11).map(|at| member(&format!("p{at}"), "A", "1")).collect();
        assert_eq!(fault(&body(&all)), Fault::BulkTooMany);
        assert!(members(b"1 x {}\n").is_err());
    }
}
