//! D01, D06 and D12 on every route: reads by id, HEAD, conditional reads, versions, `$everything`.

use super::ward::{GHOST, Partner, TAGS, Ward, canary, guarded, name, patient_id};
use crate::support::client::Reply;
use causeway::http::routes::ROUTES;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Method, path and form.
type Request = (&'static str, String, Option<String>);

/// One request to a route, with the ids of `tag`; one for each type that the route takes.
fn requests(ward: &Ward, at: usize, tag: &str) -> Vec<Request> {
    let mut all = Vec::new();
    for (method, route) in guarded() {
        if !route.contains("{id") {
            continue;
        }
        for resource in &ward.records[at] {
            let (rtype, id) = name(resource);
            let Some(path) = filled(route, &rtype, &id.replace(TAGS[at], tag)) else {
                continue;
            };
            let form = (method == "POST")
                .then(|| path.ends_with("_search").then(String::new))
                .flatten();
            all.push((method, path, form));
        }
    }
    all.sort();
    all.dedup();
    all
}

/// The route with this type and id in their places, and 1 for a version; `None` when it is of another type.
fn filled(route: &str, rtype: &str, id: &str) -> Option<String> {
    let mut parts = Vec::new();
    for part in route.split('/') {
        let Some(inner) = part.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else {
            parts.push(part);
            continue;
        };
        parts.push(match inner.split(':').next() {
            Some("type") => rtype,
            Some("id") => id,
            _ => "1",
        });
    }
    let named = parts.get(2)?;
    (*named == rtype || !named.starts_with(|first: char| first.is_ascii_uppercase())).then(|| parts.join("/"))
}

async fn send(partner: &Partner, request: &Request, headers: &[(&str, &str)]) -> Reply {
    let (method, path, form) = request;
    partner.ask(method, path, headers, form.as_deref()).await
}

/// Answers to requests of one partner about who is not there, each asked for once: all other members have the same ids but for their tags.
type Ghosts = BTreeMap<(Request, String), Reply>;

async fn ghost<'g>(
    ghosts: &'g mut Ghosts,
    partner: &Partner,
    request: &Request,
    headers: &[(&str, &str)],
) -> &'g Reply {
    let key = (request.clone(), format!("{headers:?}"));
    if !ghosts.contains_key(&key) {
        let reply = send(partner, request, headers).await;
        ghosts.insert(key.clone(), reply);
    }
    &ghosts[&key]
}

#[tokio::test]
async fn t_d01_every_route_treats_not_yours_as_not_there() {
    let ward = Ward::open().await;
    let mut asked = 0;
    for partner in &ward.partners {
        let mut ghosts = Ghosts::new();
        for (at, tag) in ward.foreign(partner) {
            for (one, absent) in requests(&ward, at, tag).iter().zip(requests(&ward, at, GHOST)) {
                let what = format!("{} of {tag} for {}", one.1, partner.tag);
                let foreign = send(partner, one, &[]).await;
                let absent = ghost(&mut ghosts, partner, &absent, &[]).await;
                partner.assert_alike(&what, tag, &foreign, absent);
                assert_ne!(foreign.status, 304, "{what}");
                asked += 1;
            }
        }
        // The same routes do give one's own: the matrix is not green for want of data.
        let at = TAGS.iter().position(|tag| *tag == partner.tag).expect("a tag");
        let mut own = 0;
        for one in requests(&ward, at, partner.tag) {
            let reply = send(partner, &one, &[]).await;
            partner.assert_clean(&one.1, &reply);
            own += usize::from(reply.status == 200 && reply.text().contains(&canary(partner.tag)));
        }
        assert!(own > 40, "only {own} of the own resources were read");
    }
    assert!(asked > 240, "only {asked} requests");
}

