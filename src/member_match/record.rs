//! The rows of one member match: decision, consent, grant and ledger entries, built before the transaction is opened.
//!
//! A decision holds levels and rule names, never a value of the request or of a record.

use super::detail;
use super::identify::Judgement;
use crate::audit::{Action, ConsentNote, Entry, Object, Outcome};
use crate::consent::{self, Scope, Terms};
use crate::context::Context;
use crate::error::Fault;
use crate::secret::{random, sha256};
use crate::security::Caller;
use crate::store::matching::{DecisionRow, Found, GrantRow, LedgerRow, NAMED, Record};
use std::sync::OnceLock;

/// Candidates whose comparison is kept with a decision.
pub(super) const KEPT_CANDIDATES: usize = NAMED;

/// The word of a decision that was taken by the consent alone.
pub(super) const CONSENT_FIRST: &str = "consent-first";

/// One request, from its arrival on.
pub(super) struct Arrival<'a> {
    ctx: &'a Context,
    caller: &'a Caller,
    digest: [u8; 32],
    at_us: i64,
    /// Id of the entry of the arrival.
    begun: String,
    /// When it was decided, and the ids of the entries that tell so, in their order.
    decided: OnceLock<(i64, [String; 3])>,
}

/// What was found out about a request.
pub(super) struct Judged<'a> {
    pub identity: &'a Judgement,
    /// The word of the decision row.
    pub outcome: &'static str,
    /// The scope permitted, or the rule that refuses.
    pub consent: Result<&'static str, &'static str>,
    /// The member, when one was matched.
    pub patient: Option<&'a str>,
    /// The review of this question, when there is one: id and state.
    pub review: Option<(&'a str, &'a str)>,
}

/// The consent of a request, as it is told from others, and its bytes when it is to be kept.
pub(super) struct Received {
    pub digest: Vec<u8>,
    pub kept: Vec<u8>,
}

impl<'a> Arrival<'a> {
    pub(super) fn new(ctx: &'a Context, caller: &'a Caller, body: &[u8]) -> Self {
        let at_us = ctx.clock.now_us();
        Arrival {
            ctx,
            caller,
            digest: sha256(body),
            at_us,
            begun: ctx.ids.new_id(at_us / 1000),
            decided: OnceLock::new(),
        }
    }

    pub(super) fn now_ms(&self) -> i64 {
        self.at_us / 1000
    }

    /// The row of an entry that follows the two of a match.
    pub(super) fn third(&self, entry: &Entry) -> LedgerRow {
        self.row(entry, 2)
    }

