//! Checks of Bulk Data Access 1.0 and 2.0: start, status, manifest, files, deletion, refusals.

use super::super::ended_run::BulkRun;
use super::super::found::name;
use super::super::runs::{location, resources};
use super::super::session::Session;
use super::super::stop::{Checked, demand, skip};
use super::super::surroundings::rfc3339_ms;
use super::super::test::{BulkTest, FixedTest};
use super::super::wire::{Call, ServerAnswer, query};
use chrono::DateTime;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The tests of both versions.
#[rustfmt::skip]
pub(in super::super) const TESTS: &[FixedTest<BulkTest>] = &[
    ("kick-off", "patient", "bulk-kick-off", "Patient/$export is answered with 202 and an absolute Content-Location", BulkTest::KickOff),
    ("kick-off", "prefer", "bulk-kick-off", "A start without Prefer: respond-async is refused with an OperationOutcome", BulkTest::PreferNeeded),
    ("kick-off", "token", "bulk-kick-off", "A start without a token is refused", BulkTest::TokenNeeded),
    ("parameters", "formats", "bulk-parameters", "_outputFormat is taken in its three forms", BulkTest::Formats),
    ("parameters", "format-refused", "bulk-parameters", "An _outputFormat that is not supported is refused", BulkTest::FormatRefused),
    ("parameters", "type", "bulk-parameters", "_type limits the files to these types", BulkTest::Types),
    ("parameters", "since", "bulk-parameters", "Nothing that is older than _since is exported", BulkTest::Since),
    ("status", "token", "bulk-status", "The status address needs a token", BulkTest::StatusToken),
    ("status", "complete", "bulk-status", "The end is 200 with a manifest of type application/json", BulkTest::Complete),
    ("manifest", "time", "bulk-manifest", "transactionTime is an instant that is not in the future", BulkTest::Time),
    ("manifest", "request", "bulk-manifest", "request is the address of the start", BulkTest::Request),
    ("manifest", "access-token", "bulk-manifest", "requiresAccessToken is a boolean", BulkTest::AccessToken),
    ("manifest", "output", "bulk-manifest", "output names files with type and absolute URL", BulkTest::Output),
    ("manifest", "error", "bulk-manifest", "error is a list of files of OperationOutcomes", BulkTest::ErrorList),
    ("manifest", "count", "bulk-manifest", "count is the number of resources in the file", BulkTest::Count),
    ("files", "ndjson", "bulk-files", "A file is application/fhir+ndjson with one resource of its type in each line", BulkTest::Ndjson),
    ("files", "token", "bulk-files", "A file needs a token if the manifest says so", BulkTest::FileToken),
    ("files", "whole", "bulk-files", "The files have the record that $everything has, each resource once, with the same content", BulkTest::Whole),
    ("delete", "accepted", "bulk-delete", "DELETE of the status address is answered with 202", BulkTest::Delete),
    ("delete", "gone", "bulk-delete", "After DELETE the status address is 404 with an OperationOutcome", BulkTest::Gone),
    ("errors", "unknown", "bulk-errors", "A status address that does not exist is 404 with an OperationOutcome", BulkTest::Unknown),
];

/// The tests of 2.0 alone.
#[rustfmt::skip]
pub(in super::super) const TESTS_2: &[FixedTest<BulkTest>] = &[
    ("kick-off", "post", "bulk2-post", "An export is started by POST of a Parameters resource", BulkTest::Post),
    ("parameters", "patient", "bulk2-patient", "patient limits the export to this member", BulkTest::Patient),
    ("parameters", "strict", "bulk2-handling", "An unknown parameter is refused", BulkTest::Strict),
    ("parameters", "lenient", "bulk2-handling", "With Prefer: handling=lenient an unknown parameter is left out", BulkTest::Lenient),
];

