//! The explorer's own pages: whose token a browser uses, the form for one, and what can be asked of one type.

use super::site::{PageReader, PageSite};
use super::{capability, layout, session, token};
use crate::http::explorer::FORM_FIELD;
use crate::http::request_notes::WantedRequest;
use crate::percent::encode;
use maud::{Markup, html};

/// The page of a browser's session, or the form that begins one.
pub fn home(site: &PageSite) -> String {
    let title = "Use a token";
    let body = html! {
        h1 { (title) }
        @if let PageReader::Visitor { partner, ends, .. } = site.reader() {
            p.lead { "This browser uses a token of " code { (partner) } " until " (ends) "." }
            (from_here(site))
            p { "To use another token, first end this session with the button at the top." }
        } @else {
            (entry(site, "", false, &[]))
            (token::section(site, &site.at("Patient"), false, &[]))
        }
    };
    layout::html(site, title, &body)
}

/// The page after a session was begun. It leads to what was asked for before.
pub fn entered(site: &PageSite, wanted: &WantedRequest) -> String {
    let title = "Token accepted";
    let path = site.plain_path(&wanted.path);
    let goes_on = path == wanted.path && !path.starts_with(&site.at("explorer"));
    let body = html! {
        h1 { (title) }
        @if let PageReader::Visitor { partner, ends, .. } = site.reader() {
            p.lead { "This browser uses a token of " code { (partner) } " until " (ends) "." }
        }
        @if goes_on {
            section aria-labelledby="on" {
                h2 id="on" { "What you asked for" }
                (again(site, &path, wanted))
            }
        }
        (from_here(site))
    };
    layout::html(site, title, &body)
}

/// The page after a session was ended.
pub fn ended(site: &PageSite) -> String {
    let title = "Session ended";
    let body = html! {
        h1 { (title) }
        p { "This browser no longer uses a token. The token itself is valid until its end, unless its owner revokes it." }
        (entry(site, "", false, &[]))
    };
    layout::html(site, title, &body)
}

/// What can be asked of one type.
pub fn of_type(site: &PageSite, rtype: &str) -> String {
    let body = html! {
        h1 { (rtype) }
        @if let Some(row) = site.of_type(rtype) { (capability::one_type(site, row)) }
        p { a href=(site.at("metadata")) { "All types" } }
    };
    layout::html(site, rtype, &body)
}

/// The form that takes a token, with a level 2 heading. What was asked for goes along with it. Empty for a reader who cannot send it.
pub fn entry(site: &PageSite, path: &str, is_posted: bool, fields: &[(String, String)]) -> Markup {
    let PageReader::Newcomer { form_token, may_act_as } = site.reader() else {
        return html! {};
    };
    let carried = html! {
        input type="hidden" name=(FORM_FIELD) value=(form_token);
        @if !path.is_empty() { input type="hidden" name="to" value=(path); }
        @if is_posted { input type="hidden" name="posted" value="yes"; }
        @if !fields.is_empty() { input type="hidden" name="fields" value=(query(fields)); }
    };
    html! {
        section aria-labelledby="enter" {
            h2 id="enter" { "Use a token in this browser" }
            @if let Some(partner) = may_act_as {
                form action=(site.at("explorer/act")) method="post" aria-label=(format!("Act as {partner}")) {
                    (carried)
                    p { button type="submit" { "Act as " (partner) } }
                    p.note { "Only a development server has this button, and only for browsers on its own machine." }
                }
            }
            form action=(site.at("explorer/session")) method="post" aria-label="Use a token" {
                (carried)
                div.field {
                    label for="token-value" { "Access token" }
                    input id="token-value" name="token" type="password" autocomplete="off" autocapitalize="off" spellcheck="false"
                        required aria-describedby="token-value.about";
                    p.hint id="token-value.about" {
                        "The server keeps it in memory until it ends or you end the session. Your browser gets a random number in its place. "
                        "A token that is bound to a client certificate works only if your browser has that certificate: "
                        "import it into the browser first."
                    }
                }
                p { button type="submit" { "Use this token" } }
            }
        }
    }
}

/// The request that was made without a token, to be made again: as a link, or as a form.
fn again(site: &PageSite, path: &str, wanted: &WantedRequest) -> Markup {
    let fields = &wanted.fields;
    if !wanted.is_posted {
        let sign = if fields.is_empty() { "" } else { "?" };
        let href = format!("{path}{sign}{}", query(fields));
        return html! { p { a href=(href) { "Go on to " code { (path) } } } };
    }
    html! {
        @if path.ends_with("/_search") {
            form action=(path) method="post" aria-label="Send the search again" {
                (session::form_token(site))
                @for (name, value) in fields { input type="hidden" name=(name) value=(value); }
                p { button type="submit" { "Send the search again" } }
            }
        }
    }
}

fn from_here(site: &PageSite) -> Markup {
    html! {
        ul {
            li { a href=(site.at("metadata")) { "All types, with counts" } }
            li { a href=(site.at("Patient")) { "The members that this token may read" } }
        }
    }
}

fn query(fields: &[(String, String)]) -> String {
    let pair = |(name, value): &(String, String)| format!("{}={}", encode(name), encode(value));
    fields.iter().map(pair).collect::<Vec<_>>().join("&")
}
