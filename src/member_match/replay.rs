//! The idempotency key of a request: reads what was answered under it before, and makes the row that remembers an answer.

use super::answer::MatchAnswer;
use super::arrival::Arrival;
use super::request::MatchRequest;
use crate::error::{Failure, Fault};
use crate::keeping::DataKind;
use crate::store::Db;
use crate::store::control_rows::ReplayedReply;
use crate::store::idempotency::{KeyClaim, KeyState, StoredReply, fingerprint, parse_key, standing};
use crate::store::matching::{self, MatchRecord};

/// The route template that idempotency keys are scoped by.
const ROUTE: &str = "/Patient/$member-match";

/// An idempotency key, and whether the new row replaces an expired one.
pub(super) struct IdempotencyKey {
    claim: KeyClaim,
    replaces: bool,
    /// How long the answer is repeated, milliseconds.
    kept_ms: i64,
}

impl IdempotencyKey {
    /// The idempotency key of this request, if it sent one.
    ///
    /// # Errors
    /// [`Fault::IdempotencyKeyBad`].
    fn of(arrival: &Arrival<'_>, request: &MatchRequest) -> Result<Option<IdempotencyKey>, Failure> {
        let key = parse_key(&request.idempotency_key)?;
        Ok(key.map(|key| IdempotencyKey {
            claim: KeyClaim {
                partner_id: arrival.partner_id().to_owned(),
                method: "POST",
                route: ROUTE,
                key,
                fingerprint: fingerprint("POST", ROUTE, &request.media_type, &request.body),
            },
            replaces: false,
            kept_ms: arrival.ctx.keeping.ms(DataKind::Idempotency),
        }))
    }

    /// The row that remembers this answer.
    pub(super) fn reply(&self, now_ms: i64, status: u16, body: &[u8], decision_id: Option<&str>) -> StoredReply {
        StoredReply {
            claim: self.claim.clone(),
            replaces: self.replaces,
            status,
            body: body.to_vec(),
            decision_id: decision_id.map(str::to_owned),
            now_ms,
            expires_ms: now_ms + self.kept_ms,
        }
    }
}

/// What a repetition of a request would find, of which the answer is kept; with `altered`, what another request under the same key would.
/// `None` for the key of another route.
///
/// # Errors
/// Those of the database.
pub fn repeated(db: &mut Db, kept: &ReplayedReply, now_ms: i64, altered: bool) -> Result<Option<KeyState>, Failure> {
    if kept.method != "POST" || kept.route != ROUTE {
        return Ok(None);
    }
    let damaged = |_| Failure::new(Fault::StoreDamaged).because("the fingerprint of a request");
    let mut fingerprint: [u8; 32] = kept.fingerprint.as_slice().try_into().map_err(damaged)?;
    fingerprint[0] ^= u8::from(altered);
    let claim = KeyClaim {
        partner_id: kept.partner_id.clone(),
        method: "POST",
        route: ROUTE,
        key: kept.key.clone(),
        fingerprint,
    };
    standing(db, &claim, now_ms).map(Some)
}

/// What the store knows about an idempotency key.
pub(super) enum KnownOfKey {
    /// Nothing that counts: the request has to be judged. Holds its key, if it sent one.
    Nothing(Option<IdempotencyKey>),
    /// The answer that was given before. The repetition is already in the ledger.
    Answered(MatchAnswer),
    /// The request is refused because of its key.
    Refused(Failure),
}

/// Reads the idempotency key of a request, and what was answered under it before, if anything was.
///
/// # Errors
/// Those of the store.
pub(super) async fn known(arrival: &Arrival<'_>, request: &MatchRequest) -> Result<KnownOfKey, Failure> {
    let mut key = match IdempotencyKey::of(arrival, request) {
        Ok(Some(key)) => key,
        Ok(None) => return Ok(KnownOfKey::Nothing(None)),
        Err(failure) => return Ok(KnownOfKey::Refused(failure)),
    };
    let (claim, now_ms) = (key.claim.clone(), arrival.now_ms());
    let fault = match arrival.ctx.store.read(move |db| standing(db, &claim, now_ms)).await? {
        KeyState::New => return Ok(KnownOfKey::Nothing(Some(key))),
        KeyState::Lapsed => {
            key.replaces = true;
            return Ok(KnownOfKey::Nothing(Some(key)));
        }
        KeyState::Answered { status, body } => {
            let record = MatchRecord {
                ledger: vec![arrival.replayed(status, &body)],
                ..MatchRecord::default()
            };
            arrival.ctx.store.write(move |db| matching::record(db, &record)).await?;
            return Ok(KnownOfKey::Answered(MatchAnswer {
                status,
                body,
                replayed: true,
            }));
        }
        KeyState::Running => Fault::IdempotencyRunning,
        KeyState::Reused => Fault::IdempotencyKeyReused,
        KeyState::Withdrawn => Fault::ConsentNotHonoured,
    };
    Ok(KnownOfKey::Refused(fault.into()))
}
