//! The general rules of FHIR's REST interface: content negotiation, errors, headers, general parameters.

use super::super::found::follow;
use super::super::session::Session;
use super::super::stop::{Checked, Stop, demand, fail, skip};
use super::super::test::{Core, FixedTest};
use super::super::wire::{Call, ServerAnswer, query};
use super::super::{bundle, when};
use serde_json::Value;
use std::collections::HashSet;

const PLAIN_JSON: &str = "application/json";

#[rustfmt::skip]
pub(in super::super) const TESTS: &[FixedTest<Core>] = &[
    ("metadata", "statement", "fhir-metadata", "GET metadata answers a CapabilityStatement", Core::Metadata),
    ("metadata", "content", "fhir-metadata", "The CapabilityStatement holds what R4 requires, each type and parameter once", Core::MetadataShape),
    ("metadata", "open", "fhir-metadata-open", "The CapabilityStatement is read without a token", Core::MetadataOpen),
    ("negotiation", "accept", "fhir-negotiation", "Every way to ask for JSON gets application/fhir+json", Core::Accept),
    ("negotiation", "accept-xml", "fhir-negotiation", "Accept with only XML gets XML or 406", Core::AcceptXml),
    ("negotiation", "format", "fhir-negotiation", "_format wins over Accept", Core::Format),
    ("negotiation", "format-xml", "fhir-negotiation", "_format=xml gets XML or 406", Core::FormatXml),
    ("errors", "read-unknown", "fhir-404", "A read of an unknown id is 404 with an OperationOutcome", Core::ReadUnknown),
    ("errors", "type-unknown", "fhir-404", "An unknown type is 404 with an OperationOutcome", Core::TypeUnknown),
    ("errors", "method", "fhir-405", "A method that is not served is 405 with Allow", Core::Method),
    ("errors", "media-type", "fhir-415", "POST _search with another media type is refused", Core::SearchMediaType),
    ("errors", "bad-date", "fhir-400", "A date that is none is 400 with an OperationOutcome", Core::BadParameter),
    ("errors", "modifier", "fhir-modifier", "An unknown modifier is 400", Core::Modifier),
    ("errors", "strict", "fhir-strict", "An unknown parameter under handling=strict is 400", Core::Strict),
    ("errors", "lenient", "fhir-lenient", "An unknown parameter is otherwise passed over and not in the self link", Core::Lenient),
    ("access", "no-token", "rfc6750-401", "Without a token: 401 with WWW-Authenticate and OperationOutcome", Core::Unauthenticated),
    ("access", "bad-token", "rfc6750-401", "With a token nobody issued: 401, invalid_token", Core::BadToken),
    ("access", "token-in-url", "rfc6750-url", "A token in the URL is not taken", Core::TokenInUrl),
    ("access", "scope", "rfc6750-403", "A token without the scope: 403, insufficient_scope", Core::Scope),
    ("access", "not-yours", "fhir-not-yours", "What is not granted looks like what is not there", Core::NotYours),
    ("headers", "etag", "fhir-read", "A read carries ETag W/\"versionId\"", Core::Etag),
    ("headers", "last-modified", "fhir-read", "A read carries Last-Modified of meta.lastUpdated", Core::LastModified),
    ("headers", "not-modified", "fhir-conditional", "If-None-Match with the ETag gets 304 without a body, or 200", Core::NotModified),
    ("headers", "head", "fhir-head", "HEAD answers as GET without a body", Core::Head),
    ("headers", "request-id", "fhir-request-id", "X-Request-Id is answered, the caller's is given back", Core::RequestId),
];

