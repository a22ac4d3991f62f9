//! How bringing up what a store holds is shown on a terminal: a bar for each part.

use crate::app::bring_up::with_lines;
use crate::context::Context;
use crate::error::Failure;
use crate::records::bring_up::{DuePart, Part, PartProgress, bring_up};
use crate::terminal::Out;
use indicatif::{ProgressBar, ProgressStyle};

/// Brings up with a bar where there is a terminal, and gives what was due.
///
/// # Errors
/// Those of the store.
pub fn with_bar(ctx: &Context, out: &mut Out) -> Result<Vec<DuePart>, Failure> {
    if !out.terminal || out.quiet || out.json {
        return with_lines(ctx, &mut |line| out.note(line));
    }
    let mut shown: Option<(Part, ProgressBar)> = None;
    let found = bring_up(ctx, &mut |line| out.note(line), &mut |progress| {
        if shown.as_ref().is_none_or(|(part, _)| *part != progress.part) {
            if let Some((_, bar)) = shown.take() {
                bar.finish_and_clear();
            }
            shown = Some((progress.part, bar(progress)));
        }
        if let Some((_, bar)) = &shown {
            bar.set_length(progress.total);
            bar.set_position(progress.done);
        }
    });
    if let Some((_, bar)) = shown {
        bar.finish_and_clear();
    }
    found
}

fn bar(progress: PartProgress) -> ProgressBar {
    let bar = ProgressBar::new(progress.total);
    let template = "{spinner} {msg} {bar:20} {percent:>3} %  {pos} of {len} resources, {per_sec}, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_message(progress.part.text());
    bar
}
