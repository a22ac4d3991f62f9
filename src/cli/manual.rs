//! `causeway man DIR`: a manual page for each command, made from the command line's own types.

use crate::error::{Failure, Fault};
use crate::terminal::{Exit, Out};
use clap::{Args, Command};
use clap_mangen::Man;
use serde_json::json;
use std::io;
use std::path::{Path, PathBuf};

/// Arguments of `man`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Example: causeway man ~/.local/share/man/man1 && man causeway-review")]
pub struct ManArgs {
    /// Folder for the pages; it is created if it does not exist
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
}

/// Writes the pages of the whole command line.
///
/// # Errors
/// [`Fault::InputUnreadable`] when the folder cannot be written.
pub(super) fn run(args: &ManArgs, whole: Command, cwd: &Path, out: &mut Out) -> Result<Exit, Failure> {
    let folder = cwd.join(&args.folder);
    let unusable = |error: io::Error| {
        Failure::new(Fault::InputUnreadable)
            .at("DIR")
            .remedy("Name a folder that this user may write.")
            .because(error)
    };
    std::fs::create_dir_all(&folder).map_err(unusable)?;
    let pages = pages(whole).map_err(unusable)?;
    for (name, page) in &pages {
        std::fs::write(folder.join(name), page).map_err(unusable)?;
    }
    if out.json {
        let names: Vec<&str> = pages.iter().map(|(name, _)| name.as_str()).collect();
        out.value(&json!({"folder": args.folder, "pages": names}));
    } else {
        out.note(&format!("{} pages are in {}", pages.len(), args.folder.display()));
    }
    Ok(Exit::Done)
}

/// The pages of all commands by the names of their files.
fn pages(whole: Command) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut all = whole.disable_help_subcommand(true);
    all.build();
    let mut pages = Vec::new();
    add(&all, &mut pages)?;
    Ok(pages)
}

fn add(command: &Command, pages: &mut Vec<(String, Vec<u8>)>) -> io::Result<()> {
    let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
    let mut page = Vec::new();
    Man::new(command.clone()).title(name.as_str()).render(&mut page)?;
    pages.push((format!("{name}.1"), page));
    for inner in command
        .get_subcommands()
        .filter(|inner| !inner.is_hide_set() && inner.get_name() != "help")
    {
        add(inner, pages)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::args::Cli;
    use super::*;
    use clap::CommandFactory as _;
    use std::collections::HashSet;

    #[test]
    fn every_command_has_a_manual_page_of_its_own() {
        let pages = pages(Cli::command()).expect("pages");
        let names: HashSet<&str> = pages.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names.len(), pages.len(), "no page is overwritten");
        for name in [
            "causeway.1",
            "causeway-serve.1",
            "causeway-review-show.1",
            "causeway-man.1",
        ] {
            assert!(names.contains(name), "{name} of {names:?}");
        }
        for (name, page) in &pages {
            let text = String::from_utf8_lossy(page);
            assert!(text.contains(".SH NAME") && text.contains(".SH SYNOPSIS"), "{name}");
        }
    }
}
