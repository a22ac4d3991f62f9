//! Idempotency keys of incoming requests: reading the header, the fingerprint, and the rows that keep the answers.
//!
//! A key belongs to one partner, method and route. Its row is written in the transaction of the request's
//! effect, so a repetition finds the answer and has no second effect.

use super::Db;
use super::insert::{Insert, kept};
use super::release_rule::{live_sql, live_values};
use super::statement::{Bind, Statement, run};
use crate::error::{Failure, Fault};
use crate::secret::{same, sha256_of};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Nullable, Text};
use std::sync::LazyLock;

/// Reads the values of all `Idempotency-Key` headers: a structured-field string (`"…"`) or the bare key.
///
/// # Errors
/// [`Fault::IdempotencyKeyBad`] for two headers, or anything but 1 to 255 visible ASCII characters.
pub fn parse_key(headers: &[Vec<u8>]) -> Result<Option<String>, Failure> {
    let bad = || Failure::new(Fault::IdempotencyKeyBad).at("http.idempotency-key");
    let [header] = headers else {
        return if headers.is_empty() { Ok(None) } else { Err(bad()) };
    };
    let text = std::str::from_utf8(header)
        .map_err(|_| bad())?
        .trim_matches([' ', '\t']);
    let key = match text.strip_prefix('"') {
        None => text.to_owned(),
        Some(rest) => unquote(rest).ok_or_else(bad)?,
    };
    let visible = (1..=255).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic());
    if visible { Ok(Some(key)) } else { Err(bad()) }
}

/// Reads the rest of a structured-field string after its opening quote (RFC 8941 section 3.3.3); parameters are not accepted.
fn unquote(rest: &str) -> Option<String> {
    let inner = rest.strip_suffix('"')?;
    let mut key = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => key.push(chars.next().filter(|c| matches!(c, '"' | '\\'))?),
            '"' => return None,
            other => key.push(other),
        }
    }
    Some(key)
}

/// SHA-256 over everything that identifies the request. It covers the raw bytes: the same
/// JSON with its members in another order is another request.
pub fn fingerprint(method: &str, path_and_query: &str, media_type: &str, body: &[u8]) -> [u8; 32] {
    sha256_of(&[
        method.as_bytes(),
        b"\n",
        path_and_query.as_bytes(),
        b"\n",
        media_type.as_bytes(),
        b"\n",
        body,
    ])
}

/// A key with its scope and the request that brought it.
#[derive(Clone, Debug)]
pub struct KeyClaim {
    /// The authenticated partner.
    pub partner_id: String,
    /// The canonical route template.
    pub method: &'static str,
    /// Canonical route template.
    pub route: &'static str,
    /// The key.
    pub key: String,
    /// [`fingerprint`] of the request.
    pub fingerprint: [u8; 32],
}

/// What is stored about a claim.
#[derive(Debug, PartialEq, Eq)]
pub enum KeyState {
    /// Nothing: the key is used for the first time.
    New,
    /// The stored row has expired, or its request was abandoned. The claim counts as new, and the old row must be removed.
    Lapsed,
    /// The first request is still running.
    Running,
    /// The key was used for another request.
    Reused,
    /// The request was answered before.
    Answered {
        /// HTTP status.
        status: u16,
        /// The bytes of the answer.
        body: Vec<u8>,
    },
    /// The request was answered with success, but the grant of that answer is not live any more.
    Withdrawn,
}

struct Find;

