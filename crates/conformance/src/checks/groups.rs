//! Checks of bulk between payers (PDex 2.1 and 2.2): `$bulk-member-match`, its Groups, and the exports of a Group.

use super::super::ended_run::BulkRun;
use super::super::runs::location;
use super::super::session::Session;
use super::super::stop::{Checked, demand, fail, skip};
use super::super::test::{FixedTest, GroupTest};
use super::super::wire::Call;
use super::bulk;
use serde_json::{Value, json};

/// The tests.
#[rustfmt::skip]
pub(in super::super) const TESTS: &[FixedTest<GroupTest>] = &[
    ("match", "kick-off", "pdexbulk-match", "$bulk-member-match is answered with 202 and an absolute Content-Location", GroupTest::KickOff),
    ("match", "prefer", "pdexbulk-match", "A bulk match without Prefer: respond-async is refused", GroupTest::PreferNeeded),
    ("match", "scope", "pdexbulk-scope", "A bulk match needs a scope of its own", GroupTest::ScopeNeeded),
    ("match", "token", "pdexbulk-scope", "A bulk match needs a token", GroupTest::TokenNeeded),
    ("match", "bad-json", "pdexbulk-match", "A body that is cut is refused", GroupTest::BadJson),
    ("result", "match", "pdexbulk-result", "A Group of matched members names the Patient here and the Patient that was sent", GroupTest::Matched),
    ("result", "no-match", "pdexbulk-result", "Who is not found is in the Group nomatch", GroupTest::Nobody),
    ("result", "consent", "pdexbulk-result", "Whose consent cannot be honored is in the Group consentconstraint", GroupTest::Consent),
    ("result", "envelope", "pdexbulk-envelope", "For PDex 2.1, Parameters name the same Groups", GroupTest::Envelope),
    ("group", "read", "pdexbulk-group", "The Group of matched members is read by its id", GroupTest::Read),
    ("group", "search", "pdexbulk-group", "The Group is found by _id", GroupTest::Search),
    ("group", "unknown", "pdexbulk-group", "A Group that does not exist is 404", GroupTest::Unknown),
    ("export", "group", "pdexbulk-export", "Group/{id}/$export gives the record of the matched member", GroupTest::Export),
    ("export", "data-export", "pdexbulk-data-export", "$davinci-data-export with exportType payertopayer gives the record of the matched member", GroupTest::DataExport),
    ("export", "other-type", "pdexbulk-data-export", "Another exportType is refused", GroupTest::OtherType),
    ("export", "unknown-group", "pdexbulk-export", "The export of a Group that does not exist is 404", GroupTest::UnknownGroup),
];

const PATH: &str = "Group/$bulk-member-match";
const PAYER_TO_PAYER: &str = "hl7.fhir.us.davinci-pdex#payertopayer";

/// Runs one check.
pub(super) async fn run(which: GroupTest, session: &mut Session) -> Checked {
    match which {
        GroupTest::KickOff => {
            let body = session.bulk_body()?;
            let (begun, _) = session.post_bulk_match(&body).await?;
            let status = location(begun.status(202)?)?;
            bulk::remove(session, &status).await.map(drop)
        }
        GroupTest::PreferNeeded | GroupTest::BadJson => {
            let scope = session.bulk_scope()?;
            let token = session.token(&scope).await?;
            let call = if which == GroupTest::BadJson {
                session
                    .beginning("POST", PATH)
                    .body("application/fhir+json", "{\"resourceType\":\"Par")
            } else {
                Call::new("POST", session.url(PATH)).fhir(&session.bulk_body()?)
            };
            session
                .wire
                .send(call.bearer(&token))
                .await?
                .status(400)?
                .outcome()
                .map(drop)
        }
        GroupTest::ScopeNeeded => {
            session.bulk_scope()?;
            let token = session.read_token().await?;
            let call = session
                .beginning("POST", PATH)
                .fhir(&session.bulk_body()?)
                .bearer(&token);
            session.wire.send(call).await?.status(403)?.outcome().map(drop)
        }
        GroupTest::TokenNeeded => {
            let call = session.beginning("POST", PATH).fhir(&session.bulk_body()?);
            session.wire.send(call).await?.status(401)?.outcome().map(drop)
        }
        GroupTest::Matched => matched(session).await.map(drop),
        GroupTest::Nobody if session.settings.no_match.is_some() => sent(session, "nomatch", "bulk-no-match").await,
        GroupTest::Consent if session.settings.consent.is_some() => {
            sent(session, "consentconstraint", "bulk-consent").await
        }
        GroupTest::Nobody | GroupTest::Consent => skip("the client file names no such body"),
        GroupTest::Envelope => envelope(session).await,
        _ => used(which, session).await,
    }
}

