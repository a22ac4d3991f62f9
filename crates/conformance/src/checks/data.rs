//! Checks of the CapabilityStatement's declarations, of reads, and of the resources themselves.

use super::super::found::name;
use super::super::guides::{self, GuideRow};
use super::super::parameters;
use super::super::session::Session;
use super::super::shape::{self, texts};
use super::super::stop::{Checked, Stop, demand, fail, skip};
use serde_json::Value;
use std::collections::BTreeSet;

/// How many resources are read again.
const READS: usize = 3;
/// How many references are followed.
const REFERENCES: usize = 12;

fn names(value: &Value, key: &str) -> Vec<String> {
    let all = value.as_array().into_iter().flatten();
    all.filter_map(|one| one[key].as_str()).map(str::to_owned).collect()
}

/// Checks the CapabilityStatement: its version and format, and that it names the guide.
pub(super) async fn statement(session: &mut Session, suite: &str) -> Checked {
    let capability = session.capability().await?;
    let version = capability["fhirVersion"].as_str().unwrap_or("missing");
    demand(version == "4.0.1", || format!("fhirVersion is {version}, not 4.0.1"))?;
    let json = texts(&capability["format"])
        .iter()
        .any(|one| matches!(*one, "json" | "application/fhir+json"));
    demand(json, || "format does not name JSON".to_owned())?;
    let guide = guides::of(suite).map_or("", |guide| guide.profiles);
    let family = guide.trim_end_matches("StructureDefinition/");
    let mut claims = texts(&capability["instantiates"]);
    claims.extend(texts(&capability["implementationGuide"]));
    let resources = capability["rest"][0]["resource"].as_array().into_iter().flatten();
    let profiles: Vec<&str> = resources
        .flat_map(|resource| {
            let mut all = texts(&resource["supportedProfile"]);
            all.extend(resource["profile"].as_str());
            all
        })
        .collect();
    let named = claims
        .iter()
        .chain(&profiles)
        .any(|canonical| canonical.starts_with(family));
    demand(named, || {
        format!("nothing of {family} among instantiates, implementationGuide and supportedProfile")
    })
}

/// Checks that the type is declared with read and, where the guide requires searches, with each of their parameters.
pub(super) async fn declared(session: &mut Session, row: &GuideRow) -> Checked {
    let Some(resource) = session.declared(row.rtype).await? else {
        return fail(format!("the CapabilityStatement does not name {}", row.rtype));
    };
    let codes = names(&resource["interaction"], "code");
    demand(codes.iter().any(|code| code == "read"), || {
        format!("{}: read is not declared", row.rtype)
    })?;
    if row.searches.is_empty() {
        return Ok(());
    }
    demand(codes.iter().any(|code| code == "search-type"), || {
        format!("{}: search-type is not declared", row.rtype)
    })?;
    for wanted in row.searches.split([' ', '+']).collect::<BTreeSet<_>>() {
        let mut all = resource["searchParam"].as_array().into_iter().flatten();
        let Some(found) = all.find(|one| one["name"] == wanted) else {
            return fail(format!("{}: the parameter {wanted} is not declared", row.rtype));
        };
        let kind = parameters::find(row.rtype, wanted).map_or("", |parameter| parameter.kind.code());
        demand(found["type"] == kind || wanted == "_id", || {
            format!(
                "{}: {wanted} is declared as {}, not as {kind}",
                row.rtype, found["type"]
            )
        })?;
    }
    let included = texts(&resource["searchRevInclude"]);
    demand(!row.provenance || included.contains(&"Provenance:target"), || {
        format!("{}: searchRevInclude does not name Provenance:target", row.rtype)
    })
}

/// Checks that a read returns the same resource as the search.
pub(super) async fn read(session: &mut Session, rtype: &str) -> Checked {
    if guides::is_shared(rtype)
        && let Err(Stop::Fail(why)) = session.pool(rtype).await
    {
        return fail(format!("what other resources refer to cannot be read: {why}"));
    }
    for one in session.some(rtype).await?.into_iter().take(READS) {
        let answer = session.get(&name(&one)).await?;
        let read = answer.status(200)?.resource(rtype)?;
        demand(read["id"] == one["id"], || {
            format!("{} was asked for, another id came", name(&one))
        })?;
        let version = read["meta"]["versionId"].as_str();
        if let Some(version) = version.filter(|_| !answer.header("etag").is_empty()) {
            let etag = answer.header("etag");
            demand(etag == format!("W/\"{version}\""), || {
                format!("ETag {etag} is not that of version {version}")
            })?;
        }
        if read["meta"]["versionId"] == one["meta"]["versionId"] {
            demand(read == one, || {
                format!("{} is another when read than when searched", name(&one))
            })?;
        }
    }
    Ok(())
}

