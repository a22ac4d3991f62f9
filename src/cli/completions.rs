//! `causeway completions SHELL`: a script by which a shell completes commands and options. Made from the command line's own types.

use crate::terminal::{Exit, Out};
use clap::{Args, Command};
use clap_complete::Shell;
use serde_json::json;

const EXAMPLES: &str = "Examples:\n  causeway completions bash > ~/.local/share/bash-completion/completions/causeway\n  \
    causeway completions zsh > \"${fpath[1]}/_causeway\"\n  \
    causeway completions fish > ~/.config/fish/completions/causeway.fish";

/// Arguments of `completions`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Prints the script for the whole command line.
pub(super) fn run(args: &CompletionsArgs, mut whole: Command, out: &mut Out) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut whole, "causeway", &mut script);
    let script = String::from_utf8_lossy(&script);
    if out.json {
        out.value(&json!({"shell": args.shell.to_string(), "script": script}));
    } else {
        out.raw(&script);
    }
    Exit::Done
}

#[cfg(test)]
mod tests {
    use super::super::args::Cli;
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn every_shell_gets_a_script_that_knows_the_commands() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "causeway", &mut script);
            let script = String::from_utf8(script).expect("text");
            for word in ["review", "disclosures", "member", "color"] {
                assert!(script.contains(word), "{word} for {shell}");
            }
        }
    }

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
