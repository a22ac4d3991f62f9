//! Checks a screened document against a JSON schema without building a second copy of the document.
//!
//! Only the keywords that the profile uses are supported: a schema with any other keyword does not compile. The check says whether a
//! document is valid, not why.

use crate::fhir::prescreen::{JsonKind, Value};
use serde_json::{Map, Value as Json};
use std::collections::HashMap;

/// A compiled schema.
#[derive(Debug)]
pub struct Quick {
    nodes: Vec<Node>,
    root: usize,
}

#[derive(Debug, Default)]
struct Node {
    never: bool,
    types: Option<Vec<JsonKind>>,
    one_of: Option<Vec<String>>,
    required: Vec<String>,
    properties: Vec<(String, usize)>,
    closed: bool,
    items: Option<usize>,
    items_count: Bounds,
    characters: Bounds,
    pattern: Option<fn(&str) -> bool>,
    all_of: Vec<usize>,
    not: Option<usize>,
    when: Option<usize>,
    then: Option<usize>,
}

/// A minimum and a maximum, both optional.
#[derive(Debug, Default)]
struct Bounds(Option<u64>, Option<u64>);

impl Bounds {
    fn hold(&self, count: impl FnOnce() -> usize) -> bool {
        if self.0.is_none() && self.1.is_none() {
            return true;
        }
        let count = count() as u64;
        self.0.is_none_or(|least| least <= count) && self.1.is_none_or(|most| count <= most)
    }
}

struct Compiler<'s> {
    definitions: Option<&'s Map<String, Json>>,
    nodes: Vec<Node>,
    named: HashMap<&'s str, usize>,
}

impl Quick {
    /// Compiles `schema`; `None` when it uses a keyword or a pattern that is not supported here.
    pub fn compile(schema: &Json) -> Option<Quick> {
        let mut compiler = Compiler {
            definitions: schema.get("$defs").and_then(Json::as_object),
            nodes: Vec::new(),
            named: HashMap::new(),
        };
        let root = compiler.node(schema)?;
        Some(Quick {
            nodes: compiler.nodes,
            root,
        })
    }

    /// Whether `value` is valid.
    pub fn holds(&self, value: Value<'_>) -> bool {
        self.node_holds(self.root, value)
    }

    fn node_holds(&self, at: usize, value: Value<'_>) -> bool {
        let node = &self.nodes[at];
        !node.never
            && node.types.as_ref().is_none_or(|types| types.contains(&value.kind()))
            && node
                .one_of
                .as_ref()
                .is_none_or(|texts| texts.iter().any(|text| value.is(text)))
            && match value.kind() {
                JsonKind::Object => self.object_holds(node, value),
                JsonKind::Array => self.array_holds(node, value),
                JsonKind::String => string_holds(node, value),
                _ => true,
            }
            && node.all_of.iter().all(|all| self.node_holds(*all, value))
            && node.not.is_none_or(|not| !self.node_holds(not, value))
            && match (node.when, node.then) {
                (Some(when), Some(then)) => !self.node_holds(when, value) || self.node_holds(then, value),
                _ => true,
            }
    }

    fn object_holds(&self, node: &Node, value: Value<'_>) -> bool {
        let own = |name: &str| node.properties.iter().find(|(known, _)| known == name);
        node.required.iter().all(|name| value.get(name).is_some())
            && (node.properties.is_empty() && !node.closed
                || value.members().all(|member| match own(member.key()) {
                    Some((_, at)) => self.node_holds(*at, member),
                    None => !node.closed,
                }))
    }

    fn array_holds(&self, node: &Node, value: Value<'_>) -> bool {
        node.items_count.hold(|| value.items().count())
            && node
                .items
                .is_none_or(|items| value.items().all(|item| self.node_holds(items, item)))
    }
}

fn string_holds(node: &Node, value: Value<'_>) -> bool {
    let text = value.text().unwrap_or_default();
    node.characters.hold(|| text.chars().count()) && node.pattern.is_none_or(|pattern| pattern(&text))
}

