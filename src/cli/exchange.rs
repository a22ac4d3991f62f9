//! `causeway exchange`: asking other payers for members' records, how that stands, and what operators do with it.

use super::asker::{CommandAsker, by};
use super::exchange_show::{how, print_received};
use super::look::LookArgs;
use super::pages::{every_page, or_dash};
use super::{exchange_import, exchange_received, exchange_show, short};
use crate::consent::WithdrawnBy;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::exchange::acts::{ActResult, ExchangeAct, act};
use crate::exchange::enrolments::EnrolmentFields;
use crate::exchange::failpoints;
use crate::exchange::intake::start_in;
use crate::exchange::phase::{AuditState, ConsentState, DeliveryState, IdentityState, Phase, TransportState};
use crate::failpoint;
use crate::ids::is_fhir_id;
use crate::ops::View;
use crate::ops::both_ways::{self, Direction};
use crate::ops::disclosures::known_partner;
use crate::ops::exchanges::{ExchangeFilter, ExchangeItem};
use crate::ops::viewed::patient;
use crate::store::beginnings::IdKind;
use crate::terminal::{Exit, Out, ShortIds};
use clap::{Args, Subcommand};
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "Examples:\n  causeway exchange start enrollment.json\n  causeway exchange import enrollments.csv --rejects rejects.ndjson\n  \
    causeway exchange list --state parked\n  causeway exchange show ID\n  causeway exchange replay ID --reason \"the partner is back\"";

/// Largest file of one enrollment, in bytes.
const START_BYTES: u64 = 65_536;

/// Exchanges: start them, look at them, act on them.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct ExchangeArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: ExchangeCommand,
}

/// What to do with exchanges.
#[derive(Subcommand, Clone, Debug)]
pub enum ExchangeCommand {
    /// Ask another payer for the record of one member; asking the same twice makes one exchange
    Start {
        /// JSON file of the enrollment (docs/operators/exchanges.md)
        file: PathBuf,
    },
    /// Start an exchange for each row of a file (CSV with a header, or NDJSON); importing it again changes nothing
    Import(exchange_import::ExchangeImportArgs),
    /// List exchanges, oldest first
    List(ListArgs),
    /// Show one exchange: states, clocks, every attempt, what was received and what is missing
    Show {
        /// Id of the exchange, or the beginning of it
        id: String,
        /// Show what the other payer sent, as it came, instead of the states. Shows personal data, and so needs a reason
        #[arg(long)]
        received: bool,
        /// Show only the resources in quarantine, as they came. Shows personal data, and so needs a reason
        #[arg(long, conflicts_with = "received")]
        quarantine: bool,
        /// Why, and who
        #[command(flatten)]
        look: LookArgs,
    },
    /// Withdraw an exchange, here and at the partner
    Cancel(ActArgs),
    /// Let a parked exchange go on, reopen one in review, or run one again that has ended
    Replay(ReplayArgs),
    /// End an exchange and start a new one that asks the same
    Supersede(ActArgs),
    /// Stop an exchange until it is replayed
    Pause(ActArgs),
    /// End an exchange without a result
    Close(ActArgs),
    /// Remove from the store exactly what an ended exchange has stored
    Retract(ActArgs),
}

/// Which exchanges to list.
#[derive(Args, Clone, Debug)]
pub struct ListArgs {
    /// Only exchanges with this partner
    #[arg(long)]
    pub partner: Option<String>,
    /// Only exchanges in this phase
    #[arg(long, value_parser = phase)]
    pub phase: Option<String>,
    /// Only those in this state (`causeway states` has the names), or `parked`
    #[arg(long, value_parser = state)]
    pub state: Option<String>,
    /// Only exchanges with this fault code as the reason
    #[arg(long)]
    pub fault: Option<String>,
    /// Only exchanges with this correlation id, or with this request id of the partner
    #[arg(long)]
    pub correlation: Option<String>,
    /// Only exchanges about this member: `Patient/ID`, an id, or - for a member number on standard input
    #[arg(long)]
    pub member: Option<String>,
    /// Only exchanges that we began (outbound), or that other payers began (inbound)
    #[arg(long, value_name = "inbound|outbound", value_parser = direction)]
    pub direction: Option<Direction>,
    /// Only those that began within this many hours
    #[arg(long, value_name = "HOURS")]
    pub within: Option<u32>,
}

/// An act on one exchange.
#[derive(Args, Clone, Debug)]
pub struct ActArgs {
    /// Id of the exchange, or the beginning of it
    pub id: String,
    /// Why; kept beside the ledger with your user id
    #[arg(long)]
    pub reason: String,
}

/// What to replay.
#[derive(Args, Clone, Debug)]
pub struct ReplayArgs {
    /// Id of the exchange, or the beginning of it
    #[arg(required_unless_present = "parked", conflicts_with = "parked")]
    pub id: Option<String>,
    /// Replay all parked exchanges, within the budgets of their partners
    #[arg(long)]
    pub parked: bool,
    /// With --parked: only those with this partner
    #[arg(long, requires = "parked")]
    pub partner: Option<String>,
    /// With --parked: only those with this fault code as the reason
    #[arg(long, requires = "parked")]
    pub fault: Option<String>,
    /// Why; kept beside the ledger with your user id
    #[arg(long)]
    pub reason: String,
}

