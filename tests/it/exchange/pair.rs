//! Two payers for tests with real processes: ours by the real program, and the sandbox, which plays a script. Both know the sandbox's
//! members.

use crate::support::payer::{TestPayer, program};
use crate::support::store::Place;
use causeway::synth::SynthOptions;
use causeway_jose::{Algorithm, SigningKey};
use causeway_sandbox_partner::{RunningSandbox, Sandbox, SandboxRoute, SandboxScript};
use serde_json::{Value, json};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Time for an exchange to come to its end.
pub const WAIT: Duration = Duration::from_secs(240);

pub struct Pair {
    pub payer: TestPayer,
    pub sandbox: RunningSandbox,
}

impl Pair {
    /// A payer that asks the sandbox, which plays this script. It serves.
    pub fn start(script: &str) -> Pair {
        let mut pair = Pair::prepare(script);
        pair.payer.serve();
        pair
    }

    /// The same without the server. The sandbox's members are `Patient/m1`, `Patient/m2` and so on here.
    pub fn prepare(script: &str) -> Pair {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let payer = TestPayer::bare(Place::ready(), SynthOptions::default());
        let key = SigningKey::generate(Algorithm::Es384, "k1").expect("a key");
        let script = SandboxScript::from_toml(script)
            .expect("a script")
            .with_client("us", json!({"keys": [key.public_jwk()]}));
        let npi = script.payer.npi.clone();
        let sandbox = Sandbox::start(script).expect("the sandbox listens");
        let certificate = sandbox
            .client_certificate("https://us.example/fhir")
            .expect("a certificate");
        let home = payer.home().to_owned();
        let write = |name: &str, text: &str| std::fs::write(home.join(name), text).expect("a file");
        write("exchange-key.json", &key.private_jwk().to_string());
        write("client.pem", &certificate.certificate_pem);
        write("client.key", &certificate.key_pem);
        write("sandbox-ca.pem", sandbox.trust_pem());
        write("sandbox-jwks.json", &json!({"keys": [key.public_jwk()]}).to_string());
        let config = std::fs::read_to_string(home.join("causeway.toml")).expect("the configuration");
        // The sandbox has the number that the other tests have for this payer.
        let config = config.replace("1992000012", "1992000020");
        write(
            "causeway.toml",
            &format!(
                "{config}[exchange]\nclient_id = \"us\"\nsigning_key = \"exchange-key.json\"\ncertificate = \"client.pem\"\n\
                 certificate_key = \"client.key\"\n[jobs]\npoll_seconds = 1\n"
            ),
        );
        write(
            "sandbox.toml",
            &format!(
                "id = \"sandbox\"\nname = \"Sandbox\"\nnpi = \"{npi}\"\nclient_id = \"sandbox\"\njwks_file = \"sandbox-jwks.json\"\n\
                 mtls = \"off\"\nscopes = [\"system/*.rs\"]\n[endpoint]\nfhir = \"{}\"\ntrust = \"sandbox-ca.pem\"\n",
                sandbox.base_url()
            ),
        );
        let mut members = String::new();
        for (number, member) in (1..).zip(sandbox.members()) {
            let own_coverage = json!({"resourceType": "Coverage", "id": format!("k{number}"), "status": "active",
                "beneficiary": {"reference": format!("Patient/m{number}")}, "payor": [{"display": "New Payer"}],
                "identifier": [{"type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MB"}]},
                    "system": "http://new-payer.example/identifiers/member", "value": format!("NEW-{number}")}]});
            let patient = member.demographics(&format!("m{number}"));
            members.push_str(&format!("{patient}\n{own_coverage}\n"));
        }
        write("member.ndjson", &members);
        for command in [
            &["partner", "add", "--file", "sandbox.toml"][..],
            &["import", "member.ndjson"],
        ] {
            let done = payer.command(command);
            assert!(
                done.status.success(),
                "{command:?}: {}",
                String::from_utf8_lossy(&done.stderr)
            );
        }
        Pair { payer, sandbox }
    }

    /// Writes the enrolment of `Patient/m<number>` and returns the name of its file.
    pub fn enrolment(&self, number: usize) -> String {
        let enrolment = json!({
            "partner": "sandbox", "member": format!("Patient/m{number}"),
            "other_member_number": self.sandbox.members()[number - 1].number,
            "other_number_system": "http://sandbox-payer.example/identifiers/member",
            "opt_in_by": "desk", "opt_in_at": "2026-01-02", "opt_in_how": "paper",
        });
        let file = format!("enrolment-{number}.json");
        std::fs::write(self.payer.home().join(&file), enrolment.to_string()).expect("a file");
        file
    }

    /// Starts the exchange for `Patient/m1` and returns its id.
    pub fn ask(&self) -> String {
        self.ask_for(1)
    }

    /// Starts the exchange for `Patient/m<number>` and returns its id.
    pub fn ask_for(&self, number: usize) -> String {
        let file = self.enrolment(number);
        let started = self.payer.json_command(&["exchange", "start", &file]);
        started["id"].as_str().expect("an id").to_owned()
    }

    pub fn show(&self, id: &str) -> Value {
        self.payer.json_command(&["exchange", "show", id])
    }

    /// Waits until the exchange has ended or waits for somebody.
    #[track_caller]
    pub fn ended(&self, id: &str) -> Value {
        self.await_show(id, |shown| !shown["ended_at"].is_null() || shown["owner"] == "operator")
    }

    /// Waits until the exchange is shown so.
    #[track_caller]
    pub fn await_show(&self, id: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let shown = self.show(id);
            if is_so(&shown) {
                return shown;
            }
            assert!(
                began.elapsed() < WAIT,
                "{shown:#}\n{}\n{:?}",
                self.payer.log(),
                self.sandbox.control().complaints()
            );
            self.pause(id);
        }
    }

    /// Waits for half a second, or less when the exchange rests: a look at the store costs less than a command.
    fn pause(&self, id: &str) {
        let rests = format!("exchange WHERE id = '{id}' AND (ended_ms IS NOT NULL OR parked_at_ms IS NOT NULL)");
        for _ in 0..5 {
            std::thread::sleep(Duration::from_millis(100));
            if self.count(&rests) > 0 {
                return;
            }
        }
    }

    /// Lets the leases end that a process had which is gone. On SQLite the next process does it.
    pub fn end_leases(&self) {
        self.payer.end_leases();
    }

    /// The exchange about `Patient/m<number>` is complete: all of the record is stored, once, and the ledger tells it once. `why` is told
    /// when it is not.
    #[track_caller]
    pub fn assert_whole(&self, number: usize, shown: &Value, why: &str) {
        assert_eq!(shown["phase"], "completed", "{why}: {shown:#}\n{}", self.payer.log());
        assert_eq!(shown["delivery_state"], "acknowledged", "{why}: {shown:#}");
        let id = shown["id"].as_str().expect("an id");
        let of_it = |outcomes: &str| {
            self.count(&format!(
                "ingest_resource WHERE exchange_id = '{id}' AND outcome {outcomes}"
            ))
        };
        let record = self.sandbox.record(&self.sandbox.members()[number - 1]).count();
        assert_eq!(
            of_it("NOT IN ('made', 'notice')"),
            i64::try_from(record).expect("few"),
            "{why}"
        );
        assert_eq!(of_it("= 'quarantined'"), 0, "{why}");
        assert_eq!(
            shown["counts"]["stored"].as_i64(),
            Some(of_it("= 'stored'")),
            "{why}: {shown:#}"
        );
        assert_eq!(
            shown["counts"]["received"].as_u64(),
            u64::try_from(record).ok(),
            "{why}"
        );
        for action in [
            "started",
            "member-matched",
            "retrieved",
            "checked",
            "stored",
            "acknowledged",
        ] {
            let told = self.count(&format!(
                "ledger_entry WHERE exchange_id = '{id}' AND action = 'exchange.{action}'"
            ));
            assert_eq!(told, 1, "{why}: {action}");
        }
        assert_eq!(
            self.count(&format!("job WHERE live_key = '{id}' AND kind <> 'exchange-again'")),
            0,
            "{why}"
        );
        let keys: std::collections::BTreeSet<&str> = shown["steps"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|step| step["step"] == "member_match")
            .filter_map(|step| step["idempotency_key"].as_str())
            .collect();
        assert_eq!(keys.len(), 1, "{why}: {shown:#}");
    }

    /// The partner matched so many members, each once, and has nothing to complain about. Its reads may be repeated, and its tokens are many.
    #[track_caller]
    pub fn assert_asked_once(&self, exchanges: usize) {
        let control = self.sandbox.control();
        let matches: Vec<_> = control
            .effects()
            .into_iter()
            .filter(|effect| effect.route == SandboxRoute::MemberMatch)
            .collect();
        assert_eq!(matches.len(), exchanges, "{matches:#?}");
        assert!(matches.iter().all(|effect| effect.count == 1), "{matches:#?}");
        let twice: Vec<_> = control
            .repeated_effects()
            .into_iter()
            .filter(|effect| {
                !matches!(
                    effect.route,
                    SandboxRoute::Everything | SandboxRoute::Search | SandboxRoute::Read
                )
            })
            .filter(|effect| !effect.key.starts_with("sha256:"))
            .collect();
        assert!(twice.is_empty(), "{twice:#?}");
        assert!(control.complaints().is_empty(), "{:?}", control.complaints());
        assert!(control.strays().is_empty() && control.receipts().is_empty());
    }

    /// How many rows a table has under a condition of ours.
    pub fn count(&self, table_and_condition: &str) -> i64 {
        self.payer.count(table_and_condition)
    }
}

/// A process that does background work of a PostgreSQL store; it is killed when dropped.
pub struct Worker(Child);

impl Worker {
    pub fn start(payer: &TestPayer, environment: &[(&str, &str)]) -> Worker {
        let mut command: Command = program(payer.home());
        command
            .args(["worker", "--quiet", "--log-file", "server.log"])
            .envs(environment.iter().copied())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Worker(command.spawn().expect("starts"))
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    /// Waits until it has ended by itself; whether it was by SIGKILL.
    #[track_caller]
    pub fn was_killed(&mut self, within: Duration) -> bool {
        use std::os::unix::process::ExitStatusExt as _;
        let began = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().expect("a status") {
                return status.signal() == Some(9);
            }
            if began.elapsed() > within {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// SIGTERM; the exit code.
    pub fn terminate(&mut self) -> Option<i32> {
        let id = self.0.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &id]).status();
        self.0.wait().expect("ends").code()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.kill();
    }
}
