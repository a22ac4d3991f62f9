//! What is counted over a roster: shares by hand from the counts, and how often a form must be seen to be one.

mod said;

use causeway_identity::{Facts, Profile};
use said::profile;

/// A roster of so many records, made from the texts in turn.
fn roster(texts: &[(&str, usize)]) -> Facts {
    let profiles: Vec<Profile> = texts
        .iter()
        .flat_map(|(text, times)| std::iter::repeat_n(profile(text), *times))
        .collect();
    profiles.iter().collect()
}

fn is_near(found: f64, expected: f64) -> bool {
    (found - expected).abs() < 1e-12
}

#[test]
fn a_share_is_the_count_smoothed_by_a_thousand_average_records() {
    // Of 1,000 records 499 are Ana, 249 are Lanes.
    let facts = roster(&[
        ("name=Ana|Lane", 249),
        ("name=Ana|Quist", 250),
        ("name=Otto|Quist", 501),
    ]);
    assert_eq!(facts.records(), 1_000);
    assert!(is_near(facts.given_share("ana"), (499.0 + 1.0) / 2_000.0));
    assert!(is_near(facts.given_share("otto"), (501.0 + 1.0) / 2_000.0));
    assert!(is_near(facts.given_share("nobody"), 1.0 / 2_000.0));
    assert!(is_near(facts.family_share("lane"), (249.0 + 0.2) / 2_000.0));
    assert!(is_near(facts.family_share("nobody"), 0.2 / 2_000.0));
}

#[test]
fn of_a_record_the_usual_name_is_counted_once_by_its_first_name() {
    let facts = roster(&[
        ("name=Ana Bea|Lane;name=Carla|Quist", 100),
        ("name=|Lane", 100),
        ("", 100),
    ]);
    assert_eq!(facts.records(), 300);
    assert!(is_near(facts.given_share("ana"), 101.0 / 1_300.0));
    for other in ["bea", "carla"] {
        assert!(is_near(facts.given_share(other), 1.0 / 1_300.0), "{other}");
    }
    assert!(is_near(facts.family_share("lane"), 200.2 / 1_300.0));
    assert!(is_near(facts.family_share("quist"), 0.2 / 1_300.0));
}

#[test]
fn a_first_name_is_one_that_the_table_holds_or_that_two_people_bear() {
    let facts = roster(&[("name=Loxen|Lane", 2), ("name=Luxen|Lane", 1)]);
    assert!(facts.is_given_name("robert"));
    assert!(facts.is_given_name("loxen"));
    assert!(!facts.is_given_name("luxen"));
    assert!(!facts.is_given_name("lane"));
}

#[test]
fn a_form_is_one_that_a_hundredth_of_the_roster_has() {
    let with = |numbers: usize, all: usize| roster(&[("member=M1234567;subscriber=S12", numbers), ("", all - numbers)]);
    for (facts, is_form) in [
        (with(1, 1), true),
        (with(1, 100), true),
        (with(1, 101), false),
        (with(2, 101), true),
        (with(2, 201), false),
    ] {
        assert_eq!(facts.is_member_form("M7654321"), is_form);
        assert_eq!(facts.is_subscriber_form("S99"), is_form);
        // A subscriber's number may also be a member's without its two last digits.
        assert_eq!(facts.is_subscriber_form("M76543"), is_form);
        for other in ["W7654321", "M765432", "M76543210", "S99", "S999"] {
            assert!(!facts.is_member_form(other), "{other}");
        }
        for other in ["M7654321", "M7654", "S9", "S999"] {
            assert!(!facts.is_subscriber_form(other), "{other}");
        }
    }
    assert!(!Facts::default().is_member_form("M7654321") && !Facts::default().is_subscriber_form("S99"));
}

#[test]
fn counts_that_were_packed_count_the_same() {
    // More than one byte holds: 300 records and 200 of one name; and each of the four kinds of counts.
    let facts = roster(&[
        ("name=Loxen|Lane;member=M1234567;subscriber=S12", 200),
        ("name=Luxen|Quist", 100),
    ]);
    let again = Facts::unpack(&facts.pack()).expect("what was packed");
    assert_eq!(again.records(), 300);
    for name in ["loxen", "luxen", "nobody"] {
        assert!(is_near(again.given_share(name), facts.given_share(name)), "{name}");
        assert_eq!(again.is_given_name(name), name != "nobody");
    }
    for name in ["lane", "quist", "nobody"] {
        assert!(is_near(again.family_share(name), facts.family_share(name)), "{name}");
    }
    assert!(again.is_member_form("M7654321") && !again.is_member_form("S99"));
    assert!(again.is_subscriber_form("S99") && !again.is_subscriber_form("X99"));
    assert_eq!(again.pack(), facts.pack());
}

#[test]
fn a_count_is_packed_around_the_end_of_its_first_byte() {
    for count in [1, 127, 128, 129, 16_383, 16_384] {
        let facts = roster(&[("name=Loxen|Lane", count)]);
        let again = Facts::unpack(&facts.pack()).expect("what was packed");
        assert_eq!(again.records(), count as u64);
        assert!(
            is_near(again.given_share("loxen"), facts.given_share("loxen")),
            "{count}"
        );
    }
}

#[test]
fn equal_counts_are_equal_bytes_whatever_the_order_of_the_records() {
    let one = roster(&[("name=Ana|Lane", 3), ("name=Otto|Quist", 2), ("name=Eva|Roe", 1)]);
    let other = roster(&[("name=Eva|Roe", 1), ("name=Otto|Quist", 2), ("name=Ana|Lane", 3)]);
    assert_eq!(one.pack(), other.pack());
    assert_ne!(one.pack(), roster(&[("name=Ana|Lane", 3)]).pack());
    assert!(Facts::unpack(&[]).is_none() && Facts::unpack(&[causeway_identity::FORMAT + 1]).is_none());
    let mut longer = one.pack();
    longer.push(0);
    assert!(Facts::unpack(&longer).is_none(), "bytes after the counts");
}
