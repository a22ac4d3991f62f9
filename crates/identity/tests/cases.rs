//! Cases that a member match must decide correctly. The name of each test says which.

use causeway_identity::{
    Facts, Guard, MatchOutcome, MatchingPolicy, Person, PersonName, Point, Profile, WrittenAddress, decide,
};

fn person(given: &str, family: &str, birth: &str, id: &str) -> Person {
    Person {
        names: vec![PersonName {
            given: given
                .split(' ')
                .filter(|part| !part.is_empty())
                .map(str::to_owned)
                .collect(),
            family: family.into(),
            suffix: String::new(),
        }],
        birth_date: birth.into(),
        gender: String::new(),
        addresses: vec![WrittenAddress {
            line: "12 Elm Street".into(),
            city: "Tampa".into(),
            state: "FL".into(),
            zip: "33601".into(),
        }],
        phones: vec!["5551234567".into()],
        member_ids: if id.is_empty() { vec![] } else { vec![id.into()] },
        ..Person::default()
    }
}

fn ask(asked: &Person, held: &[Person]) -> (MatchOutcome, Option<Guard>) {
    let held: Vec<Profile> = held.iter().map(Profile::from).collect();
    let mut facts: Facts = held.iter().collect();
    for _ in 0..3 {
        held.iter().for_each(|one| facts.add(one));
    }
    let refs: Vec<&Profile> = held.iter().collect();
    let decision = decide(
        &Profile::from(asked),
        &refs,
        &facts,
        &MatchingPolicy::default(),
        Point::Safe,
    );
    (decision.outcome, decision.guard)
}

const ID: &str = "W12345678901";

#[test]
fn the_same_person_matches_however_it_is_written() {
    let held = [person("Robert James", "O'Neil", "1970-04-02", ID)];
    for (given, family, birth) in [
        ("ROBERT", "ONEIL", "1970-04-02"),
        ("Bob J", "O’Neil", "1970-04-02"),
        ("Robert", "O'Neil", "1970-02-04"),
        ("Robert", "O'Neil", "1970-04-03"),
        ("Rboert", "O'Neil", "1970-04-02"),
        ("O'Neil", "Robert", "1970-04-02"),
    ] {
        assert_eq!(
            ask(&person(given, family, birth, ""), &held).0,
            MatchOutcome::Match(0),
            "{given} {family} {birth}"
        );
    }
}

#[test]
fn a_twin_is_told_apart_and_an_absent_twin_is_never_the_other() {
    let twins = [
        person("Daniel", "Lane", "2010-01-01", "W12345678902"),
        person("Danielle", "Lane", "2010-01-01", "W12345678903"),
    ];
    assert_eq!(
        ask(&person("Danielle", "Lane", "2010-01-01", ""), &twins).0,
        MatchOutcome::Match(1)
    );
    assert_eq!(
        ask(&person("Joel", "Lane", "2010-01-01", "W12345678902"), &twins).1,
        Some(Guard::GivenDiffers)
    );
    assert!(!matches!(
        ask(&person("Danielle", "Lane", "2010-01-01", ""), &twins[..1]).0,
        MatchOutcome::Match(_)
    ));
}

#[test]
fn father_and_son_are_two_people() {
    let father = [person("Henry", "Cole", "1966-09-26", ID)];
    assert_eq!(
        ask(&person("Henry", "Cole", "1996-09-26", ""), &father).1,
        Some(Guard::BirthGeneration)
    );
    let mut senior = father.clone();
    senior[0].names[0].suffix = "Sr".into();
    let mut junior = person("Henry", "Cole", "1966-09-26", "");
    junior.names[0].suffix = "Jr.".into();
    assert_eq!(ask(&junior, &senior).1, Some(Guard::Generation));
}

#[test]
fn an_id_that_contradicts_forbids_and_a_relatives_or_a_slip_does_not() {
    let home = [
        person("Ana", "Cruz", "1980-05-05", ID),
        person("Luis", "Cruz", "1979-03-03", "W12345678900"),
    ];
    assert_eq!(
        ask(&person("Ana", "Cruz", "1980-05-05", "W99999999999"), &home).1,
        Some(Guard::IdContradicts)
    );
    for id in ["W12345678900", "W123456789", "W1234567890-1", "W12345687901", "H555"] {
        assert_eq!(
            ask(&person("Ana", "Cruz", "1980-05-05", id), &home).0,
            MatchOutcome::Match(0),
            "{id}"
        );
    }
}