impl<'s> Compiler<'s> {
    fn node(&mut self, schema: &'s Json) -> Option<usize> {
        let map = match schema {
            Json::Bool(holds) => {
                return Some(self.add(Node {
                    never: !holds,
                    ..Node::default()
                }));
            }
            Json::Object(map) => map,
            _ => return None,
        };
        if let (Some(Json::String(name)), 1) = (map.get("$ref"), map.len()) {
            return self.definition(name.strip_prefix("#/$defs/")?);
        }
        let mut node = Node::default();
        for (keyword, value) in map {
            self.keyword(&mut node, keyword, value)?;
        }
        Some(self.add(node))
    }

    fn keyword(&mut self, node: &mut Node, keyword: &str, value: &'s Json) -> Option<()> {
        match keyword {
            "$schema" | "$id" | "title" | "$defs" => {}
            "type" => node.types = Some(texts(value)?.iter().map(|name| kind(name)).collect::<Option<_>>()?),
            "const" => node.one_of = Some(vec![value.as_str()?.to_owned()]),
            "enum" => node.one_of = Some(texts(value)?),
            "required" => node.required = texts(value)?,
            "properties" => {
                for (name, schema) in value.as_object()? {
                    let at = self.node(schema)?;
                    node.properties.push((name.clone(), at));
                }
            }
            "additionalProperties" => node.closed = !value.as_bool()?,
            "items" => node.items = Some(self.node(value)?),
            "minItems" => node.items_count.0 = Some(value.as_u64()?),
            "maxItems" => node.items_count.1 = Some(value.as_u64()?),
            "minLength" => node.characters.0 = Some(value.as_u64()?),
            "maxLength" => node.characters.1 = Some(value.as_u64()?),
            "pattern" => node.pattern = Some(pattern(value.as_str()?)?),
            "allOf" => {
                for schema in value.as_array()? {
                    let at = self.node(schema)?;
                    node.all_of.push(at);
                }
            }
            "not" => node.not = Some(self.node(value)?),
            "if" => node.when = Some(self.node(value)?),
            "then" => node.then = Some(self.node(value)?),
            _ => return None,
        }
        Some(())
    }

    fn definition(&mut self, name: &'s str) -> Option<usize> {
        if let Some(at) = self.named.get(name) {
            return Some(*at);
        }
        let schema = self.definitions?.get(name)?;
        let at = self.node(schema)?;
        self.named.insert(name, at);
        Some(at)
    }

    fn add(&mut self, node: Node) -> usize {
        self.nodes.push(node);
        self.nodes.len() - 1
    }
}

fn texts(value: &Json) -> Option<Vec<String>> {
    match value {
        Json::String(text) => Some(vec![text.clone()]),
        Json::Array(list) => list.iter().map(|one| Some(one.as_str()?.to_owned())).collect(),
        _ => None,
    }
}

fn kind(name: &str) -> Option<JsonKind> {
    match name {
        "object" => Some(JsonKind::Object),
        "array" => Some(JsonKind::Array),
        "string" => Some(JsonKind::String),
        "null" => Some(JsonKind::Null),
        _ => None,
    }
}

/// The check for a pattern of the profile; `None` for any other pattern, which makes the schema fail to compile.
fn pattern(text: &str) -> Option<fn(&str) -> bool> {
    match text {
        r"^[A-Za-z0-9\-.]+$" => Some(is_id),
        r"^[^ \t\r\n]+$" => Some(is_uri),
        r"^[0-9]{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12][0-9]|3[01]))?)?$" => Some(is_date),
        r"^[0-9]{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12][0-9]|3[01])(T([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)(\.[0-9]{1,9})?(Z|[+-](0[0-9]|1[0-4]):[0-5][0-9]))?)?)?$" => {
            Some(is_date_time)
        }
        _ => None,
    }
}

fn is_id(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    !text.is_empty() && text.bytes().all(allowed)
}

