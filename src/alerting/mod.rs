//! Alerts that are told: when each began and ended, as rows, and the messages about that to the receivers that the configuration lists.
//!
//! Judges nothing: what is raised comes from `ops::alerts`. A message has ids and counts, and texts of this program; never anything of a member,
//! and no text that a partner chose. Without receivers nothing is stored and nothing is sent.

pub mod episodes;
pub mod kind;
pub mod message;
pub mod receivers;
pub mod send;
pub mod shown;
