//! `/metrics`: every family from the first scrape, in the strict text format, as the table and the documentation say.

use crate::support::client::ALL_SCOPES;
use crate::support::payer::TestPayer;
use causeway::synth::Variation;
use causeway::telemetry::exposition::documentation;
use causeway::telemetry::metrics::{BUCKETS, COMMITS, FAMILIES, JOBS, MetricKind, STATEMENTS};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

/// For what comes at once on a machine with nothing else to do.
const WAIT: Duration = Duration::from_secs(60);

/// What was scraped: families by name, and values by series as they are written.
struct Scrape {
    families: BTreeMap<String, (String, String)>,
    series: BTreeMap<String, f64>,
}

fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    let first = bytes
        .next()
        .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_' || b == b':');
    first && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b':')
}

/// The labels between braces, each once; `None` for anything that the format does not allow.
fn labels(mut text: &str) -> Option<Vec<(String, String)>> {
    let mut found: Vec<(String, String)> = Vec::new();
    while !text.is_empty() {
        let (name, rest) = text.split_once("=\"")?;
        let mut value = String::new();
        let mut chars = rest.char_indices();
        let end = loop {
            match chars.next()? {
                (at, '"') => break at,
                (_, '\\') => value.push(match chars.next()?.1 {
                    'n' => '\n',
                    kept @ ('"' | '\\') => kept,
                    _ => return None,
                }),
                (_, '\n') => return None,
                (_, other) => value.push(other),
            }
        };
        if !is_name(name) || name.contains(':') || found.iter().any(|(known, _)| known == name) {
            return None;
        }
        found.push((name.to_owned(), value));
        text = &rest[end + 1..];
        if let Some(more) = text.strip_prefix(',') {
            text = more;
            (!text.is_empty()).then_some(())?;
        } else if !text.is_empty() {
            return None;
        }
    }
    Some(found)
}

/// Reads the text format 0.0.4, strictly: HELP and TYPE once before the lines of a family, which stand together.
fn parse(text: &str) -> Result<Scrape, String> {
    let mut scrape = Scrape {
        families: BTreeMap::new(),
        series: BTreeMap::new(),
    };
    let (mut current, mut help) = (String::new(), None::<(String, String)>);
    if !text.ends_with('\n') {
        return Err("the last line does not end".into());
    }
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, text) = rest.split_once(' ').ok_or_else(|| format!("no text: {line}"))?;
            if help.is_some() {
                return Err(format!("two HELP lines: {line}"));
            }
            help = Some((name.to_owned(), text.to_owned()));
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').ok_or_else(|| format!("no type: {line}"))?;
            let (of, text) = help.take().ok_or_else(|| format!("TYPE without HELP: {line}"))?;
            if of != name || !["counter", "gauge", "histogram"].contains(&kind) || !is_name(name) {
                return Err(format!("TYPE {line} after HELP {of}"));
            }
            if scrape.families.insert(of, (kind.to_owned(), text)).is_some() {
                return Err(format!("{name} twice"));
            }
            current = name.to_owned();
        } else {
            let (series, value) = line.rsplit_once(' ').ok_or_else(|| format!("no value: {line}"))?;
            let (name, inner) = match series.split_once('{') {
                None => (series, ""),
                Some((name, rest)) => (name, rest.strip_suffix('}').ok_or_else(|| format!("open: {line}"))?),
            };
            let kind = scrape.families.get(&current).map_or("", |(kind, _)| kind.as_str());
            let suffix = name
                .strip_prefix(current.as_str())
                .ok_or_else(|| format!("{line} in {current}"))?;
            let allowed: &[&str] = if kind == "histogram" {
                &["_bucket", "_sum", "_count"]
            } else {
                &[""]
            };
            if !allowed.contains(&suffix) || help.is_some() {
                return Err(format!("{line} in {current}"));
            }
            labels(inner).ok_or_else(|| format!("labels of {line}"))?;
            let value: f64 = value.parse().map_err(|_| format!("value of {line}"))?;
            if scrape.series.insert(series.to_owned(), value).is_some() {
                return Err(format!("{series} twice"));
            }
        }
    }
    Ok(scrape)
}

