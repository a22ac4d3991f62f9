use super::*;
use crate::company::Company;
use crate::evidence::evidence;
use crate::facts::Facts;
use crate::field::{Level, Levels};
use crate::person::{Person, PersonName, Profile};
use crate::policy::Point;
use std::collections::HashSet;

/// A case with these levels and empty profiles.
fn case<'a>(levels: Levels, nobody: &'a Profile, facts: &'a Facts) -> GuardCase<'a> {
    GuardCase {
        levels,
        evidence: evidence(&levels),
        company: Company::default(),
        suffixed: false,
        point: Point::Safe,
        asked: nobody,
        record: nobody,
        best: 0,
        held: &[],
        facts,
        margin: f64::INFINITY,
        margin_needed: 6.0,
        total: 30.0,
        needed: 10.0,
        has_rule: false,
        other_card: false,
    }
}

/// Pseudorandom numbers that are the same in each run (Knuth's multiplier, high bits).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }

    /// A random level of a field. Half of the results are exact or missing, so that conditions on many fields are reached often.
    fn level(&mut self, field: Field) -> Level {
        let levels = field.levels();
        match self.below(8) {
            0..3 => Level::Exact,
            3 => Level::Missing,
            _ => levels[self.below(levels.len())],
        }
    }

    fn levels(&mut self) -> Levels {
        let mut levels = Levels::default();
        let said = self.below(4);
        for field in Field::ALL {
            let level = self.level(field);
            // In some cases most fields are missing, as in real requests.
            if said > 0 || self.below(3) == 0 {
                levels.set(field, level);
            }
        }
        levels
    }
}

#[test]
fn a_guard_reads_the_fields_that_its_row_names_and_no_others() {
    let (nobody, facts) = (Profile::from(&Person::default()), Facts::default());
    let mut random = Random(11);
    let mut read = HashSet::new();
    for _ in 0..400_000 {
        let mut one = case(random.levels(), &nobody, &facts);
        one.company.namesake = random.below(2) == 0;
        one.company.namesake_of_other_gender = one.company.namesake && random.below(2) == 0;
        one.company.twin = random.below(2) == 0;
        one.company.another_name = random.below(4) == 0;
        one.suffixed = random.below(4) == 0;
        one.point = [Point::Safe, Point::Balanced][random.below(2)];
        let field = Field::ALL[random.below(Field::ALL.len())];
        let level = random.level(field);
        let mut other = one;
        other.levels.set(field, level);
        other.evidence = evidence(&other.levels);
        for row in &GUARDS {
            if (row.condition)(&one) != (row.condition)(&other) {
                read.insert((row.code, field));
            }
        }
    }
    for row in &GUARDS {
        for field in Field::ALL {
            let (named, reads) = (row.fields.contains(&field), read.contains(&(row.code, field)));
            assert_eq!(
                named,
                reads,
                "{} and {}: named {named}, read {reads}",
                row.code,
                field.code()
            );
        }
    }
}

#[test]
fn names_in_decision_records_are_for_ever() {
    let codes = Guard::ALL.map(Guard::code);
    let kept = [
        "id_contradicts",
        "ssn_contradicts",
        "generation",
        "birth_generation",
        "birth_missing",
        "birth_differs",
        "birth_slip",
        "given_differs",
        "gender_differs",
        "family_differs",
        "nothing_else",
        "thin_contradicted",
        "several_people",
        "shared_number",
        "rival",
        "weak",
        "other_card",
    ];
    assert_eq!(codes, kept);
    for guard in Guard::ALL {
        assert_eq!(guard.row().guard, guard);
        assert!(!guard.words().is_empty() && guard.words() == guard.row().words);
    }
}

