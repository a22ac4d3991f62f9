//! The pages of the console: what each role is led to, finding something without its number in an address, looks that are entries, values that are
//! masked until somebody says why, and acts by the use cases of the commands.

use crate::operations::Scene;
use crate::support::browser::form_token;
use crate::support::client::{ALL_SCOPES, Client};
use crate::support::console::{Person, assert_refused};
use crate::support::desk::{BECAUSE, doubtful, only_review};
use crate::support::payer::TestPayer;
use causeway::error::Fault;
use causeway::synth::Variation;

/// A reason that would be markup in a page.
const WHY: &str = "case 7: <b>a complaint</b>";
const JOB: &str = "01890000-0000-7000-8000-00000000abcd";

#[tokio::test]
async fn each_role_is_led_to_its_pages_and_refused_elsewhere() {
    let scene = Scene::start().await;
    scene
        .payer
        .execute("UPDATE partner SET name = '<script>alert(1)</script>'");
    let pages: [(&str, &[&str]); 11] = [
        ("/console", &["support", "operator", "reviewer", "auditor", "admin"]),
        (
            "/console/find",
            &["support", "operator", "reviewer", "auditor", "admin"],
        ),
        ("/console/exchanges", &["support", "operator", "auditor"]),
        ("/console/parked", &["operator"]),
        ("/console/jobs", &["operator"]),
        ("/console/alerts", &["operator"]),
        ("/console/reviews", &["support", "operator", "reviewer", "auditor"]),
        ("/console/partners", &["admin"]),
        (
            "/console/disclosures",
            &["support", "operator", "reviewer", "auditor", "admin"],
        ),
        ("/console/ledger", &["auditor"]),
        (
            "/console/runbook/SV-002",
            &["support", "operator", "reviewer", "auditor", "admin"],
        ),
    ];
    for role in ["support", "operator", "reviewer", "auditor", "admin"] {
        let mut person = Person::signed_in(&scene.payer, role, "ana").await;
        for (path, roles) in pages {
            let page = person.follow(path).await;
            match roles.contains(&role) {
                true => assert_eq!(page.status, 200, "{role} {path}: {}", page.text()),
                false => assert_refused(&page, Fault::RoleMissing),
            }
            let text = page.text();
            assert!(
                !text.contains("<script") && !text.contains("style=\""),
                "{role} {path}: {text}"
            );
            let linked = person.follow("/console").await.text();
            let is_linked = linked.contains(&format!("href=\"{path}\""));
            assert!(!is_linked || roles.contains(&role), "{role} is led to {path}");
        }
        let member = scene.payer.member(0);
        let home = person.follow("/console").await.text();
        assert!(
            !home.contains(&member.member_number) && !home.contains(&scene.patient),
            "{role}"
        );
    }
    let mut support = Person::signed_in(&scene.payer, "support", "ana").await;
    let before = scene.payer.count("ledger_entry WHERE action = 'operator.refused'");
    let act = support
        .act(&format!("/console/jobs/{JOB}/replay"), &[("reason", "x")])
        .await;
    assert_refused(&act, Fault::RoleMissing);
    let review = format!("/console/reviews/{}/decide", scene.review);
    let fields = [("verdict", "reject"), ("version", "1"), ("reason", "x")];
    assert_refused(&support.act(&review, &fields).await, Fault::RoleMissing);
    let after = scene.payer.count("ledger_entry WHERE action = 'operator.refused'");
    assert_eq!(after, before + 2, "who tried what is on record");
    assert_eq!(only_review(&scene.payer), scene.review);
}

