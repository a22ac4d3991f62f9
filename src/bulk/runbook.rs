//! The runbook of bulk work: what each state of a partner's job and of a run of ours means, and what stands still while its work is parked.

use super::asking::{ASK, ASK_END};
use super::kinds::{END, EXPORT, GROUPS, MATCH};
use crate::error::RunbookCommand::{
    BulkCancel, BulkList, BulkShow, ConfigCheckFiles, ExchangeList, JobsParked, JobsReplay, PartnerCheck,
};
use crate::error::RunbookStep::{Do, Run};
use crate::error::{
    ActWithin, ContactKind, EscalateTo, PersonDecides, Procedure, ReplayRule, RunbookAbout, RunbookOwner, RunbookRow,
};
use crate::jobs::runbook::parked;
use crate::store::{bulk as of_partners, bulk_runs as of_ours};

/// The state of a bulk job of a partner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BulkJobState {
    /// It has not begun.
    Waiting,
    /// It has begun.
    Running,
    /// It came to its end.
    Done,
    /// An error or its deadline ended it.
    Failed,
    /// Its partner, or an operator, ended it.
    Cancelled,
}

/// The state of a bulk run of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BulkRunState {
    /// Members are still added to it.
    Gathering,
    /// It has begun.
    Running,
    /// It came to its end.
    Done,
    /// It was given up.
    Failed,
    /// An operator ended it.
    Cancelled,
}

/// It makes progress by itself.
static WORKS: Procedure = Procedure {
    owner: RunbookOwner::Us,
    replay: ReplayRule::Nothing,
    person: PersonDecides::Nobody,
    escalate: EscalateTo::Lead,
    contact: None,
    steps: &[
        Run(BulkShow, "If it is late: see how far it is, and its deadline."),
        Run(JobsParked, "See whether its work is parked."),
        Run(BulkCancel, "Only if it must end: its files are removed."),
    ],
};

/// A job of a partner failed.
static JOB_FAILED: Procedure = Procedure {
    owner: RunbookOwner::Operations,
    replay: ReplayRule::NotUseful,
    person: PersonDecides::Nobody,
    escalate: EscalateTo::Lead,
    contact: Some(ContactKind::Technical),
    steps: &[
        Run(BulkShow, "See the fault that ended it, and look it up in the runbook."),
        Do("End the cause, then tell the partner to start the job again. A job that failed does not continue."),
    ],
};

/// A run of ours was given up.
static RUN_FAILED: Procedure = Procedure {
    owner: RunbookOwner::Partner,
    replay: ReplayRule::Nothing,
    person: PersonDecides::Nobody,
    escalate: EscalateTo::Partner,
    contact: Some(ContactKind::Technical),
    steps: &[
        Run(BulkShow, "See the fault, and how many members it still had."),
        Run(
            ExchangeList,
            "See that its members go on alone. No member waits for the run.",
        ),
        Do("Send the technical contact the id of the run: it is the correlation id of its calls."),
    ],
};

/// It is over.
static OVER: Procedure = Procedure {
    owner: RunbookOwner::Us,
    replay: ReplayRule::Nothing,
    person: PersonDecides::Nobody,
    escalate: EscalateTo::Nobody,
    contact: None,
    steps: &[Run(BulkList, "To see how it ended.")],
};

/// The work of a partner's job is parked.
static PARKED: Procedure = Procedure {
    owner: RunbookOwner::Operations,
    replay: ReplayRule::AfterCause,
    person: PersonDecides::Operator,
    escalate: EscalateTo::Lead,
    contact: Some(ContactKind::Technical),
    steps: &[
        Run(JobsParked, "See how its last attempt failed, and what to do next."),
        Run(
            ConfigCheckFiles,
            "See whether the server reaches the files of exports.url.",
        ),
        Run(
            JobsReplay,
            "Let it continue, if the bulk job is not failed yet. A piece that is done is not done twice.",
        ),
        Do("If the bulk job has failed, tell the partner to start it again."),
    ],
};

