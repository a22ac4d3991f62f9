//! Reads what objectives are judged by: figures of minutes, hours and days, and the clocks of exchanges that go on.
//!
//! Reads only, with a fixed number of statements, each of which is bounded: a window of a year reads a row for each day and kind.

use super::budget::{SloBudget, SloCounts, SloFigures, SloState, judge};
use super::policy::{SloPolicy, SloTarget, WHOLE, percent_text};
use crate::clock::rfc3339_ms;
use crate::error::{Failure, Fault};
use crate::exchange::clocks::DueState;
use crate::exchange::phase::AskedFor;
use crate::figures::job::GAP_MS;
use crate::figures::objective::SloObjective;
use crate::figures::tally::{CLOCK, KEPT, MISSED};
use crate::policy::PolicyKind;
use crate::store::activations::{self, EVERYONE};
use crate::store::figure_rows::{self as rows, EndedClock};
use crate::store::figures::{self, ALL_PARTNERS, FigureGrain, FigureSpan, FigureTotal, UP};
use crate::store::{Db, policies};
use serde::Serialize;
use std::collections::BTreeMap;

/// Causes that are named of one objective; what is rarer is one line.
const CAUSES: usize = 20;
/// The cause of all that is rarer.
pub const REST: &str = "(rest)";

const HOUR_MS: i64 = FigureGrain::Hour.ms();
const DAY_MS: i64 = FigureGrain::Day.ms();

/// Why an objective was missed, and how often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SloCause {
    /// In which state it was when its time was over: a phase of an exchange, or `review`.
    pub state: String,
    /// Who had to act.
    pub owner: String,
    /// The fault, where there was one.
    pub reason: Option<String>,
    /// How often.
    pub missed: i64,
}

/// An objective, and how much of its budget is left.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SloItem {
    /// Its name.
    pub objective: &'static str,
    /// What is promised.
    pub promise: &'static str,
    /// How it stands.
    pub state: SloState,
    /// Which share is to be kept, per cent.
    pub target_percent: String,
    /// In so many days of UTC, today and those before it.
    pub window_days: i64,
    /// When the window begins.
    pub from: String,
    /// What was kept in the window; minutes of `availability`, clocks of the others.
    pub kept: i64,
    /// What was missed.
    pub missed: i64,
    /// The share that was kept, per cent.
    pub share_percent: Option<f64>,
    /// How much may be missed of what had to be kept.
    pub budget: f64,
    /// How much of that is left, per cent.
    pub budget_left_percent: Option<f64>,
    /// How fast it was used in the last hour; 1 uses it up by the end of the window.
    pub burn_1h: Option<f64>,
    /// The same of the last six hours.
    pub burn_6h: Option<f64>,
    /// Whether it burns fast.
    pub burns_fast: bool,
    /// Clocks that go on, with less than a quarter of their time left.
    pub at_risk: i64,
    /// Why it was missed, the most frequent cause first.
    pub causes: Vec<SloCause>,
}

/// An exchange that missed the time of its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SloMiss {
    /// The exchange.
    pub exchange: String,
    /// The partner.
    pub partner: String,
    /// When the answer was due.
    pub due_at: String,
    /// When it ended, if it did.
    pub ended_at: Option<String>,
    /// Its phase now.
    pub phase: String,
    /// Who has to act.
    pub owner: String,
    /// Its fault.
    pub reason: Option<String>,
}

/// All objectives.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SloReport {
    /// The version of the policy, as it is cited.
    pub policy: String,
    /// When this was read.
    pub made_at: String,
    /// Up to when everything is counted; none before the first run of the job.
    pub counted_until: Option<String>,
    /// The objectives.
    pub items: Vec<SloItem>,
    /// The newest exchanges that missed the time of their answer, in the window of `business-day`.
    pub newest_missed: Vec<SloMiss>,
}