#[tokio::test]
async fn something_is_found_by_an_id_or_a_member_number_and_the_look_is_an_entry() {
    let scene = Scene::start().await;
    let mut person = Person::signed_in(&scene.payer, "support", "ana").await;
    let number = scene.payer.member(0).member_number;
    let looks = |scene: &Scene| scene.payer.count("ledger_entry WHERE action = 'operator.viewed'");
    let before = looks(&scene);
    for fields in [
        [("number", number.as_str()), ("reason", "")],
        [("id", "x"), ("reason", " ")],
        [("number", ""), ("reason", WHY)],
    ] {
        assert_refused(&person.act("/console/find", &fields).await, Fault::ParameterInvalid);
    }
    let both = [("id", "x"), ("number", number.as_str()), ("reason", WHY)];
    assert_refused(&person.act("/console/find", &both).await, Fault::ParameterInvalid);
    let token = person.form_token().await;
    let overview = looks(&scene) - before;
    let found = person
        .submit(
            "/console/find",
            &[("_csrf", &token), ("number", &number), ("reason", WHY)],
        )
        .await;
    found.assert_status(200);
    let text = found.text();
    assert_eq!(looks(&scene), before + overview + 2, "that somebody looks, and at whom");
    let decision = scene.payer.json_command(&["grant", "list"])[0]["decision_id"].clone();
    let decision = decision.as_str().expect("an id");
    assert!(text.contains(&format!("/console/exchanges/{decision}")), "{text}");
    assert!(
        !text.contains(&number) && !text.contains(&scene.patient) && !text.contains("<b>"),
        "{text}"
    );
    assert!(!scene.payer.log().contains(&number));
    let noted = format!(
        "ledger_entry e JOIN operator_note n ON n.entry_id = e.id WHERE n.operator = 'ana' AND n.reason = '{WHY}'"
    );
    assert_eq!(scene.payer.count(&noted), 2);

    let nobody = person
        .act("/console/find", &[("number", "M000"), ("reason", WHY)])
        .await;
    assert_refused(&nobody, Fault::MemberUnknown);
    let by_id = person.act("/console/find", &[("id", decision), ("reason", WHY)]).await;
    by_id.assert_status(200);
    assert!(by_id.text().contains("member-match.matched"), "{}", by_id.text());
    let unknown = person.act("/console/find", &[("id", "nothing"), ("reason", WHY)]).await;
    assert_refused(&unknown, Fault::TraceUnknown);

    let page = person.follow(&format!("/console/exchanges/{decision}")).await;
    page.assert_status(200);
    for part in [
        "What may be done next",
        "Attempts",
        "Decision",
        "All that happened",
        "runbook/phase.",
    ] {
        assert!(page.text().contains(part), "{part}: {}", page.text());
    }
    assert!(!page.text().contains(&scene.patient), "support sees no Patient");
    let mut auditor = Person::signed_in(&scene.payer, "auditor", "carl").await;
    let page = auditor.follow(&format!("/console/exchanges/{decision}")).await;
    assert!(page.text().contains(&scene.patient), "{}", page.text());
    assert_refused(&person.follow("/console/exchanges/none").await, Fault::ExchangeUnknown);
    assert_refused(
        &person.follow("/console/exchanges?member=x").await,
        Fault::ParameterUnknown,
    );
    let narrowed = person
        .follow("/console/exchanges?partner=&phase=matched&direction=inbound")
        .await;
    assert!(narrowed.text().contains(decision), "{}", narrowed.text());
}

