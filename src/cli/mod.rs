//! The commands: one file each. They parse, call one use case and print; people's text goes to stderr, answers to stdout.

pub mod admin;
mod args;
pub mod bench;
pub mod config;
pub mod demo;
pub mod durability;
pub mod faults;
pub mod import;
pub mod operator;
mod out;
pub mod partner;
pub mod serve;
pub mod synth;
