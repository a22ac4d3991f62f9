//! What happened between two payers, made up by a seed: a partner that asks, is matched or refused, and reads; and an exchange of ours.
//!
//! The entries are those that the server writes of the same events, with commitments that open. Nothing here comes from a clock or from the
//! system's randomness, and nothing is about a person: members are named by their ids.

use super::rows::{FillBatch, FilledConsent, FilledDecision, FilledGrant, FilledMember};
use crate::audit::{Action, Actor, ConsentNote, EntryOutcome, LedgerEvent, Object, RestCall};
use crate::consent;
use crate::dev::PARTNER_ID;
use crate::error::Fault;
use crate::ids::Ids;
use crate::jobs::Chance;
use crate::release;
use crate::secret::{hex, sha256};
use crate::telemetry::Correlation;

/// Most entries of one story.
pub(super) const LONGEST: u64 = 14;
/// Most disclosures after a match.
const READS: u64 = 5;
/// How long a consent of a story holds, milliseconds.
const CONSENT_MS: i64 = 365 * 86_400_000;
/// The scope of these consents.
const SCOPE: &str = "regular";

/// Tells stories, one after another. The same seed and members give the same ones.
pub(super) struct StoryTeller {
    pub(super) chance: Chance,
    pub(super) ids: Ids,
    pub(super) members: Vec<FilledMember>,
    /// Version of the matching policy.
    pub(super) matching: String,
    /// The time of what happens next, UTC microseconds.
    pub(super) now_us: i64,
    /// Stories so far.
    pub(super) told: u64,
}

impl StoryTeller {
    pub(super) fn below(&self, bound: u64) -> u64 {
        (self.chance.unit() * bound as f64) as u64
    }

    pub(super) fn ms(&self) -> i64 {
        self.now_us / 1000
    }

    pub(super) fn new_id(&self) -> String {
        self.ids.new_id(self.ms())
    }

    /// Lets up to so many milliseconds pass.
    pub(super) fn pass(&mut self, most_ms: u64) {
        self.now_us += 1_000 + i64::try_from(self.below(most_ms * 1_000)).unwrap_or(0);
    }

    pub(super) fn digest(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes[..16].copy_from_slice(&self.chance.token());
        bytes[16..].copy_from_slice(&self.chance.token());
        bytes
    }

    pub(super) fn member(&self) -> FilledMember {
        let at = usize::try_from(self.below(self.members.len() as u64)).unwrap_or(0);
        self.members[at].clone()
    }

    /// Writes the entry of what happens now, and returns its id.
    pub(super) fn tell(&self, event: &LedgerEvent, batch: &mut FillBatch) -> String {
        let id = self.new_id();
        batch.entry(event, &id, self.now_us, self.digest());
        id
    }

    /// The ids of a request under this correlation id.
    pub(super) fn request(&self, correlation_id: &str) -> Correlation {
        Correlation {
            request_id: self.new_id(),
            correlation_id: correlation_id.to_owned(),
            traceparent: String::new(),
        }
    }

    /// The partner with a token of its own.
    fn partner(&self) -> Actor {
        Actor {
            kind: "partner",
            id: Some(PARTNER_ID.to_owned()),
            client_id: Some(PARTNER_ID.to_owned()),
            certificate_sha256: Some(sha256(PARTNER_ID.as_bytes())),
            jti_sha256: Some(self.digest()),
        }
    }

    /// A token, and nothing after it: one entry.
    pub(super) fn token(&mut self, batch: &mut FillBatch) {
        let correlation = self.request(&self.new_id());
        let mut issued = LedgerEvent::new(Action::TokenIssued, self.partner(), correlation);
        issued.outcome.http = Some(200);
        self.tell(&issued, batch);
        self.pass(50);
        self.told += 1;
    }

    /// A partner gets a token, asks about a member, and reads the record when it is matched.
    pub(super) fn inbound(&mut self, batch: &mut FillBatch) {
        let (member, actor) = (self.member(), self.partner());
        // Some partners send a case number of theirs with all requests of a case.
        let case = match self.below(2) {
            0 => format!("case-{}-{}", self.told, hex(&self.chance.token()[..4])),
            _ => self.new_id(),
        };
        let mut issued = LedgerEvent::new(Action::TokenIssued, actor.clone(), self.request(&case));
        issued.outcome.http = Some(200);
        self.tell(&issued, batch);
        self.pass(400);
        let consent = self.matched(&case, &actor, &member, batch);
        if let Some(consent) = consent {
            for _ in 0..=self.below(READS) {
                self.pass(60_000);
                self.disclosed(&case, &actor, &member, &consent, batch);
            }
        }
        self.told += 1;
    }

