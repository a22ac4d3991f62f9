//! stub
use crate::context::Context; use crate::error::Failure;
/// c
pub struct C { /// s
pub stored: u64 }
/// stub
pub fn ingest_generated(_: &Context, _: impl FnOnce(crate::synth::Sink<'_>) -> std::io::Result<()>) -> Result<C, Failure> { Ok(C{stored:0}) }