/// Runs one check.
pub(super) async fn run(which: BulkTest, session: &mut Session) -> Checked {
    match which {
        BulkTest::KickOff => {
            let begun = begin(session, "GET", "Patient/$export", None).await?;
            let status = location(begun.status(202)?)?;
            remove(session, &status).await.map(drop)
        }
        BulkTest::PreferNeeded => {
            let call = Call::get(session.url("Patient/$export"));
            session.send(call).await?.status(400)?.outcome().map(drop)
        }
        BulkTest::TokenNeeded => {
            let call = session.beginning("GET", "Patient/$export");
            session.wire.send(call).await?.status(401).map(drop)
        }
        BulkTest::Formats => formats(session).await,
        BulkTest::FormatRefused => refused(session, "Patient/$export?_outputFormat=text%2Fcsv").await,
        BulkTest::Strict => refused(session, "Patient/$export?noSuchParameter=x").await,
        BulkTest::Lenient => {
            let token = session.read_token().await?;
            let call = session.beginning("GET", "Patient/$export?noSuchParameter=x");
            let call = call.header("prefer", "respond-async, handling=lenient").bearer(&token);
            let begun = session.wire.send(call).await?;
            let status = location(begun.status(202)?)?;
            remove(session, &status).await.map(drop)
        }
        BulkTest::Types => types(session).await,
        BulkTest::Since => since(session).await,
        BulkTest::Post | BulkTest::Patient => posted(session, which).await,
        BulkTest::Delete => {
            let run = session.export("Patient/$export?_type=Patient").await?;
            remove(session, &run.status).await?.status(202).map(drop)
        }
        BulkTest::Gone => {
            let run = session.export("Patient/$export?_type=Patient").await?;
            remove(session, &run.status).await?;
            let answer = session.send(Call::get(run.status)).await?;
            answer.status(404)?.outcome().map(drop)
        }
        BulkTest::Unknown => {
            let run = session.exported().await?;
            let folder = run.status.rsplit_once('/').map_or("", |(folder, _)| folder);
            let url = format!("{folder}/{}", session.new_id());
            session.send(Call::get(url)).await?.status(404)?.outcome().map(drop)
        }
        _ => looked_at(which, session).await,
    }
}

/// The checks of an export of all members, which is made once.
async fn looked_at(which: BulkTest, session: &mut Session) -> Checked {
    let run = session.exported().await?;
    match which {
        BulkTest::StatusToken => session.wire.send(Call::get(run.status)).await?.status(401).map(drop),
        BulkTest::Complete => {
            let found = run.ended.header("content-type");
            demand(found.split(';').next() == Some("application/json"), || {
                format!("the manifest is {found:?}")
            })
        }
        BulkTest::Time => {
            let time = run.manifest["transactionTime"].as_str().unwrap_or("");
            let parsed = DateTime::parse_from_rfc3339(time);
            let is_past = parsed.is_ok_and(|time| time.timestamp() <= session.now_s() + 60);
            demand(is_past, || format!("transactionTime is {time:?}"))
        }
        BulkTest::Request => demand(run.manifest["request"] == run.asked, || {
            format!("request is {}, not {:?}", run.manifest["request"], run.asked)
        }),
        BulkTest::AccessToken => demand(run.manifest["requiresAccessToken"].is_boolean(), || {
            "requiresAccessToken is no boolean".to_owned()
        }),
        BulkTest::Output => {
            demand(run.files("output").next().is_some(), || "no output".to_owned())?;
            named_files(&run, "output", None)
        }
        BulkTest::ErrorList => {
            demand(run.manifest["error"].is_array(), || "no list error".to_owned())?;
            named_files(&run, "error", Some("OperationOutcome"))
        }
        BulkTest::FileToken if run.manifest["requiresAccessToken"] == true => {
            let url = run
                .files("output")
                .next()
                .map(|file| file["url"].as_str().unwrap_or(""));
            let call = Call::get(url.unwrap_or(""));
            session.wire.send(call).await?.status(401).map(drop)
        }
        BulkTest::Ndjson | BulkTest::Count => each_file(which, session, &run).await,
        BulkTest::Whole => whole(session, &run).await,
        _ => skip("the manifest says that files need no token"),
    }
}

async fn begin(session: &mut Session, method: &'static str, path: &str, body: Option<&Value>) -> Checked<ServerAnswer> {
    session.patient().await?;
    let token = session.read_token().await?;
    let call = session.beginning(method, path).bearer(&token);
    let call = match body {
        Some(body) => call.fhir(body),
        None => call,
    };
    session.wire.send(call).await
}

pub(super) async fn remove(session: &mut Session, status: &str) -> Checked<ServerAnswer> {
    let call = Call::new("DELETE", status).header("accept", "application/fhir+json");
    session.send(call).await
}

pub(super) async fn refused(session: &mut Session, path: &str) -> Checked {
    let begun = begin(session, "GET", path, None).await?;
    begun.status(400)?.outcome().map(drop)
}

async fn formats(session: &mut Session) -> Checked {
    for format in ["application/fhir+ndjson", "application/ndjson", "ndjson"] {
        let path = format!("Patient/$export?{}", query(&[("_outputFormat", format)]));
        let begun = begin(session, "GET", &path, None).await?;
        let status = location(begun.status(202)?)?;
        remove(session, &status).await?;
    }
    Ok(())
}

async fn types(session: &mut Session) -> Checked {
    let run = session.export("Patient/$export?_type=Patient,Coverage").await?;
    let lines = session.lines(&run, "output").await?;
    demand(!lines.is_empty(), || "the files are empty".to_owned())?;
    let others = run
        .files("output")
        .map(|file| &file["type"])
        .chain(lines.iter().map(|one| &one["resourceType"]));
    let other: Vec<String> = others
        .filter(|one| *one != "Patient" && *one != "Coverage")
        .map(Value::to_string)
        .collect();
    demand(other.is_empty(), || {
        format!("_type=Patient,Coverage gave {}", other.join(", "))
    })
}

