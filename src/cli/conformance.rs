//! `causeway conformance run`: the conformance runner against any payer's server.

use crate::clock::Clock;
use crate::error::{Failure, Fault};
use crate::ids::Ids;
use crate::terminal::{Exit, Out};
use causeway_conformance::report::{html, json as document, junit, table};
use causeway_conformance::{
    self as conformance, ClientSettings, ConformanceReport, Surroundings, TestVerdict, Unusable, catalog,
};
use clap::{Args, Subcommand};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Arguments of `conformance`.
#[derive(Args, Clone, Debug)]
pub struct ConformanceArgs {
    #[command(subcommand)]
    command: ConformanceCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum ConformanceCommand {
    /// Test a server and report; the exit code is 0 when no test failed
    Run(Box<RunArgs>),
}

#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Example: causeway conformance run --base-url https://localhost:8443/fhir --client causeway-data/demo/conformance.toml --suite pdex-2.2"
)]
struct RunArgs {
    /// FHIR base URL of the server
    #[arg(long, value_name = "URL", required_unless_present = "list")]
    base_url: Option<String>,
    /// The client file: keys, certificates, bodies (conformance/README.md)
    #[arg(long, value_name = "FILE", required_unless_present = "list")]
    client: Option<PathBuf>,
    /// Only this suite, group or test, such as us-core-6.1.0 or '*/Patient/read'; repeatable
    #[arg(long, value_name = "ID")]
    suite: Vec<String>,
    /// Write a JUnit XML report
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write an HTML report
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// List the tests instead of running them
    #[arg(long)]
    list: bool,
}

/// Runs or lists the tests.
///
/// # Errors
/// [`Fault::ConfigInvalid`] for a suite that is not there and for settings that cannot be used; [`Fault::InputUnreadable`].
pub fn run(args: &ConformanceArgs, cwd: &Path, out: &mut Out) -> Result<Exit, Failure> {
    let ConformanceCommand::Run(args) = &args.command;
    let mut tests = catalog::all();
    for pattern in &args.suite {
        if !tests.iter().any(|test| test.fits(pattern)) {
            return Err(Failure::new(Fault::ConfigInvalid)
                .at("--suite")
                .remedy("Name a suite, a group or a test of `causeway conformance run --list`."));
        }
    }
    tests.retain(|test| args.suite.is_empty() || args.suite.iter().any(|pattern| test.fits(pattern)));
    if args.list {
        list(&tests, out);
        return Ok(Exit::Done);
    }
    let (Some(base_url), Some(client)) = (&args.base_url, &args.client) else {
        return Err(Failure::new(Fault::ConfigInvalid).at("--base-url"));
    };
    let settings = ClientSettings::read(&cwd.join(client)).map_err(unusable)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Fault::Internal).because(error))?;
    let mut progress = |one: &conformance::Tested| {
        if one.verdict.is_bad() {
            out.note(&format!("{:<5} {}", one.verdict.word(), one.test.id));
        }
    };
    let report = runtime.block_on(conformance::run(
        base_url,
        settings,
        &tests,
        surroundings(),
        &mut progress,
    ));
    let report = report.map_err(unusable)?;
    for (path, text) in [
        (&args.junit, junit::document as fn(&ConformanceReport) -> String),
        (&args.html, html::page as fn(&ConformanceReport) -> String),
    ] {
        if let Some(path) = path {
            std::fs::write(cwd.join(path), text(&report)).map_err(|error| {
                Failure::new(Fault::InputUnreadable)
                    .at(path.display().to_string())
                    .because(error)
            })?;
        }
    }
    if out.json {
        out.value(&document::document(&report));
    } else {
        tell(&report, out);
    }
    Ok(if report.is_good() { Exit::Done } else { Exit::Failed })
}

fn surroundings() -> Surroundings {
    let ids = Ids::random();
    Surroundings {
        now_ms: Arc::new(|| Clock::System.now_ms()),
        new_id: Arc::new(move || ids.new_id(Clock::System.now_ms())),
        poll_second: Duration::from_secs(1),
    }
}

fn unusable(why: Unusable) -> Failure {
    match why {
        Unusable::Unreadable { file, cause } => Failure::new(Fault::InputUnreadable).at(file).because(cause),
        Unusable::Invalid(cause) => Failure::new(Fault::ConfigInvalid)
            .at("--client")
            .remedy("Correct the client file; conformance/README.md shows one.")
            .because(cause),
    }
}

fn tell(report: &ConformanceReport, out: &mut Out) {
    let rows = table::rows(report);
    if !rows.is_empty() {
        out.table(&table::HEADER, &rows);
        out.line("");
    }
    for line in table::summary(report) {
        out.line(&line);
    }
    let failed = report
        .tested
        .iter()
        .filter(|one| matches!(one.verdict, TestVerdict::Fail(_)));
    if failed.count() > 0 {
        out.note("--html FILE writes what was exchanged in the tests that failed.");
    }
}

fn list(tests: &[catalog::Test], out: &mut Out) {
    if out.json {
        let tests: Vec<_> = tests
            .iter()
            .map(|test| json!({"id": test.id, "title": test.title, "requirement": test.requirement}))
            .collect();
        out.value(&json!({ "tests": tests }));
        return;
    }
    let rows: Vec<Vec<String>> = tests
        .iter()
        .map(|test| vec![test.id.clone(), test.requirement.to_owned(), test.title.clone()])
        .collect();
    out.table(&["test", "requirement", "what"], &rows);
}
