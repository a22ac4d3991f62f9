//! What operators do with doubtful matches, by command and over `/ops/v1`.

use super::client::{Client, Reply};
use super::payer::TestPayer;
use causeway::synth::Variation;
use serde_json::{Value, json};

pub const BECAUSE: &str = "seen by telephone";

/// A request about member `index` with another member's card: somebody has to look at it.
pub fn doubtful(payer: &TestPayer, index: u64, card_of: u64) -> Value {
    let mut body = payer.request(index, Variation::Exact);
    body["parameter"][1]["resource"]["identifier"][0]["value"] = payer.member(card_of).member_number.into();
    body
}

/// The operations side, as one role.
pub struct Desk<'a> {
    client: &'a Client,
    base: String,
    token: String,
}

impl<'a> Desk<'a> {
    pub fn of(payer: &TestPayer, client: &'a Client, role: &str) -> Desk<'a> {
        let minted = payer.json_command(&["operator", "token", "--role", role]);
        Desk {
            client,
            base: format!("{}/ops/v1/", payer.ops),
            token: minted["token"].as_str().expect("a token").to_owned(),
        }
    }

    /// The same with a token that bears a name.
    pub fn named(payer: &TestPayer, client: &'a Client, role: &str, name: &str) -> Desk<'a> {
        let minted = payer.json_command(&["operator", "token", "--role", role, "--name", name]);
        Desk {
            client,
            base: format!("{}/ops/v1/", payer.ops),
            token: minted["token"].as_str().expect("a token").to_owned(),
        }
    }

    /// With the token, and on a connection that is not used again: the server closes what was idle for ten seconds, which a test that waits for a
    /// command does not see.
    fn own(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        request.bearer_auth(&self.token).header("connection", "close")
    }

    /// Posts a JSON body.
    pub async fn post(&self, path: &str, body: &Value) -> Reply {
        let request = self.client.http.post(format!("{}{path}", self.base));
        let request = self.own(request);
        let request = request
            .header("content-type", "application/json")
            .body(body.to_string());
        Reply::of(request.send().await.expect("an answer")).await
    }

    /// All items of a list, page by page.
    pub async fn all(&self, path: &str) -> Vec<Value> {
        let (mut items, mut url) = (Vec::new(), format!("{}{path}", self.base));
        loop {
            let reply = self.fetch(&url).await;
            reply.assert_status(200);
            let page = reply.json();
            items.extend(page["items"].as_array().expect("items").iter().cloned());
            match page["next"].as_str() {
                Some(next) => url = next.to_owned(),
                None => return items,
            }
        }
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.fetch(&format!("{}{path}", self.base)).await
    }

    /// Gets what is at a whole URL, with a reason where one is needed.
    async fn fetch(&self, url: &str) -> Reply {
        let path = url.strip_prefix(&self.base).unwrap_or_default();
        let has_person = ["reviews/", "links", "members/", "evidence/"]
            .iter()
            .any(|start| path.starts_with(start));
        if has_person || path.ends_with("/file") {
            return self.look(url, BECAUSE).await;
        }
        let sent = self.own(self.client.http.get(url)).send().await;
        Reply::of(sent.expect("an answer")).await
    }

    /// The same with the header that says why it is looked at; `url` is whole.
    pub async fn look(&self, url: &str, why: &str) -> Reply {
        let request = self.own(self.client.http.get(url));
        Reply::of(request.header("x-access-reason", why).send().await.expect("an answer")).await
    }

    /// All resources of a searchset, page by page.
    pub async fn found(&self, path: &str, why: &str) -> Vec<Value> {
        let (mut found, mut url) = (Vec::new(), format!("{}{path}", self.base));
        loop {
            let reply = self.look(&url, why).await;
            reply.assert_status(200);
            assert_eq!(reply.header("content-type"), "application/fhir+json");
            let bundle = reply.json();
            assert_eq!(
                (&bundle["resourceType"], &bundle["type"]),
                (&json!("Bundle"), &json!("searchset"))
            );
            let entries = bundle["entry"].as_array().into_iter().flatten();
            found.extend(entries.map(|entry| entry["resource"].clone()));
            let links = bundle["link"].as_array().into_iter().flatten();
            let mut next = links.filter(|link| link["relation"] == "next");
            match next.next().and_then(|link| link["url"].as_str()) {
                Some(next) => url = next.to_owned(),
                None => return found,
            }
        }
    }

    pub async fn decide(&self, id: &str, body: &Value) -> Reply {
        let url = format!("{}reviews/{id}/decide", self.base);
        let request = self.own(self.client.http.post(url));
        let request = request
            .header("content-type", "application/json")
            .body(body.to_string());
        Reply::of(request.send().await.expect("an answer")).await
    }
}

pub fn verdict(verdict: &str, candidate: &Value, operator: &str) -> Value {
    json!({"verdict": verdict, "candidate": candidate, "operator": operator, "reason": BECAUSE})
}

/// The reviews that wait.
pub fn queue(payer: &TestPayer) -> Vec<Value> {
    let said = payer.json_command(&["review", "list"]);
    said.as_array().expect("a list").clone()
}

#[track_caller]
pub fn only_review(payer: &TestPayer) -> String {
    let waiting = queue(payer);
    assert_eq!(waiting.len(), 1, "{waiting:?}");
    waiting[0]["id"].as_str().expect("an id").to_owned()
}

pub fn decide(payer: &TestPayer, id: &str, what: &[&str], operator: &str) -> std::process::Output {
    let act = [
        &["review", "decide", id][..],
        what,
        &["--operator", operator, "--reason", BECAUSE],
    ]
    .concat();
    payer.command(&act)
}

#[track_caller]
pub fn decided(payer: &TestPayer, id: &str, what: &[&str], operator: &str) {
    let output = decide(payer, id, what, operator);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The place of a member among the candidates of a review.
pub fn place_of(payer: &TestPayer, id: &str, index: u64) -> String {
    let shown = payer.json_command(&["review", "show", id, "--reason", BECAUSE]);
    let patient = payer.member(index).patient_id;
    let candidates = shown["candidates"].as_array().expect("candidates");
    let found = candidates.iter().find(|one| one["patient_id"] == patient.as_str());
    found.unwrap_or_else(|| panic!("{patient} is no candidate: {shown}"))["place"].to_string()
}
