//! Which alerts these figures raise at this time. Pure: values in, values out.
//!
//! A window ends at the time of the look, and a baseline is what was before the window, so that nothing is kept between two looks and every
//! alert clears by itself.

use super::table;
use crate::exchange::clocks::DueState;
use crate::store::alert_figures::{LateReviews, MatchTally, OpenCircuit, RunningClock};
use crate::telemetry::signs::TlsEnd;
use std::collections::BTreeMap;

/// The window of most alerts, milliseconds.
pub const WINDOW_MS: i64 = 3_600_000;
/// What a window is compared with: so many milliseconds before it.
pub const BASELINE_MS: i64 = 7 * 24 * WINDOW_MS;
/// The window of what one process counts, minutes.
pub const PROCESS_MINUTES: i64 = 15;
/// How far ahead the ends of grants are looked at, and as far back, milliseconds.
pub const EXPIRY_MS: i64 = 7 * 24 * WINDOW_MS;
/// Age from which an entry outside of the tree of the ledger is late, milliseconds. One that was committed late is found by
/// the next sweep of the sequencer, which may be a minute later.
pub const LEDGER_LATE_MS: i64 = 150_000;

/// Times in a row that the circuit of a partner was opened.
const OPENED: i64 = 2;
/// Answers, at least, by which a partner is slow or not.
const ANSWERS: usize = 20;
/// The 95th percentile from which a partner is slow, milliseconds; and how many times its own earlier one it has to be.
const SLOW_MS: i64 = 10_000;
const SLOW_TIMES: i64 = 3;
/// Matches, at least, in the window and before it, by which a rate is judged.
const TRIED: i64 = 20;
const TRIED_BEFORE: i64 = 50;
/// Ended grants from which they are a wave, and how many times their own mean they have to be.
const ENDED: i64 = 20;
const ENDED_TIMES: i64 = 5;
/// Grants that end soon from which they are a wave, and how many times as many they have to be as ended in as long before.
const EXPIRING: i64 = 20;
const EXPIRING_TIMES: i64 = 3;
/// Days before the end of a certificate, an authority and a revocation list.
const CERTIFICATE_DAYS: i64 = 14;
const AUTHORITY_DAYS: i64 = 30;
const LIST_DAYS: i64 = 2;
const DAY_MS: i64 = 86_400_000;
/// Jobs that are due.
const DUE_JOBS: i64 = 1_000;
/// Jobs and exchanges that were parked within the window.
const PARKED: i64 = 5;
/// Lateness of the job that is due first, milliseconds.
const STUCK_MS: i64 = 600_000;
/// Repeated answers, of which more than half of all have to be.
const REPEATED: u64 = 100;
/// Readings of the metrics in an hour from which somebody reads them regularly, and the silence after which that has stopped, milliseconds.
const SCRAPES: u64 = 10;
const SILENT_MS: i64 = 300_000;

/// What a partner answered in the window, and before it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartnerAnswers {
    /// The partner.
    pub partner: String,
    /// How long its answers in the window took, milliseconds.
    pub recent_ms: Vec<i64>,
    /// How long those before it took.
    pub before_ms: Vec<i64>,
}

/// What one process has counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessFigures {
    /// When the first TLS file of each kind ends, seconds since 1970.
    pub tls_ends: Vec<TlsEnd>,
    /// Log lines that were lost in the last [`PROCESS_MINUTES`].
    pub log_lost: u64,
    /// Spans of traces that were lost in the last [`PROCESS_MINUTES`].
    pub spans_lost: u64,
    /// Requests for a match that were answered in the last [`PROCESS_MINUTES`].
    pub answered: u64,
    /// Those of them that got an earlier answer again.
    pub repeated: u64,
    /// When the metrics were last read (UTC milliseconds), and how often in the hour that ended then.
    pub last_scrape: Option<(i64, u64)>,
}

/// All that alerts are judged by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertFigures {
    /// Partners whose circuit is open.
    pub circuits: Vec<OpenCircuit>,
    /// Answers of partners.
    pub answers: Vec<PartnerAnswers>,
    /// Matches in the window.
    pub matches: Vec<MatchTally>,
    /// Matches in the baseline.
    pub matches_before: Vec<MatchTally>,
    /// Grants that were ended before their time in the window.
    pub ended: i64,
    /// The same in the baseline.
    pub ended_before: i64,
    /// Grants that will end by themselves within [`EXPIRY_MS`].
    pub expiring: i64,
    /// Grants that ended by themselves within [`EXPIRY_MS`].
    pub expired: i64,
    /// Reviews that are over their time.
    pub late_reviews: LateReviews,
    /// Background jobs that are due.
    pub due_jobs: i64,
    /// How late the one is that was due first, milliseconds.
    pub late_ms: i64,
    /// Jobs and exchanges that were parked within the window.
    pub parked: i64,
    /// Exchanges that have not ended.
    pub clocks: Vec<RunningClock>,
    /// Objectives whose error budget burns fast.
    pub burning: Vec<&'static str>,
    /// When the oldest late entry outside of the tree of the ledger was written, UTC milliseconds.
    pub unsequenced_ms: Option<i64>,
    /// What this process has counted; `None` in one that serves nobody.
    pub process: Option<ProcessFigures>,
}

