//! The states of a review and the moves between them. Without side effects.

/// The state of a review.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReviewState {
    /// It waits for a reviewer.
    Open,
    /// One reviewer has decided; another one must confirm.
    Proposed,
    /// A reviewer looked at it and deferred it.
    Deferred,
    /// The person is one of the candidates.
    Confirmed,
    /// The person is none of the candidates.
    Rejected,
}

/// An event of a review.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// The first of two reviewers decides.
    Propose,
    /// The decision: this candidate.
    Confirm,
    /// The decision: none of the candidates.
    Reject,
    /// It is deferred.
    Defer,
    /// A reviewer takes charge of it.
    Take,
    /// A decision or proposal is doubted.
    Reopen,
}

/// Every allowed move; all others are refused.
pub const MOVES: &[(ReviewState, Event, ReviewState)] = {
    use Event::*;
    use ReviewState::*;
    &[
        (Open, Propose, Proposed),
        (Open, Confirm, Confirmed),
        (Open, Reject, Rejected),
        (Open, Defer, Deferred),
        (Open, Take, Open),
        (Deferred, Propose, Proposed),
        (Deferred, Confirm, Confirmed),
        (Deferred, Reject, Rejected),
        (Deferred, Defer, Deferred),
        (Deferred, Take, Deferred),
        (Proposed, Propose, Proposed),
        (Proposed, Confirm, Confirmed),
        (Proposed, Reject, Rejected),
        (Proposed, Defer, Deferred),
        (Proposed, Reopen, Open),
        (Confirmed, Reopen, Open),
        (Rejected, Reopen, Open),
    ]
};

/// Returns the state after `event`; `None` when the move is not allowed.
pub fn after(from: ReviewState, event: Event) -> Option<ReviewState> {
    MOVES
        .iter()
        .find(|(state, what, _)| *state == from && *what == event)
        .map(|(.., to)| *to)
}

impl ReviewState {
    /// All states.
    pub const ALL: [ReviewState; 5] = [
        ReviewState::Open,
        ReviewState::Proposed,
        ReviewState::Deferred,
        ReviewState::Confirmed,
        ReviewState::Rejected,
    ];

    /// Returns its code in the store and in interfaces.
    pub const fn code(self) -> &'static str {
        match self {
            ReviewState::Open => "open",
            ReviewState::Proposed => "proposed",
            ReviewState::Deferred => "deferred",
            ReviewState::Confirmed => "confirmed",
            ReviewState::Rejected => "rejected",
        }
    }

    /// Parses a state from its code.
    pub fn parse(code: &str) -> Option<ReviewState> {
        ReviewState::ALL.into_iter().find(|state| state.code() == code)
    }

    /// Whether it waits for a reviewer.
    pub const fn is_waiting(self) -> bool {
        matches!(self, ReviewState::Open | ReviewState::Proposed | ReviewState::Deferred)
    }
}

impl Event {
    /// All events.
    pub const ALL: [Event; 6] = [
        Event::Propose,
        Event::Confirm,
        Event::Reject,
        Event::Defer,
        Event::Take,
        Event::Reopen,
    ];

    /// Returns its code.
    pub const fn code(self) -> &'static str {
        match self {
            Event::Propose => "propose",
            Event::Confirm => "confirm",
            Event::Reject => "reject",
            Event::Defer => "defer",
            Event::Take => "take",
            Event::Reopen => "reopen",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// The table of states and acts in `docs/reviews.md`; `-` means refused.
    const TABLE: &str = "
        from      propose   confirm    reject    defer     take      reopen
        open      proposed  confirmed  rejected  deferred  open      -
        deferred  proposed  confirmed  rejected  deferred  deferred  -
        proposed  proposed  confirmed  rejected  deferred  -         open
        confirmed -         -          -         -         -         open
        rejected  -         -          -         -         -         open";

    #[test]
    fn a_review_moves_as_the_table_says_and_in_no_other_way() {
        let rows: Vec<Vec<&str>> = TABLE
            .trim()
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        let acts = Event::ALL.map(Event::code);
        assert_eq!(rows[0][1..], acts);
        assert_eq!(rows.len(), ReviewState::ALL.len() + 1);
        for row in &rows[1..] {
            let from = ReviewState::parse(row[0]).expect("a state");
            for (event, to) in Event::ALL.into_iter().zip(&row[1..]) {
                let to = (*to != "-").then(|| ReviewState::parse(to).expect("a state"));
                assert_eq!(after(from, event), to, "{from:?} {event:?}");
            }
        }
        let waiting = ReviewState::ALL.map(|state| (state.code(), state.is_waiting()));
        let expected = [
            ("open", true),
            ("proposed", true),
            ("deferred", true),
            ("confirmed", false),
            ("rejected", false),
        ];
        assert_eq!(waiting, expected);
    }

    #[test]
    fn every_move_is_listed_once_and_nothing_decided_is_decided_again() {
        let mut seen = HashSet::new();
        for (from, event, to) in MOVES {
            assert!(seen.insert((from, event)), "{from:?} {event:?} twice");
            assert_eq!(after(*from, *event), Some(*to));
        }
        let refused = ReviewState::ALL
            .into_iter()
            .flat_map(|from| Event::ALL.into_iter().map(move |event| (from, event)))
            .filter(|pair| !seen.contains(&(&pair.0, &pair.1)));
        for (from, event) in refused {
            assert_eq!(after(from, event), None, "{from:?} {event:?}");
        }
        for decided in [ReviewState::Confirmed, ReviewState::Rejected] {
            let exits: Vec<Event> = Event::ALL
                .into_iter()
                .filter(|e| after(decided, *e).is_some())
                .collect();
            assert_eq!(exits, [Event::Reopen]);
            assert!(!decided.is_waiting());
        }
        for state in ReviewState::ALL {
            assert_eq!(ReviewState::parse(state.code()), Some(state));
            assert_eq!(
                crate::store::reviews::WAITING.contains(&state.code()),
                state.is_waiting()
            );
        }
    }
}
