//! The state of a resource that depends on authorizations: the most restrictive state of all that it depends on. So the WHERE clause of the
//! release rule withholds it exactly as long as it withholds one of these.
//!
//! In a Provenance of many resources, the targets that are never released are removed from
//! the released form, and it is released for the others.

use super::super::compartment::local;
use super::super::gate;
use super::super::prior_authorization::is_claim_type;
use super::super::released;
use super::super::search_index::{self, Rows};
use super::super::splice::splice;
use super::super::visible::appear;
use crate::error::Failure;
use crate::fhir::prescreen::{JsonKind, ScreenLimits, Screened, Value, screen};
use crate::store::Db;
use crate::store::dependencies::{self as rows, AuthorizationStanding, Dependency, Name};
use crate::store::release_rule::{PA_ABSENT, PA_ACTIVE, PA_ENDED, PA_NONE, authorization_leaves};
use crate::store::resources;
use crate::store::search_rows;
use std::collections::{BTreeSet, HashMap, HashSet};

/// State and time of change, as in the columns, by name.
pub type Standings = HashMap<Name, (i64, Option<i64>)>;
type State = (i64, Option<i64>);

/// How many names one transaction handles.
const TOGETHER: i64 = 500;

/// Computes the state of the next resources that depend on an authorization, after this name, in a store whose resources were just checked
/// again. Returns the last name; `None` when nothing is left.
///
/// # Errors
/// Those of the database.
pub fn renew_some(db: &mut Db, after: &Name, base_url: &str) -> Result<Option<Name>, Failure> {
    let names = rows::all_dependents(db, after, TOGETHER)?;
    rows::remove_ordinary(db, &names)?;
    let left = rows::of(db, &names)?;
    let dependents = left
        .iter()
        .map(Dependency::dependent)
        .filter(|name| !is_claim_type(&name.0))
        .collect();
    // What becomes releasable by this got its version time with its own columns, which were written without regard to dependencies.
    apply(db, &dependents, None, base_url)?;
    Ok(names.last().cloned())
}

/// The version time (UTC ms) for what becomes releasable, and the resources that were written at this time and have it already.
pub(super) struct Now<'a> {
    pub at_ms: i64,
    pub written: HashSet<(&'a str, &'a str)>,
}

/// Writes the states of those `dependents` that are stored. A resource that is released from now on and was not, or is released in another
/// form, gets a new version with the time `now`; when `now` is `None`, no resource does.
pub(super) fn apply(
    db: &mut Db,
    dependents: &BTreeSet<Name>,
    now: Option<&Now<'_>>,
    base_url: &str,
) -> Result<Standings, Failure> {
    let first = rows::of(db, dependents)?;
    let targets: BTreeSet<Name> = first.iter().map(Dependency::target).collect();
    // A request and its response share their state.
    let second = rows::of(db, &targets)?;
    let all: BTreeSet<Name> = targets
        .iter()
        .cloned()
        .chain(second.iter().map(Dependency::target))
        .collect();
    let known = rows::standings(db, all.iter().chain(dependents))?;
    let mut on: HashMap<Name, Vec<Name>> = HashMap::new();
    for row in first.iter().chain(&second) {
        on.entry(row.dependent()).or_default().push(row.target());
    }
    let (mut found, mut changed) = (Standings::new(), Vec::new());
    for name in dependents {
        let Some(own) = known.get(name) else { continue };
        let of_target = |target: &Name| {
            let others = on.get(target).into_iter().flatten();
            worst(
                std::iter::once(target)
                    .chain(others)
                    .map(|one| standing(known.get(one), own)),
            )
        };
        let targets: Vec<(&Name, State)> = on
            .get(name)
            .into_iter()
            .flatten()
            .map(|to| (to, of_target(to)))
            .collect();
        let (state, other_form) = if name.0 == "Provenance" {
            provenance(db, own, &targets, base_url)?
        } else {
            (worst(targets.iter().map(|(_, state)| *state)), false)
        };
        let before = (own.pa_state, own.pa_changed_ms);
        if state != before {
            changed.push((own.key, state.0, state.1));
        }
        if let Some(now) = now
            && !now.written.contains(&(name.0.as_str(), name.1.as_str()))
            && leaves(state, now.at_ms)
            && (other_form || !leaves(before, now.at_ms))
        {
            appear(db, own.key, now.at_ms)?;
        }
        found.insert(name.clone(), state);
    }
    rows::set_standings(db, &changed)?;
    Ok(found)
}

/// A claim of another member counts as absent.
fn standing(target: Option<&AuthorizationStanding>, own: &AuthorizationStanding) -> State {
    match target.filter(|target| target.compartment == own.compartment) {
        Some(target) => (target.pa_state, target.pa_changed_ms),
        None => (PA_ABSENT, None),
    }
}

/// Whether a resource in this state is released at this time, by the release rule.
fn leaves((pa_state, pa_changed_ms): State, now_ms: i64) -> bool {
    authorization_leaves(pa_state, pa_changed_ms, now_ms)
}

fn is_never(state: State) -> bool {
    !matches!(state, (PA_NONE | PA_ACTIVE, _) | (PA_ENDED, Some(_)))
}

