//! Checks what came before anything of it is stored: that the bodies are whole, whose resources they hold, and that the person is ours.

use super::batch::{Pass, Reading, read_all};
use super::normal::Whose;
use super::outcome::NOTICE;
use super::parts::{PartState, RecordPart, parts};
use super::scope::IngestScope;
use super::spool::span;
use super::store::batches;
use crate::error::{Failure, Fault};
use crate::fhir::elements::Patient;
use crate::identity::fold;
use crate::store::ingest::{self as rows, ReceivedRow};
use crate::store::members;
use std::collections::BTreeMap;

/// What a check has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IngestCheck {
    /// Resources that may be given to the gate.
    pub good: u64,
    /// Resources that will be kept apart, by the code of the reason.
    pub quarantined: BTreeMap<String, u64>,
    /// What is missing.
    pub short: Vec<Shortfall>,
}

/// Something that the partner did not give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortfall {
    /// The part: a type, or everything.
    pub part: String,
    /// How many resources are missing, when the partner told a total.
    pub count: Option<u64>,
    /// The first page that did not come, from 1.
    pub page: Option<u64>,
    /// Why: the code of a fault.
    pub reason: Option<String>,
}

impl Shortfall {
    /// What a part lacks; `None` when it is whole.
    pub fn of(part: &RecordPart) -> Option<Shortfall> {
        let missing = part.expected.map(|expected| expected.saturating_sub(part.entries));
        match part.state {
            PartState::Whole => None,
            PartState::Short | PartState::Refused | PartState::Broken | PartState::Open => Some(Shortfall {
                part: part.name.clone(),
                count: missing,
                page: (part.state != PartState::Short).then_some(part.pages + 1),
                reason: part.reason.clone(),
            }),
        }
    }
}

/// Checks everything that the exchange brought. Blocks this thread.
///
/// # Errors
/// [`Fault::OtherMember`] when the person is not ours; [`Fault::NothingReceived`]; [`Fault::SealBroken`] when a body is gone or was
/// changed; those of the store.
pub fn check(scope: &IngestScope) -> Result<IngestCheck, Failure> {
    let pages = scope.ctx.store.read_blocking(|db| {
        scope.same(&rows::find(db, scope.exchange_id())?.ok_or(Fault::NothingReceived)?)?;
        rows::pages(db, scope.exchange_id())
    })?;
    let mut checked = IngestCheck {
        short: parts(scope)?.iter().filter_map(Shortfall::of).collect(),
        ..IngestCheck::default()
    };
    let mut person = false;
    for page in &pages {
        batches(scope, page, &mut |batch| {
            for pass in [Pass::Records, Pass::Provenances] {
                for reading in read_all(scope, batch, pass) {
                    person |= count(scope, &reading, &mut checked)?;
                }
            }
            Ok(())
        })?;
    }
    if !person {
        checked.short.push(Shortfall {
            part: "Patient".into(),
            count: Some(1),
            page: None,
            reason: None,
        });
    }
    Ok(checked)
}

/// Counts one entry; returns whether it was the member's Patient.
fn count(scope: &IngestScope, (row, found): &Reading, checked: &mut IngestCheck) -> Result<bool, Failure> {
    match found {
        Ok(normal) => {
            checked.good += 1;
            let person = normal.whose == Whose::Person;
            if person {
                same_person(scope, row)?;
            }
            Ok(person)
        }
        Err(_) if row.outcome == NOTICE => Ok(false),
        Err(failure) => {
            *checked
                .quarantined
                .entry(failure.fault().code().to_owned())
                .or_default() += 1;
            Ok(false)
        }
    }
}

/// Fails when the partner's Patient is another person than our member: birth dates that differ, or no name in common.
fn same_person(scope: &IngestScope, row: &ReceivedRow) -> Result<(), Failure> {
    let bytes = span(scope, row.page, row.start, row.length)?;
    let unreadable = |_| Failure::new(Fault::OtherMember).at("Patient");
    let theirs: Patient = serde_json::from_slice(&bytes).map_err(unreadable)?;
    let ours = scope
        .ctx
        .store
        .read_blocking(|db| members::subject(db, &scope.matched.our_patient))?
        .ok_or(Fault::MemberUnknown)?;
    let ours: Patient = serde_json::from_str(&ours.demographics).map_err(unreadable)?;
    match differs(&ours, &theirs) {
        None => Ok(()),
        Some(place) => Err(Failure::new(Fault::OtherMember).at(place)),
    }
}

/// Returns the element by which two Patients are different persons.
fn differs(ours: &Patient, theirs: &Patient) -> Option<&'static str> {
    if let (Some(mine), Some(other)) = (&ours.birth_date, &theirs.birth_date)
        && !mine.starts_with(other.as_str())
        && !other.starts_with(mine.as_str())
    {
        return Some("Patient.birthDate");
    }
    let words = |patient: &Patient| -> Vec<String> {
        patient
            .name
            .iter()
            .flat_map(|name| name.family.iter().chain(name.given.iter().flatten()))
            .flat_map(|name| name.split_whitespace().map(fold).collect::<Vec<_>>())
            .filter(|word| !word.is_empty())
            .collect()
    };
    let (mine, other) = (words(ours), words(theirs));
    let common = mine.iter().any(|word| other.contains(word));
    (!common && !mine.is_empty() && !other.is_empty()).then_some("Patient.name")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patient(birth_date: &str, family: &str, given: &str) -> Patient {
        let text = format!(r#"{{"birthDate":"{birth_date}","name":[{{"family":"{family}","given":["{given}"]}}]}}"#);
        serde_json::from_str(&text).expect("a Patient")
    }

    #[test]
    fn another_person_is_told_from_one_who_married() {
        let ours = patient("1980-01-02", "Lima", "Ana Maria");
        for (theirs, wanted) in [
            (patient("1980-01-02", "LIMA", "Ana"), None),
            (patient("1980-01-02", "Soares", "Ana"), None),
            (patient("1980-01", "Lima", "A."), None),
            (patient("1980-01-03", "Lima", "Ana"), Some("Patient.birthDate")),
            (patient("1980-01-02", "Okafor", "Ines"), Some("Patient.name")),
        ] {
            assert_eq!(differs(&ours, &theirs), wanted, "{theirs:?}");
        }
    }
}
