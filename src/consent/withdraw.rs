//! Withdraws a consent or ends a single grant, together with its ledger entry, in one transaction.
//!
//! It takes effect with its commit: every read, page and repeated answer checks grant and consent at that moment.
//! Nothing here restores a consent; the member must consent again.

use crate::audit::{Action, LedgerEvent, Object, OperatorNote, ledger};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::ids::is_one_line;
use crate::security::Operator;
use crate::store::Db;
use crate::store::consents::{self, ConsentEnding};
use crate::telemetry::Correlation;

/// Longest reason, in characters.
pub const REASON_MAX: usize = 500;

/// Who acts, and why.
#[derive(Clone, Debug)]
pub struct WithdrawnBy {
    /// Name of the token, or the user of the host.
    pub operator: String,
    /// Role of the token; `host` for a command.
    pub role: &'static str,
    /// The operator's reason; stored next to the ledger, where it can be erased.
    pub reason: String,
    /// The ids of the request.
    pub correlation: Correlation,
}

impl WithdrawnBy {
    /// Makes this value for an operator, with a reason that can be stored.
    ///
    /// # Errors
    /// [`Fault::ParameterInvalid`] for a reason that is empty, longer than [`REASON_MAX`] or more than one line.
    pub fn new(
        operator: String,
        role: &'static str,
        reason: &str,
        correlation: Correlation,
    ) -> Result<WithdrawnBy, Failure> {
        let reason = reason.trim();
        if reason.chars().count() > REASON_MAX || !is_one_line(reason) {
            return Err(Failure::new(Fault::ParameterInvalid)
                .at("reason")
                .remedy(format!("Say why, in 1 to {REASON_MAX} characters on one line.")));
        }
        Ok(WithdrawnBy {
            operator,
            role,
            reason: reason.to_owned(),
            correlation,
        })
    }

    fn entry(&self, action: Action, partner: String, object: Object) -> LedgerEvent {
        let mut entry = LedgerEvent::new(action, Operator::actor(self.role), self.correlation.clone());
        entry.partner = Some(partner);
        entry.object = Some(object);
        entry.note = Some(OperatorNote {
            operator: self.operator.clone(),
            reason: self.reason.clone(),
        });
        entry
    }

    fn ending(&self, now_ms: i64) -> ConsentEnding {
        ConsentEnding {
            by: self.operator.clone(),
            why: self.reason.clone(),
            now_ms,
        }
    }
}

/// Returns the write that withdraws a consent and ends the grants under it. Withdrawing it again changes nothing and is no failure.
///
/// # Errors
/// Of the write: [`Fault::ConsentUnknown`]; those of the database.
pub fn withdraw(
    ctx: &Context,
    id: String,
    by: WithdrawnBy,
) -> impl FnMut(&mut Db) -> Result<(), Failure> + Send + 'static {
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

/// Returns the write that ends one grant. The consent stays, but no grant is made under it again. Otherwise as [`withdraw`].
///
/// # Errors
/// Of the write: [`Fault::GrantUnknown`]; those of the database.
pub fn end_grant(
    ctx: &Context,
    id: String,
    by: WithdrawnBy,
) -> impl FnMut(&mut Db) -> Result<(), Failure> + Send + 'static {
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
