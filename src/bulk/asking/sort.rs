//! Finds whose each line of an export is. Every line of every file is looked at before any of them is given to anybody: one line of a person who
//! is not of the run makes all files unfit. Pure; what it remembers of a line is a number of 8 bytes.

use crate::error::{Failure, Fault};
use crate::records::ingest::{LineFound, LineOwner, look_at_line, may_be_nobodys};
use std::collections::hash_map::RandomState;
use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;

/// How often what belongs to nobody is followed further: a role names its practitioner and its organization, which names another one.
const DEPTH: usize = 3;
/// Most pairs of a member and something that belongs to nobody.
const NEEDS_MOST: usize = 4_000_000;
/// The type whose lines say something of others.
const PROVENANCE: &str = "Provenance";

/// Takes a line with the type of its file.
pub(super) type TakeLine<'t> = dyn FnMut(&str, &[u8]) -> Result<(), Failure> + 't;

/// Hands the lines of those files to the second function whose types the first one wants.
pub(super) type EachLine<'l> = dyn Fn(&dyn Fn(&str) -> bool, &mut TakeLine<'_>) -> Result<(), Failure> + 'l;

/// Whose the lines of an export are. Members are told by their numbers.
pub(super) struct Sorter {
    base: String,
    /// By the id of their Patient at the partner.
    patients: HashMap<String, u16>,
    keys: RandomState,
    owners: HashMap<u64, u16>,
    needs: HashMap<u64, Vec<u16>>,
    pairs: usize,
    given: HashSet<u64>,
    /// Lines that came more than once.
    pub repeated: u64,
}

fn untrue(at: &str) -> Failure {
    Failure::new(Fault::FilesUntrue).at(at)
}

impl Sorter {
    /// For an export of the partner with this base URL about these Patients.
    pub fn new(base: &str, patients: HashMap<String, u16>) -> Sorter {
        Sorter {
            base: base.to_owned(),
            patients,
            keys: RandomState::new(),
            owners: HashMap::new(),
            needs: HashMap::new(),
            pairs: 0,
            given: HashSet::new(),
            repeated: 0,
        }
    }

    fn key(&self, rtype: &str, id: &str) -> u64 {
        self.keys.hash_one((rtype, id))
    }

    fn look(&self, file: &str, bytes: &[u8]) -> Result<LineFound, Failure> {
        let found = look_at_line(bytes, &self.base).map_err(|failure| untrue(file).because(failure))?;
        match found.rtype == file {
            true => Ok(found),
            false => Err(untrue(file)),
        }
    }

    fn member(&self, patient: &str) -> Result<u16, Failure> {
        let found = self.patients.get(patient).copied();
        found.ok_or_else(|| Failure::new(Fault::StrangersResource).at("Patient.id"))
    }

    fn need(&mut self, (rtype, id): &(String, String), members: &[u16]) -> Result<bool, Failure> {
        let key = self.key(rtype, id);
        let there = self.needs.entry(key).or_default();
        let before = there.len();
        for member in members {
            if !there.contains(member) {
                there.push(*member);
            }
        }
        let more = there.len() - before;
        self.pairs += more;
        match self.pairs > NEEDS_MOST {
            true => Err(Fault::PartnerTooMuch.into()),
            false => Ok(more > 0),
        }
    }

    /// Looks at all lines.
    ///
    /// # Errors
    /// [`Fault::StrangersResource`] for a line of a person who is not of the run; [`Fault::FilesUntrue`] for one that cannot be read, or says
    /// of nobody that it is theirs; [`Fault::PartnerTooMuch`]; those of the files.
    pub fn judge(&mut self, each: &EachLine<'_>) -> Result<(), Failure> {
        each(&|rtype| rtype != PROVENANCE, &mut |file, bytes| {
            let found = self.look(file, bytes)?;
            let member = match &found.owner {
                LineOwner::Person => self.member(&found.id)?,
                LineOwner::Member(patient) => self.member(patient)?,
                LineOwner::Nobody | LineOwner::Targets(_) => return Ok(()),
            };
            let key = self.key(found.rtype, &found.id);
            self.owners.insert(key, member);
            for name in &found.names {
                self.need(name, &[member])?;
            }
            Ok(())
        })?;
        for _ in 0..DEPTH {
            let mut grows = false;
            each(&may_be_nobodys, &mut |file, bytes| {
                let found = self.look(file, bytes)?;
                let key = self.key(found.rtype, &found.id);
                let (LineOwner::Nobody, Some(members)) = (&found.owner, self.needs.get(&key).cloned()) else {
                    return Ok(());
                };
                for name in &found.names {
                    grows |= self.need(name, &members)?;
                }
                Ok(())
            })?;
            if !grows {
                break;
            }
        }
        each(&|rtype| rtype == PROVENANCE, &mut |file, bytes| {
            let found = self.look(file, bytes)?;
            self.of_targets(&found).map(drop)
        })
    }

    /// The members of whose records something is said.
    fn of_targets(&self, found: &LineFound) -> Result<Vec<u16>, Failure> {
        let LineOwner::Targets(targets) = &found.owner else {
            return Ok(Vec::new());
        };
        let mut members = Vec::new();
        for (rtype, id) in targets {
            if rtype == "Patient" {
                members.push(self.member(id)?);
                continue;
            }
            let key = self.key(rtype, id);
            members.extend(self.owners.get(&key).copied());
            members.extend(self.needs.get(&key).into_iter().flatten().copied());
        }
        members.sort_unstable();
        members.dedup();
        Ok(members)
    }

