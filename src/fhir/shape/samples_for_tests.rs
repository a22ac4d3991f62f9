//! Resources for tests, generated from the table: each element in its right shape, and in every wrong shape.

use super::primitive::{Json, Primitive};
use super::table::{ClassId, Element, Holds, ShapeTable};

/// Part of every wrong string, so that a test can check that no value gets into a failure.
pub(crate) const MARK: &str = "Marigold";
/// The resource in which data types are tested, as an extension.
const HOST: &str = "Basic";
/// Steps from this resource to an element of a data type: `extension`, `valueTiming`, `repeat`, `bounds[x]`.
const HOST_DEPTH: usize = 4;

/// A resource with one element that is tested.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// Its type.
    pub rtype: &'static str,
    /// The place of the object that has the element.
    pub parent: String,
    /// The element's name in JSON.
    pub name: &'static str,
    /// What is wrong with the element.
    pub wrong: &'static str,
    /// The whole resource.
    pub json: String,
}

type Step = (ClassId, &'static Element);
type Members = Vec<(String, String)>;

/// Every element of every resource type in its right shape.
pub(crate) fn good(tell: &mut dyn FnMut(Case)) {
    each(&mut |steps| {
        let (_, element) = steps[steps.len() - 1];
        let members = vec![(element.name.to_owned(), right(element))];
        tell(case(steps, "nothing", members, None));
        if element.companion {
            let id = r#"{"id":"x"}"#;
            let name = format!("_{}", element.name);
            let members = vec![(name, if element.array { format!("[{id}]") } else { id.into() })];
            tell(case(steps, "nothing", members, None));
        }
    });
}

/// Every element of every resource type in every wrong shape.
pub(crate) fn wrong(tell: &mut dyn FnMut(Case)) {
    let table = ShapeTable::get();
    each(&mut |steps| {
        let (class, element) = steps[steps.len() - 1];
        for (wrong, json) in wrongs(table, element) {
            tell(case(steps, wrong, vec![(element.name.to_owned(), json)], None));
        }
        let companion = |json: String| vec![(format!("_{}", element.name), json)];
        let own = r#"{"id":"x"}"#.to_owned();
        let (shape, other) = if element.array {
            (format!("[{own}]"), own)
        } else {
            (own.clone(), format!("[{own}]"))
        };
        if element.companion {
            tell(case(steps, "_name as array or single", companion(other), None));
            tell(case(steps, "_name is a string", companion(format!("\"{MARK}\"")), None));
            tell(case(
                steps,
                "_name has a value",
                companion(format!(r#"{{"value":"{MARK}"}}"#)),
                None,
            ));
        } else {
            tell(case(steps, "_name where none may be", companion(shape), None));
        }
        let mut elements = table.classes[usize::from(class)]
            .elements
            .iter()
            .map(|id| &table.elements[usize::from(*id)]);
        if let Some(second) = elements.rfind(|one| one.slot == element.slot && one.name != element.name) {
            let members = vec![
                (element.name.to_owned(), right(element)),
                (second.name.to_owned(), right(second)),
            ];
            tell(case(steps, "a choice in two types", members, None));
        }
        if element.choice {
            let name = format!("{}Wrong", element.defined.trim_end_matches("[x]"));
            tell(case(
                steps,
                "an unknown type of a choice",
                vec![(name, "true".into())],
                None,
            ));
        }
        if table.classes[usize::from(class)].required & (1 << element.slot) != 0 {
            tell(case(
                steps,
                "missing",
                vec![("id".into(), "\"x\"".into())],
                Some(element.slot),
            ));
        }
    });
}

/// Calls `tell` for each element of the resource types and, within [`HOST`], of the data types.
fn each(tell: &mut dyn FnMut(&[Step])) {
    let table = ShapeTable::get();
    for (number, class) in table.classes.iter().enumerate() {
        if class.resource && class.name != "DomainResource" {
            descend(table, number as ClassId, class.name == HOST, &mut Vec::new(), tell);
        }
    }
}

fn descend(
    table: &'static ShapeTable,
    class: ClassId,
    host: bool,
    steps: &mut Vec<Step>,
    tell: &mut dyn FnMut(&[Step]),
) {
    for id in &table.classes[usize::from(class)].elements {
        let element = &table.elements[usize::from(*id)];
        steps.push((class, element));
        tell(steps);
        if let Holds::Class(inner) = element.holds {
            let part = table.classes[usize::from(inner)].name.contains('.');
            let typed = host && steps.len() < HOST_DEPTH && (steps.len() > 1 || element.name == "extension");
            if (part || typed) && steps.iter().all(|(outer, _)| *outer != inner) {
                descend(table, inner, host, steps, tell);
            }
        }
        steps.pop();
    }
}

/// A resource in which the object at the end of `steps` has these members.
fn case(steps: &[Step], wrong: &'static str, members: Members, omit: Option<u8>) -> Case {
    let table = ShapeTable::get();
    let rtype = table.classes[usize::from(steps[0].0)].name;
    let (mut members, mut omit, mut parent) = (members, omit, rtype.to_owned());
    for (_, element) in &steps[..steps.len() - 1] {
        parent.push('.');
        parent.push_str(element.name);
        parent.push_str(if element.array { "[0]" } else { "" });
    }
    for (at, (class, _)) in steps.iter().enumerate().rev() {
        let json = object(table, *class, members, omit.take());
        let Some((_, holder)) = at.checked_sub(1).map(|at| steps[at]) else {
            return Case {
                rtype,
                parent,
                name: steps[steps.len() - 1].1.name,
                wrong,
                json,
            };
        };
        members = vec![(
            holder.name.to_owned(),
            if holder.array { format!("[{json}]") } else { json },
        )];
    }
    unreachable!("a path has steps");
}

/// An object with these members and all required elements, except `omit`.
fn object(table: &'static ShapeTable, class: ClassId, members: Members, omit: Option<u8>) -> String {
    let own = &table.classes[usize::from(class)];
    let mut out: Members = Vec::new();
    if own.resource {
        out.push(("resourceType".into(), format!("\"{}\"", own.name)));
        if !members.iter().any(|(name, _)| name == "id") {
            out.push(("id".into(), "\"x\"".into()));
        }
    }
    let slot = |name: &str| {
        table
            .element(class, name.trim_start_matches('_').as_bytes())
            .map(|element| element.slot)
    };
    let mut there: u64 = members
        .iter()
        .filter_map(|(name, _)| slot(name))
        .fold(0, |bits, slot| bits | 1 << slot);
    there |= omit.map_or(0, |slot| 1 << slot);
    out.extend(members);
    let elements = own.elements.iter().map(|id| &table.elements[usize::from(*id)]);
    for element in elements {
        let bit = 1u64 << element.slot;
        let either = own.either & bit != 0 && there & own.either == 0 && element.name == "valueString";
        if (own.required & bit != 0 && there & bit == 0) || either {
            there |= bit;
            out.push((element.name.to_owned(), right(element)));
        }
    }
    if out.is_empty() {
        out.push(("id".into(), "\"x\"".into()));
    }
    let members: Vec<String> = out.iter().map(|(name, json)| format!("\"{name}\":{json}")).collect();
    format!("{{{}}}", members.join(","))
}

/// A valid value of an element.
fn right(element: &Element) -> String {
    let one = one(element);
    if element.array { format!("[{one}]") } else { one }
}

fn one(element: &Element) -> String {
    let table = ShapeTable::get();
    let codes = element.codes.map(|codes| &table.codes[usize::from(codes)]);
    match element.holds {
        Holds::Primitive(_) if codes.is_some() => format!("\"{}\"", codes.map_or("", |codes| codes.codes[0])),
        Holds::Primitive(kind) => primitive(kind).into(),
        Holds::Resource => r#"{"resourceType":"Basic","id":"c","code":{"text":"t"}}"#.into(),
        Holds::Class(class) => match codes {
            Some(codes) => {
                let system = codes.system.unwrap_or_default();
                format!(r#"{{"coding":[{{"system":"{system}","code":"{}"}}]}}"#, codes.codes[0])
            }
            None => object(table, class, Vec::new(), None),
        },
    }
}

fn primitive(kind: Primitive) -> &'static str {
    match kind {
        Primitive::Base64Binary => "\"QUJD\"",
        Primitive::Boolean => "true",
        Primitive::Currency => "\"USD\"",
        Primitive::Date => "\"2020-02-29\"",
        Primitive::DateTime | Primitive::Instant => "\"2020-02-29T10:00:00.5+01:00\"",
        Primitive::Decimal => "1.50",
        Primitive::Integer | Primitive::PositiveInt | Primitive::UnsignedInt => "1",
        Primitive::Oid => "\"urn:oid:1.2\"",
        Primitive::Time => "\"10:00:00\"",
        Primitive::Uri | Primitive::Url | Primitive::Canonical => "\"http://x.example/a\"",
        Primitive::Uuid => "\"urn:uuid:c757873d-ec9a-4326-a141-556f43239520\"",
        Primitive::Xhtml => "\"<div>x</div>\"",
        Primitive::Code | Primitive::Id | Primitive::Markdown | Primitive::String => "\"x\"",
    }
}

fn wrongs(table: &'static ShapeTable, element: &Element) -> Vec<(&'static str, String)> {
    let one = one(element);
    let put = |json: String| if element.array { format!("[{json}]") } else { json };
    let text = |text: &str| put(format!("\"{text}\""));
    let mut found = vec![
        ("null", "null".to_owned()),
        ("an array of null", "[null]".into()),
        ("an array of arrays", format!("[[{one}]]")),
        ("an empty object", put("{}".into())),
        ("an empty array", "[]".into()),
        ("an empty string", text("")),
    ];
    found.push(match element.array {
        true => ("single for array", one),
        false => ("array for single", format!("[{one}]")),
    });
    let json = match element.holds {
        Holds::Primitive(kind) => Some(kind.json()),
        Holds::Class(_) | Holds::Resource => None,
    };
    if json != Some(Json::Number) {
        found.push(("a number", put("5".into())));
    }
    if json != Some(Json::Boolean) {
        found.push(("true", put("true".into())));
    }
    if json != Some(Json::String) {
        found.extend([
            ("a string", text(MARK)),
            ("true as a string", text("true")),
            ("a number as a string", text("1")),
        ]);
    }
    if json.is_some() {
        found.push(("an object", put(r#"{"id":"x"}"#.into())));
    } else {
        found.push(("an unknown element", put(format!(r#"{{"wrongElement":"{MARK}"}}"#))));
        found.push((
            "the name of another type",
            put(format!(r#"{{"resourceType":"{MARK}"}}"#)),
        ));
    }
    if let Holds::Primitive(kind) = element.holds {
        let bad: &[&str] = match kind {
            Primitive::Base64Binary => &["Marigold!", "QQ"],
            Primitive::Code => &[" Marigold", "Marigold ", "Mari  gold"],
            Primitive::Currency => &[MARK],
            Primitive::Date => &[MARK, "19-01-1990", "2020-13-01", "2021-02-29", "2020-01-01T00:00:00Z"],
            Primitive::DateTime | Primitive::Instant => {
                &[MARK, "2020-01-01T10:00:00", "2020-01-01 10:00:00Z", "01/02/2020"]
            }
            Primitive::Id => &["Mari gold", "Mari_gold"],
            Primitive::Oid | Primitive::Uuid | Primitive::Time | Primitive::Xhtml => &[MARK],
            Primitive::Uri | Primitive::Url | Primitive::Canonical => &["Mari gold"],
            _ => &[],
        };
        found.extend(bad.iter().map(|bad| ("a value of another grammar", text(bad))));
        let numbers: &[&str] = match kind {
            Primitive::Integer => &["1.5", "2147483648", "-2147483649", "1e2"],
            Primitive::UnsignedInt => &["-1", "0.5"],
            Primitive::PositiveInt => &["0", "-1"],
            _ => &[],
        };
        found.extend(
            numbers
                .iter()
                .map(|bad| ("a number of another grammar", put((*bad).into()))),
        );
    }
    if let Some(codes) = element.codes {
        let system = table.codes[usize::from(codes)].system;
        match system {
            None => found.push(("a wrong code", text(MARK))),
            Some(system) => {
                let coding = |system: &str| put(format!(r#"{{"coding":[{{"system":"{system}","code":"{MARK}"}}]}}"#));
                found.extend([
                    ("a wrong code", coding(system)),
                    ("a wrong system", coding("http://x")),
                    ("text for a required code", put(format!(r#"{{"text":"{MARK}"}}"#))),
                ]);
            }
        }
    }
    found
}
