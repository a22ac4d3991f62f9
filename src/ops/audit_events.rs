//! The ledger as FHIR: `AuditEvent`s, searched as auditors ask, a page of a searchset at a time.
//!
//! Each event is made when it is read, from its entry and from what the store still has beside it. The ids of Patients are shown: only who
//! may see them may ask.

use super::OpsPage;
use super::disclosures::{DisclosureFilter, Ends, wrong};
use super::entry::EntryFacts;
use super::file_shares::FileShares;
use crate::audit::commitment;
use crate::audit::fhir::{
    AuditedConsent, AuditedEnd, AuditedEntry, AuditedFacts, entry_id, events, is_disclosure, share_of,
};
use crate::context::{Context, Payer};
use crate::error::{Failure, Fault};
use crate::fhir::when;
use crate::ids::is_fhir_id;
use crate::secret::member_keys::{MemberKeys, ValueOpener};
use crate::store::consents::{self, ConsentRow};
use crate::store::disclosed::{share_at, shares_at};
use crate::store::entries::{self, EntryRow};
use crate::store::entry_search::{self, EntrySearch, FoundRows, NoteRow};
use crate::store::{Db, member_keys};
use serde_json::{Value, json};
use std::collections::HashMap;

/// Entries of a page; an entry may have two events.
const ENTRIES: i64 = 100;
/// Events after which a page about everybody ends: a download of a file of many members has two for each of them.
const EVENTS: usize = 500;

const DATES: &str = "Give date as ge, gt, le, lt or nothing before a date or an instant, such as ge2026-11-30; give it twice for a range.";

/// Who shows the events, and the keys that open what stands sealed beside entries.
#[derive(Clone, Copy, Debug)]
pub struct ShownBy<'c> {
    payer: &'c Payer,
    keys: &'c MemberKeys,
}

impl<'c> ShownBy<'c> {
    /// Those of a process.
    pub fn of(ctx: &'c Context) -> ShownBy<'c> {
        ShownBy {
            payer: &ctx.payer,
            keys: &ctx.member_keys,
        }
    }
}

/// Which events to find.
#[derive(Clone, Debug, Default)]
pub struct EventSearch {
    entries: EntrySearch,
    /// Codes of `AuditEvent.outcome`; any when empty.
    outcomes: Vec<String>,
}

impl EventSearch {
    /// What the search parameters `pairs` ask for. Those that are no search parameters were refused before.
    ///
    /// # Errors
    /// [`Fault::ParameterInvalid`].
    pub fn new<'p>(pairs: impl Iterator<Item = (&'p str, &'p str)>, payer: &Payer) -> Result<EventSearch, Failure> {
        let mut search = EventSearch::default();
        search.entries.limit = ENTRIES;
        for (name, value) in pairs {
            match name {
                "patient" => search.about(patient_id(value)?, "patient")?,
                "entity" => search.about(entity_id(value)?, "entity")?,
                "agent" => search.entries.partner = Some(partner_id(value)?),
                "date" => search.at(value, payer)?,
                "outcome" => search.outcomes = value.split(',').map(outcome).collect::<Result<_, _>>()?,
                "cursor" => search.entries.cursor = super::disclosures::id("cursor", Some(value))?,
                _ => return Err(Fault::ParameterUnknown.into()),
            }
        }
        Ok(search)
    }

    /// The Patient that is asked about, if one is, or what else is.
    pub fn subject(&self) -> Option<&str> {
        self.entries.subject.as_deref()
    }

    fn about(&mut self, id: &str, name: &'static str) -> Result<(), Failure> {
        let other = self.entries.subject.replace(id.to_owned());
        match other.is_none_or(|other| other == id) {
            true => Ok(()),
            false => Err(wrong(name, "Ask about one patient or one other entity at a time.")),
        }
    }

