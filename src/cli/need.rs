//! What a command needs before it runs: whether it only reads the store (then it makes none where there is none, and works on one
//! that takes no writes), and whether it takes a member on standard input.

use super::args::Command;
use super::bulk::BulkCommand;
use super::consent::ConsentCommand;
use super::exchange::ExchangeCommand;
use super::grant::GrantCommand;
use super::jobs::JobsCommand;
use super::link::LinkCommand;
use super::operator::OperatorCommand;
use super::partner::PartnerCommand;
use super::policy::PolicyCommand;
use super::review::ReviewCommand;
use crate::store::StoreNeed;

/// What a command opens the store for.
pub fn of(command: &Command) -> StoreNeed {
    let reads = match command {
        Command::Durability
        | Command::Alerts(_)
        | Command::Slo(_)
        | Command::Scorecard(_)
        | Command::Trace(_)
        | Command::Backup(_)
        | Command::Disclosures(_)
        | Command::Reconcile(_)
        | Command::Report(_)
        | Command::Records(_)
        | Command::Match(_)
        | Command::Identity(_) => true,
        Command::Audit(args) => args.reads(),
        Command::Evidence(args) => args.reads(),
        Command::Partner(args) => matches!(
            args.command,
            PartnerCommand::Show { .. } | PartnerCommand::List | PartnerCommand::Check { .. }
        ),
        Command::Policy(args) => matches!(
            args.command,
            PolicyCommand::List { .. }
                | PolicyCommand::Show { .. }
                | PolicyCommand::Rules { .. }
                | PolicyCommand::Diff { .. }
                | PolicyCommand::Acts { .. }
                | PolicyCommand::Replay { .. }
                | PolicyCommand::Compare { .. }
                | PolicyCommand::Survivorship { file: None, .. }
                | PolicyCommand::Shadow {
                    version: None,
                    stop: false,
                    ..
                }
        ),
        Command::Controls(args) => args.only_reads(),
        Command::Consent(args) => matches!(args.command, ConsentCommand::List { .. } | ConsentCommand::Show { .. }),
        Command::Grant(args) => matches!(args.command, GrantCommand::List { .. }),
        Command::Review(args) => matches!(args.command, ReviewCommand::List { .. } | ReviewCommand::Show { .. }),
        Command::Jobs(args) => matches!(args.command, JobsCommand::List { .. }),
        Command::Bulk(args) => matches!(args.command, BulkCommand::List | BulkCommand::Show { .. }),
        Command::Exchange(args) => matches!(args.command, ExchangeCommand::List(_) | ExchangeCommand::Show { .. }),
        Command::Operator(args) => matches!(args.command, OperatorCommand::List),
        Command::Retention(args) => args.only_reads(),
        Command::Link(args) => matches!(args.command, LinkCommand::List { .. } | LinkCommand::Graph { .. }),
        _ => false,
    };
    if reads { StoreNeed::Read } else { StoreNeed::Write }
}

/// What a command was given as a member, where it takes a member; `-` asks for standard input.
pub fn member_of(command: &Command) -> Option<&str> {
    match command {
        Command::Disclosures(args) => Some(args.member.as_str()),
        Command::Audit(args) => args.member(),
        Command::Consent(args) => args.member(),
        Command::Grant(args) => args.member(),
        Command::Records(args) => args.member(),
        Command::Retention(args) => args.member(),
        Command::Exchange(args) => match &args.command {
            ExchangeCommand::List(list) => list.member.as_deref(),
            _ => None,
        },
        Command::Link(args) => match &args.command {
            LinkCommand::List { member, .. } => member.as_deref(),
            _ => None,
        },
        _ => None,
    }
}