/// Checks that references can be read, if the server declares their type.
pub(super) async fn references(session: &mut Session, rtype: &str) -> Checked {
    let mut wanted = BTreeSet::new();
    for one in session.some(rtype).await?.iter().take(10) {
        // A Provenance may also refer to resources that are withheld from this client.
        let one = if rtype == "Provenance" { &one["agent"] } else { one };
        wanted.extend(
            shape::references(one)
                .into_iter()
                .filter(|reference| !reference.starts_with('#')),
        );
    }
    let base = format!("{}/", session.base_url());
    // Another Patient, such as a subscriber, is not accessible to this client.
    let own: Vec<String> = session
        .patients()
        .await?
        .iter()
        .map(|id| format!("Patient/{id}"))
        .collect();
    wanted.retain(|reference| !reference.contains("Patient/") || own.contains(reference));
    let mut followed = 0;
    for reference in wanted {
        let local = reference.strip_prefix(&base).unwrap_or(&reference);
        let Some((other, _)) = local.split_once('/').filter(|_| !local.contains(':')) else {
            continue;
        };
        if session.declared(other).await?.is_none() {
            continue;
        }
        let answer = session.get(local.split("/_history").next().unwrap_or(local)).await?;
        if answer.status != 200 {
            return fail(format!("a {rtype} refers to {local}: status {}", answer.status));
        }
        answer.resource(other)?;
        followed += 1;
        if followed == REFERENCES {
            break;
        }
    }
    if followed == 0 {
        return skip(format!("no {rtype} refers to anything that can be read here"));
    }
    Ok(())
}

/// Checks that each resource that claims a profile of the guide has the mandatory elements, and that some resource has each mustSupport
/// element.
pub(super) async fn must_support(session: &mut Session, suite: &str, row: &GuideRow) -> Checked {
    let profiles = guides::of(suite).map_or("", |guide| guide.profiles);
    let pool = session.some(row.rtype).await?;
    let claims = |one: &&Value| {
        texts(&one["meta"]["profile"])
            .iter()
            .any(|profile| profile.starts_with(profiles))
    };
    let claiming: Vec<&Value> = pool.iter().filter(claims).collect();
    if claiming.is_empty() {
        return skip(format!("no {} claims a profile of the guide", row.rtype));
    }
    let mut of_another_version = None;
    for one in &claiming {
        for path in row.required.split_whitespace().filter(|path| !shape::has(one, path)) {
            let versioned = |profile: &&str| profile.starts_with(profiles) && profile.contains('|');
            if texts(&one["meta"]["profile"]).iter().any(versioned)
                || !guides::is_optional_elsewhere(suite, row.rtype, path)
            {
                return fail(format!("{} claims a profile of the guide and has no {path}", name(one)));
            }
            of_another_version.get_or_insert_with(|| format!("{} has no {path}", name(one)));
        }
    }
    if let Some(what) = of_another_version {
        return Err(Stop::Data(format!(
            "{what}, which this version of the guide makes mandatory and another does not; its profile is claimed without a version"
        )));
    }
    let unseen: Vec<&str> = row
        .must_support
        .split_whitespace()
        .filter(|path| !claiming.iter().any(|one| shape::has(one, path)))
        .collect();
    if unseen.is_empty() {
        return Ok(());
    }
    skip(format!(
        "not seen in {} {}: {}",
        claiming.len(),
        row.rtype,
        unseen.join(", ")
    ))
}

/// Checks that every resource has a valid JSON form.
pub(super) async fn shape(session: &mut Session, rtype: &str) -> Checked {
    for one in session.some(rtype).await? {
        if let Some(flaw) = shape::flaw(&one) {
            return fail(format!("{}: {flaw}", name(&one)));
        }
    }
    Ok(())
}
