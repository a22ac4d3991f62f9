//! The versions of the matching policy, and the commands on them. These functions block their thread.

use crate::audit::{Action, Actor, LedgerEvent, Object, OperatorNote, ledger};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::identity::{Point, Rules};
use crate::store::Db;
use crate::store::policies::{self, ActiveRow, MATCHING, VersionRow};
use crate::telemetry::Correlation;

/// With this many characters, the beginning of an id names a version, if no other id begins with them.
const PREFIX_LEAST: usize = 6;

/// The present role of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionState {
    /// It decides. The time of its activation, if it was activated, UTC milliseconds.
    Active(Option<i64>),
    /// It runs as a shadow. The time at which that began, UTC milliseconds.
    Shadow(Option<i64>),
    /// It is not in use.
    Idle,
}

impl VersionState {
    /// Returns its code.
    pub const fn code(self) -> &'static str {
        match self {
            VersionState::Active(_) => "active",
            VersionState::Shadow(_) => "shadow",
            VersionState::Idle => "idle",
        }
    }
}

/// A version of the matching policy.
#[derive(Clone, Debug)]
pub struct Version {
    /// SHA-256 of its text, hexadecimal.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// The rules.
    pub rules: Rules,
    /// Its present role.
    pub standing: VersionState,
    /// When it was added, UTC milliseconds; `None` for shipped versions.
    pub added_ms: Option<i64>,
}

impl Version {
    /// Returns the text whose digest is its id.
    pub fn text(&self) -> String {
        self.rules.text()
    }
}

/// Returns every version: the shipped ones, then the added ones, oldest first.
///
/// # Errors
/// [`Fault::StoreDamaged`] for a stored version that cannot be read; those of the store.
pub fn list(ctx: &Context) -> Result<Vec<Version>, Failure> {
    ctx.store.read_blocking(|db| all(ctx, db))
}

/// Returns the version that `wanted` names: by its id, at least the first six characters of it, its name, or the version name that
/// decisions cite. Of two with the same name, the newer one.
///
/// # Errors
/// [`Fault::PolicyUnknown`] when there is no such version, or several; as [`list`].
pub fn find(ctx: &Context, wanted: &str) -> Result<Version, Failure> {
    ctx.store.read_blocking(|db| one(ctx, db, wanted))
}

/// Returns the active version.
///
/// # Errors
/// As [`list`].
pub fn in_force(ctx: &Context) -> Result<Version, Failure> {
    let versions = list(ctx)?;
    let active = |version: &Version| matches!(version.standing, VersionState::Active(_));
    let found = versions.into_iter().find(active);
    found.ok_or_else(|| Failure::new(Fault::StoreDamaged).because("no policy is in force"))
}

/// Adds a version from the text of a policy. Its operating point is in the text or in `point`.
///
/// # Errors
/// [`Fault::PolicyInvalid`] with the number of the wrong line; those of the store.
pub fn import(
    ctx: &Context,
    text: &str,
    name: &str,
    point: Option<Point>,
    note: OperatorNote,
) -> Result<Version, Failure> {
    let invalid = |error: causeway_identity::PolicyError| {
        Failure::new(Fault::PolicyInvalid)
            .at(format!("line {}", error.line))
            .remedy(format!("Correct the policy: {}.", error.what))
    };
    if name.trim().is_empty() || name.len() > 64 || name.chars().any(char::is_control) {
        return Err(Failure::new(Fault::PolicyInvalid)
            .at("--name")
            .remedy("Give a name of at most 64 characters."));
    }
    let rules = match point {
        Some(point) => Rules::parse_at(text, point),
        None => Rules::parse(text),
    }
    .map_err(invalid)?;
    if let Some(what) = rules.policy.absurdity() {
        return Err(invalid(causeway_identity::PolicyError { line: 0, what }));
    }
    let (versions, name) = (list(ctx)?, name.trim());
    let is_taken = |version: &Version| version.id != rules.id() && version.name == name;
    // The version names that decisions cite name a version, too.
    if versions.iter().any(is_taken) || name.starts_with(causeway_identity::METHOD) {
        return Err(Failure::new(Fault::PolicyInvalid)
            .at("--name")
            .remedy("Another version has this name: choose a new one, so that going back by name stays possible."));
    }
    let now_ms = ctx.clock.now_ms();
    let row = VersionRow {
        id: rules.id(),
        kind: MATCHING.to_owned(),
        name: name.to_owned(),
        body: rules.text(),
        added_ms: now_ms,
    };
    let id = row.id.clone();
    act(ctx, Action::PolicyImported, &rules, note, move |db| {
        policies::insert(db, &row).map(drop)
    })?;
    find(ctx, &id)
}

/// Activates a version; later decisions cite it. Going back means activating an older version.
///
/// # Errors
/// As [`find`].
pub fn activate(ctx: &Context, wanted: &str, note: OperatorNote) -> Result<Version, Failure> {
    let version = find(ctx, wanted)?;
    let row = row_of(&version, ctx.clock.now_ms());
    act(ctx, Action::PolicyActivated, &version.rules, note, move |db| {
        policies::insert(db, &row)?;
        policies::activate(db, MATCHING, &row.id, row.added_ms)
    })?;
    find(ctx, &version.id)
}

