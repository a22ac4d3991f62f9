//! Takes out again what one exchange brought, exactly: what only it brought is removed, and where it replaced what another exchange had
//! brought, that comes back from its original. What our own sources told is never touched, because no exchange can change it.
//!
//! Nothing of what the exchange itself brought is opened, so a lost key keeps nothing wrong in the store. Where the original of another
//! exchange cannot be read, nothing comes back in its place, and its row says so.
//!
//! It may be broken off anywhere and run again.

use super::super::gate::Candidate;
use super::super::keep::taken_out::{put_back, take_out};
use super::super::keep::{BatchEntry, Run};
use super::super::source_version::SourceVersion;
use super::batch::candidate;
use super::custodian::{self, Custody};
use super::forget::forget_bodies;
use super::normal::{Normal, Whose, normal};
use super::outcome::{BROUGHT, LOST, MADE, OLDER, STORED, UNCHANGED};
use super::progress::WorkTurn;
use super::retracted::{Retracted, counts_of, note_of, so_far};
use super::scope::{IngestScope, run_for};
use super::spool::span;
use super::state::RETRACTED;
use super::verdict::{Verdict, verdict};
use super::writer::IngestWriter;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::fhir::prescreen::{ScreenLimits, screen};
use crate::security::vault::Vault;
use crate::store::Db;
use crate::store::dependencies::Name;
use crate::store::ingest::{self as rows, ProgressRow, ReceivedRow};
use crate::store::resources::{self, Existing};
use std::collections::{BTreeMap, HashMap, HashSet};

/// How many resources one transaction handles.
const TOGETHER: i64 = 200;
/// How often a plan is made anew that does not hold.
const TIMES: u32 = 20;

/// The outcomes whose rows are taken out, in their order.
const TAKEN: [&str; 4] = [MADE, STORED, UNCHANGED, LOST];

/// Says, in the transaction that decides it, that what the exchange brought is taken out: from then on nothing of it is stored, and no other
/// exchange counts on it. [`retract`] does the work.
///
/// # Errors
/// Those of the database.
pub fn withdraw(db: &mut Db, exchange_id: &str, now_ms: i64) -> Result<(), Failure> {
    rows::set_state(db, exchange_id, RETRACTED, now_ms)
}

/// Whether what the exchange brought is taken out, or is about to be.
///
/// # Errors
/// Those of the database.
pub fn is_withdrawn(db: &mut Db, exchange_id: &str) -> Result<bool, Failure> {
    Ok(rows::find(db, exchange_id)?.is_some_and(|row| row.state == RETRACTED))
}

/// Takes out what the exchange brought, and removes what came as received, from where the last attempt ended. Returns `None` when the turn was
/// over before all of it was out; what all attempts did is told until `forget_retraction`. Blocks this thread.
///
/// # Errors
/// [`Fault::NothingReceived`]; [`Fault::LeaseLost`]; those of the store.
pub fn retract(
    ctx: &Context,
    vault: &Vault,
    writer: &IngestWriter,
    exchange_id: &str,
    turn: &WorkTurn,
) -> Result<Option<Retracted>, Failure> {
    let row = ctx
        .store
        .read_blocking(|db| rows::find(db, exchange_id))?
        .ok_or(Fault::NothingReceived)?;
    let mut work = Work {
        ctx,
        vault,
        exchange_id,
        run: run_for(ctx, &row.patient_id)?,
        others: HashMap::new(),
    };
    let (own, now_ms) = (exchange_id.to_owned(), ctx.clock.now_ms());
    writer.write_blocking(move |db| withdraw(db, &own, now_ms))?;
    let mut at = so_far(ctx, exchange_id)?;
    while let Some(outcome) = usize::try_from(at.pass).ok().and_then(|pass| TAKEN.get(pass).copied()) {
        let from = (at.page, at.entry);
        let page = ctx
            .store
            .read_blocking(|db| rows::received(db, exchange_id, outcome, from, TOGETHER))?;
        (at.pass, at.page, at.entry) = match page.last() {
            Some(last) => (at.pass, last.page, last.entry),
            None => (at.pass + 1, -1, -1),
        };
        if !page.is_empty() {
            at = work.take_out(writer, &page, at)?;
            if turn.is_over() {
                return Ok(None);
            }
        }
    }
    let done = counts_of(&at)?;
    forget_bodies(writer, exchange_id)?;
    if done.lost > 0 {
        tracing::error!(
            exchange = exchange_id,
            lost = done.lost,
            "what other exchanges had brought could not come back: their originals cannot be read"
        );
    }
    Ok(Some(done))
}

