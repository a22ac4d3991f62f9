//! The tape: every value of a screened document as a byte span, in document order, with a link over its subtree.

use super::text;
use std::borrow::Cow;
use std::ops::Range;

/// The JSON kind of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
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
    /// `null`, which stands only in arrays of primitives.
    Null,
}

/// One value. The root is number 0; the children of a container follow it; `next` is the number after its subtree.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub start: u32,
    pub end: u32,
    pub next: u32,
    pub key_start: u32,
    pub key_len: u8,
    pub kind: Kind,
    /// A string with a backslash in it.
    pub escaped: bool,
}

/// A document that passed: its bytes and the spans of its values.
#[derive(Debug)]
pub struct Screened<'b> {
    pub(super) bytes: &'b [u8],
    pub(super) tape: Vec<Entry>,
    pub(super) references: Vec<u32>,
}

/// A `reference` string of the document.
#[derive(Clone, Copy, Debug)]
pub struct Reference<'s> {
    /// The string itself.
    pub value: Value<'s>,
}

impl<'s> Reference<'s> {
    /// The reference as text.
    pub fn text(&self) -> Cow<'s, str> {
        self.value.text().unwrap_or_default()
    }

    /// Where the text stands in the document, without its quotes.
    pub fn span(&self) -> Range<usize> {
        let span = self.value.span();
        span.start + 1..span.end - 1
    }

    /// Where it is, as a FHIRPath expression.
    pub fn path(&self) -> String {
        self.value.path()
    }
}

impl<'b> Screened<'b> {
    /// The document.
    pub fn bytes(&self) -> &'b [u8] {
        self.bytes
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
    pub fn references(&self) -> impl Iterator<Item = Reference<'_>> {
        self.references.iter().map(|&at| Reference {
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
    fn entry(&self) -> &'s Entry {
        &self.screened.tape[self.at as usize]
    }

    /// The JSON kind.
    pub fn kind(&self) -> Kind {
        self.entry().kind
    }

    /// The name under which it stands in its object; empty for the root and in arrays.
    pub fn key(&self) -> &'s str {
        let entry = self.entry();
        let start = entry.key_start as usize;
        std::str::from_utf8(&self.screened.bytes[start..start + usize::from(entry.key_len)]).unwrap_or_default()
    }

    /// The name under which it stands in its object, as bytes.
    pub(in crate::fhir) fn key_bytes(&self) -> &'s [u8] {
        let entry = self.entry();
        let start = entry.key_start as usize;
        &self.screened.bytes[start..start + usize::from(entry.key_len)]
    }

    /// Where it stands in the document; strings with their quotes.
    pub fn span(&self) -> Range<usize> {
        let entry = self.entry();
        entry.start as usize..entry.end as usize
    }

    /// Where the member stands that holds it, from the quote of its key to the end of the value.
    pub fn member_span(&self) -> Range<usize> {
        let entry = self.entry();
        if entry.key_len == 0 {
            self.span()
        } else {
            entry.key_start as usize - 1..entry.end as usize
        }
    }

    /// Its bytes as they stand in the document.
    pub fn raw(&self) -> &'s [u8] {
        &self.screened.bytes[self.span()]
    }

    /// The text of a string, escapes resolved; `None` for other kinds.
    pub fn text(&self) -> Option<Cow<'s, str>> {
        let entry = self.entry();
        if entry.kind != Kind::String {
            return None;
        }
        let inner = std::str::from_utf8(&self.screened.bytes[entry.start as usize + 1..entry.end as usize - 1]).ok()?;
        Some(if entry.escaped {
            Cow::Owned(text::unescape(inner))
        } else {
            Cow::Borrowed(inner)
        })
    }

    /// As [`Value::text`], in bytes; nothing for other kinds than strings.
    pub(in crate::fhir) fn text_bytes(&self) -> Cow<'s, [u8]> {
        let entry = self.entry();
        match (entry.kind, entry.escaped) {
            (Kind::String, false) => {
                Cow::Borrowed(&self.screened.bytes[entry.start as usize + 1..entry.end as usize - 1])
            }
            _ => Cow::Owned(self.text().unwrap_or_default().into_owned().into_bytes()),
        }
    }

    /// Whether it is the string `text`.
    pub fn is(&self, text: &str) -> bool {
        self.text().is_some_and(|own| own == text)
    }

    /// The member `name` of an object.
    pub fn get(&self, name: &str) -> Option<Value<'s>> {
        self.members().find(|member| member.key() == name)
    }

    /// The members of an object; nothing for other kinds.
    pub fn members(&self) -> Children<'s> {
        self.children(Kind::Object)
    }

    /// The elements of an array; nothing for other kinds.
    pub fn items(&self) -> Children<'s> {
        self.children(Kind::Array)
    }

    /// Values at a path of names, going through every element of arrays on the way, as FHIRPath does.
    pub fn all(&self, path: &[&str]) -> Vec<Value<'s>> {
        let mut found = vec![*self];
        for name in path {
            let mut next = Vec::new();
            for value in found {
                let Some(member) = value.get(name) else { continue };
                if member.kind() == Kind::Array {
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
        if member.kind() == Kind::Array {
            member.items().find_map(|item| item.first(rest))
        } else {
            member.first(rest)
        }
    }

    /// Where it is, as a FHIRPath expression from the root's type.
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
            let array = tape[here.at as usize].kind == Kind::Array;
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

    fn children(&self, kind: Kind) -> Children<'s> {
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
