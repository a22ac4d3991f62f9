//! The tables of exchanges, for programs and as diagrams: enumerations, moves, steps and failures.

use crate::exchange::clocks::DueState;
use crate::exchange::event::ExchangeEvent;
use crate::exchange::moves::{LeadsTo, MOVES, Move, NextStep};
use crate::exchange::phase::{
    AskedFor, AuditState, ConsentState, CoverKind, DeliveryState, IdentityState, NextMover, Phase, TransportState,
};
use crate::exchange::retry::{FAILURE_RULES, version};
use crate::exchange::step_table::{STEP_RULES, needs, rule};
use crate::exchange::steps::StepName;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// All tables.
#[derive(Clone, Debug, Serialize)]
pub struct StateTables {
    /// The values of each enumeration.
    pub enumerations: BTreeMap<&'static str, Vec<&'static str>>,
    /// Every allowed move; what is not here is refused.
    pub moves: Vec<MoveItem>,
    /// Every step.
    pub steps: Vec<StepRuleItem>,
    /// Every class of failures.
    pub failures: Vec<FailureItem>,
    /// The version of the tables of steps and failures.
    pub retry_version: &'static str,
}

/// One move.
#[derive(Clone, Debug, Serialize)]
pub struct MoveItem {
    /// The phases from which it is allowed; none for the first move.
    pub from: Vec<&'static str>,
    /// The steps at which it is allowed; none for any.
    pub at: Vec<&'static str>,
    /// The event.
    pub event: &'static str,
    /// The phase after it; `null` when it stays.
    pub to: Option<&'static str>,
    /// The step after it; `null` when it stays or when the exchange has ended.
    pub next_step: Option<&'static str>,
    /// Who makes the next move.
    pub owner: &'static str,
    /// The new identity state.
    pub identity_state: Option<&'static str>,
    /// The new consent state.
    pub consent_state: Option<&'static str>,
    /// The new transport state.
    pub transport_state: &'static str,
    /// The new delivery state.
    pub delivery_state: Option<&'static str>,
    /// The new audit state.
    pub audit_state: &'static str,
    /// Who tries again.
    pub retried_by: Option<&'static str>,
    /// Who calls for help.
    pub escalated_by: Option<&'static str>,
    /// Who keeps the evidence.
    pub evidence_by: Option<&'static str>,
    /// Who tells the final status.
    pub final_status_by: Option<&'static str>,
    /// Time limit of an attempt of the step, where the move is of one step.
    pub timeout_ms: Option<u64>,
    /// Most attempts of that step in a round.
    pub attempts: Option<u32>,
    /// What takes the step back.
    pub compensation: Option<&'static str>,
    /// The heading of docs/operators/exchanges.md.
    pub runbook: &'static str,
}

/// One step.
#[derive(Clone, Debug, Serialize)]
pub struct StepRuleItem {
    /// Its name.
    pub step: &'static str,
    /// Whether its result is in the store, so that it is not run again.
    pub lasting: bool,
    /// The steps that a session must have done before.
    pub needs: Vec<&'static str>,
    /// Time limit of an attempt.
    pub timeout_ms: u64,
    /// Most attempts in a round.
    pub attempts: u32,
    /// Most rounds.
    pub rounds: u32,
    /// Time between two rounds.
    pub round_ms: i64,
    /// What takes it back.
    pub compensation: &'static str,
    /// Why it may run again.
    pub safe_because: &'static str,
}

/// One class of failures.
#[derive(Clone, Debug, Serialize)]
pub struct FailureItem {
    /// Its code.
    pub class: &'static str,
    /// What follows.
    pub follows: &'static str,
    /// Most attempts in a round.
    pub attempts: u32,
    /// Upper limit of the first wait.
    pub base_ms: u64,
    /// Upper limit of all waits.
    pub cap_ms: u64,
    /// Whether the circuit breaker counts it.
    pub blames_server: bool,
    /// What an operator does when an exchange is parked for it.
    pub next_action: &'static str,
}

/// The tables.
pub fn tables() -> StateTables {
    StateTables {
        enumerations: enumerations(),
        moves: MOVES.iter().map(move_item).collect(),
        steps: STEP_RULES.iter().map(step_item).collect(),
        failures: FAILURE_RULES
            .iter()
            .map(|rule| FailureItem {
                class: rule.code,
                follows: rule.follows.code(),
                attempts: rule.attempts,
                base_ms: rule.base_ms,
                cap_ms: rule.cap_ms,
                blames_server: rule.blames_server,
                next_action: rule.next,
            })
            .collect(),
        retry_version: version(),
    }
}

