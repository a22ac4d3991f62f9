//! The way to the partner of a run: what it offers, and tokens. It calls the partner, and writes nothing.

use crate::context::Context;
use crate::error::Fault;
use crate::exchange::steps::{Acquaintance, PartnerAccess, find, read_scope};
use crate::fhir::operations::BULK_MEMBER_MATCH;
use crate::partner::peer::{CallEnd, CallFailure, Peer, PeerEndpoint, PeerToken, TokenAsk};
use crate::secret::Secret;
use crate::store::partners::PartnerRow;

/// The scope of a bulk match in PDex 2.1.
const BULK_MATCH_BEFORE: &str = "http://hl7.org/fhir/us/davinci-pdex/OperationDefinition/bulk-member-match";

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenFor {
    Match,
    Export,
}

/// The way to one partner.
pub(super) struct RunWire {
    pub access: PartnerAccess,
    pub partner: PartnerRow,
    /// The correlation id of all calls of the run.
    pub correlation: String,
    known: Option<Acquaintance>,
    tokens: Vec<(TokenFor, PeerToken)>,
}

impl RunWire {
    pub fn new(access: PartnerAccess, partner: PartnerRow, run_id: &str) -> RunWire {
        RunWire {
            access,
            partner,
            correlation: run_id.to_owned(),
            known: None,
            tokens: Vec::new(),
        }
    }

    /// The FHIR base URL that is asked, by the registration that was read when this attempt of the run began.
    pub fn address(&self) -> Option<String> {
        PeerEndpoint::read(self.partner.endpoint.as_deref())
            .ok()
            .map(|endpoint| endpoint.fhir)
    }

    /// What is known of the partner.
    pub async fn known(&mut self, ctx: &Context) -> Result<Acquaintance, CallFailure> {
        if self.known.is_none() {
            let now_ms = ctx.clock.now_ms();
            let (known, _) = find(&self.access, &self.partner, &self.correlation, now_ms).await?;
            self.known = Some(known);
        }
        let known = self.known.clone();
        known.ok_or_else(|| CallFailure::new(CallEnd::Own(Fault::Internal)))
    }

    /// The partner's server.
    pub async fn peer(&mut self, ctx: &Context) -> Result<Peer, CallFailure> {
        Ok(self.known(ctx).await?.peer)
    }

    /// A token that can be used now.
    pub async fn token(&mut self, ctx: &Context, what: TokenFor) -> Result<Secret, CallFailure> {
        let now_ms = ctx.clock.now_ms();
        self.tokens.retain(|(_, token)| now_ms < token.until_ms);
        if let Some((_, token)) = self.tokens.iter().find(|(of, _)| *of == what) {
            return Ok(token.secret.clone());
        }
        let known = self.known(ctx).await?;
        let supported = &known.smart.scopes_supported;
        let has = |scope: &str| supported.iter().any(|one| one == scope);
        let scope = match what {
            TokenFor::Match if has(BULK_MATCH_BEFORE) && !has(BULK_MEMBER_MATCH) => BULK_MATCH_BEFORE,
            TokenFor::Match => BULK_MEMBER_MATCH,
            TokenFor::Export => read_scope(&known.smart),
        };
        let ask = TokenAsk {
            scopes: &[scope],
            patient: None,
            correlation_id: &self.correlation,
        };
        let token = known.peer.token(&known.smart, ask).await?;
        let secret = token.secret.clone();
        self.tokens.push((what, token));
        Ok(secret)
    }

    /// Forgets the tokens, one of which was refused.
    pub fn forget_tokens(&mut self) {
        self.tokens.clear();
    }
}
