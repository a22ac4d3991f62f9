//! Makes what came a part of the member's record. Safe to repeat: what is stored is recognized by its content, and each batch is one
//! transaction with the rows that say so.

use super::blocking::blocking;
use super::check::quarantined;
use super::facts::ExchangeFacts;
use super::open::{OpenSession, Went};
use super::result::{StepEnd, StepGain};
use crate::jobs::HeldJob;
use crate::partner::peer::CallFacts;
use crate::records::ingest::{self, IngestScope, IngestWriter};

pub(super) async fn run(session: &mut OpenSession, facts: &ExchangeFacts, held: &HeldJob) -> Went {
    let (ctx, vault, id) = (
        held.ctx().clone(),
        session.access.vault().clone(),
        facts.exchange_id.clone(),
    );
    let writer = IngestWriter::Leased(held.clone());
    let stored = blocking(move || ingest::store(&IngestScope::reopen(&ctx, &vault, &id)?, &writer)).await?;
    let gain = StepGain::Stored {
        stored: stored.stored,
        unchanged: stored.unchanged,
        quarantined: quarantined(stored.quarantined),
    };
    Ok((StepEnd::Done(gain), CallFacts::default()))
}
