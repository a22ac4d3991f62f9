//! A payer with one member matched, and requests with the token that may read it.

use super::client::{ALL_SCOPES, Client, Reply};
use super::payer::TestPayer;
use causeway::synth::Variation;

/// A payer and a partner that has matched its first member.
pub struct Matched {
    pub payer: TestPayer,
    pub client: Client,
    /// The value of `Authorization`.
    pub bearer: String,
    /// The member's Patient.
    pub id: String,
}

impl Matched {
    pub async fn start(members: u64) -> Matched {
        let (payer, client) = TestPayer::start(members);
        let token = client.token(ALL_SCOPES).await;
        let (id, _) = client.matched(&token, &payer.request(0, Variation::Exact)).await;
        Matched {
            payer,
            client,
            bearer: format!("Bearer {token}"),
            id,
        }
    }

    /// A request below the FHIR base with the token.
    pub async fn send(
        &self,
        method: &str,
        below: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> Reply {
        let headers = [&[("authorization", self.bearer.as_str())], headers].concat();
        self.client.send(method, &format!("/fhir{below}"), &headers, body).await
    }

    pub async fn get(&self, below: &str, headers: &[(&str, &str)]) -> Reply {
        self.send("GET", below, headers, "").await
    }
}
