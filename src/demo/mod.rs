//! The demonstration and the development set-up: certificates, a partner and synthetic members where there are none.
//!
//! Nothing here is used by a production server; keys made here are for this machine and this hour.

pub mod dev;
mod explain;
mod scenes;
pub mod story;
