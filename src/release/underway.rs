//! A disclosure in progress: how much of it was sent, and whether it may continue.
//!
//! It is checked again with each page of rows, before a piece that needs no rows when the last check was long ago, and twice a second while
//! its reader is slow; when the store cannot be asked for ten seconds, it ends. It ends when something was revoked since it began (the partner's registration, its certificate, its token, the
//! grant, the consent). It does not end when something merely expired, until the time limit of an answer is over. It ends only once, and
//! its end is written to the ledger even when the client reads no further.

use super::{BegunDisclosure, MembersBehind, Tally, complete};
use crate::audit::EntryOutcome;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::security::{Authority, Caller, CallerState, PeerCertificate};
use crate::store::Db;
use crate::store::disclosure::{self, DisclosureBasis};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout};

/// How often it is checked while its reader takes nothing.
const JUDGED_EVERY: Duration = Duration::from_millis(500);
/// How long it may go on while it cannot be checked, because the store cannot be asked.
const UNJUDGED: Duration = Duration::from_secs(10);
/// How long after a check a piece may be made without another one.
const JUDGED_LATELY: Duration = Duration::from_millis(100);

/// The conditions for an answer of many pieces, in addition to its grant.
#[derive(Clone)]
pub struct AnswerTerms {
    /// Authenticates the caller again.
    pub authority: Authority,
    /// The client certificate of the connection.
    pub certificate: Option<PeerCertificate>,
    /// The longest time that it may take, however it is read.
    pub longest: Duration,
}

/// A disclosure in progress. If it is dropped before its end, its reader broke it off.
pub(super) struct Underway {
    shared: Arc<Shared>,
    watch: Option<AbortHandle>,
}

struct Shared {
    ctx: Context,
    terms: AnswerTerms,
    caller: Caller,
    /// The grants on which the disclosure is based; empty when it is about no member.
    grant_ids: Vec<String>,
    /// Of whom it tells besides.
    behind: OnceLock<Arc<MembersBehind>>,
    begun_ms: i64,
    begun: Instant,
    /// The version of the partner's registration at the last check.
    partner_version: AtomicI64,
    progress: Mutex<Progress>,
}

struct Progress {
    parts: Vec<Part>,
    judged: Instant,
    ended: Option<Fault>,
}

/// What was sent of one of the disclosures that were begun together.
struct Part {
    entry: Option<BegunDisclosure>,
    bytes: u64,
    counts: Tally,
}

impl From<Option<BegunDisclosure>> for Part {
    fn from(entry: Option<BegunDisclosure>) -> Part {
        Part {
            entry,
            bytes: 0,
            counts: Tally::default(),
        }
    }
}

impl Underway {
    /// A disclosure with this *begun* entry, under a grant of the caller that was live at this time (UTC milliseconds).
    pub(super) fn new(
        ctx: &Context,
        terms: AnswerTerms,
        caller: &Caller,
        (grant_id, begun_ms): (&str, i64),
        entry: Option<BegunDisclosure>,
    ) -> Underway {
        let parts = vec![Part::from(entry)];
        Underway::of_parts(ctx, terms, caller, begun_ms, (vec![grant_id.to_owned()], parts))
    }

    /// Disclosures that were begun together, each with its grants, or without one.
    pub(super) fn of_all(
        ctx: &Context,
        terms: AnswerTerms,
        caller: &Caller,
        begun_ms: i64,
        begun: Vec<(Vec<String>, BegunDisclosure)>,
    ) -> Underway {
        let (grants, entries): (Vec<_>, Vec<_>) = begun.into_iter().unzip();
        let mut grants: Vec<String> = grants.into_iter().flatten().collect();
        grants.sort_unstable();
        grants.dedup();
        let parts = entries.into_iter().map(|entry| Part::from(Some(entry))).collect();
        Underway::of_parts(ctx, terms, caller, begun_ms, (grants, parts))
    }

    fn of_parts(
        ctx: &Context,
        terms: AnswerTerms,
        caller: &Caller,
        begun_ms: i64,
        (grant_ids, parts): (Vec<String>, Vec<Part>),
    ) -> Underway {
        let begun = Instant::now();
        Underway {
            shared: Arc::new(Shared {
                ctx: ctx.clone(),
                terms,
                caller: caller.clone(),
                grant_ids,
                behind: OnceLock::new(),
                begun_ms,
                begun,
                partner_version: AtomicI64::new(caller.partner_version),
                progress: Mutex::new(Progress {
                    parts,
                    judged: begun,
                    ended: None,
                }),
            }),
            watch: None,
        }
    }

    /// It ends when the access to one of these members ends, too.
    pub(super) fn tells_of(&mut self, behind: Arc<MembersBehind>) {
        let _ = self.shared.behind.set(behind);
    }

    /// What its pages of rows are read under.
    pub(super) fn basis(&self) -> DisclosureBasis {
        self.shared.basis()
    }

    /// Whether it may continue, as far as this process knows without asking the store.
    ///
    /// # Errors
    /// The reason why it may not; the disclosure is then ended.
    pub(super) fn may_go_on(&self) -> Result<(), Failure> {
        self.shared.may_go_on()
    }

