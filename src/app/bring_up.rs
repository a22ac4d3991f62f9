//! Reports the progress of bringing a store up to date where there is no terminal: one line every few seconds.

use crate::context::Context;
use crate::error::Failure;
use crate::records::bring_up::{DuePart, Part, PartProgress, bring_up};
use std::cell::RefCell;
use std::time::{Duration, Instant};

/// Time between two lines.
const BEAT: Duration = Duration::from_secs(5);

/// Brings the store up to date, reports progress as lines, and returns what was due.
///
/// # Errors
/// Those of the store.
pub fn with_lines(ctx: &Context, tell: &mut dyn FnMut(&str)) -> Result<Vec<DuePart>, Failure> {
    let tell = RefCell::new(tell);
    let mut lines = Lines::default();
    let found = bring_up(ctx, &mut |line| (tell.borrow_mut())(line), &mut |progress| {
        if let Some(line) = lines.of(progress) {
            (tell.borrow_mut())(&line);
        }
    });
    if let Some(line) = lines.last() {
        (tell.borrow_mut())(&line);
    }
    found
}

/// Reports what is due, to a command that only reads.
pub fn tell_due(due: &[DuePart], tell: &mut dyn FnMut(&str)) {
    if due.is_empty() {
        return;
    }
    for due in due {
        tell(&line_of(due));
    }
    tell(
        "these records are as the previous version left them: run `causeway migrate`, or start the server, which updates them too",
    );
}

/// A line about what is due.
fn line_of(due: &DuePart) -> String {
    format!("due: {}, {} resources", due.part.text(), due.resources)
}

/// Decides when a progress line is reported, and what it says.
#[derive(Default)]
struct Lines {
    told: Option<(Part, Instant)>,
    untold: Option<PartProgress>,
}

impl Lines {
    fn of(&mut self, progress: PartProgress) -> Option<String> {
        let is_due = self
            .told
            .is_none_or(|(part, at)| part != progress.part || at.elapsed() >= BEAT);
        if !is_due {
            self.untold = Some(progress);
            return None;
        }
        self.told = Some((progress.part, Instant::now()));
        self.untold = None;
        Some(text(progress))
    }

    /// The line that was held back because the previous one was too recent.
    fn last(&mut self) -> Option<String> {
        self.untold.take().map(text)
    }
}

fn text(progress: PartProgress) -> String {
    let PartProgress { part, done, total } = progress;
    format!("{}: {done} of {total} resources", part.text())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_at_the_begin_of_a_part_then_now_and_then_and_at_the_end() {
        let mut lines = Lines::default();
        let at = |part, done| PartProgress { part, done, total: 9 };
        assert!(
            lines
                .of(at(Part::Times, 1))
                .is_some_and(|line| line.ends_with("1 of 9 resources"))
        );
        assert_eq!(lines.of(at(Part::Times, 2)), None);
        assert!(lines.of(at(Part::Rules, 1)).is_some());
        assert_eq!(lines.of(at(Part::Rules, 9)), None);
        assert!(lines.last().is_some_and(|line| line.ends_with("9 of 9 resources")));
        assert_eq!(lines.last(), None);
    }
}
