//! Exports judged by the oracle: for random combinations of parameters, of members and groups and of scopes, the files have exactly what a naive
//! evaluation of what `$everything` gives has, with the same content.
//!
//! `CAUSEWAY_TEST_EXPORTS` begins more than a run of all tests does, `CAUSEWAY_TEST_SEED` repeats a run.

mod asked;

use self::asked::{Asked, next};
use super::chance::Chance;
use super::values::{Pointer, pointer};
use super::world::{Caller, Seen, World};
use crate::bulk::{ASYNC, send};
use crate::support::client::Reply;
use causeway::store::member_groups::{self, GroupEntryRow, MATCH, MemberGroupRow};
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Exports of a run of all tests.
const EXPORTS: usize = 60;
/// Differences that are printed.
const SHOWN: usize = 10;
const LENIENT: (&str, &str) = ("prefer", "respond-async, handling=lenient");

/// A group of a caller.
struct Group {
    id: String,
    members: Vec<String>,
}

struct Site {
    world: World,
    /// Of each caller.
    groups: Vec<Vec<Group>>,
    /// The times at which something became visible.
    times: Vec<DateTime<Utc>>,
}

impl Site {
    async fn start(chance: &mut Chance) -> Site {
        let mut world = World::synthetic().await;
        for wave in 0..3 {
            let changed = change(&world, chance, wave);
            std::fs::write(world.payer.home().join("changed.ndjson"), changed).expect("a file");
            let said = world.payer.json_command(&["import", "changed.ndjson"]);
            assert!(said["stored"].as_u64() > Some(20) && said["rejected"] == 0, "{said}");
        }
        world.look_again().await;
        let groups = world.callers.iter().map(|caller| groups_of(&world, caller, chance));
        let groups = groups.collect();
        let all = world.callers.iter().flat_map(|caller| caller.sees.values().flatten());
        let times: BTreeSet<DateTime<Utc>> = all.map(|one| updated(&one.body)).collect();
        assert!(times.len() > 3, "{times:?}");
        Site {
            world,
            groups,
            times: times.into_iter().collect(),
        }
    }
}

/// Some of the stored resources again, each a newer version of itself.
fn change(world: &World, chance: &mut Chance, wave: usize) -> String {
    let at = Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true);
    let mut text = String::new();
    let mut names: Vec<&String> = world.pool.keys().collect();
    names.sort();
    for rtype in names {
        if rtype == "Patient" || rtype == "Provenance" || rtype == "Consent" {
            continue;
        }
        for body in &world.pool[rtype] {
            if chance.percent(12) {
                let mut body = body.clone();
                body["meta"]["lastUpdated"] = json!(at);
                body["language"] = json!(["en", "en-US", "es"][wave]);
                text.push_str(&format!("{body}\n"));
            }
        }
    }
    text
}

/// The groups of a caller, as the rows that a bulk match leaves; also with somebody who is not granted.
fn groups_of(world: &World, caller: &Caller, chance: &mut Chance) -> Vec<Group> {
    let Some(partner) = caller.partner() else {
        return Vec::new();
    };
    let mut all = Vec::new();
    for number in 0..3 {
        let members: Vec<String> = caller.members.iter().filter(|_| chance.percent(60)).cloned().collect();
        let id = format!("{partner}-{number}");
        let row = MemberGroupRow {
            id: id.clone(),
            partner_id: partner.to_owned(),
            code: MATCH.to_owned(),
            job_id: id.clone(),
            match_ms: Utc::now().timestamp_millis(),
            updated_ms: Utc::now().timestamp_millis(),
        };
        let strangers = (number == 2).then(|| "nobody-here".to_owned());
        let entries: Vec<GroupEntryRow> = members
            .iter()
            .cloned()
            .chain(strangers)
            .zip(0..)
            .map(|(patient, position)| GroupEntryRow {
                group_id: id.clone(),
                position,
                patient_id: Some(patient),
                decision_id: None,
                sealed: None,
            })
            .collect();
        let mut db = world.payer.db();
        member_groups::replace(&mut db, &[row]).expect("a group");
        member_groups::add(&mut db, &entries).expect("entries");
        all.push(Group { id, members });
    }
    all
}

fn updated(body: &Value) -> DateTime<Utc> {
    let text = body["meta"]["lastUpdated"].as_str().expect("lastUpdated");
    DateTime::parse_from_rfc3339(text).expect("an instant").to_utc()
}

fn name(body: &Value) -> String {
    let part = |key: &str| body[key].as_str().unwrap_or("").to_owned();
    format!("{}/{}", part("resourceType"), part("id"))
}