    /// Checks it in full. Returns the version of the partner's registration; what was read from the store under another version must be
    /// read again.
    ///
    /// # Errors
    /// The reason why it may not continue; the disclosure is then ended. Those of the store.
    pub(super) async fn judge(&self) -> Result<i64, Failure> {
        self.shared.judge().await
    }

    /// Notes that a page of rows was read, which checks the grant, the consent and the registration as well.
    pub(super) fn was_judged(&self) {
        self.shared.progress().judged = Instant::now();
    }

    /// Calls [`Underway::judge`], unless that was done a moment ago.
    ///
    /// # Errors
    /// As [`Underway::judge`].
    pub(super) async fn judge_in_time(&self) -> Result<(), Failure> {
        self.may_go_on()?;
        let judged = self.shared.progress().judged;
        if judged.elapsed() >= JUDGED_LATELY {
            self.judge().await?;
        }
        Ok(())
    }

    /// Counts a piece that is sent now. From the first piece on that is not the last, the disclosure is checked while its reader is slow.
    ///
    /// # Errors
    /// The reason why the piece must not be sent: the disclosure was ended while the piece was made.
    pub(super) fn send(&mut self, bytes: usize, counts: Tally, is_last: bool) -> Result<(), Failure> {
        self.send_all(vec![(bytes as u64, counts)], is_last)
    }

    /// Like [`Self::send`], for all disclosures that were begun together: the bytes of each, in their order.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub(super) fn send_all(&mut self, sent: Vec<(u64, Tally)>, is_last: bool) -> Result<(), Failure> {
        self.may_go_on()?;
        {
            let mut progress = self.shared.progress();
            if let Some(fault) = progress.ended {
                return Err(fault.into());
            }
            for (part, (bytes, counts)) in progress.parts.iter_mut().zip(sent) {
                part.bytes += bytes;
                part.counts.join(counts);
            }
        }
        if is_last {
            self.end(EntryOutcome {
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

    /// Ends it, unless it has ended already.
    pub(super) fn end(&self, outcome: EntryOutcome) {
        self.shared.end(outcome, None);
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        if let Some(watch) = &self.watch {
            watch.abort();
        }
        self.end(EntryOutcome {
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

    fn basis(&self) -> DisclosureBasis {
        DisclosureBasis {
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
            let (basis, grant_ids, behind) = (self.basis(), self.grant_ids.clone(), self.behind.get().cloned());
            let version = basis.partner_version;
            let look = move |db: &mut Db| {
                let has_left = match &behind {
                    Some(behind) => behind.has_left(db, &basis)?,
                    None => false,
                };
                Ok((has_left, disclosure::all_stand(db, &basis, &grant_ids)?))
            };
            let (has_left, stands) = self.ctx.store.read(look).await?;
            if has_left {
                return Err(self.break_off(Fault::NotFound));
            }
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
                CallerState::Holds(now) if self.grant_ids.is_empty() => {
                    self.partner_version.store(now, Ordering::Release);
                    self.progress().judged = Instant::now();
                    return Ok(now);
                }
                // The caller is still authorized, so the grant or its consent has ended.
                CallerState::Holds(now) if now == version => return Err(self.break_off(Fault::NotFound)),
                CallerState::Holds(now) => self.partner_version.store(now, Ordering::Release),
            }
        }
    }

    /// Checks the answer regularly while its reader takes nothing. It is ended when the store could not be asked for a while: pieces that
    /// are in memory need no store, and nobody knows what was revoked meanwhile.
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
            let left = UNJUDGED.saturating_sub(judged.elapsed());
            let is_judged = matches!(timeout(left, self.judge()).await, Ok(Ok(_)));
            if self.progress().ended.is_some() {
                return;
            }
            // A page of rows that was read meanwhile has checked it too.
            if !is_judged && self.progress().judged.elapsed() >= UNJUDGED {
                self.break_off(Fault::StoreUnavailable);
                return;
            }
        }
    }

    fn break_off(&self, fault: Fault) -> Failure {
        let outcome = EntryOutcome {
            class: "failed",
            http: None,
            reason: Some(fault.code()),
        };
        self.end(outcome, Some(fault));
        fault.into()
    }

    fn end(&self, outcome: EntryOutcome, because: Option<Fault>) {
        let ended: Vec<(BegunDisclosure, u64, Tally)> = {
            let mut progress = self.progress();
            if progress.ended.is_none() {
                progress.ended = because;
            }
            let parts = progress.parts.iter_mut();
            parts
                .filter_map(|part| Some((part.entry.take()?, part.bytes, std::mem::take(&mut part.counts))))
                .collect()
        };
        if let (Some(fault), false) = (because, ended.is_empty()) {
            tracing::warn!(
                fault = fault.code(),
                partner.id = self.caller.partner.id,
                request.id = self.caller.correlation.request_id,
                bytes = ended.iter().map(|(_, bytes, _)| bytes).sum::<u64>(),
                "an answer was broken off"
            );
        }
        for (entry, bytes, counts) in ended {
            complete(&self.ctx, entry, outcome.clone(), bytes, counts);
        }
    }
}
