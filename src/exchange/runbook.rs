//! The runbook of exchanges: what each state means and what people do about it, and what stands still while a kind of its work is parked.
//!
//! A state without a row does not compile. Which state follows which is in [`super::moves`], not here.

use super::follow_up::TAKE_BACK;
use super::kind::EXCHANGE;
use super::phase::{AuditState, ConsentState, DeliveryState, IdentityState, Phase, TransportState};
use super::series::ASK_AGAIN;
use super::steps::JUDGE_AGAIN;
use super::watch::WATCH;
use crate::error::RunbookCommand::{
    AuditPacket, ExchangeClose, ExchangeList, ExchangeQuarantine, ExchangeReplay, ExchangeReplayParked, ExchangeShow,
    ExchangeSupersede, PartnerCheck, PartnerShow, ReviewList, Trace,
};
use crate::error::RunbookStep::{Do, Run};
use crate::error::{
    ActWithin, ContactKind, EscalateTo, PersonDecides, Procedure, ReplayRule, RunbookAbout, RunbookOwner, RunbookRow,
};
use crate::jobs::runbook::parked;

/// It makes progress by itself.
static WORKS: Procedure = Procedure {
    owner: RunbookOwner::Us,
    replay: ReplayRule::Nothing,
    person: PersonDecides::Nobody,
    escalate: EscalateTo::Lead,
    contact: None,
    steps: &[Run(
        ExchangeShow,
        "If it is late: see its last attempt, and what it waits for.",
    )],
};

/// The partner has to do something.
static WAITS: Procedure = Procedure {
    owner: RunbookOwner::Partner,
    replay: ReplayRule::Safe,
    person: PersonDecides::Nobody,
    escalate: EscalateTo::Partner,
    contact: Some(ContactKind::Technical),
    steps: &[
        Run(ExchangeShow, "See when the partner is asked again, and when it is due."),
        Do("Before it is due, ask the technical contact when the answer comes. Send the correlation id."),
    ],
};

/// Calls fail.
static FAILS: Procedure = Procedure {
    owner: RunbookOwner::Us,
    replay: ReplayRule::Safe,
    person: PersonDecides::Nobody,
    escalate: EscalateTo::Partner,
    contact: Some(ContactKind::Technical),
    steps: &[
        Run(ExchangeShow, "See the attempts, and the fault of each."),
        Run(
            PartnerCheck,
            "Check the partner's registration and keys from this host.",
        ),
        Run(ExchangeList, "See whether other exchanges with the partner fail too."),
        Run(
            ExchangeReplayParked,
            "When the partner answers again: replay those that are parked.",
        ),
    ],
};

/// A part is missing.
static PARTLY: Procedure = Procedure {
    owner: RunbookOwner::Partner,
    replay: ReplayRule::Safe,
    person: PersonDecides::Operator,
    escalate: EscalateTo::Partner,
    contact: Some(ContactKind::Technical),
    steps: &[
        Run(ExchangeShow, "See what is missing, by type, page and count."),
        Run(
            ExchangeQuarantine,
            "If resources are in quarantine: see why. This shows data of the member.",
        ),
        Do("Ask the technical contact for the rest. What came is stored already."),
        Run(ExchangeReplay, "Ask for the rest, and for nothing else."),
    ],
};

/// A person has to look.
static PERSON: Procedure = Procedure {
    owner: RunbookOwner::Operations,
    replay: ReplayRule::AfterDecision,
    person: PersonDecides::Operator,
    escalate: EscalateTo::Lead,
    contact: Some(ContactKind::Technical),
    steps: &[
        Run(
            ExchangeShow,
            "See the reason. For an exchange of a partner, see its review.",
        ),
        Run(
            ReviewList,
            "If it is inbound: a reviewer decides the review that it names.",
        ),
        Run(
            ExchangeReplay,
            "If it is ours: let it continue when the question is settled.",
        ),
        Run(ExchangeClose, "Or end it. Its history stays."),
    ],
};

/// What came is about somebody else.
static SOMEBODY_ELSE: Procedure = Procedure {
    owner: RunbookOwner::Privacy,
    replay: ReplayRule::AfterDecision,
    person: PersonDecides::Privacy,
    escalate: EscalateTo::Privacy,
    contact: Some(ContactKind::Privacy),
    steps: &[
        Run(ExchangeShow, "See the fault. Nothing of the other person was stored."),
        Do("Call the privacy contact of the partner."),
        Run(AuditPacket, "Keep the evidence."),
        Run(ExchangeClose, "Unless it was decided that the exchange continues."),
    ],
};

