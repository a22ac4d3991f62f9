//! The pages of the console for policies, evidence, cases, looks and the service: for the roles of the table of routes, by
//! the use cases of the commands, and without a value of a person.

use crate::ledger::store::SOON;
use crate::operations::Scene;
use crate::support::console::{Person, assert_refused, hidden};
use crate::support::payer::TestPayer;
use causeway::error::Fault;
use causeway::http::ops::console::{CONSOLE_ROUTES, ConsolePage};
use serde_json::Value;
use std::time::{Duration, Instant};

const ALL: &[&str] = &["support", "operator", "reviewer", "auditor", "admin"];
/// A reason that would be markup in a page.
const WHY: &str = "case 9: <b>an audit</b>";

#[tokio::test]
async fn each_new_page_is_for_the_roles_of_its_routes() {
    let scene = Scene::start().await;
    let balanced = version(&scene.payer, "balanced");
    let of_version = format!("/console/policies/{balanced}");
    let pages: [(&str, &[&str]); 14] = [
        ("/console/policies", &["admin"]),
        (&of_version, &["admin"]),
        ("/console/policies/compare", ALL),
        ("/console/policies/compare?version=balanced", &["auditor", "admin"]),
        ("/console/evidence", &["auditor"]),
        ("/console/cases", &["auditor"]),
        ("/console/looks", &["auditor"]),
        ("/console/service", &["support", "operator", "auditor"]),
        ("/console/scorecards/new-payer", &["support", "operator", "auditor"]),
        ("/console/service/page", &["support", "operator", "auditor"]),
        ("/console/parked/preview", &["support", "operator", "auditor"]),
        ("/console/parked/jobs", &["operator"]),
        ("/console/bulk", &["operator"]),
        ("/console/links", ALL),
    ];
    let number = scene.payer.member(0).member_number;
    for role in ALL {
        let mut person = Person::signed_in(&scene.payer, role, "ana").await;
        let linked = person.follow("/console").await.text();
        for (path, roles) in pages {
            let page = person.follow(path).await;
            match roles.contains(role) {
                true => assert_eq!(page.status, 200, "{role} {path}: {}", page.text()),
                false => assert_refused(&page, Fault::RoleMissing),
            }
            let text = page.text();
            assert!(
                !text.contains("<script") && !text.contains("style=\"") && !text.contains(&number),
                "{role} {path}: {text}"
            );
            assert!(page.header("content-security-policy").contains("default-src 'none'"));
            let is_linked = linked.contains(&format!("href=\"{path}\""));
            assert!(!is_linked || roles.contains(role), "{role} is led to {path}");
        }
    }
    let mut support = Person::signed_in(&scene.payer, "support", "ana").await;
    let before = scene.payer.count("ledger_entry WHERE action = 'operator.refused'");
    for (path, fields) in [
        ("/console/parked/replay", [("ids", "x"), ("reason", "x")]),
        ("/console/evidence", [("exchange", "x"), ("reason", "x")]),
        ("/console/cases", [("name", "x"), ("reason", "x")]),
        (&*format!("{of_version}/act"), [("act", "activate"), ("reason", "x")]),
    ] {
        assert_refused(&support.act(path, &fields).await, Fault::RoleMissing);
    }
    let after = scene.payer.count("ledger_entry WHERE action = 'operator.refused'");
    assert_eq!(after, before + 4, "who tried what is on record");
}

/// A page that is not in the list of the walk is not looked at in a browser by any role.
#[test]
fn the_walk_in_a_browser_goes_to_every_page() {
    let walk = include_str!("../browser/console.mjs");
    let listed = walk
        .split("const PAGES = [")
        .nth(1)
        .and_then(|rest| rest.split("\n];").next());
    let listed = listed.expect("the list of pages");
    let pages = CONSOLE_ROUTES.iter().filter(|route| route.method == "GET");
    // The two steps of signing in at a provider are in a walk of their own, sign-in.mjs.
    let elsewhere = [ConsolePage::Link, ConsolePage::ProviderBegin, ConsolePage::ProviderDone];
    for route in pages.filter(|route| !elsewhere.contains(&route.page)) {
        assert!(listed.contains(&format!("['{}',", route.path)), "{}", route.path);
    }
}

/// The id of the version of this name.
#[track_caller]
fn version(payer: &TestPayer, name: &str) -> String {
    let all = payer.json_command(&["policy", "list", "--kind", "matching"]);
    let found = all.as_array().expect("a list").iter().find(|one| one["name"] == name);
    found.expect("the version")["id"].as_str().expect("an id").to_owned()
}

