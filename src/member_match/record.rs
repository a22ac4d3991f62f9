//! The last step: writes a decision with all its rows in one transaction, after the guessing guard has weighed it, and answers the request.

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
        let end = match decision {
            MatchDecision::NotHonoured(_) => End::Withheld,
            _ => End::Failed,
        };
        self.write(end, decision, record).await?;
        Err(failure.noted())
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
        self.remember(&mut record, 200, &body);
        let end = End::Granted {
            patient_id: member.patient_id.clone(),
            by_person,
        };
        self.write(end, decision, record).await?;
        Ok(MatchAnswer {
            status: 200,
            body,
            replayed: false,
        })
    }

    /// Adds the row that remembers this answer under the request's idempotency key, if it sent one.
    fn remember(&self, record: &mut MatchRecord, status: u16, body: &[u8]) {
        let decision_id = record.decision.as_ref().map(|decision| decision.id.as_str());
        record.reply = self
            .keyed
            .map(|key| key.reply(self.arrival.now_ms(), status, body, decision_id));
    }

    /// Adds the rows of the review and the link, and writes the record. Fails when the guessing guard replaces the answer.
    async fn write(&self, end: End, decision: &MatchDecision, mut record: MatchRecord) -> Result<(), Failure> {
        let found = (self.identified, self.resolution);
        review_rows::add(self.arrival, self.asked, found, decision, &mut record)?;
        let near = self.identified.near().map(|found| found.patient_id.as_str());
        let guess = hashes::guess(self.arrival, &self.asked.wanted.profile, near, end);
        guess::write(self.arrival, guess, record).await
    }
}
