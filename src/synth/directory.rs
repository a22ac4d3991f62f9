//! The resources that all members share: the payer, the facilities and the practitioners of a run.

use super::names::{FACILITIES, FAMILY, FEMALE, MALE, PLACES, STREETS};
use super::options::SynthOptions;
use super::output::{Sink, put};
use super::random::{Random, Stream, npi};
use serde_json::json;
use std::io;

const PRACTITIONERS: u64 = 48;

/// Ids of the shared resources, in the order of their tables.
pub(super) struct Directory {
    pub(super) payer: String,
    pub(super) facilities: Vec<Facility>,
    pub(super) practitioners: Vec<Practitioner>,
}

pub(super) struct Facility {
    pub(super) id: String,
    pub(super) location: String,
    pub(super) name: &'static str,
    place: (&'static str, &'static str, &'static str, &'static str),
    street: String,
    npi: String,
}

pub(super) struct Practitioner {
    pub(super) id: String,
    pub(super) name: String,
    family: &'static str,
    given: &'static str,
    npi: String,
}

impl Directory {
    pub(super) fn of(options: &SynthOptions) -> Directory {
        let mut random = Random::of(options.seed, Stream::Directory, 0);
        let payer = random.uuid();
        let facilities = FACILITIES
            .iter()
            .map(|&name| Facility {
                id: random.uuid(),
                location: random.uuid(),
                name,
                place: *random.pick(PLACES),
                street: format!("{} {}", random.between(1, 900), random.pick(STREETS)),
                npi: npi(random.next()),
            })
            .collect();
        let practitioners = (0..PRACTITIONERS)
            .map(|_| {
                let family = *random.pick(FAMILY);
                let (given, _) = *if random.chance(50) {
                    random.pick(FEMALE)
                } else {
                    random.pick(MALE)
                };
                Practitioner {
                    id: random.uuid(),
                    name: format!("Dr. {given} {family}"),
                    family,
                    given,
                    npi: npi(random.next()),
                }
            })
            .collect();
        Directory {
            payer,
            facilities,
            practitioners,
        }
    }

    /// Writes the shared resources; a resource comes after those that it refers to.
    pub(super) fn write(&self, options: &SynthOptions, sink: Sink<'_>) -> io::Result<()> {
        let npi_of = |value: &str| json!([{"system": "http://hl7.org/fhir/sid/us-npi", "value": value}]);
        let organization = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-organization";
        put(
            sink,
            "Organization",
            &json!({
                "resourceType": "Organization", "id": self.payer,
                "meta": {"profile": [organization]},
                "identifier": npi_of(&options.payer_npi), "active": true,
                "type": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/organization-type", "code": "pay", "display": "Payer"}]}],
                "name": options.payer_name,
            }),
        )?;
        for facility in &self.facilities {
            let (city, state, postal_code, area) = facility.place;
            let address = json!({"line": [facility.street], "city": city, "state": state, "postalCode": postal_code, "country": "US"});
            let telecom = json!([{"system": "phone", "value": format!("({area}) 555-0100"), "use": "work"}]);
            put(
                sink,
                "Organization",
                &json!({
                    "resourceType": "Organization", "id": facility.id,
                    "meta": {"profile": [organization]},
                    "identifier": npi_of(&facility.npi), "active": true,
                    "type": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/organization-type", "code": "prov", "display": "Healthcare Provider"}]}],
                    "name": facility.name, "telecom": telecom, "address": [address],
                }),
            )?;
            put(
                sink,
                "Location",
                &json!({
                    "resourceType": "Location", "id": facility.location,
                    "meta": {"profile": ["http://hl7.org/fhir/us/core/StructureDefinition/us-core-location"]},
                    "status": "active", "name": facility.name, "telecom": telecom, "address": address,
                    "managingOrganization": {"reference": format!("Organization/{}", facility.id)},
                }),
            )?;
        }
        for practitioner in &self.practitioners {
            put(
                sink,
                "Practitioner",
                &json!({
                    "resourceType": "Practitioner", "id": practitioner.id,
                    "meta": {"profile": ["http://hl7.org/fhir/us/core/StructureDefinition/us-core-practitioner"]},
                    "identifier": npi_of(&practitioner.npi), "active": true,
                    "name": [{"family": practitioner.family, "given": [practitioner.given], "prefix": ["Dr."]}],
                }),
            )?;
        }
        Ok(())
    }
}