fn enumerations() -> BTreeMap<&'static str, Vec<&'static str>> {
    macro_rules! of {
        ($kind:ident) => {
            $kind::ALL.iter().map(|one| one.code()).collect()
        };
    }
    BTreeMap::from([
        ("direction", vec!["outbound", "inbound"]),
        ("kind", vec!["single"]),
        ("phase", of!(Phase)),
        ("identity_state", of!(IdentityState)),
        ("consent_state", of!(ConsentState)),
        ("transport_state", of!(TransportState)),
        ("delivery_state", of!(DeliveryState)),
        ("audit_state", of!(AuditState)),
        ("owner", of!(NextMover)),
        ("sla", of!(DueState)),
        ("step", of!(StepName)),
        ("event", of!(ExchangeEvent)),
        ("cover", of!(CoverKind)),
        ("asked_for", of!(AskedFor)),
    ])
}

fn move_item(one: &Move) -> MoveItem {
    let of_step = match one.at {
        [step] => Some(rule(*step)),
        _ => None,
    };
    let ownership = &one.ownership;
    MoveItem {
        from: one.from.iter().map(|phase| phase.code()).collect(),
        at: one.at.iter().map(|step| step.code()).collect(),
        event: one.event.code(),
        to: match one.to {
            LeadsTo::Phase(phase) => Some(phase.code()),
            LeadsTo::Same => None,
        },
        next_step: match one.next {
            NextStep::Step(step) => Some(step.code()),
            NextStep::Same | NextStep::None => None,
        },
        owner: one.owner.code(),
        identity_state: one.identity.map(IdentityState::code),
        consent_state: one.consent.map(ConsentState::code),
        transport_state: one.transport.code(),
        delivery_state: one.delivery.map(DeliveryState::code),
        audit_state: one.audit().code(),
        retried_by: ownership.retried_by.map(NextMover::code),
        escalated_by: ownership.escalated_by.map(NextMover::code),
        evidence_by: ownership.evidence_by.map(NextMover::code),
        final_status_by: ownership.final_status_by.map(NextMover::code),
        timeout_ms: of_step.map(|rule| rule.timeout_ms),
        attempts: of_step.map(|rule| rule.attempts),
        compensation: of_step.map(|rule| rule.compensation),
        runbook: one.runbook,
    }
}

fn step_item(rule: &crate::exchange::step_table::StepRule) -> StepRuleItem {
    StepRuleItem {
        step: rule.step.code(),
        lasting: rule.step.is_lasting(),
        needs: needs(rule.step).iter().map(|step| step.code()).collect(),
        timeout_ms: rule.timeout_ms,
        attempts: rule.attempts,
        rounds: rule.rounds,
        round_ms: rule.round_ms,
        compensation: rule.compensation,
        safe_because: rule.safe_because,
    }
}

/// The moves between phases as a graph in the DOT language.
pub fn dot() -> String {
    let mut text = String::from("digraph exchange {\n  rankdir=LR;\n  node [shape=box];\n  begin [shape=point];\n");
    for phase in Phase::ALL.iter().filter(|phase| phase.is_terminal()) {
        let _ = writeln!(text, "  {} [peripheries=2];", phase.code());
    }
    for (from, to, events) in edges("begin") {
        let _ = writeln!(text, "  {from} -> {to} [label=\"{events}\"];");
    }
    text.push_str("}\n");
    text
}

/// The moves between phases as a Mermaid state diagram.
pub fn mermaid() -> String {
    let mut text = String::from("stateDiagram-v2\n");
    for (from, to, events) in edges("[*]") {
        let _ = writeln!(text, "  {from} --> {to} : {events}");
    }
    for phase in Phase::ALL.iter().filter(|phase| phase.is_terminal()) {
        let _ = writeln!(text, "  {} --> [*]", phase.code());
    }
    text
}

/// Every pair of phases between which there is a move, with the events of its moves.
fn edges(begin: &'static str) -> Vec<(&'static str, &'static str, String)> {
    let mut found: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    for one in MOVES {
        let LeadsTo::Phase(to) = one.to else { continue };
        let from: Vec<&'static str> = match one.from {
            [] => vec![begin],
            phases => phases.iter().map(|phase| phase.code()).collect(),
        };
        for from in from.into_iter().filter(|from| *from != to.code()) {
            found.entry((from, to.code())).or_default().insert(one.event.code());
        }
    }
    found
        .into_iter()
        .map(|((from, to), events)| (from, to, events.into_iter().collect::<Vec<_>>().join(", ")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_diagrams_name_every_phase_and_the_tables_every_value() {
        let (dot, mermaid) = (dot(), mermaid());
        for phase in Phase::ALL {
            assert!(
                dot.contains(phase.code()) && mermaid.contains(phase.code()),
                "{phase:?}"
            );
        }
        let tables = tables();
        assert_eq!(tables.enumerations["phase"].len(), Phase::ALL.len());
        assert_eq!(tables.moves.len(), MOVES.len());
        assert!(serde_json::to_string(&tables).is_ok());
    }
}
