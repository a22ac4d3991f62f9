//! The fourth step: decides a request. A pure function: it takes everything that is known and returns one decision.
//!
//! A reviewer's decision overrules the matcher, and a doubtful match always goes to a reviewer. A consent that cannot be honored is
//! reported only after a member was matched, with one fixed text whichever rule it breaks.

use crate::consent::ConsentTerms;
use crate::review::ReviewState;

/// What the matcher found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MatcherResult {
    /// No member.
    Nobody,
    /// Somebody, but a reviewer has to decide.
    Doubtful,
    /// One member.
    Member,
}

/// What is known about a question before it is decided. "The member" is the one whom a reviewer confirmed, or else the one whom the matcher
/// found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KnownOfPair {
    /// What the matcher found.
    pub found: MatcherResult,
    /// The state of the review of exactly this question.
    pub review: Option<ReviewState>,
    /// Whether the member whom a reviewer confirmed is still a member of this payer.
    pub is_confirmed_here: bool,
    /// Whether a reviewer rejected the member whom the matcher found.
    pub is_rejected: bool,
    /// Whether a reviewer first has to decide if this partner may have the member: an identity link is disputed, or a grant was revoked.
    pub is_withheld: bool,
    /// Whether a reviewer decided that the partner's number is not this member's, or belongs to another member.
    pub is_contested: bool,
    /// Whether this consent, or the grant under it, was revoked for the member.
    pub is_revoked: bool,
}

/// Why a reviewer has to decide who is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReviewReason {
    /// The question has a review that is still open.
    Waits,
    /// The matcher left the match to a reviewer.
    Matcher,
    /// The partner's earlier grant for this member was revoked, or a link is disputed.
    Withheld,
    /// A reviewer decided differently about the partner's number.
    Contested,
}

/// The decision about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MatchDecision {
    /// No member is meant.
    Nobody,
    /// A member may be meant; a reviewer has to decide.
    Doubtful(ReviewReason),
    /// A member is meant, but the consent cannot be honored. Holds the name of the rule that it breaks.
    NotHonoured(&'static str),
    /// The partner is granted the member.
    Granted {
        /// What the consent permits.
        terms: ConsentTerms,
        /// Whether a reviewer confirmed exactly this question.
        by_person: bool,
    },
}

impl MatchDecision {
    /// The code of the decision in its row.
    pub(super) const fn word(&self) -> &'static str {
        match self {
            MatchDecision::Nobody => "none",
            MatchDecision::Doubtful(_) => "review",
            MatchDecision::NotHonoured(_) => "consent",
            MatchDecision::Granted { .. } => "matched",
        }
    }
}

/// The name of the rule that refuses a revoked consent.
const REVOKED: &str = "revoked";

