//! Why operators look: each look at members' data is an entry with its reason, values of a person are shown only with one, and what a role may
//! not do is refused and in the ledger.

use crate::operations::{Scene, sent};
use crate::support::client::Reply;
use crate::support::desk::BECAUSE;
use crate::support::payer::TestPayer;
use causeway::error::Fault;
use causeway::http::ops::table::{Asks, OPS_ROUTES, OpsRoute, ReasonRule, Sees, Shows};
use causeway::security::Role;
use diesel::prelude::*;
use diesel::sql_types::{Binary, Nullable, Text};
use serde_json::Value;

/// A reason that would be markup in a page, and that says something.
const WHY: &str = "case 7: <b>a complaint</b> & \"more\" of M\u{fc}ller";

/// An entry with what stands beside it.
#[derive(QueryableByName, Debug)]
struct Beside {
    #[diesel(sql_type = Text)]
    action: String,
    #[diesel(sql_type = Binary)]
    entry: Vec<u8>,
    #[diesel(sql_type = Nullable<Text>)]
    operator: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    reason: Option<String>,
}

/// The entries under a correlation id, in their order.
fn entries(payer: &TestPayer, correlation: &str) -> Vec<Beside> {
    let query = format!(
        "SELECT e.action, e.entry, n.operator, n.reason FROM ledger_entry e LEFT JOIN operator_note n ON n.entry_id = e.id \
         WHERE e.correlation_id = '{correlation}' ORDER BY e.id"
    );
    diesel::sql_query(query).load(&mut payer.db()).expect("rows")
}

/// The routes that show something of somebody, with each role that may ask and how much it is shown.
fn looks() -> impl Iterator<Item = (&'static OpsRoute, Role, Sees)> {
    OPS_ROUTES.iter().flat_map(|route| {
        let roles = match route.asks {
            Asks::Anybody => &[][..],
            Asks::Roles(roles) => roles,
        };
        roles.iter().map(move |(role, sees)| (route, *role, *sees))
    })
}

async fn asked(scene: &Scene, route: &OpsRoute, bearer: &str, correlation: &str, reason: Option<&[u8]>) -> Reply {
    let request = scene.bare(route.method, &scene.path(route), Some(bearer));
    let request = request.header("x-correlation-id", correlation).body(scene.body(route));
    sent(match reason {
        Some(reason) => request.header("x-access-reason", reason),
        None => request,
    })
    .await
}

#[tokio::test]
async fn every_look_is_an_entry_with_its_reason_and_values_of_a_person_need_one() {
    let scene = Scene::start().await;
    let (mut personal, mut with_ids) = (0, 0);
    for (number, (route, role, sees)) in looks().enumerate() {
        // An act has its reason in its body, and an entry of its own.
        if sees.shows() == Shows::Nothing || route.reason == ReasonRule::Body {
            continue;
        }
        let bearer = scene.token(role.name());
        let what = format!("{} {} {}", role.name(), route.method, route.path);
        let (bare, said) = (format!("bare-{number}"), format!("said-{number}"));
        let without = asked(&scene, route, &bearer, &bare, None).await;
        if route.needs_reason(sees) {
            without.assert_outcome(Fault::ParameterInvalid);
            assert!(without.text().contains("X-Access-Reason"), "{what}: {}", without.text());
            assert!(!without.text().contains(&scene.patient), "{what}");
            assert_eq!(entries(&scene.payer, &bare).len(), 0, "{what}: nothing was shown");
        } else {
            assert!(matches!(without.status, 200 | 404), "{what}: {}", without.text());
            let noted = entries(&scene.payer, &bare);
            assert_eq!(noted.len(), 1, "{what}: {noted:?}");
            assert_eq!(noted[0].reason.as_deref(), Some(""), "{what}");
        }
        let with = asked(&scene, route, &bearer, &said, Some(WHY.as_bytes())).await;
        assert!(matches!(with.status, 200 | 404), "{what}: {}", with.text());
        let noted = entries(&scene.payer, &said);
        let [one] = noted.as_slice() else {
            panic!("{what}: {noted:?}");
        };
        assert!(one.action.ends_with(".viewed"), "{what}: {}", one.action);
        assert_eq!(
            (one.operator.as_deref(), one.reason.as_deref()),
            (Some("ana"), Some(WHY)),
            "{what}"
        );
        // The entry commits to the reason, and has no word of it.
        let entry: Value = serde_json::from_slice(&one.entry).expect("an entry");
        assert!(entry["note_commit"].is_string(), "{what}: {entry}");
        assert!(!entry.to_string().contains("complaint"), "{what}");
        assert_eq!(entry["actor"]["id"], role.name(), "{what}");
        personal += usize::from(sees.shows() == Shows::Personal);
        with_ids += usize::from(sees.shows() == Shows::Ids);
    }
    assert!(personal >= 3 && with_ids >= 8, "{personal} and {with_ids}");
}

