//! The versions of all kinds: which exist, adding one, and the shadow run of a matching policy. These functions block their thread.

use super::hand::{Acted, PolicyHand, act};
use super::kind::{KindTable, PolicyKind, TextError, row_of};
use super::standing::{PolicyStandings, VersionState};
use crate::audit::Action;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::identity::survive::Survivorship;
use crate::identity::{Point, Rules};
use crate::secret::{hex, sha256};
use crate::store::Db;
use crate::store::policies::{self, VersionRow};

/// With this many characters, the beginning of an id names a version, if no other id begins with them.
const PREFIX_LEAST: usize = 6;

/// Longest text of a policy, in bytes.
pub const TEXT_BYTES: usize = 1 << 20;

/// A version of a policy.
#[derive(Clone, Debug)]
pub struct Version {
    /// What it rules.
    pub kind: PolicyKind,
    /// SHA-256 of its text, hexadecimal.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// As what decisions and entries cite it.
    pub version: String,
    /// The text whose digest is its id.
    pub body: String,
    /// The rules that the text holds, for a matching policy.
    pub rules: Option<Rules>,
    /// Its present role.
    pub standing: VersionState,
    /// The partners for whom it decides although another version does for everyone.
    pub partners: Vec<String>,
    /// When it was added, UTC milliseconds; `None` for one that is part of the program.
    pub added_ms: Option<i64>,
}

impl Version {
    /// The row that stores it.
    pub(super) fn row(&self, now_ms: i64) -> VersionRow {
        VersionRow {
            id: self.id.clone(),
            kind: self.kind.code().to_owned(),
            name: self.name.clone(),
            body: self.body.clone(),
            added_ms: self.added_ms.unwrap_or(now_ms),
        }
    }

    pub(super) fn acted(&self) -> Acted {
        Acted {
            id: self.id.clone(),
            version: self.version.clone(),
        }
    }
}

/// Returns every version, by kind: those that are part of the program, then the added ones, oldest first.
///
/// # Errors
/// [`Fault::StoreDamaged`] for a stored version that cannot be read; those of the store.
pub fn list(ctx: &Context, table: KindTable, kind: Option<PolicyKind>) -> Result<Vec<Version>, Failure> {
    ctx.store.read_blocking(|db| all(ctx, table, db, kind))
}

/// Returns the version that `wanted` names: by its id, at least the first six characters of it, its name, or what decisions cite. Of two of
/// a kind with the same name, the newer one.
///
/// # Errors
/// [`Fault::PolicyUnknown`] when there is no such version, or several; as [`list`].
pub fn find(ctx: &Context, table: KindTable, kind: Option<PolicyKind>, wanted: &str) -> Result<Version, Failure> {
    ctx.store.read_blocking(|db| find_in(ctx, table, db, kind, wanted))
}

/// The same within the caller's read.
///
/// # Errors
/// As [`find`].
pub fn find_in(
    ctx: &Context,
    table: KindTable,
    db: &mut Db,
    kind: Option<PolicyKind>,
    wanted: &str,
) -> Result<Version, Failure> {
    named(&all(ctx, table, db, kind)?, wanted)
}

/// Returns the version that decides for everyone who has no other one.
///
/// # Errors
/// [`Fault::PolicyUnknown`] for a kind without any version; as [`list`].
pub fn in_force(ctx: &Context, table: KindTable, kind: PolicyKind) -> Result<Version, Failure> {
    let versions = list(ctx, table, Some(kind))?;
    let active = |version: &Version| matches!(version.standing, VersionState::Active(_));
    versions
        .into_iter()
        .find(active)
        .ok_or_else(|| Failure::new(Fault::PolicyUnknown).remedy("No version of this kind is in force."))
}

/// The text of a new version.
#[derive(Clone, Copy, Debug)]
pub struct NewVersion<'a> {
    /// What it rules.
    pub kind: PolicyKind,
    /// The text.
    pub text: &'a str,
    /// A name for people.
    pub name: &'a str,
    /// The operating point of a matching policy whose text names none.
    pub point: Option<Point>,
}

