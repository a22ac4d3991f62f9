//! Access control: no other patient's data is returned, and a token for one patient gives access to that patient only.

use super::super::found::search;
use super::super::session::Session;
use super::super::stop::{Checked, Stop, demand, fail, skip};
use super::super::test::{FixedTest, RecordAccess};
use super::super::wire::Call;

#[rustfmt::skip]
pub(in super::super) const TESTS: &[FixedTest<RecordAccess>] = &[
    ("access", "unknown", "fhir-404", "$everything of an unknown patient is 404", RecordAccess::Unknown),
    ("access", "not-yours", "pdex-213", "$everything of a patient who was not granted is refused", RecordAccess::NotYours),
    ("access", "narrowed", "pdex-223", "A token asked for one patient reads that patient", RecordAccess::Narrowed),
    ("access", "narrowed-other", "pdex-223", "No token is given for a patient who was not granted", RecordAccess::NarrowedOther),
    ("access", "search-other", "pdex-219", "A search finds no patient who was not granted", RecordAccess::SearchOther),
    ("access", "read-other", "pdex-219", "A read shows no patient who was not granted", RecordAccess::ReadOther),
];

pub(super) async fn run(which: RecordAccess, session: &mut Session) -> Checked {
    match which {
        RecordAccess::Unknown => {
            let path = format!("Patient/{}/$everything", session.new_id());
            session.get(&path).await?.status(404)?.outcome().map(drop)
        }
        RecordAccess::NotYours => {
            for other in others(session)? {
                let answer = session.get(&format!("Patient/{other}/$everything")).await?;
                answer.one_of(&[404, 403])?.outcome()?;
            }
            Ok(())
        }
        RecordAccess::Narrowed => narrowed(session).await,
        RecordAccess::NarrowedOther => narrowed_other(session).await,
        RecordAccess::SearchOther => {
            for other in others(session)? {
                let found = search(session, "Patient", &[("_id", &other)]).await?;
                demand(found.matches.is_empty(), || {
                    "a patient who was not granted is found".to_owned()
                })?;
            }
            Ok(())
        }
        RecordAccess::ReadOther => {
            for other in others(session)? {
                session
                    .get(&format!("Patient/{other}"))
                    .await?
                    .one_of(&[404, 403])?
                    .outcome()?;
            }
            Ok(())
        }
    }
}

/// Patients without a grant, and one that does not exist.
fn others(session: &Session) -> Checked<Vec<String>> {
    if session.settings.other_patients.is_empty() {
        return skip("the client file names no other_patients");
    }
    let mut others = session.settings.other_patients.clone();
    others.push(session.new_id());
    Ok(others)
}

/// Checks a new token for one patient; omitted when the server does not support the parameter.
async fn narrowed(session: &mut Session) -> Checked {
    let (patient, scope) = (session.patient().await?, session.settings.scope.clone());
    let answer = session.fresh_token(&scope, Some(&format!("Patient/{patient}"))).await?;
    let body = answer.status(200)?.json()?;
    if body.get("patient").is_none() {
        return Err(Stop::Omit(
            "tokens are not narrowed to a patient by a form field".to_owned(),
        ));
    }
    let Some(token) = body["access_token"].as_str() else {
        return fail("no access_token");
    };
    let call = Call::get(session.url(&format!("Patient/{patient}"))).bearer(token);
    session
        .wire
        .send(call)
        .await?
        .status(200)?
        .resource("Patient")
        .map(drop)
}

async fn narrowed_other(session: &mut Session) -> Checked {
    let (patient, scope) = (session.patient().await?, session.settings.scope.clone());
    let known = session.fresh_token(&scope, Some(&format!("Patient/{patient}"))).await?;
    if known.status(200)?.json()?.get("patient").is_none() {
        return Err(Stop::Omit(
            "tokens are not narrowed to a patient by a form field".to_owned(),
        ));
    }
    for other in others(session)? {
        let answer = session.fresh_token(&scope, Some(&format!("Patient/{other}"))).await?;
        let error = answer.one_of(&[400, 401, 403])?.json()?;
        demand(error["error"].is_string(), || "a refusal without error".to_owned())?;
    }
    Ok(())
}
