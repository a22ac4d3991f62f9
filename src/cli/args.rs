//! The command line as types.

use super::global::Common;
use clap::{Parser, Subcommand};

/// FHIR R4 server for payer-to-payer exchange.
#[derive(Debug, Parser)]
#[command(
    name = "causeway",
    version,
    arg_required_else_help = true,
    after_help = "Try it: causeway demo"
)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub common: Common,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run two payers on this machine, and explain an exchange step by step
    Demo(super::demo::DemoArgs),
    /// Run the server
    Serve(super::serve::ServeArgs),
    /// Run only the background work of a PostgreSQL store (serve does it too, unless --no-worker)
    Worker(super::worker::WorkerArgs),
    /// Ask other payers for members' records: start exchanges, look at them, act on them
    Exchange(super::exchange::ExchangeArgs),
    /// Show what needs somebody's attention, and what to do: 0 quiet, 1 an alert is raised
    Alerts(super::alerts::AlertsArgs),
    /// Show what was promised, how much may still be missed, and why it was missed: 0 kept, 1 at risk or breached
    Slo(super::slo::SloArgs),
    /// Show how a partner does in a week, a month or a quarter; without a partner, how this server does
    Scorecard(super::scorecard::ScorecardArgs),
    /// List background jobs, and let parked ones go on
    Jobs(super::jobs::JobsArgs),
    /// List, show and end the bulk jobs of partners
    Bulk(super::bulk::BulkArgs),
    /// Write our exchanges with a partner into a file, and compare such a file of the partner with what stands here
    Reconcile(super::reconcile::ReconcileArgs),
    /// Report a month: exchanges asked and answered, how they ended and how long they took, by partner
    Report(super::month::MonthArgs),
    /// Run another payer on this machine that answers, and misbehaves, as a script says
    SandboxPartner(super::sandbox_partner::SandboxPartnerArgs),
    /// Make synthetic members
    Synth(super::synth::SynthArgs),
    /// Load Bundles and NDJSON files, plain or gzipped
    Import(super::import::ImportArgs),
    /// List stored resources that are withheld, with the reasons
    Records(super::records::RecordsArgs),
    /// Register, show, suspend and check partners
    Partner(super::partner::PartnerArgs),
    /// List, compare, try, put in force and take back versions of policies
    Policy(super::policy::PolicyArgs),
    /// Make, list and revoke tokens for the operations side
    Operator(super::operator::OperatorArgs),
    /// Make a link with which somebody signs in to the console, the pages for operators
    Console(super::console::ConsoleArgs),
    /// Look at doubtful matches and decide them
    Review(super::review::ReviewArgs),
    /// Show and change identity links, from partners' numbers to our members
    Link(super::link::LinkArgs),
    /// Find match decisions and explain them
    Match(super::matches::MatchArgs),
    /// List, show and withdraw consents
    Consent(super::consent::ConsentArgs),
    /// List and end grants: which partner may read which member
    Grant(super::grant::GrantArgs),
    /// Show everything that happened under one id
    Trace(super::trace::TraceArgs),
    /// Show which partner got what of a member
    Disclosures(super::disclosures::DisclosuresArgs),
    /// Verify, prove and export the ledger
    Audit(super::audit::AuditArgs),
    /// Show how long what is kept, delete what is due, and hold what must stay
    Retention(super::retention::RetentionArgs),
    /// List the controls of a review, run them, and write a dated report
    Controls(super::controls::ControlsArgs),
    /// Group exchanges into cases, and fetch evidence packets
    Evidence(super::evidence::EvidenceArgs),
    /// Run a witness, which confirms the checkpoints of payers' ledgers
    Witness(super::witness::WitnessArgs),
    /// Copy a SQLite store into a folder while it is in use
    Backup(super::backup::BackupArgs),
    /// Put a backup into the place of a SQLite store, and say what is lost
    Restore(super::restore::RestoreArgs),
    /// Show the configuration in force
    Config(super::config::ConfigArgs),
    /// Migrate the store to this version of the program, or check whether that is needed
    Migrate(super::migrate::MigrateArgs),
    /// Show the durability settings that the store runs with
    Durability,
    /// List all faults: what happened, what to do, who does it
    Faults,
    /// Show what to do about a fault, a state or parked work: who owns it, the steps, whether a replay is safe
    Runbook(super::runbook::RunbookArgs),
    /// Show whether this build can kill itself at named points, which only tests use
    Failpoints(super::failpoints::FailpointsArgs),
    /// Show the states, moves, steps and retries of an exchange
    States(super::states::StatesArgs),
    /// Run the matcher over files: answer requests, link two files, or estimate a policy
    Identity(super::identity::IdentityArgs),
    /// Test any payer's server against the guides
    Conformance(super::conformance::ConformanceArgs),
    /// Measure this machine, as ratios to the rate of a static answer
    Bench(super::bench::BenchArgs),
    /// Print a script with which a shell completes commands and options
    Completions(super::completions::CompletionsArgs),
    /// Write a manual page for each command
    Man(super::manual::ManArgs),
}
