//! Counts the roster from the members' profiles: how often each value occurs, which the matcher's weights depend on. It changes no member.

use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::identity::{Facts, Profile};
use crate::store::{Store, identity as rows, roster};

/// How many profiles one read loads.
const PAGE: i64 = 5_000;
/// Up to this many members the roster is counted after every import; above, when their number changed by more than 2 %.
const SMALL: i64 = 10_000;

/// Counts the roster and stores its state, when that is due.
///
/// # Errors
/// Those of the store.
pub fn count(ctx: &Context) -> Result<(), Failure> {
    count_telling(ctx, &mut |_, _| ())
}

/// As [`count`]. `tell` receives how many members are counted, and of how many.
///
/// # Errors
/// Those of the store.
pub fn count_telling(ctx: &Context, tell: &mut dyn FnMut(u64, u64)) -> Result<(), Failure> {
    let (held, counted) = ctx
        .store
        .read_blocking(|db| Ok((rows::count(db)?, roster::records(db)?)))?;
    let due = counted.is_none_or(|counted| held <= SMALL || (held - counted).abs() * 50 > counted);
    if !due || (held == 0 && counted.is_none()) {
        return Ok(());
    }
    let of = held.unsigned_abs();
    let facts = facts(&ctx.store, &mut |done| tell(done.min(of), of))?;
    let now_ms = ctx.clock.now_ms();
    // In the reserve: it is one small row, and a server does not start without it.
    ctx.store
        .reserved()
        .write_blocking(move |db| roster::put(db, &facts, now_ms))
}

/// Counts the roster and stores its state, whether that is due or not.
///
/// # Errors
/// Those of the store.
pub fn count_anew(ctx: &Context) -> Result<(), Failure> {
    let facts = facts(&ctx.store, &mut |_| ())?;
    let now_ms = ctx.clock.now_ms();
    ctx.store.write_blocking(move |db| roster::put(db, &facts, now_ms))
}

fn facts(store: &Store, tell: &mut dyn FnMut(u64)) -> Result<Facts, Failure> {
    let (mut facts, mut after, mut done) = (Facts::default(), 0, 0);
    loop {
        let page = store.read_blocking(|db| rows::page(db, after, PAGE))?;
        let Some((last, _)) = page.last() else { return Ok(facts) };
        after = *last;
        for (_, bytes) in &page {
            let profile = Profile::unpack(bytes)
                .ok_or_else(|| Failure::new(Fault::StoreDamaged).because("a profile cannot be read"))?;
            facts.add(&profile);
        }
        done += page.len() as u64;
        tell(done);
    }
}
