//! The table of kinds of data: from which instant the time of each counts, how long it is kept, and which job deletes it.

/// The unit in which a period is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeriodUnit {
    /// 60 minutes.
    Hours,
    /// 24 hours.
    Days,
    /// Years of the calendar, in UTC.
    Years,
}

impl PeriodUnit {
    /// The word in texts and documents.
    pub const fn word(self) -> &'static str {
        match self {
            PeriodUnit::Hours => "hours",
            PeriodUnit::Days => "days",
            PeriodUnit::Years => "years",
        }
    }
}

/// How long something is kept where an operator may choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeriodRule {
    /// The key of the configuration.
    pub key: &'static str,
    /// The unit of the three numbers.
    pub unit: PeriodUnit,
    /// What holds when nothing is configured.
    pub default: i64,
    /// The shortest that is taken.
    pub least: i64,
    /// The longest that is taken.
    pub most: i64,
}

const fn rule(key: &'static str, unit: PeriodUnit, default: i64, least: i64, most: i64) -> PeriodRule {
    assert!(least > 0 && least <= default && default <= most);
    PeriodRule {
        key,
        unit,
        default,
        least,
        most,
    }
}

/// Ten years by default (Medicare Advantage records, 42 CFR 422.504(d)), and never under six (45 CFR 164.316(b)(2)(i), 164.528).
const fn evidence(key: &'static str) -> PeriodRule {
    rule(key, PeriodUnit::Years, 10, 6, 100)
}

/// Of the values behind the commitments of the ledger's entries.
pub const LEDGER: PeriodRule = evidence("retention.ledger_years");
/// Of match decisions.
pub const DECISIONS: PeriodRule = evidence("retention.decision_years");
/// Of consents and grants.
pub const CONSENTS: PeriodRule = evidence("retention.consent_years");
/// Of reviews.
pub const REVIEWS: PeriodRule = evidence("retention.review_years");
/// Of exchanges.
pub const EXCHANGES: PeriodRule = evidence("retention.exchange_years");
/// Of originals that other payers sent.
pub const RECEIVED: PeriodRule = evidence("retention.received_years");
/// Of bulk runs in which we ask.
pub const RUNS: PeriodRule = evidence("retention.run_years");
/// Of checkpoints of partners' ledgers.
pub const CHECKPOINTS: PeriodRule = evidence("retention.checkpoint_years");
/// Of evidence packets, which are copies that can be made again: at least a year.
pub const PACKETS: PeriodRule = rule("retention.packet_years", PeriodUnit::Years, 10, 1, 100);
/// Of business figures of days, which name no member.
pub const FIGURES: PeriodRule = rule("retention.figure_years", PeriodUnit::Years, 10, 1, 100);
/// Of answers that are repeated for an idempotency key: at least a day (reliability K8).
pub const IDEMPOTENCY: PeriodRule = rule("retention.idempotency_days", PeriodUnit::Days, 7, 1, 365);
/// Of the files of a bulk job.
pub const EXPORTS: PeriodRule = rule("bulk.keep_hours", PeriodUnit::Hours, 24, 1, 720);
/// Of groups of matched members.
pub const GROUPS: PeriodRule = rule("bulk.group_days", PeriodUnit::Days, 400, 1, 3_650);

/// How long a kind of data is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KindKept {
    /// For a period.
    For(PeriodRule),
    /// As these words say; nobody configures it.
    Until(&'static str),
}

/// One kind of data.
#[derive(Clone, Copy, Debug)]
pub struct KindRow {
    /// Its name in code.
    pub kind: DataKind,
    /// Its name in texts, rows and answers; never changes.
    pub code: &'static str,
    /// What it is.
    pub what: &'static str,
    /// The instant from which its time counts.
    pub from: &'static str,
    /// How long it is kept.
    pub kept: KindKept,
    /// The job that deletes it; `-` for none.
    pub job: &'static str,
    /// Whether a legal hold keeps it.
    pub is_held: bool,
}

/// How long an alert is kept after its end, milliseconds.
pub const ALERT_MS: i64 = 90 * 86_400_000;

/// The job that deletes what is evidence.
pub const JOB: &str = "retention";

macro_rules! kinds {
    ($($name:ident: $code:literal, $what:literal, $from:literal, $kept:expr, $job:expr, $held:literal;)+) => {
        /// A kind of data.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum DataKind {
            $(#[doc = $what] $name,)+
        }

        /// The number of kinds. Types take it from here and not from the table: an optimized build reads all types to call a function of this
        /// crate in a constant, and the table calls some.
        pub const KIND_COUNT: usize = [$($code),+].len();

        /// The table, in the order of the codes.
        pub const KINDS: &[KindRow] = &[$(KindRow {
            kind: DataKind::$name,
            code: $code,
            what: $what,
            from: $from,
            kept: $kept,
            job: $job,
            is_held: $held,
        },)+];
    };
}