/// What a plan for a resource rests on; when it is not so any more, the plan does not hold.
#[derive(Clone, PartialEq, Eq)]
struct Basis {
    name: Name,
    /// Key and version of what is stored.
    stored: (i64, i64),
    /// What other exchanges brought under the name.
    others: Vec<ReceivedRow>,
}

impl Basis {
    /// Reads what is stored under a name, and by whom.
    fn read(db: &mut Db, exchange_id: &str, name: &Name, stored: &Existing) -> Result<Basis, Failure> {
        let of = (name.0.as_str(), name.1.as_str());
        let mut others = rows::brought_by_others(db, exchange_id, of, BROUGHT, RETRACTED)?;
        let content = stored.source_sha256.as_slice();
        if !others.is_empty() && others.iter().all(|other| other.source_sha256 != content) {
            // Whoever brought what is stored counts, however long ago that was.
            let found = rows::content_by_others(db, exchange_id, (of, content), BROUGHT, RETRACTED)?;
            others.extend(found);
        }
        Ok(Basis {
            name: name.clone(),
            stored: (stored.key, stored.version),
            others,
        })
    }

    /// Whether it is still so, in the transaction that rests on it.
    fn holds(&self, db: &mut Db, exchange_id: &str) -> Result<bool, Failure> {
        let there = resources::existing(db, &self.name.0, &[&self.name.1])?;
        match there.first() {
            None => Ok(false),
            Some(stored) => Ok(Basis::read(db, exchange_id, &self.name, stored)? == *self),
        }
    }
}

/// What happens to some resources.
#[derive(Default)]
struct Plan {
    /// What it rests on.
    basis: Vec<Basis>,
    /// Keys and names of what is removed.
    remove: Vec<(i64, Name)>,
    /// What comes back: the row of the exchange that brought it, and its content.
    restore: Vec<(ReceivedRow, Box<Candidate>)>,
    /// Rows of other exchanges by which resources stay as they are.
    stay: Vec<ReceivedRow>,
    /// Rows of other exchanges that should come back, and cannot be read.
    lost: Vec<ReceivedRow>,
}

/// What was read of an original; `None` when it cannot be read any more, because its key or a part of it is gone.
fn if_readable<T>(read: Result<T, Failure>) -> Result<Option<T>, Failure> {
    match read {
        Err(failure) if matches!(failure.fault(), Fault::SealKeys | Fault::SealBroken) => Ok(None),
        read => read.map(Some),
    }
}

struct Work<'w> {
    ctx: &'w Context,
    vault: &'w Vault,
    exchange_id: &'w str,
    run: Run,
    /// The scopes of the other exchanges that brought the same.
    others: HashMap<String, IngestScope>,
}

