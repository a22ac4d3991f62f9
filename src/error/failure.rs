//! The one error type: a fault, where it is, and a private cause for the log.

use super::Fault;
use std::error::Error;
use std::fmt;

/// A fault with its place (FHIRPath expressions) and a private cause.
///
/// `Display` prints code and public text and is safe to show to anyone; [`Error::source`] goes to the log, once, where
/// the failure is handled. Neither may carry member data.
#[derive(Debug)]
pub struct Failure {
    fault: Fault,
    expression: Vec<String>,
    remedy: Option<String>,
    retry_after_s: Option<u32>,
    noted: bool,
    cause: Option<Box<dyn Error + Send + Sync>>,
}

impl Failure {
    /// A failure of this kind, with no place and no cause.
    pub fn new(fault: Fault) -> Self {
        Failure {
            fault,
            expression: Vec::new(),
            remedy: None,
            retry_after_s: None,
            noted: false,
            cause: None,
        }
    }

    /// Adds a FHIRPath expression that says where the fault is. Never put a value in it.
    #[must_use]
    pub fn at(mut self, expression: impl Into<String>) -> Self {
        self.expression.push(expression.into());
        self
    }

    /// Replaces the table's remedy by a more exact one. Fixed texts and names of ours only, never input.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// Says after how many seconds trying again can help, where that is known.
    #[must_use]
    pub fn retry_after_s(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// Says that the ledger has an entry of this refusal already, so that nobody writes a second one.
    #[must_use]
    pub fn noted(mut self) -> Self {
        self.noted = true;
        self
    }

    /// Whether the ledger has an entry of this refusal already.
    pub fn is_noted(&self) -> bool {
        self.noted
    }

    /// Adds the private cause, for the log.
    #[must_use]
    pub fn because(mut self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// The row this failure belongs to.
    pub fn fault(&self) -> Fault {
        self.fault
    }

    /// FHIRPath expressions of the elements at fault.
    pub fn expressions(&self) -> &[String] {
        &self.expression
    }

    /// What the caller can do: the exact remedy, or that of the table.
    pub fn remedy_text(&self) -> &str {
        self.remedy.as_deref().unwrap_or(self.fault.row().remedy)
    }

    /// What an operator can do: the exact remedy, or that of the table for operators.
    pub fn operator_remedy_text(&self) -> &str {
        self.remedy
            .as_deref()
            .or(self.fault.operator_remedy())
            .unwrap_or(self.fault.row().remedy)
    }

    /// The same failure with the remedy that an operator needs.
    #[must_use]
    pub fn for_operators(self) -> Self {
        let remedy = self.operator_remedy_text().to_owned();
        self.remedy(remedy)
    }

    /// Seconds to wait, when they are known.
    pub fn known_wait_s(&self) -> Option<u32> {
        self.retry_after_s
    }

    /// The private cause, if any.
    pub fn cause(&self) -> Option<&(dyn Error + Send + Sync + 'static)> {
        self.cause.as_deref()
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Failure::new(fault)
    }
}

impl From<causeway_jose::SigningError> for Failure {
    fn from(error: causeway_jose::SigningError) -> Self {
        match error {
            causeway_jose::SigningError::NoPrivateKey => {
                Failure::new(Fault::InputUnreadable).remedy("Give a private JWK with kid and alg.")
            }
            causeway_jose::SigningError::Library(cause) => Failure::new(Fault::Internal).because(cause),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = self.fault.row();
        write!(f, "{} {}", row.code, row.text)?;
        for place in &self.expression {
            write!(f, " [{place}]")?;
        }
        Ok(())
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as &(dyn Error + 'static))
    }
}
