//! `ledger`: what the ledger of a store with many entries costs. Verifying, proving and finding, as an auditor asks for them; the start of the
//! server with and without the tree; and the rate of matches with the tree and without it, in turn.
//!
//! Commands are timed as people wait for them, with their process and their answer, and the slowest one is the figure. The server without the
//! tree writes the same entries, and no job gives them places.

use super::fill::{self, FillSize};
use super::kept;
use super::ledger_samples::{LedgerSamples, size};
use super::load::{self, Leg};
use super::measure::Bench;
use super::old_exchanges::RestingStore;
use super::plan::BenchPlan;
use super::process::{self, ServerProcess};
use super::report::{BenchFigure, Limit, median};
use super::requests::match_request;
use super::site::Installation;
use crate::app::wiring;
use crate::audit::cosigned::last_cosigned;
use crate::audit::log::StoreTiles;
use crate::audit::tree::{leaf_hash, proof};
use crate::clock::Clock;
use crate::config::Config;
use crate::error::{Failure, Fault};
use crate::ids::before_all_of;
use crate::store::ledger_tree::{self as rows, LogRow};
use crate::store::{Db, StoreNeed};
use crate::synth::SharingPolicy;
use crate::terminal::Out;
use std::cell::Cell;
use std::time::{Duration, Instant};

/// Resources of the first member of a store that is filled here.
const LARGE: u64 = 4;
/// Starts of the server of each kind.
const STARTS: usize = 5;
/// Starts after the server was killed.
const RESTARTS: usize = 3;
/// Legs with the tree; a leg without it comes before each, and after the last.
const ROUNDS: usize = 5;
/// Different requests of these legs.
const REQUESTS: u64 = 5_000;
/// Warming up before each leg.
const WARM: Duration = Duration::from_millis(500);
/// Time for the tree to have all entries.
const CAUGHT_UP: Duration = Duration::from_secs(180);

/// Runs the measures over the filled store that the plan names, or over one that is filled for them.
///
/// # Errors
/// Those of the server and of the store; [`Fault::PartnerAnswer`] for an answer that is not the expected one.
pub(super) fn measure(plan: &BenchPlan, out: &mut Out) -> Result<Vec<BenchFigure>, Failure> {
    let mut figures = Vec::new();
    let site = match &plan.data {
        Some(folder) => kept::open(folder)?,
        None => {
            let size = FillSize::of(plan)?;
            let site = Installation::of_size(plan, plan.members, LARGE, out)?;
            figures.push(fill::fill(&site, size, out)?);
            site
        }
    };
    let measured = LedgerBench { plan, site: &site };
    let samples = LedgerSamples::of(&mut measured.store()?)?;
    figures.push(measured.verified(&samples)?);
    figures.push(measured.proved(&samples)?);
    out.note("ledger: commands beside the server");
    figures.extend(measured.found(&samples)?);
    out.note("ledger: starts of the server");
    figures.extend(measured.started(&samples)?);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Fault::Internal).because(error))?;
    figures.extend(runtime.block_on(measured.matched(&samples, out))?);
    Ok(figures)
}

struct LedgerBench<'b> {
    plan: &'b BenchPlan,
    site: &'b Installation,
}

