//! A store with a clock that stands, a step whose fate is written in advance, and another side that counts what it was sent.

use crate::support::store::{TestStore, on_postgres};
use causeway::clock::Clock;
use causeway::context::{Context, GuessGuard, Payer, ReviewTerms, WorkBell};
use causeway::error::{Failure, Fault};
use causeway::ids::Ids;
use causeway::jobs::retry::FailureClass;
use causeway::jobs::{
    AttemptEnding, Chance, Doing, HeldJob, JobStep, NewJob, Priority, Runner, RunnerSettings, WorkKind, enqueue,
};
use causeway::records::import::ingest_ndjson;
use causeway::secret::member_keys::MemberKeys;
use causeway::store::guesses::GuessLimits;
use causeway::store::{Db, Store};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::runtime::Runtime;

/// 2026-01-01T00:00:00Z
pub const NOW: i64 = 1_767_225_600_000;
pub const LEASE_MS: i64 = 60_000;

pub static DEED: WorkKind = WorkKind {
    name: "deed",
    priority: Priority::Ordinary,
    every: None,
    timeout: Duration::from_secs(45),
    renews: false,
    safe_because: "the other side keeps what it was sent under its key once",
};

/// What an attempt does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Well,
    Fail,
    Panic,
    Hang,
    /// It goes well, and its business rows are refused.
    RowsRefused,
    RetryAfter(u64),
}

/// What the other side was sent, by idempotency key.
#[derive(Default)]
pub struct World(Mutex<BTreeMap<String, usize>>);

impl World {
    fn receive(&self, key: &str) {
        *self.0.lock().expect("whole").entry(key.to_owned()).or_default() += 1;
    }

    pub fn kept(&self) -> Vec<String> {
        self.0.lock().expect("whole").keys().cloned().collect()
    }
}

/// Notes that it begins, does one outside effect, and commits its result with a business row.
pub struct Deed {
    pub world: Arc<World>,
    script: Mutex<VecDeque<Act>>,
}

impl Deed {
    pub fn that(acts: &[Act]) -> Arc<Deed> {
        Arc::new(Deed {
            world: Arc::default(),
            script: Mutex::new(acts.iter().copied().collect()),
        })
    }
}

fn on_rows(db: &mut Db, statement: &str) -> Result<(), Failure> {
    diesel::sql_query(statement).execute(db)?;
    Ok(())
}

impl JobStep for Deed {
    fn kind(&self) -> &'static WorkKind {
        &DEED
    }

    fn run(&self, held: HeldJob) -> Doing<'_> {
        Box::pin(async move {
            let act = self.script.lock().expect("whole").pop_front().unwrap_or(Act::Well);
            held.write(|db| on_rows(db, "UPDATE deed SET started = started + 1"))
                .await?;
            match act {
                Act::Fail => return Err(Failure::new(Fault::Internal).because("so it is written")),
                Act::Panic => panic!("so it is written"),
                Act::Hang => std::future::pending().await,
                Act::RetryAfter(ms) => return Ok(AttemptEnding::retry(FailureClass::Failed.row(), Some(ms))),
                Act::Well | Act::RowsRefused => {}
            }
            self.world.receive(&held.job().key);
            Ok(AttemptEnding::done().with(Arc::new(move |db| {
                on_rows(db, "UPDATE deed SET done = done + 1")?;
                match act {
                    Act::RowsRefused => Err(Failure::new(Fault::Internal).because("so it is written")),
                    _ => Ok(()),
                }
            })))
        })
    }
}

/// A job as its row has it.
#[derive(Debug, QueryableByName)]
pub struct Row {
    #[diesel(sql_type = Text)]
    pub state: String,
    #[diesel(sql_type = BigInt)]
    pub due_ms: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub lease_until_ms: Option<i64>,
    #[diesel(sql_type = BigInt)]
    pub lease_epoch: i64,
    #[diesel(sql_type = BigInt)]
    pub claims: i64,
    #[diesel(sql_type = BigInt)]
    pub attempts: i64,
    #[diesel(sql_type = Nullable<Text>)]
    pub last_class: Option<String>,
    #[diesel(sql_type = Text)]
    pub payload: String,
}

