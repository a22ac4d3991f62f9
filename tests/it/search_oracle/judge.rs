//! The judge: does a resource match a search? One resource and one condition at a time, no index, no cleverness.

use super::readings::{Kind, Reading};
use super::values::{Pointer, Span, folded, moment, pointers, spans, texts, tokens, uris};
use serde_json::Value;

/// A comparison of dates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefix {
    Eq,
    Ne,
    Gt,
    Lt,
    Ge,
    Le,
    Sa,
    Eb,
    Ap,
}

impl Prefix {
    pub const ALL: &[(Prefix, &str)] = &[
        (Prefix::Eq, ""),
        (Prefix::Eq, "eq"),
        (Prefix::Ne, "ne"),
        (Prefix::Gt, "gt"),
        (Prefix::Lt, "lt"),
        (Prefix::Ge, "ge"),
        (Prefix::Le, "le"),
        (Prefix::Sa, "sa"),
        (Prefix::Eb, "eb"),
        (Prefix::Ap, "ap"),
    ];
}

/// One value that is looked for, and how it is written.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// `system`: `None` any, `Some("")` none. `code`: `None` any.
    Token {
        system: Option<String>,
        code: Option<String>,
    },
    Text(String),
    Date {
        prefix: Prefix,
        spelt: &'static str,
        text: String,
    },
    /// `rtype` `None`: the id alone. `absolute`: below our base.
    Pointer {
        rtype: Option<String>,
        id: String,
        absolute: bool,
    },
    /// An address that is not ours.
    Address(String),
    Uri(String),
    Missing(bool),
}

/// What stands after the colon of a parameter's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Modifier {
    None,
    Not,
    Missing,
    Exact,
    Contains,
    Type(String),
}

/// One parameter of a search: any of its values will do.
#[derive(Clone, Debug)]
pub struct Condition {
    pub reading: Reading,
    pub modifier: Modifier,
    pub wanted: Vec<Wanted>,
}

impl Condition {
    /// Name and value as they are sent, before percent-encoding.
    pub fn wire(&self, base: &str) -> (String, String) {
        let modifier = match &self.modifier {
            Modifier::None => String::new(),
            Modifier::Not => ":not".to_owned(),
            Modifier::Missing => ":missing".to_owned(),
            Modifier::Exact => ":exact".to_owned(),
            Modifier::Contains => ":contains".to_owned(),
            Modifier::Type(rtype) => format!(":{rtype}"),
        };
        let values: Vec<String> = self.wanted.iter().map(|one| one.wire(base)).collect();
        (format!("{}{modifier}", self.reading.name), values.join(","))
    }

    /// Whether `resource` meets this condition; `now_ms` (UTC) matters to `ap` alone.
    pub fn met(&self, resource: &Value, base: &str, now_ms: i64) -> bool {
        let reading = &self.reading;
        if let (Modifier::Missing, Some(Wanted::Missing(missing))) = (&self.modifier, self.wanted.first()) {
            return self.is_empty(resource, base) == *missing;
        }
        let any = |one: &dyn Fn(&Wanted) -> bool| self.wanted.iter().any(one);
        match reading.kind {
            Kind::Token => {
                let have = tokens(resource, reading);
                let exact = reading.name == "_id";
                let found = any(&|one| match one {
                    Wanted::Token { system, code } => have.iter().any(|token| {
                        let system_fits = match system.as_deref() {
                            None => true,
                            Some("") => token.system.is_none(),
                            some => token.system.as_deref() == some,
                        };
                        let code_fits = match (code, &token.code) {
                            (None, _) => true,
                            (Some(code), Some(has)) if exact => code == has,
                            (Some(code), Some(has)) => code.to_lowercase() == has.to_lowercase(),
                            (Some(_), None) => false,
                        };
                        system_fits && code_fits
                    }),
                    _ => false,
                });
                found != (self.modifier == Modifier::Not)
            }
            Kind::Text => {
                let have = texts(resource, reading);
                any(&|one| match one {
                    Wanted::Text(text) => have.iter().any(|part| match self.modifier {
                        Modifier::Exact => part == text,
                        Modifier::Contains => folded(part).contains(&folded(text)),
                        _ => folded(part).starts_with(&folded(text)),
                    }),
                    _ => false,
                })
            }
            Kind::Date => {
                let have = spans(resource, reading);
                any(&|one| match one {
                    Wanted::Date { prefix, text, .. } => have.iter().any(|span| compare(*prefix, *span, text, now_ms)),
                    _ => false,
                })
            }
            Kind::Reference => {
                let have = pointers(resource, reading, base);
                any(&|one| {
                    have.iter().any(|pointer| match (one, pointer) {
                        (Wanted::Pointer { rtype, id, .. }, Pointer::Ours(has_type, has_id)) => {
                            let rtype = match &self.modifier {
                                Modifier::Type(named) => Some(named),
                                _ => rtype.as_ref(),
                            };
                            rtype.is_none_or(|rtype| rtype == has_type) && id == has_id
                        }
                        (Wanted::Address(url), Pointer::Elsewhere(has)) => is_canonical(url, has),
                        _ => false,
                    })
                })
            }
            Kind::Uri => {
                let have = uris(resource, reading);
                any(&|one| match one {
                    Wanted::Uri(uri) => have.iter().any(|has| is_canonical(uri, has)),
                    _ => false,
                })
            }
        }
    }