/// Combines states: the result is released only while all of `states` are.
fn worst(states: impl Iterator<Item = State>) -> State {
    states.fold((PA_NONE, None), |sum, one| match (sum, one) {
        (sum, _) if is_never(sum) => sum,
        (_, one) if is_never(one) => one,
        ((PA_NONE, _), one) => one,
        (sum, (PA_NONE, _)) => sum,
        // From here on, both states are released now and stop being released a year after their time, if they have one.
        ((PA_ACTIVE, None), one) => one,
        (sum, (PA_ACTIVE, None)) => sum,
        (sum, one) => (sum.0.max(one.0), sum.1.min(one.1)),
    })
}

/// Computes the state of a Provenance, and writes its released form when some of its targets are never released.
/// Returns the state, and whether the released form has changed.
fn provenance(
    db: &mut Db,
    own: &AuthorizationStanding,
    on: &[(&Name, State)],
    base_url: &str,
) -> Result<(State, bool), Failure> {
    let Some((body, version, last_updated_ms, had_form)) = rows::body(db, own.key)? else {
        return Ok(((PA_NONE, None), false));
    };
    let resource = screen(&body, &ScreenLimits::record())?;
    let targets: Vec<Option<Name>> = resource
        .root()
        .all(&["target"])
        .iter()
        .map(|one| name_of(one, base_url))
        .collect();
    let state_of = |name: &Name| on.iter().find(|(to, _)| *to == name).map(|(_, state)| *state);
    let is_target = |name: &Name| targets.iter().flatten().any(|target| target == name);
    let of_targets: Vec<State> = targets
        .iter()
        .map(|target| target.as_ref().and_then(state_of).unwrap_or((PA_NONE, None)))
        .collect();
    let beside = worst(on.iter().filter(|(name, _)| !is_target(name)).map(|(_, state)| *state));
    let stay: Vec<State> = of_targets.iter().copied().filter(|state| !is_never(*state)).collect();
    if stay.is_empty() || is_never(beside) {
        return Ok((worst(of_targets.into_iter().chain([beside])), false));
    }
    let cut = stay.len() < of_targets.len();
    let mut other_form = false;
    if cut || had_form.is_some() {
        // Cuts for other reasons are kept.
        let form = gate::form_of(&body, &own.id, version, last_updated_ms, base_url)?;
        let leaves = screen(form.as_deref().unwrap_or(&body), &ScreenLimits::record())?;
        if cut {
            let never = |value: &Value<'_>| {
                value.kind() == JsonKind::Object
                    && name_of(value, base_url)
                        .and_then(|name| state_of(&name))
                        .is_some_and(is_never)
            };
            let edits = released::edits_without(&leaves, &|value, path| path == ["target"] && never(value));
            let form = splice(leaves.bytes(), &edits);
            other_form = had_form.as_ref() != Some(&form);
            rows::set_released(db, own.key, Some(&form))?;
            index(db, own.key, &screen(&form, &ScreenLimits::record())?, base_url)?;
        } else {
            other_form = had_form != form;
            rows::set_released(db, own.key, form.as_deref())?;
            index(db, own.key, &leaves, base_url)?;
        }
    }
    // A Provenance that also has a target without any authorization is released because of that target.
    let free = stay.iter().any(|state| state.0 == PA_NONE);
    let of_targets = if free { (PA_NONE, None) } else { worst(stay.into_iter()) };
    Ok((worst([of_targets, beside].into_iter()), other_form))
}

fn name_of(target: &Value<'_>, base_url: &str) -> Option<Name> {
    let text = target.get("reference")?.text()?;
    local(&text, base_url).map(|(rtype, id)| (rtype.to_owned(), id.to_owned()))
}

/// Indexes the released form, so that searches find only what is released.
fn index(db: &mut Db, key: i64, leaves: &Screened<'_>, base_url: &str) -> Result<(), Failure> {
    let owner = resources::owner_of(db, key)?;
    let indexed = search_index::of(leaves, owner.as_deref(), base_url);
    search_rows::unindex(db, &[key])?;
    let mut rows = Rows::default();
    rows.add(&indexed, key);
    rows.write(db)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::release_rule::PA_DENIED;

    #[test]
    fn what_depends_on_several_leaves_only_when_all_do() {
        let of = |states: &[State]| worst(states.iter().copied());
        assert_eq!(of(&[]), (PA_NONE, None));
        assert_eq!(of(&[(PA_NONE, None), (PA_ACTIVE, None)]), (PA_ACTIVE, None));
        assert_eq!(of(&[(PA_ACTIVE, Some(9)), (PA_ACTIVE, None)]), (PA_ACTIVE, Some(9)));
        assert_eq!(of(&[(PA_ACTIVE, Some(9)), (PA_ENDED, Some(4))]), (PA_ENDED, Some(4)));
        assert_eq!(of(&[(PA_ENDED, Some(4)), (PA_ACTIVE, Some(2))]), (PA_ENDED, Some(2)));
        assert_eq!(
            of(&[(PA_ACTIVE, None), (PA_DENIED, Some(1)), (PA_NONE, None)]),
            (PA_DENIED, Some(1))
        );
        assert!(is_never(of(&[(PA_ENDED, None), (PA_ACTIVE, None)])));
        assert!(is_never(of(&[(99, None)])));
    }
}