#[test]
fn the_parser_of_this_test_refuses_what_is_not_the_format() {
    let good = "# HELP a_total x\n# TYPE a_total counter\na_total{k=\"v\\\"\\\\\"} 1\n";
    assert!(parse(good).is_ok());
    for bad in [
        "a_total 1\n",
        "# TYPE a_total counter\na_total 1\n",
        "# HELP a_total x\n# TYPE a_total counter\na_total 1",
        "# HELP a_total x\n# TYPE b_total counter\n",
        "# HELP a_total x\n# TYPE a_total summary\n",
        "# HELP a_total x\n# TYPE a_total counter\na_total 1\na_total 2\n",
        "# HELP a_total x\n# TYPE a_total counter\na_total{k=v} 1\n",
        "# HELP a_total x\n# TYPE a_total counter\na_total{k=\"v\",k=\"w\"} 1\n",
        "# HELP a_total x\n# TYPE a_total counter\na_total{k=\"v\",} 1\n",
        "# HELP a_total x\n# TYPE a_total counter\na_total{1k=\"v\"} 1\n",
        "# HELP a_total x\n# TYPE a_total counter\na_total one\n",
        "# HELP a_total x\n# TYPE a_total counter\nb_total 1\n",
        "# HELP a_total x\n# TYPE a_total counter\na_total_bucket 1\n",
    ] {
        assert!(parse(bad).is_err(), "{bad}");
    }
}

async fn scrape(payer: &TestPayer) -> Scrape {
    let answer = reqwest::get(format!("{}/metrics", payer.ops)).await.expect("an answer");
    assert_eq!(answer.status(), 200);
    assert_eq!(
        answer.headers()["content-type"],
        "text/plain; version=0.0.4; charset=utf-8"
    );
    let text = answer.text().await.expect("text");
    parse(&text).unwrap_or_else(|error| panic!("{error} in\n{text}"))
}

impl Scrape {
    #[track_caller]
    fn of(&self, series: &str) -> f64 {
        *self
            .series
            .get(series)
            .unwrap_or_else(|| panic!("no {series} in {:?}", self.series.keys()))
    }

    fn sum(&self, name: &str) -> f64 {
        let of = |series: &&String| series.split('{').next() == Some(name);
        self.series.keys().filter(of).map(|series| self.series[series]).sum()
    }
}

