//! A browser of one person who signs in: it keeps cookies, says where a navigation comes from, and goes to the identity provider and back.

use crate::support::browser::{FORM, OWN, form, form_token};
use crate::support::client::{PATIENCE, Reply};
use crate::support::payer::TestPayer;
use std::collections::BTreeMap;

pub struct Visitor {
    http: reqwest::Client,
    base: String,
    pub cookies: BTreeMap<String, String>,
}

impl Visitor {
    pub fn of(payer: &TestPayer) -> Visitor {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let authority = reqwest::Certificate::from_pem(payer.pki.ca.as_bytes()).expect("a certificate");
        let http = reqwest::Client::builder()
            .tls_certs_only([authority])
            .redirect(reqwest::redirect::Policy::none())
            .timeout(PATIENCE)
            // The server closes what was idle for ten seconds, which a test that waits for a command does not see.
            .pool_max_idle_per_host(0)
            .build();
        Visitor {
            http: http.expect("a client"),
            base: payer.ops.clone(),
            cookies: BTreeMap::new(),
        }
    }

    async fn send(&mut self, request: reqwest::RequestBuilder) -> Reply {
        let pairs: Vec<String> = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let mut request = request.header("user-agent", "a browser");
        if !pairs.is_empty() {
            request = request.header("cookie", pairs.join("; "));
        }
        let reply = Reply::of(request.send().await.expect("an answer")).await;
        for line in reply.headers.get_all("set-cookie") {
            let line = line.to_str().expect("text");
            let (name, rest) = line.split_once('=').expect("a cookie");
            match rest.split(';').next().unwrap_or("") {
                "" => drop(self.cookies.remove(name)),
                value => drop(self.cookies.insert(name.to_owned(), value.to_owned())),
            }
        }
        reply
    }

    /// Goes to this path; `site` says whose page leads there.
    pub async fn go(&mut self, path: &str, site: &str) -> Reply {
        let request = self
            .http
            .get(format!("{}{path}", self.base))
            .header("sec-fetch-site", site)
            .header("sec-fetch-mode", "navigate")
            .header("sec-fetch-dest", "document");
        self.send(request).await
    }

    /// Follows a link of a page of the console.
    pub async fn follow(&mut self, path: &str) -> Reply {
        self.go(path, "same-origin").await
    }

    /// Sends a form of a page of the console.
    pub async fn submit(&mut self, path: &str, fields: &[(&str, &str)]) -> Reply {
        self.submit_from(path, fields, &OWN).await
    }

    /// Sends a form of another page, as these headers say.
    pub async fn submit_from(&mut self, path: &str, fields: &[(&str, &str)], headers: &[(&str, &str)]) -> Reply {
        let mut request = self.http.post(format!("{}{path}", self.base)).body(form(fields));
        for (name, value) in headers.iter().chain([&FORM]) {
            request = request.header(*name, *value);
        }
        self.send(request).await
    }

    pub async fn form_token(&mut self) -> String {
        form_token(&self.follow("/console").await)
    }

    /// Begins a sign-in.
    pub async fn begin(&mut self) -> Reply {
        let begun = self.follow("/console/sign-in").await;
        begun.assert_status(303);
        begun
    }

    /// Goes where the answer leads, to the provider, and gives the path to which that leads back.
    pub async fn at_provider(&mut self, begun: &Reply) -> String {
        let sent = self.http.get(begun.header("location")).send().await;
        let reply = Reply::of(sent.expect("an answer of the provider")).await;
        reply.assert_status(302);
        let back = reply.header("location");
        back.strip_prefix(&self.base).expect("back to the console").to_owned()
    }

    /// Signs in from the beginning to the end.
    pub async fn sign_in(&mut self) -> Reply {
        let begun = self.begin().await;
        let back = self.at_provider(&begun).await;
        self.go(&back, "cross-site").await
    }
}