/// Runs the command. Relative paths are of `cwd`. Waits on this thread.
///
/// # Errors
/// [`Fault::ExchangeUnknown`], [`Fault::ExchangeMoveRefused`]; those of the wish and of the store.
pub fn run(
    args: &ExchangeArgs,
    ctx: &Context,
    cwd: &Path,
    asker: &CommandAsker,
    out: &mut Out,
) -> Result<Exit, Failure> {
    match &args.command {
        ExchangeCommand::Start { file } => start(ctx, &cwd.join(file), asker, out),
        ExchangeCommand::Import(args) => exchange_import::run(args, ctx, cwd, asker, out),
        ExchangeCommand::List(args) => list(ctx, args, asker, out),
        ExchangeCommand::Show {
            id,
            received: false,
            quarantine: false,
            look,
        } => exchange_show::run(ctx, &meant(ctx, id)?, look.note(asker)?, asker, out),
        ExchangeCommand::Show {
            id, quarantine, look, ..
        } => {
            let by = look.demanded(asker)?;
            exchange_received::run(ctx, &meant(ctx, id)?, *quarantine, (asker, by), out)
        }
        ExchangeCommand::Cancel(args) => one_act(ctx, args, ExchangeAct::Cancel, asker, out),
        ExchangeCommand::Supersede(args) => one_act(ctx, args, ExchangeAct::Supersede, asker, out),
        ExchangeCommand::Pause(args) => one_act(ctx, args, ExchangeAct::Pause, asker, out),
        ExchangeCommand::Close(args) => one_act(ctx, args, ExchangeAct::Close, asker, out),
        ExchangeCommand::Retract(args) => one_act(ctx, args, ExchangeAct::Retract, asker, out),
        ExchangeCommand::Replay(args) => replay(ctx, args, asker, out),
    }
}

/// The id of the exchange that is meant by its id, or by the beginning of it.
fn meant(ctx: &Context, given: &str) -> Result<String, Failure> {
    let id = short::meant(ctx, IdKind::Exchange, given)?;
    if is_fhir_id(&id) {
        Ok(id)
    } else {
        Err(Fault::ExchangeUnknown.into())
    }
}

fn start(ctx: &Context, file: &Path, asker: &CommandAsker, out: &mut Out) -> Result<Exit, Failure> {
    let unreadable = |error: std::io::Error| {
        let remedy = format!("Check the path {} and its permissions.", file.display());
        Failure::new(Fault::InputUnreadable).remedy(remedy).because(error)
    };
    if std::fs::metadata(file).map_err(unreadable)?.len() > START_BYTES {
        return Err(Failure::new(Fault::FileUnusable)
            .remedy("Use `causeway exchange import` for a file of several enrollments."));
    }
    let text = std::fs::read_to_string(file).map_err(unreadable)?;
    let fields: EnrolmentFields = serde_json::from_str(&text).map_err(|error| {
        let remedy = format!(
            "Line {}: give one JSON object whose members are the known fields, each a text.",
            error.line()
        );
        Failure::new(Fault::FileUnusable).remedy(remedy)
    })?;
    let by = by(ctx, asker, "started by a command")?;
    let own = ctx.clone();
    let accepted = ctx.store.write_blocking(move |db| {
        let wish = fields.wish(db, &own.payer, Some(by.clone()))?;
        start_in(db, &own, &wish)
    })?;
    failpoint::pass(failpoints::INTAKE, failpoints::AFTER_COMMIT);
    if !accepted.is_new {
        out.note("the same exchange is running already");
    }
    say(ctx, &accepted.exchange_id, out)
}

/// Prints an exchange: all of it as JSON, one line for people.
fn say(ctx: &Context, id: &str, out: &mut Out) -> Result<Exit, Failure> {
    let shown = ctx
        .store
        .read_blocking(|db| both_ways::one(db, id, how(ctx, View::WithoutPatients)))?;
    if out.json {
        out.value(&shown);
    } else {
        let item = &shown.exchange;
        out.line(&format!(
            "exchange {} with {}: {}",
            item.id,
            item.partner,
            standing(item)
        ));
        print_received(&shown, out);
    }
    Ok(Exit::Done)
}

/// The direction of this name.
fn direction(name: &str) -> Result<Direction, &'static str> {
    Direction::parse(name).ok_or("give inbound or outbound")
}

fn phase(name: &str) -> Result<String, &'static str> {
    let found = Phase::parse(name).ok_or("give a phase: `causeway states` has the names")?;
    Ok(found.code().to_owned())
}

fn state(name: &str) -> Result<String, &'static str> {
    let is_state = name == "parked"
        || IdentityState::parse(name).is_some()
        || ConsentState::parse(name).is_some()
        || TransportState::parse(name).is_some()
        || DeliveryState::parse(name).is_some()
        || AuditState::parse(name).is_some();
    match (is_state, Phase::parse(name)) {
        (true, _) => Ok(name.to_owned()),
        (false, Some(_)) => Err("this is a phase: give it with --phase"),
        (false, None) => Err("give parked, or a state: `causeway states` has the names"),
    }
}

