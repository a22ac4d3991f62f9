//! Who gave a command, and what came on its standard input: both belong to the process of whoever asks, not to the server that may
//! run the command.

use super::Command;
use crate::audit::{Note, Object};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::ops::disclosures::Asked;
use crate::ops::viewed::{Viewer, viewed};
use crate::telemetry::Correlation;
use std::io::Read as _;

/// The role of who works on the host, where roles do not bind.
pub const HOST: &str = "host";
/// Bytes of standard input that are read.
const INPUT_BYTES: u64 = 4_096;

/// Who gave a command.
#[derive(Clone, Debug)]
pub struct Asker {
    /// User id on this host.
    pub uid: u32,
    /// Standard input, of a command that takes some.
    pub input: Option<String>,
}

impl Asker {
    /// The user of this process, with standard input where `command` takes some.
    ///
    /// # Errors
    /// [`Fault::InputUnreadable`].
    pub fn here(command: &Command) -> Result<Asker, Failure> {
        let member = match command {
            Command::Disclosures(args) => Some(args.member.as_str()),
            Command::Consent(args) => args.member(),
            Command::Grant(args) => args.member(),
            Command::Records(args) => args.member(),
            _ => None,
        };
        let mut input = None;
        if member == Some("-") {
            let mut text = String::new();
            std::io::stdin()
                .lock()
                .take(INPUT_BYTES)
                .read_to_string(&mut text)
                .map_err(|error| Failure::new(Fault::InputUnreadable).at("--member").because(error))?;
            input = Some(text);
        }
        Ok(Asker {
            uid: rustix::process::getuid().as_raw(),
            input,
        })
    }

    /// The name that the ledger has for this user.
    pub fn name(&self) -> String {
        format!("uid-{}", self.uid)
    }

    /// What the ledger keeps of this user and of why something was done; nothing of a reason that is empty.
    pub fn note(&self, reason: &str) -> Note {
        Note {
            operator: self.name(),
            reason: reason.to_owned(),
        }
    }

    /// A member as `--member` says it: `Patient/<id>`, an id, or `-` for a member number on standard input.
    ///
    /// # Errors
    /// [`Fault::ParameterInvalid`] where nothing came on standard input.
    pub fn asked(&self, member: Option<&str>, partner: Option<&str>) -> Result<Asked, Failure> {
        let partner = partner.map(str::to_owned);
        let Some("-") = member else {
            return Ok(Asked {
                member: member.map(str::to_owned),
                partner,
                ..Asked::default()
            });
        };
        let given = self.input.as_deref().map(str::trim).filter(|text| !text.is_empty());
        let given = given.ok_or_else(|| {
            Failure::new(Fault::ParameterInvalid)
                .at("--member")
                .remedy("Give the member number on standard input.")
        })?;
        let is_reference = given.starts_with("Patient/");
        Ok(Asked {
            member: Some(given.to_owned()).filter(|_| is_reference),
            member_number: Some(given.to_owned()).filter(|_| !is_reference),
            partner,
            ..Asked::default()
        })
    }

    /// Notes in the ledger what this user is about to be shown. Waits on this thread.
    ///
    /// # Errors
    /// Those of the store.
    pub fn show(&self, ctx: &Context, what: &'static str, object: Option<Object>) -> Result<(), Failure> {
        let viewer = Viewer {
            operator: self.name(),
            role: HOST,
            correlation: Correlation::internal(ctx.ids.new_id(ctx.clock.now_ms())),
        };
        ctx.store.reserved().write_blocking(viewed(ctx, &viewer, what, object))
    }
}
