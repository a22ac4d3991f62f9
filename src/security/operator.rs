//! Operators: their roles, and the tokens by which they authenticate at `/ops/v1`, from issue to revocation.

use crate::audit::{Action, Actor, LedgerEvent, Object, OperatorNote, ledger};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::secret::{Secret, base64url, hex, random, sha256};
use crate::store::Db;
use crate::store::console;
use crate::store::operator_tokens::{self, OperatorTokenRow};
use crate::telemetry::Correlation;

/// Longest lifetime of an operator's token.
pub const LIFE_MOST_MS: i64 = 7 * 24 * 3_600_000;

/// The operator to whom a token belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// What the operator may do.
    pub roles: Roles,
    /// The name for which the token was made.
    pub name: String,
    /// SHA-256 of the token.
    pub token: [u8; 32],
}

impl Operator {
    /// An operator as the actor of a ledger entry, which holds only the role. The name belongs in the entry's note.
    pub fn actor(role: &str) -> Actor {
        Actor {
            kind: "operator",
            id: Some(role.to_owned()),
            ..Actor::default()
        }
    }
}

/// What an operator may do: least of all that a duty needs (`docs/operators/roles.md`). Every role may read the fault table (`docs/operations.md`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Reads decisions, reviews and traces without Patient ids.
    Support,
    /// As `support`; also lists consents without Patient ids, and withdraws consents and ends grants.
    Operator,
    /// Reads reviews, links and the graph of a member with personal values; decides reviews.
    Reviewer,
    /// Reads decisions, reviews, links, grants, consents, disclosures and the ledger with Patient ids, without other personal
    /// values.
    Auditor,
    /// Reads partners and policies; puts versions of policies in force; places and releases legal holds.
    Admin,
}

impl Role {
    /// All roles.
    pub const ALL: [Role; 5] = [
        Role::Support,
        Role::Operator,
        Role::Reviewer,
        Role::Auditor,
        Role::Admin,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Role::Support => "support",
            Role::Operator => "operator",
            Role::Reviewer => "reviewer",
            Role::Auditor => "auditor",
            Role::Admin => "admin",
        }
    }

    /// The role of this name.
    pub fn parse(name: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.name() == name)
    }
}

/// The roles of one token: at least one, each once, in the order of [`Role::ALL`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roles(Vec<Role>);

impl Roles {
    /// These roles; `None` for none.
    pub fn of(roles: &[Role]) -> Option<Roles> {
        let found: Vec<Role> = Role::ALL.into_iter().filter(|role| roles.contains(role)).collect();
        (!found.is_empty()).then_some(Roles(found))
    }

    /// The roles of this text: names with a comma between two. `None` when one of them is unknown: a token whose roles are not all understood
    /// lets nobody in.
    pub fn parse(text: &str) -> Option<Roles> {
        let roles: Option<Vec<Role>> = text.split(',').map(Role::parse).collect();
        Roles::of(&roles?)
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = Role> {
        self.0.iter().copied()
    }

    /// Their names with a comma between two, as [`Roles::parse`] reads them.
    pub fn text(&self) -> String {
        let names: Vec<&str> = self.iter().map(Role::name).collect();
        names.join(",")
    }
}

impl From<Role> for Roles {
    fn from(role: Role) -> Roles {
        Roles(vec![role])
    }
}

/// Whether `text` may be an operator's name: 1 to 64 letters, digits, hyphens, dots, underscores and at signs.
pub fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._@".contains(&b))
}

/// Refuses what cannot be an operator's name.
///
/// # Errors
/// [`Fault::ParameterInvalid`].
pub(super) fn demand_name(text: &str) -> Result<(), Failure> {
    match is_name(text) {
        true => Ok(()),
        false => Err(Failure::new(Fault::ParameterInvalid)
            .at("name")
            .remedy("Give a name of 1 to 64 letters, digits, hyphens, dots, underscores and at signs.")),
    }
}

/// A token that was just made.
#[derive(Debug)]
pub struct IssuedToken {
    /// The token; it is shown once.
    pub token: Secret,
    /// What it is listed and revoked by.
    pub id: String,
    /// When it ends, UTC milliseconds.
    pub expires_ms: i64,
}

/// The id of the token with this hash: the beginning of the hash, which reveals nothing about the token.
pub fn token_id(hash: &[u8]) -> String {
    hex(&hash[..hash.len().min(ID_BYTES)])
}

/// Bytes of a hash that make an id. That two of ten thousand tokens have the same has a chance of 10^-11.
const ID_BYTES: usize = 8;

fn object(id: String) -> Object {
    Object {
        kind: "operator-token",
        id,
    }
}

/// The link to the console with this hash, as what an entry is about.
pub(super) fn link_object(hash: &[u8]) -> Object {
    Object {
        kind: "console-link",
        id: token_id(hash),
    }
}

/// Makes a token of `roles` for `name` that is valid for `life_ms`. Blocks the thread.
///
/// # Errors
/// [`Fault::ParameterInvalid`] for a name that [`is_name`] refuses and for a lifetime that is not between one second and seven days;
/// those of the store.
pub fn issue(ctx: &Context, roles: &Roles, name: &str, life_ms: i64) -> Result<IssuedToken, Failure> {
    demand_name(name)?;
    if !(1_000..=LIFE_MOST_MS).contains(&life_ms) {
        return Err(Failure::new(Fault::ParameterInvalid)
            .at("ttl")
            .remedy("Give a life of 1s to 7d."));
    }
    let token = base64url(&random::<32>());
    let hash = sha256(token.as_bytes());
    let at_us = ctx.clock.now_us();
    let (now_ms, created_ms) = (at_us / 1000, ctx.clock.lasting_ms());
    let id = ctx.ids.new_id(now_ms);
    let mut entry = LedgerEvent::new(
        Action::OperatorTokenIssued,
        Operator::actor(&roles.text()),
        Correlation::internal(ctx.ids.new_id(now_ms)),
    );
    entry.object = Some(object(token_id(&hash)));
    entry.note = Some(OperatorNote {
        operator: name.to_owned(),
        reason: String::new(),
    });
    let (name, roles) = (name.to_owned(), roles.text());
    ctx.store.write_blocking(move |db| {
        operator_tokens::insert(db, &hash, (&roles, &name), created_ms, created_ms + life_ms)?;
        ledger::append(db, &entry, &id, at_us)
    })?;
    Ok(IssuedToken {
        token: Secret::new(token),
        id: token_id(&hash),
        expires_ms: now_ms + life_ms,
    })
}

