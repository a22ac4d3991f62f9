//! `$member-match` requests for synthetic members, in the form of HRex 1.1 and later, correct and with typical deviations.

use super::codes::coded;
use super::member::Member;
use chrono::{Days, NaiveDate};
use serde_json::{Value, json};

const NPI: &str = "http://hl7.org/fhir/sid/us-npi";

/// What the member agreed to share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SharingPolicy {
    /// Everything that is not sensitive.
    Regular,
    /// Everything.
    Sensitive,
}

impl SharingPolicy {
    /// The policy URI of HRex.
    pub const fn uri(self) -> &'static str {
        match self {
            SharingPolicy::Regular => {
                "http://hl7.org/fhir/us/davinci-hrex/StructureDefinition-hrex-consent.html#regular"
            }
            SharingPolicy::Sensitive => {
                "http://hl7.org/fhir/us/davinci-hrex/StructureDefinition-hrex-consent.html#sensitive"
            }
        }
    }
}

/// How the request differs from the payer's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variation {
    /// It does not differ.
    Exact,
    /// Names in capitals without accents, as printed on the card.
    Capitals,
    /// The short form of the given name.
    Nickname,
    /// Another birth date.
    WrongBirthDate,
    /// A card number that no member has.
    UnknownCard,
    /// A person who is no member, with a card number that no member has.
    UnknownPerson,
    /// The consent ended before the day of the request.
    ConsentExpired,
    /// The consent begins later.
    ConsentNotBegun,
    /// The consent denies the disclosure.
    ConsentDenied,
    /// The consent is for two other payers.
    ConsentForOthers,
    /// The consent names a policy that HRex does not define.
    ConsentUnknownPolicy,
    /// The consent is about another patient.
    ConsentOfAnother,
    /// No Consent at all.
    NoConsent,
    /// No CoverageToLink: allowed.
    NoCoverageToLink,
    /// No CoverageToMatch: a required parameter.
    NoCoverageToMatch,
}

/// The two payers, the day, and the policy of the consent.
#[derive(Clone, Debug)]
pub struct MatchOptions {
    /// National Provider Identifier of the payer that is asked.
    pub old_npi: String,
    /// National Provider Identifier of the payer that asks.
    pub new_npi: String,
    /// System of the member numbers of the payer that is asked.
    pub old_member_system: String,
    /// System of the member numbers of the payer that asks.
    pub new_member_system: String,
    /// What the consent permits.
    pub policy: SharingPolicy,
    /// The day of the request. The consent is 30 days old and valid for another 120, unless the variation says otherwise.
    pub today: NaiveDate,
}

impl MatchOptions {
    /// The two payers of the documentation, with the regular policy.
    pub fn on(today: NaiveDate) -> Self {
        MatchOptions {
            old_npi: "1992000012".to_owned(),
            new_npi: "1992000020".to_owned(),
            old_member_system: "http://old-payer.example/identifiers/member".to_owned(),
            new_member_system: "http://new-payer.example/identifiers/member".to_owned(),
            policy: SharingPolicy::Regular,
            today,
        }
    }
}

/// The `Parameters` of a `$member-match` request about `member`.
pub fn match_request(member: &Member, options: &MatchOptions, variation: Variation) -> Value {
    let mut parameters = vec![json!({"name": "MemberPatient", "resource": patient(member, variation)})];
    if variation != Variation::NoCoverageToMatch {
        parameters.push(json!({"name": "CoverageToMatch", "resource": coverage_to_match(member, options, variation)}));
    }
    if variation != Variation::NoCoverageToLink {
        parameters.push(json!({"name": "CoverageToLink", "resource": coverage_to_link(member, options)}));
    }
    if variation != Variation::NoConsent {
        parameters.push(json!({"name": "Consent", "resource": consent(options, variation)}));
    }
    json!({"resourceType": "Parameters", "parameter": parameters})
}

