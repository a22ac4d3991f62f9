//! How a person and an address are read, and how near two addresses are: both sides of each edge.

mod said;

use causeway_identity::address::{AddressForm, Nearness};
use causeway_identity::ids::{insured_with, lives_with};
use causeway_identity::{Gender, WrittenAddress, is_particle};
use said::profile;

#[test]
fn numbers_without_a_digit_or_of_one_letter_say_nothing() {
    for (number, read) in [
        ("M7", Some("M7")),
        ("m-7 x", Some("M7X")),
        ("77", Some("77")),
        ("7", None),
        ("MX", None),
        ("N/A", None),
        ("unknown", None),
        ("?", None),
    ] {
        let read: Vec<&str> = read.into_iter().collect();
        for key in ["member", "subscriber", "ours"] {
            let found = profile(&format!("{key}={number}"));
            let found = [found.member_ids, found.subscriber_ids, found.own_numbers].concat();
            assert_eq!(found, read, "{key} {number}");
        }
    }
    assert_eq!(profile("member=M7;member=m-7;member=M8").member_ids, ["M7", "M8"]);
}

#[test]
fn telephones_are_their_last_ten_digits_and_no_filler() {
    for (phone, read) in [
        ("5551234567", Some("5551234567")),
        ("+1 (555) 123-4567", Some("5551234567")),
        ("555123456", None),
        ("5555555555", None),
        ("15555555555", None),
        ("5555555556", Some("5555555556")),
        ("", None),
    ] {
        let read: Vec<&str> = read.into_iter().collect();
        assert_eq!(profile(&format!("phone={phone}")).phones, read, "{phone}");
    }
}

#[test]
fn e_mail_addresses_need_both_sides() {
    for (email, read) in [
        ("Ana@Example.com", Some(("ana", "example.com"))),
        (" a+x+y@b ", Some(("a", "b"))),
        ("a@b@c", Some(("a@b", "c"))),
        ("@b", None),
        ("+x@b", None),
        ("a@", None),
        ("a", None),
    ] {
        let found = profile(&format!("email={email}")).emails;
        let found = found.first().map(|one| (one.local.as_str(), one.domain.as_str()));
        assert_eq!(found, read, "{email}");
    }
}

#[test]
fn social_security_numbers_are_whole_or_four_digits() {
    for (text, whole, last) in [
        ("ssn=912-34-5678", "912345678", "5678"),
        ("ssn=912345678;last4=9999", "912345678", "5678"),
        ("ssn=1234567", "1234567", "4567"),
        ("ssn=123456", "", ""),
        ("ssn=123456789", "", ""),
        ("ssn=999999999;last4=5678", "", "5678"),
        ("last4=567", "", ""),
        ("last4=56789", "", ""),
    ] {
        let found = profile(text);
        assert_eq!((found.ssn.as_str(), found.ssn_last4.as_str()), (whole, last), "{text}");
    }
}

#[test]
fn genders_are_female_male_or_not_said() {
    for (text, gender) in [
        ("female", Some(Gender::Female)),
        (" F ", Some(Gender::Female)),
        ("MALE", Some(Gender::Male)),
        ("m", Some(Gender::Male)),
        ("other", None),
        ("", None),
    ] {
        assert_eq!(profile(&format!("gender={text}")).gender, gender, "{text}");
    }
}

#[test]
fn suffixes_are_found_in_any_box_at_its_end_only() {
    for (name, given, family, generation) in [
        ("Robert|Smith|Sr", "robert", "smith", Some(1)),
        ("Robert|Smith|Senior", "robert", "smith", Some(1)),
        ("Robert|Smith|Jr.", "robert", "smith", Some(2)),
        ("Robert|Smith|Junior", "robert", "smith", Some(2)),
        ("Robert|Smith|2nd", "robert", "smith", Some(2)),
        ("Robert|Smith|III", "robert", "smith", Some(3)),
        ("Robert|Smith|3rd", "robert", "smith", Some(3)),
        ("Robert|Smith|IV", "robert", "smith", Some(4)),
        ("Robert|Smith|4th", "robert", "smith", Some(4)),
        ("Robert|Smith|MD, Jr", "robert", "smith", Some(2)),
        ("Robert|Smith|MD", "robert", "smith", None),
        ("Robert|Smith|of Hull", "robert", "smith", None),
        ("Robert|Smith IV|", "robert", "smith", Some(4)),
        ("Robert|Smith Jr MD|", "robert", "smith", Some(2)),
        ("Robert|Smith PhD|", "robert", "smith", None),
        ("Robert|Smith Esq.|", "robert", "smith", None),
        ("Robert|Smith DDS|", "robert", "smith", None),
        ("Robert Jr|Smith|", "robert", "smith", Some(2)),
        ("Robert Jr|Smith|III", "robert", "smith", Some(3)),
        ("Robert Jr|Smith Sr|", "robert", "smith", Some(1)),
        // Alone in its box, or before another word, it is a name.
        ("Jr|Smith|", "jr", "smith", None),
        ("Robert|Jr|", "robert", "jr", None),
        ("Jr Robert|Smith|", "jr robert", "smith", None),
        ("Robert MD|Smith|", "robert md", "smith", None),
    ] {
        let found = profile(&format!("name={name}"));
        let found = &found.names[0];
        let read = (found.given.join(" "), found.family.join(" "), found.generation);
        assert_eq!(read, (given.to_owned(), family.to_owned(), generation), "{name}");
    }
}

