//! What is kept of an answer, and what a refusal tells.

use super::*;

#[actix_web::test]
async fn a_match_keeps_decision_consent_grant_and_ledger_together() {
    let world = World::new(&[ANA, BEN]).await;
    let answer = world.ask(&asking(&ANA), None).await.expect("matched");
    let body: Value = serde_json::from_slice(&answer.body).expect("json");
    assert_eq!((answer.status, answer.replayed), (200, false));
    assert_eq!(body["parameter"][0]["valueIdentifier"]["value"], "U1");
    assert_eq!(body["parameter"][1]["valueReference"]["reference"], "Patient/p1");
    assert_eq!(world.counts().await, [1, 1, 1, 0, 3]);
    assert_eq!(
        world.actions().await,
        ["member-match.begun", "member-match.matched", "consent.recorded"]
    );
    assert_eq!(
        world.outcomes().await,
        [("matched".to_owned(), None, Some("p1".to_owned()))]
    );
    let (linked, sensitive, until): (bool, i64, i64) = world
        .sql(|db| {
            let named: Option<String> = decision::table.select(decision::grant_id).first(db)?;
            let (id, sensitive, until): (String, i64, i64) = grants::table
                .select((grants::id, grants::sensitive, grants::valid_until_ms))
                .first(db)?;
            Ok((named == Some(id), sensitive, until))
        })
        .await;
    assert!(linked);
    assert_eq!(
        (sensitive, until),
        (0, parse_rfc3339_ms("2027-01-01T05:00:00Z").expect("instant"))
    );
    let kept: Vec<u8> = world
        .sql(|db| Ok(consents::table.select(consents::body).first(db)?))
        .await;
    let kept: Value = serde_json::from_slice(&kept).expect("json");
    assert!(
        kept.get("id").is_none() && kept.get("meta").is_none(),
        "t_b10: the server's fields are not taken over"
    );
    let traces = world.traces().await;
    for word in ["Núñez", "Ana", "1984", "M1", "p1", "U1"] {
        assert!(!traces.contains(word), "{word} in {traces}");
    }
}

#[actix_web::test]
async fn hrex_1_0_gets_the_identifier_alone() {
    let world = World::new(&[ANA]).await;
    let answer = world
        .ask_as(&caller("new-payer", "1.0"), asking(&ANA).to_string().into_bytes(), None)
        .await
        .expect("matched");
    let body: Value = serde_json::from_slice(&answer.body).expect("json");
    assert_eq!(body["parameter"].as_array().map(Vec::len), Some(1));
}

#[actix_web::test]
async fn asking_again_decides_anew_and_renews_the_one_grant() {
    let world = World::new(&[ANA]).await;
    world.ask(&asking(&ANA), Some("k1")).await.expect("matched");
    world.ctx.clock.advance_ms(1000);
    let mut other_spelling = asking(&ANA);
    other_spelling["parameter"][3]["resource"]["id"] = json!("another-id");
    let again = world.ask(&other_spelling, Some("k2")).await.expect("matched");
    assert!(!again.replayed);
    assert_eq!(world.counts().await, [2, 1, 1, 2, 5]);
    let (created, renewed): (i64, i64) = world
        .sql(|db| {
            Ok(grants::table
                .select((grants::created_ms, grants::renewed_ms))
                .first(db)?)
        })
        .await;
    assert_eq!(renewed - created, 1000);
    world
        .ask(&but(&ANA, "/3/resource/policy/0/uri", json!(consent::SENSITIVE)), None)
        .await
        .expect("matched");
    assert_eq!(
        world.counts().await,
        [3, 2, 2, 2, 8],
        "another consent is another grant"
    );
    world
        .ask_as(
            &caller("third-payer", "1.1"),
            asking(&ANA).to_string().into_bytes(),
            Some("k1"),
        )
        .await
        .expect("matched");
    assert_eq!(
        world.counts().await,
        [4, 3, 3, 3, 11],
        "t_d14: keys, consents and grants are the partner's own"
    );
}

