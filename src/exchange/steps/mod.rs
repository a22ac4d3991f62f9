//! The steps of an exchange, and the interface between the engine and what a step does outside.
//!
//! The engine (`exchange::work`) decides which step is next, records it before it begins, and records its result. A [`PartnerSession`] does
//! the step. It decides nothing about repeating, waiting, phases or consent; it says what happened ([`StepEnd`]).
//! A step may run again after any crash: before its effect, after its effect, or in the middle.

mod access;
mod acknowledge;
mod blocking;
mod check;
mod facts;
mod fetching;
mod find_partner;
mod judge_again;
pub mod match_body;
mod member_match;
mod name;
mod open;
mod plan;
mod result;
mod retrieve;
mod session;
mod single;
mod store;
mod supporting;
mod token;

pub use access::{Acquaintance, PartnerAccess};
pub use facts::{ExchangeFacts, MatchedAs, MissingPart, OptInFacts, OtherCoverage, Resume};
pub use find_partner::find;
pub use judge_again::{JUDGE_AGAIN, JudgeAgain, permit_to_judge_again};
pub use member_match::{HeldOfMember, patient_id};
pub use name::StepName;
pub use plan::EXPORT;
pub use result::{CallNotes, Quarantined, StepEnd, StepGain, StepReport, TransportFailure};
pub use session::end_of;
pub use token::read_scope;

use crate::jobs::HeldJob;
use std::pin::Pin;

/// A step under way.
pub type Stepping<'s> = Pin<Box<dyn Future<Output = StepReport> + Send + 's>>;

/// One connection to a partner for one exchange, in one process. It holds what is not lasting: endpoints, tokens.
pub trait PartnerSession: Send {
    /// Runs one step and says what happened. It never panics because of what the partner sent.
    ///
    /// All writes before the end of the step go through `held`, so that they are refused when the lease is lost; the last ones go into
    /// [`StepReport::with`], so that they are committed together with the result of the step. The future may be dropped at any await point.
    fn run<'s>(&'s mut self, step: StepName, facts: &'s ExchangeFacts, held: &'s HeldJob) -> Stepping<'s>;

    /// Whether the step that ran last has kept something that came, also when it was dropped before its end.
    fn has_progress(&self) -> bool {
        false
    }

    /// Takes back at the partner what the exchange has begun there (deletes an export job). It is called when the exchange has ended before
    /// it was complete, and may be called again.
    fn take_back<'s>(&'s mut self, facts: &'s ExchangeFacts, held: &'s HeldJob) -> Stepping<'s>;
}

/// Opens sessions with partners. One for each process.
pub trait PartnerSessions: Send + Sync + 'static {
    /// Opens a session; nothing is sent yet.
    fn open(&self, facts: &ExchangeFacts) -> Box<dyn PartnerSession>;

    /// Takes out of the store again, exactly, what the exchange brought in: resources, original bytes, quarantine, spool. Answers
    /// [`StepGain::TakenOut`], or [`StepEnd::More`] when others have their turn first. It sends nothing and may be called again.
    fn retract<'s>(&'s self, exchange_id: &'s str, held: &'s HeldJob) -> Stepping<'s>;

    /// Drops what came and was not stored; originals of what stays stay. It sends nothing and may be called again.
    fn drop_unstored<'s>(&'s self, exchange_id: &'s str, held: &'s HeldJob) -> Stepping<'s>;
}
