//! Signing in to the console: one-time links, and the sessions of browsers that they begin.
//!
//! A link is a secret of 128 bits that works once, within a minute, for the person and the roles that it was made for. What it begins is an operator's
//! token that only a cookie can show: it is listed and revoked as any token, and no bearer token has its hash. Only hashes are stored. Whoever
//! signs in by an identity provider (`security::sign_in`) gets a session of the same kind, which is shorter.

use super::operator::{Operator, Roles, demand_name, link_object, token_id};
use crate::audit::{Action, LedgerEvent, Object, OperatorNote, ledger};
use crate::context::Context;
use crate::error::Failure;
use crate::secret::{Secret, base64url, random, same, sha256, sha256_of};
use crate::store::{Db, console, operator_tokens};
use crate::telemetry::Correlation;

/// How long a link works, in milliseconds.
pub const LINK_MS: i64 = 60_000;
/// How long a session lasts without a request, in milliseconds.
pub const IDLE_MS: i64 = 15 * 60_000;
/// How long a session lasts in any case, in milliseconds: a working day.
pub const SESSION_MS: i64 = 8 * 3_600_000;
/// How long a session lasts in any case that an identity provider has let begin, in milliseconds: a role that it takes away has ended then.
pub const PROVIDED_SESSION_MS: i64 = 3_600_000;
/// How exactly it is known when a session was last used, in milliseconds.
const SEEN_MS: i64 = 30_000;
/// What the entry of such a session says of how it began.
const PROVIDED: &str = "signed in by OpenID Connect";
/// Longest secret that is looked up, in bytes. A link has 22.
const SECRET_BYTES: usize = 128;

/// A link that was just made.
#[derive(Debug)]
pub struct MadeLink {
    /// Its secret; it is shown once.
    pub secret: Secret,
    /// When it ends, UTC milliseconds.
    pub expires_ms: i64,
}

/// A session that was just begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BegunSession {
    /// What the cookie holds.
    pub handle: [u8; 32],
    /// Whose it is.
    pub name: String,
    /// How long it lasts in any case, milliseconds.
    pub lasts_ms: i64,
}

/// The holder of a session.
#[derive(Clone, Debug)]
pub struct ConsoleVisitor {
    /// Who it is; `token` is the hash of the session.
    pub operator: Operator,
    /// When the session ends in any case, lasting UTC milliseconds.
    pub ends_ms: i64,
}

fn link_hash(secret: &str) -> [u8; 32] {
    sha256_of(&[b"console link\n", secret.as_bytes()])
}

/// The hash under which a session is stored. No bearer token can have it: a header holds no line break.
pub(super) fn session_hash(handle: &[u8; 32]) -> [u8; 32] {
    sha256_of(&[b"console session\n", handle])
}

/// Makes a link with which `name` can sign in once, with these roles. `by` made it, and says why. Blocks the thread.
///
/// # Errors
/// [`Fault::ParameterInvalid`](crate::error::Fault::ParameterInvalid) for what cannot be a name; those of the store.
pub fn make_link(ctx: &Context, roles: &Roles, name: &str, by: &OperatorNote) -> Result<MadeLink, Failure> {
    demand_name(name)?;
    let secret = base64url(&random::<16>());
    let hash = link_hash(&secret);
    let at_us = ctx.clock.now_us();
    let (now_ms, created_ms) = (at_us / 1000, ctx.clock.lasting_ms());
    let id = ctx.ids.new_id(now_ms);
    let mut entry = LedgerEvent::new(
        Action::OperatorTokenIssued,
        Operator::actor(&roles.text()),
        Correlation::internal(ctx.ids.new_id(now_ms)),
    );
    entry.object = Some(link_object(&hash));
    entry.note = Some(OperatorNote {
        operator: format!("{}/{name}", by.operator),
        reason: by.reason.clone(),
    });
    let (name, roles) = (name.to_owned(), roles.text());
    ctx.store.write_blocking(move |db| {
        console::insert_link(db, &hash, (&roles, &name), created_ms, created_ms + LINK_MS)?;
        ledger::append(db, &entry, &id, at_us)
    })?;
    Ok(MadeLink {
        secret: Secret::new(secret),
        expires_ms: now_ms + LINK_MS,
    })
}

