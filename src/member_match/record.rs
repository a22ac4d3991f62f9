//! The last step: builds the rows of a decision and, for a single match, writes them in one transaction after the guessing guard has weighed
//! it, and answers the request. A bulk match builds the same rows and writes those of many members together.

use super::answer::{self, MatchAnswer};
use super::arrival::Arrival;
use super::asked::MatchAsked;
use super::decide::MatchDecision;
use super::guess;
use super::hashes;
use super::identify::Judgement;
use super::replay::IdempotencyKey;
use super::resolve::Resolution;
use super::review_rows;
use super::rows::{self, Findings, Received};
use crate::consent::{self, ConsentTerms};
use crate::error::{Failure, Fault};
use crate::store::guesses::{End, Guess};
use crate::store::matching::{MatchRecord, PossibleMember};

/// Everything that led to a decision.
pub(super) struct Matter<'a> {
    pub arrival: &'a Arrival<'a>,
    pub keyed: Option<&'a IdempotencyKey>,
    pub asked: &'a MatchAsked,
    pub identified: &'a Judgement,
    pub resolution: &'a Resolution,
}

/// The rows of a decision, and the answer if the guessing guard lets them pass.
pub(super) struct DecisionRows {
    pub guess: Guess,
    pub record: MatchRecord,
    pub answer: Result<MatchAnswer, Failure>,
}

/// Writes `decision` and returns the answer. The decision is committed before this returns.
///
/// # Errors
/// [`Fault::NoUniqueMember`] both for no member and for several; [`Fault::ConsentNotHonoured`] only after a member was matched;
/// [`Fault::MatchLocked`] when the guessing guard stops the caller; a failure for which [`is_raced`](crate::store::matching::is_raced) is
/// true when the rows that were read have changed; those of the store.
pub(super) async fn record(matter: &Matter<'_>, decision: &MatchDecision) -> Result<MatchAnswer, Failure> {
    let rows = matter.rows(decision)?;
    guess::write(matter.arrival, rows.guess, rows.record).await?;
    rows.answer
}

impl Matter<'_> {
    /// Builds the rows of `decision` without writing them.
    ///
    /// # Errors
    /// Those of the reviews and identity links that belong to the decision.
    pub(super) fn rows(&self, decision: &MatchDecision) -> Result<DecisionRows, Failure> {
        match (decision, &self.resolution.member) {
            (MatchDecision::Granted { terms, by_person }, Some(member)) => {
                self.grant(decision, member, *terms, *by_person)
            }
            (MatchDecision::Granted { .. }, None) => Err(Failure::new(Fault::Internal).because("a grant to nobody")),
            (MatchDecision::NotHonoured(_), _) => self.refuse(decision, Fault::ConsentNotHonoured),
            (MatchDecision::Nobody | MatchDecision::Doubtful(_), _) => self.refuse(decision, Fault::NoUniqueMember),
        }
    }

    fn findings(&self) -> Findings<'_> {
        Findings {
            identified: self.identified,
            resolution: self.resolution,
            consent: self.asked.consent,
        }
    }

    fn refuse(&self, decision: &MatchDecision, fault: Fault) -> Result<DecisionRows, Failure> {
        let failure = Failure::new(fault);
        let body = self.arrival.body_of(&failure);
        let mut record = rows::refused(self.arrival, &self.findings(), decision, fault, &body);
        self.remember(&mut record, fault.row().http, &body);
        let end = match decision {
            MatchDecision::NotHonoured(_) => End::Withheld,
            _ => End::Failed,
        };
        self.finished(end, decision, record, Err(failure.noted()))
    }

    fn grant(
        &self,
        decision: &MatchDecision,
        member: &PossibleMember,
        terms: ConsentTerms,
        by_person: bool,
    ) -> Result<DecisionRows, Failure> {
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
        self.remember(&mut record, 200, &body);
        let end = End::Granted {
            patient_id: member.patient_id.clone(),
            by_person,
        };
        let answer = MatchAnswer {
            status: 200,
            body,
            replayed: false,
        };
        self.finished(end, decision, record, Ok(answer))
    }

    /// Adds the row that remembers this answer under the request's idempotency key, if it sent one.
    fn remember(&self, record: &mut MatchRecord, status: u16, body: &[u8]) {
        let decision_id = record.decision.as_ref().map(|decision| decision.id.as_str());
        record.reply = self
            .keyed
            .map(|key| key.reply(self.arrival.now_ms(), status, body, decision_id));
    }

    /// Adds the rows of the review and the link, and what the guessing guard has to weigh.
    fn finished(
        &self,
        end: End,
        decision: &MatchDecision,
        mut record: MatchRecord,
        answer: Result<MatchAnswer, Failure>,
    ) -> Result<DecisionRows, Failure> {
        let found = (self.identified, self.resolution);
        review_rows::add(self.arrival, self.asked, found, decision, &mut record)?;
        let near = self.identified.near().map(|found| found.patient_id.as_str());
        let guess = hashes::guess(self.arrival, &self.asked.wanted.profile, near, end);
        Ok(DecisionRows { guess, record, answer })
    }
}
