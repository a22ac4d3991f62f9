//! Looks at one line of a partner's export: what it is, and of whom it says that it is. It stores nothing, and believes nothing that the gate
//! does not find again.

use super::super::compartment::{self, Owner, OwnerRule};
use crate::error::{Failure, Fault};
use crate::fhir::prescreen::{JsonKind, ScreenLimits, screen};
use crate::ids::is_fhir_id;

/// Of whom a line is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LineOwner {
    /// It is the Patient with its own id.
    Person,
    /// It belongs to the Patient with this id.
    Member(String),
    /// It says something of these (type, id).
    Targets(Vec<(String, String)>),
    /// It belongs to nobody: whoever refers to it needs it.
    Nobody,
}

/// What a line holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineFound {
    /// The type of the resource.
    pub rtype: &'static str,
    /// Its id at the partner.
    pub id: String,
    /// Of whom it is.
    pub owner: LineOwner,
    /// What it refers to that may belong to nobody (type, id).
    pub names: Vec<(String, String)>,
}

/// Longest line that is taken.
pub const LINE_BYTES: usize = ScreenLimits::record().bytes;

/// Looks at a line of the partner whose FHIR base URL is `base`.
///
/// # Errors
/// Those of [`screen`]; [`Fault::TypeUnsupported`], [`Fault::IdMissing`]; [`Fault::ReferenceUnresolved`] when nothing says whose it is.
pub fn look_at_line(bytes: &[u8], base: &str) -> Result<LineFound, Failure> {
    let screened = screen(bytes, &ScreenLimits::record())?;
    let rtype = causeway_fhir_types::type_name(&screened.resource_type())
        .ok_or_else(|| Failure::new(Fault::TypeUnsupported).at("Resource"))?;
    let id = screened.root().get("id").filter(|id| id.kind() == JsonKind::String);
    let id = id
        .and_then(|id| id.text())
        .map(|id| id.into_owned())
        .filter(|id| is_fhir_id(id))
        .ok_or_else(|| Failure::new(Fault::IdMissing).at(format!("{rtype}.id")))?;
    let owner = match compartment::owner(&screened, base)? {
        Owner::Patient => LineOwner::Person,
        Owner::Member { id, .. } | Owner::Named(Some((id, _))) => LineOwner::Member(id),
        Owner::Targets(targets) => LineOwner::Targets(targets.into_iter().map(|(rtype, id, _)| (rtype, id)).collect()),
        Owner::Nobody | Owner::Named(None) => LineOwner::Nobody,
    };
    let mut names = Vec::new();
    let mut name = |text: &str| {
        if let Some((rtype, id)) = compartment::local(text, base)
            && may_be_nobodys(rtype)
        {
            names.push((rtype.to_owned(), id.to_owned()));
        }
    };
    screened.references().for_each(|one| name(&one.text()));
    // A url may be a Binary with a document's bytes.
    let urls = screened
        .values()
        .filter(|value| value.key() == "url" && value.kind() == JsonKind::String);
    urls.filter_map(|url| url.text()).for_each(|text| name(&text));
    Ok(LineFound {
        rtype,
        id,
        owner,
        names,
    })
}

/// Whether a resource of this type may belong to nobody.
pub fn may_be_nobodys(rtype: &str) -> bool {
    matches!(
        compartment::kind(rtype),
        Some(OwnerRule::Shared | OwnerRule::MemberOrNobody(_) | OwnerRule::Binary)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "https://payer.example/fhir";

    fn found(text: &str) -> LineFound {
        look_at_line(text.as_bytes(), BASE).expect(text)
    }

    #[test]
    fn a_line_says_of_whom_it_is_and_what_it_refers_to() {
        let condition = found(
            r#"{"resourceType":"Condition","id":"c1","subject":{"reference":"https://payer.example/fhir/Patient/p1"},
                "recorder":{"reference":"Practitioner/d1"},"encounter":{"reference":"Encounter/e1"}}"#,
        );
        assert_eq!(condition.owner, LineOwner::Member("p1".into()));
        assert_eq!(condition.names, [("Practitioner".to_owned(), "d1".to_owned())]);
        assert_eq!(
            found(r#"{"resourceType":"Patient","id":"p1"}"#).owner,
            LineOwner::Person
        );
        assert_eq!(
            found(r#"{"resourceType":"Organization","id":"o1"}"#).owner,
            LineOwner::Nobody
        );
        let provenance = found(r#"{"resourceType":"Provenance","id":"v","target":[{"reference":"Condition/c1"}]}"#);
        assert_eq!(
            provenance.owner,
            LineOwner::Targets(vec![("Condition".into(), "c1".into())])
        );
    }

    #[test]
    fn a_line_that_is_nobodys_for_certain_is_refused() {
        for text in [
            r#"{"resourceType":"Condition","id":"c1","subject":{"reference":"https://other.example/fhir/Patient/p1"}}"#,
            r#"{"resourceType":"Condition","id":"c1"}"#,
            r#"{"resourceType":"Condition","subject":{"reference":"Patient/p1"}}"#,
            r#"{"resourceType":"Gaol","id":"g"}"#,
            r#"{"resourceType":"Patient","id":"p1""#,
            "",
        ] {
            assert!(look_at_line(text.as_bytes(), BASE).is_err(), "{text}");
        }
    }
}
