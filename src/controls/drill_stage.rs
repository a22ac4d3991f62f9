//! Who plays the outage drill: a payer that does not exist, with its store and keys in a temporary folder, and the sandbox as its partner. It
//! decides nothing about what an exchange does.

use crate::audit::OperatorNote;
use crate::clock::Clock;
use crate::consent::WithdrawnBy;
use crate::context::{Context, GuessGuard, Payer, ReviewTerms, WorkBell};
use crate::error::{Failure, Fault};
use crate::exchange::acts::{ExchangeAct, act};
use crate::exchange::intake::{AcceptedWish, ExchangeWish, WishedOptIn, start_in};
use crate::exchange::job_steps;
use crate::exchange::phase::{AskedFor, CoverKind};
use crate::exchange::steps::{OtherCoverage, PartnerAccess, PartnerSessions};
use crate::ids::Ids;
use crate::jobs::{Chance, Runner, RunnerSettings};
use crate::partner::client::Identity;
use crate::partner::peer::{PeerLimits, PeerMeans};
use crate::partner::{Registration, registry};
use crate::records::import::ingest_ndjson;
use crate::secret::member_keys::MemberKeys;
use crate::secret::{Secret, hex, random};
use crate::security::vault::{KEYS_FILE, Vault};
use crate::store::exchanges::{self, AttemptRow, ExchangeRow};
use crate::store::guesses::GuessLimits;
use crate::store::{Store, StoreOptions, StoreUrl, remove_folder};
use crate::telemetry::Correlation;
use causeway_jose::{Algorithm, SigningKey};
use causeway_sandbox_partner::{RunningSandbox, Sandbox, SandboxAct, SandboxRoute, SandboxRule, SandboxScript};
use serde_json::json;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Two members, one for each exchange.
const SCRIPT: &str = "idempotency = \"honored\"\nmtls = \"off\"\nmembers = { count = 2, resources = 12 }\n";
/// The id of the partner that is played.
const PARTNER: &str = "drill-partner";
/// The id of the client that is played.
const CLIENT: &str = "drill-payer";
const DAY_MS: i64 = 86_400_000;

/// A folder that is removed with all that is in it.
struct DrillFolder(PathBuf);

impl DrillFolder {
    fn make() -> Result<DrillFolder, Failure> {
        let name = format!("causeway-drill-{}", hex(&random::<8>()));
        let path = std::env::temp_dir().join(name);
        let made = DirBuilder::new().mode(0o700).create(&path);
        made.map_err(|error| {
            Failure::new(Fault::InputUnreadable)
                .at(path.display().to_string())
                .because(error)
        })?;
        Ok(DrillFolder(path))
    }
}

impl Drop for DrillFolder {
    fn drop(&mut self) {
        let _ = remove_folder(&self.0);
    }
}

/// What stays when the payer that is played restarts.
pub(super) struct Drill {
    // Dropped in this order: the folder last.
    pub(super) sandbox: RunningSandbox,
    key: SigningKey,
    certificate: (String, String),
    pub(super) clock: Clock,
    ids: Ids,
    seed: u32,
    // One for all stages: SQLite may refuse a store that is opened while the last connection of another process, or of this one, closes it.
    ctx: OnceLock<Context>,
    folder: DrillFolder,
}

fn broken(error: impl std::error::Error + Send + Sync + 'static) -> Failure {
    Failure::new(Fault::Internal).because(error)
}

