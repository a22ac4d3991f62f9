//! stub
use super::{Exit, Out}; use crate::error::Failure; use std::path::Path;
/// a
#[derive(clap::Args, Clone, Debug)] pub struct BenchArgs {}
/// r
pub fn run(_: &BenchArgs, _: &Path, _: &mut Out) -> Result<Exit, Failure> { Ok(Exit::Failed) }
