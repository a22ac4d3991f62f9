//! Retention as operators and auditors see it: how long each kind of data is kept, what was deleted last with its proof, and the legal holds.

use super::{OpsPage, View, page};
use crate::clock::rfc3339_ms;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::keeping::DataKind;
use crate::keeping::table::{KINDS, KindKept};
use crate::retention::hold::Hold;
use crate::retention::in_force;
use crate::retention::run::DeletedPart;
use crate::store::Db;
use crate::store::retention as rows;
use crate::store::retention::holds::{self, MEMBER};
use serde::Serialize;

/// The source of a period that a policy rules.
const POLICY: &str = "policy";
/// The source of a period that the configuration rules.
const CONFIGURATION: &str = "configuration";

/// Retention as a whole.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RetentionItem {
    /// The version of the periods of evidence, as ledger entries cite it.
    pub policy_version: String,
    /// SHA-256 of their canonical text.
    pub policy_digest: String,
    /// Where the periods of evidence come from: `policy` or `configuration`.
    pub source: &'static str,
    /// The time that retention goes by; none before its first run.
    pub time: Option<String>,
    /// By how many seconds it is behind the clock.
    pub behind_seconds: Option<i64>,
    /// How many legal holds are in force.
    pub holds: i64,
    /// The kinds of data.
    pub kinds: Vec<KindItem>,
}

/// A kind of data.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KindItem {
    /// Its name.
    pub kind: &'static str,
    /// What it is.
    pub what: &'static str,
    /// How long it is kept.
    pub kept: String,
    /// The shortest that is taken, where that can be chosen.
    pub least: Option<String>,
    /// From when its time counts.
    pub counts_from: &'static str,
    /// The key of the configuration.
    pub key: Option<&'static str>,
    /// What the period that applies comes from, where it can be chosen: `policy` or `configuration`.
    pub source: Option<&'static str>,
    /// The job that deletes it.
    pub deleted_by: Option<&'static str>,
    /// Whether a legal hold keeps it.
    pub held: bool,
    /// What was deleted, where that is counted.
    pub deleted: Option<DeletedItem>,
}

/// What was deleted of a kind.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DeletedItem {
    /// Rows in all.
    pub total: i64,
    /// Rows of the last deletion.
    pub last: i64,
    /// When that was.
    pub at: String,
    /// The ledger entry that proves it.
    pub entry_id: String,
}

/// How long what is kept, and what was deleted.
///
/// # Errors
/// Those of the database.
pub fn whole(db: &mut Db, ctx: &Context) -> Result<RetentionItem, Failure> {
    let (totals, clock, held) = (rows::totals(db)?, rows::clock(db)?, holds::in_force(db)?);
    let periods = in_force(db, &ctx.keeping, ctx.clock.now_ms())?;
    let cited = periods.cited(DataKind::Ledger);
    let source = |kind: DataKind| match periods.policy() {
        Some(policy) if periods.cited(kind) == *policy => POLICY,
        _ => CONFIGURATION,
    };
    let seen_ms = Some(clock.seen_ms).filter(|seen_ms| *seen_ms > 0);
    let kinds = KINDS.iter().map(|row| {
        let totals = totals.iter().find(|totals| totals.kind == row.code);
        let rule = row.kind.rule();
        KindItem {
            kind: row.code,
            what: row.what,
            kept: match row.kept {
                KindKept::For(_) => periods.words(row.kind).unwrap_or_default(),
                KindKept::Until(words) => words.to_owned(),
            },
            least: rule.map(|rule| format!("{} {}", rule.least, rule.unit.word())),
            counts_from: row.from,
            key: rule.map(|rule| rule.key),
            source: rule.map(|_| source(row.kind)),
            deleted_by: Some(row.job).filter(|job| *job != "-"),
            held: row.is_held,
            deleted: totals.map(|totals| DeletedItem {
                total: totals.total,
                last: totals.last,
                at: rfc3339_ms(totals.last_ms),
                entry_id: totals.entry_id.clone(),
            }),
        }
    });
    Ok(RetentionItem {
        policy_version: cited.version,
        policy_digest: crate::secret::hex(&cited.digest),
        source: source(DataKind::Ledger),
        time: seen_ms.map(rfc3339_ms),
        behind_seconds: seen_ms.map(|seen_ms| (ctx.clock.now_ms() - seen_ms).max(0) / 1000),
        holds: held,
        kinds: kinds.collect(),
    })
}

/// A part of what a run deleted, or would delete.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DeletedPartItem {
    /// The kind of data.
    pub kind: &'static str,
    /// How many rows.
    pub rows: u64,
    /// The instant from which the time of the oldest counted.
    pub from: String,
    /// The same of the youngest.
    pub to: String,
    /// The ledger entry that proves it; none for what was only looked at.
    pub entry_id: Option<String>,
}

impl From<DeletedPart> for DeletedPartItem {
    fn from(part: DeletedPart) -> DeletedPartItem {
        DeletedPartItem {
            kind: part.kind.code(),
            rows: part.rows,
            from: rfc3339_ms(part.from_ms),
            to: rfc3339_ms(part.to_ms),
            entry_id: part.entry_id,
        }
    }
}

/// A legal hold.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HoldItem {
    /// Its id.
    pub id: String,
    /// What it keeps: `member` or `exchange`.
    pub kind: String,
    /// The case that it belongs to.
    pub case: Option<String>,
    /// Who placed it.
    pub placed_by: String,
    /// When.
    pub placed_at: String,
    /// Who released it.
    pub released_by: Option<String>,
    /// When.
    pub released_at: Option<String>,
    /// The exchange that it keeps.
    pub exchange: Option<String>,
    /// The member that it keeps, in the full view.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patient_id: Option<Option<String>>,
    /// Why it was placed, in the full view.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why it was released, in the full view.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub released_reason: Option<Option<String>>,
}

/// Which holds to list.
#[derive(Clone, Debug, Default)]
pub struct HoldFilter {
    /// Released ones too.
    pub all: bool,
    /// Id of the last hold of the previous page.
    pub cursor: Option<String>,
    /// Items of a page.
    pub limit: i64,
}

/// A page of legal holds, oldest first.
///
/// # Errors
/// Those of the database.
pub fn holds(db: &mut Db, filter: &HoldFilter, view: View) -> Result<OpsPage<HoldItem>, Failure> {
    let after = filter.cursor.as_deref().unwrap_or_default();
    let found = holds::page(db, filter.all, after, filter.limit)?;
    page(
        found,
        filter.limit,
        |hold| hold.id.clone(),
        |hold| Ok(hold_item(hold, view)),
    )
}

/// One legal hold.
///
/// # Errors
/// [`Fault::HoldUnknown`]; those of the database.
pub fn hold(db: &mut Db, id: &str, view: View) -> Result<HoldItem, Failure> {
    let hold = holds::find(db, id)?.ok_or(Fault::HoldUnknown)?;
    Ok(hold_item(hold, view))
}

fn hold_item(hold: Hold, view: View) -> HoldItem {
    let is_of_member = hold.kind == MEMBER;
    HoldItem {
        id: hold.id,
        case: hold.case_id,
        placed_by: hold.placed_by,
        placed_at: rfc3339_ms(hold.placed_ms),
        released_by: hold.released_by,
        released_at: hold.released_ms.map(rfc3339_ms),
        exchange: Some(hold.target.clone()).filter(|_| !is_of_member),
        patient_id: view.full(Some(hold.target).filter(|_| is_of_member)),
        reason: view.full(hold.reason),
        released_reason: view.full(hold.released_why),
        kind: hold.kind,
    }
}
