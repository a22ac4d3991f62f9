//! `causeway evidence`: packets that were asked for, and the cases that group what packets are about.

use super::asker::{CommandAsker, by};
use super::audit_packet::{PacketTarget, fetch, recipient_of};
use super::look::LookArgs;
use super::pages::{every_page, or_dash};
use super::short;
use crate::audit::Object;
use crate::context::Context;
use crate::error::Failure;
use crate::evidence::{asks, cases};
use crate::ops::packets::{self, CaseItem, PacketItem};
use crate::store::beginnings::IdKind;
use crate::terminal::{Exit, Out, ShortIds};
use clap::{Args, Subcommand};
use serde_json::json;
use std::path::{Path, PathBuf};

/// What the ledger says was looked at.
const WHAT: &str = "evidence";
/// Items of a page.
const PAGE: i64 = 200;

/// Arguments of `evidence`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Examples:\n  causeway evidence case open \"Complaint 7\" --reason \"a member asks who got the record\"\n  \
    causeway evidence case add \"Complaint 7\" EXCHANGE CORRELATION\n  causeway audit packet --case \"Complaint 7\" --reason \"an audit\" --out case.tar\n  \
    causeway evidence get PACKET --out packet.tar --reason \"an audit\"\n  \
    causeway evidence get PACKET --for auditor.pub --out packet.tar.p7m --reason \"an audit\""
)]
pub struct EvidenceArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: EvidenceCommand,
}

/// What to do with evidence.
#[derive(Subcommand, Clone, Debug)]
pub enum EvidenceCommand {
    /// Group exchanges and correlation ids into a case
    Case(CaseArgs),
    /// List the packets that were asked for, oldest first
    List,
    /// Write a packet that was made into a file, for one recipient alone if you give a public key
    #[command(
        after_help = "Examples:\n  causeway evidence get PACKET --out packet.tar --reason \"an audit\"\n  \
        causeway evidence get PACKET --for auditor.pub --out packet.tar.p7m --reason \"an audit\""
    )]
    Get {
        /// Id of the packet, or the beginning of it
        packet: String,
        /// Seal it by the public RSA key in this file, so that only the recipient opens it
        #[arg(long = "for", value_name = "FILE")]
        recipient: Option<PathBuf>,
        /// A file that is not there yet
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Why, and who.
        #[command(flatten)]
        look: LookArgs,
    },
}

/// Arguments of `evidence case`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Examples:\n  causeway evidence case open \"Complaint 7\" --reason \"a member asks who got the record\"\n  \
    causeway evidence case add \"Complaint 7\" ID\n  causeway evidence case close \"Complaint 7\" --reason \"answered\""
)]
pub struct CaseArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: CaseCommand,
}

/// What to do with a case.
#[derive(Subcommand, Clone, Debug)]
pub enum CaseCommand {
    /// Open a case
    Open {
        /// Its name, which no other case has; do not name a person
        name: String,
        /// Why; kept beside the ledger with your user id
        #[arg(long)]
        reason: String,
    },
    /// Add exchanges or correlation ids to an open case
    Add {
        /// Id or name of the case
        case: String,
        /// Ids of exchanges, or correlation ids
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
        /// Why; kept beside the ledger with your user id
        #[arg(long)]
        reason: Option<String>,
    },
    /// Close a case; it stays as it is from then on
    Close {
        /// Id or name of the case
        case: String,
        /// Why; kept beside the ledger with your user id
        #[arg(long)]
        reason: String,
    },
    /// List the cases, oldest first
    List,
    /// Show what a case has
    Show {
        /// Id or name of the case
        case: String,
    },
}

impl EvidenceArgs {
    /// Whether the command only reads.
    pub fn reads(&self) -> bool {
        match &self.command {
            EvidenceCommand::List | EvidenceCommand::Get { .. } => true,
            EvidenceCommand::Case(args) => matches!(args.command, CaseCommand::List | CaseCommand::Show { .. }),
        }
    }
}

/// Runs the command. Waits on this thread.
///
/// # Errors
/// Those of [`cases`] and of [`asks`]; those of the store.
pub fn run(
    args: &EvidenceArgs,
    ctx: &Context,
    cwd: &Path,
    asker: &CommandAsker,
    out: &mut Out,
) -> Result<Exit, Failure> {
    match &args.command {
        EvidenceCommand::Case(args) => case(&args.command, ctx, asker, out),
        EvidenceCommand::List => list(ctx, asker, out),
        EvidenceCommand::Get {
            packet,
            recipient,
            out: file,
            look,
        } => {
            let note = look.demanded(asker)?;
            let key = recipient.as_ref().map(|path| recipient_of(&cwd.join(path)));
            let target = PacketTarget {
                file: Some(cwd.join(file)),
                recipient: key.transpose()?,
            };
            let id = short::meant(ctx, IdKind::Packet, packet)?;
            let row = ctx.store.read_blocking(|db| asks::find(db, &id))?;
            fetch(ctx, asker, (row, note), &target, out)
        }
    }
}

