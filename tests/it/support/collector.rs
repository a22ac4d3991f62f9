//! A collector of traces: it speaks HTTP, keeps what it gets, and reads it as the protocol says (OTLP over HTTP, JSON).

use super::hook::{Hook, HookAnswer};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// A span as it arrived. Ids are hexadecimal, numbers are texts.
#[derive(Clone, Debug)]
pub struct GotSpan {
    pub name: String,
    pub kind: u64,
    pub trace: String,
    pub id: String,
    pub parent: Option<String>,
    pub links: Vec<String>,
    pub attributes: BTreeMap<String, String>,
    pub events: Vec<String>,
    pub has_failed: bool,
    pub began_ns: u128,
    pub ended_ns: u128,
}

impl GotSpan {
    /// The value of this attribute; empty when it is not there.
    pub fn says(&self, key: &str) -> &str {
        self.attributes.get(key).map_or("", String::as_str)
    }
}

/// A collector on this machine.
pub struct Collector {
    hook: Hook,
}

impl Collector {
    /// One that gives these answers, and then takes everything.
    pub fn that(answers: &[HookAnswer]) -> Collector {
        Collector {
            hook: Hook::that(answers),
        }
    }

    /// What `log.otlp_endpoint` is for it; it has a path of its own.
    pub fn endpoint(&self) -> &str {
        &self.hook.url
    }

    /// How many requests came.
    pub fn requests(&self) -> usize {
        self.hook.got().len()
    }

    /// All that came, heads and bodies.
    pub fn text(&self) -> String {
        let got = self.hook.got();
        got.iter().map(|got| format!("{}\n{}\n", got.head, got.body)).collect()
    }

    /// All spans that came. Each request was one that a collector takes.
    #[track_caller]
    pub fn spans(&self) -> Vec<GotSpan> {
        let mut found = Vec::new();
        for got in self.hook.got() {
            let first = got.head.lines().next().unwrap_or_default();
            assert_eq!(first, "post /hook/v1/traces http/1.1");
            assert_eq!(got.header("content-type"), "application/json");
            let body: Value = serde_json::from_str(&got.body).expect("JSON");
            for resource in each(&body["resourceSpans"]) {
                let says = attributes(&resource["resource"]["attributes"]);
                assert_eq!(says["service.name"], "causeway");
                assert!(!says["service.instance.id"].is_empty());
                for scope in each(&resource["scopeSpans"]) {
                    found.extend(each(&scope["spans"]).map(span));
                }
            }
        }
        found
    }

    /// Waits until the spans that came are so, a minute at most. Who ends a server before may lose some: it gives a collector a second then.
    #[track_caller]
    pub fn await_spans(&self, what: &str, is_so: impl Fn(&[GotSpan]) -> bool) {
        let began = Instant::now();
        loop {
            let spans = self.spans();
            if is_so(&spans) {
                return;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "no {what} in {spans:#?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// None of these texts came, wherever it may stand.
    #[track_caller]
    pub fn assert_has_none_of(&self, texts: &BTreeSet<String>) {
        let all = self.text().to_lowercase();
        assert!(texts.len() > 5, "{texts:?}");
        for text in texts {
            assert!(!has(&all, &text.to_lowercase()), "{text} is in a trace");
        }
    }
}

/// The texts of these elements of a resource that name a person, wherever they stand.
pub fn personal(value: &Value, found: &mut BTreeSet<String>) {
    const OF_A_PERSON: [&str; 8] = [
        "family",
        "given",
        "birthDate",
        "line",
        "city",
        "postalCode",
        "value",
        "subscriberId",
    ];
    match value {
        Value::Array(items) => items.iter().for_each(|item| personal(item, found)),
        Value::Object(members) => {
            for (name, value) in members {
                if OF_A_PERSON.contains(&name.as_str()) {
                    texts(value, found);
                }
                personal(value, found);
            }
        }
        _ => {}
    }
}

/// Whether `text` stands in `all`. What a number or an id of a span may have inside of it by chance, such as a postal code, has to stand alone.
fn has(all: &str, text: &str) -> bool {
    let is_of_chance = text.len() < 12 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let ends_word = |next: Option<char>| next.is_none_or(|next| !next.is_ascii_alphanumeric());
    all.match_indices(text).any(|(at, _)| {
        let (before, after) = (&all[..at], &all[at + text.len()..]);
        !is_of_chance || (ends_word(before.chars().next_back()) && ends_word(after.chars().next()))
    })
}

#[test]
fn a_postal_code_is_found_where_it_stands_alone() {
    let all = "{\"spanid\":\"a443017bc\",\"stringvalue\":\"43001\"} lima-x";
    assert!(has(all, "43001") && has(all, "lima") && !has(all, "44301") && !has(all, "98765"));
}

/// Texts that are long enough not to be found by chance.
fn texts(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::String(text) if text.len() >= 5 => {
            found.insert(text.clone());
        }
        Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
        _ => {}
    }
}

fn each(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn attributes(value: &Value) -> BTreeMap<String, String> {
    let one = |pair: &Value| {
        let (name, value) = (text(&pair["key"]), &pair["value"]);
        let known = ["stringValue", "intValue"].map(|kind| value[kind].as_str());
        let known = known.into_iter().flatten().next();
        (name, known.unwrap_or_else(|| panic!("{pair}")).to_owned())
    };
    each(value).map(one).collect()
}

#[track_caller]
fn span(value: &Value) -> GotSpan {
    let id = |name: &str, length: usize| {
        let id = text(&value[name]);
        assert!(
            id.len() == length && id.bytes().all(|b| b.is_ascii_hexdigit()),
            "{name} of {value}"
        );
        id
    };
    let time = |name: &str| text(&value[name]).parse::<u128>().expect("nanoseconds");
    let found = GotSpan {
        name: text(&value["name"]),
        kind: value["kind"].as_u64().expect("a kind"),
        trace: id("traceId", 32),
        id: id("spanId", 16),
        parent: value.get("parentSpanId").map(|_| id("parentSpanId", 16)),
        links: each(&value["links"]).map(|link| text(&link["traceId"])).collect(),
        attributes: attributes(&value["attributes"]),
        events: each(&value["events"]).map(|event| text(&event["name"])).collect(),
        has_failed: value["status"]["code"].as_u64() == Some(2),
        began_ns: time("startTimeUnixNano"),
        ended_ns: time("endTimeUnixNano"),
    };
    assert!(found.began_ns <= found.ended_ns, "{found:?}");
    found
}
