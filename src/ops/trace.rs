//! All that happened under one id, oldest first: for support, without personal values.
//!
//! An id may be a correlation id, or that of a request, a decision, a grant, a consent, a review or an exchange. Correlation ids are the
//! callers' own words, so they are shown only where they were asked for. Refusals that were counted and not listed are told with those that were.

use super::OpsPage;
use super::detail::DecisionDetail;
use super::disclosures::{Accounts, Ends};
use super::entry::EntryFacts;
use super::trace_item::{About, Count, Disclosed, TraceItem, refusals};
use crate::clock::rfc3339_ms;
use crate::error::{Failure, Fault};
use crate::ids::{is_correlation_id, is_fhir_id};
use crate::secret::member_keys::MemberKeys;
use crate::security::refusals::{counted_in, minute_of};
use crate::store::entries::{self, DecisionIds, EntryRow, RequestIds};
use crate::store::ops_queries::{LIMIT_MAX, StoredGrant};
use crate::store::{Db, consents, correlations, ops_queries, reviews};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Entries about a member, looked through at once for those under a grant.
const BATCH: i64 = 500;

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub struct TraceAsked {
    /// The id.
    pub id: String,
    /// Id of the last one seen.
    pub cursor: Option<String>,
    /// Items of a page.
    pub limit: i64,
}

impl TraceAsked {
    /// This id, if it can be one.
    ///
    /// # Errors
    /// [`Fault::ParameterInvalid`].
    pub fn new(id: &str, cursor: Option<String>, limit: i64) -> Result<TraceAsked, Failure> {
        if !is_correlation_id(id) {
            return Err(Failure::new(Fault::ParameterInvalid).at("id").remedy(
                "Give the id as it was answered: 1 to 128 letters, digits and the characters -._~:/+=@, percent-encoded in a URL.",
            ));
        }
        Ok(TraceAsked {
            id: id.to_owned(),
            cursor,
            limit: limit.clamp(1, LIMIT_MAX),
        })
    }
}

/// A page of what happened; callers' correlation ids are found and opened with `keys`.
///
/// # Errors
/// [`Fault::TraceUnknown`] when nothing is on record; [`Fault::SealKeys`] when the keys of sealed correlation ids cannot be had; those of the
/// database.
pub fn trace(db: &mut Db, asked: &TraceAsked, keys: &MemberKeys) -> Result<OpsPage<TraceItem>, Failure> {
    let forms = correlations::forms(db, keys, &asked.id)?;
    let mut found = Found {
        forms,
        after: asked.cursor.clone().unwrap_or_default(),
        fetch: asked.limit + 1,
        rows: BTreeMap::new(),
        of_members: HashMap::new(),
        done: HashSet::new(),
    };
    found.by_any(db, &asked.id)?;
    let of_members = found.of_members;
    let mut rows: Vec<EntryRow> = found.rows.into_values().collect();
    if rows.is_empty() && asked.cursor.is_none() {
        rows = counted_around(db, &asked.id)?;
        if rows.is_empty() {
            return Err(Fault::TraceUnknown.into());
        }
    }
    let limit = usize::try_from(asked.limit).unwrap_or(1);
    let more = rows.len() > limit;
    rows.truncate(limit);
    correlations::open(db, keys, &mut rows)?;
    let next = rows.last().filter(|_| more).map(|row| row.id.clone());
    let told = Told::of(db, (&rows, of_members), &asked.id)?;
    Ok(OpsPage {
        items: rows.iter().map(|row| told.item(row)).collect::<Result<_, _>>()?,
        next,
    })
}

/// The entries found so far, in the order of time.
struct Found {
    /// The forms in which a correlation id may stand that is what is asked for.
    forms: Vec<String>,
    after: String,
    fetch: i64,
    rows: BTreeMap<String, EntryRow>,
    /// Of which member entries were found that are about a file of many: the Patient id, by the id of the entry.
    of_members: HashMap<String, String>,
    /// Requests and subjects that were looked up.
    done: HashSet<String>,
}

