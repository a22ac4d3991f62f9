//! At which level two names agree: both sides of each edge, both ways round. What a level means is said in `field.rs`, what is near in
//! `compare.rs`; the likenesses beside the cases were computed by hand.

mod said;

use causeway_identity::compare::compare;
use causeway_identity::{Facts, Field, Level, Profile};
use said::profile;

/// Compares both ways round and answers the levels of first, middle and family name.
fn names(a: &str, b: &str, facts: &Facts) -> [Level; 3] {
    let (a, b) = (profile(&format!("name={a}")), profile(&format!("name={b}")));
    let [one, other] = [(&a, &b), (&b, &a)].map(|(asked, held)| compare(asked, held, facts).levels);
    assert_eq!(one, other, "{a:?} {b:?}");
    [Field::Given, Field::Middle, Field::Family].map(|field| one.of(field))
}

/// Each line: first names of one side, of the other, the level of the first name and of the middle name.
fn check_given(facts: &Facts, lines: &[(&str, &str, Level, Level)]) {
    let wrong: Vec<String> = lines
        .iter()
        .map(|(a, b, given, middle)| {
            let found = names(&format!("{a}|Quist"), &format!("{b}|Quist"), facts);
            (format!("{a} / {b}"), [*given, *middle], [found[0], found[1]])
        })
        .filter(|(_, expected, found)| expected != found)
        .map(|(line, expected, found)| format!("{line}: expected {expected:?}, found {found:?}"))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A roster in which each of these first names is borne by so many.
fn roster(names: &[&str], times: usize) -> Facts {
    let profiles: Vec<Profile> = names
        .iter()
        .map(|name| profile(&format!("name={name}|Quist")))
        .collect();
    profiles.iter().cycle().take(names.len() * times).collect()
}

use Level::{Alike, Differ, Exact, Missing, Nickname, Part, Partial, Slip, SlipKnown, Swapped};

#[test]
fn first_names_agree_by_how_they_are_written() {
    check_given(
        &Facts::default(),
        &[
            ("Ana", "", Missing, Missing),
            ("Ana", "ANA", Exact, Missing),
            ("Ana", "Walter", Differ, Missing),
            ("A", "A", Partial, Missing),
            ("A", "Ana", Partial, Missing),
            ("A", "Walter", Differ, Missing),
            ("Bob", "Robert", Nickname, Missing),
            ("Bob Lee", "Robert Lee", Nickname, Exact),
            // Two of one side are the first of the other, and what follows is the middle name.
            ("Mary Ann", "Maryann", Exact, Missing),
            ("Mary Ann Lee", "Maryann Lee", Exact, Exact),
            ("Mary Ann Lee", "Maryann Ann", Exact, Differ),
            ("Mary A", "Marya", Slip, Missing),
            ("Otto Ann", "Walter Ann", Differ, Exact),
            // Who is called by the second name.
            ("J Robert", "Robert", Part, Missing),
            ("J Robert", "Roberto", Differ, Missing),
            ("J R", "R", Differ, Missing),
            ("Ann Robert", "R", Differ, Missing),
            ("Maria Quanah", "Quanah", Part, Missing),
            ("Maria Ana", "Annie", Part, Missing),
            ("Maria Walter", "Ana", Differ, Missing),
            ("Maria Bea Zoe Quanah", "Quanah", Part, Missing),
            ("Maria Bea Zoe Lou Quanah", "Quanah", Differ, Missing),
            // Pet names by their form.
            ("Cam", "Camden", Nickname, Missing),
            ("Cammy Lee", "Camden Lee", Nickname, Exact),
        ],
    );
}

#[test]
fn a_name_that_a_hospital_gave_says_nothing() {
    let words = "Babyboy Babygirl Newborn Infant Unknown Unk NA None Test";
    for word in words.split(' ') {
        check_given(&Facts::default(), &[(word, "Walter", Missing, Missing)]);
    }
    for word in ["Baby", "Boy", "Girl", "Twin"] {
        let two = format!("{word} A");
        check_given(
            &Facts::default(),
            &[(word, "Walter", Differ, Missing), (&two, "Walter", Missing, Missing)],
        );
    }
    check_given(
        &Facts::default(),
        &[
            // What stands beside it may be the name; it is compared with the middle names of the other side.
            ("Baby Girl Ana", "Walter Ana", Missing, Exact),
            ("Baby Girl Walter", "Walter Ana", Missing, Differ),
            ("Baby Girl Ana", "Walter", Missing, Missing),
            ("Baby Girl Ana", "Newborn Ana", Missing, Exact),
            ("Baby Girl Ana", "Twin Ana", Missing, Exact),
            ("Unknown", "Baby", Missing, Missing),
        ],
    );
}

#[test]
fn first_names_a_slip_away_or_alike_are_told_from_other_names() {
    check_given(
        &Facts::default(),
        &[
            // Two letters are too few to slip in; from three on it is one edit, from six on two.
            ("Lu", "Lo", Differ, Missing),
            ("Lux", "Lox", Slip, Missing),
            ("Luxen", "Loxen", Slip, Missing),
            ("Lodran", "Redran", Slip, Missing),
            ("Robret Lee", "Robert Lee", Slip, Exact),
            // In five letters two edits are a likeness; in four they are nothing, nor are three in five.
            ("Lodan", "Redan", Alike, Missing),
            ("Lodan Lee", "Redan Lee", Alike, Exact),
            ("Loda", "Reda", Differ, Missing),
            ("Lodan", "Reman", Differ, Missing),
            // The sound alone, from three letters on.
            ("Phay", "Fey", Alike, Missing),
            ("Phy", "Fe", Differ, Missing),
            // A name that somebody broke off, from three letters on.
            ("Daniel", "Danielquxwzkv", Alike, Missing),
            ("Ana", "Anaquxwzkv", Alike, Missing),
            ("Al", "Alquxwzkv", Differ, Missing),
            // A slip in a pet name, when it is nobody's name.
            ("Willaim", "Bill", Alike, Missing),
            ("Willaim Lee", "Bill Lee", Alike, Exact),
            ("Zelbo", "Bill", Differ, Missing),
            // Both are names: twins may be called so.
            ("Daniel", "Danielle", SlipKnown, Missing),
            ("Daniel Lee", "Danielle Lee", SlipKnown, Exact),
        ],
    );
}

#[test]
fn what_two_people_of_the_roster_are_called_is_a_name_and_no_slip() {
    let lines = |slip, alike| {
        [
            ("Loxen", "Luxen", slip, Missing),
            ("Lodan", "Redan", alike, Missing),
            ("Phay", "Fey", alike, Missing),
        ]
    };
    let names = ["Loxen", "Luxen", "Lodan", "Redan", "Phay", "Fey"];
    check_given(&roster(&names, 1), &lines(Slip, Alike));
    check_given(&roster(&names, 2), &lines(SlipKnown, Differ));
    check_given(&roster(&["Loxen", "Lodan", "Fey"], 2), &lines(Slip, Alike));
    check_given(&roster(&["Willaim"], 2), &[("Willaim", "Bill", Differ, Missing)]);
}

#[test]
fn likeness_counts_from_its_bound_on_and_not_below() {
    check_given(
        &Facts::default(),
        &[
            // Jaro-Winkler 0.95 or more in long names is a slip whatever the edits, from 0.92 on a likeness: 0.954, 0.940, 0.66.
            ("Quanahmari", "Quanaxyzhmari", Slip, Missing),
            ("Quanahm", "Quanxyzahm", Alike, Missing),
            // On the bounds: two pairs of letters change places in 8, 0.95; 8 of 10 letters in common, 0.92.
            ("Zeldarin", "Zeldinar", Slip, Missing),
            ("Maplegrove", "Maplxzegro", Alike, Missing),
            ("Quanahm", "Quanuvwxyzahm", Differ, Missing),
        ],
    );
}

#[test]
fn middle_names_agree_wholly_by_initial_or_by_a_slip() {
    let lines: Vec<(String, String, Level)> = [
        ("Marie", "", Missing),
        ("Marie", "Marie", Exact),
        ("Rose Marie", "Marie", Exact),
        ("M", "Marie", Partial),
        ("M", "M", Partial),
        ("M", "Rose", Differ),
        ("M", "R", Differ),
        ("Marie", "Grace", Differ),
        ("Marie", "Mabel", Differ),
        ("Marie", "Maria", Slip),
        ("Bob", "Robert", Slip),
        // A whole name beside an initial that agrees, or a slip.
        ("M Rose", "Marie Rose", Exact),
        ("M Maria", "Marie", Partial),
        // One initial of three is luck, unless the other side says the same three.
        ("A B", "Bea", Partial),
        ("A B C", "Bea", Differ),
        ("A B C", "B", Differ),
        ("A B C", "A B C", Partial),
        // A longer list is a guess, unless it is the very list.
        ("Uma Rose Marie", "Marie", Exact),
        ("Uma Rose Marie Ada", "Marie", Missing),
        ("Uma Rose Marie Ada", "Uma Rose Marie Ada", Exact),
    ]
    .into_iter()
    .map(|(a, b, level)| (format!("Walter {a}"), format!("Walter {b}"), level))
    .collect();
    let lines: Vec<_> = lines
        .iter()
        .map(|(a, b, level)| (a.as_str(), b.as_str(), Exact, *level))
        .collect();
    check_given(&Facts::default(), &lines);
}

#[test]
fn family_names_agree_wholly_in_a_part_by_a_slip_or_in_sound() {
    let wrong: Vec<String> = [
        ("Quist", "", Missing),
        ("Quist", "QUIST", Exact),
        ("Quist", "Abernathy", Differ),
        ("Garcia Lopez", "Garcia-Lopez", Exact),
        ("Garcia Lopez", "Garcia", Part),
        ("Garcia Lopez", "Ruiz Garcia", Part),
        ("Garcia Lopez", "Abernathy", Differ),
        // Particles and parts of two letters are shared by anybody.
        ("Van Abernathy", "Van Ortiz", Differ),
        ("Li Abernathy", "Li Ortiz", Differ),
        ("Kim Abernathy", "Kim Ortiz", Part),
        ("Smit", "Smith", Slip),
        // A part a slip away, from four letters on.
        ("Ortiz Gonzalez", "Gonzales", Alike),
        ("Ortiz Lane", "Lano", Alike),
        ("Ortiz Gonzalez", "Gonzales Perez", Alike),
        ("Ortiz Lan", "Lano", Differ),
        ("Ortiz Lane", "Lan", Differ),
        // The sound, from three letters on.
        ("Phay", "Fey", Alike),
        ("Phy", "Fe", Differ),
        // A likeness of 0.86 (Jaro-Winkler) is enough, less is not: 0.867 and 0.783.
        ("Hernan", "Hernolix", Differ),
        ("Hernand", "Hernandoxyz", Alike),
        // Seven of ten letters in common, three at the beginning: 0.86.
        ("Garbendilo", "Garxendipe", Alike),
    ]
    .into_iter()
    .map(|(a, b, expected)| {
        (
            a,
            b,
            expected,
            names(&format!("Walter|{a}"), &format!("Walter|{b}"), &Facts::default())[2],
        )
    })
    .filter(|(_, _, expected, found)| expected != found)
    .map(|(a, b, expected, found)| format!("{a} / {b}: expected {expected:?}, found {found:?}"))
    .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn names_in_each_others_box_are_found_when_both_fit() {
    let wrong: Vec<String> = [
        ("Lane|Otto", "Otto|Lane", Swapped),
        ("Lanne|Otto", "Otto|Lane", Swapped),
        ("Lane|Otto", "Otto Rose|Lane", Swapped),
        ("Cruz|Ana", "Ana|De La Cruz", Swapped),
        ("De La Cruz|Ana", "Ana|Delacruz", Swapped),
        ("Garcia Lopez|Ana", "Ana|Garcia Lopez", Swapped),
        // A pet name in the other's box.
        ("Bill|Otto", "Otto|William", Swapped),
        ("Otto|Bill", "William|Otto", Swapped),
        // Only one of the two fits.
        ("Lane|Smith", "Otto|Lane", Differ),
        ("Otto|Bill", "William|Smith", Differ),
        // An initial is nobody's family name.
        ("O|Ana", "Ana|O", Differ),
        ("Lane|Otto", "Walter|Smith", Differ),
    ]
    .into_iter()
    .map(|(a, b, expected)| (a, b, expected, names(a, b, &Facts::default())))
    .filter(|(_, _, expected, found)| [found[0], found[2]] != [*expected; 2] || found[1] != Missing)
    .map(|(a, b, expected, found)| format!("{a} / {b}: expected {expected:?}, found {found:?}"))
    .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn names_that_agree_in_their_own_box_are_not_looked_for_in_the_other() {
    // Each first name is two letters from each family name, and so the boxes could be swapped; one of them agrees as it stands.
    let facts = Facts::default();
    assert_eq!(names("Harnundez|Hernandez", "Hernandos|Hernandez", &facts)[2], Exact);
    assert_eq!(names("Hernandez|Harnundez", "Hernandez|Hernandos", &facts)[0], Exact);
}

#[test]
fn suffixes_agree_differ_or_are_not_said() {
    for (a, b, level) in [
        ("Jr", "II", Exact),
        ("Jr", "Sr", Differ),
        ("Jr", "", Missing),
        ("", "", Missing),
    ] {
        let [a, b] = [a, b].map(|suffix| profile(&format!("name=Walter|Quist|{suffix}")));
        assert_eq!(compare(&a, &b, &Facts::default()).levels.of(Field::Suffix), level);
        assert_eq!(compare(&b, &a, &Facts::default()).levels.of(Field::Suffix), level);
    }
}

#[test]
fn of_several_names_the_pair_that_agrees_most_counts() {
    let asked = "name=Robert Lee|Smith";
    // Each line: the names of the record, the less good one first, and the levels of the better one.
    for (held, given, middle, family) in [
        ("name=Robert|Abernathy;name=Robret|Smith", Slip, Missing, Exact),
        ("name=Robert Ada|Smith;name=Robert Lee|Smith", Exact, Exact, Exact),
        ("name=Robert Ada|Smith;name=Robert L|Smith", Exact, Partial, Exact),
        // A middle name counts less than any step of first or family name.
        ("name=Bob Lee|Smith;name=Robert|Smith", Exact, Missing, Exact),
        ("name=Robert Lee|Smith Jones;name=Robert|Smith", Exact, Missing, Exact),
        // Step by step, from nothing said to the very name.
        ("name=|Smith;name=Abner|Smith", Differ, Missing, Exact),
        ("name=Abner|Smith;name=Raert|Smith", Alike, Missing, Exact),
        ("name=Raert|Smith;name=Norbert|Smith", SlipKnown, Missing, Exact),
        ("name=Norbert|Smith;name=R|Smith", Partial, Missing, Exact),
        ("name=R|Smith;name=Robret|Smith", Slip, Missing, Exact),
        ("name=Robret|Smith;name=Bob|Smith", Nickname, Missing, Exact),
        ("name=Robret|Smith;name=Ada Robert|Smith", Part, Missing, Exact),
        ("name=Bob|Smith;name=Robert|Smith", Exact, Missing, Exact),
        ("name=Abner|Smith;name=Smith|Robert", Swapped, Missing, Swapped),
        // Of two that are as good the first counts: it is the usual one.
        ("name=Bob|Smith;name=Ada Robert|Smith", Nickname, Missing, Exact),
        ("name=Ada Robert|Smith;name=Bob|Smith", Part, Missing, Exact),
        ("name=Robert|Smith;name=Robert|Abernathy", Exact, Missing, Exact),
    ] {
        let levels = compare(&profile(asked), &profile(held), &Facts::default()).levels;
        let found = [Field::Given, Field::Middle, Field::Family].map(|field| levels.of(field));
        assert_eq!(found, [given, middle, family], "{held}");
    }
}

#[test]
fn how_common_a_name_is_counts_where_it_is_the_very_name() {
    let people: Vec<Profile> = ["Ana|Quist", "Ana|Lane", "Otto|Lane"]
        .map(|name| profile(&format!("name={name}")))
        .to_vec();
    let facts: Facts = people.iter().collect();
    let found = |a: &str, b: &str| {
        let found = compare(&profile(&format!("name={a}")), &profile(&format!("name={b}")), &facts);
        (found.given_share, found.family_share)
    };
    assert_eq!(
        found("Ana|Lane", "Ana|Lane"),
        (facts.given_share("ana"), facts.family_share("lane"))
    );
    assert_eq!(found("Ana|Lane", "Otto|Lane"), (0.0, facts.family_share("lane")));
    assert_eq!(found("Ana|Lane", "Ana|Quist"), (facts.given_share("ana"), 0.0));
    assert_eq!(found("Annie|Lane", "Ana|Lane").0, 0.0);
    assert_eq!(found("Ana|Lane", "Ana|Lano").1, 0.0);
}