impl Drill {
    pub(super) fn make(seed: u32, now_ms: i64) -> Result<Drill, Failure> {
        let folder = DrillFolder::make()?;
        let key = SigningKey::generate(Algorithm::Es384, "drill-1")?;
        let public = json!({ "keys": [key.public_jwk()] });
        let script = SandboxScript::from_toml(SCRIPT)
            .map_err(broken)?
            .with_client(CLIENT, public.clone());
        let npi = script.payer.npi.clone();
        let sandbox = Sandbox::start(script).map_err(broken)?;
        let issued = sandbox
            .client_certificate("https://drill-payer.example/fhir")
            .map_err(broken)?;
        let write = |name: &str, text: &str| fs::write(folder.0.join(name), text).map_err(broken);
        write("trust.pem", sandbox.trust_pem())?;
        write("jwks.json", &public.to_string())?;
        let drill = Drill {
            sandbox,
            key,
            certificate: (issued.certificate_pem, issued.key_pem),
            clock: Clock::fixed(now_ms),
            ids: Ids::random(),
            seed,
            ctx: OnceLock::new(),
            folder,
        };
        drill.sandbox.control().set_time_ms(now_ms);
        let ctx = drill.open()?;
        let registration = format!(
            "id = \"{PARTNER}\"\nname = \"Drill Partner\"\nnpi = \"{npi}\"\nclient_id = \"{PARTNER}\"\njwks_file = \"jwks.json\"\n\
             mtls = \"off\"\nscopes = [\"system/*.rs\"]\n[endpoint]\nfhir = \"{}\"\ntrust = \"trust.pem\"\n",
            drill.sandbox.base_url()
        );
        let registration = Registration::parse(&registration, &drill.folder.0, true)?;
        let note = OperatorNote {
            operator: "drill".to_owned(),
            reason: String::new(),
        };
        registry::add(&ctx, &registration, note)?;
        let members = drill.members();
        ingest_ndjson(&ctx, members.as_bytes(), "drill", &mut |_, _| {})?;
        Ok(drill)
    }

