//! What the payer says of itself, in each version of the guides.

use super::support::{played, resources, started};
use causeway_sandbox_partner::SandboxScript;
use serde_json::Value;

#[tokio::test]
async fn a_client_finds_the_token_endpoint_and_what_the_payer_can_do() {
    let pair = played("");
    let smart: Value = pair
        .get(".well-known/smart-configuration")
        .await
        .json()
        .await
        .expect("JSON");
    assert_eq!(smart["token_endpoint"], pair.sandbox.token_url());
    assert_eq!(smart["grant_types_supported"][0], "client_credentials");
    let davinci: Value = pair
        .get(".well-known/davinci-configuration")
        .await
        .json()
        .await
        .expect("JSON");
    assert_eq!(
        davinci["endpoints"]["davinci_pdex_payer_endpoint#2.2"],
        pair.sandbox.base_url()
    );
    let statement: Value = pair.get("metadata").await.json().await.expect("JSON");
    assert_eq!(statement["fhirVersion"], "4.0.1");
    let listed = statement["rest"][0]["resource"].as_array().expect("resources");
    let patient = listed
        .iter()
        .find(|resource| resource["type"] == "Patient")
        .expect("Patient");
    let names: Vec<&Value> = patient["operation"]
        .as_array()
        .expect("operations")
        .iter()
        .map(|one| &one["name"])
        .collect();
    assert_eq!(names, ["member-match", "everything"]);
}

#[tokio::test]
async fn a_well_behaved_exchange_goes_from_discovery_to_the_whole_record() {
    let pair = started(SandboxScript::default(), Some("https://new-payer.example/fhir"));
    let token = pair.matched().await;
    let bundle: Value = pair
        .everything(&token)
        .send()
        .await
        .expect("an answer")
        .json()
        .await
        .expect("JSON");
    let expected: Vec<Value> = pair.sandbox.record(&pair.member()).collect();
    assert_eq!(resources(&bundle), expected);
    assert_eq!(bundle["total"], expected.len());
    assert_eq!(pair.sandbox.control().complaints(), []);
}

#[tokio::test]
async fn each_version_of_the_guides_is_told_as_itself() {
    for (script, code, guide) in [
        (
            "hrex = \"1.0\"\npdex = \"2.0\"\nus_core = \"3.1.1\"",
            "davinci_pdex_payer_endpoint#2.0",
            "hl7.fhir.us.davinci-hrex|1.0.0",
        ),
        (
            "hrex = \"1.1\"\npdex = \"2.1\"",
            "davinci_pdex_payer_endpoint#2.1",
            "hl7.fhir.us.davinci-hrex|1.1.0",
        ),
        (
            "hrex = \"1.2\"\npdex = \"2.2\"",
            "davinci_pdex_payer_endpoint#2.2",
            "hl7.fhir.us.davinci-hrex|1.2.0",
        ),
    ] {
        let pair = played(script);
        let davinci: Value = pair
            .get(".well-known/davinci-configuration")
            .await
            .json()
            .await
            .expect("JSON");
        assert_eq!(davinci["endpoints"][code], pair.sandbox.base_url());
        let versionless = !davinci["endpoints"]["davinci_pdex_payer_endpoint"].is_null();
        assert_eq!(versionless, !script.contains("1.2"), "deprecated in HRex 1.2");
        let statement = pair.get("metadata").await.text().await.expect("text");
        assert!(statement.contains(guide), "{statement}");
    }
}

#[tokio::test]
async fn the_statement_offers_only_what_the_script_offers() {
    for (offers, has_everything, has_search) in [("[\"search\"]", false, true), ("[\"everything\"]", true, false)] {
        let pair = played(&format!("offers = {offers}"));
        let statement = pair.get("metadata").await.text().await.expect("text");
        assert_eq!(statement.contains("Patient-everything"), has_everything);
        assert_eq!(statement.contains("search-type"), has_search);
        let token = pair.matched().await;
        let everything = pair.everything(&token).send().await.expect("an answer").status();
        let id = pair.member().patient_id;
        let search = pair
            .data(&token, &format!("Condition?patient={id}"))
            .send()
            .await
            .expect("an answer")
            .status();
        assert_eq!((everything == 200, search == 200), (has_everything, has_search));
    }
}

#[tokio::test]
async fn discovery_can_lie_and_change() {
    let pair = played(
        r#"
        [[rule]]
        route = "smart"
        requests = "2"
        acts = [{ token-endpoint = "elsewhere" }]
        [[rule]]
        route = "jwks"
        requests = "2+"
        acts = ["changed-keys"]
        [[rule]]
        route = "metadata"
        acts = [{ fhir-version = "5.0.0" }]
        "#,
    );
    let read = async |path: &str| -> Value { pair.get(path).await.json().await.expect("JSON") };
    let smart = ".well-known/smart-configuration";
    assert_eq!(read(smart).await["token_endpoint"], pair.sandbox.token_url());
    assert_eq!(
        read(smart).await["token_endpoint"],
        format!("{}/auth/token", pair.sandbox.elsewhere_url())
    );
    let keys = ".well-known/jwks.json";
    let (first, second) = (read(keys).await, read(keys).await);
    assert_eq!(first["keys"][0], pair.sandbox.payer_key());
    assert_ne!(first, second);
    assert_eq!(read(keys).await, second);
    assert_eq!(read("metadata").await["fhirVersion"], "5.0.0");
}

#[tokio::test]
async fn what_reaches_the_second_origin_is_recorded() {
    let pair = played("");
    assert!(pair.sandbox.control().strays().is_empty());
    let url = format!("{}/fhir/Patient", pair.sandbox.elsewhere_url());
    let reply = pair
        .http
        .get(url)
        .bearer_auth("secret")
        .send()
        .await
        .expect("an answer");
    assert_eq!(reply.status(), 200);
    let strays = pair.sandbox.control().strays();
    assert_eq!(
        (strays.len(), strays[0].authorized, strays[0].target.as_str()),
        (1, true, "/fhir/Patient")
    );
    assert!(pair.sandbox.control().requests().is_empty());
}
