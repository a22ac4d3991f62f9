//! A store whose clock stands until it is moved, with one of each kind of evidence for a member, and the job that deletes it.

use crate::support::store::{TestStore, on_postgres};
use causeway::audit::log::key_of;
use causeway::audit::log_files::LogFiles;
use causeway::audit::sequencer::Sequencer;
use causeway::audit::stored::StoredLedger;
use causeway::audit::verify::{LedgerResult, verify};
use causeway::audit::{Action, LedgerEvent, Object, OperatorNote, ledger};
use causeway::clock::Clock;
use causeway::context::{Context, GuessGuard, Payer, ReviewTerms, WorkBell};
use causeway::ids::Ids;
use causeway::jobs::{Chance, JobStep, Runner, RunnerSettings};
use causeway::retention::job;
use causeway::secret::member_keys::MemberKeys;
use causeway::security::Operator;
use causeway::store::guesses::GuessLimits;
use causeway::store::{Db, ledger_tree};
use causeway::telemetry::Correlation;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Text};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;

/// 2026-01-01T00:00:00Z
pub const NOW: i64 = 1_767_225_600_000;
pub const DAY: i64 = 86_400_000;
/// From 2026-01-01 to 2036-01-01: ten years with two leap days.
pub const TEN_YEARS: i64 = 3_652 * DAY;

/// The tables that hold what [`Bed::fill`] makes of a member, with how to find the rows of the member `x`.
const TABLES: [(&str, &str); 17] = [
    ("decision", "patient_id = 'x'"),
    ("decision_candidate", "patient_id = 'x'"),
    ("consent", "patient_id = 'x'"),
    ("grants", "patient_id = 'x'"),
    ("review", "patient_id = 'x'"),
    ("review_candidate", "patient_id = 'x'"),
    ("review_act", "patient_id = 'x'"),
    ("opt_in", "member_id = 'x'"),
    ("exchange", "member_id = 'x'"),
    ("exchange_ask", "member_number = 'x'"),
    ("exchange_step", "idempotency_key = 'x'"),
    ("ingest", "patient_id = 'x'"),
    (
        "ingest_piece",
        "exchange_id IN (SELECT id FROM exchange WHERE member_id = 'x')",
    ),
    ("bulk_run", "file_digest = 'x'"),
    ("partner_checkpoint", "note = 'x'"),
    ("evidence_member", "patient_id = 'x'"),
    ("ledger_entry", "subject = 'x'"),
];

pub struct Bed {
    pub ctx: Context,
    _store: TestStore,
    sequencer: Sequencer,
    runtime: Runtime,
    runner: Runner,
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

#[derive(QueryableByName)]
struct Bytes {
    #[diesel(sql_type = Binary)]
    entry: Vec<u8>,
}

impl Bed {
    pub fn new() -> Bed {
        let store = TestStore::fresh();
        let ctx = Context {
            guard: Arc::new(GuessGuard::open(&store, GuessLimits::default()).expect("a guard")),
            store: store.clone(),
            clock: Clock::fixed(NOW),
            ids: Ids::random(),
            payer: Arc::new(Payer {
                name: "Old Payer".into(),
                npi: "1992000012".into(),
                member_system: "http://old-payer.example/identifiers/member".into(),
                umb_system: "http://old-payer.example/identifiers/umb".into(),
                base_url: "https://localhost/fhir".into(),
                time_zone: chrono_tz::UTC,
            }),
            review: ReviewTerms::default(),
            matching: Arc::default(),
            keeping: Arc::default(),
            policy_four_eyes: false,
            member_keys: MemberKeys::default(),
            bell: WorkBell::default(),
        };
        let files = LogFiles::new(store.place.folder.path().join("log"));
        let bed = Bed {
            runner: runner(&ctx),
            sequencer: Sequencer::new(files, None),
            ctx,
            _store: store,
            runtime: Runtime::new().expect("a runtime"),
        };
        bed.runtime.block_on(bed.runner.prepare()).expect("prepared");
        bed
    }

    /// What a restart of the process does to the job: nothing of what it remembered is left.
    pub fn restart(&mut self) {
        self.runner = runner(&self.ctx);
    }

    /// Gives the ledger's entries their places, and runs the job if it is due.
    pub fn run(&self) {
        self.sequence();
        self.runtime.block_on(self.runner.run_due()).expect("runs");
        assert_eq!(
            self.number("SELECT count(*) FROM job WHERE attempts > 0"),
            0,
            "the job failed"
        );
    }

    pub fn sequence(&self) {
        let store = &self.ctx.store;
        while self
            .sequencer
            .round(&self.ctx, &|write| store.write_blocking(write))
            .expect("sequenced")
        {}
    }

    pub fn sql(&self, statement: &str) {
        let own = statement.to_owned();
        let write = move |db: &mut Db| Ok(diesel::sql_query(&own).execute(db)?);
        self.ctx.store.write_blocking(write).expect(statement);
    }

    pub fn number(&self, query: &str) -> i64 {
        let query = format!("SELECT ({query}) AS n");
        let read = |db: &mut Db| Ok(diesel::sql_query(&query).get_result::<Number>(db)?.n);
        self.ctx.store.read_blocking(read).expect(&query)
    }

