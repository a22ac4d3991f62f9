//! The decision table: may a record be disclosed under this consent, to this partner, now?
//!
//! Every rule is a row of [`RULES`]; the first that does not hold decides, and rows are ordered so that what must not
//! depend on the member (shape) comes first, then what a stranger must not learn from (the identity gate), then the rest.
//! Source: HRex hrex-consent (1.0-1.2), PDex "Evaluation of Consent"; threats C01, C04, D09.

use super::period::bounds;
use crate::fhir::elements::{CodeableConcept, Consent, ConsentActor, Provision, Reference};
use chrono_tz::Tz;

/// Everything that is not sensitive.
pub const REGULAR: &str = "http://hl7.org/fhir/us/davinci-hrex/StructureDefinition-hrex-consent.html#regular";
/// Everything, sensitive data included.
pub const SENSITIVE: &str = "http://hl7.org/fhir/us/davinci-hrex/StructureDefinition-hrex-consent.html#sensitive";

const NPI: &str = "http://hl7.org/fhir/sid/us-npi";
const ROLE_CODE: &str = "http://terminology.hl7.org/CodeSystem/v3-RoleCode";
/// Who may consent for a member, when the consent names them as an actor in this role (PDex, authorised representative).
const REPRESENTATIVES: [&str; 5] = ["GUARD", "DPOWATT", "HPOWATT", "POWATT", "SPOWATT"];

/// What follows when a rule does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// The consent breaks its profile: said before anyone is looked up.
    Profile,
    /// The consent is not between these parties: answered as if nobody had been found.
    Gate,
    /// The consent is well formed and between these parties, but cannot be honoured.
    Honour,
}

/// How much the consent covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Policy `#regular`.
    Regular,
    /// Policy `#sensitive`.
    Sensitive,
}

impl Scope {
    /// The word kept with the consent and named in the ledger.
    pub const fn code(self) -> &'static str {
        match self {
            Scope::Regular => "regular",
            Scope::Sensitive => "sensitive",
        }
    }
}

/// What a permitted consent allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How much.
    pub scope: Scope,
    /// First instant, UTC milliseconds.
    pub from_ms: i64,
    /// First instant after it, UTC milliseconds.
    pub until_ms: i64,
}

/// A consent and what it is judged against.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The consent.
    pub consent: &'a Consent,
    /// The reference by which the request calls its member, such as `Patient/1`.
    pub member: &'a str,
    /// Our National Provider Identifier.
    pub our_npi: &'a str,
    /// That of the authenticated partner.
    pub partner_npi: &'a str,
    /// Now, UTC milliseconds.
    pub now_ms: i64,
    /// Where calendar dates are read.
    pub zone: Tz,
    /// Whether sensitive data can be told apart here, without which `#regular` cannot be honoured.
    pub segments: bool,
}

