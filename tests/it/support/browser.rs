//! A browser as the server sees it: cookies, where a navigation comes from, and the forms of pages.

use super::client::{Client, Reply};
use causeway::percent::encode_all;
use std::collections::BTreeMap;

pub const ACCEPT: (&str, &str) = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
pub const OWN: [(&str, &str); 3] = [
    ("sec-fetch-site", "same-origin"),
    ("sec-fetch-mode", "navigate"),
    ("sec-fetch-dest", "document"),
];
pub const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

/// A browser as the server sees it: it keeps cookies, and names where a navigation comes from.
pub struct Browser<'c> {
    pub client: &'c Client,
    pub cookies: BTreeMap<String, String>,
}

impl<'c> Browser<'c> {
    pub fn new(client: &'c Client) -> Browser<'c> {
        Browser {
            client,
            cookies: BTreeMap::new(),
        }
    }

    pub fn cookie(&self) -> String {
        let pairs: Vec<String> = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        pairs.join("; ")
    }

    pub async fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: String) -> Reply {
        let cookie = self.cookie();
        let mut all = headers.to_vec();
        if !cookie.is_empty() {
            all.push(("cookie", &cookie));
        }
        let reply = self.client.send(method, path, &all, body).await;
        for line in reply.headers.get_all("set-cookie") {
            let line = line.to_str().expect("text");
            assert!(
                line.ends_with("Secure; HttpOnly; SameSite=Strict; Max-Age=0")
                    || line.contains("; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age="),
                "{line}"
            );
            let (name, rest) = line.split_once('=').expect("a cookie");
            assert!(name.starts_with("__Host-"), "{name}");
            match rest.split(';').next().unwrap_or("") {
                "" => drop(self.cookies.remove(name)),
                value => drop(self.cookies.insert(name.to_owned(), value.to_owned())),
            }
        }
        reply
    }

    /// Follows a link on one of the server's own pages.
    pub async fn follow(&mut self, path: &str) -> Reply {
        self.send("GET", path, &[&OWN[..], &[ACCEPT]].concat(), String::new())
            .await
    }

    /// Sends a form of one of the server's own pages.
    pub async fn submit(&mut self, path: &str, fields: &[(&str, &str)]) -> Reply {
        self.send("POST", path, &[&OWN[..], &[ACCEPT, FORM]].concat(), form(fields))
            .await
    }

    /// Pastes a token as a person would.
    pub async fn paste(&mut self, token: &str) -> Reply {
        let page = self.follow("/fhir/explorer").await;
        page.assert_status(200);
        let csrf = form_token(&page);
        self.submit("/fhir/explorer/session", &[("_csrf", &csrf), ("token", token)])
            .await
    }

    /// The form token of the session.
    pub async fn session_form_token(&mut self) -> String {
        form_token(&self.follow("/fhir/explorer").await)
    }
}

pub fn form(fields: &[(&str, &str)]) -> String {
    let pairs: Vec<String> = fields
        .iter()
        .map(|(name, value)| format!("{}={}", encode_all(name), encode_all(value)))
        .collect();
    pairs.join("&")
}

#[track_caller]
pub fn form_token(page: &Reply) -> String {
    let text = page.text();
    let after = text
        .split("name=\"_csrf\" value=\"")
        .nth(1)
        .unwrap_or_else(|| panic!("no form token: {text}"));
    after.split('"').next().unwrap_or("").to_owned()
}
