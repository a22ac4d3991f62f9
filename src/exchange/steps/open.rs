//! An open session: what one process knows of a partner and holds of it while it works on one exchange.

use super::access::{Acquaintance, PartnerAccess};
use super::result::StepEnd;
use crate::error::{Failure, Fault};
use crate::partner::peer::{CallFacts, CallFailure, PeerToken};

/// An open session. It holds what is not lasting.
pub(super) struct OpenSession {
    pub access: PartnerAccess,
    pub known: Option<Acquaintance>,
    pub match_token: Option<PeerToken>,
    pub member_token: Option<PeerToken>,
    /// Whether the step under way has kept something that came.
    pub has_progress: bool,
}

/// The end of a step that went well, and what is known of its last call.
pub(super) type Went = Result<(StepEnd, CallFacts), CallFailure>;

impl OpenSession {
    pub fn new(access: PartnerAccess) -> OpenSession {
        OpenSession {
            access,
            known: None,
            match_token: None,
            member_token: None,
            has_progress: false,
        }
    }

    /// What is known of the partner; it was asked in this session.
    pub fn partner(&self) -> Result<&Acquaintance, CallFailure> {
        self.known.as_ref().ok_or_else(|| {
            Failure::new(Fault::Internal)
                .because("a step began before the partner was found")
                .into()
        })
    }
}
