//! `causeway link`: the identity graph, from partners' numbers to our members.

use super::asker::CommandAsker;
use super::look::LookArgs;
use super::pages::every_page;
use super::review::OperatorHand;
use super::short;
use crate::audit::OperatorNote;
use crate::context::Context;
use crate::error::Failure;
use crate::identity::graph::{Kind, SourceId};
use crate::ops::disclosures::known_partner;
use crate::ops::links::{self as shown, LinkFilter, LinkItem, MemberGraph, StepItem, SurvivorItem};
use crate::ops::viewed;
use crate::review::links::{self, LinkAct};
use crate::store::beginnings::IdKind;
use crate::terminal::{Exit, Out, ShortIds};
use clap::{Args, Subcommand};
use serde_json::json;

const EXAMPLES: &str = "Examples:\n  causeway link list --member PATIENT\n  causeway link graph PATIENT --reason \"a complaint\"\n  \
    causeway link make --member PATIENT --system http://old-payer.example/identifiers/umb --value U-2 --operator ana \
    --reason \"the same person twice\"\n  causeway link take-back STEP --operator ana --reason \"wrong member\"";

/// Numbers that lead to members: look at them, make them, take them back.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct LinkArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: LinkCommand,
}

/// What to do with links.
#[derive(Subcommand, Clone, Debug)]
pub enum LinkCommand {
    /// List links, without the numbers themselves
    List {
        /// Only links to this member: `Patient/ID`, an id, or - for a member number on standard input
        #[arg(long)]
        member: Option<String>,
        /// Only links from this partner's numbers
        #[arg(long)]
        partner: Option<String>,
        /// Only links in this state
        #[arg(long, value_parser = ["candidate", "confirmed", "disputed", "superseded", "retired"])]
        state: Option<String>,
        /// Why, and who
        #[command(flatten)]
        look: LookArgs,
    },
    /// Show a member's links, steps, surviving values, Patient.link and Linkage. Shows personal data, and so needs a reason, which the ledger
    /// records
    #[command(after_help = "Example:\n  causeway link graph PATIENT --reason \"a complaint\" --json")]
    Graph {
        /// Id of its Patient
        patient: String,
        /// Why, and who
        #[command(flatten)]
        look: LookArgs,
    },
    /// Link a number to a member
    Make {
        /// Id of the Patient
        #[arg(long)]
        member: String,
        /// Id of the partner that uses the number; leave it out for a number of our own, such as the UMB of a second record
        #[arg(long, default_value = "")]
        partner: String,
        /// System of the number
        #[arg(long)]
        system: String,
        /// The number
        #[arg(long)]
        value: String,
        /// Whether it stands for a person or a household
        #[arg(long, default_value = "member", value_parser = ["member", "subscriber"])]
        kind: String,
        /// Who, and why
        #[command(flatten)]
        hand: OperatorHand,
    },
    /// Retire a link: its number is no longer in use
    Retire {
        /// Id of the link, or the beginning of it
        id: String,
        /// Who, and why
        #[command(flatten)]
        hand: OperatorHand,
    },
    /// Undo a step: links and grants are again as they were before it
    TakeBack {
        /// Id of the step, or the beginning of it; see `causeway link graph`
        step: String,
        /// Who, and why
        #[command(flatten)]
        hand: OperatorHand,
    },
}

/// Runs the command. Waits on this thread.
///
/// # Errors
/// Those of the store and of the steps.
pub fn run(args: &LinkArgs, ctx: &Context, asker: &CommandAsker, out: &mut Out) -> Result<Exit, Failure> {
    perform(&args.command, ctx, asker, out).map(|()| Exit::Done)
}

fn perform(command: &LinkCommand, ctx: &Context, asker: &CommandAsker, out: &mut Out) -> Result<(), Failure> {
    match command {
        LinkCommand::List {
            member,
            partner,
            state,
            look,
        } => {
            let asked = asker.asked(member.as_deref(), None)?;
            let filter = LinkFilter {
                member: ctx.store.read_blocking(|db| asked.patient(db, &ctx.payer))?,
                partner: partner.clone(),
                state: state.clone(),
                cursor: None,
                limit: 200,
            };
            list(ctx, filter, look.note(asker)?, asker, out)
        }
        LinkCommand::Graph { patient, look } => {
            asker.show_review(ctx, look.demanded(asker)?, Some(viewed::patient(patient)))?;
            let umb_system = ctx.payer.umb_system.clone();
            let item = ctx
                .store
                .read_blocking(|db| shown::graph(db, patient, &umb_system, ctx.clock.now_ms()))?;
            if out.json {
                out.value(&item);
            } else {
                graph(ctx, &item, out)?;
            }
            Ok(())
        }
        LinkCommand::Make {
            member,
            partner,
            system,
            value,
            kind,
            hand,
        } => {
            let from = SourceId {
                source: partner.clone(),
                kind: Kind::parse(kind).unwrap_or(Kind::Member),
                system: system.trim().to_owned(),
                value: value.trim().to_owned(),
            };
            dealt(ctx, LinkAct::Make(from, member.clone()), hand, asker, out)
        }
        LinkCommand::Retire { id, hand } => {
            let id = short::meant(ctx, IdKind::Link, id)?;
            dealt(ctx, LinkAct::Retire(id), hand, asker, out)
        }
        LinkCommand::TakeBack { step, hand } => {
            let step = short::meant(ctx, IdKind::LinkStep, step)?;
            dealt(ctx, LinkAct::TakeBack(step), hand, asker, out)
        }
    }
}

