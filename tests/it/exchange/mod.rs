//! The requester's half: exchanges over a real store, with a partner whose answers are written in advance.

mod acts;
pub mod bed;
mod fairness;
mod flow;
mod intake;
mod operators;
mod permits;
mod process;
mod scripted;
mod simulation;
mod tables;
