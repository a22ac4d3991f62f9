//! The runbook of background work: what each state of a job means, and what stands still with a kind of this module's work.
//!
//! A module that has kinds of its own has their rows too, made by [`parked`].

use super::WorkKind;
use super::sequencer::LEDGER_TREE;
use super::sweeps::{AUTHORIZATIONS, EXPIRED, LEDGER_INDEX, ROSTER};
use crate::error::RunbookCommand::{JobsList, JobsReplay};
use crate::error::RunbookStep::{Do, Run};
use crate::error::{
    ActWithin, EscalateTo, PersonDecides, Procedure, ReplayRule, RunbookAbout, RunbookOwner, RunbookRow,
};
use crate::store::jobs::{PARKED, WAITING};

/// The state of a job, as operators see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JobState {
    /// It is not due yet, or waits for a free place.
    Waiting,
    /// A process has its lease.
    Running,
    /// It waits for an operator.
    Parked,
}

/// It makes progress by itself.
static WORKS: Procedure = Procedure {
    owner: RunbookOwner::Us,
    replay: ReplayRule::Nothing,
    person: PersonDecides::Nobody,
    escalate: EscalateTo::Lead,
    contact: None,
    steps: &[Run(
        JobsList,
        "If it is late: see when it is due, and how often it has failed.",
    )],
};

/// It gave up.
static GAVE_UP: Procedure = Procedure {
    owner: RunbookOwner::Operations,
    replay: ReplayRule::AfterCause,
    person: PersonDecides::Operator,
    escalate: EscalateTo::Lead,
    contact: None,
    steps: &[
        Run(
            JobsList,
            "See whether it is parked, how its last attempt failed, and what to do next.",
        ),
        Do("Find the cause in the log lines with the id of the job, and end it."),
        Run(
            JobsReplay,
            "If it is parked: let it continue. Each kind of work may run twice without harm.",
        ),
        Do("If it is parked again with the class panic or crash_loop, tell the maintainers."),
    ],
};

impl JobState {
    /// Every state.
    pub const ALL: [JobState; 3] = [JobState::Waiting, JobState::Running, JobState::Parked];

    /// Its name in lists.
    pub const fn code(self) -> &'static str {
        match self {
            JobState::Waiting => WAITING,
            JobState::Running => "running",
            JobState::Parked => PARKED,
        }
    }

    /// Its row of the runbook.
    pub fn runbook(self) -> RunbookRow {
        let (within, procedure, meaning) = match self {
            JobState::Waiting => (
                ActWithin::Never,
                &WORKS,
                "It is not due yet, or waits for a free place, or for its next attempt.",
            ),
            JobState::Running => (
                ActWithin::Never,
                &WORKS,
                "A process does it. If that process ends, another one takes over.",
            ),
            JobState::Parked => (
                ActWithin::Day,
                &GAVE_UP,
                "It used up its attempts, or its processes kept ending. The row of its kind says what stands still.",
            ),
        };
        RunbookRow {
            about: RunbookAbout::Job,
            code: self.code(),
            meaning,
            within,
            remedy: None,
            procedure,
        }
    }
}

/// The row of a kind of work: what it means that it stands still, and how soon its owner acts. Recurring work is tried again at its next time,
/// and is parked only when its processes keep ending.
pub fn parked(kind: &WorkKind, within: ActWithin, meaning: &'static str) -> RunbookRow {
    RunbookRow {
        about: RunbookAbout::Work,
        code: kind.name,
        meaning,
        within,
        remedy: None,
        procedure: &GAVE_UP,
    }
}

/// The rows of all states.
pub fn states() -> Vec<RunbookRow> {
    JobState::ALL.map(JobState::runbook).to_vec()
}

/// The rows of this module's kinds of work.
pub fn work() -> Vec<RunbookRow> {
    use ActWithin::{Day, Hour};
    vec![
        parked(
            &LEDGER_TREE,
            Hour,
            "New entries of the ledger get no place in its tree, and no checkpoint is signed.",
        ),
        parked(
            &LEDGER_INDEX,
            Day,
            "New entries of the ledger are not found by their member. Disclosures of a member lack them.",
        ),
        parked(
            &EXPIRED,
            Day,
            "What has expired stays in the store, which grows. Nothing expired is accepted for that.",
        ),
        parked(
            &AUTHORIZATIONS,
            Day,
            "Prior authorizations whose period is over are not marked. A release checks the period itself.",
        ),
        parked(
            &ROSTER,
            Day,
            "The index of the matcher may lack members, so that they are not found.",
        ),
    ]
}
