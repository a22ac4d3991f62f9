//! Reads who the candidates of a match are, and what is stored about the consent for each. What a match writes is in `match_write`; the
//! usual grant in one statement is in `match_at_once`.

use super::Db;
use super::statement::{Bind, Statement};
use crate::error::Failure;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};

pub use super::match_at_once::{grant_at_once, is_plain};
pub use super::match_write::{
    DecisionRow, GrantRow, LedgerRow, LinkWrite, MatchRecord, Raced, ReviewToOpen, is_raced, record,
};

/// The kind of a decision on a member who was asked for alone.
pub const MEMBER_MATCH: &str = "member-match";
/// The kind of a decision on a member of a bulk match. It stays when the bulk job is gone.
pub const BULK_MEMBER_MATCH: &str = "bulk-member-match";

/// How many members one look-up describes.
pub const NAMED: usize = 5;

/// A candidate of a match.
#[derive(Clone, Debug)]
pub struct PossibleMember {
    /// Number of the compartment.
    pub compartment: i64,
    /// Id of the member's Patient.
    pub patient_id: String,
    /// The member's UMB.
    pub umb: String,
    /// The stored consent, when this partner sent the same one for this member before.
    pub known: Option<KnownConsent>,
    /// The version of the compartment's row, when the first look read it on PostgreSQL.
    pub row_version: Option<String>,
}

/// A stored consent and its grant.
#[derive(Clone, Debug)]
pub struct KnownConsent {
    /// Id of the consent.
    pub consent_id: String,
    /// Id of the grant made under it.
    pub grant_id: Option<String>,
    /// Whether either was revoked.
    pub revoked: bool,
}

struct Candidates;
type CandidateRow = (
    BigInt,
    Text,
    Text,
    Nullable<Text>,
    Nullable<BigInt>,
    Nullable<Text>,
    Nullable<BigInt>,
);
type CandidateValues = (
    i64,
    String,
    String,
    Option<String>,
    Option<i64>,
    Option<String>,
    Option<i64>,
);

/// Returns the members in these compartments, in the order given, with what is stored about this consent for each; at most [`NAMED`].
///
/// # Errors
/// Those of the database.
pub fn named(
    db: &mut Db,
    compartments: &[i64],
    partner_id: &str,
    digest: &[u8],
) -> Result<Vec<PossibleMember>, Failure> {
    let Some(last) = compartments.last() else {
        return Ok(Vec::new());
    };
    let numbers = compartments.iter().chain(std::iter::repeat(last)).take(NAMED);
    let statement = || {
        let mut binds = vec![Bind::Text(partner_id), Bind::Blob(digest)];
        binds.extend(numbers.clone().map(|no| Bind::Big(*no)));
        Statement::<Candidates, CandidateRow>::new(
            "SELECT c.no, c.patient_id, c.umb, k.id, k.revoked_ms, g.id, g.revoked_ms FROM compartment c \
             LEFT JOIN consent k ON k.partner_id = ? AND k.patient_id = c.patient_id AND k.digest = ? \
             LEFT JOIN grants g ON g.partner_id = k.partner_id AND g.compartment = c.no AND g.consent_id = k.id \
             WHERE c.no IN (?, ?, ?, ?, ?)",
            binds,
        )
    };
    let rows: Vec<CandidateValues> = match db {
        Db::Pg(pg) => statement().load(pg)?,
        Db::Sqlite(sqlite) => statement().load(sqlite)?,
    };
    let mut found: Vec<PossibleMember> = rows
        .into_iter()
        .map(
            |(compartment, patient_id, umb, consent_id, consent_revoked, grant_id, grant_revoked)| PossibleMember {
                compartment,
                patient_id,
                umb,
                known: consent_id.map(|consent_id| KnownConsent {
                    consent_id,
                    grant_id,
                    revoked: consent_revoked.is_some() || grant_revoked.is_some(),
                }),
                row_version: None,
            },
        )
        .collect();
    found.sort_by_key(|one| compartments.iter().position(|no| *no == one.compartment));
    Ok(found)
}