#[test]
fn the_first_row_that_forbids_speaks() {
    let (nobody, facts) = (Profile::from(&Person::default()), Facts::default());
    let mut levels = Levels::default();
    for field in [Field::Given, Field::Family, Field::Birth, Field::Phone, Field::Address] {
        levels.set(field, Level::Exact);
    }
    let mut one = case(levels, &nobody, &facts);
    assert_eq!(first(&one), None);
    // Each step adds what an earlier row forbids.
    one.other_card = true;
    assert_eq!(first(&one), Some(Guard::OtherCard));
    one.total = one.needed - 0.1;
    assert_eq!(first(&one), Some(Guard::Weak));
    one.has_rule = true;
    assert_eq!(first(&one), Some(Guard::OtherCard), "a rule is enough evidence");
    one.margin = one.margin_needed - 0.1;
    assert_eq!(first(&one), Some(Guard::Rival));
    for (field, level, guard) in [
        (Field::Family, Level::Missing, None),
        (Field::Gender, Level::Differ, None),
        (Field::Given, Level::Slip, Some(Guard::GenderDiffers)),
        (Field::Given, Level::Differ, Some(Guard::GivenDiffers)),
        (Field::Birth, Level::Differ, Some(Guard::BirthDiffers)),
        (Field::Birth, Level::Far, Some(Guard::BirthGeneration)),
        (Field::Suffix, Level::Differ, Some(Guard::Generation)),
        (Field::Ssn, Level::Differ, Some(Guard::SsnContradicts)),
        (Field::MemberId, Level::Differ, Some(Guard::IdContradicts)),
    ] {
        one.levels.set(field, level);
        one.evidence = evidence(&one.levels);
        assert_eq!(
            first(&one),
            guard.or(Some(Guard::Rival)),
            "{} {}",
            field.code(),
            level.code()
        );
    }
}

#[test]
fn what_just_reaches_a_bound_is_enough() {
    let (nobody, facts) = (Profile::from(&Person::default()), Facts::default());
    let mut levels = Levels::default();
    for field in [Field::Given, Field::Family, Field::Birth, Field::Address] {
        levels.set(field, Level::Exact);
    }
    let mut one = case(levels, &nobody, &facts);
    (one.total, one.margin) = (one.needed, one.margin_needed);
    assert_eq!(first(&one), None);
}

