//! Writes the result of a match: the decision and everything that belongs to it, in the caller's transaction, completely or not at all.

use super::idempotency::{StoredReply, remember};
use super::insert::{Insert, kept};
use super::release_rule::renewable_sql;
use super::reviews::{ReviewWrite, put_aside};
use super::statement::{Bind, Statement, run};
use super::steps::{self, LinkStep};
use super::{Db, is_duplicate, links};
use crate::error::{Failure, Fault};
use std::sync::LazyLock;

/// How many ledger entries one match writes at most.
const ENTRIES_MAX: usize = 4;

/// A match that a reviewer must decide, stored with its decision.
#[derive(Clone, Debug)]
pub struct ReviewToOpen {
    /// Code of the guard that prevented an automatic match.
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
    pub kind: &'static str,
    pub outcome: &'static str,
    pub reason: Option<&'static str>,
    pub patient_id: Option<String>,
    pub consent_id: Option<String>,
    pub grant_id: Option<String>,
    pub policy_version: String,
    pub detail: String,
    pub created_ms: i64,
}

/// A row of `ledger_entry`, without its place in the sequence.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct LedgerRow {
    pub id: String,
    pub at_us: i64,
    pub action: &'static str,
    pub partner_id: Option<String>,
    pub correlation_id: String,
    /// This server's request id, when it differs from the correlation id.
    pub request_id: Option<String>,
    pub entry: Vec<u8>,
    pub subject: Option<String>,
    pub salt: Vec<u8>,
}

/// What a match grants.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct GrantRow {
    pub grant_id: String,
    /// A grant under this consent exists and is renewed.
    pub renews: bool,
    pub consent_id: String,
    /// The consent is stored already.
    pub consent_known: bool,
    /// Id of the member's Patient.
    pub patient_id: String,
    pub digest: Vec<u8>,
    pub policy: &'static str,
    pub body: Vec<u8>,
    pub compartment: i64,
    /// The version of the compartment's row that was read; only PostgreSQL has one.
    pub row_version: Option<String>,
    pub sensitive: bool,
    pub from_ms: i64,
    pub until_ms: i64,
}

/// Everything that one match writes.
#[derive(Clone, Debug, Default)]
pub struct MatchRecord {
    /// The decision; `None` when the request could not be judged.
    pub decision: Option<DecisionRow>,
    /// The grant, when the decision is a match.
    pub grant: Option<GrantRow>,
    /// Ledger entries in order.
    pub ledger: Vec<LedgerRow>,
    /// The candidates that a reviewer must choose from, when no automatic decision was possible.
    pub doubt: Option<ReviewToOpen>,
    /// The review to open or to update with this decision.
    pub aside: ReviewWrite,
    /// The link from the partner's member number, when the decision is a match.
    pub bond: LinkWrite,
    /// The ledger entry of a review that is opened.
    pub opened: Option<LedgerRow>,
    /// The ledger entry of a new consent with a grant under it.
    pub recorded: Option<LedgerRow>,
    /// The answer to remember, when a key was sent.
    pub reply: Option<StoredReply>,
}

impl MatchRecord {
    pub(super) fn entries(&self) -> impl Iterator<Item = &LedgerRow> {
        self.ledger.iter().chain(&self.opened).chain(&self.recorded)
    }
}

/// What a match does with the identity link between the partner's member number and the member.
#[derive(Clone, Debug, Default)]
pub enum LinkWrite {
    /// Nothing: the partner sent no number.
    #[default]
    None,
    /// This link is confirmed, and must still be when the grant is written.
    Held(String),
    /// A link is made or changed by this step.
    Made(Box<LinkStep>),
}

/// Cause of a failure: another request wrote first, so the caller must read and decide again.
#[derive(Debug)]
pub struct Raced;

impl std::fmt::Display for Raced {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("another request changed what this one had read")
    }
}

impl std::error::Error for Raced {}

/// Whether `failure` says that nothing was written because another request wrote first.
pub fn is_raced(failure: &Failure) -> bool {
    failure.cause().is_some_and(|cause| cause.is::<Raced>())
}

fn raced() -> Failure {
    Failure::new(Fault::Overloaded).because(Raced)
}

pub(super) fn or_raced(error: diesel::result::Error) -> Failure {
    if is_duplicate(&error) { raced() } else { error.into() }
}

