//! The last signed checkpoint of our ledger as a header of answers to partners: `X-Causeway-Checkpoint`, the signed note in base64.
//!
//! A partner that keeps it holds evidence that a rewritten history would contradict. It is read from the store now and then, and kept in
//! memory: no request asks the store for it.

use crate::audit::cosigned;
use crate::context::Context;
use actix_web::HttpResponseBuilder;
use actix_web::http::header::{HeaderName, HeaderValue};
use arc_swap::ArcSwapOption;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::sync::Arc;

static CHECKPOINT: HeaderName = HeaderName::from_static("x-causeway-checkpoint");

/// The checkpoint that is handed to partners now.
#[derive(Default)]
pub struct HandedCheckpoint(ArcSwapOption<HeaderValue>);

impl HandedCheckpoint {
    /// Reads it from the store. Blocks the thread. While the store does not answer, the last one stays.
    pub fn renew(&self, ctx: &Context) {
        match ctx.store.read_blocking(cosigned::handed_out) {
            Ok(note) => {
                let value = note.and_then(|note| HeaderValue::try_from(STANDARD.encode(note)).ok());
                self.0.store(value.map(Arc::new));
            }
            Err(failure) => {
                tracing::debug!(
                    fault = failure.fault().code(),
                    "the checkpoint for partners was not read"
                );
            }
        }
    }

    /// Puts it on an answer, if there is one.
    pub fn put(&self, answer: &mut HttpResponseBuilder) {
        if let Some(value) = self.0.load().as_deref() {
            answer.insert_header((CHECKPOINT.clone(), value.clone()));
        }
    }
}