#[test]
fn digits_that_scanners_put_for_letters_are_read_back() {
    for (given, read) in [
        ("J0hn", "john"),
        ("Wi11iam", "william"),
        ("Wi|liam", "william"),
        ("Wi!liam", "william"),
        ("5am", "sam"),
        ("$am", "sam"),
        ("8ob", "bob"),
        ("B9b", "bb"),
        ("O'Brian", "obrian"),
    ] {
        let found = causeway_identity::Profile::from(&causeway_identity::Person {
            names: vec![causeway_identity::PersonName {
                given: vec![given.into()],
                ..Default::default()
            }],
            ..Default::default()
        });
        assert_eq!(found.names[0].given, [read], "{given}");
    }
    assert!(profile("name=9|;name=|?").names.is_empty(), "nothing is left");
}

#[test]
fn words_that_introduce_a_family_name_are_none() {
    for part in ["de", "la", "van", "della", "y", "o", "d", ""] {
        assert!(is_particle(part), "{part}");
    }
    for part in ["li", "vann", "cruz"] {
        assert!(!is_particle(part), "{part}");
    }
}

fn address(text: &str) -> AddressForm {
    let parts: Vec<&str> = text.split('|').collect();
    AddressForm::parse(&WrittenAddress {
        line: parts[0].into(),
        city: parts[1].into(),
        state: parts[2].into(),
        zip: parts[3].into(),
    })
    .expect("says something")
}

#[test]
fn an_address_is_read_into_number_street_and_unit() {
    for (line, number, street, core, unit) in [
        ("12 Elm Street", "12", "elmst", "elm", ""),
        ("0012 North Elm Ave.", "12", "nelmave", "elm", ""),
        ("12-B Elm St", "12", "belmst", "belm", ""),
        ("12 Elm St Apt 3 B", "12", "elmst", "elm", "3b"),
        ("12 Elm St #3", "12", "elmst", "elm", "3"),
        ("#5", "", "", "", "5"),
        ("Unit 5", "", "unit5", "unit5", ""),
        ("5th Avenue", "", "5thave", "5th", ""),
        ("12 Fifth Avenue", "12", "5thave", "5th", ""),
        ("12 North Street", "12", "nst", "nst", ""),
        ("Elm Court", "", "elmct", "elm", ""),
    ] {
        let found = address(&format!("{line}|Tampa||"));
        let read = [found.number, found.street, found.core, found.unit];
        assert_eq!(read, [number, street, core, unit], "{line}");
    }
    let place = address("|St. Paul|Minnesota|55101-1234");
    assert_eq!([place.city, place.state, place.zip], ["stpaul", "mn", "55101"]);
    assert_eq!(address("|Saint Paul||").city, "stpaul");
    let nothing = WrittenAddress {
        line: "12".into(),
        ..WrittenAddress::default()
    };
    assert_eq!(AddressForm::parse(&nothing), None);
}

