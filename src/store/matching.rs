//! What a member match reads of its candidates besides their profiles, and writes: the decision with all that goes with it.
//!
//! The read is one keyed query; the write is one transaction that keeps everything or nothing. On PostgreSQL its parts go
//! as one statement, because there each round trip costs more than the rows.

use super::idempotency::{Reply, remember};
use super::links;
use super::reviews::{Aside, put_aside};
use super::statement::{Bind, Statement, run};
use super::steps::{self, Step};
use super::{Db, is_duplicate};
use crate::error::{Failure, Fault};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};

/// Members that one look-up names.
pub const NAMED: usize = 5;

/// A member who might be meant.
#[derive(Clone, Debug)]
pub struct Found {
    /// Number of the compartment.
    pub compartment: i64,
    /// Id of its Patient.
    pub patient_id: String,
    /// Its UMB.
    pub umb: String,
    /// The same consent, when this partner sent it before.
    pub known: Option<Known>,
}

/// A consent that is on record, and its grant.
#[derive(Clone, Debug)]
pub struct Known {
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

/// Who is in these compartments, in their order, and what is on record of this consent for each: at most [`NAMED`].
///
/// # Errors
/// Those of the database.
pub fn named(db: &mut Db, compartments: &[i64], partner_id: &str, digest: &[u8]) -> Result<Vec<Found>, Failure> {
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
    let mut found: Vec<Found> = rows
        .into_iter()
        .map(
            |(compartment, patient_id, umb, consent_id, consent_revoked, grant_id, grant_revoked)| Found {
                compartment,
                patient_id,
                umb,
                known: consent_id.map(|consent_id| Known {
                    consent_id,
                    grant_id,
                    revoked: consent_revoked.is_some() || grant_revoked.is_some(),
                }),
            },
        )
        .collect();
    found.sort_by_key(|one| compartments.iter().position(|no| *no == one.compartment));
    Ok(found)
}

/// A match that a person must decide, as it is kept beside its decision.
#[derive(Clone, Debug)]
pub struct Doubt {
    /// Code of the guard that forbade an automatic match.
    pub reason: &'static str,
    /// Compartment and Patient id of the candidates, best first.
    pub candidates: Vec<(i64, String)>,
}

/// A row of `decision`.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct DecisionRow {
    pub id: String,
    pub partner_id: String,
    pub correlation_id: String,
    pub request_id: String,
    pub outcome: &'static str,
    pub reason: Option<&'static str>,
    pub patient_id: Option<String>,
    pub consent_id: Option<String>,
    pub grant_id: Option<String>,
    pub policy_version: String,
    pub detail: String,
    pub created_ms: i64,
}

/// A row of `ledger_entry`, unsequenced.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct LedgerRow {
    pub id: String,
    pub at_us: i64,
    pub action: &'static str,
    pub partner_id: Option<String>,
    pub correlation_id: String,
    /// Where it is not the correlation id as well.
    pub request_id: Option<String>,
    pub entry: Vec<u8>,
    pub subject: Option<String>,
    pub salt: Vec<u8>,
}

/// What a success grants.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct GrantRow {
    pub grant_id: String,
    /// A grant under this consent is there and is renewed.
    pub renews: bool,
    pub consent_id: String,
    /// The consent is there already.
    pub consent_known: bool,
    pub digest: Vec<u8>,
    pub policy: &'static str,
    pub body: Vec<u8>,
    pub compartment: i64,
    pub sensitive: bool,
    pub from_ms: i64,
    pub until_ms: i64,
}

/// Everything that one match writes.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// The decision; a request that could not be judged has none.
    pub decision: Option<DecisionRow>,
    /// What is granted, with a decision that matched.
    pub grant: Option<GrantRow>,
    /// Ledger entries in order.
    pub ledger: Vec<LedgerRow>,
    /// What a person must decide, with a decision that could not be taken.
    pub doubt: Option<Doubt>,
    /// What is left for a person, or noted of what one said.
    pub aside: Aside,
    /// The link from the partner's number, with a decision that matched.
    pub bond: Bond,
    /// The ledger entry of a review that was opened.
    pub opened: Option<LedgerRow>,
    /// The ledger entry of a consent that is new, with a grant under it.
    pub recorded: Option<LedgerRow>,
    /// The answer to remember, when a key was sent.
    pub reply: Option<Reply>,
}

