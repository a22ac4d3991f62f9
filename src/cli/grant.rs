//! `causeway grant`: what partners may read of whom, and ending one such grant.

use super::asker::HOST;
use super::{Asker, Exit, Out, every_page};
use crate::consent::{self, By};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::ids::is_fhir_id;
use crate::ops::disclosures::known_partner;
use crate::ops::viewed::patient;
use crate::ops::{self, GrantFilter, View, consents};
use crate::telemetry::Correlation;
use clap::{Args, Subcommand};
use serde_json::Value;

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
    /// Grants, live or not, oldest first
    List {
        /// Only this partner's
        #[arg(long)]
        partner: Option<String>,
        /// Only those on this member: `Patient/ID`, an id, or - for a member number on standard input
        #[arg(long)]
        member: Option<String>,
    },
    /// End one grant; the consent stays, but grants nothing any more
    #[command(after_help = EXAMPLES)]
    Revoke {
        /// Its id
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
pub fn run(args: &GrantArgs, ctx: &Context, asker: &Asker, out: &mut Out) -> Result<Exit, Failure> {
    match &args.command {
        GrantCommand::List { partner, member } => {
            let asked = asker.asked(member.as_deref(), partner.as_deref())?;
            let filter = ctx.store.read_blocking(|db| {
                Ok(GrantFilter {
                    partner: known_partner(db, asked.partner.as_deref())?,
                    member: asked.patient(db, &ctx.payer)?,
                    cursor: None,
                    limit: 200,
                })
            })?;
            asker.show(ctx, "grants", filter.member.as_deref().map(patient))?;
            let items = every_page(|cursor| {
                let filter = GrantFilter {
                    cursor,
                    ..filter.clone()
                };
                ctx.store.read_blocking(|db| ops::grants(db, &filter, View::Full))
            })?;
            list(items, out);
        }
        GrantCommand::Revoke { id, reason } => {
            if !is_fhir_id(id) {
                return Err(Fault::GrantUnknown.into());
            }
            let correlation = Correlation::internal(ctx.ids.new_id(ctx.clock.now_ms()));
            let by = By::new(asker.name(), HOST, reason, correlation)?;
            ctx.store
                .reserved()
                .write_blocking(consent::end_grant(ctx, id.clone(), by))?;
            let item = ctx.store.read_blocking(|db| consents::grant(db, id, View::Full))?;
            if out.json {
                out.value(&item);
            } else {
                out.line(&format!(
                    "grant {id} ended {} by {}",
                    item["revoked_at"].as_str().unwrap_or("-"),
                    item["revoked_by"].as_str().unwrap_or("-"),
                ));
            }
        }
    }
    Ok(Exit::Done)
}

fn list(items: Vec<Value>, out: &mut Out) {
    if out.json {
        out.value(&items.into());
        return;
    }
    let cells = |item: &Value| {
        [
            "id",
            "created_at",
            "partner",
            "valid_until",
            "revoked_at",
            "consent_id",
            "patient_id",
        ]
        .map(|key| item[key].as_str().unwrap_or("-").to_owned())
        .to_vec()
    };
    let rows: Vec<Vec<String>> = items.iter().map(cells).collect();
    out.table(
        &["ID", "CREATED", "PARTNER", "UNTIL", "REVOKED", "CONSENT", "PATIENT"],
        &rows,
    );
}
