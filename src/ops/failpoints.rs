//! The points at which this build can kill itself, for whoever tests crashes from outside.

use crate::audit::sequencer as of_ledger;
use crate::bulk;
use crate::erasure::{ERASE, POINTS as OF_ERASURE};
use crate::exchange::failpoints::{self as of_exchange, OF_JOB};
use crate::exchange::steps::JUDGE_AGAIN;
use crate::exchange::watch::WATCH;
use crate::failpoint::{AFTER, BEFORE, EXIST, SHARED};
use crate::figures::job::FIGURES;
use crate::jobs::WorkKind;
use crate::jobs::sequencer::LEDGER_TREE;
use crate::jobs::sweeps::{AUTHORIZATIONS, EXPIRED, LEDGER_INDEX, ROSTER};
use crate::retention::job::RETENTION;
use crate::retention::run as of_retention;
use crate::witness::send::LEDGER_WITNESS;
use serde::Serialize;

/// What `causeway failpoints` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FailpointTable {
    /// Whether this build has such points; a release build has none.
    pub failpoints: bool,
    /// Their names, `WHOLE.POINT`, when they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub points: Option<Vec<String>>,
}

/// Whether there are points, and which if `list` is true; `more` are kinds of work of modules above this one.
pub fn table(list: bool, more: &[&'static WorkKind]) -> FailpointTable {
    FailpointTable {
        failpoints: EXIST,
        points: list.then(|| all(more)),
    }
}

/// All points of this build.
fn all(more: &[&'static WorkKind]) -> Vec<String> {
    if !EXIST {
        return Vec::new();
    }
    let shared = SHARED
        .iter()
        .flat_map(|whole| [BEFORE, AFTER].map(|point| format!("{whole}.{point}")));
    let kinds = [
        &EXPIRED,
        &LEDGER_INDEX,
        &LEDGER_TREE,
        &LEDGER_WITNESS,
        &AUTHORIZATIONS,
        &ROSTER,
        &WATCH,
        &JUDGE_AGAIN,
        &RETENTION,
        &ERASE,
        &FIGURES,
    ];
    let of_kinds = kinds
        .into_iter()
        .chain(more.iter().copied())
        .flat_map(|kind| OF_JOB.map(|point| format!("{}.{point}", kind.name)));
    shared
        .chain(of_exchange::all())
        .chain(of_exchange::of_taking_back())
        .chain(of_exchange::of_asking_again())
        .chain(bulk::failpoints::all())
        .chain(of_kinds)
        .chain(of_retention::POINTS.map(|point| format!("{}.{point}", of_retention::POINT)))
        .chain(of_ledger::POINTS.map(|point| format!("{}.{point}", of_ledger::POINT)))
        .chain(OF_ERASURE.map(|point| format!("{}.{point}", ERASE.name)))
        .collect()
}