/// Adds a version from a text.
///
/// # Errors
/// [`Fault::PolicyInvalid`] with the number of the wrong line, or for a text that is too long; [`Fault::PolicyFixed`] for a kind whose rules are
/// code; those of the store.
pub fn import(ctx: &Context, table: KindTable, new: &NewVersion<'_>, hand: &PolicyHand) -> Result<Version, Failure> {
    let (kind, name) = (new.kind, new.name.trim());
    let wrong_name = |remedy: &'static str| Failure::new(Fault::PolicyInvalid).at("--name").remedy(remedy);
    if name.is_empty() || name.len() > 64 || name.chars().any(char::is_control) {
        return Err(wrong_name("Give a name of at most 64 characters."));
    }
    let is_plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b));
    if kind != PolicyKind::Matching && !is_plain {
        return Err(wrong_name(
            "Give a name of letters, digits, hyphens and dots, because entries cite it.",
        ));
    }
    if new.text.len() > TEXT_BYTES {
        return Err(wrong_text(TextError::at(0, "a text has at most 1 MiB")));
    }
    let draft = read(table, new)?;
    let versions = list(ctx, table, Some(kind))?;
    if let Some(known) = versions
        .iter()
        .find(|known| known.id == draft.id && known.added_ms.is_none())
    {
        return Err(wrong_text(TextError::at(
            0,
            format!("it is the text of {}, which is part of the program", known.name),
        )));
    }
    let is_taken = |version: &Version| version.id != draft.id && version.name == name;
    // The version names that decisions cite name a version, too.
    if versions.iter().any(is_taken) || name.starts_with(causeway_identity::METHOD) {
        return Err(wrong_name(
            "Another version has this name: choose a new one, so that going back by name stays possible.",
        ));
    }
    let row = VersionRow {
        id: draft.id.clone(),
        kind: kind.code().to_owned(),
        name: name.to_owned(),
        body: draft.body.clone(),
        added_ms: ctx.clock.now_ms(),
    };
    let acted = Acted {
        id: draft.id.clone(),
        version: draft.version.unwrap_or_else(|| kind.cited(name, &draft.id)),
    };
    act(ctx, Action::PolicyImported, acted, hand, move |db| {
        policies::insert(db, &row).map(drop)
    })?;
    find(ctx, table, Some(kind), &draft.id)
}

/// Stores the versions that are part of the program, where they are not yet, so that what entries cite stays readable after an upgrade.
/// They came with the program, so that no entry says who added them.
///
/// # Errors
/// Those of the store.
pub fn keep_built_in(ctx: &Context, table: KindTable) -> Result<(), Failure> {
    let now_ms = ctx.clock.now_ms();
    let mut rows = Vec::new();
    for row in table {
        for built_in in (row.built_in)() {
            rows.push(VersionRow {
                id: built_in.id(),
                kind: row.kind.code().to_owned(),
                name: built_in.name,
                body: built_in.body,
                added_ms: now_ms,
            });
        }
    }
    let ids: Vec<String> = rows.iter().map(|row| row.id.clone()).collect();
    let stored = ctx.store.read_blocking(|db| policies::stored_of(db, &ids))?;
    rows.retain(|row| !stored.contains(&row.id));
    if rows.is_empty() {
        return Ok(());
    }
    ctx.store
        .write_blocking(move |db| rows.iter().try_for_each(|row| policies::insert(db, row).map(drop)))
}

/// Returns every version, or those of one kind, within the caller's read.
///
/// # Errors
/// As [`list`].
pub fn all(ctx: &Context, table: KindTable, db: &mut Db, kind: Option<PolicyKind>) -> Result<Vec<Version>, Failure> {
    let mut versions = Vec::new();
    for one in PolicyKind::ALL {
        if kind.is_none_or(|wanted| wanted == one) {
            versions.extend(of_kind(ctx, table, db, one)?);
        }
    }
    Ok(versions)
}

/// A text that was read.
struct Draft {
    id: String,
    body: String,
    /// As what it is cited, where that does not follow from its name.
    version: Option<String>,
    rules: Option<Rules>,
}

impl Draft {
    fn of_rules(rules: Rules) -> Draft {
        Draft {
            id: rules.id(),
            body: rules.text(),
            version: Some(rules.version.clone()),
            rules: Some(rules),
        }
    }

    fn of_survivorship(policy: &Survivorship) -> Draft {
        Draft {
            id: policy.id(),
            body: policy.text(),
            version: Some(policy.version()),
            rules: None,
        }
    }

    fn of_text(body: String) -> Draft {
        Draft {
            id: hex(&sha256(body.as_bytes())),
            body,
            version: None,
            rules: None,
        }
    }
}

