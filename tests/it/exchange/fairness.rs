//! Many partners, of which some are in trouble: in simulated time the others finish as if those were not there.

use super::bed::{Bed, NOW, wish};
use super::scripted::{Says, Scripted, failing};
use causeway::error::Fault;
use causeway::exchange::acts::ExchangeAct;
use causeway::exchange::steps::{StepEnd, StepName, TransportFailure};
use causeway::jobs::{AttemptOutcome, HeldJob, Runner};

/// Exchanges with each partner in the short form, and in the long one: a thousand in all.
const FEW: usize = 10;
const MANY: usize = 50;
/// What the bad partners cost the others, milliseconds, however many exchanges there are: their first calls hold places in vain, until
/// their circuits open.
const LOSS_MS: i64 = 25_000;
const PARTNERS: usize = 20;
const BAD: usize = 3;
const PERMITS: usize = 16;
/// How long a call takes, milliseconds: of a partner that is well, and of one that does not answer.
const CALL_MS: i64 = 500;
const SILENT_MS: i64 = 15_000;

fn name(number: usize) -> String {
    format!("p{number}")
}

fn is_bad(partner: &str) -> bool {
    (0..BAD).any(|number| name(number) == partner)
}

struct Under {
    held: HeldJob,
    outcome: AttemptOutcome,
    until_ms: i64,
}

/// A worker whose attempts take time.
struct Worker<'b> {
    bed: &'b Bed,
    runner: Runner,
    partner: Scripted,
    running: Vec<Under>,
}

impl Worker<'_> {
    fn now_ms(&self) -> i64 {
        self.bed.ctx.clock.now_ms()
    }

    /// Records what is over, claims what is free, and lets time pass until the next event. Returns false when there is none.
    fn turn(&mut self) -> bool {
        let now_ms = self.now_ms();
        let (over, still): (Vec<Under>, Vec<Under>) = self.running.drain(..).partition(|one| one.until_ms <= now_ms);
        self.running = still;
        for one in over {
            self.bed
                .block(self.runner.record(&one.held, one.outcome))
                .expect("recorded");
        }
        let (mut has_claimed, mut next_in_ms) = (false, None);
        while self.running.len() < PERMITS {
            let held: Vec<HeldJob> = self.running.iter().map(|one| one.held.clone()).collect();
            // One at a time: a lease also ends by the clock of the machine, which the attempts of the others take time of.
            let mut claimed = self.bed.block(self.runner.claim(1, &held)).expect("claimed");
            next_in_ms = claimed.next_in_ms;
            let Some(held) = claimed.held.pop() else { break };
            has_claimed = true;
            let before = self.partner.seen().len();
            let outcome = self.bed.block(self.runner.attempt(&held));
            let calls = i64::try_from(self.partner.seen().len() - before).expect("few");
            let of = held.job().partner.clone().expect("a partner");
            let each_ms = if is_bad(&of) { SILENT_MS } else { CALL_MS };
            let until_ms = now_ms + (calls * each_ms).max(1);
            self.running.push(Under {
                held,
                outcome,
                until_ms,
            });
        }
        let ends = self.running.iter().map(|one| one.until_ms - now_ms).min();
        let due = next_in_ms.filter(|wait_ms| !has_claimed && *wait_ms > 0);
        let Some(wait_ms) = ends.into_iter().chain(due).min() else {
            println!("nothing runs, and the next job is due in {next_in_ms:?} ms");
            return has_claimed;
        };
        self.bed.ctx.clock.advance_ms(wait_ms.max(1));
        true
    }
}

/// When the last exchange with a partner that is well ended, in milliseconds from the start, and the calls to each bad partner.
fn run(each: usize, with_bad: bool) -> (i64, Vec<usize>) {
    let bed = Bed::new();
    for number in 0..PARTNERS {
        bed.partner(&name(number));
    }
    let mut good = Vec::new();
    for number in 0..each {
        for partner in (0..PARTNERS).map(name).filter(|partner| with_bad || !is_bad(partner)) {
            let mut one = wish();
            one.partner.clone_from(&partner);
            one.coverage.member_number = format!("N-{number}");
            let id = bed.start(&one).expect("started").exchange_id;
            if !is_bad(&partner) {
                good.push(id);
            }
        }
    }
    let partner = Scripted::that(|facts, _, _| match is_bad(&facts.partner.id) {
        true => failing(TransportFailure::Unknown, None),
        false => Says::Well,
    });
    let mut worker = Worker {
        bed: &bed,
        runner: bed.runner_with_permits(&partner, PERMITS),
        partner: partner.clone(),
        running: Vec::new(),
    };
    let left = format!(
        "SELECT COUNT(*) FROM exchange WHERE ended_ms IS NULL AND partner_id NOT IN ({})",
        (0..BAD)
            .map(|number| format!("'{}'", name(number)))
            .collect::<Vec<_>>()
            .join(", ")
    );
    while bed.number(&left) > 0 {
        // The turn in which the last ones end leaves nothing to wait for.
        if !worker.turn() && bed.number(&left) > 0 {
            let states = bed.states();
            panic!("nothing is due, and good exchanges have not ended: {states:?}");
        }
    }
    let last_ms = good
        .iter()
        .map(|id| bed.exchange(id).ended_ms.expect("ended") - NOW)
        .max();
    // One more hour for the bad ones alone: their calls stay within the budget.
    let end_ms = worker.now_ms() + 3_600_000;
    while with_bad && worker.now_ms() < end_ms && worker.turn() {}
    let calls = (0..BAD)
        .map(|number| {
            let bad = name(number);
            let ids = bed.ids_with(&bad);
            partner
                .seen()
                .iter()
                .filter(|seen| ids.contains(&seen.exchange))
                .count()
        })
        .collect();
    (last_ms.expect("good ones"), calls)
}

