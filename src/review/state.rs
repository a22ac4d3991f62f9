//! How a review may move. Pure.

/// How a review stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// It waits for a person.
    Open,
    /// One person has decided; another has to confirm.
    Proposed,
    /// Somebody looked and put it off.
    Deferred,
    /// The person asked for is one of the candidates.
    Confirmed,
    /// None of them is.
    Rejected,
}

/// What happens to a review.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// The first of two decides.
    Propose,
    /// It is decided: this candidate.
    Confirm,
    /// It is decided: none.
    Reject,
    /// It is put off.
    Defer,
    /// Somebody makes it theirs.
    Take,
    /// What was decided or proposed is doubted.
    Reopen,
}

/// Every move; what is not listed is refused.
pub const MOVES: &[(State, Event, State)] = {
    use Event::*;
    use State::*;
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

/// The state after `event`, if the move is listed.
pub fn after(from: State, event: Event) -> Option<State> {
    MOVES
        .iter()
        .find(|(state, what, _)| *state == from && *what == event)
        .map(|(.., to)| *to)
}

impl State {
    /// All states.
    pub const ALL: [State; 5] = [
        State::Open,
        State::Proposed,
        State::Deferred,
        State::Confirmed,
        State::Rejected,
    ];

    /// The word in the store and in interfaces.
    pub const fn code(self) -> &'static str {
        match self {
            State::Open => "open",
            State::Proposed => "proposed",
            State::Deferred => "deferred",
            State::Confirmed => "confirmed",
            State::Rejected => "rejected",
        }
    }

    /// The state of this word.
    pub fn parse(code: &str) -> Option<State> {
        State::ALL.into_iter().find(|state| state.code() == code)
    }

    /// Whether it waits for a person.
    pub const fn is_waiting(self) -> bool {
        matches!(self, State::Open | State::Proposed | State::Deferred)
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

    /// The word of the act.
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

    #[test]
    fn every_move_is_listed_once_and_nothing_decided_is_decided_again() {
        let mut seen = HashSet::new();
        for (from, event, to) in MOVES {
            assert!(seen.insert((from, event)), "{from:?} {event:?} twice");
            assert_eq!(after(*from, *event), Some(*to));
        }
        let refused = State::ALL
            .into_iter()
            .flat_map(|from| Event::ALL.into_iter().map(move |event| (from, event)))
            .filter(|pair| !seen.contains(&(&pair.0, &pair.1)));
        for (from, event) in refused {
            assert_eq!(after(from, event), None, "{from:?} {event:?}");
        }
        for decided in [State::Confirmed, State::Rejected] {
            let exits: Vec<Event> = Event::ALL
                .into_iter()
                .filter(|e| after(decided, *e).is_some())
                .collect();
            assert_eq!(exits, [Event::Reopen]);
            assert!(!decided.is_waiting());
        }
        for state in State::ALL {
            assert_eq!(State::parse(state.code()), Some(state));
            assert_eq!(
                crate::store::reviews::WAITING.contains(&state.code()),
                state.is_waiting()
            );
        }
    }
}