/// It has ended without a record.
static ENDED: Procedure = Procedure {
    owner: RunbookOwner::Operations,
    replay: ReplayRule::AfterCause,
    person: PersonDecides::Operator,
    escalate: EscalateTo::Nobody,
    contact: Some(ContactKind::Technical),
    steps: &[
        Run(ExchangeShow, "See the fault that ended it."),
        Do("Look up this fault in the runbook, and end its cause."),
        Run(
            ExchangeReplay,
            "If the record is still wanted: this begins a new exchange.",
        ),
    ],
};

/// The consent does not permit it.
static NO_CONSENT: Procedure = Procedure {
    owner: RunbookOwner::Privacy,
    replay: ReplayRule::Never,
    person: PersonDecides::Member,
    escalate: EscalateTo::Nobody,
    contact: Some(ContactKind::Privacy),
    steps: &[
        Run(ExchangeShow, "See which consent or opt-in it is about."),
        Do("Ask the member for a new one if the record is still wanted, and start a new exchange with it."),
    ],
};

/// It has ended well, or as somebody wanted.
static OVER: Procedure = Procedure {
    owner: RunbookOwner::Us,
    replay: ReplayRule::Nothing,
    person: PersonDecides::Nobody,
    escalate: EscalateTo::Nobody,
    contact: None,
    steps: &[Run(Trace, "To see what happened, oldest first.")],
};

/// The job of one exchange is parked.
static EXCHANGE_PARKED: Procedure = Procedure {
    owner: RunbookOwner::Operations,
    replay: ReplayRule::AfterCause,
    person: PersonDecides::Operator,
    escalate: EscalateTo::Lead,
    contact: Some(ContactKind::Technical),
    steps: &[
        Run(ExchangeShow, "See the fault, and the next action."),
        Run(
            PartnerShow,
            "If the partner is the cause: see its registration and state.",
        ),
        Run(ExchangeReplay, "When the cause is gone."),
        Run(
            ExchangeSupersede,
            "Or begin again, where the partner corrected its data or moved.",
        ),
    ],
};

fn row(
    about: RunbookAbout,
    code: &'static str,
    (within, procedure, meaning): (ActWithin, &'static Procedure, &'static str),
) -> RunbookRow {
    RunbookRow {
        about,
        code,
        meaning,
        within,
        remedy: None,
        procedure,
    }
}

impl Phase {
    /// Its row of the runbook.
    pub fn runbook(self) -> RunbookRow {
        use ActWithin::{Day, Never};
        let what = match self {
            Phase::Requested => (
                Never,
                &WORKS,
                "It was accepted, and the other payer is about to be asked.",
            ),
            Phase::Matched => (
                Never,
                &WORKS,
                "The member is known. In an exchange of ours the record is being fetched; a partner may fetch it in one of its own.",
            ),
            Phase::AwaitingPartner => (
                Day,
                &WAITS,
                "The other payer has to do something first. It is asked again.",
            ),
            Phase::PartiallyResolved => (Day, &PARTLY, "A part of the record is stored, and the rest is missing."),
            Phase::ManualReview => (Day, &PERSON, "A person has to decide. Nothing moves until then."),
            Phase::Completed => (Never, &OVER, "The whole record was received."),
            Phase::Refused => (Day, &ENDED, "The other payer, this payer or the consent refused it."),
            Phase::Failed => (Day, &ENDED, "It ended without a result."),
            Phase::Cancelled => (Never, &OVER, "An operator withdrew it."),
            Phase::Superseded => (Never, &OVER, "Another exchange took its place."),
        };
        row(RunbookAbout::Phase, self.code(), what)
    }
}

impl IdentityState {
    /// Its row of the runbook.
    pub fn runbook(self) -> RunbookRow {
        use ActWithin::{Day, Hour, Never};
        let what = match self {
            IdentityState::Unresolved => (Never, &WORKS, "The other side has not been asked who the member is."),
            IdentityState::Matched => (Never, &WORKS, "The other side knows the member."),
            IdentityState::NoMatch => (
                Day,
                &ENDED,
                "The other side knows no such member. It is asked again a day later, twice at most.",
            ),
            IdentityState::Ambiguous => (Day, &PERSON, "The other side cannot tell the member from others."),
            IdentityState::InReview => (Day, &PERSON, "A person decides who the member is."),
            IdentityState::Disputed => (Hour, &SOMEBODY_ELSE, "What was received is about somebody else."),
        };
        row(RunbookAbout::Identity, self.code(), what)
    }
}

