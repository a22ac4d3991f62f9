//! The numbers that decide: how they are read, what no policy may say, what a comparison weighs under them and which rules hold. Expected
//! values are worked out from the policy that ships: shares of 0.895 and 0.004 are log2(0.895 / 0.004) bits.

use causeway_identity::comparison::Comparison;
use causeway_identity::rules;
use causeway_identity::score::{Score, collisions, population, satisfies, score};
use causeway_identity::{Facts, Field, Level, LevelShares, Levels, MatchingPolicy, Point, Profile};

/// The policy that ships with one line replaced; the line must be there.
fn with(line: &str, other: &str) -> MatchingPolicy {
    parsed(line, other).expect("a policy")
}

fn parsed(line: &str, other: &str) -> Result<MatchingPolicy, causeway_identity::PolicyError> {
    let text = MatchingPolicy::default().canonical();
    assert!(text.lines().any(|one| one == line), "{line}");
    let lines: Vec<&str> = text.lines().map(|one| if one == line { other } else { one }).collect();
    MatchingPolicy::parse(&lines.join("\n"))
}

fn levels(pairs: &[(Field, Level)]) -> Levels {
    let mut levels = Levels::default();
    for (field, level) in pairs {
        levels.set(*field, *level);
    }
    levels
}

fn scored(pairs: &[(Field, Level)]) -> Score {
    let compared = Comparison {
        levels: levels(pairs),
        ..Comparison::default()
    };
    score(&compared, &Facts::default(), &MatchingPolicy::default())
}

#[track_caller]
fn near(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-9, "found {found}, expected {expected}");
}

fn bits(m: f64, u: f64) -> f64 {
    (m / u).log2()
}

#[test]
fn the_crowd_is_the_roster_or_that_of_the_policy_if_it_is_larger() {
    let records = |count: usize| -> Facts { vec![Profile::default(); count].iter().collect() };
    near(population(&records(0), &MatchingPolicy::default()), 10_000.0);
    near(population(&records(20_000), &MatchingPolicy::default()), 20_000.0);
    near(
        population(&records(0), &with("population = 10000", "population = 0.1")),
        1.0,
    );
    near(
        population(&records(7), &with("population = 10000", "population = 2")),
        7.0,
    );
}

#[test]
fn the_bits_of_a_person_add_up_over_the_prior() {
    let score = scored(&[
        (Field::Given, Level::Nickname),
        (Field::Birth, Level::Exact),
        (Field::Gender, Level::Differ),
    ]);
    let own = bits(0.045, 0.0025) + bits(0.94, 0.00005) + bits(0.01, 0.5);
    near(score.weights[Field::Given as usize], bits(0.045, 0.0025));
    near(score.weights[Field::Middle as usize], 0.0);
    near(score.individual, own);
    near(score.household, 0.0);
    near(score.total, own - 10_000f64.log2());
    near(scored(&[]).total, -(10_000f64.log2()));
}

#[test]
fn the_dependents_digits_are_the_persons_own() {
    for (level, own, household) in [
        (Level::Exact, 3.0, bits(0.7, 0.0001)),
        (Level::Remote, -2.0, bits(0.03, 0.0002)),
        (Level::Partial, 0.0, bits(0.12, 0.0001)),
    ] {
        let score = scored(&[(Field::MemberId, level)]);
        near(score.individual, own);
        near(score.household, household);
    }
}

