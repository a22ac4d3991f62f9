//! Retention: each kind of data is deleted at its time and not before, with proof; what is held stays; no clock makes anything old at once.

mod bed;
mod commands;
mod holds;
mod periods;
mod policy;
