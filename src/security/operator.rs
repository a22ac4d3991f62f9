//! Operators: their roles, and the tokens by which `/ops/v1` knows them.

use crate::audit::{Action, Actor, Entry, Note, ledger};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::secret::{Secret, base64url, random, sha256};
use crate::store::tokens;
use crate::telemetry::Correlation;

/// Longest life of an operator's token.
pub const LIFE_MOST_MS: i64 = 7 * 24 * 3_600_000;

/// Who holds an operator's token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// What it may do.
    pub role: Role,
    /// The name that the token was made for.
    pub name: String,
}

impl Operator {
    /// This operator as the actor of a ledger entry: by role. Its name belongs into the entry's note.
    pub fn actor(role: &str) -> Actor {
        Actor {
            kind: "operator",
            id: Some(role.to_owned()),
            ..Actor::default()
        }
    }
}

/// What an operator may do; the fault table is for all (`docs/operations.md`).
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
    /// Reads partners and policies.
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

/// Whether `text` may be an operator's name: 1 to 64 letters, digits, hyphens, dots, underscores and at signs.
pub fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._@".contains(&b))
}

/// Makes a token of `role` for `name` that lives `life_ms`, and returns it with its end (UTC milliseconds). Waits on this thread.
///
/// # Errors
/// [`Fault::ParameterInvalid`] for a name that [`is_name`] refuses and for a life that is not between a second and seven days;
/// those of the store.
pub fn issue(ctx: &Context, role: Role, name: &str, life_ms: i64) -> Result<(Secret, i64), Failure> {
    if !is_name(name) {
        return Err(Failure::new(Fault::ParameterInvalid)
            .at("name")
            .remedy("Give a name of 1 to 64 letters, digits, hyphens, dots, underscores and at signs."));
    }
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
    let mut entry = Entry::new(
        Action::OperatorTokenIssued,
        Operator::actor(role.name()),
        Correlation::internal(ctx.ids.new_id(now_ms)),
    );
    entry.note = Some(Note {
        operator: name.to_owned(),
        reason: String::new(),
    });
    let name = name.to_owned();
    ctx.store.write_blocking(move |db| {
        tokens::insert_operator(db, &hash, (role.name(), &name), created_ms, created_ms + life_ms)?;
        ledger::append(db, &entry, &id, at_us)
    })?;
    Ok((Secret::new(token), now_ms + life_ms))
}
