//! Checks one record so that a defect of this program neither stops the import nor reveals what the record contains.

use crate::error::{Failure, Fault};
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs `work`. A panic becomes a failure with the place in the program; its message, which could quote the record, is not printed. The
/// process's panic hook stays in force for all other panics.
///
/// # Errors
/// Those of `work`; [`Fault::JudgementFailed`] when it panicked.
pub fn steadily<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |info| {
            if QUIET.get() {
                PLACE.set(
                    info.location()
                        .map(|place| format!("{}:{}", place.file(), place.line())),
                );
            } else {
                before(info);
            }
        }));
    });
    QUIET.set(true);
    let done = catch_unwind(AssertUnwindSafe(work));
    QUIET.set(false);
    done.unwrap_or_else(|_| {
        let place = PLACE.take().unwrap_or_else(|| "an unknown place".into());
        tracing::error!(place, "a record could not be judged: a fault of the program");
        Err(Failure::new(Fault::JudgementFailed).because(format!("panicked at {place}")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_failure_with_its_place_and_without_its_message() {
        let failure = steadily::<()>(|| panic!("Marigold")).expect_err("failed");
        let told = format!("{failure:?}");
        assert_eq!(failure.fault(), Fault::JudgementFailed);
        assert!(told.contains("steady.rs") && !told.contains("Marigold"), "{told}");
        assert_eq!(steadily(|| Ok(1)).expect("done"), 1);
    }
}
