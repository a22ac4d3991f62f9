//! The tables by which one exchange works: those that ship, or the versions that were in force for its partner when it began.
//!
//! An exchange keeps the versions with which it began, so that what it cites decided all of it. The retry version is in its row; which
//! escalation version it is follows from its partner and its begin, because acts on policies are never changed once they decide.

use super::escalation::Escalation;
use super::retry::{self, FAILURE_RULES, FailureRule};
use super::retry_text;
use super::step_table::{self, STEP_RULES, StepRule};
use super::steps::{StepName, TransportFailure};
use crate::error::{Failure, Fault};
use crate::policy::{CITED_DIGITS, PolicyKind};
use crate::secret::sha256;
use crate::store::exchanges::ExchangeRow;
use crate::store::{Db, activations, policies};
use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

/// The tables of an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExchangeTables {
    /// The classes of failures.
    pub failures: Cow<'static, [FailureRule]>,
    /// The steps.
    pub steps: Cow<'static, [StepRule]>,
    /// When an operator looks.
    pub escalation: Escalation,
}

/// The tables that ship.
pub const BUILT_IN: &ExchangeTables = &ExchangeTables {
    failures: Cow::Borrowed(FAILURE_RULES),
    steps: Cow::Borrowed(STEP_RULES),
    escalation: Escalation::SHIPPED,
};

static SHARED: LazyLock<Arc<ExchangeTables>> = LazyLock::new(|| Arc::new(BUILT_IN.clone()));

impl ExchangeTables {
    /// The class of failures with this code.
    pub fn class(&self, code: &str) -> Option<&FailureRule> {
        self.failures.iter().find(|rule| rule.code == code)
    }

    /// The class of a transport failure.
    pub fn class_of(&self, failure: TransportFailure) -> &FailureRule {
        let ships = retry::class_of(failure);
        self.class(ships.code).unwrap_or(ships)
    }

    /// The rule of a step.
    pub fn rule(&self, step: StepName) -> &StepRule {
        let found = self.steps.iter().find(|rule| rule.step == step);
        found.unwrap_or_else(|| step_table::rule(step))
    }

    /// SHA-256 of the text of the escalation policy, which entries cite that set or use a deadline.
    pub fn escalation_digest(&self) -> [u8; 32] {
        sha256(self.escalation.text().as_bytes())
    }
}

/// The tables with which an exchange with `partner` begins at `now_ms` (UTC milliseconds), and as what their retry part is cited.
///
/// # Errors
/// [`Fault::StoreDamaged`] for a version that cannot be read; those of the database.
pub fn beginning(db: &mut Db, partner: &str, now_ms: i64) -> Result<(String, Arc<ExchangeTables>), Failure> {
    let escalation = escalation(db, partner, now_ms)?;
    match activations::in_force(db, PolicyKind::Retry.code(), partner, now_ms)? {
        Some(id) => {
            let row = policies::find(db, &id)?.ok_or_else(|| damaged("a retry policy is gone".to_owned()))?;
            Ok((row.cited(), of(Some(&row.body), escalation)?))
        }
        None => Ok((retry::version().to_owned(), of(None, escalation)?)),
    }
}

/// The tables by which an exchange works.
///
/// # Errors
/// As [`beginning`].
pub fn of_exchange(db: &mut Db, row: &ExchangeRow) -> Result<Arc<ExchangeTables>, Failure> {
    let escalation = escalation(db, &row.partner_id, row.created_ms)?;
    let body = match row.policy_version == retry::version() {
        true => None,
        // Of a version that was never stored, the program's own tables are all that is left.
        false => cited(db, &row.policy_version)?,
    };
    of(body.as_deref(), escalation)
}

/// The tables of a text of retry rules and of an escalation policy.
///
/// # Errors
/// [`Fault::StoreDamaged`] for a text that cannot be read.
pub fn of(retry: Option<&str>, escalation: Option<Escalation>) -> Result<Arc<ExchangeTables>, Failure> {
    if retry.is_none() && escalation.is_none() {
        return Ok(Arc::clone(&SHARED));
    }
    let mut tables = BUILT_IN.clone();
    if let Some(text) = retry {
        let rows = retry_text::read(text).map_err(|error| damaged(error.what))?;
        (tables.failures, tables.steps) = (Cow::Owned(rows.failures), Cow::Owned(rows.steps));
    }
    tables.escalation = escalation.unwrap_or_default();
    Ok(Arc::new(tables))
}

/// The text of the retry version that is cited so.
fn cited(db: &mut Db, version: &str) -> Result<Option<String>, Failure> {
    let digits = version.rsplit('-').next().unwrap_or_default();
    if digits.len() != CITED_DIGITS || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Ok(None);
    }
    let row = policies::beginning_with(db, PolicyKind::Retry.code(), digits)?;
    Ok(row.filter(|row| row.id.starts_with(digits)).map(|row| row.body))
}

fn escalation(db: &mut Db, partner: &str, at_ms: i64) -> Result<Option<Escalation>, Failure> {
    let Some(id) = activations::in_force(db, PolicyKind::Escalation.code(), partner, at_ms)? else {
        return Ok(None);
    };
    let row = policies::find(db, &id)?.ok_or_else(|| damaged("an escalation policy is gone".to_owned()))?;
    Escalation::parse(&row.body)
        .map(Some)
        .map_err(|error| damaged(error.what))
}

fn damaged(what: String) -> Failure {
    Failure::new(Fault::StoreDamaged).because(what)
}