/// The state of the version of this name.
#[track_caller]
fn state(payer: &TestPayer, name: &str) -> String {
    let all = payer.json_command(&["policy", "list", "--kind", "matching"]);
    let found = all.as_array().expect("a list").iter().find(|one| one["name"] == name);
    found.expect("the version")["state"]
        .as_str()
        .expect("a state")
        .to_owned()
}

#[tokio::test]
async fn a_version_is_compared_tried_beside_and_put_in_force_by_two_people() {
    let (mut payer, _) = TestPayer::prepare(1);
    payer.serve_with(&[("CAUSEWAY_POLICY__FOUR_EYES", "true")]);
    let (mut ana, mut bo) = (
        Person::signed_in(&payer, "admin", "ana").await,
        Person::signed_in(&payer, "admin", "bo").await,
    );
    let id = version(&payer, "balanced");
    let path = format!("/console/policies/{id}");
    let act = format!("{path}/act");
    let page = ana.follow(&path).await;
    page.assert_status(200);
    let text = page.text();
    // As `causeway policy diff` says it: two points differ in what they need.
    for part in [
        "needs.accept",
        "From safe to this version",
        "Run it beside the one in force",
        "name=\"against\"",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let same = ana.follow(&format!("{path}?against={id}")).await.text();
    assert!(same.contains("Nothing: both say the same."), "{same}");
    assert_refused(&ana.follow("/console/policies/nothing").await, Fault::PolicyUnknown);
    assert_refused(
        &ana.follow("/console/policies?kind=weather").await,
        Fault::ParameterInvalid,
    );

    ana.act(&act, &[("act", "shadow"), ("reason", WHY)])
        .await
        .assert_status(303);
    assert_eq!(state(&payer, "balanced"), "shadow");
    assert!(
        ana.follow(&path)
            .await
            .text()
            .contains("What it has shown beside the one in force")
    );
    ana.act(&act, &[("act", "stop"), ("reason", WHY)])
        .await
        .assert_status(303);
    assert_eq!(state(&payer, "balanced"), "idle");
    let again = [("act", "stop"), ("reason", WHY)];
    assert_refused(&ana.act(&act, &again).await, Fault::PolicyUnknown);

    for (fields, fault) in [
        ([("act", "king"), ("reason", WHY)], Fault::ParameterInvalid),
        ([("act", "activate"), ("reason", "")], Fault::ParameterInvalid),
    ] {
        assert_refused(&ana.act(&act, &fields).await, fault);
    }
    let stranger = [("act", "activate"), ("partners", "nobody"), ("reason", WHY)];
    assert_refused(&ana.act(&act, &stranger).await, Fault::PartnerUnknown);
    let asked = ana.act(&act, &[("act", "activate"), ("reason", WHY)]).await;
    asked.assert_status(303);
    assert_eq!(asked.header("location"), "/console/policies?kind=matching");
    assert_eq!(state(&payer, "balanced"), "waiting");
    let acts = payer.json_command(&["policy", "acts"]);
    let waits = acts[0]["id"].as_str().expect("an id").to_owned();
    let second = format!("/console/policies/{waits}/second");
    let listed = bo.follow("/console/policies?kind=matching").await.text();
    assert!(
        listed.contains(&second) && listed.contains("Do not decide yet: 1"),
        "{listed}"
    );
    let approve = [("act", "approve"), ("reason", WHY)];
    assert_refused(&ana.act(&second, &approve).await, Fault::PolicySecondNeeded);
    bo.act(&second, &approve).await.assert_status(303);
    assert_eq!(state(&payer, "balanced"), "active");
    assert_refused(&bo.act(&second, &approve).await, Fault::ActivationUnknown);

    // Who looked before bo approved has not seen what a way back would undo now.
    let path = "/console/policies/matching/act";
    let before = hidden(&listed, "seen");
    let back = [("act", "rollback"), ("seen", before.as_str()), ("reason", WHY)];
    assert_refused(&ana.act(path, &back).await, Fault::ActivationUnknown);
    assert_eq!(state(&payer, "balanced"), "active");
    let now = hidden(&bo.follow("/console/policies?kind=matching").await.text(), "seen");
    let back = [("act", "rollback"), ("seen", now.as_str()), ("reason", WHY)];
    bo.act(path, &back).await.assert_status(303);
    assert_eq!(state(&payer, "safe"), "active");
    let noted = format!(
        "ledger_entry e JOIN operator_note n ON n.entry_id = e.id WHERE e.action LIKE 'policy.%' AND n.operator = 'ana' AND n.reason = '{WHY}'"
    );
    assert_eq!(payer.count(&noted), 3, "the run, its end, and what ana asked for");
    let text = bo.follow("/console/policies").await.text();
    assert!(!text.contains("<b>"), "{text}");
}

#[tokio::test]
async fn an_auditor_asks_for_a_packet_of_a_case_and_fetches_it_with_a_reason() {
    let mut scene = Scene::start().await;
    assert_eq!(scene.payer.terminate(), Some(0), "{}", scene.payer.log());
    scene.payer.serve_with(&[SOON]);
    let decision = scene.payer.json_command(&["grant", "list"])[0]["decision_id"].clone();
    let decision = decision.as_str().expect("an id");
    let mut auditor = Person::signed_in(&scene.payer, "auditor", "carl").await;
    let opened = auditor
        .act("/console/cases", &[("name", "Complaint 7"), ("reason", WHY)])
        .await;
    opened.assert_status(303);
    let case = opened.header("location").to_owned();
    let again = auditor
        .act("/console/cases", &[("name", "Complaint 7"), ("reason", WHY)])
        .await;
    assert_refused(&again, Fault::CaseNameTaken);
    let add = format!("{case}/add");
    assert_refused(
        &auditor.act(&add, &[("ids", " "), ("reason", WHY)]).await,
        Fault::ParameterInvalid,
    );
    auditor
        .act(&add, &[("ids", decision), ("reason", WHY)])
        .await
        .assert_status(303);
    let page = auditor.follow(&case).await.text();
    assert!(
        page.contains(&format!("/console/exchanges/{decision}")) && page.contains("What it has: 1"),
        "{page}"
    );
    let shown = scene.payer.json_command(&["evidence", "case", "show", "Complaint 7"]);
    assert_eq!(shown["items"][0]["id"], decision, "{shown}");

    let asked = auditor
        .act("/console/evidence", &[("case", "Complaint 7"), ("reason", WHY)])
        .await;
    asked.assert_status(303);
    let packet = asked.header("location").to_owned();
    let both = [("case", "Complaint 7"), ("exchange", decision), ("reason", WHY)];
    assert_refused(&auditor.act("/console/evidence", &both).await, Fault::ParameterInvalid);
    let with_values = [("case", "Complaint 7"), ("with_phi", "yes"), ("reason", WHY)];
    assert_refused(
        &auditor.act("/console/evidence", &with_values).await,
        Fault::RoleMissing,
    );
    let began = Instant::now();
    while scene.payer.count("evidence_packet WHERE state = 'made'") == 0 {
        assert!(began.elapsed() < Duration::from_secs(60), "{}", scene.payer.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let page = auditor.follow(&packet).await.text();
    assert!(
        page.contains("Fetch the packet") && page.contains("causeway audit verify"),
        "{page}"
    );
    let file = format!("{packet}/file");
    assert_refused(&auditor.act(&file, &[("reason", " ")]).await, Fault::ParameterInvalid);
    let got = auditor.act(&file, &[("reason", WHY)]).await;
    got.assert_status(200);
    assert_eq!(got.header("content-type"), "application/x-tar");
    let disposition = got.header("content-disposition");
    assert!(
        disposition.starts_with("attachment; filename=\"packet-"),
        "{disposition}"
    );
    std::fs::write(scene.payer.home().join("packet.tar"), &got.body).expect("a file");
    let key = scene.payer.json_command(&["audit", "key"])["key"].clone();
    let key = key.as_str().expect("a key");
    let verdict = scene
        .payer
        .command(&["audit", "verify", "--packet", "packet.tar", "--key", key]);
    assert_eq!(verdict.status.code(), Some(0), "{verdict:?}");

    auditor
        .act(&format!("{case}/close"), &[("reason", WHY)])
        .await
        .assert_status(303);
    let late = [("ids", decision), ("reason", WHY)];
    assert_refused(&auditor.act(&add, &late).await, Fault::CaseClosed);
    let page = auditor.follow(&case).await.text();
    assert!(!page.contains("Add to the case") && !page.contains("<b>"), "{page}");
}

#[tokio::test]
async fn an_auditor_sees_who_looked_at_what_and_no_member() {
    let scene = Scene::start().await;
    let number = scene.payer.member(0).member_number;
    let mut support = Person::signed_in(&scene.payer, "support", "ana").await;
    let fields = [("number", number.as_str()), ("reason", WHY)];
    support.act("/console/find", &fields).await.assert_status(200);
    let mut reviewer = Person::signed_in(&scene.payer, "reviewer", "bo").await;
    let show = format!("/console/reviews/{}/show", scene.review);
    reviewer
        .act(&show, &[("reason", "a second look")])
        .await
        .assert_status(200);

    let mut auditor = Person::signed_in(&scene.payer, "auditor", "carl").await;
    let all = auditor.follow("/console/looks").await.text();
    for part in [
        "one member, masked",
        "case 9: &lt;b&gt;an audit&lt;/b&gt;",
        "a second look",
        "exchanges",
    ] {
        assert!(all.contains(part), "{part}: {all}");
    }
    assert!(!all.contains(&scene.patient) && !all.contains(&number), "{all}");
    let of_bo = auditor.follow("/console/looks?operator=bo").await.text();
    assert!(
        of_bo.contains("a second look") && !of_bo.contains("an audit"),
        "{of_bo}"
    );
    let early = auditor.follow("/console/looks?to=2020-01-01T00:00:00Z").await.text();
    assert!(early.contains("Nobody looked."), "{early}");
    let reversed = "/console/looks?from=2026-02-01T00:00:00Z&to=2026-01-01T00:00:00Z";
    assert_refused(&auditor.follow(reversed).await, Fault::ParameterInvalid);
    assert_refused(
        &auditor.follow("/console/looks?operator=a%0Ab").await,
        Fault::ParameterInvalid,
    );

    // The command says the same.
    let told = scene.payer.json_command(&["audit", "looks", "--operator", "bo"]);
    let told = told.as_array().expect("a list");
    assert!(told.iter().any(|one| one["note"] == "a second look"), "{told:?}");
    assert!(told.iter().all(|one| one["operator"] == "bo"), "{told:?}");
    let bad = scene.payer.command(&["audit", "looks", "--from", "yesterday"]);
    assert_eq!(bad.status.code(), Some(2));

    // The newest come first, page by page, and no entry comes twice.
    let token = scene.token("auditor");
    let (mut ids, mut path): (Vec<String>, _) = (Vec::new(), "/ops/v1/looks".to_owned());
    for _ in 0..101 {
        auditor.follow("/console/ledger").await.assert_status(200);
    }
    loop {
        let page = auditor.bearer(&path, &token).await;
        page.assert_status(200);
        let page: Value = page.json();
        let found = page["items"].as_array().expect("items");
        assert!(
            found
                .iter()
                .all(|one| one["action"] == "operator.viewed" || one["action"] == "review.viewed")
        );
        ids.extend(found.iter().filter_map(|one| one["id"].as_str()).map(str::to_owned));
        match page["next"].as_str() {
            Some(next) => path = next.trim_start_matches(&scene.payer.ops).to_owned(),
            None => break,
        }
    }
    assert!(ids.len() > 101 && ids.is_sorted_by(|one, next| one > next), "{ids:?}");
}

#[tokio::test]
async fn the_service_leads_to_pages_to_print_with_their_own_policy() {
    let scene = Scene::start().await;
    let mut person = Person::signed_in(&scene.payer, "support", "ana").await;
    let view = person.follow("/console/service").await.text();
    for part in [
        "Promises",
        "Background work",
        "availability",
        "/console/service/page?period=",
    ] {
        assert!(view.contains(part), "{part}: {view}");
    }
    let print = person.follow("/console/service/page").await;
    print.assert_status(200);
    let console = person.follow("/console").await;
    let (own, framed) = (
        print.header("content-security-policy").to_owned(),
        console.header("content-security-policy").to_owned(),
    );
    assert!(own.contains("form-action 'none'") && own != framed, "{own}");
    assert!(print.text().contains("<svg") && print.header("cache-control") == "no-store");
    let card = person.follow("/console/scorecards/new-payer").await;
    card.assert_status(200);
    assert!(card.text().contains("new-payer, "), "{}", card.text());
    assert_refused(
        &person.follow("/console/scorecards/nobody").await,
        Fault::PartnerUnknown,
    );
    assert_refused(
        &person.follow("/console/service?period=yesterday").await,
        Fault::ParameterInvalid,
    );
}
