//! The page of a packet for people: readable by itself, without a script, and it prints well.
//!
//! It shows what the other files of the packet say, and nothing else; whoever doubts it checks those.

use crate::audit::note::Checkpoint;
use crate::secret::sha256;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde_json::Value;

const STYLE: &str = include_str!("report.css");

/// What the page tells.
pub(super) struct EvidenceReport<'a> {
    /// The name of the payer.
    pub payer: &'a str,
    /// What was asked for.
    pub scope: &'a Value,
    /// The checkpoint.
    pub checkpoint: &'a Checkpoint,
    /// When the last entry was written that it covers.
    pub as_of: &'a str,
    /// The timeline.
    pub timeline: &'a [Value],
    /// The requests.
    pub requests: &'a [Value],
    /// What went out and came.
    pub files: &'a [Value],
    /// The documents: path and text.
    pub documents: Vec<(&'a str, &'a str)>,
}

impl EvidenceReport<'_> {
    /// The page.
    pub(super) fn html(&self) -> String {
        let style = STANDARD.encode(sha256(STYLE.as_bytes()));
        let policy = format!("default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'");
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta http-equiv="Content-Security-Policy" content=(policy);
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="referrer" content="no-referrer";
                    title { "Evidence packet" }
                    style { (PreEscaped(STYLE)) }
                }
                body {
                    h1 { "Evidence packet" }
                    p.lead { (self.payer) ": " (self.timeline.len()) " entries of the ledger, as they were signed." }
                    (self.about())
                    (self.happened())
                    (self.asked())
                    (self.carried())
                    (self.beside())
                    h2 { "How to check this" }
                    p { "This page proves nothing by itself. " code { "VERIFY.txt" } " beside it says how to check every file of the packet, and each entry, with the public key of the log." }
                }
            }
        };
        page.into_string() + "\n"
    }

    fn about(&self) -> Markup {
        html! {
            h2 { "What it is about" }
            table {
                tbody {
                    @for (name, value) in self.scope.as_object().into_iter().flatten() {
                        tr { th scope="row" { (name) } td { code { (told(value)) } } }
                    }
                    tr { th scope="row" { "ledger" } td { code { (self.checkpoint.origin) } } }
                    tr { th scope="row" { "checkpoint" } td { (self.checkpoint.size) " entries, root " code { (STANDARD.encode(self.checkpoint.root)) } } }
                    tr { th scope="row" { "as of" } td { (self.as_of) } }
                }
            }
        }
    }

    fn happened(&self) -> Markup {
        html! {
            h2 { "What happened" }
            table {
                caption { "One row for each entry of the ledger, in its order. Each has a proof of the same number." }
                thead { tr { @for name in ["Entry", "Time", "What", "Partner", "Outcome", "Phase", "Rules"] { th scope="col" { (name) } } } }
                tbody {
                    @for item in self.timeline {
                        tr {
                            td.n { (told(&item["index"])) }
                            td.n { (told(&item["at"])) }
                            td { (told(&item["text"])) @if !item["step"].is_null() { " (" (told(&item["step"])) " " (told(&item["attempt"])) ")" } }
                            td { (told(&item["partner"])) }
                            td { (told(&item["outcome"])) " " (told(&item["status"])) @if !item["reason"].is_null() { " " code { (told(&item["reason"])) } " " (told(&item["reason_text"])) } }
                            td { (told(&item["phase"])) }
                            td { code { (told(&item["policy_version"])) } }
                        }
                    }
                }
            }
        }
    }

    fn asked(&self) -> Markup {
        html! {
            h2 { "Requests" }
            @if self.requests.is_empty() { p { "None." } } @else {
                table {
                    thead { tr { @for name in ["Time", "Way", "What", "Class", "Status", "Request id", "Client certificate (SHA-256)"] { th scope="col" { (name) } } } }
                    tbody {
                        @for item in self.requests {
                            tr {
                                td.n { (told(&item["at"])) }
                                td { (told(&item["direction"])) }
                                td { (told(&item["action"])) (told(&item["step"])) }
                                td { (told(&item["class"])) }
                                td.n { (told(&item["status"])) }
                                td { code { (told(&item["request_id"])) (told(&item["partner_request_id"])) } }
                                td { code { (told(&item["client_certificate_sha256"])) } }
                            }
                        }
                    }
                }
            }
        }
    }

    fn carried(&self) -> Markup {
        html! {
            h2 { "What was sent and received" }
            @if self.files.is_empty() { p { "Nothing." } } @else {
                table {
                    thead { tr { @for name in ["Time", "Way", "Name", "Outcome", "Bytes", "Resources", "SHA-256"] { th scope="col" { (name) } } } }
                    tbody {
                        @for item in self.files {
                            tr {
                                td.n { (told(&item["at"])) }
                                td { (told(&item["direction"])) }
                                td { (told(&item["name"])) }
                                td { (told(&item["outcome"])) }
                                td.n { (told(&item["bytes"])) }
                                td { (told(&item["resources"])) (told(&item["entries"])) }
                                td { code { (told(&item["sha256"])) } }
                            }
                        }
                    }
                }
            }
        }
    }

    fn beside(&self) -> Markup {
        html! {
            h2 { "Decisions and rules" }
            @for (path, text) in &self.documents {
                h3 { code { (path) } }
                pre { (text) }
            }
        }
    }
}

/// A value for people; nothing for null.
fn told(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Object(members) => {
            let each = members.iter().map(|(name, value)| format!("{name} {}", told(value)));
            each.collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_page_runs_nothing_and_loads_nothing() {
        let checkpoint = Checkpoint {
            origin: "payer.example/audit/1".to_owned(),
            size: 9,
            root: [7; 32],
        };
        let timeline = [json!({ "index": 3, "text": "<script>alert(1)</script>" })];
        let report = EvidenceReport {
            payer: "Old Payer",
            scope: &json!({ "kind": "exchange", "id": "x" }),
            checkpoint: &checkpoint,
            as_of: "2026-11-28T00:00:00.000Z",
            timeline: &timeline,
            requests: &[],
            files: &[],
            documents: vec![("consent/c.json", "{}\n")],
        };
        let page = report.html();
        assert!(page.contains("default-src 'none'; style-src 'sha256-"), "{page}");
        assert!(page.contains("&lt;script&gt;"), "{page}");
        for word in ["<script", "http://", "https://", "src=", "<link", "<img"] {
            assert!(!page.contains(word), "{word}");
        }
        assert_eq!(page, report.html(), "the same bytes");
    }
}
