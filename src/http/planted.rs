//! Planted routes: one address on each listener that ends, so that a test can see how that is announced.
//!
//! They exist only in builds with debug assertions, and there only when `CAUSEWAY_PLANTED_ROUTES` is set; a release build contains none of
//! this. A planted route has a handler of another one: it shows nothing that is not shown elsewhere, to nobody else.

use super::notice::EndNotice;
use std::sync::LazyLock;

/// The environment variable that plants them.
pub const VARIABLE: &str = "CAUSEWAY_PLANTED_ROUTES";

/// The notice that they carry.
pub const NOTICE: EndNotice = EndNotice {
    deprecated: "2027-01-01",
    sunset: "2028-01-01",
};

static ARE_PLANTED: LazyLock<bool> = LazyLock::new(|| {
    let are_planted = std::env::var_os(VARIABLE).is_some();
    if are_planted {
        tracing::warn!("this server has planted routes");
    }
    are_planted
});

/// Whether they are asked for.
pub fn are_asked_for() -> bool {
    *ARE_PLANTED
}
