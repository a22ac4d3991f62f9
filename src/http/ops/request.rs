//! A request to `/ops/v1` whose token has the role: what was asked and by whom, and its answer as JSON.
//!
//! Only [`OpsRequest::admit`], and for pages of the console [`OpsRequest::of_page`], make one, by the row of the table: a handler cannot run
//! before the role was looked at.

use super::query::Query;
use super::table::{OpsRoute, Sees, Shows};
use crate::audit::{Action, LedgerEvent, Object, OperatorNote};
use crate::consent::REASON_MAX;
use crate::error::{Failure, Fault};
use crate::http::bearer::bearer;
use crate::http::request_notes::correlation_of;
use crate::http::state::App;
use crate::ids::is_fhir_id;
use crate::ops::viewed::{Viewer, access_reason, viewed};
use crate::security::operator::hold;
use crate::security::{Operator, Role};
use crate::store::Db;
use crate::telemetry::Correlation;
use actix_web::web::{Bytes, Data};
use actix_web::{HttpMessage as _, HttpRequest};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::cell::Cell;

/// Items on a page.
pub(super) const PAGE: i64 = 100;

/// The header with the reason of a look at personal data.
const ACCESS_REASON: &str = "X-Access-Reason";

/// The role under which the request is answered, or the roles of the token that was refused; for the log line.
#[derive(Clone)]
pub(super) struct SeenRole(pub(super) String);

