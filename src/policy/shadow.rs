//! A candidate version beside the one in force: the same request and the same candidates, decided once more after the answer.
//!
//! It runs on threads of its own and only so many at a time; what does not fit is dropped and counted as such. Nothing of a
//! request outlives it: what is kept are pairs of outcomes.

use crate::context::Context;
use crate::error::Failure;
use crate::identity::{Outcome, Profile, Rules, decide};
use crate::store::policies::{self, PairRow, Shadow};
use crate::store::roster::Roster;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Comparisons at once in one process.
const AT_ONCE: usize = 16;
static RUNNING: AtomicUsize = AtomicUsize::new(0);

/// A request that the version in force has decided. Holds what it says of a person, so never to be logged or stored.
pub struct Case {
    /// Who is asked for.
    pub asked: Profile,
    /// The candidates, with the numbers of their compartments.
    pub held: Vec<(i64, Profile)>,
    /// The state of the roster.
    pub roster: Arc<Roster>,
    /// What the version in force decided: an index into the candidates.
    pub decided: Outcome,
    /// The candidate version.
    pub shadow: Shadow,
}

/// Decides `case` by the candidate version too, after this returned, and counts how the two ended.
pub fn compare_later(ctx: &Context, case: Case) {
    if RUNNING.fetch_add(1, Ordering::AcqRel) >= AT_ONCE {
        RUNNING.fetch_sub(1, Ordering::AcqRel);
        metrics::counter!("causeway_policy_shadow_dropped_total").increment(1);
        return;
    }
    let ctx = ctx.clone();
    tokio::task::spawn_blocking(move || {
        let _running = Running;
        let pair = outcomes(&case);
        let (shadow, now_ms) = (case.shadow, ctx.clock.now_ms());
        let active_id = shadow.active.id();
        ctx.store.write_later(move |db| {
            let ids = [active_id.as_str(), shadow.candidate_id.as_str()];
            policies::count_pair(db, ids, pair.0, pair.1, now_ms)
        });
    });
}

struct Running;

impl Drop for Running {
    fn drop(&mut self) {
        RUNNING.fetch_sub(1, Ordering::AcqRel);
    }
}

fn outcomes(case: &Case) -> (&'static str, &'static str) {
    let Rules { policy, point, .. } = case.shadow.rules.as_ref();
    let held: Vec<&Profile> = case.held.iter().map(|(_, profile)| profile).collect();
    let candidate = decide(&case.asked, &held, &case.roster.facts, policy, *point).outcome;
    match (case.decided, candidate) {
        (Outcome::Match(one), Outcome::Match(other)) if one != other => (MATCH, MATCH_OTHER),
        (active, candidate) => (word(active), word(candidate)),
    }
}

const MATCH: &str = "match";
const MATCH_OTHER: &str = "match-other";

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Match(_) => MATCH,
        Outcome::Review(_) => "review",
        Outcome::None => "none",
    }
}

/// What a shadow run has shown so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How often each pair of outcomes came.
    pub pairs: Vec<PairRow>,
    /// Requests compared.
    pub compared: i64,
    /// Requests that ended differently.
    pub different: i64,
    /// Those of them that the candidate would have matched and the version in force did not, or to somebody else.
    pub risky: i64,
    /// Those that the version in force matched and the candidate would not.
    pub lost: i64,
}

impl Report {
    /// Sums up these pairs.
    pub fn of(pairs: Vec<PairRow>) -> Report {
        let mut report = Report::default();
        for pair in &pairs {
            let (active, candidate) = (pair.active_outcome.as_str(), pair.candidate_outcome.as_str());
            report.compared += pair.seen;
            if active == candidate {
                continue;
            }
            report.different += pair.seen;
            match (active, candidate) {
                (_, MATCH | MATCH_OTHER) => report.risky += pair.seen,
                (MATCH, _) => report.lost += pair.seen,
                _ => {}
            }
        }
        report.pairs = pairs;
        report
    }
}

/// What the versions of these ids have shown beside each other.
///
/// # Errors
/// Those of the store.
pub fn report(ctx: &Context, active_id: &str, candidate_id: &str) -> Result<Report, Failure> {
    let pairs = ctx
        .store
        .read_blocking(|db| policies::pairs(db, active_id, candidate_id))?;
    Ok(Report::of(pairs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_counts_what_is_risky_and_what_is_lost() {
        let pair = |active: &str, candidate: &str, seen| PairRow {
            active_outcome: active.into(),
            candidate_outcome: candidate.into(),
            seen,
            last_ms: 0,
        };
        let report = Report::of(vec![
            pair("match", "match", 100),
            pair("match", "match-other", 1),
            pair("match", "none", 2),
            pair("match", "review", 4),
            pair("none", "match", 8),
            pair("review", "match", 16),
            pair("review", "none", 32),
            pair("none", "none", 64),
        ]);
        assert_eq!((report.compared, report.different), (227, 63));
        assert_eq!((report.risky, report.lost), (25, 6));
    }
}