#[test]
fn a_household_is_one_bundle_with_a_cap_and_a_floor() {
    use Field::{Address, Family, MemberId, Phone};
    use Level::{Differ, Exact};
    let (family, phone) = (bits(0.89, 0.0008), bits(0.75, 0.0003));
    let (address, card) = (bits(0.7, 0.0002), bits(0.7, 0.0001));
    let household = |pairs: &[(Field, Level)]| scored(pairs).household;
    near(household(&[(Family, Exact)]), family);
    near(household(&[(Phone, Exact), (Family, Exact)]), phone + family / 2.0);
    near(
        household(&[(Family, Exact), (Phone, Exact), (Address, Exact)]),
        (address + phone / 2.0 + family / 4.0).min(20.0),
    );
    let slip = bits(0.02, 0.0005);
    let near_family = bits(0.006, 0.005);
    near(
        household(&[
            (Family, Level::Alike),
            (Phone, Level::Slip),
            (Address, Level::Near),
            (MemberId, Level::Slip),
        ]),
        bits(0.03, 0.0001) + slip / 2.0 + bits(0.02, 0.002) / 4.0 + near_family / 10.0,
    );
    near(
        household(&[(Family, Exact), (Phone, Exact), (Address, Exact), (MemberId, Exact)]),
        20.0,
    );
    assert!(card + address / 2.0 + phone / 4.0 + family / 10.0 > 20.0);
    // What contradicts is whole, and for all of it nine bits at most.
    near(household(&[(Phone, Differ)]), bits(0.23, 0.999));
    near(
        household(&[(Phone, Differ), (Address, Differ)]),
        bits(0.23, 0.999) + bits(0.095, 0.9),
    );
    near(
        household(&[(Phone, Differ), (Address, Differ), (MemberId, Differ)]),
        -9.0,
    );
    near(
        household(&[(Family, Exact), (Address, Differ)]),
        family + bits(0.095, 0.9),
    );
}

#[test]
fn a_rare_name_weighs_more_than_a_common_one_within_bounds() {
    let of = |given_share: f64, family_share: f64| {
        let compared = Comparison {
            levels: levels(&[(Field::Given, Level::Exact), (Field::Family, Level::Exact)]),
            given_share,
            family_share,
        };
        let score = score(&compared, &Facts::default(), &MatchingPolicy::default());
        (
            score.weights[Field::Given as usize],
            score.weights[Field::Family as usize],
        )
    };
    let (given, family) = of(0.895 / 128.0, 0.89 / 256.0);
    near(given, 7.0);
    near(family, 8.0);
    let (given, family) = of(1e-9, 1e-9);
    near(given, 10.0);
    near(family, 12.0);
    let (given, family) = of(0.9, 0.9);
    near(given, 4.0);
    near(family, 5.0);
    // Where no share is known, what the policy says of an average name.
    let (given, family) = of(0.0, 0.0);
    near(given, bits(0.895, 0.004));
    near(family, bits(0.89, 0.0008));
    // A name that is not the very name weighs what its level does, whatever the share.
    let compared = Comparison {
        levels: levels(&[(Field::Given, Level::Slip)]),
        given_share: 0.5,
        family_share: 0.5,
    };
    let slip = score(&compared, &Facts::default(), &MatchingPolicy::default());
    near(slip.weights[Field::Given as usize], bits(0.02, 0.001));
}

#[test]
fn strangers_collide_as_often_as_their_own_fields_and_the_rarest_of_a_household() {
    let of = |needs: &[(Field, &[Level])]| collisions(needs, &Facts::default(), &MatchingPolicy::default());
    let relative = |found: f64, expected: f64| assert!((found / expected - 1.0).abs() < 1e-9, "{found} {expected}");
    relative(of(&[]), 10_000.0);
    relative(
        of(&[(Field::Ssn, &[Level::Exact]), (Field::Birth, &[Level::Exact])]),
        1e-6 * 5e-5 * 1e4,
    );
    relative(of(&[(Field::Given, &[Level::Exact, Level::Nickname])]), 0.0065 * 1e4);
    relative(
        of(&[
            (Field::Phone, &[Level::Exact]),
            (Field::Address, &[Level::Exact, Level::Slip]),
            (Field::Birth, &[Level::Exact]),
        ]),
        0.0003 * 5e-5 * 1e4,
    );
    let needs: &[(Field, &[Level])] = &[
        (Field::Given, &[Level::Exact, Level::Nickname]),
        (Field::Birth, &[Level::Exact]),
    ];
    assert!(satisfies(
        &levels(&[(Field::Given, Level::Nickname), (Field::Birth, Level::Exact)]),
        needs
    ));
    assert!(!satisfies(
        &levels(&[(Field::Given, Level::Nickname), (Field::Birth, Level::Slip)]),
        needs
    ));
    assert!(!satisfies(&levels(&[(Field::Birth, Level::Exact)]), needs));
}

