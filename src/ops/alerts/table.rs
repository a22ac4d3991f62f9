//! The one table of alerts: what each means, who acts and how soon, when it is raised and by what it is judged, and what to do.
//!
//! Data only. The conditions are those of `super::judge`; the rules under `deploy/prometheus` have the same alerts, and tests compare them.

use crate::error::{ActWithin, FaultOwner};
use crate::telemetry::metrics as families;

/// Whether somebody is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AlertSeverity {
    /// Somebody is called, day or night.
    Page,
    /// Somebody looks during working hours.
    Ticket,
}

impl AlertSeverity {
    /// The word of the tables and of the label `severity`.
    pub const fn code(self) -> &'static str {
        match self {
            AlertSeverity::Page => "page",
            AlertSeverity::Ticket => "ticket",
        }
    }
}

/// One alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alert {
    /// Its code, which never changes.
    pub code: &'static str,
    /// The name of its rule for Prometheus.
    pub rule: &'static str,
    /// What it means.
    pub meaning: &'static str,
    /// Whether somebody is called.
    pub severity: AlertSeverity,
    /// Who acts.
    pub owner: FaultOwner,
    /// How soon.
    pub within: ActWithin,
    /// The time that is looked at, and with what it is compared.
    pub window: &'static str,
    /// When it is raised.
    pub condition: &'static str,
    /// The metric families of its rule; empty for what Prometheus knows by itself.
    pub families: &'static [&'static str],
    /// What the built-in alert is judged by.
    pub figures: &'static str,
    /// Whether that is counted by each process for itself, so that only a running server can judge it.
    pub is_of_process: bool,
    /// What to do, in this order.
    pub steps: &'static [&'static str],
}

/// A partner does not answer.
pub const PARTNER_FAILING: &str = "partner-failing";
/// A partner answers slowly.
pub const PARTNER_SLOW: &str = "partner-slow";
/// Fewer requests of a partner find their member.
pub const MATCH_RATE_FALLEN: &str = "match-rate-fallen";
/// Many grants end at once.
pub const CONSENTS_ENDED: &str = "consents-ended";
/// Many grants come to their end together.
pub const CONSENTS_EXPIRING: &str = "consents-expiring";
/// A certificate or revocation list expires.
pub const TLS_EXPIRING: &str = "tls-expiring";
/// Many jobs are due.
pub const QUEUE_GROWTH: &str = "queue-growth";
/// Much was parked.
pub const PARKED_GROWTH: &str = "parked-growth";
/// A job that is due waits for long.
pub const WORKER_STUCK: &str = "worker-stuck";
/// The time of an exchange is nearly over.
pub const EXCHANGE_CLOCK: &str = "exchange-clock";
/// Reviews wait for longer than they may.
pub const REVIEWS_OVERDUE: &str = "reviews-overdue";
/// An error budget burns fast.
pub const BUDGET_BURN: &str = "budget-burn";
/// Many requests are repeated.
pub const REPLAY_VOLUME: &str = "replay-volume";
/// Entries wait for the tree of the ledger.
pub const LEDGER_LAG: &str = "ledger-lag";
/// Log lines are lost.
pub const LOG_DROPPING: &str = "log-dropping";
/// Spans of traces are lost.
pub const TRACES_LOST: &str = "traces-lost";
/// Nobody reads the metrics any more.
pub const SCRAPE_MISSING: &str = "scrape-missing";

