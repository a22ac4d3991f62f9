//! The sessions of browsers, in memory: each a token behind the digest of a random handle.
//!
//! There are only so many: of one partner on one network, of one partner, and in all. Nobody's session ends for that of another partner,
//! also not where both are behind one address. A session is made for a token that was just found valid, ends with it at the latest, and
//! takes a new handle each time.

use crate::error::Fault;
use crate::secret::{Secret, base64url, random, same, sha256};
use crate::security::{ClientNetwork, PeerCertificate};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Most sessions of one partner on one network; its oldest there ends for a further one.
const OF_A_NETWORK: usize = 8;
/// Most sessions of one partner; its oldest ends for a further one.
const OF_A_PARTNER: usize = 32;
/// Most sessions in all. A further one is refused, so that nobody ends those of others.
const IN_ALL: usize = 512;

/// One session: whose token a browser may use, and until when.
#[derive(Debug)]
pub struct BrowserSession {
    /// The token.
    pub token: Secret,
    /// The partner that the token belongs to.
    pub partner: String,
    /// When the token ends, in UTC milliseconds of lasting time.
    pub ends_ms: i64,
    /// The certificate that stands for the browser's own: of the development partner, by `serve --dev` alone.
    pub certificate: Option<PeerCertificate>,
    form_token: [u8; 32],
}

impl BrowserSession {
    /// A session for a token that was found valid.
    pub fn new(token: Secret, partner: String, ends_ms: i64, certificate: Option<PeerCertificate>) -> BrowserSession {
        BrowserSession {
            token,
            partner,
            ends_ms,
            certificate,
            form_token: random(),
        }
    }

    /// The form token of this session's pages.
    pub fn form_token(&self) -> String {
        base64url(&self.form_token)
    }

    /// Whether `text` is the form token, compared in constant time.
    pub fn is_form_token(&self, text: &str) -> bool {
        same(self.form_token().as_bytes(), text.as_bytes())
    }
}

#[derive(Debug)]
struct KeptSession {
    session: Arc<BrowserSession>,
    network: ClientNetwork,
    /// The order in which sessions were made.
    number: u64,
}

#[derive(Debug, Default)]
struct Places {
    kept: HashMap<[u8; 32], KeptSession>,
    made: u64,
}

impl Places {
    /// Ends the oldest session of those that `is_one` names, if there are `most` of them.
    fn make_room(&mut self, most: usize, is_one: impl Fn(&KeptSession) -> bool) {
        let those = self.kept.iter().filter(|(_, kept)| is_one(kept));
        let mut those: Vec<(u64, [u8; 32])> = those.map(|(key, kept)| (kept.number, *key)).collect();
        if those.len() < most {
            return;
        }
        those.sort_unstable();
        if let Some((_, oldest)) = those.first() {
            self.kept.remove(oldest);
        }
    }
}

/// All sessions of this process.
#[derive(Debug, Default)]
pub struct BrowserSessions(Mutex<Places>);

impl BrowserSessions {
    /// Keeps a session and returns its handle, which is random and was never used before.
    ///
    /// # Errors
    /// [`Fault::Overloaded`] when there are too many in all.
    pub fn open(&self, session: BrowserSession, network: ClientNetwork, now_ms: i64) -> Result<[u8; 32], Fault> {
        let mut places = self.places();
        places.kept.retain(|_, kept| kept.session.ends_ms > now_ms);
        let is_own = |kept: &KeptSession| kept.session.partner == session.partner;
        places.make_room(OF_A_NETWORK, |kept| is_own(kept) && kept.network == network);
        places.make_room(OF_A_PARTNER, is_own);
        if places.kept.len() >= IN_ALL {
            return Err(Fault::Overloaded);
        }
        let handle = random::<32>();
        places.made += 1;
        let kept = KeptSession {
            session: Arc::new(session),
            network,
            number: places.made,
        };
        places.kept.insert(sha256(&handle), kept);
        Ok(handle)
    }

    /// The session of a handle that is not over. Handles are looked up by their digest, so the time that this takes says nothing about
    /// those that exist.
    pub fn find(&self, handle: &[u8; 32], now_ms: i64) -> Option<Arc<BrowserSession>> {
        let key = sha256(handle);
        let mut places = self.places();
        let session = Arc::clone(&places.kept.get(&key)?.session);
        if session.ends_ms > now_ms {
            return Some(session);
        }
        places.kept.remove(&key);
        None
    }

    /// Ends the session of a handle.
    pub fn end(&self, handle: &[u8; 32]) {
        self.places().kept.remove(&sha256(handle));
    }

    /// Ends this session.
    pub fn end_one(&self, session: &Arc<BrowserSession>) {
        self.places()
            .kept
            .retain(|_, kept| !Arc::ptr_eq(&kept.session, session));
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.places().kept.len()
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