/// Both edges of the rows: what is just enough and what is just not enough. Levels that are not named are missing, except that family name
/// and birth date are the same unless the line says otherwise.
const EDGES: &[(&str, &str)] = &[
    // Another social security number with all else equal is still forbidden at `safe`.
    (
        "given=exact ssn=differ member_id=exact address=exact",
        "ssn_contradicts",
    ),
    ("given=exact suffix=differ ssn=exact", ""),
    ("given=exact suffix=differ ssn=partial", "generation"),
    ("given=exact suffix=differ ssn=exact birth=slip", "generation"),
    ("given=exact birth=far ssn=partial", ""),
    (
        "given=exact birth=far address=exact member_id=exact",
        "birth_generation",
    ),
    ("given=slip birth=far ssn=partial", "birth_generation"),
    // Without a birth date: two of address, telephone and member number, or one of them with a middle name.
    ("given=exact birth=missing phone=exact address=exact", ""),
    ("given=exact birth=missing phone=exact", "birth_missing"),
    ("given=exact birth=missing phone=exact middle=partial", ""),
    (
        "given=exact birth=missing phone=exact address=exact middle=differ",
        "birth_missing",
    ),
    ("given=exact birth=missing member_id=exact", ""),
    ("given=slip birth=missing member_id=exact", "birth_missing"),
    ("given=slip birth=missing ssn=exact", ""),
    ("given=exact birth=missing ssn=exact family=differ", "birth_missing"),
    // Another birth date: a national number, both names and the household.
    ("given=exact birth=differ ssn=exact address=exact", ""),
    ("given=exact birth=differ ssn=exact", "birth_differs"),
    (
        "given=exact birth=differ address=exact phone=exact member_id=exact",
        "birth_differs",
    ),
    ("given=slip birth=differ ssn=exact address=exact", "birth_differs"),
    (
        "given=exact birth=differ ssn=exact address=exact family=differ",
        "birth_differs",
    ),
    // A typing error in the birth date: the household is enough. Another day: the member number alone is not.
    ("given=exact birth=slip member_id=exact", ""),
    ("given=exact birth=part member_id=exact", "birth_slip"),
    ("given=exact birth=part member_id=exact phone=exact", ""),
    ("given=exact birth=near member_id=exact middle=partial", ""),
    ("given=slip birth=near member_id=exact phone=exact", "birth_slip"),
    ("given=exact birth=slip address=exact middle=differ", "birth_slip"),
    ("given=exact birth=slip middle=exact", ""),
    ("given=exact birth=slip middle=exact gender=differ", "birth_slip"),
    ("given=nickname birth=slip middle=exact", "birth_slip"),
    ("given=exact birth=part middle=exact", "birth_slip"),
    // Another first name: fields of the person alone make up for it, fields of the household do not.
    (
        "given=differ address=exact phone=exact member_id=exact",
        "given_differs",
    ),
    ("given=differ ssn=exact", "given_differs"),
    ("given=differ ssn=exact address=exact", ""),
    ("given=differ ssn=exact address=exact birth=slip", "birth_slip"),
    ("given=differ email=exact address=exact", "given_differs"),
    ("given=differ middle=exact address=exact", ""),
    ("given=differ middle=partial address=exact", "given_differs"),
    ("given=differ middle=exact address=far", ""),
    ("given=differ middle=exact address=far phone=differ", "given_differs"),
    ("given=differ middle=exact address=exact gender=differ", "given_differs"),
    ("given=differ middle=exact address=exact family=differ", "given_differs"),
    ("given=slip_known member_id=exact", ""),
    ("given=slip_known email=exact", ""),
    ("given=slip_known address=exact phone=exact", "given_differs"),
    ("given=alike address=exact", ""),
    ("given=alike address=far", "given_differs"),
    ("given=alike address=exact family=differ", "given_differs"),
    ("given=alike email=exact family=differ", "family_differs"),
    // Another gender: the same first name, a national number, or a nickname with something more.
    ("given=exact gender=differ address=exact", ""),
    ("given=slip gender=differ address=exact", "gender_differs"),
    ("given=slip gender=differ ssn=partial", ""),
    ("given=nickname gender=differ address=exact", "gender_differs"),
    ("given=nickname gender=differ address=exact middle=partial", ""),
    ("given=nickname gender=differ email=exact", ""),
    ("given=nickname gender=differ member_id=exact", ""),
    // Another family name.
    ("given=exact family=differ address=exact", ""),
    ("given=exact family=differ address=near", "family_differs"),
    ("given=exact family=differ address=near gender=exact", ""),
    ("given=exact family=differ address=far gender=exact", "family_differs"),
    ("given=partial family=differ address=exact", "family_differs"),
    ("given=partial family=differ ssn=exact", ""),
    ("given=exact family=differ birth=slip address=exact", "family_differs"),
    ("given=exact family=differ birth=slip address=exact middle=exact", ""),
    ("given=exact family=differ birth=slip member_id=exact", ""),
    ("given=slip family=differ birth=slip email=exact", "family_differs"),
    ("given=exact family=differ birth=near email=exact", "family_differs"),
    (
        "given=nickname family=differ address=near gender=exact",
        "family_differs",
    ),
    (
        "given=exact family=differ birth=slip phone=exact address=near gender=exact",
        "family_differs",
    ),
    // Nothing or little in addition to name and birth date.
    ("given=exact", "nothing_else"),
    ("given=exact address=differ phone=differ", "nothing_else"),
    ("given=exact address=remote", ""),
    ("given=exact address=far", ""),
    ("given=slip address=far family=slip", "thin_contradicted"),
    ("given=slip address=near family=slip", ""),
    ("given=exact address=far middle=differ", "thin_contradicted"),
    ("given=exact address=far gender=differ", "thin_contradicted"),
    ("given=exact address=near gender=differ", ""),
    ("given=exact address=far phone=differ", "thin_contradicted"),
    ("given=exact address=near phone=differ", ""),
    (
        "given=exact address=near phone=differ email=differ",
        "thin_contradicted",
    ),
    ("given=exact middle=partial phone=differ", ""),
    (
        "given=exact middle=partial phone=differ address=differ",
        "thin_contradicted",
    ),
    ("given=exact middle=exact phone=differ address=differ", ""),
    ("given=exact middle=exact address=far phone=differ email=differ", ""),
    (
        "given=exact middle=exact phone=differ member_id=foreign",
        "thin_contradicted",
    ),
    ("given=exact suffix=exact", ""),
];