/// What the naive evaluation gives: own and shared resources by type and id, and the members whose transmitter is told.
fn expected<'s>(site: &'s Site, at: usize, asked: &Asked) -> (BTreeMap<String, &'s Value>, BTreeSet<String>) {
    let caller = &site.world.callers[at];
    let within = asked
        .group
        .map_or(&caller.members, |group| &site.groups[at][group].members);
    let is_meant = |member: &String| asked.patients.is_empty() || asked.patients.contains(member);
    let members: Vec<&String> = within.iter().filter(|member| is_meant(member)).collect();
    let may_read = |rtype: &str| asked.scopes.is_empty() || asked.scopes.iter().any(|one| one == rtype);
    let all = || {
        caller
            .sees
            .iter()
            .flat_map(|(rtype, all)| all.iter().map(move |one| (rtype, one)))
    };
    // Whole records, with the shared resources to which what may be read leads.
    let own = all()
        .filter(|(rtype, one)| may_read(rtype) && one.owner.as_ref().is_some_and(|owner| members.contains(&owner)));
    let mut whole: Vec<&Arc<Seen>> = own.map(|(_, one)| one).collect();
    let (mut looked_at, mut named) = (0, BTreeSet::new());
    while let Some(one) = whole.get(looked_at).copied() {
        looked_at += 1;
        let mut texts = Vec::new();
        references(&one.body, &mut texts);
        for text in texts {
            if let Pointer::Ours(rtype, id) = pointer(text, &site.world.base)
                && may_read(&rtype)
                && let Some(found) = caller.find(&rtype, &id, None).filter(|found| found.owner.is_none())
                && named.insert((rtype, id))
            {
                whole.push(found);
            }
        }
    }
    let is_asked = |one: &Arc<Seen>| {
        let (rtype, time) = (one.body["resourceType"].as_str().unwrap_or(""), updated(&one.body));
        (asked.types.is_empty() || asked.types.iter().any(|wanted| wanted == rtype))
            && asked.since.is_none_or(|since| time > since)
            && asked.until.is_none_or(|until| time <= until)
    };
    let found: Vec<&Arc<Seen>> = whole.into_iter().filter(|one| is_asked(one)).collect();
    let provenance = "Provenance".to_owned();
    let tells = may_read(&provenance) && (asked.types.is_empty() || asked.types.contains(&provenance));
    let sent = found.iter().filter_map(|one| one.owner.clone()).filter(|_| tells);
    let sent = sent.map(|member| format!("Patient/{member}")).collect();
    (
        found.into_iter().map(|one| (name(&one.body), &one.body)).collect(),
        sent,
    )
}

fn references<'v>(value: &'v Value, into: &mut Vec<&'v str>) {
    match value {
        Value::Object(members) => {
            for (key, inner) in members {
                match inner.as_str() {
                    Some(text) if key == "reference" => into.push(text),
                    _ => references(inner, into),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, into)),
        _ => {}
    }
}

/// Begins the export, and compares its files with what is expected.
///
/// # Errors
/// What differs, in words.
async fn check(site: &Site, at: usize, asked: &Asked) -> Result<usize, String> {
    let caller = &site.world.callers[at];
    let token = match asked.scopes.is_empty() {
        true => caller.token().await,
        false => {
            let scopes: Vec<String> = asked.scopes.iter().map(|rtype| format!("system/{rtype}.rs")).collect();
            caller.client().token(&scopes.join(" ")).await
        }
    };
    let begun = begin(site, at, asked, &token).await;
    if !asked.refused.is_empty() && begun.status != 202 {
        let code = begun.json()["issue"][0]["details"]["coding"][0]["code"].clone();
        return match asked.refused.iter().any(|fault| code == fault.row().code) {
            true => Ok(0),
            false => Err(format!("status {}, {code}", begun.status)),
        };
    }
    if !asked.refused.is_empty() {
        return Err("it was begun".to_owned());
    }
    if begun.status != 202 {
        return Err(format!("status {}: {}", begun.status, begun.text()));
    }
    let status = below(caller, begun.header("content-location")).to_owned();
    let compared = compare(site, at, asked, (&token, &status)).await;
    let deleted = send(caller.client(), &token, "DELETE", &status, &[], "").await;
    match deleted.status {
        202 => compared,
        other => Err(format!("DELETE is {other}: {}", deleted.text())),
    }
}

fn below<'u>(caller: &Caller, url: &'u str) -> &'u str {
    url.strip_prefix(&caller.client().origin).expect("our own address")
}

async fn begin(site: &Site, at: usize, asked: &Asked, token: &str) -> Reply {
    let caller = &site.world.callers[at];
    let operation = match asked.is_data_export {
        true => "$davinci-data-export",
        false => "$export",
    };
    let path = match asked.group {
        None => format!("/fhir/Patient/{operation}"),
        Some(group) => format!("/fhir/Group/{}/{operation}", site.groups[at][group].id),
    };
    let prefer = if asked.is_lenient { LENIENT } else { ASYNC };
    if asked.is_posted {
        let typed = asked.pairs.iter().map(|(name, value)| match name.as_str() {
            "_since" | "_until" => json!({"name": name, "valueInstant": value}),
            "patient" => json!({"name": name, "valueReference": {"reference": value}}),
            _ => json!({"name": name, "valueString": value}),
        });
        let mut body = json!({"resourceType": "Parameters"});
        if !asked.pairs.is_empty() {
            body["parameter"] = typed.collect();
        }
        let headers = [prefer, ("content-type", "application/fhir+json")];
        return send(caller.client(), token, "POST", &path, &headers, &body.to_string()).await;
    }
    let origin = format!("{}{path}", caller.client().origin);
    let url = reqwest::Url::parse_with_params(&origin, &asked.pairs).expect("a URL");
    let path = url
        .as_str()
        .strip_prefix(&caller.client().origin)
        .expect("ours")
        .to_owned();
    send(caller.client(), token, "GET", &path, &[prefer], "").await
}