/// The work of a run of ours is parked.
static RUN_PARKED: Procedure = Procedure {
    owner: RunbookOwner::Operations,
    replay: ReplayRule::AfterCause,
    person: PersonDecides::Operator,
    escalate: EscalateTo::Partner,
    contact: Some(ContactKind::Technical),
    steps: &[
        Run(BulkShow, "See at which step of the run, and how often it failed."),
        Run(
            PartnerCheck,
            "Check the partner's registration and keys from this host.",
        ),
        Run(JobsReplay, "When the cause is gone."),
        Run(BulkCancel, "Or end the run. Its members go on alone."),
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

impl BulkJobState {
    /// Every state.
    pub const ALL: [BulkJobState; 5] = [
        BulkJobState::Waiting,
        BulkJobState::Running,
        BulkJobState::Done,
        BulkJobState::Failed,
        BulkJobState::Cancelled,
    ];

    /// Its name in rows and lists.
    pub const fn code(self) -> &'static str {
        match self {
            BulkJobState::Waiting => of_partners::WAITING,
            BulkJobState::Running => of_partners::RUNNING,
            BulkJobState::Done => of_partners::DONE,
            BulkJobState::Failed => of_partners::FAILED,
            BulkJobState::Cancelled => of_partners::CANCELLED,
        }
    }

    /// Its row of the runbook.
    pub fn runbook(self) -> RunbookRow {
        use ActWithin::{Day, Never};
        let what = match self {
            BulkJobState::Waiting => (Never, &WORKS, "The job was accepted, and has not begun."),
            BulkJobState::Running => (Never, &WORKS, "Its pieces are made, one after the other."),
            BulkJobState::Done => (Never, &OVER, "Its files are ready, and are kept for some days."),
            BulkJobState::Failed => (
                Day,
                &JOB_FAILED,
                "An error or its deadline ended it. The partner gets no files.",
            ),
            BulkJobState::Cancelled => (Never, &OVER, "The partner or an operator ended it. Its files are gone."),
        };
        row(RunbookAbout::BulkJob, self.code(), what)
    }
}

impl BulkRunState {
    /// Every state.
    pub const ALL: [BulkRunState; 5] = [
        BulkRunState::Gathering,
        BulkRunState::Running,
        BulkRunState::Done,
        BulkRunState::Failed,
        BulkRunState::Cancelled,
    ];

    /// Its name in rows and lists.
    pub const fn code(self) -> &'static str {
        match self {
            BulkRunState::Gathering => of_ours::GATHERING,
            BulkRunState::Running => of_ours::RUNNING,
            BulkRunState::Done => of_ours::DONE,
            BulkRunState::Failed => of_ours::FAILED,
            BulkRunState::Cancelled => of_ours::CANCELLED,
        }
    }

    /// Its row of the runbook.
    pub fn runbook(self) -> RunbookRow {
        use ActWithin::{Day, Never};
        let what = match self {
            BulkRunState::Gathering => (Never, &WORKS, "Members are still added to the run."),
            BulkRunState::Running => (
                Never,
                &WORKS,
                "The partner is asked for all members of the run at once.",
            ),
            BulkRunState::Done => (Never, &OVER, "Each member of the run has what is the member's."),
            BulkRunState::Failed => (Day, &RUN_FAILED, "The run was given up. Its members go on alone."),
            BulkRunState::Cancelled => (Never, &OVER, "An operator ended the run. Its members go on alone."),
        };
        row(RunbookAbout::BulkRun, self.code(), what)
    }
}

/// The rows of all states.
pub fn states() -> Vec<RunbookRow> {
    let jobs = BulkJobState::ALL.map(BulkJobState::runbook);
    let runs = BulkRunState::ALL.map(BulkRunState::runbook);
    jobs.into_iter().chain(runs).collect()
}

/// The rows of the kinds of bulk work.
pub fn work() -> Vec<RunbookRow> {
    use ActWithin::{Day, Hour};
    let by = |procedure: &'static Procedure, row: RunbookRow| RunbookRow { procedure, ..row };
    vec![
        by(
            &PARKED,
            parked(
                &EXPORT,
                Hour,
                "An export of a partner stands still. Within an hour its job is ended as failed.",
            ),
        ),
        by(
            &PARKED,
            parked(
                &MATCH,
                Hour,
                "A bulk match of a partner stands still. Within an hour its job is ended as failed.",
            ),
        ),
        parked(
            &END,
            Day,
            "A bulk job is not ended at its deadline, and files that are over stay on the disk.",
        ),
        parked(
            &GROUPS,
            Day,
            "Groups of matched members are kept longer than bulk.group_days.",
        ),
        by(
            &RUN_PARKED,
            parked(
                &ASK,
                Hour,
                "A bulk run of ours stands still. Within an hour it is ended as failed, and its members go on alone.",
            ),
        ),
        parked(
            &ASK_END,
            Day,
            "A bulk run of ours that does not come to its end is not ended.",
        ),
    ]
}
