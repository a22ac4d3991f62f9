//! The names of the steps, and what is true of each.

use super::super::phase::states;

states! {
    /// A step of an exchange.
    ///
    /// The result of a *lasting* step is in the store, and the step is not run again. A step that is not lasting leaves its result in the
    /// session (an endpoint, a token): each new session runs it again when a later step needs it.
    pub enum StepName {
        /// Find the partner's endpoints and what it offers. Not lasting.
        FindPartner => "find_partner",
        /// Get the token for `$member-match`. Not lasting.
        Token => "token",
        /// `$member-match`. Lasting.
        MemberMatch => "member_match",
        /// Get the token that is bound to the matched member, where the dialect wants one. Not lasting.
        MemberToken => "member_token",
        /// Fetch the record by the best method that the partner offers; keep it encrypted, with lengths and digests. Lasting.
        Retrieve => "retrieve",
        /// Check what came: counts, digests, whose resources they are. Lasting.
        Check => "check",
        /// Make it part of the member's record, with Provenance; quarantine what is refused. Lasting.
        Store => "store",
        /// Tell the partner that the record has arrived, where it takes that; else note that there is nothing to tell. Lasting.
        Acknowledge => "acknowledge",
    }
}

impl StepName {
    /// Whether the store holds its result, so that it is not run again.
    pub const fn is_lasting(self) -> bool {
        !matches!(self, StepName::FindPartner | StepName::Token | StepName::MemberToken)
    }

    /// Whether it calls the partner.
    pub const fn calls(self) -> bool {
        !matches!(self, StepName::Check | StepName::Store)
    }

    /// Whether data about the member is about to move, so that consent is judged right before it and the ledger holds an entry first.
    pub const fn moves_data(self) -> bool {
        matches!(
            self,
            StepName::MemberMatch
                | StepName::MemberToken
                | StepName::Retrieve
                | StepName::Store
                | StepName::Acknowledge
        )
    }
}
