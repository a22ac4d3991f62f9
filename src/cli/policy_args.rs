//! The arguments of `causeway policy`.

use crate::ops::policy_replay;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// The names of the kinds.
pub(super) const KIND_NAMES: [&str; 10] = [
    "matching",
    "survivorship",
    "release",
    "consent",
    "retry",
    "escalation",
    "retention",
    "error-texts",
    "dialects",
    "slo",
];

/// List, show, compare, try and put in force versions of policies.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  causeway policy list
  causeway policy diff balanced
  causeway policy import trained.policy --name trained-2026-11 --point safe --reason 'trained on our roster'
  causeway policy shadow trained-2026-11 --reason 'before it decides'
  causeway policy compare trained-2026-11 --partner new-payer
  causeway policy activate trained-2026-11 --partner new-payer --reason 'first for one partner'
  causeway policy activate trained-2026-11 --at 2026-12-01T06:00:00Z --reason 'no risky difference in a week'
  causeway policy rollback matching --reason 'more reviews than we can decide'
  causeway policy replay DECISION --version balanced")]
pub struct PolicyArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: PolicyCommand,
}

/// Who does it, and why.
#[derive(Args, Clone, Debug)]
pub struct PolicyReason {
    /// Why; kept with the ledger entry
    #[arg(long)]
    pub reason: String,
    /// Who decides this: an operator id, not a name; your user id on this host by default
    #[arg(long)]
    pub operator: Option<String>,
}

