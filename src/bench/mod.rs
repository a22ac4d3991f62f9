//! TODO(bench)
