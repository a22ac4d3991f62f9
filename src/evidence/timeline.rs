//! The timeline of a packet: its entries in their order, and the phase that an exchange of ours had after each, replayed from the table of moves.

use super::entry::EvidenceEntry;
use crate::error::Fault;
use crate::exchange::event::ExchangeEvent;
use crate::exchange::moves::{LeadsTo, Move, NextStep, allowed, first};
use crate::exchange::phase::Phase;
use crate::exchange::steps::StepName;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Where an exchange stands.
#[derive(Clone, Copy)]
struct Standing {
    phase: Phase,
    step: StepName,
}

impl Standing {
    fn after(known: Option<Standing>, event: ExchangeEvent) -> Option<Standing> {
        let begins = event == first().event;
        let made = match known {
            None if begins => first(),
            None => return None,
            Some(known) => allowed(known.phase, known.step, event)?,
        };
        Standing::by(known, made)
    }

    fn by(known: Option<Standing>, made: &Move) -> Option<Standing> {
        let phase = match made.to {
            LeadsTo::Phase(phase) => phase,
            LeadsTo::Same => known?.phase,
        };
        let step = match made.next {
            NextStep::Step(step) => step,
            NextStep::Same | NextStep::None => known.map_or(StepName::FindPartner, |known| known.step),
        };
        Some(Standing { phase, step })
    }
}

/// What happened, a value for each entry. A phase that the moves do not lead to is null.
pub(super) fn timeline(entries: &[EvidenceEntry]) -> Vec<Value> {
    let mut standing: BTreeMap<String, Option<Standing>> = BTreeMap::new();
    let mut told = Vec::new();
    for entry in entries {
        let event = ExchangeEvent::ALL
            .iter()
            .find(|event| event.action().code() == entry.row.action);
        let phase = event.zip(entry.text("/exchange")).and_then(|(event, exchange)| {
            let known = standing.get(exchange).copied().flatten();
            let next = Standing::after(known, *event);
            standing.insert(exchange.to_owned(), next);
            next.map(|next| next.phase.code())
        });
        let reason = entry.text("/outcome/reason");
        told.push(json!({
            "index": entry.index,
            "at": entry.at(),
            "action": entry.row.action,
            "text": words(&entry.row.action),
            "exchange": entry.facts["exchange"],
            "phase": phase,
            "step": entry.facts["step"],
            "attempt": entry.facts["attempt"],
            "partner": entry.facts["partner"],
            "actor": entry.facts["actor"]["type"],
            "outcome": entry.facts["outcome"]["class"],
            "status": entry.facts["outcome"]["http"],
            "reason": reason,
            "reason_text": reason.and_then(text_of),
            "policy_version": entry.facts["policy_version"],
        }));
    }
    told
}

/// An action in words: `member-match.matched` is "Member match: matched".
fn words(action: &str) -> String {
    let (area, what) = action.split_once('.').unwrap_or((action, ""));
    let area = area.replace('-', " ");
    let mut letters = area.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    let area: String = first.into_iter().chain(letters).collect();
    format!("{area}: {}", what.replace('-', " "))
}

/// What a fault code means.
fn text_of(code: &str) -> Option<&'static str> {
    let fault = Fault::ALL.iter().find(|fault| fault.code() == code)?;
    Some(fault.row().text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::entries::EntryRow;

    fn entry(index: u64, action: &str) -> EvidenceEntry {
        let entry = json!({ "action": action, "exchange": "x", "outcome": { "class": "ok", "reason": "EX-012" } });
        let row = EntryRow {
            id: format!("e{index}"),
            at_us: 1_000_000,
            action: action.to_owned(),
            partner_id: None,
            correlation_id: "c".to_owned(),
            request_id: None,
            entry: entry.to_string().into_bytes(),
            subject: None,
            salt: None,
        };
        EvidenceEntry::new(index, row).expect("an entry")
    }

    #[test]
    fn phases_are_replayed_from_the_entries_and_unknown_where_the_beginning_is_not_there() {
        let told = timeline(&[
            entry(3, "exchange.started"),
            entry(4, "exchange.parked"),
            entry(5, "consent.recorded"),
        ]);
        assert_eq!(told[0]["phase"], "requested");
        assert!(told[1]["phase"].is_string());
        assert_eq!(told[2]["phase"], Value::Null);
        assert_eq!(told[2]["text"], "Consent: recorded");
        assert_eq!(told[0]["reason_text"], "The other payer knows no such member.");
        let torn = timeline(&[entry(4, "exchange.parked")]);
        assert_eq!(torn[0]["phase"], Value::Null);
    }
}
