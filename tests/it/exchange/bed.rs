//! A store with one member and one partner, a clock that is moved by hand, and a worker that runs what is due.

use super::scripted::Scripted;
use crate::support::store::{TestStore, on_postgres};
use causeway::audit::Action;
use causeway::clock::Clock;
use causeway::consent::WithdrawnBy;
use causeway::context::{Context, GuessGuard, Payer, ReviewTerms, WorkBell};
use causeway::error::Failure;
use causeway::exchange::acts::{ActResult, ExchangeAct, act, revoke_opt_in};
use causeway::exchange::intake::{AcceptedWish, ExchangeWish, WishedOptIn, start_in};
use causeway::exchange::phase::{AskedFor, CoverKind, Phase};
use causeway::exchange::steps::OtherCoverage;
use causeway::exchange::{job_steps, watch};
use causeway::ids::Ids;
use causeway::jobs::{Chance, Runner, RunnerSettings};
use causeway::records::import::ingest_ndjson;
use causeway::secret::member_keys::MemberKeys;
use causeway::store::exchanges::{self, AttemptRow, ExchangeRow};
use causeway::store::guesses::GuessLimits;
use causeway::store::partners::{self, PartnerRow};
use causeway::store::{Db, Store};
use causeway::telemetry::Correlation;
use diesel::prelude::*;
use diesel::sql_types::Text;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;

/// 2026-01-05T15:00:00Z, a Monday.
pub const NOW: i64 = 1_767_625_200_000;
pub const HOUR: i64 = 3_600_000;

pub struct Bed {
    pub ctx: Context,
    pub store: TestStore,
    runtime: Runtime,
}

impl Bed {
    /// With the member `Patient/m1` and the partner `old-payer`.
    pub fn new() -> Bed {
        Bed::with(TestStore::fresh())
    }

    /// The same over this store.
    pub fn with(store: TestStore) -> Bed {
        let bed = Bed {
            ctx: context(&store, NOW),
            store,
            runtime: tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .expect("a runtime"),
        };
        bed.member("m1");
        bed.partner("old-payer");
        bed.sql("CREATE TABLE stored_by_test (exchange_id TEXT NOT NULL)");
        bed
    }

    pub fn member(&self, id: &str) {
        let patient = format!(
            r#"{{"resourceType":"Patient","id":"{id}","name":[{{"family":"Lima","given":["Ana"]}}],"birthDate":"1980-01-01"}}"#
        );
        ingest_ndjson(&self.ctx, patient.as_bytes(), "test", &mut |line, failure| {
            panic!("line {line}: {failure:?}")
        })
        .expect("stored");
    }

    pub fn partner(&self, id: &str) {
        let row = partner(id);
        self.write(move |db| partners::insert(db, &row));
    }

