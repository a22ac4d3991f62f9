//! The decision table: may a record be disclosed under this consent, to this partner, now?
//!
//! Every rule is a row of [`RULES`]; the first that does not hold decides. Rows are ordered by what they read: the consent's shape, then
//! the request with the caller and the clock, then this payer's own data. The result of the first two kinds is the same for a member and
//! for a stranger, so a partner may get it by name, before any member is looked up; the result of the last kind it may not.
//! Source: HRex hrex-consent (1.0-1.2), PDex "Evaluation of Consent"; threats C01, C04, D09.

use super::period::bounds;
use crate::error::Fault;
use crate::fhir::elements::{CodeableConcept, Consent, ConsentActor, Provision, Reference};
use chrono_tz::Tz;

/// The policy that covers everything but sensitive data.
pub const REGULAR: &str = "http://hl7.org/fhir/us/davinci-hrex/StructureDefinition-hrex-consent.html#regular";
/// The policy that covers everything, including sensitive data.
pub const SENSITIVE: &str = "http://hl7.org/fhir/us/davinci-hrex/StructureDefinition-hrex-consent.html#sensitive";

const SCOPES: &str = "http://terminology.hl7.org/CodeSystem/consentscope";
const ACTIONS: &str = "http://terminology.hl7.org/CodeSystem/consentaction";
const NPI: &str = "http://hl7.org/fhir/sid/us-npi";
const ROLE_CODE: &str = "http://terminology.hl7.org/CodeSystem/v3-RoleCode";
/// Roles of persons who may consent for a member, when the consent names them as an actor in such a role (PDex, authorized representative).
const REPRESENTATIVES: [&str; 5] = ["GUARD", "DPOWATT", "HPOWATT", "POWATT", "SPOWATT"];

/// What follows when a rule does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RuleClass {
    /// The consent violates its profile.
    Profile,
    /// The consent follows its profile, but the request, the caller and the clock alone show that it permits nothing.
    Request,
    /// The consent is valid by itself, but this payer's own data show that it cannot be
    /// honored. This is reported only when a member matched.
    Honour,
}

/// How much the consent covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsentScope {
    /// Policy `#regular`.
    Regular,
    /// Policy `#sensitive`.
    Sensitive,
}

impl ConsentScope {
    /// Returns the code that is stored with the consent and named in the ledger.
    pub const fn code(self) -> &'static str {
        match self {
            ConsentScope::Regular => "regular",
            ConsentScope::Sensitive => "sensitive",
        }
    }
}

/// What a permitted consent allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsentTerms {
    /// How much it covers.
    pub scope: ConsentScope,
    /// The first instant, UTC milliseconds.
    pub from_ms: i64,
    /// The first instant after the end, UTC milliseconds.
    pub until_ms: i64,
}

/// A consent and what it is judged against.
#[derive(Clone, Copy, Debug)]
pub struct ConsentQuestion<'a> {
    /// The consent.
    pub consent: &'a Consent,
    /// The reference by which the request names its member, such as `Patient/1`.
    pub member: &'a str,
    /// This payer's National Provider Identifier.
    pub our_npi: &'a str,
    /// The National Provider Identifier of the authenticated partner.
    pub partner_npi: &'a str,
    /// Now, UTC milliseconds.
    pub now_ms: i64,
    /// The time zone in which dates are read.
    pub zone: Tz,
    /// Whether sensitive data can be distinguished here; otherwise `#regular` cannot be honored.
    pub segments: bool,
}

