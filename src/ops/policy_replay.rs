//! What a version of a policy would have decided: for one decision or exchange from its record, and for the last ones of a partner in sum.
//!
//! It reads records and decides again; it changes nothing, and never guesses: where the record lacks what the decision depends on, it says so.

use super::decisions::{self, DecisionFilter};
use super::detail::DecisionDetail;
use super::policy_kinds::KINDS;
use super::{View, recorded};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::exchange::escalation::Escalation;
use crate::exchange::replayed::{FollowedBy, ReplayedAttempt, replayed};
use crate::exchange::tables::{self, ExchangeTables};
use crate::policy::{PolicyKind, Version, find_in};
use crate::store::Db;
use crate::store::exchanges::{self, ExchangeRow};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Attempts of an exchange that are replayed at most.
const ATTEMPTS_MOST: i64 = 1_000;
/// Decisions or exchanges that are compared at most.
pub const COMPARED_MOST: i64 = 200;

/// A decision or an exchange that was decided again.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReplayItem {
    /// `decision` or `exchange`.
    pub subject: &'static str,
    /// Its id.
    pub id: String,
    /// The kind of policy that was replayed.
    pub kind: &'static str,
    /// The version that decided, as it is cited.
    pub decided_by: String,
    /// The version that decided again, as it is cited.
    pub version: String,
    /// What was decided.
    pub decided: Option<String>,
    /// What the version would have decided; `null` where the record lacks what that depends on.
    pub would: Option<String>,
    /// Whether the two differ; `null` where that is not known.
    pub differs: Option<bool>,
    /// The guard, or the rule of the consent, that would have applied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Bits of the best candidate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<f64>,
    /// Bits that it would have needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub needed: Option<f64>,
    /// What the record lacks.
    pub lacks: Vec<String>,
    /// The failed attempts of an exchange.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<ReplayedAttemptItem>,
}

impl ReplayItem {
    /// What the ledger calls the subject as an object.
    pub fn object_kind(&self) -> &'static str {
        match self.subject {
            "exchange" => "Exchange",
            _ => "Decision",
        }
    }
}

/// A failed attempt of an exchange.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReplayedAttemptItem {
    /// Its number in the exchange.
    pub number: i64,
    /// The step.
    pub step: String,
    /// The round.
    pub round: i64,
    /// The attempt in the round.
    pub attempt: i64,
    /// The class of the failure.
    pub class: String,
    /// What followed by the version that decided.
    pub decided: Option<FollowItem>,
    /// What would have followed.
    pub would: Option<FollowItem>,
    /// Whether the two differ.
    pub differs: bool,
}

/// What follows from a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct FollowItem {
    /// `again`, `new-round`, `operator` or `end`.
    pub follows: &'static str,
    /// The wait, milliseconds: at most for another attempt, at least for a new round.
    pub wait_ms: Option<i64>,
}

/// The sum over many.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CompareItem {
    /// The version, as it is cited.
    pub version: String,
    /// What it rules.
    pub kind: &'static str,
    /// The partner whose records were compared; `null` for everyone's.
    pub partner: Option<String>,
    /// How many were compared.
    pub compared: u64,
    /// How many it would have decided the same.
    pub same: u64,
    /// How many it would have decided differently.
    pub different: u64,
    /// How many it cannot tell from their records.
    pub unknown: u64,
    /// How often each pair came: what was decided, and what would have been.
    pub pairs: BTreeMap<String, u64>,
    /// Ids of the first ones that differ.
    pub examples: Vec<String>,
}

/// Ids that a comparison names at most.
const EXAMPLES: usize = 20;

/// Decides a decision or an exchange again by the version that `wanted` names.
///
/// # Errors
/// [`Fault::NotFound`] when there is neither with this id; [`Fault::PolicyUnknown`]; [`Fault::PolicyInvalid`] for a kind that decides nothing of
/// it; those of the database.
pub fn replay(
    ctx: &Context,
    db: &mut Db,
    id: &str,
    (kind, wanted): (Option<PolicyKind>, &str),
) -> Result<ReplayItem, Failure> {
    let version = find_in(ctx, KINDS, db, kind, wanted)?;
    if let Some(exchange) = exchanges::find(db, id)? {
        return of_exchange(db, &exchange, &version);
    }
    let item = decisions::one(db, id, View::Full, &ctx.member_keys)?;
    of_decision(ctx, db, &item, &version)
}

/// Decides the newest decisions or exchanges of a partner again by a version, and sums up.
///
/// # Errors
/// As [`replay`].
pub fn compare(
    ctx: &Context,
    db: &mut Db,
    (kind, wanted): (Option<PolicyKind>, &str),
    partner: Option<&str>,
    last: i64,
) -> Result<CompareItem, Failure> {
    let version = find_in(ctx, KINDS, db, kind, wanted)?;
    let limit = last.clamp(1, COMPARED_MOST);
    let mut sum = CompareItem {
        version: version.version.clone(),
        kind: version.kind.code(),
        partner: partner.map(str::to_owned),
        ..CompareItem::default()
    };
    match version.kind {
        PolicyKind::Retry | PolicyKind::Escalation => {
            for row in exchanges::newest(db, partner, limit)? {
                sum.add(&of_exchange(db, &row, &version)?);
            }
        }
        _ => {
            let filter = DecisionFilter {
                partner: partner.map(str::to_owned),
                newest: true,
                limit,
                ..DecisionFilter::default()
            };
            for item in decisions::list(db, &filter, View::Full, &ctx.member_keys)?.items {
                sum.add(&of_decision(ctx, db, &item, &version)?);
            }
        }
    }
    Ok(sum)
}

