//! What people do about faults of exchanges: the other payer, its answers, and the member.

use super::super::procedure::RunbookCommand::{
    AuditPacket, ExchangeClose, ExchangeList, ExchangeQuarantine, ExchangeReplay, ExchangeReplayParked, ExchangeShow,
    ExchangeSupersede, PartnerCheck, PartnerRotate, PartnerShow,
};
use super::super::procedure::RunbookStep::{Do, Run};
use super::super::procedure::{ContactKind, EscalateTo, PersonDecides, Procedure, ReplayRule, RunbookOwner};

/// The other payer does not answer, or not in time.
pub(super) static UNREACHABLE: Procedure = Procedure {
    owner: RunbookOwner::Partner,
    replay: ReplayRule::AfterCause,
    person: PersonDecides::Operator,
    escalate: EscalateTo::Partner,
    contact: Some(ContactKind::Technical),
    steps: &[
        Run(ExchangeShow, "See the attempts, and the partner's own request ids."),
        Run(PartnerCheck, "Check its registration and its keys from this host."),
        Do("Send the technical contact the times and its own request ids, and ask when it is ready."),
        Run(
            ExchangeReplayParked,
            "When it answers again: replay all parked exchanges with this partner.",
        ),
    ],
};

/// The other payer's answer cannot be used.
pub(super) static ANSWER: Procedure = Procedure {
    owner: RunbookOwner::Partner,
    replay: ReplayRule::AfterCause,
    person: PersonDecides::Operator,
    escalate: EscalateTo::Partner,
    contact: Some(ContactKind::Technical),
    steps: &[
        Run(ExchangeShow, "See at which step, and the correlation id."),
        Do("Send the technical contact the correlation id, the step and the fault, without values of the answer."),
        Run(ExchangeReplay, "When the partner has corrected it."),
    ],
};

/// The two payers do not trust each other's addresses, certificates or tokens.
pub(super) static TRUST: Procedure = Procedure {
    owner: RunbookOwner::Security,
    replay: ReplayRule::AfterCause,
    person: PersonDecides::Security,
    escalate: EscalateTo::Security,
    contact: Some(ContactKind::Security),
    steps: &[
        Run(PartnerShow, "See which address and certificate are registered."),
        Do("Call the security contact at the number on record, never at one that came with the answer."),
        Run(PartnerRotate, "If the registration was wrong: replace it."),
        Run(ExchangeReplay, "Then let the exchange continue."),
    ],
};

/// The partner's registration lacks something or has changed.
pub(super) static REGISTRATION: Procedure = Procedure {
    owner: RunbookOwner::Operations,
    replay: ReplayRule::AfterCause,
    person: PersonDecides::Operator,
    escalate: EscalateTo::Lead,
    contact: Some(ContactKind::Technical),
    steps: &[
        Run(PartnerShow, "See the registration, and when it was changed."),
        Run(PartnerRotate, "Correct it, where it is wrong."),
        Run(
            ExchangeSupersede,
            "Where the member was matched at another address: begin a new exchange.",
        ),
    ],
};

/// Received resources are in quarantine.
pub(super) static QUARANTINE: Procedure = Procedure {
    owner: RunbookOwner::Partner,
    replay: ReplayRule::Safe,
    person: PersonDecides::Operator,
    escalate: EscalateTo::Partner,
    contact: Some(ContactKind::Technical),
    steps: &[
        Run(
            ExchangeQuarantine,
            "See which resources, and why. This shows data of the member.",
        ),
        Do("Tell the technical contact the type, the id and the element, and no other value."),
        Run(
            ExchangeSupersede,
            "When the partner has corrected its data: a new exchange fetches it.",
        ),
    ],
};

/// What came is about somebody else.
pub(super) static OTHER_PERSON: Procedure = Procedure {
    owner: RunbookOwner::Privacy,
    replay: ReplayRule::AfterDecision,
    person: PersonDecides::Privacy,
    escalate: EscalateTo::Privacy,
    contact: Some(ContactKind::Privacy),
    steps: &[
        Run(
            ExchangeShow,
            "See what was received. Nothing of another person was stored.",
        ),
        Do("Call the privacy contact of the partner: it may have told us of a person who is not our member."),
        Run(AuditPacket, "Keep the evidence for the report that the law may demand."),
        Run(ExchangeClose, "Unless it was decided that the exchange continues."),
    ],
};

/// The member's own data here does not suffice.
pub(super) static MEMBER_DATA: Procedure = Procedure {
    owner: RunbookOwner::Operations,
    replay: ReplayRule::AfterCause,
    person: PersonDecides::Operator,
    escalate: EscalateTo::Lead,
    contact: Some(ContactKind::Technical),
    steps: &[
        Run(
            ExchangeShow,
            "See which coverage was asked about, and what was answered.",
        ),
        Do(
            "Compare the member's name, birth date and the number of the other card with the enrollment, and correct them.",
        ),
        Run(
            ExchangeReplay,
            "Ask again. Partners count guesses: do so once, with corrected data.",
        ),
    ],
};

/// The opt-in of the member is over.
pub(super) static OPT_IN_OVER: Procedure = Procedure {
    owner: RunbookOwner::Privacy,
    replay: ReplayRule::Never,
    person: PersonDecides::Member,
    escalate: EscalateTo::Nobody,
    contact: None,
    steps: &[
        Do("Ask the member for a new opt-in, if the record is still wanted."),
        Do("Start a new exchange with it. An exchange of the old opt-in does not continue."),
    ],
};

/// An operator stopped it.
pub(super) static PAUSED: Procedure = Procedure {
    owner: RunbookOwner::Operations,
    replay: ReplayRule::Safe,
    person: PersonDecides::Operator,
    escalate: EscalateTo::Nobody,
    contact: None,
    steps: &[
        Run(ExchangeShow, "See who paused it, and why."),
        Run(ExchangeReplay, "When it may continue."),
    ],
};

/// Something of this server was lost or is too old.
pub(super) static OWN_TROUBLE: Procedure = Procedure {
    owner: RunbookOwner::Operations,
    replay: ReplayRule::AfterCause,
    person: PersonDecides::Operator,
    escalate: EscalateTo::Lead,
    contact: None,
    steps: &[
        Run(ExchangeShow, "See which step stands still."),
        Do("End the cause that the remedy names: the disk, or the version of this program."),
        Run(ExchangeReplay, "Then let it continue. What is lost is fetched again."),
    ],
};

/// Too many exchanges wait for one partner.
pub(super) static QUEUE: Procedure = Procedure {
    owner: RunbookOwner::Operations,
    replay: ReplayRule::SameKey,
    person: PersonDecides::Nobody,
    escalate: EscalateTo::Lead,
    contact: Some(ContactKind::Technical),
    steps: &[
        Run(ExchangeList, "See what the exchanges with this partner wait for."),
        Do("If the partner is slow, ask its technical contact how much it answers in a day."),
    ],
};