impl Found {
    fn by_any(&mut self, db: &mut Db, id: &str) -> Result<(), Failure> {
        let rows = entries::under(db, &self.forms, &self.after, self.fetch)?;
        self.add(rows);
        let rows = entries::by_request_id(db, id, &self.after, self.fetch)?;
        self.add(rows);
        if !is_fhir_id(id) {
            return Ok(());
        }
        if let Some(decision) = ops_queries::decision(db, id)? {
            let ids = RequestIds {
                correlation_id: decision.correlation_id,
                request_id: decision.request_id,
            };
            self.request(db, &ids)?;
            let detail = DecisionDetail::read(&decision.detail)?;
            // The review that this decision opened, or the one that was there.
            let opened = self.rows.values().filter(|row| row.action == "review.opened");
            let mut reviews: Vec<String> = opened.filter_map(|row| row.subject.clone()).collect();
            reviews.extend(detail.review.and_then(|review| review.id));
            for review in reviews {
                self.subject(db, &review)?;
            }
        }
        if let Some(grant) = consents::grant(db, id)? {
            self.grants(db, &grant.consent_id, std::slice::from_ref(&grant))?;
        }
        if let Some(consent) = consents::find(db, id)? {
            let grants = consents::grants_under(db, std::slice::from_ref(&consent))?;
            self.grants(db, &consent.id, &grants)?;
        }
        let rows = entries::of_exchange(db, id, &self.after, self.fetch)?;
        self.add(rows);
        match reviews::find(db, id) {
            Ok(review) => {
                self.subject(db, &review.id)?;
                if let Some(decision) = ops_queries::decision(db, &review.decision_id)? {
                    let ids = RequestIds {
                        correlation_id: decision.correlation_id,
                        request_id: decision.request_id,
                    };
                    self.request(db, &ids)?;
                }
                Ok(())
            }
            Err(failure) if failure.fault() == Fault::ReviewUnknown => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    /// What happened under grants of one consent: the matches that made and renewed them, what was disclosed, and their ends.
    fn grants(&mut self, db: &mut Db, consent_id: &str, grants: &[StoredGrant]) -> Result<(), Failure> {
        self.subject(db, consent_id)?;
        for grant in grants {
            self.subject(db, &grant.id)?;
        }
        let Some(grant) = grants.first() else { return Ok(()) };
        let accounts = Accounts::of(db, &grant.patient_id)?;
        for action in [entries::MATCHED, entries::BEGUN] {
            let (mut after, mut taken) = (self.after.clone(), 0);
            loop {
                let batch = entries::about_by(db, &grant.patient_id, action, &after, BATCH)?;
                let Some(last) = batch.last() else { break };
                after = last.id.clone();
                let is_last = i64::try_from(batch.len()).is_ok_and(|rows| rows < BATCH);
                for row in batch {
                    let entry = EntryFacts::of(&row)?;
                    if accounts
                        .consent(&row, &entry)
                        .is_some_and(|consent| consent.id == consent_id)
                    {
                        taken += 1;
                        if action == entries::MATCHED {
                            self.request(db, &row.ids())?;
                        }
                        if accounts.shares.share(&row).is_some() {
                            self.of_members.insert(row.id.clone(), grant.patient_id.clone());
                        }
                        self.rows.insert(row.id.clone(), row);
                    }
                }
                if is_last || taken >= self.fetch {
                    break;
                }
            }
        }
        Ok(())
    }

    fn request(&mut self, db: &mut Db, ids: &RequestIds) -> Result<(), Failure> {
        if self.done.insert(ids.request_id.clone()) {
            let rows = entries::of_request(db, ids, &self.after, self.fetch)?;
            self.add(rows);
        }
        Ok(())
    }

    fn subject(&mut self, db: &mut Db, id: &str) -> Result<(), Failure> {
        if self.done.insert(id.to_owned()) {
            let rows = entries::about(db, id, &self.after, self.fetch)?;
            self.add(rows);
        }
        Ok(())
    }

    fn add(&mut self, rows: Vec<EntryRow>) {
        self.rows.extend(rows.into_iter().map(|row| (row.id.clone(), row)));
    }
}

/// For the id of a request that left nothing of its own: the refusals that were only counted in its minute. Our request ids say when
/// they were made.
fn counted_around(db: &mut Db, id: &str) -> Result<Vec<EntryRow>, Failure> {
    let made = uuid::Uuid::try_parse(id)
        .ok()
        .filter(|id| id.get_version_num() == 7)
        .and_then(|id| id.get_timestamp());
    let Some(made) = made else { return Ok(Vec::new()) };
    let (seconds, nanos) = made.to_unix();
    let at_ms = i64::try_from(seconds).unwrap_or(0) * 1000 + i64::from(nanos / 1_000_000);
    entries::about(db, &counted_in(minute_of(at_ms)), "", LIMIT_MAX)
}

/// What the entries of a page are told with.
struct Told<'a> {
    asked: &'a str,
    ends: Ends,
    accounts: HashMap<String, Accounts>,
    /// As [`Found`] has them.
    of_members: HashMap<String, String>,
    /// By request id.
    decisions: HashMap<String, DecisionIds>,
    operators: HashMap<String, String>,
    /// Counted refusals of the minutes in which refusals are on this page.
    counted: Vec<(EntryRow, EntryFacts)>,
}

impl<'a> Told<'a> {
    fn of(
        db: &mut Db,
        (rows, of_members): (&[EntryRow], HashMap<String, String>),
        asked: &'a str,
    ) -> Result<Told<'a>, Failure> {
        let mut accounts = HashMap::new();
        for row in rows.iter().filter(|row| row.action == entries::BEGUN) {
            let patient = of_members.get(&row.id).map(String::as_str).or(subject_of(row));
            if let Some(patient) = patient.filter(|id| !accounts.contains_key(*id)) {
                accounts.insert(patient.to_owned(), Accounts::of(db, patient)?);
            }
        }
        let requests: Vec<RequestIds> = rows.iter().map(EntryRow::ids).collect();
        let decisions = entries::decisions_of(db, &requests)?;
        let ids: Vec<String> = rows.iter().map(|row| row.id.clone()).collect();
        let refused = rows.iter().filter(|row| row.action.ends_with(".refused"));
        let minutes: HashSet<i64> = refused.map(|row| minute_of(row.at_us / 1000)).collect();
        let mut counted = Vec::new();
        for minute in minutes {
            for row in entries::about(db, &counted_in(minute), "", LIMIT_MAX)? {
                let entry = EntryFacts::of(&row)?;
                counted.push((row, entry));
            }
        }
        Ok(Told {
            asked,
            ends: Ends::of(db, rows)?,
            accounts,
            of_members,
            decisions: decisions.into_iter().map(|one| (one.request_id.clone(), one)).collect(),
            operators: entries::operators(db, &ids)?,
            counted,
        })
    }

