//! `causeway consent`: the consents on record, and withdrawing one.

use super::asker::HOST;
use super::{Asker, Exit, Out, every_page};
use crate::audit::Object;
use crate::consent::{self, By};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::ids::is_fhir_id;
use crate::ops::View;
use crate::ops::consents::{self, ConsentFilter};
use crate::ops::disclosures::known_partner;
use crate::ops::viewed::patient;
use crate::telemetry::Correlation;
use clap::{Args, Subcommand};
use serde_json::Value;

const EXAMPLES: &str = "Examples:\n  causeway consent list --member Patient/p1\n  \
    causeway consent revoke ID --reason \"the member withdrew it by letter\"";

/// Consents on record: look at them, withdraw them.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct ConsentArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: ConsentCommand,
}

impl ConsentArgs {
    /// What `--member` says.
    pub(super) fn member(&self) -> Option<&str> {
        match &self.command {
            ConsentCommand::List { member, .. } => member.as_deref(),
            _ => None,
        }
    }
}

/// What to do with consents.
#[derive(Subcommand, Clone, Debug)]
pub enum ConsentCommand {
    /// Consents on record, oldest first
    List {
        /// Only those that this partner brought
        #[arg(long)]
        partner: Option<String>,
        /// Only those about this member: `Patient/ID`, an id, or - for a member number on standard input
        #[arg(long)]
        member: Option<String>,
    },
    /// One consent, with the grants under it
    Show {
        /// Its id
        id: String,
    },
    /// Withdraw a consent: all grants under it end within a second, running answers too
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
/// [`Fault::ConsentUnknown`]; those of the store.
pub fn run(args: &ConsentArgs, ctx: &Context, asker: &Asker, out: &mut Out) -> Result<Exit, Failure> {
    match &args.command {
        ConsentCommand::List { partner, member } => {
            let asked = asker.asked(member.as_deref(), partner.as_deref())?;
            let filter = ctx.store.read_blocking(|db| {
                Ok(ConsentFilter {
                    partner: known_partner(db, asked.partner.as_deref())?,
                    member: asked.patient(db, &ctx.payer)?,
                    cursor: None,
                    limit: 200,
                })
            })?;
            asker.show(ctx, "consents", filter.member.as_deref().map(patient))?;
            let now_ms = ctx.clock.now_ms();
            let items = every_page(|cursor| {
                let filter = ConsentFilter {
                    cursor,
                    ..filter.clone()
                };
                ctx.store
                    .read_blocking(|db| consents::list(db, &filter, View::Full, now_ms))
            })?;
            list(items, out);
        }
        ConsentCommand::Show { id } => {
            let object = Object {
                kind: "Consent",
                id: known(id)?.to_owned(),
            };
            asker.show(ctx, "consents", Some(object))?;
            out.value(&one(ctx, id)?);
        }
        ConsentCommand::Revoke { id, reason } => {
            let correlation = Correlation::internal(ctx.ids.new_id(ctx.clock.now_ms()));
            let by = By::new(asker.name(), HOST, reason, correlation)?;
            ctx.store
                .reserved()
                .write_blocking(consent::withdraw(ctx, known(id)?.to_owned(), by))?;
            let item = one(ctx, id)?;
            if out.json {
                out.value(&item);
            } else {
                out.line(&format!(
                    "consent {id} is withdrawn since {} by {}; grants that ended: {}",
                    item["revoked_at"].as_str().unwrap_or("-"),
                    item["revoked_by"].as_str().unwrap_or("-"),
                    item["grants"].as_array().map_or(0, Vec::len),
                ));
            }
        }
    }
    Ok(Exit::Done)
}

fn one(ctx: &Context, id: &str) -> Result<Value, Failure> {
    let now_ms = ctx.clock.now_ms();
    ctx.store.read_blocking(|db| consents::one(db, id, View::Full, now_ms))
}

fn known(id: &str) -> Result<&str, Failure> {
    if is_fhir_id(id) {
        Ok(id)
    } else {
        Err(Fault::ConsentUnknown.into())
    }
}

fn list(items: Vec<Value>, out: &mut Out) {
    if out.json {
        out.value(&items.into());
        return;
    }
    let cells = |item: &Value| {
        [
            "id",
            "recorded_at",
            "partner",
            "status",
            "policy",
            "period_until",
            "patient_id",
        ]
        .map(|key| item[key].as_str().unwrap_or("-").to_owned())
        .to_vec()
    };
    let rows: Vec<Vec<String>> = items.iter().map(cells).collect();
    out.table(
        &["ID", "RECORDED", "PARTNER", "STATUS", "POLICY", "UNTIL", "PATIENT"],
        &rows,
    );
}
