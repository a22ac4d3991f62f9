//! `causeway exchange show`: the whole timeline of an exchange on one screen.

use super::asker::CommandAsker;
use super::pages::or_dash;
use crate::audit::{Object, OperatorNote};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::ops::View;
use crate::ops::both_ways;
use crate::ops::exchanges::ExchangeDetail;
use crate::ops::inbound::ExchangeView;
use crate::terminal::{Exit, Out};

/// Runs the command for `by`, who is about to look. Waits on this thread.
///
/// # Errors
/// [`Fault::ExchangeUnknown`]; those of the store.
pub fn run(ctx: &Context, id: &str, by: OperatorNote, asker: &CommandAsker, out: &mut Out) -> Result<Exit, Failure> {
    let object = Object {
        kind: "Exchange",
        id: id.to_owned(),
    };
    asker.show_to(ctx, by, "exchanges", Some(object))?;
    let how = how(ctx, View::Full);
    let shown = ctx.store.read_blocking(|db| both_ways::one(db, id, how))?;
    if out.json {
        out.value(&shown);
    } else {
        print(&shown, out);
    }
    Ok(Exit::Done)
}

/// How exchanges are shown now.
pub fn how(ctx: &Context, view: View) -> ExchangeView {
    ExchangeView {
        view,
        now_ms: ctx.clock.now_ms(),
        zone: ctx.payer.time_zone,
        keys: ctx.member_keys.clone(),
    }
}

/// Prints the timeline for people.
pub fn print(shown: &ExchangeDetail, out: &mut Out) {
    let item = &shown.exchange;
    let mut line = |name: &str, text: String| out.line(&format!("{name:<12} {text}"));
    line(
        "exchange",
        format!("{} ({} with {})", item.id, item.direction, item.partner),
    );
    line("correlation", item.correlation_id.clone());
    line("phase", format!("{}, next action by {}", item.phase, item.owner));
    line(
        "states",
        format!(
            "identity {}, consent {}, transport {}, delivery {}, audit {}",
            item.identity_state, item.consent_state, item.transport_state, item.delivery_state, item.audit_state
        ),
    );
    if let Some(reason) = &item.reason {
        line("reason", with_text(reason));
    }
    if let Some(next) = item.next_action {
        line("next action", next.to_owned());
    }
    line("clock", format!("{}, due {}", item.sla, item.due_at));
    line("began", item.created_at.clone());
    for (name, at) in [
        ("parked", &item.parked_at),
        ("continues", &item.wakes_at),
        ("ended", &item.ended_at),
    ] {
        if let Some(at) = at {
            line(name, at.clone());
        }
    }
    if let Some(opt_in) = &shown.opt_in {
        let until = or_dash(opt_in.until.as_deref());
        line(
            "opt-in",
            format!(
                "{} {}, given {} ({}), until {until}",
                opt_in.id, opt_in.status, opt_in.attested_at, opt_in.attested_how
            ),
        );
    }
    let versions = &item.policy_versions;
    let rules = [&versions.matching, &versions.release, &versions.retry];
    line(
        "rules",
        rules.into_iter().flatten().cloned().collect::<Vec<_>>().join(", "),
    );
    for (name, id) in [
        ("decision", &item.decision_id),
        ("consent", &item.consent_id),
        ("grant", &item.grant_id),
    ] {
        if let Some(id) = id.as_ref().filter(|_| item.direction == "inbound") {
            line(name, id.clone());
        }
    }
    for (name, other) in [("rerun of", &item.run_of), ("replaced by", &item.superseded_by)] {
        if let Some(other) = other {
            line(name, other.clone());
        }
    }
    if let Some(came) = &shown.partner_checkpoint {
        line(
            "their ledger",
            format!(
                "{} entries of {}, told {}, not verified",
                came.size, came.origin, came.came_at
            ),
        );
    }
    print_record(shown, out);
    print_received(shown, out);
    print_attempts(shown, out);
}

/// A reason for people: the code of a fault with what happened, or the reason as it is.
fn with_text(reason: &str) -> String {
    let fault = Fault::ALL.iter().find(|fault| fault.code() == reason);
    fault.map_or_else(|| reason.to_owned(), |fault| format!("{reason} {}", fault.row().text))
}

/// What came, and what is missing.
fn print_record(shown: &ExchangeDetail, out: &mut Out) {
    let mut line = |name: &str, text: String| out.line(&format!("{name:<12} {text}"));
    if let Some(sent) = &shown.sent {
        let resources: u64 = sent.resources.values().sum();
        let least = if sent.is_at_least { "at least " } else { "" };
        line("sent", format!("{least}{resources} resources in {} bytes", sent.bytes));
        return;
    }
    let counts = &shown.counts;
    line(
        "record",
        format!(
            "received {} ({} bytes), stored {}, stored before {}, in quarantine {}",
            counts.received, counts.bytes, counts.stored, counts.unchanged, counts.quarantined
        ),
    );
    if let Some(retraction) = shown.retraction {
        line("taken out", format!("what it stored is removed again: {retraction}"));
    }
    for part in &shown.missing {
        let count = part.count.map_or_else(|| "some".to_owned(), |count| count.to_string());
        let page = part.page.map_or_else(String::new, |page| format!(" from page {page}"));
        let why = part
            .reason
            .as_deref()
            .map_or_else(String::new, |reason| format!(": {}", with_text(reason)));
        line("missing", format!("{count} {}{page}{why}", part.resource_type));
    }
}

/// Who received something of what is taken out again.
pub fn print_received(shown: &ExchangeDetail, out: &mut Out) {
    let Some(received) = &shown.received_since else { return };
    for one in received {
        let partner = or_dash(one.partner.as_deref());
        let resources: Vec<String> = one
            .resources
            .iter()
            .map(|(rtype, count)| format!("{rtype} {count}"))
            .collect();
        out.line(&format!(
            "{:<12} {partner}, {}, {}: {}",
            "received by",
            one.at,
            one.outcome,
            resources.join(", ")
        ));
    }
    let rest = match (shown.has_more_received, received.is_empty()) {
        (true, _) => "perhaps others too: not all disclosures were looked at",
        (false, true) => "nobody since it was stored",
        (false, false) => return,
    };
    out.line(&format!("{:<12} {rest}", "received by"));
}

/// The attempts.
fn print_attempts(shown: &ExchangeDetail, out: &mut Out) {
    out.line("");
    if shown.has_more_steps {
        out.line("There are more attempts than these.");
    }
    let rows: Vec<Vec<String>> = shown
        .steps
        .iter()
        .map(|step| {
            vec![
                step.started_at.clone(),
                step.step.clone(),
                format!("{}.{}", step.round, step.attempt),
                or_dash(step.class.as_deref()),
                step.http_status
                    .map_or_else(|| "-".to_owned(), |status| status.to_string()),
                or_dash(step.fault.as_deref()),
                or_dash(step.partner_request_id.as_deref()),
                step.idempotency_key.clone(),
            ]
        })
        .collect();
    out.table(
        &[
            "BEGAN",
            "STEP",
            "TRY",
            "CLASS",
            "HTTP",
            "FAULT",
            "THEIR REQUEST ID",
            "KEY",
        ],
        &rows,
    );
}
