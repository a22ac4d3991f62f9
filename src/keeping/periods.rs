//! The periods in force, as values and as a text with one content hash.
//!
//! A retention policy is such a text for the kinds of evidence alone. It takes the place of their periods, and entries cite it instead.

use super::table::{DataKind, JOB, KIND_COUNT, KINDS, KindRow, PeriodRule, PeriodUnit};
use crate::secret::{hex, sha256};
use chrono::{DateTime, Months, Utc};
use std::fmt;

/// First line of the text of periods.
const HEAD: &str = "causeway retention 1";
/// Longest text that is read, in bytes.
const TEXT_BYTES: usize = 16_384;
/// The kinds that had no line yet in the texts of each version of the program, the newest version first.
const LATER: [&[DataKind]; 3] = [&[], &[DataKind::Figures], &[DataKind::Figures, DataKind::Packets]];
/// Milliseconds of an hour.
const HOUR_MS: i64 = 3_600_000;

/// The text of the retention policy that leads back to the configuration.
pub const AS_CONFIGURED: &str = "as configured\n";

/// How long each kind of data is kept. A kind whose period nobody chooses has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Periods {
    numbers: [i64; KIND_COUNT],
    policy: Option<CitedPeriods>,
}

/// As what ledger entries cite periods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CitedPeriods {
    /// The version.
    pub version: String,
    /// SHA-256 of the text.
    pub digest: [u8; 32],
}

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
    /// A policy has no line for a kind of evidence.
    Missing {
        /// The kind of data.
        kind: DataKind,
    },
}

