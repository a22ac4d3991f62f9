//! Somebody who is signed in, and the request for one page: what a page asks with, and by which rights.
//!
//! Each question goes by a row of the table of operations routes, so that a page shows nobody more than `/ops/v1` does, and each look is in the
//! ledger as it is there. A page never reads the store itself.

use super::visit::{Fields, SignedIn, only};
use crate::clock::rfc3339_ms;
use crate::error::{Failure, Fault};
use crate::http::negotiate::pairs;
use crate::http::ops::request::{OpsRequest, PageAsk};
use crate::http::ops::table::{OPS_ROUTES, OpsCall, OpsRoute};
use crate::http::ops::{answering, exchanges, reviews};
use crate::http::state::App;
use actix_web::HttpRequest;
use actix_web::web::{Bytes, Data};
use serde_json::Value;

/// What a page asks.
#[derive(Default)]
pub(super) struct DeskAsk {
    /// The id in the path of the row, if it has one.
    pub(super) id: String,
    /// Parameters.
    pub(super) pairs: Fields,
    /// The body, of an act.
    pub(super) body: String,
    /// Why, as the form says it.
    pub(super) reason: String,
    /// Whether values of a person are left out.
    pub(super) is_masked: bool,
}

impl DeskAsk {
    /// About this id.
    pub(super) fn about(id: &str) -> DeskAsk {
        DeskAsk {
            id: id.to_owned(),
            ..DeskAsk::default()
        }
    }

    /// With these parameters.
    pub(super) fn with(pairs: &[(String, String)]) -> DeskAsk {
        DeskAsk {
            pairs: pairs.to_vec(),
            ..DeskAsk::default()
        }
    }

    /// An act about this id, with this body.
    pub(super) fn act(id: &str, body: &Value) -> DeskAsk {
        DeskAsk {
            id: id.to_owned(),
            body: body.to_string(),
            ..DeskAsk::default()
        }
    }

    /// About this id, without values of a person.
    pub(super) fn masked(id: &str) -> DeskAsk {
        DeskAsk {
            id: id.to_owned(),
            is_masked: true,
            ..DeskAsk::default()
        }
    }
}

/// The request for a page, of somebody who is signed in.
pub(super) struct Desk {
    request: HttpRequest,
    app: Data<App>,
    signed_in: SignedIn,
    fields: Fields,
}

impl Desk {
    pub(super) fn new(request: HttpRequest, app: Data<App>, signed_in: SignedIn, fields: Fields) -> Desk {
        Desk {
            request,
            app,
            signed_in,
            fields,
        }
    }

    /// The state of the server.
    pub(super) fn app(&self) -> &App {
        &self.app
    }

    /// The session.
    pub(super) fn signed_in(&self) -> &SignedIn {
        &self.signed_in
    }

    /// The name of whoever is signed in.
    pub(super) fn name(&self) -> &str {
        &self.signed_in.visitor.operator.name
    }

    /// The roles, as text.
    pub(super) fn roles(&self) -> String {
        self.signed_in.visitor.operator.roles.text()
    }

    /// When the session ends in any case, as the wall clock has it.
    pub(super) fn ends_at(&self) -> String {
        let clock = &self.app.ctx.clock;
        rfc3339_ms(self.signed_in.visitor.ends_ms - (clock.lasting_ms() - clock.now_ms()))
    }

    /// Now, UTC milliseconds.
    pub(super) fn now_ms(&self) -> i64 {
        self.app.ctx.clock.now_ms()
    }

    /// The token that each form of a page carries.
    pub(super) fn form_token(&self) -> &str {
        &self.signed_in.form_token
    }

    /// The id in the path; empty where there is none.
    pub(super) fn id(&self) -> &str {
        self.request.match_info().get("id").unwrap_or_default()
    }

    /// The value of a field of the form that is there exactly once, without the spaces around it; empty otherwise.
    pub(super) fn field(&self, name: &str) -> &str {
        only(&self.fields, name)
    }

