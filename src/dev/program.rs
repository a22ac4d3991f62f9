//! This program as a child process, for the demonstration and the benchmark: without the environment that configures it, and whether it is
//! ready. It decides nothing about when a process is started or ended.

use crate::error::{Failure, Fault};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// A command of this program with the configuration `config`, without the environment variables that configure it.
///
/// # Errors
/// [`Fault::Internal`] when the system does not tell where the program is.
pub fn child(config: Option<&Path>) -> Result<Command, Failure> {
    let path = std::env::current_exe().map_err(|error| Failure::new(Fault::Internal).because(error))?;
    let mut command = Command::new(path);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name == "DATABASE_URL" || name.starts_with("CAUSEWAY_") {
            command.env_remove(name.as_ref());
        }
    }
    if let Some(config) = config {
        command.arg("--config").arg(config);
    }
    command.stdin(Stdio::null());
    Ok(command)
}

/// An address of this machine that nobody listens on now.
///
/// # Errors
/// [`Fault::Internal`] when there is none.
pub fn free_address() -> Result<SocketAddr, Failure> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map_err(|error| Failure::new(Fault::Internal).because(error))
}

/// The metrics of the server with this operations listener; empty when it does not give them.
pub fn metrics(ops: SocketAddr) -> String {
    let mut text = String::new();
    let read = asked(ops, "/metrics").and_then(|mut stream| stream.read_to_string(&mut text));
    if read.is_ok() { text } else { String::new() }
}

fn asked(ops: SocketAddr, path: &str) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&ops, Duration::from_millis(200))?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    Ok(stream)
}

/// Whether the operations listener at `ops` reports that its server is ready.
pub fn is_ready(ops: SocketAddr) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = asked(ops, "/ready")?;
        let mut head = [0; 12];
        stream.read_exact(&mut head)?;
        Ok(head.ends_with(b" 200"))
    };
    ask().unwrap_or(false)
}