pub(super) async fn run(which: Core, session: &mut Session) -> Checked {
    match which {
        Core::Metadata => metadata(session, "application/fhir+json").await,
        Core::MetadataShape => metadata_shape(session).await,
        Core::MetadataOpen => open(session).await,
        Core::Accept => accept(session).await,
        Core::AcceptXml => {
            let call = Call::new("GET", session.url("metadata")).header("accept", "application/fhir+xml");
            xml_or_406(&session.wire.send(call).await?)
        }
        Core::Format => format(session).await,
        Core::FormatXml => {
            let call = Call::get(session.url("metadata?_format=xml"));
            xml_or_406(&session.wire.send(call).await?)
        }
        Core::ReadUnknown => {
            let path = format!("Patient/{}", session.new_id());
            session.get(&path).await?.status(404)?.outcome().map(drop)
        }
        Core::TypeUnknown => session.get("NoSuchType/1").await?.status(404)?.outcome().map(drop),
        Core::Method => method(session).await,
        Core::SearchMediaType => {
            let call = Call::new("POST", session.url("Patient/_search")).body("application/json", "{}");
            session.send(call).await?.one_of(&[415, 400])?.outcome().map(drop)
        }
        Core::BadParameter => {
            refused(
                session,
                "Observation",
                &[("category", "laboratory"), ("date", "no-date")],
                "",
            )
            .await
        }
        Core::Modifier => refused(session, "Patient", &[("_id:no-such-modifier", "x")], "").await,
        Core::Strict => refused(session, "Patient", &[("no-such-parameter", "x")], "handling=strict").await,
        Core::Lenient => lenient(session).await,
        Core::Unauthenticated => no_token(session).await,
        Core::BadToken => bad_token(session).await,
        Core::TokenInUrl => token_in_url(session).await,
        Core::Scope => scope(session).await,
        Core::NotYours => not_yours(session).await,
        Core::Etag => etag(session).await,
        Core::LastModified => last_modified(session).await,
        Core::NotModified => not_modified(session).await,
        Core::Head => head(session).await,
        Core::RequestId => request_id(session).await,
    }
}

async fn metadata(session: &mut Session, accept: &str) -> Checked {
    let call = Call::new("GET", session.url("metadata")).header("accept", accept);
    let answer = session.wire.send(call).await?;
    // A request for plain JSON may be answered with plain JSON.
    if accept == PLAIN_JSON && answer.status(200)?.header("content-type").starts_with(PLAIN_JSON) {
        let body = answer.json()?;
        return demand(body["resourceType"] == "CapabilityStatement", || {
            "no CapabilityStatement".to_owned()
        });
    }
    answer.status(200)?.resource("CapabilityStatement").map(drop)
}

async fn open(session: &mut Session) -> Checked {
    let call = Call::get(session.url("metadata"));
    let answer = session.wire.send(call).await?;
    answer.status(200)?.resource("CapabilityStatement").map(drop)
}

async fn accept(session: &mut Session) -> Checked {
    for accept in [
        PLAIN_JSON,
        "*/*",
        "application/fhir+json; fhirVersion=4.0",
        "application/xml;q=0.1, application/fhir+json",
    ] {
        metadata(session, accept).await?;
    }
    Ok(())
}

async fn format(session: &mut Session) -> Checked {
    let call = Call::new("GET", session.url("metadata?_format=json")).header("accept", "application/fhir+xml");
    let answer = session.wire.send(call).await?;
    answer.status(200)?.resource("CapabilityStatement").map(drop)
}

async fn metadata_shape(session: &mut Session) -> Checked {
    let call = Call::get(session.url("metadata"));
    let statement = session
        .wire
        .send(call)
        .await?
        .status(200)?
        .resource("CapabilityStatement")?;
    for name in ["status", "date", "kind", "fhirVersion", "format", "rest"] {
        demand(statement.get(name).is_some(), || {
            format!("CapabilityStatement.{name} is missing")
        })?;
    }
    let kind = statement["kind"].as_str().unwrap_or("");
    demand(kind != "instance" || statement.get("implementation").is_some(), || {
        "kind is instance and implementation is missing (cpb-14)".to_owned()
    })?;
    let rest = &statement["rest"][0];
    demand(rest["mode"] == "server", || "rest.mode is not server".to_owned())?;
    let mut types = HashSet::new();
    for resource in rest["resource"].as_array().into_iter().flatten() {
        let rtype = resource["type"].as_str().unwrap_or("");
        demand(!rtype.is_empty(), || "a resource without type".to_owned())?;
        demand(types.insert(rtype), || format!("{rtype} is declared twice (cpb-9)"))?;
        let mut names = HashSet::new();
        for parameter in resource["searchParam"].as_array().into_iter().flatten() {
            let name = parameter["name"].as_str().unwrap_or("");
            demand(names.insert(name), || {
                format!("{rtype}: {name} is declared twice (cpb-12)")
            })?;
            demand(parameter["type"].is_string(), || format!("{rtype}: {name} has no type"))?;
        }
        for operation in resource["operation"].as_array().into_iter().flatten() {
            let whole = operation["name"].is_string() && operation["definition"].is_string();
            demand(whole, || format!("{rtype}: an operation without name or definition"))?;
        }
    }
    demand(types.contains("Patient"), || "Patient is not declared".to_owned())
}