/// An alert that is raised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RaisedAlert {
    /// Its code in the table.
    pub code: &'static str,
    /// How many partners, jobs, exchanges, grants or files raise it; at least 1.
    pub count: i64,
    /// The partners that it is about, in their order.
    pub partners: Vec<String>,
    /// What was found, in words, without anything of a member.
    pub says: String,
}

/// Returns the alerts that are raised at `now_ms` (UTC milliseconds), in the order of the table.
pub fn judge(figures: &AlertFigures, now_ms: i64) -> Vec<RaisedAlert> {
    let process = figures.process.as_ref();
    let found = [
        failing(&figures.circuits, now_ms),
        slow(&figures.answers),
        fallen(&figures.matches, &figures.matches_before),
        ended(figures.ended, figures.ended_before),
        ending(figures.expiring, figures.expired),
        process.and_then(|process| expiring(&process.tls_ends, now_ms)),
        (figures.due_jobs >= DUE_JOBS).then(|| {
            let count = figures.due_jobs;
            raised(table::QUEUE_GROWTH, count, format!("{count} background jobs are due"))
        }),
        (figures.parked >= PARKED).then(|| {
            let count = figures.parked;
            let says = format!("{count} jobs and exchanges were parked within an hour");
            raised(table::PARKED_GROWTH, count, says)
        }),
        (figures.late_ms >= STUCK_MS).then(|| {
            let minutes = figures.late_ms / 60_000;
            let says = format!("a background job has been due for {minutes} minutes, and no worker took it");
            raised(table::WORKER_STUCK, 1, says)
        }),
        clocks(&figures.clocks, now_ms),
        overdue(&figures.late_reviews, now_ms),
        burning(&figures.burning),
        process.and_then(repeats),
        figures
            .unsequenced_ms
            .filter(|since_ms| now_ms - since_ms >= LEDGER_LATE_MS)
            .map(|since_ms| {
                let seconds = (now_ms - since_ms) / 1_000;
                let says = format!("an entry has waited {seconds} s for its place in the tree of the ledger");
                raised(table::LEDGER_LAG, 1, says)
            }),
        process.and_then(|process| lost(table::LOG_DROPPING, process.log_lost, "log lines")),
        process.and_then(|process| lost(table::TRACES_LOST, process.spans_lost, "spans of traces")),
        process
            .and_then(|process| process.last_scrape)
            .filter(|(at_ms, scrapes)| *scrapes >= SCRAPES && now_ms - at_ms >= SILENT_MS)
            .map(|(at_ms, _)| {
                let minutes = (now_ms - at_ms) / 60_000;
                raised(
                    table::SCRAPE_MISSING,
                    1,
                    format!("nobody has read the metrics for {minutes} minutes"),
                )
            }),
    ];
    found.into_iter().flatten().collect()
}

fn raised(code: &'static str, count: i64, says: String) -> RaisedAlert {
    RaisedAlert {
        code,
        count,
        partners: Vec::new(),
        says,
    }
}

/// The alert that so much of something was lost.
fn lost(code: &'static str, count: u64, what: &str) -> Option<RaisedAlert> {
    let says = format!("{count} {what} were lost");
    (count > 0).then(|| raised(code, i64::try_from(count).unwrap_or(i64::MAX), says))
}

/// One alert about these partners; none about nobody.
fn about(code: &'static str, mut partners: Vec<String>, says: impl Fn(usize) -> String) -> Option<RaisedAlert> {
    partners.sort();
    partners.dedup();
    let says = says(partners.len());
    (!partners.is_empty()).then(|| RaisedAlert {
        code,
        count: i64::try_from(partners.len()).unwrap_or(i64::MAX),
        partners,
        says,
    })
}

fn failing(circuits: &[OpenCircuit], now_ms: i64) -> Option<RaisedAlert> {
    // A partner that nobody had a reason to call for an hour is not known to fail.
    let fails = |circuit: &&OpenCircuit| circuit.opened >= OPENED && circuit.until_ms > now_ms - WINDOW_MS;
    let partners = circuits.iter().filter(fails).map(|circuit| circuit.partner.clone());
    about(table::PARTNER_FAILING, partners.collect(), |count| {
        format!("partners whose calls fail again and again: {count}")
    })
}

fn slow(answers: &[PartnerAnswers]) -> Option<RaisedAlert> {
    let is_slow = |answers: &&PartnerAnswers| {
        let Some(recent_ms) = percentile(&answers.recent_ms) else {
            return false;
        };
        let Some(usual_ms) = percentile(&answers.before_ms) else {
            return false;
        };
        recent_ms >= SLOW_MS && recent_ms >= usual_ms.saturating_mul(SLOW_TIMES)
    };
    let partners = answers.iter().filter(is_slow).map(|answers| answers.partner.clone());
    about(table::PARTNER_SLOW, partners.collect(), |count| {
        format!("partners whose slowest answers take three times as long as before, and at least 10 s: {count}")
    })
}

