//! Every key of the configuration, as data: its kind, its default and what it means.
//!
//! Loading, refusing, `causeway config --effective` and the documentation read this one table.

/// How a value is written and checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// A whole number from the first to the second, both included.
    Number(i64, i64),
    /// `true` or `false`.
    Switch,
    /// A file; relative ones stand in the configuration file's folder.
    File,
    /// A list of files.
    Files,
    /// An address whose path, when it names a file, stands in the configuration file's folder.
    Url,
}

/// One key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// `section.key`.
    pub name: &'static str,
    /// How it is written.
    pub kind: Kind,
    /// The value when nothing is set, as TOML; empty when there is none.
    pub default: &'static str,
    /// What it means.
    pub meaning: &'static str,
}

impl Key {
    /// The environment variable that overrides this key.
    pub fn variable(&self) -> String {
        format!("CAUSEWAY_{}", self.name.replacen('.', "__", 1).to_ascii_uppercase())
    }

    /// Section and key.
    pub fn parts(&self) -> (&'static str, &'static str) {
        self.name.split_once('.').unwrap_or((self.name, ""))
    }
}

const fn key(name: &'static str, kind: Kind, default: &'static str, meaning: &'static str) -> Key {
    Key {
        name,
        kind,
        default,
        meaning,
    }
}

