//! Alerts from rows, at a time that the test sets: each incident raises its own alert and no other, and then it clears. And what operators are
//! shown of them.

use crate::support::desk::Desk;
use crate::support::payer::TestPayer;
use crate::support::store::{TestStore, connect, on_postgres};
use causeway::alerting::kind::ALERT_WEBHOOK;
use causeway::clock::Clock;
use causeway::ids::before_all_of;
use causeway::ops::alerts::gather::gather;
use causeway::ops::alerts::items;
use causeway::ops::alerts::judge::{LEDGER_LATE_MS, judge};
use causeway::ops::alerts::table::ALERTS;
use causeway::store::Db;
use causeway::store::alert_figures::ROWS;
use causeway::store::jobs::OF_SETTINGS;
use causeway::store::ledger_tree::{self, LogRow};
use causeway::witness::send::LEDGER_WITNESS;
use diesel::prelude::*;
use serde_json::Value;

const NOW_MS: i64 = 1_800_000_000_000;
const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;
const QUIET: [&str; 0] = [];

/// An id of this instant (UTC milliseconds).
fn id(at_ms: i64, number: i64) -> String {
    format!("{}-7000-8000-{number:012x}", before_all_of(at_ms))
}

/// A store whose rows the test writes.
struct Rows {
    db: Db,
    _store: TestStore,
}

impl Rows {
    fn fresh() -> Rows {
        let store = TestStore::fresh();
        Rows {
            db: connect(&store.place.url),
            _store: store,
        }
    }

    #[track_caller]
    fn run(&mut self, statement: &str) {
        diesel::sql_query(statement).execute(&mut self.db).expect(statement);
    }

    /// Inserts these rows at once.
    #[track_caller]
    fn insert(&mut self, into: &str, rows: impl Iterator<Item = String>) {
        let rows: Vec<String> = rows.map(|row| format!("({row})")).collect();
        self.run(&format!("INSERT INTO {into} VALUES {}", rows.join(", ")));
    }

    /// The alerts that are raised at this time.
    fn raised(&mut self, now_ms: i64) -> Vec<&'static str> {
        let figures = gather(&mut self.db, now_ms).expect("figures");
        judge(&figures, now_ms).into_iter().map(|raised| raised.code).collect()
    }

    fn partner(&mut self, id: &str, npi: &str) {
        self.run(&format!(
            "INSERT INTO partner (id, name, npi, client_id, status, mtls, scopes, dialect, version, created_ms, updated_ms) \
             VALUES ('{id}', 'P', '{npi}', '{id}', 'active', 'required', '', '{{}}', 1, {NOW_MS}, {NOW_MS})"
        ));
    }

    fn exchange(&mut self, number: i64, began_ms: i64, due_ms: i64, ended_ms: &str, parked_ms: &str) -> String {
        let id = id(began_ms, number);
        self.run(&format!(
            "INSERT INTO exchange (id, direction, kind, partner_id, correlation_id, workflow, policy_version, phase, identity_state, \
             consent_state, transport_state, delivery_state, audit_state, owner, step, round, attempts, deadline_ms, due_ms, \
             version, created_ms, updated_ms, ended_ms, parked_at_ms) \
             VALUES ('{id}', 'outbound', 'single', 'p', 'c', 1, 'v', 'requested', 'i', 'c', 't', 'd', \
             'open', 'us', 's', 1, 1, {due_ms}, {due_ms}, 1, {began_ms}, {began_ms}, {ended_ms}, {parked_ms})"
        ));
        id
    }

    fn jobs(&mut self, count: i64, state: &str, due_ms: i64, parked_ms: &str) {
        let columns = "job (id, kind, live_key, payload, state, priority, due_ms, lease_epoch, claims, attempts, parked_at_ms, \
                       created_ms, updated_ms)";
        self.insert(
            columns,
            (0..count).map(|number| {
                let id = id(due_ms, number);
                format!("'{id}', 'k', '{id}', '', '{state}', 1, {due_ms}, 0, 0, 0, {parked_ms}, {due_ms}, {due_ms}")
            }),
        );
    }
}

