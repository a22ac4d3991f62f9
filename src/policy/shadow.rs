//! The shadow run of a candidate version: the same request with the same candidates is decided once more, after the answer.
//!
//! It runs on its own threads, and only so many at a time; further requests are dropped and counted as dropped.
//! Nothing of a request is kept: only pairs of outcomes are stored.

use super::hand::{PolicyHand, act};
use super::kind::{KindTable, PolicyKind};
use super::standing::VersionState;
use super::versions::{Version, find, list};
use crate::audit::Action;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::identity::{MatchOutcome, Profile, Rules, decide};
use crate::store::policies::{self, PairRow, Shadow};
use crate::store::roster::RememberedRoster;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many comparisons one process runs at a time.
const AT_ONCE: usize = 16;
static RUNNING: AtomicUsize = AtomicUsize::new(0);

/// A request that the active version has decided. It contains personal data, so it must never be logged or stored.
pub struct ShadowCase {
    /// The person whom the request means.
    pub asked: Profile,
    /// The candidates, with the numbers of their compartments.
    pub held: Vec<(i64, Profile)>,
    /// The state of the roster.
    pub roster: Arc<RememberedRoster>,
    /// What the active version decided: an index into the candidates.
    pub decided: MatchOutcome,
    /// The candidate version.
    pub shadow: Shadow,
}

/// Decides `case` by the candidate version too, in the background, and counts the pair of outcomes.
pub fn compare_later(ctx: &Context, case: ShadowCase) {
    if RUNNING.fetch_add(1, Ordering::AcqRel) >= AT_ONCE {
        RUNNING.fetch_sub(1, Ordering::AcqRel);
        metrics::counter!("causeway_policy_shadow_dropped_total").increment(1);
        return;
    }
    let ctx = ctx.clone();
    tokio::task::spawn_blocking(move || {
        let _running = Running;
        compare(&ctx, case);
    });
}

/// Decides `case` by the candidate version too, on this thread, and counts the pair of outcomes.
pub fn compare(ctx: &Context, case: ShadowCase) {
    let pair = outcomes(&case);
    let (shadow, now_ms) = (case.shadow, ctx.clock.now_ms());
    let active_id = shadow.active.id();
    ctx.store.write_later(move |db| {
        let ids = [active_id.as_str(), shadow.candidate_id.as_str()];
        policies::count_pair(db, ids, pair.0, pair.1, now_ms)
    });
}

struct Running;

impl Drop for Running {
    fn drop(&mut self) {
        RUNNING.fetch_sub(1, Ordering::AcqRel);
    }
}

fn outcomes(case: &ShadowCase) -> (&'static str, &'static str) {
    let Rules { policy, point, .. } = case.shadow.rules.as_ref();
    let held: Vec<&Profile> = case.held.iter().map(|(_, profile)| profile).collect();
    let candidate = decide(&case.asked, &held, &case.roster.facts, policy, *point).outcome;
    match (case.decided, candidate) {
        (MatchOutcome::Match(one), MatchOutcome::Match(other)) if one != other => (MATCH, MATCH_OTHER),
        (active, candidate) => (word(active), word(candidate)),
    }
}

const MATCH: &str = "match";
const MATCH_OTHER: &str = "match-other";

fn word(outcome: MatchOutcome) -> &'static str {
    match outcome {
        MatchOutcome::Match(_) => MATCH,
        MatchOutcome::Review(_) => "review",
        MatchOutcome::None => "none",
    }
}

/// The results of a shadow run so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShadowReport {
    /// How often each pair of outcomes occurred.
    pub pairs: Vec<PairRow>,
    /// How many requests were compared.
    pub compared: i64,
    /// How many of them ended differently.
    pub different: i64,
    /// How many of those the candidate would have matched, where the active version did not match or matched another member.
    pub risky: i64,
    /// How many of those the active version matched and the candidate would not.
    pub lost: i64,
}

impl ShadowReport {
    /// Sums up pairs of outcomes.
    pub fn of(pairs: Vec<PairRow>) -> ShadowReport {
        let mut report = ShadowReport::default();
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

/// Starts a shadow run of a matching policy. Counts of an earlier run of it are deleted.
///
/// # Errors
/// [`Fault::PolicyInvalid`] for the active version; as [`find`].
pub fn start_shadow(ctx: &Context, table: KindTable, wanted: &str, hand: &PolicyHand) -> Result<Version, Failure> {
    let version = find(ctx, table, Some(PolicyKind::Matching), wanted)?;
    if matches!(version.standing, VersionState::Active(_)) {
        return Err(Failure::new(Fault::PolicyInvalid).remedy("This version is in force: let another run beside it."));
    }
    let row = version.row(ctx.clock.now_ms());
    let now_ms = ctx.clock.now_ms();
    act(ctx, Action::PolicyShadowStarted, version.acted(), hand, move |db| {
        policies::insert(db, &row)?;
        policies::set_shadow(db, &row.kind, Some(&row.id), now_ms)
    })?;
    find(ctx, table, Some(PolicyKind::Matching), &version.id)
}

/// Ends the shadow run. Its counts stay until the same version runs again.
///
/// # Errors
/// [`Fault::PolicyUnknown`] when there is no shadow run; those of the store.
pub fn stop_shadow(ctx: &Context, table: KindTable, hand: &PolicyHand) -> Result<Version, Failure> {
    let shadows = |version: &Version| matches!(version.standing, VersionState::Shadow(_));
    let kind = PolicyKind::Matching;
    let version = list(ctx, table, Some(kind))?
        .into_iter()
        .find(shadows)
        .ok_or_else(|| Failure::new(Fault::PolicyUnknown).remedy("No version runs beside the one in force."))?;
    let now_ms = ctx.clock.now_ms();
    act(ctx, Action::PolicyShadowEnded, version.acted(), hand, move |db| {
        policies::set_shadow(db, kind.code(), None, now_ms)
    })?;
    Ok(version)
}

/// Returns the results of the shadow run of these two versions.
///
/// # Errors
/// Those of the store.
pub fn report(ctx: &Context, active_id: &str, candidate_id: &str) -> Result<ShadowReport, Failure> {
    let pairs = ctx
        .store
        .read_blocking(|db| policies::pairs(db, active_id, candidate_id))?;
    Ok(ShadowReport::of(pairs))
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
        let report = ShadowReport::of(vec![
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
