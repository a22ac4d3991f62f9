//! What requests can be for, as rules name it.

use serde::{Deserialize, Serialize};

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SandboxRoute {
    /// Every request; not a connection.
    Any,
    /// A connection, before its TLS handshake.
    Connection,
    /// `.well-known/smart-configuration`.
    Smart,
    /// `.well-known/davinci-configuration`.
    Davinci,
    /// `.well-known/jwks.json`: the payer's own keys.
    Jwks,
    /// `metadata`.
    Metadata,
    /// The token endpoint.
    Token,
    /// `Patient/$member-match`.
    MemberMatch,
    /// `Patient/{id}/$everything` and its pages.
    Everything,
    /// A search and its pages.
    Search,
    /// A read of one resource.
    Read,
    /// The receiver of acknowledgements: `POST Task`, `POST Communication`, `POST AuditEvent`, and reads of what was posted.
    Receipt,
    /// `Group/$bulk-member-match`.
    BulkMatch,
    /// `Group/{id}/$davinci-data-export`.
    GroupExport,
    /// The status of bulk work, with its manifest.
    BulkStatus,
    /// A file of bulk work.
    BulkFile,
    /// The receipt of an export.
    BulkReceipt,
    /// Anything else.
    Unknown,
}

impl SandboxRoute {
    /// Whether it answers with resources of a record.
    pub fn has_records(self) -> bool {
        matches!(
            self,
            SandboxRoute::Everything | SandboxRoute::Search | SandboxRoute::Read
        )
    }
}