async fn compare(site: &Site, at: usize, asked: &Asked, (token, status): (&str, &str)) -> Result<usize, String> {
    let caller = &site.world.callers[at];
    let get = async |path: &str| send(caller.client(), token, "GET", path, &[], "").await;
    let began = Instant::now();
    let manifest = loop {
        let reply = get(status).await;
        match reply.status {
            200 => break reply.json(),
            202 if began.elapsed() < Duration::from_secs(120) => tokio::time::sleep(Duration::from_millis(15)).await,
            other => return Err(format!("the status address is {other}: {}", reply.text())),
        }
    };
    let mut lines = Vec::new();
    for (side, file) in ["output", "error"].into_iter().flat_map(|side| {
        manifest[side]
            .as_array()
            .into_iter()
            .flatten()
            .map(move |file| (side, file))
    }) {
        let reply = get(below(caller, file["url"].as_str().unwrap_or(""))).await;
        if reply.status != 200 {
            return Err(format!("a file is {}: {}", reply.status, reply.text()));
        }
        let found: Vec<Value> = reply
            .text()
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        if file["count"] != found.len() || found.iter().any(|one| one["resourceType"] != file["type"]) {
            return Err(format!("{file} is not what its file is"));
        }
        lines.extend(found.into_iter().map(|one| (side, one)));
    }
    let told: String = lines
        .iter()
        .filter(|(side, _)| *side == "error")
        .map(|(_, one)| one.to_string())
        .collect();
    let uncovered = asked
        .types
        .iter()
        .filter(|rtype| !asked.scopes.is_empty() && !asked.scopes.contains(rtype));
    for word in uncovered.map(String::as_str).chain(asked.left_out.iter().copied()) {
        if !told.contains(&format!(" {word} was left out")) {
            return Err(format!("{word} is not told to be left out: {told}"));
        }
    }
    let (expected, transmitted) = expected(site, at, asked);
    let (mut found, mut sent) = (BTreeMap::new(), BTreeSet::new());
    for (_, line) in lines.iter().filter(|(side, _)| *side == "output") {
        let is_new = match line["id"].as_str().is_some_and(|id| id.starts_with("tx.")) {
            true => sent.insert(line["target"][0]["reference"].as_str().unwrap_or("").to_owned()),
            false => found.insert(name(line), line).is_none(),
        };
        if !is_new {
            return Err(format!("{} twice", name(line)));
        }
    }
    if let Some(name) = expected.keys().find(|name| !found.contains_key(*name)) {
        let missing = expected.keys().filter(|name| !found.contains_key(*name)).count();
        return Err(format!("{missing} missing of {}, such as {name}", expected.len()));
    }
    if let Some(name) = found.keys().find(|name| !expected.contains_key(*name)) {
        return Err(format!("{name} should not be there; {} are expected", expected.len()));
    }
    if let Some(name) = found.keys().find(|name| found[*name] != expected[*name]) {
        return Err(format!("{name} is not what $everything gives"));
    }
    match sent == transmitted {
        true => Ok(expected.len()),
        false => Err(format!("transmitters {sent:?}, expected {transmitted:?}")),
    }
}

#[tokio::test]
async fn random_exports_have_what_the_oracle_has() {
    let seed = Chance::seed();
    let mut chance = Chance::of(seed);
    let exports = std::env::var("CAUSEWAY_TEST_EXPORTS").map_or(EXPORTS, |text| text.parse().expect("a number"));
    let site = Site::start(&mut chance).await;
    let (mut wrong, mut full, mut refused, mut number) = (Vec::new(), 0, 0, 0);
    // Some seeds have few among so many that have anything: then some more are begun.
    while number < exports || (wrong.is_empty() && full * 5 <= number && number < 10 * exports) {
        let (at, asked) = next(&site, &mut chance);
        refused += usize::from(!asked.refused.is_empty());
        match check(&site, at, &asked).await {
            Ok(count) => full += usize::from(count > 0),
            Err(difference) => {
                let difference: String = difference.chars().take(700).collect();
                let name = &site.world.callers[at].name;
                wrong.push(format!("{number}. {name}: {asked:?}\n   {difference}"));
            }
        }
        number += 1;
    }
    println!("{number} exports: {full} have resources, {refused} are refused");
    assert!(
        wrong.is_empty(),
        "CAUSEWAY_TEST_SEED={seed}: {} of {number} exports differ\n{}",
        wrong.len(),
        wrong.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("\n")
    );
    assert!(
        full * 5 > number,
        "only {full} exports have anything: the generator is blind"
    );
}