/// Writes a match, in the caller's transaction, completely or not at all.
///
/// # Errors
/// A failure for which [`is_raced`] is true when another request wrote first; others of the database.
pub fn record(db: &mut Db, record: &MatchRecord) -> Result<(), Failure> {
    if let Some(reply) = &record.reply {
        remember(db, reply).map_err(or_raced)?;
    }
    let entries: Vec<&LedgerRow> = record.entries().collect();
    let Some(decision) = &record.decision else {
        return match record.grant {
            None => append(db, &entries),
            Some(_) => Err(incomplete()),
        };
    };
    if record.ledger.len() != 2 {
        return Err(incomplete());
    }
    if let Some(doubt) = &record.doubt {
        doubted(db, decision, doubt)?;
    }
    write_review_and_link(db, record, decision.created_ms)?;
    if let Some(given) = &record.grant {
        grant(db, decision, given)?;
    }
    decided(db, decision, &entries)
}

fn incomplete() -> Failure {
    Failure::new(Fault::Internal).because("a match record is incomplete")
}

/// Writes the review and the identity link of a match.
fn write_review_and_link(db: &mut Db, record: &MatchRecord, now_ms: i64) -> Result<(), Failure> {
    let overtaken = |failure: Failure| match failure.fault() {
        Fault::LinkMoveRefused => raced(),
        _ => failure,
    };
    if !put_aside(db, &record.aside, now_ms).map_err(overtaken)? {
        return Err(raced());
    }
    match &record.bond {
        LinkWrite::None => Ok(()),
        LinkWrite::Held(link_id) if links::is_confirmed(db, link_id)? => Ok(()),
        LinkWrite::Held(_) => Err(raced()),
        LinkWrite::Made(step) => steps::write_match(db, step).map(drop).map_err(overtaken),
    }
}

