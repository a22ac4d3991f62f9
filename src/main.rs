//! The `causeway` program: parses arguments and calls the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(causeway::cli::run())
}
