//! For whom and from whom one exchange brings records. It writes nothing but the secret of the names.

use super::super::bases::SourceBase;
use super::super::index::Indexer;
use super::super::keep::Run;
use super::super::seen::SeenInRun;
use super::names::Names;
use super::state::{RECEIVING, RETRACTED};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::security::vault::{Seal, Vault};
use crate::store::ingest as rows;
use crate::store::ingest::IngestRow;
use crate::store::resources::{self, NOBODY};
use serde::{Deserialize, Serialize};

/// Where the facts of [`BothSides`] are sealed for.
const ABOUT: &str = "about";

/// The member, on both sides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BothSides {
    /// Id of the exchange.
    pub exchange_id: String,
    /// Id of the partner.
    pub partner_id: String,
    /// Name of the partner, for Provenance.
    pub partner_name: String,
    /// The partner's FHIR base URL, without a slash at its end.
    pub partner_base: String,
    /// Id of the member's Patient at the partner.
    pub their_patient: String,
    /// Id of the member's Patient here.
    pub our_patient: String,
}

/// Everything that the work on one exchange's records needs. Clones are cheap enough for one exchange.
#[derive(Clone)]
pub struct IngestScope {
    pub(super) ctx: Context,
    pub(super) matched: BothSides,
    pub(super) seal: Seal,
    pub(super) names: Names,
    pub(super) base: SourceBase,
    pub(super) run: Run,
    /// The key under which this exchange is sealed.
    pub(super) key_id: String,
}

impl IngestScope {
    /// Opens the scope of an exchange. Blocks this thread.
    ///
    /// # Errors
    /// [`Fault::SealKeys`]; those of the store.
    pub fn open(ctx: &Context, vault: &Vault, matched: BothSides) -> Result<IngestScope, Failure> {
        let there = ctx
            .store
            .read_blocking(|db| rows::find(db, &matched.exchange_id))?
            .map(|row| row.key_id);
        let key_id = there.unwrap_or_else(|| vault.current().to_owned());
        Ok(IngestScope {
            seal: vault.seal_of(&key_id, &matched.exchange_id)?,
            names: Names::open(ctx, &matched.partner_id, &matched.our_patient)?,
            base: SourceBase::learnt(matched.partner_base.as_str().into()),
            run: run_for(ctx, &matched.our_patient)?,
            ctx: ctx.clone(),
            matched,
            key_id,
        })
    }

    /// Opens the scope of an exchange that brought something before. Blocks this thread.
    ///
    /// # Errors
    /// [`Fault::NothingReceived`]; [`Fault::SealKeys`]; [`Fault::SealBroken`]; those of the store.
    pub fn reopen(ctx: &Context, vault: &Vault, exchange_id: &str) -> Result<IngestScope, Failure> {
        let row = ctx
            .store
            .read_blocking(|db| rows::find(db, exchange_id))?
            .ok_or(Fault::NothingReceived)?;
        let about = vault
            .seal_of(&row.key_id, exchange_id)?
            .open(ABOUT, &row.sealed_about)?;
        let matched = serde_json::from_slice(&about).map_err(|_| Failure::new(Fault::SealBroken))?;
        IngestScope::open(ctx, vault, matched)
    }

    /// The row of the exchange, as it is made.
    pub(super) fn row(&self, method: &str) -> Result<IngestRow, Failure> {
        let now_ms = self.ctx.clock.now_ms();
        Ok(IngestRow {
            exchange_id: self.matched.exchange_id.clone(),
            partner_id: self.matched.partner_id.clone(),
            patient_id: self.matched.our_patient.clone(),
            key_id: self.key_id.clone(),
            sealed_about: self.sealed_about()?,
            method: method.to_owned(),
            state: RECEIVING.into(),
            created_ms: now_ms,
            updated_ms: now_ms,
        })
    }

    /// The member on both sides, sealed.
    pub(super) fn sealed_about(&self) -> Result<Vec<u8>, Failure> {
        let about = serde_json::to_vec(&self.matched).map_err(|error| Failure::new(Fault::Internal).because(error))?;
        self.seal.seal(ABOUT, &about)
    }

    /// The exchange's id.
    pub fn exchange_id(&self) -> &str {
        &self.matched.exchange_id
    }

    /// The member on both sides, and the exchange.
    pub fn sides(&self) -> &BothSides {
        &self.matched
    }

    /// The present time, UTC milliseconds.
    pub fn now_ms(&self) -> i64 {
        self.ctx.clock.now_ms()
    }

    pub(super) fn base_url(&self) -> &str {
        &self.ctx.payer.base_url
    }

    /// Fails when the exchange is not this scope's any more.
    pub(super) fn same(&self, row: &IngestRow) -> Result<(), Failure> {
        let same = row.partner_id == self.matched.partner_id && row.patient_id == self.matched.our_patient;
        match same && row.key_id == self.key_id {
            true => Ok(()),
            false => Err(Failure::new(Fault::StoreDamaged).because("an exchange has rows of another member")),
        }
    }
}

/// How what belongs to the member with this Patient id is written: nothing gets into the record of another one, or out of it. It needs no
/// keys. Blocks this thread.
///
/// # Errors
/// Those of the store.
pub(super) fn run_for(ctx: &Context, our_patient: &str) -> Result<Run, Failure> {
    let only = ctx
        .store
        .read_blocking(|db| Ok(resources::compartments(db, &[our_patient])?.get(our_patient).copied()))?;
    Ok(Run {
        seen: SeenInRun::default(),
        indexer: Indexer::open(ctx)?,
        ids: ctx.ids.clone(),
        clock: ctx.clock.clone(),
        dry_run: None,
        only: Some(only.unwrap_or(NOBODY)),
    })
}

/// Returns the ids of the keys under which something is sealed, and which the file of keys does not have. Blocks this thread.
///
/// # Errors
/// Those of the store.
pub fn missing_keys(ctx: &Context, vault: &Vault) -> Result<Vec<String>, Failure> {
    let used = ctx.store.read_blocking(|db| rows::key_ids(db, RETRACTED))?;
    Ok(used.into_iter().filter(|id| !vault.has(id)).collect())
}
