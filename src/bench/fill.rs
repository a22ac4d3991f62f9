//! `fill`: makes a store of the size that is asked for, by a seed: entries of matches, reads, disclosures and exchanges, with their rows,
//! all in the tree and signed. The same seed gives the same entries, bytes and times.
//!
//! It fills only stores that the bench has made. The tree is built by the server's own sequencer, and the index of subjects by its own sweep.

mod exchange;
mod rows;
mod story;

use super::old_exchanges::RestingStore;
use super::plan::BenchPlan;
use super::report::BenchFigure;
use super::site::Installation;
use crate::app::wiring;
use crate::audit::log::OpenLog;
use crate::audit::log_files::LogFiles;
use crate::audit::sequencer::Sequencer;
use crate::config::Config;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::ids::Ids;
use crate::jobs::Chance;
use crate::store::schema::{disclosure_end_state, ledger_subject_state};
use crate::store::{StoreNeed, entries, hold};
use crate::terminal::Out;
use diesel::prelude::*;
use rows::FillBatch;
use std::path::Path;
use std::time::{Duration, Instant};
use story::{LONGEST, StoryTeller};

/// When the first entry was written, UTC milliseconds: 2023-01-01.
const FIRST_MS: i64 = 1_672_531_200_000;
/// The time over which the entries are spread, milliseconds.
const SPAN_MS: u64 = 2 * 365 * 86_400_000;
/// Entries that are written in one transaction.
const AT_ONCE: usize = 20_000;
/// Entries that are indexed by their subjects in one transaction.
const INDEXED: i64 = 100_000;
/// Entries between two lines that say how far it is.
const TOLD_EVERY: u64 = 200_000;
/// Fewest entries for each exchange, so that there is room for all of them and for what partners ask.
pub(super) const ENTRIES_OF_EXCHANGE: u64 = 16;
/// Time for a store that was left to be free for the next process.
const LEAVING: Duration = Duration::from_secs(10);

/// What a filled store has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FillSize {
    pub(super) entries: u64,
    pub(super) exchanges: u64,
    pub(super) seed: u64,
}

impl FillSize {
    /// The size that the plan asks for.
    ///
    /// # Errors
    /// [`Fault::ConfigInvalid`] when so many exchanges have more entries than that.
    pub(super) fn of(plan: &BenchPlan) -> Result<FillSize, Failure> {
        let exchanges = plan.exchanges.unwrap_or((plan.entries / 50).max(1));
        if exchanges.saturating_mul(ENTRIES_OF_EXCHANGE) > plan.entries {
            let remedy = format!("Ask for at least {ENTRIES_OF_EXCHANGE} entries for each exchange.");
            return Err(Failure::new(Fault::ConfigInvalid).at("--exchanges").remedy(remedy));
        }
        Ok(FillSize {
            entries: plan.entries,
            exchanges,
            seed: plan.seed,
        })
    }
}

/// Fills the store of an installation that no process uses, and measures how fast that was.
///
/// # Errors
/// Those of the store and of the folder of the ledger's key.
pub(super) fn fill(site: &Installation, size: FillSize, out: &mut Out) -> Result<BenchFigure, Failure> {
    let began = Instant::now();
    let config = Config::load(Some(&site.config), [])?;
    let ctx = wiring::open_for(&config, StoreNeed::Write, &mut |_| {})?;
    let written = write(&ctx, size, out)?;
    let written_s = began.elapsed().as_secs_f64();
    out.note(&format!(
        "fill: {written} entries are written; now the indexes and the tree"
    ));
    index(&ctx)?;
    let indexed_s = began.elapsed().as_secs_f64() - written_s;
    grow(&ctx, &config)?;
    leave(ctx)?;
    if site.store == "postgres" {
        // As the autovacuum of a server does within a minute.
        RestingStore::open(&site.store_url())?.analyze()?;
    }
    let seconds = began.elapsed().as_secs_f64();
    let mut figure = BenchFigure::new("fill", "entries/s", site.store, written as f64 / seconds);
    figure.rows = written;
    figure.detail("seconds", seconds);
    figure.detail("written_s", written_s);
    figure.detail("indexed_s", indexed_s);
    figure.detail("tree_s", seconds - written_s - indexed_s);
    figure.detail("exchanges", size.exchanges as f64);
    figure.detail("seed", size.seed as f64);
    Ok(figure)
}

/// Writes the entries and the rows beside them. Returns how many entries.
fn write(ctx: &Context, size: FillSize, out: &mut Out) -> Result<u64, Failure> {
    let members = ctx.store.read_blocking(rows::members)?;
    if members.is_empty() {
        let remedy = "Ask for members: everything that is filled in is about one.";
        return Err(Failure::new(Fault::ConfigInvalid).at("--members").remedy(remedy));
    }
    let mut teller = StoryTeller {
        chance: Chance::seeded(size.seed),
        ids: Ids::seeded(size.seed),
        members,
        matching: ctx.matching.version.clone(),
        now_us: FIRST_MS * 1000,
        told: 0,
    };
    let (mut written, mut exchanges, mut batch) = (0, 0, FillBatch::default());
    loop {
        let so_far = written + batch.entries.len() as u64;
        if so_far >= size.entries || batch.entries.len() >= AT_ONCE {
            let count = batch.entries.len() as u64;
            put(ctx, std::mem::take(&mut batch))?;
            written += count;
            if written / TOLD_EVERY != (written - count) / TOLD_EVERY {
                out.note(&format!("fill: {written} of {} entries", size.entries));
            }
            if written >= size.entries {
                return Ok(written);
            }
        }
        let past_ms = u128::from(SPAN_MS) * u128::from(so_far) / u128::from(size.entries);
        teller.now_us = (FIRST_MS + i64::try_from(past_ms).unwrap_or(0)) * 1000;
        if is_due(size, exchanges, so_far) {
            teller.exchange(&mut batch);
            exchanges += 1;
        } else if size.entries - so_far < LONGEST {
            teller.token(&mut batch);
        } else {
            teller.inbound(&mut batch);
        }
    }
}

