//! The requester's half: exchanges over a real store, with a partner whose answers are written in advance.

mod acts;
pub mod bed;
mod bulk_answers;
mod bulk_storm;
mod checkpoints;
mod compared;
mod damaged;
mod failpoints;
mod fairness;
mod flow;
mod in_bulk;
mod intake;
mod kills;
mod moved;
mod operators;
mod pair;
mod paused;
mod permits;
mod process;
mod scenarios;
mod scripted;
mod series;
mod simulation;
mod tables;
mod timed;
mod together;
mod two_payers;
