//! `causeway operator`: tokens for `/ops/v1`, made on the host.

use super::{Asker, Exit, Out};
use crate::clock::rfc3339_ms;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::security::Role;
use crate::security::operator;
use clap::{Args, Subcommand};
use serde_json::json;

/// Make tokens for the operations side.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Example:\n  causeway operator token --role auditor --name ana --ttl 1h --json")]
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
        /// What its holder may do.
        #[arg(long, value_parser = ["support", "operator", "reviewer", "auditor", "admin"])]
        role: String,
        /// Whose it is; the ledger names it with all that is done by this token. Your user id on this host unless given
        #[arg(long, value_name = "WHO")]
        name: Option<String>,
        /// Its life, such as 90s, 15m, 1h or 7d; at most 7 days.
        #[arg(long, default_value = "1h")]
        ttl: String,
    },
}

/// Runs the command. Waits on this thread.
///
/// # Errors
/// Those of the store.
pub fn run(args: &OperatorArgs, ctx: &Context, asker: &Asker, out: &mut Out) -> Result<Exit, Failure> {
    let OperatorCommand::Token { role, name, ttl } = &args.command;
    let (Some(role), Some(life_ms)) = (Role::parse(role), life_ms(ttl)) else {
        return Err(Failure::new(Fault::ParameterInvalid)
            .at("--ttl")
            .remedy("Give --ttl as a number and s, m, h or d, such as 1h."));
    };
    let name = name.clone().unwrap_or_else(|| asker.name());
    let (token, expires_ms) = operator::issue(ctx, role, &name, life_ms)?;
    let expires_at = rfc3339_ms(expires_ms);
    if out.json {
        out.value(&json!({ "token": token.expose(), "role": role.name(), "expires_at": expires_at }));
    } else {
        out.line(token.expose());
        out.note(&format!("role {}, name {name}, until {expires_at}", role.name()));
    }
    Ok(Exit::Done)
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
