//! At which level birth dates, numbers, addresses and contacts agree, and what relatives explain: both sides of each edge.

mod said;

use causeway_identity::compare::{compare, explain_by_relatives};
use causeway_identity::{Facts, Field, Level, Profile};
use said::profile;

use Level::{Alike, Differ, Exact, Far, Missing, Near, Part, Partial, Relative, Remote, Slip, Swapped};

/// Compares both ways round.
fn level(field: Field, a: &str, b: &str) -> Level {
    let [a, b] = [profile(a), profile(b)];
    let [one, other] =
        [(&a, &b), (&b, &a)].map(|(asked, held)| compare(asked, held, &Facts::default()).levels.of(field));
    assert_eq!(one, other, "{field:?} {a:?} {b:?}");
    one
}

fn check(field: Field, lines: &[(&str, &str, Level)]) {
    let wrong: Vec<String> = lines
        .iter()
        .map(|(a, b, expected)| (a, b, expected, level(field, a, b)))
        .filter(|(_, _, expected, found)| *expected != found)
        .map(|(a, b, expected, found)| format!("{a} / {b}: expected {expected:?}, found {found:?}"))
        .collect();
    assert!(wrong.is_empty(), "{field:?} {wrong:#?}");
}

#[test]
fn birth_dates_have_a_level_for_each_way_to_differ() {
    check(
        Field::Birth,
        &[
            ("born=1984-07-09", "", Missing),
            ("born=1984-07-09", "born=1984-07-09", Exact),
            ("born=1984-07-09", "born=1984-07", Partial),
            ("born=1984-07-09", "born=1984-09-07", Swapped),
            ("born=1984-07-09", "born=1984-07-08", Slip),
            ("born=1989-07-09", "born=1990-07-09", Near),
            ("born=1966-09-26", "born=1996-09-26", Far),
            ("born=1984-07-09", "born=1984-07-23", Part),
            ("born=1984-07-09", "born=1961-02-23", Differ),
        ],
    );
}

#[test]
fn genders_agree_differ_or_are_not_said() {
    check(
        Field::Gender,
        &[
            ("gender=female", "gender=F", Exact),
            ("gender=male", "gender=m", Exact),
            ("gender=female", "gender=male", Differ),
            ("gender=female", "gender=other", Missing),
            ("gender=unknown", "", Missing),
        ],
    );
}

#[test]
fn a_whole_social_security_number_counts_before_its_last_four_digits() {
    check(
        Field::Ssn,
        &[
            ("ssn=912-34-5678", "ssn=912345678", Exact),
            ("ssn=912345678", "ssn=912345679", Slip),
            ("ssn=912345678", "ssn=912345687", Slip),
            ("ssn=912345678", "ssn=912345699", Differ),
            // The last four agree, but both are whole and so they are not asked.
            ("ssn=912345678", "ssn=977025678", Differ),
            ("ssn=912345678", "last4=5678", Partial),
            ("last4=5678", "last4=5678", Partial),
            ("ssn=912345678", "last4=5679", Differ),
            ("last4=5678", "last4=5679", Differ),
            ("ssn=912345678", "", Missing),
            ("last4=5678", "", Missing),
            // Fillers and what is too short are no number.
            ("ssn=111111111", "ssn=111111111", Missing),
            ("ssn=123456789", "ssn=123456789", Missing),
            ("ssn=912345", "ssn=912345", Missing),
            ("ssn=9123456", "ssn=9123456", Exact),
        ],
    );
}

#[test]
fn e_mail_addresses_agree_wholly_or_before_the_at() {
    check(
        Field::Email,
        &[
            ("email=walter@example.com", "", Missing),
            ("email=walter@example.com", "email=WALTER+x@example.com", Exact),
            ("email=walter@example.com", "email=walter@example.org", Part),
            ("email=walto@example.com", "email=walto@example.org", Part),
            ("email=walt@example.com", "email=walt@example.org", Differ),
            ("email=walter@example.com", "email=winston@example.com", Differ),
            (
                "email=walter@example.com;email=w@example.com",
                "email=x@example.com;email=w@example.com",
                Exact,
            ),
            (
                "email=walter@example.com;email=w@example.com",
                "email=walter@example.org;email=x@example.com",
                Part,
            ),
        ],
    );
}