/// The address of the console that the request is for, as its table has it; for the log line.
#[derive(Clone, Copy)]
pub(super) struct SeenRoute(pub(super) &'static str);

/// A request that may be answered.
pub(super) struct OpsRequest {
    route: &'static OpsRoute,
    pub(super) request: HttpRequest,
    pub(super) app: Data<App>,
    /// Who asks.
    pub(super) operator: Operator,
    /// The role of the token under which it is answered: the one that is shown the most here.
    pub(super) role: Role,
    /// How much is shown to that role here.
    pub(super) sees: Sees,
    /// Why, from the header; empty where none is needed and none was given.
    reason: String,
    /// Whether the look is in the ledger.
    noted: Cell<bool>,
    /// The parameters; all of them are known.
    pub(super) query: Query,
    body: Bytes,
    members: &'static str,
    /// The id that a page of the console asks about, in the place of the one in its path.
    of_page: Option<String>,
}

/// What a page of the console asks, in the place of a request for it.
pub(super) struct PageAsk {
    /// What.
    pub(super) route: &'static OpsRoute,
    /// The id in its path; empty where it has none.
    pub(super) id: String,
    /// Its parameters.
    pub(super) pairs: Vec<(String, String)>,
    /// Its body; empty where it has none.
    pub(super) body: String,
    /// Why; empty where nobody said.
    pub(super) reason: String,
    /// Whether values of a person are left out, also of those who may see them.
    pub(super) is_masked: bool,
}

/// An answer's JSON.
pub(super) struct JsonBody(pub(super) String);

impl JsonBody {
    /// This value as JSON.
    ///
    /// # Errors
    /// [`Fault::Internal`] for what has no JSON.
    pub(super) fn of(value: &impl Serialize) -> Result<JsonBody, Failure> {
        serde_json::to_string(value)
            .map(JsonBody)
            .map_err(|error| Failure::new(Fault::Internal).because(error))
    }
}

impl OpsRequest {
    /// Admits the holder of the token that the request shows, if `route` is for one of its roles. Who asks for what none of them allows is in
    /// the ledger.
    ///
    /// # Errors
    /// [`Fault::TokenMissing`], [`Fault::TokenInvalid`], [`Fault::RoleMissing`]; those of [`Query::of`]; [`Fault::ParameterInvalid`] without a
    /// reason where one is needed, and for one that is no line of text.
    pub(super) async fn admit(
        route: &'static OpsRoute,
        request: HttpRequest,
        app: Data<App>,
        body: Bytes,
    ) -> Result<OpsRequest, Failure> {
        let operator = app.authority.operator(&app.ctx, bearer(&request)?).await?;
        let Some((role, sees)) = route.asks.admits(&operator.roles) else {
            request.extensions_mut().insert(SeenRole(operator.roles.text()));
            return Err(refused(&app, route, &operator, &correlation_of(&request)).await);
        };
        request.extensions_mut().insert(SeenRole(role.name().to_owned()));
        let query = Query::of(&request, route.parameters)?;
        let reason = reason_of(&request, route.needs_reason(sees))?;
        Ok(OpsRequest {
            route,
            request,
            app,
            operator,
            role,
            sees,
            reason,
            noted: Cell::new(false),
            query,
            body,
            members: route.body.unwrap_or_default(),
            of_page: None,
        })
    }

    /// Admits what a page of the console asks for somebody who is signed in, by the same row of the table as a request for it.
    ///
    /// # Errors
    /// [`Fault::RoleMissing`]; those of [`Query::given`]; [`Fault::ParameterInvalid`] without a reason where one is needed, and for one that is
    /// no line of text.
    pub(super) async fn of_page(
        ask: PageAsk,
        request: HttpRequest,
        app: Data<App>,
        operator: Operator,
    ) -> Result<OpsRequest, Failure> {
        let route = ask.route;
        let Some((role, sees)) = route.asks.admits(&operator.roles) else {
            return Err(refused(&app, route, &operator, &correlation_of(&request)).await);
        };
        let sees = if ask.is_masked { sees.masked() } else { sees };
        let query = Query::given(ask.pairs, route.parameters)?;
        let is_needed = route.needs_reason(sees);
        let reason = match access_reason(&ask.reason) {
            Some(reason) => reason.to_owned(),
            None if ask.reason.trim().is_empty() && !is_needed => String::new(),
            None => return Err(without_reason("reason", "Say why you look")),
        };
        Ok(OpsRequest {
            route,
            request,
            app,
            operator,
            role,
            sees,
            reason,
            noted: Cell::new(false),
            query,
            body: Bytes::from(ask.body),
            members: route.body.unwrap_or_default(),
            of_page: Some(ask.id),
        })
    }

    /// Scheme, host and port of this listener, for links.
    pub(super) fn origin(&self) -> String {
        let server = &self.app.config.server;
        match (&server.ops_base_url, &server.ops_tls) {
            (None, None) => format!("http://{}", self.request.app_config().local_addr()),
            _ => server.ops_origin(),
        }
    }

    /// Lets on only who has this role too, for what the role of the route alone is not shown. Who has not is in the ledger.
    ///
    /// # Errors
    /// [`Fault::RoleMissing`].
    pub(super) async fn demand(&self, role: Role) -> Result<(), Failure> {
        if self.operator.roles.iter().any(|one| one == role) {
            return Ok(());
        }
        Err(refused(&self.app, self.route, &self.operator, &self.correlation()).await)
    }

    /// The ids of the request.
    pub(super) fn correlation(&self) -> Correlation {
        correlation_of(&self.request)
    }

    /// What stands in the path for `{id}`, decoded.
    ///
    /// # Errors
    /// [`Fault::RouteUnknown`] for what is no text.
    pub(super) fn path_id(&self) -> Result<String, Failure> {
        if let Some(id) = &self.of_page {
            return Ok(id.clone());
        }
        self.request.match_info().load().map_err(|_| Fault::RouteUnknown.into())
    }

    /// An id of ours in the path; `otherwise` for what cannot be one.
    ///
    /// # Errors
    /// `otherwise`.
    pub(super) fn id(&self, otherwise: impl FnOnce() -> Failure) -> Result<String, Failure> {
        let id = self.path_id()?;
        if is_fhir_id(&id) { Ok(id) } else { Err(otherwise()) }
    }

    /// The JSON body: an object of the members that the table names, and of no others.
    ///
    /// # Errors
    /// [`Fault::MediaTypeRefused`], [`Fault::ParameterInvalid`].
    pub(super) fn body<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        if self.of_page.is_none() && self.request.content_type() != "application/json" {
            return Err(Failure::new(Fault::MediaTypeRefused).remedy("Send application/json."));
        }
        let refused = || {
            Failure::new(Fault::ParameterInvalid)
                .at("body")
                .remedy(format!("Send a JSON object with {} and nothing else.", self.members))
        };
        // A list of the same values would be read as the object.
        if !self.body.trim_ascii_start().starts_with(b"{") {
            return Err(refused());
        }
        serde_json::from_slice(&self.body).map_err(|_| refused())
    }

    /// Refuses a look without a reason, where a page of the console needs one that the row does not ask for.
    ///
    /// # Errors
    /// [`Fault::ParameterInvalid`].
    pub(super) fn demand_reason(&self) -> Result<(), Failure> {
        match self.reason.is_empty() {
            true => Err(without_reason("reason", "Say why you look")),
            false => Ok(()),
        }
    }

    /// Notes in the ledger, durably, what this operator is about to be shown, and why. Call it before anything is.
    ///
    /// # Errors
    /// Those of the store; [`Fault::TokenInvalid`] once the token is revoked.
    pub(super) async fn show(&self, what: &'static str, object: Option<Object>) -> Result<(), Failure> {
        let note = self.note();
        let viewer = Viewer {
            operator: note.operator,
            role: self.role.name(),
            reason: note.reason,
            correlation: self.correlation(),
        };
        self.note_look(viewed(&self.app.ctx, &viewer, what, object)).await
    }

    /// Writes the entry of a look, as [`OpsRequest::show`] does.
    ///
    /// # Errors
    /// Those of the store; [`Fault::TokenInvalid`] once the token is revoked.
    pub(super) async fn note_look(
        &self,
        entry: impl FnMut(&mut Db) -> Result<(), Failure> + Send + 'static,
    ) -> Result<(), Failure> {
        let store = &self.app.ctx.store;
        store.reserved().write(self.held(entry)).await?;
        self.noted.set(true);
        Ok(())
    }

    /// Whether the ledger has what the answer shows. An answer that names members and is not noted must not leave.
    pub(super) fn is_noted(&self) -> bool {
        self.noted.get() || self.sees.shows() == Shows::Nothing
    }

    /// What the ledger keeps of who looks, and of why.
    pub(super) fn note(&self) -> OperatorNote {
        OperatorNote {
            operator: self.operator.name.clone(),
            reason: self.reason.clone(),
        }
    }

    /// A write for this operator: it happens only while the token is valid.
    pub(super) fn held<T: Send + 'static>(
        &self,
        mut work: impl FnMut(&mut Db) -> Result<T, Failure> + Send + 'static,
    ) -> impl FnMut(&mut Db) -> Result<T, Failure> + Send + 'static {
        let mut holds = hold(&self.app.ctx, &self.operator);
        move |db| {
            holds(db)?;
            work(db)
        }
    }

    /// Reads the store.
    ///
    /// # Errors
    /// Those of `work` and of the store.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnMut(&mut Db) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        self.app.ctx.store.read(work).await
    }

    /// A partner that is registered, where the parameter names one: a list under a misspelled name would be empty.
    ///
    /// # Errors
    /// [`Fault::PartnerUnknown`]; those of the store.
    pub(super) async fn partner(&self) -> Result<Option<String>, Failure> {
        let Some(partner) = self.query.text("partner") else {
            return Ok(None);
        };
        self.read(move |db| crate::ops::disclosures::known_partner(db, Some(&partner)))
            .await
    }
}

