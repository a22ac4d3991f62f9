//! How a check ends when it does not pass.

/// Why a check did not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The server does not meet the requirement.
    Fail(String),
    /// The server's data, not its behavior, seems to be at fault.
    Data(String),
    /// The test cannot be run with this data or these client settings.
    Skip(String),
    /// The requirement does not apply to this server.
    Omit(String),
    /// There is no result: the connection failed, or the runner could not continue.
    Error(String),
}

/// The result of a check.
pub(crate) type Checked<T = ()> = Result<T, Stop>;

/// Fails with `text`.
pub(crate) fn fail<T>(text: impl Into<String>) -> Checked<T> {
    Err(Stop::Fail(text.into()))
}

/// Skips the test with the reason `text`.
pub(crate) fn skip<T>(text: impl Into<String>) -> Checked<T> {
    Err(Stop::Skip(text.into()))
}

/// Fails with `text` unless `held`.
pub(crate) fn demand(held: bool, text: impl FnOnce() -> String) -> Checked {
    if held { Ok(()) } else { Err(Stop::Fail(text())) }
}