#[tokio::test]
async fn an_auditor_finds_who_got_what_of_a_member_and_who_looked() {
    let scene = Scene::start().await;
    let token = scene.client.token(ALL_SCOPES).await;
    let read = scene.client.get(&token, &format!("Patient/{}", scene.patient)).await;
    read.assert_status(200);
    let number = scene.payer.member(0).member_number;
    let (path, number) = ("/console/disclosures", number.as_str());
    let mut auditor = Person::signed_in(&scene.payer, "auditor", "carl").await;
    let form = auditor.follow(path).await.text();
    assert!(form.contains("name=\"member_number\""), "{form}");
    let both = [
        ("member", scene.patient.as_str()),
        ("member_number", number),
        ("reason", WHY),
    ];
    let stranger = [("member_number", number), ("partner", "nobody"), ("reason", WHY)];
    let bad: [(&[(&str, &str)], Fault); 5] = [
        (&[("member_number", number), ("reason", " ")], Fault::ParameterInvalid),
        (&both, Fault::ParameterInvalid),
        (&[("reason", WHY)], Fault::ParameterInvalid),
        (&[("member_number", "M000"), ("reason", WHY)], Fault::MemberUnknown),
        (&stranger, Fault::PartnerUnknown),
    ];
    for (fields, fault) in bad {
        assert_refused(&auditor.act(path, fields).await, fault);
    }
    let noted = format!(
        "ledger_entry e JOIN operator_note n ON n.entry_id = e.id WHERE e.action = 'operator.viewed' AND n.operator = 'carl' AND n.reason = '{WHY}'"
    );
    assert_eq!(scene.payer.count(&noted), 0);
    let found = auditor
        .act(
            path,
            &[("member_number", number), ("partner", "new-payer"), ("reason", WHY)],
        )
        .await;
    found.assert_status(200);
    let text = found.text();
    let decision = scene.payer.json_command(&["grant", "list"])[0]["decision_id"].clone();
    let decision = decision.as_str().expect("an id");
    assert!(text.contains(&format!("/console/exchanges/{decision}")), "{text}");
    assert!(text.contains(&format!("Patient/{}", scene.patient)), "{text}");
    assert!(!text.contains(number) && !text.contains("<b>"), "{text}");
    assert_eq!(scene.payer.count(&noted), 1, "the look and why");
    let by_id = [("member", scene.patient.as_str()), ("reason", WHY)];
    auditor.act(path, &by_id).await.assert_status(200);
    assert!(!scene.payer.log().contains(number));

    let ledger = auditor.follow("/console/ledger").await.text();
    for part in [
        "operator.viewed",
        "carl",
        "case 7: &lt;b&gt;a complaint&lt;/b&gt;",
        "disclosure.begun",
    ] {
        assert!(ledger.contains(part), "{part}: {ledger}");
    }
    assert!(!ledger.contains(&scene.patient) && !ledger.contains("<b>"), "{ledger}");
    assert_refused(
        &auditor.follow("/console/ledger?correlation=x").await,
        Fault::ParameterUnknown,
    );
    let mut support = Person::signed_in(&scene.payer, "support", "bo").await;
    assert!(support.follow(path).await.text().contains("for the role auditor"));
    assert_refused(&support.act(path, &by_id).await, Fault::RoleMissing);
    let mut admin = Person::signed_in(&scene.payer, "admin", "dora").await;
    let partners = admin.follow("/console/partners").await.text();
    assert!(
        partners.contains("<code>new-payer</code>") && !partners.contains("exchanges?partner="),
        "{partners}"
    );
}

#[tokio::test]
async fn values_of_a_review_are_masked_until_a_reviewer_says_why() {
    let scene = Scene::start().await;
    let card = scene.payer.member(3).member_number;
    let path = format!("/console/reviews/{}", scene.review);
    let mut person = Person::signed_in(&scene.payer, "reviewer", "ana").await;
    let masked = person.follow(&path).await;
    masked.assert_status(200);
    let text = masked.text();
    assert!(text.contains("not shown") && text.contains("Show the values"), "{text}");
    assert!(
        !text.contains(&card) && !text.contains(&scene.payer.member(1).patient_id),
        "{text}"
    );
    let show = format!("{path}/show");
    assert_refused(&person.act(&show, &[("reason", "")]).await, Fault::ParameterInvalid);
    assert_refused(&person.follow(&show).await, Fault::MethodRefused);
    let shown = person.act(&show, &[("reason", BECAUSE)]).await;
    shown.assert_status(200);
    assert!(shown.text().contains(&card), "{}", shown.text());
    let noted = format!(
        "ledger_entry e JOIN operator_note n ON n.entry_id = e.id WHERE e.action = 'review.viewed' AND n.operator = 'ana' AND n.reason = '{BECAUSE}'"
    );
    assert_eq!(scene.payer.count(&noted), 1);
    let mut support = Person::signed_in(&scene.payer, "support", "bo").await;
    let shown = support.act(&show, &[("reason", BECAUSE)]).await;
    assert!(
        !shown.text().contains(&card),
        "support sees how the fields compared: {}",
        shown.text()
    );
}

