//! Finding by keys: what is looked up, in which order, and what a crowd means.

mod said;

use causeway_identity::blocking::{of_household, of_record, of_request, of_request_first};
use causeway_identity::search::{HeldProfiles, SearchBasis, SearchOutcome, search};
use causeway_identity::{Facts, MatchOutcome, MatchingPolicy, Point, Profile, Roster};
use said::profile;
use std::borrow::Cow;

/// Keys and known numbers of each lookup.
type Lookups = Vec<(Vec<String>, Vec<i64>)>;

/// Searches records numbered from 100, and answers what was looked up as well.
fn searched(asked: &Profile, records: &[Profile]) -> (SearchOutcome<'static>, Lookups) {
    searched_by(MatchingPolicy::default(), asked, records)
}

fn searched_by(policy: MatchingPolicy, asked: &Profile, records: &[Profile]) -> (SearchOutcome<'static>, Lookups) {
    let facts: Facts = records.iter().collect();
    let basis = SearchBasis {
        facts: &facts,
        policy: &policy,
        point: Point::Safe,
    };
    let mut log = Vec::new();
    let mut find = |keys: &[String], known: &[i64]| {
        log.push((keys.to_vec(), known.to_vec()));
        let found: HeldProfiles<'static> = (100..)
            .zip(records)
            .filter(|(number, record)| {
                !known.contains(number) && of_record(record).iter().any(|key| keys.contains(key))
            })
            .map(|(number, record)| (number, Cow::Owned(record.clone())))
            .collect();
        Ok::<_, std::convert::Infallible>(found)
    };
    let Ok(found) = search(asked, basis, &mut find);
    (found, log)
}

const WALTER: &str = "name=Walter|Doubletree;born=1961-04-09;at=12 Elm St|Tampa|FL|33601";

fn numbers(found: &SearchOutcome<'_>) -> Vec<i64> {
    found.held.iter().map(|(number, _)| *number).collect()
}

#[test]
fn a_match_by_a_rule_ends_the_search_after_the_usual_keys() {
    let asked = profile(WALTER);
    let records = [profile(&format!("{WALTER};subscriber=S55"))];
    let (found, log) = searched(&asked, &records);
    assert_eq!(found.decision.outcome, MatchOutcome::Match(0));
    assert_eq!(numbers(&found), [100]);
    // The usual keys, then the household of whoever was found; the keys of slips are not asked.
    let expected = [
        (of_request_first(&asked), vec![]),
        (of_household(&records[0]), vec![100]),
    ];
    assert_eq!(log, expected);
    // Whoever is insured with that record is decided among, too.
    let wife = profile("name=Eva|Stone;born=1963-01-02;subscriber=S55");
    let (found, _) = searched(&asked, &[records[0].clone(), wife]);
    assert_eq!((numbers(&found), found.decision.ranked.len()), (vec![100, 101], 2));
}

#[test]
fn while_nothing_is_settled_the_keys_of_slips_are_looked_up_too() {
    // Each is found by the usual keys, and each may leave somebody better to be found.
    for record in [
        // No rule, another day, another first or family name, nobody.
        "name=Walter|Doubletree;born=1961-04-09",
        "name=Walter|Doubletree;born=1961-04-08;member=W1234567801;at=12 Elm St|Tampa|FL|33601;ssn=912345678",
        "name=Otto|Doubletree;born=1961-04-09;ssn=912345678;at=12 Elm St|Tampa|FL|33601",
        "name=Walter|Abernathy;born=1961-04-09;ssn=912345678;at=12 Elm St|Tampa|FL|33601",
        "name=Wolter|Doubletree;born=1961-04-09;ssn=912345678;at=12 Elm St|Tampa|FL|33601",
    ] {
        let asked = profile(&format!("{WALTER};ssn=912345678;member=W1234567801"));
        let (_, log) = searched(&asked, &[profile(record)]);
        let first = of_request_first(&asked);
        assert_eq!(log[0].0, first, "{record}");
        let rest: Vec<String> = of_request(&asked)
            .into_iter()
            .filter(|key| !first.contains(key))
            .collect();
        assert!(log.iter().any(|(keys, _)| *keys == rest), "{record}: {log:?}");
        assert!(rest.iter().all(|key| !first.contains(key)) && !rest.is_empty());
    }
}

