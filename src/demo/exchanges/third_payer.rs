//! Third Payer: the sandbox, which misbehaves toward each of its members in one way. It shares no code with the server.

use crate::dev::new_payer::AskedPayer;
use crate::dev::{self, Files};
use crate::error::{Failure, Fault};
use causeway_sandbox_partner::{RunningSandbox, Sandbox, SandboxMember, SandboxRoute, SandboxScript};
use serde_json::Value;

/// Its id at New Payer.
pub(super) const ID: &str = "third-payer";
/// The member whose record comes so slowly that the asking process can be killed meanwhile.
pub(super) const SLOW: &str = "T-1001";
/// The member for whom several people fit.
pub(super) const SEVERAL: &str = "T-1002";
/// The member for whom it is told to wait a few seconds.
pub(super) const SOON: &str = "T-1003";
/// The member for whom it is told to wait ten hours.
pub(super) const LATER: &str = "T-1004";

const SCRIPT: &str = r#"
idempotency = "honored"
mtls = "off"
members = { count = 0, resources = 40 }
[payer]
name = "Third Payer"
[[member]]
number = "T-1001"
[[member]]
number = "T-1002"
[[member]]
number = "T-1003"
[[member]]
number = "T-1004"
[[rule]]
route = "everything"
member = "T-1001"
requests = "1"
acts = [{ delay = { ms = 20000 } }]
[[rule]]
route = "member-match"
member = "T-1002"
acts = [{ match = "several" }]
[[rule]]
route = "member-match"
member = "T-1003"
acts = [{ answer = { status = 429, retry_after = "30" } }]
[[rule]]
route = "member-match"
member = "T-1004"
requests = "1"
acts = [{ answer = { status = 429, retry_after = "36000" } }]
"#;

/// A running Third Payer.
pub(super) struct ThirdPayer(RunningSandbox);

impl ThirdPayer {
    /// Starts it; it knows New Payer's key.
    ///
    /// # Errors
    /// [`Fault::Internal`] when it cannot listen.
    pub fn start(demo: &Files) -> Result<ThirdPayer, Failure> {
        let keys: Value = serde_json::from_str(&demo.read("partner-jwks-public.json")?)
            .map_err(|error| Failure::new(Fault::InputUnreadable).because(error))?;
        let broken = |error| Failure::new(Fault::Internal).because(error);
        let script = SandboxScript::from_toml(SCRIPT).map_err(broken)?;
        let script = script.with_client(dev::PARTNER_ID, keys);
        Sandbox::start(script).map(ThirdPayer).map_err(broken)
    }

    /// How New Payer registers it.
    pub fn registration(&self) -> AskedPayer {
        let payer = self.0.connection()["payer"].clone();
        let text = |name: &str| payer[name].as_str().unwrap_or_default().to_owned();
        AskedPayer {
            id: ID,
            name: text("name"),
            npi: text("npi"),
            fhir: self.0.base_url(),
            trust: self.0.trust_pem().to_owned(),
        }
    }

    /// The namespace of its member numbers.
    pub fn member_system(&self) -> String {
        let system = &self.0.connection()["payer"]["member_system"];
        system.as_str().unwrap_or_default().to_owned()
    }

    /// Its members.
    pub fn members(&self) -> &[SandboxMember] {
        self.0.members()
    }

    /// Whether it was asked for a record.
    pub fn was_asked_for_a_record(&self) -> bool {
        !self.0.control().requests_to(SandboxRoute::Everything).is_empty()
    }

    /// How often it matched a member.
    pub fn matches(&self) -> u64 {
        self.0.control().effect_count(SandboxRoute::MemberMatch)
    }
}
