//! `/ops/v1/jobs/{id}/replay`: what operators do with background work that is parked.

use super::request::{JsonBody, OpsRequest};
use crate::audit::OperatorNote;
use crate::consent::WithdrawnBy;
use crate::error::{Failure, Fault};
use crate::jobs::acts;
use crate::security::Operator;
use serde::{Deserialize, Serialize};

/// Why it goes on.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GoesOn {
    reason: String,
}

/// A job that goes on. It may have come to its end meanwhile, and is then in no list.
#[derive(Serialize)]
struct JobGoesOn {
    id: String,
    state: &'static str,
}

/// `POST /ops/v1/jobs/{id}/replay`.
pub(super) async fn replay(asked: &OpsRequest) -> Result<JsonBody, Failure> {
    let because: GoesOn = asked.body()?;
    let id = asked.id(|| Fault::JobUnknown.into())?;
    let by = WithdrawnBy::new(
        asked.operator.name.clone(),
        asked.role.name(),
        &because.reason,
        asked.correlation(),
    )?;
    let note = OperatorNote {
        operator: by.operator,
        reason: by.reason,
    };
    let work = acts::replay(&asked.app.ctx, &id, (Operator::actor(by.role), note), by.correlation);
    asked.app.ctx.store.write(asked.held(work)).await?;
    JsonBody::of(&JobGoesOn { id, state: "waiting" })
}