    pub fn write<T: Send + 'static>(&self, work: impl FnMut(&mut Db) -> Result<T, Failure> + Send + 'static) -> T {
        self.ctx.store.write_blocking(work).expect("written")
    }

    pub fn sql(&self, statement: &str) {
        let own = statement.to_owned();
        self.write(move |db| {
            diesel::sql_query(&own).execute(db)?;
            Ok(())
        });
    }

    pub fn block<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// A worker whose partner is this one.
    pub fn runner(&self, partner: &Scripted) -> Runner {
        self.runner_with(&self.ctx, partner, 1)
    }

    pub fn runner_with(&self, ctx: &Context, partner: &Scripted, seed: u64) -> Runner {
        let mut steps = job_steps(&partner.sessions(), &Chance::seeded(seed), |_, _, _, _| Ok(()));
        steps.push(watch::step());
        Runner::new(ctx, settings(), steps, Chance::seeded(seed)).expect("fits")
    }

    /// A worker that does so many jobs at once.
    pub fn runner_with_permits(&self, partner: &Scripted, permits: usize) -> Runner {
        let steps = job_steps(&partner.sessions(), &Chance::seeded(1), |_, _, _, _| Ok(()));
        let settings = RunnerSettings { permits, ..settings() };
        Runner::new(&self.ctx, settings, steps, Chance::seeded(1)).expect("fits")
    }

    /// How many exchanges and jobs stand how.
    pub fn states(&self) -> Vec<String> {
        #[derive(QueryableByName)]
        struct Said {
            #[diesel(sql_type = Text)]
            text: String,
        }
        let query = "SELECT phase || ' ' || transport_state || ' ' || COALESCE(reason, '-') || ' ' || COUNT(*) AS text FROM exchange \
             GROUP BY phase, transport_state, reason UNION ALL \
             SELECT kind || ' ' || state || ' ' || COALESCE(last_class, '-') || ' ' || COUNT(*) FROM job GROUP BY kind, state, last_class";
        let read = |db: &mut Db| Ok(diesel::sql_query(query).load::<Said>(db)?);
        let rows = self.ctx.store.read_blocking(read).expect("read");
        rows.into_iter().map(|row| row.text).collect()
    }

    /// The ids of the exchanges with a partner.
    pub fn ids_with(&self, partner: &str) -> std::collections::BTreeSet<String> {
        let filter = exchanges::ExchangeFilter {
            partner: Some(partner.to_owned()),
            limit: 100,
            ..exchanges::ExchangeFilter::default()
        };
        let rows = self.ctx.store.read_blocking(|db| exchanges::page(db, &filter));
        rows.expect("read").into_iter().map(|row| row.id).collect()
    }

    /// Runs what is due, without waiting.
    pub fn run(&self, partner: &Scripted) {
        let runner = self.runner(partner);
        self.block(runner.run_due()).expect("run");
    }

    /// Runs and lets time pass until nothing of the exchange is due within `most_ms`.
    pub fn run_through(&self, partner: &Scripted, id: &str, most_ms: i64) {
        let end_ms = self.ctx.clock.now_ms() + most_ms;
        loop {
            self.run(partner);
            let row = self.exchange(id);
            match row.wake_ms {
                Some(wake_ms) if row.parked_at_ms.is_none() && wake_ms <= end_ms => {
                    self.ctx.clock.advance_ms((wake_ms - self.ctx.clock.now_ms()).max(1));
                }
                _ => return,
            }
        }
    }

    pub fn start(&self, wish: &ExchangeWish) -> Result<AcceptedWish, Failure> {
        let (ctx, wish) = (self.ctx.clone(), wish.clone());
        self.ctx.store.write_blocking(move |db| start_in(db, &ctx, &wish))
    }

    /// Starts the usual exchange and returns its id.
    pub fn started(&self) -> String {
        self.start(&wish()).expect("started").exchange_id
    }

    pub fn act(&self, id: &str, what: ExchangeAct) -> Result<ActResult, Failure> {
        let (ctx, id, by) = (self.ctx.clone(), id.to_owned(), by());
        self.ctx.store.write_blocking(move |db| act(db, &ctx, &id, what, &by))
    }

    pub fn revoke(&self, exchange: &str) -> usize {
        let (ctx, exchange, by) = (self.ctx.clone(), exchange.to_owned(), by());
        self.write(move |db| {
            let ask = exchanges::ask_of(db, &exchange)?.expect("it asks");
            revoke_opt_in(db, &ctx, &ask.opt_in_id, &by)
        })
    }

    pub fn exchange(&self, id: &str) -> ExchangeRow {
        let found = self.ctx.store.read_blocking(|db| exchanges::find(db, id));
        found.expect("read").expect("there")
    }

    pub fn phase(&self, id: &str) -> Phase {
        Phase::parse(&self.exchange(id).phase).expect("a phase")
    }

    pub fn attempts(&self, id: &str) -> Vec<AttemptRow> {
        self.ctx
            .store
            .read_blocking(|db| exchanges::attempts_of(db, id, 1_000))
            .expect("read")
    }

    /// The actions of the ledger about an exchange, oldest first.
    pub fn ledger(&self, id: &str) -> Vec<String> {
        #[derive(QueryableByName)]
        struct Said {
            #[diesel(sql_type = Text)]
            action: String,
        }
        // In the order in which they were written: ids follow the clock, which the simulation sets back between transactions. On
        // PostgreSQL a row may stand where another one was, so its transaction tells.
        let order = if on_postgres() {
            "xmin::text::bigint, id"
        } else {
            "rowid"
        };
        let query = format!("SELECT action FROM ledger_entry WHERE exchange_id = '{id}' ORDER BY {order}");
        let read = |db: &mut Db| Ok(diesel::sql_query(&query).load::<Said>(db)?);
        let rows = self.ctx.store.read_blocking(read).expect("read");
        let known: Vec<&str> = Action::ALL.iter().map(|action| action.code()).collect();
        rows.into_iter()
            .map(|row| {
                assert!(known.contains(&row.action.as_str()), "{}", row.action);
                row.action.trim_start_matches("exchange.").to_owned()
            })
            .collect()
    }

    pub fn number(&self, query: &str) -> i64 {
        #[derive(QueryableByName)]
        struct Number {
            #[diesel(sql_type = diesel::sql_types::BigInt)]
            n: i64,
        }
        let query = format!("SELECT ({query}) AS n");
        let read = |db: &mut Db| Ok(diesel::sql_query(&query).get_result::<Number>(db)?.n);
        self.ctx.store.read_blocking(read).expect(&query)
    }
}

