//! The requester's half: one exchange asks another payer for the record of a member, from the opt-in to the stored and acknowledged record.
//!
//! States and moves are data (`phase`, `moves`). The durable work is a job of `jobs`; what a step does outside is behind
//! [`steps::PartnerSession`]. Nothing here opens a connection, and no transaction contains a network call.

use crate::jobs::{Chance, JobStep};
use std::sync::Arc;

pub mod acts;
pub mod begin;
pub mod carried;
pub mod change;
pub mod clocks;
pub mod conclude;
pub mod enrolments;
mod entry;
pub mod escalation;
pub mod event;
pub mod failpoints;
pub mod follow_up;
pub mod gate;
pub mod health;
pub mod inbound;
pub mod intake;
pub mod kind;
pub mod loaded;
pub mod moves;
pub mod partner_checkpoint;
pub mod permit;
pub mod phase;
pub mod replayed;
pub mod retry;
pub mod retry_text;
pub mod runbook;
pub mod series;
pub mod step_table;
pub mod steps;
pub mod tables;
mod traced;
pub mod watch;
mod wish;
pub mod work;

/// The kinds of background work of exchanges that need a partner; [`watch::step`] needs only the store. `sessions` does what is outside, and
/// `gather` leaves exchanges to bulk runs.
pub fn job_steps(
    sessions: &Arc<dyn steps::PartnerSessions>,
    chance: &Chance,
    gather: series::Gather,
) -> Vec<Arc<dyn JobStep>> {
    vec![
        work::ExchangeWork::step(Arc::clone(sessions), chance.clone()),
        Arc::new(follow_up::TakeBack(Arc::clone(sessions))),
        Arc::new(series::AskAgain(gather)),
    ]
}
