//! Why a member is erased, and under which law: closed lists, because the words go into the ledger for good.

macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$of:meta])* $one:ident => $code:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$of])* $one,)+
        }

        impl $name {
            /// Every one.
            pub const ALL: &'static [$name] = &[$($name::$one,)+];

            /// Its code.
            pub const fn code(self) -> &'static str {
                match self {
                    $($name::$one => $code,)+
                }
            }

            /// The one with this code.
            pub fn parse(code: &str) -> Option<$name> {
                $name::ALL.iter().copied().find(|one| one.code() == code)
            }
        }
    };
}

words! {
    /// Why a member is erased.
    ErasureReason {
        /// The member, or a representative, asked for it.
        MemberRequest => "member-request",
        /// A court or a regulator ordered it.
        LegalOrder => "legal-order",
        /// The time for which records are kept is over.
        RetentionOver => "retention-over",
        /// The record should never have been here.
        RecordedInError => "recorded-in-error",
        /// It is a made-up member.
        TestData => "test-data",
    }
}

words! {
    /// Under which law a member is erased inside the time for which records must be kept.
    LegalBasis {
        /// An order of a court.
        CourtOrder => "court-order",
        /// An order of a regulator.
        RegulatorOrder => "regulator-order",
        /// A privacy law of a state.
        StateLaw => "state-law",
        /// The person was never a member, so that no duty to keep the record exists.
        NoDutyToKeep => "no-duty-to-keep",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read_back() {
        for one in ErasureReason::ALL {
            assert_eq!(ErasureReason::parse(one.code()), Some(*one));
        }
        for one in LegalBasis::ALL {
            assert_eq!(LegalBasis::parse(one.code()), Some(*one));
        }
        assert_eq!(ErasureReason::parse("because"), None);
        assert_eq!(LegalBasis::parse(""), None);
    }
}
