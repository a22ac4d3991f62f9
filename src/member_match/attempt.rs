//! One attempt at a match after both judgements: the rows of a refusal or of a grant, weighed by the guessing guard as they are written.

use super::guess;
use super::identify::Judgement;
use super::record::{Arrival, Judged, Received};
use super::{Answer, Asked, Keyed, answer, desk, doubt};
use crate::consent::{self, Terms};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::fhir::outcome;
use crate::security::Caller;
use crate::store::guesses::{End, Gate};
use crate::store::matching::{Found, Record};

/// What one attempt goes by.
pub(super) struct Attempt<'a> {
    pub ctx: &'a Context,
    pub caller: &'a Caller,
    pub arrival: &'a Arrival<'a>,
    pub asked: &'a Asked,
    pub identity: &'a Judgement,
    pub heard: &'a desk::Heard<'a>,
    pub keyed: Option<&'a Keyed>,
}

impl Attempt<'_> {
    /// Refuses. Where it was a person's question, it `asks`: what there is to decide is kept for a person.
    ///
    /// # Errors
    /// `fault`; [`Fault::MatchLocked`] when the guard speaks; those of the store.
    pub(super) async fn refuse(&self, fault: Fault, judged: &Judged<'_>, asks: bool) -> Result<Answer, Failure> {
        let (failure, mut decided) = self.refusal(fault, judged);
        if asks {
            self.heard
                .leave(self.ctx, self.arrival, judged.consent.is_ok(), &mut decided)?;
        }
        decided.doubt = doubt(self.identity).filter(|_| judged.outcome == "review");
        let (end, silent) = match fault {
            Fault::ConsentNotHonoured => (End::Withheld, Some(self.nobody(judged.consent))),
            _ => (End::Failed, None),
        };
        let (stand_in, silent) = silent.unzip();
        let rows = guess::Rows { decided, silent };
        match (self.write(end, rows).await?, stand_in) {
            (Gate::Shut(until_ms), _) => Err(guess::must_wait(until_ms, self.arrival.now_ms())),
            (Gate::Silent, Some(nobody)) => Err(nobody.noted()),
            (Gate::Open | Gate::Silent, _) => Err(failure.noted()),
        }
    }

    /// The answer when nobody is found, for a member whom too many guesses came near.
    fn nobody(&self, consent: Result<&'static str, &'static str>) -> (Failure, Record) {
        let judged = Judged {
            identity: self.identity,
            outcome: "guarded",
            consent,
            patient: None,
            review: self.heard.review(),
        };
        self.refusal(Fault::NoUniqueMember, &judged)
    }

    /// Grants `member` under `terms`.
    ///
    /// # Errors
    /// [`Fault::MatchLocked`] or [`Fault::NoUniqueMember`] when the guard speaks; those of the store.
    pub(super) async fn grant(&self, member: &Found, terms: Terms) -> Result<Answer, Failure> {
        let known = member.known.as_ref();
        let judged = Judged {
            identity: self.identity,
            outcome: "matched",
            consent: Ok(terms.scope.code()),
            patient: Some(&member.patient_id),
            review: self.heard.review(),
        };
        let dialect = &self.caller.partner.dialect;
        let body = answer::bytes(&self.ctx.payer, dialect, &member.umb, &member.patient_id);
        let kept = if known.is_none() {
            consent::kept(&self.asked.consent_raw)
        } else {
            Vec::new()
        };
        let received = Received {
            digest: self.asked.wanted.consent_digest.clone(),
            kept,
        };
        let mut decided = self.arrival.granted(&judged, member, terms, received, &body);
        self.heard.leave(self.ctx, self.arrival, true, &mut decided)?;
        if let Some(decision) = &decided.decision {
            decided.bond = self.heard.bond(self.ctx, member, &decision.id, self.arrival.now_ms())?;
        }
        let decision_id = decided.decision.as_ref().map(|decision| decision.id.as_str());
        decided.reply = self.keyed.map(|key| key.reply(self.arrival, 200, &body, decision_id));
        let (failure, silent) = self.nobody(judged.consent);
        let rows = guess::Rows {
            decided,
            silent: Some(silent),
        };
        let end = End::Granted {
            patient_id: member.patient_id.clone(),
            by_person: self.heard.is_by_person(),
        };
        match self.write(end, rows).await? {
            Gate::Open => Ok(Answer {
                status: 200,
                body,
                replayed: false,
            }),
            Gate::Silent => Err(failure.noted()),
            Gate::Shut(until_ms) => Err(guess::must_wait(until_ms, self.arrival.now_ms())),
        }
    }

    fn refusal(&self, fault: Fault, judged: &Judged<'_>) -> (Failure, Record) {
        let failure = Failure::new(fault);
        let body = outcome::bytes(&failure, &self.ctx.payer.base_url);
        let mut record = self.arrival.turned_down(judged, fault, &body);
        let decision_id = record.decision.as_ref().map(|decision| decision.id.as_str());
        record.reply = self
            .keyed
            .map(|key| key.reply(self.arrival, fault.row().http, &body, decision_id));
        (failure, record)
    }

    async fn write(&self, end: End, rows: guess::Rows) -> Result<Gate, Failure> {
        let near = self.identity.near().map(|found| found.patient_id.as_str());
        let guess = self.asked.guess.guess(self.ctx, self.arrival, near, end);
        guess::write(self.ctx, self.arrival, guess, rows).await
    }
}
