//! A store with a clock that stands, receivers of its alerts, and the looks and attempts that servers make, one by one.

use crate::support::hook::HookRequest;
use crate::support::store::TestStore;
use causeway::alerting::episodes::keep;
use causeway::alerting::kind::ALERT_WEBHOOK;
use causeway::alerting::receivers::ReceiverList;
use causeway::alerting::send::WebhookStep;
use causeway::clock::Clock;
use causeway::context::{Context, GuessGuard, Payer, ReviewTerms, WorkBell};
use causeway::ids::Ids;
use causeway::jobs::sweeps::{EXPIRED, of_the_store};
use causeway::jobs::{Chance, JobStep, Runner, RunnerSettings};
use causeway::ops::alerts::items;
use causeway::ops::alerts::table::alert;
use causeway::secret::{hex, hmac_sha256};
use causeway::store::guesses::GuessLimits;
use causeway::store::jobs as job_rows;
use causeway::store::{Db, Store};
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// 2027-01-15T08:00:00Z
pub const NOW_MS: i64 = 1_800_000_000_000;
pub const MINUTE_MS: i64 = 60_000;
pub const SECRET: &str = "a secret of more than thirty-two characters";
/// When a receiver is given up, where that is not what a test is about: only one that never answers takes so long.
const GIVEN_UP: Duration = Duration::from_secs(60);

/// Writes the file of these receivers, each with its secret, into a folder.
pub fn write(folder: &Path, receivers: &[(&str, &str, &str)]) {
    let key = folder.join("hook.key");
    std::fs::write(&key, SECRET).expect("a file");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).expect("a mode");
    let entry = |(name, url, more): &(&str, &str, &str)| {
        format!("[[receiver]]\nname = \"{name}\"\nurl = \"{url}\"\nsecret_file = \"hook.key\"\n{more}\n")
    };
    let text: String = receivers.iter().map(entry).collect();
    std::fs::write(folder.join("receivers.toml"), text).expect("a file");
}

fn context(store: &Store) -> Context {
    Context {
        guard: Arc::new(GuessGuard::open(store, GuessLimits::default()).expect("a guard")),
        store: store.clone(),
        clock: Clock::fixed(NOW_MS),
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
        member_keys: causeway::secret::member_keys::MemberKeys::default(),
        policy_four_eyes: false,
        bell: WorkBell::default(),
    }
}

/// A store, and receivers of its alerts.
pub struct Bed {
    pub ctx: Context,
    receivers: Arc<ReceiverList>,
    given_up: Duration,
    folder: TempDir,
    pub runtime: Runtime,
    _store: TestStore,
}

impl Bed {
    pub fn with(receivers: &[(&str, &str, &str)]) -> Bed {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let (store, folder) = (TestStore::fresh(), tempfile::tempdir().expect("a folder"));
        let mut bed = Bed {
            ctx: context(&store),
            receivers: Arc::default(),
            given_up: GIVEN_UP,
            folder,
            runtime: tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .expect("a runtime"),
            _store: store,
        };
        bed.list(receivers);
        bed
    }

    /// The servers give a receiver up after this time.
    pub fn gives_up_after(&mut self, time: Duration) {
        self.given_up = time;
    }

    /// The servers start again with these receivers.
    pub fn list(&mut self, receivers: &[(&str, &str, &str)]) {
        write(self.folder.path(), receivers);
        let file = self.folder.path().join("receivers.toml");
        self.receivers = Arc::new(ReceiverList::read(Some(&file)).expect("receivers"));
    }

    pub fn sql(&self, statement: &str) {
        let own = statement.to_owned();
        let write = move |db: &mut Db| {
            diesel::sql_query(&own).execute(db)?;
            Ok(())
        };
        self.ctx.store.write_blocking(write).expect(statement);
    }

    #[track_caller]
    pub fn count(&self, what: &str) -> i64 {
        #[derive(QueryableByName)]
        struct Number {
            #[diesel(sql_type = BigInt)]
            n: i64,
        }
        let query = format!("SELECT COUNT(*) AS n FROM {what}");
        let read = |db: &mut Db| Ok(diesel::sql_query(&query).get_result::<Number>(db)?.n);
        self.ctx.store.read_blocking(read).expect(&query)
    }

