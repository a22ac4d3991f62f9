//! Sends to a receiver what waits for it: one message in one attempt, the oldest first, so that an end follows its beginning.
//!
//! A receiver that hangs is given up after a while, and no body of an answer is read. Nothing is written but what came of it.

use super::kind::{ALERT_WEBHOOK, UNREACHABLE, UNWANTED, hand_in};
use super::message::{DELIVERY, SIGNATURE, signature};
use super::receivers::{Receiver, ReceiverList};
use crate::error::Failure;
use crate::failpoint::{self, AFTER, BEFORE, SEND};
use crate::jobs::{AttemptEnding, Doing, HeldJob, JobStep, WorkKind};
use crate::store::Db;
use crate::store::alert_episodes::{self as rows, DeliveryRow};
use crate::telemetry::spans::{self, SpanNote};
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use std::sync::Arc;
use std::time::Duration;

/// Time for a whole request, until its answer begins.
const REQUEST: Duration = Duration::from_secs(10);
/// Longest wait that a receiver may ask for, seconds.
const ASKED_MOST_S: u64 = 3_600;
/// How long what waits for a receiver that this server does not list is left to others, milliseconds: their file may be another one while it is
/// being changed.
pub const UNLISTED_MS: i64 = 3_600_000;
/// Time between two looks at it, milliseconds.
const UNLISTED_LOOK_MS: i64 = 60_000;

/// What sending a message came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SendEnd {
    /// The receiver took it.
    Delivered,
    /// No answer came, or one that says that a later attempt may go well.
    Unreachable { retry_after_ms: Option<u64> },
    /// The receiver does not want it, or names another place.
    Unwanted { status: u16 },
}

impl SendEnd {
    /// What an answer with this status says.
    fn of(status: u16, headers: &HeaderMap) -> SendEnd {
        let asked = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let asked_s = asked.and_then(|text| text.trim().parse::<u64>().ok());
        match status {
            200..=299 => SendEnd::Delivered,
            408 | 425 | 429 | 500..=599 => SendEnd::Unreachable {
                retry_after_ms: asked_s.map(|seconds| seconds.min(ASKED_MOST_S) * 1_000),
            },
            status => SendEnd::Unwanted { status },
        }
    }
}

/// The step of the runner.
pub struct WebhookStep {
    receivers: Arc<ReceiverList>,
    within: Duration,
}

impl WebhookStep {
    /// Tells these receivers.
    pub fn new(receivers: Arc<ReceiverList>) -> WebhookStep {
        WebhookStep {
            receivers,
            within: REQUEST,
        }
    }

    /// The same, which gives a receiver up after this time.
    #[must_use]
    pub fn within(self, within: Duration) -> WebhookStep {
        WebhookStep { within, ..self }
    }

    async fn turn(&self, held: HeldJob) -> Result<AttemptEnding, Failure> {
        let (name, now_ms) = (held.job().key.clone(), held.ctx().clock.now_ms());
        let own = name.clone();
        let Some(delivery) = held.ctx().store.read(move |db| rows::next(db, &own)).await? else {
            return Ok(ended(&held, name));
        };
        let Some(receiver) = self.receivers.find(&name) else {
            return Ok(unlisted(name, delivery.made_ms, now_ms));
        };
        let end = self.post(receiver, &delivery, now_ms).await;
        Ok(match end {
            SendEnd::Delivered => AttemptEnding::again(now_ms)
                .with(Arc::new(move |db: &mut Db| rows::delivered(db, &delivery.id, now_ms))),
            SendEnd::Unreachable { retry_after_ms } => {
                tracing::warn!(
                    receiver = name,
                    "a receiver of alerts does not answer; it is told later"
                );
                AttemptEnding::retry(UNREACHABLE, retry_after_ms)
            }
            SendEnd::Unwanted { status } => {
                tracing::warn!(receiver = name, status, "a receiver of alerts does not take a message");
                AttemptEnding::retry(UNWANTED, None)
            }
        })
    }

