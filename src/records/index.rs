//! The keys and profiles by which the matcher finds and compares members. They are made from the stored Patient and its Coverages, in the
//! transaction that writes these. Nothing is decided here.

pub use super::roster_count::{count, count_telling};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::fhir::elements::Patient;
use crate::identity::{KeyHasher, Profile, Systems, of_record};
use crate::store::identity::{self as rows, IndexedMember, ProfileSource};
use crate::store::{Db, resources};
use std::sync::Arc;

/// How many members one transaction handles.
const CHUNK: i64 = 500;

/// Makes profiles and keys.
#[derive(Clone, Debug)]
pub struct Indexer {
    hasher: KeyHasher,
    systems: Arc<[String; 2]>,
    base_url: Arc<str>,
}

impl Indexer {
    /// Opens an indexer with the secret of the store and the identifier systems of the payer. Blocks this thread.
    ///
    /// # Errors
    /// Those of the store.
    pub fn open(ctx: &Context) -> Result<Indexer, Failure> {
        Ok(Indexer {
            hasher: ctx.store.key_hasher()?,
            systems: Arc::new([ctx.payer.member_system.clone(), ctx.payer.umb_system.clone()]),
            base_url: ctx.payer.base_url.as_str().into(),
        })
    }

    /// Returns the base URL of this server, by which references to its resources are recognized.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// Makes the row of a member.
    ///
    /// # Errors
    /// [`Fault::NotStorable`] when the demographics cannot be read as a Patient. The
    /// reader's own message is dropped, because it would quote them.
    pub fn row(&self, source: &ProfileSource) -> Result<IndexedMember, Failure> {
        let patient: Patient =
            serde_json::from_str(&source.demographics).map_err(|_| Failure::new(Fault::NotStorable).at("Patient"))?;
        let [member, umb] = self.systems.as_ref();
        let person = of_record(&patient, &source.umb, &source.identifiers, Systems { member, umb });
        Ok(self.indexed(source.compartment, &Profile::from(&person)))
    }

    /// Makes the row of a member from a finished profile.
    pub fn indexed(&self, compartment: i64, profile: &Profile) -> IndexedMember {
        IndexedMember {
            compartment,
            profile: profile.pack(),
            keys: self.hasher.of_record(profile),
        }
    }
}

/// Makes the rows of these compartments again, in the caller's transaction.
///
/// # Errors
/// Those of the database; as [`Indexer::row`].
pub fn renew(db: &mut Db, indexer: &Indexer, numbers: &[i64]) -> Result<(), Failure> {
    put(db, indexer, numbers, &|_, failure| Err(failure))
}

/// As [`renew`]. `unreadable` handles the failure to make the row of a compartment; when it returns Ok, the compartment has no row.
fn put(
    db: &mut Db,
    indexer: &Indexer,
    numbers: &[i64],
    unreadable: &dyn Fn(i64, Failure) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let (mut made, mut gone) = (Vec::with_capacity(numbers.len()), Vec::new());
    for no in numbers {
        match rows::source(db, *no)?.map(|source| indexer.row(&source)) {
            Some(Ok(row)) => made.push(row),
            Some(Err(failure)) => {
                unreadable(*no, failure)?;
                gone.push(*no);
            }
            None => gone.push(*no),
        }
    }
    rows::remove(db, &gone)?;
    rows::put(db, &made)
}

/// Makes rows that are missing or have an old format, as after an upgrade, and counts the roster. A member whose demographics cannot be
/// read gets no row, so nobody is matched with it, and this is logged. Blocks this thread.
///
/// # Errors
/// Those of the store.
pub fn catch_up(ctx: &Context) -> Result<(), Failure> {
    let indexer = Indexer::open(ctx)?;
    let mut after = 0;
    loop {
        let numbers = ctx.store.read_blocking(|db| rows::missing(db, after, CHUNK))?;
        let Some(last) = numbers.last() else { break };
        after = *last;
        let indexer = indexer.clone();
        ctx.store.write_blocking(move |db| {
            resources::lock(db)?;
            put(db, &indexer, &numbers, &|compartment, _| {
                tracing::error!(
                    compartment,
                    "a member's demographics cannot be read; nobody is matched with it"
                );
                Ok(())
            })
        })?;
    }
    count(ctx)
}
