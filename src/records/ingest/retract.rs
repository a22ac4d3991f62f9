//! Takes out again what one exchange brought, exactly: what only it brought is removed, and where it replaced what another exchange had
//! brought, that comes back from its original. What our own sources told is never touched, because no exchange can change it.
//!
//! It may be broken off anywhere and run again.

use super::super::gate::Candidate;
use super::super::keep::BatchEntry;
use super::super::keep::taken_out::{put_back, take_out};
use super::super::source_version::SourceVersion;
use super::batch::candidate;
use super::custodian;
use super::normal::{Normal, Whose, normal};
use super::outcome::{BROUGHT, MADE, OLDER, STORED, UNCHANGED};
use super::scope::{IngestScope, IngestWriter};
use super::spool::span;
use super::state::RETRACTED;
use super::verdict::{Verdict, verdict};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::fhir::prescreen::{ScreenLimits, screen};
use crate::security::vault::Vault;
use crate::store::Db;
use crate::store::dependencies::Name;
use crate::store::ingest::{self as rows, ReceivedRow};
use crate::store::resources::{self, Existing};
use std::collections::{BTreeMap, HashMap, HashSet};

/// How many resources one transaction handles.
const TOGETHER: i64 = 200;

/// What a retraction did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retracted {
    /// Resources that were removed.
    pub removed: u64,
    /// Resources that have again the content that another exchange brought.
    pub restored: u64,
    /// Resources that another exchange brought as well, so that they stay.
    pub kept: u64,
}

/// Takes out what the exchange brought, and removes what came as received. Blocks this thread.
///
/// # Errors
/// [`Fault::NothingReceived`]; [`Fault::SealKeys`] and [`Fault::SealBroken`] when an original that must come back cannot be read;
/// [`Fault::LeaseLost`]; those of the store.
pub fn retract(ctx: &Context, vault: &Vault, writer: &IngestWriter, exchange_id: &str) -> Result<Retracted, Failure> {
    let scope = IngestScope::reopen(ctx, vault, exchange_id)?;
    let mut work = Work {
        vault,
        scope: &scope,
        others: HashMap::new(),
    };
    let mut done = Retracted::default();
    for outcome in [MADE, STORED, UNCHANGED] {
        let mut after = (-1, -1);
        loop {
            let (outcome, from) = (outcome.to_owned(), after);
            let page = ctx
                .store
                .read_blocking(|db| rows::received(db, exchange_id, &outcome, from, TOGETHER))?;
            let Some(last) = page.last() else { break };
            after = (last.page, last.entry);
            let plan = work.plan(&page)?;
            done.removed += plan.remove.len() as u64;
            done.restored += plan.restore.len() as u64;
            done.kept += plan.stay.len() as u64;
            work.carry_out(writer, plan)?;
        }
    }
    let (exchange_id, now_ms) = (exchange_id.to_owned(), ctx.clock.now_ms());
    writer.write_blocking(move |db| {
        rows::forget_bodies(db, &exchange_id)?;
        rows::set_state(db, &exchange_id, RETRACTED, now_ms)
    })?;
    Ok(done)
}

/// What happens to some resources.
#[derive(Default)]
struct Plan {
    /// Keys and names of what is removed.
    remove: Vec<(i64, Name)>,
    /// What comes back: the row of the exchange that brought it, and its content.
    restore: Vec<(ReceivedRow, Box<Candidate>)>,
    /// Rows of other exchanges by which resources stay as they are.
    stay: Vec<ReceivedRow>,
}

struct Work<'w> {
    vault: &'w Vault,
    scope: &'w IngestScope,
    /// The scopes of the other exchanges that brought the same.
    others: HashMap<String, IngestScope>,
}

impl Work<'_> {
    fn plan(&mut self, page: &[ReceivedRow]) -> Result<Plan, Failure> {
        let mut plan = Plan::default();
        let there = self.there(page)?;
        let mut seen: HashSet<(&str, &str)> = HashSet::new();
        for row in page {
            let name = (row.rtype.as_str(), row.id.as_str());
            let Some(stored) = there
                .get(&(row.rtype.clone(), row.id.clone()))
                .filter(|_| seen.insert(name))
            else {
                continue;
            };
            let others = self
                .scope
                .ctx
                .store
                .read_blocking(|db| rows::brought_by_others(db, &row.exchange_id, name, BROUGHT, RETRACTED))?;
            match self.newest(others)? {
                None => plan.remove.push((stored.key, (row.rtype.clone(), row.id.clone()))),
                Some(other) if other.source_sha256 == stored.source_sha256 => plan.stay.push(other),
                Some(other) => {
                    let content = self.content(&other)?;
                    plan.restore.push((other, content));
                }
            }
        }
        Ok(plan)
    }

    /// What is stored under the names of these rows.
    fn there(&self, page: &[ReceivedRow]) -> Result<HashMap<Name, Existing>, Failure> {
        let mut wanted: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for row in page {
            wanted.entry(&row.rtype).or_default().push(&row.id);
        }
        self.scope.ctx.store.read_blocking(|db| {
            let mut found = HashMap::new();
            for (rtype, ids) in &wanted {
                for row in resources::existing(db, rtype, ids)? {
                    found.insert(((*rtype).to_owned(), row.id.clone()), row);
                }
            }
            Ok(found)
        })
    }

    /// Which of these rows, the newest exchange first, would be stored if they came again in their order.
    fn newest(&mut self, mut others: Vec<ReceivedRow>) -> Result<Option<ReceivedRow>, Failure> {
        let Some(mut best) = others.pop() else { return Ok(None) };
        while let Some(next) = others.pop() {
            if next.source_sha256 == best.source_sha256 {
                best = next;
                continue;
            }
            let (own, its) = (self.version(&next)?, self.version(&best)?);
            if verdict((&next.source_sha256, own), (&best.source_sha256, its)) == Verdict::Store {
                best = next;
            }
        }
        Ok(Some(best))
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
            let scope = IngestScope::reopen(&self.scope.ctx, self.vault, exchange_id)?;
            self.others.insert(exchange_id.to_owned(), scope);
        }
        self.others.get(exchange_id).ok_or_else(|| Fault::Internal.into())
    }

    fn carry_out(&mut self, writer: &IngestWriter, plan: Plan) -> Result<(), Failure> {
        let mut scopes: HashMap<String, IngestScope> = HashMap::new();
        for row in plan.restore.iter().map(|(row, _)| row).chain(&plan.stay) {
            scopes.insert(row.exchange_id.clone(), self.of(&row.exchange_id)?.clone());
        }
        let run = self.scope.run.clone();
        writer.write_blocking(move |db| {
            let (keys, names): (Vec<i64>, Vec<Name>) = plan.remove.iter().cloned().unzip();
            take_out(db, &keys, &names, &run)?;
            let mut entries: Vec<BatchEntry> = plan
                .restore
                .iter()
                .map(|(_, content)| BatchEntry::Fit(content.clone()))
                .collect();
            put_back(db, &mut entries, &run)?;
            hand_over(db, &scopes, plan.restore.iter().map(|(row, _)| row).chain(&plan.stay))
        })
    }
}

/// Says that these rows' exchanges brought what is stored now, and makes the custodian's records that they then have.
fn hand_over<'r>(
    db: &mut Db,
    scopes: &HashMap<String, IngestScope>,
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
        let scope = scopes.get(&exchange_id).ok_or(Fault::Internal)?;
        if let Some(made) = custodian::record(db, scope, &own.iter().collect::<Vec<_>>())? {
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
