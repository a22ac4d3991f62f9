//! What a decision says of itself: bits, margins and who is no rival, whose number was sent, and the record that a person reads.

mod said;

use causeway_identity::{
    Decision, Facts, Field, Guard, Level, MatchOutcome, MatchingPolicy, Point, Profile, decide, ids, same_person,
};
use said::profile;

fn decided_by(policy: &MatchingPolicy, facts: &Facts, asked: &str, held: &[&str]) -> Decision {
    let held: Vec<Profile> = held.iter().map(|text| profile(text)).collect();
    let refs: Vec<&Profile> = held.iter().collect();
    decide(&profile(asked), &refs, facts, policy, Point::Safe)
}

fn decided(asked: &str, held: &[&str]) -> Decision {
    decided_by(&MatchingPolicy::default(), &Facts::default(), asked, held)
}

/// The policy that ships with another margin at `safe`.
fn margin(bits: f64) -> MatchingPolicy {
    let text = MatchingPolicy::default()
        .canonical()
        .replace("safe.margin = 6\n", &format!("safe.margin = {bits}\n"));
    MatchingPolicy::parse(&text).expect("a policy")
}

const WALTER: &str = "name=Walter|Doubletree;born=1961-04-09";
const HOUSE: &str = "at=12 Elm St|Tampa|FL|33601";

fn walter(more: &str) -> String {
    format!("{WALTER};{more}")
}

#[test]
fn the_bits_that_are_needed_follow_the_evidence() {
    let married = "name=Walter|Abernathy;born=1961-04-09";
    for (asked, held, needed) in [
        (walter(HOUSE), walter(HOUSE), 10.0),
        (walter("email=w@example.com"), walter("email=w@example.com"), 10.0),
        (walter(""), walter(""), 10.0),
        (walter("at=|Tampa|FL|"), walter("at=|Tampa|FL|"), 12.0),
        (walter("at=|Tampa|FL|"), walter("at=|Ocala|FL|"), 40.0),
        (format!("{married};at=|Tampa|FL|"), walter("at=|Tampa|FL|"), 8.0),
        (format!("{married};at=|Tampa|FL|"), walter("at=|Ocala|FL|"), 40.0),
        (format!("{married};{HOUSE}"), walter(HOUSE), 10.0),
    ] {
        assert_eq!(decided(&asked, &[&held]).needed, Some(needed), "{asked} / {held}");
    }
    assert_eq!(decided(WALTER, &[]).needed, None);
}

#[test]
fn who_is_too_far_for_a_look_is_nobody() {
    let decision = decided(
        &walter(HOUSE),
        &["name=Eva|Stone;born=1990-01-01;at=9 Pine Rd|Salem|OR|97301"],
    );
    assert_eq!(decision.outcome, MatchOutcome::None);
    assert!(decision.guard.is_some() && decision.ranked[0].score.total < 3.0);
    assert_eq!(decided(WALTER, &[]).outcome, MatchOutcome::None);
    assert_eq!(decided(WALTER, &[]).guard, None);
}

#[test]
fn a_review_needs_its_bits_and_not_more() {
    let total = decided(WALTER, &[WALTER]).ranked[0].score.total;
    let of = |bits: f64| {
        let text = MatchingPolicy::default().canonical();
        let text = text.replace("safe.review = 3\n", &format!("safe.review = {bits}\n"));
        decided_by(
            &MatchingPolicy::parse(&text).expect("a policy"),
            &Facts::default(),
            WALTER,
            &[WALTER],
        )
    };
    assert_eq!(of(total).outcome, MatchOutcome::Review(0));
    assert_eq!(of(total.next_up()).outcome, MatchOutcome::None);
}

#[test]
fn candidates_are_ranked_by_their_bits_and_then_by_their_place() {
    let (full, bare) = (walter(HOUSE), walter(""));
    let order = |held: &[&str]| -> Vec<usize> { decided(&full, held).ranked.iter().map(|one| one.candidate).collect() };
    assert_eq!(order(&[&bare, &full]), [1, 0]);
    assert_eq!(order(&[&full, &bare]), [0, 1]);
    assert_eq!(order(&[&bare, &full, &bare]), [1, 0, 2]);
}