    fn is_empty(&self, resource: &Value, base: &str) -> bool {
        match self.reading.kind {
            Kind::Token => tokens(resource, &self.reading).is_empty(),
            Kind::Text => texts(resource, &self.reading).is_empty(),
            Kind::Date => spans(resource, &self.reading).is_empty(),
            Kind::Reference => pointers(resource, &self.reading, base).is_empty(),
            Kind::Uri => uris(resource, &self.reading).is_empty(),
        }
    }
}

/// The same address; the version at the end of the stored one may be left out.
fn is_canonical(wanted: &str, stored: &str) -> bool {
    wanted == stored || !wanted.contains('|') && stored.split('|').next() == Some(wanted)
}

/// The table of R4 "Prefixes", on spans.
pub fn compare(prefix: Prefix, value: Span, searched: &str, now_ms: i64) -> bool {
    let Some((from, to)) = moment(searched) else {
        return false;
    };
    let (value_from, value_to) = (value.from.unwrap_or(i64::MIN), value.to.unwrap_or(i64::MAX));
    let equal = from <= value_from && value_to <= to;
    let (greater, less) = (value_to > to, value_from < from);
    match prefix {
        Prefix::Eq => equal,
        Prefix::Ne => !equal,
        Prefix::Gt => greater,
        Prefix::Lt => less,
        Prefix::Ge => greater || equal,
        Prefix::Le => less || equal,
        Prefix::Sa => value_from > to,
        Prefix::Eb => value_to < from,
        Prefix::Ap => {
            let middle = from + (to - from) / 2;
            let wider = (now_ms - middle).abs() / 10;
            value_from <= to + wider && value_to >= from - wider
        }
    }
}

impl Wanted {
    fn wire(&self, base: &str) -> String {
        match self {
            Wanted::Token { system, code } => {
                let code = code.as_deref().map(escaped).unwrap_or_default();
                match system {
                    None => code,
                    Some(system) => format!("{}|{code}", escaped(system)),
                }
            }
            Wanted::Text(text) => escaped(text),
            Wanted::Date { spelt, text, .. } => format!("{spelt}{text}"),
            Wanted::Pointer { rtype, id, absolute } => match rtype {
                None => id.clone(),
                Some(rtype) if *absolute => format!("{base}/{rtype}/{id}"),
                Some(rtype) => format!("{rtype}/{id}"),
            },
            Wanted::Address(url) | Wanted::Uri(url) => {
                url.replace('\\', "\\\\").replace(',', "\\,").replace('$', "\\$")
            }
            Wanted::Missing(missing) => missing.to_string(),
        }
    }
}

fn escaped(text: &str) -> String {
    let mut out = String::new();
    for letter in text.chars() {
        if matches!(letter, ',' | '|' | '$' | '\\') {
            out.push('\\');
        }
        out.push(letter);
    }
    out
}
