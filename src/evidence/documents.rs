//! The documents of a packet beside its entries: consents, matches, checkpoints of partners, and the case, as they were when the checkpoint was
//! signed. No demographics and no member numbers.

use super::entry::EvidenceEntry;
use super::gathered::Gathered;
use crate::audit::packet::archive::{PackedFile, is_path};
use crate::audit::{commitment, field_salt};
use crate::clock::rfc3339_ms;
use crate::error::Failure;
use crate::ops::{View, decisions};
use crate::secret::hex;
use crate::secret::member_keys::MemberKeys;
use crate::store::consents::{self, ConsentRow};
use crate::store::entries::{self, MATCH_REFUSED, MATCHED, RequestIds};
use crate::store::opt_ins::OptInRow;
use crate::store::{Db, exchanges, ops_queries, opt_ins, partner_checkpoints, run_receipts};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};

/// Most entries of one request that are tried to be opened with the record of a decision; a bulk match has more.
const OPENED_MOST: usize = 50;

/// The consents and opt-ins that the entries cite, each with the entries that judged it.
///
/// # Errors
/// Those of the database.
pub(super) fn of_consents(
    db: &mut Db,
    entries: &[EvidenceEntry],
    found: &Gathered,
    as_of_ms: i64,
) -> Result<Vec<PackedFile>, Failure> {
    let mut known: BTreeMap<String, ConsentRow> = BTreeMap::new();
    for entry in entries
        .iter()
        .filter(|entry| entry.text("/object/kind") == Some("Consent"))
    {
        if let Some(row) = entry
            .row
            .subject
            .as_deref()
            .map(|id| consents::find(db, id))
            .transpose()?
            .flatten()
        {
            known.insert(row.id.clone(), row);
        }
    }
    let judged: Vec<&EvidenceEntry> = entries
        .iter()
        .filter(|entry| entry.facts.get("consent").is_some())
        .collect();
    let judged = Judged::of(&judged);
    let mut members: Vec<&str> = judged
        .all()
        .filter(|entry| entry.text("/object/kind") == Some("Patient"))
        .filter_map(|entry| entry.row.subject.as_deref())
        .collect();
    members.sort_unstable();
    members.dedup();
    for member in members {
        let cited = consents::of_member(db, member)?;
        let cited = cited
            .into_iter()
            .filter(|row| judged.about(row).any(|entry| opens(entry, &row.id).is_some()));
        known.extend(cited.map(|row| (row.id.clone(), row)));
    }
    let mut files = Vec::new();
    for row in known.into_values().filter(|row| row.recorded_ms <= as_of_ms) {
        let decisions: Vec<Value> = judged
            .about(&row)
            .filter_map(|entry| opens(entry, &row.id).map(|salt| decided(entry, &salt)))
            .collect();
        files.extend(packed("consent", &row.id, &consent(&row, decisions, as_of_ms)));
    }
    for id in &found.exchanges {
        let opt_in = exchanges::ask_of(db, id)?.map(|ask| opt_ins::find(db, &ask.opt_in_id));
        if let Some(row) = opt_in.transpose()?.flatten().filter(|row| row.recorded_ms <= as_of_ms) {
            let file = packed("consent", &row.id, &opt_in_of(&row, as_of_ms));
            files.extend(file.filter(|file| !files.contains(file)));
        }
    }
    Ok(files)
}

/// Entries that judged a consent, by what they are about: a commitment is opened only where it can be that of the consent.
struct Judged<'e>(HashMap<&'e str, Vec<&'e EvidenceEntry>>);

impl<'e> Judged<'e> {
    fn of(entries: &[&'e EvidenceEntry]) -> Judged<'e> {
        let mut by_subject: HashMap<&str, Vec<&EvidenceEntry>> = HashMap::new();
        for entry in entries {
            if let Some(subject) = entry.row.subject.as_deref() {
                by_subject.entry(subject).or_default().push(entry);
            }
        }
        Judged(by_subject)
    }

    fn all(&self) -> impl Iterator<Item = &'e EvidenceEntry> {
        self.0.values().flatten().copied()
    }

    /// Those about the consent, or about its member, in the order of the ledger.
    fn about(&self, row: &ConsentRow) -> impl Iterator<Item = &'e EvidenceEntry> {
        let subjects = [row.id.as_str(), row.patient_id.as_str()];
        let found = subjects.into_iter().filter_map(|subject| self.0.get(subject));
        let mut found: Vec<&EvidenceEntry> = found.flatten().copied().collect();
        found.sort_unstable_by_key(|entry| entry.index);
        found.into_iter()
    }
}

