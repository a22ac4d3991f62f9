//! What `causeway policy` prints: tables for people, and JSON. It changes nothing.

use crate::clock::rfc3339_ms;
use crate::context::Context;
use crate::error::Failure;
use crate::identity::{Field, Level, RuleRow};
use crate::ops::policies::{self, PolicyActItem};
use crate::ops::policy_kinds::KINDS;
use crate::ops::policy_replay::{CompareItem, FollowItem, ReplayItem};
use crate::policy::{self, Activated, PolicyKind, ShadowReport, Version};
use crate::terminal::Out;
use serde_json::{Value, json};

pub(super) fn show(version: &Version, out: &mut Out) {
    if out.json {
        out.value(&policies::with_text(version));
    } else {
        out.note(&format!(
            "{}  {}  {}  {}",
            version.id,
            version.kind.code(),
            version.name,
            version.standing.code()
        ));
        out.raw(&version.body);
    }
}

pub(super) fn list(versions: &[Version], out: &mut Out) {
    if out.json {
        out.value(&versions.iter().map(policies::item).collect::<Vec<_>>());
        return;
    }
    let cells = |version: &Version| {
        let state = match version.partners.as_slice() {
            [] => version.standing.code().to_owned(),
            partners => format!("{} for {}", version.standing.code(), partners.join(", ")),
        };
        vec![
            version.kind.code().to_owned(),
            short(version).to_owned(),
            state,
            version
                .rules
                .as_ref()
                .map_or("-", |rules| rules.point.code())
                .to_owned(),
            version.added_ms.map_or_else(|| "ships".to_owned(), rfc3339_ms),
            version.version.clone(),
            version.name.clone(),
        ]
    };
    let rows: Vec<Vec<String>> = versions.iter().map(cells).collect();
    out.table(&["KIND", "ID", "STATE", "POINT", "ADDED", "CITED AS", "NAME"], &rows);
}

pub(super) fn acts(acts: &[PolicyActItem], out: &mut Out) {
    if out.json {
        out.value(&acts);
        return;
    }
    let cells = |act: &PolicyActItem| {
        vec![
            act.id.clone(),
            act.kind.clone(),
            act.version_id.get(..12).unwrap_or(&act.version_id).to_owned(),
            act.partner.clone().unwrap_or_else(|| "everyone".to_owned()),
            act.state.to_owned(),
            act.effective_at.clone(),
        ]
    };
    let rows: Vec<Vec<String>> = acts.iter().map(cells).collect();
    out.table(&["ACT", "KIND", "VERSION", "FOR", "STATE", "FROM"], &rows);
}

pub(super) fn rules(rows: &[RuleRow], out: &mut Out) {
    if out.json {
        out.value(&json!(rows));
        return;
    }
    let needs = |row: &RuleRow| -> String {
        let need = |(field, levels): &(Field, Vec<Level>)| {
            let any: Vec<&str> = levels.iter().map(|level| level.words(*field)).collect();
            format!("{} {}", field.words(), any.join(" or "))
        };
        row.needs.iter().map(need).collect::<Vec<_>>().join("; ")
    };
    let cells = |row: &RuleRow| {
        vec![
            row.name.to_owned(),
            if row.in_force { "yes" } else { "no" }.to_owned(),
            format!("{:.1e}", row.collisions),
            row.bound.to_string(),
            needs(row),
        ]
    };
    let rows: Vec<Vec<String>> = rows.iter().map(cells).collect();
    out.table(&["RULE", "DECIDES", "STRANGERS", "AT MOST", "NEEDS"], &rows);
    out.note("STRANGERS: the people in the whole roster who would satisfy the rule by chance. Guards and rivals are checked after the rules.");
}

pub(super) fn difference(from: &Version, to: &Version, out: &mut Out) {
    let found = policies::difference(from, to);
    if out.json {
        out.value(&found);
        return;
    }
    out.note(&format!(
        "from {} ({}) to {} ({})",
        short(from),
        from.name,
        short(to),
        to.name
    ));
    let side = |side: &Option<String>| side.clone().unwrap_or_else(|| "-".to_owned());
    let rows: Vec<Vec<String>> = found
        .changes
        .iter()
        .map(|change| vec![change.key.clone(), side(&change.from), side(&change.to)])
        .collect();
    out.table(&["KEY", "FROM", "TO"], &rows);
}

fn short(version: &Version) -> &str {
    version.id.get(..12).unwrap_or(&version.id)
}

