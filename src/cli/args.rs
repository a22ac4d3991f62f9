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
    /// Two payers on this machine, an exchange explained step by step
    Demo(super::demo::DemoArgs),
    /// The server
    Serve(super::serve::ServeArgs),
    /// Only the background work of a PostgreSQL store (serve includes it unless --no-worker)
    Worker(super::worker::WorkerArgs),
    /// Asking other payers for members' records: start, look, act
    Exchange(super::exchange::ExchangeArgs),
    /// Background jobs: what waits, what is parked, and letting it go on
    Jobs(super::jobs::JobsArgs),
    /// Another payer on this machine that answers, and misbehaves, by a script
    SandboxPartner(super::sandbox_partner::SandboxPartnerArgs),
    /// Make synthetic members
    Synth(super::synth::SynthArgs),
    /// Load Bundles, NDJSON and .gz of these
    Import(super::import::ImportArgs),
    /// What is stored and does not leave, and why
    Records(super::records::RecordsArgs),
    /// The registry of partners
    Partner(super::partner::PartnerArgs),
    /// Versions of the matching policy: list, compare, try and put in force
    Policy(super::policy::PolicyArgs),
    /// Tokens for the operations side
    Operator(super::operator::OperatorArgs),
    /// Doubtful matches: look at them and decide them
    Review(super::review::ReviewArgs),
    /// The identity graph: from partners' numbers to our members
    Link(super::link::LinkArgs),
    /// Why a match was decided as it was
    Match(super::matches::MatchArgs),
    /// Consents on record, and withdrawing one
    Consent(super::consent::ConsentArgs),
    /// What partners may read of whom, and ending one such grant
    Grant(super::grant::GrantArgs),
    /// All that happened under one id
    Trace(super::trace::TraceArgs),
    /// Who got what of a member
    Disclosures(super::disclosures::DisclosuresArgs),
    /// The configuration in force
    Config(super::config::ConfigArgs),
    /// Bring the store's schema up to this program, or say how it stands
    Migrate(super::migrate::MigrateArgs),
    /// What the store promises about acknowledged work, read back from it
    Durability,
    /// The table of faults
    Faults,
    /// The states, moves, steps and retries of an exchange
    States(super::states::StatesArgs),
    /// The matcher: answer a file of requests, link two files, or estimate a policy from what is there
    Identity(super::identity::IdentityArgs),
    /// Test any payer's server against the guides
    Conformance(super::conformance::ConformanceArgs),
    /// Measure this machine as ratios against a static answer
    Bench(super::bench::BenchArgs),
    /// Print a script by which a shell completes commands and options
    Completions(super::completions::CompletionsArgs),
    /// Write a manual page for each command
    Man(super::manual::ManArgs),
}
