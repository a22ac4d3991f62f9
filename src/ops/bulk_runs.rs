//! The bulk runs in which this payer asks a partner for many members at once, as operators see them. Never who the members are: each is named by
//! its exchange.

use crate::clock::rfc3339_ms;
use crate::error::Failure;
use crate::store::Db;
use crate::store::bulk_runs::{self as rows, BulkRunRow, RunFileRow, RunMemberRow};
use serde::Serialize;
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
    /// `gathering`, `running`, `done` or `failed`.
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
    /// How many members it has.
    pub members: i64,
    /// For how many of them it still works.
    pub carried: i64,
    /// The code of the fault that ended it.
    pub fault: Option<String>,
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
}

/// The newest runs.
///
/// # Errors
/// Those of the database.
pub fn list(db: &mut Db) -> Result<Vec<BulkRunItem>, Failure> {
    let mut items = Vec::new();
    for row in rows::list(db, LISTED)? {
        let members = rows::members(db, &row.id)?;
        items.push(item(row, &members));
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
    let mut states = BTreeMap::new();
    for member in &members {
        *states.entry(member.state.clone()).or_default() += 1;
    }
    Ok(Some(BulkRunDetail {
        left_out: row.left_out,
        states,
        files: files.into_iter().map(file).collect(),
        run: item(row, &members),
        exchanges: members
            .into_iter()
            .map(|member| BulkRunMemberItem {
                exchange: member.exchange_id,
                state: member.state,
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

fn item(row: BulkRunRow, members: &[RunMemberRow]) -> BulkRunItem {
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
        fault: row.fault,
    }
}
