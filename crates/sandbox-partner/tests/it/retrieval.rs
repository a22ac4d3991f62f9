//! Getting a record from a payer that behaves: whole, in pages, by type, by id, and not at all without a match.

use super::support::{DATA_SCOPE, MATCH_SCOPE, Pair, link, played, resources};
use causeway_sandbox_partner::SandboxRoute;
use serde_json::{Value, json};

async fn bundle(pair: &Pair, token: &str, url: &str) -> Value {
    let reply = pair.http.get(url).bearer_auth(token).send().await.expect("an answer");
    assert_eq!(reply.status(), 200, "{url}");
    reply.json().await.expect("JSON")
}

/// Follows `next` to the end.
async fn pages(pair: &Pair, token: &str, path: &str) -> Vec<Value> {
    let (mut url, mut all) = (pair.url(path), Vec::new());
    loop {
        let page = bundle(pair, token, &url).await;
        let next = link(&page, "next").map(str::to_owned);
        all.push(page);
        match next {
            Some(next) => url = next,
            None => return all,
        }
    }
}

#[tokio::test]
async fn everything_comes_whole_or_in_pages_that_add_up() {
    for (script, expected) in [
        ("", 1),
        ("everything_page_size = 7", 6),
        ("everything_page_size = 40", 1),
    ] {
        let pair = played(script);
        let token = pair.matched().await;
        let pages = pages(
            &pair,
            &token,
            &format!("Patient/{}/$everything", pair.member().patient_id),
        )
        .await;
        assert_eq!(pages.len(), expected, "{script}");
        let all: Vec<Value> = pages.iter().flat_map(resources).collect();
        assert_eq!(all, pair.sandbox.record(&pair.member()).collect::<Vec<_>>(), "{script}");
        assert!(pages.iter().all(|page| page["total"] == 40));
    }
}

#[tokio::test]
async fn searches_by_type_bring_every_resource_once() {
    let pair = played("page_size = 2\nmembers = { count = 1, resources = 60 }");
    let token = pair.matched().await;
    let id = pair.member().patient_id;
    let record: Vec<Value> = pair.sandbox.record(&pair.member()).collect();
    let mut found = Vec::new();
    for kind in [
        "Patient",
        "Coverage",
        "Organization",
        "Practitioner",
        "Location",
        "Encounter",
        "Condition",
        "Observation",
        "Procedure",
        "MedicationRequest",
        "Immunization",
        "DiagnosticReport",
        "ExplanationOfBenefit",
        "DocumentReference",
        "AllergyIntolerance",
        "CarePlan",
        "Goal",
        "Provenance",
    ] {
        let pages = pages(&pair, &token, &format!("{kind}?patient=Patient/{id}")).await;
        let all: Vec<Value> = pages.iter().flat_map(resources).collect();
        assert!(
            !all.is_empty() && all.iter().all(|one| one["resourceType"] == kind),
            "{kind}"
        );
        assert!(
            pages
                .iter()
                .all(|page| resources(page).len() <= 2 && page["total"] == all.len()),
            "{kind}"
        );
        found.extend(all);
    }
    assert_eq!(found.len(), record.len());
    assert!(record.iter().all(|one| found.contains(one)));
}

#[tokio::test]
async fn a_search_takes_ids_times_identifiers_and_revinclude_also_by_post() {
    let pair = played("hrex = \"1.0\"");
    let token = pair.matched().await;
    let member = pair.member();
    let id = &member.patient_id;
    let number = format!(
        "Patient?identifier=http://sandbox-payer.example/identifiers/member%7C{}",
        member.number
    );
    let found = bundle(&pair, &token, &pair.url(&number)).await;
    assert_eq!(resources(&found)[0]["id"], json!(id), "HRex 1.0 tells no id");
    let two = format!("Observation?patient={id}&_id={id}-8,{id}-9,{id}-7");
    assert_eq!(resources(&bundle(&pair, &token, &pair.url(&two)).await).len(), 2);
    let recent = format!("Observation?patient={id}&_lastUpdated=ge2200-01-01T00:00:00Z");
    assert!(bundle(&pair, &token, &pair.url(&recent)).await.get("entry").is_none());
    let with = format!("Condition?patient={id}&_revinclude=Provenance:target");
    let with = bundle(&pair, &token, &pair.url(&with)).await;
    let modes: Vec<&Value> = with["entry"]
        .as_array()
        .expect("entries")
        .iter()
        .map(|entry| &entry["search"]["mode"])
        .collect();
    assert_eq!(modes.last(), Some(&&json!("include")));
    let form = [("patient", id.as_str()), ("_count", "1")];
    let posted = pair
        .http
        .post(pair.url("Condition/_search"))
        .bearer_auth(&token)
        .form(&form)
        .send()
        .await
        .expect("an answer");
    let posted: Value = posted.json().await.expect("JSON");
    assert_eq!(resources(&posted).len(), 1);
    let next = link(&posted, "next").expect("another page");
    assert_eq!(resources(&bundle(&pair, &token, next).await).len(), 1);
}

