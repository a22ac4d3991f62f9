//! The only room that speaks SQL: both databases behind [`Db`], one file for each aggregate, and the group-commit writer.
//!
//! Functions take `&mut Db`; whoever owns the transaction decides its extent. Nothing here calls the network or knows HTTP.

mod db;
pub mod disclosure;
pub mod durability;
pub mod idempotency;
pub mod matching;
pub mod migrate;
pub mod ops_queries;
pub mod partners;
pub mod schema;
pub mod secrets;
mod statement;
pub mod tokens;