pub(super) fn done(what: &str, version: &Version, out: &mut Out) {
    out.note(&format!("{what} {} ({})", short(version), version.name));
    if out.json {
        out.value(&policies::item(version));
    }
}

pub(super) fn activated(what: &str, done: &Activated, out: &mut Out) {
    let who = match done.partners.as_slice() {
        [] => "everyone".to_owned(),
        partners => partners.join(", "),
    };
    let version = &done.version;
    let when = rfc3339_ms(done.effective_ms);
    let what = if done.waits { "proposed" } else { what };
    out.note(&format!(
        "{what} {} ({}) for {who}, from {when}; act {}",
        short(version),
        version.name,
        done.act_id
    ));
    if done.waits {
        out.note(&format!(
            "it waits for another operator: causeway policy approve {} --reason …",
            done.act_id
        ));
    }
    if out.json {
        out.value(&policies::activated(done));
    }
}

pub(super) fn replay(item: &ReplayItem, out: &mut Out) {
    if out.json {
        out.value(item);
        return;
    }
    let word = |side: &Option<String>| side.clone().unwrap_or_else(|| "not known".to_owned());
    out.line(&format!("{:<12} {} {}", item.subject, item.id, item.kind));
    out.line(&format!(
        "{:<12} {} by {}",
        "decided",
        word(&item.decided),
        item.decided_by
    ));
    out.line(&format!("{:<12} {} by {}", "would be", word(&item.would), item.version));
    let numbers = [
        ("because", item.reason.clone()),
        ("bits", item.total.map(|bits| format!("{bits:.1}"))),
        ("bits needed", item.needed.map(|bits| format!("{bits:.1}"))),
    ];
    for (name, value) in numbers {
        if let Some(value) = value {
            out.line(&format!("{name:<12} {value}"));
        }
    }
    for what in &item.lacks {
        out.line(&format!("{:<12} {what}", "record lacks"));
    }
    if item.attempts.is_empty() {
        return;
    }
    let follow = |one: &Option<FollowItem>| match one {
        None => "not known".to_owned(),
        Some(FollowItem { follows, wait_ms: None }) => (*follows).to_owned(),
        Some(FollowItem {
            follows,
            wait_ms: Some(wait_ms),
        }) => format!("{follows} {wait_ms} ms"),
    };
    let rows: Vec<Vec<String>> = item
        .attempts
        .iter()
        .map(|one| {
            vec![
                one.number.to_string(),
                one.step.clone(),
                format!("{}.{}", one.round, one.attempt),
                one.class.clone(),
                follow(&one.decided),
                follow(&one.would),
            ]
        })
        .collect();
    out.table(&["NO", "STEP", "ROUND.TRY", "CLASS", "DECIDED", "WOULD BE"], &rows);
}

pub(super) fn compare(sum: &CompareItem, out: &mut Out) {
    if out.json {
        out.value(sum);
        return;
    }
    let rows: Vec<Vec<String>> = sum
        .pairs
        .iter()
        .map(|(pair, times)| vec![pair.clone(), times.to_string()])
        .collect();
    out.table(&["DECIDED -> WOULD BE", "TIMES"], &rows);
    out.note(&format!(
        "{}: {} compared, {} the same, {} different, {} not known from their records",
        sum.version, sum.compared, sum.same, sum.different, sum.unknown
    ));
    for id in &sum.examples {
        out.note(&format!("different: {id}"));
    }
}

pub(super) fn report(ctx: &Context, candidate: &Version, out: &mut Out) -> Result<(), Failure> {
    let active = policy::in_force(ctx, KINDS, PolicyKind::Matching)?;
    let report = policy::report(ctx, &active.id, &candidate.id)?;
    if out.json {
        out.value(&reported(&active, candidate, &report));
        return Ok(());
    }
    let rows: Vec<Vec<String>> = report
        .pairs
        .iter()
        .map(|pair| {
            vec![
                pair.active_outcome.clone(),
                pair.candidate_outcome.clone(),
                pair.seen.to_string(),
            ]
        })
        .collect();
    out.table(&["IN FORCE", "CANDIDATE", "REQUESTS"], &rows);
    out.note(&format!(
        "{} beside {}: {} compared, {} different, {} risky (matched only by the new version), {} lost",
        candidate.name, active.name, report.compared, report.different, report.risky, report.lost
    ));
    Ok(())
}

fn reported(active: &Version, candidate: &Version, report: &ShadowReport) -> Value {
    json!({ "active": active.id, "candidate": candidate.id, "report": policies::report(report) })
}