#[test]
fn the_margin_is_that_over_the_next_person() {
    let (asked, other) = (
        walter(HOUSE),
        "name=Otto|Doubletree;born=1961-04-09;at=99 Oak St|Tampa|FL|33601",
    );
    assert_eq!(decided(&asked, &[&asked]).margin, f64::INFINITY);
    let decision = decided(&asked, &[&asked, other]);
    let apart = decision.ranked[0].score.total - decision.ranked[1].score.total;
    assert!(apart > 6.0 && decision.margin == apart, "{apart} {}", decision.margin);
    assert_eq!(decision.outcome, MatchOutcome::Match(0));
    // Where the policy asks for more, the next person is a rival.
    let rivals = |bits: f64| decided_by(&margin(bits), &Facts::default(), &asked, &[&asked, other]).guard;
    assert_eq!((rivals(apart), rivals(apart + 0.1)), (None, Some(Guard::Rival)));
}

#[test]
fn another_record_of_the_person_is_no_rival_within_twice_the_margin() {
    // The second record lacks the card and the house, and is the same person by the telephone.
    let asked = walter(&format!("{HOUSE};phone=5551234567;email=walter@example.com"));
    let other = walter("phone=5551234567;email=walter@example.org");
    let of = |bits: f64| decided_by(&margin(bits), &Facts::default(), &asked, &[&asked, &other]);
    let decision = of(0.0);
    let apart = decision.ranked[0].score.total - decision.ranked[1].score.total;
    assert!(apart > 6.0, "{apart}");
    for (bits, margin) in [
        (0.0, apart),
        (1.0, apart),
        (apart * 0.4, apart),
        (apart * 0.5, apart),
        (apart * 0.51, f64::INFINITY),
        (apart * 0.9, f64::INFINITY),
        (apart * 4.0, f64::INFINITY),
    ] {
        assert_eq!(of(bits).margin, margin, "{bits} of {apart}");
    }
}

#[test]
fn whoever_is_worth_a_look_or_near_the_best_is_to_be_chosen_from() {
    let namesake = walter("");
    let stranger = "name=Eva|Stone;born=1990-01-01";
    assert_eq!(decided(WALTER, &[]).contenders(), 0);
    assert_eq!(decided(WALTER, &[&namesake]).contenders(), 1);
    assert_eq!(
        decided(WALTER, &[stranger]).contenders(),
        1,
        "the best is as near as itself"
    );
    assert_eq!(decided(WALTER, &[&namesake, stranger]).contenders(), 1);
    assert_eq!(decided(WALTER, &[&namesake, &namesake, &namesake]).contenders(), 3);
    assert_eq!(decided(WALTER, &[&namesake, &namesake, stranger]).contenders(), 2);
    // Below a review, those within the margin of the best; the margin itself is too far.
    let near = "name=Eva|Stone;born=1990-01-01;gender=male";
    let asked = walter("gender=male");
    let held = [near, stranger];
    let decision = decided(&asked, &held);
    let apart = decision.ranked[0].score.total - decision.ranked[1].score.total;
    assert!(decision.ranked[0].score.total < 3.0 && apart < 1.0, "{apart}");
    assert_eq!(decision.contenders(), 2);
    let far = "name=Eva|Stone;born=1990-01-01;gender=female";
    let decision = decided(&asked, &[near, far]);
    let apart = decision.ranked[0].score.total - decision.ranked[1].score.total;
    assert!(apart > 6.0, "{apart}");
    assert_eq!(decision.contenders(), 1);
    for (bits, count) in [(apart, 1), (apart + 0.1, 2)] {
        let decision = decided_by(&margin(bits), &Facts::default(), &asked, &[near, far]);
        assert_eq!(decision.contenders(), count, "{bits}");
    }
}

