//! The lists of the points of an exchange, and of the jobs that follow it, at which [`crate::failpoint`] can kill the process: around the
//! effect of each step, and before and after each commit. It decides nothing; a release build has no such points.

use super::kind::{ASKS_AGAIN, EXCHANGE, TAKES_BACK};
use super::steps::StepName;

/// Right before a step does what it does.
pub const BEFORE_EFFECT: &str = "before-effect";
/// Right after it, before anything of it is on record.
pub const AFTER_EFFECT: &str = "after-effect";
/// The begin of a step is written, with the result of the step before, and not committed.
pub const BEFORE_BEGIN: &str = "before-begin";
/// It is committed.
pub const BEGUN: &str = "begun";
/// The exchange and its job are written, and not committed.
pub const BEFORE_COMMIT: &str = "before-commit";
/// They are committed, and whoever asked does not know it yet.
pub const AFTER_COMMIT: &str = "after-commit";
/// What an exchange brought is out of the store, and the partner was not asked to take back anything yet.
pub const TAKEN_OUT: &str = "taken-out";
/// Where an exchange is taken in.
pub const INTAKE: &str = "intake";

/// Points of every job: its lease, and its end with its last result.
pub const OF_JOB: [&str; 3] = ["claimed", "before-settle", "settled"];
/// Points of the job that takes back what an exchange began, here and at the partner, between those of every job.
const OF_TAKING_BACK: [&str; 3] = [TAKEN_OUT, BEFORE_EFFECT, AFTER_EFFECT];
/// The point of the job that asks a partner again: the next exchange is written, and not committed.
const OF_ASKING_AGAIN: [&str; 1] = [BEFORE_COMMIT];
/// Points of what comes: each transaction in which a part of a record is kept or stored.
const OF_INGEST: [&str; 9] = [
    "before-open",
    "opened",
    "page-begun",
    "pieces-kept",
    "before-page",
    "page-landed",
    "before-batch",
    "batch-stored",
    "done",
];

/// All points of an exchange, in the order in which it passes them first.
pub fn all() -> Vec<String> {
    let named = |whole: &str, point: &&str| format!("{whole}.{point}");
    let mut all: Vec<String> = [BEFORE_COMMIT, AFTER_COMMIT]
        .iter()
        .map(|point| named(INTAKE, point))
        .collect();
    all.push(named(EXCHANGE.name, &OF_JOB[0]));
    for step in StepName::ALL {
        if step.is_lasting() {
            all.extend([BEFORE_BEGIN, BEGUN].iter().map(|point| named(step.code(), point)));
        }
        all.extend(
            [BEFORE_EFFECT, AFTER_EFFECT]
                .iter()
                .map(|point| named(step.code(), point)),
        );
    }
    all.extend(OF_INGEST.iter().map(|point| named("ingest", point)));
    all.extend(OF_JOB[1..].iter().map(|point| named(EXCHANGE.name, point)));
    all
}

/// All points of the job that takes back what an ended exchange began, in their order.
pub fn of_taking_back() -> Vec<String> {
    of_following(TAKES_BACK, &OF_TAKING_BACK)
}

/// All points of the job that asks a partner again after an exchange, in their order.
pub fn of_asking_again() -> Vec<String> {
    of_following(ASKS_AGAIN, &OF_ASKING_AGAIN)
}

fn of_following(job: &str, own: &[&str]) -> Vec<String> {
    let [claimed, ends @ ..] = OF_JOB;
    let points = std::iter::once(claimed).chain(own.iter().copied()).chain(ends);
    points.map(|point| format!("{job}.{point}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failpoints_of_the_jobs_that_follow_an_exchange_are_their_own() {
        let (back, again) = (of_taking_back(), of_asking_again());
        assert_eq!((back.len(), again.len()), (6, 4));
        let all = all();
        assert!(back.iter().chain(&again).all(|point| !all.contains(point)));
        assert_eq!(back[1], "exchange-take-back.taken-out");
    }

    #[test]
    fn failpoints_of_every_step_stand_in_the_list_once() {
        let all = all();
        let distinct: std::collections::BTreeSet<&String> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
        for step in StepName::ALL {
            let own = all.iter().filter(|name| name.starts_with(&format!("{}.", step.code())));
            assert_eq!(own.count(), if step.is_lasting() { 4 } else { 2 }, "{step:?}");
        }
        assert!(all.iter().all(|name| name.split('.').count() == 2));
    }
}
