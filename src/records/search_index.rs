//! What searches look up of stored resources: made with each resource, and made anew when the table of parameters changed.

use super::compartment;
use crate::context::Context;
use crate::error::Failure;
use crate::fhir::prescreen::{Limits, Screened, screen};
use crate::fhir::search::{Indexed, extract, params};
use crate::store::Db;
use crate::store::resources::{self, PEOPLE, SEQUENCE_BITS, SearchDate, SearchValue};

/// Resources of one step of [`bring_up`].
const STEP: i64 = 500;

/// What is indexed of a resource of this owner.
pub fn of(resource: &Screened<'_>, owner_id: Option<&str>, base_url: &str) -> Indexed {
    if resource.root().get("resourceType").is_some_and(|own| own.is("Binary")) {
        return Indexed::default();
    }
    extract(resource, owner_id, |text| {
        compartment::local(text, base_url).map(|(rtype, id)| (rtype.to_owned(), id.to_owned()))
    })
}

/// Rows to be written together.
#[derive(Default)]
pub struct Rows<'a> {
    values: Vec<SearchValue<'a>>,
    dates: Vec<SearchDate>,
}

impl<'a> Rows<'a> {
    /// Adds what is indexed of the resource under `key`.
    pub fn add(&mut self, indexed: &'a Indexed, key: i64) {
        let compartment = key >> SEQUENCE_BITS;
        self.values
            .extend(indexed.values.iter().map(|(param, value, system)| SearchValue {
                compartment,
                param: *param,
                value,
                system,
                key,
            }));
        let identifiers = indexed
            .values
            .iter()
            .filter(|(param, ..)| *param == params::PATIENT_IDENTIFIER);
        self.values
            .extend(identifiers.map(|(param, value, system)| SearchValue {
                compartment: PEOPLE,
                param: *param,
                value,
                system,
                key,
            }));
        self.dates
            .extend(indexed.dates.iter().map(|&(param, from_ms, to_ms)| SearchDate {
                compartment,
                param,
                from_ms,
                to_ms,
                key,
            }));
    }

    /// Writes them.
    ///
    /// # Errors
    /// Those of the database.
    pub fn write(&self, db: &mut Db) -> Result<(), Failure> {
        resources::index(db, &self.values, &self.dates)
    }
}

/// Makes the index anew when it follows another table of parameters than this program's. `tell` hears how many resources are
/// done. It can be broken off and begun again; each step is one transaction.
///
/// # Errors
/// Those of the store.
pub fn bring_up(ctx: &Context, tell: &mut dyn FnMut(u64)) -> Result<(), Failure> {
    if ctx.store.read_blocking(resources::index_version)? == Some(params::VERSION) {
        return Ok(());
    }
    let (mut after, mut done) = (-1, 0);
    loop {
        let base_url = ctx.payer.base_url.clone();
        let (last, count) = ctx.store.write_blocking(move |db| {
            resources::lock(db)?;
            let stored = resources::bodies(db, after, STEP)?;
            let mut indexed = Vec::with_capacity(stored.len());
            for (key, owner, body) in &stored {
                let screened = screen(body, &Limits::record())?;
                indexed.push((*key, of(&screened, owner.as_deref(), &base_url)));
            }
            resources::unindex(db, &stored.iter().map(|row| row.0).collect::<Vec<_>>())?;
            let mut rows = Rows::default();
            for (key, indexed) in &indexed {
                rows.add(indexed, *key);
            }
            rows.write(db)?;
            if stored.is_empty() {
                resources::set_index_version(db, params::VERSION)?;
            }
            Ok((stored.last().map(|row| row.0), stored.len() as u64))
        })?;
        let Some(last) = last else { return Ok(()) };
        after = last;
        done += count;
        tell(done);
    }
}