/// What to do with policies. A version is named by its id, six of its first characters or more, its name, or what decisions cite.
#[derive(Subcommand, Clone, Debug)]
pub enum PolicyCommand {
    /// List all versions, and which are in force
    List {
        /// Only versions of this kind
        #[arg(long, value_parser = KIND_NAMES)]
        kind: Option<String>,
    },
    /// Show a version and its text; the matching policy in force by default
    Show {
        /// The version.
        version: Option<String>,
        /// Its kind, when versions of several kinds have that name; alone: the one in force of this kind
        #[arg(long, value_parser = KIND_NAMES)]
        kind: Option<String>,
    },
    /// Show the deterministic rules of a version, the risk of each in this roster, and whether it decides
    Rules {
        /// The version; the one in force by default.
        version: Option<String>,
    },
    /// Show what differs between two versions.
    #[command(after_help = "Examples:\n  causeway policy diff balanced\n  causeway policy diff patient --kind retry")]
    Diff {
        /// The version to compare.
        version: String,
        /// The version to compare it with; the one in force by default.
        other: Option<String>,
        /// The kind of both
        #[arg(long, value_parser = KIND_NAMES)]
        kind: Option<String>,
    },
    /// Add a version from a file
    #[command(
        after_help = "Examples:\n  causeway policy import trained.policy --name trained-2026-11 --point safe --reason 'trained on our roster'\n  \
            causeway policy show --kind retry > retry.txt\n  causeway policy import retry.txt --kind retry --name patient --reason 'a slow partner'"
    )]
    Import {
        /// The text of the policy.
        file: PathBuf,
        /// A name for people.
        #[arg(long)]
        name: String,
        /// What it rules
        #[arg(long, value_parser = KIND_NAMES, default_value = "matching")]
        kind: String,
        /// Its operating point, if the text of a matching policy names none.
        #[arg(long, value_parser = ["safe", "balanced"])]
        point: Option<String>,
        /// Who and why.
        #[command(flatten)]
        why: PolicyReason,
    },
    /// Put a version in force: for everyone, or for named partners first
    #[command(
        after_help = "Examples:\n  causeway policy activate safe --reason 'back to the version that ships'\n  \
            causeway policy activate patient --kind retry --partner new-payer --reason 'first for one partner'\n  \
            causeway policy activate patient --kind retry --at 2h --reason 'after the partner has moved'"
    )]
    Activate {
        /// The version.
        version: String,
        /// Its kind, when versions of several kinds have that name
        #[arg(long, value_parser = KIND_NAMES)]
        kind: Option<String>,
        /// Only for this partner; may be given several times
        #[arg(long = "partner", value_name = "PARTNER")]
        partners: Vec<String>,
        /// From when on: an instant such as 2026-12-01T06:00:00Z, or a time from now such as 2h; at once by default
        #[arg(long, value_name = "TIME")]
        at: Option<String>,
        /// Who and why.
        #[command(flatten)]
        why: PolicyReason,
    },
    /// Approve an act of another operator (`policy.four_eyes`)
    Approve {
        /// The act; see `causeway policy acts`
        act: String,
        /// Who and why.
        #[command(flatten)]
        why: PolicyReason,
    },
    /// Withdraw an act that waits or is scheduled
    Withdraw {
        /// The act; see `causeway policy acts`
        act: String,
        /// Who and why.
        #[command(flatten)]
        why: PolicyReason,
    },
    /// Go back to the version that decided before
    #[command(
        after_help = "Example:\n  causeway policy rollback retry --partner new-payer --reason 'it asks too often'"
    )]
    Rollback {
        /// The kind
        #[arg(value_parser = KIND_NAMES)]
        kind: String,
        /// Only for this partner; may be given several times
        #[arg(long = "partner", value_name = "PARTNER")]
        partners: Vec<String>,
        /// Who and why.
        #[command(flatten)]
        why: PolicyReason,
    },
    /// List who put which version in force, for whom and when
    Acts {
        /// Only acts on this kind
        #[arg(long, value_parser = KIND_NAMES)]
        kind: Option<String>,
    },
    /// Tell what a version would have decided for a decision or an exchange, from its record
    #[command(
        after_help = "Examples:\n  causeway policy replay DECISION --version balanced\n  causeway policy replay EXCHANGE --version patient --kind retry"
    )]
    Replay {
        /// Id of a decision or of an exchange, or the beginning of it
        id: String,
        /// The version
        #[arg(long)]
        version: String,
        /// Its kind, when versions of several kinds have that name
        #[arg(long, value_parser = KIND_NAMES)]
        kind: Option<String>,
    },
    /// Tell how often a version would have decided differently, over the newest decisions or exchanges
    #[command(after_help = "Example:\n  causeway policy compare balanced --partner new-payer --last 100")]
    Compare {
        /// The version.
        version: String,
        /// Its kind, when versions of several kinds have that name
        #[arg(long, value_parser = KIND_NAMES)]
        kind: Option<String>,
        /// Only with this partner
        #[arg(long)]
        partner: Option<String>,
        /// How many decisions are compared
        #[arg(long, default_value_t = policy_replay::COMPARED_MOST, value_parser = clap::value_parser!(i64).range(1..=policy_replay::COMPARED_MOST))]
        last: i64,
    },
    /// Show which source's value is shown for each attribute of a person, or put another text in force
    #[command(
        after_help = "Examples:\n  causeway policy survivorship > survivorship.txt\n  causeway policy survivorship survivorship.txt --reason 'the newest address counts'"
    )]
    Survivorship {
        /// File with a text as this command prints it; without it the command prints the one in force.
        #[arg(requires = "reason")]
        file: Option<PathBuf>,
        /// Why; kept with the ledger entry.
        #[arg(long)]
        reason: Option<String>,
        /// Who decides this: an operator id, not a name; your user id on this host by default.
        #[arg(long)]
        operator: Option<String>,
    },
    /// Run a version beside the one in force, without consequences; without a version, show what the run has found.
    #[command(
        after_help = "Examples:\n  causeway policy shadow balanced --reason 'fewer reviews?'\n  causeway policy shadow\n  causeway policy shadow --stop --reason 'seen enough'"
    )]
    Shadow {
        /// The version to try.
        #[arg(conflicts_with = "stop", requires = "reason")]
        version: Option<String>,
        /// End the run.
        #[arg(long, requires = "reason")]
        stop: bool,
        /// Why; kept with the ledger entry.
        #[arg(long)]
        reason: Option<String>,
        /// Who decides this: an operator id, not a name; your user id on this host by default.
        #[arg(long)]
        operator: Option<String>,
    },
}