    pub fn text(&self, query: &str) -> String {
        #[derive(QueryableByName)]
        struct Word {
            #[diesel(sql_type = Text)]
            word: String,
        }
        let query = format!("SELECT ({query}) AS word");
        let read = |db: &mut Db| Ok(diesel::sql_query(&query).get_result::<Word>(db)?.word);
        self.ctx.store.read_blocking(read).expect(&query)
    }

    /// The secret of the entry that proves the last deletion of this kind.
    pub fn salt_of(&self, kind: &str) -> [u8; 32] {
        let query = format!(
            "SELECT e.subject_salt AS entry FROM ledger_entry e, retention_kind k WHERE k.kind = '{kind}' AND e.id = k.entry_id"
        );
        let read = |db: &mut Db| Ok(diesel::sql_query(&query).get_result::<Bytes>(db)?.entry);
        let salt = self.ctx.store.read_blocking(read).expect(&query);
        salt.try_into().expect("32 bytes")
    }

    /// The entries with this action, oldest first.
    pub fn entries(&self, action: &str) -> Vec<Value> {
        let query = format!("SELECT entry FROM ledger_entry WHERE action = '{action}' ORDER BY id");
        let read = |db: &mut Db| Ok(diesel::sql_query(&query).load::<Bytes>(db)?);
        let rows = self.ctx.store.read_blocking(read).expect(&query);
        let parsed = rows.iter().map(|row| serde_json::from_slice(&row.entry));
        parsed.collect::<Result<_, _>>().expect("entries are JSON")
    }

    /// The kinds of what was deleted, with how many rows, in the order of the alphabet.
    pub fn deleted(&self) -> Vec<(String, u64)> {
        let mut kinds: Vec<_> = self
            .entries("retention.deleted")
            .iter()
            .map(|entry| {
                let deleted = &entry["deleted"];
                let kind = deleted["kind"].as_str().expect("a kind");
                (kind.to_owned(), deleted["rows"].as_u64().expect("a number"))
            })
            .collect();
        kinds.sort();
        kinds
    }

    /// In how many of the tables there is still something of this member.
    pub fn left_of(&self, member: &str) -> usize {
        let has = |(table, of): &&(&str, &str)| {
            let of = of.replace("'x'", &format!("'{member}'"));
            self.number(&format!("SELECT count(*) FROM {table} WHERE {of}")) > 0
        };
        TABLES.iter().filter(has).count()
    }

    pub fn all() -> usize {
        TABLES.len()
    }

    /// The ledger verifies, whatever was deleted.
    pub fn assert_verified(&self) {
        self.sequence();
        let store = &self.ctx.store;
        let log = store.read_blocking(ledger_tree::log).expect("reads").expect("a log");
        let mut stored = StoredLedger::open(store, log.no).expect("opens");
        let verdict = verify(&mut stored, &key_of(&log).expect("a key"), None, None).expect("verified");
        assert_eq!(verdict.result, LedgerResult::Ok, "{verdict:?}");
        assert!(verdict.entries > 0);
    }

