//! Reads the answer to a bulk match: Groups in the form of PDex 2.2, or in the envelope of PDex 2.1; and tells each member's exchange.

use super::fetch::small;
use super::kind::{RunStep, TOGETHER};
use super::members::{ALONE, ANSWERED, ASKED, MATCHED};
use super::question::{position_of, put};
use super::run::{AskingRun, RunNext, refused};
use super::wire::TokenFor;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::exchange::carried::{CarriedEnd, CarriedStep, end_carried, hand_over};
use crate::exchange::partner_checkpoint;
use crate::exchange::steps::{CallNotes, MatchedAs, StepEnd, StepGain, StepName, patient_id};
use crate::ids::is_fhir_id;
use crate::partner::peer::{BulkManifest, BulkPoll, CallEnd, CallFailure, Peer};
use crate::store::Db;
use crate::store::bulk_runs::{self as rows, RunMemberRow};
use reqwest::Url;
use serde::Deserialize;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Most bytes of an answer.
pub(super) const ANSWER_BYTES: u64 = 64 << 20;
/// Time between two questions when the partner names none, milliseconds.
const POLL_MS: i64 = 10_000;
/// Longest time between two questions, whatever the partner asks for, milliseconds.
const POLL_MOST_MS: i64 = 3_600_000;
/// Shortest time between two questions, milliseconds.
const POLL_LEAST_MS: i64 = 1_000;

/// The status address of what runs at the partner.
pub(super) fn status(run: &AskingRun, peer: &Peer) -> Result<Url, CallFailure> {
    let told = run.row.status_url.as_deref().unwrap_or_default();
    peer.named(told)
        .map_err(|failure| CallFailure::new(CallEnd::Trust(failure.fault())))
}

/// Asks whether what runs at the partner is done. The inner error is when to ask again, UTC milliseconds.
pub(super) async fn poll(run: &mut AskingRun, what: TokenFor) -> Result<Result<BulkManifest, i64>, CallFailure> {
    let ctx = run.ctx().clone();
    let peer = run.wire.peer(&ctx).await?;
    let token = run.wire.token(&ctx, what).await?;
    let status = status(run, &peer)?;
    match peer.poll_bulk(&status, &token, &run.wire.correlation).await? {
        BulkPoll::Done(manifest) => {
            if let Some(note) = manifest.checkpoint.clone() {
                let (partner, id, now_ms) = (run.row.partner_id.clone(), run.row.id.clone(), run.now_ms());
                let kept = move |db: &mut Db| partner_checkpoint::keep(db, (&partner, &id), &note, now_ms);
                run.held.write(kept).await?;
            }
            Ok(Ok(*manifest))
        }
        BulkPoll::Pending {
            progress,
            retry_after_ms,
        } => {
            run.row.progress = progress;
            let asked = retry_after_ms.and_then(|wait| i64::try_from(wait).ok());
            let wait_ms = asked.unwrap_or(POLL_MS).clamp(POLL_LEAST_MS, POLL_MOST_MS);
            Ok(Err(run.now_ms() + wait_ms))
        }
    }
}

pub(super) async fn read(run: &mut AskingRun) -> Result<RunNext, CallFailure> {
    let manifest = match poll(run, TokenFor::Match).await? {
        Ok(manifest) => manifest,
        Err(again_ms) => return Ok(RunNext::Wait(again_ms)),
    };
    let ctx = run.ctx().clone();
    let peer = run.wire.peer(&ctx).await?;
    let has_groups = manifest.output.iter().any(|file| file.resource_type == "Group");
    let form = if has_groups { "Group" } else { "Parameters" };
    let id = run.row.id.clone();
    let members = ctx.store.read(move |db: &mut Db| rows::members(db, &id)).await?;
    let mut answer = BulkAnswer {
        asked: Some(asked_about(&members)),
        ..BulkAnswer::default()
    };
    let mut left = ANSWER_BYTES;
    for file in manifest.output.iter().filter(|file| file.resource_type == form) {
        let bytes = small(run, &peer, (file, TokenFor::Match), left).await?;
        left = left.saturating_sub(bytes.len() as u64);
        answer
            .add(&peer, &bytes, has_groups)
            .map_err(|failure| refused(failure.fault()).because(failure))?;
    }
    tell(run, answer).await
}

/// The members about whom the partner was asked, whatever has become of them.
fn asked_about(members: &[RunMemberRow]) -> BTreeSet<i64> {
    let was_asked = |one: &&RunMemberRow| one.attempt > 0 || [ASKED, MATCHED].contains(&one.state.as_str());
    members.iter().filter(was_asked).map(|one| one.position).collect()
}

