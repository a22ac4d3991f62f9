//! What a step says when it is over. Plain values.

use super::facts::{MatchedAs, MissingPart, Resume};
use super::name::StepName;
use crate::error::Fault;
use crate::jobs::Write;
use std::collections::BTreeMap;

/// The end of one attempt of one step.
#[derive(Clone)]
pub struct StepReport {
    /// What happened.
    pub end: StepEnd,
    /// What is known of the last call to the partner.
    pub call: CallNotes,
    /// Rows that are committed together with the result of the step. They may run more than once. `None` when there are none.
    pub with: Option<Write>,
    /// Whether something came and is kept since the step began, however it ended.
    pub has_progress: bool,
}

impl StepReport {
    /// A report without notes of a call and without rows.
    pub fn of(end: StepEnd) -> StepReport {
        StepReport {
            end,
            call: CallNotes::default(),
            with: None,
            has_progress: false,
        }
    }
}

/// What is known of a call to the partner; for the record of the step. No member data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallNotes {
    /// HTTP status of the answer, when there was one.
    pub http_status: Option<u16>,
    /// The partner's own id of the call (`X-Request-Id`).
    pub partner_request_id: Option<String>,
    /// SHA-256 of what was sent.
    pub request_digest: Option<[u8; 32]>,
    /// SHA-256 of what came.
    pub response_digest: Option<[u8; 32]>,
    /// Bytes received.
    pub bytes: u64,
    /// The checkpoint of the partner's ledger that came with the answer; nobody has verified it.
    pub checkpoint: Option<String>,
}

/// What happened in one attempt of one step.
#[derive(Clone, Debug)]
pub enum StepEnd {
    /// The step is done.
    Done(StepGain),
    /// The step has come further and is not done: its turn was over. It goes on where it stopped.
    More,
    /// The connection or the partner's server failed: the same question is asked again, with the same key.
    Transport {
        /// How.
        failure: TransportFailure,
        /// How long the partner asked us to wait, milliseconds.
        retry_after_ms: Option<u64>,
        /// What the next attempt needs in order to go on from here.
        resume: Option<Resume>,
    },
    /// The partner understood and refused, or its answer means that asking again is of no use. Never repeated.
    Refused {
        /// Why.
        fault: Fault,
    },
    /// Something of this server failed, such as its store: the attempt is counted, and nothing is said of the partner.
    OwnTrouble {
        /// What.
        fault: Fault,
    },
    /// The partner says that our request is wrong or that we may not send it (400, 403, 405, 406, 413, 415), or gives us no token: the
    /// exchange is parked.
    OurFault {
        /// What.
        fault: Fault,
    },
    /// The partner knows no such member, or not exactly one. Asked again only in a new round.
    NoMatch {
        /// Whether it said that there are several.
        several: bool,
    },
    /// The partner has nothing for us yet (data not loaded, receipt not taken yet). Asked again after hours, in a new round.
    NotYet {
        /// How long the partner asked us to wait, milliseconds.
        retry_after_ms: Option<u64>,
    },
    /// A part of the step is done. For [`super::StepName::Retrieve`]: what came is kept, and the rest is asked for again.
    Partial {
        /// What was gained.
        gain: StepGain,
        /// Exactly what is missing.
        missing: Vec<MissingPart>,
    },
    /// What an earlier lasting step left behind is gone or damaged (a spool file): the exchange goes back to that step.
    Back {
        /// The step to be run again.
        to: StepName,
        /// Why.
        fault: Fault,
    },
    /// The opt-in or the partner does not permit it any more; it stopped before more was asked for or stored.
    NotPermitted {
        /// Why.
        fault: Fault,
    },
    /// A person has to look: changed certificates, another origin, data of somebody else.
    NeedsPerson {
        /// Why.
        fault: Fault,
    },
}

impl StepEnd {
    /// The end that a refusal of the partner makes. Its own word about the member is final; what it says of our request, our rights or our
    /// keys can be mended.
    pub const fn refused(fault: Fault) -> StepEnd {
        match fault {
            Fault::PartnerForbids | Fault::PartnerMisunderstands | Fault::PartnerTokenRefused => {
                StepEnd::OurFault { fault }
            }
            _ => StepEnd::Refused { fault },
        }
    }
}

/// What a step has gained. Counts are of all that the exchange has brought so far, so that a step that is run again doubles none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepGain {
    /// For steps that are not lasting, and for an acknowledgement.
    Ready,
    /// `$member-match` found the member.
    Matched(MatchedAs),
    /// The record has come and is kept.
    Retrieved {
        /// Resources by type.
        counts: BTreeMap<String, u64>,
        /// Bytes.
        bytes: u64,
        /// How it came: `everything`, `search` or `export`.
        method: &'static str,
        /// The partner's time at the begin of the retrieval, UTC milliseconds; the next `_since`.
        as_of_ms: Option<i64>,
    },
    /// What came was checked.
    Checked {
        /// Resources that may be stored.
        good: u64,
        /// What may not, by reason.
        quarantined: Vec<Quarantined>,
    },
    /// The record is stored.
    Stored {
        /// Resources that are new or newer than what was held.
        stored: u64,
        /// Resources that were held already in this version or a newer one.
        unchanged: u64,
        /// What is in quarantine now of all that this exchange brought, by reason; also what the check put there.
        quarantined: Vec<Quarantined>,
    },
    /// For [`super::PartnerSessions::retract`]: so many resources were taken out again.
    TakenOut {
        /// How many.
        resources: u64,
    },
}

/// Resources that were kept apart for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// Why: the code of a reason, never member data.
    pub reason: String,
    /// How many.
    pub count: u64,
}

/// How a call failed. The classes of the retry table; `causeway states` prints what follows from each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TransportFailure {
    /// Nothing was sent: name, connection or TLS handshake failed, or there was no free connection.
    NotSent,
    /// It was sent, and nothing is known of what became of it: reset, timeout, truncated answer.
    Unknown,
    /// The partner told us to wait: 408, 425, 429, 502, 503, 504.
    ToldToWait,
    /// The partner's server failed: 500, other 5xx, an answer that cannot be read.
    ServerFault,
    /// The token was refused (401).
    Unauthorized,
}
