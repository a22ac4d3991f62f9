//! The correlation id of a run at its addresses: a request that brings none of its own has that of the request that began the run.

use crate::http::request_notes::correlation_of;
use crate::store::bulk::BulkJobRow;
use crate::telemetry::Correlation;
use actix_web::{HttpMessage as _, HttpRequest};

/// Gives the request the correlation id of `run`, for its answer, its log line and the ledger. Returns the request's ids.
pub(super) fn tell(request: &HttpRequest, run: &BulkJobRow) -> Correlation {
    let mut correlation = correlation_of(request);
    if correlation.own_request_id().is_none() {
        correlation.correlation_id.clone_from(&run.correlation_id);
        request.extensions_mut().insert(correlation.clone());
    }
    correlation
}