/// The salt of the consent's commitment, if the entry is committed to this consent.
fn opens(entry: &EvidenceEntry, consent_id: &str) -> Option<[u8; 32]> {
    let secret: [u8; 32] = entry.row.salt.as_deref()?.try_into().ok()?;
    let committed = entry.text("/consent/id_commit")?;
    (commitment("consent", &secret, consent_id) == committed).then(|| field_salt(&secret, "consent"))
}

fn decided(entry: &EvidenceEntry, salt: &[u8; 32]) -> Value {
    json!({
        "index": entry.index,
        "action": entry.row.action,
        "decision": entry.facts["consent"]["decision"],
        "rule": entry.facts["consent"]["rule"],
        "policy_version": entry.facts["policy_version"],
        "id_commit": entry.facts["consent"]["id_commit"],
        "salt": hex(salt),
    })
}

fn consent(row: &ConsentRow, decisions: Vec<Value>, as_of_ms: i64) -> Value {
    json!({
        "id": row.id,
        "kind": "consent",
        "partner": row.partner_id,
        "policy": row.policy,
        "from": rfc3339_ms(row.period_from_ms),
        "until": rfc3339_ms(row.period_to_ms),
        "recorded_at": rfc3339_ms(row.recorded_ms),
        "revoked_at": row.revoked_ms.filter(|ms| *ms <= as_of_ms).map(rfc3339_ms),
        "decisions": decisions,
    })
}

fn opt_in_of(row: &OptInRow, as_of_ms: i64) -> Value {
    json!({
        "id": row.id,
        "kind": "opt-in",
        "partner": row.partner_id,
        "policy": row.policy,
        "from": rfc3339_ms(row.from_ms),
        "until": row.to_ms.map(rfc3339_ms),
        "attested_at": rfc3339_ms(row.attested_ms),
        "recorded_at": rfc3339_ms(row.recorded_ms),
        "revoked_at": row.revoked_ms.filter(|ms| *ms <= as_of_ms).map(rfc3339_ms),
    })
}

/// The match decisions of the requests that the entries tell of: levels, weights and thresholds, never a value. Each has the entry that is
/// committed to it, with what opens the commitment.
///
/// # Errors
/// [`Fault::SealKeys`] when the keys of a sealed correlation id cannot be had; those of the database.
///
/// [`Fault::SealKeys`]: crate::error::Fault::SealKeys
pub(super) fn of_matches(
    db: &mut Db,
    entries: &[EvidenceEntry],
    keys: &MemberKeys,
) -> Result<Vec<PackedFile>, Failure> {
    let mut asked: Vec<RequestIds> = Vec::new();
    let mut by_request: HashMap<String, Vec<&EvidenceEntry>> = HashMap::new();
    for entry in entries {
        if [MATCHED, MATCH_REFUSED].contains(&entry.row.action.as_str()) {
            let ids = entry.row.ids();
            by_request.entry(ids.request_id.clone()).or_default().push(entry);
            asked.push(ids);
        }
    }
    let mut files = Vec::new();
    for ids in entries::decisions_of(db, &asked)? {
        let decision = decisions::one(db, &ids.id, View::WithoutPatients, keys)?;
        let Ok(mut told) = serde_json::to_value(&decision) else {
            continue;
        };
        let of_request = by_request
            .get(&ids.request_id)
            .map(Vec::as_slice)
            .filter(|all| all.len() <= OPENED_MOST)
            .unwrap_or_default();
        let stored = ops_queries::decision(db, &ids.id)?;
        if let Some(opened) = stored.and_then(|stored| opened(of_request, &stored.detail)) {
            told["committed"] = opened;
        }
        files.extend(packed("match", &ids.id, &told));
    }
    Ok(files)
}

