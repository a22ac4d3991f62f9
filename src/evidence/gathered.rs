//! Which entries of the ledger belong to a packet. Reads only.

use super::entry::EvidenceEntry;
use super::scope::{self, PacketScope};
use crate::error::{Failure, Fault};
use crate::ops::detail::DecisionDetail;
use crate::ops::inbound;
use crate::secret::member_keys::MemberKeys;
use crate::store::entries::{self, BEGUN, EntryRow, RequestIds};
use crate::store::evidence_cases::{CaseItemRow, CaseRow};
use crate::store::inbound::InboundRow;
use crate::store::{Db, consents, correlations, ends, evidence_cases, evidence_entries as rows, exchanges, opt_ins};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// Most entries of a packet.
pub(super) const MOST: usize = 10_000;
/// Entries of one read.
const BATCH: i64 = 1_000;
/// What operators look at, and what they do with evidence, is no part of what happened.
const VIEWED: &str = "operator.viewed";
const OF_EVIDENCE: &str = "evidence.";

/// The entries of a packet, and what they lead to.
#[derive(Default)]
pub(super) struct Gathered {
    /// By id, which is the order of time.
    pub rows: BTreeMap<String, EntryRow>,
    /// Exchanges of ours.
    pub exchanges: BTreeSet<String>,
    /// The case, with all its items.
    pub case: Option<(CaseRow, Vec<CaseItemRow>)>,
    /// The member whose shares of files are told, if the packet is about one.
    pub member: Option<String>,
}

/// What of an entry leads to others.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Leads {
    exchange: Option<String>,
    begun: Option<String>,
}

fn leads(row: &EntryRow) -> Result<Leads, Failure> {
    serde_json::from_slice(&row.entry).map_err(|error| Failure::new(Fault::StoreDamaged).because(error))
}

/// The entries of `scope`, whether a checkpoint covers them or not. `has_item` tells which items of a case count; with `keys` correlation ids are
/// found that stand sealed.
///
/// # Errors
/// [`Fault::PacketTooLarge`]; [`Fault::ExchangeUnknown`], [`Fault::CaseUnknown`]; [`Fault::SealKeys`] when the keys of sealed correlation ids cannot
/// be had; those of the database.
pub(super) fn gather(
    db: &mut Db,
    scope: &PacketScope,
    (now_ms, keys): (i64, &MemberKeys),
    has_item: &mut dyn FnMut(&mut Db, &CaseItemRow) -> Result<bool, Failure>,
) -> Result<Gathered, Failure> {
    let mut found = Gathered::default();
    match scope {
        PacketScope::Exchange(id) => found.exchange(db, id, now_ms)?,
        PacketScope::Correlation(id) => found.correlated(db, id, keys)?,
        PacketScope::Member(id) => found.member(db, id)?,
        PacketScope::Range(from_ms, to_ms) => {
            found.all(db, |db, after| rows::between(db, (*from_ms, *to_ms), after, BATCH))?;
        }
        PacketScope::Case(id) => found.case(db, id, (now_ms, keys), has_item)?,
    }
    found.ends(db)?;
    found.find_exchanges()?;
    Ok(found)
}

impl Gathered {
    fn add(&mut self, found: impl IntoIterator<Item = EntryRow>) -> Result<(), Failure> {
        self.rows.extend(found.into_iter().map(|row| (row.id.clone(), row)));
        match self.rows.len() > MOST {
            true => Err(Fault::PacketTooLarge.into()),
            false => Ok(()),
        }
    }

    /// All entries that `read` finds, a batch after the other.
    fn all(
        &mut self,
        db: &mut Db,
        mut read: impl FnMut(&mut Db, &str) -> Result<Vec<EntryRow>, Failure>,
    ) -> Result<(), Failure> {
        let mut after = String::new();
        loop {
            let batch = read(db, &after)?;
            let is_last = i64::try_from(batch.len()).is_ok_and(|rows| rows < BATCH);
            if let Some(last) = batch.last() {
                after.clone_from(&last.id);
            }
            self.add(batch)?;
            if is_last {
                return Ok(());
            }
        }
    }

    fn about(&mut self, db: &mut Db, subject: &str) -> Result<(), Failure> {
        self.all(db, |db, after| rows::about(db, subject, after, BATCH))?;
        self.rows.retain(|_, row| !is_look(row));
        Ok(())
    }

    fn exchange(&mut self, db: &mut Db, id: &str, now_ms: i64) -> Result<(), Failure> {
        let Some(exchange) = exchanges::find(db, id)? else {
            return self.theirs(db, id, now_ms);
        };
        self.member = exchange.member_id;
        self.all(db, |db, after| entries::of_exchange(db, id, after, BATCH))?;
        if let Some(ask) = exchanges::ask_of(db, id)? {
            self.about(db, &ask.opt_in_id)?;
        }
        Ok(())
    }

