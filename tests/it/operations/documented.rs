//! The table of routes in docs/operations.md is that of the code.

use causeway::http::ops::table::{Asks, CURSOR, OPS_ROUTES, OpsRoute, ReasonRule};
use causeway::security::Role;
use std::path::Path;

#[test]
fn the_page_of_operations_lists_every_route_as_the_table_has_it() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
    let page = std::fs::read_to_string(&path).expect("the page");
    let (before, rest) = page.split_once("<!-- routes: begin -->\n").expect("a mark");
    let (_, after) = rest.split_once("<!-- routes: end -->").expect("a mark");
    let wanted = format!(
        "{before}<!-- routes: begin -->\n{}<!-- routes: end -->{after}",
        documented()
    );
    if std::env::var_os("CAUSEWAY_UPDATE_DOCS").is_some() {
        std::fs::write(&path, &wanted).expect("written");
    } else {
        assert!(
            page == wanted,
            "docs/operations.md differs from the code: run this test with CAUSEWAY_UPDATE_DOCS=1"
        );
    }
}

fn documented() -> String {
    let mut text =
        "| route | support | operator | reviewer | auditor | admin | shows | reason | parameters | answers |\n\
                    |---|---|---|---|---|---|---|---|---|---|\n"
            .to_owned();
    for route in OPS_ROUTES.iter().filter(|route| route.asks != Asks::Anybody) {
        let cells: Vec<&str> = Role::ALL
            .iter()
            .map(|role| route.asks.sees(*role).map_or("", |sees| sees.word()))
            .collect();
        let named = route.parameters.iter().filter(|name| **name != CURSOR);
        let parameters: Vec<String> = named.map(|name| format!("`{name}`")).collect();
        let parameters = match route.body {
            Some(members) => format!("a body: {}", members.trim_end_matches(',')),
            None => parameters.join(", "),
        };
        text += &format!(
            "| `{} {}` | {} | {} | {} | {} | {} |\n",
            route.method,
            route.path.replace("{id:.+}", "{id}"),
            cells.join(" | "),
            route.asks.shows().word(),
            reason(route),
            parameters,
            route.text
        );
    }
    // An empty cell is one space wide.
    while text.contains("|  |") {
        text = text.replace("|  |", "| |");
    }
    text
}

/// Where a reason is needed, and of whom.
fn reason(route: &OpsRoute) -> String {
    let Asks::Roles(roles) = route.asks else {
        return String::new();
    };
    if route.reason == ReasonRule::Body {
        return "body".to_owned();
    }
    let needed: Vec<&str> = roles
        .iter()
        .filter(|(_, sees)| route.needs_reason(*sees))
        .map(|(role, _)| role.name())
        .collect();
    match needed.len() {
        0 => String::new(),
        some if some == roles.len() => "header".to_owned(),
        _ => format!("header ({})", needed.join(", ")),
    }
}
