//! One member of a bulk match: as the body names it, as a line of the spool, and as the body of a single match. Pure.

use crate::error::Failure;
use crate::fhir::prescreen::{ScreenLimits, Screened, Value, screen};

/// One member as the body names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedMember {
    /// Its index in `Parameters.parameter`.
    pub index: usize,
    /// Whether the body names the same Patient with several coverages.
    pub is_repeated: bool,
    /// The parameter as it was sent.
    pub bytes: Vec<u8>,
}

/// The place of a parameter as a FHIRPath expression.
pub fn place(index: usize) -> String {
    format!("Parameters.parameter[{index}]")
}

/// The resource of a part of the member in a [`wrapped`] text.
pub fn part<'s>(screened: &'s Screened<'_>, name: &str) -> Option<Value<'s>> {
    let member = screened.root().get("parameter")?.items().next()?;
    let parts = member.get("part")?;
    let named = parts
        .items()
        .find(|part| part.get("name").is_some_and(|own| own.is(name)))?;
    named.get("resource")
}

/// A parameter as the only one of a Parameters resource, which the pre-screen reads.
pub fn wrapped(bytes: &[u8]) -> Vec<u8> {
    [
        br#"{"resourceType":"Parameters","parameter":["#.as_slice(),
        bytes,
        b"]}",
    ]
    .concat()
}

/// One member as the body of a single match, and where its parts stood.
#[derive(Debug)]
pub struct MemberRequest {
    /// The Parameters.
    pub body: Vec<u8>,
    index: usize,
    /// The index of each parameter among the parts; `None` when the body is the member as it was sent.
    pub(super) parts: Option<Vec<usize>>,
}

impl MemberRequest {
    /// A failure that names places in the body of the single match, with the places in the whole body instead.
    pub fn placed(&self, failure: &Failure) -> Failure {
        let moved = Failure::new(failure.fault()).remedy(self.moved(failure.remedy_text()));
        let places = failure.expressions();
        if places.is_empty() {
            return moved.at(place(self.index));
        }
        places.iter().fold(moved, |moved, one| {
            let told = self.moved(one);
            match told.starts_with("Parameters.") {
                true => moved.at(told),
                false => moved.at(place(self.index)),
            }
        })
    }

    /// A text in which `Parameters.parameter[0]` becomes `Parameters.parameter[i].part[j]`.
    fn moved(&self, text: &str) -> String {
        const FROM: &str = "Parameters.parameter";
        let Some(parts) = &self.parts else {
            return text.replace("Parameters.parameter[0]", &place(self.index));
        };
        let mut rest = text;
        let mut out = String::new();
        while let Some(at) = rest.find(FROM) {
            out.push_str(&rest[..at]);
            rest = &rest[at + FROM.len()..];
            out.push_str(&format!("{}.part", place(self.index)));
            let numbered = rest.strip_prefix('[').and_then(|rest| rest.split_once(']'));
            let known = numbered.and_then(|(number, after)| Some((parts.get(number.parse::<usize>().ok()?)?, after)));
            if let Some((part, after)) = known {
                out.push_str(&format!("[{part}]"));
                rest = after;
            }
        }
        out.push_str(rest);
        out
    }
}

/// A byte that stands nowhere in JSON.
const NOWHERE: u8 = 0x01;

/// The parts of a member that the single match knows. Others may stand beside them, and are passed over.
const PARTS: [&str; 4] = ["MemberPatient", "CoverageToMatch", "CoverageToLink", "Consent"];

impl NamedMember {
    /// The member as the body of a single match. One that cannot be read gives a body that cannot be read either.
    pub fn request(&self) -> MemberRequest {
        let text = wrapped(&self.bytes);
        let Ok(screened) = screen(&text, &ScreenLimits::request()) else {
            return MemberRequest {
                body: text,
                index: self.index,
                parts: None,
            };
        };
        let member = screened.root().get("parameter").and_then(|list| list.items().next());
        let parts = member.and_then(|member| member.get("part"));
        let is_known = |part: &Value<'_>| {
            let name = part.get("name");
            name.is_some_and(|name| PARTS.iter().any(|known| name.is(known)))
        };
        let known: Vec<(usize, Value<'_>)> = parts
            .iter()
            .flat_map(Value::items)
            .enumerate()
            .filter(|(_, part)| is_known(part))
            .collect();
        let mut body = br#"{"resourceType":"Parameters""#.to_vec();
        for (at, (_, part)) in known.iter().enumerate() {
            let before: &[u8] = if at == 0 { b",\"parameter\":[" } else { b"," };
            body.extend_from_slice(before);
            body.extend_from_slice(part.raw());
        }
        let end: &[u8] = if known.is_empty() { b"}" } else { b"]}" };
        body.extend_from_slice(end);
        MemberRequest {
            body,
            index: self.index,
            parts: Some(known.iter().map(|(at, _)| *at).collect()),
        }
    }

    /// Its line: the index, the mark, and the parameter, in which a line end becomes a blank. In one that cannot be read a line end may stand
    /// in a string: it becomes a byte that JSON has nowhere, so that nobody reads what was not sent.
    pub(super) fn line(&self, is_readable: bool) -> Vec<u8> {
        let mut line = format!("{} {} ", self.index, u8::from(self.is_repeated)).into_bytes();
        let end = if is_readable { b' ' } else { NOWHERE };
        let flat = |byte: &u8| if matches!(byte, b'\n' | b'\r') { end } else { *byte };
        line.extend(self.bytes.iter().map(flat));
        line
    }

    pub(super) fn of_line(line: &[u8]) -> Option<NamedMember> {
        let mut words = line.splitn(3, |byte| *byte == b' ');
        let index = std::str::from_utf8(words.next()?).ok()?.parse().ok()?;
        let is_repeated = match words.next()? {
            b"0" => false,
            b"1" => true,
            _ => return None,
        };
        Some(NamedMember {
            index,
            is_repeated,
            bytes: words.next()?.to_vec(),
        })
    }
}
