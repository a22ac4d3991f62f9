//! The control *outage-drill*: what becomes of exchanges while a partner's server is down, and after it is back.
//!
//! It is played by a payer that does not exist, in a temporary folder: with this program's own engine, client and store, the sandbox as the
//! partner, and simulated time, so that hours of waiting pass at once. No member of ours, no key of ours and no partner of ours has a part in
//! it. Each stage has a runner of its own, as after a restart.

use super::drill_stage::Drill;
use super::rebuild;
use super::report::ControlFindings;
use crate::error::Failure;
use crate::exchange::intake::AcceptedWish;
use crate::exchange::phase::Phase;
use crate::exchange::steps::StepName;
use crate::store::exchanges::AttemptRow;
use causeway_sandbox_partner::SandboxRoute;

/// How often an exchange is asked for while the partner is down and comes back before its attempts are over.
const SHORT: usize = 3;
/// Most waits of an exchange in one stage.
const WAITS: usize = 200;

/// Plays the outage. `now_ms` is UTC milliseconds; simulated time begins then. Waits on this thread, for some seconds.
///
/// # Errors
/// Those of the folder for temporary files, and of the store in it.
pub fn run(seed: u32, now_ms: i64) -> Result<ControlFindings, Failure> {
    let mut findings = ControlFindings::default();
    findings.fact(
        "played by",
        "a made-up payer and the sandbox partner, over TLS on this machine",
    );
    findings.fact("time", "simulated");
    let drill = Drill::make(seed, now_ms)?;
    short_outage(&drill, &mut findings)?;
    long_outage(&drill, &mut findings)?;
    let hours = (drill.clock.now_ms() - now_ms) / 3_600_000;
    findings.fact("simulated hours", hours);
    let matches: Vec<_> = drill.sandbox.control().effects();
    let matches = matches
        .iter()
        .filter(|effect| effect.route == SandboxRoute::MemberMatch);
    let counts: Vec<u64> = matches.map(|effect| effect.count).collect();
    findings.fact("matches that the partner processed", counts.iter().sum::<u64>());
    if counts != [1, 1] {
        findings.defect(
            "drill",
            "member-match",
            "the partner did not process each match exactly once",
        );
    }
    Ok(findings)
}

/// The partner is down for a few attempts: the exchange waits, and completes by itself.
fn short_outage(drill: &Drill, findings: &mut ControlFindings) -> Result<(), Failure> {
    drill.goes_down()?;
    let id = drill.started(0)?.exchange_id;
    for _ in 0..SHORT {
        drill.stage(&id, 1)?;
    }
    let waiting = drill.row(&id)?;
    check(
        findings,
        "short outage",
        waiting.phase == Phase::Requested.code() && waiting.parked_at_ms.is_none(),
        "the exchange does not wait while the partner is down",
    );
    check(
        findings,
        "short outage",
        drill.started(0)?
            == AcceptedWish {
                exchange_id: id.clone(),
                is_new: false,
                is_replayed: true,
            },
        "the same request does not lead to the same exchange",
    );
    let attempts = drill.attempts(&id)?;
    findings.fact("attempts in the short outage", attempts_of_match(&attempts).count());
    drill.sandbox.control().behave();
    drill.stage(&id, WAITS)?;
    ended(drill, findings, "short outage", &id)
}

/// The partner is down until the attempts are over: the exchange is parked, an operator lets it go on, and it completes.
fn long_outage(drill: &Drill, findings: &mut ControlFindings) -> Result<(), Failure> {
    drill.goes_down()?;
    let id = drill.started(1)?.exchange_id;
    drill.stage(&id, WAITS)?;
    let parked = drill.row(&id)?;
    check(
        findings,
        "long outage",
        parked.parked_at_ms.is_some() && parked.owner == "operator",
        "the exchange is not parked for an operator when its attempts are over",
    );
    findings.fact("parked with", parked.reason.as_deref().unwrap_or("no reason"));
    let attempts = drill.attempts(&id)?;
    findings.fact("attempts in the long outage", attempts_of_match(&attempts).count());
    check(
        findings,
        "long outage",
        attempts_of_match(&attempts).all(|one| one.class.as_deref() != Some("ok")),
        "an attempt went well while the partner was down",
    );
    drill.sandbox.control().behave();
    drill.replay(&id)?;
    drill.stage(&id, WAITS)?;
    ended(drill, findings, "long outage", &id)
}

fn attempts_of_match(all: &[AttemptRow]) -> impl Iterator<Item = &AttemptRow> {
    all.iter().filter(|one| one.step == StepName::MemberMatch.code())
}

fn check(findings: &mut ControlFindings, stage: &str, holds: bool, why: &str) {
    findings.look();
    if !holds {
        findings.defect("drill", stage, why);
    }
}

/// Checks an exchange after the partner is back: it is complete, asked with one key, and the ledger tells it.
fn ended(drill: &Drill, findings: &mut ControlFindings, stage: &str, id: &str) -> Result<(), Failure> {
    let row = drill.row(id)?;
    check(
        findings,
        stage,
        row.phase == Phase::Completed.code(),
        "the exchange is not complete after the partner is back",
    );
    let attempts = drill.attempts(id)?;
    let mut keys: Vec<&str> = attempts_of_match(&attempts)
        .map(|one| one.idempotency_key.as_str())
        .collect();
    keys.dedup();
    check(
        findings,
        stage,
        keys.len() == 1,
        "its attempts had several idempotency keys",
    );
    let ctx = drill.open()?;
    let (timeline, defects) = ctx.store.read_blocking(|db| rebuild::exchange(db, id))?;
    check(
        findings,
        stage,
        defects.is_empty(),
        "the ledger does not tell it as its rows do",
    );
    let actions: Vec<&str> = timeline.states.iter().map(|state| state.action.as_str()).collect();
    let failed = actions
        .iter()
        .filter(|action| **action == "exchange.attempt-failed")
        .count();
    check(findings, stage, failed > 0, "the ledger has no attempt that failed");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::report::ControlResult;
    use super::*;

    #[test]
    fn an_outage_is_waited_out_or_parked_and_nothing_is_lost_or_asked_twice() {
        crate::security::tls::install_provider();
        let found = run(7, 1_767_625_200_000).expect("played").end();
        assert_eq!(found.result, ControlResult::Holds, "{:?}", found.listed);
        assert_eq!(found.facts["matches that the partner processed"], "2");
        assert!(
            found.facts["attempts in the long outage"]
                .parse::<u32>()
                .expect("a number")
                >= 5,
            "{:?}",
            found.facts
        );
    }
}
