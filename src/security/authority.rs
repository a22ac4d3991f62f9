//! Finds the caller of a request: the partner that owns its certificate and the partner that owns its token, which must be the same.
//!
//! Results from the store are cached for at most half a second, so that a suspended partner, a revoked token or a rotated key takes effect
//! within one second in every process.

use super::caller::{Caller, Dialect, PartnerRef};
use super::certificate::PeerCertificate;
use super::oauth::certificate_owner;
use super::operator::{Operator, Roles};
use super::tls::Revocations;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::secret::{same, sha256};
use crate::store::operator_tokens;
use crate::store::partners;
use crate::store::tokens::{self, Holder};
use crate::telemetry::Correlation;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a result from the store may be reused.
const FRESH: Duration = Duration::from_millis(500);
/// Most results of each kind that are cached.
const PLACES: usize = 16_384;
/// Longest bearer token that is looked up, in bytes.
const TOKEN_BYTES: usize = 512;

/// The owner of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartnerStanding {
    /// The partner's id.
    pub id: String,
    /// Whether it is active; a suspended partner may do nothing.
    pub is_active: bool,
}

/// A cache of results from the store, each kept for a short time.
struct Recent<K, V> {
    fresh: Duration,
    known: Mutex<HashMap<K, (Instant, V)>>,
}

impl<K: Eq + Hash, V: Clone> Recent<K, V> {
    fn new(fresh: Duration) -> Self {
        Recent {
            fresh,
            known: Mutex::default(),
        }
    }

    fn get(&self, key: &K) -> Option<V> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .get(key)
            .filter(|(since, _)| since.elapsed() < self.fresh)
            .map(|(_, value)| value.clone())
    }

    /// Caches a value. `since` is when the store was asked, so that waiting for the answer does not prolong its life.
    fn put(&self, key: K, since: Instant, value: V) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= PLACES {
            known.retain(|_, (since, _)| since.elapsed() < self.fresh);
        }
        if known.len() < PLACES {
            known.insert(key, (since, value));
        }
    }
}

/// Authenticates requests. Clones share the cache.
#[derive(Clone)]
pub struct Authority(Arc<Inner>);

struct Inner {
    revocations: Revocations,
    owners: Recent<[u8; 32], String>,
    holders: Recent<[u8; 32], Arc<Holder>>,
}

impl Authority {
    /// An authority that also checks `revocations`, which the TLS layer keeps up to date.
    pub fn new(revocations: Revocations) -> Authority {
        Authority::remembering(revocations, FRESH)
    }

    /// Like [`Authority::new`], with a cache that keeps results for `fresh`; outside tests this is never more than half a second.
    pub(crate) fn remembering(revocations: Revocations, fresh: Duration) -> Authority {
        Authority(Arc::new(Inner {
            revocations,
            owners: Recent::new(fresh),
            holders: Recent::new(fresh),
        }))
    }

    pub(super) fn revocations(&self) -> &Revocations {
        &self.0.revocations
    }

