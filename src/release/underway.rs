//! A disclosure under way: what of it went out so far, and whether it may go on.
//!
//! It is judged anew for each piece, and twice a second while its reader is slow. What was taken away since it began (the
//! partner's registration, its certificate, its token, the grant, the consent) ends it; what merely ran out does not, until the time
//! of an answer is over. It ends once, and its end is in the ledger, whether its reader takes what is left or not.

use super::{Begun, Tally, complete};
use crate::audit::Outcome;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::security::{Authority, Caller, CallerState, PeerCertificate};
use crate::store::disclosure::{self, Basis};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};

/// How often it is judged while nothing of it is asked for.
const JUDGED_EVERY: Duration = Duration::from_millis(500);

/// What an answer of many pieces is held to, besides its grant.
#[derive(Clone)]
pub struct Terms {
    /// Judges its caller again.
    pub authority: Authority,
    /// The certificate of its connection.
    pub certificate: Option<PeerCertificate>,
    /// How long it may take, whoever reads it.
    pub longest: Duration,
}

/// A disclosure under way. When it is dropped before its end, its reader broke it off.
pub(super) struct Underway {
    shared: Arc<Shared>,
    watch: Option<AbortHandle>,
}

struct Shared {
    ctx: Context,
    terms: Terms,
    caller: Caller,
    grant_id: String,
    begun_ms: i64,
    begun: Instant,
    /// The state of the partner's registration that was found good.
    partner_version: AtomicI64,
    progress: Mutex<Progress>,
}

struct Progress {
    entry: Option<Begun>,
    bytes: u64,
    counts: Tally,
    judged: Instant,
    ended: Option<Fault>,
}

impl Underway {
    /// What was begun with this entry, under a grant of the caller that was found live at this time (UTC ms).
    pub(super) fn new(
        ctx: &Context,
        terms: Terms,
        caller: &Caller,
        (grant_id, begun_ms): (&str, i64),
        entry: Option<Begun>,
    ) -> Underway {
        let begun = Instant::now();
        Underway {
            shared: Arc::new(Shared {
                ctx: ctx.clone(),
                terms,
                caller: caller.clone(),
                grant_id: grant_id.to_owned(),
                begun_ms,
                begun,
                partner_version: AtomicI64::new(caller.partner_version),
                progress: Mutex::new(Progress {
                    entry,
                    bytes: 0,
                    counts: Tally::default(),
                    judged: begun,
                    ended: None,
                }),
            }),
            watch: None,
        }
    }

    /// What its pages are read under.
    pub(super) fn basis(&self) -> Basis {
        self.shared.basis()
    }

    /// Whether it may go on, as far as this process knows without asking the store.
    ///
    /// # Errors
    /// Why it may not; it is ended then.
    pub(super) fn may_go_on(&self) -> Result<(), Failure> {
        self.shared.may_go_on()
    }

    /// Judges it again in full; the version of the partner's registration that was found good. What was asked of the store under
    /// another one has to be asked again.
    ///
    /// # Errors
    /// Why it may not go on; it is ended then. Those of the store.
    pub(super) async fn judge(&self) -> Result<i64, Failure> {
        self.shared.judge().await
    }

    /// Counts a piece that goes out now, and from the first one on that is not the last has the answer watched.
    ///
    /// # Errors
    /// Why it must not go out: the answer was ended while the piece was made.
    pub(super) fn send(&mut self, bytes: usize, counts: Tally, is_last: bool) -> Result<(), Failure> {
        self.may_go_on()?;
        {
            let mut progress = self.shared.progress();
            if let Some(fault) = progress.ended {
                return Err(fault.into());
            }
            progress.bytes += bytes as u64;
            progress.counts.join(counts);
            progress.judged = Instant::now();
        }
        if is_last {
            self.end(Outcome {
                class: "ok",
                http: Some(200),
                reason: None,
            });
        } else if self.watch.is_none() {
            let shared = Arc::clone(&self.shared);
            self.watch = Some(tokio::spawn(async move { shared.watch().await }).abort_handle());
        }
        Ok(())
    }

    /// Ends it, if it has not ended yet.
    pub(super) fn end(&self, outcome: Outcome) {
        self.shared.end(outcome, None);
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        if let Some(watch) = &self.watch {
            watch.abort();
        }
        self.end(Outcome {
            class: "failed",
            http: None,
            reason: None,
        });
    }
}

impl Shared {
    fn progress(&self) -> std::sync::MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn basis(&self) -> Basis {
        Basis {
            partner: self.caller.partner.id.clone(),
            partner_version: self.partner_version.load(Ordering::Acquire),
            token_sha256: self.caller.token_sha256,
            begun_ms: self.begun_ms,
        }
    }

    fn may_go_on(&self) -> Result<(), Failure> {
        if let Some(fault) = self.progress().ended {
            return Err(fault.into());
        }
        if self.terms.authority.has_revoked(self.terms.certificate.as_ref()) {
            return Err(self.break_off(Fault::CertificateUnknown));
        }
        if self.begun.elapsed() >= self.terms.longest {
            return Err(self.break_off(Fault::AnswerTooLong));
        }
        Ok(())
    }

    async fn judge(&self) -> Result<i64, Failure> {
        self.may_go_on()?;
        loop {
            let (basis, grant_id) = (self.basis(), self.grant_id.clone());
            let version = basis.partner_version;
            let stands = self
                .ctx
                .store
                .read(move |db| disclosure::still_stands(db, &basis, &grant_id))
                .await?;
            if stands {
                self.progress().judged = Instant::now();
                return Ok(version);
            }
            let terms = &self.terms;
            let state = terms
                .authority
                .judge_again(&self.ctx, &self.caller, terms.certificate.as_ref())
                .await?;
            match state {
                CallerState::TakenAway(fault) => return Err(self.break_off(fault)),
                // Nothing is wrong with the caller: it is the grant or its consent.
                CallerState::Holds(now) if now == version => return Err(self.break_off(Fault::NotFound)),
                CallerState::Holds(now) => self.partner_version.store(now, Ordering::Release),
            }
        }
    }

    /// Judges the answer again and again while its reader takes nothing. A store that cannot be asked judges nothing: without it no
    /// piece is made either.
    async fn watch(&self) {
        loop {
            sleep(JUDGED_EVERY).await;
            if self.may_go_on().is_err() {
                return;
            }
            let judged = self.progress().judged;
            if judged.elapsed() < JUDGED_EVERY {
                continue;
            }
            if self.judge().await.is_err() && self.progress().ended.is_some() {
                return;
            }
        }
    }

    fn break_off(&self, fault: Fault) -> Failure {
        let outcome = Outcome {
            class: "failed",
            http: None,
            reason: Some(fault.code()),
        };
        self.end(outcome, Some(fault));
        fault.into()
    }

    fn end(&self, outcome: Outcome, because: Option<Fault>) {
        let (entry, bytes, counts) = {
            let mut progress = self.progress();
            if progress.ended.is_none() {
                progress.ended = because;
            }
            (
                progress.entry.take(),
                progress.bytes,
                std::mem::take(&mut progress.counts),
            )
        };
        let Some(entry) = entry else { return };
        if let Some(fault) = because {
            tracing::warn!(
                fault = fault.code(),
                partner.id = self.caller.partner.id,
                request.id = self.caller.correlation.request_id,
                bytes,
                "an answer was broken off"
            );
        }
        complete(&self.ctx, entry, outcome, bytes, counts);
    }
}