/// Whether `secret` is that of a link which nobody has used. It changes nothing: whoever has no link makes the store write nothing.
///
/// # Errors
/// Those of the store.
pub async fn is_link(ctx: &Context, secret: &str) -> Result<bool, Failure> {
    if secret.len() > SECRET_BYTES {
        return Ok(false);
    }
    let hash = link_hash(secret);
    ctx.store.read(move |db| console::has_link(db, &hash)).await
}

/// The write that takes a link and begins a session of this browser (`agent`, as it names itself) with a handle that is new; `None` for a
/// link that was used, is too late, or never was. The session `before` of the same browser ends, and the ledger says so.
pub fn redeem(
    ctx: &Context,
    secret: &str,
    agent: &str,
    before: Option<&[u8; 32]>,
    correlation: &Correlation,
) -> impl FnMut(&mut Db) -> Result<Option<BegunSession>, Failure> + Send + 'static {
    let link = link_hash(secret);
    let is_possible = secret.len() <= SECRET_BYTES;
    let session = NewSession::of(ctx, agent, before.map(session_hash), correlation);
    move |db| {
        let taken = match is_possible {
            true => console::take_link(db, &link)?,
            false => None,
        };
        // A link that comes too late is gone as one that was used.
        let Some(row) = taken.filter(|row| same(&row.hash, &link) && row.expires_ms > session.lasting_ms) else {
            return Ok(None);
        };
        if Roles::parse(&row.role).is_none() {
            return Ok(None);
        }
        session.write(db, (&row.role, &row.name), SESSION_MS, "").map(Some)
    }
}

/// The write that begins a session of this browser (`agent`, as it names itself) for somebody whom the identity provider has named, with a
/// handle that is new. The session with the hash `before` of the same browser ends, and the ledger says so.
pub fn admit(
    ctx: &Context,
    (roles, name): (&Roles, &str),
    agent: &str,
    before: Option<[u8; 32]>,
    correlation: &Correlation,
) -> impl FnMut(&mut Db) -> Result<BegunSession, Failure> + Send + 'static {
    let session = NewSession::of(ctx, agent, before, correlation);
    let (roles, name) = (roles.text(), name.to_owned());
    move |db| session.write(db, (&roles, &name), PROVIDED_SESSION_MS, PROVIDED)
}

/// What a session is begun with, made before the write: that may run again.
struct NewSession {
    handle: [u8; 32],
    agent: [u8; 32],
    before: Option<[u8; 32]>,
    at_us: i64,
    lasting_ms: i64,
    ids: [String; 2],
    correlation: Correlation,
}

impl NewSession {
    fn of(ctx: &Context, agent: &str, before: Option<[u8; 32]>, correlation: &Correlation) -> NewSession {
        let at_us = ctx.clock.now_us();
        NewSession {
            handle: random::<32>(),
            agent: sha256(agent.as_bytes()),
            before,
            at_us,
            lasting_ms: ctx.clock.lasting_ms(),
            ids: [(); 2].map(|()| ctx.ids.new_id(at_us / 1000)),
            correlation: correlation.clone(),
        }
    }

    /// Begins it for this role and name, and says so in the ledger, with `how`.
    fn write(
        &self,
        db: &mut Db,
        (role, name): (&str, &str),
        lasts_ms: i64,
        how: &str,
    ) -> Result<BegunSession, Failure> {
        let [before_id, id] = &self.ids;
        if let Some(before) = &self.before {
            end_before(db, before, (before_id, self.at_us), &self.correlation)?;
        }
        let (hash, ends_ms) = (session_hash(&self.handle), self.lasting_ms + lasts_ms);
        operator_tokens::insert(db, &hash, (role, name), self.lasting_ms, ends_ms)?;
        console::insert_session(db, &hash, &self.agent, self.lasting_ms, ends_ms)?;
        let mut entry = entry(Action::OperatorTokenIssued, role, name, &hash, &self.correlation);
        if let Some(note) = &mut entry.note {
            how.clone_into(&mut note.reason);
        }
        ledger::append(db, &entry, id, self.at_us)?;
        Ok(BegunSession {
            handle: self.handle,
            name: name.to_owned(),
            lasts_ms,
        })
    }
}

