//! An exchange with all that belongs to it, as read from the store; and the facts for a step.

use super::conclude::Position;
use super::kind::EXCHANGE;
use super::phase::{AskedFor, CoverKind, Phase};
use super::steps::{ExchangeFacts, MatchedAs, MissingPart, OptInFacts, OtherCoverage, Resume, StepName};
use super::tables::{ExchangeTables, of_exchange};
use crate::error::{Failure, Fault};
use crate::jobs;
use crate::partner::peer::PeerEndpoint;
use crate::secret::sha256_of;
use crate::store::Db;
use crate::store::activations;
use crate::store::exchanges::{self, AskRow, ExchangeResultRow, ExchangeRow, MissingRow};
use crate::store::opt_ins::{self, OptInRow};
use crate::store::partner_health::{self, HealthRow};
use crate::store::partners::{self, PartnerRow};
use std::sync::Arc;

/// An exchange with all that belongs to it.
#[derive(Clone, Debug)]
pub struct LoadedExchange {
    /// Its states.
    pub row: ExchangeRow,
    /// What it asks.
    pub ask: AskRow,
    /// What it has brought.
    pub result: ExchangeResultRow,
    /// What is missing.
    pub missing: Vec<MissingRow>,
    /// Whether its last attempt failed because the token was refused.
    pub was_unauthorized: bool,
    /// The tables by which it works.
    pub tables: Arc<ExchangeTables>,
}

/// What is read anew before each step: it may change at any time.
#[derive(Clone, Debug)]
pub struct Circumstances {
    /// The opt-in.
    pub opt_in: OptInRow,
    /// The partner.
    pub partner: PartnerRow,
    /// How its server does; `None` when it is well.
    pub health: Option<HealthRow>,
}

impl LoadedExchange {
    /// Reads the exchange with this id; `None` when there is none.
    ///
    /// # Errors
    /// [`Fault::StoreDamaged`] when a part of it is missing; those of the database.
    pub fn read(db: &mut Db, id: &str) -> Result<Option<LoadedExchange>, Failure> {
        let Some(row) = exchanges::find(db, id)? else {
            return Ok(None);
        };
        let ask = exchanges::ask_of(db, id)?.ok_or_else(|| damaged("an exchange without what it asks"))?;
        let result = exchanges::result_of(db, id)?.unwrap_or_else(|| ExchangeResultRow {
            exchange_id: id.to_owned(),
            ..ExchangeResultRow::default()
        });
        let missing = exchanges::missing_of(db, id)?;
        let last = exchanges::last_attempt(db, id)?;
        let was_unauthorized = last.is_some_and(|last| {
            last.class.as_deref() == Some("unauthorized") && last.round == row.round && row.attempts > 0
        });
        let tables = of_exchange(db, &row)?;
        Ok(Some(LoadedExchange {
            tables,
            row,
            ask,
            result,
            missing,
            was_unauthorized,
        }))
    }

    /// Reads the exchange once nobody else changes it, for a change without its job: a worker that is just writing a result ends first, and
    /// until this transaction ends no other begins. The job's row comes first, as where a worker writes the end of an attempt; where it
    /// begins a step the order is the other one, and of two that wait for each other the database lets one begin anew.
    ///
    /// # Errors
    /// As [`LoadedExchange::read`].
    pub fn hold(db: &mut Db, id: &str) -> Result<Option<LoadedExchange>, Failure> {
        jobs::hold(db, &EXCHANGE, id)?;
        exchanges::hold(db, id)?;
        LoadedExchange::read(db, id)
    }

    /// Its phase.
    ///
    /// # Errors
    /// [`Fault::StoreDamaged`] for a name that is not known.
    pub fn phase(&self) -> Result<Phase, Failure> {
        phase_of(&self.row)
    }

    /// The step that comes next.
    ///
    /// # Errors
    /// [`Fault::StoreDamaged`] for a name that is not known.
    pub fn step(&self) -> Result<StepName, Failure> {
        step_of(&self.row)
    }

