//! Many schedules of crashes, lost requests, lost replies, duplicates, delays, lost leases, jumps of the clock, and operators who interfere;
//! over the real store, in simulated time. What has to hold is checked at each call and at the end.

mod world;

use super::bed::{Bed, HOUR, NOW, by, context, wish};
use super::scripted::Scripted;
use crate::support::store::{TestStore, on_postgres};
use causeway::context::Context;
use causeway::exchange::acts::{ExchangeAct, act};
use causeway::exchange::event::ExchangeEvent;
use causeway::exchange::intake::start_in;
use causeway::exchange::moves::{LeadsTo, MOVES, NextStep};
use causeway::exchange::phase::Phase;
use causeway::exchange::step_table::STEP_RULES;
use causeway::exchange::steps::StepName;
use causeway::jobs::{Chance, HeldJob, Recorded, Runner};
use causeway::store::exchanges::{self, ExchangeRow};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use world::{Sim, partner};

/// Schedules in the short form; `CAUSEWAY_TEST_SCHEDULES` sets another number.
const SCHEDULES: u64 = 500;
/// Schedules that run at the same time, each lane over a store of its own.
const LANES: u64 = 4;
/// Time for the short form on PostgreSQL, where it runs as many as there is time for, seconds.
const POSTGRES_S: u64 = 25;
/// Different ends that there must be among all schedules.
const ENDS: usize = 4;
/// Most rounds of claim and attempt in one schedule.
const TURNS: usize = 400;

/// One schedule: an exchange from its start until nothing is due any more.
struct Schedule<'b> {
    bed: &'b Bed,
    ctx: Context,
    chance: Chance,
    sim: Arc<Sim>,
    partner: Scripted,
    id: String,
    ended: Option<ExchangeRow>,
}