#[test]
fn never_on_an_id_alone_nor_on_name_and_birth_date_alone() {
    let held = [person("Ana", "Cruz", "1980-05-05", ID)];
    let mut bare = person("Eva", "Stone", "1990-01-01", ID);
    (bare.addresses, bare.phones) = (vec![], vec![]);
    assert!(!matches!(ask(&bare, &held).0, MatchOutcome::Match(_)));
    let mut named = person("Ana", "Cruz", "1980-05-05", "");
    (named.addresses, named.phones) = (vec![], vec![]);
    assert_eq!(ask(&named, &held), (MatchOutcome::Review(0), Some(Guard::NothingElse)));
}

#[test]
fn a_person_twice_in_the_roster_is_no_rival_of_itself() {
    let mut moved = person("Ana", "Cruz", "1980-05-05", "W77777777700");
    moved.emails = vec!["ana@example.com".into()];
    let held = [person("Ana Maria", "Cruz", "1980-05-05", ID), moved];
    assert!(matches!(
        ask(&person("Ana", "Cruz", "1980-05-05", ""), &held).0,
        MatchOutcome::Match(_)
    ));
}

#[test]
fn nobody_is_found_among_nobody() {
    assert_eq!(
        ask(&person("Ana", "Cruz", "1980-05-05", ID), &[]),
        (MatchOutcome::None, None)
    );
}

#[test]
fn a_childs_first_name_over_the_card_of_its_mother_is_not_the_mother() {
    let with_gender = |mut one: Person, gender: &str| {
        one.gender = gender.into();
        one
    };
    let mother = with_gender(person("Laura", "Lane", "1984-02-03", "W12345678900"), "female");
    let child = with_gender(person("Tobias", "Lane", "2014-06-05", "W12345678902"), "male");
    let stranger = with_gender(person("Peter", "Quist", "1970-11-12", "W99345678900"), "male");
    let held = [mother.clone(), child, stranger];
    let mut asked = mother;
    asked.names = person("Tobias", "Lane", "", "").names;
    for bare in [false, true] {
        if bare {
            asked.addresses.clear();
            asked.phones.clear();
        }
        assert_eq!(
            ask(&asked, &held),
            (MatchOutcome::Review(0), Some(Guard::GivenDiffers)),
            "bare {bare}"
        );
    }
    // Her own social security number shows that the name was written by mistake.
    let mut held = held;
    held[0].ssn = "977025319".into();
    asked.ssn = "977025319".into();
    assert_eq!(ask(&asked, &held).0, MatchOutcome::Match(0));
}

#[test]
fn a_card_alone_does_not_bridge_another_birth_date() {
    let mut held = [person("Robert", "O'Neil", "1970-04-09", ID)];
    let mut asked = person("Robert", "O'Neil", "1970-04-10", ID);
    for one in [&mut held[0], &mut asked] {
        one.addresses.clear();
        one.phones.clear();
    }
    assert_eq!(ask(&asked, &held).1, Some(Guard::BirthSlip));
}

#[test]
fn two_records_of_one_person_are_no_rivals_unless_they_bear_one_number() {
    let once = person("Robert", "O'Neil", "1970-04-02", ID);
    let other = person("Robert", "O'Neil", "1970-04-02", "W99999999901");
    assert!(matches!(ask(&once, &[once.clone(), other]).0, MatchOutcome::Match(0)));
    assert_eq!(ask(&once, &[once.clone(), once.clone()]).1, Some(Guard::SharedNumber));
}

#[test]
fn a_stranger_with_the_name_the_day_and_the_initial_lives_elsewhere_and_is_called_elsewhere() {
    let held = [person("Robert James", "O'Neil", "1970-04-02", ID)];
    let mut asked = person("Robert J", "O'Neil", "1970-04-02", "");
    asked.addresses[0] = WrittenAddress {
        line: "9 Pine Road".into(),
        city: "Salem".into(),
        state: "OR".into(),
        zip: "97301".into(),
    };
    // Somebody who moved away and gives no telephone may be the member; with another telephone number a reviewer must decide.
    asked.phones.clear();
    assert_eq!(ask(&asked, &held).0, MatchOutcome::Match(0));
    asked.phones = vec!["5557654321".into()];
    assert_eq!(
        ask(&asked, &held),
        (MatchOutcome::Review(0), Some(Guard::ThinContradicted))
    );
}

/// Like [`ask`], with a roster in which every name occurs once.
fn ask_rare(asked: &Person, held: &[Person], point: Point) -> (MatchOutcome, Option<Guard>) {
    let held: Vec<Profile> = held.iter().map(Profile::from).collect();
    let facts: Facts = held.iter().collect();
    let refs: Vec<&Profile> = held.iter().collect();
    let decision = decide(&Profile::from(asked), &refs, &facts, &MatchingPolicy::default(), point);
    (decision.outcome, decision.guard)
}

