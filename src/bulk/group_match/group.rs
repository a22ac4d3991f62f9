//! A Group as FHIR (PDex 2.2): the members whom a partner named in one bulk match, by what became of them. Pure.
//!
//! It says of a member what the partner sent, and for a matched one the Patient here. Why a consent was not honored is never in it (pdex-154c).

use super::contained::ContainedMember;
use crate::clock::rfc3339_ms;
use crate::context::Payer;
use crate::error::Failure;
use crate::store::member_groups::{self, GroupEntryRow, MemberGroupRow};
use serde_json::{Value, json};
use std::collections::HashSet;

/// The CodeSystem of the codes of a bulk match.
pub const CODES: &str = "http://hl7.org/fhir/us/davinci-pdex/CodeSystem/PdexMultiMemberMatchResultCS";
const PROFILES: &str = "http://hl7.org/fhir/us/davinci-pdex/StructureDefinition";
const NPI: &str = "http://hl7.org/fhir/sid/us-npi";

/// What became of the members of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupCode {
    /// Matched, and the consent is honored.
    Match,
    /// Not matched.
    NoMatch,
    /// Matched, but the consent cannot be honored.
    ConsentConstraint,
}

impl GroupCode {
    /// All of them, in the order of the result.
    pub const ALL: [GroupCode; 3] = [GroupCode::Match, GroupCode::NoMatch, GroupCode::ConsentConstraint];

    /// The code in PDex's CodeSystem, and in the row.
    pub const fn code(self) -> &'static str {
        match self {
            GroupCode::Match => member_groups::MATCH,
            GroupCode::NoMatch => member_groups::NO_MATCH,
            GroupCode::ConsentConstraint => member_groups::CONSENT_CONSTRAINT,
        }
    }

    /// The code of a row.
    pub fn parse(code: &str) -> Option<GroupCode> {
        GroupCode::ALL.into_iter().find(|one| one.code() == code)
    }

    /// The name of its parameter in the result of PDex 2.1.
    pub const fn parameter(self) -> &'static str {
        match self {
            GroupCode::Match => "MatchedMembers",
            GroupCode::NoMatch => "NonMatchedMembers",
            GroupCode::ConsentConstraint => "ConsentConstrainedMembers",
        }
    }

    const fn profile(self) -> &'static str {
        match self {
            GroupCode::Match => "pdex-member-match-group",
            GroupCode::NoMatch | GroupCode::ConsentConstraint => "pdex-member-no-match-group",
        }
    }

    /// The id of this group of a job.
    pub fn id_of(self, job_id: &str) -> String {
        member_groups::id_of(job_id, self.code())
    }
}

/// The identifier system of groups below `base_url`.
pub fn identifier_system(base_url: &str) -> String {
    format!("{base_url}/Group")
}

/// Takes the parts of a text, one after another.
pub type TakeText<'t> = &'t mut dyn FnMut(&[u8]) -> Result<(), Failure>;
/// Gives the entries of a group that stand after a position, and the position to go on from; `None` at the end.
pub type EntryPages<'p> = &'p mut dyn FnMut(i64) -> Result<Option<(Vec<GroupEntryRow>, i64)>, Failure>;

/// Writes a group, a page of its entries after another ([`GroupText`]).
///
/// # Errors
/// Those of `pages` and `out`.
pub fn write(
    row: &MemberGroupRow,
    code: GroupCode,
    about: (&str, &Payer),
    pages: EntryPages<'_>,
    out: TakeText<'_>,
) -> Result<(), Failure> {
    let mut text = GroupText::new(row.clone(), code);
    while let Some(after) = text.wants() {
        text.take(pages(after)?, about, out)?;
    }
    Ok(())
}

/// A group while it is written: it may have as many members as a bulk match, so it takes a page of entries at a time. Entries of a matched
/// group must be those whose members are granted to the partner now.
///
/// It takes all entries twice, because what is contained comes first. Who joins in between is not there.
pub struct GroupText {
    row: MemberGroupRow,
    code: GroupCode,
    stage: Stage,
    after: i64,
    ids: HashSet<String>,
    positions: HashSet<i64>,
    list: List,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Head,
    Contained,
    Members,
    End,
}

impl GroupText {
    /// Nothing of it is written yet.
    pub fn new(row: MemberGroupRow, code: GroupCode) -> GroupText {
        GroupText {
            row,
            code,
            stage: Stage::Head,
            after: -1,
            ids: HashSet::new(),
            positions: HashSet::new(),
            list: List::new("contained"),
        }
    }

    /// The row of the group.
    pub fn row(&self) -> &MemberGroupRow {
        &self.row
    }

    /// The position after which it takes the next page; `None` when the text is whole.
    pub fn wants(&self) -> Option<i64> {
        (self.stage != Stage::End).then_some(self.after)
    }