#[test]
fn a_telephone_or_a_house_of_somebody_insured_with_the_record_is_a_relatives() {
    let asked = walter("phone=5551234567");
    let record = walter("phone=5559876543;subscriber=S55");
    let of = |held: &[&str]| {
        let decision = decided(&asked, held);
        let walter = decision
            .ranked
            .iter()
            .find(|one| one.candidate == 0)
            .expect("a candidate");
        walter.levels.of(Field::Phone)
    };
    let wife = "name=Eva|Doubletree;born=1963-01-01;phone=5551234567;subscriber=S55";
    assert_eq!(of(&[&record]), Level::Differ);
    assert_eq!(of(&[&record, wife]), Level::Relative);
    assert_eq!(of(&[&record, &wife.replace("S55", "S56")]), Level::Differ);
    // A record that says no telephone is not its own relative.
    let own = walter("subscriber=S55");
    assert_eq!(of(&[&own]), Level::Missing);
}

#[test]
fn a_name_that_may_be_another_persons_is_not_taken_for_one_that_sounds_alike() {
    // Zuxor and Zaxir are two letters apart; Zuxon is a name of the roster, a slip from the one and not from the other.
    let roster: Vec<Profile> = vec![profile("name=Zuxon|Quist"); 2];
    let facts: Facts = roster.iter().collect();
    let home = format!("Lane;born=1961-04-09;{HOUSE}");
    let (one, other) = (format!("name=Zuxor|{home}"), format!("name=Zaxir|{home}"));
    for (asked, held) in [(&one, &other), (&other, &one)] {
        let guard = |facts: &Facts| decided_by(&MatchingPolicy::default(), facts, asked, &[held]).guard;
        assert_eq!(guard(&Facts::default()), None, "{asked}");
        assert_eq!(guard(&facts), Some(Guard::GivenDiffers), "{asked}");
    }
    // Where the first names are not merely alike nobody else is looked for.
    let near = format!("name=Zuxxor|{home}");
    assert_eq!(
        decided_by(&MatchingPolicy::default(), &facts, &near, &[&one]).guard,
        None
    );
}

#[test]
fn a_best_record_with_any_card_is_not_granted_for_another_card() {
    let more = format!("{HOUSE};phone=5551234567;email=walter@example.com");
    let asked = walter(&format!("{more};ssn=912345678;member=M7000002"));
    let carded = walter("member=M7000002;subscriber=S7000002;phone=5551234567;ssn=977025319");
    for (best, outcome) in [
        (more.clone(), MatchOutcome::Match(0)),
        (
            format!("{more};member=M7000001;subscriber=S7000001"),
            MatchOutcome::Review(0),
        ),
        (format!("{more};member=M7000001"), MatchOutcome::Review(0)),
        (format!("{more};subscriber=S7000001"), MatchOutcome::Review(0)),
    ] {
        let decision = decided(&asked, &[&walter(&best), &carded]);
        assert_eq!(decision.outcome, outcome, "{best}");
        assert_eq!(decision.guard.is_some(), outcome != MatchOutcome::Match(0), "{best}");
    }
}

