//! The first step: reads a request and derives what the matcher and the review queue need from it.
//!
//! A consent that permits nothing by itself is refused here, with the rule that it breaks and before any member is looked up.

use super::arrival::Arrival;
use super::identify::WantedMember;
use super::request::{self, Request};
use crate::consent::{self, ConsentRule, ConsentTerms, RuleClass};
use crate::error::{Failure, Fault};
use crate::fhir::elements::{CodeableConcept, Coverage};
use crate::identity::graph::{Kind, SourceId};
use crate::identity::{Profile, Systems, of_request};
use crate::review::{self, ShownPerson};
use crate::telemetry::spans::{self, SpanKey, SpanName};

const MB: (&str, &str) = ("http://terminology.hl7.org/CodeSystem/v2-0203", "MB");
/// Longest member number, or system of one, that an identity link holds; bytes.
const NUMBER_BYTES_MAX: usize = 512;
/// Most member numbers that one request may send.
const MEMBER_VALUES: usize = 7;

/// Why a request is refused before any member is looked up.
#[derive(Debug)]
pub(super) enum MatchRefusal {
    /// The request cannot be read, or breaks its profile.
    Unjudged(Failure),
    /// The consent permits nothing by itself: the rule that it breaks, and the failure to answer with.
    Consent(&'static ConsentRule, Failure),
}

impl From<Failure> for MatchRefusal {
    fn from(failure: Failure) -> MatchRefusal {
        MatchRefusal::Unjudged(failure)
    }
}

/// What a request asks. Holds values of the request and must never be logged.
pub(super) struct MatchAsked {
    /// What the matcher compares.
    pub wanted: WantedMember,
    /// What the review queue and the identity links need.
    pub question: ReviewQuestion,
    /// The Consent as it was sent.
    pub consent_bytes: Vec<u8>,
    /// What the consent permits, or the name of the rule that it breaks.
    pub consent: Result<ConsentTerms, &'static str>,
}

/// What a request asks, as the review queue and the identity links need it.
#[derive(Clone, Debug)]
pub(super) struct ReviewQuestion {
    /// Keyed hash of the question: equal for two requests that ask the same.
    pub asked: [u8; 32],
    /// The number under which the partner knows the person, if the request gives one.
    pub number: Option<SourceId>,
    subject: ShownPerson,
}

impl ReviewQuestion {
    /// The question as JSON, for the reviewer.
    pub(super) fn request(&self) -> Result<String, Failure> {
        serde_json::to_string(&self.subject).map_err(|error| Failure::new(Fault::Internal).because(error))
    }
}

/// Reads `body`, judges the consent by itself, and derives what is asked.
///
/// # Errors
/// The refusal that [`refuse`](super::refuse) has to write. Its faults are those of [`request::read`], of [`consent::RULES`], and of the
/// store.
pub(super) async fn read(arrival: &Arrival<'_>, body: &[u8]) -> Result<MatchAsked, MatchRefusal> {
    let read = request::read(body)?;
    let span = spans::open(SpanName::Consent);
    let judged = span.in_scope(|| judged(arrival, &read));
    spans::put(
        &span,
        SpanKey::Outcome,
        judged.as_ref().map_or_else(|rule| rule.name, |_| "permit"),
    );
    drop(span);
    let consent = match judged {
        Err(rule) if rule.class == RuleClass::Profile => return Err(consent_failure(rule, &read.consent_place).into()),
        Err(rule) if rule.class == RuleClass::Request => {
            return Err(MatchRefusal::Consent(rule, consent_failure(rule, &read.consent_place)));
        }
        judged => judged.map_err(|rule| rule.name),
    };
    let key = review::key(arrival.ctx).await?;
    Ok(MatchAsked::of(arrival, read, consent, &key)?)
}

/// Reads `body` as one member of a bulk match. A consent that permits nothing by itself does not end the match there: the member is looked up,
/// and then counts as constrained by the consent (PDex pdex-154b). `key` is the store's key for hashes of questions.
///
/// # Errors
/// Those of [`request::read`]; a consent that breaks its profile; more member numbers than are read, or none.
pub(super) fn read_in_bulk(arrival: &Arrival<'_>, body: &[u8], key: &[u8; 32]) -> Result<MatchAsked, Failure> {
    let read = request::read(body)?;
    let consent = match judged(arrival, &read) {
        Err(rule) if rule.class == RuleClass::Profile => return Err(consent_failure(rule, &read.consent_place)),
        judged => judged.map_err(|rule| rule.name),
    };
    MatchAsked::of(arrival, read, consent, key)
}

fn judged(arrival: &Arrival<'_>, read: &Request) -> Result<ConsentTerms, &'static ConsentRule> {
    let payer = &arrival.ctx.payer;
    consent::judge(&consent::ConsentQuestion {
        consent: &read.consent,
        member: &read.member,
        our_npi: &payer.npi,
        partner_npi: &arrival.caller.partner.npi,
        now_ms: arrival.now_ms(),
        zone: payer.time_zone,
        // Sensitivity is stored in columns of each resource, and releases under a regular grant filter by them.
        segments: true,
    })
}

/// The failure that a partner gets for a consent rule that does not hold.
fn consent_failure(rule: &ConsentRule, consent_place: &str) -> Failure {
    Failure::new(rule.fault)
        .at(format!("{consent_place}.{}", rule.element))
        .remedy(rule.remedy)
}

impl MatchAsked {
    /// Derives what the request `read` asks. `key` is the store's key for hashes of questions.
    ///
    /// # Errors
    /// [`Fault::MatchInvalid`] for more than [`MEMBER_VALUES`] member numbers, and when none of them can be used.
    pub(super) fn of(
        arrival: &Arrival<'_>,
        read: Request,
        consent: Result<ConsentTerms, &'static str>,
        key: &[u8; 32],
    ) -> Result<MatchAsked, Failure> {
        let (ctx, partner) = (arrival.ctx, arrival.partner_id());
        let systems = Systems {
            member: &ctx.payer.member_system,
            umb: &ctx.payer.umb_system,
        };
        let person = of_request(&read.patient, &read.coverage, systems);
        if person.member_ids.len() > MEMBER_VALUES {
            return Err(Failure::new(Fault::MatchInvalid)
                .at(format!("{}.identifier", read.coverage_place))
                .remedy(format!("Too many: send at most {MEMBER_VALUES} member numbers.")));
        }
        let profile = Profile::from(&person);
        if profile.member_ids.is_empty() && profile.subscriber_ids.is_empty() {
            // A dash in place of a number identifies nobody. It must not be treated better than a number that belongs to no member.
            return Err(Failure::new(Fault::MatchInvalid)
                .at(format!("{}.identifier", read.coverage_place))
                .remedy(
                    "Placeholder: a dash or a word such as unknown is no number, and an identifier of another type is not read. Send the \
                     member number (type MB) or subscriberId that is on the card.",
                ));
        }
        let subject = ShownPerson::of(&read.patient, Some(&read.coverage));
        Ok(MatchAsked {
            question: ReviewQuestion {
                asked: review::asked(key, partner, &profile, &subject),
                number: read.link.as_ref().and_then(|link| number(partner, link)),
                subject,
            },
            wanted: WantedMember {
                profile,
                partner_id: partner.to_owned(),
                consent_digest: read.consent_digest.to_vec(),
                now_ms: arrival.now_ms(),
            },
            consent_bytes: read.consent_bytes,
            consent,
        })
    }
}

/// The number of a CoverageToLink (mm-4): the member number, else any number of the coverage, else that of the subscriber.
fn number(partner_id: &str, link: &Coverage) -> Option<SourceId> {
    let valued = |value: Option<&str>| {
        value
            .map(str::trim)
            .filter(|value| !value.is_empty())
            .map(str::to_owned)
    };
    let is_member = |kind: &Option<CodeableConcept>| kind.as_ref().is_some_and(|kind| kind.has(MB.0, MB.1));
    let mut identifiers: Vec<_> = link.identifier.iter().collect();
    identifiers.sort_by_key(|one| !is_member(&one.kind));
    let of_person = identifiers
        .into_iter()
        .find_map(|one| Some((Kind::Member, one.system.clone(), valued(one.value.as_deref())?)));
    let of_household = || Some((Kind::Subscriber, None, valued(link.subscriber_id.as_deref())?));
    let (kind, system, value) = of_person.or_else(of_household)?;
    let system = system.unwrap_or_default();
    (value.len().max(system.len()) <= NUMBER_BYTES_MAX).then(|| SourceId {
        source: partner_id.to_owned(),
        kind,
        system,
        value,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn number_of(coverage: Value) -> Option<(Kind, String, String)> {
        let coverage: Coverage = serde_json::from_value(coverage).expect("a coverage");
        number("p", &coverage).map(|number| (number.kind, number.system, number.value))
    }

    #[test]
    fn the_number_of_a_coverage_is_the_persons_before_the_households() {
        let typed = json!({"type": {"coding": [{"system": MB.0, "code": MB.1}]}, "system": "urn:m", "value": " M1 "});
        let other = json!({"system": "urn:x", "value": "X1"});
        assert_eq!(
            number_of(json!({"identifier": [other, typed], "subscriberId": "S1"})),
            Some((Kind::Member, "urn:m".into(), "M1".into()))
        );
        assert_eq!(
            number_of(json!({"identifier": [other], "subscriberId": "S1"})),
            Some((Kind::Member, "urn:x".into(), "X1".into()))
        );
        assert_eq!(
            number_of(json!({"identifier": [{"system": "urn:x"}], "subscriberId": "S1"})),
            Some((Kind::Subscriber, String::new(), "S1".into()))
        );
        assert_eq!(number_of(json!({"identifier": [{"value": "9".repeat(513)}]})), None);
        assert_eq!(number_of(json!({})), None);
    }
}
