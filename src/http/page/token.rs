//! What a browser lacks: how a client gets an access token, and how it asks with it.

use super::site::Site;
use crate::fhir::operations::MEMBER_MATCH;
use maud::{Markup, html};

/// How to get a token, as a section with this heading level 2.
pub fn section(site: &Site, path: &str) -> Markup {
    html! {
        section aria-labelledby="token" {
            h2 id="token" { "How to get a token" }
            p { "Members' data takes an access token of SMART Backend Services. A browser has none and cannot make one, and this server takes "
                "no token from a cookie or an address: ask from a command line, or let an extension of your browser send the "
                code { "Authorization" } " header. Here " code { "$ASSERTION" } " is a JWT that your client signs (private_key_jwt): "
                code { "iss" } " and " code { "sub" } " the client id, " code { "aud" } " the token endpoint, " code { "exp" }
                " at most 300 seconds ahead, a new " code { "jti" } "." }
            pre.shell tabindex="0" role="group" aria-label="Command that gets a token" {
                "curl --cacert ca.pem --cert partner.pem --key partner.key \\\n"
                "  -d grant_type=client_credentials \\\n"
                "  -d 'scope=system/*.rs " (MEMBER_MATCH) "' \\\n"
                "  -d client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer \\\n"
                "  -d client_assertion=\"$ASSERTION\" \\\n"
                "  " (site.origin()) "/oauth/token"
            }
            (example(site, path))
            p { "Where the endpoints are and what they take: " a href=(site.at(".well-known/smart-configuration")) { "SMART configuration" } "." }
        }
    }
}

/// The command that asks for this address with a token; the query is left out, since it may name a person.
pub fn example(site: &Site, path: &str) -> Markup {
    html! {
        p { "Then ask with it:" }
        pre.shell tabindex="0" role="group" aria-label="Command that asks with a token" {
            "curl --cacert ca.pem --cert partner.pem --key partner.key \\\n"
            "  -H \"Authorization: Bearer $TOKEN\" -H 'Accept: application/fhir+json' \\\n"
            "  '" (site.origin()) (path) "'"
        }
    }
}