fn xml_or_406(answer: &ServerAnswer) -> Checked {
    if answer.status == 406 {
        return answer.outcome().map(drop);
    }
    let media_type = answer.status(200)?.header("content-type");
    demand(media_type.contains("xml"), || {
        format!("XML was asked for, {media_type} came")
    })
}

async fn method(session: &mut Session) -> Checked {
    let patient = session.patient().await?;
    for method in ["PATCH", "DELETE"] {
        let call =
            Call::new(method, session.url(&format!("Patient/{patient}"))).header("accept", "application/fhir+json");
        let answer = session.send(call).await?;
        answer.status(405)?.outcome()?;
        demand(!answer.header("allow").is_empty(), || {
            "405 without Allow (RFC 9110)".to_owned()
        })?;
    }
    Ok(())
}

/// Checks that a search with these parameters for the first patient is refused with 400.
async fn refused(session: &mut Session, rtype: &str, more: &[(&str, &str)], prefer: &str) -> Checked {
    let patient = session.patient().await?;
    let mut pairs = vec![(if rtype == "Patient" { "_id" } else { "patient" }, patient.as_str())];
    pairs.extend(more);
    let mut call = Call::get(session.url(&format!("{rtype}?{}", query(&pairs))));
    if !prefer.is_empty() {
        call = call.header("prefer", prefer);
    }
    session.send(call).await?.status(400)?.outcome().map(drop)
}

async fn lenient(session: &mut Session) -> Checked {
    let patient = session.patient().await?;
    let url = session.url(&format!(
        "Patient?{}",
        query(&[("_id", &patient), ("no-such-parameter", "x")])
    ));
    let answer = session.send(Call::get(url)).await?;
    let page = answer.status(200)?.resource("Bundle")?;
    bundle::check(&page, "Patient")?;
    let own = bundle::link(&page, "self").unwrap_or("");
    demand(!own.contains("no-such-parameter"), || {
        "the self link claims a parameter that was passed over".to_owned()
    })?;
    let found = follow(session, "Patient", answer).await?;
    demand(found.matches.len() == 1, || {
        format!("{} match, one was due", found.matches.len())
    })
}

async fn no_token(session: &mut Session) -> Checked {
    let patient = session.patient().await?;
    for path in [
        format!("Patient/{patient}"),
        format!("Patient?_id={patient}"),
        format!("Patient/{patient}/$everything"),
    ] {
        let call = Call::get(session.url(&path));
        let answer = session.wire.send(call).await?;
        answer.status(401)?.outcome()?;
        challenge(&answer, "Bearer")?;
    }
    Ok(())
}

fn challenge(answer: &ServerAnswer, wanted: &str) -> Checked {
    let found = answer.header("www-authenticate");
    demand(found.contains(wanted), || {
        format!("WWW-Authenticate is {found:?}, without {wanted}")
    })
}

async fn bad_token(session: &mut Session) -> Checked {
    let patient = session.patient().await?;
    let call = Call::get(session.url(&format!("Patient/{patient}"))).bearer("no-such-token");
    let answer = session.wire.send(call).await?;
    answer.status(401)?.outcome()?;
    challenge(&answer, "invalid_token")
}

async fn token_in_url(session: &mut Session) -> Checked {
    let (patient, token) = (session.patient().await?, session.read_token().await?);
    let url = session.url(&format!("Patient/{patient}?{}", query(&[("access_token", &token)])));
    // The request is not recorded, because its URL contains the token.
    let answer = session.wire.send_unrecorded(Call::get(url)).await?;
    demand(answer.status != 200, || {
        "a token in the URL opens the resource".to_owned()
    })
}

