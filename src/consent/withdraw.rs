//! Withdrawing a consent, and ending a single grant: with its ledger entry, in one transaction.
//!
//! It is in force with its commit: every read, page and answer that is given again judges grant and consent at that moment.
//! Nothing here gives a consent back; the member consents anew.

use crate::audit::{Action, Entry, Note, Object, ledger};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::ids::is_one_line;
use crate::security::Operator;
use crate::store::Db;
use crate::store::consents::{self, Ending};
use crate::telemetry::Correlation;

/// Characters of a reason.
pub const REASON_MAX: usize = 500;

/// Who does it, and why.
#[derive(Clone, Debug)]
pub struct By {
    /// Name of the token, or the user of the host.
    pub operator: String,
    /// Role of the token; `host` for a command.
    pub role: &'static str,
    /// The operator's words; kept beside the ledger, where they can be erased.
    pub reason: String,
    /// The ids of the request.
    pub correlation: Correlation,
}

impl By {
    /// This operator with a reason that can be kept.
    ///
    /// # Errors
    /// [`Fault::ParameterInvalid`] for a reason that is empty, longer than [`REASON_MAX`] or more than a line of text.
    pub fn new(operator: String, role: &'static str, reason: &str, correlation: Correlation) -> Result<By, Failure> {
        let reason = reason.trim();
        if reason.chars().count() > REASON_MAX || !is_one_line(reason) {
            return Err(Failure::new(Fault::ParameterInvalid)
                .at("reason")
                .remedy(format!("Say why, in 1 to {REASON_MAX} characters on one line.")));
        }
        Ok(By {
            operator,
            role,
            reason: reason.to_owned(),
            correlation,
        })
    }

    fn entry(&self, action: Action, partner: String, object: Object) -> Entry {
        let mut entry = Entry::new(action, Operator::actor(self.role), self.correlation.clone());
        entry.partner = Some(partner);
        entry.object = Some(object);
        entry.note = Some(Note {
            operator: self.operator.clone(),
            reason: self.reason.clone(),
        });
        entry
    }

    fn ending(&self, now_ms: i64) -> Ending {
        Ending {
            by: self.operator.clone(),
            why: self.reason.clone(),
            now_ms,
        }
    }
}

/// Withdraws a consent and ends the grants under it: what to write. Again changes nothing, and is no failure.
///
/// # Errors
/// Of the write: [`Fault::ConsentUnknown`]; those of the database.
pub fn withdraw(ctx: &Context, id: String, by: By) -> impl FnMut(&mut Db) -> Result<(), Failure> + Send + 'static {
    let (at_us, entry_id) = (ctx.clock.now_us(), ctx.ids.new_id(ctx.clock.now_ms()));
    move |db| {
        let row = consents::find(db, &id)?.ok_or(Fault::ConsentUnknown)?;
        if !consents::withdraw(db, &row, &by.ending(at_us / 1000))? {
            return Ok(());
        }
        let object = Object {
            kind: "Consent",
            id: id.clone(),
        };
        let entry = by.entry(Action::ConsentRevoked, row.partner_id, object);
        ledger::append(db, &entry, &entry_id, at_us)
    }
}

/// Ends one grant: what to write. The consent stays, but nothing is granted under it again. As [`withdraw`].
///
/// # Errors
/// Of the write: [`Fault::GrantUnknown`]; those of the database.
pub fn end_grant(ctx: &Context, id: String, by: By) -> impl FnMut(&mut Db) -> Result<(), Failure> + Send + 'static {
    let (at_us, entry_id) = (ctx.clock.now_us(), ctx.ids.new_id(ctx.clock.now_ms()));
    move |db| {
        let row = consents::grant(db, &id)?.ok_or(Fault::GrantUnknown)?;
        if !consents::end_grant(db, &id, &by.ending(at_us / 1000))? {
            return Ok(());
        }
        let object = Object {
            kind: "Grant",
            id: id.clone(),
        };
        let entry = by.entry(Action::OperatorGrantRevoked, row.partner_id, object);
        ledger::append(db, &entry, &entry_id, at_us)
    }
}