    /// The match. Returns the note of its consent, unless it is refused.
    fn matched(
        &mut self,
        case: &str,
        actor: &Actor,
        member: &FilledMember,
        batch: &mut FillBatch,
    ) -> Option<ConsentNote> {
        let asked = self.request(case);
        let mut begun = LedgerEvent::new(Action::MatchBegun, actor.clone(), asked.clone());
        begun.request_digest = Some(self.digest());
        self.tell(&begun, batch);
        self.pass(8);
        let mut judged = LedgerEvent {
            action: Action::MatchMatched,
            policy_version: Some(self.matching.clone()),
            tables: vec![("consent", consent::table_digest())],
            response_digest: Some(self.digest()),
            ..begun
        };
        let mut row = FilledDecision {
            id: self.new_id(),
            partner_id: PARTNER_ID.to_owned(),
            correlation_id: asked.correlation_id.clone(),
            request_id: asked.request_id.clone(),
            kind: "member-match".to_owned(),
            outcome: "none".to_owned(),
            reason: None,
            patient_id: None,
            consent_id: None,
            grant_id: None,
            policy_version: self.matching.clone(),
            detail: detail(false).to_owned(),
            created_ms: self.ms(),
        };
        if self.below(20) == 0 {
            let fault = Fault::NoUniqueMember.row();
            judged.action = Action::MatchRefused;
            judged.outcome = EntryOutcome {
                class: "refused",
                http: Some(fault.http),
                reason: Some(fault.code),
            };
            row.reason = Some(fault.code.to_owned());
            judged.decided = Some(row.detail.clone());
            self.tell(&judged, batch);
            batch.decisions.push(row);
            return None;
        }
        let (consent_id, grant_id) = (self.new_id(), self.new_id());
        let note = ConsentNote {
            id: consent_id.clone(),
            decision: "permit",
            rule: SCOPE,
        };
        judged.object = Some(of_member(&member.patient_id));
        judged.outcome.http = Some(200);
        judged.consent = Some(note.clone());
        judged.decided = Some(detail(true).to_owned());
        self.tell(&judged, batch);
        let mut recorded = LedgerEvent::new(Action::ConsentRecorded, actor.clone(), asked);
        recorded.object = Some(Object {
            kind: "Consent",
            id: consent_id.clone(),
        });
        self.tell(&recorded, batch);
        self.granted(member, &consent_id, &grant_id, &row.id, batch);
        row.outcome = "matched".to_owned();
        row.patient_id = Some(member.patient_id.clone());
        row.consent_id = Some(consent_id);
        row.grant_id = Some(grant_id);
        row.detail = detail(true).to_owned();
        batch.decisions.push(row);
        Some(note)
    }

    /// The consent of a match, and the grant under it.
    fn granted(
        &self,
        member: &FilledMember,
        consent_id: &str,
        grant_id: &str,
        decision_id: &str,
        batch: &mut FillBatch,
    ) {
        let (from_ms, until_ms) = (self.ms() - CONSENT_MS / 2, self.ms() + CONSENT_MS / 2);
        batch.consents.push(FilledConsent {
            id: consent_id.to_owned(),
            partner_id: PARTNER_ID.to_owned(),
            patient_id: member.patient_id.clone(),
            digest: self.digest().to_vec(),
            policy: SCOPE.to_owned(),
            period_from_ms: from_ms,
            period_to_ms: until_ms,
            body: br#"{"resourceType":"Consent","status":"active"}"#.to_vec(),
            recorded_ms: self.ms(),
        });
        batch.grants.push(FilledGrant {
            id: grant_id.to_owned(),
            partner_id: PARTNER_ID.to_owned(),
            compartment: member.compartment,
            patient_id: member.patient_id.clone(),
            consent_id: consent_id.to_owned(),
            decision_id: decision_id.to_owned(),
            sensitive: 0,
            valid_from_ms: from_ms,
            valid_until_ms: until_ms,
            created_ms: self.ms(),
            renewed_ms: self.ms(),
        });
    }

    /// One disclosure, with its end.
    fn disclosed(
        &mut self,
        case: &str,
        actor: &Actor,
        member: &FilledMember,
        consent: &ConsentNote,
        batch: &mut FillBatch,
    ) {
        let mut begun = LedgerEvent::new(Action::DisclosureBegun, actor.clone(), self.request(case));
        let (interaction, counts): (_, &[(&str, u64)]) = match self.below(4) {
            0 => (
                RestCall::Operation,
                &[("Patient", 1), ("Coverage", 2), ("Observation", 40)],
            ),
            1 => (RestCall::Search, &[("Observation", 12)]),
            2 => (RestCall::Search, &[("ExplanationOfBenefit", 7)]),
            _ => (RestCall::Read, &[("Patient", 1)]),
        };
        begun.interaction = Some(interaction);
        begun.object = Some(of_member(&member.patient_id));
        begun.consent = Some(consent.clone());
        begun.policy_version = Some(release::POLICY.to_owned());
        begun.tables = vec![("release", release::policy_digest())];
        let id = self.tell(&begun, batch);
        self.pass(200);
        let resources: u64 = counts.iter().map(|(_, number)| number).sum();
        let completed = LedgerEvent {
            action: Action::DisclosureCompleted,
            outcome: EntryOutcome {
                class: "ok",
                http: Some(200),
                reason: None,
            },
            bytes: Some(resources * (900 + self.below(800))),
            counts: counts
                .iter()
                .map(|(name, number)| ((*name).to_owned(), *number))
                .collect(),
            begun: Some(id),
            ..begun
        };
        self.tell(&completed, batch);
    }
}

pub(super) fn of_member(patient_id: &str) -> Object {
    Object {
        kind: "Patient",
        id: patient_id.to_owned(),
    }
}

/// The detail of a decision, in the form of `member_match`, with what an explanation reads.
fn detail(is_matched: bool) -> &'static str {
    match is_matched {
        true => {
            r#"{"outcome":"match","guard":null,"point":"safe","margin":null,"thresholds":{"accept":20.0,"thin":24.0,"review":12.0,"margin":8.0,"needed":20.0,"prior":-13.0},"candidates":[{"fields":{"family":"exact","given":"exact","birth_date":"exact","gender":"exact"},"weights":{"family":9.1,"given":7.4,"birth_date":14.2,"gender":1.0},"individual":31.7,"household":0.0,"total":31.7,"rule":null}],"candidates_count":1,"consent":{"decision":"permit","rule":"regular"},"dialect":"1.1"}"#
        }
        false => {
            r#"{"outcome":"none","guard":null,"point":"safe","margin":null,"thresholds":{"accept":20.0,"thin":24.0,"review":12.0,"margin":8.0,"needed":null,"prior":-13.0},"candidates":[],"candidates_count":0,"consent":{"decision":"permit","rule":"regular"},"dialect":"1.1"}"#
        }
    }
}
