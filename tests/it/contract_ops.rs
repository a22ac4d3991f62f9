//! Promises of the operations side: lists in pages, oldest first, and the ids of a request wherever it left a trace.

use crate::disclosures::settled;
use crate::support::client::{ALL_SCOPES, Client, Reply};
use crate::support::payer::TestPayer;
use causeway::error::Fault;
use causeway::synth::Variation;
use serde_json::Value;
use std::collections::BTreeSet;

struct Auditor<'a> {
    client: &'a Client,
    base: String,
    token: String,
}

impl<'a> Auditor<'a> {
    fn of(payer: &TestPayer, client: &'a Client) -> Auditor<'a> {
        let minted = payer.json_command(&["operator", "token", "--role", "auditor"]);
        Auditor {
            client,
            base: format!("{}/ops/v1/", payer.ops),
            token: minted["token"].as_str().expect("a token").to_owned(),
        }
    }

    async fn ask(&self, url: &str) -> Reply {
        let sent = self.client.http.get(url).bearer_auth(&self.token).send().await;
        Reply::of(sent.expect("an answer")).await
    }

    async fn get(&self, path: &str) -> Reply {
        self.ask(&format!("{}{path}", self.base)).await
    }

    /// All items of a list, page by page, and how many pages there were.
    async fn all(&self, path: &str) -> (Vec<Value>, usize) {
        let (mut items, mut pages, mut url) = (Vec::new(), 0, format!("{}{path}", self.base));
        loop {
            let reply = self.ask(&url).await;
            reply.assert_status(200);
            let page = reply.json();
            items.extend(page["items"].as_array().expect("items").iter().cloned());
            pages += 1;
            let Some(next) = page["next"].as_str() else {
                assert!(page["next"].is_null(), "{page}");
                return (items, pages);
            };
            assert!(next.starts_with(&self.base), "{next}");
            url = next.to_owned();
        }
    }
}

#[tokio::test]
async fn lists_come_in_pages_oldest_first_and_whole() {
    let (payer, client) = TestPayer::start(3);
    let token = client.token(ALL_SCOPES).await;
    let (id, _) = client.matched(&token, &payer.request(0, Variation::Exact)).await;
    for _ in 0..60 {
        client.get(&token, &format!("Patient/{id}")).await.assert_status(200);
    }
    // What follows the answers is to be there before the first look, not between two.
    settled(&payer).await;
    let auditor = Auditor::of(&payer, &client);
    let (items, pages) = auditor.all("ledger").await;
    assert!(
        items.len() > 100 && pages == items.len().div_ceil(100),
        "{} in {pages}",
        items.len()
    );
    let text = |item: &Value, key: &str| {
        item[key]
            .as_str()
            .unwrap_or_else(|| panic!("{key} of {item}"))
            .to_owned()
    };
    let ids: BTreeSet<String> = items.iter().map(|item| text(item, "id")).collect();
    assert_eq!(ids.len(), items.len());
    let times: Vec<String> = items.iter().map(|item| text(item, "at")).collect();
    for pair in items.windows(2) {
        assert!(
            text(&pair[0], "at") <= text(&pair[1], "at"),
            "not oldest first: {pair:?}"
        );
    }
    let mut indexes = BTreeSet::new();
    for item in &items {
        let at = text(item, "at");
        assert!(at.len() == 24 && at.ends_with('Z'), "{at}");
        // None until the ledger's tree has it, which may be so by now.
        let index = item.get("index").expect("an index or null");
        assert!(index.is_null() || indexes.insert(index.as_u64()), "twice: {item}");
        for key in ["action", "request_id", "correlation_id", "ts", "software"] {
            assert!(!text(item, key).is_empty());
        }
        assert!(
            item["outcome"]["class"].is_string() && item["actor"]["type"].is_string(),
            "{item}"
        );
        // Members are in the ledger as commitments only.
        assert!(!item.to_string().contains(&id), "{item}");
    }
    // A window in time is that part of the whole.
    let (from, to) = (&times[20], &times[times.len() - 20]);
    let (window, _) = auditor.all(&format!("ledger?from={from}&to={to}")).await;
    let wanted = times.iter().filter(|at| *at >= from && *at < to).count();
    assert_eq!(window.len(), wanted);
    for (path, fault) in [
        ("ledger?from=yesterday", Fault::ParameterInvalid),
        ("ledger?sort=at", Fault::ParameterUnknown),
        ("decisions?partner=%00", Fault::ParameterInvalid),
        ("grants?member=%ff", Fault::ParameterInvalid),
        ("decisions/nobody", Fault::NotFound),
    ] {
        auditor.get(path).await.assert_outcome(fault);
    }
}

#[tokio::test]
async fn the_ids_of_a_request_are_kept_with_its_decision_and_every_entry() {
    let (payer, client) = TestPayer::start(3);
    let token = client.token(ALL_SCOPES).await;
    let auditor = Auditor::of(&payer, &client);
    for (correlation, variation, outcome) in [
        ("case:7/a", Variation::Exact, "matched"),
        ("case:7/b", Variation::WrongBirthDate, "refused"),
    ] {
        let body = payer.request(0, variation).to_string();
        let reply = client
            .post_match(&token, body, &[("X-Correlation-Id", correlation)])
            .await;
        let request = reply.header("x-request-id");
        assert_eq!(reply.header("x-correlation-id"), correlation);
        let (decisions, _) = auditor.all(&format!("decisions?correlation={correlation}")).await;
        assert_eq!(decisions.len(), 1, "{decisions:?}");
        assert_eq!(decisions[0]["request_id"], request);
        assert_eq!(decisions[0]["partner"], "new-payer");
        let told = decisions[0]["outcome"].as_str().expect("an outcome");
        assert_eq!(told == "matched", outcome == "matched", "{told}");
        let one = auditor
            .get(&format!("decisions/{}", decisions[0]["id"].as_str().expect("an id")))
            .await;
        assert_eq!(one.json(), decisions[0]);
        let (entries, _) = auditor.all(&format!("ledger?correlation={correlation}")).await;
        assert!(entries.len() >= 2, "{entries:?}");
        for entry in &entries {
            assert_eq!(
                (entry["request_id"].as_str(), entry["correlation_id"].as_str()),
                (Some(request), Some(correlation))
            );
        }
    }
    let (grants, _) = auditor.all("grants?partner=new-payer").await;
    assert_eq!(
        (grants.len(), grants[0]["patient_id"].as_str()),
        (1, Some(payer.member(0).patient_id.as_str()))
    );
    // A partner that is misspelt is told, never answered with an empty list.
    auditor
        .get("grants?partner=nobody")
        .await
        .assert_outcome(Fault::PartnerUnknown);
}