    /// The members to whom a line is given; none if it came before, or if nobody needs it. The lines were all looked at.
    ///
    /// # Errors
    /// As [`Sorter::judge`].
    pub fn whose(&mut self, file: &str, bytes: &[u8]) -> Result<Vec<u16>, Failure> {
        let found = self.look(file, bytes)?;
        let key = self.key(found.rtype, &found.id);
        if !self.given.insert(key) {
            self.repeated += 1;
            return Ok(Vec::new());
        }
        match &found.owner {
            LineOwner::Person => Ok(vec![self.member(&found.id)?]),
            LineOwner::Member(patient) => Ok(vec![self.member(patient)?]),
            LineOwner::Targets(_) => self.of_targets(&found),
            LineOwner::Nobody => Ok(self.needs.get(&key).cloned().unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: &[(&str, &[&str])] = &[
        (
            "Patient",
            &[
                r#"{"resourceType":"Patient","id":"a"}"#,
                r#"{"resourceType":"Patient","id":"b"}"#,
            ],
        ),
        (
            "PractitionerRole",
            &[
                r#"{"resourceType":"PractitionerRole","id":"r","practitioner":{"reference":"Practitioner/d"},"organization":{"reference":"Organization/o"}}"#,
            ],
        ),
        (
            "Organization",
            &[
                r#"{"resourceType":"Organization","id":"o","partOf":{"reference":"Organization/top"}}"#,
                r#"{"resourceType":"Organization","id":"top"}"#,
                r#"{"resourceType":"Organization","id":"unneeded"}"#,
            ],
        ),
        ("Practitioner", &[r#"{"resourceType":"Practitioner","id":"d"}"#]),
        (
            "Condition",
            &[
                r#"{"resourceType":"Condition","id":"c1","subject":{"reference":"Patient/a"},"recorder":{"reference":"PractitionerRole/r"}}"#,
                r#"{"resourceType":"Condition","id":"c2","subject":{"reference":"Patient/b"}}"#,
                r#"{"resourceType":"Condition","id":"c2","subject":{"reference":"Patient/b"}}"#,
            ],
        ),
        (
            "Provenance",
            &[
                r#"{"resourceType":"Provenance","id":"v1","target":[{"reference":"Condition/c2"}]}"#,
                r#"{"resourceType":"Provenance","id":"v2","target":[{"reference":"Organization/top"},{"reference":"Patient/b"}]}"#,
                r#"{"resourceType":"Provenance","id":"v3","target":[{"reference":"Organization/unneeded"}]}"#,
            ],
        ),
    ];

    fn sorted(files: &[(&str, &[&str])]) -> Result<(Vec<String>, u64), Fault> {
        let patients = [("a".to_owned(), 0), ("b".to_owned(), 1)].into();
        let mut sorter = Sorter::new("https://payer.example/fhir", patients);
        let each = |wanted: &dyn Fn(&str) -> bool, take: &mut TakeLine<'_>| {
            for (rtype, lines) in files.iter().filter(|(rtype, _)| wanted(rtype)) {
                for line in *lines {
                    take(rtype, line.as_bytes())?;
                }
            }
            Ok(())
        };
        sorter.judge(&each).map_err(|failure| failure.fault())?;
        let mut told = Vec::new();
        for (rtype, lines) in files {
            for line in *lines {
                let whose = sorter
                    .whose(rtype, line.as_bytes())
                    .map_err(|failure| failure.fault())?;
                told.push(format!("{rtype} {whose:?}"));
            }
        }
        Ok((told, sorter.repeated))
    }

    #[test]
    fn each_line_is_given_to_those_whose_it_is_or_who_refer_to_it() {
        let (told, repeated) = sorted(FILES).expect("sorted");
        let wanted = [
            "Patient [0]",
            "Patient [1]",
            "PractitionerRole [0]",
            "Organization [0]",
            "Organization [0]",
            "Organization []",
            "Practitioner [0]",
            "Condition [0]",
            "Condition [1]",
            "Condition []",
            "Provenance [1]",
            "Provenance [0, 1]",
            "Provenance []",
        ];
        assert_eq!(told, wanted);
        assert_eq!(repeated, 1);
    }

    #[test]
    fn t_e06_one_line_of_another_person_makes_all_files_unfit() {
        for (rtype, line, wanted) in [
            (
                "Patient",
                r#"{"resourceType":"Patient","id":"x"}"#,
                Fault::StrangersResource,
            ),
            (
                "Goal",
                r#"{"resourceType":"Goal","id":"g","subject":{"reference":"Patient/x"}}"#,
                Fault::StrangersResource,
            ),
            (
                "Provenance",
                r#"{"resourceType":"Provenance","id":"v","target":[{"reference":"Patient/x"}]}"#,
                Fault::StrangersResource,
            ),
            ("Goal", r#"{"resourceType":"Goal","id":"g"}"#, Fault::FilesUntrue),
            (
                "Goal",
                r#"{"resourceType":"Condition","id":"c","subject":{"reference":"Patient/a"}}"#,
                Fault::FilesUntrue,
            ),
            ("Goal", r#"{"resourceType":"Goal","id":"g""#, Fault::FilesUntrue),
        ] {
            let lines: &[&str] = &[line];
            let files = [FILES, &[(rtype, lines)]].concat();
            assert_eq!(sorted(&files), Err(wanted), "{line}");
        }
    }
}
