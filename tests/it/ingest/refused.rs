//! Answers that must not be used: each ends in the state that says so, and nothing is half stored.

use super::bed::{World, small_limits};
use causeway_sandbox_partner::SandboxRoute;

const MEMBERS: &str = "offers = [\"everything\"]\nmembers = { count = 2, resources = 40 }\neverything_page_size = 10\n";

/// Runs an exchange under a rule for all requests of a route; returns the world, and phase and reason.
fn play(route: &str, acts: &str) -> (World, String, Option<String>, bool) {
    let world = World::with(
        &format!("{MEMBERS}[[rule]]\nroute = \"{route}\"\nacts = [{acts}]"),
        small_limits(),
    );
    let row = world.exchange();
    (world, row.phase, row.reason, row.parked_at_ms.is_some())
}

#[test]
fn an_address_on_another_origin_is_never_called() {
    for (route, acts) in [
        ("everything", "\"next-elsewhere\""),
        ("everything", "{ redirect = { to = \"elsewhere\" } }"),
        ("everything", "{ redirect = { status = 301, to = \"itself\" } }"),
        ("member-match", "{ redirect = { to = \"elsewhere\" } }"),
        ("token", "{ redirect = { to = \"elsewhere\" } }"),
        ("smart", "{ token-endpoint = \"elsewhere\" }"),
        ("member-match", "{ match = \"member-id-elsewhere\" }"),
    ] {
        let (world, phase, reason, _) = play(route, acts);
        assert_eq!(phase, "manual_review", "{route} {acts}: {reason:?}");
        assert!(
            matches!(reason.as_deref(), Some("EX-050" | "EX-051")),
            "{route} {acts}: {reason:?}"
        );
        assert_eq!(world.received_count(), 0, "{route} {acts}");
        world.assert_no_strays();
    }
}

#[test]
fn a_token_answer_that_cannot_be_trusted_is_not_used() {
    for acts in [
        "{ token = { expiry = false } }",
        "{ token = { scope = \"system/*.cruds\" } }",
        "{ token = { token_type = \"mac\" } }",
    ] {
        let (world, phase, reason, _) = play("token", acts);
        assert_eq!(
            (phase.as_str(), reason.as_deref()),
            ("refused", Some("EX-054")),
            "{acts}"
        );
        assert_eq!(
            world.asked(SandboxRoute::MemberMatch),
            0,
            "{acts}: it is not sent anywhere"
        );
    }
}

#[test]
fn what_a_partner_says_of_our_request_or_rights_is_parked_and_replayed() {
    use causeway::exchange::acts::ExchangeAct;
    const SEARCH: &str = "offers = [\"search\"]\nmembers = { count = 2, resources = 40 }\n";
    for (members, route, status, reason) in [
        (MEMBERS, "everything", 400, "EX-059"),
        (MEMBERS, "everything", 403, "EX-058"),
        (SEARCH, "search", 403, "EX-058"),
        (MEMBERS, "member-match", 403, "EX-058"),
        (MEMBERS, "token", 401, "EX-053"),
    ] {
        let world = World::new(&format!(
            "{members}[[rule]]\nroute = \"{route}\"\nacts = [{{ answer = {{ status = {status} }} }}]"
        ));
        let row = world.exchange();
        assert_eq!(
            (row.reason.as_deref(), row.parked_at_ms.is_some(), row.ended_ms),
            (Some(reason), true, None),
            "{route} {status}: {row:?}"
        );
        let attempts = world.bed.attempts(&row.id);
        let ours = attempts.iter().filter(|one| one.class.as_deref() == Some("our-fault"));
        assert_eq!(ours.count(), 1, "{route} {status}: {attempts:?}");
        world.sandbox.control().set_rules(Vec::new()).expect("taken");
        world.bed.act(&row.id, ExchangeAct::Replay).expect("replayed");
        let row = world.run(&row.id);
        assert_eq!(row.phase, "completed", "{route} {status}: {row:?}");
    }
}

