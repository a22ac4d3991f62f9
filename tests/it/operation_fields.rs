//! What the OperationDefinitions say of each field is what the server does with it.

use crate::support::client::MATCH_SCOPE;
use crate::support::page::compare;
use crate::support::payer::TestPayer;
use causeway::error::Fault;
use causeway::fhir::operation_fields::{FieldPresence, MEMBER_MATCH, OPERATIONS, OperationField};
use causeway::synth::Variation;
use serde_json::{Value, json};

/// The page for partners lists every parameter, every field and what is derived, as the table of the code has them.
#[test]
fn the_page_for_partners_lists_every_field_of_the_operations() {
    let tables: Vec<(&str, String)> = OPERATIONS
        .iter()
        .map(|operation| {
            let mut table = String::from("| field | need | rule |\n|---|---|---|\n");
            let mut row = |field: &str, need: FieldPresence, text: &str| {
                let need = need.word().to_lowercase();
                table.push_str(&format!("| {field} | {need} | {} |\n", text.trim_end_matches('.')));
            };
            for part in operation.parts {
                row(&format!("`{}`", part.name), part.need(), part.text);
                for field in part.fields {
                    row(&paths_of(part.name, field), field.need, field.text);
                }
            }
            for value in operation.derived {
                row(value.path, value.need, value.text);
            }
            (operation.code, table)
        })
        .collect();
    compare("docs/partners/fields.md", &tables);
}

/// `Part.a` or `Part.b`.
fn paths_of(part: &str, field: &OperationField) -> String {
    let paths: Vec<String> = field
        .path
        .split(" or ")
        .map(|path| format!("`{part}.{path}`"))
        .collect();
    paths.join(" or ")
}

/// The definitions that are served have the same texts.
#[tokio::test]
async fn the_operation_definitions_that_are_served_say_what_must_may_and_must_not_be_sent() {
    let (_payer, client) = TestPayer::start(1);
    let list = client.send("GET", "/fhir/OperationDefinition", &[], "").await;
    list.assert_status(200);
    let entries = list.json()["entry"].as_array().expect("entries").clone();
    for operation in OPERATIONS {
        let definition = entries
            .iter()
            .map(|entry| &entry["resource"])
            .find(|definition| definition["code"] == operation.code)
            .expect("a definition");
        assert_eq!(definition["comment"], operation.comment());
        let parameters = definition["parameter"].as_array().expect("parameters");
        assert_eq!(parameters.len(), operation.parts.len(), "{}", operation.code);
        for (parameter, part) in parameters.iter().zip(operation.parts) {
            assert_eq!(parameter["name"], part.name);
            assert_eq!(parameter["documentation"], part.documentation());
        }
    }
}

/// The resource of a parameter.
fn resource<'a>(request: &'a mut Value, part: &str) -> &'a mut Value {
    let parameters = request["parameter"].as_array_mut().expect("parameters");
    let parameter = parameters.iter_mut().find(|one| one["name"] == part);
    &mut parameter.expect("the parameter")["resource"]
}

/// The element that holds the last name of `path`, and that name. Of a list the first item is meant.
fn holder<'a, 'p>(resource: &'a mut Value, path: &'p str) -> (&'a mut Value, &'p str) {
    let (above, name) = path.rsplit_once('.').unwrap_or(("", path));
    let mut at = resource;
    for step in above.split('.').filter(|step| !step.is_empty()) {
        at = &mut at[step];
        if at.is_array() {
            at = &mut at[0];
        }
    }
    (at, name)
}

/// A value for a field that must not be sent, in the form that R4 gives it.
fn forbidden(path: &str) -> Value {
    let coding = json!({"system": "http://p.example/codes", "code": "a"});
    match path.rsplit('.').next().unwrap_or_default() {
        "implicitRules" => json!("http://p.example/rules"),
        "modifierExtension" => json!([{"url": "http://p.example/not", "valueBoolean": true}]),
        "contained" => json!([{"resourceType": "Patient", "id": "other"}]),
        "sourceAttachment" => json!({"title": "Consent"}),
        "securityLabel" | "purpose" | "class" => json!([coding]),
        "code" => json!([{"coding": [coding]}]),
        "dataPeriod" => json!({"start": "2026-01-01"}),
        "data" => json!([{"meaning": "instance", "reference": {"reference": "Observation/1"}}]),
        "provision" => json!([{"type": "deny"}]),
        other => panic!("no value for {other}"),
    }
}

/// Faults of a request whose form is wrong, as far as `$member-match` tells them by themselves.
const OF_THE_FORM: [Fault; 7] = [
    Fault::EmptyValue,
    Fault::MatchInvalid,
    Fault::MatchParameterMissing,
    Fault::MatchReference,
    Fault::ResourceInvalid,
    Fault::ConsentFiltered,
    Fault::ConsentPolicy,
];

#[tokio::test]
async fn a_match_lacks_no_mandatory_field_has_no_prohibited_one_and_may_lack_optional_ones() {
    let (payer, client) = TestPayer::start(1);
    let token = client.token(MATCH_SCOPE).await;
    let good = payer.request(0, Variation::Exact);
    let mut judged = 0;
    let mut bare = good.clone();
    for part in MEMBER_MATCH.parts.iter().filter(|part| part.direction == "in") {
        let mut requests = Vec::new();
        if part.need() == FieldPresence::Mandatory {
            let mut without = good.clone();
            let parameters = without["parameter"].as_array_mut().expect("parameters");
            parameters.retain(|one| one["name"] != part.name);
            requests.push((part.name.to_owned(), without));
        }
        for field in part.fields {
            let mut changed = good.clone();
            for path in field.path.split(" or ") {
                let request = if field.need == FieldPresence::Optional {
                    &mut bare
                } else {
                    &mut changed
                };
                let (at, name) = holder(resource(request, part.name), path);
                let at = at.as_object_mut().expect("an object");
                match field.need {
                    FieldPresence::Prohibited => drop(at.insert(name.to_owned(), forbidden(path))),
                    _ => drop(at.remove(name)),
                }
            }
            if field.need != FieldPresence::Optional {
                requests.push((format!("{}.{}", part.name, field.path), changed));
            }
        }
        for (what, request) in requests {
            let reply = client.post_match(&token, request.to_string(), &[]).await;
            let code = reply.json()["issue"][0]["details"]["coding"][0]["code"].clone();
            let is_told = OF_THE_FORM.iter().any(|fault| code == fault.code());
            assert!(is_told, "{what}: {} {}", reply.status, reply.text());
            judged += 1;
        }
    }
    assert!(judged > 40, "only {judged} fields were tried");
    // Without what is optional there is less to compare, but nothing is wrong with the request.
    let parameters = bare["parameter"].as_array_mut().expect("parameters");
    parameters.retain(|one| one["name"] != "CoverageToLink");
    let reply = client.post_match(&token, bare.to_string(), &[]).await;
    if reply.status != 200 {
        reply.assert_outcome(Fault::NoUniqueMember);
    }
}