/// A row of the table.
pub struct ConsentRule {
    /// Its name, stored with the decision.
    pub name: &'static str,
    /// What follows when it does not hold.
    pub class: RuleClass,
    /// The fault that a partner gets.
    pub fault: Fault,
    /// The element of the Consent that it reads.
    pub element: &'static str,
    /// What the partner should send.
    pub remedy: &'static str,
    /// Returns whether the rule holds.
    pub holds: fn(&ConsentQuestion<'_>) -> bool,
}

impl std::fmt::Debug for ConsentRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// Version of the table, stored with the decisions that it makes alone.
pub const TABLE_VERSION: &str = "hrex-consent:3";

type Holds = fn(&ConsentQuestion<'_>) -> bool;

/// Makes a rule of the profile.
const fn profile(name: &'static str, element: &'static str, remedy: &'static str, holds: Holds) -> ConsentRule {
    ConsentRule {
        name,
        class: RuleClass::Profile,
        fault: Fault::MatchInvalid,
        element,
        remedy,
        holds,
    }
}

/// Makes a rule that reads request, caller and clock.
const fn by_request(
    name: &'static str,
    fault: Fault,
    element: &'static str,
    remedy: &'static str,
    holds: Holds,
) -> ConsentRule {
    ConsentRule {
        name,
        class: RuleClass::Request,
        fault,
        element,
        remedy,
        holds,
    }
}

/// The table. All rows must hold. When several do not, the first is reported: a missing element before a wrong one, the parties before what
/// they agreed on, and the period last, since a period that has not begun yet resolves itself.
pub const RULES: &[ConsentRule] = &[
    profile("status-given", "status", "Missing: send status active.", |q| {
        q.consent.status.is_some()
    }),
    profile(
        "scope-given",
        "scope",
        "Missing: send the scope patient-privacy.",
        |q| q.consent.scope.is_some(),
    ),
    profile("category-given", "category", "Missing: send the category IDSCL.", |q| {
        !q.consent.category.is_empty()
    }),
    profile(
        "category-once",
        "category",
        "Twice: send the category IDSCL once.",
        |q| {
            q.consent
                .category
                .iter()
                .filter(|category| is_disclosure(category))
                .count()
                < 2
        },
    ),
    profile(
        "patient-given",
        "patient",
        "Missing: refer to the MemberPatient of the request.",
        |q| q.consent.patient.is_some(),
    ),
    profile(
        "performer-once",
        "performer",
        "Name exactly one performer: who consented.",
        |q| q.consent.performer.len() == 1,
    ),
    profile(
        "source-given",
        "sourceReference",
        "Missing: refer to the DocumentReference of the original.",
        |q| q.consent.source_reference.is_some(),
    ),
    profile(
        "source-is-a-document",
        "sourceReference",
        "Wrong type: refer to a DocumentReference.",
        |q| q.consent.source_reference.as_ref().is_some_and(may_be_document),
    ),
    profile(
        "policy-given",
        "policy",
        "Missing: send one policy, HRex's #regular or #sensitive.",
        |q| !q.consent.policy.is_empty(),
    ),
    profile(
        "policy-uri-given",
        "policy.uri",
        "Missing: send HRex's #regular or #sensitive.",
        |q| q.consent.policy.iter().all(|policy| policy.uri.is_some()),
    ),
    profile("provision-given", "provision", "Missing: send the provision.", |q| {
        q.consent.provision.is_some()
    }),
    profile("type-given", "provision.type", "Missing: send permit.", |q| {
        provision(q).is_some_and(|p| p.kind.is_some())
    }),
    profile(
        "period-complete",
        "provision.period",
        "Send start and end, as YYYY-MM-DD or with time and zone, the start not after the end.",
        |q| period(q).is_some(),
    ),
    profile(
        "source-actor-given",
        "provision.actor",
        "Missing: an actor in the role performer, who may disclose.",
        |q| actors(q, is_source).next().is_some(),
    ),
    profile(
        "recipient-actor-given",
        "provision.actor",
        "Missing: an actor in the role IRCP, who may receive.",
        |q| actors(q, is_recipient).next().is_some(),
    ),
    profile(
        "action-once",
        "provision.action",
        "Send exactly one action: disclose.",
        |q| provision(q).is_some_and(|p| p.action.len() == 1),
    ),
    by_request(
        "about-the-member",
        Fault::ConsentPatient,
        "patient",
        Fault::ConsentPatient.row().remedy,
        |q| q.consent.patient.as_ref().is_some_and(|patient| is_member(q, patient)),
    ),
    by_request(
        "granted-by-the-member",
        Fault::ConsentGrantor,
        "performer",
        Fault::ConsentGrantor.row().remedy,
        granted,
    ),
    by_request(
        "verified",
        Fault::ConsentGrantor,
        "verification",
        "A verification says that it is not verified: send a consent that was verified with the member.",
        |q| q.consent.verification.iter().all(|one| one.verified == Some(true)),
    ),
    by_request(
        "recipient-is-the-caller",
        Fault::ConsentRecipient,
        "provision.actor",
        Fault::ConsentRecipient.row().remedy,
        |q| actors(q, is_recipient).any(|actor| has_npi(actor, q.partner_npi)),
    ),
    by_request(
        "source-is-us",
        Fault::ConsentSource,
        "provision.actor",
        Fault::ConsentSource.row().remedy,
        |q| actors(q, is_source).any(|actor| has_npi(actor, q.our_npi)),
    ),
    by_request(
        "active",
        Fault::ConsentInactive,
        "status",
        Fault::ConsentInactive.row().remedy,
        |q| q.consent.status.as_deref() == Some("active"),
    ),
    by_request(
        "scope-privacy",
        Fault::ConsentKind,
        "scope",
        "Use the scope patient-privacy, and no other scope of the same code system beside it.",
        |q| {
            q.consent
                .scope
                .as_ref()
                .is_some_and(|scope| is_code(scope, SCOPES, "patient-privacy"))
        },
    ),
    by_request(
        "category-disclosure",
        Fault::ConsentKind,
        "category",
        "Use the category IDSCL.",
        |q| q.consent.category.iter().any(is_disclosure),
    ),
    by_request("permits", Fault::ConsentAction, "provision.type", "Use permit.", |q| {
        provision(q).is_some_and(|p| p.kind.as_deref() == Some("permit"))
    }),
    by_request(
        "discloses",
        Fault::ConsentAction,
        "provision.action",
        "Use the action disclose, and no other action of the same code system beside it.",
        |q| provision(q).is_some_and(|p| p.action.iter().all(|action| is_code(action, ACTIONS, "disclose"))),
    ),
    by_request(
        "unfiltered",
        Fault::ConsentFiltered,
        "provision",
        Fault::ConsentFiltered.row().remedy,
        |q| provision(q).is_some_and(is_unfiltered),
    ),
    by_request(
        "one-policy",
        Fault::ConsentPolicy,
        "policy",
        "Send exactly one policy.",
        |q| q.consent.policy.len() == 1,
    ),
    by_request(
        "policy-known",
        Fault::ConsentPolicy,
        "policy.uri",
        "Send HRex's #regular or #sensitive, exactly as HRex writes it.",
        |q| scope(q).is_some(),
    ),
    by_request(
        "started",
        Fault::ConsentPeriod,
        "provision.period.start",
        "The period has not begun: ask again from its first day on, or send one that has.",
        |q| period(q).is_some_and(|(from, _)| from <= q.now_ms),
    ),
    by_request(
        "not-ended",
        Fault::ConsentPeriod,
        "provision.period.end",
        "The period is over: send a consent that has not ended.",
        |q| period(q).is_some_and(|(_, until)| q.now_ms < until),
    ),
    ConsentRule {
        name: "segments",
        class: RuleClass::Honour,
        fault: Fault::ConsentNotHonoured,
        element: "policy",
        remedy: Fault::ConsentNotHonoured.row().remedy,
        holds: |q| q.segments || scope(q) == Some(ConsentScope::Sensitive),
    },
];

/// Judges a consent. Returns its terms when every rule holds.
///
/// # Errors
/// The first rule of the table that does not hold.
pub fn judge(question: &ConsentQuestion<'_>) -> Result<ConsentTerms, &'static ConsentRule> {
    if let Some(broken) = RULES.iter().find(|rule| !(rule.holds)(question)) {
        return Err(broken);
    }
    match (scope(question), period(question)) {
        (Some(scope), Some((from_ms, until_ms))) => Ok(ConsentTerms {
            scope,
            from_ms,
            until_ms,
        }),
        // All rows hold, so both values exist. If a row is ever removed, this refuses.
        _ => Err(&RULES[0]),
    }
}

fn provision<'a>(q: &ConsentQuestion<'a>) -> Option<&'a Provision> {
    q.consent.provision.as_ref()
}

fn period(q: &ConsentQuestion<'_>) -> Option<(i64, i64)> {
    bounds(provision(q)?.period.as_ref()?, q.zone)
}

fn scope(q: &ConsentQuestion<'_>) -> Option<ConsentScope> {
    match q.consent.policy.first()?.uri.as_deref()? {
        REGULAR => Some(ConsentScope::Regular),
        SENSITIVE => Some(ConsentScope::Sensitive),
        _ => None,
    }
}

fn actors<'a>(q: &ConsentQuestion<'a>, wanted: fn(&CodeableConcept) -> bool) -> impl Iterator<Item = &'a ConsentActor> {
    let all = provision(q).map(|p| p.actor.as_slice()).unwrap_or_default();
    all.iter().filter(move |actor| actor.role.as_ref().is_some_and(wanted))
}

