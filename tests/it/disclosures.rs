//! Who got what of a member, when and under which consent: the accounting of disclosures.

use crate::support::client::{ALL_SCOPES, Client};
use crate::support::desk::Desk;
use crate::support::payer::{TestPayer, binary};
use causeway::error::Fault;
use causeway::synth::Variation;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

/// Resources of a Bundle by type, outcomes aside.
fn types(bundle: &Value) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for entry in bundle["entry"].as_array().into_iter().flatten() {
        let rtype = entry["resource"]["resourceType"].as_str().expect("a type");
        if rtype != "OperationOutcome" {
            *counts.entry(rtype.to_owned()).or_insert(0) += 1;
        }
    }
    counts
}

fn counts(item: &Value) -> BTreeMap<String, u64> {
    let counts = item["resources"]
        .as_object()
        .unwrap_or_else(|| panic!("no counts: {item}"));
    counts
        .iter()
        .map(|(rtype, count)| (rtype.clone(), count.as_u64().expect("a number")))
        .collect()
}

/// Waits until every disclosure has its end.
pub async fn settled(payer: &TestPayer) {
    for _ in 0..3_000 {
        let left = payer.count("ledger_entry WHERE action = 'disclosure.begun'")
            - payer.count("ledger_entry WHERE action = 'disclosure.completed'");
        if left == 0 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("a disclosure was not completed");
}

async fn matched(payer: &TestPayer, client: &Client, token: &str, member: u64) -> String {
    client.matched(token, &payer.request(member, Variation::Exact)).await.0
}

#[tokio::test]
async fn a_part_of_a_resource_counts_with_the_bytes_of_the_part() {
    let (payer, client) = TestPayer::start(4);
    let token = client.token(ALL_SCOPES).await;
    let one = matched(&payer, &client, &token, 0).await;
    let part = client
        .get(&token, &format!("Observation?patient={one}&_elements=id"))
        .await;
    part.assert_status(200);
    settled(&payer).await;
    let bundle = part.json();
    let entries = bundle["entry"].as_array().expect("observations");
    let sent: usize = entries.iter().map(|entry| entry["resource"].to_string().len()).sum();
    let auditor = Desk::named(&payer, &client, "auditor", "carl");
    let items = auditor.all(&format!("disclosures?member=Patient/{one}")).await;
    assert_eq!((&items[0]["bytes"], counts(&items[0])), (&json!(sent), types(&bundle)));
}

#[tokio::test]
async fn each_way_out_is_told_with_types_counts_bytes_consent_and_ids() {
    let (payer, client) = TestPayer::start(4);
    let token = client.token(ALL_SCOPES).await;
    let one = matched(&payer, &client, &token, 0).await;
    let two = matched(&payer, &client, &token, 2).await;
    let read = client.get(&token, &format!("Patient/{one}")).await;
    let whole = client.get(&token, &format!("Patient/{one}/$everything")).await;
    let found = client.get(&token, &format!("Observation?patient={one}")).await;
    let both = client.get(&token, "Patient?_count=50").await;
    let bearer = format!("Bearer {token}");
    let head = client
        .send(
            "HEAD",
            &format!("/fhir/Patient/{one}"),
            &[("authorization", &bearer)],
            "",
        )
        .await;
    let read_twice = json!({"resourceType": "Bundle", "type": "batch", "entry": [
        {"request": {"method": "GET", "url": format!("Patient/{one}")}},
        {"request": {"method": "GET", "url": format!("Patient/{one}")}},
    ]});
    let typed = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/fhir+json"),
    ];
    let batch = client.send("POST", "/fhir", &typed, read_twice.to_string()).await;
    for reply in [&read, &whole, &found, &both, &head, &batch] {
        reply.assert_status(200);
    }
    settled(&payer).await;

    let auditor = Desk::named(&payer, &client, "auditor", "carl");
    let items = auditor.all(&format!("disclosures?member=Patient/{one}")).await;
    let requests: Vec<&str> = items.iter().filter_map(|item| item["request_id"].as_str()).collect();
    let wanted: Vec<&str> = [&read, &whole, &found, &both, &head, &batch, &batch]
        .iter()
        .map(|reply| reply.header("x-request-id"))
        .collect();
    assert_eq!(requests, wanted);
    let grants = auditor.all(&format!("grants?member=Patient/{one}")).await;
    assert_eq!(grants.len(), 1);
    for item in &items {
        assert_eq!(
            (&item["partner"], &item["outcome"], &item["member"], &item["policy"]),
            (
                &json!("new-payer"),
                &json!("completed"),
                &json!(format!("Patient/{one}")),
                &json!("regular")
            ),
            "{item}"
        );
        assert_eq!(
            (&item["grant_id"], &item["consent_id"], &item["decision_id"]),
            (&grants[0]["id"], &grants[0]["consent_id"], &grants[0]["decision_id"])
        );
    }
    let patient = BTreeMap::from([("Patient".to_owned(), 1)]);
    let (read_item, whole_item, found_item, both_item) = (&items[0], &items[1], &items[2], &items[3]);
    assert_eq!(
        (counts(read_item), &read_item["bytes"]),
        (patient.clone(), &json!(read.body.len()))
    );
    assert_eq!(counts(whole_item), types(&whole.json()));
    assert_eq!(whole_item["bytes"], whole.body.len());
    assert_eq!(counts(found_item), types(&found.json()));
    // A page with several members is told to each of them, with their own part.
    assert_eq!(types(&both.json())["Patient"], 2);
    assert_eq!(counts(both_item), patient);
    assert_eq!(
        (&items[4]["bytes"], counts(&items[4])),
        (&json!(0), BTreeMap::new()),
        "a head only"
    );
    for item in &items[5..] {
        assert_eq!(counts(item), patient);
    }
    let others = auditor.all(&format!("disclosures?member={two}")).await;
    assert_eq!(others.len(), 1);
    assert_eq!(
        (&others[0]["request_id"], counts(&others[0])),
        (&both_item["request_id"], patient)
    );

    // By command, and by the number on the card.
    let by_command = payer.json_command(&["disclosures", "--member", &one]);
    assert_eq!(by_command, Value::Array(items.clone()));
    let number = payer.member(0).member_number;
    let asked = json!({"member_number": number});
    let by_number = auditor.post("disclosures/_search", &asked).await;
    by_number.assert_status(200);
    assert_eq!(by_number.json()["items"], Value::Array(items.clone()));
    let by_number = auditor.post("grants/_search", &asked).await;
    assert_eq!(by_number.json()["items"], Value::Array(grants));
    let by_input = |args: &[&str]| -> Value {
        let mut command = Command::new(binary())
            .current_dir(payer.home())
            .env_remove("DATABASE_URL")
            .args(args)
            .args(["--member", "-", "--json"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program runs");
        writeln!(command.stdin.take().expect("piped"), "{number}").expect("written");
        let said = command.wait_with_output().expect("an answer");
        serde_json::from_slice(&said.stdout).expect("json")
    };
    assert_eq!(by_input(&["disclosures"]), Value::Array(items.clone()));
    let of_member = by_input(&["records", "withheld"]);
    assert!(of_member["items"].is_array(), "{of_member}");
    assert_eq!(
        of_member,
        payer.json_command(&["records", "withheld", "--member", &one])
    );

    // A window in time, and one partner.
    let at = |at: usize| items[at]["at"].as_str().expect("an instant");
    let inside = format!("disclosures?member={one}&from={}&to={}&partner=new-payer", at(1), at(3));
    let inside = auditor.all(&inside).await;
    let wanted = items.iter().filter(|item| {
        let when = item["at"].as_str().expect("an instant");
        when >= at(1) && when < at(3)
    });
    assert_eq!(inside, wanted.cloned().collect::<Vec<_>>());
    // The days of the first and of the last, whatever day it is by now.
    let day = |at: &str| {
        let instant = chrono::DateTime::parse_from_rfc3339(at).expect("an instant");
        instant.with_timezone(&chrono_tz::America::New_York).date_naive()
    };
    let last = day(at(items.len() - 1));
    let yesterday = day(at(0)) - chrono::Days::new(1);
    let days = auditor
        .all(&format!("disclosures?member={one}&from={yesterday}&to={last}"))
        .await;
    assert_eq!(days.len(), items.len(), "the last day counts as a whole");
    let before = auditor.all(&format!("disclosures?member={one}&to={yesterday}")).await;
    assert!(before.is_empty());
    payer.register("third-payer", "1992000038", "https://third-payer.example/fhir");
    assert!(
        auditor
            .all(&format!("disclosures?member={one}&partner=third-payer"))
            .await
            .is_empty()
    );

    // Every view names who looked, and at whom by commitment only.
    let entries = auditor.all("ledger").await;
    let records = entries.iter().filter(|entry| entry["outcome"]["reason"] == "records");
    assert_eq!(records.count(), 2, "whose records were looked at is noted too");
    let views: Vec<&Value> = entries
        .iter()
        .filter(|entry| entry["action"] == "operator.viewed" && entry["outcome"]["reason"] == "disclosures")
        .collect();
    assert!(views.len() >= 8, "{}", views.len());
    assert!(views.iter().any(|view| view["operator"] == "carl"));
    for view in views {
        assert!(
            view["object"]["id_commit"].is_string() && !view.to_string().contains(&one),
            "{view}"
        );
    }
}

#[tokio::test]
async fn what_may_have_been_disclosed_is_told_as_begun() {
    let (payer, client) = TestPayer::start(2);
    let token = client.token(ALL_SCOPES).await;
    let id = matched(&payer, &client, &token, 0).await;
    client.get(&token, &format!("Patient/{id}")).await.assert_status(200);
    settled(&payer).await;
    crate::contract_release::execute(&payer, "DELETE FROM ledger_entry WHERE action = 'disclosure.completed'");
    let auditor = Desk::named(&payer, &client, "auditor", "carl");
    let items = auditor.all(&format!("disclosures?member={id}")).await;
    assert_eq!(items.len(), 1);
    assert_eq!(
        (&items[0]["outcome"], &items[0]["bytes"], &items[0]["resources"]),
        (&json!("begun"), &Value::Null, &Value::Null)
    );
    assert!(items[0]["consent_id"].is_string());
}

#[tokio::test]
async fn what_cannot_be_understood_is_refused_and_never_an_empty_list() {
    let (payer, client) = TestPayer::start(2);
    let token = client.token(ALL_SCOPES).await;
    let id = matched(&payer, &client, &token, 0).await;
    let number = payer.member(0).member_number;
    let auditor = Desk::named(&payer, &client, "auditor", "carl");
    let of = |rest: &str| format!("disclosures?member={id}&{rest}");
    for (path, fault) in [
        ("disclosures".to_owned(), Fault::ParameterInvalid),
        ("disclosures?member=".to_owned(), Fault::ParameterInvalid),
        (format!("disclosures?member={id}&member={id}"), Fault::ParameterInvalid),
        (format!("disclosures?member=Group/{id}"), Fault::ParameterInvalid),
        (
            format!("disclosures?member=https://x.example/Patient/{id}"),
            Fault::ParameterInvalid,
        ),
        ("disclosures?member=Patient/".to_owned(), Fault::ParameterInvalid),
        ("disclosures?member=%C3%A9".to_owned(), Fault::ParameterInvalid),
        ("disclosures?member=nobody".to_owned(), Fault::MemberUnknown),
        // A member number is no id of a Patient, and its own parameter is for bodies.
        (format!("disclosures?member={number}"), Fault::MemberUnknown),
        (format!("disclosures?member_number={number}"), Fault::ParameterUnknown),
        (of("patient=x"), Fault::ParameterUnknown),
        (of("from=yesterday"), Fault::ParameterInvalid),
        (of("from=2026-13-01"), Fault::ParameterInvalid),
        (of("from=2026-11-01T10:00"), Fault::ParameterInvalid),
        (of("to=01.11.2026"), Fault::ParameterInvalid),
        (of("from=2026-11-02&to=2026-11-01"), Fault::ParameterInvalid),
        (of("partner=nobody"), Fault::PartnerUnknown),
        (of("partner=a%20b"), Fault::PartnerUnknown),
        (of("cursor=%20"), Fault::ParameterInvalid),
        ("grants?member=nobody".to_owned(), Fault::MemberUnknown),
        ("grants?member=".to_owned(), Fault::ParameterInvalid),
        (format!("grants?member=Patient/{id}/x"), Fault::ParameterInvalid),
    ] {
        auditor.get(&path).await.assert_outcome(fault);
    }
    for (body, fault) in [
        (json!({}), Fault::ParameterInvalid),
        (json!([]), Fault::ParameterInvalid),
        (json!({"member_number": ""}), Fault::ParameterInvalid),
        (json!({"member_number": 7}), Fault::ParameterInvalid),
        (json!({"member_number": "M0X0000000"}), Fault::MemberUnknown),
        (json!({"member_number": number, "member": id}), Fault::ParameterInvalid),
        (
            json!({"member_number": number, "surname": "Lima"}),
            Fault::ParameterInvalid,
        ),
        (json!({"member_number": number, "from": "now"}), Fault::ParameterInvalid),
    ] {
        auditor.post("disclosures/_search", &body).await.assert_outcome(fault);
    }
    auditor
        .post(
            "grants/_search",
            &json!({"member_number": number, "from": "2026-01-01"}),
        )
        .await
        .assert_outcome(Fault::ParameterUnknown);
    auditor
        .post(&format!("disclosures/_search?member_number={number}"), &json!({}))
        .await
        .assert_outcome(Fault::ParameterUnknown);
    for (arguments, code) in [
        (&["disclosures", "--member", "nobody"][..], 1),
        (&["disclosures", "--member", "a b"], 2),
        (&["disclosures", "--member", "-"], 2),
        (&["disclosures", "--member", &id, "--from", "then"], 2),
        (&["disclosures"], 2),
    ] {
        assert_eq!(payer.command(arguments).status.code(), Some(code), "{arguments:?}");
    }
}

#[tokio::test]
async fn a_long_account_comes_in_pages_whose_links_bear_no_number() {
    let (payer, client) = TestPayer::start(2);
    let token = client.token(ALL_SCOPES).await;
    let id = matched(&payer, &client, &token, 0).await;
    for _ in 0..103 {
        client.get(&token, &format!("Patient/{id}")).await.assert_status(200);
    }
    settled(&payer).await;
    let auditor = Desk::named(&payer, &client, "auditor", "carl");
    let number = payer.member(0).member_number;
    let asked = json!({"member_number": number, "partner": "new-payer", "from": "2020-01-01"});
    let page = auditor.post("disclosures/_search", &asked).await.json();
    assert_eq!(page["items"].as_array().map(Vec::len), Some(100));
    let next = page["next"].as_str().expect("another page");
    assert!(
        !next.contains(&number) && next.contains(&format!("member=Patient/{id}")),
        "{next}"
    );
    let below = next.split_once("/ops/v1/").expect("our base").1;
    let rest = auditor.all(below).await;
    assert_eq!(rest.len(), 3);
    let all = auditor.all(&format!("disclosures?member={id}")).await;
    let ids: std::collections::BTreeSet<&str> = all.iter().filter_map(|item| item["id"].as_str()).collect();
    assert_eq!((all.len(), ids.len()), (103, 103));
}

#[test]
fn the_index_of_subjects_changes_no_answer() {
    use causeway::audit::{Action, Actor, LedgerEvent, Object, ledger};
    use causeway::store::entries::{self, DisclosureFilter, EntryRow};
    use causeway::telemetry::Correlation;

    let store = crate::support::store::TestStore::fresh();
    let actions = [
        Action::DisclosureBegun,
        Action::DisclosureCompleted,
        Action::MatchMatched,
        Action::ConsentRevoked,
        Action::OperatorViewed,
    ];
    let now_us = 1_800_000_000_000_000_i64;
    let write = move |db: &mut causeway::store::Db| {
        for n in 0..60_i64 {
            let mut entry = LedgerEvent::new(
                actions[usize::try_from(n).expect("small") % actions.len()],
                Actor::default(),
                Correlation::internal(format!("r{n}")),
            );
            entry.object = (n % 7 != 0).then(|| Object {
                kind: "Patient",
                id: format!("p{}", n % 4),
            });
            entry.partner = Some(format!("partner-{}", n % 2));
            // The last ones are too young for the index.
            ledger::append(db, &entry, &format!("e{n:03}"), now_us - (70 - n) * 3_000_000)?;
        }
        Ok(())
    };
    store.write_blocking(write).expect("written");
    let ids = |rows: Vec<EntryRow>| -> Vec<String> { rows.into_iter().map(|row| row.id).collect() };
    let answers = || {
        let read = |db: &mut causeway::store::Db| {
            let mut all = Vec::new();
            for subject in ["p0", "p1", "p2", "p3", "p9"] {
                for (after, limit) in [("", 100), ("", 3), ("e020", 4), ("e039", 100), ("e059", 5)] {
                    all.push(ids(entries::about(db, subject, after, limit)?));
                    let filter = DisclosureFilter {
                        member: subject.to_owned(),
                        partner: (limit == 4).then(|| "partner-0".to_owned()),
                        from_ms: (limit == 5).then_some(now_us / 1000 - 100_000),
                        to_ms: (limit == 3).then_some(now_us / 1000 - 50_000),
                        cursor: Some(after.to_owned()),
                        limit,
                    };
                    all.push(ids(entries::begun(db, &filter)?));
                    all.push(ids(entries::about_by(db, subject, entries::MATCHED, after, limit)?));
                }
            }
            Ok(all)
        };
        store.read_blocking(read).expect("read")
    };
    let unindexed = answers();
    assert!(unindexed.iter().filter(|rows| !rows.is_empty()).count() > 20);
    let mut steps = 0;
    loop {
        let seen = store
            .write_blocking(move |db| entries::index(db, now_us, 7))
            .expect("indexed");
        assert_eq!(answers(), unindexed, "after {steps} steps");
        steps += 1;
        if seen < 7 {
            break;
        }
    }
    assert!(steps > 3, "{steps}");
    let again = store
        .write_blocking(move |db| entries::index(db, now_us, 7))
        .expect("indexed");
    assert_eq!(again, 0, "the young ones wait");
}

#[test]
fn the_end_of_a_disclosure_is_found_however_many_requests_share_its_correlation_id() {
    use causeway::audit::{Action, Actor, EntryOutcome, LedgerEvent, Object, ledger};
    use causeway::ops::disclosures::{DisclosureFilter, list};
    use causeway::secret::member_keys::MemberKeys;
    use causeway::store::{Db, ends, entries};
    use causeway::telemetry::Correlation;

    const REQUESTS: i64 = 5_200;
    let store = crate::support::store::TestStore::fresh();
    let write = |db: &mut Db| {
        for n in 0..REQUESTS {
            let asked = Correlation::of(format!("r{n:05}"), [1; 8], Some("case-7"), None, None);
            let mut entry = LedgerEvent::new(Action::DisclosureBegun, Actor::default(), asked);
            // The first and the last are about one member.
            let member = if n == 0 || n == REQUESTS - 1 { "often" } else { "other" };
            entry.object = Some(Object {
                kind: "Patient",
                id: member.to_owned(),
            });
            let (begun, at_us) = (format!("e{n:05}-a"), 1_800_000_000_000_000 + n);
            ledger::append(db, &entry, &begun, at_us)?;
            entry.action = Action::DisclosureCompleted;
            entry.outcome = EntryOutcome {
                class: "ok",
                http: Some(200),
                reason: None,
            };
            entry.bytes = Some(7);
            entry.begun = Some(begun);
            ledger::append(db, &entry, &format!("e{n:05}-b"), at_us)?;
        }
        Ok(())
    };
    store.write_blocking(write).expect("written");
    let filter = DisclosureFilter {
        member: "often".to_owned(),
        limit: 10,
        ..DisclosureFilter::default()
    };
    let asked = filter.clone();
    let listed = store
        .read_blocking(|db| list(db, &asked, &MemberKeys::default()))
        .expect("a list");
    let told: Vec<_> = listed.items.iter().map(|item| (item.outcome, item.bytes)).collect();
    assert_eq!(told, [("completed", Some(7)), ("completed", Some(7))]);
    // Nothing is read but the ends of the very requests.
    let read = |db: &mut Db| {
        let begun = entries::begun(db, &filter)?;
        Ok((begun.len(), ends::of(db, &begun)?.len()))
    };
    assert_eq!(store.read_blocking(read).expect("read"), (2, 2));
}
