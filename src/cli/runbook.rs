//! `causeway runbook`: what people do about a fault, a state, a kind of work or an alert.

use crate::error::{Failure, Fault, RunbookAbout};
use crate::ops::Whole;
use crate::runbook::{RunbookItem, find, list};
use crate::terminal::{Exit, Out};

/// Columns of the names beside which an entry is told.
const WIDTH: usize = 10;

/// Arguments of `runbook`.
#[derive(clap::Args, Clone, Debug)]
#[command(
    after_help = "Examples:\n  causeway runbook SV-002\n  causeway runbook phase.manual_review --json\n  causeway runbook --about work"
)]
pub struct RunbookArgs {
    /// Code of the entry, such as SV-002 or job.parked; without it, all entries are listed
    #[arg(conflicts_with = "about")]
    pub code: Option<String>,
    /// List only entries about this, such as fault, phase or work
    #[arg(long, value_name = "WHAT", value_parser = about)]
    pub about: Option<RunbookAbout>,
}

/// Prints one entry, or the list.
///
/// # Errors
/// [`Fault::ParameterInvalid`] for a code that the runbook does not have.
pub fn run(args: &RunbookArgs, out: &mut Out) -> Result<Exit, Failure> {
    match &args.code {
        Some(code) => {
            let item = find(code, Fault::ParameterInvalid).map_err(|failure| failure.at("CODE"))?;
            match out.json {
                true => out.value(&item),
                false => print(&item, out),
            }
        }
        None => {
            let items = list(args.about);
            match out.json {
                true => out.value(&Whole::from(items)),
                false => print_list(&items, out),
            }
        }
    }
    Ok(Exit::Done)
}

fn about(text: &str) -> Result<RunbookAbout, String> {
    RunbookAbout::parse(text).ok_or_else(|| {
        let known: Vec<&str> = RunbookAbout::ALL.iter().map(|one| one.code()).collect();
        format!("give one of {}", known.join(", "))
    })
}

fn print_list(items: &[RunbookItem], out: &mut Out) {
    let row = |item: &RunbookItem| {
        vec![
            item.code.clone(),
            item.owner.into(),
            item.act_within.into(),
            item.replay.into(),
            item.person.into(),
            item.contact.unwrap_or("-").into(),
            item.meaning.into(),
        ]
    };
    let rows: Vec<Vec<String>> = items.iter().map(row).collect();
    let header = ["CODE", "OWNER", "ACT", "REPLAY", "PERSON", "CONTACT", "WHAT"];
    out.table(&header, &rows);
}

fn print(item: &RunbookItem, out: &mut Out) {
    out.paragraph(&format!("{}: {}", item.code, item.meaning), 0);
    out.line("");
    out.named("owner", &format!("{}: {}", item.owner, item.owner_is), WIDTH);
    out.named("act", &format!("{}: {}", item.act_within, item.act_when), WIDTH);
    if let Some(remedy) = item.remedy {
        out.named("remedy", remedy, WIDTH);
    }
    out.named("replay", item.replay_when, WIDTH);
    out.named("person", item.person_when, WIDTH);
    out.named("escalate", item.escalation_when, WIDTH);
    if let (Some(contact), Some(for_what)) = (item.contact, item.contact_for) {
        out.named(
            "contact",
            &format!("the partner's {contact} contact. {for_what}"),
            WIDTH,
        );
    }
    out.line("");
    for (at, step) in item.steps.iter().enumerate() {
        let text = match &step.command {
            Some(command) => format!("{}. {command}", at + 1),
            None => format!("{}. {}", at + 1, step.text),
        };
        out.paragraph(&text, 3);
        if step.command.is_some() {
            out.paragraph(&format!("   {}", step.text), 3);
        }
    }
}
