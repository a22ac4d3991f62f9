//! `causeway identity`: requests against a roster and two files linked, by the program itself.

use crate::support::payer::binary;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

const ROSTER: &str = "roster_id,member_id,subscriber_id,relationship,first_name,middle_name,last_name,suffix,birth_date,gender,ssn,address_line,city,state,zip,phone,email\n\
    r1,S10000101,S100001,self,Ines,R,Okafor,,1984-07-09,female,,12 Alder Way,Salem,OR,97301,5550100101,ines@mail.example\n\
    r2,S10000102,S100001,child,Tobias,,Okafor,,2012-03-30,male,,12 Alder Way,Salem,OR,97301,5550100101,\n\
    r3,S20000201,S200002,self,Bartholomew,,Lindqvist,,1951-11-02,male,,9 Mill Lane,Bend,OR,97701,5550100202,\n";
const QUERIES: &str = "query_id,first_name,middle_name,last_name,suffix,birth_date,gender,ssn,ssn_last4,address_line,city,state,zip,phone,email,member_id\n\
    q1,INES,,Okafor,,1984-07-09,female,,,12 Alder Way,Salem,OR,97301,5550100101,,S10000101\n\
    q2,Wilhelmina,,Farquhar,,1999-01-17,female,,,1 Nowhere Rd,Astoria,OR,97103,5550100999,,S99999901\n";

fn causeway(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(binary())
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("the program runs")
}

#[test]
fn a_file_of_requests_is_answered_line_by_line() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("roster.csv"), ROSTER).expect("roster");
    std::fs::write(folder.path().join("queries.csv"), QUERIES).expect("queries");
    let arguments = [
        "identity",
        "bench",
        "--roster",
        "roster.csv",
        "--queries",
        "queries.csv",
        "--out",
        "results.csv",
        "--json",
    ];
    let done = causeway(folder.path(), &arguments);
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
    let summary: Value = serde_json::from_slice(&done.stdout).expect("one JSON document");
    assert_eq!((&summary["records"], &summary["queries"]), (&3.into(), &2.into()));
    let results = std::fs::read_to_string(folder.path().join("results.csv")).expect("results");
    let lines: Vec<&str> = results.lines().collect();
    assert_eq!(
        lines[..3],
        ["query_id,outcome,roster_id", "q1,match,r1", "q2,none,"],
        "{results}"
    );
}

#[test]
fn a_file_that_is_not_there_is_named_by_its_option() {
    let folder = tempfile::tempdir().expect("a folder");
    let arguments = [
        "identity", "link", "--a", "none.csv", "--b", "none.csv", "--map", "m", "--out", "o",
    ];
    let refused = causeway(folder.path(), &arguments);
    assert_eq!(refused.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--a"));
}

#[test]
fn other_column_names_and_line_breaks_in_quotes_are_read_and_a_policy_is_trained() {
    let folder = tempfile::tempdir().expect("a folder");
    let queries = QUERIES
        .replace("last_name", "surname")
        .replace("12 Alder Way", "\"12 Alder\nWay\"");
    std::fs::write(folder.path().join("roster.csv"), ROSTER.replace("last_name", "surname")).expect("roster");
    std::fs::write(folder.path().join("queries.csv"), queries).expect("queries");
    std::fs::write(folder.path().join("names.map"), "last_name = surname\n").expect("map");
    let files = [
        "--roster",
        "roster.csv",
        "--queries",
        "queries.csv",
        "--map",
        "names.map",
    ];
    let trained = causeway(
        folder.path(),
        &[&["identity", "train"][..], &files, &["--out", "ours.policy", "--json"]].concat(),
    );
    assert_eq!(
        trained.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&trained.stderr)
    );
    let rest = ["--policy", "ours.policy", "--out", "results.csv"];
    let done = causeway(folder.path(), &[&["identity", "bench"][..], &files, &rest].concat());
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
    let results = std::fs::read_to_string(folder.path().join("results.csv")).expect("results");
    assert_eq!(
        results.lines().collect::<Vec<_>>(),
        ["query_id,outcome,roster_id", "q1,match,r1", "q2,none,"]
    );
}
