//! The entries that a business row must have. Each function takes the id of a row and says what the ledger lacks of it, or has otherwise.

use super::found::{CommitmentOpens, EntryRead};
use super::matched;
use crate::audit::Action;
use crate::error::{Failure, Fault};
use crate::identity::graph::Origin;
use crate::ops::policy_kinds;
use crate::review::{Event, ReviewState, act_digest, after, links::step_digest};
use crate::secret::{hex, sha256};
use crate::store::control_rows::{self, RowKind};
use crate::store::{Db, bulk, consents, entries, exchanges, ops_queries, opt_ins, partners, policies, reviews, steps};

/// Entries about one thing that are looked through.
const READ: i64 = 10_000;

/// The actions of acts on reviews.
const ACTS: [Action; 5] = [
    Action::ReviewDecided,
    Action::ReviewProposed,
    Action::ReviewDeferred,
    Action::ReviewTaken,
    Action::ReviewReopened,
];

/// Why a row is not told by the ledger as it is; `None` when it is.
pub(super) type Untold = Result<Option<String>, Failure>;

/// What the ledger lacks of the row of this kind with this id, or has otherwise.
pub(super) fn untold(db: &mut Db, kind: RowKind, id: &str) -> Untold {
    match kind {
        RowKind::Decision => decision(db, id),
        RowKind::Consent => consent(db, id),
        RowKind::Grant => grant(db, id),
        RowKind::Review => review(db, id),
        RowKind::LinkStep => link_step(db, id),
        RowKind::OptIn => opt_in(db, id),
        RowKind::Exchange => exchange(db, id),
        RowKind::BulkJob => bulk_job(db, id),
        RowKind::Acknowledgement => acknowledgement(db, id),
        RowKind::Partner => partner(db, id),
        RowKind::PolicyVersion => policy_version(db, id),
        RowKind::Entry | RowKind::DisclosedFile => Ok(None),
    }
}

fn says(why: &str) -> Untold {
    Ok(Some(why.to_owned()))
}

/// The entries about this subject with this action, oldest first.
pub(super) fn about(db: &mut Db, subject: &str, action: Action) -> Result<Vec<EntryRead>, Failure> {
    let mut found = EntryRead::all(entries::about_by(db, subject, action.code(), "", READ)?)?;
    // The index by subject is not signed; the commitment is.
    found.retain(|entry| entry.is_about(subject) != CommitmentOpens::No);
    Ok(found)
}

/// [`says`], unless an entry with this action from then (UTC milliseconds) can no longer be opened: it may be the one that is looked for.
fn says_unless_closed(db: &mut Db, action: Action, at_ms: i64, why: &str) -> Untold {
    match control_rows::was_closed(db, action.code(), at_ms, at_ms)? {
        true => Ok(None),
        false => says(why),
    }
}

fn decision(db: &mut Db, id: &str) -> Untold {
    let row = ops_queries::decision(db, id)?.ok_or(Fault::NotFound)?;
    let ids = matched::request_of(&row);
    let decisions = control_rows::decisions(db, &ids)?.len();
    Ok(matched::untold(&matched::entries_of(db, &ids)?, &row, decisions))
}

fn consent(db: &mut Db, id: &str) -> Untold {
    let row = consents::find(db, id)?.ok_or(Fault::ConsentUnknown)?;
    let recorded = about(db, id, Action::ConsentRecorded)?;
    match recorded.first() {
        None => {
            let why = "the ledger has no entry that it was recorded";
            if let Some(why) = says_unless_closed(db, Action::ConsentRecorded, row.recorded_ms, why)? {
                return Ok(Some(why));
            }
        }
        Some(entry) if entry.text("/partner") != Some(row.partner_id.as_str()) => {
            return says("its partner is not the one of its entry");
        }
        Some(_) => {}
    }
    let revoked = about(db, id, Action::ConsentRevoked)?;
    match (row.revoked_ms, revoked.is_empty()) {
        (Some(at_ms), true) => {
            let why = "it is revoked, and the ledger has no entry of that";
            says_unless_closed(db, Action::ConsentRevoked, at_ms, why)
        }
        (None, false) => says("the ledger says that it was revoked, and it is not"),
        _ => Ok(None),
    }
}

