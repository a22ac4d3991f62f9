//! Makes the references of a source local: references to entries of the same Bundle,
//! references with the base URL of the source, and references by search.

use super::bases::{NameClaim, SourceBase, split};
use super::local::Links;
use crate::error::Failure;
use crate::ids::is_fhir_id;
use crate::percent::decode_lenient;
use crate::store::{Store, resources};
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What the full URLs of a Bundle show: which resource each means, and the base URLs of the servers.
#[derive(Debug, Default)]
pub struct FullUrls {
    /// `None` for a URL that several resources have: a reference to it is left unchanged, and resolves to no member.
    entries: HashMap<String, Option<Entry>>,
    bases: Vec<SourceBase>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    rtype: String,
    id: String,
    base: Option<Arc<str>>,
}

impl FullUrls {
    /// Adds an entry.
    pub fn add(&mut self, url: &str, rtype: &str, id: &str) {
        let base = base_of(url);
        if let Some(base) = &base
            && !self.bases.iter().any(|known| known.url() == base)
        {
            self.bases.push(SourceBase::learnt(Arc::clone(base)));
        }
        let entry = Entry {
            rtype: rtype.to_owned(),
            id: id.to_owned(),
            base,
        };
        // Versions of one resource have the same full URL (R4 Bundle, bdl-7).
        self.entries
            .entry(plain(url))
            .and_modify(|known| {
                if known.as_ref() != Some(&entry) {
                    *known = None;
                }
            })
            .or_insert_with(|| Some(entry.clone()));
    }

    fn get(&self, reference: &str) -> Option<&Option<Entry>> {
        self.entries.get(&plain(reference))
    }
}

/// Returns the base of a full URL.
pub fn base_of(url: &str) -> Option<Arc<str>> {
    split(url).map(|(base, ..)| base.into())
}

/// Returns a URL without its version. A URN is returned in lower case, since UUIDs and OIDs ignore case.
fn plain(url: &str) -> String {
    let url = url.split_once("/_history/").map_or(url, |(before, _)| before);
    match url.get(..4) {
        Some(scheme) if scheme.eq_ignore_ascii_case("urn:") => url.to_ascii_lowercase(),
        _ => url.to_owned(),
    }
}

/// How many answers are kept; the directory of one export has fewer.
const REMEMBERED: usize = 50_000;

/// Looks up references of the form `Type?identifier=system|value`, and keeps the answers.
pub struct Conditional {
    store: Store,
    answers: Mutex<HashMap<String, Option<String>>>,
}

impl Conditional {
    /// Looks up in `store`.
    pub fn new(store: Store) -> Self {
        Conditional {
            store,
            answers: Mutex::new(HashMap::new()),
        }
    }

    /// Forgets the answers. Call it when more resources may have been stored.
    pub fn forget(&self) {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn local(&self, reference: &str) -> Option<String> {
        let (rtype, query) = reference.split_once('?')?;
        let token = query.strip_prefix("identifier=").filter(|token| !token.contains('&'))?;
        if !causeway_fhir_types::is_type(rtype) {
            return None;
        }
        if let Some(answer) = self
            .answers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(reference)
        {
            return answer.clone();
        }
        let answer = self.look_up(rtype, token).unwrap_or_else(|failure| {
            tracing::warn!(fault = failure.fault().code(), cause = ?failure.cause(), "a conditional reference was not looked up");
            None
        });
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.len() >= REMEMBERED {
            answers.clear();
        }
        answers.insert(reference.to_owned(), answer.clone());
        answer
    }

    fn look_up(&self, rtype: &str, token: &str) -> Result<Option<String>, Failure> {
        let (system, value) = match token.split_once('|') {
            Some((system, value)) => (Some(decode_lenient(system)), decode_lenient(value)),
            None => (None, decode_lenient(token)),
        };
        let ids = self
            .store
            .read_blocking(|db| resources::with_identifier(db, rtype, system.as_deref(), &value))?;
        Ok(match ids.as_slice() {
            [only] => Some(format!("{rtype}/{only}")),
            _ => None,
        })
    }
}

/// Makes the references of one source local.
pub struct SourceLinks<'a> {
    /// The entries of the Bundle, when the source is one.
    pub entries: Option<&'a FullUrls>,
    /// The base URLs that were given for the whole run.
    pub given: &'a [SourceBase],
    /// Looks up references by search.
    pub conditional: &'a Conditional,
    /// The base of the resource that is being processed.
    own: RefCell<Option<SourceBase>>,
    claims: RefCell<Vec<NameClaim>>,
}

impl<'a> SourceLinks<'a> {
    /// Makes the links of a chunk.
    pub fn new(entries: Option<&'a FullUrls>, given: &'a [SourceBase], conditional: &'a Conditional) -> Self {
        SourceLinks {
            entries,
            given,
            conditional,
            own: RefCell::default(),
            claims: RefCell::default(),
        }
    }

    /// Begins the next resource, which comes from the server with this base. When `base`
    /// is `None` and exactly one base was given, it is that one.
    pub fn begin(&self, base: Option<&Arc<str>>) {
        self.claims.borrow_mut().clear();
        *self.own.borrow_mut() = match (base, self.given) {
            (Some(base), given) => given
                .iter()
                .find(|known| known.url().eq_ignore_ascii_case(base))
                .cloned()
                .or_else(|| Some(SourceBase::learnt(Arc::clone(base)))),
            (None, [only]) => Some(only.clone()),
            (None, _) => None,
        };
    }

