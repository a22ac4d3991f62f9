//! The metrics of this process: one table of families, from which `HELP`, the first values and docs/operators/metrics.md are made.
//!
//! Label values are only words of this program (routes, codes, fixed words), so that the number of series is bounded. Partners, members and
//! text from callers never become labels.

use super::metric_family::family;
use super::signs;

pub use super::metric_family::{LabelValues, MetricFamily, MetricKind};

/// Answered requests, by route.
pub const REQUESTS: &str = "causeway_http_requests_total";
/// Duration of answers, by route.
pub const SECONDS: &str = "causeway_http_seconds";
/// Refusals, by fault.
pub const REFUSALS: &str = "causeway_refusals_total";
/// Requests to the OAuth endpoints.
pub const OAUTH: &str = "causeway_oauth_requests_total";
/// Answers to `$member-match`.
pub const MATCHES: &str = "causeway_matches_total";
/// Disclosures.
pub const DISCLOSURES: &str = "causeway_disclosures_total";
/// Bytes disclosed.
pub const DISCLOSED_BYTES: &str = "causeway_disclosed_bytes_total";
/// Resources that an import has read.
pub const IMPORTED: &str = "causeway_imported_resources_total";
/// Open connections of the partners' listener, by kind.
pub const CONNECTIONS: &str = "causeway_connections";
/// Connections that were turned away.
pub const TURNED_AWAY: &str = "causeway_connections_turned_away_total";
/// Slow peers that were cut off.
pub const SLOW_PEERS: &str = "causeway_slow_peers_total";
/// Bytes of the store.
pub const STORE_BYTES: &str = "causeway_store_bytes";
/// Store calls that were given up.
pub const GIVEN_UP: &str = "causeway_store_given_up_total";
/// Statements sent to the store.
pub const STATEMENTS: &str = "causeway_store_statements_total";
/// Durable commits.
pub const COMMITS: &str = "causeway_store_commits_total";

/// Log lines that were lost.
pub const LOG_DROPPED: &str = "causeway_log_lines_dropped_total";
/// Jumps of the wall clock.
pub const CLOCK_JUMPS: &str = "causeway_clock_jumps_total";
/// Free bytes of the store's disk.
pub const FREE_BYTES: &str = "causeway_store_free_bytes";
/// What is refused for lack of disk space.
pub const REFUSES: &str = "causeway_store_refuses";

/// Attempts at background jobs, by result.
pub const JOBS: &str = "causeway_jobs_total";
/// Results that were rejected because the lease was lost.
pub const JOBS_STALE: &str = "causeway_jobs_stale_commit_rejected_total";
/// Parked jobs.
pub const JOBS_PARKED: &str = "causeway_jobs_parked";
/// Age of the oldest parked job.
pub const JOBS_PARKED_AGE: &str = "causeway_jobs_parked_oldest_seconds";
/// Ends of steps of exchanges, by class.
pub const EXCHANGE_STEPS: &str = "causeway_exchange_steps_total";
/// Exchanges that wait for an operator.
pub const EXCHANGES_PARKED: &str = "causeway_exchanges_parked";
/// Age of the oldest parked exchange.
pub const EXCHANGES_PARKED_AGE: &str = "causeway_exchanges_parked_oldest_seconds";
/// How long the oldest due job has been waiting.
pub const JOBS_LATE: &str = "causeway_jobs_late_seconds";

/// What asking a witness of the ledger came to.
pub const WITNESS: &str = "causeway_ledger_witness_total";

/// What raises an alert.
pub const ALERTS: &str = "causeway_alerts_raised";
/// Spans of traces, by what became of them.
pub const SPANS: &str = "causeway_trace_spans_total";
/// When TLS files end.
pub const TLS_ENDS: &str = "causeway_tls_expires_timestamp_seconds";

/// Upper bounds of the buckets of [`SECONDS`].
pub const BUCKETS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

