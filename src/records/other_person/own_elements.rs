//! References of a resource's own elements: the pointer stays, a name or number of another person beside it goes.

use super::target::{self, Target};
use super::{PERSON_ELEMENTS, Record};
use crate::fhir::prescreen::{Kind, Screened, Value};
use memchr::memmem;
use std::cmp::Reverse;
use std::ops::Range;

/// What stands in place of a Reference that tells another person's name or number and points nowhere.
const WITHHELD: &str = r#"{"display":"Name withheld"}"#;
/// What a Reference tells of a person besides where the person's resource is.
const TOLD: [&str; 4] = ["display", "_display", "identifier", "_identifier"];

/// The changes that make the released form of a resource of `record`: nothing when no name or number of another person stands
/// beside a reference of its own elements. Sorted, and apart from each other.
pub fn edits(resource: &Screened<'_>, record: &Record<'_>) -> Vec<(Range<usize>, String)> {
    let root = resource.root();
    let contained = root.get("contained").map_or(0..0, |contained| contained.span());
    let mut edits = Vec::new();
    for reference in resource.references() {
        let text = reference.text();
        // The quick half first: nearly all references are to the member, or to no person at all.
        if !text.contains("P") && !text.contains("Group") || contained.contains(&reference.span().start) {
            continue;
        }
        if target::of(&text, record) == Target::Person {
            edits.extend(holder(&root, reference.span().start).iter().flat_map(cuts));
        }
    }
    let rtype = resource.resource_type();
    for (_, path) in PERSON_ELEMENTS.iter().filter(|(of, _)| *of == rtype) {
        for value in root.all(path) {
            let text = value.get("reference").and_then(|reference| reference.text());
            match text.map(|text| target::of(&text, record)) {
                Some(Target::Other | Target::Unknown) => edits.extend(cuts(&value)),
                Some(Target::Member | Target::Nobody | Target::Contained | Target::Person) => {}
                None if target::says_nobody(&value) || value.kind() != Kind::Object => {}
                None => edits.push((value.span(), WITHHELD.to_owned())),
            }
        }
    }
    // `Reference.type` tells a person where the literal does not, or is not there.
    const PERSONS: [&[u8]; 3] = [b"Patient\"", b"Person\"", b"Group\""];
    if PERSONS
        .iter()
        .any(|name| memmem::find(resource.bytes(), name).is_some())
    {
        for member in root.members().filter(|member| member.key() != "contained") {
            typed(&member, record, &mut edits);
        }
    }
    // A Reference may stand in the identifier or an extension of another; what is cut around it takes it along.
    edits.sort_by_key(|(span, _)| (span.start, Reverse(span.end)));
    let mut end = 0;
    edits.retain(|(span, _)| {
        let apart = span.start >= end;
        end = end.max(span.end);
        apart
    });
    edits
}

/// The cuts of every Reference below `value` that says that it means a person, and not this member. The pre-screen bounds the
/// depth.
fn typed(value: &Value<'_>, record: &Record<'_>, edits: &mut Vec<(Range<usize>, String)>) {
    if value.kind() == Kind::Object && target::says_person(value) {
        let text = value.get("reference").and_then(|reference| reference.text());
        let target = text.map_or(Target::Unknown, |text| target::of(&text, record));
        if !matches!(target, Target::Member | Target::Contained) {
            edits.extend(cuts(value));
        }
    }
    for child in value.members().chain(value.items()) {
        if matches!(child.kind(), Kind::Object | Kind::Array) {
            typed(&child, record, edits);
        }
    }
}

/// `edits` and the cuts of another rule together; what lies inside of a cut is gone with it. Both are sorted.
pub fn merged(
    mut cuts: Vec<(Range<usize>, String)>,
    mut edits: Vec<(Range<usize>, String)>,
) -> Vec<(Range<usize>, String)> {
    edits.retain(|(span, _)| {
        !cuts
            .iter()
            .any(|(cut, _)| cut.start <= span.start && span.end <= cut.end)
    });
    cuts.append(&mut edits);
    cuts.sort_by_key(|(span, _)| span.start);
    cuts
}

/// The object that holds the reference at this byte.
fn holder<'s>(root: &Value<'s>, at: usize) -> Option<Value<'s>> {
    let mut here = *root;
    loop {
        let child = here
            .members()
            .chain(here.items())
            .find(|child| child.span().contains(&at))?;
        if child.kind() == Kind::String {
            return Some(here);
        }
        here = child;
    }
}

/// Cuts what a Reference tells besides its literal, which stays.
fn cuts(reference: &Value<'_>) -> Vec<(Range<usize>, String)> {
    let members: Vec<Value<'_>> = reference.members().collect();
    let goes = |member: &Value<'_>| TOLD.contains(&member.key());
    let mut cuts = Vec::new();
    for (at, member) in members.iter().enumerate().filter(|(_, member)| goes(member)) {
        let own = member.member_span();
        let kept_before = members.iter().take(at).any(|one| !goes(one));
        let span = match (at.checked_sub(1).and_then(|i| members.get(i)), members.get(at + 1)) {
            (Some(before), _) if kept_before => before.member_span().end..own.end,
            (_, Some(after)) => own.start..after.member_span().start,
            // Alone in its object; a literal stands beside it wherever this is called.
            _ => continue,
        };
        cuts.push((span, String::new()));
    }
    cuts
}
