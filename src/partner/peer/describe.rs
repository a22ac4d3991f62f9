//! What a partner's server says of itself: the SMART document, the Da Vinci document, and the CapabilityStatement.

use super::failure::{CallEnd, CallFacts, CallFailure};
use super::{Peer, PeerAsk};
use crate::error::Fault;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, BTreeSet};

/// The members of the SMART discovery document that a client needs.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
pub struct SmartDocument {
    /// The URL of the token endpoint.
    pub token_endpoint: String,
    /// The scopes that it knows; empty when it does not say.
    #[serde(default)]
    pub scopes_supported: Vec<String>,
}

/// What a CapabilityStatement offers to a client that wants one member's record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerOffer {
    /// `Patient/{id}/$everything`.
    pub everything: bool,
    /// `Patient/$member-match`.
    pub member_match: bool,
    /// `Group/$bulk-member-match`.
    pub bulk_match: bool,
    /// `Group/{id}/$davinci-data-export`.
    pub group_export: bool,
    /// Types that can be searched, each with its search parameters.
    pub searches: BTreeMap<String, BTreeSet<String>>,
    /// Types whose searches can bring the Provenances of what they find.
    pub with_provenance: BTreeSet<String>,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Statement {
    #[serde(rename = "resourceType")]
    resource_type: String,
    #[serde(rename = "fhirVersion")]
    fhir_version: String,
    rest: Vec<Rest>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Rest {
    mode: String,
    resource: Vec<RestResource>,
    operation: Vec<Operation>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RestResource {
    #[serde(rename = "type")]
    rtype: String,
    interaction: Vec<Coded>,
    operation: Vec<Operation>,
    #[serde(rename = "searchParam")]
    search_param: Vec<Operation>,
    #[serde(rename = "searchRevInclude")]
    search_rev_include: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Coded {
    code: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Operation {
    name: String,
    definition: String,
}

/// Whether an operation is this one. Servers name it with or without the dollar sign, or only by its definition.
fn is(operation: &Operation, name: &str) -> bool {
    let end = operation.definition.split('|').next().unwrap_or_default();
    operation.name.trim_start_matches('$') == name
        || end
            .rsplit('/')
            .next()
            .is_some_and(|last| last == name || last == format!("Patient-{name}"))
}

impl PeerOffer {
    /// Reads a CapabilityStatement.
    fn read(statement: &Statement) -> PeerOffer {
        let mut offer = PeerOffer::default();
        for rest in statement.rest.iter().filter(|rest| rest.mode == "server") {
            for resource in &rest.resource {
                let operations = || resource.operation.iter().chain(&rest.operation);
                if resource.rtype == "Patient" {
                    offer.everything |= operations().any(|one| is(one, "everything"));
                    offer.member_match |= operations().any(|one| is(one, "member-match"));
                }
                if resource.rtype == "Group" {
                    offer.bulk_match |=
                        operations().any(|one| is(one, "bulk-member-match") || is(one, "BulkMemberMatch"));
                    offer.group_export |= operations().any(|one| is(one, "davinci-data-export"));
                }
                if resource.interaction.iter().any(|one| one.code == "search-type") {
                    let params = resource.search_param.iter().map(|param| param.name.clone()).collect();
                    offer.searches.insert(resource.rtype.clone(), params);
                    if resource
                        .search_rev_include
                        .iter()
                        .any(|one| one.starts_with("Provenance:target"))
                    {
                        offer.with_provenance.insert(resource.rtype.clone());
                    }
                }
            }
        }
        offer
    }
}

impl Peer {
    /// Reads the SMART document.
    ///
    /// # Errors
    /// [`CallEnd::ServerFault`] when there is none; as [`Peer::send`].
    pub async fn smart(&self, correlation_id: &str) -> Result<(SmartDocument, CallFacts), CallFailure> {
        self.document(".well-known/smart-configuration", correlation_id).await
    }

    /// Reads the CapabilityStatement.
    ///
    /// # Errors
    /// [`CallEnd::ServerFault`] when there is none; [`CallEnd::Refused`] when it is none of R4; as [`Peer::send`].
    pub async fn offer(&self, correlation_id: &str) -> Result<(PeerOffer, CallFacts), CallFailure> {
        let (statement, facts): (Statement, CallFacts) = self.document("metadata", correlation_id).await?;
        let is_r4 = statement.fhir_version.is_empty() || statement.fhir_version.starts_with("4.0");
        if statement.resource_type != "CapabilityStatement" || !is_r4 {
            return Err(CallFailure::with(CallEnd::Refused(Fault::PartnerNotFhir), facts));
        }
        Ok((PeerOffer::read(&statement), facts))
    }

    /// Reads the Da Vinci document: the payer-to-payer endpoints that it names. `None` when there is no such document, which many do without.
    ///
    /// # Errors
    /// As [`Peer::send`], but not for a document that is missing or cannot be read.
    pub async fn davinci(&self, correlation_id: &str) -> Result<Option<Vec<String>>, CallFailure> {
        #[derive(Deserialize)]
        struct DaVinci {
            #[serde(default)]
            endpoints: BTreeMap<String, serde_json::Value>,
        }
        match self
            .document::<DaVinci>(".well-known/davinci-configuration", correlation_id)
            .await
        {
            Ok((found, _)) => Ok(Some(
                found
                    .endpoints
                    .iter()
                    .filter(|(code, _)| code.starts_with("davinci_pdex_payer"))
                    .filter_map(|(_, url)| url.as_str().map(str::to_owned))
                    .collect(),
            )),
            Err(failure) => match failure.end {
                CallEnd::Refused(_) | CallEnd::ServerFault | CallEnd::Unauthorized => Ok(None),
                _ => Err(failure),
            },
        }
    }

    async fn document<T: DeserializeOwned>(
        &self,
        path: &str,
        correlation_id: &str,
    ) -> Result<(T, CallFacts), CallFailure> {
        let url = self.below(path)?;
        let (bytes, facts) = match self.read(PeerAsk::get(url, None, correlation_id)).await {
            // A public document says nothing of a member: a server without it is not set up, or not just now.
            Err(failure) if failure.end == CallEnd::Refused(Fault::PartnerRefuses) => {
                return Err(CallFailure {
                    end: CallEnd::ServerFault,
                    ..failure
                });
            }
            answer => answer?,
        };
        let unreadable = |why: &'static str| CallFailure::with(CallEnd::ServerFault, facts.clone()).because(why);
        match serde_json::from_slice(&bytes) {
            Ok(document) => Ok((document, facts)),
            Err(_) => Err(unreadable("it is not such a document")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_offered_is_read_however_it_is_written() {
        let text = r#"{"resourceType":"CapabilityStatement","fhirVersion":"4.0.1","rest":[{"mode":"client"},
            {"mode":"server","resource":[
              {"type":"Patient","interaction":[{"code":"read"},{"code":"search-type"}],"searchParam":[{"name":"_id"}],
               "operation":[{"name":"$everything"},{"name":"mm","definition":"http://hl7.org/fhir/us/davinci-hrex/OperationDefinition/member-match|1.1.0"}]},
              {"type":"Condition","interaction":[{"code":"search-type"}],"searchParam":[{"name":"patient"}],"searchRevInclude":["Provenance:target"]},
              {"type":"Goal","interaction":[{"code":"read"}]}]}]}"#;
        let offer = PeerOffer::read(&serde_json::from_str(text).expect("reads"));
        assert!(offer.everything && offer.member_match);
        assert_eq!(offer.searches.keys().collect::<Vec<_>>(), ["Condition", "Patient"]);
        assert!(offer.with_provenance.contains("Condition"));
        let by_definition = r#"{"rest":[{"mode":"server","resource":[{"type":"Patient","operation":[
            {"name":"x","definition":"http://hl7.org/fhir/OperationDefinition/Patient-everything"}]}]}]}"#;
        assert!(PeerOffer::read(&serde_json::from_str(by_definition).expect("reads")).everything);
        assert_eq!(PeerOffer::read(&Statement::default()), PeerOffer::default());
    }
}