impl fmt::Display for PeriodFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PeriodFault::Text { line: 0, why } => write!(f, "{why}"),
            PeriodFault::Text { line, why } => write!(f, "line {line}: {why}"),
            PeriodFault::Missing { kind } => write!(f, "the line of {} is missing", kind.code()),
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
        Periods { numbers, policy: None }
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
        self.numbers[kind as usize] = number;
        Ok(self)
    }

    /// These periods under a retention policy with this text, which is cited as `version`: each kind of evidence that has a line in it has
    /// the period of that line.
    ///
    /// # Errors
    /// [`PeriodFault`].
    pub fn under(mut self, version: &str, text: &str) -> Result<Periods, PeriodFault> {
        for (line, kind, number) in rows(text)? {
            if !is_evidence(kind.row()) {
                let why = "the period of this kind of data stands in the configuration";
                return Err(PeriodFault::Text { line, why });
            }
            self = self.with(kind, number)?;
        }
        self.policy = Some(CitedPeriods {
            version: version.to_owned(),
            digest: sha256(text.as_bytes()),
        });
        Ok(self)
    }

    /// For each kind the shorter of two periods; the policy stays that of these.
    #[must_use]
    pub fn or_shorter(mut self, other: &Periods) -> Periods {
        for (own, other) in self.numbers.iter_mut().zip(other.numbers) {
            *own = other.min(*own);
        }
        self
    }

    /// Reads a text: the first line `causeway retention 1`, then a line `KIND NUMBER UNIT` for each kind, in any order. A kind without a
    /// line has its default. Empty lines and lines that begin with `#` are left out.
    ///
    /// # Errors
    /// [`PeriodFault`].
    pub fn parse(text: &str) -> Result<Periods, PeriodFault> {
        rows(text)?
            .into_iter()
            .try_fold(Periods::default(), |periods, (_, kind, number)| {
                periods.with(kind, number)
            })
    }

    /// The canonical text, which [`Periods::parse`] reads: equal periods have equal texts.
    pub fn text(&self) -> String {
        let mut text = format!("{HEAD}\n");
        for row in KINDS {
            if let Some(rule) = row.kind.rule() {
                text.push_str(&format!(
                    "{} {} {}\n",
                    row.code,
                    self.numbers[row.kind as usize],
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
        version_of(&self.text())
    }

    /// The canonical text of these periods that is cited as `version`, if one is: the present one, or one of an earlier version of the program, whose
    /// text had no line for kinds that came later.
    pub fn text_of(&self, version: &str) -> Option<String> {
        let text = self.text();
        let without = |later: &[DataKind]| -> String {
            let is_later = |line: &str| later.iter().any(|kind| line.split(' ').next() == Some(kind.code()));
            text.split_inclusive('\n').filter(|line| !is_later(line)).collect()
        };
        let mut known = LATER.into_iter().map(without);
        known.find(|text| version_of(text) == version)
    }

    /// The retention policy that these periods are under, if they are.
    pub fn policy(&self) -> Option<&CitedPeriods> {
        self.policy.as_ref()
    }

    /// As what the entry of a deletion of this kind cites its period.
    pub fn cited(&self, kind: DataKind) -> CitedPeriods {
        match &self.policy {
            Some(policy) if is_evidence(kind.row()) => policy.clone(),
            _ => CitedPeriods {
                version: self.version(),
                digest: self.digest(),
            },
        }
    }

    /// How long a kind is kept, in words such as `10 years`; `None` where nobody chooses.
    pub fn words(&self, kind: DataKind) -> Option<String> {
        kind.rule()
            .map(|rule| format!("{} {}", self.numbers[kind as usize], rule.unit.word()))
    }

    /// What began before this instant (UTC milliseconds) has been kept long enough at `now_ms`; `None` where nobody chooses.
    ///
    /// Years are those of the calendar: what began on a day is due on the same day so many years later.
    pub fn before_ms(&self, kind: DataKind, now_ms: i64) -> Option<i64> {
        let (rule, number) = (kind.rule()?, self.numbers[kind as usize]);
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
        let number = self.numbers[kind as usize];
        match kind.rule().map(|rule| rule.unit) {
            Some(PeriodUnit::Hours) => number * HOUR_MS,
            Some(PeriodUnit::Days) => number * 24 * HOUR_MS,
            // A year has no fixed length; nothing that is stamped with its end is kept for years.
            Some(PeriodUnit::Years) => number * 366 * 24 * HOUR_MS,
            None => 0,
        }
    }
}

/// The version that ledger entries cite for this canonical text.
fn version_of(text: &str) -> String {
    let digest = hex(&sha256(text.as_bytes()));
    format!("retention/{}", &digest[..12])
}

/// The lines of a text: the number of each, its kind of data, and the number of its unit, within no bounds yet.
fn rows(text: &str) -> Result<Vec<(usize, DataKind, i64)>, PeriodFault> {
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
    let mut rows: Vec<(usize, DataKind, i64)> = Vec::new();
    for (line, words) in lines {
        let words: Vec<&str> = words.split_whitespace().collect();
        let [code, number, unit] = words.as_slice() else {
            return Err(wrong(line, "write it as KIND NUMBER UNIT"));
        };
        let kind = DataKind::of(code).ok_or_else(|| wrong(line, "there is no such kind of data"))?;
        let rule = kind
            .rule()
            .ok_or_else(|| wrong(line, "the period of this kind of data cannot be chosen"))?;
        if rows.iter().any(|(_, known, _)| *known == kind) {
            return Err(wrong(line, "this kind of data has a line already"));
        }
        let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        let number = Some(*number).filter(|_| is_number).and_then(|text| text.parse().ok());
        let number = number.ok_or_else(|| wrong(line, "the number must be a whole number"))?;
        // One way to write a period, so that equal periods have one text.
        if *unit != rule.unit.word() {
            return Err(wrong(line, "this kind of data has another unit"));
        }
        rows.push((line, kind, number));
    }
    Ok(rows)
}

/// Whether a retention policy has a line for this kind.
fn is_evidence(row: &KindRow) -> bool {
    row.job == JOB
}

/// Checks the text of a new retention policy and returns its canonical form: a line for each kind of evidence, in the order of their names, or
/// [`AS_CONFIGURED`].
///
/// # Errors
/// [`PeriodFault`].
pub fn check_policy(text: &str) -> Result<String, PeriodFault> {
    if text.trim() == AS_CONFIGURED.trim() {
        return Ok(AS_CONFIGURED.to_owned());
    }
    let (given, periods) = (rows(text)?, Periods::default().under("", text)?);
    let has = |kind: DataKind| given.iter().any(|(_, known, _)| *known == kind);
    let mut canonical = format!("{HEAD}\n");
    for row in KINDS.iter().filter(|row| is_evidence(row)) {
        if !has(row.kind) {
            return Err(PeriodFault::Missing { kind: row.kind });
        }
        let words = periods.words(row.kind).unwrap_or_default();
        canonical.push_str(&format!("{} {words}\n", row.code));
    }
    Ok(canonical)
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
    fn a_version_leads_to_its_text_also_where_that_had_no_line_for_packets_or_figures() {
        let periods = Periods::default().with(DataKind::Ledger, 12).expect("in bounds");
        let text = periods.text();
        let without = |text: &str, kind: &str| {
            let line = text.lines().find(|line| line.starts_with(kind)).expect("a line");
            text.replace(&format!("{line}\n"), "")
        };
        let before_figures = without(&text, "figures ");
        let before_packets = without(&before_figures, "packets ");
        for known in [text, before_figures, before_packets] {
            assert_eq!(periods.text_of(&version_of(&known)), Some(known));
        }
        assert_eq!(periods.text_of(&Periods::default().version()), None);
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
    fn a_policy_has_each_kind_of_evidence_and_no_other_kind_and_is_what_deletions_cite() {
        let evidence = |years: i64| {
            let rows = KINDS.iter().filter(|row| is_evidence(row));
            rows.fold(format!("{HEAD}\n"), |text, row| {
                format!("{text}{} {years} years\n", row.code)
            })
        };
        let text = evidence(12);
        assert_eq!(check_policy(&format!("# ours\n{text}\n")).as_ref(), Ok(&text));
        assert_eq!(check_policy("as configured").as_deref(), Ok(AS_CONFIGURED));
        for (wrong, why) in [
            (text.replace("ledger 12 years\n", ""), "the line of ledger is missing"),
            (
                text.replace("ledger 12", "ledger 5"),
                "ledger is kept for 6 years at least and 100 years at most",
            ),
            (
                format!("{HEAD}\nexports 24 hours\n"),
                "line 2: the period of this kind of data stands in the configuration",
            ),
        ] {
            assert_eq!(check_policy(&wrong).expect_err(why).to_string(), why);
        }
        let configured = Periods::default().with(DataKind::Idempotency, 30).expect("in bounds");
        let periods = configured.clone().under("long-0123456789abcdef", &text).expect("reads");
        assert_eq!(periods.words(DataKind::Reviews).as_deref(), Some("12 years"));
        assert_eq!(periods.words(DataKind::Idempotency).as_deref(), Some("30 days"));
        let cited = periods.cited(DataKind::Ledger);
        assert_eq!(
            (cited.version.as_str(), cited.digest),
            ("long-0123456789abcdef", sha256(text.as_bytes()))
        );
        assert!(periods.cited(DataKind::Idempotency).version.starts_with("retention/"));
        assert_eq!(configured.cited(DataKind::Ledger).version, configured.version());
        let shortest = periods.or_shorter(&configured);
        assert_eq!(shortest.words(DataKind::Ledger).as_deref(), Some("10 years"));
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
