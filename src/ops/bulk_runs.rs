//! The bulk runs in which this payer asks a partner for many members at once, as operators see them. Never who the members are: each is named by
//! its exchange.

use crate::clock::rfc3339_ms;
use crate::error::Failure;
use crate::secret::hex;
use crate::store::Db;
use crate::store::bulk_runs::{self as rows, BulkRunRow, RunFileRow, RunMemberRow};
use crate::store::run_receipts::{self as receipts, MemberReceipt, RunReceiptRow};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Most runs of a list.
const LISTED: i64 = 1_000;

/// A bulk run of ours.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BulkRunItem {
    /// Its id, which is the correlation id of its calls too.
    pub id: String,
    /// Who is asked.
    pub partner: String,
    /// `gathering`, `running`, `done`, `failed` or `cancelled`.
    pub state: String,
    /// What it does next.
    pub step: String,
    /// How often that step has failed.
    pub failed: i64,
    /// How far the partner is, in its own words.
    pub progress: Option<String>,
    /// When it was begun.
    pub created_at: String,
    /// When something of it was done last.
    pub updated_at: String,
    /// When it is given up unless it has come to its end.
    pub deadline_at: String,
    /// When it ended.
    pub ended_at: Option<String>,
    /// Only what changed since then is asked for.
    pub since: Option<String>,
    /// How many members it has.
    pub members: i64,
    /// For how many of them it still works.
    pub carried: i64,
    /// The code of the fault that ended it.
    pub fault: Option<String>,
    /// How it stands with the partner's receipt: `checked`, `complete`, `incomplete`, `not-offered`, `untrue` or `unanswered`.
    pub receipt: Option<String>,
}

/// A bulk run of ours with its members.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BulkRunDetail {
    /// The run.
    #[serde(flatten)]
    pub run: BulkRunItem,
    /// How many messages the partner gave about what it left out.
    pub left_out: i64,
    /// How many members are how far.
    pub states: BTreeMap<String, i64>,
    /// The files by type.
    pub files: Vec<BulkRunFileItem>,
    /// What was found of the receipt, and answered.
    pub receipt_answer: Option<RunReceiptItem>,
    /// The exchanges of the members.
    pub exchanges: Vec<BulkRunMemberItem>,
}

/// Files of one type.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BulkRunFileItem {
    /// The type of their resources.
    #[serde(rename = "type")]
    pub resource_type: String,
    /// Whether it was fetched as a whole.
    pub is_fetched: bool,
    /// How many resources came.
    pub resources: i64,
    /// How many bytes.
    pub bytes: i64,
}

/// A member of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BulkRunMemberItem {
    /// The exchange about the member.
    pub exchange: String,
    /// How far the run is with the member.
    pub state: String,
    /// Whether what came for the member is what the receipt says: `whole` or `lacking`.
    pub receipt: Option<String>,
}

/// The receipt of a run's export.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunReceiptItem {
    /// Its SHA-256.
    pub sha256: Option<String>,
    /// Numbers of what is missing here.
    pub missing: Option<Value>,
    /// The code of the fault for which it is not answered.
    pub fault: Option<String>,
    /// Id of the ledger entry of the answer.
    pub entry_id: Option<String>,
    /// When it was checked.
    pub checked_at: String,
    /// When the partner took the answer.
    pub answered_at: Option<String>,
}

/// The receipt of a bulk run, as far as it concerns an exchange.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BulkReceiptItem {
    /// The run.
    pub run: String,
    /// How it stands with the receipt: `awaited`, `checked`, `complete`, `incomplete`, `not-offered`, `untrue` or `unanswered`.
    pub state: String,
    /// Whether what came for the member is what the receipt says: `whole` or `lacking`.
    pub member: Option<String>,
    /// When the other payer took our answer.
    pub answered_at: Option<String>,
}

impl BulkReceiptItem {
    /// What was found of the receipt.
    pub fn of(found: MemberReceipt) -> BulkReceiptItem {
        let receipt = found.receipt.as_ref();
        BulkReceiptItem {
            state: receipt.map_or("awaited", |receipt| receipt.state.as_str()).to_owned(),
            answered_at: receipt.and_then(|receipt| receipt.at_ms).map(rfc3339_ms),
            run: found.run_id,
            member: found.member,
        }
    }
}

/// The newest runs.
///
/// # Errors
/// Those of the database.
pub fn list(db: &mut Db) -> Result<Vec<BulkRunItem>, Failure> {
    let mut items = Vec::new();
    for row in rows::list(db, LISTED)? {
        let members = rows::members(db, &row.id)?;
        let receipt = receipts::of_run(db, &row.id)?;
        items.push(item(row, &members, receipt.as_ref()));
    }
    Ok(items)
}

/// One run; `None` when there is none.
///
/// # Errors
/// Those of the database.
pub fn one(db: &mut Db, id: &str) -> Result<Option<BulkRunDetail>, Failure> {
    let Some(row) = rows::find(db, id)? else {
        return Ok(None);
    };
    let (members, files) = (rows::members(db, id)?, rows::files(db, id)?);
    let receipt = receipts::of_run(db, id)?;
    let mut states = BTreeMap::new();
    for member in &members {
        *states.entry(member.state.clone()).or_default() += 1;
    }
    Ok(Some(BulkRunDetail {
        left_out: row.left_out,
        states,
        files: files.into_iter().map(file).collect(),
        run: item(row, &members, receipt.as_ref()),
        receipt_answer: receipt.map(receipt_item),
        exchanges: members
            .into_iter()
            .map(|member| BulkRunMemberItem {
                exchange: member.exchange_id,
                state: member.state,
                receipt: member.receipt,
            })
            .collect(),
    }))
}

fn file(row: RunFileRow) -> BulkRunFileItem {
    BulkRunFileItem {
        is_fetched: row.name.is_some(),
        resource_type: row.resource_type,
        resources: row.resources,
        bytes: row.bytes,
    }
}

fn receipt_item(row: RunReceiptRow) -> RunReceiptItem {
    let missing: Option<Value> = row.missing.and_then(|text| serde_json::from_str(&text).ok());
    RunReceiptItem {
        sha256: row.sha256.as_deref().map(hex),
        missing: missing.filter(|missing| missing.as_object().is_some_and(|missing| !missing.is_empty())),
        fault: row.fault,
        entry_id: row.entry_id,
        checked_at: rfc3339_ms(row.checked_ms),
        answered_at: row.at_ms.map(rfc3339_ms),
    }
}

fn item(row: BulkRunRow, members: &[RunMemberRow], receipt: Option<&RunReceiptRow>) -> BulkRunItem {
    let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    BulkRunItem {
        members: count(members.len()),
        carried: count(members.iter().filter(|member| member.carried == 1).count()),
        id: row.id,
        partner: row.partner_id,
        state: row.state,
        step: row.step,
        failed: row.failed,
        progress: row.progress,
        created_at: rfc3339_ms(row.created_ms),
        updated_at: rfc3339_ms(row.updated_ms),
        deadline_at: rfc3339_ms(row.deadline_ms),
        ended_at: row.ended_ms.map(rfc3339_ms),
        since: row.since_ms.map(rfc3339_ms),
        fault: row.fault,
        receipt: receipt.map(|receipt| receipt.state.clone()),
    }
}