fn is_source(role: &CodeableConcept) -> bool {
    role.has(
        "http://terminology.hl7.org/CodeSystem/provenance-participant-type",
        "performer",
    )
}

fn is_recipient(role: &CodeableConcept) -> bool {
    role.has("http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "IRCP")
}

fn has_npi(actor: &ConsentActor, npi: &str) -> bool {
    let identifier = actor
        .reference
        .as_ref()
        .and_then(|reference| reference.identifier.as_ref());
    identifier
        .is_some_and(|id| id.system.as_deref() == Some(NPI) && id.value.as_deref() == Some(npi) && !npi.is_empty())
}

fn is_member(q: &ConsentQuestion<'_>, reference: &Reference) -> bool {
    reference.reference.as_deref() == Some(q.member)
}

/// Whether the member consents, or a representative whom the consent names in a role that may.
fn granted(q: &ConsentQuestion<'_>) -> bool {
    q.consent.performer.iter().all(|performer| {
        is_member(q, performer)
            || actors(q, |role| REPRESENTATIVES.iter().any(|code| role.has(ROLE_CODE, code)))
                .filter_map(|actor| actor.reference.as_ref()?.reference.as_deref())
                .any(|named| performer.reference.as_deref() == Some(named))
    })
}

/// Whether the concept is `code`. HRex uses a pattern, so codings of other systems may be
/// present too; another code of the same system would contradict.
fn is_code(concept: &CodeableConcept, system: &str, code: &str) -> bool {
    let mut own = concept
        .coding
        .iter()
        .filter(|coding| coding.system.as_deref() == Some(system))
        .peekable();
    own.peek().is_some() && own.all(|coding| coding.code.as_deref() == Some(code))
}

fn is_disclosure(category: &CodeableConcept) -> bool {
    category.has("http://terminology.hl7.org/CodeSystem/v3-ActCode", "IDSCL")
}

/// Whether a reference is, or may be, to a DocumentReference: anything that does not
/// clearly name another type. The referenced resource is not read.
fn may_be_document(reference: &Reference) -> bool {
    const DOCUMENT: &str = "DocumentReference";
    let named = reference.kind.as_deref().is_none_or(|kind| kind == DOCUMENT);
    let text = reference.reference.as_deref().unwrap_or_default();
    let kind = type_of(text);
    named && (kind == DOCUMENT || !causeway_fhir_types::is_type(kind))
}

/// Returns the type that a reference names, if any: that of `Type/id`, also with a version, a slash or a fragment after it, and that of the
/// conditional `Type?criteria`; each also after a base URL.
fn type_of(reference: &str) -> &str {
    // A reference that begins with a fragment names a contained resource.
    let text = match reference.split_once('#') {
        Some(("", _)) => return "",
        Some((before, _)) => before,
        None => reference,
    };
    let (path, is_conditional) = match text.split_once('?') {
        Some((path, _)) => (path, true),
        None => (text, false),
    };
    let path = path.trim_end_matches('/');
    let mut segments = path.rsplit('/').filter(|segment| !segment.is_empty());
    let last = segments.next().unwrap_or_default();
    if is_conditional && causeway_fhir_types::is_type(last) {
        return last;
    }
    match (last, segments.next(), segments.next(), segments.next()) {
        (_, Some("_history"), Some(_), kind) => kind.unwrap_or_default(),
        ("_history", Some(_), kind, _) | (_, kind, _, _) => kind.unwrap_or_default(),
    }
}

fn is_unfiltered(p: &Provision) -> bool {
    p.security_label.is_empty()
        && p.purpose.is_empty()
        && p.class.is_empty()
        && p.code.is_empty()
        && p.data_period.is_none()
        && p.data.is_empty()
        && p.provision.is_empty()
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
