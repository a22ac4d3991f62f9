//! Two roles: the owner changes the schema, the server has rights on rows, and of the ledger only that of appending.

use super::{Desk, as_role, database};
use crate::support::client::ALL_SCOPES;
use crate::support::desk::{Desk as Operator, doubtful, only_review};
use crate::support::payer::{TestPayer, today};
use crate::support::postgres;
use crate::support::store::{Place, on_postgres};
use causeway::store::StoreUrl;
use causeway::synth::{self, Variation};
use serde_json::json;

/// A database whose owner is no superuser, brought up by it, and what the owner and the data role are called.
struct Roles {
    url: String,
    owner: String,
    data: String,
}

impl Roles {
    fn fresh() -> Roles {
        let url = postgres::fresh_database();
        let name = database(&url);
        let (owner, data) = (format!("owner_{name}"), format!("data_{name}"));
        postgres::execute(
            "postgres",
            &format!("CREATE ROLE {owner} LOGIN; CREATE ROLE {data} LOGIN"),
        );
        postgres::execute("postgres", &format!("ALTER DATABASE {name} OWNER TO {owner}"));
        Roles { url, owner, data }
    }

    fn owner(&self) -> Desk {
        Desk::at(&as_role(&self.url, &self.owner))
    }

    fn data(&self) -> Desk {
        Desk::at(&as_role(&self.url, &self.data))
    }