fn dealt(
    ctx: &Context,
    deed: LinkAct,
    hand: &OperatorHand,
    asker: &CommandAsker,
    out: &mut Out,
) -> Result<(), Failure> {
    let done = ctx
        .store
        .write_blocking(links::perform(ctx, deed, hand.by(ctx, asker))?)?;
    if out.json {
        out.value(&json!({"step": done.id, "grants": done.grants}));
    }
    out.note(&format!("step {}; {} grants changed", done.id, done.grants));
    Ok(())
}

fn list(
    ctx: &Context,
    filter: LinkFilter,
    by: OperatorNote,
    asker: &CommandAsker,
    out: &mut Out,
) -> Result<(), Failure> {
    ctx.store
        .read_blocking(|db| known_partner(db, filter.partner.as_deref()))?;
    asker.show_review(ctx, by, filter.member.as_deref().map(viewed::patient))?;
    let items = every_page(|cursor| {
        let filter = LinkFilter {
            cursor,
            ..filter.clone()
        };
        ctx.store.read_blocking(move |db| shown::list(db, &filter, false))
    })?;
    if out.json {
        out.value(&items);
        return Ok(());
    }
    links(ctx, &items, out)
}

/// Links as a table; the number too where it is shown.
fn links(ctx: &Context, items: &[LinkItem], out: &mut Out) -> Result<(), Failure> {
    let numbers = items.iter().any(|item| item.value.is_some());
    let cells = |item: &LinkItem| {
        let mut cells = vec![
            text(&item.id),
            text(item.state),
            text(&item.source),
            text(item.kind),
            text(&item.patient_id),
            text(item.origin),
            format!("{:?}", item.confidence),
            text(&item.effective_from),
            optional(&item.effective_until),
        ];
        if numbers {
            cells.push(optional(&item.value));
        }
        cells
    };
    let mut header = vec![
        "LINK",
        "STATE",
        "SOURCE",
        "KIND",
        "PATIENT",
        "ORIGIN",
        "CONFIDENCE",
        "FROM",
        "UNTIL",
    ];
    if numbers {
        header.push("NUMBER");
    }
    let mut ids = ShortIds::default();
    short::add(
        &mut ids,
        (ctx, &*out),
        IdKind::Link,
        items.iter().map(|item| item.id.as_str()),
    )?;
    let rows: Vec<Vec<String>> = items.iter().map(cells).collect();
    out.list(&header, &rows, &ids, "There are no such links.");
    Ok(())
}

/// Everything on one member, for people; `Patient.link` as the records it names, and `Linkage` is for machines.
fn graph(ctx: &Context, item: &MemberGraph, out: &mut Out) -> Result<(), Failure> {
    out.line(&format!("Patient/{}", item.patient_id));
    for other in &item.patient_link {
        out.line(&format!("the same person: {}", other.other.reference));
    }
    out.line("");
    links(ctx, &item.links, out)?;
    out.line("");
    let step = |step: &StepItem| {
        let state = |state: Option<&'static str>| state.unwrap_or("-");
        let changes: Vec<String> = step
            .changes
            .iter()
            .map(|change| format!("{}: {} to {}", change.link, state(change.from), state(change.to)))
            .collect();
        vec![
            text(&step.id),
            text(&step.at),
            text(&step.event),
            optional(&step.operator),
            optional(&step.reason),
            optional(&step.undoes),
            changes.join("; "),
        ]
    };
    let header = ["STEP", "AT", "EVENT", "OPERATOR", "REASON", "UNDOES", "CHANGES"];
    let mut ids = ShortIds::default();
    short::add(
        &mut ids,
        (ctx, &*out),
        IdKind::LinkStep,
        item.steps.iter().map(|step| step.id.as_str()),
    )?;
    let changed = item.steps.iter().flat_map(|step| &step.changes);
    short::add(
        &mut ids,
        (ctx, &*out),
        IdKind::Link,
        changed.map(|change| change.link.as_str()),
    )?;
    let rows: Vec<Vec<String>> = item.steps.iter().map(step).collect();
    out.list(&header, &rows, &ids, "No step was taken.");
    out.line("");
    let attribute = |one: &SurvivorItem| {
        vec![
            text(one.attribute),
            text(&one.value),
            text(&one.origin),
            text(&one.as_of),
            one.agree.to_string(),
            one.differ.to_string(),
        ]
    };
    let header = ["ATTRIBUTE", "SURVIVES", "FROM", "AS OF", "AGREE", "DIFFER"];
    out.table(&header, &item.view.attributes.iter().map(attribute).collect::<Vec<_>>());
    Ok(())
}

fn text(text: &str) -> String {
    if text.is_empty() {
        "-".to_owned()
    } else {
        text.to_owned()
    }
}

fn optional(value: &Option<String>) -> String {
    text(value.as_deref().unwrap_or_default())
}
