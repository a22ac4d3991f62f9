//! The tape: the byte span of every value of a screened document, in document order, with a link past its subtree.

use super::text;
use std::borrow::Cow;
use std::ops::Range;

/// The JSON type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonKind {
    /// An object; never empty.
    Object,
    /// An array; never empty.
    Array,
    /// A string; never empty.
    String,
    /// A number in JSON's grammar, kept as text.
    Number,
    /// `true`.
    True,
    /// `false`.
    False,
    /// `null`, which occurs only in arrays of primitives.
    Null,
}

/// One value. The root has number 0; the children of a container follow it; `next` is the number of the first value after its subtree.
#[derive(Clone, Copy, Debug)]
pub(super) struct TapeEntry {
    pub start: u32,
    pub end: u32,
    pub next: u32,
    pub key_start: u32,
    pub key_len: u8,
    pub kind: JsonKind,
    /// Whether it is a string that contains a backslash.
    pub escaped: bool,
}

/// A document that passed the pre-screen: its text and the spans of its values.
#[derive(Debug)]
pub struct Screened<'b> {
    pub(super) text: &'b str,
    pub(super) tape: Vec<TapeEntry>,
    pub(super) references: Vec<u32>,
}

/// A `reference` string of the document.
#[derive(Clone, Copy, Debug)]
pub struct ReferenceText<'s> {
    /// The string itself.
    pub value: Value<'s>,
}

impl<'s> ReferenceText<'s> {
    /// The reference as text.
    pub fn text(&self) -> Cow<'s, str> {
        self.value.text().unwrap_or_default()
    }

    /// The position of the text in the document, without its quotes.
    pub fn span(&self) -> Range<usize> {
        let span = self.value.span();
        span.start + 1..span.end - 1
    }

    /// Its place as a FHIRPath expression.
    pub fn path(&self) -> String {
        self.value.path()
    }
}

impl<'b> Screened<'b> {
    /// The document.
    pub fn bytes(&self) -> &'b [u8] {
        self.text.as_bytes()
    }

    /// The `resourceType` of the root; empty when there is none.
    pub fn resource_type(&self) -> Cow<'_, str> {
        self.root()
            .get("resourceType")
            .and_then(|value| value.text())
            .unwrap_or_default()
    }

    /// The root object.
    pub fn root(&self) -> Value<'_> {
        Value { screened: self, at: 0 }
    }

    /// Every string member named `reference`, in document order, contained resources included.
    pub fn references(&self) -> impl Iterator<Item = ReferenceText<'_>> {
        self.references.iter().map(|&at| ReferenceText {
            value: Value { screened: self, at },
        })
    }

    /// Every value of the document, in document order, the root first.
    pub fn values(&self) -> impl Iterator<Item = Value<'_>> {
        (0..u32::try_from(self.tape.len()).unwrap_or(0)).map(|at| Value { screened: self, at })
    }
}

/// One value of a screened document. Copies are cheap.
#[derive(Clone, Copy, Debug)]
pub struct Value<'s> {
    screened: &'s Screened<'s>,
    at: u32,
}

