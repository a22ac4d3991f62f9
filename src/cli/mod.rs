//! The commands: one file each. They parse, call one use case and print; people's text goes to stderr, answers to stdout.

pub mod import;
mod out;

pub use out::{Exit, Out};
