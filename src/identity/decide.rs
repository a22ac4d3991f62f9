//! The deterministic matcher behind the one function [`decide`]: levels for each field, the rule that fired, the outcome.
//!
//! A later probabilistic layer keeps this function and these types; it may add fields, weights and the outcome `Review`.

use super::normalise::{fold_name, name_parts};
use crate::fhir::elements::{CodeableConcept, Coverage, HumanName, Identifier, Patient};
use crate::secret::{hex, sha256};
use serde::Serialize;
use std::sync::LazyLock;

const MB_SYSTEM: &str = "http://terminology.hl7.org/CodeSystem/v2-0203";
const BIRTHSEX: &str = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-birthsex";

/// The rules in words; their digest is the policy version, so that a change of the rules cannot keep the old name.
const RULES: &str = "deterministic-1\n\
    match when exactly one record satisfies: (member-id agrees or subscriber-id agrees) and birth-date agrees \
    and family agrees or is partial and given agrees (or, with member-id, is partial) \
    and no field of {member-id, subscriber-id, umb, gender} disagrees\n\
    member-id: MB or untyped identifier of CoverageToMatch, or of MemberPatient in our system; agrees when the record holds \
    the value; disagrees when it is in our system or without system, or another record holds it as typed MB\n\
    subscriber-id: agrees when the record holds the value; disagrees when only other records hold it\n\
    umb: identifier of MemberPatient in our umb system; disagrees when it is not the record's\n\
    birth-date: equal and complete\n\
    family: agrees folded; partial when one is a part (4 letters or more) of the other's compound name\n\
    given: agrees when first given or all joined are equal folded; partial when the first given is another given of the other\n\
    gender: male against female disagrees; birthsex stands in when gender is absent\n";

static VERSION: LazyLock<String> =
    LazyLock::new(|| format!("deterministic-1:{}", &hex(&sha256(RULES.as_bytes()))[..12]));

/// Where our own identifiers live, and which rules apply.
#[derive(Clone, Copy, Debug)]
pub struct Policy<'a> {
    /// System of the member numbers on our cards.
    pub member_system: &'a str,
    /// System of our UMB identifiers.
    pub umb_system: &'a str,
}

impl Policy<'_> {
    /// The content address of the rules, such as `deterministic-1:0a1b2c3d4e5f`.
    pub fn version(&self) -> &'static str {
        VERSION.as_str()
    }
}

/// What is said of a person, in a request or in a record.
#[derive(Clone, Debug, Default)]
pub struct Demographics {
    /// Names, in the order given.
    pub names: Vec<HumanName>,
    /// Administrative gender, or birth sex when that is all there is: `male`, `female`, `other`, `unknown`.
    pub gender: Option<String>,
    /// Date of birth as written.
    pub birth_date: Option<String>,
    /// Identifiers of the Patient.
    pub identifiers: Vec<Identifier>,
}

impl From<&Patient> for Demographics {
    fn from(patient: &Patient) -> Self {
        let birthsex = || {
            let code = patient
                .extension
                .iter()
                .find(|e| e.url.as_deref() == Some(BIRTHSEX))?
                .value_code
                .as_deref()?;
            match code {
                "M" => Some("male".to_owned()),
                "F" => Some("female".to_owned()),
                _ => None,
            }
        };
        Demographics {
            names: patient.name.clone(),
            gender: patient.gender.clone().or_else(birthsex),
            birth_date: patient.birth_date.clone(),
            identifiers: patient.identifier.clone(),
        }
    }
}

/// The identifiers of the coverage that a request wants matched.
#[derive(Clone, Debug, Default)]
pub struct CoverageIds {
    /// `Coverage.identifier`.
    pub identifiers: Vec<Identifier>,
    /// `Coverage.subscriberId`.
    pub subscriber_id: Option<String>,
}

impl From<&Coverage> for CoverageIds {
    fn from(coverage: &Coverage) -> Self {
        CoverageIds {
            identifiers: coverage.identifier.clone(),
            subscriber_id: coverage.subscriber_id.clone(),
        }
    }
}

/// What an identifier of ours is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdKind {
    /// A member number (v2-0203 `MB`).
    Member,
    /// A subscriber number.
    Subscriber,
}

/// A value that was sent and that a record holds too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// How the record holds it.
    pub kind: IdKind,
    /// The value.
    pub value: String,
}

/// A record that might be the person.
#[derive(Clone, Debug, Default)]
pub struct Candidate {
    /// Number of its compartment.
    pub compartment: i64,
    /// Id of its Patient.
    pub patient_id: String,
    /// Its UMB value.
    pub umb: String,
    /// What the record says.
    pub demographics: Demographics,
    /// Which of the sent values it holds.
    pub hits: Vec<Hit>,
}

/// A field that is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Field {
    MemberId,
    SubscriberId,
    Umb,
    BirthDate,
    Family,
    Given,
    Gender,
}

/// How a field compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Both sides say the same.
    Agree,
    /// One is a part of the other.
    Partial,
    /// They contradict each other.
    Disagree,
    /// One side says nothing that can be compared.
    Missing,
}

