//! D02 to D06 by search: every parameter that takes an id, every modifier, chains, includes, totals, contained resources.

use super::ward::{GHOST, Partner, TAGS, Ward, canary, name, patient_id};
use crate::search_oracle::readings::{Kind, Reading, reading};
use crate::search_oracle::values::{Pointer, pointers, spans, texts, tokens, uris};
use crate::support::client::Reply;
use serde_json::Value;

/// A search as it is sent: type and encoded query, with `aa?` tags in it.
struct Probe {
    rtype: String,
    query: String,
}

impl Probe {
    fn new(rtype: &str, parameters: &[(&str, &str)]) -> Probe {
        let mut form = reqwest::Url::parse("http://localhost").expect("a URL");
        form.query_pairs_mut().extend_pairs(parameters);
        Probe {
            rtype: rtype.to_owned(),
            query: form.query().unwrap_or_default().to_owned(),
        }
    }

    /// By GET, or by POST for every second one.
    async fn send(&self, partner: &Partner, tag: &str, with: &str, post: bool) -> Reply {
        let query = self.query.replace(tag, with);
        if post {
            let path = format!("/fhir/{}/_search", self.rtype);
            partner.ask("POST", &path, &[], Some(&query)).await
        } else {
            partner.get(&format!("{}?{query}", self.rtype)).await
        }
    }
}

fn matches(reply: &Reply) -> Vec<Value> {
    let bundle = reply.json();
    let all = bundle["entry"].as_array().into_iter().flatten();
    all.filter(|one| one["search"]["mode"] == "match").cloned().collect()
}

/// Every parameter that takes an id, with the ids of a member: each way of writing it, and each modifier.
fn id_probes(
    ward: &Ward,
    at: usize,
    declared: &std::collections::BTreeMap<String, Vec<(String, String)>>,
) -> Vec<Probe> {
    let tag = TAGS[at];
    let patient = patient_id(tag);
    let mut all = Vec::new();
    let mut turn = at;
    for (rtype, parameters) in declared {
        if !ward.records[at].iter().any(|one| name(one).0 == *rtype) {
            continue;
        }
        let own = ward.records[at]
            .iter()
            .map(name)
            .find(|one| one.0 == *rtype)
            .expect("one")
            .1;
        for (parameter, kind) in parameters {
            let id = if parameter == "_id" {
                own.clone()
            } else {
                patient.clone()
            };
            if parameter != "_id" && kind != "reference" {
                continue;
            }
            let named = format!("Patient/{id}");
            let absolute = format!("{}/{named}", ward.base);
            let (exact, typed) = (parameter.clone(), format!("{parameter}:Patient"));
            let ways = [
                (exact.clone(), id.clone()),
                (exact.clone(), named.clone()),
                (exact, absolute),
                (typed, id.clone()),
            ];
            let ways = if parameter == "_id" { &ways[..1] } else { &ways[..] };
            let modifiers = [
                "exact",
                "contains",
                "identifier",
                "above",
                "below",
                "in",
                "not-in",
                "text",
                "of-type",
                "iterate",
            ];
            let (odd, odder) = (
                modifiers[turn % modifiers.len()],
                modifiers[(turn + 3) % modifiers.len()],
            );
            turn += 1;
            let way = &ways[turn % ways.len()];
            all.push(Probe::new(rtype, &[(&way.0, &way.1)]));
            all.push(Probe::new(rtype, &[(&format!("{parameter}:{odd}"), &id)]));
            all.push(Probe::new(
                rtype,
                &[(&format!("{parameter}:{odder}"), &named), ("_total", "accurate")],
            ));
        }
    }
    all
}

#[tokio::test]
async fn t_d01_every_parameter_treats_not_yours_as_not_there() {
    let ward = Ward::open().await;
    let declared = ward.declared().await;
    let (mut asked, mut alike) = (0, 0);
    for partner in &ward.partners {
        for (at, tag) in ward.foreign(partner) {
            for probe in id_probes(&ward, at, &declared) {
                let post = asked % 2 == 1;
                asked += 1;
                let foreign = probe.send(partner, tag, tag, post).await;
                let absent = probe.send(partner, tag, GHOST, post).await;
                let what = format!("{}?{} for {}", probe.rtype, probe.query, partner.tag);
                assert!(matches!(foreign.status, 200 | 400), "{what}: {}", foreign.status);
                let found = if foreign.status == 200 {
                    matches(&foreign)
                } else {
                    Vec::new()
                };
                if found.is_empty() {
                    partner.assert_alike(&what, tag, &foreign, &absent);
                    alike += 1;
                }
                // One's own resource may name somebody else, and is found by that; it is all that is found.
                partner.assert_clean(&what, &foreign);
                for one in found {
                    let id = one["resource"]["id"].as_str().expect("an id");
                    assert!(id.ends_with(partner.tag), "{what} finds {id}");
                }
            }
        }
    }
    assert!(asked > 600 && alike > 500, "{asked} searches, {alike} alike");
}