#[tokio::test]
async fn what_is_no_reason_is_refused_with_its_place_and_nothing_is_shown_or_written() {
    let scene = Scene::start().await;
    let bearer = scene.token("reviewer");
    let path = format!("/ops/v1/reviews/{}", scene.review);
    // But for what the server does by itself meanwhile.
    let of_requests =
        "ledger_entry WHERE action NOT LIKE 'alert.%' AND action NOT LIKE 'server.%' AND action NOT LIKE 'ledger.%'";
    let before = scene.payer.count(of_requests);
    let (long, fits) = ("x".repeat(501), "\u{e9}".repeat(500));
    let bad: [&[u8]; 8] = [
        b"",
        b"   ",
        long.as_bytes(),
        "a\u{202e}b".as_bytes(),
        "a\u{200b}b\u{2028}c".as_bytes(),
        b"a\tb\x80c",
        b"\xff\xfe",
        "\u{85}".as_bytes(),
    ];
    for (number, reason) in bad.into_iter().enumerate() {
        let request = scene
            .bare("GET", &path, Some(&bearer))
            .header("x-access-reason", reason);
        let reply = sent(request).await;
        reply.assert_outcome(Fault::ParameterInvalid);
        assert!(reply.text().contains("X-Access-Reason"), "{number}: {}", reply.text());
    }
    let twice = scene
        .bare("GET", &path, Some(&bearer))
        .header("x-access-reason", "one")
        .header("x-access-reason", "two");
    sent(twice).await.assert_outcome(Fault::ParameterInvalid);
    // A reason never stands in an address: there it is no parameter.
    for name in ["reason", "access_reason", "X-Access-Reason"] {
        let request = scene.bare("GET", &format!("{path}?{name}=a%20complaint"), Some(&bearer));
        sent(request).await.assert_outcome(Fault::ParameterUnknown);
    }
    // Where none is needed, what is given has to be one too.
    let auditor = scene.token("auditor");
    let request = scene.bare("GET", "/ops/v1/grants", Some(&auditor));
    sent(request.header("x-access-reason", "a\u{202e}b"))
        .await
        .assert_outcome(Fault::ParameterInvalid);
    let viewed = scene.payer.count("ledger_entry WHERE action LIKE '%.viewed'");
    assert_eq!(scene.payer.count(of_requests) - before, 1, "the token of the auditor");
    let request = scene
        .bare("GET", &path, Some(&bearer))
        .header("x-access-reason", fits.as_bytes());
    sent(request).await.assert_status(200);
    assert_eq!(
        scene.payer.count("ledger_entry WHERE action LIKE '%.viewed'") - viewed,
        1
    );
    assert!(!scene.payer.log().contains("complaint"));
}

#[tokio::test]
async fn what_no_role_of_a_token_allows_is_403_and_an_entry_with_the_route_and_the_name() {
    let scene = Scene::start().await;
    for role in Role::ALL {
        let bearer = scene.token(role.name());
        for (number, route) in OPS_ROUTES.iter().enumerate() {
            if route.asks == Asks::Anybody || route.asks.sees(role).is_some() {
                continue;
            }
            let correlation = format!("{}-{number}", role.name());
            let reply = asked(&scene, route, &bearer, &correlation, Some(b"a test of roles")).await;
            reply.assert_outcome(Fault::RoleMissing);
            let noted = entries(&scene.payer, &correlation);
            let [one] = noted.as_slice() else {
                panic!("{correlation} {}: {noted:?}", route.path);
            };
            let entry: Value = serde_json::from_slice(&one.entry).expect("an entry");
            assert_eq!(
                (one.action.as_str(), one.operator.as_deref(), &entry["actor"]["id"]),
                ("operator.refused", Some("ana"), &Value::from(role.name()))
            );
            assert_eq!(
                (
                    &entry["outcome"]["class"],
                    &entry["outcome"]["reason"],
                    &entry["object"]["kind"]
                ),
                (&"refused".into(), &Fault::RoleMissing.code().into(), &"route".into())
            );
            let subject = format!("{} {}", route.method, route.path);
            let about = format!("ledger_entry WHERE correlation_id = '{correlation}' AND subject = '{subject}'");
            assert_eq!(scene.payer.count(&about), 1, "{subject}");
        }
    }
}

