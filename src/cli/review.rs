//! `causeway review`: the queue of matches that a person decides.

use super::asker::CommandAsker;
use super::look::LookArgs;
use super::operator::life_ms;
use super::pages::{counted, every_page, or_dash};
use super::review_table;
use super::short;
use crate::audit::Object;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::ops::disclosures::known_partner;
use crate::ops::reviews::{self as shown, DecidedReview, ReviewDetail, ReviewFilter, ReviewSummary};
use crate::review::links::{self, LinkAct};
use crate::review::{self, Act, Choice, ReviewActor, ReviewerCommand};
use crate::store::beginnings::IdKind;
use crate::telemetry::Correlation;
use crate::terminal::{Exit, Out, ShortIds};
use clap::{Args, Subcommand};
use serde_json::json;

const EXAMPLES: &str = "Examples:\n  causeway review list\n  causeway review show ID --reason \"the partner asks\"\n  causeway review decide ID --confirm 1 \
    --operator ana --reason \"card checked by telephone\"\n  causeway review decide ID --reject --operator ana --reason \"another birth year\"";

/// Look at doubtful matches and decide them.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct ReviewArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: ReviewCommand,
}

/// Who acts, and why.
#[derive(Args, Clone, Debug)]
pub struct OperatorHand {
    /// Your name; recorded with what you do
    #[arg(long)]
    pub operator: String,
    /// Why; recorded with what you do
    #[arg(long)]
    pub reason: String,
}

impl OperatorHand {
    pub(super) fn by(&self, ctx: &Context, asker: &CommandAsker) -> ReviewActor {
        ReviewActor {
            operator: self.operator.clone(),
            hand: asker.name(),
            reason: self.reason.clone(),
            token: None,
            correlation: Correlation::internal(ctx.ids.new_id(ctx.clock.now_ms())),
        }
    }
}

/// What is decided.
#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = false)]
pub struct ReviewVerdict {
    /// The request is about this candidate: its place or its Patient id
    #[arg(long, value_name = "CANDIDATE")]
    pub confirm: Option<String>,
    /// The request is about none of the candidates
    #[arg(long)]
    pub reject: bool,
    /// Look again after this time, such as 4h or 2d
    #[arg(long, value_name = "TIME")]
    pub defer: Option<String>,
}

/// What to do with the queue.
#[derive(Subcommand, Clone, Debug)]
pub enum ReviewCommand {
    /// List reviews that wait for a decision
    List {
        /// Only reviews of this partner's requests
        #[arg(long)]
        partner: Option<String>,
        /// Only reviews in this state
        #[arg(long, value_parser = ["open", "proposed", "deferred", "confirmed", "rejected"])]
        state: Option<String>,
        /// Include decided ones
        #[arg(long)]
        all: bool,
    },
    /// Show one review: the request beside its candidates. Shows personal data, and so needs a reason, which the ledger records
    #[command(after_help = "Example:\n  causeway review show ID --reason \"the partner asks\"")]
    Show {
        /// Its id, or the beginning of it
        id: String,
        /// Why, and who
        #[command(flatten)]
        look: LookArgs,
    },
    /// Decide a review, or put it off
    #[command(after_help = EXAMPLES)]
    Decide {
        /// Its id, or the beginning of it
        id: String,
        /// The decision
        #[command(flatten)]
        verdict: ReviewVerdict,
        /// Refuse if the review no longer has this version
        #[arg(long, value_name = "VERSION")]
        seen: Option<i64>,
        /// Who, and why
        #[command(flatten)]
        hand: OperatorHand,
    },
    /// Assign a review to yourself
    Take {
        /// Its id, or the beginning of it
        id: String,
        /// Who, and why
        #[command(flatten)]
        hand: OperatorHand,
    },
    /// Reopen a decided review: its links are disputed and its grants revoked
    Reopen {
        /// Its id, or the beginning of it
        id: String,
        /// Who, and why
        #[command(flatten)]
        hand: OperatorHand,
    },
    /// Dispute a confirmed link: its grants are revoked and a review is opened
    Dispute {
        /// Id of the link, or the beginning of it; see `causeway link list`
        link: String,
        /// Who, and why
        #[command(flatten)]
        hand: OperatorHand,
    },
}

/// Runs the command. Waits on this thread.
///
/// # Errors
/// Those of the store and of the acts.
pub fn run(args: &ReviewArgs, ctx: &Context, asker: &CommandAsker, out: &mut Out) -> Result<Exit, Failure> {
    perform(&args.command, ctx, asker, out).map(|()| Exit::Done)
}

