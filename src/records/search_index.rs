//! The index rows of stored resources for searches: made with each resource, and made
//! again when the table of search parameters has changed.

use super::compartment;
use super::in_parallel::in_parallel;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::fhir::prescreen::{ScreenLimits, Screened, screen};
use crate::fhir::search::{IndexedValues, extract, params};
use crate::store::Db;
use crate::store::resources::{self, OwnedBody, SEQUENCE_BITS};
use crate::store::search_rows::{self, IndexState, PEOPLE, SearchDate, SearchValue};

/// How many resources one step of [`bring_up`] handles.
const STEP: i64 = 1_000;

/// Returns what is indexed of a resource of this owner.
pub fn of(resource: &Screened<'_>, owner_id: Option<&str>, base_url: &str) -> IndexedValues {
    if resource.root().get("resourceType").is_some_and(|own| own.is("Binary")) {
        return IndexedValues::default();
    }
    extract(resource, owner_id, |text| {
        compartment::local(text, base_url).map(|(rtype, id)| (rtype.to_owned(), id.to_owned()))
    })
}

/// Index rows that are written together.
#[derive(Default)]
pub struct Rows<'a> {
    values: Vec<SearchValue<'a>>,
    dates: Vec<SearchDate>,
}

impl<'a> Rows<'a> {
    /// Adds what is indexed of the resource with this key.
    pub fn add(&mut self, indexed: &'a IndexedValues, key: i64) {
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

    /// Writes the rows.
    ///
    /// # Errors
    /// Those of the database.
    pub fn write(&self, db: &mut Db) -> Result<(), Failure> {
        search_rows::index(db, &self.values, &self.dates)
    }
}

/// Returns the key after which the index must be built; `None` when it is complete for this program's table of parameters.
///
/// # Errors
/// Those of the database.
pub(super) fn due_after(db: &mut Db) -> Result<Option<i64>, Failure> {
    Ok(match search_rows::index_state(db)? {
        IndexState::Whole(params::VERSION) => None,
        IndexState::Partly {
            version: params::VERSION,
            after_key,
        } => Some(after_key),
        _ => Some(-1),
    })
}

/// Builds the index again when it was built for another table of parameters. `tell` receives how many resources are done. It can be
/// interrupted and continues where it stopped; each step is one transaction.
///
/// # Errors
/// Those of the store.
pub fn bring_up(ctx: &Context, tell: &mut dyn FnMut(u64)) -> Result<(), Failure> {
    bring_up_by(ctx, STEP, tell)
}

/// [`bring_up`] with this many resources in one step.
pub(super) fn bring_up_by(ctx: &Context, step: i64, tell: &mut dyn FnMut(u64)) -> Result<(), Failure> {
    let mut done = 0;
    loop {
        if ctx.store.read_blocking(due_after)?.is_none() {
            return Ok(());
        }
        let base_url = ctx.payer.base_url.clone();
        let count = ctx.store.write_blocking(move |db| {
            resources::lock(db)?;
            let Some(after) = due_after(db)? else { return Ok(0) };
            let stored = resources::bodies(db, after, step)?;
            write(db, &stored, &base_url)?;
            let state = match stored.last() {
                Some((last, ..)) => IndexState::Partly {
                    version: params::VERSION,
                    after_key: *last,
                },
                None => IndexState::Whole(params::VERSION),
            };
            search_rows::set_index_state(db, state)?;
            Ok(stored.len() as u64)
        })?;
        done += count;
        if count > 0 {
            tell(done);
        }
    }
}

/// Replaces the index rows of these resources.
fn write(db: &mut Db, stored: &[OwnedBody], base_url: &str) -> Result<(), Failure> {
    let made = in_parallel(
        stored,
        |(_, owner, body)| Ok(of(&screen(body, &ScreenLimits::record())?, owner.as_deref(), base_url)),
        || Err(Failure::new(Fault::Internal).because("indexing panicked")),
    );
    let indexed = made.into_iter().collect::<Result<Vec<IndexedValues>, Failure>>()?;
    search_rows::unindex(db, &stored.iter().map(|row| row.0).collect::<Vec<_>>())?;
    let mut rows = Rows::default();
    for (row, indexed) in stored.iter().zip(&indexed) {
        rows.add(indexed, row.0);
    }
    rows.write(db)
}
