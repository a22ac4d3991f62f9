//! Bulk jobs of partners as operators see them: how far each is, and how it ended. Never whose records they have, and never the request itself,
//! which may name members.

use crate::clock::rfc3339_ms;
use crate::error::{Failure, Fault};
use crate::secret::hex;
use crate::store::Db;
use crate::store::bulk::{self as rows, BulkFileRow, BulkJobRow, ERROR, OUTPUT};
use crate::store::bulk_receipts::{self as kept, AcknowledgementRow};
use serde::Serialize;
use serde_json::Value;
use std::collections::HashMap;

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
    /// What the partner said last of its receipt: `complete` or `incomplete`.
    pub acknowledged: Option<String>,
    /// When it said so.
    pub acknowledged_at: Option<String>,
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
    /// All that the partner said of its receipts, in order.
    pub acknowledgements: Vec<BulkAnswerItem>,
}

/// What a partner said of a receipt.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BulkAnswerItem {
    /// SHA-256 of the receipt.
    pub receipt_sha256: String,
    /// `complete` or `incomplete`.
    pub result: String,
    /// Numbers of what is missing.
    pub missing: Option<Value>,
    /// The id of the partner's key that signed it, if it is signed.
    pub signed_by: Option<String>,
    /// Id of its ledger entry.
    pub entry_id: String,
    /// When it was kept.
    pub at: String,
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
    let jobs = rows::list(db, LISTED)?;
    let ids: Vec<&str> = jobs.iter().map(|job| job.id.as_str()).collect();
    // Of several, the last one counts.
    let answers = kept::of_jobs(db, &ids)?.into_iter();
    let mut last: HashMap<String, AcknowledgementRow> = answers.map(|row| (row.job_id.clone(), row)).collect();
    let shown = |job: BulkJobRow| {
        let answer = last.remove(&job.id);
        item(job, answer.as_ref())
    };
    Ok(jobs.into_iter().map(shown).collect())
}

/// One bulk job.
///
/// # Errors
/// [`Fault::JobUnknown`]; those of the database.
pub fn one(db: &mut Db, id: &str) -> Result<BulkDetail, Failure> {
    let job = rows::find(db, id)?.ok_or(Fault::JobUnknown)?;
    let is_named = |file: &BulkFileRow| file.resources > 0 && [OUTPUT, ERROR].contains(&file.side.as_str());
    let files = rows::files(db, id)?.into_iter().filter(is_named);
    let answers = kept::of_job(db, id)?;
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
        job: item(job, answers.last()),
        acknowledgements: answers.into_iter().map(answer_item).collect(),
    })
}

fn answer_item(row: AcknowledgementRow) -> BulkAnswerItem {
    BulkAnswerItem {
        receipt_sha256: hex(&row.receipt_sha256),
        result: row.result,
        missing: row.missing.and_then(|text| serde_json::from_str(&text).ok()),
        signed_by: row.signed_by,
        entry_id: row.entry_id,
        at: rfc3339_ms(row.at_ms),
    }
}

fn item(row: BulkJobRow, answer: Option<&AcknowledgementRow>) -> BulkItem {
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
        acknowledged: answer.map(|answer| answer.result.clone()),
        acknowledged_at: answer.map(|answer| rfc3339_ms(answer.at_ms)),
    }
}