#[actix_web::test]
async fn t_c01_none_review_and_a_failed_gate_are_one_answer() {
    let twin = Person {
        no: 3,
        subscriber: "S3",
        ..ANA
    };
    let stranger = Person {
        family: "Quist",
        given: "Zoë",
        birth_date: "1961-11-30",
        card: "M77",
        ..ANA
    };
    let world = World::new(&[ANA, BEN]).await;
    let several = World::new(&[ANA, twin]).await;
    let consent = "/3/resource/provision";
    let mut bodies = Vec::new();
    for (world, body, outcome) in [
        (
            &world,
            but(&ANA, "/0/resource/birthDate", json!("1984-07-10")),
            "review",
        ),
        (
            &world,
            but(&ANA, "/1/resource/identifier/0/value", json!("M2")),
            "review",
        ),
        (
            &world,
            but(&ANA, "/1/resource/identifier/0/value", json!("M404")),
            "review",
        ),
        (&world, asking(&stranger), "none"),
        (
            &world,
            but(
                &ANA,
                "/3/resource/provision/actor/1/reference/identifier/value",
                json!("1111111111"),
            ),
            "gate",
        ),
        (&several, asking(&ANA), "review"),
        (
            &world,
            but(&BEN, &format!("{consent}/period/end"), json!("2026-06-30")).clone(),
            "consent",
        ),
    ] {
        let failure = world.ask(&body, None).await.expect_err("refused");
        let last = world.outcomes().await.pop().expect("a decision");
        assert_eq!(last.0, outcome);
        assert_eq!(
            last.2.is_some(),
            outcome == "consent",
            "only a consent refusal names the member, and only to us"
        );
        if outcome == "consent" {
            assert_eq!(failure.fault(), Fault::ConsentNotHonoured);
            assert!(failure.expressions().is_empty());
        } else {
            assert_eq!(failure.fault(), Fault::NoUniqueMember);
            bodies.push(outcome::bytes(&failure, "https://localhost"));
        }
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "byte-equal");
    let counts = world.counts().await;
    assert_eq!(
        counts,
        [6, 0, 0, 0, 15],
        "a refusal stores its decision and its ledger entries, and what a person has to look at is opened"
    );
    assert_eq!(
        world.actions().await[..2],
        ["member-match.begun", "member-match.refused"]
    );
}

#[actix_web::test]
async fn t_c04_a_consent_that_cannot_be_honoured_says_nothing_of_strangers() {
    let world = World::new(&[ANA]).await;
    let expired = json!({"start":"2025-01-01","end":"2025-12-31"});
    assert_eq!(
        fault(
            world
                .ask(&but(&ANA, "/3/resource/provision/period", expired.clone()), None)
                .await
        ),
        Fault::ConsentNotHonoured
    );
    assert_eq!(
        fault(
            world
                .ask(&but(&BEN, "/3/resource/provision/period", expired), None)
                .await
        ),
        Fault::NoUniqueMember
    );
    for (path, value) in [
        ("/3/resource/provision/type", json!("deny")),
        ("/3/resource/status", json!("inactive")),
        ("/3/resource/policy/0/uri", json!("http://example.org/policy")),
        (
            "/3/resource/provision/actor/0/reference/identifier/value",
            json!("1111111111"),
        ),
        ("/3/resource/provision/action/0/coding/0/code", json!("access")),
    ] {
        assert_eq!(
            fault(world.ask(&but(&ANA, path, value), None).await),
            Fault::ConsentNotHonoured,
            "{path}"
        );
    }
    assert_eq!(world.counts().await[1..4], [0, 0, 0]);
}

#[actix_web::test]
async fn a_broken_request_leaves_a_ledger_entry_and_no_decision() {
    let world = World::new(&[ANA]).await;
    for (body, expected) in [
        (b"{".to_vec(), Fault::NotJson),
        (
            br#"{"resourceType":"Patient","id":"a"}"#.to_vec(),
            Fault::ResourceInvalid,
        ),
        (
            but(&ANA, "/0/resource/gender", json!("f")).to_string().into_bytes(),
            Fault::MatchInvalid,
        ),
        (
            but(&ANA, "/3/resource/patient/reference", json!("Patient/other"))
                .to_string()
                .into_bytes(),
            Fault::MatchReference,
        ),
    ] {
        let failure = world.ask_as(&world.caller, body, None).await.expect_err("refused");
        assert_eq!(failure.fault(), expected, "{failure}");
    }
    assert_eq!(world.counts().await, [0, 0, 0, 0, 4]);
    assert!(
        world
            .actions()
            .await
            .iter()
            .all(|action| action == "member-match.refused")
    );
}

#[actix_web::test]
async fn a_coverage_without_a_number_that_identity_reads_is_refused() {
    let world = World::new(&[ANA]).await;
    let other = json!([{"type": {"coding": [{"system": "http://x.example", "code": "XX"}]}, "value": "12"}]);
    let nothing = ["?", "N/A", "unknown", "-"].map(|text| json!([{"value": text}]));
    for identifier in nothing.into_iter().chain([other]) {
        let mut body = but(&ANA, "/1/resource/identifier", identifier.clone());
        if let Some(coverage) = body["parameter"][1]["resource"].as_object_mut() {
            coverage.remove("subscriberId");
        }
        let failure = world.ask(&body, None).await.expect_err("no number");
        assert_eq!(failure.fault(), Fault::MatchInvalid, "{identifier}");
        assert_eq!(failure.expressions(), ["Parameters.parameter[1].resource.identifier"]);
    }
}