#[tokio::test]
async fn every_family_is_there_at_the_first_scrape_and_counts_what_happens() {
    let (payer, client) = TestPayer::start(2);
    let first = scrape(&payer).await;
    let table: BTreeMap<String, (String, String)> = FAMILIES
        .iter()
        .map(|family| {
            (
                family.name.to_owned(),
                (family.kind.word().to_owned(), family.help.to_owned()),
            )
        })
        .collect();
    assert_eq!(first.families, table);
    for family in FAMILIES {
        let name = if family.kind == MetricKind::Histogram {
            format!("{}_count", family.name)
        } else {
            family.name.to_owned()
        };
        let values: Vec<f64> = first
            .series
            .iter()
            .filter(|(series, _)| series.split('{').next() == Some(&name))
            .map(|(_, value)| *value)
            .collect();
        assert!(!values.is_empty(), "{} has no series", family.name);
        // What a server asks of its store before it serves is counted too.
        let has_worked = [STATEMENTS, COMMITS].contains(&family.name);
        assert!(
            !has_worked || values.iter().all(|value| *value > 0.0),
            "{}",
            family.name
        );
        let counts = family.name.starts_with("causeway_") && family.kind != MetricKind::Gauge && !has_worked;
        // Its worker may have begun by now.
        let counts = counts && family.name != JOBS;
        assert!(
            !counts || values.iter().all(|value| *value == 0.0),
            "{} does not begin at 0",
            family.name
        );
    }
    assert!(first.of("process_resident_memory_bytes") > 1e6 && first.of("process_open_fds") >= 3.0);
    assert!(first.of("process_threads") >= 2.0 && first.of("process_start_time_seconds") > 1.7e9);
    assert!(first.of("causeway_store_bytes{part=\"database\"}") > 4096.0);

    let token = client.token(ALL_SCOPES).await;
    client.ask_token("no-assertion", ALL_SCOPES).await.assert_status(401);
    client.get("no-token", "Patient/x").await.assert_status(401);
    let (id, _) = client.matched(&token, &payer.request(0, Variation::Exact)).await;
    let everything = client.get(&token, &format!("Patient/{id}/$everything")).await;
    everything.assert_status(200);
    client
        .get(&token, "Patient/nobody/$everything")
        .await
        .assert_status(404);
    client.post_match(&token, "{", &[]).await.assert_status(400);
    client.get("x", "../../no/such/route/of/ours").await.assert_status(404);

    let mut then = scrape(&payer).await;
    let began = Instant::now();
    // How a disclosure ended is counted when its answer has gone.
    while then.of("causeway_disclosures_total{outcome=\"completed\"}") < 1.0 && began.elapsed() < WAIT {
        tokio::time::sleep(Duration::from_millis(20)).await;
        then = scrape(&payer).await;
    }
    for (series, value) in [
        ("causeway_oauth_requests_total{outcome=\"accepted\"}", 1.0),
        ("causeway_oauth_requests_total{outcome=\"refused\"}", 1.0),
        ("causeway_oauth_requests_total{outcome=\"throttled\"}", 0.0),
        ("causeway_matches_total{outcome=\"matched\"}", 1.0),
        ("causeway_matches_total{outcome=\"invalid\"}", 1.0),
        ("causeway_disclosures_total{outcome=\"completed\"}", 1.0),
        ("causeway_disclosures_total{outcome=\"refused\"}", 1.0),
        ("causeway_refusals_total{fault=\"OA-002\"}", 1.0),
        ("causeway_refusals_total{fault=\"SE-002\"}", 1.0),
        ("causeway_refusals_total{fault=\"RQ-015\"}", 1.0),
        ("causeway_refusals_total{fault=\"RQ-010\"}", 1.0),
        (
            "causeway_http_requests_total{route=\"/oauth/token\",status=\"200\",fault=\"\"}",
            1.0,
        ),
        (
            "causeway_http_requests_total{route=\"/oauth/token\",status=\"401\",fault=\"OA-002\"}",
            1.0,
        ),
        ("causeway_http_seconds_count{route=\"/oauth/token\"}", 2.0),
    ] {
        assert_eq!(then.of(series), value, "{series}");
    }
    assert!(then.of("causeway_disclosed_bytes_total") > 100.0);
    assert_eq!(
        then.sum("causeway_http_requests_total"),
        then.sum("causeway_http_seconds_count")
    );
    assert!(then.of("process_cpu_seconds_total") >= first.of("process_cpu_seconds_total"));
    let mut below = 0.0;
    for bound in BUCKETS {
        let count = then.of(&format!(
            "causeway_http_seconds_bucket{{route=\"/oauth/token\",le=\"{bound}\"}}"
        ));
        assert!(count >= below, "buckets are cumulative");
        below = count;
    }
    assert_eq!(
        then.of("causeway_http_seconds_bucket{route=\"/oauth/token\",le=\"+Inf\"}"),
        2.0
    );

    // What an import inside this process looked at is counted as well.
    payer.json_command(&["import", "members"]);
    let last = scrape(&payer).await;
    assert!(
        payer.place.url.sqlite_path().is_none()
            || last.of("causeway_imported_resources_total{outcome=\"unchanged\"}") > 0.0
    );
    // No caller can make series of its own.
    let many = last.series.len();
    for n in 0..50 {
        client.get("x", &format!("Nothing{n}/{n}?n{n}={n}")).await;
        client
            .form("/oauth/token", &[("client_id", &format!("id-{n}"))], None)
            .await;
    }
    let flooded = scrape(&payer).await;
    assert!(
        flooded.series.len() < many + 40,
        "{} series became {}",
        many,
        flooded.series.len()
    );
}

#[test]
fn the_documentation_has_the_table_of_families() {
    let docs =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operators/metrics.md")).expect("docs");
    assert!(
        docs.contains(&documentation()),
        "docs/operators/metrics.md does not hold this table:\n{}",
        documentation()
    );
}

/// Whoever counts something uses a family of the table.
#[test]
fn nothing_is_counted_outside_the_table() {
    fn walk(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                walk(&path, found)
            } else {
                found.push(path)
            }
        }
    }
    let mut files = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    let known: BTreeSet<&str> = FAMILIES.iter().map(|family| family.name).collect();
    let mut calls = 0;
    for file in files.iter().filter(|file| !file.ends_with("telemetry/exposition.rs")) {
        let text = std::fs::read_to_string(file).expect("text");
        for kind in ["metrics::counter!(", "metrics::gauge!(", "metrics::histogram!("] {
            for rest in text.split(kind).skip(1) {
                calls += 1;
                let argument = rest.split([',', ')']).next().unwrap_or("").trim();
                let named = argument.trim_matches('"');
                let ok = argument.starts_with("families::") || known.contains(named);
                assert!(ok, "{}: {argument} is not in the table", file.display());
            }
        }
    }
    assert!(calls > 8, "{calls} calls were found");
}