    /// The parameters of the address that have a value: a form sends empty ones too.
    ///
    /// # Errors
    /// As [`pairs`].
    pub(super) fn query(&self) -> Result<Fields, Failure> {
        let mut given = pairs(self.request.query_string())?;
        given.retain(|(_, value)| !value.trim().is_empty());
        Ok(given)
    }

    /// Whether one of the roles may do this.
    pub(super) fn may(&self, call: OpsCall) -> bool {
        let roles = &self.signed_in.visitor.operator.roles;
        route(call).is_some_and(|route| route.asks.admits(roles).is_some())
    }

    /// The JSON of an answer, as `/ops/v1` gives it to the roles of this session.
    ///
    /// # Errors
    /// Those of the call; [`Fault::RoleMissing`]; [`Fault::ParameterInvalid`] without a reason where one is needed.
    pub(super) async fn ask(&self, call: OpsCall, ask: DeskAsk) -> Result<Value, Failure> {
        let asked = self.admitted(call, ask).await?;
        let answer = answering::json(call, &asked).await?;
        read(&asked, &answer.0)
    }

    /// The bytes of an answer that is no JSON, with the same rights.
    ///
    /// # Errors
    /// As [`Desk::ask`].
    pub(super) async fn bytes(&self, call: OpsCall, ask: DeskAsk) -> Result<Bytes, Failure> {
        let asked = self.admitted(call, ask).await?;
        let answer = answering::call(call, &asked).await?;
        demand_noted(&asked)?;
        Ok(answer)
    }

    /// The exchanges of the member with exactly this number.
    ///
    /// # Errors
    /// As [`Desk::ask`]; those of [`exchanges::of_number`].
    pub(super) async fn of_number(&self, number: &str, reason: &str) -> Result<Value, Failure> {
        let ask = DeskAsk {
            reason: reason.to_owned(),
            ..DeskAsk::default()
        };
        let asked = self.admitted(OpsCall::Exchanges, ask).await?;
        let answer = exchanges::of_number(&asked, number.to_owned()).await?;
        read(&asked, &answer.0)
    }

    /// The links to the member with exactly this number.
    ///
    /// # Errors
    /// As [`Desk::ask`]; those of [`reviews::edges_of_number`].
    pub(super) async fn links_of_number(&self, number: &str, reason: &str) -> Result<Value, Failure> {
        let ask = DeskAsk {
            reason: reason.to_owned(),
            ..DeskAsk::default()
        };
        let asked = self.admitted(OpsCall::Links, ask).await?;
        let answer = reviews::edges_of_number(&asked, number.to_owned()).await?;
        read(&asked, &answer.0)
    }

    async fn admitted(&self, call: OpsCall, ask: DeskAsk) -> Result<OpsRequest, Failure> {
        let ask = PageAsk {
            route: route(call).ok_or(Fault::Internal)?,
            id: ask.id,
            pairs: ask.pairs,
            body: ask.body,
            reason: ask.reason,
            is_masked: ask.is_masked,
        };
        let operator = self.signed_in.visitor.operator.clone();
        OpsRequest::of_page(ask, self.request.clone(), self.app.clone(), operator).await
    }
}

fn route(call: OpsCall) -> Option<&'static OpsRoute> {
    OPS_ROUTES.iter().find(|route| route.call == call)
}

fn demand_noted(asked: &OpsRequest) -> Result<(), Failure> {
    match asked.is_noted() {
        true => Ok(()),
        false => Err(Failure::new(Fault::Internal).because("the ledger has no entry of what this page shows")),
    }
}

/// The value of an answer whose look is in the ledger. Nothing else may be shown.
fn read(asked: &OpsRequest, text: &str) -> Result<Value, Failure> {
    demand_noted(asked)?;
    serde_json::from_str(text).map_err(|error| Failure::new(Fault::Internal).because(error))
}
