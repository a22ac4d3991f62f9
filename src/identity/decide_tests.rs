//! The deterministic rules, case by case: what matches, what contradicts, what is several, and what the version names.

use super::*;

const POLICY: Policy<'_> = Policy {
    member_system: "urn:our:member",
    umb_system: "urn:our:umb",
};

fn name(family: &str, given: &[&str]) -> HumanName {
    HumanName {
        family: Some(family.into()),
        given: given.iter().map(|g| Some((*g).to_owned())).collect(),
        ..HumanName::default()
    }
}

fn person(family: &str, given: &[&str], gender: &str, birth_date: &str) -> Demographics {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Demographics {
        names: vec![name(family, given)],
        gender: some(gender),
        birth_date: some(birth_date),
        identifiers: vec![],
    }
}

fn ana() -> Demographics {
    person("Núñez-Lima", &["Ana", "Maria"], "female", "1984-07-09")
}

fn record(demographics: Demographics, hits: &[(IdKind, &str)]) -> Candidate {
    Candidate {
        compartment: 7,
        patient_id: "p7".into(),
        umb: "U7".into(),
        demographics,
        hits: hits
            .iter()
            .map(|(kind, value)| Hit {
                kind: *kind,
                value: (*value).into(),
            })
            .collect(),
    }
}

fn mb(system: Option<&str>, value: &str) -> Identifier {
    let coding = crate::fhir::elements::Coding {
        system: Some(MB_SYSTEM.into()),
        code: Some("MB".into()),
    };
    Identifier {
        kind: Some(CodeableConcept {
            coding: vec![coding],
            text: None,
        }),
        system: system.map(str::to_owned),
        value: Some(value.into()),
        ..Identifier::default()
    }
}

fn card(value: &str) -> CoverageIds {
    CoverageIds {
        identifiers: vec![mb(Some("urn:our:member"), value)],
        subscriber_id: None,
    }
}

fn subscriber(value: &str) -> CoverageIds {
    CoverageIds {
        identifiers: vec![],
        subscriber_id: Some(value.into()),
    }
}

fn outcome(request: &Demographics, coverage: &CoverageIds, candidates: &[Candidate]) -> Outcome {
    decide(request, coverage, candidates, &POLICY).outcome
}

const M: &[(IdKind, &str)] = &[(IdKind::Member, "M1")];
const S: &[(IdKind, &str)] = &[(IdKind::Subscriber, "S1")];

#[test]
fn a_card_with_the_same_person_matches_however_it_is_written() {
    for request in [
        ana(),
        person("NUNEZ LIMA", &["ANA"], "female", "1984-07-09"),
        person("Lima", &["ana"], "", "1984-07-09"),
        person("Nuñez", &["Maria"], "unknown", "1984-07-09"),
        person("Núñez-Lima", &["Anamaria"], "female", "1984-07-09"),
    ] {
        let decision = decide(&request, &card("M1"), &[record(ana(), M)], &POLICY);
        assert_eq!(decision.outcome, Outcome::Match(0), "{request:?} {decision:?}");
    }
}

#[test]
fn each_contradiction_is_enough_to_refuse() {
    for request in [
        person("Souza", &["Ana"], "female", "1984-07-09"),
        person("Núñez-Lima", &["Eva"], "female", "1984-07-09"),
        person("Núñez-Lima", &["Ana"], "male", "1984-07-09"),
        person("Núñez-Lima", &["Ana"], "female", "1984-09-07"),
        person("Núñez-Lima", &["Ana"], "female", "1984"),
        person("Núñez-Lima", &["Ana"], "female", ""),
        person("", &["Ana"], "female", "1984-07-09"),
        person("Núñez-Lima", &[], "female", "1984-07-09"),
    ] {
        assert_eq!(
            outcome(&request, &card("M1"), &[record(ana(), M)]),
            Outcome::None,
            "{request:?}"
        );
    }
}

#[test]
fn nothing_is_decided_on_an_id_alone_or_on_name_and_birth_date_alone() {
    assert_eq!(
        outcome(&Demographics::default(), &card("M1"), &[record(ana(), M)]),
        Outcome::None
    );
    assert_eq!(
        outcome(&ana(), &CoverageIds::default(), &[record(ana(), &[])]),
        Outcome::None
    );
    assert_eq!(outcome(&ana(), &subscriber("S9"), &[record(ana(), &[])]), Outcome::None);
}