    /// Writes what a page adds, and where to go on; `None` stands for the end of the entries.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn take(
        &mut self,
        page: Option<(Vec<GroupEntryRow>, i64)>,
        (partner_npi, payer): (&str, &Payer),
        out: TakeText<'_>,
    ) -> Result<(), Failure> {
        if self.stage == Stage::Head {
            out(head(&self.row, self.code).as_bytes())?;
            self.stage = Stage::Contained;
        }
        if let Some((entries, last)) = page {
            self.after = last;
            for entry in &entries {
                if let Some(kept) = entry.sealed.as_deref().and_then(ContainedMember::read) {
                    self.take_one(entry, &kept, out)?;
                }
            }
            return Ok(());
        }
        let count = std::mem::replace(&mut self.list, List::new("member")).end(out)?;
        self.after = -1;
        if self.stage == Stage::Contained {
            self.stage = Stage::Members;
            return Ok(());
        }
        self.stage = Stage::End;
        out(tail(&self.row, self.code, partner_npi, payer, count).as_bytes())
    }

    fn take_one(&mut self, entry: &GroupEntryRow, kept: &ContainedMember, out: TakeText<'_>) -> Result<(), Failure> {
        if self.stage == Stage::Contained {
            self.positions.insert(entry.position);
            if self.ids.insert(kept.id.clone()) {
                self.list.item(kept.patient.get(), out)?;
            }
            return match &kept.coverage {
                Some(coverage) => self.list.item(coverage.get(), out),
                None => Ok(()),
            };
        }
        if !self.positions.contains(&entry.position) {
            return Ok(());
        }
        let whose = match &entry.patient_id {
            Some(patient) if self.code == GroupCode::Match => format!("Patient/{patient}"),
            _ => format!("#{}", kept.id),
        };
        self.list.item(&member(kept, &whose), out)
    }
}

/// A list of the resource, which is not there when it has no items.
struct List {
    name: &'static str,
    count: usize,
}

impl List {
    fn new(name: &'static str) -> List {
        List { name, count: 0 }
    }

    fn item(&mut self, text: &str, out: TakeText<'_>) -> Result<(), Failure> {
        match self.count {
            0 => out(format!(",\"{}\":[", self.name).as_bytes())?,
            _ => out(b",")?,
        }
        self.count += 1;
        out(text.as_bytes())
    }

    /// How many items it has.
    fn end(self, out: TakeText<'_>) -> Result<usize, Failure> {
        if self.count > 0 {
            out(b"]")?;
        }
        Ok(self.count)
    }
}

/// The beginning of the resource, without its closing brace.
fn head(row: &MemberGroupRow, code: GroupCode) -> String {
    let head = json!({
        "resourceType": "Group",
        "id": row.id,
        "meta": {
            "lastUpdated": rfc3339_ms(row.updated_ms),
            "profile": [format!("{PROFILES}/{}", code.profile())],
        },
    });
    let mut text = head.to_string();
    text.pop();
    text
}

/// What follows the members, with the closing brace.
fn tail(row: &MemberGroupRow, code: GroupCode, partner_npi: &str, payer: &Payer, members: usize) -> String {
    let concept = json!({"coding": [{"system": CODES, "code": code.code()}]});
    let matched = rfc3339_ms(row.match_ms);
    let day = matched.get(..10).unwrap_or_default();
    let tail = json!({
        "identifier": [{"system": identifier_system(&payer.base_url), "value": row.id}],
        "active": true,
        "type": "person",
        "actual": true,
        "code": concept,
        "quantity": members,
        "managingEntity": organization(&payer.npi, Some(&payer.name)),
        "characteristic": [{
            "code": concept,
            "valueReference": organization(partner_npi, None),
            "exclude": false,
            "period": {"start": day},
        }],
    });
    tail.to_string().replacen('{', ",", 1)
}

fn organization(npi: &str, name: Option<&str>) -> Value {
    let mut reference = json!({"type": "Organization", "identifier": {"system": NPI, "value": npi}});
    if let Some(name) = name {
        reference["display"] = json!(name);
    }
    reference
}

/// The text of a member. Ids have no character that JSON escapes.
fn member(kept: &ContainedMember, whose: &str) -> String {
    let extension = |name: &str, id: &str| {
        format!("{{\"url\":\"{PROFILES}/{name}\",\"valueReference\":{{\"reference\":\"#{id}\"}}}}")
    };
    let mut extensions = extension("base-ext-match-parameters", &kept.id);
    if let Some(id) = &kept.coverage_id {
        extensions.push(',');
        extensions.push_str(&extension("base-ext-match-coverage", id));
    }
    format!("{{\"entity\":{{\"extension\":[{extensions}],\"reference\":\"{whose}\"}}}}")
}

/// The text before the group at this place in the form of PDex 2.1: one Parameters with the groups, each by its name.
pub fn before_parameter(at: usize, code: GroupCode) -> String {
    let before = if at == 0 { BEGINS } else { "}," };
    format!("{before}{{\"name\":\"{}\",\"resource\":", code.parameter())
}

