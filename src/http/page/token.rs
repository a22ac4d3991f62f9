//! Explains how a program gets an access token, and how it sends the request of a page with it.

use super::site::PageSite;
use crate::fhir::operations::MEMBER_MATCH;
use crate::percent::encode;
use maud::{Markup, html};

/// The section about getting a token, with a level 2 heading.
pub fn section(site: &PageSite, path: &str, is_posted: bool, fields: &[(String, String)]) -> Markup {
    html! {
        section aria-labelledby="token" {
            h2 id="token" { "How to get a token" }
            p { "Members' data needs an access token of SMART Backend Services. Your client asks for one with a signed JWT (private_key_jwt), "
                "here " code { "$ASSERTION" } ". In it, " code { "iss" } " and " code { "sub" } " are the client id, " code { "aud" }
                " is the token endpoint, " code { "exp" } " is at most 300 seconds ahead, and " code { "jti" } " is new each time." }
            pre.shell tabindex="0" role="group" aria-label="Command that gets a token" {
                "curl --cacert ca.pem --cert partner.pem --key partner.key \\\n"
                "  -d grant_type=client_credentials \\\n"
                "  -d 'scope=system/*.rs " (MEMBER_MATCH) "' \\\n"
                "  -d client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer \\\n"
                "  -d client_assertion=\"$ASSERTION\" \\\n"
                "  " (site.origin()) "/oauth/token"
            }
            p { "In a browser, " a href=(site.at("explorer")) { "paste the token once" } ". From a command line, send it with each request:" }
            (example(site, path, is_posted, fields))
            p { "Where the endpoints are and what they take: " a href=(site.at(".well-known/smart-configuration")) { "SMART configuration" } "." }
        }
    }
}

/// The whole command that sends a request with a token: method, headers and fields. `path` is one of [`PageSite::plain_path`].
pub fn example(site: &PageSite, path: &str, is_posted: bool, fields: &[(String, String)]) -> Markup {
    html! {
        pre.shell tabindex="0" role="group" aria-label="Command that sends this request" {
            (command(site, path, is_posted, fields))
        }
    }
}

/// The command. Fields are percent-encoded, so nothing that was typed can end the quotes of the shell.
pub(super) fn command(site: &PageSite, path: &str, is_posted: bool, fields: &[(String, String)]) -> String {
    let mut lines = vec![
        "curl --cacert ca.pem --cert partner.pem --key partner.key".to_owned(),
        format!("--request {}", if is_posted { "POST" } else { "GET" }),
        "-H \"Authorization: Bearer $TOKEN\" -H 'Accept: application/fhir+json'".to_owned(),
    ];
    if is_posted && !path.ends_with("/_search") {
        lines.push("-H 'Content-Type: application/fhir+json' --data-binary @request.json".to_owned());
    } else {
        if is_posted {
            lines.push("-H 'Content-Type: application/x-www-form-urlencoded'".to_owned());
        } else if !fields.is_empty() {
            lines.push("--get".to_owned());
        }
        let field = |(name, value): &(String, String)| format!("--data '{}={}'", encode(name), encode(value));
        lines.extend(fields.iter().map(field));
    }
    lines.push(format!("'{}{path}'", site.origin()));
    lines.join(" \\\n  ")
}
