//! What can go wrong: one list for everything between the connection and the last byte of a record.

use super::bulk::ScriptedBulk;
use super::route::SandboxRoute;
use serde::{Deserialize, Serialize};

/// What happens to a request that a rule fits. Several acts add up; of two that exclude each other the first wins.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum SandboxAct {
    /// The connection: this certificate instead of the good one.
    Certificate(CertificateFlaw),
    /// The connection: reset at once.
    Refuse,
    /// The connection: taken, and then no handshake.
    SilentHandshake,

    /// The request waits for so long before it is processed.
    Delay {
        /// Milliseconds.
        ms: u64,
    },
    /// Reset before the request was processed.
    ResetBefore,
    /// Reset after the request was processed, without an answer.
    ResetAfter,
    /// Processed; the connection is closed in order, without an answer.
    LostReply,
    /// The clock is wrong by so many seconds, for this request.
    ClockSkew {
        /// Seconds; negative is late.
        seconds: i64,
    },

    /// Another status instead of the answer.
    Answer {
        /// The status.
        status: u16,
        /// The value of `Retry-After`, as it is sent: seconds, a date, or nonsense.
        #[serde(default)]
        retry_after: Option<String>,
        /// The body; without it an OperationOutcome (at the token endpoint an OAuth error).
        #[serde(default)]
        body: Option<String>,
        /// The media type of `body`.
        #[serde(default)]
        media_type: Option<String>,
        /// Whether the request is processed all the same.
        #[serde(default)]
        processed: bool,
    },
    /// A redirect instead of the answer.
    Redirect {
        /// The status.
        #[serde(default = "temporary")]
        status: u16,
        /// Where to.
        to: SandboxTarget,
    },
    /// A body that is not what it should be, with status 200.
    Garbage(GarbageBody),
    /// A valid Bundle of about so many bytes, with status 200.
    LargeBody {
        /// Bytes.
        bytes: u64,
        /// What the bytes are.
        #[serde(default)]
        shape: LargeShape,
    },
    /// A Bundle that never ends, with status 200.
    Endless,
    /// A body of so many bytes that is sent compressed, although nobody asked for it.
    GzipBomb {
        /// Bytes after decompression.
        bytes: u64,
    },

    /// The body comes in small pieces.
    Drip {
        /// Bytes of a piece.
        bytes: usize,
        /// Milliseconds between pieces.
        every_ms: u64,
    },
    /// After so many bytes of the body nothing more comes, and the connection stays open.
    Stall {
        /// Bytes.
        after_bytes: u64,
    },
    /// The body ends early.
    Truncate {
        /// Bytes that are sent.
        after_bytes: u64,
        /// Whether the HTTP message looks complete.
        #[serde(default)]
        framing: IntactFraming,
    },
    /// The connection is reset in the middle of the body.
    ResetDuring {
        /// Bytes that are sent before.
        after_bytes: u64,
    },
    /// A chunk with a length that is no number.
    BadChunk,
    /// A status line that is none.
    BadHead,

    /// Another answer of `$member-match`.
    Match(ScriptedMatch),

    /// Another course of bulk work.
    Bulk(ScriptedBulk),

    /// Another token answer.
    Token {
        /// Whether `expires_in` is told.
        #[serde(default = "yes")]
        expiry: bool,
        /// Seconds until the token ends, where they differ from those that are told.
        #[serde(default)]
        lives_s: Option<i64>,
        /// The scope that is told, where it differs.
        #[serde(default)]
        scope: Option<String>,
        /// The type that is told, where it differs.
        #[serde(default)]
        token_type: Option<String>,
    },
    /// Discovery names this token endpoint.
    TokenEndpoint(SandboxTarget),
    /// The payer's own keys are others than before.
    ChangedKeys,
    /// The CapabilityStatement and the Bundles claim this version of FHIR.
    FhirVersion(String),

    /// Every n-th resource is of another member, with that member's ids.
    WrongMember {
        /// n.
        #[serde(default = "one")]
        every: u64,
    },
    /// Every n-th resource comes twice.
    Duplicates {
        /// n.
        #[serde(default = "one")]
        every: u64,
        /// Whether the second has other content under the same id and version.
        #[serde(default)]
        changed: bool,
    },
    /// Every n-th resource has a shape that the guides do not know.
    Drift {
        /// Which.
        shape: DriftShape,
        /// n.
        #[serde(default = "one")]
        every: u64,
    },
    /// Every n-th resource is an older version of itself.
    Stale {
        /// n.
        #[serde(default = "one")]
        every: u64,
        /// Days by which `meta.lastUpdated` is earlier.
        days: u32,
    },
    /// Resources are missing.
    LeaveOut {
        /// Those of these types.
        #[serde(default)]
        types: Vec<String>,
        /// Every n-th; 0 for none.
        #[serde(default)]
        every: u64,
        /// Whether the Bundle says so in an OperationOutcome.
        #[serde(default)]
        told: bool,
    },
    /// Every n-th resource refers to something that is not there.
    DanglingReferences {
        /// n.
        #[serde(default = "one")]
        every: u64,
        /// Whether the reference is the URL of another origin.
        #[serde(default)]
        absolute: bool,
    },
    /// The `next` link leads to this page, or to an earlier one.
    PageLoop {
        /// The page it leads to; without it the same.
        #[serde(default)]
        to_page: Option<u64>,
    },
    /// The `next` link leads to another origin.
    NextElsewhere,
    /// There is always another page.
    EndlessPages,
    /// `Bundle.total` is wrong by so many.
    WrongTotal {
        /// May be negative.
        by: i64,
    },

    /// An acknowledgement is taken at once, and confirmed only after this time.
    AcknowledgeAfter {
        /// Milliseconds.
        ms: u64,
    },
}

