//! Legal holds: what a court, a regulator or an investigation may ask for is neither deleted when its time is over nor erased.
//!
//! A hold names a member or an exchange, and the case that it belongs to if it belongs to one. It is placed and released by a named operator with a reason, each with a
//! ledger entry in the same transaction, and stays on record.

use crate::audit::{Action, LedgerEvent, Object, OperatorNote, ledger};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::ids::{is_fhir_id, is_one_line};
use crate::security::Operator;
use crate::store::retention as state;
use crate::store::retention::holds::{self as rows, EXCHANGE, MEMBER};
use crate::store::{Db, erasures};
use crate::telemetry::Correlation;

pub use crate::store::retention::holds::HoldRow as Hold;

/// Longest reason, in characters.
const REASON_MAX: usize = 500;

/// What is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeldTarget {
    /// Everything about the member with this Patient id.
    Member(String),
    /// Everything about one exchange, ours or another payer's.
    Exchange(String),
}

impl HeldTarget {
    fn parts(&self) -> (&'static str, &str) {
        match self {
            HeldTarget::Member(id) => (MEMBER, id),
            HeldTarget::Exchange(id) => (EXCHANGE, id),
        }
    }
}

/// Who places or releases a hold, and why.
#[derive(Clone, Debug)]
pub struct HoldActor {
    operator: String,
    role: &'static str,
    reason: String,
    correlation: Correlation,
}

impl HoldActor {
    /// The operator of this name and role, with a reason that can be stored.
    ///
    /// # Errors
    /// [`Fault::ParameterInvalid`] for a reason that is empty, too long or more than one line.
    pub fn new(
        operator: String,
        role: &'static str,
        reason: &str,
        correlation: Correlation,
    ) -> Result<HoldActor, Failure> {
        let reason = reason.trim();
        if reason.chars().count() > REASON_MAX || !is_one_line(reason) {
            return Err(Failure::new(Fault::ParameterInvalid)
                .at("reason")
                .remedy(format!("Say why, in 1 to {REASON_MAX} characters on one line.")));
        }
        Ok(HoldActor {
            operator,
            role,
            reason: reason.to_owned(),
            correlation,
        })
    }

    fn entry(&self, action: Action, hold: &Hold) -> LedgerEvent {
        let mut entry = LedgerEvent::new(action, Operator::actor(self.role), self.correlation.clone());
        entry.object = Some(Object {
            kind: if hold.kind == MEMBER { "Patient" } else { "Exchange" },
            id: hold.target.clone(),
        });
        entry.note = Some(OperatorNote {
            operator: self.operator.clone(),
            reason: self.reason.clone(),
        });
        entry
    }
}

/// Checks the name of a case: 1 to 64 letters, digits, hyphens and dots.
///
/// # Errors
/// [`Fault::ParameterInvalid`].
pub fn case(text: Option<&str>) -> Result<Option<String>, Failure> {
    match text {
        Some(text) if !is_fhir_id(text) => Err(Failure::new(Fault::ParameterInvalid)
            .at("case")
            .remedy("Name the case in 1 to 64 letters, digits, hyphens and dots.")),
        text => Ok(text.map(str::to_owned)),
    }
}

