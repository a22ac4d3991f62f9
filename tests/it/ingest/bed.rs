//! A store with one member, the sandbox as the member's other payer, and a worker that runs exchanges between them.

use crate::exchange::bed::{Bed, settings, wish};
use causeway::clock::Clock;
use causeway::exchange::follow_up::TakeBack;
use causeway::exchange::series::AskAgain;
use causeway::exchange::steps::{JudgeAgain, PartnerAccess, PartnerSessions};
use causeway::exchange::watch;
use causeway::exchange::work::ExchangeWork;
use causeway::ids::Ids;
use causeway::jobs::{Chance, JobStep, Runner, RunnerSettings};
use causeway::partner::client::Identity;
use causeway::partner::peer::{PeerLimits, PeerMeans};
use causeway::records::import::ingest_ndjson;
use causeway::records::ingest::{IngestCounts, counted};
use causeway::secret::Secret;
use causeway::security::vault::{KEYS_FILE, Vault};
use causeway::store::exchanges::ExchangeRow;
use causeway_jose::{Algorithm, SigningKey};
use causeway_sandbox_partner::{
    HrexVersion, PdexVersion, RunningSandbox, Sandbox, SandboxMember, SandboxRoute, SandboxScript,
};
use diesel::prelude::*;
use diesel::sql_types::{Binary, Text};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// The time of the store and of the sandbox.
const CLOCK: &str = "clock = \"2026-01-05T15:00:00Z\"\n";

pub struct World {
    pub bed: Bed,
    pub sandbox: RunningSandbox,
    pub access: PartnerAccess,
    pub keys: tempfile::TempDir,
    /// How long the worker of this process has a job: nobody renews it.
    pub lease: Duration,
}

impl World {
    /// A sandbox that plays this script, and the member `Patient/m1` who is its first member too.
    pub fn new(script: &str) -> World {
        World::with(script, patient_limits())
    }

