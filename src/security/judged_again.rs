//! Judging a caller again while its answer is on its way: what was taken away from it counts, what merely ran out does not.
//!
//! Nothing is remembered here: each judgement asks the store.

use super::authority::Authority;
use super::caller::Caller;
use super::certificate::PeerCertificate;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::store::{partners, tokens};

/// How a caller stands that was let in before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallerState {
    /// As before. The number is that of its partner's registration as it is now.
    Holds(i64),
    /// Something was taken away from it, told as it would be to a request that comes now.
    TakenAway(Fault),
}

impl Authority {
    /// How this caller stands now, with the certificate that its connection began with.
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

    /// Whether the certificate of a connection was revoked meanwhile. Asks no store.
    pub fn has_revoked(&self, certificate: Option<&PeerCertificate>) -> bool {
        certificate.is_some_and(|certificate| self.revocations().is_revoked(certificate))
    }
}