impl CompareItem {
    fn add(&mut self, one: &ReplayItem) {
        self.compared += 1;
        match one.differs {
            Some(false) => self.same += 1,
            Some(true) => {
                self.different += 1;
                if self.examples.len() < EXAMPLES {
                    self.examples.push(one.id.clone());
                }
            }
            None => self.unknown += 1,
        }
        let word = |side: &Option<String>| side.clone().unwrap_or_else(|| "unknown".to_owned());
        let pair = format!("{} -> {}", word(&one.decided), word(&one.would));
        *self.pairs.entry(pair).or_default() += 1;
    }
}

fn of_exchange(db: &mut Db, exchange: &ExchangeRow, version: &Version) -> Result<ReplayItem, Failure> {
    let own = tables::of_exchange(db, exchange)?;
    let other = with(&own, version)?;
    let attempts = exchanges::attempts_of(db, &exchange.id, ATTEMPTS_MOST)?;
    let found = replayed(exchange.created_ms, &attempts, &own, &other);
    let mut lacks = Vec::new();
    if found.iter().any(|one| one.decided.is_none() || one.would.is_none()) {
        lacks.push("a class of failures or a step that this program does not know".to_owned());
    }
    let last = |of: fn(&ReplayedAttempt) -> Option<FollowedBy>| match found.last() {
        Some(one) => of(one).map(|follows| follows.code().to_owned()),
        None => Some("no-failure".to_owned()),
    };
    let (decided, would) = (last(|one| one.decided), last(|one| one.would));
    let attempts: Vec<ReplayedAttemptItem> = found.iter().map(attempt_item).collect();
    let differs = attempts.iter().any(|one| one.differs);
    Ok(ReplayItem {
        subject: "exchange",
        id: exchange.id.clone(),
        kind: version.kind.code(),
        decided_by: match version.kind {
            PolicyKind::Escalation => crate::secret::hex(&own.escalation_digest()),
            _ => exchange.policy_version.clone(),
        },
        version: version.version.clone(),
        decided,
        would,
        differs: lacks.is_empty().then_some(differs),
        reason: None,
        total: None,
        needed: None,
        lacks,
        attempts,
    })
}

/// The tables of an exchange with those of a version in their place.
fn with(own: &Arc<ExchangeTables>, version: &Version) -> Result<Arc<ExchangeTables>, Failure> {
    let unreadable =
        |what: String| Failure::new(Fault::PolicyInvalid).remedy(format!("This version cannot be read: {what}."));
    match version.kind {
        PolicyKind::Retry => tables::of(Some(&version.body), Some(own.escalation)),
        PolicyKind::Escalation => {
            let escalation = Escalation::parse(&version.body).map_err(|error| unreadable(error.what))?;
            Ok(Arc::new(ExchangeTables {
                escalation,
                ..own.as_ref().clone()
            }))
        }
        _ => Err(Failure::new(Fault::PolicyInvalid)
            .at("--version")
            .remedy("Name a version of retry or escalation: no other kind decides on an exchange of ours.")),
    }
}

fn attempt_item(one: &ReplayedAttempt) -> ReplayedAttemptItem {
    let item = |follows: FollowedBy| FollowItem {
        follows: follows.code(),
        wait_ms: follows.wait_ms(),
    };
    ReplayedAttemptItem {
        number: one.number,
        step: one.step.clone(),
        round: one.round,
        attempt: one.attempt,
        class: one.class.clone(),
        decided: one.decided.map(item),
        would: one.would.map(item),
        differs: one.decided != one.would,
    }
}

fn of_decision(
    ctx: &Context,
    db: &mut Db,
    item: &decisions::DecisionItem,
    version: &Version,
) -> Result<ReplayItem, Failure> {
    let detail = item.detail()?;
    let found = match version.kind {
        PolicyKind::Matching => by_matching(ctx, db, item, &detail, version)?,
        PolicyKind::Consent => recorded::by_consent(ctx, db, item, &detail, version)?,
        _ => {
            return Err(Failure::new(Fault::PolicyInvalid)
                .at("--version")
                .remedy("Name a version of matching or consent: no other kind takes part in a match."));
        }
    };
    let differs = match (&found.decided, &found.would) {
        (Some(decided), Some(would)) => Some(decided != would),
        _ => None,
    };
    Ok(ReplayItem {
        subject: "decision",
        id: item.id.clone(),
        kind: version.kind.code(),
        decided_by: found.decided_by,
        version: version.version.clone(),
        decided: found.decided,
        would: found.would,
        differs,
        reason: found.reason,
        total: found.total,
        needed: found.needed,
        lacks: found.lacks,
        attempts: Vec::new(),
    })
}

fn by_matching(
    ctx: &Context,
    db: &mut Db,
    item: &decisions::DecisionItem,
    detail: &DecisionDetail,
    version: &Version,
) -> Result<recorded::Redecided, Failure> {
    let old = match find_in(ctx, KINDS, db, Some(PolicyKind::Matching), &item.policy_version) {
        Ok(found) => found.rules,
        Err(failure) if failure.fault() == Fault::PolicyUnknown => None,
        Err(failure) => return Err(failure),
    };
    recorded::by_matching(item, detail, old.as_ref(), version)
}