fn named(text: &str) -> Levels {
    let pairs = text.split_whitespace().filter_map(|pair| pair.split_once('='));
    Levels::named([("family", "exact"), ("birth", "exact")].into_iter().chain(pairs))
}

#[test]
fn each_guard_forbids_up_to_its_edge_and_no_further() {
    let (nobody, facts) = (Profile::from(&Person::default()), Facts::default());
    let wrong: Vec<String> = EDGES
        .iter()
        .map(|(text, expected)| (text, expected, first(&case(named(text), &nobody, &facts))))
        .filter(|(_, expected, found)| found.map_or("", Guard::code) != **expected)
        .map(|(text, expected, found)| format!("{text}: expected {expected:?}, found {found:?}"))
        .collect();
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn who_else_lives_there_and_the_operating_point_count() {
    let (nobody, facts) = (Profile::from(&Person::default()), Facts::default());
    let of = |text: &str, change: &dyn Fn(&mut GuardCase<'_>)| {
        let mut one = case(named(text), &nobody, &facts);
        change(&mut one);
        first(&one).map_or("", Guard::code)
    };
    let all_but_ssn = "given=exact ssn=differ member_id=exact address=exact";
    assert_eq!(of(all_but_ssn, &|one| one.point = Point::Balanced), "");
    for lacks in [
        "given=slip",
        "birth=slip",
        "member_id=partial",
        "address=near",
        "family=differ",
    ] {
        let text = format!("{all_but_ssn} {lacks}");
        assert_eq!(
            of(&text, &|one| one.point = Point::Balanced),
            "ssn_contradicts",
            "{lacks}"
        );
    }
    let undated = "given=exact birth=missing phone=exact address=exact";
    assert_eq!(of(undated, &|one| one.suffixed = true), "birth_missing");
    assert_eq!(of(undated, &|one| one.company.namesake = true), "birth_missing");
    let middle = "given=differ middle=exact address=exact";
    assert_eq!(of(middle, &|one| one.company.twin = true), "given_differs");
    let mistaken = "given=differ middle=partial member_id=exact";
    assert_eq!(of(mistaken, &|one| one.company.namesake = true), "");
    let shared = "given=differ phone=exact member_id=exact";
    assert_eq!(
        of(shared, &|one| one.company.namesake = true),
        "given_differs",
        "what a card says"
    );
    assert_eq!(
        of("given=differ email=exact member_id=exact", &|one| one
            .company
            .namesake = true),
        "",
        "an email address is not on the card"
    );
    // Without the card a namesake explains the name only when the gender is the record's and not the namesake's.
    let at_home = "given=differ middle=partial phone=exact";
    for (gender, other_gender, expected) in [
        (" gender=exact", true, ""),
        (" gender=exact", false, "given_differs"),
        ("", true, "given_differs"),
    ] {
        let namesake = |one: &mut GuardCase<'_>| {
            (one.company.namesake, one.company.namesake_of_other_gender) = (true, other_gender);
        };
        assert_eq!(
            of(&format!("{at_home}{gender}"), &namesake),
            expected,
            "{gender} {other_gender}"
        );
    }
    let both = |one: &mut GuardCase<'_>| (one.company.namesake, one.company.twin) = (true, true);
    assert_eq!(of(mistaken, &both), "given_differs");
    assert_eq!(
        of("given=alike address=exact", &|one| one.company.another_name = true),
        "given_differs"
    );
    let slips = "given=slip address=far family=slip";
    assert_eq!(of(slips, &|one| one.point = Point::Balanced), "");
    assert_eq!(
        of("given=exact address=far phone=differ", &|one| one.point =
            Point::Balanced),
        ""
    );
}

