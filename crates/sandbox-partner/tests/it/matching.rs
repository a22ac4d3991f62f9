//! `$member-match` in both dialects: who is found, what is refused, and what is regretted.

use super::support::{MATCH_SCOPE, Pair, played};
use causeway_sandbox_partner::SandboxRoute;
use serde_json::{Value, json};

async fn asked(pair: &Pair, body: &Value) -> (u16, Value) {
    let token = pair.token(MATCH_SCOPE).await;
    let reply = pair.match_request(&token, body).send().await.expect("an answer");
    (reply.status().as_u16(), reply.json().await.expect("JSON"))
}

fn parameter<'a>(body: &'a mut Value, name: &str) -> &'a mut Value {
    let listed = body["parameter"].as_array_mut().expect("parameters");
    &mut listed.iter_mut().find(|one| one["name"] == name).expect(name)["resource"]
}

fn names(answer: &Value) -> Vec<&str> {
    answer["parameter"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|one| one["name"].as_str())
        .collect()
}

#[tokio::test]
async fn hrex_1_0_answers_a_member_number_and_1_1_a_umb_and_a_reference() {
    for version in ["1.0", "1.1", "1.2"] {
        let pair = played(&format!("hrex = \"{version}\""));
        let member = pair.member();
        let (status, answer) = asked(&pair, &pair.match_body(&member)).await;
        assert_eq!(status, 200);
        let identifier = &answer["parameter"][0]["valueIdentifier"];
        let coding = &identifier["type"]["coding"][0]["code"];
        if version == "1.0" {
            assert_eq!(names(&answer), ["MemberIdentifier"]);
            assert_eq!((coding, &identifier["value"]), (&json!("MB"), &json!(member.number)));
        } else {
            assert_eq!(names(&answer), ["MemberIdentifier", "MemberId"]);
            assert_eq!((coding, &identifier["value"]), (&json!("UMB"), &json!(member.umb)));
            assert_eq!(
                answer["parameter"][1]["valueReference"]["reference"],
                format!("Patient/{}", member.patient_id)
            );
        }
        assert_eq!(pair.sandbox.control().complaints(), []);
    }
}

#[tokio::test]
async fn nobody_is_found_by_a_wrong_number_name_or_birth_date() {
    let pair = played("");
    let body = || pair.match_body(&pair.member());
    let mut number = body();
    let coverage = parameter(&mut number, "CoverageToMatch");
    coverage["identifier"][0]["value"] = json!("SB99999999");
    coverage["subscriberId"] = json!("SB99999999");
    let mut name = body();
    parameter(&mut name, "MemberPatient")["name"][0]["family"] = json!("Nobody");
    let mut birth = body();
    parameter(&mut birth, "MemberPatient")["birthDate"] = json!("1901-01-01");
    for wrong in [number, name, birth] {
        let (status, answer) = asked(&pair, &wrong).await;
        assert_eq!((status, &answer["issue"][0]["code"]), (422, &json!("not-found")));
    }
    assert_eq!(pair.sandbox.control().effect_count(SandboxRoute::MemberMatch), 3);
}

#[tokio::test]
async fn what_breaks_a_shall_is_refused_and_what_departs_from_a_should_is_noted() {
    let pair = played("");
    type Change = fn(&mut Value);
    let shalls: [(&str, Change); 9] = [
        ("another parameter", |body| {
            body["parameter"]
                .as_array_mut()
                .expect("a list")
                .push(json!({ "name": "Extra" }))
        }),
        ("no CoverageToLink", |body| {
            body["parameter"]
                .as_array_mut()
                .expect("a list")
                .retain(|one| one["name"] != "CoverageToLink")
        }),
        ("an absolute reference", |body| {
            parameter(body, "CoverageToMatch")["beneficiary"]["reference"] =
                json!("https://new-payer.example/Patient/mp1");
        }),
        ("no gender", |body| {
            parameter(body, "MemberPatient")["gender"] = Value::Null
        }),
        ("no id", |body| parameter(body, "MemberPatient")["id"] = Value::Null),
        ("no relationship", |body| {
            parameter(body, "CoverageToMatch")["relationship"] = Value::Null
        }),
        ("a draft consent", |body| {
            parameter(body, "Consent")["status"] = json!("draft")
        }),
        ("a purpose", |body| {
            parameter(body, "Consent")["provision"]["purpose"] = json!([{ "code": "TREAT" }])
        }),
        ("no recipient", |body| {
            let actors = parameter(body, "Consent")["provision"]["actor"]
                .as_array_mut()
                .expect("actors");
            actors.pop();
        }),
    ];
    for (what, change) in shalls {
        let mut body = pair.match_body(&pair.member());
        change(&mut body);
        let (status, answer) = asked(&pair, &body).await;
        assert_eq!(
            (status, &answer["issue"][0]["code"]),
            (422, &json!("invariant")),
            "{what}: {answer}"
        );
    }
    assert_eq!(pair.sandbox.control().effect_count(SandboxRoute::MemberMatch), 0);
    let mut body = pair.match_body(&pair.member());
    parameter(&mut body, "CoverageToLink")["order"] = json!(1);
    assert_eq!(asked(&pair, &body).await.0, 200);
    let complaints = pair.sandbox.control().complaints();
    assert!(
        complaints
            .last()
            .is_some_and(|(_, what)| what.contains("CoverageToLink.order")),
        "{complaints:?}"
    );

    let lenient = played("strict = false");
    let mut body = lenient.match_body(&lenient.member());
    parameter(&mut body, "CoverageToMatch")["relationship"] = Value::Null;
    assert_eq!(asked(&lenient, &body).await.0, 200);
    assert_eq!(lenient.sandbox.control().complaints().len(), 1);
}

