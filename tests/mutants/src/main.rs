//! Writes all small changes of Rust files into the files themselves, each behind a switch, so that one build serves all of them.
//!
//! `causeway-mutants FIRST KEPT FILE…`: FIRST is the number of the first change, KEPT a file with the numbers to write, or `-` for all. Each FILE
//! is rewritten in place; a line for each change says its number, file, line and what it is. It knows nothing of tests, and never reads what
//! macros contain.

mod changes;
mod write;

use std::collections::BTreeSet;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut number: usize = arguments.next().ok_or("FIRST is missing")?.parse()?;
    let kept = arguments.next().ok_or("KEPT is missing")?;
    let kept: Option<BTreeSet<usize>> = match kept.as_str() {
        "-" => None,
        path => Some(
            std::fs::read_to_string(path)?
                .split_whitespace()
                .map(str::parse)
                .collect::<Result<_, _>>()?,
        ),
    };
    for file in arguments {
        let text = std::fs::read_to_string(&file)?;
        let sites = changes::of(&text).map_err(|error| format!("{file}: {error}"))?;
        let (new, lines) = write::with(&text, sites, &mut number, kept.as_ref());
        for line in lines {
            println!("{}\t{file}\t{}\t{}", line.number, line.line, line.what);
        }
        std::fs::write(&file, new)?;
    }
    Ok(())
}
