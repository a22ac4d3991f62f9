//! What is learnt from pairs, against values worked out by hand from the module's documentation: each level is thought to have been seen in
//! two pairs beforehand, spread as the start says; a share moves at most by a factor of two for what was never seen, and by one more factor
//! of two for each doubling of what was.

use causeway_identity::train::{Patterns, Strangers, bits, posterior, train};
use causeway_identity::{Field, Level, LevelShares, Levels, MatchingPolicy};

fn levels(pairs: &[(Field, Level)]) -> Levels {
    let mut levels = Levels::default();
    for (field, level) in pairs {
        levels.set(*field, *level);
    }
    levels
}

fn patterns(lines: &[(&Levels, usize)]) -> Patterns {
    let mut patterns = Patterns::default();
    for (levels, times) in lines {
        (0..*times).for_each(|_| patterns.add(**levels));
    }
    patterns
}

#[track_caller]
fn near(found: f64, expected: f64) {
    assert!(
        (found / expected - 1.0).abs() < 1e-6,
        "found {found}, expected {expected}"
    );
}

/// Shares that add up to one, so that what is believed beforehand is what stands here.
fn start() -> MatchingPolicy {
    let mut policy = MatchingPolicy::default();
    policy.set_shares(Field::Gender, Level::Exact, LevelShares { m: 0.9, u: 0.5 });
    policy.set_shares(Field::Gender, Level::Differ, LevelShares { m: 0.1, u: 0.5 });
    policy
}

fn all(level: Level) -> Levels {
    levels(&Field::ALL.map(|field| (field, level)))
}

#[test]
fn the_weights_of_a_pair_add_up_to_its_probability() {
    let policy = start();
    let agrees = levels(&[(Field::Gender, Level::Exact)]);
    near(bits(&agrees, &policy), (0.9f64 / 0.5).log2());
    // The odds of 1 to 1 become those of 0.9 to 0.5, those of 1 to 4 a quarter of that.
    near(posterior(&agrees, &policy, 0.5), 1.8 / 2.8);
    near(posterior(&agrees, &policy, 0.2), 0.45 / 1.45);
    near(posterior(&Levels::default(), &policy, 0.2), 0.2);
    let differs = levels(&[(Field::Gender, Level::Differ), (Field::Suffix, Level::Differ)]);
    // 0.1 to 0.5 and, as the policy that ships has it, 0.02 to 0.5.
    near(posterior(&differs, &policy, 0.5), 0.008 / 1.008);
}

#[test]
fn pairs_are_counted_by_their_levels() {
    let (one, other) = (all(Level::Exact), all(Level::Differ));
    assert_eq!(patterns(&[(&one, 3), (&other, 4), (&one, 2)]).pairs(), 9);
    assert_eq!(Patterns::default().pairs(), 0);
}

#[test]
fn strangers_are_learnt_from_pairs_drawn_blindly() {
    let random = patterns(&[
        (&levels(&[(Field::Gender, Level::Exact)]), 60),
        (&levels(&[(Field::Gender, Level::Differ)]), 40),
    ]);
    let found = train(&Patterns::default(), &start(), &Strangers::FromRandom(random));
    assert_eq!(
        (found.rounds, found.same),
        (0, 0.2),
        "there is no pair to learn persons from"
    );
    let [exact, differ] = [Level::Exact, Level::Differ].map(|level| found.policy.shares(Field::Gender, level));
    // 60 and 40 seen, 0.5 of 2 believed of each.
    near(exact.u, 61.0 / 102.0);
    near(differ.u, 41.0 / 102.0);
    assert_eq!(
        (exact.m, differ.m),
        (0.9, 0.1),
        "what is the same person's was not seen"
    );
    // A field that no pair says anything of stays as it was, but for its shares adding up to one.
    let suffix = found.policy.shares(Field::Suffix, Level::Exact);
    near(suffix.u, 0.5);
}

#[test]
fn what_is_believed_beforehand_is_a_share_of_all_that_is_believed() {
    let mut policy = MatchingPolicy::default();
    policy.set_shares(Field::Suffix, Level::Exact, LevelShares { m: 0.9, u: 0.3 });
    policy.set_shares(Field::Suffix, Level::Differ, LevelShares { m: 0.05, u: 0.1 });
    let random = patterns(&[
        (&levels(&[(Field::Suffix, Level::Exact)]), 1),
        (&levels(&[(Field::Suffix, Level::Differ)]), 1),
    ]);
    let found = train(&Patterns::default(), &policy, &Strangers::FromRandom(random)).policy;
    // 0.3 of 0.4 and 0.1 of 0.4 are believed.
    near(found.shares(Field::Suffix, Level::Exact).u, (1.0 + 2.0 * 0.75) / 4.0);
    near(found.shares(Field::Suffix, Level::Differ).u, (1.0 + 2.0 * 0.25) / 4.0);
}

