//! The runbook: whole, with commands that the program takes, the same at the command line and over HTTP, and as the page has it.

use crate::support::desk::Desk;
use crate::support::page::compare;
use crate::support::payer::TestPayer;
use causeway::cli::Cli;
use causeway::error::{
    ContactKind, EscalateTo, Fault, PersonDecides, ReplayRule, RunbookAbout, RunbookCommand, RunbookOwner, RunbookStep,
};
use causeway::runbook::{RunbookItem, list, rows};
use clap::Parser as _;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

#[test]
fn the_page_has_every_entry_as_the_tables_have_it() {
    compare(
        "docs/operators/runbook.md",
        &[("words", words()), ("entries", entries())],
    );
}

/// The words of the columns.
fn words() -> String {
    macro_rules! table {
        ($name:literal, $kind:ident) => {{
            let mut text = format!("\n| {} | means |\n|---|---|\n", $name);
            for one in $kind::ALL {
                text += &format!("| `{}` | {} |\n", one.code(), one.text());
            }
            text
        }};
    }
    [
        table!("owner", RunbookOwner),
        table!("replay", ReplayRule),
        table!("person", PersonDecides),
        table!("escalation", EscalateTo),
        table!("contact", ContactKind),
    ]
    .concat()
}

/// A table for each part of the runbook.
fn entries() -> String {
    let mut text = String::new();
    for about in RunbookAbout::ALL {
        let items = list(Some(*about));
        if items.is_empty() {
            continue;
        }
        text += &format!("\n### {}\n\n{}\n\n", about.code(), about.text());
        text += "| code | what it means | owner | act | replay | person | escalation | contact | steps |\n";
        text += "|---|---|---|---|---|---|---|---|---|\n";
        for item in &items {
            text += &documented(item);
        }
    }
    text
}

fn documented(item: &RunbookItem) -> String {
    let meaning = [Some(item.meaning), item.remedy].into_iter().flatten();
    let steps = item.steps.iter().enumerate().map(|(at, step)| match &step.command {
        Some(command) => format!("{}. `{command}`: {}", at + 1, step.text),
        None => format!("{}. {}", at + 1, step.text),
    });
    format!(
        "| `{}` | {} | {} | {} | {} | {} | {} | {} | {} |\n",
        item.code,
        meaning.collect::<Vec<_>>().join(" "),
        item.owner,
        item.act_within,
        item.replay,
        item.person,
        item.escalation,
        item.contact.unwrap_or("none"),
        steps.collect::<Vec<_>>().join(" ")
    )
}

#[test]
fn every_command_of_a_step_is_one_that_the_program_takes() {
    for command in RunbookCommand::ALL {
        let line = command.line();
        let words = std::iter::once("causeway").chain(line.split(' '));
        if let Err(refused) = Cli::try_parse_from(words) {
            panic!("causeway {line}: {refused}");
        }
    }
    assert!(Cli::try_parse_from(["causeway", "exchange", "shwo", "ID"]).is_err());
    let named: BTreeSet<&str> = rows()
        .iter()
        .flat_map(|row| row.procedure.steps)
        .filter_map(|step| match step {
            RunbookStep::Run(command, _) => Some(command.line()),
            RunbookStep::Do(_) => None,
        })
        .collect();
    let all: BTreeSet<&str> = RunbookCommand::ALL.iter().map(|command| command.line()).collect();
    assert_eq!(named, all, "a command that no step names");
}

/// The names of the kinds of work in the source, and the text of all of it.
fn kinds_of_work() -> (BTreeSet<String>, String) {
    fn walk(folder: &Path, text: &mut String) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path: PathBuf = entry.expect("an entry").path();
            if path.is_dir() {
                walk(&path, text);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let whole = std::fs::read_to_string(&path).expect("a file");
                *text += whole.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            }
        }
    }
    let mut text = String::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut text);
    let names = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("pub static ")?.split_once(": WorkKind"))
        .map(|(name, _)| name.to_owned())
        .collect();
    (names, text)
}

#[test]
fn every_kind_of_work_has_an_entry() {
    let (names, text) = kinds_of_work();
    assert!(names.len() > 15, "the kinds of work are no longer found: {names:?}");
    let joined: String = text.split_whitespace().collect();
    let missing: Vec<&String> = names
        .iter()
        .filter(|name| !joined.contains(&format!("parked(&{name},")))
        .collect();
    assert!(
        missing.is_empty(),
        "kinds of work without a row of the runbook: {missing:?}"
    );
    assert_eq!(list(Some(RunbookAbout::Work)).len(), names.len());
}

#[tokio::test]
async fn the_command_and_the_route_tell_the_same() {
    let (payer, client) = TestPayer::start(1);
    let desk = Desk::of(&payer, &client, "support");
    let whole = desk.get("runbook").await;
    whole.assert_status(200);
    assert_eq!(whole.json(), payer.json_command(&["runbook"]));
    let items = whole.json()["items"].as_array().expect("items").len();
    assert_eq!(items, rows().len());
    for code in ["SV-002", "phase.manual_review", "work.bulk-export", "job.parked"] {
        let told = desk.get(&format!("runbook/{code}")).await;
        told.assert_status(200);
        let told = told.json();
        assert_eq!(told, payer.json_command(&["runbook", code]));
        assert_eq!(told["code"], code);
        let steps = told["steps"].as_array().expect("steps");
        assert!(steps.iter().any(|step| step["command"].is_string()), "{told}");
    }
    let work = desk.get("runbook?about=work").await.json();
    let abouts: BTreeSet<&str> = work["items"]
        .as_array()
        .expect("items")
        .iter()
        .filter_map(|item| item["about"].as_str())
        .collect();
    assert_eq!(abouts, BTreeSet::from(["work"]));
    assert_eq!(work, payer.json_command(&["runbook", "--about", "work"]));
    desk.get("runbook?about=weather")
        .await
        .assert_outcome(Fault::ParameterInvalid);
    let unknown = desk.get("runbook/SV-02").await;
    unknown.assert_outcome(Fault::NotFound);
    let told = unknown.json()["issue"][0]["diagnostics"].clone();
    assert!(told.as_str().is_some_and(|told| told.contains("SV-002")), "{told}");
}

#[test]
fn a_code_that_does_not_exist_is_wrong_usage_and_names_the_nearest() {
    let (payer, _) = TestPayer::prepare(1);
    for (arguments, wanted) in [
        (&["runbook", "SV-02"][..], "SV-002"),
        (&["runbook", "phase.manual"], "phase.manual_review"),
        (&["runbook", "--about", "weather"], "bulk-job"),
        (&["runbook", "SV-002", "--about", "fault"], "--about"),
    ] {
        let failed = payer.command(arguments);
        let said = String::from_utf8_lossy(&failed.stderr).into_owned();
        assert_eq!(failed.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(wanted), "{arguments:?}: {said}");
        assert!(failed.stdout.is_empty(), "{arguments:?}");
    }
    let shown = payer.command(&["runbook", "sv-002"]);
    let said = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert_eq!(shown.status.code(), Some(0));
    for part in ["SV-002: ", "owner", "replay", "person", "escalate", "1. "] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let listed = payer.json_command(&["runbook"]);
    assert_eq!(listed["next"], Value::Null);
}