/// The holder of the session with this handle, if it lasts and this is its browser; notes that it was used.
///
/// # Errors
/// Those of the store.
pub async fn visitor(ctx: &Context, handle: &[u8; 32], agent: &str) -> Result<Option<ConsoleVisitor>, Failure> {
    let hash = session_hash(handle);
    let found = ctx
        .store
        .read(move |db| {
            let Some(session) = console::session(db, &hash)? else {
                return Ok(None);
            };
            let token = operator_tokens::find(db, &hash)?;
            Ok(token.map(|token| (session, token)))
        })
        .await?;
    let Some((session, (role, ends_ms, name))) = found else {
        return Ok(None);
    };
    let lasting_ms = ctx.clock.lasting_ms();
    let lasts = ends_ms > lasting_ms && session.seen_ms + IDLE_MS > lasting_ms;
    let is_same = same(&session.agent_sha256, &sha256(agent.as_bytes()));
    let Some(roles) = Roles::parse(&role).filter(|_| lasts && is_same) else {
        return Ok(None);
    };
    if lasting_ms - session.seen_ms >= SEEN_MS {
        ctx.store
            .reserved()
            .write(move |db| console::seen(db, &hash, lasting_ms))
            .await?;
    }
    Ok(Some(ConsoleVisitor {
        operator: Operator {
            roles,
            name: name.unwrap_or_default(),
            token: hash,
        },
        ends_ms,
    }))
}

/// The write that ends a session, and says so in the ledger. Run it among the reserved writes.
pub fn sign_out(
    ctx: &Context,
    visitor: &ConsoleVisitor,
    correlation: &Correlation,
) -> impl FnMut(&mut Db) -> Result<(), Failure> + Send + 'static {
    let Operator { roles, name, token } = visitor.operator.clone();
    let at_us = ctx.clock.now_us();
    let id = ctx.ids.new_id(at_us / 1000);
    let entry = entry(Action::OperatorTokenRevoked, &roles.text(), &name, &token, correlation);
    move |db| {
        end(db, &token)?;
        ledger::append(db, &entry, &id, at_us)
    }
}

/// Ends the session that a browser had before, and says so in the ledger where there was one.
fn end_before(
    db: &mut Db,
    hash: &[u8; 32],
    (id, at_us): (&str, i64),
    correlation: &Correlation,
) -> Result<(), Failure> {
    let was = operator_tokens::find(db, hash)?;
    end(db, hash)?;
    let Some((role, _, name)) = was else { return Ok(()) };
    let name = name.unwrap_or_default();
    let entry = entry(Action::OperatorTokenRevoked, &role, &name, hash, correlation);
    ledger::append(db, &entry, id, at_us)
}

fn end(db: &mut Db, hash: &[u8; 32]) -> Result<(), Failure> {
    console::delete_session(db, hash)?;
    operator_tokens::delete(db, hash)?;
    Ok(())
}

fn entry(action: Action, role: &str, name: &str, hash: &[u8; 32], correlation: &Correlation) -> LedgerEvent {
    let mut entry = LedgerEvent::new(action, Operator::actor(role), correlation.clone());
    entry.object = Some(Object {
        kind: "console-session",
        id: token_id(hash),
    });
    entry.note = Some(OperatorNote {
        operator: name.to_owned(),
        reason: String::new(),
    });
    entry
}

/// The token of the forms of a session: it follows from what the cookie holds, so that no other session has it.
pub fn form_token(handle: &[u8; 32]) -> String {
    base64url(&sha256_of(&[b"console form\n", handle]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_of_one_secret_differ_by_what_they_are_for() {
        let handle = [7; 32];
        let text = base64url(&handle);
        let hashes = [
            session_hash(&handle),
            link_hash(&text),
            sha256(&handle),
            sha256(text.as_bytes()),
        ];
        for (at, one) in hashes.iter().enumerate() {
            assert!(!hashes[..at].contains(one), "{at}");
        }
        assert_ne!(form_token(&handle), form_token(&[8; 32]));
        assert_ne!(form_token(&handle), text, "the token of forms is not the handle");
    }
}