fn temporary() -> u16 {
    307
}

fn one() -> u64 {
    1
}

fn yes() -> bool {
    true
}

/// A server certificate that a careful client refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CertificateFlaw {
    /// It ended yesterday.
    Expired,
    /// It begins tomorrow.
    NotYetValid,
    /// Its authority is another one.
    OtherAuthority,
    /// It signs itself.
    SelfSigned,
    /// It is for another host.
    WrongName,
    /// It is good, with another key than before. Only a client that pins keys refuses it.
    OtherKey,
}

/// Where a link or a redirect leads.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SandboxTarget {
    /// The second origin of the sandbox, which records what reaches it.
    Elsewhere,
    /// The same URL again.
    Itself,
    /// This URL.
    Url(String),
}

/// A body that is not what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GarbageBody {
    /// No bytes.
    Empty,
    /// Words.
    NotJson,
    /// JSON with a byte that is no UTF-8.
    NotUtf8,
    /// JSON that is no resource.
    NotFhir,
    /// A resource of another type than the one that is due.
    OtherResource,
    /// A page for people with status 200, as portals and proxies send.
    Html,
    /// JSON that is nested 100,000 deep.
    Deep,
    /// An object that has a member twice.
    RepeatedMember,
}

/// What a large body is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LargeShape {
    /// Many entries.
    #[default]
    Entries,
    /// One string.
    OneString,
    /// White space.
    Spaces,
}

/// Whether a truncated body can be told from the HTTP message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IntactFraming {
    /// The length or the last chunk is missing.
    #[default]
    Broken,
    /// The message is complete; only the JSON is not.
    Intact,
}

/// Another answer of `$member-match`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScriptedMatch {
    /// 422: nobody.
    NoMatch,
    /// 422: several.
    Several,
    /// 422: the member, but the consent cannot be honored.
    ConsentRefused,
    /// 200 with another member.
    OtherMember,
    /// 200 without `MemberId`.
    IdentifierOnly,
    /// 200 without `MemberIdentifier`.
    NoIdentifier,
    /// 200 with a `MemberId` on another origin.
    MemberIdElsewhere,
    /// 200 with the identifier in two parameters that differ.
    TwoIdentifiers,
}

/// A shape that the guides do not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DriftShape {
    /// A field that R4 does not have.
    UnknownField,
    /// A status code that R4 does not have.
    NewCode,
    /// An element in the shape of R5.
    R5Shape,
    /// A resource type that came with R5.
    UnknownType,
}

impl SandboxAct {
    /// Whether it can happen to a request of this route.
    pub fn fits(&self, route: SandboxRoute) -> bool {
        use SandboxAct as A;
        use SandboxRoute as R;
        let connection = route == R::Connection;
        match self {
            A::Certificate(_) | A::Refuse | A::SilentHandshake => connection,
            A::Delay { .. }
            | A::ResetBefore
            | A::ResetAfter
            | A::LostReply
            | A::ClockSkew { .. }
            | A::Answer { .. }
            | A::Redirect { .. }
            | A::Garbage(_)
            | A::LargeBody { .. }
            | A::Endless
            | A::GzipBomb { .. }
            | A::Drip { .. }
            | A::Stall { .. }
            | A::Truncate { .. }
            | A::ResetDuring { .. }
            | A::BadChunk
            | A::BadHead => !connection,
            A::Match(_) => matches!(route, R::Any | R::MemberMatch),
            A::Bulk(what) => route == R::Any || route == what.route() || what.is_of_files() && route == R::BulkFile,
            A::Token { .. } => matches!(route, R::Any | R::Token),
            A::TokenEndpoint(_) => matches!(route, R::Any | R::Smart),
            A::ChangedKeys => matches!(route, R::Any | R::Jwks),
            A::FhirVersion(_) => matches!(route, R::Any | R::Metadata),
            A::WrongMember { .. }
            | A::Duplicates { .. }
            | A::Drift { .. }
            | A::Stale { .. }
            | A::DanglingReferences { .. } => route == R::Any || route.has_records(),
            A::LeaveOut { .. } | A::PageLoop { .. } | A::NextElsewhere | A::EndlessPages | A::WrongTotal { .. } => {
                matches!(route, R::Any | R::Everything | R::Search)
            }
            A::AcknowledgeAfter { .. } => matches!(route, R::Any | R::Receipt),
        }
    }
}