impl Work<'_> {
    /// Takes out the resources of these rows that nobody else brought, and notes that with how far this has come. Originals are read before the transaction that uses them; when another
    /// exchange has brought or taken out something meanwhile, it begins anew.
    fn take_out(
        &mut self,
        writer: &IngestWriter,
        page: &[ReceivedRow],
        at: ProgressRow,
    ) -> Result<ProgressRow, Failure> {
        let before = counts_of(&at)?;
        for _ in 0..TIMES {
            writer.go_on()?;
            let plan = self.plan(page)?;
            let all = [plan.remove.len(), plan.restore.len(), plan.stay.len(), plan.lost.len()];
            let counts = all.map(|count| count as u64);
            let done = Retracted {
                removed: before.removed + counts[0],
                restored: before.restored + counts[1],
                kept: before.kept + counts[2],
                lost: before.lost + counts[3],
            };
            let noted = note_of(&at, &done)?;
            if self.carry_out(writer, plan, noted.clone())? {
                return Ok(noted);
            }
        }
        Err(Failure::new(Fault::StoreSlow).because("what is to be taken out keeps changing"))
    }

    fn plan(&mut self, page: &[ReceivedRow]) -> Result<Plan, Failure> {
        let mut plan = Plan::default();
        let there = self.there(page)?;
        let mut seen: HashSet<Name> = HashSet::new();
        for row in page {
            let name = (row.rtype.clone(), row.id.clone());
            let Some(stored) = there.get(&name).filter(|_| seen.insert(name.clone())) else {
                continue;
            };
            let read = |db: &mut Db| Basis::read(db, &row.exchange_id, &name, stored);
            let basis = self.ctx.store.read_blocking(read)?;
            let (newest, mut lost) = self.newest(basis.others.clone())?;
            match newest {
                Some(other) if other.source_sha256 == stored.source_sha256 => plan.stay.push(other),
                Some(other) => match if_readable(self.content(&other))? {
                    Some(content) => plan.restore.push((other, content)),
                    None => {
                        lost.push(other);
                        plan.remove.push((stored.key, name));
                        plan.lost.append(&mut lost);
                    }
                },
                None => plan.remove.push((stored.key, name)),
            }
            plan.basis.push(basis);
        }
        Ok(plan)
    }

    /// What is stored under the names of these rows.
    fn there(&self, page: &[ReceivedRow]) -> Result<HashMap<Name, Existing>, Failure> {
        let mut wanted: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for row in page {
            wanted.entry(&row.rtype).or_default().push(&row.id);
        }
        self.ctx.store.read_blocking(|db| {
            let mut found = HashMap::new();
            for (rtype, ids) in &wanted {
                for row in resources::existing(db, rtype, ids)? {
                    found.insert(((*rtype).to_owned(), row.id.clone()), row);
                }
            }
            Ok(found)
        })
    }

    /// Which of these rows, of which the first was fetched last, would be stored if they came again in their order; and those that cannot be
    /// read, so that nobody can say.
    fn newest(&mut self, mut others: Vec<ReceivedRow>) -> Result<(Option<ReceivedRow>, Vec<ReceivedRow>), Failure> {
        let mut lost = Vec::new();
        let Some(mut best) = others.pop() else {
            return Ok((None, lost));
        };
        while let Some(next) = others.pop() {
            if next.source_sha256 == best.source_sha256 {
                best = next;
                continue;
            }
            let Some(own) = if_readable(self.version(&next))? else {
                lost.push(next);
                continue;
            };
            let Some(its) = if_readable(self.version(&best))? else {
                lost.push(std::mem::replace(&mut best, next));
                continue;
            };
            if verdict((&next.source_sha256, own), (&best.source_sha256, its), false) == Verdict::Store {
                best = next;
            }
        }
        Ok((Some(best), lost))
    }

    fn version(&mut self, row: &ReceivedRow) -> Result<SourceVersion, Failure> {
        let bytes = span(self.of(&row.exchange_id)?, row.page, row.start, row.length)?;
        SourceVersion::of(&screen(&bytes, &ScreenLimits::record())?)
    }

    /// Makes the content of a row again from its original.
    fn content(&mut self, row: &ReceivedRow) -> Result<Box<Candidate>, Failure> {
        let scope = self.of(&row.exchange_id)?;
        let normal = normal(scope, &span(scope, row.page, row.start, row.length)?)?;
        let targets = stored_targets(scope, &normal)?;
        candidate(scope, &normal, &targets, scope.ctx.clock.now_ms())
    }

    fn of(&mut self, exchange_id: &str) -> Result<&IngestScope, Failure> {
        if !self.others.contains_key(exchange_id) {
            let scope = IngestScope::reopen(self.ctx, self.vault, exchange_id)?;
            self.others.insert(exchange_id.to_owned(), scope);
        }
        self.others.get(exchange_id).ok_or_else(|| Fault::Internal.into())
    }

    /// What our record says of what another exchange brought, also when nobody can open its facts.
    fn custody(&mut self, exchange_id: &str) -> Result<Custody, Failure> {
        match if_readable(self.of(exchange_id))? {
            Some(scope) => Ok(Custody::of(scope)),
            None => Custody::without_keys(self.ctx, exchange_id),
        }
    }

    /// Writes a plan and how far this has come; returns false, and writes nothing, when what the plan rests on is not so any more.
    fn carry_out(&mut self, writer: &IngestWriter, plan: Plan, noted: ProgressRow) -> Result<bool, Failure> {
        let mut custodies: HashMap<String, Custody> = HashMap::new();
        for row in plan.restore.iter().map(|(row, _)| row).chain(&plan.stay) {
            if !custodies.contains_key(&row.exchange_id) {
                custodies.insert(row.exchange_id.clone(), self.custody(&row.exchange_id)?);
            }
        }
        let (run, own, wrote) = (self.run.clone(), self.exchange_id.to_owned(), writer.clone());
        writer.write_blocking(move |db| {
            resources::lock(db)?;
            for basis in &plan.basis {
                if !basis.holds(db, &own)? {
                    return Ok(false);
                }
            }
            let (keys, names): (Vec<i64>, Vec<Name>) = plan.remove.iter().cloned().unzip();
            take_out(db, &keys, &names, &run)?;
            let mut entries: Vec<BatchEntry> = plan
                .restore
                .iter()
                .map(|(_, content)| BatchEntry::Fit(content.clone()))
                .collect();
            put_back(db, &mut entries, &run)?;
            for row in &plan.lost {
                let gone = ReceivedRow {
                    outcome: LOST.into(),
                    ..row.clone()
                };
                rows::put_received(db, &[gone])?;
            }
            hand_over(
                db,
                &custodies,
                plan.restore.iter().map(|(row, _)| row).chain(&plan.stay),
            )?;
            rows::put_progress(db, &noted)?;
            wrote.got_on(db)?;
            Ok(true)
        })
    }
}