fn perform(command: &ReviewCommand, ctx: &Context, asker: &CommandAsker, out: &mut Out) -> Result<(), Failure> {
    match command {
        ReviewCommand::List { partner, state, all } => {
            let filter = ReviewFilter {
                partner: partner.clone(),
                state: state.clone(),
                all: *all,
                cursor: None,
                limit: 200,
            };
            list(ctx, filter, out)
        }
        ReviewCommand::Show { id, look } => {
            let by = look.demanded(asker)?;
            let id = &short::meant(ctx, IdKind::Review, id)?;
            ctx.store
                .read_blocking(|db| crate::store::reviews::find(db, id).map(drop))?;
            let object = Object {
                kind: "Review",
                id: id.clone(),
            };
            asker.show_review(ctx, by, Some(object))?;
            let now_ms = ctx.clock.now_ms();
            let item = ctx
                .store
                .read_blocking(|db| shown::one(db, id, ReviewDetail::Words, now_ms))?;
            if out.json {
                out.value(&item);
            } else {
                review_table::show(&item, out);
            }
            Ok(())
        }
        ReviewCommand::Decide {
            id,
            verdict,
            seen,
            hand,
        } => {
            let act = match (&verdict.confirm, &verdict.defer) {
                (Some(candidate), _) => Act::Confirm(Choice::parse(candidate)),
                (_, Some(time)) => Act::Defer(life_ms(time).ok_or_else(|| {
                    Failure::new(Fault::ParameterInvalid).remedy("Give --defer a number and s, m, h or d, such as 4h.")
                })?),
                _ => Act::Reject,
            };
            acted(ctx, id, act, *seen, hand, asker, out)
        }
        ReviewCommand::Take { id, hand } => acted(ctx, id, Act::Take, None, hand, asker, out),
        ReviewCommand::Reopen { id, hand } => acted(ctx, id, Act::Reopen, None, hand, asker, out),
        ReviewCommand::Dispute { link, hand } => {
            let link = short::meant(ctx, IdKind::Link, link)?;
            let dispute = links::perform(ctx, LinkAct::Dispute(link), hand.by(ctx, asker))?;
            let dealt = ctx.store.write_blocking(dispute)?;
            if out.json {
                out.value(&json!({"review": dealt.id, "grants": dealt.grants}));
            }
            out.note(&format!(
                "review {} is open; {} revoked",
                dealt.id,
                counted(dealt.grants, "grant")
            ));
            Ok(())
        }
    }
}

fn acted(
    ctx: &Context,
    id: &str,
    act: Act,
    seen: Option<i64>,
    hand: &OperatorHand,
    asker: &CommandAsker,
    out: &mut Out,
) -> Result<(), Failure> {
    let id = short::meant(ctx, IdKind::Review, id)?;
    let order = ReviewerCommand {
        review: id.clone(),
        act,
        by: hand.by(ctx, asker),
        seen,
    };
    let done = ctx.store.write_blocking(review::perform(ctx, order)?)?;
    let state = done.state.code();
    if out.json {
        out.value(&DecidedReview::of(&id, &done));
    }
    out.note(&format!("review {id} is {state}"));
    if done.state == review::ReviewState::Proposed {
        out.note("  another operator has to confirm it");
    }
    Ok(())
}

fn list(ctx: &Context, filter: ReviewFilter, out: &mut Out) -> Result<(), Failure> {
    ctx.store
        .read_blocking(|db| known_partner(db, filter.partner.as_deref()))?;
    let now_ms = ctx.clock.now_ms();
    let items = every_page(|cursor| {
        let filter = ReviewFilter {
            cursor,
            ..filter.clone()
        };
        ctx.store.read_blocking(move |db| shown::list(db, &filter, now_ms))
    })?;
    if out.json {
        out.value(&items);
        return Ok(());
    }
    let cells = |item: &ReviewSummary| {
        let due = if item.overdue { " (overdue)" } else { "" };
        vec![
            item.id.clone(),
            item.state.clone(),
            format!("{}{due}", item.due_at),
            item.partner.clone(),
            or_dash(item.owner.as_deref()),
            item.asked_count.to_string(),
            review_table::why(&item.reason),
        ]
    };
    let rows: Vec<Vec<String>> = items.iter().map(cells).collect();
    let mut ids = ShortIds::default();
    short::add(
        &mut ids,
        (ctx, &*out),
        IdKind::Review,
        items.iter().map(|item| item.id.as_str()),
    )?;
    let nothing = match filter.all || filter.state.is_some() {
        true => "There are no such reviews.",
        false => "No review waits for a decision.",
    };
    let header = ["ID", "STATE", "DUE", "PARTNER", "OWNER", "ASKED", "WHY"];
    out.list(&header, &rows, &ids, nothing);
    Ok(())
}