/// Returns the write that places a hold, and returns its id. Placing it again for the same case changes nothing.
///
/// # Errors
/// Of the write: [`Fault::MemberUnknown`], [`Fault::ExchangeUnknown`]; those of the database.
pub fn place(
    ctx: &Context,
    target: HeldTarget,
    case_id: Option<String>,
    by: HoldActor,
) -> impl FnMut(&mut Db) -> Result<String, Failure> + Send + 'static {
    let at_us = ctx.clock.now_us();
    let (id, entry_id) = (ctx.ids.new_id(at_us / 1000), ctx.ids.new_id(at_us / 1000));
    move |db| {
        // No deletion that looked before this hold was there commits after it.
        state::lock(db)?;
        let (kind, named) = target.parts();
        match target {
            HeldTarget::Member(_) if !rows::is_member(db, named)? => return Err(Fault::MemberUnknown.into()),
            HeldTarget::Exchange(_) if !rows::is_exchange(db, named)? => return Err(Fault::ExchangeUnknown.into()),
            _ => {}
        }
        demand_standing(db, &target)?;
        if let Some(same) = rows::same(db, kind, named, case_id.as_deref())? {
            return Ok(same.id);
        }
        let hold = Hold {
            id: id.clone(),
            kind: kind.to_owned(),
            target: named.to_owned(),
            case_id: case_id.clone(),
            reason: by.reason.clone(),
            placed_by: by.operator.clone(),
            placed_ms: at_us / 1000,
            released_ms: None,
            released_by: None,
            released_why: None,
        };
        rows::insert(db, &hold)?;
        ledger::append(db, &by.entry(Action::HoldPlaced, &hold), &entry_id, at_us)?;
        Ok(id.clone())
    }
}

/// Refuses a hold on what an erasure is taking: it would keep nothing.
fn demand_standing(db: &mut Db, target: &HeldTarget) -> Result<(), Failure> {
    let (member, fault) = match target {
        HeldTarget::Member(id) => (Some(id.clone()), Fault::MemberUnknown),
        HeldTarget::Exchange(id) => (rows::member_of_exchange(db, id)?, Fault::ExchangeUnknown),
    };
    let Some(member) = member else { return Ok(()) };
    match erasures::of_member(db, &member)? {
        Some(_) => Err(Failure::new(fault).remedy("The member is being erased, which a hold cannot end.")),
        None => Ok(()),
    }
}

/// Returns the write that releases a hold. Releasing it again changes nothing.
///
/// # Errors
/// Of the write: [`Fault::HoldUnknown`]; those of the database.
pub fn release(
    ctx: &Context,
    id: String,
    by: HoldActor,
) -> impl FnMut(&mut Db) -> Result<(), Failure> + Send + 'static {
    let at_us = ctx.clock.now_us();
    let entry_id = ctx.ids.new_id(at_us / 1000);
    move |db| {
        state::lock(db)?;
        let hold = rows::find(db, &id)?.ok_or(Fault::HoldUnknown)?;
        if rows::release(db, &id, &by.operator, &by.reason, at_us / 1000)? {
            ledger::append(db, &by.entry(Action::HoldReleased, &hold), &entry_id, at_us)?;
        }
        Ok(())
    }
}

/// Returns the hold in force that keeps what is on record of this member (a Patient id): one on the member, or on an exchange of the member.
/// Read it in the transaction that erases, after [`lock`].
///
/// # Errors
/// Those of the database.
pub fn held(db: &mut Db, member: &str) -> Result<Option<Hold>, Failure> {
    match rows::on(db, MEMBER, member)? {
        Some(hold) => Ok(Some(hold)),
        None => rows::on_exchanges_of(db, member),
    }
}

/// Returns the hold in force that keeps an exchange: one on the exchange, or on its member.
///
/// # Errors
/// Those of the database.
pub fn held_exchange(db: &mut Db, exchange: &str) -> Result<Option<Hold>, Failure> {
    if let Some(hold) = rows::on(db, EXCHANGE, exchange)? {
        return Ok(Some(hold));
    }
    match rows::member_of_exchange(db, exchange)? {
        Some(member) => rows::on(db, MEMBER, &member),
        None => Ok(None),
    }
}

/// Lets no hold be placed until the caller's transaction ends. Call it before [`held`], in a transaction that erases.
///
/// # Errors
/// Those of the database.
pub fn lock(db: &mut Db) -> Result<(), Failure> {
    state::lock(db)
}

/// Fails when a hold was found.
///
/// # Errors
/// [`Fault::HoldInForce`], naming the hold by its id.
pub fn demand_free(hold: Option<Hold>) -> Result<(), Failure> {
    match hold {
        None => Ok(()),
        Some(hold) => Err(Failure::new(Fault::HoldInForce).at(hold.id)),
    }
}
