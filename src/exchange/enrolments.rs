//! Enrolments as they come from outside: the fields of one, as JSON or as a row of a file, and files of many. Each row is accepted or
//! rejected by itself, with its line and the reason; the same row a second time changes nothing.
//!
//! The source of a wish is untrusted: lines are bounded, and what is not understood is refused.

mod file;
mod lines;

pub use file::{EnrolmentFile, EnrolmentLine};
pub use lines::{BoundedLines, LINE_BYTES, csv_cells};

use super::intake::{AcceptedWish, ExchangeWish, WishedOptIn, start_in};
use super::phase::{AskedFor, CoverKind};
use super::steps::OtherCoverage;
use crate::clock::parse_rfc3339_ms;
use crate::consent::WithdrawnBy;
use crate::context::{Context, Payer};
use crate::error::{Failure, Fault};
use crate::fhir::when;
use crate::ids::{is_correlation_id, is_fhir_id};
use crate::secret::{hex, sha256};
use crate::store::enrolments::{self, EnrolmentRow};
use crate::store::{Db, resources};
use serde::{Deserialize, Serialize};

/// Rows in one transaction.
pub const AT_ONCE: usize = 50;

macro_rules! fields {
    ($($(#[$about:meta])* $name:ident,)+) => {
        /// The fields of an enrolment; the columns of a CSV file have the same names.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct EnrolmentFields {
            $($(#[$about])* pub $name: Option<String>,)+
        }

        /// The names of the fields.
        pub const FIELDS: &[&str] = &[$(stringify!($name),)+];

        impl EnrolmentFields {
            /// Sets the field of this name. Returns false when there is none.
            fn set(&mut self, name: &str, value: &str) -> bool {
                match name {
                    $(stringify!($name) => self.$name = Some(value.to_owned()),)+
                    _ => return false,
                }
                true
            }
        }
    };
}

fields! {
    /// Id of the partner to be asked.
    partner,
    /// The member: `Patient/<id>` or the id.
    member,
    /// The member by the number on our card, instead of `member`.
    member_number,
    /// The number on the card of the other payer.
    other_member_number,
    /// The subscriber number there, where it differs.
    other_subscriber_number,
    /// The group number there.
    other_group_number,
    /// The plan there.
    other_plan,
    /// The namespace of the number there.
    other_number_system,
    /// First day of the cover there, `YYYY-MM-DD`.
    other_begins,
    /// Last day of the cover there.
    other_ends,
    /// Id of our own Coverage of the member.
    own_coverage,
    /// `previous` (the default) or `concurrent`.
    cover,
    /// `enrollment` (the default), `run_off` or `request`.
    asked_for,
    /// Ask only for what changed since then: an instant.
    since,
    /// Who attests the opt-in.
    opt_in_by,
    /// When it was given: a date or an instant.
    opt_in_at,
    /// How it was given, such as `portal`, `paper` or `phone`.
    opt_in_how,
    /// `regular` (the default) or `sensitive`.
    opt_in_policy,
    /// When it begins: a date or an instant; without it, when it was given.
    opt_in_from,
    /// Its last day, or the instant at which it ends; without it, it does not end.
    opt_in_until,
    /// The correlation id of the exchange.
    correlation,
}

impl EnrolmentFields {
    /// The wish that these fields express. It looks the member up.
    ///
    /// # Errors
    /// [`Fault::EnrolmentInvalid`] and [`Fault::OptInMissing`], naming the field; [`Fault::MemberUnknown`], [`Fault::MemberNumberShared`];
    /// those of the database.
    pub fn wish(&self, db: &mut Db, payer: &Payer, by: Option<WithdrawnBy>) -> Result<ExchangeWish, Failure> {
        let member_id = self.member_id(db, payer)?;
        let cover = named(&self.cover, "cover", CoverKind::Previous, CoverKind::parse)?;
        let asked_for = named(&self.asked_for, "asked_for", AskedFor::Enrolment, AskedFor::parse)?;
        let correlation_id = self.correlation.clone();
        if correlation_id.as_deref().is_some_and(|id| !is_correlation_id(id)) {
            return Err(refused("correlation", "Give 1 to 128 letters, digits and -._~:/+=@."));
        }
        let own_coverage_id = self
            .own_coverage
            .as_ref()
            .map(|id| id.trim_start_matches("Coverage/").to_owned());
        if own_coverage_id.as_deref().is_some_and(|id| !is_fhir_id(id)) {
            return Err(refused("own_coverage", "Give Coverage/<id> or the id."));
        }
        let since_ms = match &self.since {
            None => None,
            Some(text) => Some(
                parse_rfc3339_ms(text)
                    .ok_or_else(|| refused("since", "Give an RFC 3339 instant, such as 2026-11-30T12:00:00Z."))?,
            ),
        };
        Ok(ExchangeWish {
            partner: needed(&self.partner, "partner")?,
            member_id,
            coverage: OtherCoverage {
                member_number: needed(&self.other_member_number, "other_member_number")?,
                subscriber_number: self.other_subscriber_number.clone(),
                group_number: self.other_group_number.clone(),
                plan: self.other_plan.clone(),
                number_system: self.other_number_system.clone(),
                begins: self.other_begins.clone(),
                ends: self.other_ends.clone(),
            },
            own_coverage_id,
            cover,
            asked_for,
            since_ms,
            opt_in: self.opt_in(payer)?,
            correlation_id,
            request: None,
            run_of: None,
            by,
        })
    }

    /// The digest of these fields: the same row, whatever the form of its file.
    pub fn digest(&self) -> String {
        // A struct of texts always has a JSON form.
        let text = serde_json::to_string(self).unwrap_or_else(|_| format!("{self:?}"));
        hex(&sha256(text.as_bytes()))
    }

    fn opt_in(&self, payer: &Payer) -> Result<WishedOptIn, Failure> {
        let missing = |field: &'static str| move || Failure::new(Fault::OptInMissing).at(field);
        let given = |text: &Option<String>, field| {
            text.clone()
                .filter(|text| !text.trim().is_empty())
                .ok_or_else(missing(field))
        };
        let attested_ms =
            instant(&given(&self.opt_in_at, "opt_in_at")?, payer, false).ok_or_else(missing("opt_in_at"))?;
        let bound = |text: &Option<String>, field: &'static str, is_last: bool| match text {
            None => Ok(None),
            Some(text) => instant(text, payer, is_last)
                .map(Some)
                .ok_or_else(|| refused(field, "Give a date, such as 2026-11-30, or an RFC 3339 instant.")),
        };
        Ok(WishedOptIn::New {
            attested_by: given(&self.opt_in_by, "opt_in_by")?,
            attested_ms,
            attested_how: given(&self.opt_in_how, "opt_in_how")?,
            policy: self.opt_in_policy.clone().unwrap_or_else(|| "regular".into()),
            from_ms: bound(&self.opt_in_from, "opt_in_from", false)?.unwrap_or(attested_ms),
            to_ms: bound(&self.opt_in_until, "opt_in_until", true)?,
        })
    }

    fn member_id(&self, db: &mut Db, payer: &Payer) -> Result<String, Failure> {
        match (&self.member, &self.member_number) {
            (Some(member), None) => {
                let id = member.strip_prefix("Patient/").unwrap_or(member);
                match is_fhir_id(id) {
                    true => Ok(id.to_owned()),
                    false => Err(refused("member", "Give Patient/<id> or the id.")),
                }
            }
            (None, Some(number)) if !number.trim().is_empty() && number.len() <= 128 => {
                let found = resources::with_identifier(db, "Patient", Some(&payer.member_system), number.trim())?;
                match found.as_slice() {
                    [] => Err(Fault::MemberUnknown.into()),
                    [only] => Ok(only.clone()),
                    _ => Err(Fault::MemberNumberShared.into()),
                }
            }
            _ => Err(refused("member", "Give member or member_number, one of them.")),
        }
    }
}

fn refused(field: &str, remedy: &str) -> Failure {
    Failure::new(Fault::EnrolmentInvalid).at(field).remedy(remedy)
}

fn needed(text: &Option<String>, field: &'static str) -> Result<String, Failure> {
    text.clone()
        .filter(|text| !text.trim().is_empty())
        .ok_or_else(|| refused(field, "It is needed."))
}

fn named<T>(text: &Option<String>, field: &str, default: T, parse: impl Fn(&str) -> Option<T>) -> Result<T, Failure> {
    match text.as_deref() {
        None | Some("") => Ok(default),
        Some(text) => parse(text).ok_or_else(|| refused(field, "See `causeway states` for the names.")),
    }
}

/// A date or an instant as UTC milliseconds: the begin of a date, or its end.
fn instant(text: &str, payer: &Payer, is_last: bool) -> Option<i64> {
    let (first, last) = when::range_in(text, payer.time_zone)?;
    Some(if is_last { last } else { first })
}

/// What became of a row.
#[derive(Debug)]
pub enum RowResult {
    /// It led to an exchange.
    Accepted(AcceptedWish),
    /// It was accepted before, and led to this exchange.
    Known(String),
    /// It is refused.
    Rejected(Failure),
}

/// Accepts or rejects rows in the caller's transaction. Row after row has its own result; only the database makes all of them fail.
///
/// # Errors
/// Those of the database.
pub fn accept(
    db: &mut Db,
    ctx: &Context,
    file_digest: &str,
    rows: &[(u64, EnrolmentFields)],
    by: &WithdrawnBy,
) -> Result<Vec<RowResult>, Failure> {
    let mut results = Vec::with_capacity(rows.len());
    for (line, fields) in rows {
        let row_digest = fields.digest();
        if let Some(known) = enrolments::find(db, &row_digest)? {
            results.push(RowResult::Known(known.exchange_id));
            continue;
        }
        let wish = fields.wish(db, &ctx.payer, Some(by.clone()));
        let accepted = match wish.and_then(|wish| start_in(db, ctx, &wish)) {
            Ok(accepted) => accepted,
            Err(failure) if is_of_the_row(failure.fault()) => {
                results.push(RowResult::Rejected(failure));
                continue;
            }
            Err(failure) => return Err(failure),
        };
        let row = EnrolmentRow {
            row_digest,
            file_digest: file_digest.to_owned(),
            line: i64::try_from(*line).unwrap_or(i64::MAX),
            exchange_id: accepted.exchange_id.clone(),
            accepted_ms: ctx.clock.now_ms(),
        };
        enrolments::insert(db, &row)?;
        results.push(RowResult::Accepted(accepted));
    }
    Ok(results)
}

/// Whether a fault says something about a row rather than about the store.
fn is_of_the_row(fault: Fault) -> bool {
    fault.code().starts_with("EX-")
        || matches!(
            fault,
            Fault::PartnerUnknown | Fault::MemberUnknown | Fault::MemberNumberShared
        )
}

#[cfg(test)]
mod tests;