fn byte() -> &'static str {
    if on_postgres() { "'\\x01'::bytea" } else { "x'01'" }
}

#[test]
fn partners_that_fail_or_are_slow_raise_their_alerts() {
    let mut rows = Rows::fresh();
    assert_eq!(rows.raised(NOW_MS), QUIET, "an empty store");
    rows.run(&format!(
        "INSERT INTO partner_health (partner_id, budget_milli, budget_at_ms, failures, window_from_ms, window_calls, window_failed, opened, \
         open_until_ms) VALUES ('dead', 0, {NOW_MS}, 0, {NOW_MS}, 0, 0, 3, {NOW_MS})"
    ));
    assert_eq!(rows.raised(NOW_MS), ["partner-failing"]);
    assert_eq!(rows.raised(NOW_MS + HOUR_MS), QUIET, "nobody had a reason to call it");
    rows.run("DELETE FROM partner_health");

    let exchange = rows.exchange(1, NOW_MS - 3 * HOUR_MS, NOW_MS, &NOW_MS.to_string(), "NULL");
    let columns = "exchange_step (exchange_id, number, step, round, attempt, started_ms, ended_ms, http_status, idempotency_key, bytes)";
    let step = |number: i64, took_ms: i64, ended_ms: i64, status: &str| {
        let started_ms = ended_ms - took_ms;
        format!("'{exchange}', {number}, 's', 1, 1, {started_ms}, {ended_ms}, {status}, 'k', 0")
    };
    let before = (1..=20).map(|number| step(number, 500, NOW_MS - 2 * HOUR_MS, "200"));
    let unanswered = (21..=60).map(|number| step(number, 60_000, NOW_MS - MINUTE_MS, "NULL"));
    rows.insert(columns, before.chain(unanswered));
    assert_eq!(rows.raised(NOW_MS), QUIET, "who does not answer is not slow");
    rows.insert(
        columns,
        (61..=80).map(|number| step(number, 15_000, NOW_MS - MINUTE_MS, "200")),
    );
    assert_eq!(rows.raised(NOW_MS), ["partner-slow"]);
    assert_eq!(rows.raised(NOW_MS + HOUR_MS), QUIET);
}

#[test]
fn a_fallen_match_rate_and_a_wave_of_ended_consents_raise_their_alerts() {
    let mut rows = Rows::fresh();
    let columns =
        "decision (id, partner_id, correlation_id, request_id, kind, outcome, policy_version, detail, created_ms)";
    let decision = |partner: &str, number: i64, at_ms: i64, outcome: &str| {
        let id = id(at_ms, number);
        format!("'{id}', '{partner}', 'c', 'r', 'member-match', '{outcome}', 'v', '{{}}', {at_ms}")
    };
    rows.partner("p", "1");
    rows.partner("loud", "2");
    let before = (0..60).map(|number| {
        decision(
            "p",
            number,
            NOW_MS - 2 * HOUR_MS,
            if number < 54 { "matched" } else { "none" },
        )
    });
    let refused = (60..100).map(|number| decision("p", number, NOW_MS - MINUTE_MS, "consent-first"));
    rows.insert(columns, before.chain(refused));
    assert_eq!(rows.raised(NOW_MS), QUIET, "refused consents are no failed matches");
    rows.insert(
        columns,
        (100..120).map(|number| decision("p", number, NOW_MS - MINUTE_MS, "none")),
    );
    assert_eq!(rows.raised(NOW_MS), ["match-rate-fallen"]);
    for part in 1..=6 {
        let numbers = part * 1_000..(part + 1) * 1_000;
        let loud = numbers.flat_map(|number| {
            [2 * HOUR_MS, MINUTE_MS].map(|ago_ms| decision("loud", number, NOW_MS - ago_ms + 1, "matched"))
        });
        rows.insert(columns, loud);
    }
    assert_eq!(
        rows.raised(NOW_MS),
        ["match-rate-fallen"],
        "another partner asks more often"
    );
    assert_eq!(rows.raised(NOW_MS + HOUR_MS), QUIET);

    let later_ms = NOW_MS + 3 * HOUR_MS;
    rows.run(&format!(
        "INSERT INTO consent (id, partner_id, patient_id, digest, policy, period_from_ms, period_to_ms, body, recorded_ms) \
         VALUES ('c', 'p', 'm', {0}, 'regular', 0, 1, {0}, 0)",
        byte()
    ));
    let grants = "grants (id, partner_id, compartment, patient_id, consent_id, decision_id, sensitive, valid_from_ms, valid_until_ms, created_ms, \
                  renewed_ms, revoked_ms)";
    let grant = |number: i64, ended_ms: i64| {
        format!("'g{number}', 'p', {number}, 'm{number}', 'c', 'd', 0, 0, 1, 0, 0, {ended_ms}")
    };
    rows.insert(grants, (0..19).map(|number| grant(number, later_ms - MINUTE_MS)));
    assert_eq!(rows.raised(later_ms), QUIET);
    rows.insert(grants, std::iter::once(grant(19, later_ms)));
    assert_eq!(rows.raised(later_ms), ["consents-ended"]);
    assert_eq!(rows.raised(later_ms + 2 * HOUR_MS), QUIET);
}