    /// Makes one of each kind of evidence about a member, all of now. Returns the id of the exchange.
    pub fn fill(&self, member: &str) -> String {
        let at = self.ctx.clock.now_ms();
        let id = || self.ctx.ids.new_id(at);
        let (decision, consent, grant, review, exchange, opt_in) = (id(), id(), id(), id(), id(), id());
        let byte = if on_postgres() { "'\\x01'::bytea" } else { "x'01'" };
        let name = match on_postgres() {
            true => format!("convert_to('{member}', 'UTF8')"),
            false => format!("CAST('{member}' AS BLOB)"),
        };
        let (run, packet, at_us) = (id(), id(), at * 1_000);
        for statement in [
            format!(
                "INSERT INTO compartment (patient_id, umb, next_seq, no) VALUES ('{member}', 'u-{member}', 1, (SELECT count(*) + 1 FROM compartment))"
            ),
            format!(
                "INSERT INTO decision (id, partner_id, correlation_id, request_id, kind, outcome, patient_id, consent_id, grant_id, policy_version, detail, created_ms) \
                VALUES ('{decision}', 'p', 'c', 'r', 'member-match', 'matched', '{member}', '{consent}', '{grant}', 'v', '{{}}', {at})"
            ),
            format!(
                "INSERT INTO decision_candidate (decision_id, place, compartment, patient_id) VALUES ('{decision}', 0, 1, '{member}')"
            ),
            format!(
                "INSERT INTO consent (id, partner_id, patient_id, digest, policy, period_from_ms, period_to_ms, body, recorded_ms) \
                VALUES ('{consent}', 'p', '{member}', {byte}, 'regular', {at}, {at}, {byte}, {at})"
            ),
            format!(
                "INSERT INTO grants (id, partner_id, compartment, patient_id, consent_id, decision_id, sensitive, valid_from_ms, valid_until_ms, created_ms, renewed_ms) \
                VALUES ('{grant}', 'p', 1, '{member}', '{consent}', '{decision}', 0, {at}, {at}, {at}, {at})"
            ),
            format!(
                "INSERT INTO review (id, partner_id, asked, state, reason, decision_id, correlation_id, policy_version, due_ms, opened_ms, asked_count, asked_ms, patient_id, decided_ms, version) \
                VALUES ('{review}', 'p', {name}, 'confirmed', 'r', '{decision}', 'c', 'v', {at}, {at}, 1, {at}, '{member}', {at}, 1)"
            ),
            format!(
                "INSERT INTO review_candidate (review_id, place, patient_id, total_tenths, fields) VALUES ('{review}', 0, '{member}', 1, '{{}}')"
            ),
            format!(
                "INSERT INTO review_act (id, review_id, at_ms, act, patient_id, operator, reason) VALUES ('{}', '{review}', {at}, 'confirm', '{member}', 'o', 'r')",
                id()
            ),
            format!(
                "INSERT INTO opt_in (id, member_id, partner_id, policy, from_ms, to_ms, attested_by, attested_ms, attested_how, recorded_ms) \
                VALUES ('{opt_in}', '{member}', 'p', 'regular', {at}, {at}, 'a', {at}, 'h', {at})"
            ),
            format!(
                "INSERT INTO exchange (id, direction, kind, partner_id, member_id, correlation_id, workflow, policy_version, phase, identity_state, consent_state, transport_state, \
                delivery_state, audit_state, owner, step, round, attempts, deadline_ms, due_ms, version, created_ms, updated_ms, ended_ms) \
                VALUES ('{exchange}', 'outbound', 'k', 'p', '{member}', 'c', 1, 'v', 'completed', 'i', 'c', 't', 'd', 'complete', 'us', 's', 1, 1, {at}, {at}, 1, {at}, {at}, {at})"
            ),
            format!(
                "INSERT INTO exchange_ask (exchange_id, asked_for, cover, opt_in_id, member_number, coverage_digest, started_by) \
                VALUES ('{exchange}', 'all', 'c', '{opt_in}', '{member}', 'd', 's')"
            ),
            format!(
                "INSERT INTO exchange_step (exchange_id, number, step, round, attempt, started_ms, idempotency_key, bytes) VALUES ('{exchange}', 1, 's', 1, 1, {at}, '{member}', 0)"
            ),
            format!(
                "INSERT INTO ingest (exchange_id, partner_id, patient_id, key_id, sealed_about, method, state, created_ms, updated_ms) \
                VALUES ('{exchange}', 'p', '{member}', 'k', {byte}, 'm', 'stored', {at}, {at})"
            ),
            format!("INSERT INTO ingest_piece (exchange_id, page, piece, sealed) VALUES ('{exchange}', 1, 0, {byte})"),
            format!(
                "INSERT INTO bulk_run (id, partner_id, file_digest, state, step, failed, left_out, created_ms, updated_ms, deadline_ms, ended_ms) \
                VALUES ('{run}', 'p', '{member}', 'done', 's', 0, 0, {at}, {at}, {at}, {at})"
            ),
            format!(
                "INSERT INTO bulk_run_member (run_id, position, exchange_id, carried, attempt, state) VALUES ('{run}', 0, '{exchange}', 0, 0, 'done')"
            ),
            format!(
                "INSERT INTO partner_checkpoint (work_id, partner_id, note, came_ms) VALUES ('{exchange}', 'p', '{member}', {at})"
            ),
            format!(
                "INSERT INTO evidence_packet (id, kind, subject, asked_by, asked_us, state, size, entries, bytes, sha256, made_ms) \
                VALUES ('{packet}', 'exchange', '{exchange}', 'o', {at_us}, 'made', 1, 1, 1, 'd', {at})"
            ),
            format!("INSERT INTO evidence_piece (packet_id, no, content) VALUES ('{packet}', 0, {byte})"),
            format!("INSERT INTO evidence_member (patient_id, packet_id) VALUES ('{member}', '{packet}')"),
        ] {
            self.sql(&statement);
        }
        self.append(member, None);
        self.append(member, Some(&exchange));
        exchange
    }

    fn append(&self, member: &str, exchange: Option<&str>) {
        let at_us = self.ctx.clock.now_us();
        let id = self.ctx.ids.new_id(at_us / 1000);
        let mut entry = LedgerEvent::new(
            Action::OperatorViewed,
            Operator::actor("auditor"),
            Correlation::internal(id.clone()),
        );
        entry.exchange = exchange.map(str::to_owned);
        entry.object = Some(Object {
            kind: "Patient",
            id: member.to_owned(),
        });
        entry.note = Some(OperatorNote {
            operator: "ana".into(),
            reason: "looked".into(),
        });
        let write = move |db: &mut Db| ledger::append(db, &entry, &id, at_us);
        self.ctx.store.write_blocking(write).expect("appended");
    }
}

fn runner(ctx: &Context) -> Runner {
    let settings = RunnerSettings {
        permits: 1,
        poll: Duration::from_secs(60),
        lease: Duration::from_secs(60),
    };
    let steps: Vec<Arc<dyn JobStep>> = vec![job::step()];
    Runner::new(ctx, settings, steps, Chance::seeded(1)).expect("fits")
}
