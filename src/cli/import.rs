//! stub
use super::{Exit, Out}; use crate::context::Context; use crate::error::Failure; use std::path::Path;
/// a
#[derive(clap::Args, Clone, Debug)] pub struct ImportArgs {}
/// r
pub fn run(_: &ImportArgs, _: &Context, _: &Path, _: &mut Out) -> Result<Exit, Failure> { Ok(Exit::Failed) }
