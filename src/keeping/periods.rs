//! The periods in force, as values and as a text with one content hash.

use super::table::{DataKind, KIND_COUNT, KINDS, PeriodRule, PeriodUnit};
use crate::secret::{hex, sha256};
use chrono::{DateTime, Months, Utc};
use std::fmt;

/// First line of the text of periods.
const HEAD: &str = "causeway retention 1";
/// Longest text that is read, in bytes.
const TEXT_BYTES: usize = 16_384;
/// Milliseconds of an hour.
const HOUR_MS: i64 = 3_600_000;

/// How long each kind of data is kept. A kind whose period nobody chooses has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Periods([i64; KIND_COUNT]);

/// Why periods cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeriodFault {
    /// The text is not one of periods; says what is wrong, and in which line (from 1 on; 0 for the text as a whole).
    Text {
        /// The line.
        line: usize,
        /// What is wrong.
        why: &'static str,
    },
    /// A period is shorter or longer than is taken.
    Bounds {
        /// The kind of data.
        kind: DataKind,
        /// Its rule.
        rule: PeriodRule,
    },
}

impl fmt::Display for PeriodFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PeriodFault::Text { line: 0, why } => write!(f, "{why}"),
            PeriodFault::Text { line, why } => write!(f, "line {line}: {why}"),
            PeriodFault::Bounds { kind, rule } => {
                let (least, most, unit) = (rule.least, rule.most, rule.unit.word());
                write!(
                    f,
                    "{} is kept for {least} {unit} at least and {most} {unit} at most",
                    kind.code()
                )
            }
        }
    }
}

impl Default for Periods {
    fn default() -> Periods {
        let mut numbers = [0; KIND_COUNT];
        for (number, row) in numbers.iter_mut().zip(KINDS) {
            *number = row.kind.rule().map_or(0, |rule| rule.default);
        }
        Periods(numbers)
    }
}

impl Periods {
    /// These periods, but `number` of its unit for this kind.
    ///
    /// # Errors
    /// [`PeriodFault::Bounds`]; [`PeriodFault::Text`] for a kind whose period nobody chooses.
    pub fn with(mut self, kind: DataKind, number: i64) -> Result<Periods, PeriodFault> {
        let rule = kind.rule().ok_or(PeriodFault::Text {
            line: 0,
            why: "the period of this kind of data cannot be chosen",
        })?;
        if !(rule.least..=rule.most).contains(&number) {
            return Err(PeriodFault::Bounds { kind, rule });
        }
        self.0[kind as usize] = number;
        Ok(self)
    }

    /// Reads a text: the first line `causeway retention 1`, then a line `KIND NUMBER UNIT` for each kind, in any order. A kind without a
    /// line has its default. Empty lines and lines that begin with `#` are left out.
    ///
    /// # Errors
    /// [`PeriodFault`].
    pub fn parse(text: &str) -> Result<Periods, PeriodFault> {
        let wrong = |line, why| PeriodFault::Text { line, why };
        if text.len() > TEXT_BYTES {
            return Err(wrong(0, "the text is too long"));
        }
        let mut lines = (1..)
            .zip(text.lines().map(str::trim))
            .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        match lines.next() {
            Some((_, HEAD)) => {}
            Some((line, _)) => return Err(wrong(line, "the first line must be `causeway retention 1`")),
            None => return Err(wrong(0, "the text is empty")),
        }
        let (mut periods, mut seen) = (Periods::default(), Vec::new());
        for (line, words) in lines {
            let words: Vec<&str> = words.split_whitespace().collect();
            let [code, number, unit] = words.as_slice() else {
                return Err(wrong(line, "write it as KIND NUMBER UNIT"));
            };
            let kind = DataKind::of(code).ok_or_else(|| wrong(line, "there is no such kind of data"))?;
            let rule = kind
                .rule()
                .ok_or_else(|| wrong(line, "the period of this kind of data cannot be chosen"))?;
            if seen.contains(&kind) {
                return Err(wrong(line, "this kind of data has a line already"));
            }
            seen.push(kind);
            let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
            let number = Some(*number).filter(|_| is_number).and_then(|text| text.parse().ok());
            let number = number.ok_or_else(|| wrong(line, "the number must be a whole number"))?;
            // One way to write a period, so that equal periods have one text.
            if *unit != rule.unit.word() {
                return Err(wrong(line, "this kind of data has another unit"));
            }
            periods = periods.with(kind, number)?;
        }
        Ok(periods)
    }

    /// The canonical text, which [`Periods::parse`] reads: equal periods have equal texts.
    pub fn text(&self) -> String {
        let mut text = format!("{HEAD}\n");
        for row in KINDS {
            if let Some(rule) = row.kind.rule() {
                text.push_str(&format!(
                    "{} {} {}\n",
                    row.code,
                    self.0[row.kind as usize],
                    rule.unit.word()
                ));
            }
        }
        text
    }

    /// SHA-256 of the canonical text.
    pub fn digest(&self) -> [u8; 32] {
        sha256(self.text().as_bytes())
    }

    /// The version that ledger entries cite: `retention/` and twelve digits of the digest.
    pub fn version(&self) -> String {
        let digest = hex(&self.digest());
        format!("retention/{}", &digest[..12])
    }

