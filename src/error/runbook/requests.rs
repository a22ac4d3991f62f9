//! What people do about faults of requests: of partners, and of operators who asked for something that is not there.

use super::super::procedure::RunbookCommand::{
    BulkCancel, BulkList, ConfigEffective, ConsentList, EvidenceList, ExchangeShow, JobsList, JobsParked, MatchExplain,
    MatchList, OperatorList, PartnerCheck, PartnerResume, PartnerShow, PartnerSuspend, PartnerUnlock, PolicyActs,
    PolicyApprove, ReviewList, ReviewShow, States, Trace,
};
use super::super::procedure::RunbookStep::{Do, Run};
use super::super::procedure::{ContactKind, EscalateTo, PersonDecides, Procedure, ReplayRule, RunbookOwner};

/// A request of a partner is wrong in its form.
pub(super) static REQUEST: Procedure = Procedure {
    owner: RunbookOwner::Partner,
    replay: ReplayRule::NotUseful,
    person: PersonDecides::Nobody,
    escalate: EscalateTo::Nobody,
    contact: Some(ContactKind::Technical),
    steps: &[
        Run(
            Trace,
            "See what was asked and answered. The partner names the X-Request-Id of the answer.",
        ),
        Do(
            "Tell the partner the code, and the element or parameter that the answer names. Never repeat a value of the request.",
        ),
    ],
};

/// A partner asks too often, or too slowly.
pub(super) static THROTTLED: Procedure = Procedure {
    owner: RunbookOwner::Partner,
    replay: ReplayRule::SameKey,
    person: PersonDecides::Nobody,
    escalate: EscalateTo::Nobody,
    contact: Some(ContactKind::Technical),
    steps: &[
        Do("See in /metrics and in the log how often the partner is refused, and since when."),
        Do("Ask the partner why it sends more before you raise a key under [limits]."),
    ],
};

/// A partner shows no valid token, certificate or assertion.
pub(super) static CREDENTIALS: Procedure = Procedure {
    owner: RunbookOwner::Partner,
    replay: ReplayRule::AfterCause,
    person: PersonDecides::Nobody,
    escalate: EscalateTo::Partner,
    contact: Some(ContactKind::Technical),
    steps: &[
        Run(
            PartnerShow,
            "Compare the registration with what the partner says it sends.",
        ),
        Run(PartnerCheck, "Check its keys and the name of its certificate."),
        Do("If a key or a certificate may be stolen, call the security contact of the partner first."),
        Run(
            PartnerSuspend,
            "Only then: the partner gets no tokens, and those it has end.",
        ),
    ],
};

/// A partner is suspended.
pub(super) static SUSPENDED: Procedure = Procedure {
    owner: RunbookOwner::Security,
    replay: ReplayRule::AfterDecision,
    person: PersonDecides::Security,
    escalate: EscalateTo::Security,
    contact: Some(ContactKind::Security),
    steps: &[
        Run(PartnerShow, "See the reason, and ask who suspended the partner."),
        Do("Find out from the security contact whether the reason is gone."),
        Run(PartnerResume, "When that was decided: let the partner in again."),
    ],
};

/// A partner may match nobody for now.
pub(super) static LOCKED: Procedure = Procedure {
    owner: RunbookOwner::Privacy,
    replay: ReplayRule::AfterDecision,
    person: PersonDecides::Privacy,
    escalate: EscalateTo::Privacy,
    contact: Some(ContactKind::Privacy),
    steps: &[
        Run(
            MatchList,
            "See the newest decisions: a wrong export fails in the same field each time, a guess varies one.",
        ),
        Run(MatchExplain, "See for single decisions what did not agree."),
        Do("Ask the partner what it sent, and tell it nothing about members."),
        Run(
            PartnerUnlock,
            "When it was no attack: let it match again, and reset its counts.",
        ),
    ],
};

/// The token of an operator is not for this.
pub(super) static ROLE: Procedure = Procedure {
    owner: RunbookOwner::Operations,
    replay: ReplayRule::AfterCause,
    person: PersonDecides::Nobody,
    escalate: EscalateTo::Lead,
    contact: None,
    steps: &[
        Run(OperatorList, "See the roles of the token."),
        Do("Ask whoever gives out tokens for one of the right role. Do not share a token."),
    ],
};

/// Somebody cannot sign in to the console.
pub(super) static SIGN_IN: Procedure = Procedure {
    owner: RunbookOwner::Operations,
    replay: ReplayRule::AfterCause,
    person: PersonDecides::Nobody,
    escalate: EscalateTo::Lead,
    contact: None,
    steps: &[
        Run(
            ConfigEffective,
            "Compare the keys under [oidc] with what the identity provider has of this client.",
        ),
        Do(
            "Look for the request id of the page in the log. At the level debug it says why a sign-in was refused, without anybody's name.",
        ),
        Do(
            "In the meantime let people in by a link of `causeway console link`, each under the name that the identity provider gives.",
        ),
    ],
};

/// The answer about a member is no.
pub(super) static NOT_MATCHED: Procedure = Procedure {
    owner: RunbookOwner::Partner,
    replay: ReplayRule::NotUseful,
    person: PersonDecides::Reviewer,
    escalate: EscalateTo::Nobody,
    contact: Some(ContactKind::Technical),
    steps: &[
        Run(MatchList, "Find the decision by partner or correlation id."),
        Run(MatchExplain, "See what was compared, and why nobody was matched."),
        Run(
            ReviewList,
            "See whether a review waits: the partner asks again after it was decided.",
        ),
        Do("Tell the partner only to check what it sent. Which field did not agree would help a guess."),
    ],
};