/// A value of this resource that a search for `reading` would find it by.
fn value(resource: &Value, reading: &Reading, base: &str) -> Option<String> {
    match reading.kind {
        Kind::Token => tokens(resource, reading).into_iter().find_map(|token| token.code),
        Kind::Text => texts(resource, reading).into_iter().next(),
        Kind::Date => {
            let ms = spans(resource, reading)
                .into_iter()
                .find_map(|span| span.from.or(span.to))?;
            Some(
                chrono::DateTime::from_timestamp_millis(ms)?
                    .format("%Y-%m-%d")
                    .to_string(),
            )
        }
        Kind::Reference => pointers(resource, reading, base)
            .into_iter()
            .next()
            .map(|pointer| match pointer {
                Pointer::Ours(rtype, id) => format!("{rtype}/{id}"),
                Pointer::Elsewhere(url) => url,
            }),
        Kind::Uri => uris(resource, reading).into_iter().next(),
    }
}

#[tokio::test]
async fn t_d06_no_value_of_a_foreign_member_finds_or_counts_anything_of_theirs() {
    let ward = Ward::open().await;
    let declared = ward.declared().await;
    let mut asked = 0;
    for partner in &ward.partners {
        for (at, tag) in ward.foreign(partner) {
            for (rtype, parameters) in &declared {
                for (parameter, _) in parameters {
                    let reading = reading(rtype, parameter).expect("a reading");
                    let mut found = ward.records[at].iter().filter(|one| name(one).0 == *rtype);
                    let Some(text) = found.find_map(|one| value(one, &reading, &ward.base)) else {
                        continue;
                    };
                    let ways = ["", ":missing", ":not", ":exact", ":contains"];
                    let way = ways[asked % ways.len()];
                    asked += 1;
                    let text = text
                        .replace('\\', "\\\\")
                        .replace(',', "\\,")
                        .replace('|', "\\|")
                        .replace('$', "\\$");
                    let text = if way == ":missing" { "false" } else { &text };
                    let named = format!("{parameter}{way}");
                    let plain = Probe::new(rtype, &[(&named, text), ("_total", "accurate")]);
                    let reply = plain.send(partner, tag, tag, asked % 2 == 0).await;
                    let what = format!("{rtype}?{} of {tag} for {}", plain.query, partner.tag);
                    partner.assert_clean(&what, &reply);
                    if reply.status == 200 {
                        let (total, matches) = (reply.json()["total"].as_u64(), matches(&reply));
                        assert_eq!(total, Some(matches.len() as u64), "{what}");
                    }
                    // Together with the foreign member it finds nothing, whatever the modifier.
                    let patient = format!("Patient/{}", patient_id(tag));
                    let both = Probe::new(rtype, &[(&named, text), ("patient", &patient), ("_summary", "count")]);
                    let reply = both.send(partner, tag, tag, asked % 2 == 1).await;
                    partner.assert_clean(&what, &reply);
                    let shared = !parameters.iter().any(|(name, _)| name == "patient");
                    assert!(
                        shared || reply.status == 400 || reply.json()["total"] == 0,
                        "{what}: {}",
                        reply.text()
                    );
                }
            }
        }
    }
    assert!(asked > 400, "only {asked} searches");
}

#[tokio::test]
async fn t_d02_includes_never_leave_the_member() {
    let ward = Ward::open().await;
    let mut all = ward.includes().await;
    for rtype in ward.types() {
        for (parameter, value) in [
            ("_include", "*".to_owned()),
            ("_include", format!("{rtype}:*")),
            ("_revinclude", "*".to_owned()),
            ("_revinclude", "Provenance:target".to_owned()),
            ("_revinclude", "Observation:*".to_owned()),
            ("_include:iterate", format!("{rtype}:*")),
            ("_revinclude:iterate", "Provenance:target".to_owned()),
            ("_include:recurse", format!("{rtype}:patient")),
        ] {
            all.push((rtype.clone(), parameter, value));
        }
    }
    let (mut asked, mut brought) = (0, 0);
    for partner in &ward.partners {
        for (rtype, parameter, value) in &all {
            let probe = Probe::new(rtype, &[(parameter, value), ("_count", "200")]);
            let reply = probe.send(partner, "-", "-", asked % 2 == 0).await;
            asked += 1;
            let what = format!("{rtype}?{} for {}", probe.query, partner.tag);
            partner.assert_clean(&what, &reply);
            if reply.status == 200 {
                let bundle = reply.json();
                let entries = bundle["entry"].as_array().into_iter().flatten();
                brought += entries.filter(|one| one["search"]["mode"] == "include").count();
            }
        }
    }
    assert!(asked > 300 && brought > 100, "{asked} searches brought {brought}");
}