#[test]
fn a_record_that_is_no_fhir_is_not_stored() {
    for acts in [
        "{ garbage = \"empty\" }",
        "{ garbage = \"not-json\" }",
        "{ garbage = \"not-utf8\" }",
        "{ garbage = \"repeated-member\" }",
        "{ garbage = \"not-fhir\" }",
        "{ garbage = \"other-resource\" }",
        "{ garbage = \"html\" }",
        "{ garbage = \"deep\" }",
        "{ gzip-bomb = { bytes = 10000000 } }",
    ] {
        let (world, phase, reason, parked) = play("everything", acts);
        assert_ne!(phase, "completed", "{acts}");
        assert!(
            parked || phase == "manual_review" || phase == "refused",
            "{acts}: {phase} {reason:?}"
        );
        assert_eq!(
            (
                world.received_count(),
                world.bed.number("SELECT COUNT(*) FROM ingest_resource")
            ),
            (0, 0),
            "{acts}"
        );
    }
}

#[test]
fn a_body_beyond_all_bounds_is_given_up() {
    for acts in [
        "\"endless\"",
        "{ large-body = { bytes = 5368709120, shape = \"entries\" } }",
        "{ large-body = { bytes = 5368709120, shape = \"one-string\" } }",
    ] {
        let began = std::time::Instant::now();
        let (world, phase, reason, _) = play("everything", acts);
        assert_ne!(phase, "completed", "{acts}: {reason:?}");
        assert_eq!(world.received_count(), 0, "{acts}");
        // A busy machine takes its time to send two megabytes a few times; all of a body is more than it sends in this time.
        assert!(began.elapsed().as_secs() < 600, "{acts}: {:?}", began.elapsed());
        let kept = world
            .bed
            .number("SELECT CAST(COALESCE(SUM(LENGTH(sealed)), 0) AS BIGINT) FROM ingest_piece");
        assert!(kept <= 3 << 20, "{acts}: {kept} bytes are kept");
    }
}

#[test]
fn a_certificate_that_does_not_hold_stops_everything() {
    for flaw in ["expired", "other-authority", "self-signed", "wrong-name"] {
        let (world, phase, reason, _) = play("connection", &format!("{{ certificate = \"{flaw}\" }}"));
        assert_eq!(
            (phase.as_str(), reason.as_deref()),
            ("manual_review", Some("EX-052")),
            "{flaw}"
        );
        assert_eq!(world.asked(SandboxRoute::Token), 0, "{flaw}");
    }
}

#[test]
fn the_answers_to_a_match_have_their_own_ends() {
    for (answer, phase, reason) in [
        ("consent-refused", "refused", Some("EX-060")),
        ("two-identifiers", "refused", Some("EX-062")),
        // PDex 2.0 speaks of the Patient's id as the sole result.
        ("no-identifier", "completed", None),
    ] {
        let (_, found, why, _) = play("member-match", &format!("{{ match = \"{answer}\" }}"));
        assert_eq!((found.as_str(), why.as_deref()), (phase, reason), "{answer}");
    }
    for (identifier, bad) in [
        (r#"{"system":"urn:x","value":"LONG"}"#, "EX-062"),
        (r#"{"system":"urn:LONG","value":"u-1"}"#, "EX-062"),
        (r#"{"system":"urn:x","value":" "}"#, "EX-062"),
        (r#"{"system":"urn:x"}"#, "EX-062"),
    ] {
        let identifier = identifier.replace("LONG", &"9".repeat(5_000));
        let body = format!(
            r#"{{"resourceType":"Parameters","parameter":[{{"name":"MemberIdentifier","valueIdentifier":{identifier}}}]}}"#
        );
        let acts =
            format!("{{ answer = {{ status = 200, media_type = \"application/fhir+json\", body = '{body}' }} }}");
        let (world, phase, reason, _) = play("member-match", &acts);
        assert_eq!(
            (phase.as_str(), reason.as_deref()),
            ("refused", Some(bad)),
            "{:.90}",
            acts
        );
        assert_eq!(world.asked(SandboxRoute::Everything), 0);
    }
    for answer in ["no-match", "several"] {
        let (world, phase, why, _) = play("member-match", &format!("{{ match = \"{answer}\" }}"));
        assert_ne!(phase, "completed", "{answer}: {why:?}");
        assert_eq!(
            world.asked(SandboxRoute::MemberMatch),
            1,
            "{answer}: it is not asked again within the hour"
        );
    }
    let (world, phase, reason, _) = play("member-match", "{ match = \"other-member\" }");
    assert_eq!(phase, "manual_review", "the record of another person: {reason:?}");
    assert_eq!((reason.as_deref(), world.received_count()), (Some("EX-065"), 0));
}
