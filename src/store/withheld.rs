//! Why a stored resource is withheld: the reasons, how they follow from the release columns, and the resources that are withheld.
//!
//! The reasons follow from the release rule ([`super::release_rule`]); the integration test `release_rules` compares them with all ways of
//! release. Nothing here decides that a resource is released.

use super::Db;
use super::release_rule::{
    PA_ABSENT, PA_ACTIVE, PA_DENIED, PA_DRUG, PA_ENDED, PA_SERVICE_UNKNOWN, ReleaseColumns, WITHHELD_ALWAYS, suspect,
};
use super::resources::keys_of;
use super::schema::resource;
use crate::error::Failure;
use diesel::prelude::*;

/// Bit of `sensitivity`: an earlier version stored the resource, and it is not valid FHIR by the rules of this version.
pub const NOT_FHIR: i64 = 1 << 40;
/// Bit: a resource that belongs to no member references a claim.
pub const SHARED_WITH_CLAIM: i64 = 1 << 41;
/// Bit: the resource contains a claim, or a resource that is only about money.
pub const CONTAINS_CLAIM: i64 = 1 << 42;
/// Bit: a resource of another type claims to be a prior authorization.
pub const DISGUISED: i64 = 1 << 43;
/// Bits of findings about another person.
const OTHER_PERSON: i64 = ((1 << 62) - 1) & !((1 << 50) - 1);
/// Bit of an unknown security label.
const UNKNOWN_LABEL: i64 = 1 << 62;

/// Every reason: a stable code that scripts may use, and its meaning.
#[rustfmt::skip]
pub const REASONS: &[(&str, &str)] = &[
    ("attached-to-absent-claim", "It refers to a claim or a prior authorization that is not stored here."),
    ("attached-to-withheld", "It depends on a prior authorization that is withheld."),
    ("authorization-denied", "It is a denied prior authorization."),
    ("authorization-drug", "It is a prior authorization for a drug."),
    ("authorization-over", "It is a prior authorization whose period ended more than a year ago, or one that has ended without a date."),
    ("authorization-service-unknown", "It is a prior authorization for something that may be a drug: a code is not recognized."),
    ("authorization-unclear", "It seems to be a prior authorization, but its decision is not recognized."),
    ("contains-claim", "It contains a claim or a bill."),
    ("money", "Its whole content is about money, as in a Claim or an Account."),
    ("not-fhir", "An earlier version stored it, and it is not valid FHIR."),
    ("other-person", "It has something that is, or may be, about another person."),
    ("sensitive", "It is sensitive: it is released only under a consent that covers sensitive data."),
    ("shared-with-claim", "It is a resource that all members share, and it refers to a claim."),
    ("unknown", "Another version withheld it, for a reason that this version does not know."),
    ("unknown-label", "It has an unknown security label."),
];

/// Returns the sentence for a reason; empty for an unknown code.
pub fn meaning(reason: &str) -> &'static str {
    REASONS.iter().find(|row| row.0 == reason).map_or("", |row| row.1)
}

/// Returns why a row of this type is withheld under a consent for regular data; empty when it is released.
pub fn reasons(rtype: &str, row: &ReleaseColumns, now_ms: i64) -> Vec<&'static str> {
    let mut found = Vec::new();
    if row.category_stays() {
        sensitivity_reasons(row.sensitivity, &mut found);
    }
    if row.money_stays() {
        found.push("money");
    }
    if row.authorization_stays(now_ms) {
        let own = matches!(rtype, "Claim" | "ClaimResponse" | "ExplanationOfBenefit");
        found.push(match row.pa_state {
            PA_ABSENT => "attached-to-absent-claim",
            _ if !own => "attached-to-withheld",
            PA_DENIED => "authorization-denied",
            PA_DRUG => "authorization-drug",
            PA_SERVICE_UNKNOWN => "authorization-service-unknown",
            PA_ACTIVE | PA_ENDED => "authorization-over",
            _ => "authorization-unclear",
        });
        found.dedup();
    }
    found
}