/// What a match has to do with the identity link between the partner's number and the member.
#[derive(Clone, Debug, Default)]
pub enum Bond {
    /// Nothing: the partner sent no number.
    #[default]
    None,
    /// This link is confirmed, and has to be still when the grant is written.
    Held(String),
    /// It is made, or moved.
    Made(Box<Step>),
}

/// The cause of a failure that another request got there first: read again and decide again.
#[derive(Debug)]
pub struct Raced;

impl std::fmt::Display for Raced {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("another request changed what this one had read")
    }
}

impl std::error::Error for Raced {}

/// Whether `failure` says that nothing was written because another request was first.
pub fn is_raced(failure: &Failure) -> bool {
    failure.cause().is_some_and(|cause| cause.is::<Raced>())
}

fn raced() -> Failure {
    Failure::new(Fault::Overloaded).because(Raced)
}

fn or_raced(error: diesel::result::Error) -> Failure {
    if is_duplicate(&error) { raced() } else { error.into() }
}

/// Writes a match, in the caller's transaction: all of it, or an error.
///
/// # Errors
/// One that [`is_raced`] when another request was first; others of the database.
pub fn record(db: &mut Db, record: &Record) -> Result<(), Failure> {
    if let Some(reply) = &record.reply {
        remember(db, reply).map_err(or_raced)?;
    }
    if let (Some(decision), Some(doubt)) = (&record.decision, &record.doubt) {
        doubted(db, decision, doubt)?;
    }
    if let Some(decision) = &record.decision {
        beside(db, record, decision.created_ms)?;
    }
    if let (Some(decision), Some(grant)) = (&record.decision, &record.grant)
        && !grant.renews
        && links::is_withheld(
            db,
            &decision.partner_id,
            decision.patient_id.as_deref().unwrap_or_default(),
        )?
    {
        // A dispute came between, perhaps of another number of this partner's.
        return Err(raced());
    }
    match (&record.decision, &record.grant, record.ledger.as_slice()) {
        (Some(decision), Some(grant), [begun, ended]) => {
            grant_all(db, decision, grant, begun, ended, record.recorded.as_ref())
        }
        (Some(decision), None, [begun, ended]) => refuse_all(db, decision, begun, ended),
        (None, None, entries) => entries
            .iter()
            .try_for_each(|entry| run(db, Statement::<Entry>::new(ENTRY, entry_binds(entry))).map(|_| ()))
            .map_err(Failure::from),
        _ => Err(Failure::new(Fault::Internal).because("a match record is incomplete")),
    }
}

/// Writes what a match leaves in the queue and in the identity graph.
fn beside(db: &mut Db, record: &Record, now_ms: i64) -> Result<(), Failure> {
    let overtaken = |failure: Failure| match failure.fault() {
        Fault::LinkMoveRefused => raced(),
        _ => failure,
    };
    if !put_aside(db, &record.aside, now_ms).map_err(overtaken)? {
        return Err(raced());
    }
    if let Some(entry) = &record.opened {
        run(db, Statement::<Entry>::new(ENTRY, entry_binds(entry)))?;
    }
    match &record.bond {
        Bond::None => Ok(()),
        Bond::Held(link_id) if links::is_confirmed(db, link_id)? => Ok(()),
        Bond::Held(_) => Err(raced()),
        Bond::Made(step) => {
            if step.operator.is_none() && links::are_others_confirmed(db, &step.changes)? {
                return Err(raced());
            }
            steps::write(db, step).map(drop).map_err(overtaken)
        }
    }
}

/// Keeps whom a decision that goes to a person was about. The review itself is `reviews::put_aside`'s.
fn doubted(db: &mut Db, decision: &DecisionRow, doubt: &Doubt) -> Result<(), Failure> {
    for (place, (compartment, patient_id)) in (0i64..).zip(&doubt.candidates) {
        let binds = vec![
            Bind::Text(&decision.id),
            Bind::Big(place),
            Bind::Big(*compartment),
            Bind::Text(patient_id),
        ];
        run(db, Statement::<NewCandidate>::new(CANDIDATE, binds))?;
    }
    Ok(())
}

struct NewCandidate;
struct Entry;
struct Decision;
struct NewConsent;
struct NewGrant;
struct Renewal;
struct PgRefused;
struct PgGranted;
struct PgRenewed;

