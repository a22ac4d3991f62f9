//! Authenticates a caller again while its answer is being sent. The answer is stopped when something was revoked, but not when something
//! merely expired.
//!
//! Nothing is cached: each check asks the store.

use super::authority::Authority;
use super::caller::Caller;
use super::certificate::PeerCertificate;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::store::{partners, tokens};

/// The state of a caller that was authenticated before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallerState {
    /// Nothing was revoked. Holds the current version of the partner's registration.
    Holds(i64),
    /// Something was revoked or suspended; the fault is the one that a new request would get.
    TakenAway(Fault),
}

impl Authority {
    /// The current state of this caller, with the certificate that its connection presented.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn judge_again(
        &self,
        ctx: &Context,
        caller: &Caller,
        certificate: Option<&PeerCertificate>,
    ) -> Result<CallerState, Failure> {
        if self.has_revoked(certificate) {
            return Ok(CallerState::TakenAway(Fault::CertificateUnknown));
        }
        let (id, token) = (caller.partner.id.clone(), caller.token_sha256);
        let uris = certificate.map(|certificate| certificate.uris.clone());
        let (found, owner) = ctx
            .store
            .read(move |db| {
                let owner = match &uris {
                    Some(uris) => partners::id_by_certificate(db, uris)?,
                    None => None,
                };
                Ok((tokens::registered(db, &id, &token)?, owner))
            })
            .await?;
        let taken = |fault| Ok(CallerState::TakenAway(fault));
        let Some(found) = found else {
            return taken(Fault::PartnerSuspended);
        };
        if found.status != "active" {
            return taken(Fault::PartnerSuspended);
        }
        if found.revoked_ms.is_some() {
            return taken(Fault::TokenInvalid);
        }
        match certificate {
            None if found.mtls == "required" => taken(Fault::CertificateNeeded),
            Some(_) if owner.as_ref() != Some(&caller.partner.id) => taken(Fault::CertificateUnknown),
            _ => Ok(CallerState::Holds(found.version)),
        }
    }

    /// Whether the certificate of a connection has been revoked. Does not ask the store.
    pub fn has_revoked(&self, certificate: Option<&PeerCertificate>) -> bool {
        certificate.is_some_and(|certificate| self.revocations().is_revoked(certificate))
    }
}