/// The checks of a Group after its match.
async fn used(which: GroupTest, session: &mut Session) -> Checked {
    match which {
        GroupTest::Read => {
            let group = matched(session).await?;
            let read = session
                .get(&format!("Group/{}", id(&group)))
                .await?
                .status(200)?
                .resource("Group")?;
            demand(read["id"] == group["id"] && first(&read) == first(&group), || {
                "the Group that was read is another".to_owned()
            })
        }
        GroupTest::Search => {
            let group = matched(session).await?;
            let found = session
                .get(&format!("Group?_id={}", id(&group)))
                .await?
                .status(200)?
                .resource("Bundle")?;
            let mut entries = found["entry"].as_array().into_iter().flatten();
            demand(entries.any(|entry| entry["resource"]["id"] == group["id"]), || {
                "the Group is not found".to_owned()
            })
        }
        GroupTest::Unknown | GroupTest::UnknownGroup => {
            session.bulk_scope()?;
            let path = format!("Group/{}", session.new_id());
            let call = match which {
                GroupTest::Unknown => Call::get(session.url(&path)),
                _ => session.beginning("GET", &format!("{path}/$export")),
            };
            session.send(call).await?.status(404)?.outcome().map(drop)
        }
        GroupTest::Export => {
            let group = matched(session).await?;
            let run = session.export(&format!("Group/{}/$export", id(&group))).await?;
            bulk::whole(session, &run).await
        }
        GroupTest::DataExport => {
            let begun = data_export(session, PAYER_TO_PAYER).await?;
            let token = session.read_token().await?;
            let run: BulkRun = session.ended(&begun, String::new(), &token).await?;
            bulk::whole(session, &run).await
        }
        _ => {
            let begun = data_export(session, "hl7.fhir.us.davinci-pdex#no-such-type").await?;
            begun.status(400)?.outcome().map(drop)
        }
    }
}

async fn data_export(session: &mut Session, kind: &str) -> Checked<super::super::wire::ServerAnswer> {
    let group = matched(session).await?;
    let body = json!({"resourceType": "Parameters", "parameter": [{"name": "exportType", "valueCanonical": kind}]});
    let token = session.read_token().await?;
    let call = session.beginning("POST", &format!("Group/{}/$davinci-data-export", id(&group)));
    session.wire.send(call.fhir(&body).bearer(&token)).await
}

fn id(group: &Value) -> &str {
    group["id"].as_str().unwrap_or("")
}

/// Whom the first member of a Group is.
fn first(group: &Value) -> &Value {
    &group["member"][0]["entity"]["reference"]
}

/// The Group of the result with this code.
async fn group(session: &mut Session, code: &str) -> Checked<Value> {
    let run = session.grouped().await?;
    let lines = session.lines(&run, "output").await?;
    let mut groups = lines.into_iter().filter(|line| line["resourceType"] == "Group");
    match groups.find(|group| group["code"]["coding"][0]["code"] == code) {
        Some(group) => Ok(group),
        None => fail(format!("no Group with the code {code}")),
    }
}

/// The reference to the Patient that was sent, in a member of a Group.
fn sent_as(member: &Value) -> &str {
    let mut extensions = member["entity"]["extension"].as_array().into_iter().flatten();
    let found = extensions.find(|one| {
        one["url"]
            .as_str()
            .is_some_and(|url| url.ends_with("/base-ext-match-parameters"))
    });
    found.map_or("", |one| one["valueReference"]["reference"].as_str().unwrap_or(""))
}

async fn sent(session: &mut Session, code: &str, wanted: &str) -> Checked {
    let group = group(session, code).await?;
    let mut members = group["member"].as_array().into_iter().flatten();
    demand(
        members.any(|member| sent_as(member).trim_start_matches('#') == wanted),
        || format!("{wanted} is not in the Group {code}"),
    )
}

/// The Group of matched members, checked.
async fn matched(session: &mut Session) -> Checked<Value> {
    let patient = session.patient().await?;
    sent(session, "match", "bulk-match").await?;
    let group = group(session, "match").await?;
    let found = first(&group).as_str().unwrap_or("").to_owned();
    demand(found.ends_with(&format!("Patient/{patient}")), || {
        format!("the matched member is {found:?}, not Patient/{patient}")
    })?;
    Ok(group)
}

async fn envelope(session: &mut Session) -> Checked {
    let group = matched(session).await?;
    let run = session.grouped().await?;
    if !session.settings.wants_envelope {
        return skip("the client is not registered with PDex 2.1 (bulk_match_envelope in the client file)");
    }
    let lines = session.lines(&run, "output").await?;
    let Some(envelope) = lines.iter().find(|line| line["resourceType"] == "Parameters") else {
        return fail("the manifest names no file of type Parameters");
    };
    let mut parameters = envelope["parameter"].as_array().into_iter().flatten();
    demand(parameters.any(|one| one["resource"]["id"] == group["id"]), || {
        "the Parameters do not have the Group of matched members".to_owned()
    })
}