/// How one candidate compares, without any value of either side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// Index into the candidates.
    pub candidate: usize,
    /// Each field and its level.
    pub fields: Vec<(Field, Level)>,
    /// The rule that made it a match, if one did.
    pub rule: Option<&'static str>,
}

impl Comparison {
    /// The level of one field.
    pub fn level(&self, field: Field) -> Level {
        self.fields
            .iter()
            .find(|(f, _)| *f == field)
            .map_or(Level::Missing, |(_, level)| *level)
    }
}

/// What was decided of the candidates together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Exactly one record is the person; its index.
    Match(usize),
    /// No record is.
    None,
    /// More than one record satisfies the rules.
    Several,
}

/// An outcome and why.
#[derive(Clone, Debug)]
pub struct Decision {
    /// What was decided.
    pub outcome: Outcome,
    /// How each candidate compared.
    pub compared: Vec<Comparison>,
    /// Version of the rules that decided.
    pub policy_version: &'static str,
}

/// The identifiers of a request that are worth looking up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SentIds {
    /// Member numbers.
    pub members: Vec<SentId>,
    /// The subscriber number.
    pub subscriber: Option<String>,
    /// A UMB of ours.
    pub umb: Option<String>,
}

/// A member number that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentId {
    /// The value, trimmed.
    pub value: String,
    /// Whether it must be one of ours: our system, or no system at all.
    pub ours: bool,
    /// Whether it says it is a member number.
    pub typed: bool,
}

/// Sorts out which identifiers of a request can be ours.
pub fn sent_ids(request: &Demographics, coverage: &CoverageIds, policy: &Policy<'_>) -> SentIds {
    let mut sent = SentIds {
        subscriber: coverage.subscriber_id.as_deref().and_then(trimmed),
        ..SentIds::default()
    };
    for identifier in &coverage.identifiers {
        let typed = identifier.kind.as_ref().is_some_and(is_member_type);
        let untyped = identifier.kind.as_ref().is_none_or(|kind| kind.coding.is_empty());
        let system = identifier.system.as_deref();
        if let Some(value) = identifier.value.as_deref().and_then(trimmed)
            && (typed || untyped)
        {
            let ours = system == Some(policy.member_system) || (typed && system.is_none());
            sent.members.push(SentId { value, ours, typed });
        }
    }
    for identifier in &request.identifiers {
        let Some(value) = identifier.value.as_deref().and_then(trimmed) else {
            continue;
        };
        // Other systems on the Patient are the requester's own numbers and say nothing about our records.
        if identifier.system.as_deref() == Some(policy.member_system) {
            sent.members.push(SentId {
                value,
                ours: true,
                typed: true,
            });
        } else if identifier.system.as_deref() == Some(policy.umb_system) {
            sent.umb = Some(value);
        }
    }
    sent
}

/// Decides which of `candidates` is the person of `request`, if exactly one is.
pub fn decide(
    request: &Demographics,
    coverage: &CoverageIds,
    candidates: &[Candidate],
    policy: &Policy<'_>,
) -> Decision {
    let sent = sent_ids(request, coverage, policy);
    let compared: Vec<Comparison> = candidates
        .iter()
        .enumerate()
        .map(|(index, candidate)| compare(request, &sent, index, candidate, candidates))
        .collect();
    let mut matched = compared
        .iter()
        .filter(|one| one.rule.is_some())
        .map(|one| one.candidate);
    let outcome = match (matched.next(), matched.next()) {
        (None, _) => Outcome::None,
        (Some(index), None) => Outcome::Match(index),
        (Some(_), Some(_)) => Outcome::Several,
    };
    Decision {
        outcome,
        compared,
        policy_version: policy.version(),
    }
}

fn compare(
    request: &Demographics,
    sent: &SentIds,
    index: usize,
    candidate: &Candidate,
    all: &[Candidate],
) -> Comparison {
    let record = &candidate.demographics;
    let fields = vec![
        (Field::MemberId, member_id(sent, index, candidate, all)),
        (Field::SubscriberId, subscriber_id(sent, index, candidate, all)),
        (
            Field::Umb,
            sent.umb
                .as_ref()
                .map_or(Level::Missing, |umb| agree_if(*umb == candidate.umb)),
        ),
        (Field::BirthDate, birth_date(request, record)),
        (Field::Family, best(&request.names, &record.names, family)),
        (Field::Given, best(&request.names, &record.names, given)),
        (Field::Gender, gender(request, record)),
    ];
    let mut comparison = Comparison {
        candidate: index,
        fields,
        rule: None,
    };
    comparison.rule = rule(&comparison);
    comparison
}