/// The entry that is committed to this record of a decision, with what opens the commitment. None is, where an earlier version wrote it.
fn opened(entries: &[&EvidenceEntry], record: &str) -> Option<Value> {
    entries.iter().find_map(|entry| {
        let secret: [u8; 32] = entry.row.salt.as_deref()?.try_into().ok()?;
        let committed = entry.text("/decision_commit")?;
        (commitment("decision", &secret, record) == committed).then(|| {
            json!({
                "index": entry.index,
                "decision_commit": committed,
                "salt": hex(&field_salt(&secret, "decision")),
                "record": record,
            })
        })
    })
}

/// The newest checkpoint of a partner's ledger that came for each exchange of ours until then, as it came.
///
/// # Errors
/// Those of the database.
pub(super) fn of_partners(db: &mut Db, found: &Gathered, as_of_ms: i64) -> Result<Vec<PackedFile>, Failure> {
    let mut files = Vec::new();
    for id in &found.exchanges {
        let run = run_receipts::of_exchange(db, id)?.map(|found| found.run_id);
        let mut newest = None;
        for work in [Some(id.as_str()), run.as_deref()].into_iter().flatten() {
            let row = partner_checkpoints::of(db, work)?;
            newest = newest
                .into_iter()
                .chain(row.filter(|row| row.came_ms <= as_of_ms))
                .max_by_key(|row: &partner_checkpoints::PartnerCheckpointRow| row.came_ms);
        }
        let path = format!("partner-checkpoints/{id}.note");
        files.extend(
            newest
                .filter(|_| is_path(&path))
                .map(|row| PackedFile::text(&path, row.note)),
        );
    }
    Ok(files)
}

/// What a case has.
pub(super) fn of_case(found: &Gathered, as_of_ms: i64) -> Option<PackedFile> {
    let (case, items) = found.case.as_ref()?;
    let items: Vec<Value> = items
        .iter()
        .map(|item| {
            json!({ "kind": item.kind, "id": item.item, "added_at": rfc3339_ms(item.added_ms), "added_by": item.added_by })
        })
        .collect();
    let closed_ms = case.closed_ms.filter(|ms| *ms <= as_of_ms);
    let told = json!({
        "id": case.id,
        "name": case.name,
        "opened_at": rfc3339_ms(case.opened_ms),
        "opened_by": case.opened_by,
        "closed_at": closed_ms.map(rfc3339_ms),
        "items": items,
    });
    Some(PackedFile::text("case.json", format!("{told:#}\n")))
}

fn packed(folder: &str, id: &str, told: &Value) -> Option<PackedFile> {
    let path = format!("{folder}/{id}.json");
    is_path(&path).then(|| PackedFile::text(&path, format!("{told:#}\n")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::entries::EntryRow;

    fn entry(index: u64, subject: &str) -> EvidenceEntry {
        let row = EntryRow {
            id: index.to_string(),
            at_us: 0,
            action: "disclosure.begun".to_owned(),
            partner_id: None,
            correlation_id: "c".to_owned(),
            request_id: None,
            entry: b"{}".to_vec(),
            subject: Some(subject.to_owned()),
            salt: None,
        };
        EvidenceEntry::new(index, row).expect("an entry")
    }

    #[test]
    fn a_consent_is_compared_with_entries_about_itself_and_its_member_alone() {
        let entries: Vec<EvidenceEntry> = (0..)
            .zip(["other", "member", "consent", "member", "third"])
            .map(|(index, subject)| entry(index, subject))
            .collect();
        let judged = Judged::of(&entries.iter().collect::<Vec<_>>());
        let consent = ConsentRow {
            id: "consent".to_owned(),
            partner_id: "p".to_owned(),
            patient_id: "member".to_owned(),
            policy: "regular".to_owned(),
            period_from_ms: 0,
            period_to_ms: 1,
            recorded_ms: 0,
            revoked_ms: None,
            revoked_by: None,
            revoked_why: None,
        };
        let about: Vec<u64> = judged.about(&consent).map(|entry| entry.index).collect();
        assert_eq!(about, [1, 2, 3]);
    }
}