fn is_uri(text: &str) -> bool {
    !text.is_empty() && !text.bytes().any(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
}

fn is_date(text: &str) -> bool {
    let mut rest = Rest(text.as_bytes());
    rest.day().is_some() && rest.0.is_empty()
}

fn is_date_time(text: &str) -> bool {
    let mut rest = Rest(text.as_bytes());
    match rest.day() {
        Some(true) if !rest.0.is_empty() => rest.time().is_some() && rest.0.is_empty(),
        Some(_) => rest.0.is_empty(),
        None => false,
    }
}

/// The part of a date that has not been read yet.
struct Rest<'t>(&'t [u8]);

impl Rest<'_> {
    fn take(&mut self, wanted: u8) -> Option<()> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        (*first == wanted).then_some(())
    }

    /// Reads two digits with a value between `least` and `most`.
    fn two(&mut self, least: u8, most: u8) -> Option<()> {
        let [tens, ones, rest @ ..] = self.0 else {
            return None;
        };
        self.0 = rest;
        let is_number = tens.is_ascii_digit() && ones.is_ascii_digit();
        let number = is_number.then(|| (tens - b'0') * 10 + (ones - b'0'))?;
        (least..=most).contains(&number).then_some(())
    }

    /// Reads a year, a month or a day. Returns whether it was a full date with a day.
    fn day(&mut self) -> Option<bool> {
        self.two(0, 99)?;
        self.two(0, 99)?;
        if self.0.is_empty() {
            return Some(false);
        }
        self.take(b'-')?;
        self.two(1, 12)?;
        if self.0.is_empty() {
            return Some(false);
        }
        self.take(b'-')?;
        self.two(1, 31)?;
        Some(true)
    }

    fn time(&mut self) -> Option<()> {
        self.take(b'T')?;
        self.two(0, 23)?;
        self.take(b':')?;
        self.two(0, 59)?;
        self.take(b':')?;
        self.two(0, 60)?;
        if self.0.first() == Some(&b'.') {
            self.take(b'.')?;
            let digits = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if !(1..=9).contains(&digits) {
                return None;
            }
            self.0 = &self.0[digits..];
        }
        match self.0.first()? {
            b'Z' => self.take(b'Z'),
            sign @ (b'+' | b'-') => {
                self.take(*sign)?;
                self.two(0, 14)?;
                self.take(b':')?;
                self.two(0, 59)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_times_are_read_as_the_patterns_say() {
        for good in [
            "1984",
            "1984-07",
            "1984-07-09",
            "1984-07-09T10:20:30Z",
            "1984-07-09T10:20:60.123456789+14:59",
            "1984-12-31T23:59:59-00:00",
        ] {
            assert!(is_date_time(good), "{good}");
            assert_eq!(is_date(good), !good.contains('T'), "{good}");
        }
        for bad in [
            "",
            "198",
            "19840",
            "1984-",
            "1984-13",
            "1984-00",
            "1984-7-9",
            "1984-07-32",
            "1984-07-00",
            "1984-07-09T",
            "1984-07T10:20:30Z",
            "1984-07-09T24:00:00Z",
            "1984-07-09T10:20Z",
            "1984-07-09T10:20:61Z",
            "1984-07-09T10:20:30",
            "1984-07-09T10:20:30.Z",
            "1984-07-09T10:20:30.1234567890Z",
            "1984-07-09T10:20:30+15:00",
            "1984-07-09T10:20:30Z ",
            "1984-07-09\n",
            "１984",
        ] {
            assert!(!is_date(bad) && !is_date_time(bad), "{bad}");
        }
        assert!(is_id("a-B.9") && !is_id("") && !is_id("a_b") && !is_id("a\n") && !is_id("é"));
        assert!(is_uri("urn:é") && !is_uri("") && !is_uri("a b") && !is_uri("a\n"));
    }

    #[test]
    fn a_schema_with_an_unknown_keyword_or_pattern_compiles_to_nothing() {
        for schema in [
            serde_json::json!({"minimum": 1}),
            serde_json::json!({"properties": {"a": {"pattern": "^x$"}}}),
            serde_json::json!({"const": 1}),
            serde_json::json!({"$ref": "#/$defs/gone"}),
        ] {
            assert!(Quick::compile(&schema).is_none(), "{schema}");
        }
    }
}
