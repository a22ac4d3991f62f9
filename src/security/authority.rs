//! Who a request comes from: its certificate's partner, then its token's, compared with each other.
//!
//! Answers are remembered for at most half a second, so that suspending a partner, revoking a token or rotating a key bites
//! within one, in every process.

use super::caller::{Caller, Dialect, PartnerRef};
use super::certificate::PeerCertificate;
use super::oauth::certificate_owner;
use super::operator::{Operator, Role};
use super::tls::Revocations;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::secret::{same, sha256};
use crate::store::tokens::{self, Holder};
use crate::telemetry::Correlation;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long an answer of the store may be used again.
const FRESH: Duration = Duration::from_millis(500);
/// Most answers remembered of each kind.
const PLACES: usize = 16_384;
/// Longest bearer token looked at.
const TOKEN_BYTES: usize = 512;

/// Answers of the store, each for a short time.
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

    /// `since` is when the store was asked, so that waiting does not lengthen the life of the answer.
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

/// Authenticates requests. Clones share what is remembered.
#[derive(Clone)]
pub struct Authority(Arc<Inner>);

struct Inner {
    revocations: Revocations,
    owners: Recent<[u8; 32], String>,
    holders: Recent<[u8; 32], Arc<Holder>>,
}

impl Authority {
    /// An authority that also asks `revocations`, which the TLS layer keeps current.
    pub fn new(revocations: Revocations) -> Authority {
        Authority::remembering(revocations, FRESH)
    }

    /// One that remembers for `fresh`; never more than half a second outside tests.
    pub(crate) fn remembering(revocations: Revocations, fresh: Duration) -> Authority {
        Authority(Arc::new(Inner {
            revocations,
            owners: Recent::new(fresh),
            holders: Recent::new(fresh),
        }))
    }

    /// The caller behind a bearer token (what follows `Bearer `) and a connection's certificate.
    ///
    /// # Errors
    /// [`Fault::CertificateUnknown`] for a certificate that is revoked, not current or nobody's, before anything else;
    /// [`Fault::TokenMissing`]; [`Fault::TokenInvalid`] for a token that is unknown, expired, revoked, of another partner or
    /// of another certificate; [`Fault::PartnerSuspended`]; [`Fault::CertificateNeeded`].
    pub async fn authenticate(
        &self,
        ctx: &Context,
        bearer: Option<&str>,
        certificate: Option<&PeerCertificate>,
        correlation: Correlation,
    ) -> Result<Caller, Failure> {
        let now_ms = ctx.clock.now_ms();
        let owner = self.owner(ctx, certificate, now_ms).await?;
        let token = bearer.filter(|token| !token.is_empty()).ok_or(Fault::TokenMissing)?;
        let holder = self.holder(ctx, token).await?.ok_or(Fault::TokenInvalid)?;
        let row = &holder.token;
        // Another process of this store may be ahead: then time is what it says, here too.
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
            // Issued before the partner was asked for certificates: it must get a bound one.
            (None, _) if holder.mtls == "required" => return Err(Fault::TokenInvalid.into()),
            (None, _) => {}
        }
        let dialect: Dialect =
            serde_json::from_str(&holder.dialect).map_err(|error| Failure::new(Fault::StoreDamaged).because(error))?;
        let jti_sha256 = row
            .jti_sha256
            .as_slice()
            .try_into()
            .map_err(|_| Failure::new(Fault::StoreDamaged).because("a token's jti digest"))?;
        Ok(Caller {
            partner: PartnerRef {
                id: row.partner_id.clone(),
                npi: holder.npi.clone(),
                dialect,
            },
            client_id: holder.client_id.clone(),
            scope: row.scope.clone(),
            patient_id: row.patient_id.clone(),
            certificate_sha256: certificate.map(|certificate| certificate.sha256),
            jti_sha256,
            correlation,
        })
    }

    /// The partner whose certificate this is; `None` when none was presented. For limits that come before tokens.
    ///
    /// # Errors
    /// [`Fault::CertificateUnknown`] when it is revoked, not current or nobody's.
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
        let owner = certificate_owner(ctx, &self.0.revocations, certificate, now_ms).await?;
        if let Some(owner) = &owner {
            self.0.owners.put(presented.sha256, asked, owner.clone());
        }
        Ok(owner)
    }

    async fn holder(&self, ctx: &Context, token: &str) -> Result<Option<Arc<Holder>>, Failure> {
        if token.len() > TOKEN_BYTES {
            return Ok(None);
        }
        let hash = sha256(token.as_bytes());
        if let Some(holder) = self.0.holders.get(&hash) {
            return Ok(Some(holder));
        }
        let asked = Instant::now();
        let holder = ctx.store.read(move |db| tokens::holder(db, &hash)).await?.map(Arc::new);
        if let Some(holder) = &holder {
            self.0.holders.put(hash, asked, Arc::clone(holder));
        }
        Ok(holder)
    }

    /// Who holds an operator's token.
    ///
    /// # Errors
    /// [`Fault::TokenMissing`], [`Fault::TokenInvalid`].
    pub async fn operator(&self, ctx: &Context, bearer: Option<&str>) -> Result<Operator, Failure> {
        let token = bearer.filter(|token| !token.is_empty()).ok_or(Fault::TokenMissing)?;
        if token.len() > TOKEN_BYTES {
            return Err(Fault::TokenInvalid.into());
        }
        let hash = sha256(token.as_bytes());
        let found = ctx.store.read(move |db| tokens::operator(db, &hash)).await?;
        let current = found.filter(|(_, expires_ms, _)| *expires_ms > ctx.clock.lasting_ms());
        let (role, _, name) = current.ok_or(Fault::TokenInvalid)?;
        Ok(Operator {
            role: Role::parse(&role).ok_or(Fault::TokenInvalid)?,
            name: name.unwrap_or_else(|| "unnamed".to_owned()),
        })
    }
}
