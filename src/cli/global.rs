//! The options that every command takes, and what its output is shown on.

use crate::config::wants_colour;
use crate::terminal::{ColorWhen, Screen};
use clap::Args;
use std::io::{IsTerminal as _, Stdout};
use std::path::PathBuf;

/// Options of every command.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// Configuration file; by default ./causeway.toml if it exists, else built-in values
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print JSON on stdout, and nothing else
    #[arg(long, global = true)]
    pub json: bool,
    /// Print only errors on stderr
    #[arg(long, global = true)]
    pub quiet: bool,
    /// When to use colors; auto: at a terminal, unless NO_COLOR is set
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t = ColorWhen::Auto)]
    pub color: ColorWhen,
}

impl Common {
    /// What the output of this process is shown on.
    pub(super) fn screen(&self) -> Screen {
        let stdout = std::io::stdout();
        let (answers, people) = (stdout.is_terminal(), std::io::stderr().is_terminal());
        let wanted = wants_colour();
        Screen {
            columns: columns(&stdout).filter(|_| answers && !self.json),
            color: self.color.applies(answers, wanted) && !self.json,
            color_errors: self.color.applies(people, wanted),
        }
    }
}

/// The width of the terminal: what `COLUMNS` says, or what the terminal itself says.
fn columns(stdout: &Stdout) -> Option<usize> {
    let said = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let own = || {
        rustix::termios::tcgetwinsize(stdout)
            .ok()
            .map(|size| usize::from(size.ws_col))
    };
    said.or_else(own).filter(|columns| *columns > 0)
}