/// Runs both, and returns the times without and with the bad partners, in milliseconds.
fn compare(each: usize) -> (i64, i64) {
    let (without_ms, _) = run(each, false);
    let (with_ms, calls) = run(each, true);
    println!(
        "{each} exchanges with each of {PARTNERS}: {without_ms} ms without the bad ones, {with_ms} ms with them; calls to those: {calls:?}"
    );
    // 20 repetitions, one more every ten seconds, and the first attempts; the circuit allows far fewer.
    for calls in calls {
        assert!(calls <= 60, "{calls} calls in an hour");
    }
    (without_ms, with_ms)
}

#[test]
fn partners_in_trouble_hold_up_the_others_for_no_longer_than_their_first_calls() {
    let (without_ms, with_ms) = compare(FEW);
    assert!(
        with_ms <= without_ms + LOSS_MS,
        "{with_ms} ms instead of {without_ms} ms"
    );
}

#[test]
#[ignore = "takes minutes in a debug build"]
fn of_a_thousand_exchanges_those_with_good_partners_end_within_a_fifth_more_time() {
    let (without_ms, with_ms) = compare(MANY);
    assert!(with_ms * 5 <= without_ms * 6, "{with_ms} ms instead of {without_ms} ms");
}

#[test]
fn d3_replays_of_many_at_once_stay_within_the_budget_of_their_partner() {
    let bed = Bed::new();
    let forbidding = Scripted::that(|_, step, before| match (step, before) {
        (StepName::MemberMatch, 0) => Says::End(StepEnd::OurFault {
            fault: Fault::PartnerForbids,
        }),
        _ => Says::Well,
    });
    let ids: Vec<String> = (0..40)
        .map(|number| {
            let mut one = wish();
            one.coverage.member_number = format!("OLD-{number}");
            bed.start(&one).expect("started").exchange_id
        })
        .collect();
    bed.run(&forbidding);
    assert_eq!(forbidding.count(StepName::MemberMatch), ids.len());
    assert!(ids.iter().all(|id| bed.exchange(id).parked_at_ms.is_some()));
    for id in &ids {
        bed.act(id, ExchangeAct::Replay).expect("replayed");
        bed.act(id, ExchangeAct::Replay).expect("a second time changes nothing");
    }
    bed.run(&forbidding);
    let again = forbidding.count(StepName::MemberMatch) - ids.len();
    assert!((20..=26).contains(&again), "{again} calls at once");
    let ended = || ids.iter().filter(|id| bed.exchange(id).ended_ms.is_some()).count();
    for _ in 0..120 {
        bed.ctx.clock.advance_ms(10_000);
        bed.run(&forbidding);
    }
    assert_eq!(ended(), ids.len(), "one more every ten seconds: {:?}", bed.states());
    assert_eq!(forbidding.count(StepName::MemberMatch), 2 * ids.len());
}

#[test]
fn a_partner_that_is_dead_is_called_only_within_its_budget() {
    let bed = Bed::new();
    let dead = Scripted::that(|_, _, _| failing(TransportFailure::NotSent, None));
    let ids: Vec<String> = (0..40)
        .map(|number| {
            let mut one = wish();
            one.coverage.member_number = format!("OLD-{number}");
            bed.start(&one).expect("started").exchange_id
        })
        .collect();
    let mut minutes = 0;
    while minutes < 60 {
        bed.run(&dead);
        bed.ctx.clock.advance_ms(5_000);
        if bed.ctx.clock.now_ms() - NOW >= (minutes + 1) * 60_000 {
            minutes += 1;
        }
    }
    // Five open the circuit; then one call tries the partner each time that it may be called, every ten minutes in the end.
    let calls = dead.seen().len();
    assert!((6..40).contains(&calls), "{calls} calls in an hour");
    let waits = ids
        .iter()
        .filter(|id| bed.exchange(id).transport_state == "circuit_open")
        .count();
    assert!(waits > 20, "{waits}");
    assert_eq!(
        bed.number("SELECT COUNT(*) FROM partner_health WHERE open_until_ms IS NOT NULL"),
        1
    );
    assert!(ids.iter().all(|id| bed.exchange(id).parked_at_ms.is_none()));
}
