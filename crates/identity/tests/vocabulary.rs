//! Names of fields and levels. They stand in decision records and in policies that are stored, so that none may change.

use causeway_identity::{Field, Level, Levels};
use std::collections::BTreeSet;

#[test]
fn names_of_fields_and_levels_are_for_ever() {
    let fields = Field::ALL.map(Field::code).join(" ");
    let expected = "given middle family suffix birth gender ssn email phone address member_id";
    assert_eq!(fields, expected);
    let levels = Level::ALL.map(Level::code).join(" ");
    let expected =
        "missing exact partial nickname part slip slip_known alike swapped near far remote relative foreign differ";
    assert_eq!(levels, expected);
}

#[test]
fn people_read_other_words_for_each_field_and_for_each_of_its_levels() {
    let words: BTreeSet<&str> = Field::ALL.map(Field::words).into();
    assert_eq!(words.len(), Field::ALL.len());
    assert!(words.contains("first name") && words.contains("member number"));
    for field in Field::ALL {
        let words: BTreeSet<&str> = field.levels().iter().map(|level| level.words(field)).collect();
        assert_eq!(words.len(), field.levels().len(), "{field:?} {words:?}");
    }
    for (field, level, words) in [
        (Field::Given, Level::Missing, "missing"),
        (Field::Given, Level::Exact, "the same"),
        (Field::Ssn, Level::Partial, "last four agree"),
        (Field::Birth, Level::Partial, "agrees as far as given"),
        (Field::MemberId, Level::Partial, "subscriber's agrees"),
        (Field::Given, Level::Partial, "initial agrees"),
        (Field::Given, Level::Nickname, "known short form"),
        (Field::Birth, Level::Part, "another day"),
        (Field::Email, Level::Part, "same before the @"),
        (Field::Family, Level::Part, "a part agrees"),
        (Field::Given, Level::Slip, "one typing error apart"),
        (Field::Given, Level::SlipKnown, "another, similar name"),
        (Field::Given, Level::Alike, "sounds alike"),
        (Field::Birth, Level::Swapped, "day and month swapped"),
        (Field::Given, Level::Swapped, "names swapped"),
        (Field::Address, Level::Near, "same postal code"),
        (Field::Birth, Level::Near, "same day, nearby year"),
        (Field::Address, Level::Far, "same city"),
        (Field::Birth, Level::Far, "a generation apart"),
        (Field::Address, Level::Remote, "same state"),
        (Field::MemberId, Level::Remote, "another dependent's"),
        (Field::Phone, Level::Relative, "a relative's"),
        (Field::MemberId, Level::Foreign, "not in our format"),
        (Field::Given, Level::Differ, "differs"),
    ] {
        assert_eq!(level.words(field), words);
    }
}

#[test]
fn each_field_can_agree_and_differ_and_is_never_missing_among_its_levels() {
    for field in Field::ALL {
        let levels: BTreeSet<&Level> = field.levels().iter().collect();
        assert_eq!(levels.len(), field.levels().len(), "{field:?}");
        assert!(
            levels.contains(&Level::Exact) && levels.contains(&Level::Differ),
            "{field:?}"
        );
        assert!(!levels.contains(&Level::Missing), "{field:?}");
    }
    let shared: Vec<Field> = Field::ALL.into_iter().filter(|field| field.of_household()).collect();
    assert_eq!(shared, [Field::Family, Field::Phone, Field::Address, Field::MemberId]);
}

#[test]
fn levels_are_read_by_their_names_and_others_are_passed_over() {
    let named = [
        ("given", "slip"),
        ("birth", "exact"),
        ("birth", "nothing"),
        ("shoe", "exact"),
    ];
    let levels = Levels::named(named.into_iter());
    for field in Field::ALL {
        let expected = match field {
            Field::Given => Level::Slip,
            Field::Birth => Level::Exact,
            _ => Level::Missing,
        };
        assert_eq!(levels.of(field), expected, "{field:?}");
    }
    assert!(levels.is(Field::Given, &[Level::Exact, Level::Slip]) && !levels.is(Field::Given, &[Level::Exact]));
}
