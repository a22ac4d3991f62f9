//! Exchanges that other payers began, as their matches left them: a decision with its grant, its consent and its review.
//!
//! Reads only: nothing is stored for an inbound exchange beside what the match and its disclosures store anyway, so a match costs no row
//! and no commit more.

use super::Db;
use super::consents::ConsentRow;
use super::dynamic::{HeldValue, Sql};
use super::entries::{self, RequestIds};
use super::ops_queries::{GRANT, StoredDecision, StoredGrant};
use super::release_rule::unrevoked;
use super::schema::{consent, decision, grants, review};
use crate::error::{Failure, Fault};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use std::collections::{BTreeSet, HashMap};

/// Most matches of one member that are looked through.
const MATCHES: usize = 10_000;

/// Which matches to read; `None` is any.
#[derive(Clone, Debug, Default)]
pub struct InboundFilter {
    /// Of this partner.
    pub partner: Option<String>,
    /// With one of these outcomes; an empty list means any.
    pub outcomes: Option<&'static [&'static str]>,
    /// Answered with this fault.
    pub fault: Option<String>,
    /// With a correlation id: the forms in which it may stand (`store::correlations`).
    pub correlation: Option<Vec<String>>,
    /// Of the member with this Patient id.
    pub member: Option<String>,
    /// Those that made or last renewed a grant on the member with this Patient id that nobody has ended; `partner` must be given.
    pub held_on: Option<String>,
    /// That began at this time (UTC milliseconds) or later.
    pub since_ms: Option<i64>,
    /// With one of these ids.
    pub ids: Option<Vec<String>>,
    /// After this id, or before it when `newest_first`.
    pub after: String,
    /// The newest first.
    pub newest_first: bool,
    /// Rows to read.
    pub limit: i64,
    /// Reads no reviews: a partner must not be able to tell a refusal from one that waits for a reviewer, by time either (threats C01).
    pub without_reviews: bool,
}

/// What a match left.
#[derive(Clone, Debug)]
pub struct InboundRow {
    /// The decision; its id is that of the exchange.
    pub decision: StoredDecision,
    /// The grant that it made or renewed.
    pub grant: Option<StoredGrant>,
    /// The consent of the grant.
    pub consent: Option<ConsentRow>,
    /// The next match that renewed the grant.
    pub renewed: Option<GrantRenewal>,
    /// The review of the question that it opened.
    pub review: Option<InboundReview>,
}

/// A match that renewed a grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantRenewal {
    /// Id of its decision.
    pub decision_id: String,
    /// When, UTC milliseconds.
    pub at_ms: i64,
}

/// How a review stands.
#[derive(Clone, Debug, Queryable)]
pub struct InboundReview {
    decision_id: String,
    /// Its state.
    pub state: String,
    /// When it was decided, UTC milliseconds.
    pub decided_ms: Option<i64>,
}

/// Returns matches in the order of their ids, which is that of time.
///
/// # Errors
/// [`Fault::SearchTooCostly`] for a member with more matches than are looked through; those of the database.
pub fn page(db: &mut Db, filter: &InboundFilter) -> Result<Vec<InboundRow>, Failure> {
    let of_member = match &filter.member {
        Some(member) => Some(of_member(db, member)?),
        None => None,
    };
    let decisions = match &filter.correlation {
        None => selected(db, filter, of_member.as_deref(), None)?,
        Some(forms) => {
            // Each form by itself: only so does the index give them in their order.
            let mut found = Vec::new();
            for form in forms {
                found.extend(selected(db, filter, of_member.as_deref(), Some(form))?);
            }
            found.sort_unstable_by(|one, other| match filter.newest_first {
                false => one.id.cmp(&other.id),
                true => other.id.cmp(&one.id),
            });
            // One that was moved between the two reads is in both.
            found.dedup_by(|one, other| one.id == other.id);
            found.truncate(usize::try_from(filter.limit).unwrap_or(usize::MAX));
            found
        }
    };
    around(db, decisions, !filter.without_reviews)
}

/// The decisions of a page, of all or of those with this in place of their correlation id.
fn selected(
    db: &mut Db,
    filter: &InboundFilter,
    of_member: Option<&[String]>,
    form: Option<&str>,
) -> Result<Vec<StoredDecision>, Failure> {
    let mut query = decision::table
        .select(decision::all_columns)
        .limit(filter.limit)
        .into_boxed();
    query = match filter.newest_first {
        false => query.filter(decision::id.gt(&filter.after)).order(decision::id.asc()),
        true if filter.after.is_empty() => query.order(decision::id.desc()),
        true => query.filter(decision::id.lt(&filter.after)).order(decision::id.desc()),
    };
    if let Some(ids) = of_member {
        query = query.filter(decision::id.eq_any(ids));
    }
    if let Some(ids) = &filter.ids {
        query = query.filter(decision::id.eq_any(ids));
    }
    if let Some(partner) = &filter.partner {
        query = query.filter(decision::partner_id.eq(partner));
    }
    if let (Some(member), Some(partner)) = (&filter.held_on, &filter.partner) {
        let held = grants::table
            .filter(grants::patient_id.eq(member))
            .filter(grants::partner_id.eq(partner))
            .filter(unrevoked())
            .select(grants::decision_id);
        query = query.filter(decision::id.eq_any(held));
    }
    match filter.outcomes {
        None | Some([]) => {}
        Some(outcomes) => query = query.filter(decision::outcome.eq_any(outcomes.to_vec())),
    }
    if let Some(fault) = &filter.fault {
        query = query.filter(decision::reason.eq(fault));
    }
    if let Some(form) = form {
        query = query.filter(decision::correlation_id.eq(form));
    }
    if let Some(since_ms) = filter.since_ms {
        query = query.filter(decision::created_ms.ge(since_ms));
    }
    Ok(query.load(db)?)
}