    /// Where it stands.
    ///
    /// # Errors
    /// [`Fault::StoreDamaged`] for a name that is not known.
    pub fn position(&self) -> Result<Position, Failure> {
        Ok(Position {
            phase: self.phase()?,
            at: self.step()?,
            round: small(self.row.round),
            failed: small(self.row.attempts),
            deadline_ms: self.row.deadline_ms,
            lacks: !self.missing.is_empty(),
            has_quarantine: self.result.quarantined > 0,
            was_unauthorized: self.was_unauthorized,
        })
    }

    /// The facts for an attempt of `step`.
    ///
    /// # Errors
    /// [`Fault::StoreDamaged`] for a name that is not known.
    pub fn facts(&self, step: StepName, around: &Circumstances) -> Result<ExchangeFacts, Failure> {
        let ask = &self.ask;
        Ok(ExchangeFacts {
            exchange_id: self.row.id.clone(),
            partner: around.partner.clone(),
            member_id: self
                .row
                .member_id
                .clone()
                .ok_or_else(|| damaged("an exchange without a member"))?,
            coverage: OtherCoverage {
                member_number: ask.member_number.clone(),
                subscriber_number: ask.subscriber_number.clone(),
                group_number: ask.group_number.clone(),
                plan: ask.plan.clone(),
                number_system: ask.number_system.clone(),
                begins: ask.begins.clone(),
                ends: ask.ends.clone(),
            },
            own_coverage_id: ask.own_coverage_id.clone(),
            opt_in: OptInFacts {
                id: around.opt_in.id.clone(),
                from_ms: around.opt_in.from_ms,
                to_ms: around.opt_in.to_ms,
                policy: around.opt_in.policy.clone(),
                attested_by: around.opt_in.attested_by.clone(),
                attested_ms: around.opt_in.attested_ms,
                attested_how: around.opt_in.attested_how.clone(),
            },
            cover: CoverKind::parse(&ask.cover).ok_or_else(|| damaged("an unknown kind of cover"))?,
            asked_for: AskedFor::parse(&ask.asked_for).ok_or_else(|| damaged("an unknown purpose"))?,
            correlation_id: self.row.correlation_id.clone(),
            idempotency_key: idempotency_key(&self.row.id, step, small(self.row.round), &self.row.partner_id),
            round: small(self.row.round),
            attempt: small(self.row.attempts) + 1,
            since_ms: ask.since_ms,
            matched: self.matched(),
            missing: self.missing.iter().map(missing_part).collect(),
            resume: self.result.resume.clone().map(Resume),
            asked_at: step.calls().then(|| around.address()).flatten(),
            deadline_ms: self.row.deadline_ms,
            begun_ms: self.row.created_ms,
        })
    }

    fn matched(&self) -> Option<MatchedAs> {
        let found = MatchedAs {
            patient_id: self.result.patient_id.clone(),
            identifier_system: self.result.identifier_system.clone(),
            identifier: self.result.identifier.clone(),
        };
        (found.patient_id.is_some() || found.identifier.is_some()).then_some(found)
    }
}

impl Circumstances {
    /// Reads what may have changed since the last step. The partner speaks the dialect that is in force for it at `now_ms` (UTC milliseconds).
    ///
    /// # Errors
    /// [`Fault::StoreDamaged`] when the opt-in is gone, [`Fault::PartnerUnknown`] when the partner is; those of the database.
    pub fn read(db: &mut Db, exchange: &LoadedExchange, now_ms: i64) -> Result<Circumstances, Failure> {
        let mut partner = partners::by_id(db, &exchange.row.partner_id)?.ok_or(Fault::PartnerUnknown)?;
        if let Some(dialect) = activations::spoken(db, &partner.id, now_ms)? {
            partner.dialect = dialect;
        }
        Ok(Circumstances {
            opt_in: opt_ins::find(db, &exchange.ask.opt_in_id)?
                .ok_or_else(|| damaged("an exchange without its opt-in"))?,
            partner,
            health: partner_health::find(db, &exchange.row.partner_id)?,
        })
    }

