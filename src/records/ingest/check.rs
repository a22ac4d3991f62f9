//! Checks what came before anything of it is stored: that the bodies are whole, whose resources they hold, and that the person is ours.

use super::batch::{Pass, Reading, read_all};
use super::normal::Whose;
use super::outcome::NOTICE;
use super::pages::each_page;
use super::parts::{PartState, RecordPart, parts};
use super::person::{knows_person, same_person};
use super::progress::{CHECK, Progress, WorkTurn, note};
use super::scope::IngestScope;
use super::store::{ENTRIES, batches};
use super::writer::IngestWriter;
use crate::error::{Failure, Fault};
use crate::store::ingest as rows;
use serde::{Deserialize, Serialize};
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

/// What a check has counted so far.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Tally {
    good: u64,
    quarantined: BTreeMap<String, u64>,
    /// Whether the member's Patient came.
    person: bool,
}

/// Checks everything that the exchange brought, from where the last attempt of the run ended; `writer` tells when the work was given up. Returns
/// `None` when the turn was over before all of it was checked. Blocks this thread.
///
/// # Errors
/// [`Fault::OtherMember`] when the person is not ours, [`Fault::PatientMissing`] when nothing tells who it is; [`Fault::NothingReceived`]; [`Fault::SealBroken`] when a body is gone or was
/// changed; those of the store.
pub fn check(scope: &IngestScope, writer: &IngestWriter, turn: &WorkTurn) -> Result<Option<IngestCheck>, Failure> {
    let done = check_on(scope, writer, turn);
    let is_about_person = |failure: &Failure| {
        matches!(
            failure.fault(),
            Fault::OtherMember | Fault::PatientMissing | Fault::MemberUnknown
        )
    };
    if done.as_ref().is_err_and(is_about_person) {
        // What a person changes after this may change what was found of an earlier Patient too.
        let own = scope.exchange_id().to_owned();
        writer.write_blocking(move |db| rows::forget_progress(db, &own, CHECK))?;
    }
    done
}

fn check_on(scope: &IngestScope, writer: &IngestWriter, turn: &WorkTurn) -> Result<Option<IngestCheck>, Failure> {
    scope
        .ctx
        .store
        .read_blocking(|db| scope.same(&rows::find(db, scope.exchange_id())?.ok_or(Fault::NothingReceived)?))?;
    let progress = Progress::read(scope, CHECK, turn)?;
    let mut tally: Tally = progress.found()?;
    let mut unnoted = 0;
    let whole = each_page(scope, progress.page_of(1), &mut |page| {
        // What was set aside is judged too, since it is stored, but what it brought comes again and counts once.
        let is_aside = page.link_sha256.is_empty();
        batches(scope, page, progress.entry_of(1, page.page), &mut |batch| {
            writer.go_on()?;
            let mut aside = Tally::default();
            for pass in [Pass::Records, Pass::Provenances] {
                for reading in read_all(scope, batch, pass) {
                    let found = if is_aside { &mut aside } else { &mut tally };
                    count(scope, &reading, found)?;
                }
            }
            tally.person |= aside.person;
            let is_over = turn.is_over();
            unnoted += batch.len();
            // A small record is checked again sooner than it is noted.
            if is_over || unnoted >= ENTRIES {
                unnoted = 0;
                note(writer, progress.after(1, batch), &tally)?;
            }
            Ok(!is_over)
        })
    })?;
    if !whole {
        return Ok(None);
    }
    // Only what changed was asked for, or what was missing: the Patient may have come before.
    if !tally.person && !knows_person(scope)? {
        return Err(Failure::new(Fault::PatientMissing).at("Patient"));
    }
    Ok(Some(IngestCheck {
        good: tally.good,
        quarantined: tally.quarantined,
        short: parts(scope)?.iter().filter_map(Shortfall::of).collect(),
    }))
}

/// Counts one entry.
fn count(scope: &IngestScope, (row, found): &Reading, tally: &mut Tally) -> Result<(), Failure> {
    match found {
        Ok(normal) => {
            tally.good += 1;
            if normal.whose == Whose::Person {
                same_person(scope, row)?;
                tally.person = true;
            }
        }
        Err(_) if row.outcome == NOTICE => {}
        Err(failure) => *tally.quarantined.entry(failure.fault().code().to_owned()).or_default() += 1,
    }
    Ok(())
}
