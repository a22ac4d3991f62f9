//! The typed FHIR R4 model (fhirbolt) behind non-generic functions.
pub fn parse(bytes: &[u8]) -> Result<fhirbolt::model::r4::Resource, String> {
    fhirbolt::json::from_slice(bytes, None).map_err(|e: fhirbolt::serde::json::error::Error| e.to_string())
}
