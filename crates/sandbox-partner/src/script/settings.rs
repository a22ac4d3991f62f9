//! What a script says of the payer itself: versions, files, clients and members.

use serde::Deserialize;
use serde_json::Value;
use std::path::PathBuf;

/// A version of Da Vinci HRex.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub enum HrexVersion {
    /// 1.0.0: a member number comes back, never a Patient reference; the consent is required.
    #[serde(rename = "1.0")]
    V1_0,
    /// 1.1.0: a UMB identifier and a Patient reference come back.
    #[serde(rename = "1.1")]
    V1_1,
    /// 1.2.0: on the wire of `$member-match` as 1.1.
    #[serde(rename = "1.2")]
    V1_2,
}

/// A version of Da Vinci PDex.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub enum PdexVersion {
    /// 2.0.0.
    #[serde(rename = "2.0")]
    V2_0,
    /// 2.1.0: `$everything` holds prior authorizations and no claims.
    #[serde(rename = "2.1")]
    V2_1,
    /// 2.2.0: `$everything` holds both.
    #[serde(rename = "2.2")]
    V2_2,
}

impl PdexVersion {
    /// As `major.minor`.
    pub fn text(self) -> &'static str {
        match self {
            PdexVersion::V2_0 => "2.0",
            PdexVersion::V2_1 => "2.1",
            PdexVersion::V2_2 => "2.2",
        }
    }
}

/// A version of US Core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum UsCoreVersion {
    /// 3.1.1.
    #[serde(rename = "3.1.1")]
    V3_1_1,
    /// 6.1.0.
    #[serde(rename = "6.1.0")]
    V6_1_0,
}

/// A way to get a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SandboxOffer {
    /// `Patient/{id}/$everything`.
    Everything,
    /// A search for each type, and reads.
    Search,
    /// `Group/$bulk-member-match` and `Group/{id}/$davinci-data-export`.
    Bulk,
    /// A signed receipt for each export.
    BulkReceipts,
}

/// Whether client certificates are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientCertificates {
    /// None is asked for.
    Off,
    /// One is asked for; a token is bound to it when there is one.
    Optional,
    /// A connection without one is refused.
    Required,
}

/// What an `Idempotency-Key` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyHandling {
    /// Nothing, as at most servers: a repeated request has a second effect.
    Ignored,
    /// A repeated request gets the first answer again, with `Idempotent-Replayed: true`.
    Honored,
}

/// PEM files of the server certificate.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerFiles {
    /// The chain, leaf first.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The authority that a client must trust.
    pub authority: PathBuf,
}

impl ServerFiles {
    pub(super) fn paths(&mut self) -> [&mut PathBuf; 3] {
        [&mut self.certificate, &mut self.key, &mut self.authority]
    }
}

/// Who the payer is.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SandboxPayer {
    /// Its name.
    pub name: String,
    /// Its National Provider Identifier.
    pub npi: String,
    /// System of its member numbers.
    pub member_system: String,
    /// System of its UMB identifiers.
    pub umb_system: String,
}

impl Default for SandboxPayer {
    fn default() -> Self {
        SandboxPayer {
            name: "Sandbox Payer".into(),
            npi: "1992000038".into(),
            member_system: "http://sandbox-payer.example/identifiers/member".into(),
            umb_system: "http://sandbox-payer.example/identifiers/umb".into(),
        }
    }
}

/// A registered client.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SandboxClient {
    /// Its client id.
    pub id: String,
    /// Its public keys, as a JWK set.
    pub jwks: Option<Value>,
    /// The same as a file.
    pub jwks_file: Option<PathBuf>,
    /// The NPI that a consent must name as its recipient; without it any will do.
    pub npi: Option<String>,
    /// The scopes that it may have; without them all that this payer knows.
    pub scopes: Option<Vec<String>>,
}

/// Members that are made up from the seed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SandboxRoster {
    /// How many.
    pub count: usize,
    /// Resources of each of their records.
    pub resources: u64,
}

impl Default for SandboxRoster {
    fn default() -> Self {
        SandboxRoster {
            count: 5,
            resources: 40,
        }
    }
}

/// A member that the script describes. What is left out is made up.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SandboxMemberSpec {
    /// Member number on the card.
    pub number: Option<String>,
    /// Family name.
    pub family: Option<String>,
    /// Given names.
    pub given: Option<Vec<String>>,
    /// Birth date, YYYY-MM-DD.
    pub birth_date: Option<String>,
    /// `male`, `female`, `other` or `unknown`.
    pub gender: Option<String>,
    /// Id of the Patient.
    pub patient_id: Option<String>,
    /// Resources of the record.
    pub resources: Option<u64>,
}
