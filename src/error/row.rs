//! The columns of the fault table: what a row says, and the words in which it says it.
//!
//! Vocabulary only. Which fault has which value is in [`Fault`](super::Fault); nothing here decides.

/// How grave an issue is; the FHIR `issue-severity` code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The request failed and the caller must change something.
    Error,
    /// The server cannot go on with this request.
    Fatal,
    /// The request went through, with something to note.
    Warning,
}

impl Severity {
    /// The code of `http://hl7.org/fhir/issue-severity`.
    pub const fn code(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Fatal => "fatal",
            Severity::Warning => "warning",
        }
    }
}

/// What a caller should do about trying again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// The same request will fail again.
    Never,
    /// Try again after the `Retry-After` of the answer, or with exponential back-off.
    Backoff,
    /// Get a fresh token, then try once.
    FreshToken,
}

impl Retry {
    /// The word printed by `causeway faults`.
    pub const fn code(self) -> &'static str {
        match self {
            Retry::Never => "never",
            Retry::Backoff => "backoff",
            Retry::FreshToken => "fresh-token",
        }
    }
}

/// Who has to act so that a fault ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FaultOwner {
    /// Whoever sent the request or gave the command.
    Caller,
    /// Who runs this server.
    Operator,
    /// Who decides doubtful matches.
    Reviewer,
    /// Who maintains the program: it has a defect.
    Maintainer,
    /// Nobody: the fault ends by itself.
    Nobody,
}

impl FaultOwner {
    /// Every owner.
    pub const ALL: [FaultOwner; 5] = [
        FaultOwner::Caller,
        FaultOwner::Operator,
        FaultOwner::Reviewer,
        FaultOwner::Maintainer,
        FaultOwner::Nobody,
    ];

    /// The word of the tables.
    pub const fn code(self) -> &'static str {
        match self {
            FaultOwner::Caller => "caller",
            FaultOwner::Operator => "operator",
            FaultOwner::Reviewer => "reviewer",
            FaultOwner::Maintainer => "maintainer",
            FaultOwner::Nobody => "nobody",
        }
    }

    /// Who that is.
    pub const fn text(self) -> &'static str {
        match self {
            FaultOwner::Caller => "whoever sent the request or gave the command",
            FaultOwner::Operator => "whoever runs this server",
            FaultOwner::Reviewer => "a person who decides doubtful matches",
            FaultOwner::Maintainer => "whoever maintains the program; the operator reports the fault",
            FaultOwner::Nobody => "no one: the fault ends by itself",
        }
    }
}

/// How soon the owner has to act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ActWithin {
    /// At once.
    Now,
    /// Within an hour.
    Hour,
    /// Within a working day.
    Day,
    /// Before the same thing is tried again.
    NextTry,
    /// Not at all.
    Never,
}

impl ActWithin {
    /// Every time, the shortest first.
    pub const ALL: [ActWithin; 5] = [
        ActWithin::Now,
        ActWithin::Hour,
        ActWithin::Day,
        ActWithin::NextTry,
        ActWithin::Never,
    ];

    /// The word of the tables.
    pub const fn code(self) -> &'static str {
        match self {
            ActWithin::Now => "now",
            ActWithin::Hour => "hour",
            ActWithin::Day => "day",
            ActWithin::NextTry => "next-try",
            ActWithin::Never => "never",
        }
    }

    /// What it means.
    pub const fn text(self) -> &'static str {
        match self {
            ActWithin::Now => "at once, day or night: nobody is served, or work could be lost",
            ActWithin::Hour => "within an hour: partners are refused in the meantime",
            ActWithin::Day => "within a working day: one partner, one review or one resource is waiting",
            ActWithin::NextTry => "before the same thing is tried again: nothing else is waiting",
            ActWithin::Never => "not at all",
        }
    }
}

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultRow {
    /// Our stable code, such as `MM-001`.
    pub code: &'static str,
    /// The FHIR `issue-type` code.
    pub issue: &'static str,
    /// Severity of the issue.
    pub severity: Severity,
    /// HTTP status of the answer.
    pub http: u16,
    /// Whether trying again can help.
    pub retry: Retry,
    /// Who has to act so that it ends.
    pub owner: FaultOwner,
    /// How soon.
    pub within: ActWithin,
    /// What happened, in words fit for the caller.
    pub text: &'static str,
    /// What the caller can do about it.
    pub remedy: &'static str,
}