#[test]
fn two_records_are_of_one_person_when_its_own_agrees_and_one_thing_more() {
    let one = walter("ssn=912345678;email=w@example.com;phone=5551234567;gender=male");
    for (other, same) in [
        (one.clone(), true),
        // One thing more: the number, the e-mail address, or the home.
        (walter(""), false),
        (walter("ssn=912345678"), true),
        (walter("email=w@example.com"), true),
        (walter("phone=5551234567"), true),
        (walter("email=x@example.com"), false),
        // Name and day.
        ("name=Walt|Doubletree;born=1961-04-09;phone=5551234567".into(), true),
        ("name=Wolter|Doubletree;born=1961-04-09;phone=5551234567".into(), false),
        ("name=Wolter|Doubletree;born=1961-04-09;ssn=912345678".into(), true),
        ("name=W|Doubletree;born=1961-04-09;ssn=912345678".into(), true),
        ("name=W|Doubletree;born=1961-04-09;phone=5551234567".into(), false),
        ("name=Otto|Doubletree;born=1961-04-09;ssn=912345678".into(), false),
        ("name=Walter|Doubletree;born=1961-04-08;ssn=912345678".into(), false),
        // The family name, unless the number is the same.
        ("name=Walter|Doubletreee;born=1961-04-09;phone=5551234567".into(), true),
        (
            "name=Walter|Doubletree Lane;born=1961-04-09;phone=5551234567".into(),
            true,
        ),
        ("name=Walter|Abernathy;born=1961-04-09;phone=5551234567".into(), false),
        ("name=Walter|;born=1961-04-09;phone=5551234567".into(), false),
        ("name=Walter|Abernathy;born=1961-04-09;ssn=912345678".into(), true),
        ("name=Walter|;born=1961-04-09;ssn=912345678".into(), true),
        // Nothing of its own contradicts.
        (walter("ssn=977025319;phone=5551234567"), false),
        (walter("gender=female;phone=5551234567"), false),
    ] {
        let [a, b] = [&one, &other].map(|text| profile(text));
        assert_eq!(same_person(&a, &b, &Facts::default()), same, "{other}");
        assert_eq!(same_person(&b, &a, &Facts::default()), same, "{other}");
    }
    let named = |name: &str| profile(&format!("name={name};born=1961-04-09;phone=5551234567"));
    for (a, b) in [
        ("Walter|Lane|Jr", "Walter|Lane|Sr"),
        ("Walter Ada|Lane", "Walter Bea|Lane"),
    ] {
        assert!(!same_person(&named(a), &named(b), &Facts::default()), "{a} {b}");
    }
}

/// The level of the numbers that were sent for the first of the records; `same` says that all records are one person's.
fn card(asked: &str, held: &[&str], same: bool) -> Level {
    let held: Vec<Profile> = held.iter().map(|text| profile(text)).collect();
    let facts: Facts = held.iter().collect();
    let refs: Vec<&Profile> = held.iter().collect();
    ids::level(&profile(asked), 0, &refs, &facts, &|_, _| same)
}

#[test]
fn of_several_numbers_the_nearest_counts_unless_one_contradicts() {
    let record = "member=W1234567801;subscriber=W12345678;phone=5551234567";
    let wife = "member=X7777777701;subscriber=X77777777;phone=5551234567";
    let far = "member=X8888888801;subscriber=X88888888";
    let held = [record, wife, far];
    let foreign = "member=H12";
    for (sent, level) in [
        ("member=W1234567801", Level::Exact),
        ("member=W12345678", Level::Partial),
        ("subscriber=W12345678", Level::Partial),
        ("member=W1234567899", Level::Remote),
        ("member=W1234567810", Level::Slip),
        ("member=W1234567802", Level::Slip),
        ("member=W1243567801", Level::Slip),
        ("member=X77777777", Level::Relative),
        ("member=X7777777705", Level::Relative),
        (foreign, Level::Foreign),
        ("member=X8888888801", Level::Differ),
        ("member=W9999999901", Level::Differ),
    ] {
        assert_eq!(card(sent, &held, false), level, "{sent}");
        // Beside a number of somebody else's the nearer one counts, in either order; one that contradicts always does.
        for both in [format!("{foreign};{sent}"), format!("{sent};{foreign}")] {
            assert_eq!(card(&both, &held, false), level, "{both}");
        }
        let both = format!("{sent};member=W9999999901");
        assert_eq!(card(&both, &held, false), Level::Differ, "{both}");
    }
    assert_eq!(card("", &held, false), Level::Missing);
}

#[test]
fn a_slip_needs_six_letters_and_a_part_of_a_number_five() {
    assert_eq!(card("member=M12354", &["member=M12345"], false), Level::Slip);
    assert_ne!(card("member=M1243", &["member=M1234"], false), Level::Slip);
    assert_eq!(ids::subscriber_part("M123401"), "M1234");
    assert_eq!(ids::subscriber_part("M12301"), "M12301");
}

#[test]
fn a_number_of_another_record_of_the_person_is_the_persons() {
    let held = [
        "member=W1234567801;subscriber=W12345678",
        "member=X8888888801;subscriber=X88888888",
    ];
    for (sent, level) in [
        ("member=X8888888801", Level::Exact),
        ("member=X88888888", Level::Partial),
        ("member=X8888888805", Level::Partial),
        ("member=W1234567802", Level::Slip),
    ] {
        assert_eq!(card(sent, &held, true), level, "{sent}");
    }
}