fn of_kind(ctx: &Context, table: KindTable, db: &mut Db, kind: PolicyKind) -> Result<Vec<Version>, Failure> {
    let mut drafts: Vec<(Draft, String, Option<i64>)> = Vec::new();
    match kind {
        PolicyKind::Matching => {
            for point in [Point::Safe, Point::Balanced] {
                drafts.push((
                    Draft::of_rules(Rules::shipped(point.code())),
                    point.code().to_owned(),
                    None,
                ));
            }
        }
        PolicyKind::Survivorship => {
            let ships = Survivorship::default();
            drafts.push((Draft::of_survivorship(&ships), ships.version(), None));
        }
        _ => {
            for built_in in row_of(table, kind).map(|row| (row.built_in)()).unwrap_or_default() {
                drafts.push((Draft::of_text(built_in.body), built_in.name, None));
            }
        }
    }
    for row in policies::list(db, kind.code())? {
        if drafts.iter().all(|(draft, ..)| draft.id != row.id) {
            drafts.push((stored(kind, row.body)?, row.name, Some(row.added_ms)));
        }
    }
    let standings = PolicyStandings::read(ctx, table, db, kind)?;
    let version = |(draft, name, added_ms): (Draft, String, Option<i64>)| {
        let (standing, partners) = standings.of(&draft.id);
        Version {
            kind,
            version: draft.version.unwrap_or_else(|| kind.cited(&name, &draft.id)),
            id: draft.id,
            name,
            body: draft.body,
            rules: draft.rules,
            standing,
            partners,
            added_ms,
        }
    };
    Ok(drafts.into_iter().map(version).collect())
}

/// A stored text as a draft. What another version of the program stored stays readable, whatever this one makes of it.
fn stored(kind: PolicyKind, body: String) -> Result<Draft, Failure> {
    let damaged = |cause: String| Failure::new(Fault::StoreDamaged).because(cause);
    match kind {
        PolicyKind::Matching => Rules::parse(&body)
            .map(Draft::of_rules)
            .map_err(|error| damaged(error.to_string())),
        PolicyKind::Survivorship => Survivorship::parse(&body)
            .map(|policy| Draft::of_survivorship(&policy))
            .map_err(|_| damaged("a survivorship policy".to_owned())),
        _ => Ok(Draft::of_text(body)),
    }
}

/// Checks the text of a new version.
fn read(table: KindTable, new: &NewVersion<'_>) -> Result<Draft, Failure> {
    let wrong = |error: causeway_identity::PolicyError| wrong_text(TextError::at(error.line, error.what));
    match new.kind {
        PolicyKind::Matching => {
            let rules = match new.point {
                Some(point) => Rules::parse_at(new.text, point),
                None => Rules::parse(new.text),
            }
            .map_err(wrong)?;
            match rules.policy.absurdity() {
                Some(what) => Err(wrong_text(TextError::at(0, what))),
                None => Ok(Draft::of_rules(rules)),
            }
        }
        PolicyKind::Survivorship => survivorship_text(new.text).map(|policy| Draft::of_survivorship(&policy)),
        kind => match row_of(table, kind).and_then(|row| row.check) {
            None => Err(fixed()),
            Some(check) => check(new.text).map(Draft::of_text).map_err(wrong_text),
        },
    }
}

/// Reads a survivorship policy.
pub(super) fn survivorship_text(text: &str) -> Result<Survivorship, Failure> {
    Survivorship::parse(text).map_err(|failure| {
        let line = failure.expressions().first().cloned().unwrap_or_default();
        Failure::new(Fault::PolicyInvalid)
            .at(line)
            .remedy("Write `survivorship 1`, then each source's trust and each attribute's rule once; see `causeway policy survivorship`.")
    })
}

/// The refusal of another version of rules that are code.
fn fixed() -> Failure {
    Fault::PolicyFixed.into()
}

/// The refusal of a text.
fn wrong_text(error: TextError) -> Failure {
    Failure::new(Fault::PolicyInvalid)
        .at(format!("line {}", error.line))
        .remedy(format!("Correct the policy: {}.", error.what))
}

/// The one of these versions that `wanted` names.
pub(super) fn named(versions: &[Version], wanted: &str) -> Result<Version, Failure> {
    let prefix = wanted.len() >= PREFIX_LEAST && wanted.bytes().all(|b| b.is_ascii_hexdigit());
    let by_id: Vec<&Version> = versions
        .iter()
        .filter(|version| prefix && version.id.starts_with(&wanted.to_ascii_lowercase()))
        .collect();
    let by_name = |version: &&Version| version.name == wanted || version.version == wanted;
    let found = match by_id.as_slice() {
        [one] => Some(*one),
        [] => {
            let found: Vec<&Version> = versions.iter().filter(by_name).collect();
            let kinds = found.windows(2).any(|pair| pair[0].kind != pair[1].kind);
            if kinds {
                let remedy = "Versions of several kinds have this name: say which by --kind.";
                return Err(Failure::new(Fault::PolicyUnknown).remedy(remedy));
            }
            found.last().copied()
        }
        _ => None,
    };
    found.cloned().ok_or_else(|| Fault::PolicyUnknown.into())
}
