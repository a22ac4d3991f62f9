//! The question at a terminal: why somebody looks, before a command that shows values of a person or takes evidence away.
//!
//! It asks the person who gave the command, never the server that may run it, and leaves a reason that was given as it is.

use super::args::Command;
use super::audit::AuditCommand;
use super::evidence::EvidenceCommand;
use super::exchange::ExchangeCommand;
use super::link::LinkCommand;
use super::look::LookArgs;
use super::review::ReviewCommand;
use crate::error::{Failure, Fault};
use std::io::{BufRead, IsTerminal as _, Read as _, Write};

/// Bytes of an answer at the terminal that are read.
const ANSWER_BYTES: u64 = 4_096;

/// The reason that a command needs, where it shows values of a person or takes evidence away.
fn needed(command: &mut Command) -> Option<&mut LookArgs> {
    match command {
        Command::Review(args) => match &mut args.command {
            ReviewCommand::Show { look, .. } => Some(look),
            _ => None,
        },
        Command::Link(args) => match &mut args.command {
            LinkCommand::Graph { look, .. } => Some(look),
            _ => None,
        },
        Command::Audit(args) => match &mut args.command {
            AuditCommand::Packet(packet) => Some(&mut packet.look),
            _ => None,
        },
        Command::Evidence(args) => match &mut args.command {
            EvidenceCommand::Get { look, .. } => Some(look),
            _ => None,
        },
        Command::Exchange(args) => match &mut args.command {
            ExchangeCommand::Show {
                received,
                quarantine,
                look,
                ..
            } => (*received || *quarantine).then_some(look),
            _ => None,
        },
        _ => None,
    }
}

/// Asks for the reason where the command needs one and has none, if somebody is there to answer. Returns the arguments that say it, for the
/// server that may run the command.
///
/// # Errors
/// [`Fault::InputUnreadable`].
pub fn ask(command: &mut Command) -> Result<Vec<String>, Failure> {
    let is_answered = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    match needed(command) {
        Some(look) if is_answered => ask_on(look, &mut std::io::stdin().lock(), &mut std::io::stderr()),
        _ => Ok(Vec::new()),
    }
}

fn ask_on(look: &mut LookArgs, input: &mut impl BufRead, terminal: &mut impl Write) -> Result<Vec<String>, Failure> {
    if look.reason.is_some() {
        return Ok(Vec::new());
    }
    let unreadable = |error: std::io::Error| Failure::new(Fault::InputUnreadable).at("--reason").because(error);
    write!(terminal, "Why do you look? The ledger keeps it: ").map_err(unreadable)?;
    terminal.flush().map_err(unreadable)?;
    let mut answer = String::new();
    input.take(ANSWER_BYTES).read_line(&mut answer).map_err(unreadable)?;
    let answer = answer.trim();
    if answer.is_empty() {
        return Ok(Vec::new());
    }
    look.reason = Some(answer.to_owned());
    Ok(vec![format!("--reason={answer}")])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::Parser as _;

    fn command(line: &str) -> Command {
        let cli = Cli::try_parse_from(line.split(' ')).expect("a command");
        cli.command
    }

    #[test]
    fn commands_that_show_values_of_a_person_need_a_reason_and_no_others_do() {
        for (line, is_needed) in [
            ("causeway review show 01a2", true),
            ("causeway link graph p1", true),
            ("causeway exchange show 01a2 --received", true),
            ("causeway exchange show 01a2 --quarantine", true),
            ("causeway audit packet 01a2", true),
            ("causeway evidence get 01a2 --out packet.tar", true),
            ("causeway evidence list", false),
            ("causeway exchange show 01a2", false),
            ("causeway review list", false),
            ("causeway link list", false),
            ("causeway grant list", false),
            ("causeway consent list", false),
            ("causeway disclosures --member p1", false),
            ("causeway match list", false),
        ] {
            assert_eq!(needed(&mut command(line)).is_some(), is_needed, "{line}");
        }
    }

    #[test]
    fn the_answer_at_the_terminal_is_the_reason_and_goes_to_the_server_too() {
        let mut look = LookArgs::default();
        let mut shown = Vec::new();
        let more = ask_on(&mut look, &mut "  the member called \n".as_bytes(), &mut shown).expect("an answer");
        assert_eq!(look.reason.as_deref(), Some("the member called"));
        assert_eq!(more, ["--reason=the member called"]);
        assert!(String::from_utf8_lossy(&shown).starts_with("Why do you look?"));

        // Who gave a reason is not asked, and who gives none has none.
        let mut silent = Vec::new();
        let again = ask_on(&mut look, &mut "other\n".as_bytes(), &mut silent).expect("nothing");
        assert_eq!((again.len(), silent.len()), (0, 0));
        for nothing in ["", "\n", "   \n"] {
            let mut look = LookArgs::default();
            let more = ask_on(&mut look, &mut nothing.as_bytes(), &mut Vec::new()).expect("nothing");
            assert_eq!((more.len(), look.reason), (0, None), "{nothing:?}");
        }
    }
}
