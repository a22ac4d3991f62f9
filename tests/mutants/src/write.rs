//! Writes a file with its changes behind switches. Each change has a line of its own with a mark, by which a fault of the compiler is traced to it.

use crate::changes::{Kind, Site};
use std::collections::BTreeSet;

/// A change that was written.
pub struct Written {
    pub number: usize,
    pub line: usize,
    pub what: String,
}

/// The text with the changes of `sites` whose numbers are `kept`, and what they are. Numbers count on from `number`, kept or not.
pub fn with(
    text: &str,
    mut sites: Vec<Site>,
    number: &mut usize,
    kept: Option<&BTreeSet<usize>>,
) -> (String, Vec<Written>) {
    sites.sort_by_key(|site| (site.range.start, std::cmp::Reverse(site.range.end)));
    let mut written = Vec::new();
    let mut placed = Vec::new();
    for site in sites {
        let line = text[..site.range.start].matches('\n').count() + 1;
        let mut changes = Vec::new();
        for (what, new) in site.changes {
            if kept.is_none_or(|kept| kept.contains(number)) {
                written.push(Written {
                    number: *number,
                    line,
                    what,
                });
                changes.push((*number, new));
            }
            *number += 1;
        }
        if !changes.is_empty() {
            placed.push(Placed {
                start: site.range.start,
                end: site.range.end,
                kind: site.kind,
                changes,
            });
        }
    }
    let new = render(text, 0, text.len(), &placed);
    (new, written)
}

struct Placed {
    start: usize,
    end: usize,
    kind: Kind,
    changes: Vec<(usize, String)>,
}

/// The text from `start` to `end` with the changes of `sites`, which lie in it, outer ones before inner ones.
fn render(text: &str, start: usize, end: usize, sites: &[Placed]) -> String {
    let (mut new, mut at, mut rest) = (String::new(), start, sites);
    while let Some((site, after)) = rest.split_first() {
        // An empty site at the very end of another is not inside of it.
        let inner = after
            .iter()
            .take_while(|other| other.start < site.end && other.end <= site.end)
            .count();
        new.push_str(&text[at..site.start]);
        let old = render(text, site.start, site.end, &after[..inner]);
        new.push_str(&one(site, &old));
        at = site.end;
        rest = &after[inner..];
    }
    new.push_str(&text[at..end]);
    new
}

fn one(site: &Placed, old: &str) -> String {
    let mut new = String::new();
    match site.kind {
        Kind::Expression | Kind::Guard => {
            new.push('(');
            for (number, text) in &site.changes {
                new.push_str(&format!(
                    "\nif crate::mutant::is({number}) {{ {} }} /*M{number}*/\nelse ",
                    on_one_line(text)
                ));
            }
            new.push_str(&format!("{{ {old} }})"));
        }
        Kind::Body => {
            for (number, text) in &site.changes {
                new.push_str(&format!(
                    "\nif crate::mutant::is({number}) {{ return {text}; }} /*M{number}*/\n"
                ));
            }
        }
        Kind::Arm => {
            for (number, _) in &site.changes {
                new.push_str(&format!("\nif !crate::mutant::is({number}) /*M{number}*/\n"));
            }
        }
    }
    new
}

/// Line breaks become spaces, unless a comment ends at one.
fn on_one_line(text: &str) -> String {
    if text.contains("//") {
        format!("{text}\n")
    } else {
        text.replace('\n', " ")
    }
}