/// Tells each exchange what the partner said of its member.
async fn tell(run: &mut AskingRun, answer: BulkAnswer) -> Result<RunNext, CallFailure> {
    let members = run.carried(&[ASKED]).await?;
    let asked: BTreeSet<i64> = members.iter().map(|member| member.position).collect();
    if answer.said.keys().any(|position| !asked.contains(position)) && members.len() == answer.said.len() {
        tracing::warn!(
            bulk.run = run.row.id,
            "an answer names a member that is not asked about any more"
        );
    }
    // Some may have been told before a process ended.
    let mut matched = run.carried(&[MATCHED]).await?.len() as u64;
    for members in members.chunks(TOGETHER) {
        let (ctx, chance) = (run.ctx().clone(), run.chance.clone());
        let told: Vec<(RunMemberRow, Option<MemberAnswer>)> = members
            .iter()
            .map(|member| (member.clone(), answer.of(member.position)))
            .collect();
        matched += run
            .held
            .advance(move |db| {
                let mut matched = 0;
                for (member, said) in &told {
                    matched += u64::from(tell_one(db, &ctx, member, said.as_ref(), chance.unit())?);
                }
                Ok(matched)
            })
            .await?;
    }
    run.row.group_id = answer.group_id.filter(|_| matched > 0);
    Ok(RunNext::Step(RunStep::EndMatch))
}

/// Tells one exchange. Returns whether the member was matched.
pub(super) fn tell_one(
    db: &mut Db,
    ctx: &Context,
    member: &RunMemberRow,
    said: Option<&MemberAnswer>,
    unit: f64,
) -> Result<bool, Failure> {
    let end = match said {
        None => {
            // Nothing was said of the member.
            hand_over(db, ctx, &member.exchange_id)?;
            put(db, member, (0, member.attempt, ALONE))?;
            return Ok(false);
        }
        Some(MemberAnswer::Matched(patient)) => StepEnd::Done(StepGain::Matched(MatchedAs {
            patient_id: Some(patient.clone()),
            identifier_system: None,
            identifier: None,
        })),
        Some(MemberAnswer::NoMatch) => StepEnd::NoMatch { several: false },
        Some(MemberAnswer::Constrained) => StepEnd::Refused {
            fault: Fault::PartnerRefuses,
        },
        Some(MemberAnswer::Shared) => StepEnd::NeedsPerson {
            fault: Fault::MatchAnswerUnfit,
        },
    };
    let step = CarriedStep {
        exchange_id: &member.exchange_id,
        step: StepName::MemberMatch,
        attempt: member.attempt,
    };
    let call = CallNotes {
        http_status: Some(200),
        ..CallNotes::default()
    };
    let ended = end_carried(db, ctx, step, (&end, &call), unit)?;
    let goes_on = ended == CarriedEnd::GoesOn;
    let place = match goes_on {
        // The next step has no attempt yet.
        true => (1, 0, MATCHED),
        false => (0, member.attempt, ANSWERED),
    };
    put(db, member, place)?;
    Ok(goes_on)
}

/// The Patients of a group that was read by its id; `None` for what is not that group, or not one of matched members.
pub(super) fn matched_in(peer: &Peer, group_id: &str, bytes: &[u8]) -> Option<BTreeSet<String>> {
    let mut answer = BulkAnswer::default();
    answer.add_group(peer, serde_json::from_slice(bytes).ok()?).ok()?;
    if answer.group_id.as_deref() != Some(group_id) {
        return None;
    }
    let matched = answer.said.into_values().filter_map(|said| match said {
        MemberAnswer::Matched(patient) => Some(patient),
        _ => None,
    });
    Some(matched.collect())
}

/// What a partner says of one member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum MemberAnswer {
    /// The member is the Patient with this id there.
    Matched(String),
    /// Nobody there is the member, or not exactly one.
    NoMatch,
    /// The consent is not honored.
    Constrained,
    /// The partner says the same Patient of two members.
    Shared,
}

/// The answer to a bulk match.
#[derive(Debug, Default)]
pub(super) struct BulkAnswer {
    said: BTreeMap<i64, MemberAnswer>,
    /// The first member of whom each Patient was said. A Patient stays here when a second one comes, so that a third is noticed too.
    by_patient: HashMap<String, i64>,
    group_id: Option<String>,
    /// About whom it may be, if it answers a question.
    asked: Option<BTreeSet<i64>>,
}

#[derive(Deserialize)]
struct ReadEnvelope {
    #[serde(rename = "resourceType")]
    resource_type: String,
    #[serde(default)]
    parameter: Vec<ReadParameter>,
}

#[derive(Deserialize)]
struct ReadParameter {
    resource: Option<ReadGroup>,
}

#[derive(Deserialize)]
struct ReadGroup {
    #[serde(rename = "resourceType")]
    resource_type: String,
    id: Option<String>,
    code: Option<ReadConcept>,
    #[serde(default)]
    member: Vec<ReadMember>,
}