    /// Returns the claims made since [`SourceLinks::begin`], with that of the resource itself.
    pub fn end(&self, rtype: &str, id: &str) -> Vec<NameClaim> {
        let mut claims = std::mem::take(&mut *self.claims.borrow_mut());
        if let Some(own) = &*self.own.borrow() {
            claims.push(NameClaim::new(rtype, id, own));
        }
        claims
    }

    fn is_plain(&self) -> bool {
        self.entries.is_none() && self.given.is_empty()
    }

    /// Returns the name in this store of what `rtype/id` means under `base`.
    fn named(&self, rtype: &str, id: &str, base: Option<&SourceBase>) -> String {
        let Some(base) = base else {
            return format!("{rtype}/{id}");
        };
        let id = format!("{}{id}", base.prefix());
        self.claims.borrow_mut().push(NameClaim::new(rtype, &id, base));
        format!("{rtype}/{id}")
    }

    /// Returns the name of the entry that `reference` means; an inner `None` when it means several entries.
    fn entry(&self, reference: &str) -> Option<Option<String>> {
        let Some(entry) = self.entries?.get(reference)? else {
            return Some(None);
        };
        let base = match &entry.base {
            Some(base) => self.base(base),
            None => self.own.borrow().clone(),
        };
        Some(Some(self.named(&entry.rtype, &entry.id, base.as_ref())))
    }

    /// Returns the base with this URL.
    fn base(&self, url: &str) -> Option<SourceBase> {
        let learnt = self.entries.map_or(&[][..], |entries| &entries.bases);
        self.given
            .iter()
            .chain(learnt)
            .find(|base| base.url().eq_ignore_ascii_case(url))
            .cloned()
    }

    /// Splits a reference with a known base into type, id and base.
    fn absolute<'r>(&self, reference: &'r str) -> Option<(&'r str, &'r str, SourceBase)> {
        let learnt = self.entries.map_or(&[][..], |entries| &entries.bases);
        self.given.iter().chain(learnt).find_map(|base| {
            let (rtype, id) = relative(base.strip(reference)?)?;
            Some((rtype, id, base.clone()))
        })
    }
}

/// Returns type and id of a relative reference; a version at its end is ignored.
fn relative(text: &str) -> Option<(&str, &str)> {
    let text = text.split_once("/_history/").map_or(text, |(before, _)| before);
    let (rtype, id) = text.split_once('/')?;
    (causeway_fhir_types::is_type(rtype) && is_fhir_id(id)).then_some((rtype, id))
}

impl Links for SourceLinks<'_> {
    fn local(&self, reference: &str) -> Option<String> {
        if self.is_plain() {
            return if reference.contains('?') {
                self.conditional.local(reference)
            } else {
                None
            };
        }
        // A fragment is not part of a resource's name; a reference with a fragment becomes a reference to the resource.
        let bare = reference.split_once('#').map_or(reference, |(before, _)| before);
        if bare.is_empty() {
            return None;
        }
        if let Some(name) = self.entry(bare) {
            return name;
        }
        if bare.contains('?') {
            return self.conditional.local(bare);
        }
        if let Some((rtype, id, base)) = self.absolute(bare) {
            return Some(self.named(rtype, id, Some(&base)));
        }
        let own = self.own.borrow().clone()?;
        let (rtype, id) = relative(bare)?;
        let name = self.named(rtype, id, Some(&own));
        (!own.prefix().is_empty() || bare.len() < reference.len()).then_some(name)
    }

    fn local_url(&self, url: &str) -> Option<String> {
        let bare = url.split_once('#').map_or(url, |(before, _)| before);
        if let Some(name) = self.entry(bare) {
            return name;
        }
        // Other URLs may identify definitions, or lead to things that are no resources.
        if let Some((rtype, id, base)) = self.absolute(bare) {
            return (rtype == "Binary").then(|| self.named(rtype, id, Some(&base)));
        }
        let own = self.own.borrow().clone().filter(|own| !own.prefix().is_empty())?;
        match relative(bare) {
            Some(("Binary", id)) => Some(self.named("Binary", id, Some(&own))),
            _ => None,
        }
    }

    fn local_link(&self, url: &str) -> Option<String> {
        let bare = url.split_once('#').map_or(url, |(before, _)| before);
        if let Some(name) = self.entry(bare) {
            return name;
        }
        if let Some((rtype, id, base)) = self.absolute(bare) {
            return Some(self.named(rtype, id, Some(&base)));
        }
        let own = self.own.borrow().clone().filter(|own| !own.prefix().is_empty())?;
        let (rtype, id) = relative(bare)?;
        Some(self.named(rtype, id, Some(&own)))
    }

    fn has_urls(&self) -> bool {
        !self.is_plain()
    }

    fn id_prefix(&self) -> String {
        self.own
            .borrow()
            .as_ref()
            .map_or_else(String::new, |own| own.prefix().to_owned())
    }
}