#[tokio::test]
async fn t_d12_head_and_conditional_reads_tell_nothing_of_others() {
    let ward = Ward::open().await;
    for partner in &ward.partners {
        let (mut shapes, mut ghosts) = (BTreeSet::new(), Ghosts::new());
        for (at, tag) in ward.foreign(partner) {
            for (one, absent) in requests(&ward, at, tag).iter().zip(requests(&ward, at, GHOST)) {
                // One resource of each type and route will do here.
                let (route, _) = one.1.rsplit_once(tag).unwrap_or((&one.1, ""));
                let shape = route.trim_end_matches(|letter| letter != '/').to_owned();
                if one.0 != "GET" || !shapes.insert((tag, shape)) {
                    continue;
                }
                for headers in [
                    [("if-none-match", "W/\"1\"")],
                    [("if-modified-since", "Fri, 01 Jan 2100 00:00:00 GMT")],
                    [("if-none-match", "*")],
                    [("range", "bytes=0-10")],
                ] {
                    let what = format!("{} with {headers:?}", one.1);
                    let foreign = send(partner, one, &headers).await;
                    let ghost = ghost(&mut ghosts, partner, &absent, &headers).await;
                    partner.assert_alike(&what, tag, &foreign, ghost);
                    assert!(foreign.status >= 400, "{what}: {}", foreign.status);
                }
                let head = ("HEAD", one.1.clone(), None);
                let absent = ("HEAD", absent.1.clone(), None);
                let foreign = send(partner, &head, &[]).await;
                let ghost = ghost(&mut ghosts, partner, &absent, &[]).await;
                assert!(foreign.body.is_empty(), "HEAD {}", one.1);
                partner.assert_alike(&format!("HEAD {}", one.1), tag, &foreign, ghost);
            }
        }
        assert!(shapes.len() > 40, "only {} reads", shapes.len());
    }
}

#[tokio::test]
async fn t_d06_everything_and_versions_stay_with_their_member() {
    let ward = Ward::open().await;
    for partner in &ward.partners {
        for tag in TAGS {
            let path = |tag: &str, rest: &str| format!("Patient/{}/$everything{rest}", patient_id(tag));
            for rest in [
                "",
                "?_count=3",
                "?_type=Observation,Patient",
                "?_since=2000-01-01T00:00:00Z",
                "?start=2000-01-01&end=2100-01-01",
                "?_type=Organization,Practitioner,Location",
                "?patient=pat-aa1&_id=pat-aa1",
            ] {
                let reply = partner.get(&path(tag, rest)).await;
                let what = format!("{} for {}", path(tag, rest), partner.tag);
                if tag == partner.tag {
                    partner.assert_clean(&what, &reply);
                    reply.assert_status(200);
                } else {
                    partner.assert_alike(&what, tag, &reply, &partner.get(&path(GHOST, rest)).await);
                    reply.assert_status(404);
                }
            }
        }
        let own = partner
            .get(&format!("Patient/{}/$everything", patient_id(partner.tag)))
            .await
            .json();
        let entries = own["entry"].as_array().expect("entries");
        let secret = entries.iter().any(|one| one.to_string().contains("-SECRET"));
        assert_eq!(secret, partner.sensitive, "{}", partner.tag);
        // Nobody sees a resource that contains somebody else.
        assert!(!entries.iter().any(|one| {
            one["resource"]["id"]
                .as_str()
                .is_some_and(|id| id.starts_with("obs-other"))
        }));
    }
}

/// B17: where batches are served, each entry is judged like a request of its own.
#[tokio::test]
async fn t_b17_batch_entries_reach_no_further_than_requests() {
    if !ROUTES
        .iter()
        .any(|route| (route.method, route.path) == ("POST", "/fhir"))
    {
        return;
    }
    let ward = Ward::open().await;
    let batch = |tag: &str, at: usize| {
        let mut urls: Vec<String> = ward.records[at]
            .iter()
            .map(|one| {
                let (rtype, id) = name(one);
                format!("{rtype}/{}", id.replace(TAGS[at], tag))
            })
            .collect();
        urls.truncate(40);
        urls.extend(
            ["Observation?patient=", "Patient?_id=", "Encounter?patient="]
                .map(|text| format!("{text}{}", patient_id(tag))),
        );
        urls.push(format!("Patient/{}/$everything", patient_id(tag)));
        let entries: Vec<Value> = urls
            .iter()
            .map(|url| json!({"request": {"method": "GET", "url": url}}))
            .collect();
        json!({"resourceType": "Bundle", "type": "batch", "entry": entries}).to_string()
    };
    for partner in &ward.partners {
        let bearer = format!("Bearer {}", partner.token);
        let headers = [
            ("authorization", bearer.as_str()),
            ("content-type", "application/fhir+json"),
        ];
        for (at, tag) in ward.foreign(partner) {
            let foreign = partner.client.send("POST", "/fhir", &headers, batch(tag, at)).await;
            let ghost = partner.client.send("POST", "/fhir", &headers, batch(GHOST, at)).await;
            partner.assert_alike(&format!("a batch about {tag}"), tag, &foreign, &ghost);
            foreign.assert_status(200);
        }
        let at = TAGS.iter().position(|tag| *tag == partner.tag).expect("a tag");
        let own = partner
            .client
            .send("POST", "/fhir", &headers, batch(partner.tag, at))
            .await;
        partner.assert_clean("the own batch", &own);
        assert!(own.text().contains(&canary(partner.tag)), "{}", own.text());
    }
}
