//! Every key of the configuration, one row each: how it is written, its default, what it means, and the type of its value in the program.
//!
//! Loading, refusing, `causeway config --effective` and `docs/configuration.md` read this one table. The program reads a value only by the
//! name of its row, so that a misspelled key does not compile, and a row that nothing reads is a warning.

use super::key::TypedKey;
use super::key::Unit::{
    Bytes, BytesASecond, Connections, ConnectionsASecond, Days, Handshakes, HandshakesASecond, Hours, Jobs, Matches,
    Members, Milliseconds, Percent, Requests, RequestsASecond, Seconds, Years,
};
use super::key::ValueKind::{Choice, File, Files, Switch, Text, Texts, Url};
pub use super::key::{ConfigKey, Unit, ValueKind, variable};
use crate::keeping::table::{self, PeriodRule, PeriodUnit};
use std::path::PathBuf;
use std::time::Duration;

const fn key(name: &'static str, kind: ValueKind, default: &'static str, meaning: &'static str) -> ConfigKey {
    ConfigKey {
        name,
        kind,
        default,
        example: default,
        meaning,
    }
}

const fn number(least: i64, most: i64, unit: Unit) -> ValueKind {
    assert!(least <= most, "bounds of a key are the wrong way round");
    ValueKind::Number { least, most, unit }
}

/// The bounds of a period of retention, which stand in the table of kinds of data.
const fn period(rule: &PeriodRule) -> ValueKind {
    let unit = match rule.unit {
        PeriodUnit::Hours => Hours,
        PeriodUnit::Days => Days,
        PeriodUnit::Years => Years,
    };
    number(rule.least, rule.most, unit)
}

/// The rows as [`KEYS`], and each as a constant by which its value is read.
macro_rules! keys {
    ($($name:ident: $value:ty = $key:expr;)*) => {
        $(pub(super) const $name: TypedKey<$value> = TypedKey::new($key);)*

        /// The table.
        pub const KEYS: &[ConfigKey] = &[$($key),*];
    };
}