#[test]
fn a_former_family_name_in_the_e_mail_address_is_a_part_of_the_name() {
    let held = |family: &str| format!("name=Ana|{family}");
    for (asked, family, expected) in [
        ("name=Ana|Abernathy;email=ana.smith@example.com", "Smith", Part),
        ("name=Ana|Abernathy;email=ana.lane@example.com", "Lane", Part),
        ("name=Ana|Abernathy;email=ana.kim@example.com", "Kim", Differ),
        ("name=Ana|Abernathy;email=ana.jones@example.com", "Smith", Differ),
        ("name=Ana|Abernathy", "Smith", Differ),
        ("name=Ana|Phayard;email=feyard@example.com", "Feyard", Part),
        ("name=Ana|Phayard", "Feyard", Alike),
        // Where the names agree the address adds nothing.
        ("name=Ana|Smith;email=ana.smith@example.com", "Smith", Exact),
        ("name=Ana|Smit;email=ana.smith@example.com", "Smith", Slip),
        // Any of the addresses, any of the names.
        (
            "name=Ana|Abernathy;email=a@example.com;email=ana.smith@example.com",
            "Smith",
            Part,
        ),
    ] {
        assert_eq!(
            level(Field::Family, asked, &held(family)),
            expected,
            "{asked} / {family}"
        );
    }
}

#[test]
fn a_name_that_a_person_goes_by_may_stand_in_the_e_mail_address() {
    for (asked, held, expected) in [
        ("name=Walter|Lane;email=otto.lane@example.com", "name=Otto|Lane", Part),
        ("name=Walter|Lane;email=bea.lane@example.com", "name=Bea|Lane", Differ),
        ("name=Walter|Lane;email=x@example.com", "name=Otto|Lane", Differ),
        // An address with both names is not called by one of them.
        (
            "name=Walter|Lane;email=otto.walter@example.com",
            "name=Otto|Lane",
            Differ,
        ),
        ("name=Lodan|Lane;email=redan@example.com", "name=Redan|Lane", Part),
        ("name=Lodan|Lane", "name=Redan|Lane", Alike),
        (
            "name=Daniel|Lane;email=danielle@example.com",
            "name=Danielle|Lane",
            Level::SlipKnown,
        ),
        ("name=Danielle|Lane;email=daniel@example.com", "name=Daniel|Lane", Part),
        // Where the names agree the address adds nothing.
        (
            "name=Robert|Lane;email=bobby@example.com",
            "name=Bobby|Lane",
            Level::Nickname,
        ),
        ("name=Otto|Lane;email=otto@example.com", "name=Otto|Lane", Exact),
    ] {
        assert_eq!(level(Field::Given, asked, held), expected, "{asked} / {held}");
    }
}

#[test]
fn telephones_agree_wholly_or_by_a_slip() {
    check(
        Field::Phone,
        &[
            ("phone=5551234567", "", Missing),
            ("phone=(555) 123-4567", "phone=+1 555 123 4567", Exact),
            ("phone=5551234567", "phone=5551234568", Slip),
            ("phone=5551234567", "phone=5551234576", Slip),
            ("phone=5551234567", "phone=5551234588", Differ),
            (
                "phone=5551234567;phone=5559876543",
                "phone=5550000001;phone=5559876543",
                Exact,
            ),
            (
                "phone=5551234567;phone=5559876543",
                "phone=5550000001;phone=5559876544",
                Slip,
            ),
        ],
    );
}

const HOUSE: &str = "at=12 Elm Street|Tampa|FL|33601";
const FLAT: &str = "at=12 Elm Street Apt 3|Tampa|FL|33601";
const OTHER_FLAT: &str = "at=12 Elm Street Apt 4|Tampa|FL|33601";
const SAME_ZIP: &str = "at=17 Pine Road|Tampa|FL|33601";
const SAME_CITY: &str = "at=17 Pine Road|Tampa|FL|33602";
const SAME_STATE: &str = "at=17 Pine Road|Ocala|FL|34470";
const ELSEWHERE: &str = "at=17 Pine Road|Salem|OR|97301";

#[test]
fn addresses_agree_by_the_nearest_place_that_both_name() {
    check(
        Field::Address,
        &[
            (HOUSE, "", Missing),
            (HOUSE, HOUSE, Exact),
            (FLAT, OTHER_FLAT, Slip),
            (HOUSE, SAME_ZIP, Near),
            (HOUSE, SAME_CITY, Far),
            (HOUSE, SAME_STATE, Remote),
            (HOUSE, ELSEWHERE, Differ),
        ],
    );
}