/// The policy in force at `at_ms` (UTC milliseconds), and as what it is cited.
///
/// # Errors
/// [`Fault::StoreDamaged`] for a policy that is gone or cannot be read; those of the database.
pub fn in_force(db: &mut Db, at_ms: i64) -> Result<(String, SloPolicy), Failure> {
    let damaged = |what: String| Failure::new(Fault::StoreDamaged).because(what);
    let Some(id) = activations::in_force(db, PolicyKind::Slo.code(), EVERYONE, at_ms)? else {
        let shipped = super::policy::built_in().remove(0);
        let id = shipped.id();
        return Ok((PolicyKind::Slo.cited(&shipped.name, &id), SloPolicy::default()));
    };
    let row = policies::find(db, &id)?.ok_or_else(|| damaged("an slo policy is gone".to_owned()))?;
    let policy = SloPolicy::parse(&row.body).map_err(|error| damaged(error.what))?;
    Ok((row.cited(), policy))
}

/// Reads all objectives at `now_ms` (UTC milliseconds).
///
/// # Errors
/// As [`in_force`].
pub fn report(db: &mut Db, now_ms: i64) -> Result<SloReport, Failure> {
    let (version, policy) = in_force(db, now_ms)?;
    let state = figures::state(db)?;
    let running = at_risk(&rows::running(db)?, now_ms);
    let burnt = [HOUR_MS, 6 * HOUR_MS];
    let [hour, six_hours] = [
        minutes(db, now_ms - burnt[0], now_ms)?,
        minutes(db, now_ms - burnt[1], now_ms)?,
    ];
    let mut items = Vec::with_capacity(SloObjective::ALL.len());
    for target in policy.targets() {
        let from_ms = window_from(target.days, now_ms);
        let figures = if target.objective == SloObjective::Availability {
            SloFigures {
                window: up(db, from_ms, now_ms)?,
                hour: up_minutes(db, now_ms - burnt[0], now_ms)?,
                six_hours: up_minutes(db, now_ms - burnt[1], now_ms)?,
                at_risk: 0,
            }
        } else {
            SloFigures {
                window: SloCounts::default(),
                hour: counts(&hour, target.objective),
                six_hours: counts(&six_hours, target.objective),
                at_risk: running.get(&target.objective).copied().unwrap_or(0),
            }
        };
        let totals = window(db, CLOCK, from_ms, now_ms)?;
        let window = match target.objective {
            SloObjective::Availability => figures.window,
            objective => counts(&totals, objective),
        };
        let figures = SloFigures { window, ..figures };
        items.push(item(*target, from_ms, figures, causes(&totals, target.objective)));
    }
    let days = policy.targets().first().map_or(1, |target| target.days);
    let missed = rows::newest_missed(db, window_from(days, now_ms), now_ms)?;
    Ok(SloReport {
        policy: version,
        made_at: rfc3339_ms(now_ms),
        counted_until: (state.began_ms > 0).then(|| rfc3339_ms(state.counted_ms)),
        items,
        newest_missed: missed.into_iter().map(miss).collect(),
    })
}

/// The objectives whose budget burns fast at `now_ms` (UTC milliseconds).
///
/// # Errors
/// As [`in_force`].
pub fn burning(db: &mut Db, now_ms: i64) -> Result<Vec<&'static str>, Failure> {
    let report = report(db, now_ms)?;
    let fast = report.items.into_iter().filter(|item| item.burns_fast);
    Ok(fast.map(|item| item.objective).collect())
}

/// When a window of so many days of UTC begins, today among them.
fn window_from(days: i64, now_ms: i64) -> i64 {
    FigureGrain::Day.floor(now_ms) - (days - 1) * DAY_MS
}