/// Stores the candidates of a decision that a reviewer must take. The review itself is written by `reviews::put_aside`.
fn doubted(db: &mut Db, decision: &DecisionRow, doubt: &ReviewToOpen) -> Result<(), Failure> {
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
struct Entries<const N: usize>;
struct Decided<const N: usize>;
struct Decision;
struct NewConsent;
struct NewGrant;
struct Renewal;

const CANDIDATE: &str =
    "INSERT INTO decision_candidate (decision_id, place, compartment, patient_id) VALUES (?, ?, ?, ?)";

pub(super) const ENTRY: Insert = Insert {
    table: "ledger_entry",
    columns: "id, at_us, action, partner_id, correlation_id, entry, subject, subject_salt, request_id",
};
pub(super) const DECISION: Insert = Insert {
    table: "decision",
    columns: "id, partner_id, correlation_id, request_id, kind, outcome, reason, patient_id, consent_id, grant_id, \
              policy_version, detail, created_ms",
};
pub(super) const CONSENT: Insert = Insert {
    table: "consent",
    columns: "id, partner_id, patient_id, digest, policy, period_from_ms, period_to_ms, body, recorded_ms",
};
pub(super) const GRANT: Insert = Insert {
    table: "grants",
    columns: "id, partner_id, compartment, patient_id, consent_id, decision_id, sensitive, valid_from_ms, valid_until_ms, created_ms, renewed_ms",
};

/// Text of the statement that renews a grant that is not revoked. `from` is an optional FROM clause.
pub(super) fn renewal(from: &str) -> String {
    format!(
        "UPDATE grants SET renewed_ms = ?, decision_id = ? {from} WHERE id = ? AND consent_id = ? AND {}",
        renewable_sql!()
    )
}

/// The statement texts, built once.
struct Texts {
    entries: [&'static str; ENTRIES_MAX],
    /// The decision and its entries in one statement, for PostgreSQL.
    decided: [&'static str; ENTRIES_MAX],
    decision: &'static str,
    consent: &'static str,
    grant: &'static str,
    renewal: &'static str,
}

static TEXTS: LazyLock<Texts> = LazyLock::new(|| {
    let counts: [usize; ENTRIES_MAX] = std::array::from_fn(|at| at + 1);
    let decision = DECISION.text(1);
    Texts {
        entries: counts.map(|count| kept(ENTRY.text(count))),
        decided: counts.map(|count| kept(format!("WITH d AS ({decision}) {}", ENTRY.text(count)))),
        decision: kept(decision),
        consent: kept(CONSENT.text(1)),
        grant: kept(GRANT.text_if(&format!(
            "NOT EXISTS (SELECT 1 FROM compartment c WHERE c.no = ? AND ({}))",
            links::WITHHELD
        ))),
        renewal: kept(renewal("")),
    }
});

pub(super) fn entry_binds<'a>(entries: impl IntoIterator<Item = &'a LedgerRow>, binds: &mut Vec<Bind<'a>>) {
    for entry in entries {
        binds.extend([
            Bind::Text(&entry.id),
            Bind::Big(entry.at_us),
            Bind::Text(entry.action),
            Bind::OptText(entry.partner_id.as_deref()),
            Bind::Text(&entry.correlation_id),
            Bind::Blob(&entry.entry),
            Bind::OptText(entry.subject.as_deref()),
            Bind::OptBlob(Some(&entry.salt)),
            Bind::OptText(entry.request_id.as_deref()),
        ]);
    }
}

pub(super) fn decision_binds(decision: &DecisionRow) -> [Bind<'_>; 13] {
    [
        Bind::Text(&decision.id),
        Bind::Text(&decision.partner_id),
        Bind::Text(&decision.correlation_id),
        Bind::Text(&decision.request_id),
        Bind::Text(decision.kind),
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

pub(super) fn consent_binds<'a>(decision: &'a DecisionRow, grant: &'a GrantRow) -> [Bind<'a>; 9] {
    [
        Bind::Text(&grant.consent_id),
        Bind::Text(&decision.partner_id),
        Bind::Text(&grant.patient_id),
        Bind::Blob(&grant.digest),
        Bind::Text(grant.policy),
        Bind::Big(grant.from_ms),
        Bind::Big(grant.until_ms),
        Bind::Blob(&grant.body),
        Bind::Big(decision.created_ms),
    ]
}

pub(super) fn grant_binds<'a>(decision: &'a DecisionRow, grant: &'a GrantRow) -> [Bind<'a>; 11] {
    [
        Bind::Text(&grant.grant_id),
        Bind::Text(&decision.partner_id),
        Bind::Big(grant.compartment),
        Bind::Text(&grant.patient_id),
        Bind::Text(&grant.consent_id),
        Bind::Text(&decision.id),
        Bind::Big(i64::from(grant.sensitive)),
        Bind::Big(grant.from_ms),
        Bind::Big(grant.until_ms),
        Bind::Big(decision.created_ms),
        Bind::Big(decision.created_ms),
    ]
}

pub(super) fn renewal_binds<'a>(decision: &'a DecisionRow, grant: &'a GrantRow) -> [Bind<'a>; 4] {
    [
        Bind::Big(decision.created_ms),
        Bind::Text(&decision.id),
        Bind::Text(&grant.grant_id),
        Bind::Text(&grant.consent_id),
    ]
}

/// Makes or renews a grant. Refuses a new one when a link was disputed meanwhile, perhaps that of another identifier of the partner.
fn grant(db: &mut Db, decision: &DecisionRow, grant: &GrantRow) -> Result<(), Failure> {
    if grant.renews {
        let binds = renewal_binds(decision, grant).to_vec();
        return match run(db, Statement::<Renewal>::new(TEXTS.renewal, binds))? {
            1 => Ok(()),
            _ => Err(raced()),
        };
    }
    links::hold_member(db, &grant.patient_id)?;
    if !grant.consent_known {
        let binds = consent_binds(decision, grant).to_vec();
        run(db, Statement::<NewConsent>::new(TEXTS.consent, binds)).map_err(or_raced)?;
    }
    let mut binds = grant_binds(decision, grant).to_vec();
    let partner = Bind::Text(&decision.partner_id);
    binds.extend([Bind::Big(grant.compartment), partner, partner]);
    match run(db, Statement::<NewGrant>::new(TEXTS.grant, binds)).map_err(or_raced)? {
        1 => Ok(()),
        _ => Err(raced()),
    }
}

/// Writes a decision and its ledger entries.
fn decided(db: &mut Db, decision: &DecisionRow, entries: &[&LedgerRow]) -> Result<(), Failure> {
    let mut binds = decision_binds(decision).to_vec();
    if matches!(db, Db::Sqlite(_)) {
        run(db, Statement::<Decision>::new(TEXTS.decision, binds))?;
        return append(db, entries);
    }
    entry_binds(entries.iter().copied(), &mut binds);
    match entries.len() {
        2 => run(db, Statement::<Decided<2>>::new(TEXTS.decided[1], binds))?,
        3 => run(db, Statement::<Decided<3>>::new(TEXTS.decided[2], binds))?,
        4 => run(db, Statement::<Decided<4>>::new(TEXTS.decided[3], binds))?,
        _ => return Err(incomplete()),
    };
    Ok(())
}

fn append(db: &mut Db, entries: &[&LedgerRow]) -> Result<(), Failure> {
    let mut binds = Vec::with_capacity(entries.len() * 9);
    entry_binds(entries.iter().copied(), &mut binds);
    match entries.len() {
        1 => run(db, Statement::<Entries<1>>::new(TEXTS.entries[0], binds))?,
        2 => run(db, Statement::<Entries<2>>::new(TEXTS.entries[1], binds))?,
        3 => run(db, Statement::<Entries<3>>::new(TEXTS.entries[2], binds))?,
        4 => run(db, Statement::<Entries<4>>::new(TEXTS.entries[3], binds))?,
        _ => return Err(incomplete()),
    };
    Ok(())
}