/// Looks a claim up. The caller must have authenticated and authorized the partner before.
///
/// # Errors
/// Those of the database.
pub fn standing(db: &mut Db, claim: &KeyClaim, now_ms: i64) -> Result<KeyState, Failure> {
    type Row = (
        Binary,
        Text,
        BigInt,
        Nullable<BigInt>,
        Nullable<Binary>,
        BigInt,
        BigInt,
        BigInt,
    );
    type Values = (Vec<u8>, String, i64, Option<i64>, Option<Vec<u8>>, i64, i64, i64);
    let statement = || {
        let mut binds = live_values::<Bind<'_>>(&claim.partner_id, now_ms).to_vec();
        binds.extend([
            Bind::Text(&claim.partner_id),
            Bind::Text(claim.method),
            Bind::Text(claim.route),
            Bind::Text(&claim.key),
        ]);
        Statement::<Find, Row>::new(
            concat!(
                "SELECT i.fingerprint, i.state, i.lease_until_ms, i.status, i.body, i.expires_ms, \
                 CAST(CASE WHEN d.grant_id IS NULL THEN 0 ELSE 1 END AS BIGINT), CAST(CASE WHEN ",
                live_sql!("g", "k"),
                " THEN 1 ELSE 0 END AS BIGINT) \
                 FROM idempotency i LEFT JOIN decision d ON d.id = i.decision_id LEFT JOIN grants g ON g.id = d.grant_id \
                 LEFT JOIN consent k ON k.id = g.consent_id \
                 WHERE i.partner_id = ? AND i.method = ? AND i.route = ? AND i.idem_key = ?"
            ),
            binds,
        )
    };
    let rows: Vec<Values> = match db {
        Db::Pg(pg) => statement().load(pg)?,
        Db::Sqlite(sqlite) => statement().load(sqlite)?,
    };
    let Some((fingerprint, state, lease_until_ms, status, body, expires_ms, granted, live)) = rows.into_iter().next()
    else {
        return Ok(KeyState::New);
    };
    if expires_ms <= now_ms {
        return Ok(KeyState::Lapsed);
    }
    if !same(&fingerprint, &claim.fingerprint) {
        return Ok(KeyState::Reused);
    }
    let answered = status.and_then(|status| u16::try_from(status).ok()).zip(body);
    match (state.as_str(), answered) {
        ("done", Some((200..=299, _))) if granted == 1 && live == 0 => Ok(KeyState::Withdrawn),
        ("done", Some((status, body))) => Ok(KeyState::Answered { status, body }),
        ("running", _) if lease_until_ms > now_ms => Ok(KeyState::Running),
        // The process that began it is gone and left no answer, so this request does the work.
        ("running", _) => Ok(KeyState::Lapsed),
        _ => Err(Failure::new(Fault::StoreDamaged).because("an idempotency row has no answer")),
    }
}

/// An answer to remember.
#[derive(Clone, Debug)]
pub struct StoredReply {
    /// The key.
    pub claim: KeyClaim,
    /// Whether an expired row must be deleted first.
    pub replaces: bool,
    /// HTTP status.
    pub status: u16,
    /// The bytes of the answer.
    pub body: Vec<u8>,
    /// Id of the decision behind the answer.
    pub decision_id: Option<String>,
    /// Now, UTC milliseconds.
    pub now_ms: i64,
    /// Until when the answer is repeated, UTC milliseconds; after that the key is new.
    pub expires_ms: i64,
}

struct Forget;
struct Remember;

pub(super) const REMEMBER: Insert = Insert {
    table: "idempotency",
    columns: "partner_id, method, route, idem_key, fingerprint, state, lease_until_ms, status, body, decision_id, expires_ms",
};

static REMEMBER_SQL: LazyLock<&'static str> = LazyLock::new(|| kept(REMEMBER.text(1)));

pub(super) fn reply_binds(reply: &StoredReply) -> [Bind<'_>; 11] {
    let claim = &reply.claim;
    [
        Bind::Text(&claim.partner_id),
        Bind::Text(claim.method),
        Bind::Text(claim.route),
        Bind::Text(&claim.key),
        Bind::Blob(&claim.fingerprint),
        Bind::Text("done"),
        Bind::Big(reply.now_ms),
        Bind::Big(i64::from(reply.status)),
        Bind::Blob(&reply.body),
        Bind::OptText(reply.decision_id.as_deref()),
        Bind::Big(reply.expires_ms),
    ]
}

