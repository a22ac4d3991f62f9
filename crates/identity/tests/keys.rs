//! The keys under which a record is found and a request looks. A store keeps them hashed, so that their texts may not change: each list
//! below was written by hand from the module's documentation and the sound codes of the names.

mod said;

use causeway_identity::blocking::{of_file, of_household, of_record, of_request, of_request_first};
use said::profile;
use std::collections::BTreeSet;

/// Sounds: Quanah `kn`, Robert and Roberto (of Bob) `rprt`, de Lopez Quist `tlpsks`, Lopez `lps`, Quist `kst`, Elm `aln`.
const WHOLE: &str = "name=Quanah Bob|De Lopez Quist;born=1984-07-09;ssn=912345678;umb=U1;email=q@example.com;phone=5551234567;\
    at=12 Elm St|Tampa|FL|33601;member=W1234567801;subscriber=S55";

fn same(found: Vec<String>, expected: &str) {
    let found: BTreeSet<&str> = found.iter().map(String::as_str).collect();
    let expected: BTreeSet<&str> = expected.split_whitespace().collect();
    let missing: Vec<_> = expected.difference(&found).collect();
    let besides: Vec<_> = found.difference(&expected).collect();
    assert!(
        missing.is_empty() && besides.is_empty(),
        "missing {missing:?}, besides {besides:?}"
    );
}

const CONTACTS: &str = "u:U1 s:912345678 4:5678:19840709 e:q:example.com";
/// What names, telephone and house of [`WHOLE`] give with the first name `kn`.
const NAMED: &str = "dl:19840709:tlpsks dl:19840709:lps dl:19840709:kst dg:19840709:kn
    yn:1984:tlpsks:kn yn:1984:lps:kn yn:1984:kst:kn mn:0709:tlpsks:kn mn:0709:lps:kn mn:0709:kst:kn
    p:5551234567:k a:12:aln:fl:kn";

#[test]
fn a_record_is_found_by_its_numbers_contacts_and_names() {
    same(
        of_record(&profile(WHOLE)),
        &format!("i:S55 i:W1234567801 {CONTACTS} {NAMED} n:tlpsks:kn"),
    );
}

#[test]
fn a_member_number_that_holds_the_subscribers_is_found_by_the_household() {
    same(
        of_record(&profile("member=W1234567801;subscriber=W12345678")),
        "i:W12345678",
    );
    same(of_record(&profile("member=W1234567801")), "i:W12345678");
    same(of_record(&profile("member=M77")), "i:M77");
    same(
        of_household(&profile("member=W1234567801;subscriber=S55;subscriber=S56")),
        "i:S55 i:S56",
    );
    same(
        of_household(&profile("member=W1234567801;member=W1234567802")),
        "i:W12345678",
    );
    same(of_household(&profile("name=Ana|Lane")), "");
}

#[test]
fn a_request_first_looks_for_its_numbers_and_its_day_with_either_name() {
    let numbers = "i:W1234567801 i:W12345678 i:S55";
    same(
        of_request_first(&profile(WHOLE)),
        &format!("{CONTACTS} {numbers} dg:19840709:kn dl:19840709:tlpsks"),
    );
    // Without a whole day the numbers are all there is; four digits of an SSN say something with a day only.
    same(
        of_request_first(&profile(&WHOLE.replace("1984-07-09", "1984-07"))),
        &format!("u:U1 s:912345678 e:q:example.com {numbers}"),
    );
    // A pet name looks for the full names it may stand for.
    same(
        of_request_first(&profile("name=Bob|;born=1984-07-09")),
        "dg:19840709:rprt",
    );
    same(
        of_request_first(&profile("name=|Quist;born=1984-07-09")),
        "dl:19840709:kst",
    );
}

