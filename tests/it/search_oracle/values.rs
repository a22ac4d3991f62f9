//! What a resource says under a reading: tokens, texts, spans of time, references and URIs, read from plain JSON.

use super::readings::{Reading, element, system_uri};
use super::targets::may_name;
use chrono::{Days, Months, NaiveDate, NaiveTime};
use serde_json::Value;
use unicode_normalization::UnicodeNormalization as _;

/// The elements at `path`, each with the type that a choice has at its end (`""` where there is no choice).
pub fn at<'v>(resource: &'v Value, path: &str) -> Vec<(String, &'v Value)> {
    let mut all = Vec::new();
    for alternative in path.split(" | ") {
        let mut here = vec![(String::new(), resource)];
        for name in alternative.split(' ') {
            here = here.into_iter().flat_map(|(_, value)| step(value, name)).collect();
        }
        all.extend(here.into_iter().flat_map(|(kind, value)| match value {
            Value::Array(items) => items.iter().map(|item| (kind.clone(), item)).collect(),
            one => vec![(kind, one)],
        }));
    }
    all
}

fn step<'v>(value: &'v Value, name: &str) -> Vec<(String, &'v Value)> {
    match value {
        Value::Array(items) => items.iter().flat_map(|item| step(item, name)).collect(),
        Value::Object(members) => {
            if let Some(url) = name.strip_prefix("extension(").and_then(|rest| rest.strip_suffix(')')) {
                let all = members.get("extension").and_then(Value::as_array).into_iter().flatten();
                return all
                    .filter(|one| one["url"] == url)
                    .map(|one| (String::new(), one))
                    .collect();
            }
            match name.strip_suffix("[x]") {
                Some(stem) => members
                    .iter()
                    .filter_map(|(key, value)| {
                        let kind = key.strip_prefix(stem)?;
                        kind.starts_with(|first: char| first.is_ascii_uppercase())
                            .then(|| (kind.to_owned(), value))
                    })
                    .collect(),
                None => members
                    .get(&element(name))
                    .map(|value| (String::new(), value))
                    .into_iter()
                    .collect(),
            }
        }
        _ => Vec::new(),
    }
}

/// A code or an identifier. Absent is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub system: Option<String>,
    pub code: Option<String>,
}

pub fn tokens(resource: &Value, reading: &Reading) -> Vec<Token> {
    let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let mut all = Vec::new();
    for (_, value) in at(resource, reading.path) {
        match value {
            Value::String(code) => all.push(Token {
                system: reading.system.map(system_uri),
                code: Some(code.clone()),
            }),
            Value::Bool(flag) => all.push(Token {
                system: None,
                code: Some(flag.to_string()),
            }),
            Value::Object(members) => {
                let codings = members.get("coding").and_then(Value::as_array);
                match codings {
                    Some(codings) => all.extend(codings.iter().map(|coding| Token {
                        system: text(coding, "system"),
                        code: text(coding, "code"),
                    })),
                    None => all.push(Token {
                        system: text(value, "system"),
                        code: text(value, "value").or_else(|| text(value, "code")),
                    }),
                }
            }
            _ => {}
        }
    }
    // A system alone is nothing that a code or an identifier says.
    all.retain(|token| token.code.is_some());
    all
}

/// The searchable parts of texts, names and addresses.
pub fn texts(resource: &Value, reading: &Reading) -> Vec<String> {
    #[rustfmt::skip]
    const PARTS: &[&str] = &[
        "family", "given", "prefix", "suffix", "line", "city", "district", "state", "postalCode", "country", "text",
    ];
    let mut all = Vec::new();
    for (_, value) in at(resource, reading.path) {
        match value {
            Value::String(text) => all.push(text.clone()),
            Value::Object(_) => {
                for name in PARTS {
                    let parts = at(value, name).into_iter().filter_map(|(_, part)| part.as_str());
                    all.extend(parts.map(str::to_owned));
                }
            }
            _ => {}
        }
    }
    all
}

/// A text as it is compared: without marks, with its case folded in full, each run of white space one blank.
pub fn folded(text: &str) -> String {
    let bare: String = text
        .nfkd()
        .map(|letter| if letter == '\u{345}' { 'ι' } else { letter })
        .filter(|letter| !unicode_normalization::char::is_combining_mark(*letter))
        .collect();
    let whole = |part: &str| part.to_lowercase().to_uppercase().to_lowercase().replace('ς', "σ");
    // The dotless i is a letter of its own.
    let lower = bare.split('ı').map(whole).collect::<Vec<_>>().join("ı");
    lower.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// From the first to the last millisecond (UTC); open at an end that is `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub from: Option<i64>,
    pub to: Option<i64>,
}

/// An element of type instant is a point, however it is written: "an interval with an effective width of 0".
pub fn spans(resource: &Value, reading: &Reading) -> Vec<Span> {
    const INSTANTS: &[&str] = &["meta lastUpdated", "recorded"];
    let all = at(resource, reading.path).into_iter();
    all.filter_map(|(kind, value)| {
        let found = span(value)?;
        let instant = kind == "Instant" || INSTANTS.contains(&reading.path);
        Some(if instant {
            Span {
                to: found.from,
                ..found
            }
        } else {
            found
        })
    })
    .collect()
}