/// What begins each write that an operator asks for over HTTP: it fails once the token is revoked or has ended. So a look or an act and the
/// revocation of its token have one order: it is in the ledger before the revocation, or it is refused.
///
/// # Errors
/// Of the write: [`Fault::TokenInvalid`]; those of the database.
pub fn hold(ctx: &Context, operator: &Operator) -> impl FnMut(&mut Db) -> Result<(), Failure> + Send + 'static {
    let (token, lasting_ms) = (operator.token, ctx.clock.lasting_ms());
    move |db| match operator_tokens::hold(db, &token)? {
        Some(expires_ms) if expires_ms > lasting_ms => Ok(()),
        _ => Err(Fault::TokenInvalid.into()),
    }
}

/// The write that revokes the token of this id and says so in the ledger, with whoever did it and why; it gives the row that was. From its
/// commit on nobody is let in by it. Run it among the reserved writes: a right must end on a full disk too.
///
/// # Errors
/// [`Fault::OperatorTokenUnknown`] for one that ended, was revoked, or never was; those of the store.
pub fn revoke(
    ctx: &Context,
    id: &str,
    role: &str,
    note: OperatorNote,
) -> impl FnMut(&mut Db) -> Result<OperatorTokenRow, Failure> + Send + 'static {
    let (at_us, lasting_ms) = (ctx.clock.now_us(), ctx.clock.lasting_ms());
    let entry_id = ctx.ids.new_id(at_us / 1000);
    let mut entry = LedgerEvent::new(
        Action::OperatorTokenRevoked,
        Operator::actor(role),
        Correlation::internal(ctx.ids.new_id(at_us / 1000)),
    );
    entry.object = Some(object(id.to_owned()));
    entry.note = Some(note);
    let id = id.to_owned();
    move |db| {
        let current = operator_tokens::current(db, lasting_ms)?;
        let row = current.into_iter().find(|row| token_id(&row.hash) == id);
        let row = row.ok_or(Fault::OperatorTokenUnknown)?;
        if !operator_tokens::delete(db, &row.hash)? {
            return Err(Fault::OperatorTokenUnknown.into());
        }
        ledger::append(db, &entry, &entry_id, at_us)?;
        Ok(row)
    }
}

/// The write that revokes every token and every session of the console of this name, takes back its links that were not used, and says so in
/// the ledger of each of them, with whoever did it and why; it gives the rows that were, and how many links. Run it as [`revoke`].
///
/// # Errors
/// [`Fault::OperatorTokenUnknown`] when nothing of this name lets anybody in; those of the store.
pub fn revoke_all(
    ctx: &Context,
    name: &str,
    role: &str,
    note: OperatorNote,
) -> impl FnMut(&mut Db) -> Result<(Vec<OperatorTokenRow>, usize), Failure> + Send + 'static {
    let (at_us, lasting_ms) = (ctx.clock.now_us(), ctx.clock.lasting_ms());
    let correlation = Correlation::internal(ctx.ids.new_id(at_us / 1000));
    let actor = Operator::actor(role);
    let (ctx, name) = (ctx.clone(), name.to_owned());
    move |db| {
        // Links first: one that is used meanwhile has become a session, which is found after it.
        let links = console::take_links_of(db, &name, lasting_ms)?;
        let rows = operator_tokens::current_of(db, &name, lasting_ms)?;
        if rows.is_empty() && links.is_empty() {
            return Err(Fault::OperatorTokenUnknown.into());
        }
        let mut gone: Vec<Object> = links.iter().map(|hash| link_object(hash)).collect();
        for row in &rows {
            operator_tokens::delete(db, &row.hash)?;
            gone.push(object(token_id(&row.hash)));
        }
        for one in gone {
            let mut entry = LedgerEvent::new(Action::OperatorTokenRevoked, actor.clone(), correlation.clone());
            entry.object = Some(one);
            entry.note = Some(note.clone());
            ledger::append(db, &entry, &ctx.ids.new_id(at_us / 1000), at_us)?;
        }
        Ok((rows, links.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_read_as_they_are_written_and_an_unknown_one_makes_the_whole_unknown() {
        for text in [
            "support",
            "operator,reviewer",
            "support,operator,reviewer,auditor,admin",
        ] {
            assert_eq!(Roles::parse(text).map(|roles| roles.text()).as_deref(), Some(text));
        }
        assert_eq!(
            Roles::parse("auditor,reviewer,auditor")
                .map(|roles| roles.text())
                .as_deref(),
            Some("reviewer,auditor"),
            "each once, in the order of the table"
        );
        for bad in [
            "",
            ",",
            "auditor,",
            "king",
            "auditor,king",
            "Auditor",
            "auditor, reviewer",
            "auditor;reviewer",
        ] {
            assert_eq!(Roles::parse(bad), None, "{bad:?}");
        }
        assert_eq!(Roles::of(&[]), None);
    }
}
