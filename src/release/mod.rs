//! TODO(release)
