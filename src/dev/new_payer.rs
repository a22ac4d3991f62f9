//! The development partner as a process of its own that asks other payers, for the demonstration and the benchmark: its folder and
//! configuration, its server, which can be killed, and the commands of its operators. It never decides what an exchange does next.

use super::{Files, PARTNER_ID, PARTNER_NPI, pretty, program};
use crate::clock::{Clock, rfc3339_ms};
use crate::error::{Failure, Fault};
use serde_json::{Value, json};
use std::fs::File;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// The namespace of New Payer's member numbers.
const MEMBER_SYSTEM: &str = "http://new-payer.example/identifiers/member";
/// Time limit for the server to get ready.
const PATIENCE: Duration = Duration::from_secs(120);
/// Time between two looks at a process or an exchange.
pub const LOOK: Duration = Duration::from_millis(50);

/// A payer whom New Payer asks.
#[derive(Clone, Debug)]
pub struct AskedPayer {
    /// Its id at New Payer.
    pub id: &'static str,
    /// Its name.
    pub name: String,
    /// Its National Provider Identifier.
    pub npi: String,
    /// Its FHIR base URL.
    pub fhir: String,
    /// PEM of the authority that signed its certificate.
    pub trust: String,
}

/// New Payer. Its server is killed when this is dropped.
pub struct NewPayer {
    files: Files,
    /// Its folder.
    pub folder: PathBuf,
    /// The address of its operations listener.
    pub ops: SocketAddr,
    server: Option<Child>,
}

impl NewPayer {
    /// Writes configuration and keys into the folder `new-payer` of this development setup. `store_url` is its store.
    ///
    /// # Errors
    /// Those of files and addresses.
    pub fn make(setup: &Files, store_url: &str) -> Result<NewPayer, Failure> {
        let folder = setup.path("new-payer");
        std::fs::create_dir_all(&folder).map_err(broken)?;
        let files = Files::of(&folder);
        let keys: Value = serde_json::from_str(&setup.read("partner-jwks.json")?)
            .map_err(|error| Failure::new(Fault::InputUnreadable).because(error))?;
        files.write("signing-key.json", &pretty(&keys["keys"][0]), true)?;
        let (fhir, ops) = (program::free_address()?, program::free_address()?);
        let config = format!(
            "[server]\nfhir_listen = \"{fhir}\"\nops_listen = \"{ops}\"\nbase_url = \"https://localhost:{}/fhir\"\n\
             [tls]\ncertificate = \"../server.pem\"\nkey = \"../server.key\"\nclient_ca = [\"../ca.pem\"]\n\
             [store]\nurl = \"{store_url}\"\n\
             [payer]\nname = \"New Payer\"\nnpi = \"{}\"\nmember_system = \"{MEMBER_SYSTEM}\"\n\
             [exchange]\nclient_id = \"{}\"\nsigning_key = \"signing-key.json\"\ncertificate = \"../partner.pem\"\n\
             certificate_key = \"../partner.key\"\n[jobs]\npoll_seconds = 1\n",
            fhir.port(),
            PARTNER_NPI,
            PARTNER_ID,
        );
        files.write("causeway.toml", &config, false)?;
        Ok(NewPayer {
            files,
            folder,
            ops,
            server: None,
        })
    }

    /// Registers a payer to be asked.
    ///
    /// # Errors
    /// Those of files and of the command.
    pub fn register(&self, payer: &AskedPayer) -> Result<(), Failure> {
        let AskedPayer {
            id, name, npi, fhir, ..
        } = payer;
        self.files.write(&format!("{id}-ca.pem"), &payer.trust, false)?;
        let file = format!("{id}.toml");
        let text = format!(
            "id = \"{id}\"\nname = \"{name}\"\nnpi = \"{npi}\"\nclient_id = \"{id}\"\njwks_file = \"../partner-jwks-public.json\"\n\
             mtls = \"off\"\nscopes = [\"system/*.rs\"]\ndialect = {{ hrex = \"1.1\", pdex = \"2.2\", us_core = \"6.1.0\" }}\n\
             [endpoint]\nfhir = \"{fhir}\"\ntrust = \"{id}-ca.pem\"\n"
        );
        self.files.write(&file, &text, false)?;
        self.command(&["partner", "add", "--file", &file]).map(drop)
    }