#[test]
fn the_strongest_rule_that_holds_is_named() {
    use Field::{Address, Birth, Email, Family, Given, MemberId, Middle, Phone, Ssn};
    use Level::{Exact, Nickname, Part, Partial, Remote, Slip, Swapped};
    let base = [(Given, Nickname), (Family, Part), (Birth, Exact)];
    let slip = [(Given, Nickname), (Family, Slip), (Birth, Swapped)];
    let very = [(Given, Exact), (Family, Exact), (Birth, Exact)];
    for (start, more, name) in [
        (&base, (Ssn, Exact), Some("ssn+birth-date+given")),
        (&slip, (Ssn, Exact), Some("ssn+given+family")),
        (&base, (MemberId, Exact), Some("member-id+given+birth-date")),
        (&base, (MemberId, Remote), Some("subscriber-id+given+family+birth-date")),
        (&base, (Ssn, Partial), Some("ssn4+given+family+birth-date")),
        (&base, (Email, Exact), Some("email+given+birth-date")),
        (&base, (Address, Slip), Some("address+given+family+birth-date")),
        (&base, (Phone, Exact), Some("phone+given+family+birth-date")),
        (&slip, (MemberId, Exact), None),
        (&slip, (Ssn, Partial), Some("ssn4+given+family+birth-slip")),
        (&slip, (Email, Exact), Some("email+given+family+birth-slip")),
        (&very, (Middle, Exact), Some("middle+given+family+birth-date")),
        (&base, (Middle, Exact), None),
        (&base, (Phone, Slip), None),
        (&base, (Address, Level::Near), None),
    ] {
        let mut pairs = start.to_vec();
        pairs.push(more);
        let found = rules::first(&levels(&pairs), &Facts::default(), &MatchingPolicy::default());
        assert_eq!(found, name, "{pairs:?}");
    }
    let mut card = levels(&slip);
    card.set(Given, Exact);
    card.set(MemberId, Exact);
    let found = rules::first(&card, &Facts::default(), &MatchingPolicy::default());
    assert_eq!(found, Some("member-id+given+birth-slip"));
}

#[test]
fn a_rule_is_in_force_up_to_its_own_bound() {
    let facts = Facts::default();
    let row = |policy: &MatchingPolicy| {
        let rows = rules::table(&facts, policy);
        assert_eq!(rows.len(), 12);
        rows.into_iter()
            .find(|row| row.name == "email+given+birth-date")
            .expect("a rule")
    };
    let found = row(&MatchingPolicy::default());
    assert!(found.in_force);
    near(found.bound, 0.001);
    near(found.collisions, 0.0001 * 0.0065 * 0.00005 * 10_000.0);
    let names = levels(&[
        (Field::Email, Level::Exact),
        (Field::Given, Level::Exact),
        (Field::Birth, Level::Exact),
    ]);
    let line = "rule.email+given+birth-date = 0.001";
    for (bound, in_force) in [
        (found.collisions, true),
        (found.collisions * 1.01, true),
        (found.collisions * 0.99, false),
        (0.0, false),
    ] {
        let policy = with(line, &format!("rule.email+given+birth-date = {bound}"));
        assert_eq!(row(&policy).in_force, in_force, "{bound}");
        assert_eq!(rules::first(&names, &facts, &policy).is_some(), in_force, "{bound}");
    }
    assert_eq!(found.needs[0], (Field::Email, vec![Level::Exact]));
}

#[test]
fn each_place_of_the_catalogue_has_its_bound() {
    let policy = with("rule.ssn+birth-date+given = 0.001", "rule.ssn+birth-date+given = 0.5");
    near(policy.rule_bound(0), 0.5);
    near(policy.rule_bound(1), 0.001);
    near(policy.rule_bound(11), 0.001);
    near(policy.rule_bound(12), 0.0);
}

