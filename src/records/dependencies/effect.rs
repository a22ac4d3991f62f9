//! The standing of what depends on authorizations: the worst of all that it depends on. So the same WHERE clause withholds it, and
//! lets it go when the authorization is over or forgotten.
//!
//! A Provenance of many resources loses the targets that never leave, and stays for the others.

use super::super::compartment::local;
use super::super::gate;
use super::super::released;
use super::super::search_index::{self, Rows};
use super::super::splice::splice;
use super::super::visible::appear;
use crate::error::Failure;
use crate::fhir::prescreen::{Kind, Limits, Screened, Value, screen};
use crate::store::Db;
use crate::store::dependencies::{self as rows, Dependency, Name, Standing};
use crate::store::disclosure::{PA_ABSENT, PA_ACTIVE, PA_ENDED, PA_KEPT_MS, PA_NONE};
use crate::store::resources;
use std::collections::{BTreeSet, HashMap, HashSet};

/// State and time of change, as the columns have them, by name.
pub type Standings = HashMap<Name, (i64, Option<i64>)>;
type State = (i64, Option<i64>);

/// Names that are judged together.
const TOGETHER: i64 = 500;

/// Judges everything that depends on an authorization, in a store that was just judged anew.
///
/// # Errors
/// Those of the database.
pub fn renew_all(db: &mut Db, base_url: &str) -> Result<(), Failure> {
    rows::remove_ordinary(db)?;
    let mut after = (String::new(), String::new());
    loop {
        let names = rows::all_dependents(db, &after, TOGETHER)?;
        let Some(last) = names.last() else { return Ok(()) };
        after.clone_from(last);
        let dependents = names
            .into_iter()
            .filter(|name| !super::is_claim_type(&name.0))
            .collect();
        // What appears by it was given its time with its own columns, before they depended on anything.
        apply(db, &dependents, None, base_url)?;
    }
}

/// The time (UTC ms) that is given to what appears, and what was written at that very time and bears it already.
pub(super) struct Now<'a> {
    pub at_ms: i64,
    pub written: HashSet<(&'a str, &'a str)>,
}

/// Writes the standing of `dependents`, as far as they are stored. What leaves from now on and did not, or leaves in another form, appears
/// `now`; without one nothing does.
pub(super) fn apply(
    db: &mut Db,
    dependents: &BTreeSet<Name>,
    now: Option<&Now<'_>>,
    base_url: &str,
) -> Result<Standings, Failure> {
    let first = rows::of(db, dependents)?;
    let targets: BTreeSet<Name> = first.iter().map(Dependency::target).collect();
    // A request and its answer stand together.
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
    let mut found = Standings::new();
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
            rows::set_standing(db, own.key, state.0, state.1)?;
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
    Ok(found)
}

/// A claim of another member is as good as none.
fn standing(target: Option<&Standing>, own: &Standing) -> State {
    match target.filter(|target| target.compartment == own.compartment) {
        Some(target) => (target.pa_state, target.pa_changed_ms),
        None => (PA_ABSENT, None),
    }
}

/// Whether it leaves at this time, as a release asks.
fn leaves(state: State, now_ms: i64) -> bool {
    match state {
        (PA_NONE, _) | (PA_ACTIVE, None) => true,
        (PA_ACTIVE | PA_ENDED, Some(changed)) => changed >= now_ms - PA_KEPT_MS,
        _ => false,
    }
}

fn is_never(state: State) -> bool {
    !matches!(state, (PA_NONE | PA_ACTIVE, _) | (PA_ENDED, Some(_)))
}

/// What leaves only when all of `states` do.
fn worst(states: impl Iterator<Item = State>) -> State {
    states.fold((PA_NONE, None), |sum, one| match (sum, one) {
        (sum, _) if is_never(sum) => sum,
        (_, one) if is_never(one) => one,
        ((PA_NONE, _), one) => one,
        (sum, (PA_NONE, _)) => sum,
        // From here on both leave now, and stop a year after their time, if they have one.
        ((PA_ACTIVE, None), one) => one,
        (sum, (PA_ACTIVE, None)) => sum,
        (sum, one) => (sum.0.max(one.0), sum.1.min(one.1)),
    })
}

/// How a Provenance stands, its released form when it names what never leaves among other things, and whether that is another
/// form than before.
fn provenance(db: &mut Db, own: &Standing, on: &[(&Name, State)], base_url: &str) -> Result<(State, bool), Failure> {
    let Some((body, version, last_updated_ms, had_form)) = rows::body(db, own.key)? else {
        return Ok(((PA_NONE, None), false));
    };
    let resource = screen(&body, &Limits::record())?;
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
        // What is cut for other reasons stays cut.
        let form = gate::form_of(&body, &own.id, version, last_updated_ms, base_url)?;
        let leaves = screen(form.as_deref().unwrap_or(&body), &Limits::record())?;
        if cut {
            let never = |value: &Value<'_>| {
                value.kind() == Kind::Object
                    && name_of(value, base_url)
                        .and_then(|name| state_of(&name))
                        .is_some_and(is_never)
            };
            let edits = released::edits_without(&leaves, &|value, path| path == ["target"] && never(value));
            let form = splice(leaves.bytes(), &edits);
            other_form = had_form.as_ref() != Some(&form);
            rows::set_released(db, own.key, Some(&form))?;
            index(db, own.key, &screen(&form, &Limits::record())?, base_url)?;
        } else {
            other_form = had_form != form;
            rows::set_released(db, own.key, form.as_deref())?;
            index(db, own.key, &leaves, base_url)?;
        }
    }
    // One that is about something else too leaves for that one's sake.
    let free = stay.iter().any(|state| state.0 == PA_NONE);
    let of_targets = if free { (PA_NONE, None) } else { worst(stay.into_iter()) };
    Ok((worst([of_targets, beside].into_iter()), other_form))
}

fn name_of(target: &Value<'_>, base_url: &str) -> Option<Name> {
    let text = target.get("reference")?.text()?;
    local(&text, base_url).map(|(rtype, id)| (rtype.to_owned(), id.to_owned()))
}

/// What is indexed is what leaves.
fn index(db: &mut Db, key: i64, leaves: &Screened<'_>, base_url: &str) -> Result<(), Failure> {
    let owner = resources::owner_of(db, key)?;
    let indexed = search_index::of(leaves, owner.as_deref(), base_url);
    resources::unindex(db, &[key])?;
    let mut rows = Rows::default();
    rows.add(&indexed, key);
    rows.write(db)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::disclosure::PA_DENIED;

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
