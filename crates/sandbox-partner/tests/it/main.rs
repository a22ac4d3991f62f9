//! The sandbox is tried with a real HTTP client over TLS, and the wire with a bare socket where reqwest would hide what it does.

#![allow(clippy::panic)] // a test that cannot go on says so by panicking

mod content;
mod control;
mod discovery;
mod matching;
mod receipts;
mod retrieval;
mod scripts;
mod statuses;
mod support;
mod trust;
mod wire;
