//! Error budgets: how much of a promise may still be missed, and how fast that is used. Pure: values in, values out.
//!
//! The budget of a window is the share that may be missed: of 1,000 clocks with a target of 99 %, ten. A burn rate of 1 uses exactly the budget
//! by the end of the window.

use super::policy::{SloTarget, WHOLE};
use serde::Serialize;

/// Burn rates from which a budget burns fast, both at once: in one hour, and in six. The first alone may be a moment.
const HOUR_BURN: f64 = 14.4;
const SIX_HOURS_BURN: f64 = 6.0;
/// What was missed in six hours, at least: one miss of few is no trend.
const MISSES: i64 = 3;
/// Share of the budget that is left, per cent, below which an objective is at risk.
const LITTLE_LEFT: f64 = 25.0;

/// What was kept and what was missed in a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SloCounts {
    /// Kept.
    pub kept: i64,
    /// Missed.
    pub missed: i64,
}

impl SloCounts {
    fn total(self) -> i64 {
        self.kept + self.missed
    }
}

/// What an objective is judged by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SloFigures {
    /// In its window.
    pub window: SloCounts,
    /// In the last hour.
    pub hour: SloCounts,
    /// In the last six hours.
    pub six_hours: SloCounts,
    /// Clocks that go on, with less than a quarter of their time left.
    pub at_risk: i64,
}

/// How an objective stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SloState {
    /// Nothing had to be kept in the window.
    NoData,
    /// The target is kept.
    Kept,
    /// It is kept, but will not be: the budget burns fast, is nearly used, or would be by the clocks that are at risk.
    AtRisk,
    /// It is not kept.
    Breached,
}

impl SloState {
    /// Its name.
    pub const fn code(self) -> &'static str {
        match self {
            SloState::NoData => "no-data",
            SloState::Kept => "kept",
            SloState::AtRisk => "at-risk",
            SloState::Breached => "breached",
        }
    }
}

/// The budget of an objective.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SloBudget {
    /// How it stands.
    pub state: SloState,
    /// Which share was kept, per cent; none without data.
    pub share: Option<f64>,
    /// How much may be missed of what had to be kept.
    pub allowed: f64,
    /// How much of that is left, per cent; below 0 when more was missed. None without data.
    pub left: Option<f64>,
    /// The burn rate of the last hour; none without data, and where nothing may be missed.
    pub hour_burn: Option<f64>,
    /// The same of the last six hours.
    pub six_hours_burn: Option<f64>,
    /// Whether the budget burns fast.
    pub burns_fast: bool,
}

/// Judges an objective.
pub fn judge(target: SloTarget, figures: SloFigures) -> SloBudget {
    let SloCounts { kept, missed } = figures.window;
    let total = figures.window.total();
    let may_miss = share_of(WHOLE - target.target, WHOLE);
    let allowed = number(total) * may_miss;
    let left = match total {
        0 => None,
        _ if allowed > 0.0 => Some(100.0 * (1.0 - number(missed) / allowed)),
        _ => Some(if missed == 0 { 100.0 } else { 0.0 }),
    };
    let burn = |counts: SloCounts| {
        let is_known = counts.total() > 0 && may_miss > 0.0;
        is_known.then(|| share_of(counts.missed, counts.total()) / may_miss)
    };
    let (hour_burn, six_hours_burn) = (burn(figures.hour), burn(figures.six_hours));
    let burns_fast = figures.six_hours.missed >= MISSES
        && hour_burn.is_some_and(|burn| burn >= HOUR_BURN)
        && six_hours_burn.is_some_and(|burn| burn >= SIX_HOURS_BURN);
    // In whole numbers, so that exactly the target is kept.
    let is_breached =
        |kept: i64, total: i64| i128::from(kept) * i128::from(WHOLE) < i128::from(total) * i128::from(target.target);
    let would_be_breached = figures.at_risk > 0 && is_breached(kept, total + figures.at_risk);
    let state = if is_breached(kept, total) {
        SloState::Breached
    } else if burns_fast || would_be_breached || (missed > 0 && left.is_some_and(|left| left < LITTLE_LEFT)) {
        SloState::AtRisk
    } else if total == 0 {
        SloState::NoData
    } else {
        SloState::Kept
    };
    SloBudget {
        state,
        share: (total > 0).then(|| rounded(100.0 * share_of(kept, total))),
        allowed: rounded(allowed),
        left: left.map(rounded),
        hour_burn: hour_burn.map(rounded),
        six_hours_burn: six_hours_burn.map(rounded),
        burns_fast,
    }
}

