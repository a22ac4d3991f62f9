//! The ten tickets of docs/operators/tickets.md, each solved by commands alone and in the console alone, over HTTP as a browser does it.

use crate::ledger::store::SOON;
use crate::support::client::{ALL_SCOPES, Client};
use crate::support::console::Person;
use crate::support::desk::{BECAUSE, decided, doubtful, only_review};
use crate::support::payer::{PARTNER_URI, TestPayer, program};
use causeway::audit::note::LogKey;
use causeway::audit::packet::check::verify_packet;
use causeway::audit::verify::LedgerResult;
use causeway::error::Fault;
use causeway::ids::before_all_of;
use causeway::synth::Variation;
use serde_json::{Value, json};
use std::io::Write as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

const WHY: &str = "ticket 4711";
/// The correlation ids that the partner names.
const ANSWERED: &str = "partner:4711/a";
const NOT_MATCHED: &str = "partner:4711/b";

/// A payer that has answered its partner: a match and a read, a request about nobody, and a doubtful match that a person rejected.
struct Desk {
    payer: TestPayer,
    client: Client,
    token: String,
    patient: String,
    review: String,
}

impl Desk {
    async fn start() -> Desk {
        let (mut payer, client) = TestPayer::prepare(6);
        payer.serve_with(&[SOON]);
        let token = client.token(ALL_SCOPES).await;
        let asked = payer.request(0, Variation::Exact).to_string();
        let matched = client
            .post_match(&token, asked, &[("X-Correlation-Id", ANSWERED)])
            .await;
        matched.assert_status(200);
        let patient = payer.member(0).patient_id;
        client
            .get(&token, &format!("Patient/{patient}"))
            .await
            .assert_status(200);
        let nobody = payer.request(2, Variation::UnknownPerson).to_string();
        let refused = client
            .post_match(&token, nobody, &[("X-Correlation-Id", NOT_MATCHED)])
            .await;
        refused.assert_status(422);
        let asked = client.post_match(&token, doubtful(&payer, 1, 3).to_string(), &[]).await;
        asked.assert_outcome(Fault::NoUniqueMember);
        let review = only_review(&payer);
        decided(&payer, &review, &["--reject"], "bo");
        Desk {
            payer,
            client,
            token,
            patient,
            review,
        }
    }

    async fn person(&self, role: &str) -> Person {
        Person::signed_in(&self.payer, role, "ana").await
    }

    fn number(&self) -> String {
        self.payer.member(0).member_number
    }
}