#[test]
fn a_condition_answers_by_the_case_alone() {
    let (nobody, facts) = (Profile::from(&Person::default()), Facts::default());
    // An earlier row would speak for these; the row of thin evidence contradicts names of which only one is near.
    let forbids = |text: &str| (Guard::ThinContradicted.row().condition)(&case(named(text), &nobody, &facts));
    assert!(!forbids("given=exact address=far"));
    assert!(forbids("given=exact family=differ address=far"));
    assert!(forbids("given=differ address=far"));
    assert!(!forbids("given=exact family=differ address=near"), "two thin things");
}

#[test]
fn names_of_several_people_are_several_unless_the_record_has_them() {
    let facts = Facts::default();
    let person = |names: &[&str]| {
        let name = |name: &&str| PersonName {
            given: name.split(' ').map(str::to_owned).collect(),
            family: "Lane".into(),
            suffix: String::new(),
        };
        Profile::from(&Person {
            names: names.iter().map(name).collect(),
            ..Person::default()
        })
    };
    let several = |asked: &[&str], record: &[&str]| {
        let (asked, record) = (person(asked), person(record));
        let mut one = case(Levels::default(), &record, &facts);
        one.asked = &asked;
        (Guard::SeveralPeople.row().condition)(&one)
    };
    assert!(!several(&["Robert", "Bob"], &["Robert"]), "one person's names");
    assert!(several(&["Robert", "Walter"], &["Robert"]));
    assert!(several(&["Walter", "Robert"], &["Robert"]));
    assert!(several(&["Robert", "Walter"], &["Otto"]));
    assert!(
        !several(&["Robert", "Walter"], &["Robert", "Walter"]),
        "the record has both"
    );
    assert!(!several(&["Robert Bob", "Bob"], &["Otto"]));
    // Six first names may be one person's, seven are not.
    assert!(!several(&["Ana Bea Cleo Dora Eva Fay"], &["Ana"]));
    assert!(several(&["Ana Bea Cleo Dora Eva Fay Gil"], &["Ana"]));
    assert!(several(&["Ana Bea Cleo Dora Eva Fay Gil Hal"], &["Ana"]));
}

/// The table for `docs/matching.md`.
fn page() -> String {
    let mut text = String::from(
        "| guard | fields | looks at besides | forbids an automatic match on | unless | because |\n|---|---|---|---|---|---|\n",
    );
    for row in &GUARDS {
        let fields = row.fields.iter().map(|field| format!("`{}`", field.code()));
        let cells = [
            format!("`{}`", row.code),
            fields.collect::<Vec<_>>().join(" "),
            row.besides.to_owned(),
            row.forbids.to_owned(),
            row.unless.to_owned(),
            row.reason.to_owned(),
        ];
        text.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    text
}

#[test]
fn the_page_has_the_table_of_the_code() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/matching.md");
    let text = std::fs::read_to_string(path).expect("the page");
    let (begin, end) = ("<!-- guards -->\n", "<!-- end of guards -->");
    let (before, rest) = text.split_once(begin).expect("where the table begins");
    let (found, after) = rest.split_once(end).expect("where the table ends");
    if std::env::var_os("CAUSEWAY_UPDATE_DOCS").is_some() {
        std::fs::write(path, format!("{before}{begin}{}{end}{after}", page())).expect("written");
    } else {
        assert_eq!(
            found,
            page(),
            "docs/matching.md differs: run this test with CAUSEWAY_UPDATE_DOCS=1"
        );
    }
}