kinds! {
    Alerts: "alerts", "When alerts began and ended, and what receivers were told of them", "when the alert ended",
        KindKept::Until("90 days after its end"), "expired", false;
    Checkpoints: "checkpoints", "Checkpoints of partners' ledgers that came with answers", "when it came",
        KindKept::For(CHECKPOINTS), JOB, true;
    Consents: "consents", "Consents of partners' members, with their grants", "when the consent's period, or the last of its grants, is over",
        KindKept::For(CONSENTS), JOB, true;
    Decisions: "decisions", "Match decisions, with what was compared", "when it was made",
        KindKept::For(DECISIONS), JOB, true;
    Exchanges: "exchanges", "Exchanges that this payer began, with their attempts and opt-ins", "when it ended",
        KindKept::For(EXCHANGES), JOB, true;
    Exports: "exports", "Files of bulk jobs of partners, and the jobs", "when the job came to its end",
        KindKept::For(EXPORTS), "bulk-end", false;
    Figures: "figures", "Business figures of days, which name no member; hours are kept for 90 days, minutes for 2", "when the day began",
        KindKept::For(FIGURES), "figures", false;
    Groups: "groups", "Groups of matched members", "when the match was",
        KindKept::For(GROUPS), "bulk-groups", true;
    Guesses: "guesses", "Failed matches that the guessing guard counts", "when the match failed",
        KindKept::Until("policy.guess_window_seconds"), "expired", false;
    Idempotency: "idempotency", "Answers that are repeated for an Idempotency-Key", "when the answer was given",
        KindKept::For(IDEMPOTENCY), "expired", false;
    Jobs: "jobs", "Background jobs", "when it was done",
        KindKept::Until("done; a parked one until an operator acts"), "-", false;
    Ledger: "ledger", "Values and salts behind the commitments of ledger entries, and the look-up of entries by member", "when the ledger's tree took the entry in",
        KindKept::For(LEDGER), JOB, true;
    Packets: "packets", "Evidence packets that were made", "when it was made",
        KindKept::For(PACKETS), JOB, true;
    Received: "received", "Originals of what other payers sent, sealed", "when the exchange last worked on it",
        KindKept::For(RECEIVED), JOB, true;
    Records: "records", "Members' records", "-",
        KindKept::Until("replaced, or retracted by an operator"), "-", true;
    Reviews: "reviews", "Reviews that a person decided", "when it was decided",
        KindKept::For(REVIEWS), JOB, true;
    Runs: "runs", "Bulk runs in which this payer asked, with their receipts", "when it ended",
        KindKept::For(RUNS), JOB, true;
    Spool: "spool", "Bodies of bulk matches on the disk", "when the job came to its end",
        KindKept::Until("its job is removed (exports)"), "bulk-end", false;
    Telemetry: "telemetry", "Log lines, metrics and traces", "-",
        KindKept::Until("handed over: the log goes to standard error, and nothing of it is kept here"), "-", false;
    Tokens: "tokens", "Tokens, and ids of used assertions", "when it ends by itself",
        KindKept::Until("an hour after its end"), "expired", false;
    Tree: "tree", "Entries of the ledger, which name nobody, its tree, and signed checkpoints", "-",
        KindKept::Until("the store ends"), "-", true;
}

impl DataKind {
    /// The row of this kind.
    pub fn row(self) -> &'static KindRow {
        // The table has a row for each kind, in the order of the kinds.
        &KINDS[self as usize]
    }

    /// The name in texts, rows and answers.
    pub fn code(self) -> &'static str {
        self.row().code
    }

    /// How long it is kept, where that can be chosen.
    pub fn rule(self) -> Option<PeriodRule> {
        match self.row().kept {
            KindKept::For(rule) => Some(rule),
            KindKept::Until(_) => None,
        }
    }

    /// The kind with this name.
    pub fn of(code: &str) -> Option<DataKind> {
        KINDS.iter().find(|row| row.code == code).map(|row| row.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_row_for_each_kind_in_the_order_of_names() {
        for (place, row) in KINDS.iter().enumerate() {
            assert_eq!(row.kind as usize, place);
            assert_eq!(DataKind::of(row.code), Some(row.kind));
        }
        let codes: Vec<_> = KINDS.iter().map(|row| row.code).collect();
        assert!(codes.is_sorted(), "{codes:?}");
        assert_eq!(DataKind::of("nothing"), None);
    }

    #[test]
    fn what_is_evidence_is_kept_ten_years_and_never_under_six() {
        for row in KINDS.iter().filter(|row| row.job == JOB) {
            let rule = row.kind.rule().expect("a period");
            // A packet is a copy of what is kept.
            let least = if row.kind == DataKind::Packets { 1 } else { 6 };
            assert_eq!(
                (rule.unit, rule.default, rule.least),
                (PeriodUnit::Years, 10, least),
                "{}",
                row.code
            );
            assert!(row.is_held, "{}", row.code);
        }
    }
}