    pub(super) fn caller(&self) -> &'a Caller {
        self.caller
    }

    pub(super) fn partner_id(&self) -> &str {
        &self.caller.partner.id
    }

    pub(super) fn correlation_id(&self) -> &str {
        &self.caller.correlation.correlation_id
    }

    /// An entry with who asked and what, and no outcome yet.
    pub(super) fn bare(&self, action: Action) -> Entry {
        self.entry(action)
    }

    /// The entry of an answer that was given before and is given again.
    pub(super) fn replayed(&self, status: u16, body: &[u8]) -> LedgerRow {
        let mut entry = self.entry(Action::MatchBegun);
        entry.outcome = Outcome {
            class: "ok",
            http: Some(status),
            reason: Some("replayed"),
        };
        entry.response_digest = Some(sha256(body));
        self.row(&entry, 0)
    }

    /// The entry of a refusal that needed no decision.
    pub(super) fn refused(&self, fault: Fault, body: &[u8], judged: Option<&Judged<'_>>) -> LedgerRow {
        let mut entry = self.refused_entry(fault, body);
        if let Some(judged) = judged {
            entry.object = judged.patient.map(|id| Object {
                kind: "Patient",
                id: id.to_owned(),
            });
            entry.policy_version = Some(judged.identity.rules.version.clone());
        }
        self.row(&entry, 1)
    }

    fn refused_entry(&self, fault: Fault, body: &[u8]) -> Entry {
        let mut entry = self.entry(Action::MatchRefused);
        let row = fault.row();
        entry.outcome = Outcome {
            class: "refused",
            http: Some(row.http),
            reason: Some(row.code),
        };
        entry.response_digest = Some(sha256(body));
        entry
    }

    /// The rows of a refusal after both judgements.
    pub(super) fn turned_down(&self, judged: &Judged<'_>, fault: Fault, body: &[u8]) -> Record {
        let decision = DecisionRow {
            reason: Some(fault.row().code),
            ..self.decision(judged)
        };
        let ledger = vec![
            self.row(&self.entry(Action::MatchBegun), 0),
            self.refused(fault, body, Some(judged)),
        ];
        Record {
            decision: Some(decision),
            ledger,
            ..Record::default()
        }
    }

    /// The rows of a refusal for the consent alone, answered with `body`: nobody was looked up.
    pub(super) fn without_look_up(&self, rule: &consent::Rule, body: &[u8]) -> Record {
        let decision = DecisionRow {
            outcome: CONSENT_FIRST,
            reason: Some(rule.fault.code()),
            policy_version: consent::TABLE_VERSION.to_owned(),
            detail: detail::without_look_up(rule.name, &self.caller.partner.dialect.hrex),
            ..self.decision_row()
        };
        let mut refused = self.refused_entry(rule.fault, body);
        refused.policy_version = Some(consent::TABLE_VERSION.to_owned());
        let ledger = vec![self.row(&self.entry(Action::MatchBegun), 0), self.row(&refused, 1)];
        Record {
            decision: Some(decision),
            ledger,
            ..Record::default()
        }
    }

    /// The rows of a success, answered with `body`.
    pub(super) fn granted(
        &self,
        judged: &Judged<'_>,
        member: &Found,
        terms: Terms,
        received: Received,
        body: &[u8],
    ) -> Record {
        let now_ms = self.now_ms();
        let known = member.known.as_ref();
        let consent_id = known.map_or_else(|| self.ctx.ids.new_id(now_ms), |known| known.consent_id.clone());
        let renewed = known.and_then(|known| known.grant_id.clone());
        let grant = GrantRow {
            renews: renewed.is_some(),
            grant_id: renewed.unwrap_or_else(|| self.ctx.ids.new_id(now_ms)),
            consent_known: known.is_some(),
            consent_id,
            digest: received.digest,
            policy: terms.scope.code(),
            body: received.kept,
            compartment: member.compartment,
            sensitive: terms.scope == Scope::Sensitive,
            from_ms: terms.from_ms,
            until_ms: terms.until_ms,
        };
        let mut matched = self.entry(Action::MatchMatched);
        matched.object = Some(Object {
            kind: "Patient",
            id: member.patient_id.clone(),
        });
        matched.outcome = Outcome {
            class: "ok",
            http: Some(200),
            reason: None,
        };
        matched.consent = Some(ConsentNote {
            id: grant.consent_id.clone(),
            decision: "permit",
            rule: terms.scope.code(),
        });
        matched.policy_version = Some(judged.identity.rules.version.clone());
        matched.response_digest = Some(sha256(body));
        let decision = DecisionRow {
            consent_id: Some(grant.consent_id.clone()),
            grant_id: Some(grant.grant_id.clone()),
            ..self.decision(judged)
        };
        let recorded = known.is_none().then(|| self.recorded(&grant));
        let ledger = vec![self.row(&self.entry(Action::MatchBegun), 0), self.row(&matched, 1)];
        Record {
            decision: Some(decision),
            grant: Some(grant),
            ledger,
            recorded,
            ..Record::default()
        }
    }

    /// The row of the entry that a consent is on record from now on.
    fn recorded(&self, grant: &GrantRow) -> LedgerRow {
        let mut entry = Entry::new(
            Action::ConsentRecorded,
            self.caller.actor(),
            self.caller.correlation.clone(),
        );
        entry.object = Some(Object {
            kind: "Consent",
            id: grant.consent_id.clone(),
        });
        self.row(&entry, 3)
    }

    fn decision(&self, judged: &Judged<'_>) -> DecisionRow {
        let dialect = &self.caller.partner.dialect.hrex;
        let detail = judged
            .identity
            .detail_after(&judged.identity.rules, judged.consent, judged.review, dialect);
        DecisionRow {
            outcome: judged.outcome,
            patient_id: judged.patient.map(str::to_owned),
            policy_version: judged.identity.rules.version.clone(),
            detail,
            ..self.decision_row()
        }
    }

    /// A decision of this request with nothing decided yet.
    fn decision_row(&self) -> DecisionRow {
        DecisionRow {
            id: self.ctx.ids.new_id(self.now_ms()),
            partner_id: self.caller.partner.id.clone(),
            correlation_id: self.caller.correlation.correlation_id.clone(),
            request_id: self.caller.correlation.request_id.clone(),
            outcome: "",
            reason: None,
            patient_id: None,
            consent_id: None,
            grant_id: None,
            policy_version: String::new(),
            detail: String::new(),
            created_ms: self.now_ms(),
        }
    }

    fn entry(&self, action: Action) -> Entry {
        let mut entry = Entry::new(action, self.caller.actor(), self.caller.correlation.clone());
        entry.request_digest = Some(self.digest);
        entry
    }

    fn row(&self, entry: &Entry, place: usize) -> LedgerRow {
        let salt: [u8; 32] = random();
        let (id, at_us) = match place.checked_sub(1) {
            None => (self.begun.clone(), self.at_us),
            Some(place) => {
                let (decided_us, ids) = self.decided.get_or_init(|| {
                    let decided_us = self.ctx.clock.now_us().max(self.at_us + 1);
                    (decided_us, [0; 3].map(|_| self.ctx.ids.new_id(decided_us / 1000)))
                });
                (ids[place].clone(), *decided_us)
            }
        };
        LedgerRow {
            id,
            at_us,
            action: entry.action.code(),
            partner_id: entry.partner.clone(),
            correlation_id: entry.correlation.correlation_id.clone(),
            request_id: entry.correlation.own_request_id().map(str::to_owned),
            entry: entry.bytes(at_us, &salt),
            subject: entry.object.as_ref().map(|object| object.id.clone()),
            salt: salt.to_vec(),
        }
    }
}
