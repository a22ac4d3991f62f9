//! The explorer's sessions: a person pastes a token once, and this server keeps it behind a random handle in a cookie.
//!
//! The cookie stands for the token only where a browser asks for a page because somebody used a link or a form of this server's own
//! pages. Programs, scripts and other origins never get anything by it, and a POST counts only with its page's form token. A session grants
//! nothing by itself: its token is judged like that of any request, each time. Sessions are kept in this process alone.

mod act;
mod acting;
mod answers;
pub(super) mod browser;
pub(super) mod cookie;
pub mod entry;
mod sessions;
#[cfg(test)]
mod tests;
mod visit;

pub use acting::ActingPartner;
pub use sessions::{BrowserSession, BrowserSessions};
pub use visit::{ShownProof, arrives, judged, reader, session_of};

/// The name of the field with the form token.
pub const FORM_FIELD: &str = "_csrf";

/// What the explorer keeps between requests.
#[derive(Debug)]
pub struct Explorer {
    sessions: BrowserSessions,
    forms: crate::secret::Mac,
}

impl Default for Explorer {
    fn default() -> Explorer {
        Explorer {
            sessions: BrowserSessions::default(),
            forms: crate::secret::Mac::new(&crate::secret::random()),
        }
    }
}

impl Explorer {
    /// The sessions.
    pub fn sessions(&self) -> &BrowserSessions {
        &self.sessions
    }

    /// The form token of a browser without a session, from the random value of its form cookie.
    fn form_token(&self, value: &[u8; 32]) -> String {
        crate::secret::base64url(&self.forms.of(value))
    }
}
