//! The states of an exchange. Identity, consent, transport, delivery and audit are separate states and are never folded into one. Pure.
//!
//! Every name is stored in the database, shown in `/ops/v1` and printed by `causeway states`: a name may be added, never changed.

/// Defines an enumeration with a stored name for each value.
macro_rules! states {
    ($(#[$about:meta])* $vis:vis enum $name:ident { $($(#[$each:meta])* $value:ident => $code:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        $vis enum $name {
            $($(#[$each])* $value,)+
        }

        impl $name {
            /// All values, in the order of this table.
            pub const ALL: &'static [$name] = &[$($name::$value,)+];

            /// The stored name.
            pub const fn code(self) -> &'static str {
                match self {
                    $($name::$value => $code,)+
                }
            }

            /// The value with this stored name.
            pub fn parse(code: &str) -> Option<$name> {
                $name::ALL.iter().copied().find(|one| one.code() == code)
            }
        }
    };
}
pub(super) use states;

states! {
    /// What the business sees of an exchange.
    pub enum Phase {
        /// It is accepted; the partner has not matched the member yet.
        Requested => "requested",
        /// The partner has matched the member.
        Matched => "matched",
        /// The partner has to do something before it can go on.
        AwaitingPartner => "awaiting_partner",
        /// A part of the record came, and what is missing is on record.
        PartiallyResolved => "partially_resolved",
        /// A person has to decide.
        ManualReview => "manual_review",
        /// The record is stored and its receipt acknowledged.
        Completed => "completed",
        /// The partner or the consent refuses it.
        Refused => "refused",
        /// It ended without a result.
        Failed => "failed",
        /// An operator withdrew it.
        Cancelled => "cancelled",
        /// Another exchange has taken its place.
        Superseded => "superseded",
    }
}

impl Phase {
    /// Whether the exchange has ended. Nothing changes the phase of an exchange that has ended.
    pub const fn is_terminal(self) -> bool {
        matches!(
            self,
            Phase::Completed | Phase::Refused | Phase::Failed | Phase::Cancelled | Phase::Superseded
        )
    }
}

states! {
    /// Whether the member's identity is known at the other side.
    pub enum IdentityState {
        /// Nobody has been asked.
        Unresolved => "unresolved",
        /// The partner knows the member.
        Matched => "matched",
        /// The partner knows no such member.
        NoMatch => "no_match",
        /// The partner knows several.
        Ambiguous => "ambiguous",
        /// A person decides.
        InReview => "in_review",
        /// What came is about somebody else.
        Disputed => "disputed",
    }
}

states! {
    /// Whether the member's consent permits the exchange.
    pub enum ConsentState {
        /// It has not been judged yet.
        Unchecked => "unchecked",
        /// It permits the exchange.
        Permitted => "permitted",
        /// It does not permit it.
        Refused => "refused",
        /// Its period is over.
        Expired => "expired",
        /// The member has revoked it.
        Revoked => "revoked",
    }
}

states! {
    /// What the connection to the partner does.
    pub enum TransportState {
        /// Nothing is under way.
        Idle => "idle",
        /// A step has begun, and its result is not known yet.
        Sending => "sending",
        /// The partner has told us to wait, or has nothing for us yet.
        Waiting => "waiting",
        /// A call failed and will be repeated.
        BackingOff => "backing_off",
        /// The partner failed so often that it is not called for a while.
        CircuitOpen => "circuit_open",
    }
}

states! {
    /// How far the record has come.
    pub enum DeliveryState {
        /// Nothing has come.
        None => "none",
        /// A part has come.
        Partial => "partial",
        /// All that the partner has to give has come.
        Received => "received",
        /// It has been checked.
        Validated => "validated",
        /// It is part of the member's record here.
        Stored => "stored",
        /// The partner knows that it has arrived.
        Acknowledged => "acknowledged",
    }
}

states! {
    /// Whether the ledger holds the whole exchange.
    pub enum AuditState {
        /// More entries will follow.
        Open => "open",
        /// The last entry is written.
        Complete => "complete",
    }
}

states! {
    /// Who has to make the next move.
    pub enum NextMover {
        /// This payer's program.
        Us => "us",
        /// The other payer.
        Partner => "partner",
        /// A person of this payer.
        Operator => "operator",
    }
}

states! {
    /// Whether the other payer is a former one or one that covers the member at the same time.
    pub enum CoverKind {
        /// The member's cover there has ended or ends.
        Previous => "previous",
        /// The member is covered there as well; it is asked again each quarter.
        Concurrent => "concurrent",
    }
}

states! {
    /// Why the record is asked for.
    pub enum AskedFor {
        /// The member has joined and opted in.
        Enrolment => "enrollment",
        /// Concurrent cover: what is new since the last time.
        Quarter => "quarter",
        /// Claims that reached the former payer after the member had left.
        RunOff => "run_off",
        /// The member asked for it.
        Request => "request",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stored_name_is_read_back() {
        for phase in Phase::ALL {
            assert_eq!(Phase::parse(phase.code()), Some(*phase));
        }
        for state in DeliveryState::ALL {
            assert_eq!(DeliveryState::parse(state.code()), Some(*state));
        }
        assert_eq!(Phase::parse("nowhere"), None);
        assert_eq!(Phase::ALL.iter().filter(|phase| phase.is_terminal()).count(), 5);
    }
}