    /// Sends a message, signed at `now_ms` (UTC milliseconds).
    async fn post(&self, receiver: &Receiver, delivery: &DeliveryRow, now_ms: i64) -> SendEnd {
        let signed = signature(
            receiver.secret.expose().as_bytes(),
            now_ms.div_euclid(1_000),
            &delivery.body,
        );
        let request = receiver
            .http
            .post(receiver.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(SIGNATURE, signed)
            .header(DELIVERY, &delivery.id)
            .body(delivery.body.clone());
        failpoint::pass(SEND, BEFORE);
        let answered = tokio::time::timeout(self.within, request.send()).await;
        failpoint::pass(SEND, AFTER);
        if answered.is_err() {
            spans::note(SpanNote::Timeout, Vec::new());
        }
        match answered {
            Ok(Ok(answer)) => SendEnd::of(answer.status().as_u16(), answer.headers()),
            // Neither the time limit nor a fault of the connection says whether the message came.
            Ok(Err(_)) | Err(_) => SendEnd::Unreachable { retry_after_ms: None },
        }
    }
}

impl JobStep for WebhookStep {
    fn kind(&self) -> &'static WorkKind {
        &ALERT_WEBHOOK
    }

    fn run(&self, held: HeldJob) -> Doing<'_> {
        Box::pin(self.turn(held))
    }
}

/// What comes of work for a receiver that this server does not list, of whom the oldest delivery was made at `made_ms`; UTC milliseconds, both.
fn unlisted(name: String, made_ms: i64, now_ms: i64) -> AttemptEnding {
    let until_ms = now_ms - UNLISTED_MS;
    if made_ms > until_ms {
        return AttemptEnding::again(now_ms + UNLISTED_LOOK_MS);
    }
    tracing::warn!(
        receiver = name,
        "a receiver of alerts is not listed any more; what has waited for it for an hour is dropped"
    );
    AttemptEnding::again(now_ms).with(Arc::new(move |db: &mut Db| {
        rows::drop_until(db, &name, until_ms, now_ms)?;
        Ok(())
    }))
}

/// The end of the work for a receiver for whom nothing waits. What came meanwhile, when this job was still there, begins it again.
fn ended(held: &HeldJob, name: String) -> AttemptEnding {
    let ctx = held.ctx().clone();
    AttemptEnding::done().with(Arc::new(move |db: &mut Db| match rows::next(db, &name)? {
        Some(_) => hand_in(db, &ctx, &name),
        None => Ok(()),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::HeaderValue;

    fn end(status: u16, retry_after: Option<&'static str>) -> SendEnd {
        let mut headers = HeaderMap::new();
        if let Some(text) = retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from_static(text));
        }
        SendEnd::of(status, &headers)
    }

    #[test]
    fn what_an_answer_says_is_in_its_status() {
        for status in [200, 202, 204] {
            assert_eq!(end(status, None), SendEnd::Delivered);
        }
        for status in [408, 425, 429, 500, 502, 503, 599] {
            assert_eq!(
                end(status, None),
                SendEnd::Unreachable { retry_after_ms: None },
                "{status}"
            );
        }
        for status in [101, 301, 302, 307, 308, 400, 401, 403, 404, 410] {
            assert_eq!(end(status, Some("5")), SendEnd::Unwanted { status });
        }
        let waits = |text| match end(503, Some(text)) {
            SendEnd::Unreachable { retry_after_ms } => retry_after_ms,
            other => panic!("{other:?}"),
        };
        assert_eq!(waits("7"), Some(7_000));
        assert_eq!(waits("99999999999"), Some(3_600_000), "an hour at most");
        assert_eq!(waits("Fri, 31 Dec 1999 23:59:59 GMT"), None);
        assert_eq!(waits("-1"), None);
    }

    #[test]
    fn a_receiver_that_is_gone_is_tried_for_an_hour_and_then_given_up() {
        let waits = (1..).map_while(|failed| crate::jobs::retry::wait_ms(&UNREACHABLE, failed, None, 0.5));
        let minutes = waits.sum::<u64>() / 60_000;
        assert!((60..120).contains(&minutes), "{minutes}");
        assert!(UNREACHABLE.code != UNWANTED.code && UNWANTED.attempts < UNREACHABLE.attempts);
    }
}