#[test]
fn consents_that_end_together_and_reviews_that_wait_raise_their_alerts() {
    let mut rows = Rows::fresh();
    rows.run(&format!(
        "INSERT INTO consent (id, partner_id, patient_id, digest, policy, period_from_ms, period_to_ms, body, recorded_ms) \
         VALUES ('c', 'p', 'm', {0}, 'regular', 0, 1, {0}, 0)",
        byte()
    ));
    let grants = "grants (id, partner_id, compartment, patient_id, consent_id, decision_id, sensitive, valid_from_ms, valid_until_ms, created_ms, \
                  renewed_ms, revoked_ms)";
    let grant = |number: i64, until_ms: i64, ended_ms: &str| {
        format!("'g{number}', 'p', {number}, 'm{number}', 'c', 'd', 0, 0, {until_ms}, 0, 0, {ended_ms}")
    };
    let soon_ms = NOW_MS + 6 * DAY_MS;
    let ended = (0..30).map(|number| grant(number, soon_ms, "1"));
    rows.insert(
        grants,
        ended.chain((30..49).map(|number| grant(number, soon_ms, "NULL"))),
    );
    assert_eq!(
        rows.raised(NOW_MS),
        QUIET,
        "of some that end soon somebody ended most already"
    );
    rows.insert(grants, std::iter::once(grant(49, soon_ms, "NULL")));
    assert_eq!(rows.raised(NOW_MS), ["consents-expiring"]);
    assert_eq!(rows.raised(NOW_MS - 2 * DAY_MS), QUIET, "they end later");
    assert_eq!(rows.raised(NOW_MS + 7 * DAY_MS), QUIET, "they have ended");
    rows.insert(grants, (50..60).map(|number| grant(number, NOW_MS - DAY_MS, "NULL")));
    assert_eq!(rows.raised(NOW_MS), QUIET, "nearly as many ended in the week before");

    let review = |id: &str, state: &str, due_ms: i64| {
        format!(
            "INSERT INTO review (id, partner_id, asked, state, reason, decision_id, correlation_id, policy_version, due_ms, opened_ms, \
             asked_count, asked_ms, version) VALUES ('{id}', '{id}', {}, '{state}', 'r', 'd', 'c', 'v', {due_ms}, 0, 1, 0, 1)",
            byte()
        )
    };
    rows.run(&review("a", "confirmed", 1));
    rows.run(&review("b", "open", NOW_MS));
    assert_eq!(rows.raised(NOW_MS), QUIET, "it is due now");
    rows.run(&review("c", "deferred", NOW_MS - HOUR_MS));
    assert_eq!(rows.raised(NOW_MS), ["reviews-overdue"]);
    rows.run("UPDATE review SET state = 'rejected' WHERE id = 'c'");
    assert_eq!(rows.raised(NOW_MS), QUIET);
}

