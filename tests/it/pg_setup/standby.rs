//! On a standby the commands that read work, and everything else says that it is one.

use super::Desk;
use super::servers::Cluster;
use crate::support::store::on_postgres;

#[test]
fn a_standby_is_read_by_commands_and_named_to_the_server() {
    if !on_postgres() {
        return;
    }
    let mut cluster = Cluster::start();
    let desk = Desk::at(&cluster.url("postgres"));
    let empty = desk.run(&["partner", "list"]);
    empty.ends_with(1, &["There is no store at"]);
    desk.run(&["operator", "token", "--role", "auditor"]).ends_with(0, &[]);
    cluster.become_standby();
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
        &["migrate", "--check"],
    ] {
        let said = desk.run(arguments);
        assert_eq!(said.code, Some(0), "{arguments:?}: {said:?}");
        assert!(arguments[0] == "migrate" || said.err.contains("standby"), "{said:?}");
    }
    // What is not on record is not there; it is not an error of the standby.
    desk.run(&["trace", "nothing-of-this-id"]).ends_with(1, &["AU-003"]);
    desk.run(&["operator", "token", "--role", "auditor"])
        .ends_with(2, &["SV-016", "standby", "primary"]);
    let served = desk.serve();
    served.ends_with(2, &["SV-016", "standby", "primary"]);
    assert!(!served.err.contains("Retry-After"), "{served:?}");
}
