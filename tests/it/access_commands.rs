//! Commands that show members' data: why somebody looks is asked for, kept with the look, and never made up.

use crate::operations::Scene;
use crate::support::payer::TestPayer;
use diesel::prelude::*;
use diesel::sql_types::Text;

const WHY: &str = "case 7: <b>a complaint</b>";

#[derive(QueryableByName, Debug, PartialEq)]
struct Look {
    #[diesel(sql_type = Text)]
    action: String,
    #[diesel(sql_type = Text)]
    operator: String,
    #[diesel(sql_type = Text)]
    reason: String,
}

/// The last look that is in the ledger.
fn last_look(payer: &TestPayer) -> Look {
    let query = "SELECT e.action, n.operator, n.reason FROM ledger_entry e JOIN operator_note n ON n.entry_id = e.id \
                 WHERE e.action LIKE '%.viewed' ORDER BY e.id DESC LIMIT 1";
    diesel::sql_query(query).get_result(&mut payer.db()).expect("a look")
}

fn looks(payer: &TestPayer) -> i64 {
    payer.count("ledger_entry WHERE action LIKE '%.viewed'")
}

fn look(action: &str, operator: &str, reason: &str) -> Look {
    Look {
        action: action.to_owned(),
        operator: operator.to_owned(),
        reason: reason.to_owned(),
    }
}

/// Runs a command that shows values of a person, without a reason and with what is none, and then with one.
fn shows_only_with_a_reason(payer: &TestPayer, command: &[&str]) {
    let (before, me) = (looks(payer), format!("uid-{}", rustix::process::getuid().as_raw()));
    let long = "x".repeat(501);
    let bad: [&[&str]; 7] = [
        &[],
        &["--reason", ""],
        &["--reason", "  "],
        &["--reason", "a\nb"],
        &["--reason", "\u{1b}[31mred"],
        &["--reason", &long],
        &["--reason", "fine", "--operator", "two words"],
    ];
    for more in bad {
        let said = payer.command(&[command, more].concat());
        let error = String::from_utf8_lossy(&said.stderr).into_owned();
        assert_eq!(said.status.code(), Some(2), "{command:?} {more:?}: {error}");
        assert!(said.stdout.is_empty(), "{command:?} {more:?}");
        assert!(error.contains("--reason") || error.contains("--operator"), "{error}");
    }
    assert_eq!(
        looks(payer),
        before,
        "{command:?}: nothing was shown, and nothing is noted"
    );
    for (more, operator) in [(&[][..], me.clone()), (&["--operator", "ops-7"], format!("{me}/ops-7"))] {
        let said = payer.command(&[command, &["--reason", WHY], more].concat());
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        assert!(!said.stdout.is_empty(), "{command:?}");
        assert_eq!(last_look(payer), look("review.viewed", &operator, WHY), "{command:?}");
    }
    assert_eq!(looks(payer) - before, 2);
}

#[tokio::test]
async fn commands_show_values_of_a_person_only_with_a_reason_beside_a_server_and_without_one() {
    let mut scene = Scene::start().await;
    for _ in 0..2 {
        shows_only_with_a_reason(&scene.payer, &["review", "show", &scene.review]);
        shows_only_with_a_reason(&scene.payer, &["link", "graph", &scene.patient]);
        for what in ["--received", "--quarantine"] {
            // Before anything is looked for: whether there is such an exchange is not told either.
            let said = scene.payer.command(&["exchange", "show", "nothing", what]);
            let error = String::from_utf8_lossy(&said.stderr).into_owned();
            assert!(said.status.code() == Some(2) && error.contains("--reason"), "{error}");
        }
        scene.payer.terminate();
    }
}

#[tokio::test]
async fn a_reason_of_any_other_look_is_kept_where_it_was_given_and_none_is_asked_for() {
    let scene = Scene::start().await;
    let payer = &scene.payer;
    let me = format!("uid-{}", rustix::process::getuid().as_raw());
    let consents = payer.json_command(&["consent", "list"]);
    let consent = consents[0]["id"].as_str().expect("an id");
    let exchanges = payer.json_command(&["exchange", "list"]);
    let exchange = exchanges[0]["id"].as_str().expect("an id");
    for (command, action) in [
        (&["grant", "list"][..], "operator.viewed"),
        (&["consent", "list"], "operator.viewed"),
        (&["consent", "show", consent], "operator.viewed"),
        (&["disclosures", "--member", &scene.patient], "operator.viewed"),
        (&["exchange", "show", exchange], "operator.viewed"),
        (&["link", "list"], "review.viewed"),
        (&["link", "list", "--member", &scene.patient], "review.viewed"),
    ] {
        let before = looks(payer);
        payer.json_command(command);
        assert_eq!(last_look(payer), look(action, &me, ""), "{command:?}");
        payer.json_command(&[command, &["--reason", WHY, "--operator", "ops-7"]].concat());
        assert_eq!(
            last_look(payer),
            look(action, &format!("{me}/ops-7"), WHY),
            "{command:?}"
        );
        let bad = payer.command(&[command, &["--reason", "a\nb"]].concat());
        assert_eq!(bad.status.code(), Some(2), "{command:?}");
        assert_eq!(looks(payer) - before, 2, "{command:?}");
    }
}
