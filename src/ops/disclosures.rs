//! Who got what of a member, when and under which consent: the accounting of disclosures, from the ledger.
//!
//! A disclosure is an entry that began it. The entry that ended it says how many bytes and resources went out; where there is none,
//! they may have gone out. The consent is the one that the entry is committed to. An entry about a file of many members is listed for each of
//! them, with the member's share.

use super::entry::{DisclosureEnd, EntryFacts};
use super::file_shares::FileShares;
use super::{OpsPage, page};
use crate::audit::commitment;
use crate::clock::rfc3339_ms;
use crate::context::Payer;
use crate::error::{Failure, Fault};
use crate::fhir::when;
use crate::ids::is_fhir_id;
use crate::secret::member_keys::MemberKeys;
use crate::store::consents::{self, ConsentRow};
use crate::store::ends;
use crate::store::entries::{self, EntryRow};
use crate::store::ops_queries::StoredGrant;
use crate::store::{Db, correlations, partners, resources};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

pub use crate::store::entries::DisclosureFilter;

/// Matches of one member that are looked through.
const MATCHES: i64 = 10_000;

/// What is asked, in the words of a query, of a body or of a command.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DisclosuresAsked {
    /// `Patient/<id>`, or the id.
    pub member: Option<String>,
    /// The number on the member's card; never in a URL.
    pub member_number: Option<String>,
    /// Id of a partner.
    pub partner: Option<String>,
    /// An instant, or a date in the payer's time zone; included.
    pub from: Option<String>,
    /// An instant, which is excluded, or a date, which is included.
    pub to: Option<String>,
    /// Id of the last one seen.
    pub cursor: Option<String>,
}

impl DisclosuresAsked {
    /// The id of the Patient that is asked about, if one is.
    ///
    /// # Errors
    /// [`Fault::ParameterInvalid`] for what is no id, and for both ways of asking at once; [`Fault::MemberUnknown`];
    /// [`Fault::MemberNumberShared`]; those of the database.
    pub fn patient(&self, db: &mut Db, payer: &Payer) -> Result<Option<String>, Failure> {
        let patient = match (&self.member, &self.member_number) {
            (None, None) => return Ok(None),
            (Some(_), Some(_)) => return Err(wrong("member", "Give member or member_number, not both.")),
            (Some(member), None) => {
                let id = member.strip_prefix("Patient/").unwrap_or(member);
                if !is_fhir_id(id) {
                    let remedy = "Give Patient/<id> or the id; a member number goes into the body of a POST _search.";
                    return Err(wrong("member", remedy));
                }
                id.to_owned()
            }
            (None, Some(number)) => of_number(db, payer, number)?,
        };
        if entries::is_member(db, &patient)? {
            Ok(Some(patient))
        } else {
            Err(Fault::MemberUnknown.into())
        }
    }

    /// Which disclosures.
    ///
    /// # Errors
    /// As [`DisclosuresAsked::patient`]; [`Fault::ParameterInvalid`] without a member, for times that cannot be read and for a cursor that is
    /// none; [`Fault::PartnerUnknown`].
    pub fn filter(&self, db: &mut Db, payer: &Payer, limit: i64) -> Result<DisclosureFilter, Failure> {
        let from_ms = self.from.as_deref().map(|text| begin(text, payer)).transpose()?;
        let to_ms = self.to.as_deref().map(|text| end(text, payer)).transpose()?;
        if from_ms.zip(to_ms).is_some_and(|(from, to)| from >= to) {
            return Err(wrong("to", "Give a time after that of from."));
        }
        let cursor = id("cursor", self.cursor.as_deref())?;
        let partner = known_partner(db, self.partner.as_deref())?;
        let member = self
            .patient(db, payer)?
            .ok_or_else(|| wrong("member", "Say whose disclosures: member=Patient/<id>."))?;
        Ok(DisclosureFilter {
            member,
            partner,
            from_ms,
            to_ms,
            cursor,
            limit,
        })
    }
}

/// A partner that is asked about, if one is.
///
/// # Errors
/// [`Fault::PartnerUnknown`], since a list under a misspelled name would be empty; those of the database.
pub fn known_partner(db: &mut Db, id: Option<&str>) -> Result<Option<String>, Failure> {
    let Some(id) = id else { return Ok(None) };
    match is_fhir_id(id).then(|| partners::by_id(db, id)).transpose()?.flatten() {
        Some(row) => Ok(Some(row.id)),
        None => Err(Fault::PartnerUnknown.into()),
    }
}

/// An id of ours in the parameter `place`, if there is one.
///
/// # Errors
/// [`Fault::ParameterInvalid`].
pub fn id(place: &'static str, text: Option<&str>) -> Result<Option<String>, Failure> {
    match text {
        None => Ok(None),
        Some(text) if is_fhir_id(text) => Ok(Some(text.to_owned())),
        Some(_) => Err(wrong(place, "Give an id as it was listed.")),
    }
}

pub(super) fn wrong(place: &'static str, remedy: &'static str) -> Failure {
    Failure::new(Fault::ParameterInvalid).at(place).remedy(remedy)
}