/// Returns the match with this id.
///
/// # Errors
/// Those of the database.
pub fn find(db: &mut Db, id: &str) -> Result<Option<InboundRow>, Failure> {
    let found = super::ops_queries::decision(db, id)?;
    Ok(around(db, found.into_iter().collect(), true)?.into_iter().next())
}

/// The ids of the decisions that name a member, from the ledger's index of subjects.
fn of_member(db: &mut Db, member: &str) -> Result<Vec<String>, Failure> {
    let mut requests: BTreeSet<RequestIds> = BTreeSet::new();
    for action in [entries::MATCHED, entries::MATCH_REFUSED] {
        let rows = entries::about_by(db, member, action, "", i64::try_from(MATCHES + 1).unwrap_or(i64::MAX))?;
        if rows.len() > MATCHES {
            return Err(Failure::new(Fault::SearchTooCostly).at("member").remedy(format!(
                "This member has more than {MATCHES} matches. Leave the member out and give a partner, a fault, a correlation id or a time instead."
            )));
        }
        requests.extend(rows.iter().map(entries::EntryRow::ids));
    }
    let requests: Vec<RequestIds> = requests.into_iter().collect();
    let decisions = entries::decisions_of(db, &requests)?;
    Ok(decisions.into_iter().map(|one| one.id).collect())
}

fn around(db: &mut Db, decisions: Vec<StoredDecision>, with_reviews: bool) -> Result<Vec<InboundRow>, Failure> {
    let named = |id: fn(&StoredDecision) -> Option<&String>| -> Vec<String> {
        let all: BTreeSet<&String> = decisions.iter().filter_map(id).collect();
        all.into_iter().cloned().collect()
    };
    let (grant_ids, consent_ids) = (named(|one| one.grant_id.as_ref()), named(|one| one.consent_id.as_ref()));
    let of_grants: Vec<StoredGrant> = grants::table
        .filter(grants::id.eq_any(grant_ids))
        .select(GRANT)
        .load(db)?;
    let of_consents: Vec<ConsentRow> = consent::table
        .filter(consent::id.eq_any(consent_ids))
        .select(super::consents::CONSENT)
        .load(db)?;
    let doubtful = decisions.iter().filter(|one| with_reviews && one.outcome == "review");
    let (partners, doubtful): (BTreeSet<&String>, Vec<&String>) =
        doubtful.map(|one| (&one.partner_id, &one.id)).unzip();
    let reviews: Vec<InboundReview> = match doubtful.is_empty() {
        true => Vec::new(),
        false => review::table
            .filter(review::partner_id.eq_any(partners))
            .filter(review::decision_id.eq_any(doubtful))
            .select((review::decision_id, review::state, review::decided_ms))
            .load(db)?,
    };
    let grants: HashMap<String, StoredGrant> = of_grants.into_iter().map(|one| (one.id.clone(), one)).collect();
    let is_over = |one: &&StoredDecision| {
        let grant = one.grant_id.as_ref().and_then(|id| grants.get(id));
        grant.is_some_and(|grant| grant.decision_id != one.id)
    };
    let over: Vec<&str> = decisions.iter().filter(is_over).map(|one| one.id.as_str()).collect();
    let mut next = renewals(db, &over)?;
    let consents: HashMap<String, ConsentRow> = of_consents.into_iter().map(|one| (one.id.clone(), one)).collect();
    let reviews: HashMap<String, InboundReview> =
        reviews.into_iter().map(|one| (one.decision_id.clone(), one)).collect();
    let row = |decision: StoredDecision| InboundRow {
        renewed: next.remove(&decision.id),
        grant: decision.grant_id.as_ref().and_then(|id| grants.get(id)).cloned(),
        consent: decision.consent_id.as_ref().and_then(|id| consents.get(id)).cloned(),
        review: reviews.get(&decision.id).cloned(),
        decision,
    };
    Ok(decisions.into_iter().map(row).collect())
}

/// The next decision with the same grant after each of these, where there is one.
fn renewals(db: &mut Db, ids: &[&str]) -> Result<HashMap<String, GrantRenewal>, Failure> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let mut sql = Sql::new(
        "SELECT d.id, n.id, n.created_ms FROM decision d JOIN decision n ON n.id = \
         (SELECT MIN(o.id) FROM decision o WHERE o.grant_id = d.grant_id AND o.id > d.id) WHERE d.id IN ",
    );
    sql.list(ids.iter().map(|id| HeldValue::from(*id)));
    let rows: Vec<(String, String, i64)> = match db {
        Db::Pg(pg) => sql.rows::<(Text, Text, BigInt)>().load(pg)?,
        Db::Sqlite(sqlite) => sql.rows::<(Text, Text, BigInt)>().load(sqlite)?,
    };
    let next = |(id, decision_id, at_ms)| (id, GrantRenewal { decision_id, at_ms });
    Ok(rows.into_iter().map(next).collect())
}
