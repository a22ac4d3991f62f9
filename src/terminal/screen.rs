//! What the output of a command is shown on. This module only holds what others found out: it reads neither environment nor terminal.

use serde::{Deserialize, Serialize};

/// When output has colors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ColorWhen {
    /// At a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl ColorWhen {
    /// Whether a stream has colors. `is_terminal` says whether it is a terminal, `wanted` whether the environment allows colors there.
    pub fn applies(self, is_terminal: bool, wanted: bool) -> bool {
        match self {
            ColorWhen::Auto => is_terminal && wanted,
            ColorWhen::Always => true,
            ColorWhen::Never => false,
        }
    }
}

/// What the output of a command is shown on. The default is a file or a program: no width and no colors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Screen {
    /// Columns of a line; `None` when answers do not go to a terminal. Then nothing is wrapped or cut.
    pub columns: Option<usize>,
    /// Whether answers have colors.
    pub color: bool,
    /// Whether text for people on stderr has colors.
    pub color_errors: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colors_follow_the_terminal_unless_somebody_says_otherwise() {
        for (when, is_terminal, wanted, colored) in [
            (ColorWhen::Auto, true, true, true),
            (ColorWhen::Auto, true, false, false),
            (ColorWhen::Auto, false, true, false),
            (ColorWhen::Always, false, false, true),
            (ColorWhen::Never, true, true, false),
        ] {
            assert_eq!(when.applies(is_terminal, wanted), colored, "{when:?}");
        }
    }

    #[test]
    fn a_sender_that_says_nothing_of_its_screen_has_none() {
        let screen: Screen = serde_json::from_str("{}").expect("a screen");
        assert_eq!(screen, Screen::default());
    }
}
