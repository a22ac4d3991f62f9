//! A batch of resources that came: each is judged by the gate as an import is, and what became of it is written with it in one transaction.

use super::super::gate::{self, Candidate, GATE_VERSION};
use super::super::in_parallel::in_parallel;
use super::super::keep::{BatchEntry, keep};
use super::super::local::NoLinks;
use super::super::steady::steadily;
use super::custodian::{self, Custody};
use super::entry;
use super::normal::{Normal, Whose, normal, with_targets};
use super::outcome::{BROUGHT, HELD, NOTICE, OLDER, QUARANTINED, STORED, UNCHANGED};
use super::ready::Ready;
use super::scope::IngestScope;
use super::verdict::{Verdict, decide};
use super::writer::IngestWriter;
use crate::error::{Failure, Fault};
use crate::failpoint;
use crate::secret::sha256;
use crate::store::ingest::{self as rows, ProgressRow, ReceivedRow};
use crate::store::resources;
use crate::store::{Db, blames_content};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// An entry of a body, with its place.
#[derive(Debug)]
pub(super) struct Arrived {
    pub page: i64,
    pub entry: i64,
    pub start: i64,
    pub length: i64,
    /// Its bytes; `None` when it is longer than what is looked at.
    pub bytes: Option<Vec<u8>>,
}

/// Which resources a pass handles: Provenances come last, when their targets are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pass {
    Records,
    Provenances,
}

/// The row of an entry of which nothing is known yet.
fn sketch(scope: &IngestScope, arrived: &Arrived) -> ReceivedRow {
    ReceivedRow {
        exchange_id: scope.matched.exchange_id.clone(),
        page: arrived.page,
        entry: arrived.entry,
        start: arrived.start,
        length: arrived.length,
        rtype: "*".into(),
        id: String::new(),
        outcome: QUARANTINED.into(),
        reason: None,
        source_sha256: Vec::new(),
        gate_version: GATE_VERSION,
    }
}

/// An entry that was read up to the gate.
pub(super) type Reading = (ReceivedRow, Result<Normal, Failure>);

/// Reads entries up to the gate, those of this pass.
pub(super) fn read_all(scope: &IngestScope, arrived: &[Arrived], pass: Pass) -> Vec<Reading> {
    let one = |one: &Arrived| {
        steadily(|| Ok(read(scope, one, pass))).unwrap_or_else(|failure| Some((sketch(scope, one), Err(failure))))
    };
    in_parallel(arrived, one, || None).into_iter().flatten().collect()
}

/// Reads an entry up to the gate. Returns `None` when it belongs to another pass.
fn read(scope: &IngestScope, arrived: &Arrived, pass: Pass) -> Option<Reading> {
    let mut row = sketch(scope, arrived);
    let Some(bytes) = &arrived.bytes else {
        return (pass == Pass::Records).then(|| (row, Err(Fault::TooLarge.into())));
    };
    row.source_sha256 = sha256(bytes).to_vec();
    let found = match entry::look(bytes) {
        Ok(Some(found)) => found,
        Ok(None) => return (pass == Pass::Records).then(|| (row, Err(Fault::ResourceInvalid.into()))),
        Err(failure) => return (pass == Pass::Records).then_some((row, Err(failure))),
    };
    let resource = &bytes[found.span.clone()];
    row.start += i64::try_from(found.span.start).unwrap_or(i64::MAX);
    row.length = i64::try_from(resource.len()).unwrap_or(i64::MAX);
    row.source_sha256 = sha256(resource).to_vec();
    if let Some(rtype) = found.rtype {
        row.rtype = rtype.to_owned();
    }
    if (found.rtype == Some("Provenance")) != (pass == Pass::Provenances) {
        return None;
    }
    if found.rtype == Some("OperationOutcome") {
        row.outcome = NOTICE.into();
        return Some((row, Err(Fault::TypeUnsupported.into())));
    }
    let found = normal(scope, resource);
    if let Ok(normal) = &found {
        row.id.clone_from(&normal.id);
    }
    Some((row, found))
}

/// Judges entries. Blocks this thread.
///
/// # Errors
/// Those of the store.
pub(super) fn prepare(scope: &IngestScope, arrived: &[Arrived], pass: Pass) -> Result<Vec<Ready>, Failure> {
    let read = read_all(scope, arrived, pass);
    let targets = match pass {
        Pass::Records => HashSet::new(),
        Pass::Provenances => stored_targets(scope, &read)?,
    };
    let now_ms = scope.ctx.clock.now_ms();
    let judge = |(row, found): &Reading| Some(judged(scope, row, found, &targets, now_ms));
    let all = in_parallel(&read, judge, || None);
    Ok(all
        .into_iter()
        .zip(read)
        .map(|(judged, (row, _))| judged.unwrap_or_else(|| refused(row, &Fault::JudgementFailed.into())))
        .collect())
}