/// A figure of a window. The last two days come from hours: yesterday may not be added up yet.
fn window(db: &mut Db, figure: &str, from_ms: i64, now_ms: i64) -> Result<Vec<FigureTotal>, Failure> {
    let yesterday_ms = FigureGrain::Day.floor(now_ms) - DAY_MS;
    let days = FigureSpan {
        grain: FigureGrain::Day,
        partner: ALL_PARTNERS,
        from_ms,
        until_ms: yesterday_ms,
    };
    let hours = FigureSpan {
        grain: FigureGrain::Hour,
        from_ms: from_ms.max(yesterday_ms),
        until_ms: now_ms,
        ..days
    };
    let mut totals = figures::totals(db, days, figure)?;
    totals.extend(figures::totals(db, hours, figure)?);
    Ok(totals)
}

/// The clocks that ended in a time of minutes.
fn minutes(db: &mut Db, from_ms: i64, now_ms: i64) -> Result<Vec<FigureTotal>, Failure> {
    figures::totals(db, of_minutes(from_ms, now_ms), CLOCK)
}

fn of_minutes(from_ms: i64, now_ms: i64) -> FigureSpan<'static> {
    FigureSpan {
        grain: FigureGrain::Minute,
        partner: ALL_PARTNERS,
        from_ms: FigureGrain::Minute.floor(from_ms) + FigureGrain::Minute.ms(),
        until_ms: now_ms,
    }
}

fn counts(totals: &[FigureTotal], objective: SloObjective) -> SloCounts {
    let own = totals.iter().filter(|total| total.kind == objective.code());
    own.fold(SloCounts::default(), |mut counts, total| {
        match total.state.as_str() {
            KEPT => counts.kept += total.total,
            MISSED => counts.missed += total.total,
            _ => {}
        }
        counts
    })
}

/// Minutes of a window in which the job ran, and those in which it did not.
fn up(db: &mut Db, from_ms: i64, now_ms: i64) -> Result<SloCounts, Failure> {
    let ran: i64 = window(db, UP, from_ms, now_ms)?.iter().map(|total| total.total).sum();
    of_all_minutes(db, ran, from_ms, now_ms)
}

/// The same of the last hours.
fn up_minutes(db: &mut Db, from_ms: i64, now_ms: i64) -> Result<SloCounts, Failure> {
    let span = of_minutes(from_ms, now_ms);
    let ran: i64 = figures::totals(db, span, UP)?.iter().map(|total| total.total).sum();
    of_all_minutes(db, ran, span.from_ms, now_ms)
}

/// Of the minutes from `from_ms`, or from the first run of the job on, `ran` were kept. The minutes since a run that was just now are not over.
fn of_all_minutes(db: &mut Db, ran: i64, from_ms: i64, now_ms: i64) -> Result<SloCounts, Failure> {
    let state = figures::state(db)?;
    if state.began_ms == 0 {
        return Ok(SloCounts::default());
    }
    let is_new = (0..=GAP_MS).contains(&(now_ms - state.beat_ms));
    let last_ms = FigureGrain::Minute.floor(if is_new { state.beat_ms } else { now_ms });
    let first_ms = FigureGrain::Minute.floor(from_ms.max(state.began_ms));
    let all = ((last_ms - first_ms) / FigureGrain::Minute.ms() + 1).max(ran);
    Ok(SloCounts {
        kept: ran,
        missed: all - ran,
    })
}

/// How many exchanges have little time left, for each objective.
fn at_risk(running: &[EndedClock], now_ms: i64) -> BTreeMap<SloObjective, i64> {
    let mut found = BTreeMap::new();
    for clock in running {
        if DueState::of(clock.began_ms, clock.due_ms, None, now_ms) != DueState::AtRisk {
            continue;
        }
        let objective = match (clock.answer_due_ms, AskedFor::parse(&clock.asked_for)) {
            (Some(_), _) => SloObjective::BusinessDay,
            (None, Some(AskedFor::Quarter)) => SloObjective::Quarterly,
            (None, _) => SloObjective::Week,
        };
        *found.entry(objective).or_default() += 1;
    }
    found
}