#[test]
fn twins_whose_uncommon_names_are_a_letter_apart_are_two_people() {
    for (one, other, slip, between) in [
        ("Taelyn", "Raelyn", "Realyn", "Daelyn"),
        ("Jaylen", "Kaylen", "Kalyen", "Waylen"),
        ("Aniyah", "Amiyah", "Amyiah", "Adiyah"),
    ] {
        let day = "2010-01-01";
        let twins = [
            person(one, "Lane", day, "W12345678902"),
            person(other, "Lane", day, "W12345678903"),
        ];
        for point in [Point::Safe, Point::Balanced] {
            for name in [other, slip] {
                let asked = person(name, "Lane", day, "W12345678903");
                assert_ne!(
                    ask_rare(&asked, &twins, point).0,
                    MatchOutcome::Match(0),
                    "{name} {point:?}"
                );
            }
            let asked = person(other, "Lane", day, "W12345678903");
            assert_eq!(
                ask_rare(&asked, &twins, point).0,
                MatchOutcome::Match(1),
                "{other} {point:?}"
            );
            for card in ["", "W123456789"] {
                let outcome = ask_rare(&person(between, "Lane", day, card), &twins, point).0;
                assert!(
                    !matches!(outcome, MatchOutcome::Match(_)),
                    "{between} {card} {point:?}: {outcome:?}"
                );
            }
        }
    }
}

#[test]
fn many_names_or_initials_do_not_stand_for_the_name() {
    let held = [person("Ruth Ann", "Germann", "1939-07-12", ID)];
    let name = |given: &str, family: &str| person(given, family, "", "").names.remove(0);
    let asked = |names: Vec<PersonName>| Person {
        names,
        ..person("", "", "1939-07-12", ID)
    };
    for point in [Point::Safe, Point::Balanced] {
        let of = |names: Vec<PersonName>| ask_rare(&asked(names), &held, point);
        let initials = ["J", "M", "R", "A"].map(|initial| name(initial, "X"));
        assert!(!matches!(of(initials.to_vec()).0, MatchOutcome::Match(_)), "{point:?}");
        assert_eq!(of(vec![name("R", "Quux")]).1, Some(Guard::FamilyDiffers), "{point:?}");
        let people = [("Ruth", "Germann"), ("Karen", "Lee"), ("Joan", "Smith")];
        let people = people.map(|(given, family)| name(given, family));
        assert_eq!(of(people.to_vec()).1, Some(Guard::SeveralPeople), "{point:?}");
        let married = vec![name("Ruth", "Ondish"), name("Ruth A", "Germann"), name("R", "Germann")];
        assert_eq!(
            of(married).0,
            MatchOutcome::Match(0),
            "one person under two family names, {point:?}"
        );
        // The same within one name.
        let letters = "A B C D E F G H I J K L M N O P Q R S T U V W X Y Z";
        let bare = Person {
            addresses: vec![],
            phones: vec![],
            member_ids: vec![],
            ..asked(vec![name(&format!("Ruth {letters}"), "Germann")])
        };
        assert!(
            !matches!(ask_rare(&bare, &held, point).0, MatchOutcome::Match(_)),
            "{point:?}"
        );
        let few = Person {
            names: vec![name("Ruth A B C", "Germann")],
            ..bare.clone()
        };
        assert!(
            !matches!(ask_rare(&few, &held, point).0, MatchOutcome::Match(_)),
            "{point:?}"
        );
        for everybody in ["Zed Karen Joan Mary Ruth Anne Emma", "Zed Karen Joan Mary Ruth"] {
            let outcome = of(vec![name(everybody, "Germann")]).0;
            assert!(!matches!(outcome, MatchOutcome::Match(_)), "{everybody} {point:?}");
        }
    }
}

#[test]
fn one_town_of_many_is_no_evidence() {
    let mut held = person("Ruth", "Germann", "1939-07-12", ID);
    held.phones.clear();
    let town = |line: &str, city: &str, zip: &str| WrittenAddress {
        line: line.into(),
        city: city.into(),
        state: "FL".into(),
        zip: zip.into(),
    };
    let elsewhere = |city: &str, zip: &str| WrittenAddress {
        state: "GA".into(),
        ..town("1 Pine Road", city, zip)
    };
    let asked = |addresses: Vec<WrittenAddress>| Person {
        addresses,
        phones: vec![],
        ..person("Ruth", "Germann", "1939-07-12", "")
    };
    let held = [held];
    for point in [Point::Safe, Point::Balanced] {
        let of = |addresses| ask_rare(&asked(addresses), &held, point);
        let tampa = town("1 Pine Road", "Tampa", "33602");
        assert_eq!(of(vec![tampa.clone()]).0, MatchOutcome::Match(0), "one town, {point:?}");
        let towns = vec![elsewhere("Atlanta", "30301"), tampa, elsewhere("Macon", "31201")];
        let (outcome, guard) = of(towns);
        assert!(!matches!(outcome, MatchOutcome::Match(_)), "{outcome:?} {guard:?}");
        let moved = vec![
            town("1 Pine Road", "Ocala", "34470"),
            town("12 Elm Street", "Tampa", "33601"),
        ];
        assert_eq!(of(moved).0, MatchOutcome::Match(0), "the house itself is, {point:?}");
    }
}