#[derive(Deserialize)]
struct ReadConcept {
    #[serde(default)]
    coding: Vec<ReadCoding>,
}

#[derive(Deserialize)]
struct ReadCoding {
    code: Option<String>,
}

#[derive(Deserialize)]
struct ReadMember {
    entity: ReadEntity,
}

#[derive(Deserialize)]
struct ReadEntity {
    reference: Option<String>,
    #[serde(default)]
    extension: Vec<ReadExtension>,
}

#[derive(Deserialize)]
struct ReadExtension {
    url: String,
    #[serde(rename = "valueReference")]
    reference: Option<ReadReference>,
}

#[derive(Deserialize)]
struct ReadReference {
    reference: Option<String>,
}

impl ReadEntity {
    /// The member that was sent: told by the extension, else by the reference itself.
    fn sent(&self) -> Option<i64> {
        let told = self.extension.iter().find(|one| one.url.ends_with("match-parameters"));
        let told = told.and_then(|one| one.reference.as_ref()?.reference.as_deref());
        let text = told.or(self.reference.as_deref())?;
        let text = text.trim_start_matches('#');
        position_of(text.strip_prefix("Patient/").unwrap_or(text))
    }
}

impl BulkAnswer {
    fn of(&self, position: i64) -> Option<MemberAnswer> {
        self.said.get(&position).cloned()
    }

    /// Adds a file of the answer.
    fn add(&mut self, peer: &Peer, bytes: &[u8], is_groups: bool) -> Result<(), Failure> {
        let lines = bytes.split(|byte| *byte == b'\n');
        for line in lines.filter(|line| !line.trim_ascii().is_empty()) {
            // The reader's own message would quote the answer.
            let unreadable = |_| Failure::new(Fault::PartnerNotFhir);
            let groups: Vec<ReadGroup> = match is_groups {
                true => vec![serde_json::from_slice(line).map_err(unreadable)?],
                false => {
                    let envelope: ReadEnvelope = serde_json::from_slice(line).map_err(unreadable)?;
                    if envelope.resource_type != "Parameters" {
                        return Err(Fault::PartnerNotFhir.into());
                    }
                    envelope.parameter.into_iter().filter_map(|one| one.resource).collect()
                }
            };
            for group in groups {
                self.add_group(peer, group)?;
            }
        }
        Ok(())
    }