#[test]
fn a_share_moves_one_bit_unseen_and_one_more_for_each_doubling() {
    let random = |exact: usize, slip: usize, differ: usize| {
        let lines = [(Level::Exact, exact), (Level::Slip, slip), (Level::Differ, differ)];
        let lines = lines.map(|(level, times)| (levels(&[(Field::Phone, level)]), times));
        Strangers::FromRandom(patterns(&lines.each_ref().map(|(levels, times)| (levels, *times))))
    };
    let start = MatchingPolicy::default();
    let believed: f64 = Field::Phone
        .levels()
        .iter()
        .map(|level| start.shares(Field::Phone, *level).u)
        .sum();
    let slip = start.shares(Field::Phone, Level::Slip).u / believed;
    let of = |strangers: Strangers| {
        let found = train(&Patterns::default(), &start, &strangers);
        found.policy.shares(Field::Phone, Level::Slip).u
    };
    near(of(random(0, 0, 1_000)), slip / 2.0);
    // Seen once it may move by two bits, seen three times by three, seen seven times by four.
    near(of(random(0, 1, 1)), slip * 4.0);
    near(of(random(0, 3, 1)), slip * 8.0);
    near(of(random(0, 7, 1)), slip * 16.0);
}

#[test]
fn persons_are_learnt_from_pairs_that_are_told_apart() {
    let (same, strangers) = (all(Level::Exact), all(Level::Differ));
    let pairs = patterns(&[(&same, 50), (&strangers, 150)]);
    let found = train(&pairs, &start(), &Strangers::FromPairs);
    near(found.same, 0.25);
    assert_eq!(found.rounds, 2, "the second round moves nothing");
    let [exact, differ] = [Level::Exact, Level::Differ].map(|level| found.policy.shares(Field::Gender, level));
    // 50 of 50 seen and 0.9 of 2 believed; none seen is half of what was believed.
    near(exact.m, (50.0 + 2.0 * 0.9) / 52.0);
    near(differ.m, 0.05);
    near(exact.u, 0.25);
    near(differ.u, (150.0 + 2.0 * 0.5) / 152.0);
    // Strangers that come from elsewhere are not learnt from the pairs.
    let elsewhere = Strangers::FromRandom(patterns(&[
        (&levels(&[(Field::Gender, Level::Exact)]), 60),
        (&levels(&[(Field::Gender, Level::Differ)]), 40),
    ]));
    let found = train(&pairs, &start(), &elsewhere);
    near(found.same, 0.25);
    let [exact, differ] = [Level::Exact, Level::Differ].map(|level| found.policy.shares(Field::Gender, level));
    near(exact.m, (50.0 + 2.0 * 0.9) / 52.0);
    near(exact.u, 61.0 / 102.0);
    near(differ.u, 41.0 / 102.0);
}

#[test]
fn of_a_roster_a_pair_starts_as_one_in_all_and_a_household_is_one_bundle() {
    let nothing = || Patterns::default();
    let household = levels(&[
        (Field::Family, Level::Exact),
        (Field::Phone, Level::Exact),
        (Field::Address, Level::Exact),
        (Field::MemberId, Level::Exact),
    ]);
    let of = |pair: &Levels, records: u64| {
        let strangers = Strangers::FromRoster(nothing(), records);
        train(&patterns(&[(pair, 100)]), &MatchingPolicy::default(), &strangers).same
    };
    // Field by field a household weighs some 46 bits, which would outweigh a roster of 2^30; as one bundle it weighs 20 at most.
    assert!(of(&household, 1 << 30) < 0.01, "{}", of(&household, 1 << 30));
    assert!(of(&household, 1 << 10) > 0.9, "{}", of(&household, 1 << 10));
    // What is the person's own counts whole.
    let mut person = household;
    for field in [Field::Given, Field::Birth, Field::Ssn] {
        person.set(field, Level::Exact);
    }
    assert!(of(&person, 1 << 30) > 0.999, "{}", of(&person, 1 << 30));
    // Nothing said: one in the roster, and in a roster of one still no more than one in two.
    for (records, share) in [(0, 1.0 / 3.0), (1, 1.0 / 3.0), (2, 1.0 / 3.0), (999, 1.0 / 1_000.0)] {
        near(of(&Levels::default(), records), share);
    }
}

