//! A request to `/ops/v1` whose token has the role: what was asked and by whom, and its answer as JSON.
//!
//! Only [`OpsRequest::admit`] makes one, by the row of the table: a handler cannot run before the role was looked at.

use super::query::Query;
use super::table::{OpsRoute, Sees};
use crate::audit::Object;
use crate::consent::REASON_MAX;
use crate::error::{Failure, Fault};
use crate::http::bearer::bearer;
use crate::http::request_notes::correlation_of;
use crate::http::state::App;
use crate::ids::{is_fhir_id, is_one_line};
use crate::ops::viewed::{Viewer, viewed};
use crate::security::{Operator, Role};
use crate::store::Db;
use crate::telemetry::Correlation;
use actix_web::web::{Bytes, Data};
use actix_web::{HttpMessage as _, HttpRequest};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Items on a page.
pub(super) const PAGE: i64 = 100;

/// The header with the reason of a look at personal data.
const ACCESS_REASON: &str = "X-Access-Reason";

/// The role of the token that was shown, for the log line.
#[derive(Clone, Copy)]
pub(super) struct SeenRole(pub(super) Role);

/// A request that may be answered.
pub(super) struct OpsRequest {
    pub(super) request: HttpRequest,
    pub(super) app: Data<App>,
    /// Who asks.
    pub(super) operator: Operator,
    /// How much is shown to that role here.
    pub(super) sees: Sees,
    /// The parameters; all of them are known.
    pub(super) query: Query,
    body: Bytes,
    members: &'static str,
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
    /// Admits the holder of the token that the request shows, if `route` is for its role.
    ///
    /// # Errors
    /// [`Fault::TokenMissing`], [`Fault::TokenInvalid`], [`Fault::RoleMissing`]; those of [`Query::of`].
    pub(super) async fn admit(
        route: &'static OpsRoute,
        request: HttpRequest,
        app: Data<App>,
        body: Bytes,
    ) -> Result<OpsRequest, Failure> {
        let operator = app.authority.operator(&app.ctx, bearer(&request)?).await?;
        request.extensions_mut().insert(SeenRole(operator.role));
        let sees = route.asks.sees(operator.role).ok_or(Fault::RoleMissing)?;
        let query = Query::of(&request, route.parameters)?;
        Ok(OpsRequest {
            request,
            app,
            operator,
            sees,
            query,
            body,
            members: route.body.unwrap_or_default(),
        })
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
        if self.request.content_type() != "application/json" {
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

    /// Why the operator looks, from the header `X-Access-Reason`: a URL is in logs, and a reason may name somebody.
    ///
    /// # Errors
    /// [`Fault::ParameterInvalid`] without one, and for one that is no line of text.
    pub(super) fn access_reason(&self) -> Result<String, Failure> {
        let given: Vec<_> = self.request.headers().get_all(ACCESS_REASON).collect();
        let text = match given.as_slice() {
            [one] => std::str::from_utf8(one.as_bytes()).unwrap_or_default().trim(),
            _ => "",
        };
        if !is_one_line(text) || text.chars().count() > REASON_MAX {
            let remedy = format!("Say in the header {ACCESS_REASON} why you look, in 1 to {REASON_MAX} characters.");
            return Err(Failure::new(Fault::ParameterInvalid).at(ACCESS_REASON).remedy(remedy));
        }
        Ok(text.to_owned())
    }

    /// Notes in the ledger, durably, what this operator is about to be shown. Call it before anything is.
    ///
    /// # Errors
    /// Those of the store.
    pub(super) async fn show(&self, what: &'static str, object: Option<Object>) -> Result<(), Failure> {
        self.show_for(String::new(), what, object).await
    }

    /// [`OpsRequest::show`], with the reason why it is looked at.
    ///
    /// # Errors
    /// Those of the store.
    pub(super) async fn show_for(
        &self,
        reason: String,
        what: &'static str,
        object: Option<Object>,
    ) -> Result<(), Failure> {
        let viewer = Viewer {
            operator: self.operator.name.clone(),
            role: self.operator.role.name(),
            reason,
            correlation: self.correlation(),
        };
        let ctx = &self.app.ctx;
        ctx.store.reserved().write(viewed(ctx, &viewer, what, object)).await
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