fn sensitivity_reasons(bits: i64, found: &mut Vec<&'static str>) {
    let named = [
        (NOT_FHIR, "not-fhir"),
        (SHARED_WITH_CLAIM, "shared-with-claim"),
        (CONTAINS_CLAIM, "contains-claim"),
        (DISGUISED, "authorization-unclear"),
        (OTHER_PERSON, "other-person"),
        (UNKNOWN_LABEL, "unknown-label"),
    ];
    found.extend(
        named
            .iter()
            .filter(|(mask, _)| bits & mask != 0)
            .map(|(_, reason)| *reason),
    );
    let always = named.iter().fold(0, |sum, (mask, _)| sum | mask);
    if bits >= WITHHELD_ALWAYS && bits & !always >= WITHHELD_ALWAYS || bits < 0 {
        found.push("unknown");
    }
    if bits & (WITHHELD_ALWAYS - 1) != 0 {
        found.push("sensitive");
    }
}

/// Which resources to list.
#[derive(Clone, Debug, Default)]
pub struct WithheldFilter {
    /// Only of this FHIR type.
    pub rtype: Option<String>,
    /// Only of this member, by the number of the compartment.
    pub compartment: Option<i64>,
}

/// A resource that is withheld.
#[derive(Clone, Debug, Queryable)]
#[allow(missing_docs)]
pub struct Withheld {
    pub key: i64,
    pub rtype: String,
    pub id: String,
    pub sensitivity: i64,
    pub pa_state: i64,
    pub pa_changed_ms: Option<i64>,
    pub financial: i64,
    pub has_released: bool,
}

impl Withheld {
    /// Returns the reasons.
    pub fn reasons(&self, now_ms: i64) -> Vec<&'static str> {
        let row = ReleaseColumns {
            sensitivity: self.sensitivity,
            pa_state: self.pa_state,
            pa_changed_ms: self.pa_changed_ms,
            financial: self.financial,
            has_released: self.has_released,
        };
        reasons(&self.rtype, &row, now_ms)
    }
}

/// Returns the next resources after `after_key` that may be withheld, at most `limit`. All pages together read the whole table.
///
/// # Errors
/// Those of the database.
pub fn page(db: &mut Db, filter: &WithheldFilter, after_key: i64, limit: i64) -> Result<Vec<Withheld>, Failure> {
    let mut query = resource::table
        .filter(resource::key.gt(after_key))
        .filter(suspect())
        .order(resource::key.asc())
        .limit(limit)
        .select((
            resource::key,
            resource::rtype,
            resource::id,
            resource::sensitivity,
            resource::pa_state,
            resource::pa_changed_ms,
            resource::financial,
            resource::released.is_not_null(),
        ))
        .into_boxed();
    if let Some(rtype) = &filter.rtype {
        query = query.filter(resource::rtype.eq(rtype));
    }
    if let Some(no) = filter.compartment {
        let keys = keys_of(no);
        query = query.filter(resource::key.ge(keys.start).and(resource::key.lt(keys.end)));
    }
    Ok(query.load(db)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_that_is_given_has_a_sentence() {
        assert!(REASONS.is_sorted());
        let mut given = std::collections::BTreeSet::new();
        let bits: Vec<i64> = (0..63).map(|bit| 1 << bit).chain([0, -1]).collect();
        for rtype in ["ExplanationOfBenefit", "DocumentReference"] {
            for &sensitivity in &bits {
                for pa_state in 0..10 {
                    for (financial, has_released) in [(0, false), (1, false), (1, true)] {
                        let row = ReleaseColumns {
                            sensitivity,
                            pa_state,
                            pa_changed_ms: None,
                            financial,
                            has_released,
                        };
                        let found = reasons(rtype, &row, 0);
                        let leaves = sensitivity == 0 && pa_state < 2 && (financial == 0 || has_released);
                        assert_eq!(found.is_empty(), leaves, "{rtype} {row:?}");
                        given.extend(found);
                    }
                }
            }
        }
        let named: std::collections::BTreeSet<&str> = REASONS.iter().map(|row| row.0).collect();
        assert_eq!(given, named);
    }
}
