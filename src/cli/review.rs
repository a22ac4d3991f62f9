//! `causeway review`: the queue of matches that a person decides.

use super::operator::life_ms;
use super::{Asker, Exit, Out, every_page, review_table};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::ops::disclosures::known_partner;
use crate::ops::reviews::{self as shown, ReviewFilter, Sight};
use crate::review::links::{self, Deed};
use crate::review::{self, Act, By, Choice, Order};
use crate::telemetry::Correlation;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

const EXAMPLES: &str = "Examples:\n  causeway review list\n  causeway review show ID\n  causeway review decide ID --confirm 1 \
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
pub struct Hand {
    /// Your name; kept beside the review
    #[arg(long)]
    pub operator: String,
    /// Why; kept beside the review
    #[arg(long)]
    pub reason: String,
}

impl Hand {
    pub(super) fn by(&self, ctx: &Context, asker: &Asker) -> By {
        By {
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
pub struct Verdict {
    /// The person asked for is this candidate: its place or its Patient id
    #[arg(long, value_name = "CANDIDATE")]
    pub confirm: Option<String>,
    /// It is none of the candidates
    #[arg(long)]
    pub reject: bool,
    /// Look again in so long, such as 4h or 2d
    #[arg(long, value_name = "TIME")]
    pub defer: Option<String>,
}

/// What to do with the queue.
#[derive(Subcommand, Clone, Debug)]
pub enum ReviewCommand {
    /// What waits for a person
    List {
        /// Only reviews of this partner's requests
        #[arg(long)]
        partner: Option<String>,
        /// Only reviews in this state
        #[arg(long, value_parser = ["open", "proposed", "deferred", "confirmed", "rejected"])]
        state: Option<String>,
        /// Decided ones too
        #[arg(long)]
        all: bool,
    },
    /// One review, the candidates side by side with what was asked; shows personal data, and the ledger says so
    Show {
        /// Its id
        id: String,
    },
    /// Decide a review, or put it off
    #[command(after_help = EXAMPLES)]
    Decide {
        /// Its id
        id: String,
        /// What is decided
        #[command(flatten)]
        verdict: Verdict,
        /// Refuse when the review is not of this version any more
        #[arg(long, value_name = "VERSION")]
        seen: Option<i64>,
        /// Who, and why
        #[command(flatten)]
        hand: Hand,
    },
    /// Make a review yours
    Take {
        /// Its id
        id: String,
        /// Who, and why
        #[command(flatten)]
        hand: Hand,
    },
    /// Doubt what was decided: links are disputed, grants revoked, and the review is open again
    Reopen {
        /// Its id
        id: String,
        /// Who, and why
        #[command(flatten)]
        hand: Hand,
    },
    /// Doubt a confirmed link: it is disputed, grants are revoked, and a review is opened
    Dispute {
        /// Id of the link; see `causeway link list`
        link: String,
        /// Who, and why
        #[command(flatten)]
        hand: Hand,
    },
}

/// Runs the command. Waits on this thread.
///
/// # Errors
/// Those of the store and of the acts.
pub fn run(args: &ReviewArgs, ctx: &Context, asker: &Asker, out: &mut Out) -> Result<Exit, Failure> {
    perform(&args.command, ctx, asker, out).map(|()| Exit::Done)
}

fn perform(command: &ReviewCommand, ctx: &Context, asker: &Asker, out: &mut Out) -> Result<(), Failure> {
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
        ReviewCommand::Show { id } => {
            let correlation = Correlation::internal(ctx.ids.new_id(ctx.clock.now_ms()));
            ctx.store
                .read_blocking(|db| crate::store::reviews::find(db, id).map(drop))?;
            review::viewed_blocking(ctx, "reviewer", &asker.name(), &correlation, Some(id))?;
            let now_ms = ctx.clock.now_ms();
            let item = ctx.store.read_blocking(|db| shown::one(db, id, Sight::Words, now_ms))?;
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
            let dealt = links::perform_blocking(ctx, Deed::Dispute(link.clone()), hand.by(ctx, asker))?;
            if out.json {
                out.value(&json!({"review": dealt.id, "grants": dealt.grants}));
            }
            out.note(&format!("review {} is open; {} grants revoked", dealt.id, dealt.grants));
            Ok(())
        }
    }
}

fn acted(
    ctx: &Context,
    id: &str,
    act: Act,
    seen: Option<i64>,
    hand: &Hand,
    asker: &Asker,
    out: &mut Out,
) -> Result<(), Failure> {
    let order = Order {
        review: id.to_owned(),
        act,
        by: hand.by(ctx, asker),
        seen,
    };
    let done = review::perform_blocking(ctx, order)?;
    let state = done.state.code();
    if out.json {
        out.value(&json!({"id": id, "state": state, "grants": done.grants, "version": done.version}));
    }
    out.note(&format!("review {id} is {state}"));
    if done.state == review::State::Proposed {
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
        out.value(&items.into());
        return Ok(());
    }
    let cells = |item: &Value| {
        let text = |key: &str| item[key].as_str().unwrap_or("-").to_owned();
        let due = if item["overdue"] == true { " (overdue)" } else { "" };
        vec![
            text("id"),
            text("state"),
            format!("{}{due}", text("due_at")),
            text("partner"),
            text("owner"),
            item["asked_count"].to_string(),
            review_table::why(&item["reason"]),
        ]
    };
    let rows: Vec<Vec<String>> = items.iter().map(cells).collect();
    out.table(&["ID", "STATE", "DUE", "PARTNER", "OWNER", "ASKED", "WHY"], &rows);
    Ok(())
}