fn rule(compared: &Comparison) -> Option<&'static str> {
    use Field::{BirthDate, Family, Gender, Given, MemberId, SubscriberId, Umb};
    let agrees = |field| compared.level(field) == Level::Agree;
    let contradicted = [MemberId, SubscriberId, Umb, Gender]
        .into_iter()
        .any(|field| compared.level(field) == Level::Disagree);
    let near = |field| matches!(compared.level(field), Level::Agree | Level::Partial);
    if contradicted || !agrees(BirthDate) || !near(Family) || !near(Given) {
        return None;
    }
    match (agrees(MemberId), agrees(SubscriberId)) {
        (true, true) => Some("member-id+subscriber-id+name+birth-date"),
        (true, false) => Some("member-id+name+birth-date"),
        // A subscriber number covers a household: twins who share a middle name must not pass for each other.
        (false, true) if agrees(Given) => Some("subscriber-id+name+birth-date"),
        (false, _) => None,
    }
}

fn holds(candidate: &Candidate, kind: IdKind, value: &str) -> bool {
    candidate.hits.iter().any(|hit| hit.kind == kind && hit.value == value)
}

/// Every number must be reconcilable: one that is someone else's, or ours and unknown, contradicts whatever the rest says.
fn member_id(sent: &SentIds, index: usize, candidate: &Candidate, all: &[Candidate]) -> Level {
    let mut level = Level::Missing;
    for id in &sent.members {
        let elsewhere = || {
            all.iter()
                .enumerate()
                .any(|(i, other)| i != index && holds(other, IdKind::Member, &id.value))
        };
        if holds(candidate, IdKind::Member, &id.value) {
            level = Level::Agree;
        } else if id.ours || (id.typed && elsewhere()) {
            return Level::Disagree;
        }
    }
    level
}

fn subscriber_id(sent: &SentIds, index: usize, candidate: &Candidate, all: &[Candidate]) -> Level {
    let Some(value) = &sent.subscriber else {
        return Level::Missing;
    };
    if holds(candidate, IdKind::Subscriber, value) {
        Level::Agree
    } else if all
        .iter()
        .enumerate()
        .any(|(i, other)| i != index && holds(other, IdKind::Subscriber, value))
    {
        Level::Disagree
    } else {
        Level::Missing
    }
}

fn birth_date(request: &Demographics, record: &Demographics) -> Level {
    match (request.birth_date.as_deref(), record.birth_date.as_deref()) {
        (Some(a), Some(b)) if a == b && a.len() == 10 => Level::Agree,
        (Some(a), Some(b)) if a.len() != b.len() && (a.starts_with(b) || b.starts_with(a)) => Level::Partial,
        (Some(_), Some(_)) => Level::Disagree,
        _ => Level::Missing,
    }
}

fn gender(request: &Demographics, record: &Demographics) -> Level {
    match (request.gender.as_deref(), record.gender.as_deref()) {
        (Some("male"), Some("female")) | (Some("female"), Some("male")) => Level::Disagree,
        (Some(a), Some(b)) if a == b && a != "unknown" => Level::Agree,
        _ => Level::Missing,
    }
}

/// The best level over all pairs of names; a person may be recorded under several.
fn best(sent: &[HumanName], held: &[HumanName], level: fn(&HumanName, &HumanName) -> Level) -> Level {
    let rank = |level: &Level| match level {
        Level::Agree => 3,
        Level::Partial => 2,
        Level::Disagree => 1,
        Level::Missing => 0,
    };
    sent.iter()
        .flat_map(|a| held.iter().map(move |b| level(a, b)))
        .max_by_key(rank)
        .unwrap_or(Level::Missing)
}

fn family(sent: &HumanName, held: &HumanName) -> Level {
    let (Some(a), Some(b)) = (sent.family.as_deref(), held.family.as_deref()) else {
        return Level::Missing;
    };
    let (a_key, b_key) = (fold_name(a), fold_name(b));
    if a_key.is_empty() || b_key.is_empty() {
        Level::Missing
    } else if a_key == b_key {
        Level::Agree
    } else if is_part(&a_key, b) || is_part(&b_key, a) {
        Level::Partial
    } else {
        Level::Disagree
    }
}

/// Particles such as `de` or `van` are too common to stand for a name.
fn is_part(key: &str, compound: &str) -> bool {
    key.chars().count() >= 4 && name_parts(compound).iter().any(|part| part == key)
}

fn given(sent: &HumanName, held: &HumanName) -> Level {
    let fold = |name: &HumanName| -> Vec<String> {
        name.given
            .iter()
            .flatten()
            .map(|given| fold_name(given))
            .filter(|given| !given.is_empty())
            .collect()
    };
    let (a, b) = (fold(sent), fold(held));
    let (Some(first_a), Some(first_b)) = (a.first(), b.first()) else {
        return Level::Missing;
    };
    let long = |name: &String| name.chars().count() >= 2;
    if first_a == first_b || a.concat() == b.concat() {
        Level::Agree
    } else if (long(first_a) && b.contains(first_a)) || (long(first_b) && a.contains(first_b)) {
        Level::Partial
    } else {
        Level::Disagree
    }
}

fn agree_if(same: bool) -> Level {
    if same { Level::Agree } else { Level::Disagree }
}

fn is_member_type(kind: &CodeableConcept) -> bool {
    kind.has(MB_SYSTEM, "MB")
}

fn trimmed(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
