//! A match that a partner asked for: its decision, consent and grant as rows, and what the ledger says of them.

use super::found::{CommitmentOpens, EntryRead};
use super::report::{ControlDefect, RebuiltState, RebuiltTimeline};
use crate::audit::Action;
use crate::clock::rfc3339_ms;
use crate::error::{Failure, Fault};
use crate::store::entries::{self, RequestIds};
use crate::store::ops_queries::{self, StoredDecision};
use crate::store::{Db, consents, control_rows};

/// Entries that one query reads.
const READ: i64 = 1_000;
/// The outcome of a decision that granted the member.
const MATCHED: &str = "matched";

/// The ids of the request that a decision answered.
pub(super) fn request_of(decision: &StoredDecision) -> RequestIds {
    RequestIds {
        correlation_id: decision.correlation_id.clone(),
        request_id: decision.request_id.clone(),
    }
}

/// All entries of a request, oldest first.
pub(super) fn entries_of(db: &mut Db, ids: &RequestIds) -> Result<Vec<EntryRead>, Failure> {
    let (mut found, mut after) = (Vec::new(), String::new());
    loop {
        let rows = entries::of_request(db, ids, &after, READ)?;
        let Some(last) = rows.last() else { return Ok(found) };
        after.clone_from(&last.id);
        found.extend(EntryRead::all(rows)?);
    }
}

/// Whether an entry tells a decision: a refusal without a policy version is of a request that was not judged.
pub(super) fn tells_decision(entry: &EntryRead) -> bool {
    entry.is(Action::MatchMatched) || entry.is(Action::MatchRefused) && entry.text("/policy_version").is_some()
}

/// What of a decision is not what an entry says of it; `None` when all of it is.
pub(super) fn difference(entry: &EntryRead, decision: &StoredDecision) -> Option<&'static str> {
    let is_matched = decision.outcome == MATCHED;
    // Who was matched, where the entry says it.
    let is_member = match decision.patient_id.as_deref() {
        Some(patient) => entry.is_about(patient) != CommitmentOpens::No,
        None => entry.text("/object/id_commit").is_none(),
    };
    let is_consent = match decision.consent_id.as_deref() {
        Some(consent) => entry.is_under(consent) != CommitmentOpens::No,
        None => entry.text("/consent/id_commit").is_none(),
    };
    // Entries of earlier versions do not commit to what was compared.
    let is_record = entry.text("/decision_commit").is_none()
        || entry.opens("decision", "/decision_commit", &decision.detail) != CommitmentOpens::No;
    [
        ("outcome", entry.is(Action::MatchMatched) == is_matched),
        (
            "reason",
            is_matched || entry.text("/outcome/reason") == decision.reason.as_deref(),
        ),
        ("partner", entry.text("/partner") == Some(decision.partner_id.as_str())),
        (
            "policy version",
            entry.text("/policy_version") == Some(decision.policy_version.as_str()),
        ),
        ("member", is_member),
        ("consent", is_consent),
        ("record", is_record),
    ]
    .into_iter()
    .find_map(|(what, is_same)| (!is_same).then_some(what))
}

/// What is wrong with a decision, seen from the entries of its request; `None` when the ledger says the same.
pub(super) fn untold(all: &[EntryRead], decision: &StoredDecision, decisions: usize) -> Option<String> {
    let told: Vec<&EntryRead> = all.iter().filter(|entry| tells_decision(entry)).collect();
    if !all.iter().any(|entry| entry.is(Action::MatchBegun)) {
        return Some("the ledger has no entry that its request came in".to_owned());
    }
    if told.len() < decisions {
        return Some("the ledger has fewer decisions of its request than the store".to_owned());
    }
    if told.iter().any(|entry| difference(entry, decision).is_none()) {
        return None;
    }
    Some(match told.as_slice() {
        // A request about one member: it is known which entry is the decision's.
        [only] => format!(
            "its {} is not what the entry {} says",
            difference(only, decision).unwrap_or("decision"),
            only.row.id
        ),
        _ => "the ledger has no such decision of its request".to_owned(),
    })
}

/// Rebuilds a match from the entries of its request, and says what its rows have otherwise. Consents of matches before `consents_before_ms` (UTC
/// milliseconds) may be gone.
pub(super) fn rebuild(
    db: &mut Db,
    id: &str,
    consents_before_ms: i64,
) -> Result<(RebuiltTimeline, Vec<ControlDefect>), Failure> {
    let decision = ops_queries::decision(db, id)?.ok_or(Fault::NotFound)?;
    let ids = request_of(&decision);
    let all = entries_of(db, &ids)?;
    let decisions = control_rows::decisions(db, &ids)?.len();
    let mut defects = Vec::new();
    if let Some(why) = untold(&all, &decision, decisions) {
        defects.push(ControlDefect {
            what: "decision",
            id: id.to_owned(),
            why,
        });
    }
    if let Some(why) = rights(db, &decision, consents_before_ms)? {
        defects.push(ControlDefect {
            what: "decision",
            id: id.to_owned(),
            why: why.to_owned(),
        });
    }
    // Of a request about many members, only what belongs to this one.
    let is_own = |entry: &&EntryRead| match tells_decision(entry) {
        true => difference(entry, &decision).is_none(),
        false => decisions == 1 || entry.is(Action::MatchBegun),
    };
    let states = all.iter().filter(is_own).map(|entry| RebuiltState {
        at: rfc3339_ms(entry.row.at_us / 1000),
        action: entry.row.action.clone(),
        state: match entry.text("/outcome/reason") {
            Some(reason) => format!("{} {reason}", entry.text("/outcome/class").unwrap_or("-")),
            None => entry.text("/outcome/class").unwrap_or("-").to_owned(),
        },
    });
    let timeline = RebuiltTimeline {
        what: "decision",
        id: id.to_owned(),
        states: states.take(if decisions == 1 { usize::MAX } else { 10 }).collect(),
    };
    Ok((timeline, defects))
}

/// What is wrong with consent and grant of a decision.
fn rights(db: &mut Db, decision: &StoredDecision, consents_before_ms: i64) -> Result<Option<&'static str>, Failure> {
    let (Some(consent_id), Some(grant_id)) = (&decision.consent_id, &decision.grant_id) else {
        return Ok((decision.outcome == MATCHED).then_some("it granted a member, and has no consent or no grant"));
    };
    let gone = |why: &'static str| Ok((decision.created_ms >= consents_before_ms).then_some(why));
    let Some(consent) = consents::find(db, consent_id)? else {
        return gone("its consent is gone");
    };
    let Some(grant) = consents::grant(db, grant_id)? else {
        return gone("its grant is gone");
    };
    let patient = decision.patient_id.as_deref();
    let is_same = consent.partner_id == decision.partner_id
        && grant.partner_id == decision.partner_id
        && grant.consent_id == consent.id
        && Some(consent.patient_id.as_str()) == patient
        && Some(grant.patient_id.as_str()) == patient;
    Ok((!is_same).then_some("its consent or its grant is of another member or partner"))
}
