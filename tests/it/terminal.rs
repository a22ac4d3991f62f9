//! What a person sees at a terminal: tables that fit it, ids that may be typed by their beginning, colors, completions and manual pages.
//! What a program reads stays as it was.

use crate::support::client::ALL_SCOPES;
use crate::support::desk::{doubtful, only_review};
use crate::support::payer::{TestPayer, binary};
use causeway::synth::Variation;
use std::process::{Command, Output, Stdio};

/// What a command prints on a terminal of so many columns.
fn at_columns(payer: &TestPayer, columns: u32, arguments: &[&str]) -> String {
    let line = format!(
        "stty cols {columns} rows 24; exec {} {}",
        binary().display(),
        arguments.join(" ")
    );
    let said = Command::new("script")
        .args(["-qec", &line, "/dev/null"])
        .current_dir(payer.home())
        .env_remove("DATABASE_URL")
        .env_remove("NO_COLOR")
        .env_remove("COLUMNS")
        .env("TERM", "xterm")
        .env("SHELL", "/bin/sh")
        .stdin(Stdio::null())
        .output()
        .expect("script(1) of util-linux runs");
    String::from_utf8(said.stdout).expect("text").replace('\r', "")
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn decisions(payer: &TestPayer) -> Vec<String> {
    let listed = payer.json_command(&["match", "list"]);
    let items = listed.as_array().expect("decisions").iter();
    items
        .map(|item| item["id"].as_str().expect("an id").to_owned())
        .collect()
}

#[tokio::test]
async fn an_id_may_be_typed_by_its_beginning_and_an_ambiguous_one_is_refused_with_its_number() {
    let (payer, client) = TestPayer::start(8);
    let token = client.token(ALL_SCOPES).await;
    for index in [0, 2, 3] {
        client.matched(&token, &payer.request(index, Variation::Exact)).await;
    }
    let ids = decisions(&payer);
    let [first, second, ..] = ids.as_slice() else {
        panic!("{ids:?}")
    };
    let same = first.bytes().zip(second.bytes()).take_while(|(a, b)| a == b).count();

    let explained = payer.json_command(&["match", "explain", &second[..35]]);
    assert_eq!(explained["id"], second.as_str());
    let refused = payer.command(&["match", "explain", &first[..same.min(4)]]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        told(&refused).contains("3 ids begin with these characters"),
        "{}",
        told(&refused)
    );
    let unknown = payer.command(&["match", "explain", "ffff"]);
    assert_eq!(unknown.status.code(), Some(1), "{}", told(&unknown));

    let traced = payer.json_command(&["trace", &second[..35]]);
    assert_eq!(traced, payer.json_command(&["trace", second]));
    let consents = payer.json_command(&["consent", "list"]);
    let consent = consents[0]["id"].as_str().expect("an id");
    assert_eq!(payer.json_command(&["consent", "show", &consent[..35]])["id"], consent);
}

#[tokio::test]
async fn tables_fit_the_terminal_and_what_they_cut_is_accepted() {
    let (payer, client) = TestPayer::start(6);
    let token = client.token(ALL_SCOPES).await;
    let (patient, _) = client.matched(&token, &payer.request(0, Variation::Exact)).await;
    client
        .get(&token, &format!("Patient/{patient}"))
        .await
        .assert_status(200);
    client.post_match(&token, doubtful(&payer, 1, 3).to_string(), &[]).await;
    let review = only_review(&payer);
    let decision = decisions(&payer).remove(0);
    for columns in [80, 120] {
        for arguments in [
            &["match", "list"][..],
            &["match", "explain", &decision],
            &["grant", "list"],
            &["consent", "list"],
            &["trace", &decision],
            &["disclosures", "--member", &patient],
            &["review", "list"],
            &["review", "show", &review, "--reason", "a test"],
            &["link", "list"],
            &["faults"],
            &["config", "--effective"],
        ] {
            let text = at_columns(&payer, columns, &[arguments, &["--color", "never"]].concat());
            assert!(text.lines().count() > 1, "{arguments:?}: {text}");
            for line in text.lines() {
                assert!(
                    line.chars().count() <= columns as usize,
                    "{arguments:?} at {columns}:\n{text}"
                );
            }
        }
    }

    let listed = at_columns(&payer, 80, &["review", "list", "--color", "never"]);
    let word = |line: &str| {
        line.split_whitespace()
            .find(|word| review.starts_with(word) && word.len() >= 8)
            .map(str::to_owned)
    };
    let short = listed.lines().find_map(word).expect("the review's id, cut or whole");
    let shown = payer.json_command(&["review", "show", &short, "--reason", "a test"]);
    assert_eq!(shown["id"], review.as_str());
}

#[test]
fn an_empty_list_says_so_on_stderr_and_prints_no_header() {
    let (payer, _) = TestPayer::start(1);
    for (arguments, said) in [
        (&["review", "list"][..], "No review waits for a decision."),
        (&["link", "list"], "There are no such links."),
        (&["consent", "list"], "There are no such consents."),
        (&["grant", "list"], "There are no such grants."),
        (&["match", "list"], "There are no such decisions."),
        (&["exchange", "list"], "There are no such exchanges."),
    ] {
        let output = payer.command(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        assert_eq!(told(&output).trim(), said);
        assert_eq!(payer.json_command(arguments), serde_json::json!([]), "{arguments:?}");
    }
}

#[test]
fn colors_are_at_a_terminal_or_where_they_are_asked_for_and_never_in_json() {
    let (payer, _) = TestPayer::start(1);
    let has_colors = |output: &Output| output.stdout.contains(&0x1b) || output.stderr.contains(&0x1b);
    assert!(!has_colors(&payer.command(&["faults"])));
    assert!(has_colors(&payer.command(&["faults", "--color", "always"])));
    assert!(!has_colors(&payer.command(&["faults", "--color", "always", "--json"])));
    assert!(at_columns(&payer, 80, &["faults"]).contains("\u{1b}[1m"));
    assert!(!at_columns(&payer, 80, &["faults", "--color", "never"]).contains('\u{1b}'));
    assert!(has_colors(&payer.command(&[
        "trace",
        "nothing-here",
        "--color",
        "always"
    ])));
}

#[test]
fn a_shell_gets_its_completions_and_a_reader_the_manual_pages() {
    let (payer, _) = TestPayer::start(1);
    let script = payer.command(&["completions", "bash"]);
    assert_eq!(script.status.code(), Some(0));
    let script = String::from_utf8(script.stdout).expect("text");
    assert!(script.contains("_causeway") && script.contains("disclosures"));
    let written = payer.json_command(&["man", "pages"]);
    let pages = written["pages"].as_array().expect("pages");
    assert!(pages.len() > 40, "{written}");
    for page in pages {
        assert!(
            payer
                .home()
                .join("pages")
                .join(page.as_str().expect("a name"))
                .is_file(),
            "{page}"
        );
    }
}