const CANDIDATE: &str =
    "INSERT INTO decision_candidate (decision_id, place, compartment, patient_id) VALUES (?, ?, ?, ?)";
const ENTRY: &str = "INSERT INTO ledger_entry (id, at_us, action, partner_id, correlation_id, entry, subject, subject_salt, request_id) \
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
const DECISION: &str = "INSERT INTO decision (id, partner_id, correlation_id, request_id, kind, outcome, reason, patient_id, \
    consent_id, grant_id, policy_version, detail, created_ms) VALUES (?, ?, ?, ?, 'member-match', ?, ?, ?, ?, ?, ?, ?, ?)";
const CONSENT: &str = "INSERT INTO consent (id, partner_id, patient_id, digest, policy, period_from_ms, period_to_ms, body, recorded_ms) \
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
const GRANT: &str = "INSERT INTO grants (id, partner_id, compartment, patient_id, consent_id, decision_id, sensitive, \
    valid_from_ms, valid_until_ms, created_ms, renewed_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
const RENEWAL: &str = "UPDATE grants SET renewed_ms = ?, decision_id = ? WHERE id = ? AND consent_id = ? AND revoked_ms IS NULL \
    AND EXISTS (SELECT 1 FROM consent WHERE consent.id = grants.consent_id AND consent.revoked_ms IS NULL)";

macro_rules! with_records {
    ($head:literal, $first:literal, $more:literal, $last:literal) => {
        concat!(
            "WITH ", $head, $first,
            "d AS (INSERT INTO decision (id, partner_id, correlation_id, request_id, kind, outcome, reason, patient_id, \
             consent_id, grant_id, policy_version, detail, created_ms) VALUES (?, ?, ?, ?, 'member-match', ?, ?, ?, ?, ?, ?, ?, ?) \
             RETURNING id), \
             l AS (INSERT INTO ledger_entry (id, at_us, action, partner_id, correlation_id, entry, subject, subject_salt, request_id) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?), (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            $more,
            " RETURNING id) ",
            $last
        )
    };
}

const PG_REFUSED: &str = with_records!("", "", "", "SELECT count(*) FROM l");
const PG_GRANTED: &str = with_records!(
    "k AS (INSERT INTO consent (id, partner_id, patient_id, digest, policy, period_from_ms, period_to_ms, body, recorded_ms) \
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id), ",
    "g AS (INSERT INTO grants (id, partner_id, compartment, patient_id, consent_id, decision_id, sensitive, valid_from_ms, \
     valid_until_ms, created_ms, renewed_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id), ",
    ", (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    "SELECT count(*) FROM g"
);
const PG_RENEWED: &str = with_records!(
    "",
    "g AS (UPDATE grants SET renewed_ms = ?, decision_id = ? WHERE id = ? AND consent_id = ? AND revoked_ms IS NULL \
     AND EXISTS (SELECT 1 FROM consent WHERE consent.id = grants.consent_id AND consent.revoked_ms IS NULL) RETURNING id), ",
    "",
    "SELECT count(*) FROM g"
);

fn entry_binds(entry: &LedgerRow) -> Vec<Bind<'_>> {
    vec![
        Bind::Text(&entry.id),
        Bind::Big(entry.at_us),
        Bind::Text(entry.action),
        Bind::OptText(entry.partner_id.as_deref()),
        Bind::Text(&entry.correlation_id),
        Bind::Blob(&entry.entry),
        Bind::OptText(entry.subject.as_deref()),
        Bind::OptBlob(Some(&entry.salt)),
        Bind::OptText(entry.request_id.as_deref()),
    ]
}

fn decision_binds(decision: &DecisionRow) -> Vec<Bind<'_>> {
    vec![
        Bind::Text(&decision.id),
        Bind::Text(&decision.partner_id),
        Bind::Text(&decision.correlation_id),
        Bind::Text(&decision.request_id),
        Bind::Text(decision.outcome),
        Bind::OptText(decision.reason),
        Bind::OptText(decision.patient_id.as_deref()),
        Bind::OptText(decision.consent_id.as_deref()),
        Bind::OptText(decision.grant_id.as_deref()),
        Bind::Text(&decision.policy_version),
        Bind::Text(&decision.detail),
        Bind::Big(decision.created_ms),
    ]
}

