//! The runbook of reviews: what each state of a review means, and what people do about it.
//!
//! A state without a row does not compile. Which state follows which is in [`super::MOVES`], not here.

use super::state::ReviewState;
use crate::error::RunbookCommand::{LinkList, ReviewDecide, ReviewList, ReviewReopen, ReviewShow, Trace};
use crate::error::RunbookStep::{Do, Run};
use crate::error::{
    ActWithin, ContactKind, EscalateTo, PersonDecides, Procedure, ReplayRule, RunbookAbout, RunbookOwner, RunbookRow,
};

/// A reviewer has to decide.
static WAITS: Procedure = Procedure {
    owner: RunbookOwner::Operations,
    replay: ReplayRule::AfterDecision,
    person: PersonDecides::Reviewer,
    escalate: EscalateTo::Lead,
    contact: None,
    steps: &[
        Run(ReviewList, "See which reviews wait, and for how long."),
        Run(
            ReviewShow,
            "Compare the request with the candidates. This shows data of members.",
        ),
        Run(
            ReviewDecide,
            "Confirm a candidate, or reject all with --reject, or wait with --defer.",
        ),
        Do("Do not ask the partner about a candidate: it must not learn whom you compare."),
    ],
};

/// Another reviewer has to decide.
static SECOND: Procedure = Procedure {
    owner: RunbookOwner::Operations,
    replay: ReplayRule::AfterDecision,
    person: PersonDecides::SecondPerson,
    escalate: EscalateTo::Lead,
    contact: None,
    steps: &[
        Run(
            ReviewShow,
            "The second reviewer looks at it without asking the first one.",
        ),
        Run(ReviewDecide, "The second reviewer decides. The same answer is final."),
    ],
};

/// It is decided.
static DECIDED: Procedure = Procedure {
    owner: RunbookOwner::Us,
    replay: ReplayRule::Safe,
    person: PersonDecides::Nobody,
    escalate: EscalateTo::Privacy,
    contact: Some(ContactKind::Privacy),
    steps: &[
        Run(Trace, "See who decided it, when, and what followed."),
        Run(LinkList, "See the link that came of it."),
        Run(
            ReviewReopen,
            "If it was decided wrongly: links are disputed, and grants end at once.",
        ),
        Do("If a record was disclosed under a wrong link, call the privacy contact of the partner."),
    ],
};

impl ReviewState {
    /// Its row of the runbook.
    pub fn runbook(self) -> RunbookRow {
        let (within, procedure, meaning) = match self {
            ReviewState::Open => (
                ActWithin::Day,
                &WAITS,
                "It waits for a reviewer. The partner was told that nobody was matched.",
            ),
            ReviewState::Proposed => (
                ActWithin::Day,
                &SECOND,
                "One reviewer has decided, and another one has to confirm it.",
            ),
            ReviewState::Deferred => (
                ActWithin::Day,
                &WAITS,
                "A reviewer looked at it, and looks again later.",
            ),
            ReviewState::Confirmed => (
                ActWithin::Never,
                &DECIDED,
                "The person is one of the candidates. The partner is answered when it asks again.",
            ),
            ReviewState::Rejected => (ActWithin::Never, &DECIDED, "The person is none of the candidates."),
        };
        RunbookRow {
            about: RunbookAbout::Review,
            code: self.code(),
            meaning,
            within,
            remedy: None,
            procedure,
        }
    }
}

/// The rows of all states.
pub fn states() -> Vec<RunbookRow> {
    ReviewState::ALL.map(ReviewState::runbook).to_vec()
}
