//! Which roles may ask, and how much each is shown: the groups that rows of `super::table` name.

use crate::security::Role;

/// How much of an answer a role is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sees {
    /// All there is, which names no member.
    Yes,
    /// States and times; no member.
    States,
    /// How fields compared, never what stood in them; no member.
    Levels,
    /// Also the ids of Patients.
    Ids,
    /// Also what was asked, what is held, partners' numbers and reviewers' reasons.
    Words,
}

impl Sees {
    /// The word of the table in docs/operations.md.
    pub const fn word(self) -> &'static str {
        match self {
            Sees::Yes => "yes",
            Sees::States => "states",
            Sees::Levels => "levels",
            Sees::Ids => "ids",
            Sees::Words => "words",
        }
    }
}

/// Who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asks {
    /// Whoever reaches this listener; no token is looked at.
    Anybody,
    /// Holders of a token of one of these roles, each of whom is shown so much.
    Roles(&'static [(Role, Sees)]),
}

impl Asks {
    /// How much this role is shown; `None` when it may not ask.
    pub fn sees(self, role: Role) -> Option<Sees> {
        match self {
            Asks::Anybody => Some(Sees::Yes),
            Asks::Roles(roles) => roles.iter().find(|(one, _)| *one == role).map(|(_, sees)| *sees),
        }
    }
}

pub(super) const ANYBODY: Asks = Asks::Anybody;
pub(super) const AUDITOR: Asks = Asks::Roles(&[(Role::Auditor, Sees::Ids)]);
pub(super) const OPERATOR: Asks = Asks::Roles(&[(Role::Operator, Sees::Yes)]);
pub(super) const ADMIN: Asks = Asks::Roles(&[(Role::Admin, Sees::Yes)]);
pub(super) const REVIEWER: Asks = Asks::Roles(&[(Role::Reviewer, Sees::Words)]);
pub(super) const REVIEWER_DECIDES: Asks = Asks::Roles(&[(Role::Reviewer, Sees::Yes)]);
pub(super) const AUDITOR_OF_LEDGER: Asks = Asks::Roles(&[(Role::Auditor, Sees::Yes)]);
pub(super) const LINKS: Asks = Asks::Roles(&[(Role::Reviewer, Sees::Words), (Role::Auditor, Sees::Ids)]);
pub(super) const CONSENTS: Asks = Asks::Roles(&[(Role::Operator, Sees::States), (Role::Auditor, Sees::Ids)]);
pub(super) const DECISIONS: Asks = Asks::Roles(&[
    (Role::Support, Sees::Levels),
    (Role::Operator, Sees::Levels),
    (Role::Auditor, Sees::Ids),
]);
pub(super) const TRACE: Asks = Asks::Roles(&[
    (Role::Support, Sees::Yes),
    (Role::Operator, Sees::Yes),
    (Role::Auditor, Sees::Yes),
]);
pub(super) const REVIEWS: Asks = Asks::Roles(&[
    (Role::Support, Sees::States),
    (Role::Operator, Sees::States),
    (Role::Reviewer, Sees::States),
    (Role::Auditor, Sees::States),
]);
pub(super) const REVIEW: Asks = Asks::Roles(&[
    (Role::Support, Sees::Levels),
    (Role::Operator, Sees::Levels),
    (Role::Reviewer, Sees::Words),
    (Role::Auditor, Sees::Ids),
]);
pub(super) const EXCHANGES: Asks = Asks::Roles(&[
    (Role::Support, Sees::States),
    (Role::Operator, Sees::States),
    (Role::Auditor, Sees::Ids),
]);
pub(super) const RETENTION: Asks = Asks::Roles(&[
    (Role::Operator, Sees::Yes),
    (Role::Auditor, Sees::Yes),
    (Role::Admin, Sees::Yes),
]);
pub(super) const HOLDS: Asks = Asks::Roles(&[(Role::Auditor, Sees::Ids), (Role::Admin, Sees::States)]);
pub(super) const EVERY_ROLE: Asks = Asks::Roles(&[
    (Role::Support, Sees::Yes),
    (Role::Operator, Sees::Yes),
    (Role::Reviewer, Sees::Yes),
    (Role::Auditor, Sees::Yes),
    (Role::Admin, Sees::Yes),
]);
