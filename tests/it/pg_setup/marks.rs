//! A store is found where it is, and no second one is made beside it; a database that cannot be a store is named as what it is.

use super::{Desk, as_role, database, values};
use crate::support::postgres;
use crate::support::store::{connect, on_postgres};
use causeway::store::StoreUrl;

const WRITING: &[&str] = &["operator", "token", "--role", "auditor"];

fn tables_of(url: &str, schema: &str) -> usize {
    let query = format!("SELECT tablename::text AS value FROM pg_tables WHERE schemaname = '{schema}'");
    values(&mut connect(&StoreUrl::parse(url).expect("an address")), &query).len()
}

/// How many operator tokens the store in this schema has: one for each command that wrote to it.
fn tokens_of(url: &str, schema: &str) -> String {
    let query = format!("SELECT COUNT(*)::text AS value FROM {schema}.operator_token");
    values(&mut connect(&StoreUrl::parse(url).expect("an address")), &query).remove(0)
}

#[test]
fn a_search_path_that_leads_elsewhere_makes_no_second_store() {
    if !on_postgres() {
        return;
    }
    let desk = Desk::at(&postgres::fresh_database());
    let name = database(&desk.url);
    desk.run(WRITING).ends_with(0, &[]);
    postgres::execute(&name, "CREATE SCHEMA app; CREATE SCHEMA more");
    // The store is behind another schema of the path: it is used, and the other stays empty.
    postgres::execute(&name, &format!("ALTER DATABASE {name} SET search_path = app, public"));
    desk.run(WRITING).ends_with(0, &[]);
    desk.run(&["partner", "list"]).ends_with(0, &[]);
    assert_eq!(
        (tokens_of(&desk.url, "public").as_str(), tables_of(&desk.url, "app")),
        ("2", 0)
    );
    // The path does not lead to it: it is named, and nothing is made.
    postgres::execute(&name, &format!("ALTER DATABASE {name} SET search_path = app, more"));
    for arguments in [WRITING, &["partner", "list"], &["migrate"], &["migrate", "--check"]] {
        desk.run(arguments)
            .ends_with(2, &["SV-015", "schema public", "store.schema"]);
    }
    assert_eq!((tables_of(&desk.url, "app"), tables_of(&desk.url, "more")), (0, 0));
    // Said by its name it is found; and a second one is made where one is asked for.
    let named = |schema: &str| {
        let mut command = desk.command(WRITING);
        super::Said::of(command.env("CAUSEWAY_STORE__SCHEMA", schema).output().expect("it runs"))
    };
    named("public").ends_with(0, &[]);
    named("a second one").ends_with(0, &[]);
    named("app").ends_with(0, &[]);
    assert_eq!(tokens_of(&desk.url, "public"), "3");
    assert_eq!(tokens_of(&desk.url, "\"a second one\""), "1");
    assert_eq!(tokens_of(&desk.url, "app"), "1");
}

#[test]
fn a_table_of_another_schema_or_session_is_never_taken_for_ours() {
    if !on_postgres() {
        return;
    }
    let desk = Desk::at(&postgres::fresh_database());
    let name = database(&desk.url);
    desk.run(WRITING).ends_with(0, &[]);
    postgres::execute(
        &name,
        &format!(
            "CREATE SCHEMA trap; CREATE TABLE trap.operator_token (LIKE public.operator_token); \
             ALTER DATABASE {name} SET search_path = trap, public"
        ),
    );
    desk.run(WRITING).ends_with(0, &[]);
    assert_eq!(
        (
            tokens_of(&desk.url, "public").as_str(),
            tokens_of(&desk.url, "trap").as_str()
        ),
        ("2", "0")
    );
}

