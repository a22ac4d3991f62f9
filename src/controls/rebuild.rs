//! The control *rebuild*: exchanges and matches of partners, chosen by chance, are rebuilt from the entries of the ledger alone, and compared
//! with their rows.
//!
//! The entries of an exchange are its events; the table of moves says where each leads. An event that is not allowed where the entries before
//! it have led shows that an entry is missing or was made up.

use super::found::{CommitmentOpens, EntryRead};
use super::matched;
use super::report::{ControlDefect, ControlFindings, RebuiltState, RebuiltTimeline};
use super::sample::{HowMany, each, settled};
use crate::audit::Action;
use crate::clock::rfc3339_ms;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::exchange::event::ExchangeEvent;
use crate::exchange::loaded::LoadedExchange;
use crate::exchange::moves::{LeadsTo, Move, NextStep, allowed, first};
use crate::exchange::phase::{ConsentState, DeliveryState, IdentityState, Phase};
use crate::exchange::steps::StepName;
use crate::jobs::Chance;
use crate::keeping::DataKind;
use crate::retention::shortest;
use crate::store::control_rows::RowKind;
use crate::store::{Db, entries};

/// Entries that one query reads.
const READ: i64 = 1_000;

/// Rebuilds what was chosen. Waits on this thread.
///
/// # Errors
/// Those of the store.
pub fn run(ctx: &Context, chance: &Chance, many: HowMany) -> Result<ControlFindings, Failure> {
    let mut findings = ControlFindings::default();
    let store = &ctx.store;
    let now_ms = ctx.clock.now_ms();
    let periods = store.read_blocking(|db| shortest(db, &ctx.keeping, now_ms))?;
    let consents_before_ms = periods.before_ms(DataKind::Consents, now_ms);
    let consents_before_ms = consents_before_ms.unwrap_or(i64::MIN);
    let is_well = |(_, defects): &(RebuiltTimeline, Vec<ControlDefect>)| defects.is_empty();
    let exchanges = each(store, RowKind::Exchange, (chance, many), &mut |id| {
        findings.look();
        let (timeline, defects) = settled(store, |db| exchange(db, id), is_well)?;
        findings.take(defects);
        findings.rebuilt(timeline);
        Ok(())
    })?;
    let decisions = each(store, RowKind::Decision, (chance, many), &mut |id| {
        findings.look();
        let (timeline, defects) = settled(store, |db| matched::rebuild(db, id, consents_before_ms), is_well)?;
        findings.take(defects);
        findings.rebuilt(timeline);
        Ok(())
    })?;
    findings.fact("exchanges", exchanges);
    findings.fact("decisions", decisions);
    if findings.checked() == 0 {
        findings.skip("there is no exchange and no match");
    }
    Ok(findings)
}

/// All entries of an exchange, oldest first.
pub(super) fn entries_of(db: &mut Db, id: &str) -> Result<Vec<EntryRead>, Failure> {
    let (mut found, mut after) = (Vec::new(), String::new());
    loop {
        let rows = entries::of_exchange(db, id, &after, READ)?;
        let Some(last) = rows.last() else { return Ok(found) };
        after.clone_from(&last.id);
        found.extend(EntryRead::all(rows)?);
    }
}

/// The states of an exchange, as far as its events tell them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RebuiltExchange {
    phase: Option<Phase>,
    step: Option<StepName>,
    identity: Option<IdentityState>,
    consent: Option<ConsentState>,
    delivery: Option<DeliveryState>,
    is_parked: bool,
    reason: Option<String>,
    /// Bytes of the last retrieval, and what was stored of it, unless something was taken out or judged again since.
    bytes: Option<u64>,
    stored: Option<u64>,
}

/// What comes from an event, if it is allowed where the exchange is.
fn found_move(states: &RebuiltExchange, event: ExchangeEvent) -> Option<&'static Move> {
    match (states.phase, states.step) {
        (Some(phase), Some(step)) => allowed(phase, step, event),
        _ => (event == first().event).then(first),
    }
}

impl RebuiltExchange {
    /// Takes an entry in. The error is why it cannot follow the entries before it.
    pub(super) fn follow(&mut self, entry: &EntryRead) -> Result<(), String> {
        let code = entry.row.action.strip_prefix("exchange.").unwrap_or_default();
        let Some(event) = ExchangeEvent::parse(code) else {
            if entry.is(Action::ExchangeRetracted) || entry.is(Action::ExchangeJudgedAgain) {
                self.stored = None;
            }
            return Ok(());
        };
        let at = self.phase.map_or("nothing", Phase::code);
        let found = found_move(self, event).ok_or_else(|| format!("{code} is not allowed in {at}"))?;
        if let LeadsTo::Phase(phase) = found.to {
            self.phase = Some(phase);
        }
        if let NextStep::Step(step) = found.next {
            self.step = Some(step);
        }
        self.identity = found.identity.or(self.identity);
        self.consent = found.consent.or(self.consent);
        self.delivery = found.delivery.or(self.delivery);
        self.is_parked = match event {
            ExchangeEvent::Parked | ExchangeEvent::Paused => true,
            ExchangeEvent::Replayed | ExchangeEvent::Reopened => false,
            _ => self.is_parked && !self.phase.is_some_and(Phase::is_terminal),
        };
        self.reason = entry.text("/outcome/reason").map(str::to_owned);
        if matches!(event, ExchangeEvent::Retrieved | ExchangeEvent::PartlyRetrieved) {
            self.bytes = entry.number("/bytes");
        }
        if matches!(
            event,
            ExchangeEvent::Stored | ExchangeEvent::PartlyStored | ExchangeEvent::RestAwaited
        ) {
            self.stored = entry.number("/counts/stored");
        }
        Ok(())
    }