pub struct Bed {
    pub ctx: Context,
    pub store: TestStore,
    seed: u64,
    runtime: Runtime,
}

impl Bed {
    /// With an empty store; randomness follows from a seed that is printed.
    pub fn new() -> Bed {
        let store = TestStore::fresh();
        let seed = std::env::var("CAUSEWAY_TEST_SEED")
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or_else(|| u64::from(std::process::id()) ^ 0x5eed);
        println!("CAUSEWAY_TEST_SEED={seed}");
        let ctx = context(&store);
        let bed = Bed {
            ctx,
            store,
            seed,
            runtime: tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .expect("a runtime"),
        };
        bed.sql("CREATE TABLE deed (started BIGINT NOT NULL, done BIGINT NOT NULL)");
        bed.sql("INSERT INTO deed (started, done) VALUES (0, 0)");
        bed
    }

    pub fn block<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    pub fn settings() -> RunnerSettings {
        RunnerSettings {
            permits: 16,
            poll: Duration::from_secs(60),
            lease: Duration::from_secs(60),
        }
    }

    /// A worker with these steps.
    pub fn runner(&self, steps: Vec<Arc<dyn JobStep>>) -> Runner {
        Runner::new(&self.ctx, Bed::settings(), steps, Chance::seeded(self.seed)).expect("fits")
    }

    pub fn sql(&self, statement: &str) {
        let own = statement.to_owned();
        self.ctx
            .store
            .write_blocking(move |db| on_rows(db, &own))
            .expect(statement);
    }

    pub fn number(&self, query: &str) -> i64 {
        #[derive(QueryableByName)]
        struct Number {
            #[diesel(sql_type = BigInt)]
            n: i64,
        }
        let query = format!("SELECT ({query}) AS n");
        let read = |db: &mut Db| Ok(diesel::sql_query(&query).get_result::<Number>(db)?.n);
        self.ctx.store.read_blocking(read).expect(&query)
    }

    /// The job of this kind and key, if it lives.
    pub fn job(&self, kind: &str, key: &str) -> Option<Row> {
        let query = format!(
            "SELECT state, due_ms, lease_until_ms, lease_epoch, claims, attempts, last_class, payload FROM job \
             WHERE kind = '{kind}' AND live_key = '{key}'"
        );
        let read = |db: &mut Db| Ok(diesel::sql_query(&query).get_result::<Row>(db).optional()?);
        self.ctx.store.read_blocking(read).expect(&query)
    }

    /// Hands a deed in; whether it was new.
    pub fn hand_in(&self, key: &str, partner: Option<&str>) -> bool {
        let (id, now_ms) = (self.ctx.ids.new_id(self.ctx.clock.now_ms()), self.ctx.clock.now_ms());
        let (key, partner) = (key.to_owned(), partner.map(str::to_owned));
        self.ctx
            .store
            .write_blocking(move |db| {
                let new = NewJob {
                    kind: &DEED,
                    partner: partner.as_deref(),
                    key: &key,
                    payload: "{}",
                    due_ms: now_ms,
                };
                enqueue(db, &id, &new, now_ms)
            })
            .expect("handed in")
    }

    pub fn import(&self, resources: &[Value]) {
        let lines: Vec<String> = resources.iter().map(Value::to_string).collect();
        ingest_ndjson(&self.ctx, lines.join("\n").as_bytes(), "test", &mut |line, failure| {
            panic!("line {line}: {failure:?}")
        })
        .expect("stored");
    }
}

/// A context over this store whose clock stands.
pub fn context(store: &Store) -> Context {
    Context {
        guard: Arc::new(GuessGuard::open(store, GuessLimits::default()).expect("a guard")),
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
    }
}

/// A literal of one byte.
pub fn byte(byte: u8) -> String {
    match on_postgres() {
        true => format!("'\\x{byte:02x}'::bytea"),
        false => format!("x'{byte:02x}'"),
    }
}