#[test]
fn of_several_addresses_a_house_is_enough_and_a_town_is_not() {
    let of = |asked: &[&str], held: &[&str]| {
        let [asked, held] = [asked, held].map(|addresses| profile(&addresses.join(";")));
        compare(&asked, &held, &Facts::default()).levels.of(Field::Address)
    };
    // The house of one of them, or the house after a slip.
    assert_eq!(of(&[ELSEWHERE, HOUSE], &[HOUSE]), Exact);
    assert_eq!(of(&[HOUSE, ELSEWHERE], &[HOUSE]), Exact);
    assert_eq!(of(&[ELSEWHERE, FLAT], &[OTHER_FLAT]), Slip);
    // A postal code, a town or a state only as far as all of them share it.
    assert_eq!(of(&[SAME_ZIP, ELSEWHERE], &[HOUSE]), Differ);
    assert_eq!(of(&[ELSEWHERE, SAME_ZIP], &[HOUSE]), Differ);
    assert_eq!(of(&[SAME_ZIP, SAME_CITY], &[HOUSE]), Far);
    assert_eq!(of(&[SAME_CITY, SAME_STATE], &[HOUSE]), Remote);
    // Each that was sent is compared with the nearest of the record's.
    assert_eq!(of(&[HOUSE], &[ELSEWHERE, SAME_CITY, SAME_STATE]), Far);
    assert_eq!(of(&[HOUSE], &[ELSEWHERE, HOUSE]), Exact);
    // What says nothing comparable is passed over.
    assert_eq!(of(&[HOUSE, "at=5 Oak Lane|||"], &[SAME_CITY]), Far);
}

/// What `asked` and `held` come to when these are insured with the record.
fn with_relatives(asked: &str, held: &str, relatives: &[&str]) -> [Level; 2] {
    let (asked, held) = (profile(asked), profile(held));
    let relatives: Vec<Profile> = relatives.iter().map(|text| profile(text)).collect();
    let mut compared = compare(&asked, &held, &Facts::default());
    explain_by_relatives(&mut compared, &asked, relatives.iter());
    [Field::Phone, Field::Address].map(|field| compared.levels.of(field))
}

#[test]
fn a_relatives_telephone_explains_one_that_differs_or_is_missing() {
    let of = |held: &str, relatives: &[&str]| with_relatives("phone=5551234567", held, relatives)[0];
    let (own, other, relative) = ("phone=5551234567", "phone=5559876543", ["phone=5551234567"]);
    assert_eq!(of(other, &[]), Differ);
    assert_eq!(of(other, &relative), Relative);
    assert_eq!(of("", &relative), Relative);
    assert_eq!(of(own, &relative), Exact);
    assert_eq!(of("phone=5551234568", &relative), Slip);
    assert_eq!(of(other, &["phone=5551234568"]), Differ, "a slip from a relative's");
    assert_eq!(of(other, &["", other, own]), Relative, "any of the relatives");
}

#[test]
fn a_relatives_house_explains_one_that_differs_and_its_town_less() {
    let of = |held: &str, relatives: &[&str]| with_relatives(HOUSE, held, relatives)[1];
    for held in [SAME_ZIP, SAME_CITY, SAME_STATE, ELSEWHERE] {
        assert_eq!(of(held, &[HOUSE]), Relative, "{held}");
    }
    assert_eq!(with_relatives(FLAT, ELSEWHERE, &[OTHER_FLAT])[1], Relative);
    // A relative's postal code or town is worth a town.
    for relative in [SAME_ZIP, SAME_CITY] {
        assert_eq!(of(ELSEWHERE, &[relative]), Far);
        assert_eq!(of(SAME_STATE, &[relative]), Far);
    }
    assert_eq!(
        of(SAME_ZIP, &[SAME_ZIP]),
        Near,
        "the record's own postal code is nearer"
    );
    assert_eq!(of(ELSEWHERE, &[SAME_STATE]), Differ);
    assert_eq!(of(ELSEWHERE, &[ELSEWHERE, SAME_CITY, HOUSE]), Relative);
    assert_eq!(of("", &[HOUSE]), Missing);
    assert_eq!(of(HOUSE, &[SAME_CITY]), Exact);
    assert_eq!(with_relatives(FLAT, OTHER_FLAT, &[FLAT])[1], Slip);
}
