//! The work of a run of ours, its steps, and its limits.

use crate::exchange::failpoints::OF_JOB;
use crate::exchange::kind::CARRIER;
use crate::jobs::{Priority, WorkKind};
use std::time::Duration;

/// The work of a run.
pub static ASK: WorkKind = WorkKind {
    name: CARRIER,
    priority: Priority::Ordinary,
    every: None,
    timeout: Duration::from_secs(4 * 3_600),
    renews: true,
    safe_because: "each step is recorded before the next one begins; what is asked for twice is asked with the same key, and only reads; an \
                   answer to a receipt counts once",
};

/// The work that ends runs of ours which do not come to their end.
pub static ASK_END: WorkKind = WorkKind {
    name: "bulk-ask-end",
    priority: Priority::Last,
    every: None,
    timeout: Duration::from_secs(600),
    renews: true,
    safe_because: "it notes in the row of the run that its end has begun, and lets only those go on alone for whom the run still works",
};

/// Most members of a run.
pub(super) const MEMBERS_MOST: i64 = 1_000;
/// Most bytes of a question. Members beyond it go on alone.
pub(super) const BODY_BYTES: usize = 12 << 20;
/// Time for a run, milliseconds.
pub(super) const TIME_MS: i64 = 24 * 3_600_000;
/// Members whose exchanges one transaction changes.
pub(super) const TOGETHER: usize = 50;
/// How often a step is tried.
pub(super) const ATTEMPTS: i64 = 8;

macro_rules! steps {
    ($($(#[$about:meta])* $name:ident => $code:literal,)+) => {
        /// What a run does next. The names are in rows, and must never change.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum RunStep {
            $($(#[$about])* $name,)+
        }

        impl RunStep {
            /// Every step, in order.
            pub const ALL: &[RunStep] = &[$(RunStep::$name,)+];

            pub const fn code(self) -> &'static str {
                match self {
                    $(RunStep::$name => $code,)+
                }
            }

            /// Whether the members have what is theirs: the run can only end well now.
            pub const fn is_after_members(self) -> bool {
                matches!(self, RunStep::CheckReceipt | RunStep::AnswerReceipt | RunStep::EndExport)
            }

            pub fn parse(code: &str) -> Option<RunStep> {
                Self::ALL.iter().copied().find(|one| one.code() == code)
            }
        }
    };
}

steps! {
    /// Ask who the members are at the partner.
    AskMatch => "ask-match",
    /// Wait for the answer.
    AwaitMatch => "await-match",
    /// Delete the match at the partner.
    EndMatch => "end-match",
    /// Ask for the records of those who were matched.
    AskExport => "ask-export",
    /// Wait for the files.
    AwaitExport => "await-export",
    /// Fetch the files.
    Fetch => "fetch",
    /// Give each member what is theirs.
    HandOut => "hand-out",
    /// Check the receipt of the export.
    CheckReceipt => "check-receipt",
    /// Answer it, once what came is stored.
    AnswerReceipt => "answer-receipt",
    /// Delete the export at the partner.
    EndExport => "end-export",
}

/// The points before a step of a run.
pub(super) const BEFORE_STEP: &str = "bulk-ask";
/// The points after a step of a run, before its result is on record.
pub(super) const AFTER_STEP: &str = "bulk-ask-done";

/// All points of a run at which [`crate::failpoint`] can kill the process.
pub fn failpoints() -> Vec<String> {
    let of_jobs = [&ASK, &ASK_END]
        .into_iter()
        .flat_map(|kind| OF_JOB.map(|point| format!("{}.{point}", kind.name)));
    let around = [BEFORE_STEP, AFTER_STEP];
    let of_steps = RunStep::ALL
        .iter()
        .flat_map(|step| around.map(|when| format!("{when}.{}", step.code())));
    of_jobs.chain(of_steps).collect()
}