/// Every alert.
pub const ALERTS: &[Alert] = &[
    Alert {
        code: PARTNER_FAILING,
        rule: "CausewayPartnerFailing",
        meaning: "A partner's server does not answer, or answers with faults of its own. Exchanges with it wait.",
        severity: AlertSeverity::Page,
        owner: FaultOwner::Operator,
        within: ActWithin::Hour,
        window: "1 hour",
        condition: "The circuit breaker of a partner opened at least twice in a row, and a call failed within the hour.",
        families: &[families::ALERTS],
        figures: "rows of the circuit breaker of each partner",
        is_of_process: false,
        steps: &[
            "See the partner and its last faults with `causeway exchange list --partner PARTNER`.",
            "See its last attempts with `causeway exchange show EXCHANGE`, and ask its server for `/metadata` from this host.",
            "Call the partner. Nothing is lost meanwhile: exchanges go on by themselves when it answers.",
        ],
    },
    Alert {
        code: PARTNER_SLOW,
        rule: "CausewayPartnerSlow",
        meaning: "A partner answers, but much more slowly than it did.",
        severity: AlertSeverity::Ticket,
        owner: FaultOwner::Operator,
        within: ActWithin::Day,
        window: "1 hour, compared with the 7 days before",
        condition: "Of at least 20 answers, the 95th percentile is 10 s or more, and three times that of at least 20 before.",
        families: &[families::ALERTS],
        figures: "the newest 5,000 attempts of exchanges",
        is_of_process: false,
        steps: &[
            "See which steps take long with `causeway exchange show EXCHANGE`.",
            "Ask the partner. If its answers come too late, the alert exchange-clock follows.",
        ],
    },
    Alert {
        code: MATCH_RATE_FALLEN,
        rule: "CausewayMatchRateFallen",
        meaning: "Fewer requests of a partner find their member than before. A feed may lack a field, here or there.",
        severity: AlertSeverity::Page,
        owner: FaultOwner::Operator,
        within: ActWithin::Hour,
        window: "1 hour, compared with the 7 days before",
        condition: "Of at least 20 requests, less than half as large a share matched as of at least 50 before.",
        families: &[families::MATCHES, families::ALERTS],
        figures: "the newest 200 decisions of each partner in the window, and the newest 200 before it",
        is_of_process: false,
        steps: &[
            "Look at a few decisions with `causeway match list --partner PARTNER` and `causeway match explain DECISION`.",
            "If one field is missing in all of them, find out whose feed lacks it: that of the partner, or the last import here.",
            "If all partners are affected, look at the last import and the last change of the matching policy first.",
        ],
    },
    Alert {
        code: CONSENTS_ENDED,
        rule: "CausewayConsentsEnded",
        meaning: "Many grants ended before their time, by withdrawn consents, changed links or an operator.",
        severity: AlertSeverity::Ticket,
        owner: FaultOwner::Operator,
        within: ActWithin::Day,
        window: "1 hour, compared with the 7 days before",
        condition: "At least 20 grants ended within an hour, and five times as many as in a mean hour of the week before.",
        families: &[families::ALERTS],
        figures: "rows of ended grants",
        is_of_process: false,
        steps: &[
            "Find those that ended with `causeway grant list`, and see who ended a consent, and why, with `causeway consent show CONSENT`.",
            "If it was a mistake, stop whoever does it. An ended grant is not given back: the partner has to match again.",
        ],
    },
    Alert {
        code: CONSENTS_EXPIRING,
        rule: "CausewayConsentsExpiring",
        meaning: "Many consents end together, by their own periods, and their grants with them. Then partners get no records of these members.",
        severity: AlertSeverity::Ticket,
        owner: FaultOwner::Operator,
        within: ActWithin::Day,
        window: "the next 7 days, compared with the 7 days before now",
        condition: "At least 20 grants end within 7 days, and three times as many as ended by themselves in the 7 days before.",
        families: &[families::ALERTS],
        figures: "rows of grants, by the end of their time",
        is_of_process: false,
        steps: &[
            "Find them with `causeway grant list`, which says until when each is valid, and see whose they are.",
            "Tell the partner, so that members who want it renew their consents, and the partner matches them again.",
            "If the end is right, nothing has to be done. The alert is over when they have ended.",
        ],
    },
    Alert {
        code: TLS_EXPIRING,
        rule: "CausewayTlsExpiring",
        meaning: "A certificate, an authority of clients or a revocation list expires soon. After that, partners cannot connect.",
        severity: AlertSeverity::Ticket,
        owner: FaultOwner::Operator,
        within: ActWithin::Day,
        window: "now",
        condition: "A certificate has less than 14 days, an authority less than 30 days, or a revocation list less than 2 days.",
        families: &[families::TLS_ENDS],
        figures: "the files in force of `tls.certificate`, `tls.client_ca` and `tls.client_crl`",
        is_of_process: true,
        steps: &[
            "Renew the file (docs/operators/certificates.md). The server reads it again by itself.",
            "If a partner's authority expires, ask the partner for the next one.",
        ],
    },
    Alert {
        code: QUEUE_GROWTH,
        rule: "CausewayQueueGrowth",
        meaning: "More background work comes than is done.",
        severity: AlertSeverity::Ticket,
        owner: FaultOwner::Operator,
        within: ActWithin::Hour,
        window: "now",
        condition: "At least 1,000 background jobs are due.",
        families: &[families::ALERTS],
        figures: "rows of due jobs",
        is_of_process: false,
        steps: &[
            "See which kind of job waits with `causeway jobs list`.",
            "If the work is wanted, raise `jobs.at_once`, or with PostgreSQL start another `causeway worker`.",
        ],
    },
    Alert {
        code: PARKED_GROWTH,
        rule: "CausewayParkedGrowth",
        meaning: "Several jobs and exchanges ran out of attempts. Each waits for a person.",
        severity: AlertSeverity::Ticket,
        owner: FaultOwner::Operator,
        within: ActWithin::Hour,
        window: "1 hour",
        condition: "At least 5 jobs and exchanges were parked within an hour, and still are.",
        families: &[families::JOBS_PARKED, families::EXCHANGES_PARKED, families::ALERTS],
        figures: "rows of parked jobs and exchanges",
        is_of_process: false,
        steps: &[
            "See what is parked, and what to do next, with `causeway jobs list --parked` and `causeway exchange list --state parked`.",
            "Correct the cause first. Then let the work go on with `causeway jobs replay` or `causeway exchange replay`.",
        ],
    },
    Alert {
        code: WORKER_STUCK,
        rule: "CausewayWorkerStuck",
        meaning: "Background work has been due for long: no worker takes it, or there is more than workers can do.",
        severity: AlertSeverity::Page,
        owner: FaultOwner::Operator,
        within: ActWithin::Now,
        window: "10 minutes",
        condition: "The background job that was due first has waited for 10 minutes or longer.",
        families: &[families::JOBS_LATE, families::ALERTS],
        figures: "the row of the job that was due first",
        is_of_process: false,
        steps: &[
            "If `causeway jobs list` shows jobs that run and change, see queue-growth.",
            "Read the log of the server or worker: it says when the store does not answer.",
            "With PostgreSQL, see that a process without `--no-worker` runs.",
            "Restart the process. Jobs that it had go on when their leases end.",
        ],
    },
    Alert {
        code: EXCHANGE_CLOCK,
        rule: "CausewayExchangeClock",
        meaning: "An exchange has less than a quarter of its legal time left, or none.",
        severity: AlertSeverity::Page,
        owner: FaultOwner::Operator,
        within: ActWithin::Hour,
        window: "now",
        condition: "An exchange that has not ended is at risk or over its time.",
        families: &[families::ALERTS],
        figures: "rows of the oldest exchanges that have not ended",
        is_of_process: false,
        steps: &[
            "See the exchanges with `causeway exchange list`, and what each waits for with `causeway exchange show EXCHANGE`.",
            "If it waits for the partner, call the partner. If it is parked, do what its next action says.",
        ],
    },
    Alert {
        code: REVIEWS_OVERDUE,
        rule: "CausewayReviewsOverdue",
        meaning: "A review has waited for a person for longer than it may. The partner's request about this member waits with it.",
        severity: AlertSeverity::Ticket,
        owner: FaultOwner::Reviewer,
        within: ActWithin::Day,
        window: "now",
        condition: "A review that nobody has decided is over its time (`policy.review_due_hours`).",
        families: &[families::ALERTS],
        figures: "rows of reviews that wait",
        is_of_process: false,
        steps: &[
            "See the oldest reviews with `causeway review list`, and decide them.",
            "If reviewers cannot keep up, see what sends requests there: a feed without a field, or a very careful matching policy.",
        ],
    },
    Alert {
        code: BUDGET_BURN,
        rule: "CausewayBudgetBurn",
        meaning: "So much is missed that the error budget of an objective will be used long before its window ends.",
        severity: AlertSeverity::Page,
        owner: FaultOwner::Operator,
        within: ActWithin::Hour,
        window: "1 hour and 6 hours",
        condition: "The budget of an objective burns 14.4 times too fast in an hour and 6 times in six hours, with at least 3 misses.",
        families: &[families::ALERTS],
        figures: "business figures of minutes, and the policy of the kind slo in force",
        is_of_process: false,
        steps: &[
            "See the objective, and why it was missed, with `causeway slo`.",
            "Begin with the most frequent cause: its state and owner say where exchanges stand, and who has to act.",
            "If it is availability, see that background work runs: the alert worker-stuck says more.",
        ],
    },
    Alert {
        code: REPLAY_VOLUME,
        rule: "CausewayReplayVolume",
        meaning: "Most requests for a match repeat an earlier one. A partner's client may be in a loop.",
        severity: AlertSeverity::Ticket,
        owner: FaultOwner::Operator,
        within: ActWithin::Day,
        window: "15 minutes",
        condition: "At least 100 matches got an earlier answer again, and they are more than half of all.",
        families: &[families::MATCHES],
        figures: "answers that this process counted",
        is_of_process: true,
        steps: &[
            "Find the partner in the log of requests.",
            "Ask the partner to stop. If it does not, suspend it with `causeway partner suspend PARTNER`.",
        ],
    },
    Alert {
        code: LEDGER_LAG,
        rule: "CausewayLedgerLag",
        meaning: "Entries of the ledger wait for their place in its tree, so no checkpoint covers them.",
        severity: AlertSeverity::Page,
        owner: FaultOwner::Operator,
        within: ActWithin::Hour,
        window: "2.5 minutes",
        condition: "An entry has waited for two and a half minutes or longer.",
        families: &[families::ALERTS],
        figures: "the oldest entry that is not in the tree",
        is_of_process: false,
        steps: &[
            "Read the log of the process that signs the ledger. With PostgreSQL, see that a process without `--no-worker` runs.",
            "Verify the ledger with `causeway audit verify`. Entries are safe: they were stored with the work that they are about.",
        ],
    },
    Alert {
        code: LOG_DROPPING,
        rule: "CausewayLogDropping",
        meaning: "Lines of the technical log are lost, because it cannot be written, or not fast enough.",
        severity: AlertSeverity::Ticket,
        owner: FaultOwner::Operator,
        within: ActWithin::Hour,
        window: "15 minutes",
        condition: "A line was lost.",
        families: &[families::LOG_DROPPED],
        figures: "lines that this process counted",
        is_of_process: true,
        steps: &[
            "See whether the disk of the log is full, or its reader has gone (docs/operators/logs.md).",
            "The ledger is not affected.",
        ],
    },
    Alert {
        code: TRACES_LOST,
        rule: "CausewayTracesLost",
        meaning: "Spans of traces are lost: the collector does not take them, or not fast enough.",
        severity: AlertSeverity::Ticket,
        owner: FaultOwner::Operator,
        within: ActWithin::Day,
        window: "15 minutes",
        condition: "A span was lost.",
        families: &[families::SPANS],
        figures: "spans that this process counted",
        is_of_process: true,
        steps: &[
            "See whether the collector runs, and what the log says of it (docs/operators/traces.md).",
            "If it runs and there is too much, keep a smaller share with `log.otlp_sample_percent`.",
            "Requests, exchanges and the ledger are not affected.",
        ],
    },
    Alert {
        code: SCRAPE_MISSING,
        rule: "CausewayScrapeMissing",
        meaning: "Nobody reads the metrics any more, so the alerts outside of this server are blind.",
        severity: AlertSeverity::Page,
        owner: FaultOwner::Operator,
        within: ActWithin::Now,
        window: "5 minutes",
        condition: "The metrics were read at least 10 times within an hour, and then not for 5 minutes.",
        families: &[],
        figures: "readings of the metrics that this process counted",
        is_of_process: true,
        steps: &[
            "See whether `/ready` answers on the operations listener.",
            "If it does, look at Prometheus and at the way to it.",
        ],
    },
];