    /// Narrows the time by one value of `date`.
    fn at(&mut self, value: &str, payer: &Payer) -> Result<(), Failure> {
        let (prefix, text) = match value.get(..2) {
            Some(prefix @ ("ge" | "gt" | "le" | "lt" | "eq")) => (prefix, &value[2..]),
            _ => ("eq", value),
        };
        let (first, last) = when::range_in(text, payer.time_zone).ok_or_else(|| wrong("date", DATES))?;
        let (from, to) = match prefix {
            "ge" => (Some(first), None),
            "gt" => (Some(last + 1), None),
            "le" => (None, Some(last + 1)),
            "lt" => (None, Some(first)),
            _ => (Some(first), Some(last + 1)),
        };
        let entries = &mut self.entries;
        entries.from_ms = entries.from_ms.max(from);
        entries.to_ms = entries.to_ms.into_iter().chain(to).min();
        Ok(())
    }
}

fn patient_id(value: &str) -> Result<&str, Failure> {
    let id = value.strip_prefix("Patient/").unwrap_or(value);
    match is_fhir_id(id) {
        true => Ok(id),
        false => Err(wrong("patient", "Give Patient/<id> or the id.")),
    }
}

fn entity_id(value: &str) -> Result<&str, Failure> {
    let id = value.split_once('/').map_or(value, |(_, id)| id);
    match is_fhir_id(id) {
        true => Ok(id),
        false => Err(wrong(
            "entity",
            "Give Patient/<id>, Consent/<id>, or the id of a review, job or partner.",
        )),
    }
}

fn partner_id(value: &str) -> Result<String, Failure> {
    match is_fhir_id(value) {
        true => Ok(value.to_owned()),
        false => Err(wrong("agent", "Give the id of a partner.")),
    }
}

fn outcome(value: &str) -> Result<String, Failure> {
    let code = value.rsplit('|').next().unwrap_or_default();
    match ["0", "4", "8", "12"].contains(&code) {
        true => Ok(code.to_owned()),
        false => Err(wrong("outcome", "Give 0, 4, 8 or 12, with commas between several.")),
    }
}

/// A page of events. It may be short, or empty, although more follow.
///
/// # Errors
/// [`Fault::StoreDamaged`] for an entry that is no JSON; those of the database.
pub fn list(db: &mut Db, search: &EventSearch, shown: &ShownBy<'_>) -> Result<OpsPage<Value>, Failure> {
    let found = entry_search::find(db, &search.entries)?;
    let (mut events, next) = match search.subject() {
        Some(subject) => (told(db, found.rows, Some(subject), shown)?, found.next),
        None => told_of_all(db, found, shown)?,
    };
    if !search.outcomes.is_empty() {
        events.retain(|event| search.outcomes.iter().any(|code| event["outcome"] == code.as_str()));
    }
    Ok(OpsPage { items: events, next })
}

/// The event with this id.
///
/// # Errors
/// [`Fault::NotFound`]; [`Fault::StoreDamaged`]; those of the database.
pub fn one(db: &mut Db, id: &str, shown: &ShownBy<'_>) -> Result<Value, Failure> {
    let row = entry_search::one(db, entry_id(id))?;
    let file = row.as_ref().and_then(|row| row.subject.clone());
    let share = match share_of(id).zip(file) {
        Some((place, file)) => share_at(db, &file, place)?,
        None => None,
    };
    let member = share.as_ref().map(|share| share.subject.as_str());
    let events = told(db, row.into_iter().collect(), member, shown)?;
    let found = events.into_iter().find(|event| event["id"] == id);
    found.ok_or_else(|| Fault::NotFound.into())
}

/// A page of the disclosures of one member, as BALP's disclosure at its source.
///
/// # Errors
/// [`Fault::StoreDamaged`]; those of the database.
pub fn disclosed(db: &mut Db, filter: &DisclosureFilter, shown: &ShownBy<'_>) -> Result<OpsPage<Value>, Failure> {
    let mut rows = entries::begun(db, filter)?;
    let limit = usize::try_from(filter.limit).unwrap_or(1);
    let next = rows
        .get(limit)
        .and_then(|_| rows.get(limit - 1))
        .map(|row| row.id.clone());
    rows.truncate(limit);
    let mut events = told(db, rows, Some(&filter.member), shown)?;
    events.retain(is_disclosure);
    Ok(OpsPage { items: events, next })
}