#[test]
fn a_rule_that_holds_settles_nothing_where_a_guard_speaks() {
    // Two records of the person bear one card: a person must look, and whoever else bears it must be found.
    let text = format!("{WALTER};member=W1234567801");
    let (found, log) = searched(&profile(&text), &[profile(&text), profile(&text)]);
    assert!(matches!(found.decision.outcome, MatchOutcome::Review(_)) && found.decision.ranked[0].rule.is_some());
    assert!(log.len() > 2, "{log:?}");
    assert!(
        log.iter()
            .any(|(keys, _)| keys.iter().any(|key| key.starts_with("yn:"))),
        "{log:?}"
    );
}

#[test]
fn what_is_known_is_not_looked_up_again_and_stands_in_order() {
    let records = [
        profile("name=Walter|Quist;born=1961-04-09"),
        profile("name=Otto|Quist;born=1961-09-04"),
        profile("name=Eva|Quist;born=1961-04-09"),
    ];
    // The second is found by the day and month in each other's place, after the others.
    let (found, log) = searched(&profile("name=Otto|Quist;born=1961-04-09"), &records);
    assert_eq!(numbers(&found), [100, 101, 102]);
    assert!(
        log.iter().skip(1).all(|(_, known)| known.starts_with(&[100])),
        "{log:?}"
    );
    assert_eq!(found.decision.ranked.len(), 3);
    // Nobody at all.
    let (found, log) = searched(&profile("name=Otto|Quist;born=1961-04-09"), &[]);
    assert!(found.held.is_empty() && found.decision.outcome == MatchOutcome::None);
    assert_eq!(log.len(), 2, "no household to look up");
}

#[test]
fn relatives_of_whoever_comes_near_are_found_and_decided_among() {
    // The telephone is the wife's; she shares nothing else with the request.
    let asked = profile("name=Walter|Doubletree;born=1961-04-09;phone=5551234567");
    let records = [
        profile("name=Walter|Doubletree;born=1961-04-09;phone=5559876543;subscriber=S55"),
        profile("name=Eva|Stone;born=1963-01-02;phone=5551234567;subscriber=S55"),
        profile("name=Eva|Stone;born=1963-01-02;phone=5551234567;subscriber=S56"),
    ];
    let (found, log) = searched(&asked, &records);
    assert_eq!(numbers(&found), [100, 101]);
    let households: Vec<&Vec<String>> = log
        .iter()
        .map(|(keys, _)| keys)
        .filter(|keys| keys.contains(&"i:S55".into()))
        .collect();
    assert_eq!(
        households,
        [&vec!["i:S55".to_owned()]],
        "once, and only of whoever was found"
    );
    assert_eq!(
        found.decision.outcome,
        MatchOutcome::Match(0),
        "decided again with the relative"
    );
}

#[test]
fn households_of_those_far_below_a_review_are_not_looked_up() {
    // The first is found by a card that is not said to be anybody's, and differs in all else: some 40 bits below a review.
    let asked = profile("name=Walter|Doubletree;born=1961-04-09;gender=male;email=w@example.com;member=S55");
    let far = profile("name=Eva|Stone;born=1990-01-02;gender=female;email=e@example.com;member=M7;subscriber=S55");
    let (found, log) = searched(&asked, std::slice::from_ref(&far));
    let total = found.decision.ranked[0].score.total;
    assert!(total < 3.0 - 20.0, "{total}");
    assert!(log.iter().all(|(keys, _)| *keys != of_household(&far)), "{log:?}");
    // Somewhat below it they are.
    let asked = profile("name=Walter|Doubletree;born=1961-04-09;gender=male");
    let near = profile("name=Otto|Doubletree;born=1961-04-09;gender=female;member=M7;subscriber=S55");
    let (found, log) = searched(&asked, std::slice::from_ref(&near));
    let total = found.decision.ranked[0].score.total;
    assert!(total < 3.0 && total > 3.0 - 20.0, "{total}");
    assert!(log.iter().any(|(keys, _)| *keys == of_household(&near)), "{log:?}");
}

