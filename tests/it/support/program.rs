//! The program under test, and ports for it. Knows nothing of stores: what uses this file alone is the same on both.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// How many ports tests may have.
const PORTS: u32 = 20_000;

/// Today, as the payer's clock and time zone see it.
pub fn today() -> chrono::NaiveDate {
    chrono::Utc::now()
        .with_timezone(&chrono_tz::America::New_York)
        .date_naive()
}

/// The program under test; `CAUSEWAY_TEST_PROGRAM` names another build of it: for much data, for figures, or an older one.
pub fn binary() -> PathBuf {
    let built = std::env::var_os("CAUSEWAY_TEST_PROGRAM").map(PathBuf::from);
    built.unwrap_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_causeway")))
}

/// Whether the program under test is an optimised build, from which more is asked than from one that is not.
pub fn is_optimised() -> bool {
    std::env::var_os("CAUSEWAY_TEST_PROGRAM").is_some() || !cfg!(debug_assertions)
}

/// A command of the program under test in this folder.
pub fn program(home: &Path) -> Command {
    let mut command = Command::new(binary());
    command
        .current_dir(home)
        .env_remove("DATABASE_URL")
        .stdin(Stdio::null());
    command
}

/// Two ports that nobody else is given: below those that the kernel hands out for connections (from 32768), and each once in this process,
/// so that neither another test nor a connection on its way out takes one before the server listens, or while it is restarted.
pub fn free_ports() -> [u16; 2] {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id().wrapping_mul(997);
    [(); 2].map(|()| {
        let tried = (0..PORTS).map(|_| {
            let at = first.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % PORTS;
            u16::try_from(10_000 + at).expect("a port")
        });
        let mut free = tried.filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
        free.next().expect("a free port")
    })
}
