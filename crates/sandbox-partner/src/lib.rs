//! Another payer on this machine, for tests of a requester: it answers, and misbehaves, by a script.
//!
//! It shares no code with any server: its HTTP is its own, and its bodies are built from what HRex, PDex, US Core and CARIN publish. Its
//! assertions and tokens are truly verified. It listens on loopback only and refuses to start elsewhere. Its members do not exist.
//!
//! ```
//! use causeway_sandbox_partner::{Sandbox, SandboxRoute, SandboxScript};
//!
//! let script = SandboxScript::from_toml(
//!     r#"
//!     hrex = "1.1"
//!     members = { count = 2, resources = 60 }
//!
//!     [[rule]]                                    # the first two matches: come again in a second
//!     route = "member-match"
//!     requests = "1-2"
//!     acts = [{ answer = { status = 429, retry_after = "1" } }]
//!
//!     [[rule]]                                    # every third record breaks off in the middle
//!     route = "everything"
//!     requests = "every 3"
//!     acts = [{ truncate = { after_bytes = 5000 } }]
//!     "#,
//! )?;
//! let sandbox = Sandbox::start(script)?;
//! assert!(sandbox.base_url().starts_with("https://localhost:"));
//! assert_eq!(sandbox.control().effect_count(SandboxRoute::MemberMatch), 0);
//! # Ok::<(), causeway_sandbox_partner::SandboxError>(())
//! ```
//!
//! The script's keys are those of [`SandboxScript`], a rule's conditions those of [`SandboxRule`], what can happen those of
//! [`SandboxAct`]. Each sandbox has a thread of its own; several run at once.

mod certificates;
mod connection;
mod control;
mod error;
mod files;
mod listen;
mod member;
mod play;
mod random;
mod record;
mod sandbox;
mod script;
mod wire;

pub use certificates::SandboxCertificate;
pub use control::SandboxControl;
pub use error::SandboxError;
pub use member::SandboxMember;
pub use play::{SandboxEffect, SandboxReceipt, SandboxRequest, SandboxStray};
pub use sandbox::{RunningSandbox, SANDBOX_FHIR_PATH, Sandbox};
pub use script::*;
