//! `causeway grant`: what partners may read of whom, and ending one such grant.

use super::asker::{CommandAsker, HOST};
use super::look::LookArgs;
use super::pages::{every_page, or_dash};
use super::short;
use crate::consent::{self, WithdrawnBy};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::ids::is_fhir_id;
use crate::ops::View;
use crate::ops::disclosures::known_partner;
use crate::ops::grants::{self, GrantFilter, GrantItem};
use crate::ops::viewed::patient;
use crate::store::beginnings::IdKind;
use crate::telemetry::Correlation;
use crate::terminal::{Exit, Out, ShortIds};
use clap::{Args, Subcommand};

const EXAMPLES: &str = "Examples:\n  causeway grant list --partner new-payer\n  \
    causeway grant revoke ID --reason \"given by mistake\"";

/// Grants: who may read whom; look at them, end them.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct GrantArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: GrantCommand,
}

impl GrantArgs {
    /// What `--member` says.
    pub(super) fn member(&self) -> Option<&str> {
        match &self.command {
            GrantCommand::List { member, .. } => member.as_deref(),
            GrantCommand::Revoke { .. } => None,
        }
    }
}

/// What to do with grants.
#[derive(Subcommand, Clone, Debug)]
pub enum GrantCommand {
    /// List grants, live or ended, oldest first
    List {
        /// Only this partner's
        #[arg(long)]
        partner: Option<String>,
        /// Only those on this member: `Patient/ID`, an id, or - for a member number on standard input
        #[arg(long)]
        member: Option<String>,
        /// Why, and who
        #[command(flatten)]
        look: LookArgs,
    },
    /// End one grant; its consent stays on record, but grants nothing more
    #[command(after_help = EXAMPLES)]
    Revoke {
        /// Its id, or the beginning of it
        id: String,
        /// Why; kept beside the ledger with your user id
        #[arg(long)]
        reason: String,
    },
}

/// Runs the command. Waits on this thread.
///
/// # Errors
/// [`Fault::GrantUnknown`]; those of the store.
pub fn run(args: &GrantArgs, ctx: &Context, asker: &CommandAsker, out: &mut Out) -> Result<Exit, Failure> {
    match &args.command {
        GrantCommand::List { partner, member, look } => {
            let by = look.note(asker)?;
            let asked = asker.asked(member.as_deref(), partner.as_deref())?;
            let filter = ctx.store.read_blocking(|db| {
                Ok(GrantFilter {
                    partner: known_partner(db, asked.partner.as_deref())?,
                    member: asked.patient(db, &ctx.payer)?,
                    cursor: None,
                    limit: 200,
                })
            })?;
            asker.show_to(ctx, by, "grants", filter.member.as_deref().map(patient))?;
            let items = every_page(|cursor| {
                let filter = GrantFilter {
                    cursor,
                    ..filter.clone()
                };
                ctx.store.read_blocking(|db| grants::list(db, &filter, View::Full))
            })?;
            list(ctx, &items, out)?;
        }
        GrantCommand::Revoke { id, reason } => {
            if !is_fhir_id(id) {
                return Err(Fault::GrantUnknown.into());
            }
            let id = &short::meant(ctx, IdKind::Grant, id)?;
            let correlation = Correlation::internal(ctx.ids.new_id(ctx.clock.now_ms()));
            let by = WithdrawnBy::new(asker.name(), HOST, reason, correlation)?;
            ctx.store
                .reserved()
                .write_blocking(consent::end_grant(ctx, id.clone(), by))?;
            let item = ctx.store.read_blocking(|db| grants::one(db, id, View::Full))?;
            if out.json {
                out.value(&item);
            } else {
                out.line(&format!(
                    "grant {id} ended {} by {}",
                    or_dash(item.revoked_at.as_deref()),
                    or_dash(item.revoked_by.as_deref()),
                ));
            }
        }
    }
    Ok(Exit::Done)
}

fn list(ctx: &Context, items: &[GrantItem], out: &mut Out) -> Result<(), Failure> {
    if out.json {
        out.value(items);
        return Ok(());
    }
    let cells = |item: &GrantItem| {
        vec![
            item.id.clone(),
            item.created_at.clone(),
            item.partner.clone(),
            item.valid_until.clone(),
            or_dash(item.revoked_at.as_deref()),
            item.consent_id.clone(),
            or_dash(item.patient_id.as_deref()),
        ]
    };
    let rows: Vec<Vec<String>> = items.iter().map(cells).collect();
    let mut ids = ShortIds::default();
    short::add(
        &mut ids,
        (ctx, &*out),
        IdKind::Grant,
        items.iter().map(|item| item.id.as_str()),
    )?;
    let consents = items.iter().map(|item| item.consent_id.as_str());
    short::add(&mut ids, (ctx, &*out), IdKind::Consent, consents)?;
    let header = ["ID", "CREATED", "PARTNER", "UNTIL", "REVOKED", "CONSENT", "PATIENT"];
    out.list(&header, &rows, &ids, "There are no such grants.");
    Ok(())
}