    fn item(&self, row: &EntryRow) -> Result<TraceItem, Failure> {
        let entry = EntryFacts::of(row)?;
        let reason = entry.outcome.reason.clone();
        let correlation = row.correlation_id.as_str();
        let is_known = correlation == self.asked || correlation == entry.request_id;
        let claimed = entry.actor.client_id.clone();
        let mut item = TraceItem {
            id: row.id.clone(),
            at: rfc3339_ms(row.at_us / 1000),
            action: row.action.clone(),
            partner: row.partner_id.clone(),
            outcome: entry.outcome.class.clone(),
            http: entry.outcome.http,
            text: reason.as_deref().and_then(text_of),
            reason,
            correlation_id: is_known.then(|| correlation.to_owned()),
            claimed_client: claimed.filter(|_| row.partner_id.is_none()),
            operator: self.operators.get(&row.id).cloned(),
            about: self.about(row, &entry)?,
            count: self.count(row, &entry),
            request_id: entry.request_id,
        };
        if let About::Disclosure(disclosed) = &item.about {
            item.action = "disclosure".to_owned();
            item.outcome = Some(disclosed.outcome.to_owned());
            item.http = disclosed.http;
        }
        Ok(item)
    }

    /// What an event was about.
    fn about(&self, row: &EntryRow, entry: &EntryFacts) -> Result<About, Failure> {
        let subject = || row.subject.clone();
        Ok(match entry.object.kind.as_deref() {
            Some("Review") => About::Review { review_id: subject() },
            Some("Consent") => About::Consent { consent_id: subject() },
            Some("Grant") => About::Grant { grant_id: subject() },
            _ if row.action == entries::BEGUN => About::Disclosure(self.disclosed(row, entry)?),
            _ if row.action.starts_with("member-match.") => match self.decisions.get(&entry.request_id) {
                Some(decision) => About::Match {
                    decision_id: decision.id.clone(),
                    grant_id: decision.grant_id.clone(),
                    consent_id: decision.consent_id.clone(),
                },
                None => About::Nothing {},
            },
            _ => About::Nothing {},
        })
    }

