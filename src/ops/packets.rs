//! Evidence packets and cases as auditors see them: what was asked for, how far it is, and what a case has.

use super::{OpsPage, page};
use crate::clock::rfc3339_ms;
use crate::error::{Failure, Fault};
use crate::store::Db;
use crate::store::evidence::{self, PacketRow};
use crate::store::evidence_cases::{self, CaseItemRow, CaseRow};
use serde::Serialize;

/// An evidence packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PacketItem {
    /// Its id.
    pub id: String,
    /// `exchange`, `correlation`, `member`, `range` or `case`.
    pub kind: String,
    /// What it is about: an id, `Patient/<id>` for a member; none for a range of time.
    pub subject: Option<String>,
    /// The beginning of a range.
    pub from: Option<String>,
    /// The end of a range, excluded.
    pub before: Option<String>,
    /// Who asked for it.
    pub asked_by: String,
    /// When.
    pub asked_at: String,
    /// `waiting` for a checkpoint, `made`, `failed`, or `erased`.
    pub state: String,
    /// Code of the fault for which it cannot be made.
    pub fault: Option<String>,
    /// What the fault means.
    pub text: Option<&'static str>,
    /// How many entries its checkpoint covers.
    pub checkpoint: Option<i64>,
    /// How many entries it has.
    pub entries: Option<i64>,
    /// Its length.
    pub bytes: Option<i64>,
    /// SHA-256 of it, hexadecimal.
    pub sha256: Option<String>,
    /// When it was made.
    pub made_at: Option<String>,
    /// Whether the personal values behind the commitments of its entries are in it.
    pub with_phi: bool,
}

impl PacketItem {
    /// That of a row.
    pub fn of(row: PacketRow) -> PacketItem {
        let is_member = row.kind == "member";
        let fault = row.fault.as_deref();
        let fault = fault.and_then(|code| Fault::ALL.iter().find(|fault| fault.code() == code));
        PacketItem {
            text: fault.map(|fault| fault.row().text),
            subject: row
                .subject
                .map(|id| if is_member { format!("Patient/{id}") } else { id }),
            id: row.id,
            kind: row.kind,
            from: row.from_ms.map(rfc3339_ms),
            before: row.to_ms.map(rfc3339_ms),
            asked_by: row.asked_by,
            asked_at: rfc3339_ms(row.asked_us / 1000),
            state: row.state,
            fault: row.fault,
            checkpoint: row.size,
            entries: row.entries,
            bytes: row.bytes,
            sha256: row.sha256,
            made_at: row.made_ms.map(rfc3339_ms),
            with_phi: row.with_phi != 0,
        }
    }
}

/// A page of packets, oldest first.
///
/// # Errors
/// Those of the database.
pub fn list(db: &mut Db, cursor: Option<&str>, limit: i64) -> Result<OpsPage<PacketItem>, Failure> {
    let rows = evidence::page(db, cursor.unwrap_or_default(), limit)?;
    page(rows, limit, |row| row.id.clone(), |row| Ok(PacketItem::of(row)))
}

/// A case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CaseItem {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// `open` or `closed`.
    pub state: &'static str,
    /// Who opened it.
    pub opened_by: String,
    /// When.
    pub opened_at: String,
    /// Who closed it.
    pub closed_by: Option<String>,
    /// When.
    pub closed_at: Option<String>,
    /// What it has, in the order in which it was added; only where one case is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub items: Option<Vec<InCase>>,
}

/// Something that a case has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InCase {
    /// `exchange` or `correlation`.
    pub kind: String,
    /// Its id.
    pub id: String,
    /// Who added it.
    pub added_by: String,
    /// When.
    pub added_at: String,
}

impl From<CaseItemRow> for InCase {
    fn from(row: CaseItemRow) -> InCase {
        InCase {
            kind: row.kind,
            id: row.item,
            added_by: row.added_by,
            added_at: rfc3339_ms(row.added_ms),
        }
    }
}

impl CaseItem {
    /// That of a row.
    pub fn of(row: CaseRow) -> CaseItem {
        CaseItem {
            id: row.id,
            name: row.name,
            state: if row.closed_ms.is_some() { "closed" } else { "open" },
            opened_by: row.opened_by,
            opened_at: rfc3339_ms(row.opened_ms),
            closed_by: row.closed_by,
            closed_at: row.closed_ms.map(rfc3339_ms),
            items: None,
        }
    }
}

/// A page of cases, oldest first.
///
/// # Errors
/// Those of the database.
pub fn cases(db: &mut Db, cursor: Option<&str>, limit: i64) -> Result<OpsPage<CaseItem>, Failure> {
    let rows = evidence_cases::page(db, cursor.unwrap_or_default(), limit)?;
    page(rows, limit, |row| row.id.clone(), |row| Ok(CaseItem::of(row)))
}

/// The case of this id or name, with what it has.
///
/// # Errors
/// [`Fault::CaseUnknown`]; those of the database.
pub fn case(db: &mut Db, given: &str) -> Result<CaseItem, Failure> {
    let row = evidence_cases::find(db, given)?.ok_or(Fault::CaseUnknown)?;
    let items = evidence_cases::items(db, &row.id)?;
    Ok(CaseItem {
        items: Some(items.into_iter().map(InCase::from).collect()),
        ..CaseItem::of(row)
    })
}
