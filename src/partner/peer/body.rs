//! A body that arrives from a partner: piece after piece, within limits of silence, pace, time and size.

use super::failure::{CallEnd, CallFacts, CallFailure, of_transport};
use super::limits::PeerLimits;
use crate::error::Fault;
use crate::secret::Sha256;
use crate::telemetry::spans::{self, SpanNote};
use bytes::Bytes;
use std::time::{Duration, Instant};

/// A body under way.
pub struct PeerBody {
    response: reqwest::Response,
    limits: PeerLimits,
    most: u64,
    facts: CallFacts,
    digest: Sha256,
    begun: Instant,
    /// Time waited for the partner, and bytes that came, since the rate was last measured. What this server does in between does not count.
    waited: Duration,
    came: u64,
}

impl PeerBody {
    pub(super) fn new(response: reqwest::Response, limits: PeerLimits, most: u64, facts: CallFacts) -> PeerBody {
        PeerBody {
            response,
            limits,
            most,
            facts,
            digest: Sha256::default(),
            begun: Instant::now(),
            waited: Duration::ZERO,
            came: 0,
        }
    }

    /// What is known of the answer so far.
    pub fn facts(&self) -> &CallFacts {
        &self.facts
    }

    /// Returns the next bytes; `None` at the end.
    ///
    /// # Errors
    /// [`CallEnd::Unknown`] when the body breaks off, falls silent or drips; [`CallEnd::Refused`] with [`Fault::PartnerTooMuch`] when it is
    /// larger than what is taken.
    pub async fn next(&mut self) -> Result<Option<Bytes>, CallFailure> {
        let left = self.limits.body.saturating_sub(self.begun.elapsed());
        let asked = Instant::now();
        let chunk = match tokio::time::timeout(self.limits.idle.min(left), self.response.chunk()).await {
            Err(_) => {
                spans::note(SpanNote::Timeout, Vec::new());
                return Err(self.slow("nothing came"));
            }
            Ok(Err(error)) => {
                let failure = of_transport(error);
                // Some of it has come, so it was sent.
                let end = match failure.end {
                    CallEnd::NotSent => CallEnd::Unknown,
                    end => end,
                };
                return Err(CallFailure {
                    end,
                    facts: Box::new(self.facts.clone()),
                    ..failure
                });
            }
            Ok(Ok(chunk)) => chunk,
        };
        self.waited += asked.elapsed();
        let Some(chunk) = chunk else { return Ok(None) };
        self.facts.bytes += chunk.len() as u64;
        self.came += chunk.len() as u64;
        self.digest.update(&chunk);
        if self.facts.bytes > self.most {
            return Err(CallFailure::with(
                CallEnd::Refused(Fault::PartnerTooMuch),
                self.facts.clone(),
            ));
        }
        if self.waited >= self.limits.rate_over {
            if self.came < self.limits.rate_bytes {
                return Err(self.slow("it drips"));
            }
            (self.waited, self.came) = (Duration::ZERO, 0);
        }
        Ok(Some(chunk))
    }

    /// Reads the whole body, which is known to be small, and returns it with the facts of the answer.
    ///
    /// # Errors
    /// As [`PeerBody::next`].
    pub async fn whole(mut self) -> Result<(Vec<u8>, CallFacts), CallFailure> {
        let mut all = Vec::new();
        while let Some(chunk) = self.next().await? {
            all.extend_from_slice(&chunk);
        }
        Ok((all, self.finish()))
    }

    /// Ends the body; returns the facts with the digest of what came.
    pub fn finish(self) -> CallFacts {
        CallFacts {
            came_sha256: Some(self.digest.finish()),
            ..self.facts
        }
    }

    fn slow(&self, how: &'static str) -> CallFailure {
        CallFailure::with(CallEnd::Unknown, self.facts.clone()).because(how)
    }
}