/// The alert with this code.
pub fn alert(code: &str) -> Option<&'static Alert> {
    ALERTS.iter().find(|alert| alert.code == code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::signs::ALERT_CODES;
    use std::collections::BTreeSet;

    #[test]
    fn the_metric_of_alerts_has_the_codes_of_the_table() {
        let codes: Vec<&str> = ALERTS.iter().map(|alert| alert.code).collect();
        assert_eq!(codes, ALERT_CODES);
        let rules: BTreeSet<&str> = ALERTS.iter().map(|alert| alert.rule).collect();
        assert_eq!(rules.len(), ALERTS.len());
    }

    #[test]
    fn an_alert_says_what_it_means_and_what_to_do() {
        for one in ALERTS {
            assert_eq!(alert(one.code), Some(one));
            assert!(
                one.meaning.ends_with('.') && one.condition.ends_with('.'),
                "{}",
                one.code
            );
            assert!(
                !one.steps.is_empty() && !one.figures.is_empty() && !one.window.is_empty(),
                "{}",
                one.code
            );
            assert!(one.steps.iter().all(|step| step.ends_with('.')), "{}", one.code);
            let is_urgent = matches!(one.within, ActWithin::Now | ActWithin::Hour);
            assert!(is_urgent || one.severity == AlertSeverity::Ticket, "{}", one.code);
            let known = families::FAMILIES.iter().map(|family| family.name).collect::<Vec<_>>();
            assert!(one.families.iter().all(|name| known.contains(name)), "{}", one.code);
        }
    }
}