/// Starts a shadow run of a version. Counts of an earlier run of it are deleted.
///
/// # Errors
/// [`Fault::PolicyInvalid`] for the active version; as [`find`].
pub fn start_shadow(ctx: &Context, wanted: &str, note: OperatorNote) -> Result<Version, Failure> {
    let version = find(ctx, wanted)?;
    if matches!(version.standing, VersionState::Active(_)) {
        return Err(Failure::new(Fault::PolicyInvalid).remedy("This version is in force: let another run beside it."));
    }
    let row = row_of(&version, ctx.clock.now_ms());
    act(ctx, Action::PolicyShadowStarted, &version.rules, note, move |db| {
        policies::insert(db, &row)?;
        policies::set_shadow(db, MATCHING, Some(&row.id), row.added_ms)
    })?;
    find(ctx, &version.id)
}

/// Ends the shadow run. Its counts stay until the same version runs again.
///
/// # Errors
/// [`Fault::PolicyUnknown`] when there is no shadow run; those of the store.
pub fn stop_shadow(ctx: &Context, note: OperatorNote) -> Result<Version, Failure> {
    let shadows = |version: &Version| matches!(version.standing, VersionState::Shadow(_));
    let version = list(ctx)?
        .into_iter()
        .find(shadows)
        .ok_or_else(|| Failure::new(Fault::PolicyUnknown).remedy("No version runs beside the one in force."))?;
    let now_ms = ctx.clock.now_ms();
    act(ctx, Action::PolicyShadowEnded, &version.rules, note, move |db| {
        policies::set_shadow(db, MATCHING, None, now_ms)
    })?;
    Ok(version)
}

fn row_of(version: &Version, now_ms: i64) -> VersionRow {
    VersionRow {
        id: version.id.clone(),
        kind: MATCHING.to_owned(),
        name: version.name.clone(),
        body: version.text(),
        added_ms: now_ms,
    }
}

/// The version that a command is about, as the ledger names it.
pub(super) struct Acted {
    /// SHA-256 of its text, hexadecimal.
    pub id: String,
    /// The version name that decisions or views cite.
    pub version: String,
}

impl From<&Rules> for Acted {
    fn from(rules: &Rules) -> Self {
        Acted {
            id: rules.id(),
            version: rules.version.clone(),
        }
    }
}

/// Runs one command on a policy: its work and its ledger entry in one transaction.
pub(super) fn act(
    ctx: &Context,
    action: Action,
    about: impl Into<Acted>,
    note: OperatorNote,
    mut work: impl FnMut(&mut Db) -> Result<(), Failure> + Send + 'static,
) -> Result<(), Failure> {
    let (about, at_us) = (about.into(), ctx.clock.now_us());
    let actor = Actor {
        kind: "operator",
        // The person's name is in the note, which can be erased.
        id: Some("host".to_owned()),
        ..Actor::default()
    };
    let mut entry = LedgerEvent::new(action, actor, Correlation::internal(ctx.ids.new_id(at_us / 1000)));
    entry.object = Some(Object {
        kind: "policy",
        id: about.id,
    });
    entry.policy_version = Some(about.version);
    entry.note = Some(note);
    let entry_id = ctx.ids.new_id(at_us / 1000);
    ctx.store.write_blocking(move |db| {
        work(db)?;
        ledger::append(db, &entry, &entry_id, at_us)
    })
}

/// Returns every version, within the caller's read.
///
/// # Errors
/// As [`list`].
pub fn all(ctx: &Context, db: &mut Db) -> Result<Vec<Version>, Failure> {
    let running = policies::active(db, MATCHING)?;
    let stored = policies::list(db, MATCHING)?;
    let configured = ctx.matching.id();
    let mut versions = Vec::new();
    for point in [Point::Safe, Point::Balanced] {
        let rules = Rules::shipped(point.code());
        let id = rules.id();
        let added_ms = None;
        versions.push((id, point.code().to_owned(), rules, added_ms));
    }
    for row in stored {
        let damaged = |error: causeway_identity::PolicyError| Failure::new(Fault::StoreDamaged).because(error);
        let rules = Rules::parse(&row.body).map_err(damaged)?;
        if versions.iter().all(|(id, ..)| *id != row.id) {
            versions.push((row.id, row.name, rules, Some(row.added_ms)));
        }
    }
    let version = |(id, name, rules, added_ms): (String, String, Rules, Option<i64>)| Version {
        standing: standing(&id, &running, &configured),
        id,
        name,
        rules,
        added_ms,
    };
    Ok(versions.into_iter().map(version).collect())
}

fn standing(id: &str, running: &ActiveRow, configured: &str) -> VersionState {
    if running.version_id.as_deref().unwrap_or(configured) == id {
        VersionState::Active(running.activated_ms)
    } else if running.shadow_id.as_deref() == Some(id) {
        VersionState::Shadow(running.shadow_ms)
    } else {
        VersionState::Idle
    }
}

fn one(ctx: &Context, db: &mut Db, wanted: &str) -> Result<Version, Failure> {
    let versions = all(ctx, db)?;
    let prefix = wanted.len() >= PREFIX_LEAST && wanted.bytes().all(|b| b.is_ascii_hexdigit());
    let by_id: Vec<&Version> = versions
        .iter()
        .filter(|version| prefix && version.id.starts_with(&wanted.to_ascii_lowercase()))
        .collect();
    let found = match by_id.as_slice() {
        [one] => Some(*one),
        [] => versions
            .iter()
            .rev()
            .find(|version| version.name == wanted || version.rules.version == wanted),
        _ => None,
    };
    found.cloned().ok_or_else(|| Fault::PolicyUnknown.into())
}
