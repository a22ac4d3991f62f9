//! The policy of the kind `slo`: for each objective a target and a window. Without side effects.

use crate::figures::objective::SloObjective;
use crate::policy::{BuiltIn, KeyedLine, TextError, keyed};

/// First line of a text.
const HEAD: &str = "slo 1";
/// Name of the policy that ships.
const DEFAULT: &str = "default";
/// The whole, in thousandths of a per cent.
pub const WHOLE: i64 = 100_000;
/// Days of a window. Figures of days are kept for a year at least.
const DAYS: std::ops::RangeInclusive<i64> = 1..=366;

/// The target of one objective.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SloTarget {
    /// What is promised.
    pub objective: SloObjective,
    /// Which share is to be kept, in thousandths of a per cent: 99,500 for 99.5 %.
    pub target: i64,
    /// In how many days of UTC, today and those before it.
    pub days: i64,
}

/// A policy: one target for each objective, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SloPolicy {
    targets: [SloTarget; SloObjective::ALL.len()],
}

/// What ships: target and days of each objective.
const SHIPPED: [(i64, i64); SloObjective::ALL.len()] =
    [(99_000, 28), (99_000, 28), (99_000, 92), (95_000, 28), (99_900, 28)];

impl Default for SloPolicy {
    fn default() -> SloPolicy {
        let mut places = SHIPPED.iter();
        SloPolicy {
            targets: SloObjective::ALL.map(|objective| {
                let (target, days) = places.next().copied().unwrap_or((WHOLE, 1));
                SloTarget {
                    objective,
                    target,
                    days,
                }
            }),
        }
    }
}

impl SloPolicy {
    /// The targets, in the order of the objectives.
    pub fn targets(&self) -> &[SloTarget] {
        &self.targets
    }

    /// The canonical text.
    pub fn text(&self) -> String {
        let mut text = format!("{HEAD}\n");
        for one in &self.targets {
            let code = one.objective.code();
            text += &format!("{code}.target_percent = {}\n", percent_text(one.target));
            text += &format!("{code}.window_days = {}\n", one.days);
        }
        text
    }

    /// Reads a text.
    ///
    /// # Errors
    /// The first line that is wrong; line 0 for what is missing.
    pub fn parse(text: &str) -> Result<SloPolicy, TextError> {
        let lines = keyed(text, HEAD)?;
        let keys: Vec<String> = SloObjective::ALL.into_iter().flat_map(keys_of).collect();
        if let Some(odd) = lines.iter().find(|line| !keys.iter().any(|key| key == line.key)) {
            return Err(TextError::at(odd.line, format!("the keys are {}", keys.join(", "))));
        }
        let mut policy = SloPolicy::default();
        for one in &mut policy.targets {
            let [target, days] = keys_of(one.objective);
            one.target = value(&lines, &target, |text| {
                thousandths(text).filter(|target| (1..=WHOLE).contains(target))
            })
            .map_err(|line| {
                TextError::at(
                    line,
                    wrong(line, &target, "above 0 and at most 100, with three decimals at most"),
                )
            })?;
            one.days = value(&lines, &days, |text| {
                text.parse::<i64>().ok().filter(|days| DAYS.contains(days))
            })
            .map_err(|line| TextError::at(line, wrong(line, &days, "a number from 1 to 366")))?;
        }
        Ok(policy)
    }
}

/// The two keys of an objective.
fn keys_of(objective: SloObjective) -> [String; 2] {
    let code = objective.code();
    [format!("{code}.target_percent"), format!("{code}.window_days")]
}

/// The value of a key; the number of its line when it is wrong, and 0 when it is missing.
fn value(lines: &[KeyedLine<'_>], key: &str, read: impl Fn(&str) -> Option<i64>) -> Result<i64, usize> {
    let line = lines.iter().find(|line| line.key == key).ok_or(0_usize)?;
    read(line.value).ok_or(line.line)
}

fn wrong(line: usize, key: &str, bounds: &str) -> String {
    match line {
        0 => format!("{key} is missing"),
        _ => format!("{key} must be {bounds}"),
    }
}

/// A number with three decimals at most, in thousandths.
fn thousandths(text: &str) -> Option<i64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |text: &str| (1..=3).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(part) {
        return None;
    }
    let part: i64 = format!("{part:0<3}").parse().ok()?;
    Some(whole.parse::<i64>().ok()? * 1_000 + part)
}

/// Thousandths as a number, without zeros at its end.
pub fn percent_text(thousandths: i64) -> String {
    let text = format!("{}.{:03}", thousandths / 1_000, thousandths % 1_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Checks a text and returns its canonical form.
///
/// # Errors
/// As [`SloPolicy::parse`].
pub fn check(text: &str) -> Result<String, TextError> {
    SloPolicy::parse(text).map(|policy| policy.text())
}

/// The policy that ships.
pub fn built_in() -> Vec<BuiltIn> {
    vec![BuiltIn {
        name: DEFAULT.to_owned(),
        body: SloPolicy::default().text(),
    }]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ships_is_read_back() {
        let ships = SloPolicy::default();
        let text = ships.text();
        assert!(
            text.starts_with("slo 1\nbusiness-day.target_percent = 99\nbusiness-day.window_days = 28\n"),
            "{text}"
        );
        assert!(text.contains("availability.target_percent = 99.9\n"), "{text}");
        assert_eq!(SloPolicy::parse(&text), Ok(ships));
    }

    #[test]
    fn another_form_of_the_same_text_is_the_same_policy() {
        let text = SloPolicy::default().text().replace("99.9\n", "99.900\n");
        assert_eq!(check(&text), Ok(SloPolicy::default().text()));
    }

    #[test]
    fn targets_over_a_hundred_and_windows_of_nothing_are_refused() {
        let text = SloPolicy::default().text();
        let with = |from: &str, to: &str| {
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text, "{from}");
            SloPolicy::parse(&changed).map_err(|error| (error.line, error.what))
        };
        for target in [
            "100.001", "101", "0", "0.000", "-1", "99.9999", "1e2", ".5", "5.", "", "many",
        ] {
            let line = format!("business-day.target_percent = {target}\n");
            let (at, _) = with("business-day.target_percent = 99\n", &line).expect_err(target);
            assert_eq!(at, 2, "{target}");
        }
        for days in ["0", "367", "-1", "1.5", "99999999999999999999", "week"] {
            let line = format!("business-day.window_days = {days}\n");
            let (at, what) = with("business-day.window_days = 28\n", &line).expect_err(days);
            assert_eq!((at, what.contains("from 1 to 366")), (3, true), "{days}: {what}");
        }
        let (at, what) = with("week.window_days = 28\n", "").expect_err("missing");
        assert_eq!((at, what.as_str()), (0, "week.window_days is missing"));
        assert!(check(&format!("{text}odd = 1\n")).is_err());
        assert!(check(&text.replace("slo 1", "slo 2")).is_err());
        assert!(
            with(
                "business-day.target_percent = 99\n",
                "business-day.target_percent = 100\n"
            )
            .is_ok()
        );
    }
}
