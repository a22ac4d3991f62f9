//! The CapabilityStatement as the home page: what is here, what it takes, and each search as a form.

use super::site::Site;
use super::{Answer, form, items, json_section, resource, text, token};
use maud::{Markup, html};
use serde_json::Value;

/// The home page. Everything on it stands in the statement.
pub fn page(site: &Site, answer: &Answer) -> (String, Markup) {
    let statement = answer.resource;
    let rest = &statement["rest"][0];
    let title = text(statement, "title");
    let body = html! {
        h1 { (title) }
        p.lead { (text(statement, "description")) }
        dl.facts {
            dt { "Served by" } dd { (text(&statement["implementation"], "description")) }
            dt { "FHIR base" } dd { code { (text(&statement["implementation"], "url")) } }
            dt { "FHIR version" } dd { (text(statement, "fhirVersion")) }
            dt { "Software" } dd { (text(&statement["software"], "name")) " " (text(&statement["software"], "version")) }
        }
        @for (name, key) in [("Server statements it follows", "instantiates"), ("Implementation guides", "implementationGuide")] {
            @let all = items(&statement[key]);
            @if !all.is_empty() {
                details {
                    summary { (name) " (" (all.len()) ")" }
                    ul.plain { @for one in all { li { (one.as_str().unwrap_or("")) } } }
                }
            }
        }
        section aria-labelledby="access" {
            h2 id="access" { "What it takes" }
            p { (text(rest, "documentation")) }
            p { (text(&rest["security"], "description")) }
            p { a href="#token" { "How to get a token" } }
        }
        (overview(rest))
        (whole_server(rest))
        section aria-labelledby="types" {
            h2 id="types" { "Searches and operations" }
            @for row in items(&rest["resource"]) { (one_type(site, row)) }
        }
        (token::section(site, &site.at("Patient")))
        (json_section(site, answer, false))
    };
    (title.to_owned(), body)
}

fn codes(row: &Value) -> String {
    let all: Vec<&str> = items(&row["interaction"]).iter().map(|one| text(one, "code")).collect();
    all.join(", ")
}

fn overview(rest: &Value) -> Markup {
    html! {
        section aria-labelledby="overview" {
            h2 id="overview" { "Types" }
            div.scroll tabindex="0" role="group" aria-labelledby="overview" {
                table {
                    thead { tr {
                        th scope="col" { "Type" } th scope="col" { "Interactions" } th scope="col" { "Search parameters" } th scope="col" { "Operations" }
                    } }
                    tbody {
                        @for row in items(&rest["resource"]) {
                            @let operations: Vec<String> = items(&row["operation"]).iter().map(|one| format!("${}", text(one, "name"))).collect();
                            tr {
                                th scope="row" { a href=(format!("#{}", text(row, "type"))) { (text(row, "type")) } }
                                td { (codes(row)) } td { (items(&row["searchParam"]).len()) } td { (operations.join(", ")) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn whole_server(rest: &Value) -> Markup {
    html! {
        @if !items(&rest["interaction"]).is_empty() {
            section aria-labelledby="whole" {
                h2 id="whole" { "Of the whole server" }
                dl.facts {
                    @for one in items(&rest["interaction"]) { dt { (text(one, "code")) } dd { (text(one, "documentation")) } }
                }
            }
        }
    }
}

fn one_type(site: &Site, row: &Value) -> Markup {
    let rtype = text(row, "type");
    html! {
        section.type aria-labelledby=(rtype) {
            h3 id=(rtype) { (rtype) }
            @if !text(row, "documentation").is_empty() { p { (text(row, "documentation")) } }
            p { "Interactions: " (codes(row)) "." }
            @if !items(&row["supportedProfile"]).is_empty() {
                details { summary { "Profiles of " (rtype) }
                    ul.plain { @for one in items(&row["supportedProfile"]) { li { (resource::linked(site, "profile", one.as_str().unwrap_or(""))) } } }
                }
            }
            @if site.can(rtype, "search-type") {
                details { summary { "Search " (rtype) } (form::search(site, row)) }
            }
            @for one in items(&row["operation"]) { (operation(site, rtype, one)) }
        }
    }
}

fn operation(site: &Site, rtype: &str, row: &Value) -> Markup {
    let name = text(row, "name");
    let definition = site.operation(name);
    let on_instance = definition.is_some_and(|one| one["instance"] == true);
    html! {
        h4 { "$" (name) }
        p { (text(row, "documentation")) }
        p {
            "Definition: "
            @if let Some(url) = definition.map(|one| text(one, "url")).filter(|_| site.can("OperationDefinition", "read")) {
                (resource::linked(site, "url", url)) ", which narrows "
            }
            (text(row, "definition")) "."
        }
        @if on_instance {
            p { "To try it, open a " (rtype) " and run it there: " code { "GET " (site.base_url()) "/" (rtype) "/{id}/$" (name) } }
        } @else {
            pre.shell tabindex="0" role="group" aria-label=(format!("Command that runs ${name}")) {
                "curl --cacert ca.pem --cert partner.pem --key partner.key \\\n"
                "  -H \"Authorization: Bearer $TOKEN\" -H 'Content-Type: application/fhir+json' \\\n"
                "  --data-binary @request.json '" (site.base_url()) "/" (rtype) "/$" (name) "'"
            }
        }
    }
}
