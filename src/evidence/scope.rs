//! What a packet is asked for: an exchange, a correlation id, a member, a time, or a case.

use crate::audit::note::LogKey;
use crate::context::Payer;
use crate::error::{Failure, Fault};
use crate::ids::{is_correlation_id, is_fhir_id};
use crate::ops::disclosures::{self, DisclosuresAsked};
use crate::secret::member_keys::MemberKeys;
use crate::store::evidence::PacketRow;
use crate::store::{Db, correlations, evidence_cases, evidence_entries, exchanges, inbound};
use serde::Deserialize;
use serde_json::{Value, json};

/// The kind of a packet of an exchange; its subject is the id.
pub const EXCHANGE: &str = "exchange";
/// The kind of a packet of a correlation id.
pub const CORRELATION: &str = "correlation";
/// The kind of a packet of a case.
pub const CASE: &str = "case";
const MEMBER: &str = "member";
const RANGE: &str = "range";

/// What is asked for, in the words of a body or of a command.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PacketAsked {
    /// Id of an exchange, ours or theirs.
    pub exchange: Option<String>,
    /// A correlation id.
    pub correlation: Option<String>,
    /// `Patient/<id>`, or the id.
    pub member: Option<String>,
    /// The number on the member's card; never in a URL.
    pub member_number: Option<String>,
    /// An instant, or a date in the payer's time zone; included.
    pub from: Option<String>,
    /// An instant, which is excluded, or a date, which is included; now when it is left out.
    pub to: Option<String>,
    /// Id or name of a case.
    pub case: Option<String>,
    /// The text of a checkpoint of this log, at which the packet is made; the newest one when it is left out.
    pub checkpoint: Option<String>,
    /// Whether the personal values behind the commitments of the entries are in it.
    pub with_phi: bool,
    /// Why.
    pub reason: String,
}

/// What a packet is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PacketScope {
    /// The exchange with this id.
    Exchange(String),
    /// All that happened under this correlation id.
    Correlation(String),
    /// All that is about the Patient with this id.
    Member(String),
    /// All that happened from a time on, and before another one (UTC milliseconds).
    Range(i64, i64),
    /// What the case with this id has.
    Case(String),
}

impl PacketAsked {
    /// What is meant, if it is on record.
    ///
    /// # Errors
    /// [`Fault::ParameterInvalid`] for nothing, for several things at once and for what is no id or time; [`Fault::ExchangeUnknown`],
    /// [`Fault::TraceUnknown`], [`Fault::CaseUnknown`]; those of [`DisclosuresAsked::patient`]; those of the database.
    pub fn scope(
        &self,
        db: &mut Db,
        (payer, keys): (&Payer, &MemberKeys),
        now_ms: i64,
    ) -> Result<PacketScope, Failure> {
        let one = "Give one of: an exchange, a correlation id, a member, a time from which on, or a case.";
        let has_member = self.member.is_some() || self.member_number.is_some();
        let given = [
            self.exchange.is_some(),
            self.correlation.is_some(),
            has_member,
            self.from.is_some() || self.to.is_some(),
            self.case.is_some(),
        ];
        if given.into_iter().filter(|is_given| *is_given).count() != 1 {
            return Err(wrong("packet", one));
        }
        if let Some(id) = &self.exchange {
            return exchange(db, id);
        }
        if let Some(id) = &self.correlation {
            return correlation(db, id, keys);
        }
        if let Some(given) = &self.case {
            return match evidence_cases::find(db, given)? {
                Some(case) => Ok(PacketScope::Case(case.id)),
                None => Err(Fault::CaseUnknown.into()),
            };
        }
        if has_member {
            let asked = DisclosuresAsked {
                member: self.member.clone(),
                member_number: self.member_number.clone(),
                ..DisclosuresAsked::default()
            };
            let patient = asked.patient(db, payer)?;
            return Ok(PacketScope::Member(patient.ok_or_else(|| wrong("member", one))?));
        }
        let from = self.from.as_deref().ok_or_else(|| wrong("from", one))?;
        let from_ms = disclosures::begin(from, payer)?;
        let to_ms = self.to.as_deref().map(|to| disclosures::end(to, payer)).transpose()?;
        // What has not happened yet would make another packet later.
        let to_ms = to_ms.unwrap_or(now_ms).min(now_ms);
        match from_ms < to_ms {
            true => Ok(PacketScope::Range(from_ms, to_ms)),
            false => Err(wrong(
                "to",
                "Give a time after that of from, and a from that has passed.",
            )),
        }
    }

