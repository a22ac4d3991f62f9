//! The terms of the guessing guard: a guess, its targets, and the limits.

/// How many targets one guess may have, the guess as a whole included.
pub const TARGETS: usize = 16;

/// A keyed hash of something that a request sent.
pub type GuessTarget = [u8; 16];

/// The limits of the guard (`[policy]`, `guess_…`). Zero switches a limit off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuessLimits {
    /// Different failed guesses about one card number, or about one name and birth date.
    pub per_target: i64,
    /// Different failed guesses about something that several people share: a name, a subscriber number.
    pub per_shared: i64,
    /// Different failed guesses that came near one record.
    pub per_record: i64,
    /// How long a guess counts, in milliseconds.
    pub window_ms: i64,
    /// How many matches a partner must have before its share of failures is judged.
    pub ratio_least: i64,
    /// Share of failures that raises the alarm, in percent.
    pub alarm_percent: i64,
    /// Share of failures that locks the partner's matching, in percent.
    pub lock_percent: i64,
    /// How long a lock lasts, in milliseconds.
    pub lock_ms: i64,
}

impl Default for GuessLimits {
    fn default() -> Self {
        GuessLimits {
            per_target: 5,
            per_shared: 30,
            per_record: 10,
            window_ms: 86_400_000,
            ratio_least: 50,
            alarm_percent: 20,
            lock_percent: 50,
            lock_ms: 3_600_000,
        }
    }
}

/// The kind of a target, which decides its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuessKind {
    /// Belongs to one person: a card number, or a name with a birth date.
    Own,
    /// Shared by several people: a name with a gender, a subscriber number.
    Shared,
}

/// A request as the guard sees it.
#[derive(Clone, Debug)]
pub struct Guess {
    /// The partner that asks.
    pub partner_id: String,
    /// Hash of everything that the matcher reads of the request; an equal request is not a new guess.
    pub whole: GuessTarget,
    /// The things that it may have in common with other guesses; at most [`TARGETS`] less one.
    pub targets: Vec<(GuessKind, GuessTarget)>,
    /// The record that came nearest. When none came near, a hash that belongs to no record, so that the work is the same.
    pub record: GuessTarget,
    /// How the match ended.
    pub end: End,
    /// When it was asked, UTC milliseconds.
    pub now_ms: i64,
}

/// How the match of a guess ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It was refused, with the answer for "no member found".
    Failed,
    /// A member matched, but the consent cannot be honored, and the refusal says so.
    Withheld,
    /// It was granted.
    Granted {
        /// Id of the member's Patient.
        patient_id: String,
        /// Whether a reviewer confirmed this very question.
        by_person: bool,
    },
}
