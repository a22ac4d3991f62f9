//! `causeway operator`: tokens for `/ops/v1`, made, listed and revoked on the host.

use super::asker::{CommandAsker, HOST};
use super::pages::or_dash;
use crate::audit::OperatorNote;
use crate::clock::rfc3339_ms;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::ops::operator_tokens::{self, OperatorTokenItem};
use crate::security::Roles;
use crate::security::operator;
use crate::terminal::{Exit, Out, ShortIds};
use clap::{Args, Subcommand};
use serde_json::json;

const EXAMPLES: &str = "Examples:\n  causeway operator token --role auditor --name ana --ttl 1h --json\n  \
    causeway operator list\n  causeway operator revoke 3f8a0c5d9e1b2764 --reason \"the laptop is lost\"\n  \
    causeway operator revoke --name ana --reason \"left the team\"";

/// Make tokens for the operations side, list them, revoke them.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct OperatorArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: OperatorCommand,
}

/// What to do for operators.
#[derive(Subcommand, Clone, Debug)]
pub enum OperatorCommand {
    /// Make a token; it is shown once and kept only as a hash.
    #[command(after_help = "Example:\n  causeway operator token --role auditor --name ana --ttl 1h --json")]
    Token {
        /// What its holder may do; several roles with a comma between two, or the option again
        #[arg(long, required = true, value_delimiter = ',', value_parser = ["support", "operator", "reviewer", "auditor", "admin"])]
        role: Vec<String>,
        /// Name of its holder, which the ledger records with each act; your user id on this host by default
        #[arg(long, value_name = "WHO")]
        name: Option<String>,
        /// How long it is valid, such as 90s, 15m, 1h or 7d; at most 7 days.
        #[arg(long, default_value = "1h")]
        ttl: String,
    },
    /// List the tokens that are valid now, oldest first
    List,
    /// Revoke a token, or every token and session of the console of one person; they are invalid from then on
    #[command(after_help = EXAMPLES)]
    Revoke {
        /// Its id; see `causeway operator list`
        #[arg(required_unless_present = "name")]
        id: Option<String>,
        /// Everything of this person, links to the console too
        #[arg(long, value_name = "WHO", conflicts_with = "id")]
        name: Option<String>,
        /// Why; kept beside the ledger with your user id
        #[arg(long)]
        reason: Option<String>,
    },
}

/// Runs the command. Waits on this thread.
///
/// # Errors
/// [`Fault::ParameterInvalid`], [`Fault::OperatorTokenUnknown`]; those of the store.
pub fn run(args: &OperatorArgs, ctx: &Context, asker: &CommandAsker, out: &mut Out) -> Result<Exit, Failure> {
    match &args.command {
        OperatorCommand::Token { role, name, ttl } => issue(ctx, role, name.as_deref(), ttl, asker, out)?,
        OperatorCommand::List => {
            let items = ctx.store.read_blocking(|db| operator_tokens::list(db, &ctx.clock))?;
            list(&items, out);
        }
        OperatorCommand::Revoke { id, name, reason } => {
            let note = note(reason.as_deref(), asker)?;
            match name {
                Some(name) => revoke_all(ctx, name, note, out)?,
                None => revoke(ctx, id.as_deref().unwrap_or_default(), note, out)?,
            }
        }
    }
    Ok(Exit::Done)
}

fn issue(
    ctx: &Context,
    role: &[String],
    name: Option<&str>,
    ttl: &str,
    asker: &CommandAsker,
    out: &mut Out,
) -> Result<(), Failure> {
    let (Some(roles), Some(life_ms)) = (Roles::parse(&role.join(",")), life_ms(ttl)) else {
        return Err(Failure::new(Fault::ParameterInvalid)
            .at("--ttl")
            .remedy("Give --ttl as a number and s, m, h or d, such as 1h."));
    };
    let name = name.map_or_else(|| asker.name(), str::to_owned);
    let issued = operator::issue(ctx, &roles, &name, life_ms)?;
    let (token, expires_at) = (issued.token.expose(), rfc3339_ms(issued.expires_ms));
    if out.json {
        out.value(&json!({ "token": token, "role": roles.text(), "expires_at": expires_at }));
    } else {
        out.line(token);
        out.note(&format!(
            "role {}, name {name}, until {expires_at}, id {}",
            roles.text(),
            issued.id
        ));
    }
    Ok(())
}

fn list(items: &[OperatorTokenItem], out: &mut Out) {
    if out.json {
        out.value(items);
        return;
    }
    let cells = |item: &OperatorTokenItem| {
        vec![
            item.id.clone(),
            item.role.clone(),
            or_dash(item.name.as_deref()),
            item.created_at.clone(),
            item.expires_at.clone(),
        ]
    };
    let rows: Vec<Vec<String>> = items.iter().map(cells).collect();
    let header = ["ID", "ROLE", "NAME", "MADE", "UNTIL"];
    out.list(
        &header,
        &rows,
        &ShortIds::default(),
        "There are no tokens of operators.",
    );
}

fn note(reason: Option<&str>, asker: &CommandAsker) -> Result<OperatorNote, Failure> {
    if reason.is_some_and(|reason| !crate::ids::is_one_line(reason)) {
        let remedy = "Say why, on one line.";
        return Err(Failure::new(Fault::ParameterInvalid).at("--reason").remedy(remedy));
    }
    Ok(asker.note(reason.unwrap_or_default()))
}

fn revoke_all(ctx: &Context, name: &str, note: OperatorNote, out: &mut Out) -> Result<(), Failure> {
    let (rows, links) = ctx
        .store
        .reserved()
        .write_blocking(operator::revoke_all(ctx, name, HOST, note))?;
    let items: Vec<OperatorTokenItem> = rows
        .into_iter()
        .map(|row| operator_tokens::item(row, &ctx.clock))
        .collect();
    if out.json {
        out.value(&json!({ "items": items, "links": links }));
    } else {
        let tokens = items.len();
        out.line(&format!(
            "revoked of {name}: {tokens} tokens and sessions, {links} unused links"
        ));
    }
    Ok(())
}

fn revoke(ctx: &Context, id: &str, note: OperatorNote, out: &mut Out) -> Result<(), Failure> {
    let row = ctx
        .store
        .reserved()
        .write_blocking(operator::revoke(ctx, id, HOST, note))?;
    let item = operator_tokens::item(row, &ctx.clock);
    if out.json {
        out.value(&item);
    } else {
        out.line(&format!(
            "token {id} is revoked: role {}, name {}",
            item.role,
            or_dash(item.name.as_deref())
        ));
    }
    Ok(())
}

/// A life such as `90s`, `15m`, `1h` or `7d` in milliseconds.
pub(super) fn life_ms(text: &str) -> Option<i64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let unit_ms = match unit {
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number
        .parse::<u32>()
        .ok()
        .and_then(|number| i64::from(number).checked_mul(unit_ms))
}

#[cfg(test)]
mod tests {
    use super::life_ms;

    #[test]
    fn lives_are_a_number_and_a_unit() {
        assert_eq!(life_ms("90s"), Some(90_000));
        assert_eq!(life_ms("1h"), Some(3_600_000));
        for bad in ["", "h", "1", "-1h", "1.5h", "1w", "1ä", "99999999999h"] {
            assert_eq!(life_ms(bad), None, "{bad}");
        }
    }
}
