//! Properties that hold for any two people, however unusual their names.

use causeway_identity::blocking;
use causeway_identity::compare::compare;
use causeway_identity::date::{self, Birth};
use causeway_identity::text::{edits, fold, jaro_winkler, phonetic};
use causeway_identity::{
    Facts, Field, Level, MatchOutcome, MatchingPolicy, Person, PersonName, Point, Profile, WrittenAddress, decide,
};
use proptest::prelude::*;

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[A-Za-z' -]{0,14}",
        2 => "\\PC{0,16}",
        1 => Just(String::new()),
    ]
}

prop_compose! {
    fn any_person()(
        given in prop::collection::vec(any_text(), 0..3), family in any_text(), suffix in any_text(),
        birth in prop_oneof!["(19|20)[0-9]{2}-[01][0-9]-[0-3][0-9]", any_text()],
        gender in prop_oneof![Just("male".to_owned()), Just("female".to_owned()), any_text()],
        ssn in prop_oneof!["9[0-9]{8}", any_text()], last4 in prop_oneof!["[0-9]{4}", any_text()],
        line in prop_oneof!["[0-9]{1,4} [a-z]{3,8} (st|avenue|rd) (apt [0-9])?", any_text()], city in any_text(), zip in "[0-9]{0,5}",
        phone in prop_oneof!["555[0-9]{7}", any_text()], email in prop_oneof!["[a-z]{3,8}@example\\.com", any_text()],
        id in prop_oneof!["W[0-9]{11}", any_text()], umb in any_text(),
    ) -> Person {
        Person {
            names: vec![PersonName { given, family, suffix }],
            birth_date: birth, gender, ssn, ssn_last4: last4,
            addresses: vec![WrittenAddress { line, city, state: "WA".into(), zip }],
            phones: vec![phone], emails: vec![email], member_ids: vec![id], umb,
            ..Person::default()
        }
    }
}

fn total(asked: &Person, held: &Person) -> f64 {
    let (asked, held) = (Profile::from(asked), Profile::from(held));
    let decision = decide(
        &asked,
        &[&held],
        &Facts::default(),
        &MatchingPolicy::default(),
        Point::Safe,
    );
    decision.ranked.first().map_or(f64::NEG_INFINITY, |top| top.score.total)
}

