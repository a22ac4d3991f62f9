//! What the tests share: private databases, and payers to talk to.

pub mod aside;
pub mod assertion;
pub mod balp;
pub mod browser;
pub mod client;
pub mod collector;
pub mod console;
pub mod desk;
pub mod dump;
pub mod grants;
pub mod hook;
pub mod matched;
pub mod memory;
pub mod page;
pub mod payer;
pub mod pki;
pub mod postgres;
pub mod program;
pub mod s3;
pub mod small_disk;
pub mod store;
pub mod use_case;
pub mod wire;
