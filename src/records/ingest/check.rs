//! Checks what came before anything of it is stored: that the bodies are whole, whose resources they hold, and that the person is ours.

use super::batch::{Pass, Reading, read_all};
use super::normal::Whose;
use super::outcome::NOTICE;
use super::parts::{PartState, RecordPart, parts};
use super::person::{knows_person, same_person};
use super::scope::IngestScope;
use super::store::batches;
use super::writer::IngestWriter;
use crate::error::{Failure, Fault};
use crate::store::ingest as rows;
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

/// Checks everything that the exchange brought; `writer` tells when the work was given up. Blocks this thread.
///
/// # Errors
/// [`Fault::OtherMember`] when the person is not ours, [`Fault::PatientMissing`] when nothing tells who it is; [`Fault::NothingReceived`]; [`Fault::SealBroken`] when a body is gone or was
/// changed; those of the store.
pub fn check(scope: &IngestScope, writer: &IngestWriter) -> Result<IngestCheck, Failure> {
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
        // What was set aside is judged too, since it is stored, but what it brought comes again and counts once.
        let mut aside = IngestCheck::default();
        let found = match page.link_sha256.is_empty() {
            true => &mut aside,
            false => &mut checked,
        };
        batches(scope, page, &mut |batch| {
            writer.go_on()?;
            for pass in [Pass::Records, Pass::Provenances] {
                for reading in read_all(scope, batch, pass) {
                    person |= count(scope, &reading, found)?;
                }
            }
            Ok(())
        })?;
    }
    // Only what changed was asked for, or what was missing: the Patient may have come before.
    if !person && !knows_person(scope)? {
        return Err(Failure::new(Fault::PatientMissing).at("Patient"));
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
