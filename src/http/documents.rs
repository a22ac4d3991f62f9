//! The public documents in which this server describes itself. They are made once and kept as bytes until something they describe changes.
//!
//! Strangers may ask for them as often as their rate allows, so an answer must cost almost nothing in any form: the indented and HTML forms
//! are also made only once, at the first request for them.

use super::document::PublicDocument;
use super::drawing::Drawing;
use super::fhir::family::ConformanceFamily;
use super::fhir::{describing, modes, statement};
use super::page::PageSite;
use crate::bulk::receipt;
use crate::http::state::App;
use crate::security;
use crate::store::turns::SharedPlaces;
use arc_swap::ArcSwap;
use serde_json::Value;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::available_parallelism;

/// Most batches of one partner that wait for a turn; further ones run without one.
const ENTRIES_WAITING: usize = 1024;

/// All public documents at one moment.
pub struct Made {
    /// What pages show about the server.
    pub site: Arc<PageSite>,
    /// The CapabilityStatement, `metadata`.
    pub capability: PublicDocument,
    /// The CapabilityStatement of `mode=normative`.
    pub normative: PublicDocument,
    /// The TerminologyCapabilities of `mode=terminology`.
    pub terminology: PublicDocument,
    /// `.well-known/smart-configuration`.
    pub smart: PublicDocument,
    /// `.well-known/davinci-configuration`.
    pub davinci: PublicDocument,
    /// `.well-known/jwks.json`.
    pub jwks: PublicDocument,
    has_keys: bool,
    described: Vec<ConformanceFamily>,
}

impl Made {
    fn of(app: &App) -> Made {
        let (base_url, name) = (&app.ctx.payer.base_url, &app.ctx.payer.name);
        let statement = statement::capability_statement(base_url, name, &app.ctx.keeping);
        let keys = receipt::published_keys(&app.bulk);
        let fhir = |value: &Value, below: &str| PublicDocument::fhir(value.to_string(), below);
        let json = |value: &Value| PublicDocument::new(value.to_string(), "application/json", "");
        Made {
            capability: fhir(&statement, "metadata"),
            normative: fhir(&modes::normative(statement.clone()), "metadata?mode=normative"),
            terminology: fhir(
                &modes::terminology(base_url, name, &statement["date"]),
                "metadata?mode=terminology",
            ),
            smart: json(&security::smart_configuration(&app.oauth)),
            davinci: json(&security::davinci_configuration(&app.oauth)),
            has_keys: keys.is_some(),
            jwks: json(&security::jwks(keys.as_ref())),
            described: describing::TYPES
                .iter()
                .map(|rtype| ConformanceFamily::new(rtype, base_url))
                .collect(),
            site: Arc::new(PageSite::new(base_url, statement)),
        }
    }

    /// `metadata` in this mode; `None` for an unknown mode.
    pub fn metadata(&self, mode: Option<&str>) -> Option<&PublicDocument> {
        match mode {
            None | Some("full") => Some(&self.capability),
            Some("normative") => Some(&self.normative),
            Some("terminology") => Some(&self.terminology),
            Some(_) => None,
        }
    }

    /// The documents of one conformance resource type.
    pub fn family(&self, rtype: &str) -> Option<&ConformanceFamily> {
        self.described.iter().find(|family| family.rtype() == rtype)
    }

    /// The document of one conformance resource.
    pub fn one(&self, rtype: &str, id: &str) -> Option<&PublicDocument> {
        let mut members = self.family(rtype)?.members.iter();
        members.find(|one| one.element("id") == id).map(|one| &one.document)
    }
}

/// The current documents, and the queues for what is made of them.
pub struct Documents {
    made: ArcSwap<Made>,
    /// Turns of batch entries about public documents, one at once for each partner: they are work for the processor alone, and without a turn
    /// each batch would put its next entry before everybody else's next step.
    pub entries: SharedPlaces,
    /// The queue for rendering pages.
    pub drawing: Drawing,
}

impl Documents {
    /// The documents of this application.
    pub fn new(app: &App) -> Documents {
        Documents {
            made: ArcSwap::from_pointee(Made::of(app)),
            entries: SharedPlaces::new(available_parallelism().map_or(2, NonZeroUsize::get), ENTRIES_WAITING),
            drawing: Drawing::of_this_machine(),
        }
    }

    /// Makes all documents again.
    pub fn renew(&self, app: &App) {
        self.made.store(Arc::new(Made::of(app)));
    }

    /// The current documents, made again when there were no keys to publish before and there are some now.
    pub fn with_keys(&self, app: &App) -> Arc<Made> {
        if !self.now().has_keys && app.bulk.has_keys() {
            self.renew(app);
        }
        self.now()
    }

    /// The current documents.
    pub fn now(&self) -> Arc<Made> {
        self.made.load_full()
    }
}