fn list(ctx: &Context, asker: &CommandAsker, out: &mut Out) -> Result<Exit, Failure> {
    asker.show(ctx, WHAT, None)?;
    let items = every_page(|cursor| ctx.store.read_blocking(|db| packets::list(db, cursor.as_deref(), PAGE)))?;
    if out.json {
        out.value(&items);
        return Ok(Exit::Done);
    }
    let number = |number: Option<i64>| number.map(|number| number.to_string());
    let cells = |item: &PacketItem| {
        vec![
            item.id.clone(),
            item.asked_at.clone(),
            item.kind.clone(),
            or_dash(item.subject.as_deref().or(item.from.as_deref())),
            item.state.clone(),
            or_dash(number(item.entries).as_deref()),
            or_dash(number(item.bytes).as_deref()),
            or_dash(item.fault.as_deref()),
        ]
    };
    let rows: Vec<Vec<String>> = items.iter().map(cells).collect();
    let header = ["PACKET", "ASKED", "KIND", "ABOUT", "STATE", "ENTRIES", "BYTES", "FAULT"];
    out.list(&header, &rows, &ShortIds::default(), "No packet was asked for.");
    Ok(Exit::Done)
}

fn case(command: &CaseCommand, ctx: &Context, asker: &CommandAsker, out: &mut Out) -> Result<Exit, Failure> {
    match command {
        CaseCommand::Open { name, reason } => {
            let opened = cases::open(ctx, name, by(ctx, asker, reason)?)?;
            let row = ctx.store.write_blocking(opened)?;
            say(&CaseItem::of(row), out);
        }
        CaseCommand::Add { case, ids, reason } => {
            let reason = reason.as_deref().unwrap_or("added by a command");
            let added = ctx
                .store
                .write_blocking(cases::add(ctx, case, ids, by(ctx, asker, reason)?))?;
            let shown = ctx.store.read_blocking(|db| packets::case(db, case))?;
            match out.json {
                true => out.value(&shown),
                false => out.line(&format!("added: {added}, there before: {}", ids.len() - added)),
            }
        }
        CaseCommand::Close { case, reason } => {
            let row = ctx
                .store
                .write_blocking(cases::close(ctx, case, by(ctx, asker, reason)?))?;
            say(&CaseItem::of(row), out);
        }
        CaseCommand::List => list_cases(ctx, asker, out)?,
        CaseCommand::Show { case } => show_case(ctx, case, asker, out)?,
    }
    Ok(Exit::Done)
}

fn say(item: &CaseItem, out: &mut Out) {
    match out.json {
        true => out.value(item),
        false => out.line(&format!("case {} ({}): {}", item.id, item.name, item.state)),
    }
}

fn list_cases(ctx: &Context, asker: &CommandAsker, out: &mut Out) -> Result<(), Failure> {
    asker.show(ctx, WHAT, None)?;
    let items = every_page(|cursor| {
        ctx.store
            .read_blocking(|db| packets::cases(db, cursor.as_deref(), PAGE))
    })?;
    if out.json {
        out.value(&items);
        return Ok(());
    }
    let cells = |item: &CaseItem| {
        vec![
            item.id.clone(),
            item.name.clone(),
            item.state.to_owned(),
            item.opened_at.clone(),
            item.opened_by.clone(),
            or_dash(item.closed_at.as_deref()),
        ]
    };
    let rows: Vec<Vec<String>> = items.iter().map(cells).collect();
    let header = ["CASE", "NAME", "STATE", "OPENED", "BY", "CLOSED"];
    out.list(&header, &rows, &ShortIds::default(), "There are no cases.");
    Ok(())
}

fn show_case(ctx: &Context, case: &str, asker: &CommandAsker, out: &mut Out) -> Result<(), Failure> {
    let shown = ctx.store.read_blocking(|db| packets::case(db, case))?;
    let object = Object {
        kind: "EvidenceCase",
        id: shown.id.clone(),
    };
    asker.show(ctx, WHAT, Some(object))?;
    if out.json {
        out.value(&json!(shown));
        return Ok(());
    }
    say(&shown, out);
    let items = shown.items.iter().flatten();
    let rows: Vec<Vec<String>> = items
        .map(|item| {
            vec![
                item.kind.clone(),
                item.id.clone(),
                item.added_at.clone(),
                item.added_by.clone(),
            ]
        })
        .collect();
    out.list(
        &["KIND", "ID", "ADDED", "BY"],
        &rows,
        &ShortIds::default(),
        "The case has nothing yet.",
    );
    Ok(())
}
