//! `causeway policy`: the versions of policies at the command line.

use super::asker::CommandAsker;
use super::operator::life_ms;
pub use super::policy_args::{PolicyArgs, PolicyCommand, PolicyReason};
use super::policy_table as table;
use super::short;
use crate::audit::{Object, OperatorNote};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::fhir::when::instant_ms;
use crate::identity::Point;
use crate::ops::policies as shown;
use crate::ops::policy_kinds::KINDS;
use crate::ops::policy_replay;
use crate::policy::{self, ActivationWish, NewVersion, PolicyHand, PolicyKind, Version, VersionState};
use crate::store::beginnings::IdKind;
use crate::terminal::{Exit, Out};
use serde_json::json;
use std::path::Path;

impl PolicyReason {
    fn hand(&self, asker: &CommandAsker) -> Result<PolicyHand, Failure> {
        hand(asker, self.operator.as_deref(), Some(&self.reason))
    }
}

/// Runs the command. Waits on this thread.
///
/// # Errors
/// Those of the policies and of the store; [`Fault::InputUnreadable`] for the file.
pub fn run(args: &PolicyArgs, ctx: &Context, cwd: &Path, asker: &CommandAsker, out: &mut Out) -> Result<Exit, Failure> {
    match &args.command {
        PolicyCommand::List { kind } => table::list(&policy::list(ctx, KINDS, kind_of(kind))?, out),
        PolicyCommand::Show { version, kind } => {
            table::show(&named_or_active(ctx, version.as_deref(), kind_of(kind))?, out);
        }
        PolicyCommand::Rules { version } => {
            let version = named_or_active(ctx, version.as_deref(), Some(PolicyKind::Matching))?;
            let roster = ctx.store.read_blocking(|db| ctx.store.roster(db))?;
            let rows = version
                .rules
                .map(|rules| rules.rules(&roster.facts))
                .unwrap_or_default();
            table::rules(&rows, out);
        }
        PolicyCommand::Diff { version, other, kind } => {
            let to = policy::find(ctx, KINDS, kind_of(kind), version)?;
            let from = match other {
                Some(other) => policy::find(ctx, KINDS, Some(to.kind), other)?,
                None => policy::in_force(ctx, KINDS, to.kind)?,
            };
            table::difference(&from, &to, out);
        }
        PolicyCommand::Acts { kind } => {
            let now_ms = ctx.clock.now_ms();
            let acts = ctx.store.read_blocking(|db| shown::acts(db, kind_of(kind), now_ms))?;
            table::acts(&acts, out);
        }
        PolicyCommand::Replay { id, version, kind } => {
            let id = short::meant_of(ctx, &[IdKind::Decision, IdKind::Exchange], id)?;
            let wanted = (kind_of(kind), version.as_str());
            let item = ctx
                .store
                .read_blocking(|db| policy_replay::replay(ctx, db, &id, wanted))?;
            let object = Object {
                kind: item.object_kind(),
                id: item.id.clone(),
            };
            asker.show(ctx, "policy-replay", Some(object))?;
            table::replay(&item, out);
        }
        PolicyCommand::Compare {
            version,
            kind,
            partner,
            last,
        } => {
            let wanted = (kind_of(kind), version.as_str());
            let sum = ctx
                .store
                .read_blocking(|db| policy_replay::compare(ctx, db, wanted, partner.as_deref(), *last))?;
            asker.show(ctx, "policy-compare", None)?;
            table::compare(&sum, out);
        }
        PolicyCommand::Survivorship { file: None, .. } => {
            let now_ms = ctx.clock.now_ms();
            let policy = ctx.store.read_blocking(|db| policy::survivorship(db, now_ms))?;
            if out.json {
                out.value(&json!({"version": policy.version(), "id": policy.id(), "text": policy.text()}));
            } else {
                out.note(&policy.version());
                out.raw(&policy.text());
            }
        }
        command => return change(command, ctx, cwd, asker, out),
    }
    Ok(Exit::Done)
}

/// Runs a command that changes something.
fn change(
    command: &PolicyCommand,
    ctx: &Context,
    cwd: &Path,
    asker: &CommandAsker,
    out: &mut Out,
) -> Result<Exit, Failure> {
    match command {
        PolicyCommand::Import {
            file,
            name,
            kind,
            point,
            why,
        } => {
            let text = read(&cwd.join(file))?;
            let new = NewVersion {
                kind: PolicyKind::parse(kind).unwrap_or(PolicyKind::Matching),
                text: &text,
                name,
                point: point.as_deref().map(|point| match point {
                    "balanced" => Point::Balanced,
                    _ => Point::Safe,
                }),
            };
            table::done("imported", &policy::import(ctx, KINDS, &new, &why.hand(asker)?)?, out);
        }
        PolicyCommand::Activate {
            version,
            kind,
            partners,
            at,
            why,
        } => {
            let wish = ActivationWish {
                partners: partners.clone(),
                at_ms: at.as_deref().map(|at| time_of(at, ctx.clock.now_ms())).transpose()?,
            };
            let wanted = (kind_of(kind), version.as_str());
            let done = policy::activate(ctx, KINDS, wanted, &wish, &why.hand(asker)?)?;
            table::activated("activated", &done, out);
        }
        PolicyCommand::Approve { act, why } => {
            table::activated("approved", &policy::approve(ctx, KINDS, act, &why.hand(asker)?)?, out);
        }
        PolicyCommand::Withdraw { act, why } => {
            table::activated("withdrawn", &policy::withdraw(ctx, KINDS, act, &why.hand(asker)?)?, out);
        }
        PolicyCommand::Rollback { kind, partners, why } => {
            let kind = PolicyKind::parse(kind).unwrap_or(PolicyKind::Matching);
            let done = policy::roll_back(ctx, KINDS, kind, partners, &why.hand(asker)?)?;
            table::activated("went back to", &done, out);
        }
        command => return change_of_matching(command, ctx, cwd, asker, out),
    }
    Ok(Exit::Done)
}

