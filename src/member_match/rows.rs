//! Builds the rows of a decision: the decision itself, its consent, its grant and its ledger entries.
//!
//! A decision row holds comparison levels and rule names, never a value of the request or of a record.

use super::arrival::{Arrival, EntryPlace};
use super::decide::MatchDecision;
use super::detail;
use super::identify::Judgement;
use super::resolve::Resolution;
use crate::audit::{Action, ConsentNote, LedgerEvent, Object};
use crate::consent::{self, ConsentScope, ConsentTerms};
use crate::error::Fault;
use crate::store::matching::{DecisionRow, GrantRow, MEMBER_MATCH, MatchRecord, PossibleMember};

/// The outcome code of a decision by the consent alone.
const CONSENT_FIRST: &str = "consent-first";

/// What was found out about a request before the decision.
pub(super) struct Findings<'a> {
    pub identified: &'a Judgement,
    pub resolution: &'a Resolution,
    /// What the consent permits, or the rule that it breaks.
    pub consent: Result<ConsentTerms, &'static str>,
}

/// A granted consent: the digest that distinguishes it from others, and its bytes when they are to be stored.
pub(super) struct Received {
    pub digest: Vec<u8>,
    pub kept: Vec<u8>,
}

/// The rows of a refusal after match and consent were judged. They name the member only when one was matched and the consent could not be
/// honored.
pub(super) fn refused(
    arrival: &Arrival<'_>,
    findings: &Findings<'_>,
    decision: &MatchDecision,
    fault: Fault,
    body: &[u8],
) -> MatchRecord {
    let (patient, consent) = match decision {
        MatchDecision::NotHonoured(rule) => (findings.resolution.member.as_ref(), Err(*rule)),
        _ => (None, findings.consent.map(|terms| terms.scope.code())),
    };
    let mut entry = arrival.refused(fault, body);
    entry.object = patient.map(of_member);
    entry.policy_version = Some(findings.identified.rules.version.clone());
    entry.tables.push(("consent", consent::table_digest()));
    let row = DecisionRow {
        reason: Some(fault.row().code),
        patient_id: patient.map(|member| member.patient_id.clone()),
        ..judged(arrival, findings, decision, consent)
    };
    entry.decided = Some(row.detail.clone());
    MatchRecord {
        decision: Some(row),
        ledger: vec![arrival.begun(), arrival.row(&entry, EntryPlace::Decided)],
        ..MatchRecord::default()
    }
}

/// The rows of a refusal because of the consent alone, answered with `body`; no member was looked up.
pub(super) fn without_look_up(arrival: &Arrival<'_>, rule: &consent::ConsentRule, body: &[u8]) -> MatchRecord {
    let decision = DecisionRow {
        outcome: CONSENT_FIRST,
        reason: Some(rule.fault.code()),
        policy_version: consent::TABLE_VERSION.to_owned(),
        detail: detail::without_look_up(rule.name, &arrival.caller.partner.dialect.hrex),
        ..blank(arrival)
    };
    let mut entry = arrival.refused(rule.fault, body);
    entry.policy_version = Some(consent::TABLE_VERSION.to_owned());
    entry.tables.push(("consent", consent::table_digest()));
    entry.decided = Some(decision.detail.clone());
    MatchRecord {
        decision: Some(decision),
        ledger: vec![arrival.begun(), arrival.row(&entry, EntryPlace::Decided)],
        ..MatchRecord::default()
    }
}

/// The rows of a grant, answered with `body`.
pub(super) fn granted(
    arrival: &Arrival<'_>,
    findings: &Findings<'_>,
    decision: &MatchDecision,
    (member, terms): (&PossibleMember, ConsentTerms),
    received: Received,
    body: &[u8],
) -> MatchRecord {
    let (ctx, now_ms) = (arrival.ctx, arrival.now_ms());
    let known = member.known.as_ref();
    let consent_id = known.map_or_else(|| ctx.ids.new_id(now_ms), |known| known.consent_id.clone());
    let renewed = known.and_then(|known| known.grant_id.clone());
    let grant = GrantRow {
        renews: renewed.is_some(),
        grant_id: renewed.unwrap_or_else(|| ctx.ids.new_id(now_ms)),
        consent_known: known.is_some(),
        consent_id,
        patient_id: member.patient_id.clone(),
        digest: received.digest,
        policy: terms.scope.code(),
        body: received.kept,
        compartment: member.compartment,
        row_version: member.row_version.clone(),
        sensitive: terms.scope == ConsentScope::Sensitive,
        from_ms: terms.from_ms,
        until_ms: terms.until_ms,
    };
    let version = &findings.identified.rules.version;
    let mut matched = arrival.entry(Action::MatchMatched);
    matched.object = Some(of_member(member));
    matched.outcome.http = Some(200);
    matched.consent = Some(ConsentNote {
        id: grant.consent_id.clone(),
        decision: "permit",
        rule: terms.scope.code(),
    });
    matched.policy_version = Some(version.clone());
    matched.tables = vec![("consent", consent::table_digest())];
    matched.response_digest = Some(crate::secret::sha256(body));
    let row = DecisionRow {
        patient_id: Some(member.patient_id.clone()),
        consent_id: Some(grant.consent_id.clone()),
        grant_id: Some(grant.grant_id.clone()),
        ..judged(arrival, findings, decision, Ok(terms.scope.code()))
    };
    matched.decided = Some(row.detail.clone());
    let recorded = known.is_none().then(|| {
        let mut entry = LedgerEvent::new(
            Action::ConsentRecorded,
            arrival.caller.actor(),
            arrival.caller.correlation.clone(),
        );
        entry.object = Some(Object {
            kind: "Consent",
            id: grant.consent_id.clone(),
        });
        arrival.row(&entry, EntryPlace::Recorded)
    });
    MatchRecord {
        decision: Some(row),
        grant: Some(grant),
        ledger: vec![arrival.begun(), arrival.row(&matched, EntryPlace::Decided)],
        recorded,
        ..MatchRecord::default()
    }
}

fn of_member(member: &PossibleMember) -> Object {
    Object {
        kind: "Patient",
        id: member.patient_id.clone(),
    }
}

/// The row of a decision after match and consent were judged. `consent` is the scope that is permitted, or the rule that the consent
/// breaks.
fn judged(
    arrival: &Arrival<'_>,
    findings: &Findings<'_>,
    decision: &MatchDecision,
    consent: Result<&'static str, &'static str>,
) -> DecisionRow {
    let (rules, dialect) = (&findings.identified.rules, &arrival.caller.partner.dialect.hrex);
    DecisionRow {
        outcome: decision.word(),
        policy_version: rules.version.clone(),
        detail: findings
            .identified
            .detail_after(rules, consent, findings.resolution.review(), dialect),
        ..blank(arrival)
    }
}

/// A decision row with the caller's ids and the time, and no decision yet.
fn blank(arrival: &Arrival<'_>) -> DecisionRow {
    let caller = arrival.caller;
    DecisionRow {
        id: arrival.ctx.ids.new_id(arrival.now_ms()),
        partner_id: caller.partner.id.clone(),
        correlation_id: caller.correlation.correlation_id.clone(),
        request_id: caller.correlation.request_id.clone(),
        kind: MEMBER_MATCH,
        outcome: "",
        reason: None,
        patient_id: None,
        consent_id: None,
        grant_id: None,
        policy_version: String::new(),
        detail: String::new(),
        created_ms: arrival.now_ms(),
    }
}