fn refused(row: ReceivedRow, failure: &Failure) -> Ready {
    let row = match row.outcome.as_str() {
        NOTICE => row,
        _ => ReceivedRow {
            outcome: QUARANTINED.into(),
            reason: Some(failure.fault().code().to_owned()),
            ..row
        },
    };
    Ready { row, candidate: None }
}

fn judged(
    scope: &IngestScope,
    row: &ReceivedRow,
    found: &Result<Normal, Failure>,
    targets: &HashSet<(String, String)>,
    now_ms: i64,
) -> Ready {
    let normal = match found {
        Ok(normal) => normal,
        Err(failure) => return refused(row.clone(), failure),
    };
    if normal.whose == Whose::Person {
        let row = ReceivedRow {
            outcome: HELD.into(),
            ..row.clone()
        };
        return Ready { row, candidate: None };
    }
    let candidate = candidate(scope, normal, targets, now_ms);
    match candidate {
        Ok(candidate) => Ready {
            row: ReceivedRow {
                source_sha256: candidate.source_sha256.to_vec(),
                ..row.clone()
            },
            candidate: Some(candidate),
        },
        Err(failure) => refused(row.clone(), &failure),
    }
}

/// Has the gate judge a resource. `targets` are those of Provenances that are stored.
///
/// # Errors
/// Those of the gate.
pub(super) fn candidate(
    scope: &IngestScope,
    normal: &Normal,
    targets: &HashSet<(String, String)>,
    now_ms: i64,
) -> Result<Box<Candidate>, Failure> {
    let cut;
    let bytes = match &normal.whose {
        Whose::Targets(_) => {
            let stays = |rtype: &str, id: &str| targets.contains(&(rtype.to_owned(), id.to_owned()));
            cut = with_targets(&normal.bytes, scope.base_url(), &stays)?
                .ok_or_else(|| Failure::new(Fault::ReferenceUnresolved).at("Provenance.target"))?;
            &cut
        }
        _ => &normal.bytes,
    };
    steadily(|| {
        let draft = gate::draft(bytes, &NoLinks, None)?;
        Ok(Box::new(gate::judge(&draft, 1, now_ms, scope.base_url())?))
    })
}

/// Returns those targets of Provenances that are stored.
fn stored_targets(scope: &IngestScope, read: &[Reading]) -> Result<HashSet<(String, String)>, Failure> {
    let mut wanted: HashMap<&str, HashSet<&str>> = HashMap::new();
    for (_, found) in read {
        if let Ok(Normal {
            whose: Whose::Targets(targets),
            ..
        }) = found
        {
            for (rtype, id) in targets {
                wanted.entry(rtype).or_default().insert(id);
            }
        }
    }
    scope.ctx.store.read_blocking(|db| {
        let mut found = HashSet::new();
        for (rtype, ids) in &wanted {
            let ids: Vec<&str> = ids.iter().copied().collect();
            let there = resources::existing(db, rtype, &ids)?;
            found.extend(there.into_iter().map(|row| ((*rtype).to_owned(), row.id)));
        }
        Ok(found)
    })
}

/// Writes a batch of one page. When the store refuses the content, each half is written by itself, down to the resource at fault, which is
/// kept apart. Blocks this thread.
///
/// # Errors
/// [`Fault::LeaseLost`]; those of the store.
pub(super) fn write(scope: &IngestScope, writer: &IngestWriter, ready: Vec<Ready>) -> Result<(), Failure> {
    write_up_to(scope, writer, ready, None)
}

