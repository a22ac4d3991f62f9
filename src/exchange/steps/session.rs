//! A session with one partner for one exchange: hands each step to its file, and says in the engine's words what became of it.

use super::access::PartnerAccess;
use super::blocking::blocking;
use super::facts::ExchangeFacts;
use super::open::{OpenSession, Went};
use super::result::{CallNotes, StepEnd, StepGain, StepReport, TransportFailure};
use super::{PartnerSession, PartnerSessions, StepName, Stepping};
use super::{acknowledge, check, find_partner, member_match, retrieve, store, token};
use crate::error::Fault;
use crate::jobs::HeldJob;
use crate::partner::peer::{CallEnd, CallFacts, CallFailure};
use crate::records::ingest::{IngestWriter, WorkTurn, forget_unstored, retract};

impl PartnerSession for OpenSession {
    fn run<'s>(&'s mut self, step: StepName, facts: &'s ExchangeFacts, held: &'s HeldJob) -> Stepping<'s> {
        Box::pin(async move {
            self.has_progress = false;
            let went = match step {
                StepName::FindPartner => find_partner::run(self, facts, held).await,
                StepName::Token => token::run(self, facts, held).await,
                StepName::MemberMatch => member_match::run(self, facts, held).await,
                StepName::MemberToken => token::run_for_member(self, facts, held).await,
                StepName::Retrieve => retrieve::run(self, facts, held).await,
                StepName::Check => check::run(self, facts, held).await,
                StepName::Store => store::run(self, facts, held).await,
                StepName::Acknowledge => acknowledge::run(),
            };
            StepReport {
                has_progress: self.has_progress,
                ..report(step.code(), went)
            }
        })
    }

    fn has_progress(&self) -> bool {
        self.has_progress
    }

    fn take_back<'s>(&'s mut self, _: &'s ExchangeFacts, _: &'s HeldJob) -> Stepping<'s> {
        // Nothing of one exchange runs on at the partner: every retrieval is an answer to one request. What a run over many has begun there,
        // the run ends when nobody waits for it any more.
        Box::pin(async { StepReport::of(StepEnd::Done(StepGain::Ready)) })
    }
}

impl PartnerSessions for PartnerAccess {
    fn open(&self, _: &ExchangeFacts) -> Box<dyn PartnerSession> {
        Box::new(OpenSession::new(self.clone()))
    }

    fn retract<'s>(&'s self, exchange_id: &'s str, held: &'s HeldJob) -> Stepping<'s> {
        let (ctx, vault, id) = (held.ctx().clone(), self.vault().clone(), exchange_id.to_owned());
        let (writer, give_up) = IngestWriter::leased(held, None);
        let turn = WorkTurn::of(0, self.turn());
        Box::pin(async move {
            // Held here, so that the thread stops when nobody waits for it any more.
            let _give_up = give_up;
            let done = blocking(move || match retract(&ctx, &vault, &writer, &id, &turn) {
                Err(failure) if failure.fault() == Fault::NothingReceived => Ok(Some(0)),
                other => other.map(|done| done.map(|done| done.removed + done.restored)),
            });
            let end = |taken: Option<u64>| match taken {
                Some(resources) => StepEnd::Done(StepGain::TakenOut { resources }),
                None => StepEnd::More,
            };
            let went = done.await.map(|taken| (end(taken), CallFacts::default()));
            report("retract", went.map_err(CallFailure::from))
        })
    }

    fn drop_unstored<'s>(&'s self, exchange_id: &'s str, held: &'s HeldJob) -> Stepping<'s> {
        Box::pin(async move {
            let (writer, _give_up) = IngestWriter::leased(held, None);
            let done = forget_unstored(&writer, exchange_id).await;
            let went = done.map(|()| (StepEnd::Done(StepGain::Ready), CallFacts::default()));
            report("drop_unstored", went.map_err(CallFailure::from))
        })
    }
}

/// The report of a step, in the engine's words.
fn report(step: &'static str, went: Went) -> StepReport {
    match went {
        Ok((end, facts)) => StepReport {
            call: notes(facts),
            ..StepReport::of(end)
        },
        Err(failure) if failure.end == CallEnd::TurnOver => StepReport {
            call: notes((*failure.facts).clone()),
            ..StepReport::of(StepEnd::More)
        },
        Err(failure) => {
            let cause = failure
                .cause
                .as_deref()
                .map(|cause| cause.to_string())
                .unwrap_or_default();
            tracing::warn!(step, end = ?failure.end, status = failure.facts.status, issues = %failure.issues, cause,
                "a step of an exchange failed");
            StepReport {
                call: notes((*failure.facts).clone()),
                ..StepReport::of(end_of(&failure))
            }
        }
    }
}

fn notes(facts: CallFacts) -> CallNotes {
    CallNotes {
        http_status: facts.status,
        partner_request_id: facts.request_id,
        request_digest: facts.sent_sha256,
        response_digest: facts.came_sha256,
        bytes: facts.bytes,
        checkpoint: facts.checkpoint,
    }
}

/// The end of a step whose call failed.
pub fn end_of(failure: &CallFailure) -> StepEnd {
    let transport = |how: TransportFailure| StepEnd::Transport {
        failure: how,
        retry_after_ms: failure.retry_after_ms,
        resume: None,
    };
    match failure.end {
        CallEnd::TurnOver => StepEnd::More,
        CallEnd::NotSent => transport(TransportFailure::NotSent),
        CallEnd::Unknown => transport(TransportFailure::Unknown),
        CallEnd::ToldToWait => transport(TransportFailure::ToldToWait),
        CallEnd::ServerFault => transport(TransportFailure::ServerFault),
        CallEnd::Unauthorized => transport(TransportFailure::Unauthorized),
        CallEnd::Refused(fault) => StepEnd::refused(fault),
        CallEnd::Trust(fault) => StepEnd::NeedsPerson { fault },
        CallEnd::Own(fault) => own(fault),
    }
}

/// The end that a fault of ours makes. What a person has to mend is told; the rest passes.
fn own(fault: Fault) -> StepEnd {
    match fault {
        Fault::SealBroken | Fault::NothingReceived => StepEnd::Back {
            to: StepName::Retrieve,
            fault,
        },
        Fault::OtherMember
        | Fault::PatientMissing
        | Fault::MemberUnknown
        | Fault::MemberIncomplete
        | Fault::PartnerHasNoEndpoint
        | Fault::ConfigInvalid
        | Fault::SealKeys
        | Fault::StoreDamaged => StepEnd::NeedsPerson { fault },
        Fault::OptInRevoked | Fault::OptInOver | Fault::PartnerStopped => StepEnd::NotPermitted { fault },
        _ => StepEnd::OwnTrouble { fault },
    }
}