/// A review whose verdict two people must agree on, and its server.
async fn two_must_agree() -> (TestPayer, Client, String) {
    let (mut payer, client) = TestPayer::prepare(4);
    payer.serve_with(&[("CAUSEWAY_POLICY__REVIEW_FOUR_EYES", "true")]);
    let token = client.token(ALL_SCOPES).await;
    let asked = client.post_match(&token, doubtful(&payer, 1, 3).to_string(), &[]).await;
    asked.assert_outcome(Fault::NoUniqueMember);
    let review = only_review(&payer);
    (payer, client, review)
}

#[tokio::test]
async fn two_people_decide_a_review_and_one_cannot_be_both() {
    let (payer, _client, review) = two_must_agree().await;
    let path = format!("/console/reviews/{review}");
    let decide = format!("{path}/decide");
    let mut ana = Person::signed_in(&payer, "reviewer", "ana").await;
    let mut bo = Person::signed_in(&payer, "reviewer", "bo").await;
    let version = |page: &str| {
        let after = page.split("name=\"version\" value=\"").nth(1).expect("a version");
        after.split('"').next().unwrap_or_default().to_owned()
    };
    let page = ana.follow(&path).await;
    let (seen, token) = (version(&page.text()), form_token(&page));
    for (fields, fault) in [
        (
            [("verdict", "king"), ("version", seen.as_str()), ("reason", BECAUSE)],
            Fault::ParameterInvalid,
        ),
        (
            [("verdict", "reject"), ("version", "x"), ("reason", BECAUSE)],
            Fault::ParameterInvalid,
        ),
        (
            [("verdict", "reject"), ("version", seen.as_str()), ("reason", "")],
            Fault::ParameterInvalid,
        ),
        (
            [("verdict", "reject"), ("version", "999"), ("reason", BECAUSE)],
            Fault::ReviewMoved,
        ),
    ] {
        let sent = [&[("_csrf", token.as_str())][..], &fields].concat();
        assert_refused(&ana.submit(&decide, &sent).await, fault);
    }
    let fields = [("verdict", "reject"), ("version", seen.as_str()), ("reason", BECAUSE)];
    let proposed = ana.act(&decide, &fields).await;
    proposed.assert_status(303);
    assert_eq!(proposed.header("location"), path);
    let page = ana.follow(&path).await;
    let seen = version(&page.text());
    let fields = [("verdict", "reject"), ("version", seen.as_str()), ("reason", BECAUSE)];
    assert_refused(&ana.act(&decide, &fields).await, Fault::ReviewSecondNeeded);
    bo.act(&decide, &fields).await.assert_status(303);
    assert_eq!(payer.count("review WHERE state = 'rejected'"), 1);
    assert_refused(&bo.act(&decide, &fields).await, Fault::ReviewMoved);
}