/// A consent is wrong in its form.
pub(super) static CONSENT_FORM: Procedure = Procedure {
    owner: RunbookOwner::Partner,
    replay: ReplayRule::NotUseful,
    person: PersonDecides::Nobody,
    escalate: EscalateTo::Nobody,
    contact: Some(ContactKind::Technical),
    steps: &[
        Run(
            Trace,
            "See what was answered. The partner names the X-Request-Id of the answer.",
        ),
        Do("Send the partner to docs/partners/consent.md, which has each rule with its element."),
    ],
};

/// A consent is not in force, or was withdrawn.
pub(super) static CONSENT_OVER: Procedure = Procedure {
    owner: RunbookOwner::Privacy,
    replay: ReplayRule::NotUseful,
    person: PersonDecides::Member,
    escalate: EscalateTo::Nobody,
    contact: Some(ContactKind::Privacy),
    steps: &[
        Run(MatchList, "Find the decision by partner or correlation id."),
        Run(ConsentList, "See which consents of the partner are on record."),
        Do("Tell the partner to ask the member for a new consent. Say no more than the answer said."),
    ],
};

/// An operator named something that is not there, or that has ended.
pub(super) static LOOK_UP: Procedure = Procedure {
    owner: RunbookOwner::Operations,
    replay: ReplayRule::Nothing,
    person: PersonDecides::Nobody,
    escalate: EscalateTo::Nobody,
    contact: None,
    steps: &[Do(
        "Find the right id in the list that the remedy names. Nothing was changed.",
    )],
};

/// An operator gave something that cannot be used.
pub(super) static CORRECT: Procedure = Procedure {
    owner: RunbookOwner::Operations,
    replay: ReplayRule::AfterCause,
    person: PersonDecides::Nobody,
    escalate: EscalateTo::Nobody,
    contact: None,
    steps: &[Do(
        "Correct what the message names, and ask again. Nothing was changed.",
    )],
};

/// An exchange is in a state that does not allow an act.
pub(super) static EXCHANGE_STATE: Procedure = Procedure {
    owner: RunbookOwner::Operations,
    replay: ReplayRule::Nothing,
    person: PersonDecides::Operator,
    escalate: EscalateTo::Nobody,
    contact: None,
    steps: &[
        Run(ExchangeShow, "See its phase, its reason and what it waits for."),
        Run(States, "See which acts its phase allows."),
    ],
};

/// A background job is in a state that does not allow an act, or is not there.
pub(super) static JOB_STATE: Procedure = Procedure {
    owner: RunbookOwner::Operations,
    replay: ReplayRule::Nothing,
    person: PersonDecides::Nobody,
    escalate: EscalateTo::Nobody,
    contact: None,
    steps: &[Run(JobsList, "See which jobs there are, and their states.")],
};

/// A review or a link is in a state that does not allow an act, or is not there.
pub(super) static REVIEW_STATE: Procedure = Procedure {
    owner: RunbookOwner::Operations,
    replay: ReplayRule::Nothing,
    person: PersonDecides::Reviewer,
    escalate: EscalateTo::Nobody,
    contact: None,
    steps: &[
        Run(ReviewList, "See which reviews wait, and their states."),
        Run(ReviewShow, "Look at the review again before you decide it."),
    ],
};

/// A second reviewer is needed.
pub(super) static SECOND_REVIEWER: Procedure = Procedure {
    owner: RunbookOwner::Operations,
    replay: ReplayRule::AfterDecision,
    person: PersonDecides::SecondPerson,
    escalate: EscalateTo::Lead,
    contact: None,
    steps: &[
        Run(ReviewList, "The second reviewer finds what is proposed."),
        Run(ReviewShow, "The second reviewer looks at it, and then decides it."),
    ],
};

/// A second person has to approve a policy.
pub(super) static SECOND_APPROVER: Procedure = Procedure {
    owner: RunbookOwner::Operations,
    replay: ReplayRule::AfterDecision,
    person: PersonDecides::SecondPerson,
    escalate: EscalateTo::Lead,
    contact: None,
    steps: &[
        Run(PolicyActs, "The second person finds the act that waits."),
        Run(PolicyApprove, "The second person approves it, or leaves it."),
    ],
};

/// An evidence packet waits for its checkpoint.
pub(super) static PACKET: Procedure = Procedure {
    owner: RunbookOwner::Us,
    replay: ReplayRule::Safe,
    person: PersonDecides::Nobody,
    escalate: EscalateTo::Lead,
    contact: None,
    steps: &[
        Run(EvidenceList, "See whether the packet is made."),
        Run(
            JobsParked,
            "If it is not made after a minute: see whether ledger-tree or evidence-packet is parked.",
        ),
    ],
};

/// A bulk run of ours stands in the way of an erasure.
pub(super) static BULK_IN_THE_WAY: Procedure = Procedure {
    owner: RunbookOwner::Operations,
    replay: ReplayRule::Safe,
    person: PersonDecides::Operator,
    escalate: EscalateTo::Lead,
    contact: None,
    steps: &[
        Run(BulkList, "See how far the bulk runs are."),
        Run(BulkCancel, "If it cannot wait: end the run. Its members go on alone."),
    ],
};
