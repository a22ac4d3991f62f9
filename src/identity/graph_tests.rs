//! The whole table of moves, and steps that are undone.

use super::*;
use proptest::prelude::*;

fn number(value: &str) -> SourceId {
    SourceId {
        source: "new-payer".into(),
        kind: Kind::Member,
        system: "urn:new".into(),
        value: value.into(),
    }
}

fn cause(now_ms: i64) -> Cause {
    Cause {
        origin: Origin::Match,
        confidence: 999,
        decision_id: Some(format!("d{now_ms}")),
        review_id: None,
        now_ms,
    }
}

fn edge(patient_id: &str, state: State) -> PersonLink {
    PersonLink {
        id: format!("l-{patient_id}"),
        from: number("N1"),
        patient_id: patient_id.into(),
        state,
        confidence: 900,
        origin: Origin::Match,
        decision_id: Some("d0".into()),
        review_id: None,
        from_ms: 10,
        until_ms: matches!(state, State::Superseded | State::Retired).then_some(20),
        version: 3,
    }
}

/// Applies changes to a set of links, as the store does.
fn apply(held: &mut Vec<PersonLink>, changes: &[LinkChange]) {
    for change in changes {
        held.retain(|link| link.id != change.link_id());
        held.extend(change.after.clone());
    }
    held.sort_by(|a, b| a.id.cmp(&b.id));
}

/// The table of link states and events in `docs/reviews.md`; `-` means refused.
const TABLE: &str = "
    from        propose    match      confirm    reject   dispute   supersede   retire
    nothing     candidate  confirmed  confirmed  -        -         -           -
    candidate   -          confirmed  confirmed  retired  -         -           -
    confirmed   -          -          -          -        disputed  superseded  retired
    disputed    -          -          confirmed  retired  -         -           -
    superseded  -          confirmed  confirmed  -        -         -           retired
    retired     candidate  confirmed  confirmed  -        -         -           -";

#[test]
fn a_link_moves_as_the_table_says_and_in_no_other_way() {
    let rows: Vec<Vec<&str>> = TABLE
        .trim()
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    let events: Vec<&str> = Event::ALL.iter().map(|event| event.code()).collect();
    assert_eq!(rows[0][1..], events);
    assert_eq!(rows.len(), State::ALL.len() + 2);
    for row in &rows[1..] {
        let from = State::parse(row[0]);
        assert_eq!(from.is_none(), row[0] == "nothing");
        for (event, to) in Event::ALL.iter().copied().zip(&row[1..]) {
            assert_eq!(after(from, event), State::parse(to), "{from:?} {event:?}");
        }
    }
}

#[test]
fn every_listed_move_works_and_every_other_is_refused() {
    let states: Vec<Option<State>> = State::ALL.iter().copied().map(Some).chain([None]).collect();
    let mut worked = 0;
    for from in states {
        for event in Event::ALL.iter().copied() {
            let listed = MOVES.iter().find(|(state, what, _)| *state == from && *what == event);
            let held = from.map(|state| edge("a", state));
            let done = moved(held.as_ref(), &number("N1"), "a", event, &cause(50), "fresh");
            match (listed, done) {
                (Some((.., to)), Ok(change)) => {
                    let after = change.after.expect("an edge");
                    assert_eq!(after.state, *to, "{from:?} {event:?}");
                    assert_eq!(after.version, held.as_ref().map_or(1, |link| link.version + 1));
                    assert_eq!(change.before, held);
                    worked += 1;
                }
                (None, Err(refused)) => assert_eq!(refused.fault(), Fault::LinkMoveRefused, "{from:?} {event:?}"),
                (listed, done) => panic!("{from:?} {event:?}: {listed:?} {done:?}"),
            }
        }
    }
    assert_eq!(worked, MOVES.len(), "no move is listed twice");
}

#[test]
fn every_state_is_reached_and_only_a_person_ends_a_dispute() {
    for state in State::ALL {
        assert!(MOVES.iter().any(|(.., to)| to == state), "{state:?}");
        assert!(
            MOVES.iter().any(|(from, ..)| *from == Some(*state)),
            "{state:?} is a dead end"
        );
        assert_eq!(State::parse(state.code()), Some(*state));
    }
    assert_eq!(after(Some(State::Disputed), Event::Match), None);
}