/// The table.
pub const KEYS: &[Key] = {
    use Kind::{File, Files, Number, Switch, Text, Url};
    &[
        key(
            "server.fhir_listen",
            Text,
            "\"127.0.0.1:8443\"",
            "Address of the partners' side: FHIR and OAuth, always TLS.",
        ),
        key(
            "server.ops_listen",
            Text,
            "\"127.0.0.1:9443\"",
            "Address of the operations side.",
        ),
        key(
            "server.base_url",
            Text,
            "\"https://localhost:8443/fhir\"",
            "FHIR base URL as partners see it; https, no slash at its end.",
        ),
        key("tls.certificate", File, "", "PEM chain of the server, leaf first."),
        key("tls.key", File, "", "PEM key of the server."),
        key(
            "tls.client_ca",
            Files,
            "[]",
            "PEM files of the authorities that may issue client certificates; none: client certificates are not asked for.",
        ),
        key(
            "tls.client_crl",
            Files,
            "[]",
            "PEM or DER revocation lists of those authorities; read again when they change.",
        ),
        key(
            "tls.crl_grace_seconds",
            Number(0, 604_800),
            "86400",
            "How long a revocation list is still used after its nextUpdate; then its authority's clients are refused.",
        ),
        key(
            "store.url",
            Url,
            "\"sqlite:causeway-data/causeway.db\"",
            "sqlite:PATH or postgres://HOST/DATABASE; DATABASE_URL wins.",
        ),
        key(
            "store.connections",
            Number(2, 256),
            "8",
            "Largest number of pooled connections.",
        ),
        key(
            "exports.url",
            Url,
            "\"file:causeway-data/exports\"",
            "Where export files go: file:PATH, s3://, gs:// or az://.",
        ),
        key("payer.name", Text, "\"Old Payer\"", "Our name, for people."),
        key(
            "payer.npi",
            Text,
            "\"1992000012\"",
            "Our National Provider Identifier; compared as text.",
        ),
        key(
            "payer.member_system",
            Text,
            "\"http://old-payer.example/identifiers/member\"",
            "System of our member numbers.",
        ),
        key(
            "payer.umb_system",
            Text,
            "\"http://old-payer.example/identifiers/umb\"",
            "System of our unique member identifiers.",
        ),
        key(
            "payer.time_zone",
            Text,
            "\"America/New_York\"",
            "IANA time zone in which calendar dates of consents are read.",
        ),
        key(
            "oauth.access_token_seconds",
            Number(1, 3600),
            "300",
            "Life of an access token; SMART advises at most 300.",
        ),
        key(
            "oauth.allow_loopback_jwks",
            Switch,
            "false",
            "Fetch key sets from this machine too; for tests only, refused when listening beyond loopback.",
        ),
        key("policy.matching", Text, "\"safe\"", "Matching policy."),
        key("policy.release", Text, "\"cms-0057\"", "Release policy."),
        key("policy.retry", Text, "\"default\"", "Retry policy."),
        key("policy.retention", Text, "\"default\"", "Retention policy."),
        key(
            "policy.review_four_eyes",
            Switch,
            "false",
            "Two operators have to agree on a review: the first decision proposes, the second confirms.",
        ),
        key(
            "policy.review_due_hours",
            Number(1, 720),
            "24",
            "Hours until a review is due.",
        ),
        key(
            "policy.guess_per_target",
            Number(0, 1_000_000),
            "5",
            "Different failed matches of a partner about one card number, or one name and birth date; beyond it 429. 0: no limit.",
        ),
        key(
            "policy.guess_per_shared",
            Number(0, 1_000_000),
            "30",
            "The same about one name and gender, or one subscriber number, and one more for each 1,000 members newly granted. 0: no limit.",
        ),
        key(
            "policy.guess_per_record",
            Number(0, 1_000_000),
            "10",
            "The same near one record; beyond it that record is answered as if nobody were found. 0: no limit.",
        ),
        key(
            "policy.guess_window_seconds",
            Number(1, 2_592_000),
            "86400",
            "How long a failed match counts.",
        ),
        key(
            "policy.guess_ratio_least",
            Number(0, 1_000_000),
            "50",
            "Different matches of a partner from which on its share of failures is judged. 0: never.",
        ),
        key(
            "policy.guess_alarm_percent",
            Number(0, 100),
            "20",
            "Share of failures that raises an alarm. 0: never.",
        ),
        key(
            "policy.guess_lock_percent",
            Number(0, 100),
            "50",
            "Share of failures that locks the partner's matching: 429 until it ends or an operator unlocks it. 0: never.",
        ),
        key(
            "policy.guess_lock_seconds",
            Number(1, 2_592_000),
            "3600",
            "How long a lock lasts.",
        ),
        key(
            "policy.answer_slot_ms",
            Number(0, 1000),
            "10",
            "Answers to $member-match leave at multiples of this time after the request, and up to a quarter of it later. 0: at once.",
        ),
        key(
            "log.format",
            Text,
            "\"auto\"",
            "auto, json or text. auto: text when stderr is a terminal, JSON everywhere else.",
        ),
        key("log.level", Text, "\"info\"", "error, warn, info, debug or trace."),
        key(
            "log.otlp_endpoint",
            Text,
            "",
            "Where traces go, http:// or https://; nowhere when absent.",
        ),
        key(
            "limits.body_bytes",
            Number(1024, 67_108_864),
            "1048576",
            "Largest request body.",
        ),
        key(
            "limits.head_bytes",
            Number(4096, 131_072),
            "32768",
            "Largest request head; beyond it 431.",
        ),
        key("limits.tls_seconds", Number(1, 60), "10", "Time for a TLS handshake."),
        key("limits.head_seconds", Number(1, 60), "10", "Time for a request head."),
        key("limits.body_seconds", Number(1, 300), "30", "Time for a request body."),
        key(
            "limits.handler_seconds",
            Number(1, 300),
            "30",
            "Time for an answer to begin; then 503.",
        ),
        key(
            "limits.keep_alive_seconds",
            Number(1, 600),
            "60",
            "Idle time after which a connection is closed.",
        ),
        key(
            "limits.connections",
            Number(16, 100_000),
            "4096",
            "Open connections in all.",
        ),
        key(
            "limits.connections_per_partner",
            Number(1, 10_000),
            "64",
            "Open connections of one client certificate's URI name; beyond it 429.",
        ),
        key(
            "limits.in_flight",
            Number(8, 100_000),
            "1024",
            "Requests worked on at once; beyond it 503.",
        ),
        key(
            "limits.in_flight_per_partner",
            Number(1, 100_000),
            "256",
            "Requests of one partner worked on at once; beyond it 429.",
        ),
        key(
            "limits.token_failures",
            Number(0, 1_000_000),
            "60",
            "Failed requests of one client to the OAuth endpoints at once; beyond it 429 before a signature is judged. 0: no limit.",
        ),
        key(
            "limits.token_failures_seconds",
            Number(1, 86_400),
            "300",
            "Time in which as many again may fail; a success forgets the failures.",
        ),
        key(
            "limits.drain_seconds",
            Number(1, 300),
            "25",
            "Time for running requests to finish after SIGTERM.",
        ),
        key(
            "limits.free_export_percent",
            Number(0, 90),
            "10",
            "Share of a SQLite store's disk that is left free by exports; the smaller of this and the next counts. 0: no limit.",
        ),
        key(
            "limits.free_export_bytes",
            Number(0, 1_125_899_906_842_624),
            "4294967296",
            "Bytes of it that are left free by exports. 0: no limit.",
        ),
        key(
            "limits.free_write_percent",
            Number(0, 90),
            "5",
            "Share of it below which nothing is written but ledger entries and the end of rights; the smaller of this and the next counts. 0: no limit.",
        ),
        key(
            "limits.free_write_bytes",
            Number(0, 1_125_899_906_842_624),
            "1073741824",
            "Bytes of it below which the same holds. 0: no limit.",
        ),
        key(
            "limits.free_reserve_bytes",
            Number(0, 1_125_899_906_842_624),
            "67108864",
            "Bytes kept in a file beside it and given up for ledger entries when the disk is full; at most a twentieth of the disk. 0: none.",
        ),
    ]
};

/// The known policies of each kind.
pub const POLICIES: &[(&str, &[&str])] = &[
    ("policy.matching", &["safe", "balanced"]),
    ("policy.release", &["cms-0057"]),
    ("policy.retry", &["default"]),
    ("policy.retention", &["default"]),
    ("log.format", &["auto", "json", "text"]),
    ("log.level", &["error", "warn", "info", "debug", "trace"]),
];

/// The key of this name.
pub fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// The known name nearest to one that is not known.
pub fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| (strsim::jaro_winkler(wrong, name), name))
        .filter(|(likeness, _)| *likeness > 0.6)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}