    /// Authenticates a request by its bearer token (the text after `Bearer `) and the certificate of its connection.
    ///
    /// # Errors
    /// [`Fault::CertificateUnknown`], before anything else, for a certificate that is revoked, outside its validity or not registered;
    /// [`Fault::TokenMissing`]; [`Fault::TokenInvalid`] for a token that is unknown, expired, revoked, of another partner or bound to
    /// another certificate; [`Fault::PartnerSuspended`]; [`Fault::CertificateNeeded`].
    pub async fn authenticate(
        &self,
        ctx: &Context,
        bearer: Option<&str>,
        certificate: Option<&PeerCertificate>,
        correlation: Correlation,
    ) -> Result<Caller, Failure> {
        let now_ms = ctx.clock.now_ms();
        if let (Some(token), Some(presented)) = (bearer, certificate) {
            self.look_up(ctx, token, presented, now_ms).await?;
        }
        let owner = self.owner(ctx, certificate, now_ms).await?;
        let token = bearer.filter(|token| !token.is_empty()).ok_or(Fault::TokenMissing)?;
        let holder = self.holder(ctx, token).await?.ok_or(Fault::TokenInvalid)?;
        let row = &holder.token;
        // The clock of another process of this store may be ahead. Its time counts here too.
        ctx.clock.has_seen(row.issued_ms);
        let has_ended = row.expires_ms <= ctx.clock.lasting_ms();
        if row.revoked_ms.is_some() || has_ended || owner.is_some_and(|owner| owner != row.partner_id) {
            return Err(Fault::TokenInvalid.into());
        }
        if holder.status != "active" {
            return Err(Fault::PartnerSuspended.into());
        }
        match (&row.certificate_sha256, certificate) {
            (_, None) if holder.mtls == "required" => return Err(Fault::CertificateNeeded.into()),
            (Some(bound), Some(given)) if same(bound, &given.sha256) => {}
            (Some(_), _) => return Err(Fault::TokenInvalid.into()),
            // The token was issued before certificates became mandatory for the partner, so the partner must get a bound one.
            (None, _) if holder.mtls == "required" => return Err(Fault::TokenInvalid.into()),
            (None, _) => {}
        }
        let dialect: Dialect =
            serde_json::from_str(&holder.dialect).map_err(|error| Failure::new(Fault::StoreDamaged).because(error))?;
        let digest = |bytes: &[u8], what: &'static str| {
            <[u8; 32]>::try_from(bytes).map_err(|_| Failure::new(Fault::StoreDamaged).because(what))
        };
        let jti_sha256 = digest(&row.jti_sha256, "a token's jti digest")?;
        let token_sha256 = digest(&row.hash, "a token's own digest")?;
        Ok(Caller {
            partner: PartnerRef {
                id: row.partner_id.clone(),
                npi: holder.npi.clone(),
                dialect,
                error_texts: holder.error_texts.as_deref().map(Arc::from),
            },
            client_id: holder.client_id.clone(),
            scope: row.scope.clone(),
            patient_id: row.patient_id.clone(),
            certificate_sha256: certificate.map(|certificate| certificate.sha256),
            jti_sha256,
            token_sha256,
            token_expires_ms: row.expires_ms,
            partner_version: holder.version,
            correlation,
        })
    }

    /// Looks up the token and the owner of the certificate in one query, when neither is cached and each query would be a network round
    /// trip. What is not found here is looked up separately later, and refused there.
    async fn look_up(
        &self,
        ctx: &Context,
        token: &str,
        presented: &PeerCertificate,
        now_ms: i64,
    ) -> Result<(), Failure> {
        let may_be_asked = token.len() <= TOKEN_BYTES
            && !presented.uris.is_empty()
            && presented.is_current(now_ms / 1000)
            && !self.0.revocations.is_revoked(presented);
        if !ctx.store.is_remote() || !may_be_asked || self.0.owners.get(&presented.sha256).is_some() {
            return Ok(());
        }
        let hash = sha256(token.as_bytes());
        if self.0.holders.get(&hash).is_some() {
            return Ok(());
        }
        let (asked, uris) = (Instant::now(), presented.uris.clone());
        let asking = ctx
            .store
            .read(move |db| tokens::holder_and_owner(db, &hash, &uris, now_ms));
        let found = Box::pin(asking).await?;
        if let Some((holder, owner)) = found {
            self.0.holders.put(hash, asked, Arc::new(holder));
            if let Some(owner) = owner {
                self.0.owners.put(presented.sha256, asked, owner);
            }
        }
        Ok(())
    }

    /// The partner that owns this certificate; `None` when no certificate was presented. Used by limits that apply before the token is
    /// checked.
    ///
    /// # Errors
    /// [`Fault::CertificateUnknown`] when it is revoked, outside its validity or not registered.
    pub async fn owner(
        &self,
        ctx: &Context,
        certificate: Option<&PeerCertificate>,
        now_ms: i64,
    ) -> Result<Option<String>, Failure> {
        let Some(presented) = certificate else { return Ok(None) };
        if !presented.is_current(now_ms / 1000) || self.0.revocations.is_revoked(presented) {
            return Err(Fault::CertificateUnknown.into());
        }
        if let Some(owner) = self.0.owners.get(&presented.sha256) {
            return Ok(Some(owner));
        }
        let asked = Instant::now();
        let owner = Box::pin(certificate_owner(ctx, &self.0.revocations, certificate, now_ms)).await?;
        if let Some(owner) = &owner {
            self.0.owners.put(presented.sha256, asked, owner.clone());
        }
        Ok(owner)
    }

    /// The partner that owns this certificate, and whether it is active; `None` when no certificate was presented.
    ///
    /// # Errors
    /// As [`Self::owner`].
    pub async fn standing(
        &self,
        ctx: &Context,
        certificate: Option<&PeerCertificate>,
    ) -> Result<Option<PartnerStanding>, Failure> {
        let Some(id) = self.owner(ctx, certificate, ctx.clock.now_ms()).await? else {
            return Ok(None);
        };
        let asked = id.clone();
        let found = ctx.store.read(move |db| partners::by_id(db, &asked)).await?;
        let is_active = found.is_some_and(|partner| partner.is_active());
        Ok(Some(PartnerStanding { id, is_active }))
    }

    async fn holder(&self, ctx: &Context, token: &str) -> Result<Option<Arc<Holder>>, Failure> {
        if token.len() > TOKEN_BYTES {
            return Ok(None);
        }
        let hash = sha256(token.as_bytes());
        if let Some(holder) = self.0.holders.get(&hash) {
            return Ok(Some(holder));
        }
        let (asked, now_ms) = (Instant::now(), ctx.clock.now_ms());
        let holder = Box::pin(ctx.store.read(move |db| tokens::holder(db, &hash, now_ms))).await?;
        let holder = holder.map(Arc::new);
        if let Some(holder) = &holder {
            self.0.holders.put(hash, asked, Arc::clone(holder));
        }
        Ok(holder)
    }

    /// Authenticates an operator by the bearer token.
    ///
    /// # Errors
    /// [`Fault::TokenMissing`], [`Fault::TokenInvalid`].
    pub async fn operator(&self, ctx: &Context, bearer: Option<&str>) -> Result<Operator, Failure> {
        let token = bearer.filter(|token| !token.is_empty()).ok_or(Fault::TokenMissing)?;
        if token.len() > TOKEN_BYTES {
            return Err(Fault::TokenInvalid.into());
        }
        let hash = sha256(token.as_bytes());
        let found = ctx.store.read(move |db| operator_tokens::find(db, &hash)).await?;
        let current = found.filter(|(_, expires_ms, _)| *expires_ms > ctx.clock.lasting_ms());
        let (roles, _, name) = current.ok_or(Fault::TokenInvalid)?;
        Ok(Operator {
            roles: Roles::parse(&roles).ok_or(Fault::TokenInvalid)?,
            name: name.unwrap_or_else(|| "unnamed".to_owned()),
            token: hash,
        })
    }
}
