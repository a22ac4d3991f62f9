//! `causeway link`: the identity graph, from partners' numbers to our members.

use super::review::Hand;
use super::{Asker, Exit, Out, every_page};
use crate::context::Context;
use crate::error::Failure;
use crate::identity::graph::{Kind, SourceId};
use crate::ops::disclosures::known_partner;
use crate::ops::links::{self as shown, LinkFilter};
use crate::review;
use crate::review::links::{Deed, perform_blocking};
use crate::telemetry::Correlation;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

const EXAMPLES: &str = "Examples:\n  causeway link list --member PATIENT\n  causeway link graph PATIENT --json\n  \
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
    /// Links, without the numbers themselves
    List {
        /// Only links to this Patient
        #[arg(long)]
        member: Option<String>,
        /// Only links from this partner's numbers
        #[arg(long)]
        partner: Option<String>,
        /// Only links in this state
        #[arg(long, value_parser = ["candidate", "confirmed", "disputed", "superseded", "retired"])]
        state: Option<String>,
    },
    /// Everything on one member: links, steps, the surviving view, Patient.link and Linkage; shows personal data, and the ledger says so
    Graph {
        /// Id of its Patient
        patient: String,
    },
    /// This number is this member's
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
        hand: Hand,
    },
    /// The number is not in use any more
    Retire {
        /// Id of the link
        id: String,
        /// Who, and why
        #[command(flatten)]
        hand: Hand,
    },
    /// Take a step back: links and grants are as they were before it
    TakeBack {
        /// Id of the step; see `causeway link graph`
        step: String,
        /// Who, and why
        #[command(flatten)]
        hand: Hand,
    },
}

/// Runs the command. Waits on this thread.
///
/// # Errors
/// Those of the store and of the steps.
pub fn run(args: &LinkArgs, ctx: &Context, asker: &Asker, out: &mut Out) -> Result<Exit, Failure> {
    perform(&args.command, ctx, asker, out).map(|()| Exit::Done)
}

fn perform(command: &LinkCommand, ctx: &Context, asker: &Asker, out: &mut Out) -> Result<(), Failure> {
    match command {
        LinkCommand::List { member, partner, state } => {
            let filter = LinkFilter {
                member: member.clone(),
                partner: partner.clone(),
                state: state.clone(),
                cursor: None,
                limit: 200,
            };
            list(ctx, filter, out)
        }
        LinkCommand::Graph { patient } => {
            let correlation = Correlation::internal(ctx.ids.new_id(ctx.clock.now_ms()));
            review::viewed_blocking(ctx, "reviewer", &asker.name(), &correlation, Some(patient))?;
            let umb_system = ctx.payer.umb_system.clone();
            let item = ctx.store.read_blocking(|db| shown::graph(db, patient, &umb_system))?;
            if out.json {
                out.value(&item);
            } else {
                graph(&item, out);
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
            dealt(ctx, Deed::Make(from, member.clone()), hand, asker, out)
        }
        LinkCommand::Retire { id, hand } => dealt(ctx, Deed::Retire(id.clone()), hand, asker, out),
        LinkCommand::TakeBack { step, hand } => dealt(ctx, Deed::TakeBack(step.clone()), hand, asker, out),
    }
}

fn dealt(ctx: &Context, deed: Deed, hand: &Hand, asker: &Asker, out: &mut Out) -> Result<(), Failure> {
    let done = perform_blocking(ctx, deed, hand.by(ctx, asker))?;
    if out.json {
        out.value(&json!({"step": done.id, "grants": done.grants}));
    }
    out.note(&format!("step {}; {} grants changed", done.id, done.grants));
    Ok(())
}

fn list(ctx: &Context, filter: LinkFilter, out: &mut Out) -> Result<(), Failure> {
    ctx.store
        .read_blocking(|db| known_partner(db, filter.partner.as_deref()))?;
    let items = every_page(|cursor| {
        let filter = LinkFilter {
            cursor,
            ..filter.clone()
        };
        ctx.store.read_blocking(move |db| shown::list(db, &filter, false))
    })?;
    if out.json {
        out.value(&items.into());
        return Ok(());
    }
    links(&items, out);
    Ok(())
}

/// Links as a table; the number too where it is shown.
fn links(items: &[Value], out: &mut Out) {
    let numbers = items.iter().any(|item| item["value"].is_string());
    let cells = |item: &Value| {
        let mut cells = vec![
            text(&item["id"]),
            text(&item["state"]),
            text(&item["source"]),
            text(&item["kind"]),
            text(&item["patient_id"]),
            text(&item["origin"]),
            item["confidence"].to_string(),
            text(&item["effective_from"]),
            text(&item["effective_until"]),
        ];
        if numbers {
            cells.push(text(&item["value"]));
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
    out.table(&header, &items.iter().map(cells).collect::<Vec<_>>());
}

/// Everything on one member, for people; `Patient.link` as the records it names, and `Linkage` is for machines.
fn graph(item: &Value, out: &mut Out) {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    out.line(&format!("Patient/{}", text(&item["patient_id"])));
    for other in list(&item["patient_link"]) {
        out.line(&format!("the same person: {}", text(&other["other"]["reference"])));
    }
    out.line("");
    links(&list(&item["links"]), out);
    out.line("");
    let step = |step: &Value| {
        let changes: Vec<String> = list(&step["changes"])
            .iter()
            .map(|change| {
                format!(
                    "{}: {} to {}",
                    text(&change["link"]),
                    text(&change["from"]),
                    text(&change["to"])
                )
            })
            .collect();
        vec![
            text(&step["id"]),
            text(&step["at"]),
            text(&step["event"]),
            text(&step["operator"]),
            text(&step["reason"]),
            text(&step["undoes"]),
            changes.join("; "),
        ]
    };
    let header = ["STEP", "AT", "EVENT", "OPERATOR", "REASON", "UNDOES", "CHANGES"];
    out.table(&header, &list(&item["steps"]).iter().map(step).collect::<Vec<_>>());
    out.line("");
    let attribute = |one: &Value| {
        vec![
            text(&one["attribute"]),
            text(&one["value"]),
            text(&one["origin"]),
            text(&one["as_of"]),
            one["agree"].to_string(),
            one["differ"].to_string(),
        ]
    };
    let header = ["ATTRIBUTE", "SURVIVES", "FROM", "AS OF", "AGREE", "DIFFER"];
    let rows: Vec<Vec<String>> = list(&item["view"]["attributes"]).iter().map(attribute).collect();
    out.table(&header, &rows);
}

fn text(value: &Value) -> String {
    match value.as_str() {
        Some("") | None => "-".to_owned(),
        Some(text) => text.to_owned(),
    }
}