    /// The checkpoint that is asked for, checked by the key of the log.
    ///
    /// # Errors
    /// [`Fault::ParameterInvalid`] for what is no checkpoint of this log.
    pub fn at_note(&self, key: &LogKey) -> Result<Option<String>, Failure> {
        let Some(note) = &self.checkpoint else { return Ok(None) };
        match key.open(note) {
            Ok(_) => Ok(Some(note.clone())),
            Err(defect) => {
                Err(wrong("checkpoint", "Give a checkpoint of this log as it was signed.").because(defect.text()))
            }
        }
    }
}

/// The exchange with this id.
///
/// # Errors
/// [`Fault::ExchangeUnknown`]; those of the database.
pub fn exchange(db: &mut Db, id: &str) -> Result<PacketScope, Failure> {
    if is_fhir_id(id) && (exchanges::find(db, id)?.is_some() || inbound::find(db, id)?.is_some()) {
        return Ok(PacketScope::Exchange(id.to_owned()));
    }
    Err(Fault::ExchangeUnknown.into())
}

/// This correlation id, if anything happened under it.
///
/// # Errors
/// [`Fault::ParameterInvalid`] for what is none; [`Fault::TraceUnknown`]; [`Fault::SealKeys`] when the keys of sealed correlation ids cannot be
/// had; those of the database.
pub fn correlation(db: &mut Db, id: &str, keys: &MemberKeys) -> Result<PacketScope, Failure> {
    if !is_correlation_id(id) {
        return Err(wrong("correlation", "Give the correlation id as it was answered."));
    }
    let forms = correlations::forms(db, keys, id)?;
    match evidence_entries::correlated(db, &forms, "", 1)?.is_empty() {
        true => Err(Fault::TraceUnknown.into()),
        false => Ok(PacketScope::Correlation(id.to_owned())),
    }
}

pub(super) fn wrong(place: &'static str, remedy: &'static str) -> Failure {
    Failure::new(Fault::ParameterInvalid).at(place).remedy(remedy)
}

impl PacketScope {
    /// Its kind.
    pub const fn kind(&self) -> &'static str {
        match self {
            PacketScope::Exchange(_) => EXCHANGE,
            PacketScope::Correlation(_) => CORRELATION,
            PacketScope::Member(_) => MEMBER,
            PacketScope::Range(..) => RANGE,
            PacketScope::Case(_) => CASE,
        }
    }

    /// What it is about, if that has an id.
    pub fn subject(&self) -> Option<&str> {
        match self {
            PacketScope::Range(..) => None,
            PacketScope::Exchange(id)
            | PacketScope::Correlation(id)
            | PacketScope::Member(id)
            | PacketScope::Case(id) => Some(id),
        }
    }

    /// The times of a range.
    pub const fn times(&self) -> Option<(i64, i64)> {
        match self {
            PacketScope::Range(from_ms, to_ms) => Some((*from_ms, *to_ms)),
            _ => None,
        }
    }

    /// What a row asks for.
    ///
    /// # Errors
    /// [`Fault::StoreDamaged`] for a row that asks for nothing known.
    pub fn of(row: &PacketRow) -> Result<PacketScope, Failure> {
        let subject = || row.subject.clone().unwrap_or_default();
        Ok(match (row.kind.as_str(), row.from_ms.zip(row.to_ms)) {
            (EXCHANGE, _) => PacketScope::Exchange(subject()),
            (CORRELATION, _) => PacketScope::Correlation(subject()),
            (MEMBER, _) => PacketScope::Member(subject()),
            (CASE, _) => PacketScope::Case(subject()),
            (RANGE, Some((from_ms, to_ms))) => PacketScope::Range(from_ms, to_ms),
            _ => return Err(Failure::new(Fault::StoreDamaged).because("an evidence packet of an unknown kind")),
        })
    }

    /// As the manifest tells it.
    pub(super) fn told(&self) -> Value {
        use crate::clock::rfc3339_ms;
        match self {
            PacketScope::Exchange(id) => json!({ "kind": EXCHANGE, "id": id }),
            PacketScope::Correlation(id) => json!({ "kind": CORRELATION, "id": id }),
            PacketScope::Member(id) => json!({ "kind": MEMBER, "id": format!("Patient/{id}") }),
            PacketScope::Range(from_ms, to_ms) => {
                json!({ "kind": RANGE, "from": rfc3339_ms(*from_ms), "before": rfc3339_ms(*to_ms) })
            }
            PacketScope::Case(id) => json!({ "kind": CASE, "id": id }),
        }
    }
}