#[test]
fn work_that_waits_raises_its_alerts() {
    let mut rows = Rows::fresh();
    rows.jobs(999, "waiting", NOW_MS - 1, "NULL");
    assert_eq!(rows.raised(NOW_MS), QUIET);
    rows.jobs(1, "waiting", NOW_MS - 2, "NULL");
    assert_eq!(rows.raised(NOW_MS), ["queue-growth"]);
    rows.run("DELETE FROM job");
    rows.jobs(1, "waiting", NOW_MS - 10 * MINUTE_MS, "NULL");
    assert_eq!(rows.raised(NOW_MS), ["worker-stuck"]);
    assert_eq!(OF_SETTINGS, [LEDGER_WITNESS.name, ALERT_WEBHOOK.name]);
    for kind in OF_SETTINGS {
        rows.run(&format!("UPDATE job SET kind = '{kind}'"));
        assert_eq!(
            rows.raised(NOW_MS),
            QUIET,
            "{kind}: nobody asks witnesses or tells receivers that were taken away"
        );
    }
    rows.run("UPDATE job SET kind = 'k'");
    assert_eq!(rows.raised(NOW_MS), ["worker-stuck"]);
    rows.run(&format!("UPDATE job SET due_ms = {NOW_MS} + {DAY_MS}"));
    assert_eq!(rows.raised(NOW_MS), QUIET, "it went on");

    let parked_ms = NOW_MS - MINUTE_MS;
    rows.jobs(4, "parked", NOW_MS, &parked_ms.to_string());
    let ended_ms = NOW_MS + 9 * DAY_MS;
    rows.exchange(1, NOW_MS - DAY_MS, ended_ms, "NULL", &parked_ms.to_string());
    assert_eq!(rows.raised(NOW_MS), ["parked-growth"]);
    assert_eq!(rows.raised(NOW_MS + HOUR_MS), QUIET, "nothing more was parked");
}

#[test]
fn a_clock_that_runs_out_and_a_ledger_that_lags_raise_their_alerts() {
    let mut rows = Rows::fresh();
    let began_ms = NOW_MS - 6 * DAY_MS;
    let exchange = rows.exchange(1, began_ms, NOW_MS + DAY_MS, "NULL", "NULL");
    assert_eq!(rows.raised(NOW_MS - 2 * DAY_MS), QUIET);
    assert_eq!(rows.raised(NOW_MS), ["exchange-clock"]);
    let parked_ms = NOW_MS - DAY_MS;
    rows.run(&format!("UPDATE exchange SET parked_at_ms = {parked_ms}"));
    assert_eq!(
        rows.raised(NOW_MS + 2 * DAY_MS),
        ["exchange-clock"],
        "while it is parked, too"
    );
    rows.run(&format!(
        "UPDATE exchange SET parked_at_ms = NULL, ended_ms = {NOW_MS} WHERE id = '{exchange}'"
    ));
    assert_eq!(rows.raised(NOW_MS), QUIET);

    let log = LogRow {
        no: 1,
        log_id: "l".to_owned(),
        origin: "o".to_owned(),
        public_key: vec![1],
        began_ms: NOW_MS,
    };
    ledger_tree::begin(&mut rows.db, &log).expect("a log");
    let entry = id(NOW_MS, 1);
    let (at_us, byte) = (NOW_MS * 1_000, byte());
    rows.run(&format!(
        "INSERT INTO ledger_entry (id, at_us, action, correlation_id, entry) VALUES ('{entry}', {at_us}, 'a', 'c', {byte})"
    ));
    assert_eq!(rows.raised(NOW_MS + LEDGER_LATE_MS - 1), QUIET, "it is new");
    assert_eq!(rows.raised(NOW_MS + LEDGER_LATE_MS + 1), ["ledger-lag"]);
    rows.run(&format!(
        "INSERT INTO ledger_leaf (log, entry_id, idx) VALUES (1, '{entry}', 0)"
    ));
    assert_eq!(rows.raised(NOW_MS + HOUR_MS), QUIET);
}