#[test]
fn a_schema_of_another_program_is_left_to_it() {
    if !on_postgres() {
        return;
    }
    let desk = Desk::at(&postgres::fresh_database());
    let name = database(&desk.url);
    postgres::execute(
        &name,
        "CREATE TABLE __diesel_schema_migrations (version VARCHAR(50) PRIMARY KEY, run_on TIMESTAMP NOT NULL DEFAULT now()); \
         INSERT INTO __diesel_schema_migrations (version) VALUES ('20200101000000')",
    );
    desk.run(WRITING)
        .ends_with(2, &["SV-015", "another program", "store.schema"]);
    assert_eq!(tables_of(&desk.url, "public"), 1);
    // No schema at all in the path.
    let desk = Desk::at(&postgres::fresh_database());
    let name = database(&desk.url);
    postgres::execute(&name, &format!("ALTER DATABASE {name} SET search_path = nowhere"));
    desk.run(WRITING)
        .ends_with(2, &["SV-015", "names no schema", "store.schema"]);
}

#[test]
fn an_encoding_that_loses_letters_is_refused_by_name() {
    if !on_postgres() {
        return;
    }
    for encoding in ["LATIN1", "SQL_ASCII"] {
        let name = format!("encoded_{}", encoding.to_lowercase());
        postgres::execute(
            "postgres",
            &format!("CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0"),
        );
        let desk = Desk::at(&postgres::url(&name));
        for arguments in [WRITING, &["partner", "list"], &["migrate"], &["migrate", "--check"]] {
            desk.run(arguments).ends_with(2, &["SV-015", encoding, "UTF8"]);
        }
        desk.serve().ends_with(2, &["SV-015", encoding]);
    }
}

#[test]
fn a_role_whose_transactions_only_read_is_named() {
    if !on_postgres() {
        return;
    }
    let desk = Desk::at(&postgres::fresh_database());
    let name = database(&desk.url);
    desk.run(WRITING).ends_with(0, &[]);
    postgres::execute(
        "postgres",
        &format!(
            "CREATE ROLE slow_{name} SUPERUSER LOGIN; ALTER ROLE slow_{name} SET default_transaction_read_only = on"
        ),
    );
    let desk = Desk::at(&as_role(&desk.url, &format!("slow_{name}")));
    desk.run(&["consent", "list"])
        .ends_with(0, &["default_transaction_read_only"]);
    desk.run(WRITING)
        .ends_with(2, &["SV-016", "default_transaction_read_only"]);
}

#[test]
fn tables_of_another_program_are_not_built_upon_and_a_missing_one_is_named() {
    if !on_postgres() {
        return;
    }
    // Another program that counts its migrations as we do.
    let desk = Desk::at(&postgres::fresh_database());
    let name = database(&desk.url);
    postgres::execute(
        &name,
        "CREATE TABLE __diesel_schema_migrations (version VARCHAR(50) PRIMARY KEY, run_on TIMESTAMP DEFAULT CURRENT_TIMESTAMP); \
         INSERT INTO __diesel_schema_migrations (version) VALUES ('00000000000001')",
    );
    for arguments in [WRITING, &["migrate"], &["migrate", "--check"]] {
        desk.run(arguments).ends_with(2, &["SV-015", "another program"]);
    }
    assert_eq!(tables_of(&desk.url, "public"), 1);
    // One that has a table of a name of ours.
    let desk = Desk::at(&postgres::fresh_database());
    postgres::execute(&database(&desk.url), "CREATE TABLE member (id INT)");
    for arguments in [WRITING, &["migrate"]] {
        desk.run(arguments).ends_with(2, &["SV-015", "table member"]);
    }
    assert_eq!(tables_of(&desk.url, "public"), 1);
    // A store in which somebody dropped a table.
    let desk = Desk::at(&postgres::fresh_database());
    desk.run(WRITING).ends_with(0, &[]);
    postgres::execute(&database(&desk.url), "DROP TABLE guess_tally");
    for arguments in [WRITING, &["migrate"], &["migrate", "--check"], &["partner", "list"]] {
        desk.run(arguments).ends_with(2, &["SV-015", "guess_tally", "backup"]);
    }
    // Names that PostgreSQL would cut off, or keeps for itself.
    for schema in ["pg_x".to_owned(), "s".repeat(64)] {
        let mut command = desk.command(&["migrate"]);
        let said = command.env("CAUSEWAY_STORE__SCHEMA", schema).output().expect("it runs");
        super::Said::of(said).ends_with(2, &["SV-015", "store.schema"]);
    }
}
