//! Business figures, rolled up from rows by minute, hour and day: what partners asked and were asked for, how it ended, and which clocks were kept.
//!
//! They are counted from rows, so that they are right after a restart and over many processes, and counted again in their own minute, hour or
//! day when something changes late. They name partners and never a member, and decide nothing. Nothing else writes them.

pub mod count;
pub mod job;
pub mod objective;
pub mod tally;