fn span(value: &Value) -> Option<Span> {
    match value {
        Value::String(text) => moment(text).map(|(from, to)| Span {
            from: Some(from),
            to: Some(to),
        }),
        // A Timing: only its outer limits matter.
        Value::Object(timing) if timing.contains_key("event") || timing.contains_key("repeat") => {
            let mut limits: Vec<Span> = at(value, "event")
                .into_iter()
                .filter_map(|(_, one)| span(one))
                .collect();
            limits.extend(
                at(value, "repeat boundsPeriod")
                    .into_iter()
                    .filter_map(|(_, one)| span(one)),
            );
            let from = limits.iter().map(|one| one.from).min()?;
            let to = if limits.iter().any(|one| one.to.is_none()) {
                None
            } else {
                limits.iter().map(|one| one.to).max()?
            };
            Some(Span { from, to })
        }
        Value::Object(period) => {
            let side = |name: &str| period.get(name).and_then(Value::as_str).and_then(moment);
            let (start, end) = (side("start"), side("end"));
            if start.is_none() && end.is_none() {
                return None;
            }
            Some(Span {
                from: start.map(|(from, _)| from),
                to: end.map(|(_, to)| to),
            })
        }
        _ => None,
    }
}

/// The span of a date or dateTime of any precision. A time without zone is read as UTC.
pub fn moment(text: &str) -> Option<(i64, i64)> {
    let day = |text: &str| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
    let ms = |day: NaiveDate| day.and_time(NaiveTime::MIN).and_utc().timestamp_millis();
    let Some((date, clock)) = text.split_once('T') else {
        return match text.len() {
            4 => {
                let from = day(&format!("{text}-01-01"))?;
                Some((ms(from), ms(from.checked_add_months(Months::new(12))?) - 1))
            }
            7 => {
                let from = day(&format!("{text}-01"))?;
                Some((ms(from), ms(from.checked_add_months(Months::new(1))?) - 1))
            }
            10 => {
                let from = day(text)?;
                Some((ms(from), ms(from.checked_add_days(Days::new(1))?) - 1))
            }
            _ => None,
        };
    };
    let (clock, offset_min) = match clock.find(['Z', '+', '-']) {
        None => (clock, 0),
        Some(end) if &clock[end..] == "Z" => (&clock[..end], 0),
        Some(end) => {
            let (hours, minutes) = clock[end + 1..].split_once(':')?;
            let size = hours.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().ok()?;
            (&clock[..end], if clock[end..].starts_with('-') { -size } else { size })
        }
    };
    let mut parts = clock.split(':');
    let (hour, minute): (i64, i64) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let (second, width) = match parts.next() {
        None => (0, 60_000),
        Some(seconds) => match seconds.split_once('.') {
            None => (seconds.parse::<i64>().ok()? * 1_000, 1_000),
            Some((whole, part)) => {
                let part: String = part.chars().chain("000".chars()).take(3).collect();
                (whole.parse::<i64>().ok()? * 1_000 + part.parse::<i64>().ok()?, 1)
            }
        },
    };
    let from = ms(day(date)?) + (hour * 60 + minute - offset_min) * 60_000 + second;
    Some((from, from + width - 1))
}

/// What a reference points to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Pointer {
    /// A resource of ours.
    Ours(String, String),
    /// Somebody else's, or a canonical.
    Elsewhere(String),
}

/// Literal references; contained and merely described ones point nowhere.
pub fn pointers(resource: &Value, reading: &Reading, base: &str) -> Vec<Pointer> {
    let rtype = resource["resourceType"].as_str().unwrap_or_default();
    let texts = at(resource, reading.path)
        .into_iter()
        .filter_map(|(_, value)| match value {
            Value::String(canonical) => Some((canonical.as_str(), true)),
            other => other.get("reference").and_then(Value::as_str).map(|text| (text, false)),
        });
    texts
        .filter(|(text, _)| !text.starts_with('#'))
        .map(|(text, canonical)| {
            if canonical {
                Pointer::Elsewhere(text.to_owned())
            } else {
                pointer(text, base)
            }
        })
        .filter(|pointer| match pointer {
            Pointer::Ours(named, _) if reading.targets.is_empty() => may_name(rtype, reading.name, named),
            Pointer::Ours(named, _) => reading.targets.contains(&named.as_str()),
            Pointer::Elsewhere(_) => reading.targets.is_empty(),
        })
        .collect()
}

pub fn pointer(text: &str, base: &str) -> Pointer {
    let own = text
        .strip_prefix(base)
        .and_then(|rest| rest.strip_prefix('/'))
        .unwrap_or(text);
    let own = own.split("/_history/").next().unwrap_or(own);
    match own.split_once('/') {
        Some((rtype, id))
            if rtype.starts_with(|first: char| first.is_ascii_uppercase())
                && !id.contains('/')
                && !rtype.contains(':') =>
        {
            Pointer::Ours(rtype.to_owned(), id.to_owned())
        }
        _ => Pointer::Elsewhere(text.to_owned()),
    }
}

pub fn uris(resource: &Value, reading: &Reading) -> Vec<String> {
    at(resource, reading.path)
        .into_iter()
        .filter_map(|(_, value)| value.as_str().map(str::to_owned))
        .collect()
}
