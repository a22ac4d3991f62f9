//! Runs the matcher on files: rosters and requests in CSV, with one result row for each request. It never reads the true answers.

pub mod csv;
pub mod link;
pub mod member;
