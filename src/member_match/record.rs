//! The last step: writes a decision with all its rows in one transaction, after the guessing guard has weighed it, and answers the request.

use super::answer::{self, MatchAnswer};
use super::arrival::Arrival;
use super::asked::MatchAsked;
use super::decide::MatchDecision;
use super::guess::{self, Gate};
use super::identify::Judgement;
use super::replay::IdempotencyKey;
use super::resolve::Resolution;
use super::review_rows;
use super::rows::{self, Findings, Received};
use crate::consent::{self, ConsentTerms};
use crate::error::{Failure, Fault};
use crate::fhir::outcome;
use crate::store::guesses::End;
use crate::store::matching::{MatchRecord, PossibleMember};

/// Everything that led to a decision.
pub(super) struct Matter<'a> {
    pub arrival: &'a Arrival<'a>,
    pub keyed: Option<&'a IdempotencyKey>,
    pub asked: &'a MatchAsked,
    pub identified: &'a Judgement,
    pub resolution: &'a Resolution,
}

/// Writes `decision` and returns the answer. The decision is committed before this returns.
///
/// # Errors
/// [`Fault::NoUniqueMember`] both for no member and for several; [`Fault::ConsentNotHonoured`] only after a member was matched;
/// [`Fault::MatchLocked`] when the guessing guard stops the caller; a failure for which [`is_raced`](crate::store::matching::is_raced) is
/// true when the rows that were read have changed; those of the store.
pub(super) async fn record(matter: &Matter<'_>, decision: &MatchDecision) -> Result<MatchAnswer, Failure> {
    match (decision, &matter.resolution.member) {
        (MatchDecision::Granted { terms, by_person }, Some(member)) => {
            matter.grant(decision, member, *terms, *by_person).await
        }
        (MatchDecision::Granted { .. }, None) => Err(Failure::new(Fault::Internal).because("a grant to nobody")),
        (MatchDecision::NotHonoured(_), _) => matter.refuse(decision, Fault::ConsentNotHonoured).await,
        (MatchDecision::Nobody | MatchDecision::Doubtful(_), _) => matter.refuse(decision, Fault::NoUniqueMember).await,
    }
}

impl Matter<'_> {
    fn findings(&self) -> Findings<'_> {
        Findings {
            identified: self.identified,
            resolution: self.resolution,
            consent: self.asked.consent,
        }
    }

    async fn refuse(&self, decision: &MatchDecision, fault: Fault) -> Result<MatchAnswer, Failure> {
        let failure = Failure::new(fault);
        let body = outcome::bytes(&failure, &self.arrival.ctx.payer.base_url);
        let mut record = rows::refused(self.arrival, &self.findings(), decision, fault, &body);
        self.remember(&mut record, fault.row().http, &body);
        let (permitted, end) = match decision {
            MatchDecision::NotHonoured(_) => (false, End::Withheld),
            _ => (self.asked.consent.is_ok(), End::Failed),
        };
        self.leave(decision, permitted, &mut record)?;
        record.doubt = review_rows::doubt(self.identified, decision);
        match self.write(end, record).await? {
            Gate::Shut(until_ms) => Err(guess::must_wait(until_ms, self.arrival.now_ms())),
            Gate::Silent => Err(Failure::new(Fault::NoUniqueMember).noted()),
            Gate::Open => Err(failure.noted()),
        }
    }

    async fn grant(
        &self,
        decision: &MatchDecision,
        member: &PossibleMember,
        terms: ConsentTerms,
        by_person: bool,
    ) -> Result<MatchAnswer, Failure> {
        let (payer, dialect) = (&self.arrival.ctx.payer, &self.arrival.caller.partner.dialect);
        let body = answer::bytes(payer, dialect, &member.umb, &member.patient_id)?;
        let received = Received {
            digest: self.asked.wanted.consent_digest.clone(),
            kept: match member.known {
                None => consent::kept(&self.asked.consent_bytes)?,
                Some(_) => Vec::new(),
            },
        };
        let findings = self.findings();
        let mut record = rows::granted(self.arrival, &findings, decision, (member, terms), received, &body);
        self.leave(decision, true, &mut record)?;
        if let Some(row) = &record.decision {
            let found = (self.identified, self.resolution);
            record.bond = review_rows::link(self.arrival, self.asked, found, (member, by_person), &row.id)?;
        }
        self.remember(&mut record, 200, &body);
        let end = End::Granted {
            patient_id: member.patient_id.clone(),
            by_person,
        };
        match self.write(end, record).await? {
            Gate::Open => Ok(MatchAnswer {
                status: 200,
                body,
                replayed: false,
            }),
            Gate::Silent => Err(Failure::new(Fault::NoUniqueMember).noted()),
            Gate::Shut(until_ms) => Err(guess::must_wait(until_ms, self.arrival.now_ms())),
        }
    }

    fn leave(&self, decision: &MatchDecision, permitted: bool, record: &mut MatchRecord) -> Result<(), Failure> {
        let found = (self.identified, self.resolution);
        review_rows::leave(self.arrival, self.asked, found, (decision, permitted), record)
    }

    /// Adds the row that remembers this answer under the request's idempotency key, if it sent one.
    fn remember(&self, record: &mut MatchRecord, status: u16, body: &[u8]) {
        let decision_id = record.decision.as_ref().map(|decision| decision.id.as_str());
        record.reply = self
            .keyed
            .map(|key| key.reply(self.arrival.now_ms(), status, body, decision_id));
    }

    async fn write(&self, end: End, record: MatchRecord) -> Result<Gate, Failure> {
        let near = self.identified.near().map(|found| found.patient_id.as_str());
        let guess = self.asked.guess.guess(self.arrival, near, end);
        guess::write(self.arrival, guess, record).await
    }
}