fn consent_binds<'a>(decision: &'a DecisionRow, grant: &'a GrantRow, patient_id: &'a str) -> Vec<Bind<'a>> {
    vec![
        Bind::Text(&grant.consent_id),
        Bind::Text(&decision.partner_id),
        Bind::Text(patient_id),
        Bind::Blob(&grant.digest),
        Bind::Text(grant.policy),
        Bind::Big(grant.from_ms),
        Bind::Big(grant.until_ms),
        Bind::Blob(&grant.body),
        Bind::Big(decision.created_ms),
    ]
}

fn grant_binds<'a>(decision: &'a DecisionRow, grant: &'a GrantRow, patient_id: &'a str) -> Vec<Bind<'a>> {
    vec![
        Bind::Text(&grant.grant_id),
        Bind::Text(&decision.partner_id),
        Bind::Big(grant.compartment),
        Bind::Text(patient_id),
        Bind::Text(&grant.consent_id),
        Bind::Text(&decision.id),
        Bind::Big(i64::from(grant.sensitive)),
        Bind::Big(grant.from_ms),
        Bind::Big(grant.until_ms),
        Bind::Big(decision.created_ms),
        Bind::Big(decision.created_ms),
    ]
}

fn renewal_binds<'a>(decision: &'a DecisionRow, grant: &'a GrantRow) -> Vec<Bind<'a>> {
    vec![
        Bind::Big(decision.created_ms),
        Bind::Text(&decision.id),
        Bind::Text(&grant.grant_id),
        Bind::Text(&grant.consent_id),
    ]
}

fn refuse_all(db: &mut Db, decision: &DecisionRow, begun: &LedgerRow, ended: &LedgerRow) -> Result<(), Failure> {
    if let Db::Pg(pg) = db {
        let binds = [decision_binds(decision), entry_binds(begun), entry_binds(ended)].concat();
        Statement::<PgRefused, BigInt>::new(PG_REFUSED, binds).get_result::<i64>(pg)?;
        return Ok(());
    }
    run(db, Statement::<Decision>::new(DECISION, decision_binds(decision)))?;
    run(db, Statement::<Entry>::new(ENTRY, entry_binds(begun)))?;
    run(db, Statement::<Entry>::new(ENTRY, entry_binds(ended)))?;
    Ok(())
}

fn grant_all(
    db: &mut Db,
    decision: &DecisionRow,
    grant: &GrantRow,
    begun: &LedgerRow,
    ended: &LedgerRow,
    recorded: Option<&LedgerRow>,
) -> Result<(), Failure> {
    let patient_id = decision.patient_id.as_deref().unwrap_or_default();
    if let Db::Pg(pg) = db
        && (grant.renews || !grant.consent_known)
    {
        let records = [decision_binds(decision), entry_binds(begun), entry_binds(ended)].concat();
        let done = if grant.renews {
            let binds = [renewal_binds(decision, grant), records].concat();
            Statement::<PgRenewed, BigInt>::new(PG_RENEWED, binds).get_result::<i64>(pg)
        } else {
            let binds = [
                consent_binds(decision, grant, patient_id),
                grant_binds(decision, grant, patient_id),
                records,
                recorded.map(entry_binds).unwrap_or_default(),
            ]
            .concat();
            Statement::<PgGranted, BigInt>::new(PG_GRANTED, binds).get_result::<i64>(pg)
        };
        return if done.map_err(or_raced)? == 1 {
            Ok(())
        } else {
            Err(raced())
        };
    }
    if !grant.consent_known {
        run(
            db,
            Statement::<NewConsent>::new(CONSENT, consent_binds(decision, grant, patient_id)),
        )
        .map_err(or_raced)?;
    }
    if grant.renews {
        if run(db, Statement::<Renewal>::new(RENEWAL, renewal_binds(decision, grant)))? != 1 {
            return Err(raced());
        }
    } else {
        run(
            db,
            Statement::<NewGrant>::new(GRANT, grant_binds(decision, grant, patient_id)),
        )
        .map_err(or_raced)?;
    }
    refuse_all(db, decision, begun, ended)?;
    recorded.map_or(Ok(()), |entry| {
        run(db, Statement::<Entry>::new(ENTRY, entry_binds(entry)))?;
        Ok(())
    })
}
