//! Fetches one part of a record, page after page, with a good token. It decides when a token is renewed and when a part begins anew, and never
//! what a part that does not come means for the exchange.

use super::blocking::blocking;
use super::facts::ExchangeFacts;
use super::open::OpenSession;
use super::plan::{group_of_read, is_supporting, is_type};
use super::single;
use super::token::{self, is_good};
use crate::error::{Failure, Fault};
use crate::jobs::HeldJob;
use crate::partner::peer::{CallEnd, CallFacts, CallFailure, Peer, PeerAsk};
use crate::records::ingest::{self, IngestScope, IngestWriter, PageWriter, PartState, RecordPart, SpoolSize, WorkTurn};
use crate::secret::Secret;

/// How many turns of other long work one attempt takes.
const TURNS: u32 = 5;

/// What the parts of one record are fetched with.
pub(super) struct Fetching<'f> {
    pub session: &'f mut OpenSession,
    pub facts: &'f ExchangeFacts,
    pub held: &'f HeldJob,
    pub peer: Peer,
    pub scope: &'f IngestScope,
    pub writer: &'f IngestWriter,
    /// What is known of the last call.
    pub call: CallFacts,
    /// How much is kept of the exchange.
    kept: SpoolSize,
    /// How much of that the part under way has brought since it began.
    own: SpoolSize,
    /// When others have their turn.
    turn: WorkTurn,
    /// Whether a page came since the token was last replaced because the partner refused it.
    has_come: bool,
}

