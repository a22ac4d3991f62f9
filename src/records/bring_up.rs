//! What this version does once with everything that an older version stored: version
//! times, checking again, the search index, in this order.
//!
//! It can be interrupted at any point and started again; each step is one transaction, which records its progress. Only one process at a
//! time does it. This module decides what is due and runs it; the work itself is in the module of each part.

use super::{rejudge, search_index, visible};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::store::{Db, resources};

/// A part of the work that may be due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Replaces version times by those of this store's clock.
    Times,
    /// Checks everything by this version's release rules.
    Rules,
    /// Builds the search index for this version's parameters.
    Index,
}

impl Part {
    /// All parts, in the order in which they run.
    pub const ALL: [Part; 3] = [Part::Times, Part::Rules, Part::Index];

    /// Returns its name for programs.
    pub const fn name(self) -> &'static str {
        match self {
            Part::Times => "version-times",
            Part::Rules => "release-rules",
            Part::Index => "search-index",
        }
    }

    /// Returns a description for people.
    pub const fn text(self) -> &'static str {
        match self {
            Part::Times => "setting version times",
            Part::Rules => "judging stored resources by the rules of this version",
            Part::Index => "rebuilding the search index",
        }
    }

    /// Returns the key after which resources are still to be done; `None` when nothing is due.
    fn after(self, db: &mut Db) -> Result<Option<i64>, Failure> {
        match self {
            Part::Times => visible::due_after(db),
            Part::Rules => rejudge::due_after(db),
            Part::Index => search_index::due_after(db),
        }
    }

    fn run(self, ctx: &Context, tell: &mut dyn FnMut(u64)) -> Result<(), Failure> {
        match self {
            Part::Times => visible::bring_up(ctx, tell),
            Part::Rules => rejudge::bring_up(ctx, tell),
            Part::Index => search_index::bring_up(ctx, tell),
        }
    }
}

/// A part that is due, and how many resources it still has to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DuePart {
    /// The part.
    pub part: Part,
    /// How many resources. When none is left, only the final step of the part is due.
    pub resources: u64,
}

/// The progress of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartProgress {
    /// The part.
    pub part: Part,
    /// How many resources are done in this run.
    pub done: u64,
    /// How many resources there are to do in this run.
    pub total: u64,
}

/// Returns what is due. Nothing is due in a store without resources.
///
/// # Errors
/// Those of the database.
pub fn due(db: &mut Db) -> Result<Vec<DuePart>, Failure> {
    let mut found = Vec::new();
    for part in Part::ALL {
        if let Some(after) = part.after(db)? {
            let resources = resources::count_after(db, after)?;
            found.push(DuePart {
                part,
                resources: u64::try_from(resources)
                    .map_err(|error| Failure::new(Fault::StoreDamaged).because(error))?,
            });
        }
    }
    let is_empty = !found.is_empty() && resources::count_after(db, -1)? == 0;
    Ok(if is_empty { Vec::new() } else { found })
}

/// Does what is due, and returns what that was. `tell` receives the lines about waiting for another process, `show` the progress.
///
/// # Errors
/// Those of the store. Finished steps are kept.
pub fn bring_up(
    ctx: &Context,
    tell: &mut dyn FnMut(&str),
    show: &mut dyn FnMut(PartProgress),
) -> Result<Vec<DuePart>, Failure> {
    let mut found = ctx.store.read_blocking(due)?;
    let mut alone = None;
    if !found.is_empty() {
        alone = Some(ctx.store.alone(tell)?);
        // The process that was waited for may have done some or all of it.
        found = ctx.store.read_blocking(due)?;
    }
    for part in Part::ALL {
        let total = found.iter().find(|due| due.part == part).map_or(0, |due| due.resources);
        part.run(ctx, &mut |done| {
            show(PartProgress {
                part,
                done,
                total: total.max(done),
            });
        })?;
    }
    drop(alone);
    Ok(found)
}