#[tokio::test]
async fn t_d03_chains_and_reverse_chains_answer_no_question_about_others() {
    let ward = Ward::open().await;
    for partner in &ward.partners {
        for (_, tag) in ward.foreign(partner) {
            for (rtype, parameter, value) in [
                ("Observation", "subject.name", format!("Family{tag}")),
                ("Observation", "patient.name", format!("Family{tag}")),
                ("Observation", "patient:Patient.name", format!("Family{tag}")),
                ("Observation", "patient.identifier", format!("CARD-{tag}")),
                ("Observation", "encounter.subject.name", format!("Family{tag}")),
                ("Patient", "_has:Observation:patient:code", "4548-4".to_owned()),
                ("Patient", "_has:Observation:subject:_id", format!("obs-a-{tag}")),
                (
                    "Organization",
                    "_has:Encounter:service-provider:_id",
                    format!("enc-{tag}"),
                ),
                ("Practitioner", "_has:DocumentReference:author:patient", patient_id(tag)),
                ("Location", "_has:Encounter:location:patient", patient_id(tag)),
                ("Provenance", "target.patient", patient_id(tag)),
                ("Provenance", "target:Observation.patient", patient_id(tag)),
                ("Patient", "_filter", format!("name eq Family{tag}")),
                ("Patient", "_list", format!("list-1-{tag}")),
                ("Patient", "_text", format!("Family{tag}")),
                ("Patient", "_content", format!("Family{tag}")),
                ("Patient", "_query", "everything".to_owned()),
                ("Patient", "name:above", format!("Family{tag}")),
            ] {
                let probe = Probe::new(rtype, &[(parameter, &value), ("_total", "accurate")]);
                let what = format!("{rtype}?{} for {}", probe.query, partner.tag);
                let foreign = probe.send(partner, tag, tag, false).await;
                partner.assert_alike(&what, tag, &foreign, &probe.send(partner, tag, GHOST, false).await);
                // Not understood is refused, never passed over: an ignored chain would answer with everything.
                assert_eq!(foreign.status, 400, "{what}: {}", foreign.text());
            }
        }
    }
}

#[tokio::test]
async fn t_d04_only_the_compartment_confers_membership() {
    let ward = Ward::open().await;
    for partner in &ward.partners {
        let own = patient_id(partner.tag);
        // The member before names this one as focus, performer, participant, entry, subscriber and payee.
        for rtype in [
            "Observation",
            "List",
            "CareTeam",
            "Coverage",
            "ExplanationOfBenefit",
            "Provenance",
            "DiagnosticReport",
        ] {
            for query in [
                format!("patient={own}"),
                format!("patient=Patient/{own}"),
                String::new(),
            ] {
                let reply = partner
                    .get(
                        &format!("{rtype}?_count=200&{query}")
                            .trim_end_matches('&')
                            .replace("?&", "?"),
                    )
                    .await;
                partner.assert_clean(&format!("{rtype}?{query}"), &reply);
                reply.assert_status(200);
                for one in matches(&reply) {
                    let id = one["resource"]["id"].as_str().expect("an id");
                    assert!(id.ends_with(partner.tag), "{id} for {}", partner.tag);
                }
            }
        }
        let reply = partner.get(&format!("Observation?patient={own}&_count=200")).await;
        let crossing = matches(&reply)
            .iter()
            .any(|one| one["resource"]["id"] == format!("obs-cross-{}", partner.tag));
        assert!(
            crossing,
            "the own resource that names another member is the own member's"
        );
    }
}

#[tokio::test]
async fn t_d05_contained_members_are_withheld_from_everybody() {
    let ward = Ward::open().await;
    for partner in &ward.partners {
        for (at, tag) in TAGS.iter().enumerate() {
            for id in [format!("obs-other-{tag}"), format!("obs-inner-{tag}")] {
                let (read, searched) = (
                    partner.get(&format!("Observation/{id}")).await,
                    partner.get(&format!("Observation?_id={id}")).await,
                );
                for (reply, ghost) in [
                    (&read, format!("Observation/{}", id.replace(tag, GHOST))),
                    (&searched, format!("Observation?_id={}", id.replace(tag, GHOST))),
                ] {
                    partner.assert_alike(&id, tag, reply, &partner.get(&ghost).await);
                }
                assert_eq!((read.status, matches(&searched).len()), (404, 0), "{id}");
            }
            assert!(
                ward.records[at]
                    .iter()
                    .any(|one| one.to_string().contains(&canary(TAGS[(at + 1) % 3])))
            );
        }
        // Beside it, a sensitive resource is found by exactly those who may see it.
        let secret = partner
            .get(&format!("Observation?_id=obs-secret-{}&_total=accurate", partner.tag))
            .await;
        partner.assert_clean("the sensitive one", &secret);
        assert_eq!(secret.json()["total"], u64::from(partner.sensitive));
    }
}
