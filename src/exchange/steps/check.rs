//! Checks what came. Safe to repeat: it only reads, notes how far it has come, and opens what cannot be read any more to be fetched
//! again.

use super::blocking::blocking;
use super::facts::ExchangeFacts;
use super::open::{OpenSession, Went};
use super::result::{Quarantined, StepEnd, StepGain};
use crate::error::Fault;
use crate::jobs::HeldJob;
use crate::partner::peer::CallFacts;
use crate::records::ingest::{self, IngestScope, IngestWriter, WorkTurn};
use std::collections::BTreeMap;

pub(super) async fn run(session: &mut OpenSession, facts: &ExchangeFacts, held: &HeldJob) -> Went {
    let (ctx, vault, id) = (
        held.ctx().clone(),
        session.access.vault().clone(),
        facts.exchange_id.clone(),
    );
    let (writer, _give_up) = IngestWriter::leased(held, None);
    let turn = WorkTurn::of(facts.round, session.access.turn());
    let checked = blocking(move || {
        let scope = IngestScope::reopen(&ctx, &vault, &id)?;
        let done = ingest::check(&scope, &writer, &turn);
        if done.as_ref().is_err_and(|failure| failure.fault() == Fault::SealBroken) {
            ingest::open_lost(&scope, &writer)?;
        }
        done
    })
    .await?;
    let Some(checked) = checked else {
        return Ok((StepEnd::More, CallFacts::default()));
    };
    let gain = StepGain::Checked {
        good: checked.good,
        quarantined: quarantined(checked.quarantined),
    };
    Ok((StepEnd::Done(gain), CallFacts::default()))
}

/// Counts by reason, as the engine takes them.
pub(super) fn quarantined(counts: BTreeMap<String, u64>) -> Vec<Quarantined> {
    counts
        .into_iter()
        .map(|(reason, count)| Quarantined { reason, count })
        .collect()
}
