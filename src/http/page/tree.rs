//! JSON as readable HTML: indented and colored, with links to what it refers to on this server.
//!
//! Every text of the resource is escaped by [`escape`]; none of it can become markup.

use super::site::PageSite;
use maud::{Markup, PreEscaped, html};
use serde_json::Value;
use std::fmt::Write as _;

/// Most lines that are shown; the page says how many more there are.
const LINES_MAX: usize = 2_000;
/// Most characters of one text that are shown.
const TEXT_MAX: usize = 2_000;

/// The JSON of a value, at most [`LINES_MAX`] lines of it, and a note on what is left out.
pub fn markup(site: &PageSite, value: &Value) -> Markup {
    let mut tree = Tree {
        site,
        out: String::with_capacity(16 * 1024),
        lines: 1,
    };
    tree.value("", value, 0);
    let left_out = tree.lines.saturating_sub(LINES_MAX);
    html! {
        pre.json tabindex="0" role="group" aria-label="JSON" { (PreEscaped(tree.out)) }
        @if left_out > 0 {
            p.note { "The first " (LINES_MAX) " lines are shown; " (left_out) " more are left out. The JSON itself has them all." }
        }
    }
}

struct Tree<'a> {
    site: &'a PageSite,
    out: String,
    lines: usize,
}

impl Tree<'_> {
    fn value(&mut self, key: &str, value: &Value, depth: usize) {
        match value {
            Value::Object(members) if !members.is_empty() => {
                self.put("{");
                for (at, (name, member)) in members.iter().enumerate() {
                    self.line(depth + 1);
                    self.span("k", &quoted(name));
                    self.put(": ");
                    self.value(name, member, depth + 1);
                    self.put(if at + 1 < members.len() { "," } else { "" });
                }
                self.line(depth);
                self.put("}");
            }
            Value::Array(all) if !all.is_empty() => {
                self.put("[");
                for (at, one) in all.iter().enumerate() {
                    self.line(depth + 1);
                    self.value(key, one, depth + 1);
                    self.put(if at + 1 < all.len() { "," } else { "" });
                }
                self.line(depth);
                self.put("]");
            }
            Value::String(text) => self.text(key, text),
            other => self.span("n", &other.to_string()),
        }
    }

    fn text(&mut self, key: &str, text: &str) {
        if self.is_full() {
            return;
        }
        if let Some(href) = self.site.link(key, text) {
            let _ = write!(
                self.out,
                "<span class=s>&quot;<a href=\"{}\">{}</a>&quot;</span>",
                escape(&href),
                escape(text)
            );
        } else if text.chars().count() > TEXT_MAX {
            let shown: String = text.chars().take(TEXT_MAX).collect();
            self.span("s", &quoted(&shown));
            let _ = write!(self.out, " <i>(cut: {} characters in all)</i>", text.chars().count());
        } else {
            self.span("s", &quoted(text));
        }
    }

    fn span(&mut self, class: &str, text: &str) {
        if !self.is_full() {
            let _ = write!(self.out, "<span class={class}>{}</span>", escape(text));
        }
    }

    fn put(&mut self, text: &str) {
        if !self.is_full() {
            self.out.push_str(text);
        }
    }

    fn line(&mut self, depth: usize) {
        self.lines += 1;
        if !self.is_full() {
            let _ = write!(self.out, "\n{:1$}", "", depth * 2);
        }
    }

    fn is_full(&self) -> bool {
        self.lines > LINES_MAX
    }
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// Escapes a text for HTML. Characters that change the direction of text are shown instead of being obeyed.
pub fn escape(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            other => out.push(other),
        }
        out
    })
}