/// Decides a request. `consent` is what the consent permits by itself, or the name of the rule that it breaks.
///
/// A single match refuses such a consent earlier, without looking up a member. In a bulk match such a row is still matched and counted
/// (PDex pdex-154b; threat C04), and reaches this function.
pub(super) fn decide(known: KnownOfPair, consent: Result<ConsentTerms, &'static str>) -> MatchDecision {
    let by_person = match (known.review, known.found) {
        (Some(ReviewState::Confirmed), _) if known.is_confirmed_here => true,
        (Some(ReviewState::Confirmed), _) => return MatchDecision::Nobody,
        (Some(ReviewState::Open | ReviewState::Proposed | ReviewState::Deferred), _) => {
            return MatchDecision::Doubtful(ReviewReason::Waits);
        }
        // A rejected candidate stays rejected; a match with a member who was not a candidate then is decided anew.
        (Some(ReviewState::Rejected), MatcherResult::Member) if !known.is_rejected => false,
        (Some(ReviewState::Rejected), _) | (None, MatcherResult::Nobody) => return MatchDecision::Nobody,
        (None, MatcherResult::Doubtful) => return MatchDecision::Doubtful(ReviewReason::Matcher),
        (None, MatcherResult::Member) => false,
    };
    if known.is_withheld {
        return MatchDecision::Doubtful(ReviewReason::Withheld);
    }
    if known.is_contested && !by_person {
        return MatchDecision::Doubtful(ReviewReason::Contested);
    }
    match consent {
        Err(rule) => MatchDecision::NotHonoured(rule),
        Ok(_) if known.is_revoked => MatchDecision::NotHonoured(REVOKED),
        Ok(terms) => MatchDecision::Granted { terms, by_person },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consent::ConsentScope;

    const TERMS: ConsentTerms = ConsentTerms {
        scope: ConsentScope::Regular,
        from_ms: 1,
        until_ms: 2,
    };

    /// Every combination of what can be known, with both results of judging a consent.
    fn all() -> Vec<(KnownOfPair, Result<ConsentTerms, &'static str>)> {
        let mut rows = Vec::new();
        let reviews = ReviewState::ALL.into_iter().map(Some).chain([None]);
        for review in reviews {
            for found in [MatcherResult::Nobody, MatcherResult::Doubtful, MatcherResult::Member] {
                for bits in 0..64 {
                    let bit = |at: u32| bits & (1 << at) != 0;
                    let known = KnownOfPair {
                        found,
                        review,
                        is_confirmed_here: bit(0),
                        is_rejected: bit(1),
                        is_withheld: bit(2),
                        is_contested: bit(3),
                        is_revoked: bit(4),
                    };
                    let consent = if bit(5) { Ok(TERMS) } else { Err("rule") };
                    rows.push((known, consent));
                }
            }
        }
        rows
    }

    /// The expected decision as a table, written independently of the code: the first row that applies wins.
    fn expected(known: KnownOfPair, consent: Result<ConsentTerms, &'static str>) -> &'static str {
        use ReviewState::{Confirmed, Rejected};
        let waits = known.review.is_some_and(ReviewState::is_waiting);
        let by_person = known.review == Some(Confirmed);
        let member = if by_person {
            known.is_confirmed_here
        } else {
            known.found == MatcherResult::Member && !(known.review == Some(Rejected) && known.is_rejected)
        };
        if waits {
            "a review waits"
        } else if known.review.is_none() && known.found == MatcherResult::Doubtful {
            "the matcher doubts"
        } else if !member {
            "nobody"
        } else if known.is_withheld {
            "withheld"
        } else if known.is_contested && !by_person {
            "contested"
        } else if consent.is_err() {
            "the consent's rule"
        } else if known.is_revoked {
            "the consent is revoked"
        } else if by_person {
            "granted by a person"
        } else {
            "granted"
        }
    }

    #[test]
    fn the_whole_table_of_decisions() {
        let rows = all();
        assert_eq!(rows.len(), 6 * 3 * 64);
        let mut seen = std::collections::BTreeMap::new();
        for (known, consent) in rows {
            let wanted = match expected(known, consent) {
                "a review waits" => MatchDecision::Doubtful(ReviewReason::Waits),
                "the matcher doubts" => MatchDecision::Doubtful(ReviewReason::Matcher),
                "nobody" => MatchDecision::Nobody,
                "withheld" => MatchDecision::Doubtful(ReviewReason::Withheld),
                "contested" => MatchDecision::Doubtful(ReviewReason::Contested),
                "the consent's rule" => MatchDecision::NotHonoured("rule"),
                "the consent is revoked" => MatchDecision::NotHonoured("revoked"),
                word => MatchDecision::Granted {
                    terms: TERMS,
                    by_person: word == "granted by a person",
                },
            };
            assert_eq!(decide(known, consent), wanted, "{known:?} {consent:?}");
            *seen.entry(expected(known, consent)).or_insert(0) += 1;
        }
        let counts: Vec<(&str, i32)> = seen.into_iter().collect();
        assert_eq!(
            counts,
            [
                ("a review waits", 3 * 3 * 64),
                ("contested", 24),
                ("granted", 6),
                ("granted by a person", 12),
                ("nobody", 320),
                ("the consent is revoked", 18),
                ("the consent's rule", 36),
                ("the matcher doubts", 64),
                ("withheld", 96),
            ],
            "no row of the table is lost or gained unnoticed"
        );
    }

    #[test]
    fn only_a_grant_names_a_member_and_only_without_any_doubt() {
        for (known, consent) in all() {
            if let MatchDecision::Granted { by_person, .. } = decide(known, consent) {
                assert!(consent.is_ok() && !known.is_revoked && !known.is_withheld, "{known:?}");
                assert!(by_person || !known.is_contested, "{known:?}");
                assert_eq!(by_person, known.review == Some(ReviewState::Confirmed), "{known:?}");
                assert!(!known.review.is_some_and(ReviewState::is_waiting), "{known:?}");
            }
        }
    }

    #[test]
    fn the_words_of_the_decision_row() {
        let granted = MatchDecision::Granted {
            terms: TERMS,
            by_person: false,
        };
        let words = [
            MatchDecision::Nobody,
            MatchDecision::Doubtful(ReviewReason::Waits),
            MatchDecision::NotHonoured("x"),
            granted,
        ]
        .map(|decision| decision.word());
        assert_eq!(words, ["none", "review", "consent", "matched"]);
    }
}
