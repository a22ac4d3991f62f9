//! TODO(consent)