#[test]
fn two_addresses_are_as_near_as_the_least_that_both_say() {
    use Nearness::{City, Close, Elsewhere, Same, State, Zip};
    for (a, b, near) in [
        ("12 Elm St|Tampa|FL|33601", "12 Elm St|Tampa|FL|33601", Some(Same)),
        // Type and direction may differ, a place may be missing; a place that contradicts makes it another house.
        ("12 Elm St|Tampa|FL|33601", "12 Elm Ave|Tampa|FL|33601", Some(Same)),
        ("12 Elm St|||", "12 Elm St|Tampa|FL|33601", Some(Same)),
        ("12 Elm St|Tampa||", "12 Elm St||FL|33601", Some(Same)),
        ("12 Elm St|Tampa|FL|33601", "12 Elm St|Ocala|FL|34470", Some(State)),
        ("12 Elm St||FL|33601", "12 Elm St|Tampa|FL|33602", Some(State)),
        ("12 Elm St|Tampa|FL|", "12 Elm St|Ocala|FL|33602", Some(State)),
        // The state may be mistyped where house, street and city are the same.
        ("12 Elm St|Tampa|FL|", "12 Elm St|Tampa|GA|", Some(Same)),
        ("99 Oak St|Tampa|FL|", "12 Elm St|Tampa|GA|", Some(Elsewhere)),
        // A unit that is not said is no other unit.
        ("12 Elm St Apt 3|Tampa|FL|33601", "12 Elm St|Tampa|FL|33601", Some(Same)),
        (
            "12 Elm St Apt 3|Tampa|FL|33601",
            "12 Elm St Apt 4|Tampa|FL|33601",
            Some(Close),
        ),
        // A house needs number and street.
        ("12|Tampa|FL|33601", "12|Tampa|FL|33601", Some(Zip)),
        ("Elm St|Tampa|FL|33601", "Elm St|Tampa|FL|33601", Some(Zip)),
        // A street after a slip: two edits, a likeness of 0.92, or five letters broken off.
        ("12 Elm St|Tampa|FL|33601", "12 Olm St|Tampa|FL|33601", Some(Close)),
        ("12 Elm St|Tampa|FL|33601", "12 Oak St|Tampa|FL|33601", Some(Zip)),
        ("12 Elm St|Tampa|FL|33601", "12 Ekn St|Tampa|FL|33601", Some(Close)),
        // Eight of ten letters in common, four at the beginning: 0.92.
        (
            "12 Maplegrove|Tampa|FL|33601",
            "12 Maplxzegro|Tampa|FL|33601",
            Some(Close),
        ),
        (
            "12 Washington St|Tampa|FL|33601",
            "12 Washinxyzgton St|Tampa|FL|33601",
            Some(Close),
        ),
        (
            "12 Maple St|Tampa|FL|33601",
            "12 Maplewoodheightsgrove Rd|Tampa|FL|33601",
            Some(Close),
        ),
        (
            "12 Palm St|Tampa|FL|33601",
            "12 Palmettoridgeviewgrove Rd|Tampa|FL|33601",
            Some(Zip),
        ),
        ("12 Maple St|Tampa|FL|33601", "12 Sunset Blvd|Tampa|FL|33601", Some(Zip)),
        // A slip in a number of three digits or more, on the same street and in the same postal code, or a long street.
        ("123 Elm St|Tampa|FL|33601", "124 Elm St|Tampa|FL|33601", Some(Close)),
        ("12 Elm St|Tampa|FL|33601", "13 Elm St|Tampa|FL|33601", Some(Zip)),
        ("123 Elm St|Tampa|FL|33601", "987 Elm St|Tampa|FL|33601", Some(Zip)),
        ("123 Elm St|Tampa|FL|33601", "124 Oak St|Tampa|FL|33601", Some(Zip)),
        ("123 Elm St|Tampa|FL|", "124 Elm St|Tampa|FL|", Some(City)),
        ("123 Magnolia St|Tampa|FL|", "124 Magnolia St|Tampa|FL|", Some(Close)),
        ("123 Madison St|Tampa|FL|", "124 Madison St|Tampa|FL|", Some(City)),
        ("99 Elm St|Tampa|FL|33601", "12 Elm St|Tampa|FL|33601", Some(Zip)),
        // Without the house: postal code, city, state.
        ("|Tampa|FL|33601", "|Ocala|FL|33601", Some(Zip)),
        ("|Tampa|FL|33601", "|Tampa|FL|33602", Some(City)),
        ("|Tampa|FL|", "|Tampa||", Some(City)),
        ("|Tampa|FL|", "|Ocala|FL|", Some(State)),
        ("|Tampa||", "|Ocala||", Some(Elsewhere)),
        ("||FL|", "||GA|", Some(Elsewhere)),
        ("|||33601", "|||34470", Some(Elsewhere)),
        // Nothing that both say.
        ("|Tampa||", "||FL|", None),
        ("12 Elm St|||", "|Tampa|FL|33601", None),
        ("12 Elm St|||", "99 Oak St|Tampa|FL|33601", None),
    ] {
        let (one, other) = (address(a), address(b));
        assert_eq!(one.nearness(&other), near, "{a} / {b}");
        assert_eq!(other.nearness(&one), near, "{b} / {a}");
    }
}

#[test]
fn who_shares_house_telephone_or_number_lives_together() {
    let alone = profile("phone=5559876543;at=99 Oak St|Tampa|FL|33601;member=W1234567801");
    for (other, together) in [
        ("phone=5559876543", true),
        ("phone=5559876544", false),
        ("at=99 Oak St|Tampa|FL|33601", true),
        ("at=99 Oax St|Tampa|FL|33601", true),
        ("at=12 Elm St|Tampa|FL|33601", false),
        ("member=W1234567802", true),
        ("subscriber=W12345678", true),
        ("member=W9999999902", false),
        ("", false),
    ] {
        let other = profile(other);
        assert_eq!(lives_with(&alone, &other), together, "{other:?}");
        assert_eq!(lives_with(&other, &alone), together, "{other:?}");
    }
    assert!(insured_with(
        &profile("subscriber=S55"),
        &profile("subscriber=S56;subscriber=S55")
    ));
    assert!(!insured_with(
        &profile("subscriber=S55"),
        &profile("member=S55;subscriber=S56")
    ));
}