/// Records of one person with one card each, which also serve as requests.
fn cards(numbers: &[(&str, &str)]) -> Vec<Person> {
    let one = |(member, subscriber): &(&str, &str)| {
        let mut one = person("Walter", "Doubletree", "1961-04-09", member);
        one.subscriber_ids = [subscriber]
            .iter()
            .filter(|s| !s.is_empty())
            .map(|s| (**s).to_owned())
            .collect();
        one
    };
    numbers.iter().map(one).collect()
}

#[test]
fn of_two_records_of_one_person_the_card_decides() {
    let both = [("M7000001", "S7000001"), ("M7000002", "S7000002")];
    for (held, second) in [(cards(&both), 1), (cards(&[both[1], both[0]]), 0)] {
        // As member number in different spellings, as subscriber number, and together with the household's number.
        for (member, subscriber) in [
            ("M7000002", ""),
            ("m7000002", ""),
            (" M-7000-002 ", ""),
            ("S7000002", ""),
            ("", "S7000002"),
            ("", "M7000002"),
            ("M7000002", "S7000002"),
        ] {
            let asked = &cards(&[(member, subscriber)])[0];
            assert_eq!(
                ask(asked, &held),
                (MatchOutcome::Match(second), None),
                "{member} {subscriber}"
            );
        }
        // Both cards, or one card with the other's household: a reviewer must decide.
        let mut two = cards(&[both[0]])[0].clone();
        two.member_ids.push("M7000002".into());
        for asked in [two, cards(&[("M7000001", "S7000002")])[0].clone()] {
            let (outcome, guard) = ask(&asked, &held);
            assert!(
                matches!(outcome, MatchOutcome::Review(_)) && guard == Some(Guard::OtherCard),
                "{outcome:?} {guard:?}"
            );
        }
    }
}

#[test]
fn the_record_that_bears_the_card_comes_before_one_that_tells_more() {
    // The record with the other card has everything that was sent; the one with the right card has a former address and telephone number.
    let mut held = cards(&[("M7000001", "S7000001"), ("M7000002", "S7000002")]);
    let asked = {
        let mut asked = cards(&[("M7000002", "")])[0].clone();
        asked.emails = vec!["walter@example.com".into()];
        asked
    };
    held[0].emails = asked.emails.clone();
    held[1].addresses = vec![];
    assert_eq!(ask(&asked, &held), (MatchOutcome::Match(1), None));
    // A record without a card contradicts nothing, but the one with the card comes first.
    let mut bare = cards(&[("", ""), ("M7000002", "S7000002")]);
    bare[0].emails = asked.emails.clone();
    assert_eq!(ask(&asked, &bare).0, MatchOutcome::Match(1));
    // When the record with the card is contradicted, a reviewer must decide; the one with another card is not granted.
    let asked = Person {
        ssn: "912345678".into(),
        ..asked
    };
    for records in [&mut held, &mut bare] {
        records[1].ssn = "977025319".into();
    }
    assert_eq!(ask(&asked, &held), (MatchOutcome::Review(0), Some(Guard::OtherCard)));
    assert_eq!(ask(&asked, &bare).0, MatchOutcome::Match(0));
}

#[test]
fn a_card_that_two_records_of_the_person_bear_is_left_to_a_person() {
    let held = cards(&[
        ("M7000001", "S7000001"),
        ("M7000002", "S7000002"),
        ("M7000002", "S7000002"),
    ]);
    let (outcome, guard) = ask(&cards(&[("M7000002", "")])[0], &held);
    assert!(
        matches!(outcome, MatchOutcome::Review(_)) && guard.is_some(),
        "{outcome:?} {guard:?}"
    );
}

#[test]
fn a_family_that_shares_a_subscriber_number_is_still_told_apart() {
    let mut held = cards(&[("M7000001", "S7000001"), ("M7000002", "S7000002")]);
    let mut wife = person("Ingrid", "Doubletree", "1963-05-06", "M7000003");
    wife.subscriber_ids = vec!["S7000002".into()];
    held.push(wife.clone());
    wife.member_ids.clear();
    assert_eq!(ask(&wife, &held), (MatchOutcome::Match(2), None));
    assert_eq!(
        ask(&cards(&[("", "S7000002")])[0], &held),
        (MatchOutcome::Match(1), None)
    );
}