/// Whether the next story is an exchange: they are spread evenly, and all are told before there is no more room for them.
fn is_due(size: FillSize, exchanges: u64, so_far: u64) -> bool {
    let missing = size.exchanges - exchanges;
    let evenly =
        u128::from(exchanges) * u128::from(size.entries) * 9 <= u128::from(so_far) * u128::from(size.exchanges) * 10;
    let is_last_call = size.entries - so_far <= (missing + 2) * LONGEST;
    missing > 0 && (evenly || is_last_call)
}

/// Makes a batch durable, in the order of the ids of its entries.
fn put(ctx: &Context, mut batch: FillBatch) -> Result<(), Failure> {
    batch.entries.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    ctx.store.write_alone_blocking(move |db| batch.write(db))
}

/// Indexes the entries by their subjects, and says that every disclosure among them has its end, as a server has done within minutes.
fn index(ctx: &Context) -> Result<(), Failure> {
    let now_us = ctx.clock.now_us();
    while ctx
        .store
        .write_alone_blocking(move |db| entries::index(db, now_us, INDEXED))?
        == INDEXED
    {}
    ctx.store.write_blocking(|db| {
        let last: String = ledger_subject_state::table
            .find(1)
            .select(ledger_subject_state::upto)
            .first(db)?;
        let behind = disclosure_end_state::table
            .find(1)
            .filter(disclosure_end_state::upto.lt(&last));
        diesel::update(behind)
            .set(disclosure_end_state::upto.eq(&last))
            .execute(db)?;
        Ok(())
    })
}

/// Gives every entry its place in the tree, and signs it, by the sequencer of the server.
fn grow(ctx: &Context, config: &Config) -> Result<(), Failure> {
    let files = LogFiles::new(config.ledger_folder());
    let log = OpenLog::open(ctx, &files)?;
    let sequencer = Sequencer::new(files, Some(log));
    let round = || sequencer.round(ctx, &|write| ctx.store.write_blocking(write));
    while round()? {}
    sequencer.close();
    round().map(drop)
}

/// Leaves the store, so that another process can have it.
pub(super) fn leave(ctx: Context) -> Result<(), Failure> {
    let path = ctx.store.url().sqlite_path().map(Path::to_path_buf);
    ctx.store.settle();
    drop(ctx);
    let Some(path) = path else { return Ok(()) };
    let began = Instant::now();
    loop {
        match hold(&path) {
            Ok(_) => return Ok(()),
            Err(failure) if began.elapsed() > LEAVING => return Err(failure),
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::rows::FilledMember;
    use super::*;

    fn told(seed: u64) -> FillBatch {
        let mut teller = StoryTeller {
            chance: Chance::seeded(seed),
            ids: Ids::seeded(seed),
            members: vec![FilledMember {
                compartment: 1,
                patient_id: "m1".to_owned(),
            }],
            matching: "m/1".to_owned(),
            now_us: FIRST_MS * 1000,
            told: 0,
        };
        let mut batch = FillBatch::default();
        for _ in 0..200 {
            let before = batch.entries.len();
            teller.inbound(&mut batch);
            teller.exchange(&mut batch);
            teller.token(&mut batch);
            assert!(batch.entries.len() as u64 - before as u64 <= 2 * LONGEST + 1);
        }
        batch
    }

    #[test]
    fn the_same_seed_fills_with_the_same_bytes_and_no_id_twice() {
        let (one, same, other) = (told(7), told(7), told(8));
        let bytes = |batch: &FillBatch| {
            let entries = batch.entries.iter();
            entries
                .map(|row| (row.id.clone(), row.entry.clone(), row.salt))
                .collect::<Vec<_>>()
        };
        assert_eq!(bytes(&one), bytes(&same));
        assert_ne!(bytes(&one), bytes(&other));
        assert_eq!((&one.exchanges, &one.attempts), (&same.exchanges, &same.attempts));
        let mut ids: Vec<&str> = one.entries.iter().map(|row| row.id.as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), one.entries.len());
        assert_eq!(one.exchanges.len(), 200);
        assert!(one.exchanges.iter().any(|row| row.phase == "refused"));
        assert!(one.attempts.iter().any(|row| row.class.as_deref() == Some("unknown")));
    }

    #[test]
    fn exchanges_fit_into_the_entries_and_are_spread_over_them() {
        for (entries, exchanges) in [(16, 1), (32, 2), (1_000, 62), (1_000, 3), (500, 0)] {
            let size = FillSize {
                entries,
                exchanges,
                seed: 1,
            };
            let (mut so_far, mut told) = (0, 0);
            while so_far < entries {
                let is_due = is_due(size, told, so_far);
                let left = entries - so_far;
                told += u64::from(is_due);
                // The longest of each kind.
                so_far += match is_due {
                    true => 12,
                    false if left < LONGEST => 1,
                    false => LONGEST,
                };
            }
            assert_eq!((told, so_far), (exchanges, entries), "{entries} {exchanges}");
        }
    }
}
