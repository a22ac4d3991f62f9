//! Why somebody looks at members' data on the host, and who: the arguments of the commands that show it.
//!
//! A reason is never made up here: without one, a command that shows values of a person shows nothing.

use super::asker::CommandAsker;
use crate::audit::OperatorNote;
use crate::consent::REASON_MAX;
use crate::error::{Failure, Fault};
use crate::ops::viewed::access_reason;
use clap::Args;

/// Why somebody looks, and who.
#[derive(Args, Clone, Debug, Default)]
pub struct LookArgs {
    /// Why you look; kept beside the ledger with your user id
    #[arg(long, value_name = "WHY")]
    pub reason: Option<String>,
    /// Who you are, beside your user id on this host
    #[arg(long, value_name = "WHO")]
    pub operator: Option<String>,
}

impl LookArgs {
    /// What the ledger keeps of a look at values of a person.
    ///
    /// # Errors
    /// [`Fault::ParameterInvalid`] without a reason; as [`LookArgs::note`].
    pub fn demanded(&self, asker: &CommandAsker) -> Result<OperatorNote, Failure> {
        match self.reason {
            Some(_) => self.note(asker),
            None => Err(bad("This shows personal data: say why you look with --reason.")),
        }
    }

    /// What the ledger keeps of any other look: a reason where one was given.
    ///
    /// # Errors
    /// [`Fault::ParameterInvalid`] for a reason that is not one line of 1 to 500 characters, and for an operator that is none.
    pub fn note(&self, asker: &CommandAsker) -> Result<OperatorNote, Failure> {
        let operator = asker.named(self.operator.as_deref())?;
        let reason = match self.reason.as_deref() {
            None => String::new(),
            Some(text) => access_reason(text)
                .ok_or_else(|| bad(&format!("Say why, in 1 to {REASON_MAX} characters on one line.")))?
                .to_owned(),
        };
        Ok(OperatorNote { operator, reason })
    }
}

fn bad(remedy: &str) -> Failure {
    Failure::new(Fault::ParameterInvalid).at("--reason").remedy(remedy)
}
