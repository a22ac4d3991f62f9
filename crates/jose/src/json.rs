//! Reads small untrusted JSON objects (assertion headers and claims, key sets) strictly; duplicate members are refused.

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::fmt;

/// Deepest nesting that a header, a claim set or a key set may have.
const DEPTH: usize = 6;
/// Most members of one object, and most items of one array.
const EACH: usize = 256;

/// Parses `bytes` as one JSON object; `None` for anything else, for a duplicate member, for deeper nesting, and for
/// more than 256 members or items.
pub fn strict_object(bytes: &[u8]) -> Option<Map<String, Value>> {
    match strict(std::str::from_utf8(bytes).ok()?, DEPTH)? {
        Value::Object(object) => Some(object),
        _ => None,
    }
}

fn strict(text: &str, depth: usize) -> Option<Value> {
    match text.trim_start_matches([' ', '\t', '\r', '\n']).as_bytes().first()? {
        b'{' => {
            let members: Members = serde_json::from_str(text).ok()?;
            let mut object = Map::new();
            for (name, value) in members.0 {
                let value = strict(value.get(), depth.checked_sub(1)?)?;
                if object.insert(name, value).is_some() {
                    return None;
                }
            }
            Some(Value::Object(object))
        }
        b'[' => {
            let items: Vec<Box<RawValue>> = serde_json::from_str(text).ok()?;
            let depth = depth.checked_sub(1)?;
            if items.len() > EACH {
                return None;
            }
            items
                .iter()
                .map(|item| strict(item.get(), depth))
                .collect::<Option<Vec<_>>>()
                .map(Value::Array)
        }
        _ => serde_json::from_str(text).ok(),
    }
}

/// The members of an object in their order, including duplicates.
struct Members(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                    if members.len() > EACH {
                        return Err(A::Error::custom("too many members"));
                    }
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

#[cfg(test)]
mod tests {
    use super::strict_object;

    #[test]
    fn t_a13_duplicates_and_oddities_are_refused_at_every_level() {
        for good in ["{}", r#"{"a":1,"b":[{"a":1},{"a":2}]}"#, r#" {"a":{"a":{}}} "#] {
            assert!(strict_object(good.as_bytes()).is_some(), "{good}");
        }
        let list = |count: usize| format!(r#"{{"a":[1{}]}}"#, ",1".repeat(count - 1));
        assert!(strict_object(list(256).as_bytes()).is_some());
        let deep = format!("{}1{}", r#"{"a":"#.repeat(9), "}".repeat(9));
        for bad in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"b":{"a":1,"a":2}}"#,
            r#"{"b":[{"a":1,"a":2}]}"#,
            r#"{"a":1}x"#,
            r#"{"a":1,}"#,
            "[]",
            "1",
            "",
            "\u{feff}{}",
            r#"{"a":NaN}"#,
            r#"{"a":"\ud800"}"#,
            &deep,
            &list(257),
        ] {
            assert!(strict_object(bad.as_bytes()).is_none(), "{bad}");
        }
        assert!(strict_object(b"{\"a\":\"\xff\"}").is_none());
    }
}