/// Why the operator looks, from the header `X-Access-Reason`: a URL is in logs, and a reason may name somebody.
fn reason_of(request: &HttpRequest, is_needed: bool) -> Result<String, Failure> {
    let given: Vec<_> = request.headers().get_all(ACCESS_REASON).collect();
    let text = match given.as_slice() {
        [] if !is_needed => return Ok(String::new()),
        [one] => std::str::from_utf8(one.as_bytes()).unwrap_or_default(),
        _ => "",
    };
    let say = format!("Say in the header {ACCESS_REASON} why you look");
    access_reason(text)
        .map(str::to_owned)
        .ok_or_else(|| without_reason(ACCESS_REASON, &say))
}

fn without_reason(place: &str, say: &str) -> Failure {
    let remedy = format!("{say}, in 1 to {REASON_MAX} characters.");
    Failure::new(Fault::ParameterInvalid).at(place).remedy(remedy)
}

/// The refusal of a token whose roles do not allow `route`, with its entry: who tried what.
async fn refused(app: &App, route: &OpsRoute, operator: &Operator, correlation: &Correlation) -> Failure {
    let failure = Failure::new(Fault::RoleMissing);
    let actor = Operator::actor(&operator.roles.text());
    let mut entry = LedgerEvent::new(Action::OperatorRefused, actor, correlation.clone());
    entry.object = Some(Object {
        kind: "route",
        id: format!("{} {}", route.method, route.path),
    });
    entry.note = Some(OperatorNote {
        operator: operator.name.clone(),
        reason: String::new(),
    });
    // It is refused in any case.
    if let Err(failed) = app.oauth.refusals.record_event(&app.ctx, entry, &failure).await {
        tracing::warn!(
            fault = failed.fault().code(),
            request.id = correlation.request_id,
            "a refusal could not be recorded"
        );
    }
    failure
}