    /// How long a kind is kept, in words such as `10 years`; `None` where nobody chooses.
    pub fn words(&self, kind: DataKind) -> Option<String> {
        kind.rule()
            .map(|rule| format!("{} {}", self.0[kind as usize], rule.unit.word()))
    }

    /// What began before this instant (UTC milliseconds) has been kept long enough at `now_ms`; `None` where nobody chooses.
    ///
    /// Years are those of the calendar: what began on a day is due on the same day so many years later.
    pub fn before_ms(&self, kind: DataKind, now_ms: i64) -> Option<i64> {
        let (rule, number) = (kind.rule()?, self.0[kind as usize]);
        Some(match rule.unit {
            PeriodUnit::Hours | PeriodUnit::Days => now_ms.saturating_sub(self.ms(kind)),
            PeriodUnit::Years => {
                let months = u32::try_from(number.saturating_mul(12)).unwrap_or(u32::MAX);
                let now = DateTime::<Utc>::from_timestamp_millis(now_ms);
                // Of a time outside of the calendar nothing is old enough.
                let before = now.and_then(|now| now.checked_sub_months(Months::new(months)));
                before.map_or(i64::MIN, |before| before.timestamp_millis())
            }
        })
    }

    /// A period of hours or days in milliseconds, for what gets its end when it is made; 0 for a kind that has none.
    pub fn ms(&self, kind: DataKind) -> i64 {
        let number = self.0[kind as usize];
        match kind.rule().map(|rule| rule.unit) {
            Some(PeriodUnit::Hours) => number * HOUR_MS,
            Some(PeriodUnit::Days) => number * 24 * HOUR_MS,
            // A year has no fixed length; nothing that is stamped with its end is kept for years.
            Some(PeriodUnit::Years) => number * 366 * 24 * HOUR_MS,
            None => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::parse_rfc3339_ms;

    fn ms(text: &str) -> i64 {
        parse_rfc3339_ms(text).expect("an instant")
    }

    #[test]
    fn the_text_is_read_again_and_equal_periods_have_one_text() {
        let periods = Periods::default().with(DataKind::Ledger, 12).expect("in bounds");
        let text = periods.text();
        assert!(
            text.starts_with("causeway retention 1\ncheckpoints 10 years\nconsents 10 years\n"),
            "{text}"
        );
        assert!(
            text.contains("\nledger 12 years\n") && text.contains("\nidempotency 7 days\n"),
            "{text}"
        );
        assert_eq!(Periods::parse(&text).as_ref(), Ok(&periods));
        let same = "# ours\n\ncauseway retention 1\n  ledger   12 years \r\n";
        let same = Periods::parse(same).expect("reads");
        assert_eq!((same.text(), same.version()), (text, periods.version()));
        assert_ne!(periods.version(), Periods::default().version());
        assert_eq!(periods.version().len(), "retention/".len() + 12);
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        for (rest, why) in [
            (
                "ledger 5 years",
                "ledger is kept for 6 years at least and 100 years at most",
            ),
            (
                "ledger 101 years",
                "ledger is kept for 6 years at least and 100 years at most",
            ),
            (
                "decisions 0 years",
                "decisions is kept for 6 years at least and 100 years at most",
            ),
            ("ledger 72 months", "line 2: this kind of data has another unit"),
            (
                "ledger 7 years\nledger 8 years",
                "line 3: this kind of data has a line already",
            ),
            ("ledger -7 years", "line 2: the number must be a whole number"),
            (
                "ledger 99999999999999999999 years",
                "line 2: the number must be a whole number",
            ),
            ("ledger 7", "line 2: write it as KIND NUMBER UNIT"),
            ("nothing 7 years", "line 2: there is no such kind of data"),
            (
                "jobs 7 days",
                "line 2: the period of this kind of data cannot be chosen",
            ),
            (
                "idempotency 0 days",
                "idempotency is kept for 1 days at least and 365 days at most",
            ),
        ] {
            let text = format!("{HEAD}\n{rest}\n");
            let told = Periods::parse(&text).expect_err(rest).to_string();
            assert_eq!(told, why, "{rest}");
        }
        for (text, why) in [
            ("", "the text is empty"),
            (
                "causeway retention 2\n",
                "line 1: the first line must be `causeway retention 1`",
            ),
        ] {
            assert_eq!(Periods::parse(text).expect_err(text).to_string(), why);
        }
        assert!(Periods::parse(&"#".repeat(TEXT_BYTES + 1)).is_err());
    }

    #[test]
    fn years_are_those_of_the_calendar() {
        let periods = Periods::default();
        let before = |now: &str| periods.before_ms(DataKind::Ledger, ms(now)).expect("a period");
        assert_eq!(before("2037-03-01T12:00:00.000Z"), ms("2027-03-01T12:00:00.000Z"));
        assert_eq!(before("2036-02-29T00:00:00.000Z"), ms("2026-02-28T00:00:00.000Z"));
        assert_eq!(periods.before_ms(DataKind::Ledger, i64::MAX), Some(i64::MIN));
        assert_eq!(periods.before_ms(DataKind::Jobs, 0), None);
        let days = periods.before_ms(DataKind::Idempotency, 8 * 24 * HOUR_MS);
        assert_eq!(days, Some(24 * HOUR_MS));
        assert_eq!(periods.ms(DataKind::Exports), 24 * HOUR_MS);
    }
}