/// Runs a command that changes whose values are shown, or what runs beside the matching policy in force.
fn change_of_matching(
    command: &PolicyCommand,
    ctx: &Context,
    cwd: &Path,
    asker: &CommandAsker,
    out: &mut Out,
) -> Result<Exit, Failure> {
    match command {
        PolicyCommand::Survivorship {
            file: Some(file),
            reason,
            operator,
        } => {
            let hand = hand(asker, operator.as_deref(), reason.as_deref())?;
            let done = policy::adopt(ctx, KINDS, &read(&cwd.join(file))?, &hand)?;
            let version = &done.version;
            if out.json {
                out.value(&json!({"version": version.version, "id": version.id, "text": version.body, "act_id": done.act_id, "waits": done.waits}));
            } else {
                out.note(&version.version);
                out.raw(&version.body);
            }
        }
        PolicyCommand::Shadow {
            version: Some(version),
            reason,
            operator,
            ..
        } => {
            let hand = hand(asker, operator.as_deref(), reason.as_deref())?;
            let version = policy::start_shadow(ctx, KINDS, version, &hand)?;
            table::done("runs beside the one in force:", &version, out);
        }
        PolicyCommand::Shadow {
            stop: true,
            reason,
            operator,
            ..
        } => {
            let hand = hand(asker, operator.as_deref(), reason.as_deref())?;
            let version = policy::stop_shadow(ctx, KINDS, &hand)?;
            table::report(ctx, &version, out)?;
        }
        _ => {
            let versions = policy::list(ctx, KINDS, Some(PolicyKind::Matching))?;
            let shadow = versions.iter().find(|v| matches!(v.standing, VersionState::Shadow(_)));
            let none =
                || Failure::new(Fault::PolicyUnknown).remedy("No version runs beside the one in force; name one.");
            table::report(ctx, shadow.ok_or_else(none)?, out)?;
        }
    }
    Ok(Exit::Done)
}

fn hand(asker: &CommandAsker, operator: Option<&str>, reason: Option<&str>) -> Result<PolicyHand, Failure> {
    let note: OperatorNote = asker.operator_note(operator, reason.unwrap_or_default())?;
    Ok(PolicyHand::from(note))
}

fn kind_of(kind: &Option<String>) -> Option<PolicyKind> {
    kind.as_deref().and_then(PolicyKind::parse)
}

/// The time that an argument means, UTC milliseconds.
fn time_of(text: &str, now_ms: i64) -> Result<i64, Failure> {
    let from_now = life_ms(text).map(|time_ms| now_ms.saturating_add(time_ms));
    from_now.or_else(|| instant_ms(text)).ok_or_else(|| {
        Failure::new(Fault::ParameterInvalid)
            .at("--at")
            .remedy("Give an instant with its zone, such as 2026-12-01T06:00:00Z, or a time from now such as 2h.")
    })
}

fn read(path: &Path) -> Result<String, Failure> {
    let unreadable = |cause: std::io::Error| {
        Failure::new(Fault::InputUnreadable)
            .at(path.display().to_string())
            .because(cause)
    };
    let long = std::fs::metadata(path).map_err(unreadable)?.len() > policy::TEXT_BYTES as u64;
    if long {
        return Err(
            Failure::new(Fault::PolicyInvalid).remedy("Name a file with the text of a policy; this file is too large.")
        );
    }
    std::fs::read_to_string(path).map_err(unreadable)
}

fn named_or_active(ctx: &Context, named: Option<&str>, kind: Option<PolicyKind>) -> Result<Version, Failure> {
    match named {
        Some(named) => policy::find(ctx, KINDS, kind, named),
        None => policy::in_force(ctx, KINDS, kind.unwrap_or(PolicyKind::Matching)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::policy_args::KIND_NAMES;
    use super::*;

    #[test]
    fn the_names_of_kinds_are_those_of_the_kinds() {
        assert_eq!(PolicyKind::ALL.map(PolicyKind::code), KIND_NAMES);
    }

    #[test]
    fn a_time_is_an_instant_or_from_now() {
        assert_eq!(time_of("2h", 1_000).ok(), Some(7_201_000));
        assert_eq!(time_of("1970-01-01T00:00:05Z", 0).ok(), Some(5_000));
        assert!(time_of("tomorrow", 0).is_err());
    }
}
