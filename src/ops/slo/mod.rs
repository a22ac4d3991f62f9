//! What was promised, and how much of it may still be missed: the policy of the kind `slo`, its error budgets, and why they were used.
//!
//! Made from business figures (`figures`) and the clocks of exchanges that go on, so that it says the same after a restart and over many
//! processes. Reads only, and names partners and exchanges, never a member.

pub mod budget;
pub mod policy;
pub mod read;
