//! `causeway consent`: the consents on record, and withdrawing one.

use super::asker::{CommandAsker, HOST};
use super::look::LookArgs;
use super::pages::{every_page, or_dash};
use super::short;
use crate::audit::Object;
use crate::consent::{self, WithdrawnBy};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::exchange::acts;
use crate::ids::is_fhir_id;
use crate::ops::View;
use crate::ops::consents::{self, ConsentFilter, ConsentItem};
use crate::ops::disclosures::known_partner;
use crate::ops::opt_ins;
use crate::ops::viewed::patient;
use crate::store::beginnings::IdKind;
use crate::telemetry::Correlation;
use crate::terminal::{Exit, Out, ShortIds};
use clap::{Args, Subcommand};

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
    /// List consents on record, oldest first
    List {
        /// Only those that this partner brought
        #[arg(long)]
        partner: Option<String>,
        /// Only those about this member: `Patient/ID`, an id, or - for a member number on standard input
        #[arg(long)]
        member: Option<String>,
        /// Why, and who
        #[command(flatten)]
        look: LookArgs,
    },
    /// Show one consent, with the grants under it
    Show {
        /// Its id, or the beginning of it
        id: String,
        /// Why, and who
        #[command(flatten)]
        look: LookArgs,
    },
    /// Withdraw a consent: all grants under it, and answers on their way, end within a second
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
/// [`Fault::ConsentUnknown`]; those of the store.
pub fn run(args: &ConsentArgs, ctx: &Context, asker: &CommandAsker, out: &mut Out) -> Result<Exit, Failure> {
    match &args.command {
        ConsentCommand::List { partner, member, look } => {
            let by = look.note(asker)?;
            let asked = asker.asked(member.as_deref(), partner.as_deref())?;
            let filter = ctx.store.read_blocking(|db| {
                Ok(ConsentFilter {
                    partner: known_partner(db, asked.partner.as_deref())?,
                    member: asked.patient(db, &ctx.payer)?,
                    cursor: None,
                    limit: 200,
                })
            })?;
            asker.show_to(ctx, by, "consents", filter.member.as_deref().map(patient))?;
            let now_ms = ctx.clock.now_ms();
            let items = every_page(|cursor| {
                let filter = ConsentFilter {
                    cursor,
                    ..filter.clone()
                };
                ctx.store
                    .read_blocking(|db| consents::list(db, &filter, View::Full, now_ms))
            })?;
            list(ctx, &items, out)?;
        }
        ConsentCommand::Show { id, look } => {
            let by = look.note(asker)?;
            let id = &short::meant(ctx, IdKind::Consent, id)?;
            let object = Object {
                kind: "Consent",
                id: known(id)?.to_owned(),
            };
            asker.show_to(ctx, by, "consents", Some(object))?;
            out.value(&one(ctx, id)?);
        }
        ConsentCommand::Revoke { id, reason } => {
            let id = &short::meant(ctx, IdKind::Consent, id)?;
            let correlation = Correlation::internal(ctx.ids.new_id(ctx.clock.now_ms()));
            let by = WithdrawnBy::new(asker.name(), HOST, reason, correlation)?;
            if revoke_opt_in(ctx, known(id)?, &by, out)? {
                return Ok(Exit::Done);
            }
            ctx.store
                .reserved()
                .write_blocking(consent::withdraw(ctx, known(id)?.to_owned(), by))?;
            let item = one(ctx, id)?;
            if out.json {
                out.value(&item);
            } else {
                out.line(&format!(
                    "consent {id} is withdrawn since {} by {}; grants that ended: {}",
                    or_dash(item.revoked_at.as_deref()),
                    or_dash(item.revoked_by.as_deref()),
                    item.grants.len(),
                ));
            }
        }
    }
    Ok(Exit::Done)
}

fn one(ctx: &Context, id: &str) -> Result<ConsentItem, Failure> {
    let now_ms = ctx.clock.now_ms();
    ctx.store.read_blocking(|db| consents::one(db, id, View::Full, now_ms))
}

/// Revokes an opt-in under which we ask another payer, if this is the id of one; its exchanges end.
fn revoke_opt_in(ctx: &Context, id: &str, by: &WithdrawnBy, out: &mut Out) -> Result<bool, Failure> {
    if !ctx.store.read_blocking(|db| opt_ins::is_opt_in(db, id))? {
        return Ok(false);
    }
    let (own, own_id, by) = (ctx.clone(), id.to_owned(), by.clone());
    ctx.store
        .reserved()
        .write_blocking(move |db| acts::revoke_opt_in(db, &own, &own_id, &by).map(drop))?;
    let now_ms = ctx.clock.now_ms();
    let item = ctx.store.read_blocking(|db| opt_ins::opt_in(db, id, now_ms))?;
    if out.json {
        out.value(&item);
    } else {
        let since = or_dash(item.revoked_at.as_deref());
        out.line(&format!(
            "opt-in {id} is revoked since {since}; its exchanges have ended"
        ));
    }
    Ok(true)
}

fn known(id: &str) -> Result<&str, Failure> {
    if is_fhir_id(id) {
        Ok(id)
    } else {
        Err(Fault::ConsentUnknown.into())
    }
}

fn list(ctx: &Context, items: &[ConsentItem], out: &mut Out) -> Result<(), Failure> {
    if out.json {
        out.value(items);
        return Ok(());
    }
    let cells = |item: &ConsentItem| {
        vec![
            item.id.clone(),
            item.recorded_at.clone(),
            item.partner.clone(),
            item.status.to_owned(),
            item.policy.clone(),
            item.period_until.clone(),
            or_dash(item.patient_id.as_deref()),
        ]
    };
    let rows: Vec<Vec<String>> = items.iter().map(cells).collect();
    let mut ids = ShortIds::default();
    short::add(
        &mut ids,
        (ctx, &*out),
        IdKind::Consent,
        items.iter().map(|item| item.id.as_str()),
    )?;
    let header = ["ID", "RECORDED", "PARTNER", "STATUS", "POLICY", "UNTIL", "PATIENT"];
    out.list(&header, &rows, &ids, "There are no such consents.");
    Ok(())
}