#[test]
fn of_ten_thousand_partners_in_trouble_some_are_counted_and_few_are_named() {
    let mut rows = Rows::fresh();
    let columns = "partner_health (partner_id, budget_milli, budget_at_ms, failures, window_from_ms, window_calls, window_failed, opened, \
                   open_until_ms)";
    for part in 0..10 {
        let numbers = part * 1_000..(part + 1) * 1_000;
        rows.insert(
            columns,
            numbers.map(|number| format!("'p{number:05}', 0, {NOW_MS}, 0, {NOW_MS}, 0, 0, 2, {NOW_MS}")),
        );
    }
    let items = items(&mut rows.db, NOW_MS).expect("items");
    let failing = items
        .iter()
        .find(|item| item.alert == "partner-failing")
        .expect("an item");
    assert_eq!((failing.count, failing.partners.len()), (ROWS, 50));
    assert_eq!(failing.partners[0], "p00000");
}

/// The item of one alert.
#[track_caller]
fn of<'v>(items: &'v [Value], code: &str) -> &'v Value {
    let found = items.iter().find(|item| item["alert"] == code);
    found.unwrap_or_else(|| panic!("{code} in {items:?}"))
}

#[tokio::test]
async fn operators_are_shown_which_alerts_are_raised_and_what_to_do() {
    let (payer, client) = TestPayer::start(2);
    let operator = Desk::of(&payer, &client, "operator");
    let items = operator.all("alerts").await;
    let codes: Vec<&str> = items.iter().filter_map(|item| item["alert"].as_str()).collect();
    assert_eq!(codes, ALERTS.iter().map(|alert| alert.code).collect::<Vec<_>>());
    for item in &items {
        assert_eq!(
            (item["state"].as_str(), item["count"].as_i64()),
            (Some("quiet"), Some(0)),
            "{item}"
        );
    }
    for role in ["support", "reviewer", "auditor", "admin"] {
        Desk::of(&payer, &client, role).get("alerts").await.assert_status(403);
    }
    let metrics = reqwest::get(format!("{}/metrics", payer.ops)).await.expect("an answer");
    let metrics = metrics.text().await.expect("text");
    for series in [
        "causeway_alerts_raised{alert=\"partner-failing\"} 0",
        "causeway_tls_expires_timestamp_seconds{file=\"certificate\"} ",
        "causeway_tls_expires_timestamp_seconds{file=\"authority\"} ",
        "causeway_tls_expires_timestamp_seconds{file=\"list\"} ",
    ] {
        assert!(metrics.contains(series), "{series}");
    }

    let quiet = payer.json_command(&["alerts"]);
    assert_eq!(quiet["items"].as_array().map(Vec::len), Some(ALERTS.len()));
    // With PostgreSQL, a command is a process of its own, which has no certificates.
    let tls = if on_postgres() { "not-judged" } else { "quiet" };
    assert_eq!(
        of(quiet["items"].as_array().expect("items"), "tls-expiring")["state"],
        tls
    );

    let now_ms = Clock::System.now_ms();
    payer.execute(&format!(
        "INSERT INTO partner_health (partner_id, budget_milli, budget_at_ms, failures, window_from_ms, window_calls, window_failed, opened, \
         open_until_ms) VALUES ('dead', 0, {now_ms}, 0, {now_ms}, 0, 0, 2, {now_ms} + 3600000)"
    ));
    let items = operator.all("alerts").await;
    let raised = of(&items, "partner-failing");
    assert_eq!(
        (raised["state"].as_str(), raised["partners"][0].as_str()),
        (Some("raised"), Some("dead"))
    );
    assert_eq!(
        items.iter().filter(|item| item["state"] == "raised").count(),
        1,
        "{items:?}"
    );
    for arguments in [&["alerts"][..], &["alerts", "--json"], &["alerts", "partner-failing"]] {
        let told = payer.command(arguments);
        let text = String::from_utf8_lossy(&told.stdout).into_owned();
        assert_eq!(told.status.code(), Some(1), "{arguments:?}: {text}");
        assert!(text.contains("dead") && text.contains("Call the partner."), "{text}");
    }
    let other = payer.command(&["alerts", "partner-slow"]);
    assert_eq!(
        other.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&other.stderr)
    );
    assert_eq!(payer.command(&["alerts", "nothing"]).status.code(), Some(2));
    payer.execute("DELETE FROM partner_health");
    payer.json_command(&["alerts"]);
}
