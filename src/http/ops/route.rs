//! The form of a row of `super::table`, and how rows are written there.
//!
//! Data only.

use super::admitted::{Asks, OPERATOR, ReasonRule, Sees, Shows};
use super::call::OpsCall;
use crate::http::notice::EndNotice;

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct OpsRoute {
    /// HTTP method; GET serves HEAD too.
    pub method: &'static str,
    /// Path from the server's root.
    pub path: &'static str,
    /// What it does.
    pub call: OpsCall,
    /// Who may ask for it.
    pub asks: Asks,
    /// Where who asks says why.
    pub reason: ReasonRule,
    /// The parameters it takes; any other is refused.
    pub parameters: &'static [&'static str],
    /// The members of its body, if it takes one; any other is refused.
    pub body: Option<&'static str>,
    /// What it answers, in one line.
    pub text: &'static str,
    /// The notice that it ends, if it does.
    pub ends: Option<EndNotice>,
}

impl OpsRoute {
    /// Whether somebody who is shown so much is let in only with a reason in the header.
    pub fn needs_reason(&self, sees: Sees) -> bool {
        match self.reason {
            ReasonRule::WherePersonal => sees.shows() == Shows::Personal,
            ReasonRule::Header => true,
            ReasonRule::Body => false,
        }
    }
}

/// The page after this one; documented for all lists at once.
pub const CURSOR: &str = "cursor";

pub(super) const fn get(path: &'static str, call: OpsCall, asks: Asks, text: &'static str) -> OpsRoute {
    OpsRoute {
        method: "GET",
        path,
        call,
        asks,
        reason: ReasonRule::WherePersonal,
        parameters: &[],
        body: None,
        text,
        ends: None,
    }
}

pub(super) const fn says_why(reason: ReasonRule, route: OpsRoute) -> OpsRoute {
    OpsRoute { reason, ..route }
}

pub(super) const fn list(
    path: &'static str,
    call: OpsCall,
    asks: Asks,
    parameters: &'static [&'static str],
    text: &'static str,
) -> OpsRoute {
    OpsRoute {
        parameters,
        ..get(path, call, asks, text)
    }
}

pub(super) const fn post(
    path: &'static str,
    call: OpsCall,
    asks: Asks,
    body: &'static str,
    text: &'static str,
) -> OpsRoute {
    OpsRoute {
        method: "POST",
        body: Some(body),
        ..get(path, call, asks, text)
    }
}

pub(super) const fn act(path: &'static str, call: OpsCall, text: &'static str) -> OpsRoute {
    reasoned(path, call, OPERATOR, "a reason", text)
}

/// A POST whose body has a reason.
pub(super) const fn reasoned(
    path: &'static str,
    call: OpsCall,
    asks: Asks,
    body: &'static str,
    text: &'static str,
) -> OpsRoute {
    says_why(ReasonRule::Body, post(path, call, asks, body, text))
}