/// A row of the table.
pub struct Rule {
    /// Its name, kept with the decision.
    pub name: &'static str,
    /// What follows when it does not hold.
    pub class: Class,
    /// The element of the Consent that it reads.
    pub element: &'static str,
    /// Whether it holds.
    pub holds: fn(&Question<'_>) -> bool,
}

impl std::fmt::Debug for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// The table. All rows must hold.
pub const RULES: &[Rule] = {
    use Class::{Gate, Honour, Profile};
    const fn rule(name: &'static str, class: Class, element: &'static str, holds: fn(&Question<'_>) -> bool) -> Rule {
        Rule {
            name,
            class,
            element,
            holds,
        }
    }
    &[
        rule("status-given", Profile, "status", |q| q.consent.status.is_some()),
        rule("scope-given", Profile, "scope", |q| q.consent.scope.is_some()),
        rule("category-given", Profile, "category", |q| {
            !q.consent.category.is_empty()
        }),
        rule("patient-given", Profile, "patient", |q| q.consent.patient.is_some()),
        rule("performer-once", Profile, "performer", |q| {
            q.consent.performer.len() == 1
        }),
        rule("source-given", Profile, "sourceReference", |q| {
            q.consent.source_reference.is_some()
        }),
        rule("policy-given", Profile, "policy", |q| !q.consent.policy.is_empty()),
        rule("policy-uri-given", Profile, "policy.uri", |q| {
            q.consent.policy.iter().all(|policy| policy.uri.is_some())
        }),
        rule("provision-given", Profile, "provision", |q| {
            q.consent.provision.is_some()
        }),
        rule("type-given", Profile, "provision.type", |q| {
            provision(q).is_some_and(|p| p.kind.is_some())
        }),
        rule("period-complete", Profile, "provision.period", |q| period(q).is_some()),
        rule("source-actor-given", Profile, "provision.actor", |q| {
            actors(q, is_source).next().is_some()
        }),
        rule("recipient-actor-given", Profile, "provision.actor", |q| {
            actors(q, is_recipient).next().is_some()
        }),
        rule("action-once", Profile, "provision.action", |q| {
            provision(q).is_some_and(|p| p.action.len() == 1)
        }),
        rule("about-the-member", Gate, "patient", |q| {
            q.consent.patient.as_ref().is_some_and(|patient| is_member(q, patient))
        }),
        rule("granted-by-the-member", Gate, "performer", granted),
        rule("recipient-is-the-caller", Gate, "provision.actor", |q| {
            actors(q, is_recipient).any(|actor| has_npi(actor, q.partner_npi))
        }),
        rule("source-is-us", Honour, "provision.actor", |q| {
            actors(q, is_source).any(|actor| has_npi(actor, q.our_npi))
        }),
        rule("active", Honour, "status", |q| {
            q.consent.status.as_deref() == Some("active")
        }),
        rule("scope-privacy", Honour, "scope", |q| {
            let only = |scope| {
                is_only(
                    scope,
                    "http://terminology.hl7.org/CodeSystem/consentscope",
                    "patient-privacy",
                )
            };
            q.consent.scope.as_ref().is_some_and(only)
        }),
        rule("category-disclosure", Honour, "category", |q| {
            q.consent
                .category
                .iter()
                .any(|category| category.has("http://terminology.hl7.org/CodeSystem/v3-ActCode", "IDSCL"))
        }),
        rule("permits", Honour, "provision.type", |q| {
            provision(q).is_some_and(|p| p.kind.as_deref() == Some("permit"))
        }),
        rule("discloses", Honour, "provision.action", |q| {
            let only = |action| {
                is_only(
                    action,
                    "http://terminology.hl7.org/CodeSystem/consentaction",
                    "disclose",
                )
            };
            provision(q).is_some_and(|p| p.action.iter().all(only))
        }),
        rule("unfiltered", Honour, "provision", |q| {
            provision(q).is_some_and(is_unfiltered)
        }),
        rule("one-policy", Honour, "policy", |q| q.consent.policy.len() == 1),
        rule("policy-known", Honour, "policy", |q| scope(q).is_some()),
        rule("segments", Honour, "policy", |q| {
            q.segments || scope(q) == Some(Scope::Sensitive)
        }),
        rule("started", Honour, "provision.period", |q| {
            period(q).is_some_and(|(from, _)| from <= q.now_ms)
        }),
        rule("not-ended", Honour, "provision.period", |q| {
            period(q).is_some_and(|(_, until)| q.now_ms < until)
        }),
    ]
};

/// Judges a consent: its terms when every rule holds.
///
/// # Errors
/// The first rule of the table that does not hold.
pub fn judge(question: &Question<'_>) -> Result<Terms, &'static Rule> {
    if let Some(broken) = RULES.iter().find(|rule| !(rule.holds)(question)) {
        return Err(broken);
    }
    match (scope(question), period(question)) {
        (Some(scope), Some((from_ms, until_ms))) => Ok(Terms {
            scope,
            from_ms,
            until_ms,
        }),
        // The table holds, so both are there; refusing is what is left if a row is ever dropped.
        _ => Err(&RULES[0]),
    }
}

fn provision<'a>(q: &Question<'a>) -> Option<&'a Provision> {
    q.consent.provision.as_ref()
}

fn period(q: &Question<'_>) -> Option<(i64, i64)> {
    bounds(provision(q)?.period.as_ref()?, q.zone)
}

fn scope(q: &Question<'_>) -> Option<Scope> {
    match q.consent.policy.first()?.uri.as_deref()? {
        REGULAR => Some(Scope::Regular),
        SENSITIVE => Some(Scope::Sensitive),
        _ => None,
    }
}

fn actors<'a>(q: &Question<'a>, wanted: fn(&CodeableConcept) -> bool) -> impl Iterator<Item = &'a ConsentActor> {
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

fn is_member(q: &Question<'_>, reference: &Reference) -> bool {
    reference.reference.as_deref() == Some(q.member)
}

/// The member consents, or a representative whom the consent itself names in a role that may.
fn granted(q: &Question<'_>) -> bool {
    q.consent.performer.iter().all(|performer| {
        is_member(q, performer)
            || actors(q, |role| REPRESENTATIVES.iter().any(|code| role.has(ROLE_CODE, code)))
                .filter_map(|actor| actor.reference.as_ref()?.reference.as_deref())
                .any(|named| performer.reference.as_deref() == Some(named))
    })
}

fn is_only(concept: &CodeableConcept, system: &str, code: &str) -> bool {
    concept.has(system, code) && concept.coding.len() == 1
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