impl ConsentState {
    /// Its row of the runbook.
    pub fn runbook(self) -> RunbookRow {
        use ActWithin::{Day, Never};
        let what = match self {
            ConsentState::Unchecked => (Never, &WORKS, "The consent has not been judged yet."),
            ConsentState::Permitted => (Never, &WORKS, "The consent permits the exchange."),
            ConsentState::Refused => (Day, &NO_CONSENT, "The consent does not permit the exchange."),
            ConsentState::Expired => (Day, &NO_CONSENT, "The period of the consent is over."),
            ConsentState::Revoked => (
                Day,
                &NO_CONSENT,
                "The member revoked the consent. Nothing is sent or stored after that.",
            ),
        };
        row(RunbookAbout::Consent, self.code(), what)
    }
}

impl TransportState {
    /// Its row of the runbook.
    pub fn runbook(self) -> RunbookRow {
        use ActWithin::{Day, Hour, Never};
        let what = match self {
            TransportState::Idle => (Never, &WORKS, "No call is under way."),
            TransportState::Sending => (
                Never,
                &WORKS,
                "A step has begun, and its result is not known yet. After a crash it is run again with the same key.",
            ),
            TransportState::Waiting => (
                Day,
                &WAITS,
                "The other payer asked for a wait, or has nothing for us yet.",
            ),
            TransportState::BackingOff => (Day, &FAILS, "A call failed, and is repeated after a wait."),
            TransportState::CircuitOpen => (
                Hour,
                &FAILS,
                "The other payer failed so often that it is not called for a while.",
            ),
        };
        row(RunbookAbout::Transport, self.code(), what)
    }
}

impl DeliveryState {
    /// Its row of the runbook.
    pub fn runbook(self) -> RunbookRow {
        use ActWithin::{Day, Never};
        let what = match self {
            DeliveryState::None => (Never, &WORKS, "Nothing of the record was received."),
            DeliveryState::Partial => (Day, &PARTLY, "A part of the record was received."),
            DeliveryState::Received => (Never, &WORKS, "All that the other payer has to give was received."),
            DeliveryState::Validated => (Never, &WORKS, "What was received was checked."),
            DeliveryState::Stored => (Never, &WORKS, "What was received is a part of the member's record."),
            DeliveryState::Acknowledged => (Never, &OVER, "The other payer knows that the record was received."),
        };
        row(RunbookAbout::Delivery, self.code(), what)
    }
}

impl AuditState {
    /// Its row of the runbook.
    pub fn runbook(self) -> RunbookRow {
        let what = match self {
            AuditState::Open => (ActWithin::Never, &WORKS, "More entries of the ledger follow."),
            AuditState::Complete => (ActWithin::Never, &OVER, "The ledger has the whole exchange."),
        };
        row(RunbookAbout::Audit, self.code(), what)
    }
}

/// The rows of all states.
pub fn states() -> Vec<RunbookRow> {
    let phases = Phase::ALL.iter().map(|one| one.runbook());
    phases
        .chain(IdentityState::ALL.iter().map(|one| one.runbook()))
        .chain(ConsentState::ALL.iter().map(|one| one.runbook()))
        .chain(TransportState::ALL.iter().map(|one| one.runbook()))
        .chain(DeliveryState::ALL.iter().map(|one| one.runbook()))
        .chain(AuditState::ALL.iter().map(|one| one.runbook()))
        .collect()
}

/// The rows of the kinds of work of exchanges.
pub fn work() -> Vec<RunbookRow> {
    use ActWithin::{Day, Hour};
    vec![
        RunbookRow {
            procedure: &EXCHANGE_PARKED,
            ..parked(
                &EXCHANGE,
                Day,
                "An exchange is parked: nothing more is asked for this member.",
            )
        },
        parked(
            &TAKE_BACK,
            Hour,
            "What an exchange began at the partner is still there, and so is what it stored under a revoked consent.",
        ),
        parked(
            &ASK_AGAIN,
            Day,
            "A partner is not asked again each quarter, or for late claims.",
        ),
        parked(
            &WATCH,
            Hour,
            "Nobody looks for exchanges whose work was lost: they may wait for ever.",
        ),
        parked(
            &JUDGE_AGAIN,
            Day,
            "What is in quarantine is not judged again after an upgrade.",
        ),
    ]
}