    fn add_group(&mut self, peer: &Peer, group: ReadGroup) -> Result<(), Failure> {
        let unfit = || Failure::new(Fault::MatchAnswerUnfit).at("Group");
        let codes: Vec<&str> = group
            .code
            .iter()
            .flat_map(|code| &code.coding)
            .filter_map(|coding| coding.code.as_deref())
            .collect();
        if group.resource_type != "Group" {
            return Err(unfit());
        }
        let is_match = codes.contains(&"match");
        if !is_match && !codes.iter().any(|code| ["nomatch", "consentconstraint"].contains(code)) {
            return Err(unfit());
        }
        if is_match {
            let id = group.id.filter(|id| is_fhir_id(id)).ok_or_else(unfit)?;
            if self.group_id.replace(id).is_some() {
                return Err(unfit());
            }
        }
        let told = self.said.len() + group.member.len();
        if self.asked.as_ref().is_some_and(|asked| told > asked.len()) {
            return Err(Fault::PartnerTooMuch.into());
        }
        for member in &group.member {
            let position = member.entity.sent().ok_or_else(unfit)?;
            if self.asked.as_ref().is_some_and(|asked| !asked.contains(&position)) {
                return Err(Fault::PartnerTooMuch.into());
            }
            let said = match is_match {
                true => {
                    let text = member.entity.reference.as_deref().ok_or_else(unfit)?;
                    let id = patient_id(peer, text)?;
                    match self.by_patient.entry(id.clone()) {
                        Entry::Vacant(free) => {
                            free.insert(position);
                            MemberAnswer::Matched(id)
                        }
                        Entry::Occupied(first) => {
                            self.said.insert(*first.get(), MemberAnswer::Shared);
                            MemberAnswer::Shared
                        }
                    }
                }
                false if codes.contains(&"nomatch") => MemberAnswer::NoMatch,
                false => MemberAnswer::Constrained,
            };
            if self.said.insert(position, said).is_some() {
                return Err(unfit());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::partner::peer::tests::peer;

    fn group(code: &str, members: &[(&str, &str)]) -> String {
        let members: Vec<String> = members
            .iter()
            .map(|(whose, sent)| {
                format!(
                    r##"{{"entity":{{"extension":[{{"url":"http://hl7.org/fhir/us/davinci-pdex/StructureDefinition/base-ext-match-parameters","valueReference":{{"reference":"#{sent}"}}}}],"reference":"{whose}"}}}}"##
                )
            })
            .collect();
        format!(
            r#"{{"resourceType":"Group","id":"g-{code}","code":{{"coding":[{{"code":"{code}"}}]}},"member":[{}]}}"#,
            members.join(",")
        )
    }

    fn read(text: &str, is_groups: bool) -> Result<BulkAnswer, Fault> {
        let mut answer = BulkAnswer {
            asked: Some((0..5).collect()),
            ..BulkAnswer::default()
        };
        match answer.add(&peer(), text.as_bytes(), is_groups) {
            Ok(()) => Ok(answer),
            Err(failure) => Err(failure.fault()),
        }
    }

    #[test]
    fn both_forms_say_the_same() {
        let groups = [
            group(
                "match",
                &[
                    ("Patient/a", "member-0"),
                    ("https://payer.example/fhir/Patient/b", "member-2"),
                ],
            ),
            group("nomatch", &[("#member-1", "member-1")]),
            group("consentconstraint", &[("#member-3", "member-3")]),
        ];
        let envelope = groups
            .each_ref()
            .map(|group| format!(r#"{{"name":"x","resource":{group}}}"#));
        let envelope = format!(
            r#"{{"resourceType":"Parameters","parameter":[{}]}}"#,
            envelope.join(",")
        );
        for answer in [read(&format!("{}\n", groups.join("\n")), true), read(&envelope, false)] {
            let answer = answer.expect("an answer");
            assert_eq!(answer.group_id.as_deref(), Some("g-match"));
            assert_eq!(answer.of(0), Some(MemberAnswer::Matched("a".into())));
            assert_eq!(answer.of(2), Some(MemberAnswer::Matched("b".into())));
            assert_eq!(answer.of(1), Some(MemberAnswer::NoMatch));
            assert_eq!(answer.of(3), Some(MemberAnswer::Constrained));
            assert_eq!(answer.of(4), None, "nothing was said");
        }
    }

    #[test]
    fn a_group_that_is_read_shows_its_patients_and_another_one_nothing() {
        let text = group("match", &[("Patient/a", "member-0"), ("Patient/b", "member-7000")]);
        let there = matched_in(&peer(), "g-match", text.as_bytes()).expect("the group");
        assert_eq!(there, ["a".to_owned(), "b".to_owned()].into());
        assert!(matched_in(&peer(), "g-other", text.as_bytes()).is_none());
        let text = group("nomatch", &[("#member-0", "member-0")]);
        assert!(matched_in(&peer(), "g-nomatch", text.as_bytes()).is_none());
    }

    #[test]
    fn what_says_two_things_of_one_member_or_one_thing_of_two_is_not_believed() {
        let shared = read(
            &group("match", &[("Patient/a", "member-0"), ("Patient/a", "member-1")]),
            true,
        )
        .expect("an answer");
        assert_eq!(
            (shared.of(0), shared.of(1)),
            (Some(MemberAnswer::Shared), Some(MemberAnswer::Shared))
        );
        for count in 3..6 {
            let sent: Vec<String> = (0..count).map(|position| format!("member-{position}")).collect();
            let members: Vec<(&str, &str)> = sent.iter().map(|sent| ("Patient/a", sent.as_str())).collect();
            let shared = read(&group("match", &members), true).expect("an answer");
            let all = (0..count).all(|position| shared.of(position) == Some(MemberAnswer::Shared));
            assert!(all, "one Patient of {count} members: {:?}", shared.said);
        }
        let same = group("match", &[("Patient/a", "member-0"), ("Patient/a", "member-0")]);
        assert_eq!(read(&same, true).err(), Some(Fault::MatchAnswerUnfit));
        let twice = group("match", &[("Patient/a", "member-0"), ("Patient/b", "member-0")]);
        let both = [
            group("match", &[("Patient/a", "member-0")]),
            group("nomatch", &[("#member-0", "member-0")]),
        ]
        .join("\n");
        for (text, wanted) in [
            (twice, Fault::MatchAnswerUnfit),
            (both, Fault::MatchAnswerUnfit),
            (group("match", &[("Patient/a", "member-5")]), Fault::PartnerTooMuch),
            (group("nomatch", &[("#member-0", "member-0"); 6]), Fault::PartnerTooMuch),
            (group("other", &[]), Fault::MatchAnswerUnfit),
            (group("match", &[("Patient/a", "stranger")]), Fault::MatchAnswerUnfit),
            (group("match", &[("#member-0", "member-0")]), Fault::MatchAnswerUnfit),
            (
                group("match", &[("https://other.example/fhir/Patient/a", "member-0")]),
                Fault::PartnerElsewhere,
            ),
            (group("match", &[])[..30].to_owned(), Fault::PartnerNotFhir),
        ] {
            assert_eq!(read(&text, true).err(), Some(wanted), "{text}");
        }
    }
}