    /// The phase, with the step and whether it is parked.
    fn told(&self) -> String {
        let mut told = self.phase.map_or("-", Phase::code).to_owned();
        if let Some(step) = self.step.filter(|_| !self.phase.is_some_and(Phase::is_terminal)) {
            told = format!("{told} at {}", step.code());
        }
        if self.is_parked {
            told.push_str(", parked");
        }
        told
    }

    /// The columns of the row that are not what the entries say.
    fn differences(&self, exchange: &LoadedExchange) -> Vec<&'static str> {
        let row = &exchange.row;
        let is_over = self.phase.is_some_and(Phase::is_terminal);
        let same = |code: Option<&str>, column: &str| code.is_none_or(|code| code == column);
        let number = |told: Option<u64>, column: i64| told.is_none_or(|told| i64::try_from(told) == Ok(column));
        let checks = [
            ("phase", self.phase.map(Phase::code) == Some(row.phase.as_str())),
            ("step", self.step.map(StepName::code) == Some(row.step.as_str())),
            (
                "identity state",
                same(self.identity.map(IdentityState::code), &row.identity_state),
            ),
            (
                "consent state",
                same(self.consent.map(ConsentState::code), &row.consent_state),
            ),
            (
                "delivery state",
                same(self.delivery.map(DeliveryState::code), &row.delivery_state),
            ),
            ("whether it is parked", self.is_parked == row.parked_at_ms.is_some()),
            ("whether it has ended", is_over == row.ended_ms.is_some()),
            ("audit state", (row.audit_state == "complete") == is_over),
            ("reason", !is_over || self.reason == row.reason),
            ("bytes", number(self.bytes, exchange.result.bytes)),
            ("stored resources", number(self.stored, exchange.result.stored)),
        ];
        checks
            .into_iter()
            .filter_map(|(what, is_same)| (!is_same).then_some(what))
            .collect()
    }
}

/// What of an entry is not that of its exchange.
fn strange(entry: &EntryRead, exchange: &LoadedExchange) -> Option<&'static str> {
    let (row, ask) = (&exchange.row, &exchange.ask);
    let is_sent = entry.is(Action::ExchangeSending) || entry.is(Action::OptInRecorded);
    let member = row.member_id.as_deref();
    let is_member = || member.is_none_or(|member| entry.is_about(member) != CommitmentOpens::No);
    let policy = || match entry.is(Action::ExchangeStarted) {
        true => entry.text("/policy_version") == Some(row.policy_version.as_str()),
        false => true,
    };
    [
        ("partner", entry.text("/partner") == Some(row.partner_id.as_str())),
        ("member", is_member()),
        ("policy version", policy()),
        (
            "opt-in",
            !is_sent || entry.is_under(&ask.opt_in_id) != CommitmentOpens::No,
        ),
    ]
    .into_iter()
    .find_map(|(what, is_same)| (!is_same).then_some(what))
}

/// Rebuilds an exchange, and says what its rows have otherwise.
pub(super) fn exchange(db: &mut Db, id: &str) -> Result<(RebuiltTimeline, Vec<ControlDefect>), Failure> {
    let exchange = LoadedExchange::read(db, id)?.ok_or(Fault::ExchangeUnknown)?;
    let (mut states, mut timeline, mut defects) = (RebuiltExchange::default(), Vec::new(), Vec::new());
    let mut defect = |what: &'static str, id: &str, why: String| {
        defects.push(ControlDefect {
            what,
            id: id.to_owned(),
            why,
        });
    };
    for entry in entries_of(db, id)? {
        if let Some(what) = strange(&entry, &exchange) {
            defect(
                "entry",
                &entry.row.id,
                format!("its {what} is not that of the exchange {id}"),
            );
        }
        if let Err(why) = states.follow(&entry) {
            defect(
                "exchange",
                id,
                format!("the ledger lacks an entry before {}: {why}", entry.row.id),
            );
        }
        timeline.push(RebuiltState {
            at: rfc3339_ms(entry.row.at_us / 1000),
            action: entry.row.action.clone(),
            state: states.told(),
        });
    }
    match timeline.is_empty() {
        true => defect("exchange", id, "the ledger has no entry of it".to_owned()),
        false => {
            for what in states.differences(&exchange) {
                defect(
                    "exchange",
                    id,
                    format!("{what}: the row differs from what the ledger says"),
                );
            }
        }
    }
    let timeline = RebuiltTimeline {
        what: "exchange",
        id: id.to_owned(),
        states: timeline,
    };
    Ok((timeline, defects))
}