impl<'f> Fetching<'f> {
    pub async fn new(
        session: &'f mut OpenSession,
        (facts, held): (&'f ExchangeFacts, &'f HeldJob),
        (scope, writer): (&'f IngestScope, &'f IngestWriter),
    ) -> Result<Fetching<'f>, CallFailure> {
        let own = scope.clone();
        Ok(Fetching {
            kept: blocking(move || ingest::size(&own)).await?,
            own: SpoolSize::default(),
            turn: WorkTurn::of(facts.round, session.access.turn() * TURNS),
            peer: session.partner()?.peer.clone(),
            session,
            facts,
            held,
            scope,
            writer,
            call: CallFacts::default(),
            has_come: false,
        })
    }

    /// Fetches a part to its end. Returns the fault for which it goes no further, when the others may. When a page is gone it begins anew,
    /// once in each round: partners keep the pages of an answer for a while only. A token that is refused is replaced as often as something came with it.
    pub async fn part(&mut self, mut part: RecordPart, first: &str) -> Result<Option<Fault>, CallFailure> {
        // What only its link says cannot begin anew.
        let may_begin_anew = !is_supporting(&part.name);
        if is_type(&part.name) && part.state == PartState::Open {
            let (scope, name) = (self.scope.clone(), part.name.clone());
            self.own = blocking(move || ingest::size_of_part(&scope, &name)).await?;
        }
        while part.state == PartState::Open {
            let is_later_page = part.next.is_some();
            match self.page(part.clone(), first).await {
                Ok(next) => {
                    part = next;
                    self.has_come = true;
                    self.session.has_progress = true;
                }
                Err(failure) if failure.end == CallEnd::Unauthorized && self.has_come => {
                    self.has_come = false;
                    self.renew().await?;
                }
                Err(failure) if is_later_page && may_begin_anew && is_gone(&failure) => {
                    match self.begin_anew(&part.name).await? {
                        Some(fresh) => part = fresh,
                        None => return self.given_up(&part.name, failure).await.map(Some),
                    }
                }
                Err(failure) => return self.given_up(&part.name, failure).await.map(Some),
            }
        }
        Ok(None)
    }

    /// Notes that a part goes no further; returns why.
    async fn given_up(&mut self, name: &str, failure: CallFailure) -> Result<Fault, CallFailure> {
        let (state, fault) = match failure.end {
            CallEnd::Refused(fault @ (Fault::PartnerTooMuch | Fault::PartnerPagesLoop)) => (PartState::Broken, fault),
            CallEnd::Refused(fault) => (PartState::Refused, fault),
            _ => return Err(failure),
        };
        self.call = (*failure.facts).clone();
        tracing::warn!(fault = fault.code(), status = failure.facts.status, issues = %failure.issues,
            "a partner does not give a part of a record");
        ingest::mark_part(self.scope, self.writer, name, state, Some(fault), false).await?;
        Ok(fault)
    }

    /// What follows from a link that may not be followed. A person looks first; whoever lets the exchange go on then does not meet the same link
    /// again: the part comes from its beginning, and what is only named goes no further.
    async fn led_away(&self, name: &str, fault: Fault) -> Result<CallFailure, CallFailure> {
        let (state, reason) = match is_supporting(name) {
            true => (PartState::Broken, Some(fault)),
            false => (PartState::Open, None),
        };
        ingest::mark_part(self.scope, self.writer, name, state, reason, reason.is_none()).await?;
        Ok(CallFailure::new(CallEnd::Trust(fault)))
    }

    /// Lets a part begin anew; `None` when it has in this round.
    async fn begin_anew(&mut self, name: &str) -> Result<Option<RecordPart>, CallFailure> {
        let place = (name, self.facts.round);
        if !ingest::anew_once(self.scope, self.writer, place, vec![name.to_owned()]).await? {
            return Ok(None);
        }
        self.own = SpoolSize::default();
        let own = self.scope.clone();
        let parts = blocking(move || ingest::parts(&own)).await?;
        let found = parts.into_iter().find(|part| part.name == name);
        found.map(Some).ok_or_else(|| Failure::new(Fault::Internal).into())
    }

    /// How much more of a part is taken. Where types are searched for one after another, one takes no more than half of what the others have
    /// left: a type without end uses up its own share, and the rest of the record still comes.
    fn room(&self, part: &str) -> SpoolSize {
        let (limits, kept, own) = (self.peer.limits(), self.kept, self.own);
        let left = |most: u64, kept: u64, own: u64| match is_type(part) {
            true => (most.saturating_sub(kept.saturating_sub(own)) / 2).saturating_sub(own),
            false => most.saturating_sub(kept),
        };
        SpoolSize {
            pages: left(limits.exchange_pages, kept.pages, own.pages),
            entries: left(limits.exchange_entries, kept.entries, own.entries),
            bytes: left(limits.exchange_bytes, kept.bytes, own.bytes),
        }
    }

    /// The token for the next page: a new one when the time of the old one is over.
    async fn token(&mut self) -> Result<Secret, CallFailure> {
        if !is_good(self.session.member_token.as_ref(), self.held.ctx().clock.now_ms()) {
            self.renew().await?;
        }
        let token = self.session.member_token.as_ref().map(|token| token.secret.clone());
        token.ok_or_else(|| CallFailure::new(CallEnd::Unauthorized))
    }

    async fn renew(&mut self) -> Result<(), CallFailure> {
        tracing::info!(exchange = %self.facts.exchange_id, "a token is renewed while a record is fetched");
        self.session.member_token = None;
        token::run_for_member(self.session, self.facts, self.held)
            .await
            .map(drop)
    }

    /// Fetches the next body of a part.
    async fn page(&mut self, part: RecordPart, first: &str) -> Result<RecordPart, CallFailure> {
        let url = match &part.next {
            Some(link) => match self.peer.named(link) {
                Ok(url) => url,
                Err(failure) => return Err(self.led_away(&part.name, failure.fault()).await?),
            },
            None => self.peer.below(first)?,
        };
        let read = group_of_read(&part.name).and(part.next.clone());
        if self.session.has_progress && self.turn.is_over() {
            return Err(CallFailure::with(CallEnd::TurnOver, self.call.clone()));
        }
        let room = self.room(&part.name);
        if room.pages == 0 {
            return Err(CallFailure::new(CallEnd::Refused(Fault::PartnerTooMuch)));
        }
        let most = self.peer.limits().body_bytes.min(room.bytes);
        let mut page = match PageWriter::begin(self.scope, self.writer, part, url.as_str()).await {
            Err(failure) if failure.fault() == Fault::PartnerPagesLoop => {
                return Err(CallFailure::new(CallEnd::Refused(Fault::PartnerPagesLoop)));
            }
            other => other?,
        };
        page.at_most(room.entries);
        // The opt-in was judged when the page began, so a new token is asked for under it.
        let token = self.token().await?;
        let ask = PeerAsk::get(url, Some(&token), &self.facts.correlation_id);
        let facts = match read {
            Some(wanted) => self.one(&mut page, ask, &wanted).await?,
            None => self.bundle(&mut page, ask, most).await?,
        };
        match page.finish(self.scope.now_ms()).await {
            Ok(landed) => {
                self.call = facts;
                for size in [&mut self.kept, &mut self.own] {
                    size.pages += 1;
                    size.bytes += landed.bytes;
                    size.entries += landed.entries;
                }
                Ok(landed.part)
            }
            // It came to an end of the connection before it came to its own.
            Err(failure) => Err(unreadable(failure, facts, CallEnd::Unknown)),
        }
    }

    /// Keeps a Bundle while it arrives.
    async fn bundle(&self, page: &mut PageWriter, ask: PeerAsk<'_>, most: u64) -> Result<CallFacts, CallFailure> {
        let mut body = self.peer.send(ask, most).await?;
        page.dated(body.facts().date_ms);
        while let Some(bytes) = body.next().await? {
            if let Err(failure) = page.write(&bytes).await {
                return Err(unreadable(failure, body.facts().clone(), CallEnd::ServerFault));
            }
        }
        Ok(body.finish())
    }

    /// Keeps the resource that a read gives, as the only entry of a Bundle.
    async fn one(&self, page: &mut PageWriter, ask: PeerAsk<'_>, wanted: &str) -> Result<CallFacts, CallFailure> {
        let (bytes, facts) = self.peer.read(ask).await?;
        if !single::is(&bytes, wanted) {
            return Err(CallFailure::with(CallEnd::Refused(Fault::PartnerNotFhir), facts));
        }
        page.dated(facts.date_ms);
        for bytes in [single::BEFORE, &bytes, single::AFTER] {
            if let Err(failure) = page.write(bytes).await {
                return Err(unreadable(failure, facts, CallEnd::ServerFault));
            }
        }
        Ok(facts)
    }
}

/// Whether what was asked for is not there, or not any more.
fn is_gone(failure: &CallFailure) -> bool {
    matches!(failure.end, CallEnd::Refused(_)) && matches!(failure.facts.status, Some(404 | 410))
}

/// What a failure while a body is kept means: whether the body cannot be read, or something of ours failed.
fn unreadable(failure: Failure, facts: CallFacts, cut: CallEnd) -> CallFailure {
    let end = match failure.fault() {
        Fault::NotJson => cut,
        Fault::PartnerNotFhir | Fault::TooDeep | Fault::TooLarge | Fault::DuplicateKey | Fault::ResourceInvalid => {
            CallEnd::ServerFault
        }
        fault @ (Fault::PartnerTooMuch | Fault::PartnerPagesLoop) => CallEnd::Refused(fault),
        fault => CallEnd::Own(fault),
    };
    CallFailure::with(end, facts).because(failure)
}
