//! The commands: one file each. They parse, call one use case and print; people's text goes to stderr, answers to stdout.

pub mod config;
pub mod operator;
mod out;
pub mod partner;

pub use out::{Exit, Out};