async fn since(session: &mut Session) -> Checked {
    let after = rfc3339_ms(session.now_s() * 1000);
    let path = format!(
        "Patient/$export?{}",
        query(&[("_type", "Patient,Coverage"), ("_since", &after)])
    );
    let run = session.export(&path).await?;
    let old = session.lines(&run, "output").await?.len();
    demand(old == 0, || {
        format!("{old} resources since {after}, when nothing changed")
    })
}

async fn posted(session: &mut Session, which: BulkTest) -> Checked {
    let patient = session.patient().await?;
    let mut parameters = vec![json!({"name": "_type", "valueString": "Patient"})];
    if which == BulkTest::Patient {
        let reference = json!({"reference": format!("Patient/{patient}")});
        parameters.push(json!({"name": "patient", "valueReference": reference}));
    }
    let body = json!({"resourceType": "Parameters", "parameter": parameters});
    let begun = begin(session, "POST", "Patient/$export", Some(&body)).await?;
    let token = session.read_token().await?;
    let run = session.ended(&begun, session.url("Patient/$export"), &token).await?;
    let found: BTreeSet<String> = session.lines(&run, "output").await?.iter().map(name).collect();
    let own = format!("Patient/{patient}");
    demand(found.contains(&own), || format!("{own} is not in the files"))?;
    let is_alone = found.len() == 1 || which == BulkTest::Post;
    demand(is_alone, || format!("{} Patients for patient={own}", found.len()))
}

fn named_files(run: &BulkRun, list: &str, wanted: Option<&str>) -> Checked {
    for file in run.files(list) {
        let (kind, url) = (file["type"].as_str().unwrap_or(""), file["url"].as_str().unwrap_or(""));
        let is_named = !kind.is_empty() && url.starts_with("https://") && wanted.is_none_or(|wanted| kind == wanted);
        demand(is_named, || format!("{list}: type {kind:?}, url {url:?}"))?;
    }
    Ok(())
}

async fn each_file(which: BulkTest, session: &mut Session, run: &BulkRun) -> Checked {
    for file in run.files("output") {
        let answer = session.file(file["url"].as_str().unwrap_or("")).await?;
        let lines = resources(answer.status(200)?)?;
        if which == BulkTest::Count {
            let said = &file["count"];
            demand(said.is_null() || *said == json!(lines.len()), || {
                format!("count is {said}, and the file has {}", lines.len())
            })?;
            continue;
        }
        let media_type = answer.header("content-type");
        demand(media_type.split(';').next() == Some("application/fhir+ndjson"), || {
            format!("a file is {media_type:?}")
        })?;
        let is_right = lines.iter().all(|one| one["resourceType"] == file["type"]);
        demand(is_right, || format!("a file of {} has other types", file["type"]))?;
    }
    Ok(())
}

/// Checks that what `$everything` has is in the files with the same content, except Provenances, of which some are of the export itself.
pub(super) async fn whole(session: &mut Session, run: &BulkRun) -> Checked {
    let record = session.everything().await?;
    let lines = session.lines(run, "output").await?;
    let mut seen = BTreeSet::new();
    for line in &lines {
        demand(seen.insert(name(line)), || {
            format!("{} is in the files twice", name(line))
        })?;
    }
    for one in record.iter().filter(|one| !is_about_sending(one)) {
        let found = lines.iter().find(|line| name(line) == name(one));
        demand(found.is_some(), || format!("{} is not in the files", name(one)))?;
        demand(found == Some(one), || {
            format!("{} has another content in the files", name(one))
        })?;
    }
    let patients: BTreeSet<String> = lines
        .iter()
        .filter(|one| one["resourceType"] == "Patient")
        .map(name)
        .collect();
    let stranger = lines
        .iter()
        .filter_map(|line| Some((line, about(line)?)))
        .find(|(_, whose)| whose.starts_with("Patient/") && !patients.contains(*whose));
    demand(stranger.is_none() && !patients.is_empty(), || {
        stranger.map_or_else(
            || "no Patient is in the files".to_owned(),
            |(line, whose)| {
                format!(
                    "{} is about {whose}, who is not among the exported Patients",
                    name(line)
                )
            },
        )
    })
}

/// Whose record a resource belongs to. Other elements, such as a Coverage's subscriber, may name relatives.
fn about(line: &Value) -> Option<&str> {
    ["subject", "patient", "beneficiary"]
        .into_iter()
        .find_map(|element| line[element]["reference"].as_str())
}

fn is_about_sending(one: &Value) -> bool {
    matches!(one["resourceType"].as_str(), Some("Provenance" | "OperationOutcome"))
}