/// Says that these rows' exchanges brought what is stored now, and makes the custodian's records that they then have.
fn hand_over<'r>(
    db: &mut Db,
    custodies: &HashMap<String, Custody>,
    rows_now: impl Iterator<Item = &'r ReceivedRow>,
) -> Result<(), Failure> {
    let mut fresh: BTreeMap<(String, i64), Vec<ReceivedRow>> = BTreeMap::new();
    for row in rows_now.filter(|row| matches!(row.outcome.as_str(), UNCHANGED | OLDER)) {
        let own = ReceivedRow {
            outcome: STORED.into(),
            ..row.clone()
        };
        fresh.entry((row.exchange_id.clone(), row.page)).or_default().push(own);
    }
    for ((exchange_id, _), own) in fresh {
        let custody = custodies.get(&exchange_id).ok_or(Fault::Internal)?;
        if let Some(made) = custodian::record(db, custody, &own.iter().collect::<Vec<_>>())? {
            rows::put_received(db, &[made])?;
        }
        rows::put_received(db, &own)?;
    }
    Ok(())
}

/// Those targets of a Provenance that are stored.
fn stored_targets(scope: &IngestScope, normal: &Normal) -> Result<HashSet<Name>, Failure> {
    let Whose::Targets(targets) = &normal.whose else {
        return Ok(HashSet::new());
    };
    scope.ctx.store.read_blocking(|db| {
        let mut found = HashSet::new();
        for (rtype, id) in targets {
            if !resources::existing(db, rtype, &[id])?.is_empty() {
                found.insert((rtype.clone(), id.clone()));
            }
        }
        Ok(found)
    })
}