    /// The server of this partner fails from now on.
    pub fn fails(&self, partner: &str) {
        let now_ms = self.ctx.clock.now_ms();
        self.sql(&format!(
            "INSERT INTO partner_health (partner_id, budget_milli, budget_at_ms, failures, window_from_ms, window_calls, window_failed, \
             opened, open_until_ms) VALUES ('{partner}', 0, {now_ms}, 0, {now_ms}, 0, 0, 2, {now_ms} + 3600000)"
        ));
    }

    pub fn all_are_well(&self) {
        self.sql("DELETE FROM partner_health");
    }

    /// One look of a server that listens since `since_ms`; whether something is to be sent.
    pub fn look_since(&self, since_ms: i64) -> bool {
        let now_ms = self.ctx.clock.now_ms();
        let mut items = self.ctx.store.read_blocking(|db| items(db, now_ms)).expect("items");
        // What other tests of this process count is not of this store.
        items.retain(|item| alert(item.alert).is_some_and(|alert| !alert.is_of_process));
        keep(&self.ctx, &items, &self.receivers, since_ms).expect("kept")
    }

    pub fn look(&self) -> bool {
        self.look_since(NOW_MS - 3_600_000)
    }

    pub fn runner(&self) -> Runner {
        let step = WebhookStep::new(Arc::clone(&self.receivers)).within(self.given_up);
        self.runner_of(vec![Arc::new(step)])
    }

    /// Deletes what is expired.
    pub fn sweep(&self) {
        let is_own = |step: &Arc<dyn JobStep>| step.kind().name == EXPIRED.name;
        let runner = self.runner_of(of_the_store().into_iter().filter(is_own).collect());
        let ran = self.runtime.block_on(async {
            runner.prepare().await.expect("prepared");
            runner.run_due().await.expect("runs")
        });
        assert_eq!(ran, 1);
    }

    fn runner_of(&self, steps: Vec<Arc<dyn JobStep>>) -> Runner {
        let settings = RunnerSettings {
            permits: 4,
            poll: Duration::from_secs(60),
            lease: Duration::from_secs(60),
        };
        Runner::new(&self.ctx, settings, steps, Chance::seeded(7)).expect("fits")
    }

    /// Does all that is due; how many attempts there were.
    pub fn send(&self) -> usize {
        self.runtime.block_on(self.runner().run_due()).expect("runs")
    }

    /// State, failed attempts and last class of a receiver's work.
    pub fn job(&self, receiver: &str) -> Option<(String, i64, Option<String>)> {
        let jobs = self.ctx.store.read_blocking(|db| job_rows::list(db, false, "", 100));
        let jobs = jobs.expect("jobs").into_iter();
        let of_it: Vec<job_rows::Shown> = jobs.filter(|job| job.kind == ALERT_WEBHOOK.name).collect();
        let found = of_it.into_iter().find(|job| self.key(&job.id) == receiver)?;
        Some((found.state, found.attempts, found.last_class))
    }

    fn key(&self, job: &str) -> String {
        #[derive(QueryableByName)]
        struct Key {
            #[diesel(sql_type = diesel::sql_types::Text)]
            live_key: String,
        }
        let query = format!("SELECT live_key FROM job WHERE id = '{job}'");
        let read = |db: &mut Db| Ok(diesel::sql_query(&query).get_result::<Key>(db)?.live_key);
        self.ctx.store.read_blocking(read).expect(&query)
    }

    pub fn passes(&self, ms: i64) {
        self.ctx.clock.advance_ms(ms);
    }
}

/// The body of a message whose signature is right at this time.
#[track_caller]
pub fn verified(request: &HookRequest, at_ms: i64) -> Value {
    let signed = request.header("x-causeway-signature");
    let (time, mac) = signed.split_once(",v1=").expect("two parts");
    let time = time.strip_prefix("t=").expect("a time");
    assert_eq!(time.parse::<i64>(), Ok(at_ms / 1_000), "{signed}");
    let wanted = hmac_sha256(SECRET.as_bytes(), format!("{time}.{}", request.body).as_bytes());
    assert_eq!(mac, hex(&wanted));
    assert_eq!(request.header("content-type"), "application/json");
    let body: Value = serde_json::from_str(&request.body).expect("JSON");
    assert_eq!(
        request.header("x-causeway-delivery"),
        body["id"].as_str().expect("an id")
    );
    body
}
