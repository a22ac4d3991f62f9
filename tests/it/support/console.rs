//! A person at the console: a browser that keeps one cookie, follows links and sends forms, and never follows a redirect by itself.

use super::browser::{FORM, OWN, form, form_token};
use super::client::{PATIENCE, Reply};
use super::payer::TestPayer;

/// A browser of one person.
pub struct Person {
    http: reqwest::Client,
    pub base: String,
    /// Name and value.
    pub cookie: Option<(String, String)>,
    pub agent: String,
}

/// The secret of a new link for this role and name.
#[track_caller]
pub fn link(payer: &TestPayer, role: &str, name: &str) -> String {
    let why = "a test of the console";
    let made = payer.json_command(&["console", "link", "--role", role, "--name", name, "--reason", why]);
    let url = made["url"].as_str().expect("a link");
    let (_, secret) = url.rsplit_once("/console/link/").expect("a link to the console");
    secret.to_owned()
}

impl Person {
    /// A browser that trusts the authority of this payer; `base` is scheme, host and port of the operations side.
    pub fn at(payer: &TestPayer, base: &str) -> Person {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let authority = reqwest::Certificate::from_pem(payer.pki.ca.as_bytes()).expect("a certificate");
        let http = reqwest::Client::builder()
            .tls_certs_only([authority])
            .redirect(reqwest::redirect::Policy::none())
            .timeout(PATIENCE)
            // The server closes what was idle for ten seconds, which a test that waits for a command does not see.
            .pool_max_idle_per_host(0)
            .build();
        Person {
            http: http.expect("a client"),
            base: base.to_owned(),
            cookie: None,
            agent: "a browser".to_owned(),
        }
    }

    pub fn of(payer: &TestPayer) -> Person {
        Person::at(payer, &payer.ops)
    }

    /// Somebody who has signed in.
    pub async fn signed_in(payer: &TestPayer, role: &str, name: &str) -> Person {
        let mut person = Person::of(payer);
        person.sign_in(&link(payer, role, name)).await.assert_status(303);
        assert!(person.cookie.is_some());
        person
    }

    pub async fn sign_in(&mut self, secret: &str) -> Reply {
        self.submit("/console/session", &[("secret", secret)]).await
    }

    /// Follows a link of a page of the console.
    pub async fn follow(&mut self, path: &str) -> Reply {
        self.send("GET", path, &OWN, String::new()).await
    }

    /// Sends these fields as a form of a page of the console.
    pub async fn submit(&mut self, path: &str, fields: &[(&str, &str)]) -> Reply {
        self.send("POST", path, &[&OWN[..], &[FORM]].concat(), form(fields))
            .await
    }

    /// The same with the form token of this session.
    pub async fn act(&mut self, path: &str, fields: &[(&str, &str)]) -> Reply {
        let token = self.form_token().await;
        self.submit(path, &[&[("_csrf", token.as_str())][..], fields].concat())
            .await
    }

    pub async fn form_token(&mut self) -> String {
        form_token(&self.follow("/console").await)
    }

    /// Asks with a token, as programs do.
    pub async fn bearer(&self, path: &str, token: &str) -> Reply {
        let sent = self.http.get(format!("{}{path}", self.base)).bearer_auth(token).send();
        Reply::of(sent.await.expect("an answer")).await
    }

    /// The status of an answer, if there is one.
    pub async fn tries(&self, path: &str) -> Option<u16> {
        let sent = self.http.get(format!("{}{path}", self.base)).send().await;
        sent.ok().map(|answer| answer.status().as_u16())
    }

    pub async fn is_ready(&self) -> bool {
        self.tries("/ready").await == Some(200)
    }

    pub async fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: String) -> Reply {
        let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method");
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        request = request.header("user-agent", &self.agent);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some((name, value)) = &self.cookie {
            request = request.header("cookie", format!("{name}={value}"));
        }
        let reply = Reply::of(request.body(body).send().await.expect("an answer")).await;
        for line in reply.headers.get_all("set-cookie") {
            let line = line.to_str().expect("text");
            let (name, rest) = line.split_once('=').expect("a cookie");
            self.cookie = match rest.split(';').next().unwrap_or("") {
                "" => None,
                value => Some((name.to_owned(), value.to_owned())),
            };
        }
        reply
    }
}

/// The answer is the page of this refusal.
#[track_caller]
pub fn assert_refused(reply: &Reply, fault: causeway::error::Fault) {
    let text = reply.text();
    assert_eq!(reply.status, fault.row().http, "{text}");
    assert!(
        text.contains(fault.code()) && text.starts_with("<!DOCTYPE html>"),
        "{text}"
    );
}

/// The value of the first hidden field of this name on a page.
#[track_caller]
pub fn hidden(page: &str, name: &str) -> String {
    let start = format!("type=\"hidden\" name=\"{name}\" value=\"");
    let rest = page.split(&start).nth(1).unwrap_or_else(|| panic!("no {name}: {page}"));
    rest.split('"').next().unwrap_or_default().to_owned()
}