/// The 95th percentile, if there are enough values.
fn percentile(values_ms: &[i64]) -> Option<i64> {
    if values_ms.len() < ANSWERS {
        return None;
    }
    let mut sorted = values_ms.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() * 95 / 100).copied()
}

fn fallen(matches: &[MatchTally], before: &[MatchTally]) -> Option<RaisedAlert> {
    let before: BTreeMap<&str, &MatchTally> = before.iter().map(|then| (then.partner.as_str(), then)).collect();
    let has_fallen = |now: &&MatchTally| {
        let Some(then) = before.get(now.partner.as_str()) else {
            return false;
        };
        now.tried >= TRIED && then.tried >= TRIED_BEFORE && 2 * now.matched * then.tried < then.matched * now.tried
    };
    let partners = matches.iter().filter(has_fallen).map(|now| now.partner.clone());
    about(table::MATCH_RATE_FALLEN, partners.collect(), |count| {
        format!("partners whose requests find their member less than half as often as before: {count}")
    })
}

fn ended(count: i64, before: i64) -> Option<RaisedAlert> {
    let hours = BASELINE_MS / WINDOW_MS;
    (count >= ENDED && count.saturating_mul(hours) >= before.saturating_mul(ENDED_TIMES)).then(|| {
        let says = format!("{count} grants were ended before their time within an hour; {before} in the week before");
        raised(table::CONSENTS_ENDED, count, says)
    })
}

fn ending(count: i64, before: i64) -> Option<RaisedAlert> {
    (count >= EXPIRING && count >= before.saturating_mul(EXPIRING_TIMES)).then(|| {
        let says = format!("{count} grants end within 7 days; {before} ended by themselves in the 7 days before");
        raised(table::CONSENTS_EXPIRING, count, says)
    })
}

fn overdue(reviews: &LateReviews, now_ms: i64) -> Option<RaisedAlert> {
    (reviews.count > 0).then(|| {
        let hours = now_ms.saturating_sub(reviews.first_due_ms) / 3_600_000;
        let says = format!(
            "reviews over their time: {}; the oldest since {hours} hours",
            reviews.count
        );
        raised(table::REVIEWS_OVERDUE, reviews.count, says)
    })
}

fn expiring(ends: &[TlsEnd], now_ms: i64) -> Option<RaisedAlert> {
    let left_days = |end_s: i64| end_s.saturating_mul(1_000).saturating_sub(now_ms).div_euclid(DAY_MS);
    let ends_soon = |(file, end_s): &&TlsEnd| {
        let days = match *file {
            "certificate" => CERTIFICATE_DAYS,
            "authority" => AUTHORITY_DAYS,
            _ => LIST_DAYS,
        };
        left_days(*end_s) < days
    };
    let soon: Vec<String> = ends
        .iter()
        .filter(ends_soon)
        .map(|(file, end_s)| match left_days(*end_s) {
            days if days < 0 => format!("{file}: expired"),
            days => format!("{file}: {days} days left"),
        })
        .collect();
    let count = i64::try_from(soon.len()).unwrap_or(i64::MAX);
    (!soon.is_empty()).then(|| raised(table::TLS_EXPIRING, count, soon.join("; ")))
}

fn clocks(clocks: &[RunningClock], now_ms: i64) -> Option<RaisedAlert> {
    let state = |clock: &RunningClock| DueState::of(clock.began_ms, clock.due_ms, None, now_ms);
    let late: Vec<(&RunningClock, DueState)> = clocks
        .iter()
        .map(|clock| (clock, state(clock)))
        .filter(|(_, state)| *state != DueState::OnTrack)
        .collect();
    let breached = late.iter().filter(|(_, state)| *state == DueState::Breached).count();
    let partners = late.iter().map(|(clock, _)| clock.partner.clone()).collect();
    let says = format!(
        "exchanges with little time left: {}; over their time: {breached}",
        late.len() - breached
    );
    let found = about(table::EXCHANGE_CLOCK, partners, |_| says.clone())?;
    Some(RaisedAlert {
        count: i64::try_from(late.len()).unwrap_or(i64::MAX),
        ..found
    })
}

fn burning(objectives: &[&'static str]) -> Option<RaisedAlert> {
    let count = i64::try_from(objectives.len()).unwrap_or(i64::MAX);
    let says = || format!("budgets that burn fast: {}", objectives.join(", "));
    (count > 0).then(|| raised(table::BUDGET_BURN, count, says()))
}

fn repeats(process: &ProcessFigures) -> Option<RaisedAlert> {
    let (repeated, answered) = (process.repeated, process.answered);
    (repeated >= REPEATED && repeated.saturating_mul(2) > answered).then(|| {
        let says = format!("{repeated} of {answered} matches got an earlier answer again within a quarter of an hour");
        raised(table::REPLAY_VOLUME, i64::try_from(repeated).unwrap_or(i64::MAX), says)
    })
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
