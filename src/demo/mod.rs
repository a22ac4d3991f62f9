//! The demonstration: two payers on this machine, and an exchange explained step by step.
//!
//! A production server uses none of this; the keys are valid only on this machine and for a short time.

mod bulk;
mod by_hand;
mod exchanges;
mod explain;
mod scenes;
pub mod story;
mod twins;