impl<'b> Schedule<'b> {
    fn new(bed: &'b Bed, seed: u64) -> Schedule<'b> {
        let chance = Chance::seeded(seed);
        let ctx = context(&bed.store, NOW + (chance.unit() * 1e9) as i64);
        let sim = Arc::new(Sim {
            trouble: chance.unit() * 0.6,
            chance: Chance::seeded(seed ^ 0x00c0_ffee),
            store: ctx.store.clone(),
            broken: Mutex::default(),
            effects: Mutex::default(),
            died: Notify::new(),
            calls: Mutex::default(),
        });
        let mut one = wish();
        one.coverage.member_number = format!("SIM-{seed}");
        let (own, asked) = (ctx.clone(), one);
        let accepted = ctx.store.write_blocking(move |db| {
            let first = start_in(db, &own, &asked)?;
            let second = start_in(db, &own, &asked)?;
            assert_eq!(first.exchange_id, second.exchange_id, "the same intent twice");
            Ok(first)
        });
        Schedule {
            bed,
            partner: partner(&sim),
            sim,
            ctx,
            chance,
            id: accepted.expect("accepted").exchange_id,
            ended: None,
        }
    }

    fn runner(&self) -> Runner {
        let seed = (self.chance.unit() * 1e15) as u64;
        self.bed.runner_with(&self.ctx, &self.partner, seed)
    }

    fn row(&self) -> ExchangeRow {
        let found = self.ctx.store.read_blocking(|db| exchanges::find(db, &self.id));
        found.expect("read").expect("there")
    }

    fn run(&mut self) {
        for _ in 0..TURNS {
            self.interfere();
            if !self.turn() {
                self.note_end();
                let due = self.next_ms();
                match due {
                    Some(due_ms) => {
                        let wait_ms = (due_ms - self.ctx.clock.now_ms()).max(1);
                        self.ctx.clock.advance_ms(wait_ms);
                    }
                    None if self.is_forgotten() => self.watch(),
                    None => return,
                }
            }
            self.note_end();
        }
        self.sim
            .break_rule(format!("I8: still at work after {TURNS} turns: {:?}", self.row()));
    }

    /// Whether the exchange waits for the program, and nothing is due.
    fn is_forgotten(&self) -> bool {
        let row = self.row();
        let is_over = Phase::parse(&row.phase).is_none_or(Phase::is_terminal);
        !is_over && row.phase != Phase::ManualReview.code() && row.parked_at_ms.is_none()
    }

    /// Runs the watch once: an exchange whose job is parked is parked too.
    fn watch(&self) {
        let runner = self.runner();
        self.bed.block(runner.prepare()).expect("prepared");
        self.bed.block(runner.run_due()).expect("run");
        self.bed.sql("DELETE FROM job WHERE kind = 'exchange-watch'");
    }

    /// When the next job is due; `None` when there is none.
    fn next_ms(&self) -> Option<i64> {
        use causeway::store::jobs;
        let read = self.ctx.store.read_blocking(jobs::next_ms);
        read.expect("read")
    }

    /// Claims what is due and attempts it, or lets the process die or the lease end in the middle. Returns whether there was anything.
    fn turn(&mut self) -> bool {
        let runner = self.runner();
        let mut held = self.bed.block(runner.claim(1, &[])).expect("claimed").held;
        let Some(held) = held.pop() else { return false };
        let luck = self.chance.unit();
        if luck < 0.05 {
            // It dies right after the claim.
            self.ctx.clock.advance_ms(61_000);
            return true;
        }
        let sim = Arc::clone(&self.sim);
        let outcome = self.bed.block(async {
            tokio::select! {
                biased;
                () = sim.died.notified() => None,
                outcome = runner.attempt(&held) => Some(outcome),
            }
        });
        let Some(outcome) = outcome else {
            self.ctx.clock.advance_ms(61_000);
            return true;
        };
        if luck < 0.10 {
            // It dies before it can record the result.
            self.ctx.clock.advance_ms(61_000);
        } else if luck < 0.17 {
            self.lose_lease(&runner, &held, outcome);
        } else {
            let before = self.row();
            let recorded = self.bed.block(runner.record(&held, outcome)).expect("recorded");
            if recorded == Recorded::Dropped && before == self.row() {
                // Somebody else changed it; the lease ends.
                self.ctx.clock.advance_ms(61_000);
            }
        }
        true
    }

    /// The lease ends while the worker is slow; another one does the work, and the first one's result is dropped.
    fn lose_lease(&self, slow: &Runner, held: &HeldJob, outcome: causeway::jobs::AttemptOutcome) {
        self.ctx.clock.advance_ms(61_000);
        let other = self.runner();
        let taken = self.bed.block(other.claim(8, &[])).expect("claimed").held;
        let is_taken = taken.iter().any(|one| one.job().id == held.job().id);
        for one in taken {
            let sim = Arc::clone(&self.sim);
            let done = self.bed.block(async {
                tokio::select! {
                    biased;
                    () = sim.died.notified() => None,
                    outcome = other.attempt(&one) => Some(outcome),
                }
            });
            if let Some(done) = done {
                self.bed.block(other.record(&one, done)).expect("recorded");
            }
        }
        let before = self.row();
        let recorded = self.bed.block(slow.record(held, outcome)).expect("answered");
        // I4: only the holder of the lease commits.
        if is_taken && (recorded != Recorded::Dropped || before != self.row()) {
            self.sim.break_rule("I4: a result was committed without a lease".into());
        }
    }

    /// An operator, or the clock.
    fn interfere(&mut self) {
        let luck = self.chance.unit();
        let what = match luck {
            l if l < 0.01 => Some(ExchangeAct::Pause),
            l if l < 0.015 => Some(ExchangeAct::Cancel),
            l if l < 0.06 => Some(ExchangeAct::Replay),
            _ => None,
        };
        let row = self.row();
        let is_over = Phase::parse(&row.phase).is_none_or(Phase::is_terminal);
        if let Some(what) = what.filter(|_| !is_over) {
            let (ctx, id) = (self.ctx.clone(), self.id.clone());
            self.bed.write(move |db| act(db, &ctx, &id, what, &by()));
        }
        if luck > 0.98 {
            let jump_ms = ((self.chance.unit() - 0.5) * 4.0 * HOUR as f64) as i64;
            self.ctx.clock.set_ms(jump_ms);
        }
    }

    /// I9: what has ended does not change.
    fn note_end(&mut self) {
        let row = self.row();
        if Phase::parse(&row.phase).is_some_and(Phase::is_terminal) {
            match &self.ended {
                None => self.ended = Some(row),
                Some(ended) if *ended != row => self.sim.break_rule(format!("I9 {ended:?} became {row:?}")),
                Some(_) => {}
            }
        }
    }

    /// What must hold at the end.
    fn check(&self) {
        let row = self.row();
        let phase = Phase::parse(&row.phase).expect("a phase");
        // I1: it has ended, is parked, or waits for a person.
        if !(phase.is_terminal() || row.parked_at_ms.is_some() || phase == Phase::ManualReview) {
            self.sim.break_rule(format!("I1 {row:?}"));
        }
        if row.live_key.is_some() == phase.is_terminal() {
            self.sim.break_rule("a live key without life".into());
        }
        let attempts = self.bed.attempts(&self.id);
        // I2: one key for each round of a step.
        let mut keys: BTreeMap<(String, i64), BTreeSet<String>> = BTreeMap::new();
        for one in &attempts {
            keys.entry((one.step.clone(), one.round))
                .or_default()
                .insert(one.idempotency_key.clone());
        }
        if keys.values().any(|keys| keys.len() != 1) {
            self.sim.break_rule(format!("I2 {keys:?}"));
        }
        // I8: attempts are bounded. Crashes and replays add to them, and each of those is bounded by the schedule.
        let most: u32 = STEP_RULES.iter().map(|rule| rule.attempts * rule.rounds).sum();
        if attempts.len() > most as usize + TURNS {
            self.sim.break_rule(format!("I8 {} attempts", attempts.len()));
        }
        // Each store that is on record as done has its rows, once.
        let stored = attempts
            .iter()
            .filter(|one| one.step == "store" && one.class.as_deref() == Some("ok"))
            .count();
        let rows = self.bed.number(&format!(
            "SELECT COUNT(*) FROM stored_by_test WHERE exchange_id = '{}'",
            self.id
        ));
        if rows as usize != stored {
            self.sim.break_rule(format!("{rows} rows of {stored} stores"));
        }
        // I10: what is stored or in quarantine was received.
        let read = self.ctx.store.read_blocking(|db| exchanges::result_of(db, &self.id));
        let result = read
            .expect("read")
            .filter(|one| one.received < one.stored + one.unchanged + one.quarantined);
        if let Some(result) = result {
            self.sim.break_rule(format!("I10 {result:?}"));
        }
        self.check_ledger(&row);
    }

    /// The ledger tells the same story as the table of moves, up to the same end.
    fn check_ledger(&self, row: &ExchangeRow) {
        let (mut phase, mut step) = (None, StepName::MemberMatch);
        for action in self.bed.ledger(&self.id) {
            let Some(event) = ExchangeEvent::parse(&action) else {
                continue;
            };
            let found = MOVES.iter().find(|one| {
                one.event == event
                    && match phase {
                        None => one.from.is_empty(),
                        Some(phase) => one.from.contains(&phase),
                    }
                    && (one.at.is_empty() || one.at.contains(&step))
            });
            let Some(found) = found else {
                self.sim
                    .break_rule(format!("the ledger has {action} at {phase:?} {step:?}"));
                return;
            };
            if let LeadsTo::Phase(to) = found.to {
                phase = Some(to);
            }
            if let NextStep::Step(next) = found.next {
                step = next;
            }
        }
        if phase.map(Phase::code) != Some(row.phase.as_str()) || step.code() != row.step {
            self.sim.break_rule(format!(
                "the ledger ends at {phase:?} {step:?}, the exchange at {row:?}"
            ));
        }
    }
}

/// How schedules ended, and calls of the partner.
#[derive(Default)]
struct Tally {
    ends: BTreeMap<String, usize>,
    calls: usize,
    schedules: u64,
}

/// Runs the schedules of these seeds, one after the other, over a store of their own. With `until` it stops when that time is over and all lanes
/// together have come to as many different `ends` as there must be.
fn lane(seeds: impl Iterator<Item = u64>, until: Option<Instant>, ends: &Mutex<BTreeSet<String>>) -> Tally {
    let bed = Bed::with(TestStore::fresh());
    let mut tally = Tally::default();
    for seed in seeds {
        bed.sql("DELETE FROM partner_health");
        let mut schedule = Schedule::new(&bed, seed);
        schedule.run();
        schedule.check();
        let broken = schedule.sim.broken.lock().expect("whole").clone();
        assert!(
            broken.is_empty(),
            "CAUSEWAY_TEST_SEED={seed} CAUSEWAY_TEST_SCHEDULES=1: {broken:#?}\n{:#?}\n{:?}",
            bed.attempts(&schedule.id),
            bed.ledger(&schedule.id)
        );
        tally.calls += *schedule.sim.calls.lock().expect("whole");
        tally.schedules += 1;
        let row = schedule.row();
        let parked = if row.parked_at_ms.is_some() { " parked" } else { "" };
        let end = format!("{}{parked}", row.phase);
        *tally.ends.entry(end.clone()).or_default() += 1;
        bed.sql("DELETE FROM job");
        let are_enough = {
            let mut ends = ends.lock().expect("whole");
            ends.insert(end);
            ends.contains("completed") && ends.len() >= ENDS
        };
        if are_enough && until.is_some_and(|until| Instant::now() > until) {
            break;
        }
    }
    tally
}

#[test]
fn whatever_happens_an_exchange_ends_once_and_nothing_is_sent_in_vain() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seed = number("CAUSEWAY_TEST_SEED").unwrap_or_else(|| u64::from(std::process::id()) << 20);
    let asked = number("CAUSEWAY_TEST_SCHEDULES");
    let count = asked.unwrap_or(SCHEDULES);
    println!("CAUSEWAY_TEST_SEED={seed} CAUSEWAY_TEST_SCHEDULES={count}");
    let began = Instant::now();
    let until = (asked.is_none() && on_postgres()).then(|| began + Duration::from_secs(POSTGRES_S));
    let lanes = count.min(LANES);
    let ends = &Mutex::new(BTreeSet::new());
    let tallies: Vec<Tally> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..lanes)
            .map(|lane_no| {
                scope.spawn(move || lane((seed + lane_no..seed + count).step_by(lanes as usize), until, ends))
            })
            .collect();
        running
            .into_iter()
            .map(|one| one.join().expect("a lane without a broken rule"))
            .collect()
    });
    let mut all = Tally::default();
    for one in tallies {
        all.calls += one.calls;
        all.schedules += one.schedules;
        for (end, times) in one.ends {
            *all.ends.entry(end).or_default() += times;
        }
    }
    println!(
        "{} schedules, {} calls in {:?}: {:?}",
        all.schedules,
        all.calls,
        began.elapsed(),
        all.ends
    );
    assert!(
        until.is_some() || all.schedules == count,
        "{} of {count} schedules",
        all.schedules
    );
    assert!(
        all.ends.contains_key("completed") && all.ends.len() >= ENDS.min(count as usize),
        "{:?}",
        all.ends
    );
}
