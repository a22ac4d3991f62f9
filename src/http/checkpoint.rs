//! The last signed checkpoint of our ledger as a header of answers to partners: `X-Causeway-Checkpoint`, the signed note in base64.
//!
//! A partner that keeps it holds evidence that a rewritten history would contradict. It is read from the store once a day, and kept in
//! memory: no request asks the store for it, and nobody can count by it the entries that a request of his own has made.

use crate::audit::cosigned;
use crate::audit::sequencer::POINT;
use crate::context::Context;
use crate::failpoint;
use actix_web::HttpResponseBuilder;
use actix_web::http::header::{HeaderName, HeaderValue};
use arc_swap::ArcSwapOption;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

static CHECKPOINT: HeaderName = HeaderName::from_static("x-causeway-checkpoint");

/// For so long the same checkpoint is handed out. A question that a reviewer has to decide makes one entry more than one about nobody, and both
/// get the same answer: whoever saw the ledger grow in between could tell them apart.
const HANDED: Duration = Duration::from_secs(24 * 60 * 60);

/// The checkpoint that is handed to partners now.
#[derive(Default)]
pub struct HandedCheckpoint {
    now: ArcSwapOption<HeaderValue>,
    since: Mutex<Option<Instant>>,
}

impl HandedCheckpoint {
    /// Reads it from the store, if the last one was handed out long enough. Blocks the thread. While the store does not answer, the last one
    /// stays.
    pub fn renew(&self, ctx: &Context) {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        if since.is_some_and(|since| since.elapsed() < HANDED) {
            return;
        }
        match ctx.store.read_blocking(cosigned::handed_out) {
            Ok(note) => {
                let value = note.and_then(|note| HeaderValue::try_from(STANDARD.encode(note)).ok());
                let is_handed = value.is_some();
                if is_handed {
                    failpoint::pass(POINT, "handing");
                }
                *since = is_handed.then(Instant::now);
                self.now.store(value.map(Arc::new));
                if is_handed {
                    failpoint::pass(POINT, "handed");
                }
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
        if let Some(value) = self.now.load().as_deref() {
            answer.insert_header((CHECKPOINT.clone(), value.clone()));
        }
    }
}