#[tokio::test]
async fn a_token_of_several_roles_may_do_what_each_of_them_may_and_is_answered_under_one() {
    let scene = Scene::start().await;
    let both = scene.token("reviewer,auditor");
    let tokens = scene.payer.json_command(&["operator", "list"]);
    let roles: Vec<&Value> = tokens
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| &one["role"])
        .collect();
    assert!(roles.contains(&&Value::from("reviewer,auditor")), "{tokens}");
    for route in OPS_ROUTES.iter().filter(|route| route.asks != Asks::Anybody) {
        let sees = [Role::Reviewer, Role::Auditor].map(|role| route.asks.sees(role));
        let reply = asked(&scene, route, &both, "several", Some(b"a test of roles")).await;
        match sees.iter().any(Option::is_some) {
            true => assert_ne!(reply.status, 403, "{}", route.path),
            false => reply.assert_outcome(Fault::RoleMissing),
        }
    }
    // The entry names the role that was needed.
    let path = format!("/ops/v1/reviews/{}", scene.review);
    for (path, correlation, role) in [
        (path.as_str(), "as-reviewer", "reviewer"),
        ("/ops/v1/grants", "as-auditor", "auditor"),
    ] {
        let request = scene.bare("GET", path, Some(&both)).header("x-access-reason", BECAUSE);
        sent(request.header("x-correlation-id", correlation))
            .await
            .assert_status(200);
        let noted = entries(&scene.payer, correlation);
        let entry: Value = serde_json::from_slice(&noted[0].entry).expect("an entry");
        assert_eq!(entry["actor"]["id"], role);
    }
    for bad in ["king", "auditor,king", "auditor,", ""] {
        let said = scene.payer.command(&["operator", "token", "--role", bad]);
        assert_eq!(said.status.code(), Some(2), "{bad:?}");
    }
    assert_eq!(scene.payer.command(&["operator", "token"]).status.code(), Some(2));
    // A role that this version does not know, from a newer one: the token lets nobody in, whatever else it says.
    for role in ["auditor,king", "king", ""] {
        let change = format!("UPDATE operator_token SET role = '{role}'");
        diesel::sql_query(change)
            .execute(&mut scene.payer.db())
            .expect("written");
        let request = scene.bare("GET", "/ops/v1/faults", Some(&both));
        sent(request).await.assert_outcome(Fault::TokenInvalid);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_is_revoked_between_two_pages_or_during_a_look_shows_nothing_without_an_entry() {
    let scene = Scene::start().await;
    for round in 0..8 {
        let bearer = scene.token("auditor");
        let tokens = scene.payer.json_command(&["operator", "list"]);
        let id = tokens.as_array().and_then(|list| list.last()).expect("a token")["id"].clone();
        let id = id.as_str().expect("an id").to_owned();
        let correlation = format!("race-{round}");
        let look = |http: Reader| {
            let (bearer, correlation) = (bearer.clone(), correlation.clone());
            async move { http.look(&bearer, &correlation).await }
        };
        let readers: Vec<_> = (0..4).map(|_| tokio::spawn(look(Reader::of(&scene)))).collect();
        let revoked = scene.payer.command(&["operator", "revoke", &id, "--reason", "lost"]);
        assert!(revoked.status.success(), "{}", String::from_utf8_lossy(&revoked.stderr));
        // From its commit on nobody is let in.
        let late = look(Reader::of(&scene)).await;
        assert_eq!(late, [401], "round {round}");
        let mut shown = 0;
        for reader in readers {
            let answers = reader.await.expect("answers");
            assert!(answers.iter().all(|status| matches!(status, 200 | 401)), "{answers:?}");
            assert!(answers.is_sorted(), "nobody is let in again: {answers:?}");
            shown += answers.iter().filter(|status| **status == 200).count();
        }
        assert_eq!(
            entries(&scene.payer, &correlation).len(),
            shown,
            "round {round}: one entry for each answer"
        );
    }
}

/// Who reads the grants until it is refused.
struct Reader {
    http: reqwest::Client,
    url: String,
}

impl Reader {
    fn of(scene: &Scene) -> Reader {
        Reader {
            http: scene.client.http.clone(),
            url: format!("{}/ops/v1/grants", scene.payer.ops),
        }
    }

    /// The statuses of the answers, the last of which is the first refusal.
    async fn look(self, bearer: &str, correlation: &str) -> Vec<u16> {
        let mut answers = Vec::new();
        loop {
            let request = self.http.get(&self.url).bearer_auth(bearer);
            let request = request.header("x-correlation-id", correlation);
            let status = request.send().await.expect("an answer").status().as_u16();
            answers.push(status);
            if status != 200 {
                return answers;
            }
        }
    }
}