impl LedgerBench<'_> {
    fn store(&self) -> Result<RestingStore, Failure> {
        RestingStore::open(&self.site.store_url())
    }

    fn figure(&self, name: &'static str, unit: &'static str, value: f64, samples: &LedgerSamples) -> BenchFigure {
        let mut figure = BenchFigure::new(name, unit, self.site.store, value);
        figure.rows = samples.entries;
        figure
    }

    /// The slowest of several, with the median.
    fn slowest(&self, name: &'static str, unit: &'static str, times: &[f64], samples: &LedgerSamples) -> BenchFigure {
        let greatest = times.iter().copied().fold(0.0, f64::max);
        let mut figure = self.figure(name, unit, greatest, samples);
        figure.detail("median", median(times));
        figure.detail("of", times.len() as f64);
        figure
    }

    /// `audit verify` of the whole store, by a process of its own.
    fn verified(&self, samples: &LedgerSamples) -> Result<BenchFigure, Failure> {
        let (told, seconds) = process::command(Some(&self.site.config), ["audit", "verify"])?;
        if told["result"] != "ok" {
            return Err(Failure::new(Fault::StoreDamaged).because(format!("audit verify: {told}")));
        }
        let figure = self.figure("ledger-verify", "s", seconds, samples);
        Ok(figure.limit(Limit::AtMost(60.0)))
    }

    /// Inclusion proofs of entries all over the tree, each checked, in a process that has the store open.
    fn proved(&self, samples: &LedgerSamples) -> Result<BenchFigure, Failure> {
        let config = Config::load(Some(&self.site.config), [])?;
        let ctx = wiring::open_for(&config, StoreNeed::Read, &mut |_| {})?;
        let log = ctx.store.read_blocking(rows::log)?.ok_or(Fault::NotFound)?;
        let mut times_ms = Vec::new();
        for place in &samples.places {
            let began = Instant::now();
            ctx.store.read_blocking(|db| prove(db, &log, *place))?;
            times_ms.push(began.elapsed().as_secs_f64() * 1e3);
        }
        fill::leave(ctx)?;
        let figure = self.slowest("ledger-prove", "ms", &times_ms, samples);
        Ok(figure.limit(Limit::AtMost(10.0)))
    }

    /// The commands that answer "why", each beside the running server.
    fn found(&self, samples: &LedgerSamples) -> Result<Vec<BenchFigure>, Failure> {
        let server = self.site.start_server()?;
        let of_members: Vec<String> = samples.members.iter().map(|id| format!("Patient/{id}")).collect();
        let kinds: [(_, &[&str], &[String]); 3] = [
            ("ledger-show", &["exchange", "show"], &samples.exchanges),
            ("ledger-trace", &["trace"], &samples.correlations),
            ("ledger-member", &["disclosures", "--member"], &of_members),
        ];
        let mut figures = Vec::new();
        for (name, command, asked) in kinds {
            let mut times = Vec::new();
            for one in asked {
                let (_, seconds) =
                    process::command(Some(&self.site.config), command.iter().copied().chain([one.as_str()]))?;
                times.push(seconds);
            }
            let figure = self.slowest(name, "s", &times, samples);
            figures.push(figure.limit(Limit::AtMost(1.0)));
        }
        server.stop()?;
        Ok(figures)
    }

    /// Starts with the tree and without it, and after `kill -9`.
    fn started(&self, samples: &LedgerSamples) -> Result<[BenchFigure; 2], Failure> {
        let (mut with, mut without, mut killed) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..STARTS {
            for (with_tree, seconds) in [(false, &mut without), (true, &mut with)] {
                let server = self.start(with_tree)?;
                seconds.push(server.ready_s);
                server.stop()?;
            }
        }
        for _ in 0..RESTARTS {
            let server = self.start(true)?;
            // In the middle of its first rounds.
            std::thread::sleep(Duration::from_secs(1));
            // Dropping it kills it.
            drop(server);
            let server = self.start(true)?;
            killed.push(server.ready_s);
            server.stop()?;
        }
        let more = median(&with) - median(&without);
        let mut start = self.figure("ledger-start", "s more than without the tree", more, samples);
        start.detail("with_s", median(&with));
        start.detail("without_s", median(&without));
        let restart = self.slowest("ledger-restart", "s to ready after kill -9", &killed, samples);
        Ok([start.limit(Limit::AtMost(1.0)), restart.limit(Limit::AtMost(5.0))])
    }

    fn start(&self, with_tree: bool) -> Result<ServerProcess, Failure> {
        match with_tree {
            true => self.site.start_server(),
            false => self.site.start_server_without_tree(),
        }
    }

    /// Matches with the tree and without it, in turn, and the entries that became durable with it.
    async fn matched(&self, samples: &LedgerSamples, out: &mut Out) -> Result<[BenchFigure; 2], Failure> {
        let count = (self.site.options.members - 1).min(REQUESTS);
        let members = (0..count).map(|at| self.site.member(1 + at));
        let bodies: Vec<Vec<u8>> = members
            .map(|member| self.site.match_body(&member, SharingPolicy::Regular))
            .collect();
        let next = Cell::new(0);
        // Every request once, so that each leg renews what there is.
        let server = self.start(false)?;
        while next.get() < bodies.len() {
            self.leg(&server, &bodies, &next).await?;
        }
        server.stop()?;
        let (mut with, mut without, mut entries) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..=ROUNDS {
            without.push(self.alone(false, &bodies, &next).await?.0.rate());
            if round < ROUNDS {
                let (leg, durable) = self.alone(true, &bodies, &next).await?;
                with.push(leg.rate());
                entries.push(durable);
                out.note(&format!("ledger: {} of {ROUNDS} legs with the tree", round + 1));
            }
        }
        let ratios: Vec<f64> = with
            .iter()
            .zip(without.windows(2))
            .map(|(with, around)| with * 2.0 / (around[0] + around[1]))
            .collect();
        let mut ratio = self.figure("ledger-match", "of the rate without the tree", median(&ratios), samples);
        ratio.spread(&ratios);
        ratio.detail("with_per_s", median(&with));
        ratio.detail("without_per_s", median(&without));
        ratio.detail("clients", self.plan.clients as f64);
        let mut durable = self.figure("ledger-entries", "durable entries/s", median(&entries), samples);
        durable.spread(&entries);
        durable.detail("clients", self.plan.clients as f64);
        Ok([
            ratio.limit(Limit::AtLeast(0.85)),
            durable.limit(Limit::AtLeast(2_000.0)),
        ])
    }

    /// A leg with a server of its own, which begins when the tree has all entries of the legs before; and the entries of it in a second.
    async fn alone(&self, with_tree: bool, bodies: &[Vec<u8>], next: &Cell<usize>) -> Result<(Leg, f64), Failure> {
        let server = self.start(with_tree)?;
        if with_tree {
            self.catch_up()?;
        }
        let measured = self.leg(&server, bodies, next).await?;
        server.stop()?;
        Ok(measured)
    }

    async fn leg(&self, server: &ServerProcess, bodies: &[Vec<u8>], next: &Cell<usize>) -> Result<(Leg, f64), Failure> {
        let bench = Bench::open(self.plan, self.site, server).await?;
        let mut connections = bench.connect(self.plan.clients).await?;
        let token = bench.tokens.fresh().await?;
        let requests: Vec<Vec<u8>> = bodies.iter().map(|body| match_request(&token, body)).collect();
        load::leg(&mut connections, server, WARM, &requests, next).await?;
        let from = before_all_of(Clock::System.now_ms());
        let time = Duration::from_secs(self.plan.seconds);
        let leg = load::leg(&mut connections, server, time, &requests, next).await?;
        // Ids sort by time, so that only the new entries are counted.
        let query = format!("SELECT COUNT(*) AS n FROM ledger_entry WHERE id >= '{from}'");
        let entries = self.store()?.number(&query)? as f64 / leg.seconds;
        Ok((leg, entries))
    }

    /// Waits until every entry has its place.
    fn catch_up(&self) -> Result<(), Failure> {
        let (began, mut store) = (Instant::now(), self.store()?);
        loop {
            let entries = store.number("SELECT COUNT(*) AS n FROM ledger_entry")?;
            if size(&mut store)? >= u64::try_from(entries).unwrap_or(0) {
                return Ok(());
            }
            if began.elapsed() > CAUGHT_UP {
                return Err(Failure::new(Fault::Internal).because("the tree does not get all entries"));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Proves that the entry at this place is in the ledger, and checks the proof.
fn prove(db: &mut Db, log: &LogRow, place: u64) -> Result<(), Failure> {
    let (checkpoint, _) = last_cosigned(db, log)?;
    let damaged = || Failure::new(Fault::StoreDamaged).because("an entry of the ledger has no proof");
    let index = i64::try_from(place).map_err(|_| damaged())?;
    let leaf = rows::leaves(db, log.no, index, 1)?.into_iter().next();
    let bytes = leaf.and_then(|leaf| leaf.2).ok_or_else(damaged)?;
    let path = proof::inclusion(&mut StoreTiles::open(db, log.no)?, place, checkpoint.size)?;
    match proof::includes(&checkpoint.root, checkpoint.size, place, &leaf_hash(&bytes), &path) {
        true => Ok(()),
        false => Err(damaged()),
    }
}