/// The phase with what stands beside it, for people.
fn standing(item: &ExchangeItem) -> String {
    let mut text = item.phase.clone();
    if item.parked_at.is_some() {
        text.push_str(", parked");
    }
    if let Some(reason) = &item.reason {
        text.push_str(&format!(" ({reason})"));
    }
    text
}

fn list(ctx: &Context, args: &ListArgs, asker: &CommandAsker, out: &mut Out) -> Result<Exit, Failure> {
    let asked = asker.asked(args.member.as_deref(), args.partner.as_deref())?;
    let direction = args.direction;
    let now_ms = ctx.clock.now_ms();
    let filter = ctx.store.read_blocking(|db| {
        Ok(ExchangeFilter {
            partner: known_partner(db, asked.partner.as_deref())?,
            phase: args.phase.clone(),
            state: args.state.clone(),
            fault: args.fault.clone(),
            correlation: args.correlation.clone(),
            member: asked.patient(db, &ctx.payer)?,
            since_ms: args.within.map(|hours| now_ms - i64::from(hours) * 3_600_000),
            cursor: None,
            limit: 200,
        })
    })?;
    asker.show(ctx, "exchanges", filter.member.as_deref().map(patient))?;
    let items = every_page(|cursor| {
        let filter = ExchangeFilter {
            cursor,
            ..filter.clone()
        };
        ctx.store
            .read_blocking(|db| both_ways::list(db, &filter, direction, how(ctx, View::WithoutPatients)))
    })?;
    if out.json {
        out.value(&items);
        return Ok(Exit::Done);
    }
    let rows: Vec<Vec<String>> = items
        .iter()
        .map(|item| {
            vec![
                item.id.clone(),
                item.created_at.clone(),
                if item.direction == "inbound" { "in" } else { "out" }.to_owned(),
                item.partner.clone(),
                standing(item),
                item.step.clone(),
                item.owner.clone(),
                item.sla.to_owned(),
                or_dash(item.wakes_at.as_deref()),
            ]
        })
        .collect();
    let mut ids = ShortIds::default();
    let found = items.iter().map(|item| item.id.as_str());
    short::add(&mut ids, (ctx, &*out), IdKind::Exchange, found)?;
    let header = [
        "ID",
        "BEGAN",
        "WAY",
        "PARTNER",
        "PHASE",
        "STEP",
        "OWNER",
        "CLOCK",
        "CONTINUES",
    ];
    out.list(&header, &rows, &ids, "There are no such exchanges.");
    Ok(Exit::Done)
}

fn one_act(
    ctx: &Context,
    args: &ActArgs,
    what: ExchangeAct,
    asker: &CommandAsker,
    out: &mut Out,
) -> Result<Exit, Failure> {
    let by = by(ctx, asker, &args.reason)?;
    let next = done(ctx, &meant(ctx, &args.id)?, what, &by)?;
    say(ctx, &next, out)
}

/// Does the act and returns the id of the exchange that goes on.
fn done(ctx: &Context, id: &str, what: ExchangeAct, by: &WithdrawnBy) -> Result<String, Failure> {
    let (own, id, by) = (ctx.clone(), id.to_owned(), by.clone());
    match ctx.store.write_blocking(move |db| act(db, &own, &id, what, &by))? {
        ActResult::Done { exchange_id } => Ok(exchange_id),
        ActResult::NotAllowed => Err(Failure::new(Fault::ExchangeMoveRefused).noted()),
    }
}

fn replay(ctx: &Context, args: &ReplayArgs, asker: &CommandAsker, out: &mut Out) -> Result<Exit, Failure> {
    let by = by(ctx, asker, &args.reason)?;
    if let Some(id) = &args.id {
        let next = done(ctx, &meant(ctx, id)?, ExchangeAct::Replay, &by)?;
        return say(ctx, &next, out);
    }
    let filter = ctx.store.read_blocking(|db| {
        Ok(ExchangeFilter {
            partner: known_partner(db, args.partner.as_deref())?,
            state: Some("parked".into()),
            fault: args.fault.clone(),
            limit: 200,
            ..ExchangeFilter::default()
        })
    })?;
    let items = every_page(|cursor| {
        let filter = ExchangeFilter {
            cursor,
            ..filter.clone()
        };
        ctx.store.read_blocking(|db| {
            both_ways::list(db, &filter, Some(Direction::Outbound), how(ctx, View::WithoutPatients))
        })
    })?;
    let mut refused = 0;
    for item in &items {
        if let Err(failure) = done(ctx, &item.id, ExchangeAct::Replay, &by) {
            refused += 1;
            out.note(&format!("{}: {failure}", item.id));
        }
    }
    let replayed = items.len() - refused;
    if out.json {
        out.value(&serde_json::json!({ "replayed": replayed, "refused": refused }));
    } else {
        out.line(&format!("replayed: {replayed}, refused: {refused}"));
    }
    Ok(if refused > 0 { Exit::Failed } else { Exit::Done })
}
