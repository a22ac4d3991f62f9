//! References in a resource's own elements: the reference is kept, and a name or number of another person next to it is removed.

use super::record::{PERSON_ELEMENTS, RecordOwner};
use super::target::{self, ReferenceTarget};
use crate::fhir::prescreen::{JsonKind, Screened, Value};
use memchr::memmem;
use std::cmp::Reverse;
use std::ops::Range;

/// Replaces a Reference that contains another person's name or number but no literal reference.
const WITHHELD: &str = r#"{"display":"Name withheld"}"#;
/// Members of a Reference that identify a person, besides the literal reference.
const TOLD: [&str; 4] = ["display", "_display", "identifier", "_identifier"];

/// Returns the edits that make the released form of a resource of `record`, sorted and not overlapping; none when no reference in its own
/// elements has a name or number of another person next to it.
pub fn edits(resource: &Screened<'_>, record: &RecordOwner<'_>) -> Vec<(Range<usize>, String)> {
    let root = resource.root();
    let contained = root.get("contained").map_or(0..0, |contained| contained.span());
    let mut edits = Vec::new();
    for reference in resource.references() {
        let text = reference.text();
        // A cheap test first: nearly all references are to the member, or to no person.
        if !text.contains("P") && !text.contains("Group") || contained.contains(&reference.span().start) {
            continue;
        }
        if target::of(&text, record) == ReferenceTarget::Person {
            edits.extend(holder(&root, reference.span().start).iter().flat_map(cuts));
        }
    }
    let rtype = resource.resource_type();
    for (_, path) in PERSON_ELEMENTS.iter().filter(|(of, _)| *of == rtype) {
        for value in root.all(path) {
            let text = value.get("reference").and_then(|reference| reference.text());
            match text.map(|text| target::of(&text, record)) {
                Some(ReferenceTarget::Other | ReferenceTarget::Unknown) => edits.extend(cuts(&value)),
                Some(
                    ReferenceTarget::Member
                    | ReferenceTarget::Nobody
                    | ReferenceTarget::Contained
                    | ReferenceTarget::Person,
                ) => {}
                None if target::says_nobody(&value) || value.kind() != JsonKind::Object => {}
                None => edits.push((value.span(), WITHHELD.to_owned())),
            }
        }
    }
    // `Reference.type` may show that a person is meant when the literal does not, or when there is none. An escape may hide the name.
    const PERSONS: [&[u8]; 4] = [b"Patient\"", b"Person\"", b"Group\"", b"\\u"];
    if PERSONS
        .iter()
        .any(|name| memmem::find(resource.bytes(), name).is_some())
    {
        for member in root.members().filter(|member| member.key() != "contained") {
            typed(&member, record, &mut edits);
        }
    }
    // A Reference may be inside the identifier or an extension of another; a cut around it includes it.
    edits.sort_by_key(|(span, _)| (span.start, Reverse(span.end)));
    let mut end = 0;
    edits.retain(|(span, _)| {
        let apart = span.start >= end;
        end = end.max(span.end);
        apart
    });
    edits
}

/// Adds the cuts for every Reference below `value` whose type is a person's and that does
/// not reference this member. The pre-screen limits the depth.
fn typed(value: &Value<'_>, record: &RecordOwner<'_>, edits: &mut Vec<(Range<usize>, String)>) {
    if value.kind() == JsonKind::Object && target::says_person(value) {
        let text = value.get("reference").and_then(|reference| reference.text());
        let target = text.map_or(ReferenceTarget::Unknown, |text| target::of(&text, record));
        if !matches!(target, ReferenceTarget::Member | ReferenceTarget::Contained) {
            edits.extend(cuts(value));
        }
    }
    for child in value.members().chain(value.items()) {
        if matches!(child.kind(), JsonKind::Object | JsonKind::Array) {
            typed(&child, record, edits);
        }
    }
}

/// Merges `edits` with the cuts of another rule; an edit inside a cut is dropped. Both must be sorted.
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

/// Returns the object that contains the reference at this byte.
fn holder<'s>(root: &Value<'s>, at: usize) -> Option<Value<'s>> {
    let mut here = *root;
    loop {
        let child = here
            .members()
            .chain(here.items())
            .find(|child| child.span().contains(&at))?;
        if child.kind() == JsonKind::String {
            return Some(here);
        }
        here = child;
    }
}

/// Returns cuts that remove the identifying members of a Reference and keep the literal reference.
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
            // The only member of its object; all callers pass objects that also contain the literal reference.
            _ => continue,
        };
        cuts.push((span, String::new()));
    }
    cuts
}