    /// An exchange that another payer began: its match, its review, its consent and grant, and what was disclosed under it.
    fn theirs(&mut self, db: &mut Db, id: &str, now_ms: i64) -> Result<(), Failure> {
        let (row, begun, is_cut) = inbound::disclosed(db, id, now_ms)?.ok_or(Fault::ExchangeUnknown)?;
        if is_cut {
            return Err(Fault::PacketTooLarge.into());
        }
        self.matched(db, &row)?;
        self.member.clone_from(&row.decision.patient_id);
        for subject in [&row.decision.consent_id, &row.decision.grant_id].into_iter().flatten() {
            self.about(db, subject)?;
        }
        let disclosures = rows::with_ids(db, &begun)?;
        self.add(disclosures)
    }

    fn matched(&mut self, db: &mut Db, row: &InboundRow) -> Result<(), Failure> {
        let decision = &row.decision;
        let ids = RequestIds {
            correlation_id: decision.correlation_id.clone(),
            request_id: decision.request_id.clone(),
        };
        let asked = entries::of_request(db, &ids, "", BATCH)?;
        let opened = asked.iter().filter(|row| row.action == "review.opened");
        let mut reviews: Vec<String> = opened.filter_map(|row| row.subject.clone()).collect();
        reviews.extend(
            DecisionDetail::read(&decision.detail)?
                .review
                .and_then(|review| review.id),
        );
        self.add(asked)?;
        reviews.iter().try_for_each(|review| self.about(db, review))
    }

    fn correlated(&mut self, db: &mut Db, id: &str, keys: &MemberKeys) -> Result<(), Failure> {
        let forms = correlations::forms(db, keys, id)?;
        self.all(db, |db, after| rows::correlated(db, &forms, after, BATCH))?;
        self.rows.retain(|_, row| !is_look(row));
        Ok(())
    }

    /// All that is about a member: looks too, since they are looks at personal data.
    fn member(&mut self, db: &mut Db, id: &str) -> Result<(), Failure> {
        self.member = Some(id.to_owned());
        for consent in consents::of_member(db, id)? {
            let grants = consents::grants_under(db, std::slice::from_ref(&consent))?;
            self.about(db, &consent.id)?;
            grants.iter().try_for_each(|grant| self.about(db, &grant.id))?;
        }
        for opt_in in opt_ins::of_member(db, id)? {
            self.about(db, &opt_in.id)?;
        }
        self.all(db, |db, after| entries::about_by(db, id, BEGUN, after, BATCH))?;
        self.all(db, |db, after| rows::about(db, id, after, BATCH))
    }

    /// An exchange of a case; where its row was erased, or its time was over, the entries of the exchange alone.
    fn item(&mut self, db: &mut Db, id: &str, now_ms: i64) -> Result<(), Failure> {
        match self.exchange(db, id, now_ms) {
            Err(failure) if failure.fault() == Fault::ExchangeUnknown => {
                self.all(db, |db, after| entries::of_exchange(db, id, after, BATCH))
            }
            gathered => gathered,
        }
    }

    fn case(
        &mut self,
        db: &mut Db,
        id: &str,
        (now_ms, keys): (i64, &MemberKeys),
        has_item: &mut dyn FnMut(&mut Db, &CaseItemRow) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        let case = evidence_cases::find(db, id)?.ok_or(Fault::CaseUnknown)?;
        let mut items = Vec::new();
        for item in evidence_cases::items(db, &case.id)? {
            if has_item(db, &item)? {
                items.push(item);
            }
        }
        for item in &items {
            match item.kind.as_str() {
                scope::EXCHANGE => self.item(db, &item.item, now_ms)?,
                _ => self.correlated(db, &item.item, keys)?,
            }
        }
        self.member = None;
        self.all(db, |db, after| rows::about(db, &case.id, after, BATCH))?;
        self.case = Some((case, items));
        Ok(())
    }

    /// The entries that ended the disclosures that were found.
    fn ends(&mut self, db: &mut Db) -> Result<(), Failure> {
        let begun: Vec<EntryRow> = self.rows.values().filter(|row| row.action == BEGUN).cloned().collect();
        let mut found = Vec::new();
        for some in begun.chunks(500) {
            for row in ends::of(db, some)? {
                // One that names no beginning is of a time when none did.
                if leads(&row)?.begun.is_none_or(|begun| self.rows.contains_key(&begun)) {
                    found.push(row);
                }
            }
        }
        self.add(found)
    }

    /// Keeps what these entries lead to, and no others.
    pub(super) fn keep(&mut self, entries: &[EvidenceEntry]) {
        self.rows = entries
            .iter()
            .map(|entry| (entry.row.id.clone(), entry.row.clone()))
            .collect();
        let named: BTreeSet<&str> = entries.iter().filter_map(|entry| entry.text("/exchange")).collect();
        self.exchanges.retain(|id| named.contains(id.as_str()));
    }

    fn find_exchanges(&mut self) -> Result<(), Failure> {
        for row in self.rows.values().filter(|row| row.action.starts_with("exchange.")) {
            self.exchanges.extend(leads(row)?.exchange);
        }
        Ok(())
    }
}

fn is_look(row: &EntryRow) -> bool {
    row.action == VIEWED || row.action.starts_with(OF_EVIDENCE)
}