#[tokio::test]
async fn a_parked_job_is_shown_with_what_to_do_and_replayed_once() {
    let (payer, _) = TestPayer::start(1);
    payer.execute(&format!(
        "INSERT INTO job (id, kind, live_key, payload, state, priority, due_ms, lease_epoch, claims, attempts, last_class, parked_at_ms, created_ms, \
         updated_ms) VALUES ('{JOB}', 'of-a-test', 'x', '', 'parked', 1, 1, 0, 3, 3, 'no-such-class', 1, 1, 1)"
    ));
    let mut person = Person::signed_in(&payer, "operator", "ana").await;
    let page = person.follow("/console/parked").await;
    page.assert_status(200);
    let text = page.text();
    assert!(text.contains(JOB) && text.contains("Look at the log line"), "{text}");
    assert!(person.follow("/console/jobs").await.text().contains(JOB));
    let path = format!("/console/jobs/{JOB}/replay");
    assert_refused(&person.act(&path, &[("reason", "")]).await, Fault::ParameterInvalid);
    assert_refused(&person.act(&path, &[]).await, Fault::ParameterInvalid);
    assert_eq!(payer.count("ledger_entry WHERE action = 'job.replayed'"), 0);
    let done = person.act(&path, &[("reason", "the disk is fixed")]).await;
    done.assert_status(303);
    assert_eq!(done.header("location"), "/console/parked");
    assert_eq!(payer.count(&format!("job WHERE id = '{JOB}' AND state = 'parked'")), 0);
    let noted = "ledger_entry e JOIN operator_note n ON n.entry_id = e.id WHERE e.action = 'job.replayed' AND n.operator = 'ana' \
                 AND n.reason = 'the disk is fixed'";
    assert_eq!(payer.count(noted), 1);
    assert_refused(&person.act(&path, &[("reason", "again")]).await, Fault::JobNotParked);
    let none = "/console/jobs/01890000-0000-7000-8000-000000000000/replay";
    assert_refused(&person.act(none, &[("reason", "x")]).await, Fault::JobUnknown);
    // The other payer's exchange is not ours to cancel, and a word that is no act is none.
    let exchange = format!("/console/exchanges/{JOB}/act");
    let cancel = [("act", "cancel"), ("reason", "x")];
    assert_refused(&person.act(&exchange, &cancel).await, Fault::ExchangeUnknown);
    assert_refused(
        &person.act(&exchange, &[("act", "retract"), ("reason", "x")]).await,
        Fault::ParameterInvalid,
    );
}

#[tokio::test]
async fn a_parked_job_is_seen_behind_more_jobs_than_a_page_has() {
    let (payer, _) = TestPayer::start(1);
    let columns = "id, kind, live_key, payload, state, priority, due_ms, lease_epoch, claims, attempts, last_class, parked_at_ms, created_ms, \
                   updated_ms";
    // Page by page the list goes by ids, and these come first.
    payer.execute(&format!(
        "INSERT INTO job ({columns}) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) \
         SELECT '00000000-0000-7000-8000-' || CAST(100000000000 + i AS TEXT), 'of-a-test', 'w' || CAST(i AS TEXT), '', 'waiting', 1, \
         9000000000000, 0, 0, 0, CAST(NULL AS TEXT), CAST(NULL AS BIGINT), 1, 1 FROM n"
    ));
    payer.execute(&format!(
        "INSERT INTO job ({columns}) VALUES ('{JOB}', 'of-a-test', 'x', '', 'parked', 1, 1, 0, 3, 3, 'no-such-class', 1, 1, 1)"
    ));
    let mut person = Person::signed_in(&payer, "operator", "ana").await;
    let home = person.follow("/console").await.text();
    assert!(home.contains("Parked: 0 exchanges, 1 jobs"), "{home}");
    assert!(person.follow("/console/parked").await.text().contains(JOB));
    let all = person.follow("/console/jobs").await.text();
    assert!(all.contains("Next page") && !all.contains(JOB));
    let alone = person.follow("/console/jobs?state=parked").await.text();
    assert!(alone.contains(JOB) && !alone.contains("Next page"), "{alone}");
    assert_refused(
        &person.follow("/console/jobs?state=running").await,
        Fault::ParameterInvalid,
    );
}

#[tokio::test]
async fn an_exchange_of_another_payer_cannot_be_cancelled_here() {
    let (payer, client) = TestPayer::start(2);
    let token = client.token(ALL_SCOPES).await;
    client.matched(&token, &payer.request(0, Variation::Exact)).await;
    let grants = payer.json_command(&["grant", "list"]);
    let decision = grants[0]["decision_id"].as_str().expect("an id").to_owned();
    let mut person = Person::signed_in(&payer, "operator", "ana").await;
    let page = person.follow(&format!("/console/exchanges/{decision}")).await.text();
    assert!(
        page.contains("The other payer began this exchange") && !page.contains("value=\"cancel\""),
        "{page}"
    );
    let act = person
        .act(
            &format!("/console/exchanges/{decision}/act"),
            &[("act", "cancel"), ("reason", "x")],
        )
        .await;
    assert_refused(&act, Fault::ExchangeMoveRefused);
    assert_eq!(payer.count("grants WHERE revoked_ms IS NULL"), 1);
}
