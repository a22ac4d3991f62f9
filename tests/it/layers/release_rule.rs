//! The release rule stands once: no file of the store but its own puts a condition on what it judges.

use super::{code, is_tests, module, sources};

/// The columns that the release rule judges, by table; a SQL text names them with or without it.
const RULE_COLUMNS: &[(&str, &[&str])] = &[
    ("grants", &["revoked_ms", "valid_from_ms", "valid_until_ms"]),
    ("consent", &["period_from_ms", "period_to_ms"]),
    ("resource", &["sensitivity", "pa_state", "pa_changed_ms", "financial"]),
];

/// Files that may hold such a condition besides the rule's own, and what for. None of them lets anything leave.
const RULE_EXCEPTIONS: &[(&str, &str)] = &[
    (
        "store/alert_figures.rs",
        "counts the grants that ended in a time, for an alert",
    ),
    (
        "store/consents.rs",
        "says in a function of its own what a withdrawal writes",
    ),
    (
        "store/dependencies.rs",
        "drops notes of what turned out to be no authorization",
    ),
    (
        "store/erased_record.rs",
        "ends the grants of a member who is erased, and asks which have not ended",
    ),
    (
        "store/links.rs",
        "asks whether a step took a grant back, by the time of that step",
    ),
    (
        "store/migrate/indexes.rs",
        "names the rows of an index, by which an alert finds grants that end soon",
    ),
    (
        "store/migrate/pieces.rs",
        "rewrites columns once, on the way to a later version",
    ),
    (
        "store/retention/due.rs",
        "asks what was over years ago, whatever it released",
    ),
    (
        "store/retention/gone.rs",
        "ends what it deletes, so that answers on their way end",
    ),
    (
        "store/steps.rs",
        "gives back the grants that a step took, by the time of that step",
    ),
];

/// `text` without the arguments of `.set(…)`, in which an update says what it writes.
fn without_sets(text: &str) -> String {
    let (mut kept, mut rest) = (String::new(), text);
    while let Some(at) = rest.find(".set(") {
        kept.push_str(&rest[..at]);
        let mut depth = 0;
        let end = rest[at..].find(|c: char| {
            depth += i32::from(c == '(') - i32::from(c == ')');
            c == ')' && depth == 0
        });
        rest = end.map_or("", |end| &rest[at + end..]);
    }
    kept + rest
}

/// Where `word` stands as a whole word: what is before it, and what after, without blanks between.
fn occurrences<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).filter_map(move |(at, _)| {
        let (before, after) = (&text[..at], &text[at + word.len()..]);
        let whole = !before.ends_with(is_word) && !after.starts_with(is_word);
        whole.then(|| (before.trim_end(), after.trim_start()))
    })
}

/// The columns of the release rule that a file puts a condition on, in the query builder's words or in the text of a statement.
fn rule_conditions(code: &str) -> Vec<String> {
    const BUILDER: &[&str] = &[
        "is_null",
        "is_not_null",
        "eq",
        "ne",
        "lt",
        "le",
        "gt",
        "ge",
        "between",
        "eq_any",
        "ne_all",
    ];
    const SQL: &[&str] = &["IS ", "IN ", "NOT ", "<", ">", "= ", "=?"];
    let code = without_sets(code);
    let code = code.replace("'\"'", "' '").replace("\\\"", "");
    let texts: Vec<&str> = code.split('"').skip(1).step_by(2).collect();
    let mut found = Vec::new();
    for (table, columns) in RULE_COLUMNS {
        for column in *columns {
            let built = occurrences(&code, column).filter(|(before, after)| {
                let method = after.strip_prefix('.').map(str::trim_start).unwrap_or_default();
                let method = method.split('(').next().unwrap_or_default();
                before.ends_with(&format!("{table}::")) && BUILDER.contains(&method)
            });
            let written = texts
                .iter()
                .flat_map(|text| occurrences(text, column))
                .filter(|(before, after)| {
                    let operand = before
                        .trim_end_matches(|c: char| c.is_alphanumeric() || matches!(c, '_' | '.'))
                        .trim_end();
                    let compared = operand.ends_with(['<', '>']) || operand.ends_with("<=") || operand.ends_with(">=");
                    compared || SQL.iter().any(|words| after.starts_with(words))
                });
            found.extend(built.chain(written).map(|_| format!("{table}.{column}")));
        }
    }
    found
}

#[test]
fn the_release_rule_stands_once() {
    let mut wrong = Vec::new();
    for (file, text) in sources("src") {
        let is_exception = RULE_EXCEPTIONS.iter().any(|(name, _)| *name == file);
        if !matches!(module(&file), "store" | "audit") || is_tests(&file) || file == "store/release_rule.rs" {
            continue;
        }
        let found = rule_conditions(&code(&text));
        if is_exception {
            assert!(!found.is_empty(), "src/{file} is no exception any more: strike it");
        } else {
            wrong.extend(
                found
                    .iter()
                    .map(|one| format!("src/{file}: `{one}` belongs into store/release_rule.rs")),
            );
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn a_second_copy_of_the_release_rule_is_found_in_every_form() {
    for copy in [
        ".filter(grants::revoked_ms.is_null())",
        ".filter(grants::revoked_ms\n    .is_null())",
        "\"WHERE g.revoked_ms IS NULL\"",
        "\"WHERE g.revoked_ms\n   IS NULL\"",
        ".and(grants::valid_until_ms.gt(now))",
        "\"AND ? < g.valid_until_ms\"",
        "\"AND ? >= valid_from_ms AND\"",
        "\"k.period_to_ms > ?\"",
        "resource::sensitivity.eq(0)",
        "\"r.pa_state IN (1, 2)\"",
        "\"r.financial = 0\"",
        "diesel::update(x).set(a.eq(1)).filter(resource::financial.eq(0))",
    ] {
        assert_eq!(rule_conditions(copy).len(), 1, "{copy}");
    }
    for other in [
        "diesel::update(x).set((resource::sensitivity.eq(f(0)), resource::pa_state.eq(1)))",
        "access_token::revoked_ms.is_null()",
        "\"SELECT k.revoked_ms, g.valid_from_ms FROM grants g\"",
        "\"INSERT INTO resource (sensitivity, pa_state) VALUES (?, ?)\"",
        "if row.pa_state == 0 && row.sensitivity < 1 {}",
    ] {
        assert!(rule_conditions(other).is_empty(), "{other}");
    }
}