#[test]
fn a_request_looks_for_slips_and_for_what_changed_places() {
    let firsts = "dg:19840709:rprt p:5551234567:r a:12:aln:fl:rprt
        yn:1984:tlpsks:rprt yn:1984:lps:rprt yn:1984:kst:rprt mn:0709:tlpsks:rprt mn:0709:lps:rprt mn:0709:kst:rprt";
    let other_day = "dl:19840907:tlpsks dl:19840907:lps dl:19840907:kst dg:19840907:kn dg:19840907:rprt";
    let swapped = "dl:19840709:kn dg:19840709:t dg:19840709:lps dg:19840709:kst
        p:5551234567:t p:5551234567:l a:12:aln:fl:t a:12:aln:fl:lps a:12:aln:fl:kst";
    let numbers = "i:W1234567801 i:W12345678 i:S55";
    same(
        of_request(&profile(WHOLE)),
        &format!("{CONTACTS} {numbers} {NAMED} {firsts} {other_day} {swapped}"),
    );
}

#[test]
fn names_alone_are_looked_for_only_without_a_day() {
    for born in ["", ";born=1984", ";born=1984-07"] {
        same(
            of_request(&profile(&format!("name=Quanah|Quist{born}"))),
            "n:kst:kn n:kn:kst",
        );
    }
    same(
        of_request(&profile("name=Quanah|Quist;born=1984-07-19")),
        "dl:19840719:kst dl:19840719:kn dg:19840719:kn dg:19840719:kst yn:1984:kst:kn mn:0719:kst:kn",
    );
    same(of_record(&profile("name=Quanah|Quist")), "n:kst:kn");
}

#[test]
fn an_initial_is_no_key_beside_another_name() {
    same(of_record(&profile("name=J Quanah|")), "");
    same(of_record(&profile("name=J|Quist")), "n:kst:j");
    same(of_record(&profile("name=Lu Quanah|Quist")), "n:kst:l");
    let asked = |given: &str| of_request(&profile(&format!("name={given}|;phone=5551234567")));
    same(asked("J Quanah"), "p:5551234567:k");
    same(asked("J"), "p:5551234567:j");
    // Of a long list three are looked for, each letter once.
    same(asked("Quanah Quist Zed Wu"), "p:5551234567:k p:5551234567:s");
}

#[test]
fn of_a_family_name_the_whole_and_three_parts_are_keys() {
    let record = of_record(&profile("name=Quanah|Quist Lopez Zed Roe;born=1984-07-09"));
    let days: BTreeSet<&str> = record
        .iter()
        .filter_map(|key| key.strip_prefix("dl:19840709:"))
        .collect();
    assert_eq!(days, BTreeSet::from(["kstlps", "kst", "lps", "st"]));
    // A particle is none.
    let record = of_record(&profile("name=Quanah|van Quist;born=1984-07-09"));
    let days: BTreeSet<&str> = record
        .iter()
        .filter_map(|key| key.strip_prefix("dl:19840709:"))
        .collect();
    assert_eq!(days, BTreeSet::from(["fnkst", "kst"]));
}

#[test]
fn a_street_without_letters_is_its_own_key() {
    same(
        of_record(&profile("name=Quanah|;at=12 99 St|Tampa|FL|33601")),
        "a:12:99:fl:kn",
    );
    same(of_record(&profile("name=Quanah|;at=Elm St|Tampa|FL|33601")), "");
}

#[test]
fn files_are_also_searched_by_single_fields() {
    let wide = "wd:19840709 wn:tlpsks:kn wl:tlpsks:33601 wg:kn:33601 wc:kn:tampa wf:tlpsks:tampa wa:12:aln wz:12:33601";
    let asked = profile(WHOLE);
    let usual = of_request(&asked);
    let found: Vec<String> = of_file(&asked).into_iter().filter(|key| !usual.contains(key)).collect();
    same(found, wide);
    assert!(usual.iter().all(|key| of_file(&asked).contains(key)));
    same(of_file(&profile("name=Bob|;at=|Tampa||")), "wc:p:tampa");
}

#[test]
fn no_key_stands_twice() {
    for keys in [of_record, of_household, of_request_first, of_request, of_file] {
        let keys = keys(&profile(WHOLE));
        assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len(), "{keys:?}");
    }
}