    fn disclosed(&self, row: &EntryRow, entry: &EntryFacts) -> Result<Disclosed, Failure> {
        let patient = self.of_members.get(&row.id).map(String::as_str).or(subject_of(row));
        let accounts = patient.and_then(|patient| self.accounts.get(patient));
        let end = self.ends.end(row, entry)?;
        let end = match accounts {
            Some(accounts) => accounts.shares.end(row, end),
            None => end,
        };
        Ok(Disclosed {
            outcome: end.outcome,
            http: end.http,
            ended_at: end.ended_at,
            bytes: end.bytes,
            resources: end.resources,
            under: accounts.map(|accounts| accounts.under(row, entry)),
        })
    }

    /// Of counted refusals how many they are, and of a listed one how many more like it were counted in its minute.
    fn count(&self, row: &EntryRow, entry: &EntryFacts) -> Count {
        if entry.is_count() {
            let counted = entry.refusals().unwrap_or(0);
            let minute = subject_of(row).and_then(|id| id.strip_prefix("refusals/")?.parse::<i64>().ok());
            let who = entry.client().map_or("strangers", |_| "this client");
            return Count::Counted {
                counted,
                minute: minute.map(|minute| rfc3339_ms(minute * 60_000)),
                note: format!(
                    "In this minute {} of {who} for this reason {} counted, not listed singly; what was asked for may be among them.",
                    refusals("", counted),
                    if counted == 1 { "was" } else { "were" }
                ),
            };
        }
        if !row.action.ends_with(".refused") {
            return Count::Nothing {};
        }
        let minute = counted_in(minute_of(row.at_us / 1000));
        let same = |(counted, other): &&(EntryRow, EntryFacts)| {
            counted.subject.as_deref() == Some(minute.as_str())
                && counted.action == row.action
                && other.outcome.reason == entry.outcome.reason
                && other.client() == entry.client()
        };
        let counted = self.counted.iter().filter(same);
        let further: u64 = counted.filter_map(|(_, other)| other.refusals()).sum();
        if further == 0 {
            return Count::Nothing {};
        }
        Count::Further {
            further,
            note: format!(
                "In this minute {} of this client and reason {} counted, not listed singly.",
                refusals("further ", further),
                if further == 1 { "was" } else { "were" }
            ),
        }
    }
}

fn subject_of(row: &EntryRow) -> Option<&str> {
    row.subject.as_deref()
}

/// What a fault code means.
fn text_of(code: &str) -> Option<&'static str> {
    let fault = Fault::ALL.iter().find(|fault| fault.code() == code)?;
    Some(fault.row().text)
}

#[cfg(test)]
mod tests {
    use super::super::trace_item::grouped;
    use super::*;

    #[test]
    fn thousands_are_set_apart_and_ids_are_read_as_they_were_answered() {
        for (number, text) in [(0, "0"), (999, "999"), (2_311, "2,311"), (1_000_000, "1,000,000")] {
            assert_eq!(grouped(number), text);
        }
        assert_eq!(
            (refusals("", 1), refusals("further ", 2_000)),
            ("1 refusal".into(), "2,000 further refusals".into())
        );
        for good in ["case:7/a", "a@b=c", "019a0000-0000-7000-8000-000000000000"] {
            assert!(TraceAsked::new(good, None, 100).is_ok(), "{good}");
        }
        for bad in ["", "a b", "a\"b", "é", &"x".repeat(129)] {
            let refused = TraceAsked::new(bad, None, 100).expect_err(bad);
            assert_eq!(refused.fault(), Fault::ParameterInvalid);
        }
    }
}
