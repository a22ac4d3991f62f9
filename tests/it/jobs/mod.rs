//! The durable runner: in simulated time, killed at each point, and as real processes.

pub mod bed;
mod crashes;
mod files;
mod rules;
mod workers;
