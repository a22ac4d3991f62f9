//! D07: page links are their partner's own, whole, and judged anew.

use super::ward::{Partner, TAGS, Ward, canary, patient_id};
use crate::contract_release::execute;
use crate::support::client::Reply;

fn next(reply: &Reply) -> Option<String> {
    let bundle = reply.json();
    let mut links = bundle["link"].as_array()?.iter();
    links
        .find(|link| link["relation"] == "next")
        .and_then(|link| link["url"].as_str().map(str::to_owned))
}

/// First pages of this partner that have a next one.
async fn links(partner: &Partner) -> Vec<String> {
    let own = patient_id(partner.tag);
    let mut all = Vec::new();
    for path in [
        format!("Patient/{own}/$everything?_count=3"),
        "Observation?_count=2".to_owned(),
        format!("Observation?patient={own}&_count=2&_sort=-date"),
        "Condition?_count=1&_include=Condition:encounter".to_owned(),
        "Organization?_count=2".to_owned(),
    ] {
        let reply = partner.get(&path).await;
        reply.assert_status(200);
        all.push(next(&reply).unwrap_or_else(|| panic!("{path} has no next page: {}", reply.text())));
    }
    all
}

#[tokio::test]
async fn t_d07_a_page_link_is_its_partners_own_and_whole() {
    let ward = Ward::open().await;
    for (at, partner) in ward.partners.iter().enumerate() {
        let thief = &ward.partners[(at + 1) % 3];
        for link in links(partner).await {
            let path = link
                .strip_prefix(&format!("{}/", ward.base))
                .expect("our base")
                .to_owned();
            let stolen = thief.get(&path).await;
            thief.assert_clean(&path, &stolen);
            assert!(matches!(stolen.status, 400 | 404), "{path}: {}", stolen.text());
            let (before, token) = path.split_once("_page=").expect("a page token");
            assert!(!token.contains(partner.tag), "the link names the member: {link}");
            // Each edit of the token, and another query with the right token.
            let mut edits = vec![
                format!("{before}_page="),
                format!("{before}_page={token}A"),
                format!("{before}_page={}", &token[..token.len() - 2]),
            ];
            for place in [0, token.len() / 2, token.len() - 1] {
                let mut bytes = token.as_bytes().to_vec();
                bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
                edits.push(format!("{before}_page={}", String::from_utf8(bytes).expect("ASCII")));
            }
            for edit in edits {
                let reply = partner.get(&edit).await;
                partner.assert_clean(&edit, &reply);
                assert_eq!(reply.status, 400, "{edit}: {}", reply.text());
            }
            if !path.contains('$') {
                for other in ["Procedure", "Patient"] {
                    let reply = partner.get(&format!("{other}?_page={token}")).await;
                    assert_eq!(reply.status, 400, "{other} with a link of {path}: {}", reply.text());
                }
            }
            // The untouched link works, and gives the partner's own.
            let reply = partner.get(&path).await;
            reply.assert_status(200);
            partner.assert_clean(&path, &reply);
            assert!(
                path.starts_with("Organization") || reply.text().contains(&canary(partner.tag)),
                "{path}"
            );
        }
    }
}

#[tokio::test]
async fn t_d07_a_page_is_judged_anew_after_revocation() {
    let ward = Ward::alone().await;
    for (at, tag) in TAGS.iter().enumerate() {
        let partner = &ward.partners[at];
        let links = links(partner).await;
        execute(
            &ward.home.payer,
            &format!(
                "UPDATE grants SET revoked_ms = created_ms WHERE patient_id = '{}'",
                patient_id(tag)
            ),
        );
        for link in &links[..4] {
            let reply = partner.client.follow(&partner.token, link).await;
            assert!(
                !reply.text().contains(&canary(tag)),
                "{link} after revocation: {}",
                reply.text()
            );
            assert!(matches!(reply.status, 200 | 404), "{link}: {}", reply.text());
            if reply.status == 200 {
                assert!(
                    reply.json()["entry"]
                        .as_array()
                        .is_none_or(|all| all.iter().all(|one| one["search"]["mode"] == "outcome")),
                    "{link}"
                );
            }
        }
        execute(
            &ward.home.payer,
            &format!(
                "UPDATE grants SET revoked_ms = NULL WHERE patient_id = '{}'",
                patient_id(tag)
            ),
        );
        let reply = partner.client.follow(&partner.token, &links[1]).await;
        assert!(
            reply.text().contains(&canary(tag)),
            "the same link works again: {}",
            reply.text()
        );
    }
}
