//! The list of the points of bulk work at which [`crate::failpoint`] can kill the process. It decides nothing; a release build has no such points.

use super::asking;
use super::kinds::{END, EXPORT, GROUPS, MATCH};
use crate::exchange::failpoints::OF_JOB;

/// Points of the runs of partners: each body, file and piece.
const OF_RUN: [&str; 4] = ["spooled", "planned", "files-written", "piece-done"];

/// All points of bulk work: those of its jobs, of runs of partners, and of each step of a run of ours.
pub fn all() -> Vec<String> {
    let of_jobs = [&EXPORT, &MATCH, &END, &GROUPS]
        .into_iter()
        .flat_map(|kind| OF_JOB.map(|point| format!("{}.{point}", kind.name)));
    let of_runs = OF_RUN.iter().map(|point| format!("bulk.{point}"));
    of_jobs.chain(of_runs).chain(asking::failpoints()).collect()
}