impl<'s> Value<'s> {
    fn entry(&self) -> &'s TapeEntry {
        &self.screened.tape[self.at as usize]
    }

    /// The JSON type.
    pub fn kind(&self) -> JsonKind {
        self.entry().kind
    }

    /// Its name in its object; empty for the root and for elements of arrays.
    pub fn key(&self) -> &'s str {
        let entry = self.entry();
        let start = entry.key_start as usize;
        &self.screened.text[start..start + usize::from(entry.key_len)]
    }

    /// Its name in its object, as bytes.
    pub(in crate::fhir) fn key_bytes(&self) -> &'s [u8] {
        let entry = self.entry();
        let start = entry.key_start as usize;
        &self.screened.bytes()[start..start + usize::from(entry.key_len)]
    }

    /// Its position in the document; strings include their quotes.
    pub fn span(&self) -> Range<usize> {
        let entry = self.entry();
        entry.start as usize..entry.end as usize
    }

    /// The position of its member in the document, from the quote of the name to the end of the value.
    pub fn member_span(&self) -> Range<usize> {
        let entry = self.entry();
        if entry.key_len == 0 {
            self.span()
        } else {
            entry.key_start as usize - 1..entry.end as usize
        }
    }

    /// Its bytes as written in the document.
    pub fn raw(&self) -> &'s [u8] {
        &self.screened.bytes()[self.span()]
    }

    /// The text of a string, with escapes resolved; `None` for other types.
    pub fn text(&self) -> Option<Cow<'s, str>> {
        let entry = self.entry();
        if entry.kind != JsonKind::String {
            return None;
        }
        let inner = &self.screened.text[entry.start as usize + 1..entry.end as usize - 1];
        Some(if entry.escaped {
            Cow::Owned(text::unescape(inner))
        } else {
            Cow::Borrowed(inner)
        })
    }

    /// Like [`Value::text`], in bytes; empty for other types.
    pub(in crate::fhir) fn text_bytes(&self) -> Cow<'s, [u8]> {
        let entry = self.entry();
        match (entry.kind, entry.escaped) {
            (JsonKind::String, false) => {
                Cow::Borrowed(&self.screened.bytes()[entry.start as usize + 1..entry.end as usize - 1])
            }
            _ => Cow::Owned(self.text().unwrap_or_default().into_owned().into_bytes()),
        }
    }

    /// Whether it is the string `text`.
    pub fn is(&self, text: &str) -> bool {
        self.text().is_some_and(|own| own == text)
    }

    /// The member `name` of an object; `None` if it is missing.
    pub fn get(&self, name: &str) -> Option<Value<'s>> {
        self.members().find(|member| member.key_bytes() == name.as_bytes())
    }

    /// The members of an object; none for other types.
    pub fn members(&self) -> Children<'s> {
        self.children(JsonKind::Object)
    }

    /// The elements of an array; none for other types.
    pub fn items(&self) -> Children<'s> {
        self.children(JsonKind::Array)
    }

    /// The values at a path of names. Arrays on the way are replaced by all of their elements, as in FHIRPath.
    pub fn all(&self, path: &[&str]) -> Vec<Value<'s>> {
        let mut found = vec![*self];
        for name in path {
            let mut next = Vec::new();
            for value in found {
                let Some(member) = value.get(name) else { continue };
                if member.kind() == JsonKind::Array {
                    next.extend(member.items())
                } else {
                    next.push(member)
                }
            }
            found = next;
        }
        found
    }

    /// The first of [`Value::all`].
    pub fn first(&self, path: &[&str]) -> Option<Value<'s>> {
        let Some((name, rest)) = path.split_first() else {
            return Some(*self);
        };
        let member = self.get(name)?;
        if member.kind() == JsonKind::Array {
            member.items().find_map(|item| item.first(rest))
        } else {
            member.first(rest)
        }
    }

    /// Its place as a FHIRPath expression that begins with the root's type.
    pub fn path(&self) -> String {
        let tape = &self.screened.tape;
        let mut path = self.screened.resource_type().into_owned();
        if !causeway_fhir_types::is_type(&path) {
            "Resource".clone_into(&mut path);
        }
        let mut here = Value {
            screened: self.screened,
            at: 0,
        };
        while here.at != self.at {
            let array = tape[here.at as usize].kind == JsonKind::Array;
            let children = Children {
                screened: self.screened,
                at: here.at + 1,
                end: here.entry().next,
            };
            let Some((index, child)) = children
                .enumerate()
                .find(|(_, child)| (child.at..child.entry().next).contains(&self.at))
            else {
                break;
            };
            if array {
                path.push_str(&format!("[{index}]"));
            } else {
                let Some(name) = text::element_name(child.key()) else {
                    break;
                };
                path.push('.');
                path.push_str(name);
            }
            here = child;
        }
        path
    }

    fn children(&self, kind: JsonKind) -> Children<'s> {
        let entry = self.entry();
        let end = if entry.kind == kind { entry.next } else { self.at + 1 };
        Children {
            screened: self.screened,
            at: self.at + 1,
            end,
        }
    }
}

/// The children of a container, in document order.
#[derive(Clone, Debug)]
pub struct Children<'s> {
    screened: &'s Screened<'s>,
    at: u32,
    end: u32,
}

impl<'s> Iterator for Children<'s> {
    type Item = Value<'s>;

    fn next(&mut self) -> Option<Value<'s>> {
        if self.at >= self.end {
            return None;
        }
        let value = Value {
            screened: self.screened,
            at: self.at,
        };
        self.at = value.entry().next;
        Some(value)
    }
}