#[test]
fn each_operating_point_has_its_own_bounds() {
    let policy = MatchingPolicy::default();
    let of = |point| {
        let bounds = policy.bounds(point);
        [
            bounds.accept,
            bounds.thin,
            bounds.faint,
            bounds.renamed,
            bounds.review,
            bounds.margin,
        ]
    };
    assert_eq!(of(Point::Safe), [10.0, 12.0, 40.0, 8.0, 3.0, 6.0]);
    assert_eq!(of(Point::Balanced), [8.0, 9.0, 18.0, 7.0, 3.0, 4.0]);
    assert_eq!((Point::Safe.code(), Point::Balanced.code()), ("safe", "balanced"));
}

#[test]
fn a_level_without_shares_weighs_nothing() {
    let mut policy = MatchingPolicy::default();
    near(policy.weight(Field::Gender, Level::Exact), bits(0.99, 0.5));
    near(policy.weight(Field::Gender, Level::Missing), 0.0);
    for (m, u) in [(0.0, 0.5), (0.5, 0.0)] {
        policy.set_shares(Field::Gender, Level::Exact, LevelShares { m, u });
        near(policy.weight(Field::Gender, Level::Exact), 0.0);
    }
}

/// What becomes of the policy that ships when one line is another.
fn is_absurd(line: &str, other: &str) -> bool {
    with(line, other).absurdity().is_some()
}

#[test]
fn what_no_policy_may_say_begins_right_behind_what_it_may() {
    for (line, key, allowed, refused) in [
        ("population = 10000", "population", "1", "0.9"),
        ("household.cap = 20", "household.cap", "24", "24.1"),
        ("household.cap = 20", "household.cap", "0", "-0.1"),
        (
            "household.shares = 1 0.5 0.25 0.1",
            "household.shares",
            "1 1 0 0",
            "1.1 1 0 0",
        ),
        (
            "household.shares = 1 0.5 0.25 0.1",
            "household.shares",
            "0 0 0 1",
            "0 0 0 -0.1",
        ),
        ("given.bits = 4 10", "given.bits", "0 16", "0 16.1"),
        ("given.bits = 4 10", "given.bits", "0 0", "-0.1 0"),
        ("given.bits = 4 10", "given.bits", "5 5", "5 4.9"),
        ("family.bits = 5 12", "family.bits", "0 16", "0 16.1"),
        ("family.bits = 5 12", "family.bits", "0 0", "-0.1 0"),
        ("family.bits = 5 12", "family.bits", "5 5", "5 4.9"),
        ("dependent.bits = 3 -2", "dependent.bits", "0 0", "-0.1 0"),
        ("dependent.bits = 3 -2", "dependent.bits", "16 -16", "16.1 -16"),
        ("dependent.bits = 3 -2", "dependent.bits", "16 -16", "16 -16.1"),
        ("dependent.bits = 3 -2", "dependent.bits", "0 0", "0 0.1"),
        ("rule.ssn+given+family = 0.001", "rule.ssn+given+family", "1", "1.1"),
        ("rule.ssn+given+family = 0.001", "rule.ssn+given+family", "0", "-0.1"),
        ("safe.review = 3", "safe.review", "0.1", "0"),
        ("safe.review = 3", "safe.review", "8", "8.1"),
        ("safe.margin = 6", "safe.margin", "0", "-0.1"),
        ("safe.accept = 10", "safe.accept", "3", "2.9"),
        ("safe.thin = 12", "safe.thin", "3", "2.9"),
        ("safe.faint = 40", "safe.faint", "3", "2.9"),
        ("safe.renamed = 8", "safe.renamed", "3", "2.9"),
        ("balanced.review = 3", "balanced.review", "0.1", "0"),
        ("balanced.margin = 4", "balanced.margin", "0", "-0.1"),
        ("balanced.accept = 8", "balanced.accept", "3", "2.9"),
        ("balanced.thin = 9", "balanced.thin", "3", "2.9"),
        ("balanced.faint = 18", "balanced.faint", "3", "2.9"),
        ("balanced.renamed = 7", "balanced.renamed", "3", "2.9"),
    ] {
        assert!(!is_absurd(line, &format!("{key} = {allowed}")), "{key} {allowed}");
        assert!(is_absurd(line, &format!("{key} = {refused}")), "{key} {refused}");
    }
}