#[test]
fn no_level_comes_to_weigh_more_than_agreement_or_less_than_contradiction() {
    let start = MatchingPolicy::default();
    // Slips among persons only, agreement among strangers only: learnt freely a slip would tell more than agreement.
    let slip = {
        let mut levels = all(Level::Exact);
        levels.set(Field::Phone, Level::Slip);
        levels
    };
    let stranger = {
        let mut levels = all(Level::Differ);
        levels.set(Field::Phone, Level::Exact);
        levels
    };
    let pairs = patterns(&[(&slip, 4_000), (&stranger, 4_000)]);
    let random = patterns(&[(&stranger, 4_000)]);
    for strangers in [
        Strangers::FromPairs,
        Strangers::FromRandom(random.clone()),
        Strangers::FromRoster(random, 10_000),
    ] {
        let found = train(&pairs, &start, &strangers).policy;
        assert_eq!(found.absurdity(), None);
        let weight = |level| found.weight(Field::Phone, level);
        // Agreement never speaks against a person, contradiction never for one.
        assert!(weight(Level::Exact) >= -1e-9 && weight(Level::Differ) <= 1e-9);
        for level in Field::Phone.levels() {
            let shares = found.shares(Field::Phone, *level);
            assert!(
                shares.m > 0.0 && shares.m <= 1.0 && shares.u > 0.0 && shares.u <= 1.0,
                "{shares:?}"
            );
        }
        // Agreement among strangers weighs nothing any more, and a slip gives way to it: it weighs as much, not less.
        near(1.0 + weight(Level::Exact), 1.0);
        near(1.0 + weight(Level::Slip), 1.0);
    }
}

/// Pairs in which only this field is said, so often at each level.
fn of_field(field: Field, lines: &[(Level, usize)]) -> Patterns {
    let mut patterns = Patterns::default();
    for (level, times) in lines {
        (0..*times).for_each(|_| patterns.add(levels(&[(field, *level)])));
    }
    patterns
}

/// Pairs of persons by everything but `field`, which is so often at each level.
fn persons(field: Field, lines: &[(Level, usize)]) -> Patterns {
    let mut patterns = Patterns::default();
    for (level, times) in lines {
        let mut levels = all(Level::Exact);
        levels.set(field, *level);
        (0..*times).for_each(|_| patterns.add(levels));
    }
    patterns
}

#[test]
fn where_strangers_are_fixed_a_level_gives_way_by_its_share_among_persons() {
    // Of e-mail addresses among strangers a tenth agrees, none in part; among persons half and half. In part would tell more.
    let strangers = of_field(Field::Email, &[(Level::Exact, 100), (Level::Differ, 900)]);
    let pairs = persons(Field::Email, &[(Level::Exact, 500), (Level::Part, 500)]);
    let found = train(&pairs, &MatchingPolicy::default(), &Strangers::FromRandom(strangers)).policy;
    let [exact, part] = [Level::Exact, Level::Part].map(|level| found.shares(Field::Email, level));
    assert!(exact.m > exact.u);
    near(part.m / part.u, exact.m / exact.u);
    // None seen is half of what was believed: 0.003 of 1.003 (0.0001, 0.003 and 0.9999).
    near(part.u, 0.0015 / 1.003);
    // Half and half among strangers, in part or not at all, and never in part among persons: in part would contradict more.
    let strangers = of_field(Field::Email, &[(Level::Part, 500), (Level::Differ, 500)]);
    let pairs = persons(Field::Email, &[(Level::Exact, 1_000)]);
    let found = train(&pairs, &MatchingPolicy::default(), &Strangers::FromRandom(strangers)).policy;
    let [part, differ] = [Level::Part, Level::Differ].map(|level| found.shares(Field::Email, level));
    assert!(differ.m < differ.u);
    near(part.m / part.u, differ.m / differ.u);
    near(differ.m, 0.16);
}

#[test]
fn persons_too_are_believed_beforehand_by_their_share_of_all_that_is_believed() {
    let mut policy = MatchingPolicy::default();
    policy.set_shares(Field::Suffix, Level::Exact, LevelShares { m: 0.6, u: 0.3 });
    policy.set_shares(Field::Suffix, Level::Differ, LevelShares { m: 0.2, u: 0.5 });
    let pairs = persons(Field::Suffix, &[(Level::Exact, 3), (Level::Differ, 1)]);
    let found = train(&pairs, &policy, &Strangers::FromPairs).policy;
    // 0.6 of 0.8 and 0.2 of 0.8 are believed, 3 and 1 of 4 seen.
    near(found.shares(Field::Suffix, Level::Exact).m, (3.0 + 2.0 * 0.75) / 6.0);
    near(found.shares(Field::Suffix, Level::Differ).m, (1.0 + 2.0 * 0.25) / 6.0);
}

#[test]
fn the_share_of_persons_never_becomes_all_or_nothing() {
    let of = |level| train(&patterns(&[(&all(level), 100)]), &start(), &Strangers::FromPairs).same;
    assert!(of(Level::Exact) < 1.0 && of(Level::Exact) > 0.999);
    assert!(of(Level::Differ) > 0.0 && of(Level::Differ) < 0.001);
}