/// The events of these entries, which tell a disclosure's end only when it is among them: what was written later changes none. Of an entry
/// about a file of many members, `member` says whose share is told.
///
/// # Errors
/// [`Fault::StoreDamaged`] for an entry that is no JSON; those of the database.
pub fn of_entries(
    db: &mut Db,
    rows: &[EntryRow],
    member: Option<&str>,
    shown: &ShownBy<'_>,
) -> Result<Vec<Value>, Failure> {
    let mut beside = Beside::of(db, &[], member, shown)?;
    beside.ends = Ends::among(rows.to_vec())?;
    beside.notes = entry_search::notes(db, rows)?;
    beside.read_consents(db, rows)?;
    let mut told = Vec::new();
    for row in rows {
        told.extend(events(&beside.entry(db, row.clone())?, shown.payer));
    }
    Ok(told)
}

/// A Bundle of these events; `base` is where `AuditEvent/<id>` is, and `links` are relations with URLs.
pub fn bundle(kind: &str, events: Vec<Value>, base: &str, links: &[(&str, String)]) -> Value {
    let mut bundle = json!({"resourceType": "Bundle", "type": kind});
    if !links.is_empty() {
        let each = links.iter();
        bundle["link"] = each
            .map(|(relation, url)| json!({"relation": relation, "url": url}))
            .collect();
    }
    if !events.is_empty() {
        let each = events.into_iter();
        bundle["entry"] = each
            .map(|event| {
                let id = event["id"].as_str().unwrap_or_default();
                let mut entry = json!({"fullUrl": format!("{base}/AuditEvent/{id}"), "resource": event});
                if kind == "searchset" {
                    entry["search"] = json!({"mode": "match"});
                }
                entry
            })
            .collect();
    }
    bundle
}

/// The events of these entries; of an entry about a file of many members, those of this member's share.
fn told(db: &mut Db, rows: Vec<EntryRow>, member: Option<&str>, shown: &ShownBy<'_>) -> Result<Vec<Value>, Failure> {
    let beside = Beside::of(db, &rows, member, shown)?;
    let mut told = Vec::new();
    for row in rows {
        told.extend(events(&beside.entry(db, row)?, shown.payer));
    }
    Ok(told)
}

/// The events of these entries, whoever they are about, with those of each share of a file of many members; and where the next page begins.
fn told_of_all(db: &mut Db, found: FoundRows, shown: &ShownBy<'_>) -> Result<(Vec<Value>, Option<String>), Failure> {
    let mut beside = Beside::of(db, &found.rows, None, shown)?;
    let (mut told, mut left) = (Vec::new(), found.rows.len());
    for row in found.rows {
        let id = row.id.clone();
        let shares = match (row.action.as_str(), row.subject.as_deref()) {
            (entries::BEGUN, Some(subject)) => shares_at(db, subject)?,
            _ => Vec::new(),
        };
        for share in shares {
            beside.shares = FileShares::only(share);
            told.extend(events(&beside.entry(db, row.clone())?, shown.payer));
        }
        beside.shares = FileShares::default();
        told.extend(events(&beside.entry(db, row)?, shown.payer));
        left -= 1;
        if told.len() >= EVENTS && left > 0 {
            return Ok((told, Some(id)));
        }
    }
    Ok((told, found.next))
}

/// What stands beside entries.
struct Beside {
    ends: Ends,
    notes: HashMap<String, NoteRow>,
    opener: ValueOpener,
    /// The consents of the members that the entries are about.
    consents: HashMap<String, Vec<ConsentRow>>,
    /// The shares of the member who is asked about.
    shares: FileShares,
}