    fn execute(&self, statement: &str) {
        postgres::execute(&database(&self.url), statement);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_rights_on_rows_alone_serves_everything() {
    if !on_postgres() {
        return;
    }
    let roles = Roles::fresh();
    let told = roles.owner().run(&["migrate", "--grant", &roles.data, "--json"]).json();
    assert_eq!(told["granted"], roles.data.as_str());
    let place = Place {
        url: StoreUrl::parse(&as_role(&roles.url, &roles.data)).expect("an address"),
        folder: tempfile::tempdir().expect("a folder"),
        _database: None,
    };
    // Registering a partner and importing are commands of the data role too.
    let members = synth::SynthOptions {
        members: 3,
        resources_per_member: 8,
        twins: true,
        as_of: today(),
        ..synth::SynthOptions::default()
    };
    let (mut payer, client) = TestPayer::prepare_in(place, members);
    payer.serve_with(&[("CAUSEWAY_LIMITS__DRAIN_SECONDS", "120")]);
    let token = client.token(ALL_SCOPES).await;
    let (patient, _) = client.matched(&token, &payer.request(0, Variation::Exact)).await;
    client
        .get(&token, &format!("Patient/{patient}"))
        .await
        .assert_status(200);
    client
        .get(&token, &format!("Condition?patient={patient}"))
        .await
        .assert_status(200);
    client
        .get(&token, &format!("Patient/{patient}/$everything"))
        .await
        .assert_status(200);
    // A doubtful match, and a person's word on it.
    let asked = client.post_match(&token, doubtful(&payer, 1, 2).to_string(), &[]).await;
    assert_eq!(asked.status, 422, "{}", asked.text());
    let review = only_review(&payer);
    payer.json_command(&["review", "show", &review, "--reason", "a test"]);
    let desk = Operator::of(&payer, &client, "reviewer");
    let word = json!({"verdict": "reject", "operator": "o1", "reason": "another person"});
    desk.decide(&review, &word).await.assert_status(200);
    // Revoking, and reading what is on record.
    let consents = payer.json_command(&["consent", "list"]);
    let consent = consents[0]["id"].as_str().expect("an id");
    payer.json_command(&["consent", "revoke", consent, "--reason", "by letter"]);
    assert_eq!(client.get(&token, &format!("Patient/{patient}")).await.status, 404);
    payer.json_command(&["partner", "suspend", "new-payer", "--reason", "a try"]);
    payer.json_command(&["partner", "resume", "new-payer"]);
    payer.json_command(&["disclosures", "--member", &format!("Patient/{patient}")]);
    payer.json_command(&["records", "withheld"]);
    payer.json_command(&["durability"]);
    // The sweeps ran at the start, and run again with a fresh process.
    assert_eq!(payer.terminate(), Some(0));
    payer.serve_with(&[("CAUSEWAY_LIMITS__DRAIN_SECONDS", "120")]);
    client.token(ALL_SCOPES).await;
    assert_eq!(payer.terminate(), Some(0));
    let log = payer.log();
    assert!(!log.contains("permission denied"), "{log}");
    // That a database answers late is a busy machine's doing.
    let late = ["could not be looked at", "did not answer in time", "does not answer"];
    for line in log.lines().filter(|line| !late.iter().any(|late| line.contains(late))) {
        for word in ["\"level\":\"ERROR\"", "could not be", "failed"] {
            assert!(!line.contains(word), "{word}: {log}");
        }
    }
    let may_delete = causeway::store::retention::may_delete_beside_entries(&mut payer.db());
    assert!(
        may_delete.expect("reads"),
        "retention empties what is beside old entries"
    );
    // The role cannot rewrite the ledger, whatever the program does.
    for statement in [
        "UPDATE ledger_subject SET subject = 'x'",
        "UPDATE disclosed_share SET bytes = 0",
        "UPDATE ledger_entry SET entry = ''",
        "TRUNCATE ledger_subject",
        "UPDATE ledger_entry SET action = 'x'",
        "DELETE FROM ledger_entry",
        "TRUNCATE ledger_entry",
    ] {
        let refused = diesel::connection::SimpleConnection::batch_execute(&mut payer.db(), statement);
        let said = refused.expect_err(statement).to_string();
        assert!(said.contains("permission denied"), "{said}");
    }
}

#[test]
fn what_a_role_lacks_is_named() {
    if !on_postgres() {
        return;
    }
    let roles = Roles::fresh();
    roles.owner().run(&["migrate"]).ends_with(0, &[]);
    let data = roles.data();
    data.run(&["partner", "list"]).ends_with(
        2,
        &[
            "SV-015",
            "lacks SELECT",
            &format!("causeway migrate --grant {}", roles.data),
        ],
    );
    // The printed statements do it, whoever runs them.
    let printed = roles.owner().run(&["migrate", "--print-grants", &roles.data]);
    assert!(
        printed.code == Some(0)
            && printed
                .out
                .contains("GRANT SELECT, INSERT ON \"public\".\"ledger_entry\""),
        "{printed:?}"
    );
    roles.execute(&printed.out);
    data.run(&["operator", "token", "--role", "auditor"]).ends_with(0, &[]);
    data.run(&["partner", "list"]).ends_with(0, &[]);
    roles.execute(&format!("REVOKE UPDATE ON grants FROM {}", roles.data));
    data.run(&["operator", "token", "--role", "auditor"])
        .ends_with(2, &["SV-015", "grants", "INSERT, UPDATE and DELETE"]);
    // Only the owner grants.
    data.run(&["migrate", "--grant", &roles.data])
        .ends_with(2, &["SV-015", "only the owner grants"]);
}

#[test]
fn a_role_that_could_still_change_the_ledger_is_told() {
    if !on_postgres() {
        return;
    }
    let roles = Roles::fresh();
    let owner = roles.owner();
    owner.run(&["migrate", "--grant", &roles.data]).ends_with(0, &[]);
    roles.execute("GRANT DELETE ON ledger_entry TO PUBLIC");
    owner
        .run(&["migrate", "--grant", &roles.data])
        .ends_with(2, &["SV-015", "may still change or delete"]);
    roles.execute("REVOKE DELETE ON ledger_entry FROM PUBLIC");
    owner.run(&["migrate", "--grant", &roles.data]).ends_with(0, &[]);
    owner
        .run(&["migrate", "--grant", &roles.owner])
        .ends_with(2, &["SV-015", "owns the tables"]);
    owner
        .run(&["migrate", "--grant", "nobody_of_this_name"])
        .ends_with(2, &["SV-015", "nobody_of_this_name"]);
}

#[test]
fn a_reading_role_reads_and_is_told_where_it_cannot_write() {
    if !on_postgres() {
        return;
    }
    let roles = Roles::fresh();
    let owner = roles.owner();
    owner
        .run(&["migrate", "--grant", &roles.data, "--read-only"])
        .ends_with(0, &[]);
    // Nothing but the schema is there, not even the keys that the first server makes.
    let reader = roles.data();
    for arguments in [
        &["partner", "list"][..],
        &["consent", "list"],
        &["grant", "list"],
        &["records", "withheld"],
        &["review", "list"],
        &["link", "list"],
        &["match", "list"],
        &["policy", "list"],
        &["durability"],
    ] {
        reader
            .run(arguments)
            .ends_with(0, &["accepts no writes", "the ledger does not record"]);
    }
    reader
        .run(&["operator", "token", "--role", "auditor"])
        .ends_with(2, &["SV-016", "may only read"]);
    reader.serve().ends_with(2, &["SV-016", "may only read"]);
}
