//! Who gave a command, and what came on its standard input: both belong to the process of whoever asks, not to the server that may
//! run the command. What the server's own configuration allows a command stands beside it.

use crate::audit::{Object, OperatorNote};
use crate::bulk::files::BulkFiles;
use crate::config::Config;
use crate::consent::WithdrawnBy;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::ops::disclosures::DisclosuresAsked;
use crate::ops::viewed::{Viewer, viewed, viewed_sealed};
use crate::review;
use crate::store::Db;
use crate::telemetry::Correlation;
use std::io::Read as _;
use std::path::PathBuf;

/// The role of who works on the host, where roles do not bind.
pub const HOST: &str = "host";
/// Bytes of standard input that are read.
const INPUT_BYTES: u64 = 4_096;

/// Who gave a command.
#[derive(Clone)]
pub struct CommandAsker {
    /// User id on this host.
    pub uid: u32,
    /// Standard input, of a command that takes some.
    pub input: Option<String>,
    /// Whether the server listens on this machine's own address only, so that partners may be registered that are on it too.
    pub on_loopback: bool,
    /// Scheme, host and port of the operations side, for the links of the console.
    pub console: String,
    /// The folder of the server's own files, where the keys are that seal what other payers send.
    pub data_folder: PathBuf,
    /// The files of bulk jobs.
    pub files: BulkFiles,
}

impl CommandAsker {
    /// The user of this process under this configuration, with standard input where `member`, what the command was given for
    /// `--member`, asks for it by `-`.
    ///
    /// # Errors
    /// [`Fault::InputUnreadable`].
    pub fn here(member: Option<&str>, config: &Config) -> Result<CommandAsker, Failure> {
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
        Ok(CommandAsker {
            uid: rustix::process::getuid().as_raw(),
            input,
            on_loopback: config.server.is_on_loopback(),
            console: config.server.ops_origin(),
            data_folder: config.data_folder(),
            files: BulkFiles::new(config),
        })
    }

    /// The name that the ledger has for this user.
    pub fn name(&self) -> String {
        format!("uid-{}", self.uid)
    }

    /// What the ledger keeps of this user and of why something was done; nothing of a reason that is empty.
    pub fn note(&self, reason: &str) -> OperatorNote {
        OperatorNote {
            operator: self.name(),
            reason: reason.to_owned(),
        }
    }

    /// What an operator gave as reason, and as an id where it gave one: the user of this host stands before it, since anybody could
    /// give any id.
    ///
    /// # Errors
    /// [`Fault::ParameterInvalid`] for an id that is none of ours, or no reason.
    pub fn operator_note(&self, operator: Option<&str>, reason: &str) -> Result<OperatorNote, Failure> {
        let operator = self.named(operator)?;
        if !crate::ids::is_one_line(reason) {
            let remedy = "Say why, on one line.";
            return Err(Failure::new(Fault::ParameterInvalid).at("--reason").remedy(remedy));
        }
        Ok(OperatorNote {
            operator,
            reason: reason.to_owned(),
        })
    }

    /// The name that the ledger has for this user, with the id that an operator gave.
    ///
    /// # Errors
    /// [`Fault::ParameterInvalid`] for an id that is none of ours.
    pub fn named(&self, operator: Option<&str>) -> Result<String, Failure> {
        match operator {
            None => Ok(self.name()),
            Some(id) if crate::ids::is_fhir_id(id) => Ok(format!("{}/{id}", self.name())),
            Some(_) => {
                let remedy = "Give --operator as 1 to 64 letters, digits, hyphens and dots.";
                Err(Failure::new(Fault::ParameterInvalid).at("--operator").remedy(remedy))
            }
        }
    }

    /// A member as `--member` says it: `Patient/<id>`, an id, or `-` for a member number on standard input.
    ///
    /// # Errors
    /// [`Fault::ParameterInvalid`] where nothing came on standard input.
    pub fn asked(&self, member: Option<&str>, partner: Option<&str>) -> Result<DisclosuresAsked, Failure> {
        let partner = partner.map(str::to_owned);
        let Some("-") = member else {
            return Ok(DisclosuresAsked {
                member: member.map(str::to_owned),
                partner,
                ..DisclosuresAsked::default()
            });
        };
        let given = self.input.as_deref().map(str::trim).filter(|text| !text.is_empty());
        let given = given.ok_or_else(|| {
            Failure::new(Fault::ParameterInvalid)
                .at("--member")
                .remedy("Give the member number on standard input.")
        })?;
        let is_reference = given.starts_with("Patient/");
        Ok(DisclosuresAsked {
            member: Some(given.to_owned()).filter(|_| is_reference),
            member_number: Some(given.to_owned()).filter(|_| !is_reference),
            partner,
            ..DisclosuresAsked::default()
        })
    }

    /// Notes in the ledger what this user is about to be shown, without a reason; otherwise as [`CommandAsker::show_to`].
    ///
    /// # Errors
    /// Those of the store.
    pub fn show(&self, ctx: &Context, what: &'static str, object: Option<Object>) -> Result<(), Failure> {
        self.show_to(ctx, self.note(""), what, object)
    }

    /// Notes in the ledger what this user is about to be shown, and why, unless the store takes no writes (then the command has said so): who
    /// reads a standby on its host could read its files as well. Waits on this thread.
    ///
    /// # Errors
    /// Those of the store.
    pub fn show_to(
        &self,
        ctx: &Context,
        by: OperatorNote,
        what: &'static str,
        object: Option<Object>,
    ) -> Result<(), Failure> {
        note(ctx, viewed(ctx, &viewer(ctx, by), what, object))
    }

    /// As [`CommandAsker::show_to`], of what is sealed for the recipient whose key has this digest.
    ///
    /// # Errors
    /// Those of the store.
    pub fn show_sealed(
        &self,
        ctx: &Context,
        by: OperatorNote,
        shown: (&'static str, Option<Object>),
        recipient_sha256: &[u8; 32],
    ) -> Result<(), Failure> {
        note(ctx, viewed_sealed(ctx, &viewer(ctx, by), shown, recipient_sha256))
    }

    /// Notes, as [`CommandAsker::show_to`] does, that this user is about to be shown a review, or links, as a reviewer.
    ///
    /// # Errors
    /// Those of the store.
    pub fn show_review(&self, ctx: &Context, by: OperatorNote, about: Option<Object>) -> Result<(), Failure> {
        let correlation = Correlation::internal(ctx.ids.new_id(ctx.clock.now_ms()));
        note(ctx, review::viewed(ctx, "reviewer", by, &correlation, about))
    }
}

fn viewer(ctx: &Context, by: OperatorNote) -> Viewer {
    Viewer {
        operator: by.operator,
        role: HOST,
        reason: by.reason,
        correlation: Correlation::internal(ctx.ids.new_id(ctx.clock.now_ms())),
    }
}

fn note(ctx: &Context, work: impl FnMut(&mut Db) -> Result<(), Failure> + Send + 'static) -> Result<(), Failure> {
    // Only a command on the host opens a store that takes no writes, and it has said that nothing is noted.
    match ctx.store.read_only() {
        Some(_) => Ok(()),
        None => ctx.store.reserved().write_blocking(work),
    }
}

/// The user of this host as the one who acts.
pub(super) fn by(ctx: &Context, asker: &CommandAsker, reason: &str) -> Result<WithdrawnBy, Failure> {
    let correlation = Correlation::internal(ctx.ids.new_id(ctx.clock.now_ms()));
    WithdrawnBy::new(asker.name(), HOST, reason, correlation)
}