fn patient(member: &Member, variation: Variation) -> Value {
    let mut name = json!({"use": "official", "family": member.family, "given": member.given});
    let mut birth_date = member.birth_date;
    match variation {
        Variation::Capitals => {
            let given: Vec<String> = member.given.iter().map(|name| name.to_uppercase()).collect();
            name = json!({"use": "official", "family": member.family.to_uppercase(), "given": given});
        }
        Variation::Nickname => name["given"] = json!([member.nickname.unwrap_or(member.given[0].as_str())]),
        Variation::UnknownPerson => {
            name = json!({"use": "official", "family": "Nobody-Anywhere", "given": ["Xanthippe"]})
        }
        Variation::WrongBirthDate => birth_date = birth_date - Days::new(400),
        _ => {}
    }
    json!({
        "resourceType": "Patient", "id": "member",
        "name": [name],
        "telecom": [{"system": "phone", "value": member.phone}],
        "gender": member.gender, "birthDate": birth_date.to_string(),
        "address": [{"line": [member.street], "city": member.city, "state": member.state, "postalCode": member.postal_code}],
    })
}

fn coverage_to_match(member: &Member, options: &MatchOptions, variation: Variation) -> Value {
    let unknown = matches!(variation, Variation::UnknownCard | Variation::UnknownPerson);
    let number = if unknown {
        "M0X0000000"
    } else {
        member.member_number.as_str()
    };
    let subscriber = if unknown {
        "S0X0000000"
    } else {
        member.subscriber_id.as_str()
    };
    json!({
        "resourceType": "Coverage", "id": "old-cover",
        "identifier": [member_id(&options.old_member_system, number)],
        "status": "active", "subscriberId": subscriber,
        "beneficiary": {"reference": "Patient/member"},
        "relationship": coded("http://terminology.hl7.org/CodeSystem/subscriber-relationship", member.relationship),
        "period": {"start": member.covered_from.to_string()},
        "payor": [{"identifier": {"system": NPI, "value": options.old_npi}, "display": "Old Payer"}],
    })
}

fn coverage_to_link(member: &Member, options: &MatchOptions) -> Value {
    json!({
        "resourceType": "Coverage", "id": "new-cover",
        "identifier": [member_id(&options.new_member_system, &format!("N{:09}", member.index))],
        "status": "active",
        "beneficiary": {"reference": "Patient/member"},
        "relationship": coded("http://terminology.hl7.org/CodeSystem/subscriber-relationship", "self"),
        "payor": [{"identifier": {"system": NPI, "value": options.new_npi}, "display": "New Payer"}],
    })
}

fn member_id(system: &str, value: &str) -> Value {
    json!({"type": coded("http://terminology.hl7.org/CodeSystem/v2-0203", "MB"), "system": system, "value": value})
}

fn consent(options: &MatchOptions, variation: Variation) -> Value {
    let today = options.today;
    let (start, end) = match variation {
        Variation::ConsentExpired => (today - Days::new(400), today - Days::new(2)),
        Variation::ConsentNotBegun => (today + Days::new(10), today + Days::new(100)),
        _ => (today - Days::new(30), today + Days::new(120)),
    };
    let (from, to) = match variation {
        Variation::ConsentForOthers => ("1992000038", "1992000046"),
        _ => (options.old_npi.as_str(), options.new_npi.as_str()),
    };
    let policy = match variation {
        Variation::ConsentUnknownPolicy => "http://new-payer.example/policies/whatever",
        _ => options.policy.uri(),
    };
    let whom = if variation == Variation::ConsentOfAnother {
        "Patient/another"
    } else {
        "Patient/member"
    };
    let actor = |system: &str, role: &str, npi: &str| json!({"role": coded(system, role), "reference": {"identifier": {"system": NPI, "value": npi}}});
    json!({
        "resourceType": "Consent", "id": "consent", "status": "active",
        "scope": coded("http://terminology.hl7.org/CodeSystem/consentscope", "patient-privacy"),
        "category": [coded("http://terminology.hl7.org/CodeSystem/v3-ActCode", "IDSCL")],
        "patient": {"reference": whom}, "performer": [{"reference": whom}],
        "sourceReference": {"reference": "https://new-payer.example/fhir/DocumentReference/opt-in"},
        "policy": [{"uri": policy}],
        "provision": {
            "type": if variation == Variation::ConsentDenied { "deny" } else { "permit" },
            "period": {"start": start.to_string(), "end": end.to_string()},
            "actor": [
                actor("http://terminology.hl7.org/CodeSystem/provenance-participant-type", "performer", from),
                actor("http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "IRCP", to),
            ],
            "action": [coded("http://terminology.hl7.org/CodeSystem/consentaction", "disclose")],
        },
    })
}