keys! {
    SERVER_FHIR_LISTEN: String = key("server.fhir_listen", Text, "\"127.0.0.1:8443\"",
        "Address of the partners' side: FHIR and OAuth, always TLS.");
    SERVER_OPS_LISTEN: String = key("server.ops_listen", Text, "\"127.0.0.1:9443\"",
        "Address of the operations side; one beyond this machine needs TLS.");
    SERVER_OPS_CERTIFICATE: Option<PathBuf> = key("server.ops_certificate", File, "",
        "PEM chain of the operations side, leaf first; with it that side speaks TLS.").like("\"ops.pem\"");
    SERVER_OPS_KEY: Option<PathBuf> = key("server.ops_key", File, "",
        "PEM key of the operations side.").like("\"ops.key\"");
    SERVER_OPS_BASE_URL: Option<String> = key("server.ops_base_url", Text, "",
        "Scheme, host and port of the operations side as people see it, for links to the console and its cookie; needed beyond this machine.").like("\"https://ops.old-payer.example:9443\"");
    SERVER_BASE_URL: String = key("server.base_url", Text, "\"https://localhost:8443/fhir\"",
        "FHIR base URL as partners see it; https, no slash at its end.");
    SERVER_HTTP2: bool = key("server.http2", Switch, "false",
        "Offer HTTP/2. Only false is accepted: the HTTP library cannot limit the streams of a connection yet (docs/adr/0009-http-1.1-only-for-now.md).");
    SERVER_PROXY_FROM: Vec<String> = key("server.proxy_from", Texts, "[]",
        "Addresses or networks (CIDR) of balancers that begin each connection with a PROXY protocol v2 header; from all other addresses no such header is read.").like("[\"192.0.2.10\", \"198.51.100.0/24\"]");

    TLS_CERTIFICATE: Option<PathBuf> = key("tls.certificate", File, "",
        "PEM chain of the server, leaf first.").like("\"server.pem\"");
    TLS_KEY: Option<PathBuf> = key("tls.key", File, "",
        "PEM key of the server.").like("\"server.key\"");
    TLS_CLIENT_CA: Vec<PathBuf> = key("tls.client_ca", Files, "[]",
        "PEM files of the authorities that may issue client certificates; without any, the server does not ask for client certificates.").like("[\"partners-ca.pem\"]");
    TLS_CLIENT_CRL: Vec<PathBuf> = key("tls.client_crl", Files, "[]",
        "PEM or DER revocation lists of those authorities; read again when they change.").like("[\"partners.crl\"]");
    TLS_CRL_GRACE_SECONDS: i64 = key("tls.crl_grace_seconds", number(0, 604_800, Seconds), "86400",
        "How long a revocation list is still used after its nextUpdate; then its authority's clients are refused.");

    STORE_URL: String = key("store.url", Url, "\"sqlite:causeway-data/causeway.db\"",
        "sqlite:PATH or postgres://HOST/DATABASE; DATABASE_URL wins.");
    STORE_CONNECTIONS: u32 = key("store.connections", number(2, 256, Connections), "",
        "Largest number of pooled connections; 16 on PostgreSQL and 8 on SQLite when it is not set.").like("16");
    STORE_SCHEMA: Option<String> = key("store.schema", Text, "",
        "PostgreSQL: the schema of the store; without it the one of the role's search_path that has our tables.").like("\"causeway\"");

    PAYER_NAME: String = key("payer.name", Text, "\"Old Payer\"",
        "Our name, for people.");
    PAYER_NPI: String = key("payer.npi", Text, "\"1992000012\"",
        "Our National Provider Identifier; compared as text.");
    PAYER_MEMBER_SYSTEM: String = key("payer.member_system", Text, "\"http://old-payer.example/identifiers/member\"",
        "System of our member numbers.");
    PAYER_UMB_SYSTEM: String = key("payer.umb_system", Text, "\"http://old-payer.example/identifiers/umb\"",
        "System of our unique member identifiers.");
    PAYER_TIME_ZONE: String = key("payer.time_zone", Text, "\"America/New_York\"",
        "IANA time zone in which calendar dates of consents are read.");

    OAUTH_ACCESS_TOKEN_SECONDS: u32 = key("oauth.access_token_seconds", number(1, 3600, Seconds), "300",
        "Life of an access token; SMART advises at most 300.");
    OAUTH_ALLOW_LOOPBACK_JWKS: bool = key("oauth.allow_loopback_jwks", Switch, "false",
        "Fetch key sets from this machine too; for tests only, refused when listening beyond loopback.");

    OIDC_ISSUER: Option<String> = key("oidc.issuer", Text, "",
        "The OpenID provider by which people sign in to the console, exactly as it names itself; without it they sign in by links alone (docs/operators/console.md).").like("\"https://login.old-payer.example\"");
    OIDC_CLIENT_ID: Option<String> = key("oidc.client_id", Text, "",
        "Our client id at that provider.").like("\"causeway-console\"");
    OIDC_CLIENT_SECRET_FILE: Option<PathBuf> = key("oidc.client_secret_file", File, "",
        "File of our secret at that provider, which only the server's user may read; without it we are a public client.").like("\"oidc-secret\"");
    OIDC_SCOPES: Vec<String> = key("oidc.scopes", Texts, "[]",
        "Scopes to ask for besides openid, where the provider gives its claims only for them.").like("[\"profile\", \"groups\"]");
    OIDC_NAME_CLAIM: String = key("oidc.name_claim", Text, "\"sub\"",
        "Claim of the id token with the name of the person, as the ledger has it; one that people cannot choose or change by themselves.");
    OIDC_ROLE_CLAIM: String = key("oidc.role_claim", Text, "\"roles\"",
        "Claim of the id token with the roles or groups of the person, a text or a list; with a slash at its beginning a JSON Pointer, such as /realm_access/roles.");
    OIDC_ROLES: Vec<String> = key("oidc.roles", Texts, "[]",
        "What the values of that claim mean here: VALUE=ROLE each, with more than one item for a value that gives several roles. Whoever has none of these values is refused.").like("[\"payer-ops=operator\", \"payer-audit=auditor\"]");
    OIDC_PROVIDER_CA: Vec<PathBuf> = key("oidc.provider_ca", Files, "[]",
        "PEM files of the authorities of the provider's certificate; those of the system when there are none.").like("[\"provider-ca.pem\"]");

    POLICY_MATCHING: String = key("policy.matching", Choice(&["safe", "balanced"]), "\"safe\"",
        "Version of the matching policy that is in force until another one is activated.");
    POLICY_FOUR_EYES: bool = key("policy.four_eyes", Switch, "false",
        "A second operator has to approve a version of a policy before it takes effect. Who asked for an evidence packet with personal values does not take it: another operator does.");
    POLICY_REVIEW_FOUR_EYES: bool = key("policy.review_four_eyes", Switch, "false",
        "Two operators have to agree on a review: the first decision proposes, the second confirms.");
    POLICY_REVIEW_DUE_HOURS: u32 = key("policy.review_due_hours", number(1, 720, Hours), "24",
        "Hours until a review is due.");
    POLICY_GUESS_PER_TARGET: i64 = key("policy.guess_per_target", number(0, 1_000_000, Matches), "5",
        "Different failed matches of a partner about one card number, or one name and birth date; beyond it 429. 0: no limit.");
    POLICY_GUESS_PER_SHARED: i64 = key("policy.guess_per_shared", number(0, 1_000_000, Matches), "30",
        "Different failed matches of a partner about one name and gender, or one subscriber number, and one more for each 1,000 members newly granted; beyond it 429. 0: no limit.");
    POLICY_GUESS_PER_RECORD: i64 = key("policy.guess_per_record", number(0, 1_000_000, Matches), "10",
        "Different failed matches of a partner near one record; beyond it the answer is as if nobody were found. 0: no limit.");
    POLICY_GUESS_WINDOW_SECONDS: i64 = key("policy.guess_window_seconds", number(1, 2_592_000, Seconds), "86400",
        "How long a failed match counts.");
    POLICY_GUESS_RATIO_LEAST: i64 = key("policy.guess_ratio_least", number(0, 1_000_000, Matches), "50",
        "Number of different matches of a partner from which on its share of failures counts. 0: never.");
    POLICY_GUESS_ALARM_PERCENT: i64 = key("policy.guess_alarm_percent", number(0, 100, Percent), "20",
        "Share of failures that raises an alarm. 0: never.");
    POLICY_GUESS_LOCK_PERCENT: i64 = key("policy.guess_lock_percent", number(0, 100, Percent), "50",
        "Share of failures that locks the partner's matching: 429 until it ends or an operator unlocks it. 0: never.");
    POLICY_GUESS_LOCK_SECONDS: i64 = key("policy.guess_lock_seconds", number(1, 2_592_000, Seconds), "3600",
        "How long a lock lasts.");
    POLICY_ANSWER_SLOT_MS: Duration = key("policy.answer_slot_ms", number(0, 1000, Milliseconds), "10",
        "Answers to $member-match leave at multiples of this time after the request, and up to a quarter of it later. 0: at once.");

    LOG_FORMAT: String = key("log.format", Choice(&["auto", "json", "text"]), "\"auto\"",
        "auto, json or text. auto: text when stderr is a terminal, JSON everywhere else.");
    LOG_LEVEL: String = key("log.level", Choice(&["error", "warn", "info", "debug", "trace"]), "\"info\"",
        "error, warn, info, debug or trace.");
    LOG_OTLP_ENDPOINT: Option<String> = key("log.otlp_endpoint", Text, "",
        "Collector of traces that speaks OTLP over HTTP: https://HOST[:PORT] with a public name or address, or http://127.0.0.1:PORT on this machine; /v1/traces is added (docs/operators/traces.md). Without it there are no traces.").like("\"http://127.0.0.1:4318\"");
    LOG_OTLP_SAMPLE_PERCENT: u32 = key("log.otlp_sample_percent", number(0, 100, Percent), "100",
        "Share of requests, jobs and exchanges whose traces are kept. Drawn here: what a partner's traceparent says decides nothing.");
    LOG_OTLP_CA: Vec<PathBuf> = key("log.otlp_ca", Files, "[]",
        "PEM files of the authorities of the collector's certificate; those of the system when there are none.").like("[\"collector-ca.pem\"]");

    ALERTS_RECEIVERS: Option<PathBuf> = key("alerts.receivers", File, "",
        "File of the receivers that a server tells of alerts by HTTPS, each with its secret and its route (docs/operators/alerts.md); without it nobody is told.").like("\"receivers.toml\"");

    LIMITS_BODY_BYTES: usize = key("limits.body_bytes", number(1024, 67_108_864, Bytes), "1048576",
        "Largest request body.");
    LIMITS_HEAD_BYTES: usize = key("limits.head_bytes", number(4096, 131_072, Bytes), "32768",
        "Largest request head; beyond it 431.");
    LIMITS_TLS_SECONDS: Duration = key("limits.tls_seconds", number(1, 60, Seconds), "10",
        "Time for a TLS handshake.");
    LIMITS_HEAD_SECONDS: Duration = key("limits.head_seconds", number(1, 60, Seconds), "10",
        "Time for a request head.");
    LIMITS_BODY_SECONDS: Duration = key("limits.body_seconds", number(1, 300, Seconds), "30",
        "Time for a request body.");
    LIMITS_HANDLER_SECONDS: Duration = key("limits.handler_seconds", number(1, 300, Seconds), "30",
        "Time for an answer to begin; then 503.");
    LIMITS_ANSWER_SECONDS: Duration = key("limits.answer_seconds", number(1, 3600, Seconds), "1800",
        "Time for a client to read an answer of many pieces, such as $everything; then the answer is cut off.");
    LIMITS_KEEP_ALIVE_SECONDS: Duration = key("limits.keep_alive_seconds", number(1, 600, Seconds), "60",
        "Idle time after which a connection is closed.");
    LIMITS_CONNECTIONS: usize = key("limits.connections", number(16, 100_000, Connections), "4096",
        "Open connections in all.");
    LIMITS_CONNECTIONS_PER_PARTNER: usize = key("limits.connections_per_partner", number(1, 10_000, Connections), "64",
        "Open connections of one partner; beyond it 429.");
    LIMITS_IN_FLIGHT: usize = key("limits.in_flight", number(8, 100_000, Requests), "1024",
        "Requests of partners worked on at once; beyond it 503.");
    LIMITS_IN_FLIGHT_PER_PARTNER: usize = key("limits.in_flight_per_partner", number(1, 100_000, Requests), "256",
        "Requests of one partner worked on at once; beyond it 429.");
    LIMITS_PARTNER_REQUEST_RATE: u32 = key("limits.partner_request_rate", number(1, 1_000_000, RequestsASecond), "1000",
        "Requests and entries of batches a second of one partner, and four times as many at once; beyond it 429. A fiftieth while a SQLite store's disk is nearly full.");
    LIMITS_QUEUED_BYTES: usize = key("limits.queued_bytes", number(1_048_576, 17_179_869_184, Bytes), "67108864",
        "Bytes of partners' request bodies that are being received, in all; beyond it 503.");
    LIMITS_LEAST_BYTES_PER_SECOND: usize = key("limits.least_bytes_per_second", number(1, 1_048_576, BytesASecond), "1024",
        "Slowest rate of a request body (then 408) and of a reader (then the connection is reset), over 10 s.");
    LIMITS_HANDSHAKES: usize = key("limits.handshakes", number(8, 100_000, Handshakes), "256",
        "TLS handshakes at once, from the ClientHello on; more wait, at most limits.tls_seconds.");
    LIMITS_HANDSHAKES_PER_ADDRESS: usize = key("limits.handshakes_per_address", number(1, 10_000, Handshakes), "16",
        "TLS handshakes at once of one address (IPv6: /64) at which no partner was seen for a day.");
    LIMITS_HANDSHAKE_RATE: u32 = key("limits.handshake_rate", number(1, 1_000_000, HandshakesASecond), "250",
        "TLS handshakes a second of all addresses together at which no partner was seen for a day, and four times as many at once; more wait, at most limits.tls_seconds. Addresses without a handshake in the last five minutes have as many for themselves. An address at which a partner was seen has four times as many for itself alone; there nobody waits longer than a quarter of a second.");
    LIMITS_CONNECTION_RATE: u32 = key("limits.connection_rate", number(1, 1_000_000, ConnectionsASecond), "50",
        "New connections a second of an address that has shown no partner's certificate or token for a day, and twice as many at once; more are closed.");
    LIMITS_STRANGER_CONNECTIONS: usize = key("limits.stranger_connections", number(8, 100_000, Connections), "2048",
        "Open connections of strangers, who showed neither a partner's certificate nor a token; never more than half of limits.connections.");
    LIMITS_STRANGER_CONNECTIONS_PER_ADDRESS: usize = key("limits.stranger_connections_per_address", number(1, 100_000, Connections), "64",
        "Open connections of strangers from one address, handshakes included; a silent one gives way to a newer one. Where a partner was seen, handshakes have an eighth of limits.connections beside it, and the oldest gives way.");
    LIMITS_STRANGER_REQUEST_RATE: u32 = key("limits.stranger_request_rate", number(1, 1_000_000, RequestsASecond), "50",
        "Requests of strangers a second of one address, and four times as many at once; beyond it 429.");
    LIMITS_STRANGER_REQUEST_RATE_IN_ALL: u32 = key("limits.stranger_request_rate_in_all", number(1, 1_000_000, RequestsASecond), "500",
        "Requests of strangers a second of all addresses together at which no partner was seen for a day; beyond it 503, and the connection is closed.");
    LIMITS_STRANGER_IN_FLIGHT: usize = key("limits.stranger_in_flight", number(1, 100_000, Requests), "64",
        "Requests of strangers worked on at once; beyond it 503. A quarter is for addresses at which a partner was seen.");
    LIMITS_STRANGER_IN_FLIGHT_PER_ADDRESS: usize = key("limits.stranger_in_flight_per_address", number(1, 100_000, Requests), "16",
        "Requests of strangers from one address worked on at once; beyond it 429.");
    LIMITS_STRANGER_QUEUED_BYTES: usize = key("limits.stranger_queued_bytes", number(65_536, 17_179_869_184, Bytes), "8388608",
        "Bytes of strangers' requests and answers that wait, in all; beyond it 503. One address has a sixteenth.");
    LIMITS_TOKEN_FAILURES: u32 = key("limits.token_failures", number(0, 1_000_000, Requests), "60",
        "Failed requests of one client to the OAuth endpoints at once; beyond it 429 before a signature is judged. 0: no limit.");
    LIMITS_TOKEN_FAILURES_SECONDS: Duration = key("limits.token_failures_seconds", number(1, 86_400, Seconds), "300",
        "Time in which the allowance of limits.token_failures refills; a success resets the count.");
    LIMITS_DRAIN_SECONDS: Duration = key("limits.drain_seconds", number(1, 300, Seconds), "25",
        "Time for running requests to finish after SIGTERM.");
    LIMITS_FREE_EXPORT_PERCENT: u64 = key("limits.free_export_percent", number(0, 90, Percent), "10",
        "Share of a SQLite store's disk that exports leave free; the smaller of this and limits.free_export_bytes counts. 0: no limit.");
    LIMITS_FREE_EXPORT_BYTES: u64 = key("limits.free_export_bytes", number(0, 1_125_899_906_842_624, Bytes), "4294967296",
        "Bytes of a SQLite store's disk that exports leave free. 0: no limit.");
    LIMITS_FREE_WRITE_PERCENT: u64 = key("limits.free_write_percent", number(0, 90, Percent), "5",
        "Free share of a SQLite store's disk below which only ledger entries, tokens and the end of rights are written; the smaller of this and limits.free_write_bytes counts. 0: no limit.");
    LIMITS_FREE_WRITE_BYTES: u64 = key("limits.free_write_bytes", number(0, 1_125_899_906_842_624, Bytes), "1073741824",
        "Free bytes of a SQLite store's disk below which only ledger entries, tokens and the end of rights are written. 0: no limit.");
    LIMITS_FREE_RESERVE_BYTES: u64 = key("limits.free_reserve_bytes", number(0, 1_125_899_906_842_624, Bytes), "67108864",
        "Bytes of a reserve file beside a SQLite store, given up for ledger entries when the disk is full; at most a twentieth of the disk. 0: none.");

    EXCHANGE_CLIENT_ID: Option<String> = key("exchange.client_id", Text, "",
        "The client id under which partners know us when we ask them.").like("\"new-payer\"");
    EXCHANGE_SIGNING_KEY: Option<PathBuf> = key("exchange.signing_key", File, "",
        "File of the private key (JWK) that signs our token requests to partners; without it this process asks no partner.").like("\"exchange-key.json\"");
    EXCHANGE_CERTIFICATE: Option<PathBuf> = key("exchange.certificate", File, "",
        "PEM chain of our client certificate toward partners, leaf first.").like("\"client.pem\"");
    EXCHANGE_CERTIFICATE_KEY: Option<PathBuf> = key("exchange.certificate_key", File, "",
        "PEM key of our client certificate.").like("\"client.key\"");

    JOBS_AT_ONCE: usize = key("jobs.at_once", number(1, 256, Jobs), "16",
        "Background jobs at once in one process; while others wait, one partner gets at most an eighth of them.");
    JOBS_POLL_SECONDS: Duration = key("jobs.poll_seconds", number(1, 60, Seconds), "5",
        "Longest time between two searches for due background jobs.");
    JOBS_LEASE_SECONDS: Duration = key("jobs.lease_seconds", number(6, 600, Seconds), "60",
        "How long a job stays with a process that ended without giving it back. Leases are renewed three times in that time.");

    LEDGER_KEY_FOLDER: Option<PathBuf> = key("ledger.key_folder", File, "",
        "Folder of the ledger's signing key and of the last checkpoint; the folder ledger beside the store when it is not set. Processes of one PostgreSQL store need the same key, or leave signing to those that have it.").like("\"ledger\"");

    LEDGER_WITNESSES: Vec<String> = key("ledger.witnesses", Texts, "[]",
        "Witnesses that are asked to confirm each checkpoint of the ledger, at most eight: the URL of each, a space, and the key that `causeway witness key` prints.").like("[\"https://witness.example witness.example/w1+8cd66cf3+BI9t…\"]");
    LEDGER_WITNESS_CA: Vec<PathBuf> = key("ledger.witness_ca", Files, "[]",
        "PEM files of the authorities of the witnesses' certificates; those of the system when there are none.").like("[\"witness-ca.pem\"]");

    EXPORTS_URL: Option<String> = key("exports.url", Url, "",
        "Where the files of bulk jobs are: a folder as file:PATH, or an object store as s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or az://CONTAINER/PREFIX in a build with its feature; the folder exports beside the store when it is not set. Workers on several hosts need one place, and the same received.keys.").like("\"file:exports\"");
    BULK_JOBS_PER_PARTNER: i64 = key("bulk.jobs_per_partner", number(1, 1_000, Jobs), "4",
        "Bulk jobs of one partner that have not come to their end; beyond it 429.");
    BULK_BODY_BYTES: usize = key("bulk.body_bytes", number(1024, 1_073_741_824, Bytes), "16777216",
        "Longest body of $bulk-member-match, which goes to the disk while it comes. It has limits.body_seconds, and a second more for each 64 KiB that came.");
    BULK_MEMBERS_MAX: usize = key("bulk.members_max", number(1, 1_000_000, Members), "100000",
        "Members of one $bulk-member-match; with more it is refused before anybody is judged.");
    BULK_DEADLINE_HOURS: u32 = key("bulk.deadline_hours", number(1, 720, Hours), "24",
        "Hours after which a bulk job that has not come to its end has failed.");
    BULK_KEEP_HOURS: i64 = key("bulk.keep_hours", period(&table::EXPORTS), "24",
        "Hours for which the files of a bulk job are kept after its end, and with them the groups of members who were not matched.");
    BULK_GROUP_DAYS: i64 = key("bulk.group_days", period(&table::GROUPS), "400",
        "Days for which a group of matched members is kept after its match.");

    RETENTION_LEDGER_YEARS: i64 = key("retention.ledger_years", period(&table::LEDGER), "10",
        "Years for which values and salts behind the commitments of ledger entries are kept, and the look-up of entries by member. Entries and their tree stay.");
    RETENTION_PACKET_YEARS: i64 = key("retention.packet_years", period(&table::PACKETS), "10",
        "Years for which an evidence packet is kept after it was made. It goes earlier with what it tells of.");
    RETENTION_DECISION_YEARS: i64 = key("retention.decision_years", period(&table::DECISIONS), "10",
        "Years for which match decisions are kept.");
    RETENTION_CONSENT_YEARS: i64 = key("retention.consent_years", period(&table::CONSENTS), "10",
        "Years for which consents and their grants are kept after they ended.");
    RETENTION_REVIEW_YEARS: i64 = key("retention.review_years", period(&table::REVIEWS), "10",
        "Years for which decided reviews are kept.");
    RETENTION_EXCHANGE_YEARS: i64 = key("retention.exchange_years", period(&table::EXCHANGES), "10",
        "Years for which exchanges that this payer began are kept after their end.");
    RETENTION_RECEIVED_YEARS: i64 = key("retention.received_years", period(&table::RECEIVED), "10",
        "Years for which the originals of what other payers sent are kept. An exchange is kept as long as what it received.");
    RETENTION_RUN_YEARS: i64 = key("retention.run_years", period(&table::RUNS), "10",
        "Years for which the bulk runs in which this payer asked are kept after their end.");
    RETENTION_CHECKPOINT_YEARS: i64 = key("retention.checkpoint_years", period(&table::CHECKPOINTS), "10",
        "Years for which the checkpoints of partners' ledgers are kept.");
    RETENTION_FIGURE_YEARS: i64 = key("retention.figure_years", period(&table::FIGURES), "10",
        "Years for which the business figures of days are kept. Those of hours are kept for 90 days, those of minutes for 2.");
    RETENTION_IDEMPOTENCY_DAYS: i64 = key("retention.idempotency_days", period(&table::IDEMPOTENCY), "7",
        "Days for which an answer is repeated for its Idempotency-Key; after that the key is new.");
}

/// A key of a part that is not built yet.
#[derive(Clone, Copy, Debug)]
pub struct LaterKey {
    /// `section.key`.
    pub name: &'static str,
    /// What would read it.
    pub part: &'static str,
}

const fn later_key(name: &'static str, part: &'static str) -> LaterKey {
    LaterKey { name, part }
}

/// Keys of parts that are not built yet. A key that is taken is a key that works, so these are refused.
pub const LATER: &[LaterKey] = &[
    later_key("policy.release", "a choice between release policies"),
    later_key("policy.retry", "a choice of how exchanges are tried again"),
    later_key(
        "policy.retention",
        "a choice of how long exchanges and the ledger are kept",
    ),
];

/// The key of this name, if a later version reads it.
pub fn later(name: &str) -> Option<&'static LaterKey> {
    LATER.iter().find(|later| later.name == name)
}

/// The key of this name.
pub fn find(name: &str) -> Option<&'static ConfigKey> {
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
