//! TODO(partner)
