//! The metrics of this process: one table of families, from which `HELP`, the first values and docs/operations.md follow.
//!
//! A label takes values of ours only (routes, codes, fixed words), so that the number of series is bounded. Partners, members and
//! anything that a caller wrote never become a label.

use crate::error::Fault;

/// What a family measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A number that only grows.
    Counter,
    /// A number that may fall.
    Gauge,
    /// Counts by size.
    Histogram,
}

impl Kind {
    /// The word of the Prometheus text format.
    pub const fn word(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// The values that a label can take before anything was counted.
#[derive(Clone, Copy, Debug)]
pub enum Values {
    /// These words.
    Words(&'static [&'static str]),
    /// The code of every fault.
    Faults,
    /// The path of every route.
    Routes,
}

/// One family.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// What it measures.
    pub kind: Kind,
    /// Its labels. Series exist from the start for every value of the first one.
    pub labels: &'static [(&'static str, Values)],
    /// What it means, with its unit.
    pub help: &'static str,
}

/// Requests answered, by route.
pub const REQUESTS: &str = "causeway_http_requests_total";
/// Time of answers, by route.
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
/// Resources that an import looked at.
pub const IMPORTED: &str = "causeway_imported_resources_total";
/// Bytes of the store.
pub const STORE_BYTES: &str = "causeway_store_bytes";

/// Lines of the log that were lost.
pub const LOG_DROPPED: &str = "causeway_log_lines_dropped_total";
/// Steps of the wall clock.
pub const CLOCK_JUMPS: &str = "causeway_clock_jumps_total";
/// Free bytes of the store's disk.
pub const FREE_BYTES: &str = "causeway_store_free_bytes";
/// What is refused for want of room.
pub const REFUSES: &str = "causeway_store_refuses";

/// Upper bounds of the buckets of [`SECONDS`].
pub const BUCKETS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

const fn family(
    name: &'static str,
    kind: Kind,
    labels: &'static [(&'static str, Values)],
    help: &'static str,
) -> Family {
    Family {
        name,
        kind,
        labels,
        help,
    }
}

/// The table.
pub const FAMILIES: &[Family] = {
    use Kind::{Counter, Gauge, Histogram};
    use Values::{Faults, Routes, Words};
    &[
        family(
            REQUESTS,
            Counter,
            &[("route", Routes), ("status", Words(&["200"])), ("fault", Words(&[""]))],
            "Requests that partners were answered, by route, HTTP status and fault code (empty when nothing failed).",
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
            "Requests of partners that were refused or failed, by fault code.",
        ),
        family(
            OAUTH,
            Counter,
            &[("outcome", Words(&["accepted", "refused", "throttled", "failed"]))],
            "Requests to the OAuth endpoints: accepted, refused, throttled before judging (429), failed for a reason of ours.",
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
            "Resources that imports run by this process looked at.",
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
            "Matches that the guessing guard turned away.",
        ),
        family(
            "causeway_policy_shadow_dropped_total",
            Counter,
            &[],
            "Matches that a shadow policy was not compared with, because too many waited.",
        ),
        family(
            STORE_BYTES,
            Gauge,
            &[("part", Words(&["database", "write-ahead-log"]))],
            "Bytes of the store: the database, and the write-ahead log of a SQLite store (0 on PostgreSQL, which shares its log).",
        ),
        family(
            FREE_BYTES,
            Gauge,
            &[],
            "Bytes free on the disk of a SQLite store, as of the last second (0 on PostgreSQL, whose disk is its own).",
        ),
        family(
            REFUSES,
            Gauge,
            &[("what", Words(&["exports", "writes"]))],
            "1 while the disk of a SQLite store has too little room for exports or writes, else 0.",
        ),
        family(
            LOG_DROPPED,
            Counter,
            &[],
            "Lines of the log that were lost, because it could not be written or not fast enough.",
        ),
        family(
            CLOCK_JUMPS,
            Counter,
            &[("direction", Words(&["forward", "back"]))],
            "Times that the wall clock was set by more than 5 seconds, or stood still with the machine.",
        ),
        family(
            "process_cpu_seconds_total",
            Counter,
            &[],
            "Seconds of processor time of this process, user and system.",
        ),
        family(
            "process_resident_memory_bytes",
            Gauge,
            &[],
            "Bytes of memory that are resident.",
        ),
        family("process_virtual_memory_bytes", Gauge, &[], "Bytes of virtual memory."),
        family("process_threads", Gauge, &[], "Threads of this process."),
        family("process_open_fds", Gauge, &[], "Open file descriptors."),
        family(
            "process_max_fds",
            Gauge,
            &[],
            "Largest number of file descriptors that may be open.",
        ),
        family(
            "process_start_time_seconds",
            Gauge,
            &[],
            "When the process started, in seconds since 1970.",
        ),
    ]
};

/// Describes every family to the recorder of this process, and gives the counted ones their first values.
pub fn begin(routes: &[&'static str]) {
    for family in FAMILIES {
        match family.kind {
            Kind::Counter => metrics::describe_counter!(family.name, family.help),
            Kind::Gauge => metrics::describe_gauge!(family.name, family.help),
            Kind::Histogram => metrics::describe_histogram!(family.name, family.help),
        }
        if family.name.starts_with("causeway_") && family.kind != Kind::Gauge {
            zero(family, routes);
        }
    }
}

fn zero(family: &'static Family, routes: &[&'static str]) {
    let firsts: Vec<&'static str> = match family.labels.first() {
        None => vec![""],
        Some((_, Values::Words(words))) => words.to_vec(),
        Some((_, Values::Faults)) => Fault::ALL.iter().map(|fault| fault.code()).collect(),
        Some((_, Values::Routes)) => routes.to_vec(),
    };
    for first in firsts {
        let labels: Vec<(&'static str, &'static str)> = family
            .labels
            .iter()
            .enumerate()
            .map(|(at, (label, values))| match values {
                Values::Words(words) if at > 0 => (*label, words.first().copied().unwrap_or_default()),
                _ => (*label, first),
            })
            .collect();
        match family.kind {
            Kind::Counter => metrics::counter!(family.name, &labels).increment(0),
            // A histogram that is registered shows as counts of zero.
            Kind::Histogram => drop(metrics::histogram!(family.name, &labels)),
            Kind::Gauge => {}
        }
    }
}

/// The text of one family whose values are read at this moment: `HELP`, `TYPE` and a line for each value.
pub fn measured(name: &str, values: &[(&str, f64)], text: &mut String) {
    use std::fmt::Write as _;
    let Some(family) = FAMILIES.iter().find(|family| family.name == name) else {
        return;
    };
    // Writing into a String cannot fail.
    let _ = writeln!(
        text,
        "# HELP {name} {}\n# TYPE {name} {}",
        family.help,
        family.kind.word()
    );
    for (value, number) in values {
        let _ = match family.labels.first() {
            None => writeln!(text, "{name} {number}"),
            Some((label, _)) => writeln!(text, "{name}{{{label}=\"{value}\"}} {number}"),
        };
    }
    text.push('\n');
}

/// The table of docs/operations.md.
pub fn documentation() -> String {
    let mut text = String::from("| family | kind | labels | meaning |\n|---|---|---|---|\n");
    for family in FAMILIES {
        let labels: Vec<String> = family.labels.iter().map(|(label, _)| format!("`{label}`")).collect();
        let row = [
            format!("`{}`", family.name),
            family.kind.word().to_owned(),
            labels.join(", "),
            family.help.to_owned(),
        ];
        text.push_str(&format!("| {} |\n", row.join(" | ")).replace("|  |", "| |"));
    }
    text
}