/// The causes of what was missed, the most frequent first.
fn causes(totals: &[FigureTotal], objective: SloObjective) -> Vec<SloCause> {
    let mut found: BTreeMap<(&str, &str, &str), i64> = BTreeMap::new();
    let own = |total: &&FigureTotal| total.kind == objective.code() && total.state == MISSED;
    for total in totals.iter().filter(own) {
        let cause = (total.channel.as_str(), total.owner.as_str(), total.reason.as_str());
        *found.entry(cause).or_default() += total.total;
    }
    let mut found: Vec<((&str, &str, &str), i64)> = found.into_iter().collect();
    found.sort_by_key(|(cause, missed)| (-missed, *cause));
    let rest: i64 = found.iter().skip(CAUSES).map(|(_, missed)| missed).sum();
    found.truncate(CAUSES);
    if rest > 0 {
        found.push(((REST, "", ""), rest));
    }
    let cause = |((state, owner, reason), missed): ((&str, &str, &str), i64)| SloCause {
        state: state.to_owned(),
        owner: owner.to_owned(),
        reason: Some(reason.to_owned()).filter(|reason| !reason.is_empty()),
        missed,
    };
    found.into_iter().map(cause).collect()
}

fn item(target: SloTarget, from_ms: i64, figures: SloFigures, causes: Vec<SloCause>) -> SloItem {
    debug_assert!((1..=WHOLE).contains(&target.target));
    let SloBudget {
        state,
        share,
        allowed,
        left,
        hour_burn,
        six_hours_burn,
        burns_fast,
    } = judge(target, figures);
    SloItem {
        objective: target.objective.code(),
        promise: target.objective.text(),
        state,
        target_percent: percent_text(target.target),
        window_days: target.days,
        from: rfc3339_ms(from_ms),
        kept: figures.window.kept,
        missed: figures.window.missed,
        share_percent: share,
        budget: allowed,
        budget_left_percent: left,
        burn_1h: hour_burn,
        burn_6h: six_hours_burn,
        burns_fast,
        at_risk: figures.at_risk,
        causes,
    }
}

fn miss(clock: EndedClock) -> SloMiss {
    SloMiss {
        exchange: clock.exchange,
        partner: clock.partner,
        due_at: rfc3339_ms(clock.due_ms),
        ended_at: clock.ended_ms.map(rfc3339_ms),
        phase: clock.phase,
        owner: clock.owner,
        reason: Some(clock.reason).filter(|reason| !reason.is_empty()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn total(channel: &str, total: i64) -> FigureTotal {
        FigureTotal {
            kind: "business-day".into(),
            channel: channel.into(),
            state: MISSED.into(),
            owner: "partner".into(),
            reason: String::new(),
            total,
        }
    }

    #[test]
    fn causes_are_told_by_how_often_they_were_and_the_rest_is_one() {
        let mut totals: Vec<FigureTotal> = (1..=30).map(|number| total(&format!("s{number:02}"), number)).collect();
        // The same cause on another day.
        totals.push(total("s01", 100));
        let found = causes(&totals, SloObjective::BusinessDay);
        assert_eq!(found.len(), CAUSES + 1);
        assert_eq!((found[0].state.as_str(), found[0].missed), ("s01", 101));
        assert_eq!((found[1].state.as_str(), found[1].missed), ("s30", 30));
        let all: i64 = found.iter().map(|cause| cause.missed).sum();
        assert_eq!(all, (1..=30).sum::<i64>() + 100);
        assert_eq!(found[CAUSES].state, REST);
        assert!(causes(&totals, SloObjective::Week).is_empty());
    }

    #[test]
    fn a_window_has_today_and_the_days_before_it() {
        let noon = 1_800_000_000_000;
        assert_eq!(window_from(1, noon), FigureGrain::Day.floor(noon));
        assert_eq!(window_from(28, noon), FigureGrain::Day.floor(noon) - 27 * DAY_MS);
    }
}