    /// The same with these limits of calls.
    pub fn with(script: &str, limits: PeerLimits) -> World {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let key = SigningKey::generate(Algorithm::Es384, "k1").expect("a key");
        let script = SandboxScript::from_toml(&format!("{CLOCK}{script}")).expect("a script");
        let script = script.with_client("new-payer", json!({"keys": [key.public_jwk()]}));
        let payer = script.payer.clone();
        let dialect = json!({"hrex": if script.hrex == HrexVersion::V1_0 { "1.0" } else { "1.1" },
            "pdex": if script.pdex == PdexVersion::V2_2 { "2.2" } else { "2.1" }, "us_core": "6.1.0"})
        .to_string();
        let sandbox = Sandbox::start(script).expect("the sandbox listens");
        let certificate = sandbox
            .client_certificate("https://new-payer.example/fhir")
            .expect("a certificate");
        let bed = Bed::new();
        let endpoint = json!({"fhir": sandbox.base_url(), "trust": sandbox.trust_pem()}).to_string();
        bed.write(move |db| {
            let set = format!(
                "UPDATE partner SET endpoint = '{endpoint}', npi = '{}', dialect = '{dialect}'",
                payer.npi
            );
            diesel::sql_query(set).execute(db)?;
            Ok(())
        });
        let keys = tempfile::tempdir().expect("a folder");
        let access = PartnerAccess::new(
            PeerMeans {
                identity: Arc::new(Identity {
                    client_id: "new-payer".into(),
                    signing_key: key,
                    certificate_pem: certificate.certificate_pem.clone(),
                    certificate_key_pem: Secret::new(&certificate.key_pem),
                }),
                limits,
                loopback: true,
                clock: bed.ctx.clock.clone(),
                ids: Ids::random(),
            },
            Vault::open(&keys.path().join(KEYS_FILE)).expect("keys"),
        );
        let world = World {
            bed,
            sandbox,
            access,
            keys,
            lease: settings().lease,
        };
        assert!(matches!(world.bed.ctx.clock, Clock::Fixed(_)), "time is moved by hand");
        world.import(&world.member().demographics("m1"));
        world.import(&json!({"resourceType": "Coverage", "id": "k1", "status": "active", "beneficiary": {"reference": "Patient/m1"},
            "identifier": [{"type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MB"}]},
                "system": "http://new-payer.example/identifiers/member", "value": "NEW-1"}], "payor": [{"display": "New Payer"}]}));
        world
    }

    pub fn member(&self) -> &SandboxMember {
        &self.sandbox.members()[0]
    }

    pub fn import(&self, resource: &Value) {
        ingest_ndjson(
            &self.bed.ctx,
            resource.to_string().as_bytes(),
            "test",
            &mut |line, failure| panic!("line {line}: {failure:?}"),
        )
        .expect("stored");
    }

    /// Starts an exchange for the member; returns its id.
    pub fn start(&self) -> String {
        let mut wish = wish();
        wish.coverage.member_number = self.member().number.clone();
        wish.coverage.number_system = Some("http://sandbox-payer.example/identifiers/member".into());
        self.bed.start(&wish).expect("started").exchange_id
    }

    /// A worker of this process.
    pub fn runner(&self) -> Runner {
        let sessions: Arc<dyn PartnerSessions> = Arc::new(self.access.clone());
        let steps: Vec<Arc<dyn JobStep>> = vec![
            ExchangeWork::step(sessions.clone(), Chance::seeded(1)),
            Arc::new(TakeBack(sessions)),
            Arc::new(AskAgain(|_, _, _, _| Ok(()))),
            Arc::new(JudgeAgain(self.access.clone())),
            watch::step(),
        ];
        let settings = RunnerSettings {
            lease: self.lease,
            ..settings()
        };
        Runner::new(&self.bed.ctx, settings, steps, Chance::seeded(1)).expect("fits")
    }

    /// Attempts one job that is due. If `is_recorded` is false, the process dies before it can write how the attempt ended, and the lease ends.
    /// Returns whether anything was due.
    pub fn turn(&self, is_recorded: bool) -> bool {
        self.hold_sandbox_back();
        let runner = self.runner();
        let mut held = self.bed.block(runner.claim(1, &[])).expect("claimed").held;
        let Some(held) = held.pop() else { return false };
        let outcome = self.bed.block(runner.attempt(&held));
        if is_recorded {
            self.bed.block(runner.record(&held, outcome)).expect("recorded");
        } else {
            self.bed.ctx.clock.advance_ms(61_000);
            self.sandbox.control().set_time_ms(self.bed.ctx.clock.now_ms());
        }
        true
    }

    /// The sandbox's clock goes on by itself; on a slow machine it would leave the assertions of this side behind, which live for minutes.
    fn hold_sandbox_back(&self) {
        let (control, now_ms) = (self.sandbox.control(), self.bed.ctx.clock.now_ms());
        if control.now_ms() - now_ms > 120_000 {
            control.set_time_ms(now_ms);
        }
    }

    /// Runs the exchange and lets time pass, up to an hour, until nothing of it is due.
    pub fn run(&self, id: &str) -> ExchangeRow {
        self.run_for(id, 3_600_000)
    }

    /// The same for this many milliseconds.
    pub fn run_for(&self, id: &str, most_ms: i64) -> ExchangeRow {
        let runner = self.runner();
        let end_ms = self.bed.ctx.clock.now_ms() + most_ms;
        loop {
            self.hold_sandbox_back();
            self.bed.block(runner.run_due()).expect("run");
            let row = self.bed.exchange(id);
            match row.wake_ms.or_else(|| self.job_due_ms(id)) {
                Some(wake_ms) if row.parked_at_ms.is_none() && wake_ms <= end_ms => {
                    self.bed
                        .ctx
                        .clock
                        .advance_ms((wake_ms - self.bed.ctx.clock.now_ms()).max(1));
                    self.sandbox.control().set_time_ms(self.bed.ctx.clock.now_ms());
                }
                _ => return row,
            }
        }
    }

    /// When the job of an exchange that says no time itself is due: after a failure of the job, such as a store that was too slow.
    fn job_due_ms(&self, id: &str) -> Option<i64> {
        let due = format!(
            "SELECT COALESCE(MAX(CASE WHEN lease_until_ms > due_ms THEN lease_until_ms ELSE due_ms END), -1) \
             FROM job WHERE kind = 'exchange' AND state = 'waiting' AND live_key = '{id}'"
        );
        Some(self.bed.number(&due)).filter(|due_ms| *due_ms >= 0)
    }

    /// Starts an exchange and runs it.
    pub fn exchange(&self) -> ExchangeRow {
        let id = self.start();
        self.run(&id)
    }

    pub fn counts(&self, id: &str) -> IngestCounts {
        counted(&self.bed.ctx, id).expect("counted")
    }

    /// Stored bodies of a type, in the order of their keys, whose ids are a partner's.
    pub fn received(&self, rtype: &str) -> Vec<Value> {
        #[derive(QueryableByName)]
        struct Body {
            #[diesel(sql_type = Binary)]
            body: Vec<u8>,
        }
        let query = format!("SELECT body FROM resource WHERE type = '{rtype}' AND id LIKE 'px.%' ORDER BY key");
        let rows = self
            .bed
            .ctx
            .store
            .read_blocking(|db| Ok(diesel::sql_query(&query).load::<Body>(db)?))
            .expect("read");
        rows.iter()
            .map(|row| serde_json::from_slice(&row.body).expect("JSON"))
            .collect()
    }

    /// How many resources of the partner are stored, without what this server made.
    pub fn received_count(&self) -> i64 {
        self.bed.number("SELECT COUNT(*) FROM resource WHERE id LIKE 'px.%'")
            - self
                .bed
                .number("SELECT COUNT(*) FROM ingest_resource WHERE outcome = 'made'")
    }

    /// The types of what is missing.
    pub fn missing(&self, id: &str) -> Vec<String> {
        #[derive(QueryableByName)]
        struct Missing {
            #[diesel(sql_type = Text)]
            resource_type: String,
        }
        let query = format!("SELECT resource_type FROM exchange_missing WHERE exchange_id = '{id}' ORDER BY number");
        let rows = self
            .bed
            .ctx
            .store
            .read_blocking(|db| Ok(diesel::sql_query(&query).load::<Missing>(db)?))
            .expect("read");
        rows.into_iter().map(|row| row.resource_type).collect()
    }

    /// Requests to a route that the sandbox saw.
    pub fn asked(&self, route: SandboxRoute) -> usize {
        self.sandbox.control().requests_to(route).len()
    }

    /// Nothing has reached an origin that is not the partner's.
    pub fn assert_no_strays(&self) {
        let strays = self.sandbox.control().strays();
        assert!(strays.is_empty(), "{strays:?}");
    }
}

/// Limits that a sandbox on a busy machine keeps.
pub fn patient_limits() -> PeerLimits {
    let long = Duration::from_secs(60);
    PeerLimits {
        connect: long,
        head: long,
        idle: long,
        rate_over: long,
        ..PeerLimits::default()
    }
}

/// Limits that a large body soon exceeds.
pub fn small_limits() -> PeerLimits {
    PeerLimits {
        body_bytes: 2 << 20,
        small_bytes: 1 << 20,
        ..patient_limits()
    }
}

/// Limits under which a slow partner is noticed within a second or two.
pub fn short_limits() -> PeerLimits {
    PeerLimits {
        idle: Duration::from_secs(1),
        rate_bytes: 2_000,
        rate_over: Duration::from_secs(1),
        ..small_limits()
    }
}