/// The Patient with this member number.
fn of_number(db: &mut Db, payer: &Payer, number: &str) -> Result<String, Failure> {
    let number = number.trim();
    if number.is_empty() || number.len() > 128 || number.chars().any(char::is_control) {
        return Err(wrong("member_number", "Give the number as it is on the card."));
    }
    match resources::with_identifier(db, "Patient", Some(&payer.member_system), number)?.as_slice() {
        [] => Err(Fault::MemberUnknown.into()),
        [only] => Ok(only.clone()),
        _ => Err(Fault::MemberNumberShared.into()),
    }
}

const TIMES: &str = "Give a date, such as 2026-11-30, or an RFC 3339 instant, such as 2026-11-30T12:00:00Z.";

/// The first millisecond of a time in the parameter `from`: an instant, or a date in the payer's time zone.
///
/// # Errors
/// [`Fault::ParameterInvalid`].
pub fn begin(text: &str, payer: &Payer) -> Result<i64, Failure> {
    when::range_in(text, payer.time_zone)
        .map(|(first, _)| first)
        .ok_or_else(|| wrong("from", TIMES))
}

/// The first millisecond after a time in the parameter `to`: an instant is excluded, a date is included.
///
/// # Errors
/// [`Fault::ParameterInvalid`].
pub fn end(text: &str, payer: &Payer) -> Result<i64, Failure> {
    when::range_in(text, payer.time_zone)
        .map(|(first, last)| if text.contains('T') { first } else { last + 1 })
        .ok_or_else(|| wrong("to", TIMES))
}

/// A disclosure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DisclosureItem {
    /// Id of the entry that began it.
    pub id: String,
    /// When it began.
    pub at: String,
    /// Who got it.
    pub partner: Option<String>,
    /// Whose data: `Patient/<id>`.
    pub member: String,
    /// The row of the decision table that permitted it.
    pub policy: Option<String>,
    /// Version of that table.
    pub policy_version: Option<String>,
    /// The correlation id of the request.
    pub correlation_id: String,
    /// Our id of the request.
    pub request_id: String,
    /// How it ended: `completed`, `incomplete` or `begun`.
    pub outcome: &'static str,
    /// When it ended.
    pub ended_at: Option<String>,
    /// The HTTP status that was answered.
    pub http: Option<u16>,
    /// Bytes that went out.
    pub bytes: Option<u64>,
    /// Resources that went out, by type.
    pub resources: Option<BTreeMap<String, u64>>,
    /// Under what it was.
    #[serde(flatten)]
    pub under: Under,
}

/// Under which consent, grant and decision a disclosure was, as far as that is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Under {
    /// The consent that the entry is committed to.
    pub consent_id: Option<String>,
    /// The grant under it.
    pub grant_id: Option<String>,
    /// The decision that made or last renewed the grant.
    pub decision_id: Option<String>,
}

/// A page of disclosures, oldest first; callers' correlation ids are opened with `keys`.
///
/// # Errors
/// [`Fault::StoreDamaged`] for an entry that is no JSON; [`Fault::SealKeys`] when the keys of a sealed correlation id cannot be had; those of the
/// database.
pub fn list(db: &mut Db, filter: &DisclosureFilter, keys: &MemberKeys) -> Result<OpsPage<DisclosureItem>, Failure> {
    let mut rows = entries::begun(db, filter)?;
    correlations::open(db, keys, &mut rows)?;
    told(db, filter, rows)
}

/// The page of these entries, with what stands in them as correlation ids.
pub(super) fn told(
    db: &mut Db,
    filter: &DisclosureFilter,
    rows: Vec<EntryRow>,
) -> Result<OpsPage<DisclosureItem>, Failure> {
    let accounts = Accounts::of(db, &filter.member)?;
    let ends = Ends::of(db, &rows)?;
    page(
        rows,
        filter.limit,
        |row| row.id.clone(),
        |row| {
            let entry = EntryFacts::of(&row)?;
            let end = accounts.shares.end(&row, ends.end(&row, &entry)?);
            let rule = accounts.shares.share(&row).map(|share| share.rule().to_owned());
            Ok(DisclosureItem {
                under: accounts.under(&row, &entry),
                id: row.id,
                at: rfc3339_ms(row.at_us / 1000),
                partner: row.partner_id,
                member: format!("Patient/{}", filter.member),
                policy: rule.or(entry.consent.rule),
                policy_version: entry.policy_version,
                correlation_id: row.correlation_id,
                request_id: entry.request_id,
                outcome: end.outcome,
                ended_at: end.ended_at,
                http: end.http,
                bytes: end.bytes,
                resources: end.resources,
            })
        },
    )
}

/// The consents, grants and matches of one member, to tell under which a disclosure was.
pub(super) struct Accounts {
    /// The member's shares of files.
    pub(super) shares: FileShares,
    consents: Vec<ConsentRow>,
    grants: Vec<StoredGrant>,
    /// Matches that made or renewed a grant: when, under which consent, and in which request. Oldest first.
    matches: Vec<(i64, String, String)>,
    /// Decisions by request id.
    decisions: HashMap<String, String>,
}