fn grant(db: &mut Db, id: &str) -> Untold {
    let row = consents::grant(db, id)?.ok_or(Fault::GrantUnknown)?;
    let Some(decision) = ops_queries::decision(db, &row.decision_id)? else {
        return says("the decision that made it is gone");
    };
    let is_same = decision.grant_id.as_deref() == Some(id)
        && decision.consent_id.as_deref() == Some(row.consent_id.as_str())
        && decision.patient_id.as_deref() == Some(row.patient_id.as_str())
        && decision.partner_id == row.partner_id;
    if !is_same {
        return says("it is not the grant of the decision that it names");
    }
    let ended = !about(db, id, Action::OperatorGrantRevoked)?.is_empty();
    match row.revoked_ms {
        None if ended => says("the ledger says that it was ended, and it is not"),
        None => Ok(None),
        Some(_) if ended || control_rows::is_revoked_by_step(db, id)? => Ok(None),
        Some(at_ms) => {
            let consent = consents::find(db, &row.consent_id)?;
            let why = "it is revoked, and the ledger has no entry of that";
            match consent.is_some_and(|consent| consent.revoked_ms.is_some()) {
                true => Ok(None),
                false => says_unless_closed(db, Action::OperatorGrantRevoked, at_ms, why),
            }
        }
    }
}

fn review(db: &mut Db, id: &str) -> Untold {
    let row = reviews::find(db, id)?;
    if about(db, id, Action::ReviewOpened)?.is_empty() {
        let why = "the ledger has no entry that it was opened";
        if let Some(why) = says_unless_closed(db, Action::ReviewOpened, row.opened_ms, why)? {
            return Ok(Some(why));
        }
    }
    let mut told = Vec::new();
    for action in ACTS {
        told.extend(about(db, id, action)?);
    }
    let mut state = Some(ReviewState::Open);
    let acts = reviews::acts(db, id)?;
    for act in &acts {
        let digest = hex(&act_digest(act));
        if !told
            .iter()
            .any(|entry| entry.text("/req_digest") == Some(digest.as_str()))
            // An act without a reason was about a member who was erased.
            && !act.reason.is_empty()
            && !was_act_closed(db, act.at_ms)?
        {
            return Ok(Some(format!(
                "the act {} is not what the ledger has, or is not there",
                act.id
            )));
        }
        let event = Event::ALL.into_iter().find(|event| event.code() == act.act);
        state = state.zip(event).and_then(|(state, event)| after(state, event));
    }
    if told.len() > acts.len() {
        return says("the ledger has more acts on it than the store");
    }
    match state.map(ReviewState::code) == Some(row.state.as_str()) {
        true => Ok(None),
        false => says("its state is not what its acts lead to"),
    }
}