/// The JSON answer of a command to which this is given on standard input.
#[track_caller]
fn told(payer: &TestPayer, arguments: &[&str], input: &str) -> Value {
    let mut command = program(payer.home());
    command.args(arguments).arg("--json");
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program runs");
    let mut stdin = child.stdin.take().expect("standard input");
    stdin.write_all(input.as_bytes()).expect("written");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// The page has all of these parts.
#[track_caller]
fn assert_has(page: &str, parts: &[&str]) {
    for part in parts {
        assert!(page.contains(part), "{part}: {page}");
    }
}

/// The first address below `folder` that a page links to.
#[track_caller]
fn linked(page: &str, folder: &str) -> String {
    let start = format!("href=\"{folder}/");
    let rest = page.split(&start).nth(1).unwrap_or_else(|| panic!("no link: {page}"));
    format!("{folder}/{}", rest.split('"').next().unwrap_or_default())
}

/// Our exchange about the first member, which an operator has paused; the server runs.
fn paused() -> (TestPayer, String) {
    let (mut payer, _) = TestPayer::prepare(2);
    let wish = json!({
        "partner": "new-payer", "member": format!("Patient/{}", payer.member(0).patient_id), "other_member_number": "THEIRS-1",
        "opt_in_by": "desk-4", "opt_in_at": "2026-01-02", "opt_in_how": "portal",
    });
    std::fs::write(payer.home().join("wish.json"), wish.to_string()).expect("a file");
    let started = payer.json_command(&["exchange", "start", "wish.json"]);
    let id = started["id"].as_str().expect("an id").to_owned();
    payer.json_command(&["exchange", "pause", &id, "--reason", WHY]);
    payer.serve();
    (payer, id)
}

#[tokio::test]
async fn ticket_1_a_member_says_that_nothing_came() {
    let (payer, id) = paused();
    let number = payer.member(0).member_number;
    let list = ["exchange", "list", "--member", "-", "--direction", "outbound"];
    let listed = told(&payer, &list, &number);
    assert_eq!(listed[0]["id"], id.as_str(), "{listed}");
    let shown = payer.json_command(&["exchange", "show", &id]);
    assert_eq!(
        (&shown["owner"], &shown["reason"]),
        (&json!("operator"), &json!("EX-017"))
    );
    assert!(shown["next_action"].is_string(), "{shown}");

    let mut support = Person::signed_in(&payer, "support", "ana").await;
    let fields = [("number", number.as_str()), ("reason", WHY)];
    let found = support.act("/console/find", &fields).await.text();
    let page = support.follow(&linked(&found, "/console/exchanges")).await.text();
    assert_has(
        &page,
        &[&id, "The next move is by: operator", "EX-017", "What may be done next"],
    );
    assert!(!page.contains(&number) && !found.contains(&number));
}

#[tokio::test]
async fn ticket_4_is_it_safe_to_send_again() {
    let (payer, id) = paused();
    let shown = payer.json_command(&["exchange", "show", &id]);
    let reason = shown["reason"].as_str().expect("a reason");
    let entry = payer.json_command(&["runbook", reason]);
    let (replay, when) = (
        entry["replay"].as_str().expect("a rule"),
        entry["replay_when"].as_str().expect("a text"),
    );

    let mut operator = Person::signed_in(&payer, "operator", "ana").await;
    let parked = operator.follow("/console/parked").await.text();
    assert_has(&parked, &[&id, reason]);
    let page = operator.follow(&format!("/console/runbook/{reason}")).await.text();
    assert_has(&page, &["replay when", replay, when]);
    let preview = operator.follow("/console/parked/preview").await.text();
    assert_has(&preview, &["Is it safe?", replay, when, &id]);
}

#[tokio::test]
async fn ticket_8_did_last_nights_run_finish() {
    let (payer, _) = TestPayer::start(1);
    let now_ms = 1_790_000_000_000_i64;
    let run = format!("{}-7000-8000-00000000abcd", before_all_of(now_ms));
    payer.execute(&format!(
        "INSERT INTO bulk_run (id, partner_id, file_digest, state, step, failed, left_out, created_ms, updated_ms, deadline_ms, ended_ms) \
         VALUES ('{run}', 'new-payer', 'd', 'done', 'store', 0, 0, {now_ms}, {now_ms}, {now_ms}, {})",
        now_ms + 60_000
    ));
    let listed = payer.json_command(&["bulk", "list"]);
    let found = &listed["runs"][0];
    assert_eq!((&found["id"], &found["state"]), (&json!(run), &json!("done")));
    let ended = found["ended_at"].as_str().expect("an end");
    let shown = payer.json_command(&["bulk", "show", &run]);
    assert_eq!(shown["state"], "done", "{shown}");

    let mut operator = Person::signed_in(&payer, "operator", "ana").await;
    let page = operator.follow("/console/bulk").await.text();
    assert_has(&page, &[&run, "new-payer", ended, "mark done", "0 of 0"]);
}

#[tokio::test]
async fn tickets_2_3_6_and_7_of_what_was_answered_and_why() {
    let desk = Desk::start().await;
    let (payer, number) = (&desk.payer, desk.number());
    let mut support = desk.person("support").await;

    // 2: the partner says that we never answered.
    let trail = payer.json_command(&["trace", ANSWERED]);
    let answered = |one: &&Value| one["action"] == "member-match.matched" && one["http"] == 200;
    let items = trail.as_array().expect("a list").iter();
    assert_eq!(items.filter(answered).count(), 1, "{trail}");
    let found = support
        .act("/console/find", &[("id", ANSWERED), ("reason", WHY)])
        .await
        .text();
    assert_has(&found, &["member-match.matched", "</span> 200"]);
    let nothing = payer.command(&["trace", "partner:4711/c"]);
    assert!(!nothing.status.success(), "nothing came under it");

    // 3: who decided this?
    let all = payer.json_command(&["review", "list", "--all"]);
    assert_eq!(all[0]["id"], desk.review.as_str());
    let shown = payer.json_command(&["review", "show", &desk.review, "--reason", WHY]);
    let is_by_bo = |one: &Value| one["operator"].as_str().is_some_and(|name| name.ends_with("bo"));
    assert!(
        shown["acts"].as_array().expect("a list").iter().any(is_by_bo),
        "{shown}"
    );
    let queue = support.follow("/console/reviews?state=all").await.text();
    let page = support.follow(&linked(&queue, "/console/reviews")).await.text();
    let done = page.split("What was done").nth(1).expect("the acts");
    assert_has(done, &["reject", "bo<"]);

    // 6: what did we send about this member?
    let sent = told(payer, &["disclosures", "--member", "-"], &number);
    let sent = sent.as_array().expect("a list");
    assert!(sent.iter().any(|one| one["partner"] == "new-payer"), "{sent:?}");
    let mut auditor = desk.person("auditor").await;
    let fields = [("member_number", number.as_str()), ("reason", WHY)];
    let page = auditor.act("/console/disclosures", &fields).await.text();
    assert_has(&page, &["new-payer", &format!("Patient/{}", desk.patient)]);
    assert!(!page.contains(&number), "{page}");

    // 7: why was this member not matched?
    let listed = payer.json_command(&["match", "list", "--correlation", NOT_MATCHED]);
    let decision = listed[0]["id"].as_str().expect("an id");
    let why = payer.json_command(&["match", "explain", decision]);
    assert_eq!(why["outcome"], "none", "{why}");
    assert!(why["detail"]["thresholds"]["accept"].is_number(), "{why}");
    let found = support
        .act("/console/find", &[("id", NOT_MATCHED), ("reason", WHY)])
        .await
        .text();
    let address = linked(&found, "/console/exchanges");
    assert_eq!(address, format!("/console/exchanges/{decision}"));
    let page = support.follow(&address).await.text();
    assert_has(
        &page,
        &["What was compared, and why it was made", "thresholds", "accept"],
    );
}

#[tokio::test]
async fn ticket_5_the_partner_has_another_person() {
    let desk = Desk::start().await;
    let payer = &desk.payer;
    let (other, _) = desk
        .client
        .matched(&desk.token, &payer.request(2, Variation::Exact))
        .await;
    let live = |patient: &str| payer.count(&format!("grants WHERE patient_id = '{patient}' AND revoked_ms IS NULL"));
    assert_eq!((live(&desk.patient), live(&other)), (1, 1));

    let links = told(payer, &["link", "list", "--member", "-"], &desk.number());
    let reference = format!("Patient/{}", desk.patient);
    let again = payer.json_command(&["link", "list", "--member", &reference]);
    assert_eq!(again, links, "the same member, named by the reference");
    let links = links.as_array().expect("a list").iter();
    let mut of_partner = links.filter(|one| one["source"] == "new-payer" && one["state"] == "confirmed");
    let link = of_partner.next().expect("a link")["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let dispute = ["review", "dispute", &link, "--operator", "bo", "--reason", WHY];
    let done = payer.json_command(&dispute);
    assert_eq!(done["grants"], 1, "{done}");
    assert_eq!((live(&desk.patient), live(&other)), (0, 1));

    let number = payer.member(2).member_number;
    let mut reviewer = desk.person("reviewer").await;
    let fields = [("member_number", number.as_str()), ("reason", WHY)];
    let page = reviewer.act("/console/links", &fields).await;
    page.assert_status(200);
    let page = page.text();
    assert!(!page.contains(&number), "{page}");
    let rest = page.split("action=\"/console/links/").nth(1).expect("a form");
    let path = format!("/console/links/{}", rest.split('"').next().unwrap_or_default());
    let opened = reviewer.act(&path, &[("reason", WHY)]).await;
    opened.assert_status(303);
    assert_eq!((live(&desk.patient), live(&other)), (0, 0));
    let review = reviewer.follow(opened.header("location")).await.text();
    assert_has(&review, &["disputed", "Decide"]);
    // The first token may have ended by now.
    let token = desk.client.token(ALL_SCOPES).await;
    let read = desk.client.get(&token, &format!("Patient/{other}")).await;
    assert_eq!(read.status, 404, "nothing more leaves: {}", read.text());
    let noted = format!("operator_note WHERE operator LIKE '%ana%' AND reason = '{WHY}'");
    assert!(payer.count(&noted) >= 2, "the look and the act");
}

#[tokio::test]
async fn ticket_9_the_partners_certificate_ends() {
    let (payer, _) = TestPayer::start(1);
    let partner = payer.json_command(&["partner", "show", "new-payer"]);
    assert_eq!(partner["certificate_uri"], PARTNER_URI);
    let alert = payer.json_command(&["runbook", "tls-expiring"]);
    assert!(alert.to_string().contains("Renew the file"), "{alert}");
    // It ends with 1 where the alert is raised: the revocation list of the tests may end soon.
    let now = payer.command(&["alerts", "tls-expiring", "--json"]);
    let now: Value = serde_json::from_slice(&now.stdout).expect("JSON");
    assert_eq!(now["items"][0]["alert"], "tls-expiring", "{now}");

    let mut admin = Person::signed_in(&payer, "admin", "ana").await;
    let partners = admin.follow("/console/partners").await.text();
    assert_has(&partners, &["new-payer", PARTNER_URI]);
    let mut operator = Person::signed_in(&payer, "operator", "bo").await;
    let alerts = operator.follow("/console/alerts").await.text();
    let address = "/console/runbook/tls-expiring";
    assert_has(&alerts, &[&format!("href=\"{address}\"")]);
    assert_has(
        &operator.follow(address).await.text(),
        &["Renew the file", "Who, and how soon"],
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ticket_10_prove_to_an_auditor_what_happened() {
    let desk = Desk::start().await;
    let payer = &desk.payer;
    let listed = payer.json_command(&["match", "list", "--correlation", ANSWERED]);
    let exchange = listed[0]["id"].as_str().expect("an id");
    let key = payer.json_command(&["audit", "key"])["key"].clone();
    let key = key.as_str().expect("a key");
    let ask = [
        "audit",
        "packet",
        exchange,
        "--reason",
        BECAUSE,
        "--out",
        "packet.tar",
        "--within",
        "300",
    ];
    assert_eq!(payer.json_command(&ask)["state"], "made");
    let verdict = payer.command(&["audit", "verify", "--packet", "packet.tar", "--key", key]);
    assert_eq!(verdict.status.code(), Some(0), "{verdict:?}");

    let mut auditor = desk.person("auditor").await;
    let asked = auditor
        .act("/console/evidence", &[("exchange", exchange), ("reason", WHY)])
        .await;
    asked.assert_status(303);
    let packet = asked.header("location").to_owned();
    let began = Instant::now();
    while !auditor.follow(&packet).await.text().contains("Fetch the packet") {
        assert!(began.elapsed() < Duration::from_secs(120), "{}", payer.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let got = auditor.act(&format!("{packet}/file"), &[("reason", WHY)]).await;
    got.assert_status(200);
    let verdict = verify_packet(&got.body, &LogKey::parse(key).expect("a key"), None, None);
    assert_eq!(verdict.result, LedgerResult::Ok, "{verdict:?}");
}

/// The page has ten tickets, and says of each how the console and commands answer it.
#[test]
fn the_page_has_ten_tickets_with_both_ways() {
    let page = include_str!("../../docs/operators/tickets.md");
    let tickets: Vec<&str> = page.split("\n## ").skip(1).collect();
    assert_eq!(tickets.len(), 10);
    for (number, ticket) in (1..).zip(&tickets) {
        assert!(ticket.starts_with(&format!("{number}. ")), "{ticket}");
        assert!(
            ticket.contains("In the console") && ticket.contains("By command"),
            "{ticket}"
        );
    }
}