#[tokio::test]
async fn since_and_type_narrow_everything() {
    let pair = played("members = { count = 1, resources = 400 }\nas_of = \"2026-11-01\"");
    let token = pair.matched().await;
    let path = format!("Patient/{}/$everything", pair.member().patient_id);
    let since = bundle(&pair, &token, &pair.url(&format!("{path}?_since=2025-11-01T00:00:00Z"))).await;
    let count = resources(&since).len();
    assert!(count > 20 && count < 200, "{count}");
    let typed = bundle(&pair, &token, &pair.url(&format!("{path}?_type=Goal,CarePlan"))).await;
    assert!(
        resources(&typed)
            .iter()
            .all(|one| one["resourceType"] == "Goal" || one["resourceType"] == "CarePlan")
    );
    assert!(resources(&typed).len() > 40);
}

#[tokio::test]
async fn pdex_before_2_2_leaves_claims_out_of_everything_and_not_out_of_searches() {
    for (version, claims) in [("2.0", false), ("2.1", false), ("2.2", true)] {
        let pair = played(&format!("pdex = \"{version}\""));
        let token = pair.matched().await;
        let id = pair.member().patient_id;
        let uses = |bundle: &Value| -> Vec<String> {
            resources(bundle)
                .iter()
                .filter_map(|one| one["use"].as_str().map(str::to_owned))
                .collect()
        };
        let whole = bundle(&pair, &token, &pair.url(&format!("Patient/{id}/$everything"))).await;
        assert_eq!(uses(&whole).contains(&"claim".to_owned()), claims, "{version}");
        assert!(uses(&whole).contains(&"preauthorization".to_owned()));
        let searched = bundle(&pair, &token, &pair.url(&format!("ExplanationOfBenefit?patient={id}"))).await;
        assert!(uses(&searched).contains(&"claim".to_owned()));
    }
}

#[tokio::test]
async fn nobody_reads_a_member_without_a_match() {
    let pair = played("");
    let token = pair.matched().await;
    let other = &pair.sandbox.members()[1].patient_id;
    for path in [
        format!("Patient/{other}"),
        format!("Patient/{other}/$everything"),
        format!("Condition?patient={other}"),
        format!("Encounter/{other}-6"),
    ] {
        let reply = pair.data(&token, &path).send().await.expect("an answer");
        assert_eq!(reply.status(), 404, "{path}");
    }
    let id = pair.member().patient_id;
    let reply = pair
        .data(&token, &format!("Encounter/{id}-6"))
        .send()
        .await
        .expect("an answer");
    assert_eq!(
        (reply.status().as_u16(), reply.headers()["etag"].to_str().ok()),
        (200, Some("W/\"3\""))
    );
    for path in [
        format!("Condition/{id}-6"),
        format!("Encounter/{id}-999"),
        "Patient/x".into(),
    ] {
        assert_eq!(
            pair.data(&token, &path).send().await.expect("an answer").status(),
            404,
            "{path}"
        );
    }
    assert_eq!(pair.sandbox.control().effect_count(SandboxRoute::Read), 1);
}

#[tokio::test]
async fn a_payer_may_want_a_second_token_after_the_match() {
    let pair = played("second_token = true");
    let both = pair.token(&format!("{MATCH_SCOPE} {DATA_SCOPE}")).await;
    let body = pair.match_body(&pair.member());
    assert_eq!(
        pair.match_request(&both, &body)
            .send()
            .await
            .expect("an answer")
            .status(),
        200
    );
    assert_eq!(pair.everything(&both).send().await.expect("an answer").status(), 403);
    let second = pair.token(DATA_SCOPE).await;
    assert_eq!(pair.everything(&second).send().await.expect("an answer").status(), 200);
}

#[tokio::test]
async fn a_token_can_be_narrowed_to_a_matched_patient() {
    let pair = played("");
    pair.matched().await;
    pair.matched_with(&pair.sandbox.members()[1].clone()).await;
    let narrowed = |patient: String| {
        let form = [
            ("grant_type", "client_credentials".to_owned()),
            (
                "client_assertion_type",
                "urn:ietf:params:oauth:client-assertion-type:jwt-bearer".to_owned(),
            ),
            ("client_assertion", pair.assertion(|_| {})),
            ("scope", DATA_SCOPE.to_owned()),
            ("patient", patient),
        ];
        pair.http.post(pair.sandbox.token_url()).form(&form).send()
    };
    let (first, second) = (pair.member().patient_id, pair.sandbox.members()[1].patient_id.clone());
    let answer: Value = narrowed(format!("Patient/{second}"))
        .await
        .expect("an answer")
        .json()
        .await
        .expect("JSON");
    assert_eq!(answer["patient"], second);
    let token = answer["access_token"].as_str().expect("a token");
    for (id, status) in [(&first, 404), (&second, 200)] {
        let reply = pair
            .data(token, &format!("Patient/{id}/$everything"))
            .send()
            .await
            .expect("an answer");
        assert_eq!(reply.status(), status);
    }
    let stranger = pair.sandbox.members()[2].patient_id.clone();
    assert_eq!(narrowed(stranger).await.expect("an answer").status(), 400);
}
