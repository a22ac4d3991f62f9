//! The `causeway` program: parses arguments and calls the library.

use std::process::ExitCode;

/// The program's allocator: built by a C compiler alone, and quicker than the C library's at many small values by several threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ExitCode::from(causeway::cli::run())
}
