//! The personal values behind the commitments of a packet's entries, for a packet that is asked for with them. Reads only, and opens nothing
//! to which an entry is not committed.

use super::entry::EvidenceEntry;
use crate::audit::packet::archive::PackedFile;
use crate::audit::packet::opened::{OPENED, OpenedValue};
use crate::error::Failure;
use crate::secret::member_keys::MemberKeys;
use crate::store::entries::EntryRow;
use crate::store::{Db, consents, correlations, entry_search, member_keys};

/// Entries whose notes one query reads.
pub(super) const TOGETHER: usize = 500;

/// What was opened.
pub(super) struct OpenedValues {
    /// The file.
    pub file: PackedFile,
    /// How many values it has.
    pub count: u64,
    /// The ids of the Patients whom they name or belong to.
    pub patients: Vec<String>,
}

/// The values behind the commitments of these entries, as far as they are kept: ids of Patients and consents, correlation ids that callers
/// chose, and operators with their reasons.
///
/// # Errors
/// [`Fault::SealKeys`] when the keys of a sealed reason or correlation id cannot be had; those of the database.
///
/// [`Fault::SealKeys`]: crate::error::Fault::SealKeys
pub(super) fn opened(db: &mut Db, entries: &[EvidenceEntry], keys: &MemberKeys) -> Result<OpenedValues, Failure> {
    let opener = member_keys::opener(db, keys)?;
    let (mut text, mut count, mut patients) = (String::new(), 0, Vec::new());
    for some in entries.chunks(TOGETHER) {
        let mut rows: Vec<EntryRow> = some.iter().map(|entry| entry.row.clone()).collect();
        correlations::open(db, keys, &mut rows)?;
        let notes = entry_search::notes(db, &rows)?;
        for (entry, row) in some.iter().zip(&rows) {
            let owner = owner(db, entry)?;
            let note = notes.get(&entry.row.id);
            let reason = note
                .map(|note| opener.note(&entry.row.id, note.reason.clone(), note.sealed.as_deref()))
                .transpose()?;
            let values = [
                ("object", entry.row.subject.as_deref().filter(|_| owner.is_some())),
                ("correlation", Some(row.correlation_id.as_str())),
                ("operator", note.map(|note| note.operator.as_str())),
                ("note", reason.as_deref()),
            ];
            for (field, value) in values {
                if let Some(opened) = value.and_then(|value| open(entry, field, value)) {
                    text.push_str(&opened.line());
                    count += 1;
                }
            }
            patients.extend(owner);
        }
    }
    Ok(OpenedValues {
        file: PackedFile::text(OPENED, text),
        count,
        patients,
    })
}

/// The Patient whom the object of an entry names, or whose consent it is. Other objects are nothing of a person.
fn owner(db: &mut Db, entry: &EvidenceEntry) -> Result<Option<String>, Failure> {
    let Some(id) = entry.row.subject.as_deref() else {
        return Ok(None);
    };
    match entry.text("/object/kind") {
        Some("Patient") => Ok(Some(id.to_owned())),
        Some("Consent") => Ok(consents::find(db, id)?.map(|row| row.patient_id)),
        _ => Ok(None),
    }
}

fn open(entry: &EvidenceEntry, field: &str, value: &str) -> Option<OpenedValue> {
    let secret: [u8; 32] = entry.row.salt.as_deref()?.try_into().ok()?;
    OpenedValue::of(entry.index, field, (&secret, value), &entry.facts)
}
