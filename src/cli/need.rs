//! Which commands only read the store: they make none where there is none, and work on one that takes no writes.

use super::Command;
use super::consent::ConsentCommand;
use super::grant::GrantCommand;
use super::link::LinkCommand;
use super::partner::PartnerCommand;
use super::policy::PolicyCommand;
use super::review::ReviewCommand;
use crate::store::Need;

/// What a command opens the store for.
pub fn of(command: &Command) -> Need {
    let reads = match command {
        Command::Durability
        | Command::Trace(_)
        | Command::Disclosures(_)
        | Command::Records(_)
        | Command::Match(_)
        | Command::Identity(_) => true,
        Command::Partner(args) => matches!(
            args.command,
            PartnerCommand::Show { .. } | PartnerCommand::List | PartnerCommand::Check { .. }
        ),
        Command::Policy(args) => matches!(
            args.command,
            PolicyCommand::List
                | PolicyCommand::Show { .. }
                | PolicyCommand::Rules { .. }
                | PolicyCommand::Diff { .. }
                | PolicyCommand::Survivorship { file: None, .. }
                | PolicyCommand::Shadow {
                    version: None,
                    stop: false,
                    ..
                }
        ),
        Command::Consent(args) => matches!(args.command, ConsentCommand::List { .. } | ConsentCommand::Show { .. }),
        Command::Grant(args) => matches!(args.command, GrantCommand::List { .. }),
        Command::Review(args) => matches!(args.command, ReviewCommand::List { .. } | ReviewCommand::Show { .. }),
        Command::Link(args) => matches!(args.command, LinkCommand::List { .. } | LinkCommand::Graph { .. }),
        _ => false,
    };
    if reads { Need::Read } else { Need::Write }
}