pub fn settings() -> RunnerSettings {
    RunnerSettings {
        permits: 8,
        poll: Duration::from_secs(60),
        lease: Duration::from_secs(60),
    }
}

/// A context over this store whose clock stands at `now_ms`.
pub fn context(store: &Store, now_ms: i64) -> Context {
    Context {
        guard: Arc::new(GuessGuard::open(store, GuessLimits::default()).expect("a guard")),
        store: store.clone(),
        clock: Clock::fixed(now_ms),
        ids: Ids::random(),
        payer: Arc::new(Payer {
            name: "New Payer".into(),
            npi: "1992000020".into(),
            member_system: "http://new-payer.example/identifiers/member".into(),
            umb_system: "http://new-payer.example/identifiers/umb".into(),
            base_url: "https://localhost/fhir".into(),
            time_zone: chrono_tz::America::New_York,
        }),
        review: ReviewTerms::default(),
        matching: Arc::default(),
        keeping: Arc::default(),
        policy_four_eyes: false,
        member_keys: MemberKeys::default(),
        bell: WorkBell::default(),
    }
}

pub fn partner(id: &str) -> PartnerRow {
    PartnerRow {
        id: id.into(),
        name: "Old Payer".into(),
        npi: "1992000012".into(),
        client_id: format!("client-{id}"),
        status: "active".into(),
        status_reason: None,
        certificate_uri: None,
        mtls: "off".into(),
        scopes: "system/*.rs".into(),
        dialect: r#"{"hrex":"1.1","pdex":"2.2","us_core":"6.1.0"}"#.into(),
        jwks: None,
        jwks_url: None,
        endpoint: Some(r#"{"fhir":"https://old-payer.example/fhir","trust":null}"#.into()),
        contacts: None,
        version: 1,
        created_ms: NOW,
        updated_ms: NOW,
    }
}

/// The wish that the tests vary.
pub fn wish() -> ExchangeWish {
    ExchangeWish {
        partner: "old-payer".into(),
        member_id: "m1".into(),
        coverage: OtherCoverage {
            member_number: "OLD-77".into(),
            ..OtherCoverage::default()
        },
        own_coverage_id: None,
        cover: CoverKind::Previous,
        asked_for: AskedFor::Enrolment,
        since_ms: None,
        opt_in: WishedOptIn::New {
            attested_by: "desk-4".into(),
            attested_ms: NOW - HOUR,
            attested_how: "portal".into(),
            policy: "regular".into(),
            from_ms: NOW - HOUR,
            to_ms: Some(NOW + 400 * 24 * HOUR),
        },
        correlation_id: Some("corr-1".into()),
        request: None,
        run_of: None,
        by: Some(by()),
    }
}

pub fn by() -> WithdrawnBy {
    WithdrawnBy::new(
        "tess".into(),
        "operator",
        "a test",
        Correlation::internal("request-1".into()),
    )
    .expect("a reason")
}