#[tokio::test]
async fn hrex_1_0_wants_an_identifier_of_the_patient_and_a_consent() {
    let pair = played("hrex = \"1.0\"");
    let mut without = pair.match_body(&pair.member());
    parameter(&mut without, "MemberPatient")["identifier"] = json!([]);
    assert_eq!(asked(&pair, &without).await.0, 422);
    let mut without = pair.match_body(&pair.member());
    without["parameter"]
        .as_array_mut()
        .expect("a list")
        .retain(|one| one["name"] != "Consent");
    assert_eq!(asked(&pair, &without).await.0, 422);
    let newer = played("hrex = \"1.1\"");
    assert_eq!(asked(&newer, &without).await.0, 200, "1.1 made it optional");
}

#[tokio::test]
async fn a_consent_is_judged_by_its_period_and_its_actors() {
    let pair = played("");
    type Change = fn(&mut Value);
    let changes: [(&str, Change); 3] = [
        ("over", |consent| {
            consent["provision"]["period"] = json!({ "start": "2020-01-01", "end": "2020-12-31" })
        }),
        ("not begun", |consent| {
            consent["provision"]["period"] = json!({ "start": "2090-01-01", "end": "2090-12-31" })
        }),
        ("another payer", |consent| {
            consent["provision"]["actor"][0]["reference"]["identifier"]["value"] = json!("1992000999");
        }),
    ];
    for (what, change) in changes {
        let mut body = pair.match_body(&pair.member());
        change(parameter(&mut body, "Consent"));
        let (status, answer) = asked(&pair, &body).await;
        assert_eq!(
            (status, &answer["issue"][0]["code"]),
            (422, &json!("suppressed")),
            "{what}"
        );
        assert!(!answer.to_string().contains(&pair.member().patient_id), "{what}");
    }
}

#[tokio::test]
async fn a_body_that_is_no_parameters_is_a_bad_request() {
    let pair = played("");
    let token = pair.token(MATCH_SCOPE).await;
    for body in [
        "",
        "{",
        "[]",
        "{\"resourceType\":\"Bundle\"}",
        "{\"resourceType\":\"Parameters\"}",
    ] {
        let request = pair.http.post(pair.url("Patient/$member-match")).bearer_auth(&token);
        let reply = request
            .header("content-type", "application/fhir+json")
            .body(body)
            .send()
            .await
            .expect("an answer");
        assert_eq!(reply.status(), 400, "{body}");
    }
}

#[tokio::test]
async fn a_script_makes_every_other_answer_of_a_match() {
    let pair = played("");
    let member = pair.member();
    let other = pair.sandbox.members()[1].clone();
    let expect = async |kind: &str| {
        let rule = format!("route = \"member-match\"\nacts = [{{ match = \"{kind}\" }}]");
        let rule = causeway_sandbox_partner::SandboxRule::from_toml(&rule).expect("a rule");
        pair.sandbox.control().set_rules(vec![rule]).expect("rules");
        asked(&pair, &pair.match_body(&member)).await
    };
    for (kind, code) in [
        ("no-match", "not-found"),
        ("several", "multiple-matches"),
        ("consent-refused", "suppressed"),
    ] {
        let (status, answer) = expect(kind).await;
        assert_eq!((status, &answer["issue"][0]["code"]), (422, &json!(code)));
    }
    let (status, answer) = expect("other-member").await;
    assert_eq!(status, 200);
    assert!(answer.to_string().contains(&other.patient_id) && !answer.to_string().contains(&member.patient_id));
    assert_eq!(names(&expect("identifier-only").await.1), ["MemberIdentifier"]);
    assert_eq!(names(&expect("no-identifier").await.1), ["MemberId"]);
    assert_eq!(
        names(&expect("two-identifiers").await.1),
        ["MemberIdentifier", "MemberIdentifier", "MemberId"]
    );
    let (_, answer) = expect("member-id-elsewhere").await;
    assert!(answer.to_string().contains(&pair.sandbox.elsewhere_url()));
}

#[tokio::test]
async fn a_repeated_match_has_a_second_effect_unless_keys_are_honored() {
    for (handling, effects, replayed) in [("ignored", 2, false), ("honored", 1, true)] {
        let pair = played(&format!("idempotency = \"{handling}\""));
        let token = pair.token(MATCH_SCOPE).await;
        let body = pair.match_body(&pair.member());
        let ask = async || {
            let request = pair
                .match_request(&token, &body)
                .header("Idempotency-Key", "px-1")
                .header("X-Correlation-Id", "c-1");
            let reply = request.send().await.expect("an answer");
            (
                reply.headers().contains_key("idempotent-replayed"),
                reply.text().await.expect("text"),
            )
        };
        let (first, second) = (ask().await, ask().await);
        assert_eq!((first.0, second.0, first.1 == second.1), (false, replayed, true));
        let seen = pair.sandbox.control().effects();
        let matches: Vec<_> = seen
            .iter()
            .filter(|effect| effect.route == SandboxRoute::MemberMatch)
            .collect();
        assert_eq!(
            (matches.len(), matches[0].key.as_str(), matches[0].count),
            (1, "px-1", effects),
            "{handling}"
        );
        assert_eq!(pair.sandbox.control().repeated_effects().is_empty(), replayed);
        let requests = pair.sandbox.control().requests_to(SandboxRoute::MemberMatch);
        assert_eq!(requests[1].correlation_id.as_deref(), Some("c-1"));
        assert_eq!(requests[1].member.as_deref(), Some(pair.member().patient_id.as_str()));
    }
}