/// Stores an answer, in the transaction of its effect.
///
/// # Errors
/// A unique violation (see [`is_duplicate`](super::is_duplicate)) when another request
/// stored an answer for this key first; others of the database.
pub fn remember(db: &mut Db, reply: &StoredReply) -> QueryResult<()> {
    let claim = &reply.claim;
    if reply.replaces {
        let forget = Statement::<Forget>::new(
            "DELETE FROM idempotency WHERE partner_id = ? AND method = ? AND route = ? AND idem_key = ? \
             AND (expires_ms <= ? OR (state = 'running' AND lease_until_ms <= ?))",
            vec![
                Bind::Text(&claim.partner_id),
                Bind::Text(claim.method),
                Bind::Text(claim.route),
                Bind::Text(&claim.key),
                Bind::Big(reply.now_ms),
                Bind::Big(reply.now_ms),
            ],
        );
        run(db, forget)?;
    }
    let remember = Statement::<Remember>::new(*REMEMBER_SQL, reply_binds(reply).to_vec());
    run(db, remember).map(|_| ())
}

/// Deletes at most `limit` expired rows. Returns each key with its scope in one text, and when it expired (UTC milliseconds).
///
/// # Errors
/// Those of the database.
pub fn sweep(db: &mut Db, now_ms: i64, limit: i64) -> Result<Vec<(String, i64)>, Failure> {
    use super::schema::idempotency::dsl::{expires_ms, idem_key, idempotency, method, partner_id, route};
    let due: Vec<(String, String, String, String, i64)> = idempotency
        .filter(expires_ms.le(now_ms))
        .select((partner_id, method, route, idem_key, expires_ms))
        .limit(limit)
        .load(db)?;
    let mut gone = Vec::with_capacity(due.len());
    for (partner, verb, path, key, end_ms) in due {
        let named = format!("{partner} {verb} {path} {key}");
        let own = idempotency
            .find((partner, verb, path, key))
            .filter(expires_ms.le(now_ms));
        if diesel::delete(own).execute(db)? == 1 {
            gone.push((named, end_ms));
        }
    }
    Ok(gone)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(headers: &[&[u8]]) -> Result<Option<String>, Fault> {
        let headers: Vec<Vec<u8>> = headers.iter().map(|header| header.to_vec()).collect();
        parse_key(&headers).map_err(|failure| failure.fault())
    }

    #[test]
    fn keys_are_quoted_or_bare_and_visible() {
        assert_eq!(key(&[]), Ok(None));
        for (header, read) in [
            ("abc-1", "abc-1"),
            ("\"abc-1\"", "abc-1"),
            (r#""a\"b\\c""#, r#"a"b\c"#),
            (" a ", "a"),
        ] {
            assert_eq!(key(&[header.as_bytes()]), Ok(Some(read.to_owned())), "{header}");
        }
        let long = "x".repeat(256);
        for bad in [
            "",
            "\"\"",
            "a b",
            "\"a",
            "\"a\"b\"",
            "\"a\";p=1",
            r#""a\n""#,
            "é",
            "a\u{7f}",
            long.as_str(),
        ] {
            assert_eq!(key(&[bad.as_bytes()]), Err(Fault::IdempotencyKeyBad), "{bad}");
        }
        assert_eq!(key(&[b"a", b"a"]), Err(Fault::IdempotencyKeyBad));
        assert_eq!(key(&[b"\xff"]), Err(Fault::IdempotencyKeyBad));
    }

    #[test]
    fn the_fingerprint_covers_every_part() {
        let one = fingerprint("POST", "/a", "application/json", b"{}");
        assert_ne!(one, fingerprint("PUT", "/a", "application/json", b"{}"));
        assert_ne!(one, fingerprint("POST", "/b", "application/json", b"{}"));
        assert_ne!(one, fingerprint("POST", "/a", "application/fhir+json", b"{}"));
        assert_ne!(one, fingerprint("POST", "/a", "application/json", b"{ }"));
    }
}
