//! Exchanges by a real server process with the sandbox as the other payer: over TLS, with tokens, and through a kill.

use crate::support::payer::TestPayer;
use causeway_jose::{Algorithm, SigningKey};
use causeway_sandbox_partner::{RunningSandbox, Sandbox, SandboxRoute, SandboxScript};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Time for an exchange to come to its end.
const WAIT: Duration = Duration::from_secs(60);

struct Pair {
    payer: TestPayer,
    sandbox: RunningSandbox,
}

impl Pair {
    /// A payer that asks the sandbox, which plays this script; both know the sandbox's first member. It serves.
    fn start(script: &str) -> Pair {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let (mut payer, _) = TestPayer::prepare(1);
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
        let own_coverage = json!({"resourceType": "Coverage", "id": "k1", "status": "active",
            "beneficiary": {"reference": "Patient/m1"}, "payor": [{"display": "New Payer"}],
            "identifier": [{"type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MB"}]},
                "system": "http://new-payer.example/identifiers/member", "value": "NEW-1"}]});
        write(
            "member.ndjson",
            &format!("{}\n{own_coverage}\n", sandbox.members()[0].demographics("m1")),
        );
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
        payer.serve();
        Pair { payer, sandbox }
    }

    /// Starts the exchange for the member and returns its id.
    fn ask(&self) -> String {
        let enrolment = json!({
            "partner": "sandbox", "member": "Patient/m1", "other_member_number": self.sandbox.members()[0].number,
            "other_number_system": "http://sandbox-payer.example/identifiers/member",
            "opt_in_by": "desk", "opt_in_at": "2026-01-02", "opt_in_how": "paper",
        });
        std::fs::write(self.payer.home().join("enrolment.json"), enrolment.to_string()).expect("a file");
        let started = self.payer.json_command(&["exchange", "start", "enrolment.json"]);
        started["id"].as_str().expect("an id").to_owned()
    }

    fn show(&self, id: &str) -> Value {
        self.payer.json_command(&["exchange", "show", id])
    }

    /// Waits until the exchange has ended or waits for somebody.
    fn ended(&self, id: &str) -> Value {
        let began = Instant::now();
        loop {
            let shown = self.show(id);
            let is_over = !shown["ended_at"].is_null() || shown["owner"] == "operator";
            if is_over {
                return shown;
            }
            assert!(began.elapsed() < WAIT, "{shown:#}\n{}", self.payer.log());
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

#[test]
fn a_server_asks_a_partner_and_stores_the_record() {
    let pair = Pair::start("members = { count = 2, resources = 40 }");
    let shown = pair.ended(&pair.ask());
    assert_eq!(
        shown["phase"],
        "completed",
        "{shown:#}\n{}\n{:?}",
        pair.payer.log(),
        pair.sandbox.control().complaints()
    );
    assert!(
        shown["counts"]["stored"].as_i64().is_some_and(|stored| stored > 10),
        "{shown:#}"
    );
    let control = pair.sandbox.control();
    assert!(control.complaints().is_empty(), "{:?}", control.complaints());
    assert!(control.strays().is_empty());
}

#[test]
fn a_server_that_is_killed_in_the_middle_goes_on_and_asks_nothing_twice_that_was_answered() {
    let pair = Pair::start(
        "members = { count = 1, resources = 40 }\n[[rule]]\nroute = \"everything\"\nrequests = \"1\"\nacts = [{ delay = { ms = 3000 } }]\n",
    );
    let mut pair = pair;
    let id = pair.ask();
    let began = Instant::now();
    let control = pair.sandbox.control();
    while control.requests_to(SandboxRoute::MemberMatch).is_empty() || pair.show(&id)["phase"] == "requested" {
        assert!(
            began.elapsed() < WAIT,
            "{:#}\n{:?}",
            pair.show(&id),
            control.complaints()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    pair.payer.kill();
    pair.payer.serve();
    let shown = pair.ended(&id);
    assert_eq!(
        shown["phase"],
        "completed",
        "{shown:#}\n{}\n{:?}",
        pair.payer.log(),
        pair.sandbox.control().complaints()
    );
    assert_eq!(control.requests_to(SandboxRoute::MemberMatch).len(), 1);
    let unknown = shown["steps"]
        .as_array()
        .expect("steps")
        .iter()
        .filter(|step| step["ended_at"].is_null());
    assert!(
        unknown.count() >= 1,
        "the attempt that was killed is on record: {shown:#}"
    );
}