    /// The FHIR base URL of the partner's registration.
    pub fn address(&self) -> Option<String> {
        PeerEndpoint::read(self.partner.endpoint.as_deref())
            .ok()
            .map(|endpoint| endpoint.fhir)
    }
}

/// The phase of an exchange.
///
/// # Errors
/// [`Fault::StoreDamaged`] for a name that is not known.
pub fn phase_of(row: &ExchangeRow) -> Result<Phase, Failure> {
    Phase::parse(&row.phase).ok_or_else(|| damaged("an unknown phase"))
}

/// The step of an exchange that comes next.
///
/// # Errors
/// [`Fault::StoreDamaged`] for a name that is not known.
pub fn step_of(row: &ExchangeRow) -> Result<StepName, Failure> {
    StepName::parse(&row.step)
        .filter(|step| step.is_lasting())
        .ok_or_else(|| damaged("an unknown step"))
}

/// The outbound idempotency key: derived, so that it is the same for all attempts of a round and after a restore. It holds no member data.
pub fn idempotency_key(exchange_id: &str, step: StepName, round: u32, partner_id: &str) -> String {
    let digest = sha256_of(&[
        exchange_id.as_bytes(),
        b"\n",
        step.code().as_bytes(),
        b"\n",
        round.to_string().as_bytes(),
        b"\n",
        partner_id.as_bytes(),
    ]);
    format!("px-{}", base32(&digest[..20]))
}

/// The bytes in base 32 (RFC 4648), lower case, without padding; five bytes become eight characters.
fn base32(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut text = String::with_capacity(bytes.len().div_ceil(5) * 8);
    let (mut bits, mut held) = (0_u32, 0_u32);
    for byte in bytes {
        bits = (bits << 8) | u32::from(*byte);
        held += 8;
        while held >= 5 {
            held -= 5;
            text.push(char::from(LETTERS[(bits >> held) as usize & 31]));
        }
    }
    if held > 0 {
        text.push(char::from(LETTERS[(bits << (5 - held)) as usize & 31]));
    }
    text
}

fn missing_part(row: &MissingRow) -> MissingPart {
    MissingPart {
        resource_type: row.resource_type.clone(),
        count: row.missing.and_then(|count| u64::try_from(count).ok()),
        page: row.page.and_then(|page| u64::try_from(page).ok()),
        resume: row.resume.clone().map(Resume),
        reason: row.reason.clone(),
    }
}

/// A number of the store that is small by its nature.
pub(super) fn small(number: i64) -> u32 {
    u32::try_from(number.max(0)).unwrap_or(u32::MAX)
}

/// The store does not hold what it should.
pub(super) fn damaged(what: &'static str) -> Failure {
    Failure::new(Fault::StoreDamaged).because(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_the_same_for_all_attempts_of_a_round_and_for_nothing_else() {
        let key = idempotency_key("x1", StepName::MemberMatch, 1, "p");
        assert_eq!(key, idempotency_key("x1", StepName::MemberMatch, 1, "p"));
        assert!(key.len() == 35 && key.starts_with("px-"), "{key}");
        for other in [
            idempotency_key("x2", StepName::MemberMatch, 1, "p"),
            idempotency_key("x1", StepName::Retrieve, 1, "p"),
            idempotency_key("x1", StepName::MemberMatch, 2, "p"),
            idempotency_key("x1", StepName::MemberMatch, 1, "q"),
        ] {
            assert_ne!(key, other);
        }
    }

    #[test]
    fn base32_is_that_of_the_rfc() {
        assert_eq!(base32(b"foobar"), "mzxw6ytboi");
        assert_eq!(base32(b"fooba"), "mzxw6ytb");
    }
}