#[test]
fn a_persons_number_leads_to_one_member_and_a_households_to_many() {
    let held = [edge("a", State::Confirmed)];
    let changes = step(&held, &number("N1"), "b", Event::Match, &cause(50), "fresh").expect("moved");
    let after: Vec<(String, State, Option<i64>)> = changes
        .into_iter()
        .filter_map(|change| change.after)
        .map(|link| (link.patient_id, link.state, link.until_ms))
        .collect();
    assert_eq!(
        after,
        [
            ("b".into(), State::Confirmed, None),
            ("a".into(), State::Superseded, Some(50))
        ]
    );
    let household = SourceId {
        kind: Kind::Subscriber,
        ..number("N1")
    };
    let changes = step(&held, &household, "b", Event::Match, &cause(50), "fresh").expect("moved");
    assert_eq!(changes.len(), 1);
}

#[test]
fn what_is_confirmed_is_not_confirmed_again() {
    let held = [edge("a", State::Confirmed)];
    for event in [Event::Match, Event::Confirm] {
        assert_eq!(step(&held, &number("N1"), "a", event, &cause(50), "x").expect("ok"), []);
    }
    let open = [edge("a", State::Candidate)];
    assert_eq!(
        step(&open, &number("N1"), "a", Event::Propose, &cause(50), "x").expect("ok"),
        []
    );
}

#[test]
fn a_step_under_a_later_one_cannot_be_taken_back() {
    let first = step(&[], &number("N1"), "a", Event::Match, &cause(1), "l1").expect("made");
    let mut held = Vec::new();
    apply(&mut held, &first);
    let second = step(&held, &number("N1"), "a", Event::Dispute, &cause(2), "x").expect("moved");
    apply(&mut held, &second);
    let now = |id: &str| held.iter().find(|link| link.id == id).cloned();
    assert_eq!(
        taken_back(&first, now).expect_err("refused").fault(),
        Fault::LinkMoveRefused
    );
    assert!(taken_back(&second, now).is_ok());
}

#[test]
fn confidence_is_a_chance() {
    assert_eq!(confidence(0.0), 500);
    assert_eq!(confidence(f64::NAN), 0);
    assert_eq!((confidence(-1e9), confidence(1e9)), (0, 1000));
    assert!(confidence(8.0) > confidence(4.0));
}

proptest! {
    /// Any sequence of steps, undone in reverse order, gives exactly the links of every earlier moment.
    #[test]
    fn steps_taken_back_give_every_state_before(moves in prop::collection::vec((0usize..3, 0usize..3, 0usize..Event::ALL.len()), 1..30)) {
        let (mut held, mut before, mut done) = (Vec::<PersonLink>::new(), Vec::new(), Vec::new());
        for (at, (number_at, patient, event)) in moves.into_iter().enumerate() {
            let from = number(["N1", "N2", "N3"][number_at]);
            let of_number: Vec<PersonLink> = held.iter().filter(|link| link.from == from).cloned().collect();
            let patient = ["a", "b", "c"][patient];
            let now = i64::try_from(at).expect("small");
            if let Ok(changes) = step(&of_number, &from, patient, Event::ALL[event], &cause(now), &format!("l{at}")) {
                before.push(held.clone());
                apply(&mut held, &changes);
                done.push(changes);
                for value in ["N1", "N2", "N3"] {
                    let confirmed = held.iter().filter(|l| l.from.value == value && l.state == State::Confirmed);
                    prop_assert!(confirmed.count() <= 1, "one member for one number");
                }
            }
        }
        while let (Some(changes), Some(then)) = (done.pop(), before.pop()) {
            let back = taken_back(&changes, |id| held.iter().find(|link| link.id == id).cloned()).expect("the last step");
            apply(&mut held, &back);
            prop_assert_eq!(&held, &then);
        }
        prop_assert!(held.is_empty());
    }
}