    /// The members of the partner, as the payer that is played knows them.
    fn members(&self) -> String {
        let mut lines = String::new();
        for (number, member) in (1..).zip(self.sandbox.members()) {
            let patient = member.demographics(&format!("m{number}"));
            let cover = json!({"resourceType": "Coverage", "id": format!("k{number}"), "status": "active",
                "beneficiary": {"reference": format!("Patient/m{number}")}, "payor": [{"display": "Drill Payer"}],
                "identifier": [{"type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MB"}]},
                    "system": "http://drill-payer.example/identifiers/member", "value": format!("DRILL-{number}")}]});
            lines.push_str(&format!("{patient}\n{cover}\n"));
        }
        lines
    }

    /// The payer that is played, over its store.
    pub(super) fn open(&self) -> Result<Context, Failure> {
        if let Some(ctx) = self.ctx.get() {
            return Ok(ctx.clone());
        }
        let url = StoreUrl::Sqlite(self.folder.0.join("drill.db"));
        let store = Store::open(&url, &StoreOptions::default())?;
        let ctx = Context {
            guard: Arc::new(GuessGuard::open(&store, GuessLimits::default())?),
            store,
            clock: self.clock.clone(),
            ids: self.ids.clone(),
            payer: Arc::new(Payer {
                name: "Drill Payer".to_owned(),
                npi: "1992000020".to_owned(),
                member_system: "http://drill-payer.example/identifiers/member".to_owned(),
                umb_system: "http://drill-payer.example/identifiers/umb".to_owned(),
                base_url: "https://drill-payer.example/fhir".to_owned(),
                time_zone: chrono_tz::America::New_York,
            }),
            matching: Arc::default(),
            keeping: Arc::default(),
            policy_four_eyes: false,
            review: ReviewTerms::default(),
            member_keys: MemberKeys::default(),
            bell: WorkBell::default(),
        };
        Ok(self.ctx.get_or_init(|| ctx).clone())
    }

    /// The partner refuses every connection from now on.
    pub(super) fn goes_down(&self) -> Result<(), Failure> {
        let rule = SandboxRule::of(SandboxRoute::Connection, vec![SandboxAct::Refuse]);
        self.sandbox.control().set_rules(vec![rule]).map_err(broken)
    }

    /// Starts the exchange about the member at this place, or repeats its request.
    pub(super) fn started(&self, place: usize) -> Result<AcceptedWish, Failure> {
        let ctx = self.open()?;
        let number = self.sandbox.members().get(place).map(|member| member.number.clone());
        let now_ms = self.clock.now_ms();
        let wish = ExchangeWish {
            partner: PARTNER.to_owned(),
            member_id: format!("m{}", place + 1),
            coverage: OtherCoverage {
                member_number: number.unwrap_or_default(),
                number_system: self.sandbox.connection()["payer"]["member_system"]
                    .as_str()
                    .map(str::to_owned),
                ..OtherCoverage::default()
            },
            own_coverage_id: None,
            cover: CoverKind::Previous,
            asked_for: AskedFor::Enrolment,
            since_ms: None,
            opt_in: WishedOptIn::New {
                attested_by: "drill".to_owned(),
                attested_ms: now_ms - 3_600_000,
                attested_how: "drill".to_owned(),
                policy: "regular".to_owned(),
                from_ms: now_ms - 3_600_000,
                to_ms: Some(now_ms + 400 * DAY_MS),
            },
            correlation_id: None,
            request: Some((format!("drill-{place}"), format!("digest-{place}"))),
            run_of: None,
            by: Some(self.by()?),
        };
        let own = ctx.clone();
        ctx.store.write_blocking(move |db| start_in(db, &own, &wish))
    }

    fn by(&self) -> Result<WithdrawnBy, Failure> {
        let correlation = Correlation::internal(self.ids.new_id(self.clock.now_ms()));
        WithdrawnBy::new("drill".to_owned(), "operator", "an outage drill", correlation)
    }

    pub(super) fn replay(&self, id: &str) -> Result<(), Failure> {
        let (ctx, by, id) = (self.open()?, self.by()?, id.to_owned());
        let own = ctx.clone();
        ctx.store
            .write_blocking(move |db| act(db, &own, &id, ExchangeAct::Replay, &by))
            .map(drop)
    }

    pub(super) fn row(&self, id: &str) -> Result<ExchangeRow, Failure> {
        let found = self.open()?.store.read_blocking(|db| exchanges::find(db, id))?;
        found.ok_or_else(|| Fault::ExchangeUnknown.into())
    }

    pub(super) fn attempts(&self, id: &str) -> Result<Vec<AttemptRow>, Failure> {
        self.open()?
            .store
            .read_blocking(|db| exchanges::attempts_of(db, id, 1_000))
    }

    /// A process that works until nothing of the exchange is due any more, or it has waited so often.
    pub(super) fn stage(&self, id: &str, waits: usize) -> Result<(), Failure> {
        let ctx = self.open()?;
        let means = PeerMeans {
            identity: Arc::new(Identity {
                client_id: CLIENT.to_owned(),
                signing_key: SigningKey::from_jwk(&self.key.private_jwk())?,
                certificate_pem: self.certificate.0.clone(),
                certificate_key_pem: Secret::new(self.certificate.1.clone()),
            }),
            limits: PeerLimits::default(),
            loopback: true,
            clock: self.clock.clone(),
            ids: self.ids.clone(),
        };
        let access = PartnerAccess::new(means, Vault::open(&self.folder.0.join(KEYS_FILE))?);
        let sessions: Arc<dyn PartnerSessions> = Arc::new(access);
        let chance = Chance::seeded(u64::from(self.seed));
        let steps = job_steps(&sessions, &chance, |_, _, _, _| Ok(()));
        let settings = RunnerSettings {
            permits: 1,
            poll: Duration::from_secs(60),
            lease: Duration::from_secs(60),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(broken)?;
        let runner = Runner::new(&ctx, settings, steps, chance)?;
        for _ in 0..waits {
            runtime.block_on(runner.run_due())?;
            let row = ctx
                .store
                .read_blocking(|db| exchanges::find(db, id))?
                .ok_or(Fault::ExchangeUnknown)?;
            match row.wake_ms {
                Some(wake_ms) if row.parked_at_ms.is_none() && row.ended_ms.is_none() => {
                    self.clock.advance_ms((wake_ms - self.clock.now_ms()).max(1));
                    self.sandbox.control().set_time_ms(self.clock.now_ms());
                }
                _ => break,
            }
        }
        drop(runner);
        Ok(())
    }
}