impl Accounts {
    /// Those of a member.
    pub(super) fn of(db: &mut Db, patient_id: &str) -> Result<Accounts, Failure> {
        let consents = consents::of_member(db, patient_id)?;
        let mut accounts = Accounts {
            shares: FileShares::of(db, patient_id)?,
            grants: consents::grants_under(db, &consents)?,
            consents,
            matches: Vec::new(),
            decisions: HashMap::new(),
        };
        let rows = entries::about_by(db, patient_id, entries::MATCHED, "", MATCHES)?;
        let mut requests = Vec::new();
        for row in &rows {
            let entry = EntryFacts::of(row)?;
            if let Some(consent) = accounts.consent(row, &entry) {
                let ids = row.ids();
                let made = (row.at_us, consent.id.clone(), ids.request_id.clone());
                accounts.matches.push(made);
                requests.push(ids);
            }
        }
        let decisions = entries::decisions_of(db, &requests)?;
        accounts.decisions = decisions.into_iter().map(|one| (one.request_id, one.id)).collect();
        Ok(accounts)
    }

    /// The consent that an entry is committed to, or that the member's share of its file is given under.
    pub(super) fn consent(&self, row: &EntryRow, entry: &EntryFacts) -> Option<&ConsentRow> {
        if let Some(share) = self.shares.share(row) {
            return self.consents.iter().find(|consent| consent.id == share.consent_id);
        }
        let salt: [u8; 32] = row.salt.as_deref()?.try_into().ok()?;
        let committed = entry.consent.id_commit.as_deref()?;
        self.consents.iter().find(|consent| {
            Some(&consent.partner_id) == row.partner_id.as_ref()
                && commitment("consent", &salt, &consent.id) == committed
        })
    }

    /// Under which consent, grant and decision a disclosure was.
    pub(super) fn under(&self, row: &EntryRow, entry: &EntryFacts) -> Under {
        let consent = self.consent(row, entry);
        let grant = consent.and_then(|consent| self.grants.iter().find(|grant| grant.consent_id == consent.id));
        let made = consent.and_then(|consent| {
            let until = self
                .matches
                .iter()
                .filter(|(at_us, id, _)| *id == consent.id && *at_us <= row.at_us);
            until.max_by_key(|(at_us, ..)| *at_us)
        });
        let decision = made.and_then(|(_, _, request)| self.decisions.get(request));
        Under {
            consent_id: consent.map(|consent| consent.id.clone()),
            grant_id: grant.map(|grant| grant.id.clone()),
            decision_id: decision.cloned(),
        }
    }
}

/// The entries that ended disclosures, to be found from those that began them.
pub(super) struct Ends {
    by_begun: HashMap<String, EntryRow>,
    /// Those of before entries named each other: by request and subject, in their order.
    others: HashMap<(String, Option<String>), Vec<EntryRow>>,
}

impl Ends {
    pub(super) fn of(db: &mut Db, rows: &[EntryRow]) -> Result<Ends, Failure> {
        let begun = rows.iter().filter(|row| row.action == entries::BEGUN);
        let begun: Vec<EntryRow> = begun.cloned().collect();
        Ends::among(ends::of(db, &begun)?)
    }

    /// Those that are among these entries, and no others.
    pub(super) fn among(rows: Vec<EntryRow>) -> Result<Ends, Failure> {
        let mut found = Ends {
            by_begun: HashMap::new(),
            others: HashMap::new(),
        };
        for row in rows.into_iter().filter(|row| row.action == entries::COMPLETED) {
            let entry = EntryFacts::of(&row)?;
            match entry.begun {
                Some(begun) => drop(found.by_begun.insert(begun, row)),
                None => {
                    // An entry without a request id cannot be tied to the disclosure that it ends.
                    if !entry.request_id.is_empty() {
                        let place = (entry.request_id, row.subject.clone());
                        found.others.entry(place).or_default().push(row);
                    }
                }
            }
        }
        Ok(found)
    }

    /// How a disclosure ended.
    pub(super) fn end(&self, begun: &EntryRow, entry: &EntryFacts) -> Result<DisclosureEnd, Failure> {
        let ended = self.by_begun.get(&begun.id).or_else(|| {
            let same = self.others.get(&(entry.request_id.clone(), begun.subject.clone()))?;
            same.iter().find(|row| row.id > begun.id)
        });
        let end = ended.map(|row| EntryFacts::of(row).map(|end| (row, end))).transpose()?;
        // An end that only says that nobody knows it tells no more than none.
        let known = end.filter(|(_, end)| end.outcome.class.as_deref() != Some("unknown"));
        Ok(match known {
            None => DisclosureEnd {
                outcome: "begun",
                ..DisclosureEnd::default()
            },
            Some((ended, end)) => DisclosureEnd {
                outcome: match end.outcome.class.as_deref() {
                    Some("ok") => "completed",
                    _ => "incomplete",
                },
                ended_at: Some(rfc3339_ms(ended.at_us / 1000)),
                http: end.outcome.http,
                bytes: end.bytes,
                resources: Some(end.counts),
            },
        })
    }
}
