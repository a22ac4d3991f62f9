//! Points at which this process kills itself, so that a test can see what a crash exactly there leaves behind.
//!
//! They exist only in builds with debug assertions, and there only when `CAUSEWAY_FAILPOINT` names one: `NAME`, or `NAME:N` for its N-th
//! pass. A release build contains none of this. A name has two parts, `WHOLE.POINT`; this module knows only those of what every kind of work
//! does ([`SHARED`]), and must never change what the program does otherwise.

/// The environment variable that names the point.
pub const VARIABLE: &str = "CAUSEWAY_FAILPOINT";

/// Whether this build has such points.
pub const EXIST: bool = cfg!(debug_assertions);

/// A transaction becomes durable.
pub const COMMIT: &str = "commit";
/// A request goes to a partner.
pub const SEND: &str = "send";
/// A file, or the names in a folder, go to the disk.
pub const SYNC: &str = "sync";
/// Something is signed.
pub const SIGN: &str = "sign";
/// Right before it.
pub const BEFORE: &str = "before";
/// Right after it, before anybody knows.
pub const AFTER: &str = "after";

/// What every kind of work does, with a point before and after each time.
pub const SHARED: [&str; 4] = [COMMIT, SEND, SYNC, SIGN];

/// Does this between the two points of one of [`SHARED`].
pub fn around<T>(whole: &str, what: impl FnOnce() -> T) -> T {
    pass(whole, BEFORE);
    let done = what();
    pass(whole, AFTER);
    done
}

/// Passes a point. The process ends here by SIGKILL when the variable names it.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn pass(_whole: &str, _point: &str) {}

/// Passes a point. The process ends here by SIGKILL when the variable names it.
#[cfg(debug_assertions)]
pub fn pass(whole: &str, point: &str) {
    if let Some(armed) = ARMED.as_ref()
        && armed.is_due(whole, point)
    {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        // The signal may take a moment to come; nothing happens after the point.
        loop {
            std::thread::park();
        }
    }
}

#[cfg(debug_assertions)]
static ARMED: std::sync::LazyLock<Option<ArmedPoint>> = std::sync::LazyLock::new(|| {
    let text = std::env::var(VARIABLE).ok()?;
    let armed = ArmedPoint::parse(&text);
    match &armed {
        Some(_) => tracing::warn!(failpoint = text, "this process kills itself at a point"),
        None => tracing::error!(failpoint = text, "this is no name of a point"),
    }
    armed
});

/// The point that the variable names.
#[cfg(debug_assertions)]
struct ArmedPoint {
    whole: String,
    point: String,
    /// Passes that are left, this one included.
    left: std::sync::atomic::AtomicU32,
}

#[cfg(debug_assertions)]
impl ArmedPoint {
    fn parse(text: &str) -> Option<ArmedPoint> {
        let (name, passes) = match text.split_once(':') {
            Some((name, passes)) => (name, passes.parse().ok().filter(|passes| *passes > 0)?),
            None => (text, 1),
        };
        let (whole, point) = name.split_once('.')?;
        Some(ArmedPoint {
            whole: whole.to_owned(),
            point: point.to_owned(),
            left: passes.into(),
        })
    }

    /// Counts a pass of this point, and says whether it is the one.
    fn is_due(&self, whole: &str, point: &str) -> bool {
        use std::sync::atomic::Ordering::Relaxed;
        self.whole == whole && self.point == point && self.left.fetch_sub(1, Relaxed) == 1
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use super::*;

    #[test]
    fn failpoints_are_named_with_a_count_or_without() {
        let armed = ArmedPoint::parse("check.begun:2").expect("a name");
        assert!(!armed.is_due("check", "before-begin") && !armed.is_due("store", "begun"));
        assert!(!armed.is_due("check", "begun"));
        assert!(armed.is_due("check", "begun"));
        assert!(!armed.is_due("check", "begun"));
        assert!(
            ArmedPoint::parse("check.begun")
                .expect("a name")
                .is_due("check", "begun")
        );
        for wrong in ["", "check", "check.begun:0", "check.begun:x"] {
            assert!(ArmedPoint::parse(wrong).is_none(), "{wrong}");
        }
    }
}
