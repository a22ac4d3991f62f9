//! The wish for an exchange, and what can be checked of it without the store.

use super::phase::{AskedFor, CoverKind};
use super::steps::OtherCoverage;
use crate::consent::WithdrawnBy;
use crate::error::{Failure, Fault};

/// The wish for an exchange.
#[derive(Clone, Debug)]
pub struct ExchangeWish {
    /// Id of the partner to be asked.
    pub partner: String,
    /// Id of our Patient.
    pub member_id: String,
    /// The member's coverage there.
    pub coverage: OtherCoverage,
    /// Id of our own Coverage.
    pub own_coverage_id: Option<String>,
    /// Former or concurrent payer.
    pub cover: CoverKind,
    /// Why the record is asked for.
    pub asked_for: AskedFor,
    /// Ask only for what changed since then, UTC milliseconds.
    pub since_ms: Option<i64>,
    /// The member's opt-in: a new one, or the id of one that is on record.
    pub opt_in: WishedOptIn,
    /// The correlation id; `None` for a new one.
    pub correlation_id: Option<String>,
    /// The caller's idempotency key with the digest of the request.
    pub request: Option<(String, String)>,
    /// The exchange that this one runs again.
    pub run_of: Option<String>,
    /// The operator who asks; `None` for the program itself.
    pub by: Option<WithdrawnBy>,
}

/// The opt-in of a wish.
#[derive(Clone, Debug)]
pub enum WishedOptIn {
    /// One that is on record.
    OnRecord(String),
    /// A new one.
    New {
        /// Who attests it.
        attested_by: String,
        /// When it was given, UTC milliseconds.
        attested_ms: i64,
        /// How.
        attested_how: String,
        /// HRex policy: `regular` or `sensitive`.
        policy: String,
        /// First instant, UTC milliseconds.
        from_ms: i64,
        /// Last instant, UTC milliseconds.
        to_ms: Option<i64>,
    },
}

/// Checks what can be checked without the store.
pub(super) fn check(wish: &ExchangeWish) -> Result<(), Failure> {
    let refuse = |field: &str, remedy: &str| Err(Failure::new(Fault::EnrolmentInvalid).at(field).remedy(remedy));
    let is_text =
        |text: &str, most: usize| !text.trim().is_empty() && text.len() <= most && !text.chars().any(char::is_control);
    let coverage = &wish.coverage;
    if !is_text(&coverage.member_number, 64) {
        return refuse(
            "coverage.member_number",
            "Give the number on the member's card of the other payer.",
        );
    }
    let optional = [
        ("coverage.subscriber_number", &coverage.subscriber_number),
        ("coverage.group_number", &coverage.group_number),
        ("coverage.plan", &coverage.plan),
        ("coverage.number_system", &coverage.number_system),
    ];
    for (field, text) in optional {
        if text.as_ref().is_some_and(|text| !is_text(text, 255)) {
            return refuse(field, "Give 1 to 255 characters on one line, or leave it out.");
        }
    }
    for (field, date) in [("coverage.begins", &coverage.begins), ("coverage.ends", &coverage.ends)] {
        if date
            .as_ref()
            .is_some_and(|date| date.parse::<chrono::NaiveDate>().is_err() || date.len() != 10)
        {
            return refuse(field, "Give a date as YYYY-MM-DD.");
        }
    }
    if let WishedOptIn::New {
        attested_by,
        attested_how,
        policy,
        ..
    } = &wish.opt_in
    {
        if !is_text(attested_by, 64) || !is_text(attested_how, 64) {
            return Err(Failure::new(Fault::OptInMissing).at("opt_in"));
        }
        if !["regular", "sensitive"].contains(&policy.as_str()) {
            return refuse("opt_in.policy", "Write regular or sensitive.");
        }
    }
    Ok(())
}
