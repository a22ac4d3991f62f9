//! Which roles may ask, how much each is shown, and where it says why: the groups that rows of `super::table` name.

use crate::security::{Role, Roles};

/// What an answer shows of members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shows {
    /// No member.
    Nothing,
    /// Ids of Patients, which only this payer can read.
    Ids,
    /// Values of a person: names, dates, numbers, words.
    Personal,
}

impl Shows {
    /// The word of the table in docs/operations.md.
    pub const fn word(self) -> &'static str {
        match self {
            Shows::Nothing => "none",
            Shows::Ids => "ids",
            Shows::Personal => "personal",
        }
    }
}

/// Where an operator says why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReasonRule {
    /// In the header, wherever the answer shows values of a person; elsewhere the header may be given.
    WherePersonal,
    /// In the header, always.
    Header,
    /// In the body.
    Body,
}

/// How much of an answer a role is shown, from the least to the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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

    /// The same without values of a person.
    pub const fn masked(self) -> Sees {
        match self {
            Sees::Words => Sees::Levels,
            other => other,
        }
    }

    /// What that is of members.
    pub const fn shows(self) -> Shows {
        match self {
            Sees::Yes | Sees::States | Sees::Levels => Shows::Nothing,
            Sees::Ids => Shows::Ids,
            Sees::Words => Shows::Personal,
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

    /// Of these roles the one that is shown the most; `None` when none of them may ask.
    pub fn admits(self, roles: &Roles) -> Option<(Role, Sees)> {
        let each = roles.iter().filter_map(|role| Some((role, self.sees(role)?)));
        each.max_by_key(|(_, sees)| *sees)
    }

    /// The most that anybody is shown of members.
    pub fn shows(self) -> Shows {
        match self {
            Asks::Anybody => Shows::Nothing,
            Asks::Roles(roles) => {
                let each = roles.iter().map(|(_, sees)| sees.shows());
                each.max().unwrap_or(Shows::Nothing)
            }
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
pub(super) const POLICY_LOOKS: Asks = Asks::Roles(&[(Role::Auditor, Sees::Levels), (Role::Admin, Sees::Levels)]);
pub(super) const EVERY_ROLE: Asks = Asks::Roles(&[
    (Role::Support, Sees::Yes),
    (Role::Operator, Sees::Yes),
    (Role::Reviewer, Sees::Yes),
    (Role::Auditor, Sees::Yes),
    (Role::Admin, Sees::Yes),
]);