#[test]
fn a_number_across_products_counts_where_both_sides_say_one() {
    for (asked, held, level) in [
        ("umb=U1", "umb=U1", Level::Exact),
        ("umb=U1", "umb=U2", Level::Differ),
        ("umb=U1", "", Level::Missing),
        ("", "umb=U1", Level::Missing),
        ("umb=U1;member=M7000001", "member=M7000001", Level::Exact),
    ] {
        assert_eq!(card(asked, &[held], false), level, "{asked} / {held}");
    }
}

#[test]
fn the_record_of_a_decision_has_tenths_of_bits_and_the_prior_apart() {
    let asked = walter(HOUSE);
    let decision = decided(&asked, &[&asked, "name=Eva|Stone;born=1990-01-01"]);
    let record = decision.record(1);
    assert_eq!(record.candidates.len(), 1);
    assert_eq!(decision.record(5).candidates.len(), 2);
    assert_eq!((record.accept, record.review, record.margin_needed), (10.0, 3.0, 6.0));
    // One in ten thousand is 13.29 bits, log2(0.94 / 0.00005) 14.20, log2(0.7 / 0.0002) 11.77.
    assert_eq!(record.prior, Some(-13.3));
    let row = &record.candidates[0];
    let field = |field: Field| row.fields.iter().find(|row| row.field == field).expect("each field");
    assert_eq!(
        (field(Field::Birth).level, field(Field::Birth).weight),
        (Level::Exact, 14.2)
    );
    assert_eq!(
        (field(Field::Phone).level, field(Field::Phone).weight),
        (Level::Missing, 0.0)
    );
    assert_eq!(field(Field::Address).weight, 11.8);
    assert_eq!(row.rule, Some("address+given+family+birth-date"));
    for bits in [
        row.individual,
        row.household,
        row.total,
        record.margin.expect("another person"),
    ] {
        assert!((bits * 10.0 - (bits * 10.0).round()).abs() < 1e-6, "{bits}");
    }
    let whole = &decision.ranked[0].score;
    for (found, exact) in [
        (row.individual, whole.individual),
        (row.household, whole.household),
        (row.total, whole.total),
    ] {
        assert!((found - exact).abs() < 0.051, "{found} {exact}");
    }
    assert_eq!(decided(WALTER, &[]).record(1).prior, None);
    assert_eq!(decided(&asked, &[&asked]).record(1).margin, None);
}

#[test]
fn a_decision_is_a_table_that_a_person_can_read() {
    let decision = decided(
        "name=Eva|Stone;born=1990-01-01;gender=f",
        &["name=Eva|Stone;born=1990-01-01;gender=m"],
    );
    let record = decision.record(1);
    let one = &record.candidates[0];
    let (given, family) = (one.fields[0].weight, one.fields[2].weight);
    let expected = format!(
        "review: best candidate 0
not automatic because: name and birth date agree, nothing else does
needs 10.0 to match, 3.0 for a review; margin no other person

candidate 0: {:.1} bits (own {:.1}, household {:.1})
  given      exact       {given:>+6.1}
  middle     missing          -
  family     exact       {family:>+6.1}
  suffix     missing          -
  birth      exact        +14.2
  gender     differ        -5.6
  ssn        missing          -
  email      missing          -
  phone      missing          -
  address    missing          -
  member_id  missing          -
",
        one.total, one.individual, one.household
    );
    assert_eq!(record.table(), expected);
    let matched = decided(&walter(HOUSE), &[&walter(HOUSE), "name=Eva|Stone;born=1990-01-01"]).record(1);
    let table = matched.table();
    assert!(table.starts_with("match: candidate 0\nneeds 10.0 to match"), "{table}");
    assert!(
        table.contains(&format!("margin {:.1} (needs 6.0)", matched.margin.expect("another"))),
        "{table}"
    );
    assert!(table.contains(", rule address+given+family+birth-date\n"), "{table}");
    assert!(decided(WALTER, &[]).record(1).table().starts_with("none\n"));
}