/// Whether an entry of an act on a review from then (UTC milliseconds) can no longer be opened.
fn was_act_closed(db: &mut Db, at_ms: i64) -> Result<bool, Failure> {
    for action in ACTS {
        if control_rows::was_closed(db, action.code(), at_ms, at_ms)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn link_step(db: &mut Db, id: &str) -> Untold {
    let row = steps::step(db, id)?;
    let Some(change) = row.changes.first() else {
        return Ok(None);
    };
    let by_operator = change
        .after
        .as_ref()
        .is_some_and(|link| link.origin == Origin::Operator);
    let action = match row.event.as_str() {
        "take-back" => Action::LinkTakenBack,
        "retire" => Action::LinkMoved,
        "confirm" if by_operator => Action::LinkMoved,
        // A match and a review tell of their steps in their own entries.
        _ => return Ok(None),
    };
    if row.operator.is_none() {
        return says("no operator did it, and it is an operator's step");
    }
    if row.reason.is_none() {
        // An operator gives one: it was taken out with a member who was erased.
        return Ok(None);
    }
    let digest = hex(&step_digest(&row));
    let told = about(db, change.link_id(), action)?;
    match told
        .iter()
        .any(|entry| entry.text("/req_digest") == Some(digest.as_str()))
    {
        true => Ok(None),
        false => {
            let why = "it is not what the ledger has, or the ledger has no entry of it";
            says_unless_closed(db, action, row.at_ms, why)
        }
    }
}

fn opt_in(db: &mut Db, id: &str) -> Untold {
    let row = opt_ins::find(db, id)?.ok_or(Fault::OptInUnknown)?;
    let mut of_it = |action| -> Result<Vec<EntryRead>, Failure> {
        let mut found = about(db, &row.member_id, action)?;
        found.retain(|entry| entry.is_under(id) == CommitmentOpens::Yes);
        Ok(found)
    };
    let (recorded, revoked) = (of_it(Action::OptInRecorded)?, of_it(Action::OptInRevoked)?);
    match (recorded.first(), row.revoked_ms, revoked.is_empty()) {
        (None, ..) => {
            let why = "the ledger has no entry that it was recorded";
            says_unless_closed(db, Action::OptInRecorded, row.recorded_ms, why)
        }
        (Some(entry), ..) if entry.text("/partner") != Some(row.partner_id.as_str()) => {
            says("its partner is not the one of its entry")
        }
        (_, Some(at_ms), true) => {
            let why = "it is revoked, and the ledger has no entry of that";
            says_unless_closed(db, Action::OptInRevoked, at_ms, why)
        }
        (_, None, false) => says("the ledger says that it was revoked, and it is not"),
        _ => Ok(None),
    }
}

fn exchange(db: &mut Db, id: &str) -> Untold {
    let row = exchanges::find(db, id)?.ok_or(Fault::ExchangeUnknown)?;
    if entries::last_of_exchange(db, id, Action::ExchangeStarted.code())?.is_none() {
        return says("the ledger has no entry that it was started");
    }
    // What it came to is the control that rebuilds it.
    match exchanges::ask_of(db, &row.id)? {
        None => says("what it asks is gone"),
        Some(ask) if opt_ins::find(db, &ask.opt_in_id)?.is_none() => says("its opt-in is gone"),
        Some(_) => Ok(None),
    }
}

fn bulk_job(db: &mut Db, id: &str) -> Untold {
    let row = bulk::find(db, id)?;
    let begun = about(db, id, Action::BulkBegun)?;
    match (row, begun.first()) {
        // It went since it was listed.
        (None, _) => Ok(None),
        (Some(row), None) => {
            let why = "the ledger has no entry that it began";
            says_unless_closed(db, Action::BulkBegun, row.created_ms, why)
        }
        (Some(row), Some(entry)) if entry.text("/partner") != Some(row.partner_id.as_str()) => {
            says("its partner is not the one of its entry")
        }
        _ => Ok(None),
    }
}

fn acknowledgement(db: &mut Db, entry_id: &str) -> Untold {
    let Some(job) = control_rows::job_acknowledged_by(db, entry_id)? else {
        return Ok(None);
    };
    let entry = match control_rows::entry(db, entry_id)? {
        Some((row, _)) => EntryRead::of(row)?,
        None => return says("the entry that it names is gone"),
    };
    match entry.is(Action::BulkAcknowledged) && entry.is_about(&job) != CommitmentOpens::No {
        true => Ok(None),
        false => says("the entry that it names is of something else"),
    }
}

fn partner(db: &mut Db, id: &str) -> Untold {
    let row = partners::by_id(db, id)?.ok_or(Fault::PartnerUnknown)?;
    if about(db, id, Action::PartnerAdded)?.is_empty() {
        let why = "the ledger has no entry that it was added";
        if let Some(why) = says_unless_closed(db, Action::PartnerAdded, row.created_ms, why)? {
            return Ok(Some(why));
        }
    }
    let mut last: Option<EntryRead> = None;
    for action in [Action::PartnerSuspended, Action::PartnerResumed] {
        let newest = about(db, id, action)?.pop();
        let is_newer = |one: &EntryRead| last.as_ref().is_none_or(|last| last.row.id < one.row.id);
        if let Some(newest) = newest.filter(is_newer) {
            last = Some(newest);
        }
    }
    let is_suspended = last.is_some_and(|entry| entry.is(Action::PartnerSuspended));
    if row.is_active() != is_suspended {
        return Ok(None);
    }
    let act = match row.is_active() {
        true => Action::PartnerResumed,
        false => Action::PartnerSuspended,
    };
    match control_rows::was_closed(db, act.code(), row.created_ms, row.updated_ms)? {
        true => Ok(None),
        false => says("its status is not what the ledger says"),
    }
}

fn policy_version(db: &mut Db, id: &str) -> Untold {
    let row = policies::find(db, id)?.ok_or(Fault::PolicyUnknown)?;
    if hex(&sha256(row.body.as_bytes())) != row.id {
        return says("its text is not the one of its digest");
    }
    for action in [
        Action::PolicyImported,
        Action::PolicyActivated,
        Action::PolicyShadowStarted,
    ] {
        let (code, at_ms) = (action.code(), row.added_ms);
        if !about(db, id, action)?.is_empty() || control_rows::was_closed(db, code, at_ms, at_ms)? {
            return Ok(None);
        }
    }
    match policy_kinds::ships(&row.kind, &row.name) {
        true => Ok(None),
        false => says("the ledger has no entry that it was imported or activated"),
    }
}