/// [`write`], with the row that says how far this has come, in the same transaction.
pub(super) fn write_up_to(
    scope: &IngestScope,
    writer: &IngestWriter,
    mut ready: Vec<Ready>,
    mark: Option<ProgressRow>,
) -> Result<(), Failure> {
    if ready.is_empty() {
        return Ok(());
    }
    let shared = Arc::new(Mutex::new(ready));
    let (own, inner, noted, wrote) = (scope.clone(), Arc::clone(&shared), mark.clone(), writer.clone());
    // Only what fails once the writer has let it begin can be the fault of the content.
    let began = Arc::new(AtomicBool::new(false));
    let begins = Arc::clone(&began);
    let written = writer.write_blocking(move |db| {
        begins.store(true, Ordering::Release);
        let mut ready = inner.lock().unwrap_or_else(PoisonError::into_inner);
        write_once(db, &own, &mut ready)?;
        if let Some(noted) = &noted {
            rows::put_progress(db, noted)?;
            wrote.got_on(db)?;
        }
        failpoint::pass("ingest", "before-batch");
        Ok(())
    });
    let failure = match written {
        Ok(()) => {
            failpoint::pass("ingest", "batch-stored");
            return Ok(());
        }
        Err(failure)
            if began.load(Ordering::Acquire) && blames_content(&failure) && failure.fault() != Fault::LeaseLost =>
        {
            failure
        }
        Err(failure) => return Err(failure),
    };
    ready = std::mem::take(&mut *shared.lock().unwrap_or_else(PoisonError::into_inner));
    if ready.len() == 1 {
        let fault = match failure.fault() {
            Fault::Internal => Fault::NotStorable,
            fault => fault,
        };
        let one = ready.remove(0);
        if one.candidate.is_none() {
            return Err(failure);
        }
        return write_up_to(scope, writer, vec![refused(one.row, &fault.into())], mark);
    }
    let later = ready.split_off(ready.len() / 2);
    let half = mark.clone().zip(ready.last()).map(|(mark, last)| ProgressRow {
        entry: last.row.entry + 1,
        ..mark
    });
    write_up_to(scope, writer, ready, half)?;
    write_up_to(scope, writer, later, mark)
}

fn write_once(db: &mut Db, scope: &IngestScope, ready: &mut [Ready]) -> Result<(), Failure> {
    resources::lock(db)?;
    let verdicts = decide(db, ready)?;
    let mut done: Vec<ReceivedRow> = ready.iter().map(|one| one.row.clone()).collect();
    let mut places = Vec::new();
    let mut entries = Vec::new();
    for (index, verdict) in &verdicts {
        let (outcome, reason) = match verdict {
            Verdict::Store => (STORED, None),
            Verdict::Unchanged => (UNCHANGED, None),
            Verdict::Older => (OLDER, None),
            Verdict::Altered => (QUARANTINED, Some(Fault::VersionAltered.code().to_owned())),
        };
        (done[*index].outcome, done[*index].reason) = (outcome.to_owned(), reason);
        if *verdict == Verdict::Store
            && let Some(candidate) = ready[*index].candidate.take()
        {
            places.push(*index);
            entries.push(BatchEntry::Fit(candidate));
        }
    }
    let kept = keep(db, &mut entries, &scope.run);
    // They are needed again when the transaction runs again.
    for (index, entry) in places.iter().zip(entries) {
        if let BatchEntry::Fit(candidate) = entry {
            ready[*index].candidate = Some(candidate);
        }
    }
    for (index, failure) in kept?.rejected {
        let row = &mut done[places[index]];
        row.outcome = QUARANTINED.into();
        row.reason = Some(failure.fault().code().to_owned());
    }
    let stored: Vec<&ReceivedRow> = done.iter().filter(|row| row.outcome == STORED).collect();
    if let Some(made) = custodian::record(db, &Custody::of(scope), &stored)? {
        rows::put_received(db, &[made])?;
    }
    remember(db, scope, &mut done)?;
    rows::put_received(db, &done)
}

/// An earlier run wrote rows already: what it stored stays stored by this exchange. That holds too for what is refused now, because it is still
/// in the store, and only this row says who brought it.
fn remember(db: &mut Db, scope: &IngestScope, done: &mut [ReceivedRow]) -> Result<(), Failure> {
    let Some(first) = done.first() else { return Ok(()) };
    let page = first.page;
    let entries: Vec<i64> = done.iter().map(|row| row.entry).collect();
    let before = rows::received_at(db, scope.exchange_id(), page, &entries)?;
    for row in done.iter_mut() {
        let Some(old) = before.iter().find(|old| old.entry == row.entry) else {
            continue;
        };
        if row.outcome == UNCHANGED && old.outcome == STORED && old.source_sha256 == row.source_sha256 {
            row.outcome = STORED.into();
        } else if row.outcome == QUARANTINED && BROUGHT.contains(&old.outcome.as_str()) {
            *row = ReceivedRow {
                gate_version: row.gate_version,
                ..old.clone()
            };
        }
    }
    Ok(())
}