/// The beginning of that form, and its end.
const BEGINS: &str = r#"{"resourceType":"Parameters","parameter":["#;
/// The text after the last group in that form; there is at least one.
pub const ENDS: &str = "}]}";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bulk::group_match::named::NamedMember;

    fn entry(index: usize, id: &str, is_repeated: bool, patient: Option<&str>) -> GroupEntryRow {
        let member = json!({"name": "MemberBundle", "part": [
            {"name": "MemberPatient", "resource": {"resourceType": "Patient", "id": id, "birthDate": "1984-07-09"}},
            {"name": "CoverageToMatch", "resource": {"resourceType": "Coverage", "id": "c", "status": "active",
                "beneficiary": {"reference": format!("Patient/{id}")}, "payor": [{"display": "p"}]}},
        ]});
        let named = NamedMember {
            index,
            is_repeated,
            bytes: member.to_string().into_bytes(),
        };
        let kept = ContainedMember::of(&named, false);
        GroupEntryRow {
            group_id: "g".into(),
            position: index as i64,
            patient_id: patient.map(str::to_owned),
            decision_id: Some("d".into()),
            sealed: Some(kept.expect("a member").bytes()),
        }
    }

    fn written(code: GroupCode, entries: &[GroupEntryRow]) -> Value {
        let row = MemberGroupRow {
            id: code.id_of("j"),
            partner_id: "p".into(),
            code: code.code().into(),
            job_id: "j".into(),
            match_ms: 1_790_000_000_000,
            updated_ms: 1_790_000_000_000,
        };
        let payer = Payer {
            name: "Old".into(),
            npi: "1".into(),
            member_system: "urn:m".into(),
            umb_system: "urn:umb".into(),
            base_url: "https://localhost/fhir".into(),
            time_zone: chrono_tz::UTC,
        };
        let mut bytes = Vec::new();
        let mut pages = |after: i64| {
            let some: Vec<GroupEntryRow> = entries
                .iter()
                .filter(|one| one.position > after)
                .take(1)
                .cloned()
                .collect();
            Ok(some.last().map(|last| last.position).map(|last| (some, last)))
        };
        write(&row, code, ("2", &payer), &mut pages, &mut |text| {
            bytes.extend_from_slice(text);
            Ok(())
        })
        .expect("written");
        causeway_fhir_types::check(&bytes).expect("a typed Group");
        assert!(!bytes.contains(&b'\n'));
        serde_json::from_slice(&bytes).expect("JSON")
    }

    #[test]
    fn a_matched_member_is_the_patient_here_and_any_other_the_one_that_was_sent() {
        let group = written(GroupCode::Match, &[entry(0, "mp1", false, Some("real"))]);
        assert_eq!(group["member"][0]["entity"]["reference"], "Patient/real");
        let sent = &group["member"][0]["entity"]["extension"][0];
        assert_eq!(sent["valueReference"]["reference"], "#mp1");
        assert_eq!(
            (&group["contained"][0]["id"], &group["quantity"]),
            (&json!("mp1"), &json!(1))
        );
        assert_eq!(group["code"]["coding"][0], json!({"system": CODES, "code": "match"}));
        assert_eq!(group["characteristic"][0]["valueReference"]["identifier"]["value"], "2");
        assert_eq!(group["managingEntity"]["identifier"]["value"], "1");
        let group = written(GroupCode::ConsentConstraint, &[entry(0, "mp1", false, None)]);
        assert_eq!(group["member"][0]["entity"]["reference"], "#mp1");
        assert!(!group.to_string().contains("onsent/"));
    }

    #[test]
    fn a_patient_with_two_coverages_is_contained_once_with_both() {
        let group = written(
            GroupCode::NoMatch,
            &[entry(0, "mp1", true, None), entry(2, "mp1", true, None)],
        );
        let ids: Vec<&str> = group["contained"]
            .as_array()
            .expect("contained")
            .iter()
            .filter_map(|one| one["id"].as_str())
            .collect();
        assert_eq!(ids, ["mp1", "coverage-0", "coverage-2"]);
        let of = |at: usize| &group["member"][at]["entity"]["extension"][1]["valueReference"]["reference"];
        assert_eq!((of(0), of(1)), (&json!("#coverage-0"), &json!("#coverage-2")));
    }

    #[test]
    fn an_empty_group_has_no_empty_lists_and_the_envelope_names_each() {
        let group = written(GroupCode::Match, &[]);
        assert!(group.get("member").is_none() && group.get("contained").is_none());
        assert_eq!(group["quantity"], 0);
        let parts = [
            before_parameter(0, GroupCode::Match),
            group.to_string(),
            before_parameter(1, GroupCode::NoMatch),
            group.to_string(),
            ENDS.to_owned(),
        ];
        let envelope: Value = serde_json::from_str(&parts.concat()).expect("JSON");
        assert_eq!(envelope["parameter"][1]["name"], "NonMatchedMembers");
        assert_eq!(envelope["parameter"][0]["name"], "MatchedMembers");
        assert_eq!(envelope["parameter"][0]["resource"]["resourceType"], "Group");
    }
}
