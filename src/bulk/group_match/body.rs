//! Reads the body of a bulk match as a whole: how many members it names, and that no two of them contradict each other. Pure.
//!
//! It judges nobody. A member that cannot be read stays in the list: it fails alone, when its turn comes. Each member is a line of the spool,
//! from which a piece reads its own.

use crate::error::{Failure, Fault};
use crate::fhir::bundle_reader::{BundlePiece, BundleReader};
use crate::fhir::prescreen::{ScreenLimits, Screened, Value, screen};
use crate::secret::sha256;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// The name of the parameter that holds one member.
const MEMBER: &str = "MemberBundle";
/// Longest parameter, in bytes: that of the body of a single match.
const MEMBER_BYTES: usize = 1 << 20;
/// Most members of one piece, whose rows are one transaction.
const PIECE_MEMBERS: usize = 64;
/// Bytes after which a piece takes no further member.
const PIECE_BYTES: usize = 4 << 20;

/// One member as the body names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedMember {
    /// Its index in `Parameters.parameter`.
    pub index: usize,
    /// Whether the body names the same Patient with several coverages.
    pub is_repeated: bool,
    /// The parameter as it was sent.
    pub bytes: Vec<u8>,
}

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
    for (index, bytes) in parameters.into_iter().enumerate() {
        let bytes = bytes.ok_or_else(|| {
            Failure::new(Fault::TooLarge)
                .at(place(index))
                .remedy("Send at most 1 MiB for one member.")
        })?;
        if is_member(&bytes) {
            members.push(NamedMember {
                index,
                is_repeated: false,
                bytes,
            });
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

/// The place of a parameter as a FHIRPath expression.
pub fn place(index: usize) -> String {
    format!("Parameters.parameter[{index}]")
}

/// Whether a parameter is a member. One that cannot be read counts as one, so that it is told where it stands.
fn is_member(bytes: &[u8]) -> bool {
    let text = wrapped(bytes);
    let Ok(screened) = screen(&text, &ScreenLimits::request()) else {
        return true;
    };
    let first = screened.root().get("parameter").and_then(|list| list.items().next());
    first
        .and_then(|one| one.get("name"))
        .is_some_and(|name| name.is(MEMBER))
}

fn too_many(members_max: usize) -> Failure {
    Failure::new(Fault::BulkTooMany)
        .at("Parameters.parameter")
        .remedy(format!("Send at most {members_max} members in one request."))
}

/// Compares the members with each other: drops those that are the same in every byte, and marks those that name one Patient several times.
fn compared(members: Vec<NamedMember>) -> Result<Vec<NamedMember>, Failure> {
    struct Seen {
        patient: [u8; 32],
        whole: Vec<[u8; 32]>,
        first: usize,
    }
    let mut known: HashMap<String, Seen> = HashMap::new();
    let mut kept: Vec<NamedMember> = Vec::with_capacity(members.len());
    for mut member in members {
        let Some((id, patient)) = patient_of(&member.bytes) else {
            kept.push(member);
            continue;
        };
        let whole = sha256(&member.bytes);
        match known.entry(id) {
            Entry::Vacant(free) => {
                free.insert(Seen {
                    patient,
                    whole: vec![whole],
                    first: kept.len(),
                });
            }
            Entry::Occupied(taken) if taken.get().patient != patient => {
                return Err(Failure::new(Fault::BulkContradicts).at(place(member.index)));
            }
            Entry::Occupied(taken) if taken.get().whole.contains(&whole) => continue,
            Entry::Occupied(mut taken) => {
                member.is_repeated = true;
                kept[taken.get().first].is_repeated = true;
                taken.get_mut().whole.push(whole);
            }
        }
        kept.push(member);
    }
    Ok(kept)
}

/// The id of the Patient of a member, and the digest of its text.
fn patient_of(bytes: &[u8]) -> Option<(String, [u8; 32])> {
    let text = wrapped(bytes);
    let screened = screen(&text, &ScreenLimits::request()).ok()?;
    let patient = part(&screened, "MemberPatient")?;
    let id = patient.get("id")?.text()?.into_owned();
    Some((id, sha256(patient.raw())))
}

/// The resource of a part of the member in a [`wrapped`] text.
pub fn part<'s>(screened: &'s Screened<'_>, name: &str) -> Option<Value<'s>> {
    let member = screened.root().get("parameter")?.items().next()?;
    let parts = member.get("part")?;
    let named = parts
        .items()
        .find(|part| part.get("name").is_some_and(|own| own.is(name)))?;
    named.get("resource")
}

/// A parameter as the only one of a Parameters resource, which the pre-screen reads.
pub fn wrapped(bytes: &[u8]) -> Vec<u8> {
    [
        br#"{"resourceType":"Parameters","parameter":["#.as_slice(),
        bytes,
        b"]}",
    ]
    .concat()
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

/// One member as the body of a single match, and where its parts stood.
#[derive(Debug)]
pub struct MemberRequest {
    /// The Parameters.
    pub body: Vec<u8>,
    index: usize,
    /// The index of each parameter among the parts; `None` when the body is the member as it was sent.
    parts: Option<Vec<usize>>,
}

impl MemberRequest {
    /// A failure that names places in the body of the single match, with the places in the whole body instead.
    pub fn placed(&self, failure: &Failure) -> Failure {
        let moved = Failure::new(failure.fault()).remedy(self.moved(failure.remedy_text()));
        let places = failure.expressions();
        if places.is_empty() {
            return moved.at(place(self.index));
        }
        places.iter().fold(moved, |moved, one| {
            let told = self.moved(one);
            match told.starts_with("Parameters.") {
                true => moved.at(told),
                false => moved.at(place(self.index)),
            }
        })
    }

    /// A text in which `Parameters.parameter[0]` becomes `Parameters.parameter[i].part[j]`.
    fn moved(&self, text: &str) -> String {
        const FROM: &str = "Parameters.parameter";
        let Some(parts) = &self.parts else {
            return text.replace("Parameters.parameter[0]", &place(self.index));
        };
        let mut rest = text;
        let mut out = String::new();
        while let Some(at) = rest.find(FROM) {
            out.push_str(&rest[..at]);
            rest = &rest[at + FROM.len()..];
            out.push_str(&format!("{}.part", place(self.index)));
            let numbered = rest.strip_prefix('[').and_then(|rest| rest.split_once(']'));
            let known = numbered.and_then(|(number, after)| Some((parts.get(number.parse::<usize>().ok()?)?, after)));
            if let Some((part, after)) = known {
                out.push_str(&format!("[{part}]"));
                rest = after;
            }
        }
        out.push_str(rest);
        out
    }
}

/// The parts of a member that the single match knows. Others may stand beside them, and are passed over.
const PARTS: [&str; 4] = ["MemberPatient", "CoverageToMatch", "CoverageToLink", "Consent"];

impl NamedMember {
    /// The member as the body of a single match. One that cannot be read gives a body that cannot be read either.
    pub fn request(&self) -> MemberRequest {
        let text = wrapped(&self.bytes);
        let Ok(screened) = screen(&text, &ScreenLimits::request()) else {
            return MemberRequest {
                body: text,
                index: self.index,
                parts: None,
            };
        };
        let member = screened.root().get("parameter").and_then(|list| list.items().next());
        let parts = member.and_then(|member| member.get("part"));
        let is_known = |part: &Value<'_>| {
            let name = part.get("name");
            name.is_some_and(|name| PARTS.iter().any(|known| name.is(known)))
        };
        let known: Vec<(usize, Value<'_>)> = parts
            .iter()
            .flat_map(Value::items)
            .enumerate()
            .filter(|(_, part)| is_known(part))
            .collect();
        let mut body = br#"{"resourceType":"Parameters""#.to_vec();
        for (at, (_, part)) in known.iter().enumerate() {
            let before: &[u8] = if at == 0 { b",\"parameter\":[" } else { b"," };
            body.extend_from_slice(before);
            body.extend_from_slice(part.raw());
        }
        let end: &[u8] = if known.is_empty() { b"}" } else { b"]}" };
        body.extend_from_slice(end);
        MemberRequest {
            body,
            index: self.index,
            parts: Some(known.iter().map(|(at, _)| *at).collect()),
        }
    }

    /// Its line: the index, the mark, and the parameter, in which a line end becomes a blank.
    fn line(&self) -> Vec<u8> {
        let mut line = format!("{} {} ", self.index, u8::from(self.is_repeated)).into_bytes();
        let flat = |byte: &u8| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte };
        line.extend(self.bytes.iter().map(flat));
        line
    }

    fn of_line(line: &[u8]) -> Option<NamedMember> {
        let mut words = line.splitn(3, |byte| *byte == b' ');
        let index = std::str::from_utf8(words.next()?).ok()?.parse().ok()?;
        let is_repeated = match words.next()? {
            b"0" => false,
            b"1" => true,
            _ => return None,
        };
        Some(NamedMember {
            index,
            is_repeated,
            bytes: words.next()?.to_vec(),
        })
    }
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
            [64, 64, 22]
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
