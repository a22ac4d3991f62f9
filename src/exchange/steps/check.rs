//! Checks what came. Safe to repeat: it only reads.

use super::blocking::blocking;
use super::facts::ExchangeFacts;
use super::open::{OpenSession, Went};
use super::result::{Quarantined, StepEnd, StepGain};
use crate::jobs::HeldJob;
use crate::partner::peer::CallFacts;
use crate::records::ingest::{self, IngestScope};
use std::collections::BTreeMap;

pub(super) async fn run(session: &mut OpenSession, facts: &ExchangeFacts, held: &HeldJob) -> Went {
    let (ctx, vault, id) = (
        held.ctx().clone(),
        session.access.vault().clone(),
        facts.exchange_id.clone(),
    );
    let checked = blocking(move || ingest::check(&IngestScope::reopen(&ctx, &vault, &id)?)).await?;
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