fn ana() -> Person {
    Person {
        names: vec![PersonName {
            given: vec!["Ana".into(), "Maria".into()],
            family: "Núñez".into(),
            suffix: String::new(),
        }],
        birth_date: "1984-07-09".into(),
        gender: "female".into(),
        ssn: "912345678".into(),
        addresses: vec![WrittenAddress {
            line: "12 Elm St".into(),
            city: "Tampa".into(),
            state: "FL".into(),
            zip: "33601".into(),
        }],
        phones: vec!["5551234567".into()],
        emails: vec!["ana.nunez@example.com".into()],
        member_ids: vec!["W12345678900".into()],
        ..Person::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn nothing_panics_on_any_unicode(a in any_person(), b in any_person()) {
        let (p, q) = (Profile::from(&a), Profile::from(&b));
        let keys = (blocking::of_record(&p), blocking::of_request(&q), blocking::of_file(&p));
        prop_assert!(keys.0.len() <= 64 && keys.1.len() <= 400);
        for point in [Point::Safe, Point::Balanced] {
            let decision = decide(&p, &[&q, &p], &Facts::default(), &MatchingPolicy::default(), point);
            prop_assert!(!decision.record(3).table().is_empty());
            prop_assert!(decision.ranked.iter().all(|one| one.score.total.is_finite()));
        }
    }

    #[test]
    fn a_profile_is_unpacked_as_it_was_packed(a in any_person()) {
        let profile = Profile::from(&a);
        prop_assert_eq!(Profile::unpack(&profile.pack()), Some(profile));
    }

    #[test]
    fn bytes_that_are_no_profile_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0usize..400) {
        let _ = Profile::unpack(&bytes);
        let mut framed = vec![causeway_identity::FORMAT];
        framed.extend(&bytes);
        let _ = (Profile::unpack(&framed), Facts::unpack(&framed));
        let packed = Profile::from(&ana()).pack();
        prop_assert!(Profile::unpack(&packed[..cut.min(packed.len() - 1)]).is_none());
    }

    #[test]
    fn counts_are_unpacked_as_they_were_packed(people in prop::collection::vec(any_person(), 0..8)) {
        let profiles: Vec<Profile> = people.iter().map(Profile::from).collect();
        let facts: Facts = profiles.iter().collect();
        let again = Facts::unpack(&facts.pack());
        prop_assert_eq!(again.map(|facts| facts.pack()), Some(facts.pack()));
    }

    #[test]
    fn similarity_is_symmetrical_and_bounded(a in any_text(), b in any_text()) {
        prop_assert_eq!(edits(&a, &b, 3), edits(&b, &a, 3));
        prop_assert!((jaro_winkler(&a, &b) - jaro_winkler(&b, &a)).abs() < 1e-12);
        prop_assert!((0.0..=1.0 + 1e-9).contains(&jaro_winkler(&a, &b)));
        prop_assert_eq!(fold(&fold(&a)), fold(&a));
        prop_assert!(phonetic(&a).chars().count() <= 6);
    }

    #[test]
    fn dates_compare_alike_both_ways(a in "(19|20)[0-9]{2}-[01][0-9]-[0-3][0-9]", b in "(19|20)[0-9]{2}-[01][0-9]-[0-3][0-9]") {
        if let (Some(a), Some(b)) = (Birth::parse(&a), Birth::parse(&b)) {
            prop_assert_eq!(date::compare(a, b), date::compare(b, a));
        }
    }

    #[test]
    fn people_compare_alike_both_ways(a in any_person(), b in any_person()) {
        let (p, q) = (Profile::from(&a), Profile::from(&b));
        let facts = Facts::default();
        prop_assert_eq!(compare(&p, &q, &facts).levels, compare(&q, &p, &facts).levels);
    }

    #[test]
    fn a_person_agrees_with_itself(a in any_person()) {
        let profile = Profile::from(&a);
        let levels = compare(&profile, &profile, &Facts::default()).levels;
        prop_assert!(Field::ALL.into_iter().all(|field| levels.of(field) != Level::Differ), "{levels:?}");
    }

    #[test]
    fn case_accents_and_spaces_change_nothing(family in "[a-z]{3,9}") {
        let mut a = ana();
        a.names[0].family = family.clone();
        let mut b = a.clone();
        b.names[0].family = format!(" {} ", family.to_uppercase().replace('E', "É"));
        prop_assert_eq!(Profile::from(&a).names, Profile::from(&b).names);
    }

    /// When any part of a full agreement is removed, the sum does not increase.
    #[test]
    fn more_agreement_never_weighs_less(mask in 0u8..128) {
        let spoil = |person: &mut Person, bit: u8| match bit {
            0 => person.ssn.clear(),
            1 => person.phones.clear(),
            2 => person.emails.clear(),
            3 => person.addresses.clear(),
            4 => person.member_ids.clear(),
            5 => person.birth_date.clear(),
            _ => { person.names[0].given.truncate(1); }
        };
        let mut less = ana();
        (0..7).filter(|bit| mask & (1 << bit) != 0).for_each(|bit| spoil(&mut less, bit));
        for bit in (0..7).filter(|bit| mask & (1 << bit) == 0) {
            let mut fewer = less.clone();
            spoil(&mut fewer, bit);
            prop_assert!(total(&fewer, &ana()) <= total(&less, &ana()) + 1e-9, "{bit}");
        }
    }

    /// Address, telephone and subscriber number never make a match with a stranger's name and birth date.
    #[test]
    fn a_household_is_not_a_person(given in "[b-z][a-z]{4,8}", day in 1u8..28) {
        let mut other = ana();
        other.names[0].given = vec![given.clone()];
        other.birth_date = format!("2001-03-{day:02}");
        other.ssn.clear();
        other.emails.clear();
        let (asked, held) = (Profile::from(&other), Profile::from(&ana()));
        let decision = decide(&asked, &[&held], &Facts::default(), &MatchingPolicy::default(), Point::Balanced);
        prop_assert!(!matches!(decision.outcome, MatchOutcome::Match(_)), "{given}");
    }
}
