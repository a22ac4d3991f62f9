//! What of a resource must be the same at the payer that released it and at the payer that stored it.

use serde_json::{Value, json};

/// FHIR's extension for why a value is not there.
const ABSENT: &str = "http://hl7.org/fhir/StructureDefinition/data-absent-reason";

/// A resource without its id, what its references name, and what stands for an amount that was left out.
pub fn plain(resource: &Value) -> Value {
    fn without(value: &mut Value) {
        match value {
            Value::Object(members) => {
                for (name, member) in members.iter_mut() {
                    match member.as_str().and_then(|text| text.rsplit_once('/')) {
                        Some((before, _)) if name == "reference" => {
                            let rtype = before.rsplit('/').next().unwrap_or(before);
                            *member = json!(format!("{rtype}/"));
                        }
                        _ => without(member),
                    }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(without),
            _ => {}
        }
    }
    let mut plain = resource.clone();
    without(&mut plain);
    if let Value::Object(members) = &mut plain {
        members.remove("id");
    }
    for total in plain
        .get_mut("total")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        let stands_in = total["amount"] == json!({"extension": [{"url": ABSENT, "valueCode": "masked"}]});
        if let Value::Object(members) = total
            && stands_in
        {
            members.remove("amount");
        }
    }
    // When a payer holds a resource, and as which version, is its own.
    if let Some(Value::Object(meta)) = plain.get_mut("meta") {
        meta.remove("lastUpdated");
        meta.remove("versionId");
    }
    plain
}

/// In an order of their own, without Patients and Provenances.
pub fn sorted(all: impl Iterator<Item = Value>) -> Vec<Value> {
    let is_compared = |one: &Value| one["resourceType"] != "Patient" && one["resourceType"] != "Provenance";
    let mut some: Vec<(String, Value)> = all.filter(is_compared).map(|one| (one.to_string(), one)).collect();
    some.sort_by(|(one, _), (other, _)| one.cmp(other));
    some.into_iter().map(|(_, one)| one).collect()
}
