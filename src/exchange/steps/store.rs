//! Makes what came a part of the member's record, as long as that is permitted. Safe to repeat: what is stored is recognized by its content,
//! and each batch is one transaction with the rows that say so.

use super::super::permit::permit;
use super::blocking::blocking;
use super::check::quarantined;
use super::facts::ExchangeFacts;
use super::open::{OpenSession, Went};
use super::result::{StepEnd, StepGain};
use crate::error::Fault;
use crate::jobs::HeldJob;
use crate::partner::peer::CallFacts;
use crate::records::ingest::{self, IngestScope, IngestWriter, WorkTurn};

pub(super) async fn run(session: &mut OpenSession, facts: &ExchangeFacts, held: &HeldJob) -> Went {
    let (ctx, vault, id) = (
        held.ctx().clone(),
        session.access.vault().clone(),
        facts.exchange_id.clone(),
    );
    let may = permit(facts.terms(), held.ctx().clock.clone());
    let (writer, _give_up) = IngestWriter::leased(held, Some(may));
    let turn = WorkTurn::of(facts.round, session.access.turn());
    let stored = blocking(move || {
        let scope = IngestScope::reopen(&ctx, &vault, &id)?;
        let done = ingest::store(&scope, &writer, &turn);
        if done.as_ref().is_err_and(|failure| failure.fault() == Fault::SealBroken) {
            ingest::open_lost(&scope, &writer)?;
        }
        done
    })
    .await?;
    let Some(stored) = stored else {
        return Ok((StepEnd::More, CallFacts::default()));
    };
    let gain = StepGain::Stored {
        stored: stored.stored,
        unchanged: stored.unchanged,
        quarantined: quarantined(stored.quarantined),
    };
    Ok((StepEnd::Done(gain), CallFacts::default()))
}