impl Beside {
    fn of(db: &mut Db, rows: &[EntryRow], member: Option<&str>, shown: &ShownBy<'_>) -> Result<Beside, Failure> {
        let shares = member.map(|member| FileShares::of(db, member)).transpose()?;
        let mut beside = Beside {
            shares: shares.unwrap_or_default(),
            ends: Ends::of(db, rows)?,
            notes: entry_search::notes(db, rows)?,
            opener: member_keys::opener(db, shown.keys)?,
            consents: HashMap::new(),
        };
        beside.read_consents(db, rows)?;
        Ok(beside)
    }

    fn read_consents(&mut self, db: &mut Db, rows: &[EntryRow]) -> Result<(), Failure> {
        for row in rows {
            if let Some(member) = row.subject.as_ref().filter(|_| cites_consent(row))
                && !self.consents.contains_key(member)
            {
                self.consents.insert(member.clone(), consents::of_member(db, member)?);
            }
        }
        Ok(())
    }

    fn entry(&self, db: &mut Db, row: EntryRow) -> Result<AuditedEntry, Failure> {
        let damaged = |error| Failure::new(Fault::StoreDamaged).because(error);
        let mut facts: AuditedFacts = serde_json::from_slice(&row.entry).map_err(damaged)?;
        let end = match row.action.as_str() {
            entries::BEGUN => self.end(&row)?,
            _ => None,
        };
        let share = self.shares.share(&row);
        let consent = match share {
            Some(share) => Some(share.consent_id.clone()),
            None => {
                let note = facts.consent.as_ref();
                note.and_then(|note| self.consent(&row, &note.id_commit))
            }
        };
        if let Some(share) = share {
            facts.consent = Some(AuditedConsent {
                rule: share.rule().to_owned(),
                ..AuditedConsent::default()
            });
        }
        let kind = facts.object.kind.as_deref();
        let patient = match (kind, &row.subject) {
            _ if share.is_some() => share.map(|share| share.subject.clone()),
            (Some("Patient"), subject) => subject.clone(),
            (Some("Consent"), Some(id)) => consents::find(db, id)?.map(|consent| consent.patient_id),
            (Some("Grant"), Some(id)) => consents::grant(db, id)?.map(|grant| grant.patient_id),
            _ => None,
        };
        let (operator, reason) = match self.notes.get(&row.id).cloned() {
            Some(note) => {
                let reason = self.opener.note(&row.id, note.reason, note.sealed.as_deref())?;
                (Some(note.operator), Some(reason))
            }
            None => (None, None),
        };
        Ok(AuditedEntry {
            share: share.map(|share| share.place),
            id: row.id,
            facts,
            subject: row.subject,
            patient,
            consent,
            operator,
            reason: reason.filter(|reason| !reason.is_empty()),
            end,
        })
    }

    fn end(&self, row: &EntryRow) -> Result<Option<AuditedEnd>, Failure> {
        let end = self.ends.end(row, &EntryFacts::of(row)?)?;
        let end = self.shares.end(row, end);
        Ok(match end.outcome {
            "begun" => None,
            outcome => Some(AuditedEnd {
                is_complete: outcome == "completed",
                bytes: end.bytes.unwrap_or(0),
                counts: end.resources.unwrap_or_default(),
            }),
        })
    }

    /// The consent to which the entry is committed.
    fn consent(&self, row: &EntryRow, committed: &str) -> Option<String> {
        let salt: [u8; 32] = row.salt.as_deref()?.try_into().ok()?;
        let known = self.consents.get(row.subject.as_ref()?)?;
        let found = known
            .iter()
            .find(|one| commitment("consent", &salt, &one.id) == committed)?;
        Some(found.id.clone())
    }
}

/// Whether it is an entry that may cite a consent of a partner on a member here.
fn cites_consent(row: &EntryRow) -> bool {
    matches!(
        row.action.as_str(),
        entries::BEGUN | entries::MATCHED | entries::MATCH_REFUSED
    )
}
