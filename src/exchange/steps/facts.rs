//! What a step is given: everything that the store knows of the exchange, read right before the step. Plain values.

use super::super::permit::{CallTerms, PermitTerms};
use super::super::phase::{AskedFor, CoverKind};
use crate::store::partners::PartnerRow;

/// The facts of one exchange for one attempt of one step.
#[derive(Clone, Debug)]
pub struct ExchangeFacts {
    /// Id of the exchange.
    pub exchange_id: String,
    /// The partner's registration, as it is now.
    pub partner: PartnerRow,
    /// Id of our Patient (`Patient/<id>` without the type). The record that comes belongs to this member.
    pub member_id: String,
    /// The member's coverage at the partner, as the member told us; becomes CoverageToMatch.
    pub coverage: OtherCoverage,
    /// Id of our own Coverage of the member; becomes CoverageToLink. `None` when the store holds none.
    pub own_coverage_id: Option<String>,
    /// The member's opt-in; becomes the Consent of the request.
    pub opt_in: OptInFacts,
    /// Former or concurrent payer.
    pub cover: CoverKind,
    /// Why the record is asked for.
    pub asked_for: AskedFor,
    /// Sent as `X-Correlation-Id` with every call of this exchange.
    pub correlation_id: String,
    /// Sent as `Idempotency-Key`; the same for all transport attempts of this step in this round, also after a crash or a restore.
    pub idempotency_key: String,
    /// The round of the step, from 1. A new round is a new question; attempts within a round repeat the same one.
    pub round: u32,
    /// The attempt in this round, from 1.
    pub attempt: u32,
    /// Ask only for what changed since then (`_since`, UTC milliseconds); `None` for the whole record.
    pub since_ms: Option<i64>,
    /// As whom the partner knows the member. `Some` after `$member-match` succeeded.
    pub matched: Option<MatchedAs>,
    /// What is still to be fetched; empty when all of it is. Only for [`super::StepName::Retrieve`] after a partial retrieval.
    pub missing: Vec<MissingPart>,
    /// What an earlier attempt of this step left behind. `None` for the first.
    pub resume: Option<Resume>,
    /// The FHIR base URL of the partner's registration, for a step that calls it.
    pub asked_at: Option<String>,
    /// When the automatic part has to be over, UTC milliseconds.
    pub deadline_ms: i64,
    /// When the exchange was accepted, UTC milliseconds; the same for all attempts.
    pub begun_ms: i64,
}

impl ExchangeFacts {
    /// What must permit the step.
    pub fn terms(&self) -> CallTerms {
        CallTerms {
            terms: PermitTerms {
                opt_in_id: self.opt_in.id.clone(),
                member_id: self.member_id.clone(),
                partner_id: self.partner.id.clone(),
            },
            asked_at: self.asked_at.clone(),
        }
    }
}

/// The member's coverage at the other payer. Never logged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OtherCoverage {
    /// The number on the card there (member id).
    pub member_number: String,
    /// Subscriber number, where it differs.
    pub subscriber_number: Option<String>,
    /// Group number.
    pub group_number: Option<String>,
    /// Plan name or number.
    pub plan: Option<String>,
    /// Namespace of the member number, where it is known.
    pub number_system: Option<String>,
    /// First day, `YYYY-MM-DD`.
    pub begins: Option<String>,
    /// Last day, `YYYY-MM-DD`.
    pub ends: Option<String>,
}

/// The member's opt-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptInFacts {
    /// Its id here.
    pub id: String,
    /// First instant, UTC milliseconds.
    pub from_ms: i64,
    /// Last instant, UTC milliseconds; `None` when it has no end.
    pub to_ms: Option<i64>,
    /// HRex policy: `regular` or `sensitive`.
    pub policy: String,
    /// Who attested it.
    pub attested_by: String,
    /// When, UTC milliseconds.
    pub attested_ms: i64,
    /// How it was given, such as `portal`, `paper` or `phone`.
    pub attested_how: String,
}

/// As whom the partner knows the member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatchedAs {
    /// Id of the Patient there, if the partner told it.
    pub patient_id: Option<String>,
    /// Namespace of the member identifier.
    pub identifier_system: Option<String>,
    /// The member identifier.
    pub identifier: Option<String>,
}

/// What an earlier attempt of a step left behind, in the session's own words; at most 4,096 bytes and no member data.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Resume(pub String);

/// Something that the partner did not give.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MissingPart {
    /// Resource type, or `*` when it is not known.
    pub resource_type: String,
    /// How many are missing, when the partner told a total.
    pub count: Option<u64>,
    /// The first page or file that did not come, counted from 1.
    pub page: Option<u64>,
    /// What the session needs in order to fetch it; no member data.
    pub resume: Option<Resume>,
    /// Why the partner did not give it: the code of a fault, if it said so.
    pub reason: Option<String>,
}