/// The table of all families.
pub const FAMILIES: &[MetricFamily] = {
    use LabelValues::{Faults, Routes, Words};
    use MetricKind::{Counter, Gauge, Histogram};
    &[
        family(
            REQUESTS,
            Counter,
            &[("route", Routes), ("status", Words(&["200"])), ("fault", Words(&[""]))],
            "Answered requests of partners, by route, HTTP status and fault code (empty when nothing failed).",
        ),
        family(
            SECONDS,
            Histogram,
            &[("route", Routes)],
            "Seconds from the head of a request to the head of its answer, by route.",
        ),
        family(
            REFUSALS,
            Counter,
            &[("fault", Faults)],
            "Refused and failed requests of partners, by fault code.",
        ),
        family(
            OAUTH,
            Counter,
            &[("outcome", Words(&["accepted", "refused", "throttled", "failed"]))],
            "Requests to the OAuth endpoints: accepted, refused, throttled before they were checked (429), or failed on our side.",
        ),
        family(
            MATCHES,
            Counter,
            &[(
                "outcome",
                Words(&[
                    "matched",
                    "no-unique-member",
                    "consent",
                    "invalid",
                    "locked",
                    "replayed",
                    "failed",
                ]),
            )],
            "Answers to $member-match by outcome.",
        ),
        family(
            DISCLOSURES,
            Counter,
            &[("outcome", Words(&["completed", "broken-off", "refused"]))],
            "Disclosures of a member's data by how they ended.",
        ),
        family(
            DISCLOSED_BYTES,
            Counter,
            &[],
            "Bytes of members' resources that were disclosed.",
        ),
        family(
            IMPORTED,
            Counter,
            &[("outcome", Words(&["stored", "unchanged", "rejected"]))],
            "Resources that imports in this process have read.",
        ),
        family(
            "causeway_guess_alarms_total",
            Counter,
            &[("kind", Words(&["target", "shared", "record", "ratio", "locked"]))],
            "Alarms of the guessing guard by kind (docs/policies.md).",
        ),
        family(
            "causeway_guesses_turned_away_total",
            Counter,
            &[],
            "Matches that the guessing guard refused.",
        ),
        family(
            "causeway_policy_shadow_dropped_total",
            Counter,
            &[],
            "Matches that were not compared with the shadow policy, because too many were waiting.",
        ),
        family(
            CONNECTIONS,
            Gauge,
            &[("door", Words(&["setting-up", "stranger", "partner"]))],
            "Open connections of the partners' side: those being set up, of strangers, of partners.",
        ),
        family(
            TURNED_AWAY,
            Counter,
            &[("reason", Words(&["rate", "address", "full", "handshake", "proxy"]))],
            "Connections that were closed before a request, by reason: the address opens too many or too fast, no place is free, the handshake was late or failed, or a balancer's header was wrong.",
        ),
        family(
            SLOW_PEERS,
            Counter,
            &[("reason", Words(&["head", "idle", "reader", "body"]))],
            "Peers that were cut off, by reason: the head came too slowly, nothing came at all, the body came too slowly, or the answer was read too slowly.",
        ),
        family(
            STORE_BYTES,
            Gauge,
            &[("part", Words(&["database", "write-ahead-log"]))],
            "Bytes of the store: the database, and the write-ahead log of a SQLite store (0 on PostgreSQL, whose log is shared).",
        ),
        family(
            FREE_BYTES,
            Gauge,
            &[],
            "Free bytes on the disk of a SQLite store, as of the last second (0 on PostgreSQL, whose disk is not watched).",
        ),
        family(
            REFUSES,
            Gauge,
            &[("what", Words(&["exports", "writes"]))],
            "1 while the disk of a SQLite store has too little free space for exports or writes, else 0.",
        ),
        family(
            LOG_DROPPED,
            Counter,
            &[],
            "Log lines that were lost, because the log could not be written, or not fast enough.",
        ),
        family(
            SPANS,
            Counter,
            &[("outcome", Words(&["sent", "no-room", "not-taken"]))],
            "Spans of traces by what became of them: sent to the collector, dropped because too many were waiting, or given up because the collector did not take them.",
        ),
        family(
            CLOCK_JUMPS,
            Counter,
            &[("direction", Words(&["forward", "back"]))],
            "Times that the wall clock was set by more than 5 seconds, or that the machine was asleep.",
        ),
        family(
            JOBS,
            Counter,
            &[(
                "outcome",
                Words(&["done", "failed", "retried", "panicked", "parked", "lost"]),
            )],
            "Attempts at background jobs by this process: done, failed until the next regular time, to be tried again, panicked, parked, or ended because the lease was lost.",
        ),
        family(
            JOBS_STALE,
            Counter,
            &[],
            "Results of background jobs that were dropped, because another worker had taken the job.",
        ),
        family(
            JOBS_PARKED,
            Gauge,
            &[],
            "Background jobs that wait for an operator, as of the last half minute.",
        ),
        family(
            JOBS_PARKED_AGE,
            Gauge,
            &[],
            "Seconds since the oldest parked one was parked.",
        ),
        family(
            JOBS_LATE,
            Gauge,
            &[],
            "Seconds by which the most overdue background job is late; 0 when none is late.",
        ),
        family(
            EXCHANGE_STEPS,
            Counter,
            &[(
                "class",
                Words(&[
                    "ok",
                    "not-sent",
                    "unknown",
                    "told-to-wait",
                    "server-fault",
                    "unauthorized",
                    "spool-lost",
                    "timeout",
                    "no-match",
                    "not-yet",
                    "refused",
                    "person",
                ]),
            )],
            "Ended steps of exchanges in this process, by class; `causeway states` says what follows from each class.",
        ),
        family(
            EXCHANGES_PARKED,
            Gauge,
            &[],
            "Exchanges that wait for an operator, as of the last minute.",
        ),
        family(
            EXCHANGES_PARKED_AGE,
            Gauge,
            &[],
            "Seconds since the oldest parked one was parked.",
        ),
        family(
            GIVEN_UP,
            Counter,
            &[],
            "Calls to PostgreSQL that were given up, with their connections, because no answer came in time.",
        ),
        family(
            STATEMENTS,
            Counter,
            &[],
            "Statements sent to the store, including those that begin and end transactions; on PostgreSQL each is a message and its answer.",
        ),
        family(
            COMMITS,
            Counter,
            &[],
            "Durable commits; on SQLite one commit covers a whole group of writes.",
        ),
        family(
            WITNESS,
            Counter,
            &[(
                "outcome",
                Words(&["confirmed", "unreachable", "refused", "contradicted"]),
            )],
            "Checkpoints of the ledger sent to witnesses, by what came of it; `contradicted` needs a person at once.",
        ),
        family(
            ALERTS,
            Gauge,
            &[("alert", Words(signs::ALERT_CODES))],
            "How much raises each built-in alert, as of the last minute: partners, jobs, exchanges or files; 0 while it is quiet.",
        ),
        family(
            TLS_ENDS,
            Gauge,
            &[("file", Words(signs::TLS_FILES))],
            "When the first of these TLS files expires, in seconds since 1970: certificates, authorities of clients, revocation lists.",
        ),
        family(
            "process_cpu_seconds_total",
            Counter,
            &[],
            "Seconds of processor time of this process, user and system.",
        ),
        family("process_resident_memory_bytes", Gauge, &[], "Bytes of resident memory."),
        family("process_virtual_memory_bytes", Gauge, &[], "Bytes of virtual memory."),
        family("process_threads", Gauge, &[], "Threads of this process."),
        family("process_open_fds", Gauge, &[], "Open file descriptors."),
        family(
            "process_max_fds",
            Gauge,
            &[],
            "Largest permitted number of open file descriptors.",
        ),
        family(
            "process_start_time_seconds",
            Gauge,
            &[],
            "When the process started, in seconds since 1970.",
        ),
    ]
};