async fn scope(session: &mut Session) -> Checked {
    let patient = session.patient().await?;
    let scope = session.settings.match_scope.clone();
    let token = session.token(&scope).await?;
    let call = Call::get(session.url(&format!("Patient/{patient}"))).bearer(&token);
    let answer = session.wire.send(call).await?;
    answer.status(403)?.outcome()?;
    challenge(&answer, "insufficient_scope")
}

async fn not_yours(session: &mut Session) -> Checked {
    let Some(other) = session.settings.other_patients.first().cloned() else {
        return skip("the client file names no other_patients");
    };
    let nobody = session.new_id();
    let yours = session.get(&format!("Patient/{other}")).await?;
    let nothing = session.get(&format!("Patient/{nobody}")).await?;
    demand(yours.status == nothing.status, || {
        format!("not granted is {}, not there is {}", yours.status, nothing.status)
    })?;
    demand(yours.outcome()? == nothing.outcome()?, || {
        "the two outcomes differ".to_owned()
    })
}

async fn read(session: &mut Session) -> Checked<(ServerAnswer, Value)> {
    let patient = session.patient().await?;
    let answer = session.get(&format!("Patient/{patient}")).await?;
    let resource = answer.status(200)?.resource("Patient")?;
    Ok((answer, resource))
}

async fn etag(session: &mut Session) -> Checked {
    let (answer, resource) = read(session).await?;
    let etag = answer.header("etag");
    demand(etag.starts_with("W/\"") && etag.ends_with('"'), || {
        format!("ETag is {etag:?}")
    })?;
    match resource["meta"]["versionId"].as_str() {
        Some(version) => demand(etag == format!("W/\"{version}\""), || {
            format!("ETag {etag} is not that of version {version}")
        }),
        None => Ok(()),
    }
}

async fn last_modified(session: &mut Session) -> Checked {
    let (answer, resource) = read(session).await?;
    let Some(updated) = resource["meta"]["lastUpdated"].as_str().and_then(when::TimeSpan::of) else {
        return skip("the Patient has no meta.lastUpdated");
    };
    let header = answer.header("last-modified");
    let Ok(said) = chrono::DateTime::parse_from_rfc2822(header) else {
        return fail(format!("Last-Modified is {header:?}"));
    };
    let difference = (said.timestamp_millis() - updated.from).abs();
    demand(difference < 1_000, || {
        format!("Last-Modified is {difference} ms from meta.lastUpdated")
    })
}

async fn not_modified(session: &mut Session) -> Checked {
    let (answer, _) = read(session).await?;
    let etag = answer.header("etag").to_owned();
    if etag.is_empty() {
        return skip("a read has no ETag");
    }
    let patient = session.patient().await?;
    let call = Call::get(session.url(&format!("Patient/{patient}"))).header("if-none-match", etag);
    let answer = session.send(call).await?;
    answer.one_of(&[304, 200])?;
    demand(answer.status == 200 || answer.body.is_empty(), || {
        "304 with a body".to_owned()
    })
}

async fn head(session: &mut Session) -> Checked {
    let (got, _) = read(session).await?;
    let patient = session.patient().await?;
    let call = Call::new("HEAD", session.url(&format!("Patient/{patient}"))).header("accept", "application/fhir+json");
    let answer = session.send(call).await?;
    if answer.status == 405 {
        return Err(Stop::Omit("HEAD is not served".to_owned()));
    }
    answer.status(200)?;
    demand(answer.body.is_empty(), || "HEAD with a body".to_owned())?;
    demand(answer.header("etag") == got.header("etag"), || {
        "HEAD has another ETag than GET".to_owned()
    })
}

async fn request_id(session: &mut Session) -> Checked {
    let (patient, id) = (session.patient().await?, session.new_id());
    let call = Call::get(session.url(&format!("Patient/{patient}"))).header("x-request-id", id.clone());
    let answer = session.send(call).await?;
    let (request, correlation) = (answer.header("x-request-id"), answer.header("x-correlation-id"));
    demand(!request.is_empty(), || "no X-Request-Id".to_owned())?;
    demand(request == id || correlation == id, || {
        "the caller's X-Request-Id is not given back".to_owned()
    })
}