#[test]
fn a_household_is_looked_up_from_twenty_bits_below_a_review_on() {
    let asked = profile("name=Walter|Doubletree;born=1961-04-09;gender=male");
    let near = profile("name=Otto|Doubletree;born=1961-04-09;gender=female;member=M7;subscriber=S55");
    let searched = |review: f64| {
        let text = MatchingPolicy::default().canonical();
        let text = text.replace("population = 10000\n", "population = 2000000\n");
        let text = text.replace("safe.review = 3\n", &format!("safe.review = {review}\n"));
        let policy = MatchingPolicy::parse(&text).expect("a policy");
        searched_by(policy, &asked, std::slice::from_ref(&near))
    };
    let total = searched(3.0).0.decision.ranked[0].score.total;
    // In this range 20 more have the same binary exponent, so that the sum and the difference are exact.
    assert!((-12.0..-8.0).contains(&total), "{total}");
    let is_looked_up = |review: f64| searched(review).1.iter().any(|(keys, _)| *keys == of_household(&near));
    assert!(is_looked_up(total + 20.0));
    assert!(!is_looked_up((total + 20.0).next_up()));
}

#[test]
fn the_six_best_have_their_households_looked_up_each_once() {
    let asked = profile("name=Walter|Doubletree;born=1961-04-09");
    let records: Vec<Profile> = (0..8)
        .map(|at| profile(&format!("name=Walter|Doubletree;born=1961-04-09;subscriber=S{at}0")))
        .collect();
    let (found, log) = searched(&asked, &records);
    assert_eq!(found.held.len(), 8);
    let keys: Vec<&String> = log
        .iter()
        .flat_map(|(keys, _)| keys)
        .filter(|key| key.starts_with("i:"))
        .collect();
    assert_eq!(keys, ["i:S00", "i:S10", "i:S20", "i:S30", "i:S40", "i:S50"]);
    // Two of one household ask for it once.
    let both = [records[0].clone(), records[0].clone()];
    let (_, log) = searched(&asked, &both);
    let asked_for = log
        .iter()
        .flat_map(|(keys, _)| keys)
        .filter(|key| *key == "i:S00")
        .count();
    assert_eq!(asked_for, 1, "{log:?}");
}

/// How many of so many records that share one key, and nothing else, a roster finds.
fn found(text: &str, records: usize) -> usize {
    let roster = Roster::new(vec![profile(text); records]);
    assert_eq!(roster.profiles().len(), records);
    assert_eq!(roster.facts().records(), records as u64);
    roster
        .search(&profile(text), &MatchingPolicy::default(), Point::Safe)
        .held
        .len()
}

#[test]
fn a_key_that_a_crowd_shares_says_nothing() {
    assert_eq!((found("ssn=912345678", 200), found("ssn=912345678", 201)), (200, 0));
    // Names without a date are a crowd sooner.
    assert_eq!(
        (found("name=Quanah|Quist", 40), found("name=Quanah|Quist", 41)),
        (40, 0)
    );
}

#[test]
fn a_roster_finds_by_any_key_and_answers_by_place() {
    let roster = Roster::new(vec![
        profile("name=Eva|Stone;born=1990-01-02"),
        profile(WALTER),
        profile("name=Otto|Lane;born=1970-01-02;ssn=912345678"),
    ]);
    assert_eq!(
        roster.keys(),
        roster.profiles().iter().map(|one| of_record(one).len()).sum::<usize>()
    );
    let found = roster.search(&profile(WALTER), &MatchingPolicy::default(), Point::Safe);
    assert_eq!(
        (numbers(&found), found.decision.outcome),
        (vec![1], MatchOutcome::Match(0))
    );
    let found = roster.search(
        &profile(&format!("{WALTER};ssn=912345678")),
        &MatchingPolicy::default(),
        Point::Safe,
    );
    assert_eq!(numbers(&found), [1, 2]);
    let found = roster.search(
        &profile("name=Zed|Roe;born=1911-11-11"),
        &MatchingPolicy::default(),
        Point::Safe,
    );
    assert!(found.held.is_empty());
    assert_eq!(Roster::default().keys(), 0);
}
