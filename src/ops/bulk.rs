//! Bulk jobs of partners as operators see them: how far each is, and how it ended. Never whose records they have, and never the request itself,
//! which may name members.

use crate::clock::rfc3339_ms;
use crate::error::{Failure, Fault};
use crate::store::Db;
use crate::store::bulk::{self as rows, BulkFileRow, BulkJobRow, ERROR, OUTPUT};
use serde::Serialize;

/// Most bulk jobs of a list.
const LISTED: i64 = 1_000;

/// A bulk job.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BulkItem {
    /// Its id.
    pub id: String,
    /// `match` or `export`.
    pub kind: String,
    /// Whose it is.
    pub partner: String,
    /// `waiting`, `running`, `done`, `failed` or `cancelled`.
    pub state: String,
    /// The id under which the ledger has what the partner did.
    pub correlation_id: String,
    /// The group that it is about.
    pub group: Option<String>,
    /// When it was begun.
    pub created_at: String,
    /// When something of it was done last.
    pub updated_at: String,
    /// When it fails unless it has come to its end.
    pub deadline_at: String,
    /// Until when its files are kept.
    pub expires_at: Option<String>,
    /// How many pieces it has.
    pub pieces: i64,
    /// How many of them are done.
    pub pieces_done: i64,
    /// The code of the fault that ended it.
    pub fault: Option<String>,
}

/// A bulk job with its files.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BulkDetail {
    /// The job.
    #[serde(flatten)]
    pub job: BulkItem,
    /// How many members its pieces were planned with.
    pub members: i64,
    /// The files that its manifest names, by type.
    pub files: Vec<BulkFileItem>,
}

/// A file of a bulk job.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BulkFileItem {
    /// `output` or `error`.
    pub side: String,
    /// The type of its resources.
    #[serde(rename = "type")]
    pub resource_type: String,
    /// How many they are.
    pub resources: i64,
    /// Its length.
    pub bytes: i64,
}

/// The newest bulk jobs.
///
/// # Errors
/// Those of the database.
pub fn list(db: &mut Db) -> Result<Vec<BulkItem>, Failure> {
    Ok(rows::list(db, LISTED)?.into_iter().map(item).collect())
}

/// One bulk job.
///
/// # Errors
/// [`Fault::JobUnknown`]; those of the database.
pub fn one(db: &mut Db, id: &str) -> Result<BulkDetail, Failure> {
    let job = rows::find(db, id)?.ok_or(Fault::JobUnknown)?;
    let is_named = |file: &BulkFileRow| file.resources > 0 && [OUTPUT, ERROR].contains(&file.side.as_str());
    let files = rows::files(db, id)?.into_iter().filter(is_named);
    Ok(BulkDetail {
        members: rows::planned(db, id)?,
        files: files
            .map(|file| BulkFileItem {
                side: file.side,
                resource_type: file.resource_type,
                resources: file.resources,
                bytes: file.bytes,
            })
            .collect(),
        job: item(job),
    })
}

fn item(row: BulkJobRow) -> BulkItem {
    BulkItem {
        id: row.id,
        kind: row.kind,
        partner: row.partner_id,
        state: row.state,
        correlation_id: row.correlation_id,
        group: row.group_id,
        created_at: rfc3339_ms(row.created_ms),
        updated_at: rfc3339_ms(row.updated_ms),
        deadline_at: rfc3339_ms(row.deadline_ms),
        expires_at: row.expires_ms.map(rfc3339_ms),
        pieces: row.pieces,
        pieces_done: row.pieces_done,
        fault: row.fault,
    }
}