#[test]
fn t_c04_a_card_that_is_unknown_or_someone_elses_contradicts() {
    let eva = person("Souza", &["Eva"], "female", "1970-01-01");
    let both = [record(ana(), S), record(eva, M)];
    let mut coverage = card("M1");
    coverage.subscriber_id = Some("S1".into());
    assert_eq!(
        outcome(&ana(), &coverage, &both),
        Outcome::None,
        "card of another member"
    );
    assert_eq!(
        outcome(&ana(), &coverage, &both[..1]),
        Outcome::None,
        "card of ours that nobody holds"
    );
    coverage.identifiers[0].system = Some("urn:their:spelling".into());
    assert_eq!(
        outcome(&ana(), &coverage, &both),
        Outcome::None,
        "card of another member, other system"
    );
    assert_eq!(
        outcome(&ana(), &coverage, &both[..1]),
        Outcome::Match(0),
        "a number that is not ours says nothing"
    );
    coverage.identifiers[0].system = None;
    assert_eq!(
        outcome(&ana(), &coverage, &both[..1]),
        Outcome::None,
        "no system: taken as ours"
    );
}

#[test]
fn a_subscriber_number_of_another_household_contradicts_a_right_card() {
    let eva = person("Souza", &["Eva"], "female", "1970-01-01");
    let mut coverage = card("M1");
    coverage.subscriber_id = Some("S1".into());
    assert_eq!(
        outcome(&ana(), &coverage, &[record(ana(), M), record(eva, S)]),
        Outcome::None
    );
    assert_eq!(outcome(&ana(), &coverage, &[record(ana(), M)]), Outcome::Match(0));
}

#[test]
fn a_subscriber_number_picks_one_of_the_household_and_never_the_twin() {
    let maria = person("Núñez-Lima", &["Maria", "Ana"], "female", "1984-07-09");
    let household = [record(ana(), S), record(maria, S)];
    assert_eq!(outcome(&ana(), &subscriber("S1"), &household), Outcome::Match(0));
    assert_eq!(outcome(&ana(), &subscriber("S1"), &household[1..]), Outcome::None);
}

#[test]
fn two_records_that_satisfy_the_rules_are_several() {
    assert_eq!(
        outcome(&ana(), &card("M1"), &[record(ana(), M), record(ana(), M)]),
        Outcome::Several
    );
}

#[test]
fn the_number_at_the_requester_says_nothing_and_ours_on_the_patient_counts() {
    let mut request = ana();
    request.identifiers = vec![mb(Some("urn:their:member"), "N9")];
    assert_eq!(outcome(&request, &card("M1"), &[record(ana(), M)]), Outcome::Match(0));
    request.identifiers = vec![mb(Some("urn:our:member"), "M1")];
    assert_eq!(
        outcome(&request, &CoverageIds::default(), &[record(ana(), M)]),
        Outcome::Match(0)
    );
    request.identifiers = vec![mb(Some("urn:our:umb"), "U8")];
    assert_eq!(
        outcome(&request, &card("M1"), &[record(ana(), M)]),
        Outcome::None,
        "a UMB of someone else"
    );
}

#[test]
fn untyped_identifiers_of_hrex_1_0_count_when_they_hit() {
    let mut coverage = card("M1");
    coverage.identifiers[0].kind = None;
    coverage.identifiers[0].system = Some("urn:coverage".into());
    assert_eq!(outcome(&ana(), &coverage, &[record(ana(), M)]), Outcome::Match(0));
}

#[test]
fn birth_sex_stands_in_for_gender() {
    let extension = crate::fhir::elements::Extension {
        url: Some(BIRTHSEX.into()),
        value_code: Some("M".into()),
    };
    let patient = Patient {
        name: ana().names,
        birth_date: ana().birth_date,
        extension: vec![extension],
        ..Patient::default()
    };
    assert_eq!(
        outcome(&Demographics::from(&patient), &card("M1"), &[record(ana(), M)]),
        Outcome::None
    );
}

#[test]
fn the_policy_version_is_the_content_address_of_the_rules() {
    let version = POLICY.version();
    assert!(
        version.starts_with("deterministic-1:") && version.len() == "deterministic-1:".len() + 12,
        "{version}"
    );
}
