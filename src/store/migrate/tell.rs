//! The callback through which a long start reports its progress.

/// Receives progress reports of migrations: one line at a time, meant for people.
pub type Tell<'a> = &'a mut dyn FnMut(&str);