#[test]
fn no_level_may_weigh_more_than_agreement_or_less_than_contradiction() {
    let of = |field, level, weight: f64| {
        let mut policy = MatchingPolicy::default();
        let u = 0.1;
        policy.set_shares(
            field,
            level,
            LevelShares {
                m: u * weight.exp2(),
                u,
            },
        );
        policy.absurdity().is_some()
    };
    let policy = MatchingPolicy::default();
    let [most, least] = [Level::Exact, Level::Differ].map(|level| policy.weight(Field::Email, level));
    // Rounding is forgiven: a millionth of a bit, not two.
    assert!(!of(Field::Email, Level::Part, most + 5e-7) && of(Field::Email, Level::Part, most + 2e-6));
    assert!(!of(Field::Email, Level::Part, least - 5e-7) && of(Field::Email, Level::Part, least - 2e-6));
    // Agreement may weigh nothing, not less; contradiction nothing, not more.
    assert!(!of(Field::Suffix, Level::Exact, -5e-7) && of(Field::Suffix, Level::Exact, -2e-6));
    assert!(!of(Field::Suffix, Level::Differ, 5e-7) && of(Field::Suffix, Level::Differ, 2e-6));
}

#[test]
fn a_share_is_above_nothing_and_at_most_all() {
    let line = "gender.exact = 0.99 0.5";
    for (shares, is_read) in [
        ("1 1", true),
        ("0.000001 0.000001", true),
        ("1.1 0.5", false),
        ("0.5 1.1", false),
        ("0 0.5", false),
        ("0.5 0", false),
        ("-0.1 0.5", false),
    ] {
        let found = parsed(line, &format!("gender.exact = {shares}"));
        assert_eq!(found.is_ok(), is_read, "{shares}");
    }
    let found = parsed(line, "gender.exact = 1 0.25").expect("a policy");
    assert_eq!(
        found.shares(Field::Gender, Level::Exact),
        LevelShares { m: 1.0, u: 0.25 }
    );
}

#[test]
fn what_is_no_policy_is_refused_with_its_line() {
    let line = "population = 10000";
    let text = MatchingPolicy::default().canonical();
    let number = 1 + text.lines().position(|one| one == line).expect("is there");
    for (other, what) in [
        ("population = 1 2", "wrong count of numbers"),
        ("population =", "wrong count of numbers"),
        ("population = inf", "not a number"),
        ("population = NaN", "not a number"),
        ("population = x", "not a number"),
        ("population 3", "expected key = numbers"),
        ("populations = 3", "unknown key"),
        ("safe.other = 3", "unknown key"),
        ("gender.slip = 0.1 0.1", "unknown key"),
        ("rule.other = 0.1", "unknown key"),
        ("rule.collisions = 1 2", "unknown key"),
        ("given.bits = 4 10", "repeated"),
    ] {
        let found = parsed(line, other).expect_err(other);
        assert_eq!((found.line, found.what.as_str()), (number, what), "{other}");
        assert_eq!(found.to_string(), format!("policy line {number}: {what}"));
    }
    for line in text.lines() {
        let key = line.split(' ').next().unwrap_or("");
        let found = parsed(line, "# a comment").expect_err(line);
        assert_eq!((found.line, found.what), (0, format!("missing {key}")));
    }
    assert_eq!(
        parsed(line, " population = 10000 # a comment "),
        Ok(MatchingPolicy::default())
    );
}

#[test]
fn each_number_is_kept_in_its_own_place() {
    // Each number of each line made another is another policy, and reads back as it was written.
    let text = MatchingPolicy::default().canonical();
    for line in text.lines() {
        let (key, values) = line.split_once(" = ").expect("key = numbers");
        let values: Vec<&str> = values.split(' ').collect();
        for at in 0..values.len() {
            let mut other = values.clone();
            other[at] = "0.123";
            let other = format!("{key} = {}", other.join(" "));
            let expected = text.replace(line, &other);
            assert_eq!(with(line, &other).canonical(), expected, "{other}");
        }
    }
}