fn share_of(part: i64, whole: i64) -> f64 {
    number(part) / number(whole)
}

#[allow(clippy::cast_precision_loss)] // counts of this size are exact
fn number(count: i64) -> f64 {
    count as f64
}

/// With three decimals.
fn rounded(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::objective::SloObjective;

    const TARGET: SloTarget = SloTarget {
        objective: SloObjective::BusinessDay,
        target: 99_000,
        days: 28,
    };

    fn counts(kept: i64, missed: i64) -> SloCounts {
        SloCounts { kept, missed }
    }

    fn of(window: SloCounts) -> SloFigures {
        SloFigures {
            window,
            ..SloFigures::default()
        }
    }

    #[test]
    fn a_budget_is_kept_up_to_its_last_miss() {
        for (window, state, left) in [
            (counts(0, 0), SloState::NoData, None),
            (counts(1_000, 0), SloState::Kept, Some(100.0)),
            (counts(995, 5), SloState::Kept, Some(50.0)),
            (counts(991, 9), SloState::AtRisk, Some(10.0)),
            (counts(990, 10), SloState::AtRisk, Some(0.0)),
            (counts(989, 11), SloState::Breached, Some(-10.0)),
            (counts(0, 1), SloState::Breached, Some(-9_900.0)),
        ] {
            let budget = judge(TARGET, of(window));
            assert_eq!((budget.state, budget.left), (state, left), "{window:?}");
        }
        assert_eq!(judge(TARGET, of(counts(995, 5))).share, Some(99.5));
    }

    #[test]
    fn clocks_that_run_out_put_it_at_risk_before_it_is_breached() {
        let figures = SloFigures {
            at_risk: 6,
            ..of(counts(995, 5))
        };
        assert_eq!(judge(TARGET, figures).state, SloState::AtRisk);
        let few = SloFigures { at_risk: 4, ..figures };
        assert_eq!(judge(TARGET, few).state, SloState::Kept);
        let first = SloFigures {
            at_risk: 1,
            ..SloFigures::default()
        };
        assert_eq!(judge(TARGET, first).state, SloState::AtRisk);
    }

    #[test]
    fn it_burns_fast_by_the_hour_and_by_six_hours_and_not_by_one_miss() {
        let fast = SloFigures {
            window: counts(10_000, 20),
            hour: counts(80, 20),
            six_hours: counts(180, 20),
            at_risk: 0,
        };
        let budget = judge(TARGET, fast);
        assert!(budget.burns_fast);
        assert_eq!(
            (budget.state, budget.hour_burn, budget.six_hours_burn),
            (SloState::AtRisk, Some(20.0), Some(10.0))
        );
        for quiet in [
            SloFigures {
                hour: counts(100, 0),
                ..fast
            },
            SloFigures {
                six_hours: counts(1_000, 20),
                ..fast
            },
            SloFigures {
                hour: counts(0, 1),
                six_hours: counts(0, 2),
                ..fast
            },
        ] {
            assert!(!judge(TARGET, quiet).burns_fast, "{quiet:?}");
        }
    }

    #[test]
    fn where_nothing_may_be_missed_one_miss_is_a_breach_and_there_is_no_rate() {
        let all = SloTarget {
            target: WHOLE,
            ..TARGET
        };
        let budget = judge(all, of(counts(9, 1)));
        assert_eq!(
            (budget.state, budget.left, budget.allowed),
            (SloState::Breached, Some(0.0), 0.0)
        );
        let kept = SloFigures {
            hour: counts(1, 0),
            ..of(counts(10, 0))
        };
        let budget = judge(all, kept);
        assert_eq!((budget.state, budget.hour_burn), (SloState::Kept, None));
    }
}