    /// Takes members in: each a Patient, as New Payer knows the person, with a cover here.
    ///
    /// # Errors
    /// Those of files and of the command.
    pub fn enter(&self, patients: &[Value]) -> Result<(), Failure> {
        let mut lines = String::new();
        for (number, patient) in (1..).zip(patients) {
            let cover = json!({"resourceType": "Coverage", "id": format!("cover-{number}"), "status": "active",
                "beneficiary": {"reference": format!("Patient/{}", patient["id"].as_str().unwrap_or_default())},
                "identifier": [{"type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MB"}]},
                    "system": MEMBER_SYSTEM, "value": format!("NEW-{number}")}],
                "payor": [{"display": "New Payer"}]});
            lines.push_str(&format!("{patient}\n{cover}\n"));
        }
        self.files.write("members.ndjson", &lines, false)?;
        self.command(&["import", "members.ndjson"]).map(drop)
    }

    /// Starts an exchange about a member, as an operator does, and returns its id.
    ///
    /// # Errors
    /// Those of the command.
    pub fn ask(&self, partner: &str, member: &str, number: &str, system: &str) -> Result<String, Failure> {
        let enrolment = json!({"partner": partner, "member": format!("Patient/{member}"), "other_member_number": number,
            "other_number_system": system, "opt_in_by": "enrollment desk", "opt_in_at": an_hour_ago(), "opt_in_how": "portal",
            "correlation": format!("demo-exchange-{member}")});
        let file = format!("{member}.json");
        self.files.write(&file, &pretty(&enrolment), false)?;
        let started = self.command(&["exchange", "start", &file])?;
        Ok(started["id"].as_str().unwrap_or_default().to_owned())
    }

    /// An exchange, as `causeway exchange show` tells it.
    ///
    /// # Errors
    /// Those of the command.
    pub fn show(&self, id: &str) -> Result<Value, Failure> {
        self.command(&["exchange", "show", id])
    }

    /// Runs a command of New Payer and returns its JSON answer.
    ///
    /// # Errors
    /// [`Fault::Internal`] with the command's output when it did not exit with 0.
    pub fn command(&self, arguments: &[&str]) -> Result<Value, Failure> {
        let mut command = program::child(None)?;
        let done = command
            .current_dir(&self.folder)
            .args(arguments)
            .args(["--json", "--quiet"])
            .output()
            .map_err(broken)?;
        if !done.status.success() {
            let output = String::from_utf8_lossy(&done.stderr).into_owned();
            return Err(
                Failure::new(Fault::Internal).because(format!("{arguments:?} ended with {}: {output}", done.status))
            );
        }
        Ok(serde_json::from_slice(&done.stdout).unwrap_or(Value::Null))
    }

    /// Starts the server and waits until it is ready.
    ///
    /// # Errors
    /// As [`NewPayer::start_with`].
    pub async fn start(&mut self) -> Result<(), Failure> {
        self.start_with(&[]).await
    }

    /// The same with these variables in its environment.
    ///
    /// # Errors
    /// [`Fault::Internal`] when it ends or is not ready in time.
    pub async fn start_with(&mut self, environment: &[(&str, &str)]) -> Result<(), Failure> {
        let output = File::options()
            .create(true)
            .append(true)
            .open(self.folder.join("stderr.txt"))
            .map_err(broken)?;
        let child = program::child(None)?
            .current_dir(&self.folder)
            .args(["serve", "--quiet", "--log-file", "new-payer.log"])
            .envs(environment.iter().copied())
            .stdout(Stdio::null())
            .stderr(output)
            .spawn()
            .map_err(broken)?;
        let server = self.server.insert(child);
        let began = Instant::now();
        while !program::is_ready(self.ops) {
            let ended = server.try_wait().map_err(broken)?;
            if ended.is_some() || began.elapsed() > PATIENCE {
                let said = std::fs::read_to_string(self.folder.join("stderr.txt")).unwrap_or_default();
                return Err(Failure::new(Fault::Internal).because(format!("New Payer did not get ready: {said}")));
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// Ends the server by SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _ = server.kill();
            let _ = server.wait();
        }
    }

    /// The id of the server's process, while it runs.
    pub fn process(&self) -> Option<u32> {
        self.server.as_ref().map(Child::id)
    }

    /// Asks the server to stop, and waits for its end.
    pub async fn end(&mut self) {
        let Some(mut server) = self.server.take() else { return };
        if let Some(id) = i32::try_from(server.id()).ok().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
        }
        let began = Instant::now();
        while matches!(server.try_wait(), Ok(None)) {
            if began.elapsed() > PATIENCE {
                let _ = server.kill();
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

impl Drop for NewPayer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// When members gave their opt-in: an hour before this machine's time.
pub fn an_hour_ago() -> String {
    rfc3339_ms(Clock::System.now_ms() - 3_600_000)
}

fn broken(error: std::io::Error) -> Failure {
    Failure::new(Fault::Internal).because(error)
}
